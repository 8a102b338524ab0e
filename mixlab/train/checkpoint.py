"""Checkpoints that a kill at any moment cannot tear.

A state is written to a file of its own beside the last one, flushed to the disk, and only then takes its name; the
one before stays as `previous.ckpt`. If the last one is damaged (a bit flipped, a copy cut short) the previous one is
used, with a warning; if both are, one error says so. A file that the disk does not give, or the system does not let
read, may be whole: that is an error at once. Files hold tensors and plain data only and are read with
`weights_only=True`: no pickle is executed.
"""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from zipfile import ZipFile

import torch

from mixlab.files import write_atomically

__all__ = ["LAST", "NEW", "PREVIOUS", "Checkpoints", "write_atomically"]

NEW, LAST, PREVIOUS = "new.ckpt", "last.ckpt", "previous.ckpt"


class Checkpoints:
    """The checkpoints of one run, in one folder.

    Args:
        folder: made when the first state is saved.
        config: what makes two runs the same run, as plain data.

    Attributes:
        found: the file that the state of the last `load` came from; None if there was none, or it was not asked.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     Checkpoints(folder, {"seed": 0}).save({"step": 1})
        ...     Checkpoints(folder, {"seed": 0}).save({"step": 2})
        ...     print(Checkpoints(folder, {"seed": 0}).load(), sorted(path.name for path in Path(folder).iterdir()))
        {'step': 2} ['last.ckpt', 'previous.ckpt']
    """

    def __init__(self, folder: str | Path, config: dict):
        self.folder = Path(folder)
        self.config = config
        self.found: Path | None = None

    def save(self, state: dict) -> None:
        """Keep `state`; the one before it stays until this one is safely on the disk, and beyond.

        The one before is what `load` found: no damaged file, whatever its name, takes its place.

        Raises:
            OSError: if the disk refuses; the states before are untouched.
        """
        new, last, previous = (self.folder / name for name in (NEW, LAST, PREVIOUS))
        # Where a kill cut a save off, the state before this one is in new.ckpt, and last.ckpt may be anything.
        before, after = (new, last) if self.found == new else (last, new)
        write_atomically(after, lambda file: torch.save({"config": self.config, "state": state}, file))
        if self.found != previous and before.exists():
            os.replace(before, previous)
        if after == new:
            os.replace(new, last)
        self.found = last

    def load(self) -> dict | None:
        """The latest state that is not damaged, or None in an empty folder.

        Raises:
            ValueError: if the state belongs to a run of another config, if it is none of a run, or if every checkpoint
                there is damaged.
            OSError: if the disk does not give a checkpoint, or the system does not let it be read.
        """
        damaged = False
        for name in (NEW, LAST, PREVIOUS):
            path = self.folder / name
            try:
                saved = _read(path)
            except FileNotFoundError:
                continue
            if saved is None:
                damaged = True
                warnings.warn(f"checkpoint {path} is damaged and is passed over", stacklevel=2)
                continue
            for key in ("config", "state"):
                if not isinstance(saved, dict) or not isinstance(saved.get(key), dict):
                    raise ValueError(f"expected a checkpoint with a {key!r} at {path}, received a file without one")
            self._check(saved["config"])
            self.found = path
            return saved["state"]
        if damaged:
            raise ValueError(f"every checkpoint in {self.folder} is damaged; remove the folder to start again")
        return None

    def sweep(self) -> None:
        """Remove what killed writers have left half written; only for whoever holds the folder."""
        for rest in self.folder.glob(f".{NEW}.*.tmp"):
            rest.unlink()

    def _check(self, config: dict) -> None:
        """Refuse to go on with another run's state, and say where they differ."""
        names = [name for name in {**config, **self.config} if config.get(name) != self.config.get(name)]
        if names:
            name = names[0]
            raise ValueError(f"{self.folder} holds the checkpoint of another run: its {name} is {config.get(name)}, "
                             f"this run's is {self.config.get(name)}")


def _read(path: Path) -> object:
    """What a checkpoint holds, whose checksums are compared first; None if it is damaged."""
    with path.open("rb") as file:
        try:
            while file.read(2**20):  # what the disk refuses it refuses here: any error after this is damage
                pass
        except OSError as error:
            error.filename = str(path)
            raise
        try:
            file.seek(0)
            with ZipFile(file) as archive:
                if archive.testzip() is not None:
                    return None
            file.seek(0)
            return torch.load(file, map_location="cpu", weights_only=True)
        except MemoryError:
            raise
        except Exception:  # a damaged archive may raise anything
            return None

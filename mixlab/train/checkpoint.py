"""Checkpoints that a kill at any moment cannot tear.

A state is written to a file of its own beside the last one, flushed to the disk, and only then takes its name; the
one before stays as `previous.ckpt`. If the last one cannot be read (a failing disk, a copy cut short) the previous
one is used, with a warning; if neither can, one error says so. Files hold tensors and plain data only and are read
with `weights_only=True`: no pickle is executed.
"""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from zipfile import BadZipFile, ZipFile

import torch

from mixlab.files import write_atomically

__all__ = ["LAST", "NEW", "PREVIOUS", "Checkpoints", "write_atomically"]

NEW, LAST, PREVIOUS = "new.ckpt", "last.ckpt", "previous.ckpt"


class Checkpoints:
    """The checkpoints of one run, in one folder.

    Args:
        folder: made when the first state is saved.
        config: what makes two runs the same run, as plain data.

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

    def save(self, state: dict) -> None:
        """Keep `state`; the one before it stays until this one is safely on the disk, and beyond.

        Raises:
            OSError: if the disk refuses; the states before are untouched.
        """
        new, last = self.folder / NEW, self.folder / LAST
        write_atomically(new, lambda file: torch.save({"config": self.config, "state": state}, file))
        if last.exists():
            os.replace(last, self.folder / PREVIOUS)
        os.replace(new, last)

    def load(self) -> dict | None:
        """The latest state that can be read, or None in an empty folder.

        Raises:
            ValueError: if the state belongs to a run of another config, or no checkpoint there can be read.
        """
        paths = [self.folder / name for name in (NEW, LAST, PREVIOUS) if (self.folder / name).exists()]
        for path in paths:
            try:
                config, state = _read(path)
            except Exception:  # a damaged archive may raise anything
                warnings.warn(f"checkpoint {path} cannot be read and is passed over", stacklevel=2)
                continue
            self._check(config)
            return state
        if paths:
            raise ValueError(f"no checkpoint in {self.folder} can be read; remove the folder to start again")
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


def _read(path: Path) -> tuple[dict, dict]:
    """Config and state of a checkpoint, whose checksums are compared first."""
    with ZipFile(path) as archive:
        if archive.testzip() is not None:
            raise BadZipFile(f"{path} is damaged")
    saved = torch.load(path, map_location="cpu", weights_only=True)
    return saved["config"], saved["state"]

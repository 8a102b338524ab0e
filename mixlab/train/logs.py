"""Curves on the disk: a CSV file always, TensorBoard on request."""

from __future__ import annotations

import csv
import io
from importlib.util import find_spec
from pathlib import Path

from mixlab.train.checkpoint import write_atomically


class Csv:
    """`curves.csv`: a row per epoch, a column per curve; written anew, so a resumed run leaves no row twice.

    Args:
        folder: of the run.
    """

    def __init__(self, folder: Path):
        self.folder = folder

    def write(self, curves: dict[str, list]) -> None:
        """Put the curves of all epochs so far on the disk."""
        text = io.StringIO()
        writer = csv.writer(text)
        writer.writerow(curves)
        writer.writerows(zip(*curves.values(), strict=True))
        write_atomically(self.folder / "curves.csv", lambda file: file.write(text.getvalue().encode()))

    def close(self) -> None:
        """Nothing is open."""


class TensorBoard(Csv):
    """`curves.csv`, and its rows as TensorBoard scalars, in one event file for each session of the run.

    The file begins with the epochs of the sessions before, and tells whoever reads on from their files to drop what
    these held: every epoch is seen once, whatever was logged before. No file is removed, since a TensorBoard that
    reads it would wait for it and never go on to the next.
    """

    def __init__(self, folder: Path):
        super().__init__(folder)
        self.writer, self.rows = None, 0

    def write(self, curves: dict[str, list]) -> None:
        """Put the curves of all epochs so far on the disk."""
        from torch.utils.tensorboard import SummaryWriter

        super().write(curves)
        epochs = curves["epoch"]
        self.writer = self.writer or SummaryWriter(str(self.folder), purge_step=epochs[0])
        for name in (name for name in curves if name != "epoch"):
            for epoch, value in list(zip(epochs, curves[name], strict=True))[self.rows :]:
                if value is not None:
                    self.writer.add_scalar(name, value, epoch)
        self.rows = len(epochs)
        self.writer.flush()

    def close(self) -> None:
        """Close the event file."""
        if self.writer is not None:
            self.writer.close()


LOGS = {"csv": Csv, "tensorboard": TensorBoard}


def check_log(log: str) -> None:
    """Refuse a log that is unknown, or that cannot be written here.

    Raises:
        ValueError: for a name that is not among `LOGS`.
        ImportError: for "tensorboard" where it is not installed.
    """
    if log not in LOGS:
        raise ValueError(f"expected a log of {', '.join(LOGS)}, received {log!r}")
    if log == "tensorboard" and find_spec("tensorboard") is None:
        raise ImportError("expected tensorboard for log='tensorboard', found none: install mixlab[tensorboard]")

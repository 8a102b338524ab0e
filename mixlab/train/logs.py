"""Curves on the disk: a CSV file always, TensorBoard on request."""

from __future__ import annotations

import csv
import io
from pathlib import Path

from mixlab.train.checkpoint import write_atomically


def write_csv(folder: Path, curves: dict[str, list]) -> None:
    """`curves.csv`: a row per epoch, a column per curve; written anew, so a resumed run leaves no row twice."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(curves)
    writer.writerows(zip(*curves.values(), strict=True))
    write_atomically(folder / "curves.csv", lambda file: file.write(text.getvalue().encode()))


def write_tensorboard(folder: Path, curves: dict[str, list]) -> None:
    """`curves.csv`, and the latest epoch of every curve as TensorBoard scalars."""
    from torch.utils.tensorboard import SummaryWriter

    write_csv(folder, curves)
    epoch = curves["epoch"][-1]
    with SummaryWriter(str(folder), purge_step=epoch) as writer:
        for name, values in curves.items():
            if name != "epoch":
                writer.add_scalar(name, values[-1], epoch)


LOGS = {"csv": write_csv, "tensorboard": write_tensorboard}

"""`digits`: 1,797 handwritten digits of 8x8 grey pixels, which ship with scikit-learn."""

from pathlib import Path

import numpy as np
import torch

from mixlab.data.split import Split
from mixlab.data.stratify import hold_out
from mixlab.rng import generator

__all__ = ["read"]


def read(root: Path) -> tuple[Split, Split]:
    """Read the digits; ``root`` is not looked at.

    The counts 0..16 of the original (E. Alpaydin and C. Kaynak, "Optical Recognition of Handwritten Digits",
    UCI Machine Learning Repository, 1998; its test part) are stored as uint8 ``round(count * 255 / 16)``.
    There is no official split of them: a fifth of every class, the same rows always, is the test split.
    """
    from sklearn.datasets import load_digits

    counts, labels = load_digits(return_X_y=True)
    grey = np.floor(counts.reshape(-1, 1, 8, 8) * (255 / 16) + 0.5).astype(np.uint8)
    rows = Split(torch.from_numpy(grey), torch.from_numpy(labels.astype(np.int64)))
    train, test = hold_out(rows.labels, 0.2, generator("digits", "test"))
    # New splits: there is no training file, so its rows are numbered from 0 like those of other sets.
    return tuple(Split(rows.images[part], rows.labels[part]) for part in (train, test))

"""Pictures beside each other, each with its caption."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

__all__ = ["label_text", "mosaic"]


def mosaic(pictures, titles: Sequence[str], columns: int = 4, side: float = 2.3):
    """Show pictures in a grid, row by row.

    Args:
        pictures: (N, C, H, W) with one or three channels: uint8, or floating point in [0, 1] (clipped).
        titles: N captions.
        columns: pictures in a row.
        side: of a picture, in inches.

    Returns:
        A matplotlib Figure.

    Raises:
        ValueError: if there are not as many titles as pictures.
    """
    from matplotlib import pyplot as plt

    pictures = np.asarray(pictures)
    if len(pictures) != len(titles):
        raise ValueError(f"expected {len(pictures)} titles, received {len(titles)}")
    pictures = pictures / 255 if pictures.dtype == np.uint8 else pictures.clip(0, 1)
    columns = min(columns, len(pictures))
    rows = math.ceil(len(pictures) / columns)
    figure, axes = plt.subplots(rows, columns, figsize=(side * columns, (side + 0.3) * rows), squeeze=False)
    for axis in axes.flat:
        axis.axis("off")
    for axis, picture, title in zip(axes.flat, pictures, titles):
        picture = np.moveaxis(picture, 0, -1)
        axis.imshow(picture.squeeze(-1) if picture.shape[-1] == 1 else picture, vmin=0, vmax=1,
                    cmap="gray" if picture.shape[-1] == 1 else None)
        axis.set_title(title, fontsize=9)
    return figure


def label_text(label, classes: Sequence[str], smallest: float = 0.05, separator: str = ", ") -> str:
    """A soft label in words, the heaviest class first, without classes below ``smallest``.

    Example:
        >>> label_text([0.3, 0.69, 0.01], ("cat", "dog", "owl"))
        'dog 0.69, cat 0.30'
    """
    label = np.asarray(label, dtype=float)
    order = np.argsort(-label, kind="stable")
    return separator.join(f"{classes[c]} {label[c]:.2f}" for c in order if label[c] >= smallest)

"""Stick-breaking in pictures: the stick, the nested boxes that the same draw makes, and the simplex it comes from."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

__all__ = ["simplex_figure", "sticks_figure"]


def sticks_figure(shares, boxes, size: tuple[int, int], pictures=None):
    """Draw, row by row, a broken stick and beside it the boxes of the same draw, and the mixed picture if given.

    Piece k of the stick, region k of the boxes and the number k have one colour. The text below a piece is its share;
    the boxes' title gives the largest difference between a share and the region's part of the picture, in percent.

    Args:
        shares: (R, K) shares of R draws.
        boxes: (R, K - 1, 4) pixel edges ``top, left, bottom, right``, each inside the one before.
        size: height and width, in pixels.
        pictures: (R, 3, H, W) in [0, 1] or uint8, what the draws show.

    Returns:
        A matplotlib Figure.

    Raises:
        ValueError: if shares and boxes are not of matching shapes.
    """
    from matplotlib import pyplot as plt

    shares, boxes = np.asarray(shares), np.asarray(boxes)
    rows, k = shares.shape
    if boxes.shape != (rows, k - 1, 4):
        raise ValueError(f"expected boxes of shape ({rows}, {k - 1}, 4), received {boxes.shape}")
    columns = 2 if pictures is None else 3
    figure, axes = plt.subplots(rows, columns, figsize=(9.5 if columns == 3 else 7.5, 2.1 * rows), squeeze=False,
                                width_ratios=[2.6, *[1] * (columns - 1)])
    for row, (stick, doll) in enumerate(zip(axes[:, 0], axes[:, 1])):
        _stick(stick, shares[row])
        regions = _nested(doll, boxes[row], size)
        off = 100 * np.abs(regions - shares[row]).max()
        doll.set_title(f"largest difference {off:.1f} %", fontsize=9)
        if pictures is not None:
            axes[row, 2].imshow(_channels_last(pictures[row]))
            axes[row, 2].axis("off")
    axes[0, 0].set_title("stick: shares φ", fontsize=9)
    return figure


def _channels_last(picture) -> np.ndarray:
    """(H, W, 3) float64 in [0, 1] of a (3, H, W) picture, uint8 or floating point."""
    picture = np.asarray(picture)
    return np.moveaxis(picture / 255 if picture.dtype == np.uint8 else picture.clip(0, 1), 0, -1)


def _stick(axis, shares) -> None:
    left = 0.0
    for k, share in enumerate(shares):
        axis.barh(0, share, left=left, height=0.5, color=f"C{k}", edgecolor="white", linewidth=1.5)
        if share > 0.04:
            axis.text(left + share / 2, 0, str(k + 1), ha="center", va="center", color="white", weight="bold")
            axis.text(left + share / 2, -0.34, f"{share:.2f}", ha="center", va="top", fontsize=9)
        left += share
    axis.set(xlim=(0, 1), ylim=(-0.7, 0.5))
    axis.axis("off")


def _nested(axis, boxes, size: tuple[int, int]) -> np.ndarray:
    """Draw the boxes; the part of the picture that each region has."""
    from matplotlib.patches import Rectangle

    height, width = size
    edges = [(0, 0, height, width), *boxes.tolist()]
    areas = [(bottom - top) * (right - left) for top, left, bottom, right in edges]
    for k, (top, left, bottom, right) in enumerate(edges):
        axis.add_patch(Rectangle((left, top), right - left, bottom - top, facecolor=f"C{k}", edgecolor="white",
                                 linewidth=1.5))
    regions = -np.diff([*areas, 0]) / (height * width)
    for k, (edge, region) in enumerate(zip(edges, regions)):
        if region > 0.04:
            x, y = _label_place(edge, edges[k + 1] if k + 1 < len(edges) else None)
            axis.text(x, y, str(k + 1), ha="center", va="center", color="white", weight="bold", fontsize=8)
    axis.set(xlim=(0, width), ylim=(height, 0), aspect="equal")
    axis.axis("off")
    return regions


def _label_place(box, inner) -> tuple[float, float]:
    """A point of ``box`` that ``inner`` leaves free: the middle of the widest of the four strips around it."""
    top, left, bottom, right = box
    if inner is None:
        return (left + right) / 2, (top + bottom) / 2
    strips = {
        inner[0] - top: ((left + right) / 2, (top + inner[0]) / 2),
        bottom - inner[2]: ((left + right) / 2, (bottom + inner[2]) / 2),
        inner[1] - left: ((left + inner[1]) / 2, (top + bottom) / 2),
        right - inner[3]: ((right + inner[3]) / 2, (top + bottom) / 2),
    }
    return strips[max(strips)]


def simplex_figure(samples: Mapping[str, object]):
    """Scatter shares of three images over the triangle of all of them, one panel per title.

    Args:
        samples: title -> (N, 3) shares.

    Returns:
        A matplotlib Figure.

    Raises:
        ValueError: if some shares are not of three images.
    """
    from matplotlib import pyplot as plt

    corners = np.array([[0.0, 0.0], [1.0, 0.0], [0.5, 3**0.5 / 2]])
    figure, axes = plt.subplots(1, len(samples), figsize=(2.5 * len(samples), 2.6), squeeze=False)
    for axis, (title, shares) in zip(axes[0], samples.items()):
        shares = np.asarray(shares)
        if shares.ndim != 2 or shares.shape[1] != 3:
            raise ValueError(f"expected shares of shape (N, 3), received {shares.shape}")
        points = shares @ corners
        axis.plot(*np.append(corners, corners[:1], axis=0).T, color="0.4", linewidth=1)
        axis.scatter(*points.T, s=5, alpha=0.35, linewidths=0, color="C0", clip_on=False)
        for k, ((x, y), place) in enumerate(zip(corners, [("right", "top"), ("left", "top"), ("center", "bottom")])):
            axis.text(x, y, f"φ$_{k + 1}$=1", ha=place[0], va=place[1], fontsize=9)
        axis.set_title(title, fontsize=10, pad=12)
        axis.set(xlim=(-0.12, 1.12), ylim=(-0.1, 0.98), aspect="equal")
        axis.axis("off")
    return figure

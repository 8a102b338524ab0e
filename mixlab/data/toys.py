"""Points on a line and in the plane, made so that one can see what a risk does to a classifier."""

import math
from typing import NamedTuple

import torch
from torch import Tensor

__all__ = ["Points", "crescents", "line", "rings"]


class Points(NamedTuple):
    """Points with their classes.

    Attributes:
        x: (N, D) float32 coordinates.
        labels: (N,) int64, 0 or 1.
    """

    x: Tensor
    labels: Tensor


def crescents(n: int, generator: torch.Generator, noise: float = 0.1) -> Points:
    """Draw two half circles of radius 1 that reach into each other, with Gaussian noise.

    Class 0 is the upper half of the circle around the origin, class 1 the lower half of the one around (1, 0.5);
    their middles are 0.5 apart where they come closest.

    Args:
        n: number of points, half of them (rounded up) of class 0.
        generator: draws positions and noise.
        noise: standard deviation of the noise in each coordinate, >= 0.

    Raises:
        ValueError: for fewer than two points or negative noise.

    Example:
        >>> x, labels = crescents(5, torch.Generator().manual_seed(0), noise=0.0)
        >>> labels.tolist(), torch.allclose(x[labels == 0].norm(dim=1), torch.ones(3))
        ([0, 0, 0, 1, 1], True)
    """
    _check(n, 2)
    if noise < 0:
        raise ValueError(f"expected a standard deviation of at least 0, received {noise}")
    labels = torch.arange(n) * 2 // (n + n % 2)
    angle = math.pi * torch.rand(n, generator=generator)
    upper = torch.stack([angle.cos(), angle.sin()], 1)
    lower = torch.stack([1 - angle.cos(), 0.5 - angle.sin()], 1)
    middle = torch.where(labels[:, None] == 0, upper, lower)
    return Points(middle + noise * torch.randn(n, 2, generator=generator), labels)


def line(
    n: int, generator: torch.Generator, classes: tuple[int, int, int] = (0, 1, 0), half_width: float = 0.3
) -> Points:
    """Draw three separate intervals on a line, around -1, 0 and 1.

    With the classes A, B, A = (0, 1, 0) half-way between two points of A lies B; with (0, 0, 1) it does not.

    Args:
        n: number of points; each interval gets n / 3, the first ones one more where that is no integer.
        generator: draws the positions, uniformly in each interval.
        classes: of the three intervals.
        half_width: of each interval, 0 < half_width < 0.5, so that they do not touch.

    Raises:
        ValueError: for fewer than three points, or a width out of range.

    Example:
        >>> x, labels = line(6, torch.Generator().manual_seed(0))
        >>> labels.tolist(), x.round().int().flatten().tolist()
        ([0, 0, 1, 1, 0, 0], [-1, -1, 0, 0, 1, 1])
    """
    _check(n, 3)
    if not 0 < half_width < 0.5:
        raise ValueError(f"expected a half width between 0 and 0.5, received {half_width}")
    part = (torch.arange(n) * 3 / n).long()
    offset = half_width * (2 * torch.rand(n, generator=generator) - 1)
    return Points((part - 1 + offset)[:, None], torch.tensor(classes)[part])


def rings(
    n: int,
    generator: torch.Generator,
    bands: tuple[tuple[float, float], ...] = ((0.0, 0.3), (0.7, 1.0), (1.4, 1.7)),
    classes: tuple[int, ...] = (0, 1, 0),
) -> Points:
    """Draw separate rings around the origin: by default a disc of class 0 in a ring of 1 in a ring of 0.

    Args:
        n: number of points; each ring gets an equal part, the first ones one more where that is no integer.
        generator: draws the positions, uniformly in area.
        bands: inner and outer radius of each ring; 0 as inner radius makes a disc.
        classes: of the rings.

    Raises:
        ValueError: for fewer points than rings, or rings that touch.

    Example:
        >>> x, labels = rings(100, torch.Generator().manual_seed(0))
        >>> bool((x[labels == 1].norm(dim=1) - 0.85).abs().max() < 0.15)
        True
    """
    _check(n, len(bands))
    edges = [radius for band in bands for radius in band]
    if edges[0] < 0 or any(low >= high for low, high in zip(edges, edges[1:])) or len(classes) != len(bands):
        raise ValueError(f"expected rising radii and a class for each ring, received {bands} and {classes}")
    part = (torch.arange(n) * len(bands) / n).long()
    low, high = torch.tensor(bands)[part].square().unbind(1)
    uniform = torch.rand(2, n, generator=generator)
    radius = (low + (high - low) * uniform[0]).sqrt()
    angle = 2 * math.pi * uniform[1]
    return Points(torch.stack([radius * angle.cos(), radius * angle.sin()], 1), torch.tensor(classes)[part])


def _check(n: int, least: int) -> None:
    if n < least:
        raise ValueError(f"expected at least {least} points, received {n}")

"""Cells so small that all of them can be trained: 64 networks, of which the best is known.

Whether a cheap look at networks finds a good one can only be said where the good one is known. A cell of PC-DARTS is
one of some 10¹⁸; here a cell has three edges and four operations an edge, and every network is trained to its end.

Source: the shape of the cell is that of Dong and Yang (2020), "NAS-Bench-201", with one node and one operation fewer.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from itertools import product

import numpy
import torch
from torch import Tensor, nn
from torch.nn.functional import max_pool2d

from mixlab.checks import whole
from mixlab.models import initialise
from mixlab.nas.operations import relu_conv_bn
from mixlab.nas.skeleton import plain_order

__all__ = ["TABLE_EDGES", "TABLE_OPERATIONS", "TabularNetwork", "cells", "rank_correlation", "regret", "stratum"]

#: From which node to which an edge goes; node 0 is what comes in, node 2 what goes out.
TABLE_EDGES = ((0, 1), (0, 2), (1, 2))
#: What an edge may be. The first and the last have no parameters, and a 3×3 convolution has nine times those of a 1×1.
TABLE_OPERATIONS = ("skip", "conv_1x1", "conv_3x3", "avg_pool_3x3")


def cells() -> list[tuple[str, str, str]]:
    """All cells, in the order of the table: the operation of the last edge changes first.

    Example:
        >>> len(cells()), cells()[0], cells()[1]
        (64, ('skip', 'skip', 'skip'), ('skip', 'skip', 'conv_1x1'))
    """
    return list(product(TABLE_OPERATIONS, repeat=len(TABLE_EDGES)))


def stratum(cell: Sequence[str]) -> tuple[int, int]:
    """How many 1×1 and how many 3×3 convolutions a cell has: cells that agree in it have as many parameters.

    Example:
        >>> stratum(("conv_3x3", "skip", "conv_1x1")), len({stratum(cell) for cell in cells()})
        ((1, 1), 10)
    """
    return cell.count("conv_1x1"), cell.count("conv_3x3")


def _operation(name: str, channels: int) -> nn.Module:
    """One of `TABLE_OPERATIONS`, which keeps channels and sides."""
    if name == "skip":
        return nn.Identity()
    if name == "avg_pool_3x3":
        return nn.AvgPool2d(3, 1, padding=1, count_include_pad=False)
    if name == "conv_1x1":
        return relu_conv_bn(channels, channels)
    return nn.Sequential(nn.ReLU(), nn.Conv2d(channels, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels))


class _Cell(nn.Module):
    """Three nodes, of which each is the sum of its edges."""

    def __init__(self, cell: Sequence[str], channels: int):
        super().__init__()
        self.edges = nn.ModuleList(_operation(name, channels) for name in cell)

    def forward(self, maps: Tensor) -> Tensor:
        first, across, last = self.edges
        return across(maps) + last(first(maps))


class TabularNetwork(nn.Module):
    """The network of one cell: a stem, the cell, half of the sides and twice the channels, the cell again, a mean.

    Args:
        cell: operations of the edges 0→1, 0→2 and 1→2, each of `TABLE_OPERATIONS`.
        num_classes: logits.
        in_channels: of the images.
        channels: C, of the first cell. The stem halves the sides of the images.
        generator: of the initial weights, on the CPU; None is a new one of seed 0.

    Raises:
        ValueError: for a cell of another length or with another operation, a size that is not a positive integer.

    Example:
        >>> network = TabularNetwork(("conv_3x3", "skip", "conv_1x1"), 10, in_channels=1, channels=8)
        >>> network(torch.zeros(2, 1, 28, 28)).shape, sum(each.numel() for each in network.parameters())
        (torch.Size([2, 10]), 3714)
    """

    def __init__(self, cell: Sequence[str], num_classes: int, in_channels: int = 3, *, channels: int = 16,
                 generator: torch.Generator | None = None):
        super().__init__()
        known = ", ".join(TABLE_OPERATIONS)
        if isinstance(cell, str) or len(cell) != len(TABLE_EDGES) or not set(cell) <= set(TABLE_OPERATIONS):
            raise ValueError(f"expected a cell of {len(TABLE_EDGES)} operations of {known}, received {cell!r}")
        sizes = {"num_classes": num_classes, "in_channels": in_channels, "channels": channels}
        for name, value in sizes.items():
            if not whole(value) or value < 1:
                raise ValueError(f"expected a positive integer {name}, received {value!r}")
        self.cell, self.num_classes = tuple(cell), int(num_classes)
        # Layers draw from the global generator as they are made; without memory there is nothing to draw.
        with torch.device("meta"):
            self.stem = nn.Sequential(nn.Conv2d(in_channels, channels, 3, 2, padding=1, bias=False),
                                      nn.BatchNorm2d(channels))
            self.first, self.second = _Cell(cell, channels), _Cell(cell, 2 * channels)
            self.widen = relu_conv_bn(channels, 2 * channels)
            self.classifier = nn.Linear(2 * channels, num_classes)
        self.to_empty(device="cpu")
        initialise(self, torch.Generator().manual_seed(0) if generator is None else generator)

    def forward(self, images: Tensor) -> Tensor:
        """Map images (B, in_channels, H, W) to logits (B, num_classes)."""
        maps = self.widen(max_pool2d(self.first(self.stem(plain_order(images))), 2))
        return self.classifier(self.second(maps).relu().mean((2, 3)))


def regret(truth: Sequence[float], proxy: Sequence[float]) -> float:
    """How much more the network errs that a proxy chooses than the best of the table.

    Args:
        truth: the error of every network when it is trained to its end.
        proxy: what they are chosen by; the smallest is chosen, of equal ones the first.

    Returns:
        The difference of two entries of `truth`, at least 0.

    Raises:
        ValueError: for two lists of different lengths.

    Example:
        >>> regret([20.0, 17.5, 18.0], proxy=[3.0, 2.0, 1.0])
        0.5
    """
    truth, proxy = _two(truth, proxy)
    return float(truth[proxy.argmin()] - truth.min())


def rank_correlation(truth: Sequence[float], proxy: Sequence[float], strata: Sequence[Hashable] | None = None) -> float:
    """Spearman's rank correlation between what networks are worth and what a proxy says of them.

    With strata, such as equal numbers of parameters, ranks are taken within each, and what is given is the mean of
    their correlations, weighted by how many networks they have. Strata of one network, or in which one of the two says
    the same of all, have no correlation and are left out.

    Args:
        truth, proxy: a number for every network.
        strata: what each belongs to; all to one where None.

    Returns:
        A number in [-1, 1], or NaN where no stratum has a correlation.

    Raises:
        ValueError: for lists of different lengths.

    Example:
        >>> rank_correlation([1, 2, 3, 4], [1, 2, 3, 4]), rank_correlation([1, 2, 3, 4], [2, 1, 4, 3], "aabb")
        (1.0, -1.0)
    """
    from scipy.stats import spearmanr

    truth, proxy = _two(truth, proxy)
    strata = [None] * len(truth) if strata is None else list(strata)
    if len(strata) != len(truth):
        raise ValueError(f"expected a stratum for each of {len(truth)} networks, received {len(strata)}")
    found, sizes = [], []
    for each in dict.fromkeys(strata):
        inside = numpy.array([other == each for other in strata])
        if numpy.ptp(truth[inside]) and numpy.ptp(proxy[inside]):
            found.append(float(spearmanr(truth[inside], proxy[inside]).statistic))
            sizes.append(int(inside.sum()))
    return round(float(numpy.average(found, weights=sizes)), 12) if found else float("nan")


def _two(truth: Sequence[float], proxy: Sequence[float]) -> tuple[numpy.ndarray, numpy.ndarray]:
    """Both as arrays of one length."""
    truth, proxy = numpy.asarray(truth, dtype=float), numpy.asarray(proxy, dtype=float)
    if truth.ndim != 1 or truth.shape != proxy.shape or not len(truth):
        raise ValueError(f"expected two lists of as many numbers, received {truth.shape} and {proxy.shape}")
    return truth, proxy

"""Drawing rows so that every class keeps its share."""

import math
from fractions import Fraction

import torch
from torch import Tensor

from mixlab.checks import real, whole

__all__ = ["allocate", "draw_per_class", "hold_out", "part_of"]


def part_of(part: float, count: int) -> int:
    """Give the smallest whole number that is at least ``part`` of ``count``.

    The part is taken as it is written in decimals: 7 % of 100 are 7, though the float 0.07 times 100 is more.

    Args:
        part: 0 < part <= 1.
        count: how many there are.

    Raises:
        ValueError: for a part outside that range.

    Example:
        >>> part_of(0.07, 100), part_of(0.1, 11), part_of(1, 5)
        (7, 2, 5)
    """
    if not (real(part) and 0 < part <= 1):
        raise ValueError(f"expected a part t in (0, 1], received {part!r}")
    return math.ceil(Fraction(str(part)) * count)


def allocate(counts: Tensor, total: int) -> Tensor:
    """Share ``total`` rows out between classes in proportion to ``counts``, by largest remainder.

    Every class gets its exact quota rounded down or up; equal remainders go to the lower class.

    Args:
        counts: (C,) int64, rows that each class has.
        total: rows to hand out, 0..sum(counts).

    Returns:
        (C,) int64 that sums to ``total`` and nowhere exceeds ``counts``.

    Raises:
        ValueError: for a total outside that range.

    Example:
        >>> allocate(torch.tensor([50, 30, 20]), 9).tolist()
        [4, 3, 2]
    """
    have = int(counts.sum())
    if not (whole(total) and 0 <= total <= have):
        raise ValueError(f"expected a whole number of rows from 0 to {have}, received {total!r}")
    total = int(total)
    quota = counts * total
    shared = quota // max(have, 1)
    by_remainder = torch.argsort(quota - shared * have, descending=True, stable=True)
    shared[by_remainder[: total - int(shared.sum())]] += 1
    return shared


def draw_per_class(labels: Tensor, take: Tensor, generator: torch.Generator) -> Tensor:
    """Draw ``take[c]`` rows of every class c uniformly and without repeats.

    Args:
        labels: (N,) int64.
        take: (C,) int64, at most the rows that each class has.
        generator: draws one permutation of the N rows.

    Returns:
        The rows, ascending, int64.
    """
    shuffled = torch.randperm(len(labels), generator=generator)
    by_class = shuffled[torch.argsort(labels[shuffled], stable=True)]
    counts = torch.bincount(labels, minlength=len(take))
    rank = torch.arange(len(labels)) - torch.repeat_interleave(counts.cumsum(0) - counts, counts)
    return by_class[rank < torch.repeat_interleave(take, counts)].sort().values


def hold_out(labels: Tensor, fraction: float, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Divide rows in two, so that the second part has ``fraction`` of every class, to the nearest row.

    Args:
        labels: (N,) int64.
        fraction: 0 <= fraction < 1; exact halves are rounded up.
        generator: draws which rows.

    Returns:
        The rows that stay and the rows held out, both ascending; together every row once.

    Raises:
        ValueError: for a fraction outside that range.

    Example:
        >>> kept, held = hold_out(torch.tensor([0] * 8 + [1] * 4), 0.25, torch.Generator().manual_seed(0))
        >>> len(kept), (held < 8).sum().item(), (held >= 8).sum().item()
        (9, 2, 1)
    """
    if not 0 <= fraction < 1:
        raise ValueError(f"expected a fraction from 0 to below 1, received {fraction}")
    take = (torch.bincount(labels).double() * fraction + 0.5).floor().long()
    held = draw_per_class(labels, take, generator)
    stays = torch.ones(len(labels), dtype=torch.bool)
    stays[held] = False
    return stays.nonzero().flatten(), held

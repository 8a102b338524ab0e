"""Several comparisons at once: p-values that keep the chance of any false one below the level."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

import numpy as np

from mixlab.records.difference import Difference

__all__ = ["corrected", "holm"]

Key = TypeVar("Key", bound=Hashable)


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's adjusted p-values: of m, the smallest counts m times, the next m − 1 times; none falls below the last.

    Rejecting where the adjusted value is below a level keeps the chance of one or more false rejections below it,
    however the tests depend on each other.

    Source: S. Holm, A simple sequentially rejective multiple test procedure, Scand. J. Statist. 6 (1979) 65–70.

    Args:
        p_values: between 0 and 1, in any order; may be empty.

    Returns:
        The adjusted values in the order of the input, at most 1.

    Raises:
        ValueError: for a value that is not between 0 and 1.

    Example:
        >>> [round(p, 3) for p in holm([0.01, 0.04, 0.03])]
        [0.03, 0.06, 0.06]
    """
    p = np.asarray(p_values, dtype=float)
    if not ((p >= 0) & (p <= 1)).all():
        raise ValueError(f"expected p-values between 0 and 1, received {p.tolist()}")
    order = np.argsort(p)
    multiplied = p[order] * np.arange(len(p), 0, -1)
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(np.maximum.accumulate(multiplied), 1)
    return adjusted.tolist()


def corrected(differences: Mapping[Key, Difference]) -> dict[Key, Difference]:
    """The same differences as one family: what may be said of the sign of each is corrected by Holm.

    Means and intervals stay as they are. A difference of one seed counts in the family with a p-value of 1.

    Args:
        differences: by any name; earlier corrections are replaced.

    Example:
        >>> from mixlab.records import paired_difference
        >>> alone = paired_difference([1.0, 2.1, 0.2, 2.0, 1.2], [0.0] * 5)
        >>> family = corrected({name: alone for name in "abcd"})
        >>> print(f"{alone.p:.3f} {alone.verdict()}, {family['a'].adjusted:.3f} {family['a'].verdict()}")
        0.020 higher, 0.082 undecided
    """
    adjusted = holm([each.p for each in differences.values()])
    return {
        name: replace(each, adjusted=p, comparisons=len(adjusted))
        for (name, each), p in zip(differences.items(), adjusted)
    }

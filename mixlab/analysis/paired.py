"""The differences of chapters 1 to 3: those of `mixlab.records`, with one reading of their own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

from mixlab import records
from mixlab.records import MINIMUM_SEEDS

__all__ = ["MINIMUM_SEEDS", "Difference", "paired_difference"]


class Difference(records.Difference):
    """A mean of paired differences with its interval; see `mixlab.records.Difference` for its parts and its rule."""

    def alike(self, margin: float) -> str:
        """What it says of the prediction that nothing differs: "refuted", "confirmed" or "undecided".

        This is the rule of the experiment `same-number`, which stated it before it ran on three seeds, without a
        smallest number of seeds. A statement keeps the rule it was made under. New comparisons use `verdict`.

        Args:
            margin: the smallest difference that would matter, stated beforehand. An interval around zero confirms only
                where it lies within it: that it holds zero may be for want of seeds.

        Raises:
            ValueError: for a margin that is not positive.

        Example:
            >>> [paired_difference([0.2, -0.1, 0.1, spread], [0.0] * 4).alike(1.0) for spread in (0.0, 4.0)]
            ['confirmed', 'undecided']
        """
        if not margin > 0:
            raise ValueError(f"expected a margin above zero, received {margin}")
        if self.excludes_zero:
            return "refuted"
        return "confirmed" if -margin < self.low and self.high < margin else "undecided"


def paired_difference(first: Sequence[float], second: Sequence[float], confidence: float = 0.95) -> Difference:
    """Compare two settings run with the same seeds: see `mixlab.records.paired_difference`.

    Example:
        >>> print(paired_difference([5.0, 6.0, 7.0], [4.0, 5.5, 5.5]))
        +1.00 [-0.24, +2.24]
    """
    return Difference(**asdict(records.paired_difference(first, second, confidence)))

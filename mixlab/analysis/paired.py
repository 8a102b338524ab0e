"""Differences between settings that share their seeds, and what may be said about them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["MINIMUM_SEEDS", "Difference", "paired_difference"]

#: With fewer seeds no ordering is printed, whatever the numbers.
MINIMUM_SEEDS = 5


@dataclass(frozen=True)
class Difference:
    """A mean of paired differences with its interval.

    Args:
        mean: of the differences.
        low, high: ends of the interval that covers the true mean with the stated confidence if the differences are
            normal (Student's t); infinite for one seed.
        error: standard error of the mean; NaN for one seed.
        seeds: number of pairs.
    """

    mean: float
    low: float
    high: float
    error: float
    seeds: int

    @property
    def excludes_zero(self) -> bool:
        """Whether zero lies outside the interval."""
        return self.low > 0 or self.high < 0

    @property
    def ordered(self) -> bool:
        """Whether an ordering may be printed: at least five seeds, two standard errors, and an interval without zero.

        At five seeds a 95 % interval reaches 2.8 standard errors, so that two alone would order what it leaves open.
        """
        return self.seeds >= MINIMUM_SEEDS and abs(self.mean) > 2 * self.error and self.excludes_zero

    def alike(self, margin: float) -> str:
        """What it says of the prediction that nothing differs: "refuted", "confirmed" or "undecided".

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

    def __str__(self) -> str:
        if self.seeds == 1:
            return f"{self.mean:+.2f}, one seed"
        return f"{self.mean:+.2f} [{self.low:+.2f}, {self.high:+.2f}]"


def paired_difference(first: Sequence[float], second: Sequence[float], confidence: float = 0.95) -> Difference:
    """Compare two settings run with the same seeds: the mean of ``first - second`` and its interval.

    Seeds that fix initialisation and data order make results of one seed alike under both settings; the difference
    of a pair is freed of what they share.

    Args:
        first, second: results, paired by position.
        confidence: of the interval, between 0 and 1.

    Raises:
        ValueError: for no pair, lists of different length, or a confidence out of range.

    Example:
        >>> print(paired_difference([5.0, 6.0, 7.0], [4.0, 5.5, 5.5]))
        +1.00 [-0.24, +2.24]
    """
    from scipy.stats import t

    if len(first) != len(second) or not len(first):
        raise ValueError(f"expected pairs, received {len(first)} and {len(second)} results")
    if not 0 < confidence < 1:
        raise ValueError(f"expected a confidence between 0 and 1, received {confidence}")
    differences = [float(a) - float(b) for a, b in zip(first, second)]
    n = len(differences)
    mean = math.fsum(differences) / n
    if n == 1:
        return Difference(mean, -math.inf, math.inf, math.nan, 1)
    error = math.sqrt(math.fsum((d - mean) ** 2 for d in differences) / (n - 1) / n)
    reach = float(t.ppf((1 + confidence) / 2, n - 1)) * error
    return Difference(mean, mean - reach, mean + reach, error, n)

"""A difference between two settings over seeds, and the one rule for what may be said of it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

__all__ = ["MINIMUM_SEEDS", "Difference", "independent_difference", "paired_difference"]

#: With fewer seeds nothing is said in words, whatever the numbers.
MINIMUM_SEEDS = 5
#: Differences of results this much smaller than the results are rounding.
ROUNDING = 1e-12


@dataclass(frozen=True)
class Difference:
    """A mean difference with its interval. Paired or not, it follows one rule.

    The rule. *Lower* or *higher* is said if there are at least `MINIMUM_SEEDS` seeds and the p-value is below
    1 − `confidence`. For a comparison of its own this is the same as an interval without zero. For a comparison of a
    family the p-value is Holm's, see `mixlab.records.corrected`. *No effect above a margin* is said if there are at
    least as many seeds and the whole interval lies within the margin. Both can be true: a difference may be there and
    be too small to matter. Everything else is *undecided*.

    Args:
        mean: of the first setting minus the second.
        low, high: ends of the interval that covers the true mean with the stated confidence if the results are normal
            (Student's t); infinite where there are too few seeds to have a standard deviation. A family's correction
            leaves the interval as it is.
        sd: standard deviation of the difference of one run of the first setting and one of the second: that of the
            paired differences, or √(variance + variance) of independent ones; NaN where there are too few seeds.
        error: standard error of the mean; NaN where there are too few seeds.
        seeds: number of pairs; of independent results, the smaller of the two numbers.
        p: two-sided p-value of no difference; 1 where there are too few seeds.
        confidence: of the interval.
        adjusted: Holm's p-value within the family, None for a comparison of its own.
        comparisons: size of the family.

    Example:
        >>> lower = paired_difference([16.8, 16.6, 17.1, 16.9, 16.9], [17.1, 16.8, 17.4, 17.0, 17.2])
        >>> print(lower, lower.seeds, lower.verdict(), lower.verdict(margin=1), sep=" | ")
        -0.24 [-0.35, -0.13] | 5 | lower | no effect above 1; lower
        >>> print(f"{lower:.3f}")
        -0.240 [-0.351, -0.129]
    """

    mean: float
    low: float
    high: float
    sd: float
    error: float
    seeds: int
    p: float
    confidence: float = 0.95
    adjusted: float | None = None
    comparisons: int = 1

    @property
    def excludes_zero(self) -> bool:
        """Whether zero lies outside the interval."""
        return self.low > 0 or self.high < 0

    @property
    def ordered(self) -> bool:
        """Whether "lower" or "higher" may be said, see the rule above."""
        p = self.p if self.adjusted is None else self.adjusted
        return self.seeds >= MINIMUM_SEEDS and p < 1 - self.confidence

    @property
    def sign(self) -> str:
        """What may be said of the sign: "lower", "higher" or "undecided"."""
        if not self.ordered:
            return "undecided"
        return "lower" if self.mean < 0 else "higher"

    def within(self, margin: float) -> bool:
        """Whether "no effect above the margin" may be said, see the rule above.

        Args:
            margin: the smallest difference that would matter, in the unit of the results and stated beforehand.

        Raises:
            ValueError: for a margin that is not positive, or for a comparison that is one of a family: the family's
                correction is for signs, so a margin belongs to a primary comparison, which is one of its own.
        """
        if not margin > 0:
            raise ValueError(f"expected a margin above zero, received {margin}")
        if self.comparisons > 1:
            raise ValueError(f"expected a comparison of its own for a margin, received one of {self.comparisons}")
        return self.seeds >= MINIMUM_SEEDS and -margin < self.low and self.high < margin

    def verdict(self, margin: float | None = None) -> str:
        """What may be said, in words: "lower", "higher", "undecided", or with a margin "no effect above …".

        Where the interval lies within the margin and leaves zero out, both are said.

        Args:
            margin: see `within`; without one only the sign is asked for.

        Raises:
            ValueError: as `within`.

        Example:
            >>> runs = [0.2, -0.1, 0.1, -0.3, 0.0]
            >>> [paired_difference(runs, [0.0] * 5).verdict(margin) for margin in (1.0, 0.2)]
            ['no effect above 1', 'undecided']
        """
        if margin is None or not self.within(margin):
            return self.sign
        return f"no effect above {margin:g}" + (f"; {self.sign}" if self.ordered else "")

    def __format__(self, spec: str) -> str:
        """Mean and interval with signs; `spec` is that of one number, ".2f" by default."""
        mean, low, high = (format(number, "+" + (spec or ".2f")) for number in (self.mean, self.low, self.high))
        return f"{mean}, one seed" if self.seeds == 1 else f"{mean} [{low}, {high}]"

    def __str__(self) -> str:
        return format(self)


def paired_difference(first: Sequence[float], second: Sequence[float], confidence: float = 0.95) -> Difference:
    """Compare two settings run with the same seeds: the mean of ``first - second``, by the paired t-test.

    Seeds that fix initialisation and data order make the two results of a seed alike; their difference is freed of
    what they share.

    Args:
        first, second: results, paired by position.
        confidence: of the interval, between 0 and 1.

    Raises:
        ValueError: for no pair, lists of different length, a result that is not finite, or a confidence out of range.

    Example:
        >>> print(paired_difference([5.0, 6.0, 7.0], [4.0, 5.5, 5.5]))
        +1.00 [-0.24, +2.24]
    """
    from scipy.stats import ttest_rel

    if len(first) != len(second) or not len(first):
        raise ValueError(f"expected pairs, received {len(first)} and {len(second)} results")
    first, second = _checked(first, second, confidence)
    differences = first - second
    if len(differences) == 1:
        return _untested(float(differences[0]), 1, confidence)
    scale = float(max(np.abs(first).max(), np.abs(second).max()))
    if np.ptp(differences) <= ROUNDING * scale:
        return _certain(float(differences.mean()), scale, len(differences), confidence)
    test = ttest_rel(first, second)
    low, high = test.confidence_interval(confidence)
    sd = float(differences.std(ddof=1))
    error = sd / math.sqrt(len(differences))
    return Difference(float(differences.mean()), float(low), float(high), sd, error, len(differences),
                      float(test.pvalue), confidence)


def independent_difference(first: Sequence[float], second: Sequence[float], confidence: float = 0.95) -> Difference:
    """Compare two settings whose runs share no seeds: mean of `first` minus mean of `second`, by Welch's t-test.

    For runs with the same seeds use `paired_difference`: its interval is narrower wherever the pairs are alike.

    Args:
        first, second: results; the numbers of runs may differ.
        confidence: of the interval, between 0 and 1.

    Raises:
        ValueError: for an empty list, a result that is not finite, or a confidence out of range.

    Example:
        >>> print(independent_difference([5.0, 6.0, 7.0], [4.0, 5.5, 5.5]))
        +1.00 [-1.14, +3.14]
    """
    from scipy.stats import ttest_ind

    if not len(first) or not len(second):
        raise ValueError(f"expected results of both settings, received {len(first)} and {len(second)}")
    first, second = _checked(first, second, confidence)
    mean, seeds = float(first.mean() - second.mean()), min(len(first), len(second))
    if seeds == 1:
        return _untested(mean, 1, confidence)
    scale = float(max(np.abs(first).max(), np.abs(second).max()))
    if max(np.ptp(first), np.ptp(second)) <= ROUNDING * scale:
        return _certain(mean, scale, seeds, confidence)
    test = ttest_ind(first, second, equal_var=False)
    low, high = test.confidence_interval(confidence)
    variances = first.var(ddof=1), second.var(ddof=1)
    error = math.sqrt(variances[0] / len(first) + variances[1] / len(second))
    return Difference(mean, float(low), float(high), math.sqrt(sum(variances)), error, seeds, float(test.pvalue),
                      confidence)


def _checked(first: Sequence[float], second: Sequence[float], confidence: float) -> tuple[np.ndarray, np.ndarray]:
    first, second = np.asarray(first, dtype=float), np.asarray(second, dtype=float)
    if not (np.isfinite(first).all() and np.isfinite(second).all()):
        raise ValueError(f"expected finite results, received {first.tolist()} and {second.tolist()}")
    if not 0 < confidence < 1:
        raise ValueError(f"expected a confidence between 0 and 1, received {confidence}")
    return first, second


def _untested(mean: float, seeds: int, confidence: float) -> Difference:
    """Without a standard deviation nothing is known but the mean."""
    return Difference(mean, -math.inf, math.inf, math.nan, math.nan, seeds, 1.0, confidence)


def _certain(mean: float, scale: float, seeds: int, confidence: float) -> Difference:
    """Results of a size that do not vary: the interval is a point. SciPy divides by zero there."""
    mean = 0.0 if abs(mean) <= ROUNDING * scale else mean
    return Difference(mean, mean, mean, 0.0, 0.0, seeds, 1.0 if mean == 0 else 0.0, confidence)

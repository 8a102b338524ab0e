"""How many seeds a planned comparison needs."""

from __future__ import annotations

import math
from collections.abc import Callable

from mixlab.records.difference import MINIMUM_SEEDS

__all__ = ["half_width", "power_at", "seeds_for_power", "seeds_for_width"]

#: A plan that asks for more is refused: another setting is needed, not another run.
MOST_SEEDS = 1000


def half_width(sd: float, seeds: int, confidence: float = 0.95) -> float:
    """Half the width of the interval of a paired comparison: t · sd / √seeds.

    For "no effect above a margin" the whole interval must lie within it: plan for a half-width well below the margin.

    Args:
        sd: standard deviation of the paired differences, positive; a pilot's, or that of a similar comparison.
        seeds: number of pairs, at least 2.
        confidence: of the interval, between 0 and 1.

    Raises:
        ValueError: for a value out of range.

    Example:
        >>> [round(half_width(sd=0.6, seeds=n), 2) for n in (5, 10)]
        [0.74, 0.43]
    """
    from scipy.stats import t

    _check(sd, seeds, confidence, least=2)
    return float(t.ppf((1 + confidence) / 2, seeds - 1)) * sd / math.sqrt(seeds)


def power_at(effect: float, sd: float, seeds: int, confidence: float = 0.95) -> float:
    """The chance that a paired comparison says "lower" or "higher" where the true difference is `effect`.

    That is the two-sided paired t-test's power. Its statistic follows the noncentral t distribution with
    noncentrality effect · √seeds / sd. Its square follows noncentral F, which SciPy computes where its noncentral t
    is NaN.

    Args:
        effect: the true mean difference, of either sign; at 0 the answer is 1 − confidence.
        sd: standard deviation of the paired differences, positive.
        seeds: number of pairs, at least `MINIMUM_SEEDS`, since fewer order nothing.
        confidence: of the interval, between 0 and 1.

    Raises:
        ValueError: for a value out of range.

    Example:
        >>> [round(power_at(effect=0.5, sd=0.6, seeds=n), 2) for n in (5, 10)]
        [0.3, 0.65]
    """
    from scipy.stats import ncf, t

    _check(sd, seeds, confidence, least=MINIMUM_SEEDS)
    if not math.isfinite(effect):
        raise ValueError(f"expected a finite effect, received {effect}")
    critical, noncentrality = t.ppf((1 + confidence) / 2, seeds - 1), seeds * (effect / sd) ** 2
    if noncentrality < 1e-12:  # SciPy's noncentral F is wrong at 0.
        return 1 - confidence
    return float(ncf.sf(critical**2, 1, seeds - 1, noncentrality))


def seeds_for_power(effect: float, sd: float, power: float = 0.8, confidence: float = 0.95) -> int:
    """The fewest seeds with which `power_at` reaches the stated power.

    Args:
        effect: the true mean difference that is to be seen, not 0.
        sd: standard deviation of the paired differences, positive.
        power: between 0 and 1.
        confidence: of the interval, between 0 and 1.

    Raises:
        ValueError: for a value out of range, or if more than a thousand seeds are needed.

    Example:
        >>> seeds_for_power(effect=0.5, sd=0.6)
        14
    """
    if not 0 < power < 1:
        raise ValueError(f"expected a power between 0 and 1, received {power}")
    return _fewest(lambda seeds: power_at(effect, sd, seeds, confidence) >= power)


def seeds_for_width(width: float, sd: float, confidence: float = 0.95) -> int:
    """The fewest seeds with which `half_width` is at most `width`.

    Args:
        width: the half-width that is wanted, positive.
        sd: standard deviation of the paired differences, positive.
        confidence: of the interval, between 0 and 1.

    Returns:
        A number of at least `MINIMUM_SEEDS`.

    Raises:
        ValueError: for a value out of range, or if more than a thousand seeds are needed.

    Example:
        >>> seeds_for_width(0.5, sd=0.6)
        9
    """
    return _fewest(lambda seeds: half_width(sd, seeds, confidence) <= width)


def _fewest(enough: Callable[[int], bool]) -> int:
    for seeds in range(MINIMUM_SEEDS, MOST_SEEDS + 1):
        if enough(seeds):
            return seeds
    raise ValueError(f"expected a plan of at most {MOST_SEEDS} seeds, this one needs more")


def _check(sd: float, seeds: int, confidence: float, least: int) -> None:
    if not 0 < sd < math.inf:
        raise ValueError(f"expected a positive standard deviation, received {sd}")
    if seeds < least:
        raise ValueError(f"expected at least {least} seeds, received {seeds}")
    if not 0 < confidence < 1:
        raise ValueError(f"expected a confidence between 0 and 1, received {confidence}")

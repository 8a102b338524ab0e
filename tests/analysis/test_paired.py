"""The differences of chapters 1 to 3 are those of the records, with one reading of their own."""

import math
from dataclasses import asdict

import pytest
from scipy.stats import ttest_rel

from mixlab import records
from mixlab.analysis.paired import MINIMUM_SEEDS, paired_difference

FIRST, SECOND = [9.1, 8.7, 9.4, 9.0, 8.8], [9.3, 9.1, 9.5, 9.4, 9.2]


def test_interval_is_that_of_the_paired_t_test():
    difference = paired_difference(FIRST, SECOND)
    interval = ttest_rel(FIRST, SECOND).confidence_interval(0.95)
    assert (difference.low, difference.high) == pytest.approx((interval.low, interval.high))
    assert difference.mean == pytest.approx(sum(FIRST) / 5 - sum(SECOND) / 5)


def test_there_is_one_implementation():
    here, there = paired_difference(FIRST, SECOND, 0.9), records.paired_difference(FIRST, SECOND, 0.9)
    assert isinstance(here, records.Difference) and asdict(here) == asdict(there) and str(here) == str(there)
    assert MINIMUM_SEEDS == records.MINIMUM_SEEDS == 5


def test_turning_it_round_turns_the_sign():
    there, back = paired_difference(FIRST, SECOND), paired_difference(SECOND, FIRST)
    assert (there.low, there.high) == pytest.approx((-back.high, -back.low))


def test_an_ordering_needs_five_seeds_and_an_interval_without_zero():
    assert paired_difference(FIRST, SECOND).ordered
    assert not paired_difference(FIRST[:4], SECOND[:4]).ordered
    assert not paired_difference([1.0, -1.0, 1.0, -1.0, 0.5], [0.0] * 5).ordered
    # Two and a half standard errors away, and yet the interval holds zero: nothing may be ordered.
    between = paired_difference([2.0, 1.8, 0.1, 0.3, 0.8], [0.0] * 5)
    assert abs(between.mean) > 2 * between.error and not between.excludes_zero and not between.ordered


def test_one_seed_says_nothing():
    single = paired_difference([1.0], [0.0])
    assert (single.low, single.high) == (-math.inf, math.inf) and math.isnan(single.error)
    assert not single.ordered and not single.excludes_zero and str(single) == "+1.00, one seed"


@pytest.mark.parametrize("first, margin, said", [
    ([0.1, -0.1, 0.1, -0.1], 0.5, "confirmed"),
    ([0.1, -0.1, 0.1, -0.1], 0.1, "undecided"),  # the interval holds zero, and reaches beyond the margin
    ([1.0, 1.1, 0.9, 1.0], 5.0, "refuted"),  # off zero, though too little to matter
    ([-1.0, -1.1, -0.9, -1.0], 5.0, "refuted"),
    ([0.0], 5.0, "undecided"),  # one seed has no interval
])
def test_nothing_is_confirmed_for_want_of_seeds(first, margin, said):
    assert paired_difference(first, [0.0] * len(first)).alike(margin) == said


@pytest.mark.parametrize("margin", [0.0, -1.0, math.nan])
def test_a_margin_is_positive(margin):
    with pytest.raises(ValueError, match="margin"):
        paired_difference([1.0, 2.0], [0.0, 0.0]).alike(margin)


def test_what_was_stated_beforehand_keeps_its_rule():
    """The prediction of `same-number` was read on three seeds, where new comparisons say nothing."""
    three = paired_difference([0.8, 0.7, 0.9], [0.0] * 3)
    assert three.alike(1.0) == "refuted" and three.verdict(1.0) == "undecided"


@pytest.mark.parametrize("arguments, message", [
    (([], []), "expected pairs"), (([1.0], [1.0, 2.0]), "expected pairs"), (([1.0], [1.0], 1.0), "confidence"),
])
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        paired_difference(*arguments)

"""Differences against hand-computed numbers and SciPy, and the one rule for what may be said."""

import math
import warnings
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import ttest_ind, ttest_rel

from mixlab.records import MINIMUM_SEEDS, Difference, corrected, independent_difference, paired_difference

FIRST, SECOND = [9.1, 8.7, 9.4, 9.0, 8.8], [9.3, 9.1, 9.5, 9.4, 9.2]
WAYS = pytest.mark.parametrize("way", [paired_difference, independent_difference])
results = st.lists(st.floats(0, 100), min_size=5, max_size=8)


def made(low, high, seeds=10, p=None):
    """A difference with the interval that a test of the rule needs."""
    p = (0.01 if low > 0 or high < 0 else 0.5) if p is None else p
    return Difference((low + high) / 2, low, high, 1.0, 0.3, seeds, p)


def test_paired_by_hand():
    # Differences 2, 4, 6: mean 4, sd 2, error 2/sqrt(3); Student's t with two degrees of freedom reaches 4.302653 at
    # 97.5 %, and has 1 - t / sqrt(t * t + 2) in its two tails.
    found = paired_difference([3.0, 6.0, 9.0], [1.0, 2.0, 3.0])
    error = 2 / math.sqrt(3)
    assert (found.mean, found.sd, found.error, found.seeds) == pytest.approx((4, 2, error, 3))
    assert (found.low, found.high) == pytest.approx((4 - 4.302653 * error, 4 + 4.302653 * error), rel=1e-6)
    statistic = 4 / error
    assert found.p == pytest.approx(1 - statistic / math.sqrt(statistic**2 + 2))


def test_independent_by_hand():
    # Variances 1 and 4 of four and three runs: Welch's degrees of freedom by Satterthwaite's formula.
    found = independent_difference([4.0, 5.0, 6.0, 5.0], [1.0, 3.0, 5.0])
    variance = 2 / 3
    error = math.sqrt(variance / 4 + 4 / 3)
    freedom = error**4 / ((variance / 4) ** 2 / 3 + (4 / 3) ** 2 / 2)
    assert freedom == pytest.approx(2.5, abs=0.02)
    assert (found.mean, found.sd, found.error, found.seeds) == pytest.approx((2, math.sqrt(variance + 4), error, 3))
    assert found.high - found.mean == pytest.approx(found.mean - found.low)
    assert (found.high - found.mean) / error == pytest.approx(3.568, abs=0.01)  # t at 97.5 %, 2.5 degrees of freedom


@pytest.mark.parametrize("confidence", [0.5, 0.9, 0.95, 0.99])
def test_scipy_says_the_same(confidence):
    for found, test in (
        (paired_difference(FIRST, SECOND, confidence), ttest_rel(FIRST, SECOND)),
        (independent_difference(FIRST, SECOND[:4], confidence), ttest_ind(FIRST, SECOND[:4], equal_var=False)),
    ):
        interval = test.confidence_interval(confidence)
        assert (found.low, found.high, found.p) == pytest.approx((interval.low, interval.high, test.pvalue))
        assert found.mean / found.error == pytest.approx(test.statistic)
        assert found.confidence == confidence


def test_pairs_that_share_much_have_the_narrower_interval():
    shared = [3.0, 17.0, 8.0, 11.0, 25.0]
    first, second = ([a + b for a, b in zip(shared, part)] for part in (FIRST, SECOND))
    paired, independent = paired_difference(first, second), independent_difference(first, second)
    assert paired.mean == pytest.approx(independent.mean)
    assert paired.sd < 0.02 * independent.sd and paired.ordered and not independent.ordered


@WAYS
@given(st.data())
def test_exchanging_the_sides_turns_the_signs(way, data):
    first = data.draw(results)
    second = data.draw(st.lists(st.floats(0, 100), min_size=len(first), max_size=len(first)))
    there, back = way(first, second), way(second, first)
    assert there.mean == pytest.approx(-back.mean, abs=1e-9)
    assert (there.low, there.high) == pytest.approx((-back.high, -back.low), abs=1e-9)
    assert (there.sd, there.p) == pytest.approx((back.sd, back.p), abs=1e-9)
    # Results near zero that differ by rounding only are told apart by nobody.
    if min(there.p, 1 - there.p) > 1e-6:
        turned = {"lower": "higher", "higher": "lower", "undecided": "undecided"}
        assert there.sign == turned[back.sign]


@given(results, st.floats(-50, 50))
def test_what_a_seed_adds_to_both_sides_leaves_a_paired_difference_as_it_is(first, more):
    second = [value + noise for value, noise in zip(first, [0.3, -0.2, 0.5, 0.1, -0.4, 0.2, 0.6, -0.1])]
    plain = paired_difference(first, second)
    seeds = [more * place for place in range(len(first))]
    shifted = paired_difference([a + s for a, s in zip(first, seeds)], [b + s for b, s in zip(second, seeds)])
    assert (plain.mean, plain.low, plain.high) == pytest.approx((shifted.mean, shifted.low, shifted.high), abs=1e-9)


@WAYS
@given(results, st.floats(-50, 50))
def test_what_one_side_gains_the_difference_gains(way, first, more):
    second = [50.0, 51.0, 49.5, 50.2, 50.9, 48.7, 50.1, 51.3][: len(first)]
    plain, shifted = way(first, second), way([value + more for value in first], second)
    expected = (plain.mean + more, plain.low + more, plain.high + more, plain.sd)
    assert (shifted.mean, shifted.low, shifted.high, shifted.sd) == pytest.approx(expected, abs=1e-6)


@WAYS
@given(results)
def test_a_p_value_below_the_level_is_an_interval_without_zero(way, first):
    second = [50.0, 51.0, 49.5, 50.2, 50.9, 48.7, 50.1, 51.3][: len(first)]
    found = way(first, second)
    assert found.ordered == found.excludes_zero


@WAYS
@pytest.mark.parametrize("shift, p, said", [(0.0, 1.0, "undecided"), (-0.3, 0.0, "lower")])
def test_results_that_do_not_vary_have_a_point_for_an_interval(way, shift, p, said):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = way([0.7 + shift] * 5, [0.7] * 5)
    assert (found.low, found.mean, found.high, found.sd, found.p) == pytest.approx((shift, shift, shift, 0, p))
    assert found.sign == said


def test_pairs_that_differ_by_the_same_amount_up_to_rounding_are_no_warning():
    first = [16.1, 17.3, 15.9, 16.7, 18.2]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = paired_difference(first, [value + 0.1 for value in first])
    assert (found.mean, found.sd, found.p) == (pytest.approx(-0.1), 0, 0)


@WAYS
def test_one_seed_says_nothing(way):
    single = way([1.0], [0.0])
    assert (single.low, single.high, single.p) == (-math.inf, math.inf, 1) and math.isnan(single.sd)
    assert not single.excludes_zero and single.verdict(margin=10) == "undecided"
    assert str(single) == f"{single:.2f}" == "+1.00, one seed"


def test_one_run_on_one_side_says_nothing():
    found = independent_difference([1.0], [0.0, 0.1, 0.2])
    assert (found.seeds, found.low, found.p) == (1, -math.inf, 1)


@pytest.mark.parametrize("low, high, said", [
    (-0.5, 0.5, "no effect above 1"),
    (-0.5, -0.1, "no effect above 1; lower"),
    (0.1, 0.5, "no effect above 1; higher"),
    (-1.5, -0.1, "lower"),
    (0.1, 1.5, "higher"),
    (-1.5, 0.5, "undecided"),
    (-0.5, 1.0, "undecided"),  # the end of the interval is the margin
    (-1.0, 0.5, "undecided"),
    (1.2, 1.5, "higher"),
])
def test_the_rule(low, high, said):
    assert made(low, high).verdict(margin=1) == said
    assert made(low, high).verdict() == said.removeprefix("no effect above 1").removeprefix("; ") or "undecided"


@pytest.mark.parametrize("low, high", [(-0.5, 0.5), (-0.5, -0.1), (0.1, 1.5)])
def test_nothing_is_said_below_five_seeds(low, high):
    assert MINIMUM_SEEDS == 5
    assert made(low, high, seeds=4).verdict(margin=1) == made(low, high, seeds=4).verdict() == "undecided"
    assert made(low, high, seeds=5).verdict(margin=1) != "undecided"


def test_the_smaller_number_of_independent_runs_counts():
    assert not independent_difference(FIRST * 3, [90.0, 91.0, 89.0, 90.5]).ordered
    assert independent_difference(FIRST * 3, [90.0, 91.0, 89.0, 90.5, 90.1]).ordered


def test_a_family_decides_by_its_own_p_value():
    alone = made(0.1, 1.5, p=0.02)
    assert alone.ordered and not replace(alone, adjusted=0.06, comparisons=3).ordered
    assert replace(alone, adjusted=0.04, comparisons=3).sign == "higher"


def test_a_margin_belongs_to_a_comparison_of_its_own():
    alone = paired_difference(FIRST, SECOND)
    assert corrected({"one": alone})["one"].verdict(margin=1) == alone.verdict(margin=1)
    one = corrected({"one": alone, "other": alone})["one"]
    assert one.verdict() == "lower"
    with pytest.raises(ValueError, match="expected a comparison of its own for a margin, received one of 2"):
        one.verdict(margin=1)


@pytest.mark.parametrize("margin", [0.0, -1.0, math.nan])
def test_a_margin_is_positive(margin):
    with pytest.raises(ValueError, match="expected a margin above zero"):
        paired_difference(FIRST, SECOND).verdict(margin)


def test_digits():
    found = paired_difference([5.0, 6.0, 7.0], [4.0, 5.5, 5.5])
    assert str(found) == "+1.00 [-0.24, +2.24]" and f"{found:.1f}" == "+1.0 [-0.2, +2.2]"


@WAYS
@pytest.mark.parametrize("arguments, message", [
    (([], []), "expected"),
    (([1.0, math.nan], [1.0, 2.0]), "expected finite results"),
    (([1.0, 2.0], [math.inf, 2.0]), "expected finite results"),
    (([1.0], [1.0], 1.0), "expected a confidence between 0 and 1"),
    (([1.0], [1.0], 0.0), "expected a confidence between 0 and 1"),
])
def test_bad_arguments(way, arguments, message):
    with pytest.raises(ValueError, match=message):
        way(*arguments)


def test_pairs_have_two_sides():
    with pytest.raises(ValueError, match="expected pairs, received 1 and 2 results"):
        paired_difference([1.0], [1.0, 2.0])


def test_differences_that_are_rounding_are_no_differences():
    first, second = [0.1 + 0.2] * 5, [0.3] * 5
    for compare in (paired_difference, independent_difference):
        found = compare(first, second)
        assert (found.mean, found.p, found.verdict()) == (0.0, 1.0, "undecided")

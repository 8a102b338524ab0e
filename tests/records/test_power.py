"""Planned sizes: the interval's half-width, and power against simulation and closed forms."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import nct, norm, t

from mixlab.records import half_width, paired_difference, power_at, seeds_for_power, seeds_for_width


def test_half_widths_of_the_design():
    assert half_width(0.6, 5) == pytest.approx(0.745, abs=5e-4)
    assert half_width(0.6, 10) == pytest.approx(0.429, abs=5e-4)
    assert half_width(0.2, 10) == pytest.approx(0.143, abs=5e-4)


def test_half_width_is_that_of_a_difference_with_the_planned_deviation():
    found = paired_difference([16.1, 15.7, 16.9, 16.2, 15.5, 16.6], [17.0, 16.9, 17.4, 16.5, 17.2, 17.1])
    assert half_width(found.sd, 6) == pytest.approx((found.high - found.low) / 2)
    ninety = paired_difference([1.0, 2.0, 4.0], [0.0] * 3, confidence=0.9)
    assert half_width(ninety.sd, 3, confidence=0.9) == pytest.approx((ninety.high - ninety.low) / 2)


@pytest.mark.parametrize("effect, seeds", [(0.5, 5), (0.5, 10), (-1.0, 5), (1.0, 20), (0.1, 7)])
def test_power_is_that_of_the_noncentral_t(effect, seeds):
    shift, critical = effect * math.sqrt(seeds) / 0.6, t.ppf(0.975, seeds - 1)
    expected = nct.sf(critical, seeds - 1, shift) + nct.cdf(-critical, seeds - 1, shift)
    assert power_at(effect, 0.6, seeds) == pytest.approx(expected, rel=1e-9)


def test_no_effect_is_seen_as_often_as_the_level_says():
    assert power_at(0.0, 0.6, 8) == pytest.approx(0.05)
    assert power_at(0.0, 0.6, 8, confidence=0.9) == pytest.approx(0.1)
    assert power_at(1e-200, 0.6, 8) == pytest.approx(power_at(1e-5, 0.6, 8), abs=1e-6) == pytest.approx(0.05, abs=1e-6)


def test_power_of_many_seeds_is_that_of_the_normal():
    # Three standard errors from zero; with 1000 seeds Student's t is nearly normal.
    effect = 3 / math.sqrt(1000)
    assert power_at(effect, 1.0, 1000) == pytest.approx(norm.sf(1.96 - 3) + norm.cdf(-1.96 - 3), abs=2e-3)


@pytest.mark.parametrize("effect, seeds", [(0.5, 5), (0.5, 10)])
def test_power_is_how_often_simulated_comparisons_are_ordered(effect, seeds):
    draws = np.random.default_rng(0).normal(effect, 0.6, (2000, seeds))
    ordered = [paired_difference(row.tolist(), [0.0] * seeds).ordered for row in draws]
    # One standard deviation of a proportion of 2000 is at most .011.
    assert np.mean(ordered) == pytest.approx(power_at(effect, 0.6, seeds), abs=0.05)


def test_large_effects_are_always_seen():
    # SciPy's noncentral t gives NaN at the first of these.
    assert power_at(10.0, 1.0, 10) == power_at(1e4, 1.0, 5) == pytest.approx(1)


@given(st.floats(0.05, 2), st.floats(0.1, 2), st.integers(5, 60))
def test_power_grows_with_effect_and_seeds_and_knows_no_sign(effect, sd, seeds):
    power = power_at(effect, sd, seeds)
    assert 0.05 - 1e-9 <= power <= 1
    assert power_at(-effect, sd, seeds) == power
    assert power_at(1.1 * effect, sd, seeds) >= power - 1e-9
    assert power_at(effect, sd, seeds + 1) >= power - 1e-9
    assert power_at(3 * effect, 3 * sd, seeds) == pytest.approx(power)


@pytest.mark.parametrize("effect, sd, power", [(0.5, 0.6, 0.8), (0.5, 0.6, 0.95), (1.0, 0.6, 0.8), (0.2, 0.6, 0.5)])
def test_the_fewest_seeds_for_a_power(effect, sd, power):
    seeds = seeds_for_power(effect, sd, power)
    assert power_at(effect, sd, seeds) >= power > power_at(effect, sd, seeds - 1)


def test_the_fewest_seeds_for_a_width():
    for width in (0.2, 0.43, 0.5):
        seeds = seeds_for_width(width, 0.6)
        assert half_width(0.6, seeds) <= width < half_width(0.6, seeds - 1)


def test_a_plan_has_five_seeds_at_least_and_a_thousand_at_most():
    assert seeds_for_power(100.0, 0.6) == seeds_for_width(100.0, 0.6) == 5
    for plan in (lambda: seeds_for_power(1e-3, 0.6), lambda: seeds_for_width(1e-3, 0.6)):
        with pytest.raises(ValueError, match="at most 1000 seeds"):
            plan()


@pytest.mark.parametrize("call, message", [
    (lambda: half_width(0.0, 5), "positive standard deviation"),
    (lambda: half_width(math.nan, 5), "positive standard deviation"),
    (lambda: half_width(0.6, 1), "at least 2 seeds, received 1"),
    (lambda: half_width(0.6, 5, confidence=1), "confidence between 0 and 1"),
    (lambda: power_at(1.0, 0.6, 4), "at least 5 seeds, received 4"),
    (lambda: power_at(1.0, -0.6, 5), "positive standard deviation"),
    (lambda: power_at(math.nan, 0.6, 5), "expected a finite effect, received nan"),
    (lambda: seeds_for_power(1.0, 0.6, power=1.0), "power between 0 and 1"),
])
def test_bad_arguments(call, message):
    with pytest.raises(ValueError, match=message):
        call()

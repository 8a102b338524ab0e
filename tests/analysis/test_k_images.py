"""The grid's records read as tables, differences and a verdict: made-up records with known answers."""

import pandas
import pytest

from mixlab.analysis.k_images import (
    against_two,
    against_unmixed,
    errors_by_k,
    family,
    many_against_two,
    middle,
    nested_against_pasted,
    panels,
    spread,
    table_by_k,
    unmixed,
    verdict,
)
from mixlab.reproduce import get


def record(row, seed, error, mixer=None, k=None, alpha=None, kind="vicinal"):
    risk = {"name": "empirical"} if mixer is None else {"name": kind, "mixer": {"name": mixer, "k": k, "alpha": alpha}}
    return {"row": row, "seed": seed, "test_error": error, "risk": risk}


def records(errors, seeds):
    rows = [record("ERM", s, 10.0 + s) for s in range(seeds)]
    for k, offset in errors.items():
        rows += [record(f"DCutMix K={k}", s, 9.0 + s + offset + 0.01 * s * k, "dcutmix", k, 1.0) for s in range(seeds)]
    return pandas.DataFrame(rows)


def test_differences_pair_seeds():
    frame = records({2: 0.0, 3: -0.5, 9: 1.0}, 3)
    differences = against_two(errors_by_k(frame))
    assert set(differences) == {("nested, α = 1", 3), ("nested, α = 1", 9)}
    # The spread over seeds (one point) is shared and drops out; what is left is 0.01 times the seed.
    assert differences["nested, α = 1", 3].mean == pytest.approx(-0.49)
    assert differences["nested, α = 1", 3].error < 0.01
    assert differences["nested, α = 1", 9].low > 0


def test_only_common_seeds_are_compared():
    frame = records({2: 0.0, 3: -0.5}, 3)
    frame = frame[~((frame.row == "DCutMix K=2") & (frame.seed == 0))]
    assert against_two(errors_by_k(frame))["nested, α = 1", 3].seeds == 2


def test_all_larger_k_are_compared_as_one():
    errors = errors_by_k(records({2: 0.0, 3: -0.5, 9: 1.0}, 3))
    difference = many_against_two(errors)["nested, α = 1"]
    # Seed s adds 0.01 s K to the error at K: 0.06 s to the mean over 3 and 9, 0.02 s at 2.
    assert (difference.mean, difference.seeds) == (pytest.approx(0.25 + 0.04), 3)
    del errors["nested, α = 1"][9][1]
    assert many_against_two(errors)["nested, α = 1"].mean == pytest.approx(0.25 + 0.04) and (
        many_against_two(errors)["nested, α = 1"].seeds == 2
    )
    for k in (2, 3):
        assert many_against_two({"nested, α = 1": {k: {0: 9.0}}}) == {}


def test_every_setting_is_compared_with_none():
    frame = records({2: 0.0, 3: -0.5}, 3)
    found = against_unmixed(frame)
    # Without mixing seed s has 10 + s, at K = 2 it has 9 + 1.02 s.
    assert [(kind, round(each.mean, 6), each.seeds) for kind, each in found.items()] == [
        (("nested, α = 1", 2), -0.98, 3), (("nested, α = 1", 3), -1.47, 3),
    ]
    assert against_unmixed(frame[frame.row != "ERM"]) == {} == against_unmixed(pandas.DataFrame())


def test_compositions_are_compared_at_the_same_k_and_concentration():
    found = nested_against_pasted({
        "nested, α = 1": {2: {0: 9.0, 1: 9.5}, 9: {0: 9.0}}, "pasted, α = 1": {2: {0: 8.0, 1: 8.6}},
        "nested, α = 1/K": {2: {0: 7.0}}, "Input Mixup, α = 1": {2: {0: 7.0}},
    })
    assert list(found) == [("α = 1", 2)]
    assert (found["α = 1", 2].mean, found["α = 1", 2].seeds) == (pytest.approx(0.95), 2)


def test_verdict_counts_sides_and_orders_only_with_five_seeds():
    three, five = (verdict(against_two(errors_by_k(records({2: 0.0, 3: -0.5, 9: 1.0}, n)))) for n in (3, 5))
    counted = "2 comparisons: 1 interval below zero, 1 above, 0 around it.\nBy chance alone 0.1 would leave it out.\n"
    assert three == counted + "3 seeds are too few to order anything."
    assert five == counted + "With 5 seeds or more: 1 lower, 1 higher, 0 undecided."


def test_one_seed_says_nothing_and_silences_nobody():
    five = against_two(errors_by_k(records({2: 0.0, 3: -0.5}, 5)))
    one = against_two(errors_by_k(records({2: 0.0, 9: 1.0}, 1)))
    assert verdict(one) == "1 comparison of one seed: no interval, nothing can be told."
    assert verdict(five | one) == "\n".join([
        "1 comparison: 1 interval below zero, 0 above, 0 around it.",
        "By chance alone 0.1 would leave it out.",
        "1 comparison of one seed: no interval, nothing can be told.",
        "With 5 seeds or more: 1 lower, 0 higher, 0 undecided.",
    ])


def test_no_records_no_verdict():
    empty = pandas.DataFrame()
    assert errors_by_k(empty) == {}
    assert verdict({}) == "No comparison is on record: nothing can be said."


def test_the_grid_of_the_chapter_has_a_k_2_for_every_family():
    found = {}
    for run in get("k-image").runs:
        if (kind := family(run.risk)) is not None:
            found.setdefault(kind[0], set()).add(kind[1])
    regional, linear = {2, 3, 5, 9}, {2, 3, 4}
    # At K = 2 the two concentrations are 1 and 1/2, so both families hold it.
    assert found == {"nested, α = 1": regional, "nested, α = 1/K": regional, "pasted, α = 1": regional,
                     "pasted, α = 1/K": regional, "Input Mixup, α = 1": linear, "Manifold Mixup, α = 1": linear}


def test_table_by_k_shows_what_is_there():
    table = table_by_k({"nested": {2: {0: 1.0, 1: 3.0}, 5: {0: 4.0}}, "linear": {2: {0: 2.0}}})
    assert table.loc[2].tolist() == ["2.00 ± 1.41 (2)", "2.00 (1)"]
    assert table.loc[5].tolist() == ["4.00 (1)", ""]
    assert table_by_k({}).empty


def test_figures_get_every_seed():
    frame = records({2: 0.0, 3: -0.5}, 2)
    assert panels(errors_by_k(frame)) == {
        "nested boxes": {"α = 1": {2: [9.0, pytest.approx(10.02)], 3: [8.5, pytest.approx(9.53)]}},
        "pasted boxes": {}, "blends": {},
    }
    assert unmixed(frame) == [10.0, 11.0] and middle(unmixed(frame)) == 10.5
    assert unmixed(pandas.DataFrame()) == [] and spread([]) == "–" and middle([]) != middle([])

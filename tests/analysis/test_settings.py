"""Records as settings."""

import math

import pandas
import pytest

from mixlab.analysis.settings import (
    against,
    against_none,
    by_seed,
    by_width,
    changes,
    chosen_strengths,
    compare,
    sentences,
    strength_table,
)


def record(row, seed, error, width=4, alpha=1.0):
    risk = {"name": "vicinal", "mixer": {"name": "mixup", "alpha": alpha}}
    return {"row": row, "seed": seed, "test_error": error, "width": width, "risk": risk}


FRAME = pandas.DataFrame([
    record("a", 0, 9.0), record("b", 0, 7.0, alpha=0.0), record("a", 1, 8.0), record("b", 2, 1.0),
])


def test_numbers_are_kept_by_row_and_seed():
    assert by_seed(FRAME) == {"a": {0: 9.0, 1: 8.0}, "b": {0: 7.0, 2: 1.0}}


def test_an_empty_experiment_has_no_settings():
    assert by_seed(pandas.DataFrame()) == {} and by_width(pandas.DataFrame(), "test_error") == {}
    assert against({}, "a") == {}


def test_only_common_seeds_are_compared():
    found = against(by_seed(FRAME), "a")["b"]
    assert (found.mean, found.seeds) == (-2.0, 1)


@pytest.mark.parametrize(
    ("numbers", "end"),
    [
        ([1.0, 1.1, 0.9], "3 seeds"),
        ([1.0, 1.1, 0.9, 1.0, 1.0], "5 seeds: lower"),
        ([9.0, 9.1, 8.9, 9.0, 9.0], "5 seeds: higher"),
        ([4.0, 6.0, 5.0, 4.0, 6.0], "5 seeds"),
    ],
)
def test_an_order_is_put_in_words_from_five_seeds_on(numbers, end):
    values = {"x": dict.fromkeys(range(len(numbers)), 5.0), "y": dict(enumerate(numbers))}
    (line,) = sentences(against(values, "x"), "x")
    assert line.startswith("y minus x: ") and line.endswith(end)


def test_one_seed_is_called_one_seed():
    (line,) = sentences(against({"x": {0: 5.0}, "y": {0: 1.0}}, "x"), "x")
    assert line == "y minus x: -4.00, one seed"


def test_the_choice_is_the_lowest_mean():
    table = {8: {0.0: [5.0, 6.0], 1.0: [4.0]}, 4: {0.0: [5.0], 1.0: [5.0]}}
    assert chosen_strengths(table) == {4: 0.0, 8: 1.0}


def test_the_grid_is_by_width_and_strength():
    assert by_width(FRAME, "test_error") == {4: {1.0: [9.0, 8.0, 1.0], 0.0: [7.0]}}


def test_a_comparison_counts_what_is_missing_and_walks_the_steps():
    rows = [record(row, seed, error) for seed in range(3) for row, error in (("a", 9.0), ("b", 7.0 + seed / 99))]
    frame = pandas.DataFrame(rows)
    frame.attrs["missing"] = ["x"]
    found = compare(frame, "a")
    assert str(found).splitlines()[0] == "runs without a record yet: 1"
    assert found.steps() == "b minus a: -1.99 [-2.01, -1.96], 3 seeds"
    assert math.isclose(found.intervals["b"][0], -2 + 1 / 99)
    assert found.pair("b") == (found.values["a"], found.values["b"]) and found.pair("z")[1] == {}


def test_a_comparison_of_nothing_says_so():
    assert str(compare(pandas.DataFrame(), "a")) == "runs without a record yet: 0"
    assert compare(pandas.DataFrame(), "a").steps() == ""


def test_the_table_of_strengths_keeps_the_choice_apart_from_the_strongest():
    errors = {0.0: 9.0, 1.0: 7.0, 8.0: 8.0}
    rows = [record("r", 0, error, alpha=alpha) | {"train_loss": 1.0} for alpha, error in errors.items()]
    frame = pandas.DataFrame(rows)
    table = strength_table(frame, {4: 1.0})
    assert dict(zip(table["strength"], table["test error, %"])) == {"none": 9.0, "strongest": 8.0, "chosen": 7.0}
    assert strength_table(frame, {4: 0.0})["strength"].tolist() == ["chosen", "strongest"]


def test_every_strength_is_paired_with_no_mixing_at_its_width():
    rows = [("x", seed, 9.0 + seed + 0.5 * alpha, width, alpha) for width in (8, 4) for alpha in (1.0, 0.0)
            for seed in range(3)]
    found = against_none(pandas.DataFrame([record(*row) for row in rows]))
    assert list(found) == ["width 4, α = 1", "width 8, α = 1"]
    assert all((each.mean, each.low, each.seeds) == (0.5, 0.5, 3) for each in found.values())
    assert against_none(pandas.DataFrame()) == {}


def test_widths_come_in_order():
    frame = pandas.DataFrame([record("a", 0, 1.0, width=8), record("a", 0, 1.0, width=2)])
    assert list(by_width(frame, "test_error")) == [2, 8]


def test_changes_use_common_seeds_and_admit_when_there_are_none():
    table = changes({"x": ({0: 4.0, 1: 6.0}, {1: 3.0}), "y": ({0: 1.0}, {})})
    assert table.loc["x", "change, %"] == -50 and table.loc["x", "seeds"] == 1
    assert table["difference"].tolist() == ["-3.00, one seed", "–"]
    assert table.loc["y", "seeds"] == 0 and math.isnan(table.loc["y", "after"])


def test_printed_numbers_have_no_seeds():
    table = changes({"paper": (25.6, 21.1), "here": ({0: 4.0}, {0: 3.0})})
    assert table["seeds"].tolist() == ["–", 1] and table["difference"].tolist() == ["-4.50", "-1.00, one seed"]
    assert table["change, %"].tolist() == pytest.approx([100 * (21.1 / 25.6 - 1), -25.0])


def test_the_reference_may_be_a_row_of_another_experiment():
    found = compare(FRAME, "none", {0: 10.0, 1: 9.0})
    assert list(found.values) == ["none", "a", "b"] and found.differences["a"].mean == -1.0

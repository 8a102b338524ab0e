"""Records as settings."""

import pandas
import pytest

from mixlab.analysis.settings import against, by_seed, by_width, chosen_strengths, sentences


def record(row, seed, error, width=4, alpha=1.0):
    risk = {"name": "vicinal", "mixer": {"name": "mixup", "alpha": alpha}}
    return {"row": row, "seed": seed, "test_error": error, "width": width, "risk": risk}


FRAME = pandas.DataFrame([record("a", 0, 9.0), record("b", 0, 7.0, alpha=0.0), record("a", 1, 8.0), record("b", 2, 1.0)])


def test_numbers_are_kept_by_row_and_seed():
    assert by_seed(FRAME) == {"a": {0: 9.0, 1: 8.0}, "b": {0: 7.0, 2: 1.0}}


def test_an_empty_experiment_has_no_settings():
    assert by_seed(pandas.DataFrame()) == {} and by_width(pandas.DataFrame(), "test_error") == {}
    assert against({}, "a") == {}


def test_only_common_seeds_are_compared():
    found = against(by_seed(FRAME), "a")["b"]
    assert (found.mean, found.seeds) == (-2.0, 1)


@pytest.mark.parametrize(
    ("numbers", "word"),
    [([1.0, 1.1, 0.9], "lower"), ([9.0, 9.1, 8.9], "higher"), ([4.0, 6.0, 5.0], "not told apart")],
)
def test_the_sentence_follows_the_interval(numbers, word):
    values = {"x": dict(enumerate([5.0, 5.0, 5.0])), "y": dict(enumerate(numbers))}
    (line,) = sentences(against(values, "x"), "x")
    assert word in line and line.startswith("y: 3 seeds")


def test_one_seed_says_nothing():
    (line,) = sentences(against({"x": {0: 5.0}, "y": {0: 1.0}}, "x"), "x")
    assert "1 seed, not told apart" in line


def test_the_choice_is_the_lowest_mean():
    table = {8: {0.0: [5.0, 6.0], 1.0: [4.0]}, 4: {0.0: [5.0], 1.0: [5.0]}}
    assert chosen_strengths(table) == {4: 0.0, 8: 1.0}


def test_the_grid_is_by_width_and_strength():
    assert by_width(FRAME, "test_error") == {4: {1.0: [9.0, 8.0, 1.0], 0.0: [7.0]}}

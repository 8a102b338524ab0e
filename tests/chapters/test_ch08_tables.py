"""What chapter 8 says of its records: against differences, means and corrections that are worked out here."""

import re

import pandas
import pytest

from mixlab.chapters.ch08_selection import tables
from mixlab.chapters.ch08_selection.experiments import selection as plan
from mixlab.records import holm, paired_difference
from mixlab.reproduce import get, load

ERRORS = {"high CV": 20.0, "random": 17.0, "easy": 21.0, "hard": 30.0, "standard deviation": 18.0, "low CV": 19.0,
          "quantiles of the loss": 17.1, "in proportion to CV": 17.0}
WOBBLE = (0.3, -0.2, 0.1, -0.4, 0.2, 0.5, -0.1, 0.0, 0.25, -0.3)
OTHERS = ("hard", "standard deviation", "low CV", "quantiles of the loss", "in proportion to CV")


def error(row, seed, setting):
    """Errors that differ by the policy's own number, and by a little that depends on both."""
    name, *plain = row.split(", ")
    own = sorted(ERRORS).index(name) + 1
    return ERRORS[name] + 2 * bool(plain) + (50 if setting == "colour" else 0) + WOBBLE[(own * seed) % 10]


def record(run):
    setting = run.name.partition("-")[0]
    return {
        "run": run.name, "row": run.row, "seed": run.seed, "test_error": error(run.row, run.seed, setting),
        "test_loss": 0.5, "scaled_loss": 0.4, "test_ece": 3.0, "scaled_ece": 2.0, "half_time_train_error": 4.0,
        "train_error": 1.0 + run.seed % 2, "seconds": 20.0 if setting == "grey" else 25.0, "scorer_error": 12.0,
        "scorer_seconds": 45.0 + run.seed % 2, "score_seconds": 195.0 - run.seed % 2, "chosen_cv": 0.25,
        "all_cv": 0.2, "chosen_loss": 1.5, "all_loss": 1.75,
        "overlap": 100.0 if run.row == "random" else 9.0 + 2 * (run.seed % 2),
    }


def frame_of(runs, missing=()):
    frame = pandas.DataFrame([record(run) for run in runs])
    frame.attrs["missing"] = list(missing)
    return frame


@pytest.fixture(scope="module")
def runs():
    return get("selection").runs


@pytest.fixture(scope="module")
def whole(runs):
    return frame_of(runs)


@pytest.fixture(scope="module")
def started(runs):
    """As it is when the first seeds of the primary rows are there, on grey alone."""
    done = [run for run in runs if run.name.startswith("grey") and run.row in ("high CV", "random") and run.seed < 4]
    names = {run.name for run in done}
    return frame_of(done, [run.name for run in runs if run.name not in names])


@pytest.fixture(scope="module")
def nothing(runs):
    return frame_of([], [run.name for run in runs])


def expected(first, second, seeds, setting="grey"):
    return paired_difference(*([error(row, seed, setting) for seed in seeds] for row in (first, second)))


def same(found, worked_out):
    return (found.mean, found.low, found.high, found.seeds) == pytest.approx(
        (worked_out.mean, worked_out.low, worked_out.high, worked_out.seeds))


@pytest.mark.parametrize("setting", plan.SETTINGS)
def test_the_primary_comparisons_are_paired_over_ten_seeds_and_corrected_for_nothing(whole, setting):
    found = tables.primary(whole, setting)
    assert list(found) == ["random", "easy"]
    for row, each in found.items():
        assert same(each, expected("high CV", row, range(1, 11), setting)) and each.seeds == 10
        assert each.comparisons == 1
    assert found["random"].mean > 2 and found["easy"].mean < 0


def test_sentences_name_setting_and_both_rows_with_the_margin_of_a_point(whole, started, nothing):
    said = tables.sentences(whole)
    assert [re.match(r"\w+: high CV minus \w+", line)[0] for line in said] == [
        f"{name}: high CV minus {row}" for name in ("grey", "colour") for row in ("random", "easy")]
    assert said[0].endswith("10 seeds: higher") and tables.MARGIN == 1
    within = frame_of(get("selection").runs)
    within["test_error"] = 17.0 + within["seed"] * 0.1 + (within["row"] == "high CV") * 0.01 * (within["seed"] % 2)
    assert "no effect above 1" in tables.sentences(within)[0]
    assert [line.endswith("not on record") for line in tables.sentences(started)] == [False, True, True, True]
    assert "3 seeds: undecided" in tables.sentences(started)[0]
    assert all(line.endswith("not on record") for line in tables.sentences(nothing))


def test_the_other_policies_minus_random_are_one_family_of_five_by_holm(whole):
    found = tables.secondary(whole, "grey")
    worked_out = {row: expected(row, "random", range(6, 11)) for row in OTHERS}
    assert list(found) == list(OTHERS) and all(same(found[row], worked_out[row]) for row in OTHERS)
    assert [each.adjusted for each in found.values()] == pytest.approx(holm([each.p for each in worked_out.values()]))
    assert found["hard"].verdict() == "higher" and found["in proportion to CV"].verdict() == "undecided"


def test_high_cv_without_mixing_is_a_family_of_two(whole, started):
    found = tables.without_mixing(whole, "colour")
    titles = ["random, without mixing", "easy, without mixing"]
    worked_out = [expected("high CV, without mixing", row, range(6, 11), "colour") for row in titles]
    assert list(found) == titles
    assert [each.adjusted for each in found.values()] == pytest.approx(holm([each.p for each in worked_out]))
    assert all(same(each, other) for each, other in zip(found.values(), worked_out, strict=True))
    assert tables.without_mixing(started, "grey") == {}


def test_the_forest_has_the_primary_comparisons_first_and_leaves_out_what_is_not_there(whole, started, nothing):
    found = tables.lines(whole)
    assert list(found) == ["grey, 10 classes", "colour, 20 classes"]
    for rows in found.values():
        assert [name.endswith("(primary)") for name in rows] == [True, True] + 7 * [False]
    assert same(found["grey, 10 classes"]["hard minus random"], expected("hard", "random", range(6, 11)))
    assert [list(rows) for rows in tables.lines(started).values()] == [["high CV minus random (primary)"], []]
    assert [list(rows) for rows in tables.lines(nothing).values()] == [[], []]


def test_the_summary_has_means_and_deviations_of_every_row(whole, started):
    shown = tables.summary(whole, "grey")
    assert list(shown.index[:8]) == list(ERRORS) and len(shown) == 11
    numbers = pandas.Series([error("easy", seed, "grey") for seed in range(1, 11)])
    assert shown.loc["easy", "error, %"].replace("\xa0", " ") == f"{numbers.mean():.2f} ± {numbers.std():.2f}"
    assert shown.loc["easy", "seeds"] == "10" and shown.loc["hard", "seeds"] == "5"
    assert shown.loc["easy", "at the end"] == "1.5"  # the training error, which is odd and even alike
    incomplete = tables.summary(started, "grey")
    assert incomplete.loc["random", "seeds"] == "3" and set(incomplete.loc["hard"]) == {"–"}
    assert set(tables.summary(started, "colour").to_numpy().ravel()) == {"–"}


def test_what_was_chosen_is_a_mean_over_seeds_beside_that_of_all_images(whole, started):
    shown = tables.chosen(whole)
    assert list(shown.index) == [*ERRORS, "all images"]
    assert shown.loc["high CV"].tolist() == 2 * ["0.250", "1.500", "10.0"]
    assert shown.loc["all images"].tolist() == 2 * ["0.200", "1.750", "–"]
    assert shown.loc["random", "grey: also random, %"] == "100.0"
    assert shown.loc["hard", "grey: also random, %"] == "9.8"  # seeds 6 to 10: two odd ones
    assert set(tables.chosen(started).loc["easy"]) == {"–"}


def test_the_cost_is_told_in_trainings_and_in_epochs_over_all_images(whole, started, nothing):
    """45.5 + 194.5 s are 12 times 20 s and 9.6 times 25 s; six times as many epochs as the scorer's take 273 s."""
    grey, colour = tables.cost(whole)
    assert "(error 12.0 %)" in grey
    assert "a training on a tenth 20 s: choosing takes 12.0 trainings" in grey
    assert "choosing takes 9.6 trainings" in colour and "60 epochs over all images would take 273 s" in grey
    assert list(tables.cost(started))[1] == "colour: not on record"
    assert list(tables.cost(nothing)) == ["grey: not on record", "colour: not on record"]


def test_what_the_paper_says_stands_beside_ours(whole, nothing):
    shown = tables.paper_and_ours(whole)
    assert shown.loc["high CV minus random", "paper, CIFAR-100"] == "-5.79 at t = .05"
    assert shown.loc["high CV minus random", "here, t = .1, grey"] == str(expected("high CV", "random", range(1, 11)))
    assert shown.loc["easy minus random", "here, t = .1, colour"] == str(
        expected("easy", "random", range(1, 11), "colour"))
    assert shown.loc["standard deviation minus random", "here, t = .1, grey"] == str(
        expected("standard deviation", "random", range(6, 11)))
    assert set(tables.paper_and_ours(nothing).iloc[:, 1:].to_numpy().ravel()) == {"–"}


def test_looking_at_a_setting_does_not_change_what_is_missing_of_the_other(nothing, runs):
    tables.primary(nothing, "grey")
    tables.sentences(nothing)
    assert tables.on_record(nothing) == f"0 runs on record, {len(runs)} still missing"


# How far scores agree


def agreeing():
    names = [(f"{line}_{draws}", value) for line, draws, value in (
        ("fresh", 16, 0.2), ("fresh", 64, 0.5), ("fresh", 256, 0.8), ("4_sets", 64, 0.4), ("1_set", 64, 0.1))]
    frame = pandas.DataFrame([{"run": f"grey-scorer-s{seed}", "row": "scorer", "seed": seed} | {
        f"{name}_{what}": value + step * change for name, value in names
        for what, step in (("cv", 0.1), ("mean", 0.05), ("overlap", 10))
    } for seed, change in ((1, -1), (2, 0), (3, 1))])
    frame.attrs["missing"] = []
    return frame


def test_the_table_of_agreement_has_a_line_for_every_number_of_draws_and_companions():
    shown = tables.stability(agreeing())
    assert list(shown.index) == [
        "M = 16, companions new for every draw", "M = 64, companions new for every draw",
        "M = 256, companions new for every draw", "M = 64, companions 4 sets", "M = 64, companions 1 set"]
    assert shown.columns.tolist() == ["scorers", "rank correlation of CV", "of the mean loss", "same tenth, %"]
    line = [cell.replace("\xa0", " ") for cell in shown.loc["M = 64, companions 4 sets"]]
    assert line == ["3", "0.40 ± 0.10", "0.40 ± 0.05", "0.4 ± 10.0"]


def test_without_records_the_table_of_agreement_has_dashes():
    planned = [run.name for run in get("score-stability").runs]
    empty = pandas.DataFrame()
    empty.attrs["missing"] = planned
    assert set(tables.stability(empty).to_numpy().ravel()) == {"–"} and len(tables.stability(empty)) == 5


def test_the_records_of_the_book_fill_every_table():
    frame, agreement = load("selection"), load("score-stability")
    for name in plan.SETTINGS:
        for row, found in tables.primary(frame, name).items():
            mine = tables.setting(frame, name)
            there = [set(mine[mine["row"] == each]["seed"]) if len(mine) else set() for each in ("high CV", row)]
            assert (0 if found is None else found.seeds) == len(there[0] & there[1])
        assert len(tables.summary(frame, name)) == 11
    assert len(tables.sentences(frame)) == 4 and len(list(tables.cost(frame))) == 2
    assert len(tables.chosen(frame)) == 9 and len(tables.paper_and_ours(frame)) == 4
    assert len(tables.stability(agreement)) == 5

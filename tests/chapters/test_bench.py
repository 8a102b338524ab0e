"""The bench's experiment, and its tables from records: on made-up records, whatever has been recorded."""

import pandas
import pytest
from matplotlib import pyplot as plt

from mixlab.chapters.bench import figures, tables
from mixlab.chapters.bench.experiments.bench import EPOCH_SEEDS, EPOCHS, MORE_SEEDS, ROWS, SEEDS
from mixlab.chapters.bench.settings import SETTINGS, bench_run
from mixlab.records import half_width
from mixlab.reproduce import get


def records():
    """As the experiment's, with errors that are easy to check: row r at seed s errs 20 - r + s / 10."""
    rows = []
    for run in get("bench").runs:
        place = [row for row, _ in ROWS.values()].index(run.row)
        error = 20 - place + run.seed / 10 + (run.seed * (place + 1) % 5) / 10
        rows.append(run.as_dict() | {"run": run.name, "test_error": error,
                                     "test_loss": error / 10, "test_ece": error / 2,
                                     "scaled_loss": error / 11,
                                     "half_time_train_error": 1.0, "train_error": run.seed / 10, "seconds": 40.0})
    return pandas.DataFrame(rows)


def test_the_grid_is_both_settings_and_the_lengths():
    runs = get("bench").runs
    table = [run for run in runs if run.epochs is None and run.seed in SEEDS]
    added = [run for run in runs if run.seed in MORE_SEEDS]
    assert len(table) == len(SETTINGS) * len(ROWS) * len(SEEDS)
    assert len(runs) - len(table) - len(added) == 2 * len(EPOCHS) * len(EPOCH_SEEDS)
    assert {(run.row, run.data) for run in added} == {(row, "fashion-mnist") for row in ("no mixing", "Mixup")}
    assert len(added) == 2 * len(MORE_SEEDS)
    assert set(EPOCH_SEEDS) <= set(SEEDS) and 0 not in SEEDS  # seed 0 chose the setting
    assert {run.measure for run in runs} == {"calibration"}


@pytest.mark.parametrize("name", SETTINGS)
def test_one_setting_has_every_row_at_every_seed_once(name):
    part = tables.setting(records(), name)
    assert set(part["data"]) == {SETTINGS[name]["data"]}
    assert part.groupby("row")["seed"].apply(lambda seeds: sorted(seeds) == list(SEEDS)).all()


def test_the_primary_comparison_is_mixup_minus_no_mixing_alone():
    part = tables.setting(records(), "grey")
    by_row = {row: group.set_index("seed")["test_error"] for row, group in part.groupby("row")}
    found = tables.primary(part)
    assert found.mean == pytest.approx((by_row["Mixup"] - by_row["no mixing"]).mean())
    assert (found.seeds, found.comparisons) == (5, 1)
    family = tables.differences(part)
    sizes = {measure: {each.comparisons for each in rows.values()} for measure, rows in family.items()}
    assert sizes == {"test_error": {3}, "test_loss": {6}, "test_ece": {6}}
    assert "Mixup" not in family["test_error"]


def test_more_seeds_are_taken_where_they_are_asked_for():
    frame = records()
    wide = tables.setting(frame, "grey", (*SEEDS, *MORE_SEEDS))
    assert tables.primary(wide).seeds == 10 and tables.primary(tables.setting(frame, "grey")).seeds == 5


def test_the_table_has_a_line_for_every_row_and_dashes_without_records():
    shown = tables.summary(tables.setting(records(), "colour"))
    assert list(shown.index) == [row for row, _ in ROWS.values()]
    assert shown.loc["no mixing", "minus no mixing"] == "–" != shown.loc["Mixup", "minus no mixing"]
    assert shown.loc["no mixing", "error, %"].startswith("20.50")
    empty = tables.summary(tables.setting(pandas.DataFrame(), "colour"))
    assert set(empty.to_numpy().ravel()) == {"–"}


def test_lengths_are_gathered_with_that_of_the_recipe():
    found = tables.by_epochs(records())
    assert set(found) == {"no mixing", "CutMix"}
    assert list(found["CutMix"]) == sorted({*EPOCHS, 100})
    assert found["no mixing"][100] == [(pytest.approx(20 + seed / 5), seed / 10) for seed in EPOCH_SEEDS]


def test_half_time_errors_have_a_line_for_every_length_in_order():
    shown = tables.half_time(records())
    assert list(shown.index) == [f"{epochs} epochs" for epochs in (20, 40, 60, 100, 120)]
    assert list(shown.columns) == ["seed 1", "seed 2"] and set(shown.to_numpy().ravel()) == {"1.0"}
    assert len(tables.half_time(pandas.DataFrame())) == 0


def test_the_reach_is_that_of_the_deviations():
    part = tables.setting(records(), "grey")
    sds = [tables.primary(part).sd, *(each.sd for each in tables.differences(part)["test_error"].values())]
    least, most = tables.reach(part, (5,))
    assert least == f"sd {min(sds):.2f}: {half_width(min(sds), 5):.2f} with 5 seeds"
    assert most.startswith(f"sd {max(sds):.2f}")
    assert tables.reach(pandas.DataFrame()) == ["nothing on record"]


def test_the_figure_draws_every_seed_and_nothing_without_records():
    figure = figures.sign_over_epochs(tables.by_epochs(records()))
    lines = figure.axes[0].get_lines()
    assert sum(len(line.get_xdata()) for line in lines if line.get_linestyle() == "None") == 2 * 5 * 2
    assert len(figures.sign_over_epochs({}).axes) == 2
    plt.close("all")


def test_another_setting_is_refused():
    with pytest.raises(ValueError, match="expected a setting of grey, colour, received 'mono'"):
        bench_run("mono", "erm", "ERM", {"name": "empirical"}, seed=0)

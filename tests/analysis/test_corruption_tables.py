"""Tables of the label corruption experiment from records that are easy to do in the head."""

import numpy as np
import pandas
import pytest

from mixlab.analysis.corruption import curves, gains, summary, training_errors, validation_errors


def record(row, corrupt, seed, test):
    return {
        "row": row, "corrupt": corrupt, "seed": seed, "test_error": test, "best_epoch_test_error": test - 1,
        "kept_error": 1.0 * seed, "replaced_error": 2.0 * seed,
        "record": {"result": {"curves": {"validation_error": [test + 2, test]}}},
    }


RECORDS = pandas.DataFrame(
    [record(row, corrupt, seed, base + 100 * corrupt + step * seed)
     for seed in range(3) for corrupt in (0.5, 0.2) for row, base, step in (("ERM", 10, 1), ("mixup", 4, 2))]
)


def test_summary_is_mean_and_deviation():
    table = summary(RECORDS, 90.0)
    assert table.index.tolist() == [("20 %", "ERM"), ("20 %", "mixup"), ("50 %", "ERM"), ("50 %", "mixup")]
    assert table.loc[("20 %", "ERM"), "test, last epoch"] == "31.0 ± 1.0"
    assert table.loc[("50 %", "mixup"), "test, best epoch"] == "55.0 ± 2.0"
    assert table.loc[("50 %", "mixup"), "training, drawn anew"] == "2.0 ± 2.0"
    assert table.loc[("50 %", "mixup"), "learned"] == "97.8 ± 2.2"
    assert summary(RECORDS, 50.0).loc[("50 %", "mixup"), "learned"] == "96.0 ± 4.0"
    assert (table["seeds"] == 3).all()


def test_one_seed_has_no_deviation():
    assert summary(RECORDS[RECORDS["seed"] == 1], 90.0).loc[("20 %", "ERM"), "test, last epoch"] == "31.0"


def test_validation_errors_stand_in_the_order_of_the_numbers():
    rows = [("dropout 0.5", seed, 30.0 + seed) for seed in range(3)] + [("dropout 0.1", 0, 40.0)]
    table = validation_errors(pandas.DataFrame(rows, columns=["row", "seed", "validation_error"]))
    assert table.index.tolist() == ["dropout 0.1", "dropout 0.5"]
    assert table.values.tolist() == [["40.0", 1], ["31.0 ± 1.0", 3]]
    assert validation_errors(pandas.DataFrame()).empty


def test_curves_are_seeds_by_epochs():
    panels = curves(RECORDS)
    assert list(panels) == ["20 % corrupted", "50 % corrupted"]
    np.testing.assert_allclose(panels["20 % corrupted"]["mixup"], [[26, 24], [28, 26], [30, 28]])


def test_training_errors_are_lists_of_seeds():
    assert training_errors(RECORDS)["50 % corrupted"]["ERM"] == ([0, 1, 2], [0, 2, 4])


def test_gains_pair_seeds():
    found = gains(RECORDS)
    assert set(found) == {("20 %", "mixup"), ("50 %", "mixup")}
    assert found["20 %", "mixup"].mean == pytest.approx(5) and found["20 %", "mixup"].seeds == 3


def test_seeds_without_a_partner_are_left_out():
    lacking = RECORDS[~((RECORDS["row"] == "ERM") & (RECORDS["seed"] == 2))]
    assert gains(lacking)["20 %", "mixup"].mean == pytest.approx(5.5)
    assert gains(RECORDS[RECORDS["row"] == "mixup"]) == {}


def test_no_records_give_empty_tables():
    empty = pandas.DataFrame([])
    assert summary(empty, 90.0).empty and curves(empty) == {} and training_errors(empty) == {} and gains(empty) == {}


def test_methods_stand_in_one_order_whatever_is_missing():
    rows = ("mixup α=32", "mixup α=8", "ERM + dropout 0.2", "ERM")
    records = pandas.DataFrame([record(row, corrupt, 0, 10.0) for corrupt in (0.2, 0.5) for row in rows])
    ordered = ["ERM", "ERM + dropout 0.2", "mixup α=8", "mixup α=32"]
    assert [method for _, method in summary(records, 90.0).index] == 2 * ordered
    assert list(training_errors(records)["50 % corrupted"]) == ordered
    assert [method for fraction, method in gains(records) if fraction == "20 %"] == ordered[1:]

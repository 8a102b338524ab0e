"""From a frame of records to differences: pairs by seed, one family, and nothing left out in silence."""

import math

import pandas
import pytest

from mixlab import reproduce
from mixlab.records import by_seed, compared, holm, paired_difference

ERM, MIXUP, CUTMIX = [17.0, 18.3, 17.5, 17.8, 17.4], [15.6, 16.0, 16.3, 15.9, 15.8], [17.2, 18.0, 17.7, 17.5, 17.6]


def frame(rows, **measures):
    """Records of rows -> results by position, in an order that is not that of the seeds."""
    records = [
        {"row": row, "seed": seed, "test_error": value} | {name: values[row][seed] for name, values in measures.items()}
        for row, results in rows.items() for seed, value in reversed(list(enumerate(results)))
    ]
    return pandas.DataFrame(records)


RECORDS = {"ERM": ERM, "Mixup": MIXUP, "CutMix": CUTMIX}
NLL = {row: [value / 30 for value in values] for row, values in RECORDS.items()}


def test_every_row_minus_the_baseline():
    found = compared(frame(RECORDS), "ERM")
    assert list(found) == ["test_error"] and list(found["test_error"]) == ["Mixup", "CutMix"]
    for row, each in found["test_error"].items():
        alone = paired_difference(RECORDS[row], ERM)
        assert (each.mean, each.low, each.high, each.p) == pytest.approx((alone.mean, alone.low, alone.high, alone.p))


def test_all_rows_and_measures_of_a_call_are_one_family():
    found = compared(frame(RECORDS, NLL=NLL), "ERM", ["test_error", "NLL"])
    family = [each for rows in found.values() for each in rows.values()]
    assert len(family) == 4 and {each.comparisons for each in family} == {4}
    assert [each.adjusted for each in family] == holm([each.p for each in family])


def test_a_primary_comparison_is_a_call_of_its_own():
    one = compared(frame(RECORDS), "Mixup", rows=["CutMix"])["test_error"]["CutMix"]
    assert one.comparisons == 1 and one.adjusted == one.p
    assert one.verdict(margin=3) == "no effect above 3; higher"


def test_rows_are_in_the_order_asked_for_and_the_baseline_is_not_compared_with_itself():
    found = compared(frame(RECORDS), "Mixup", rows=["CutMix", "ERM", "Mixup"])["test_error"]
    assert list(found) == ["CutMix", "ERM"] and {each.comparisons for each in found.values()} == {2}


def test_pairs_are_made_by_seed():
    rows = pandas.DataFrame({
        "row": [*"abababa"], "seed": [3, 7, 1, 3, 7, 1, 9], "test_error": [3, 70, 1, 30, 7, 10, 9],
    })
    found = compared(rows, "a")["test_error"]["b"]
    assert (found.mean, found.seeds) == (pytest.approx((27 + 63 + 9) / 3), 3)
    assert by_seed(rows, "test_error") == {"a": {3: 3.0, 1: 1.0, 7: 7.0, 9: 9.0}, "b": {7: 70.0, 3: 30.0, 1: 10.0}}


def test_rows_without_a_common_seed_or_the_measure_are_left_out():
    rows = frame({"ERM": ERM, "Mixup": MIXUP})
    rows.loc[len(rows)] = ["CutMix", 17, 16.0]
    rows["NLL"] = [0.5 + seed / 100 if row == "ERM" else math.nan for row, seed in zip(rows["row"], rows["seed"])]
    found = compared(rows, "ERM", ["test_error", "NLL"])
    assert {name: list(each) for name, each in found.items()} == {"test_error": ["Mixup"], "NLL": []}
    assert found["test_error"]["Mixup"].comparisons == 1


def test_nothing_on_record_compares_nothing():
    empty = pandas.DataFrame()
    assert compared(empty, "ERM", ["test_error", "NLL"], rows=["Mixup"]) == {"test_error": {}, "NLL": {}}
    assert by_seed(empty, "test_error") == {}


def test_while_runs_are_missing_a_row_or_measure_may_be_yet_to_come():
    partial = frame({"ERM": ERM})
    partial.attrs["missing"] = ["mixup-s0"]
    assert compared(partial, "ERM", ["test_error", "NLL"], rows=["Mixup"]) == {"test_error": {}, "NLL": {}}
    assert compared(partial, "Mixup") == {"test_error": {}}


@pytest.mark.parametrize("arguments, message", [
    (("erm",), "expected rows among ERM, Mixup, CutMix, received erm"),
    (("ERM", "test_error", ["Mixup", "CutOut"]), "received CutOut"),
    (("ERM", "ece"), "expected a measure among row, seed, test_error, received 'ece'"),
])
def test_names_that_complete_records_do_not_have(arguments, message):
    with pytest.raises(ValueError, match=message):
        compared(frame(RECORDS), *arguments)


def test_two_settings_in_one_frame_are_not_mixed_up():
    rows = pandas.concat([frame(RECORDS).assign(recipe="grey"), frame(RECORDS).assign(recipe="colour")])
    with pytest.raises(ValueError, match="expected one record of every row and seed, received two of 'ERM', seed 4"):
        compared(rows, "ERM")
    assert len(compared(rows[rows["recipe"] == "grey"], "ERM")["test_error"]) == 2


@pytest.mark.parametrize("value", [math.nan, None, math.inf, {"0.5": 1.0}, "9"])
def test_a_run_that_failed_is_not_left_out(value):
    rows = frame(RECORDS)
    rows["NLL"] = pandas.Series([0.5] * (len(rows) - 1) + [value], dtype=object)
    with pytest.raises(ValueError, match="expected a finite NLL, received .* for 'CutMix', seed 0"):
        compared(rows, "ERM", "NLL")


def test_recorded_runs_of_the_book():
    """The same numbers and differences as chapter 2 has of the same records."""
    from mixlab.analysis import settings

    records = reproduce.load("mixed-parts")
    assert by_seed(records, "test_error") == settings.by_seed(records)
    found = compared(records, "neither")["test_error"]
    old = settings.compare(records, "neither").differences
    assert {row: str(each) for row, each in found.items()} == {row: str(each) for row, each in old.items()}

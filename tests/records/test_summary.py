"""The table for readers: strings, dashes, and the same bytes in every run."""

import math
import subprocess
import sys
from pathlib import Path

import pandas
import pytest

from mixlab.records import compared, table

ROOT = Path(__file__).resolve().parents[2]
ERRORS = {"ERM": [17.0, 18.3, 17.5, 17.8, 17.4], "Mixup": [15.6, 16.0, 16.3, 15.9, 15.8]}
FRAME = pandas.DataFrame(
    [
        {"row": row, "seed": seed, "test_error": value, "NLL": value / 30}
        for row, values in ERRORS.items() for seed, value in enumerate(values)
    ]
)
# Paired differences -1.4, -2.3, -1.2, -1.9, -1.6: mean -1.68, sd .432, t of four degrees of freedom 2.776.
MINUS = "-1.68 [-2.22, -1.14] *"


def cells(shown, row):
    """The cells of a row with plain spaces."""
    return [cell.replace("\N{NO-BREAK SPACE}", " ") for cell in shown.loc[row]]


def test_means_deviations_seeds_and_differences_in_the_order_asked_for():
    found = compared(FRAME, "ERM")["test_error"]
    shown = table(FRAME, {"error, %": "test_error", "minus ERM": found, "NLL": "NLL"}, digits={"NLL": 3})
    assert shown.columns.tolist() == ["seeds", "error, %", "minus ERM", "NLL"]
    assert cells(shown, "ERM") == ["5", "17.60 ± 0.48", "–", "0.587 ± 0.016"]
    assert cells(shown, "Mixup") == ["5", "15.92 ± 0.26", MINUS, "0.531 ± 0.009"]


def test_a_narrow_column_breaks_after_the_mean_only():
    shown = table(FRAME, {"error": "test_error", "minus ERM": compared(FRAME, "ERM")["test_error"]})
    assert [len(cell.split(" ")) for cell in shown.loc["Mixup"]] == [1, 1, 2]


def test_rows_are_as_asked_for_and_those_to_come_are_dashes():
    partial = FRAME.copy()
    partial.attrs["missing"] = ["cutmix-s0"]
    shown = table(partial, {"error": "test_error"}, rows=["CutMix", "Mixup"])
    assert shown.index.tolist() == ["CutMix", "Mixup"]
    assert cells(shown, "CutMix") == ["–", "–"] and cells(shown, "Mixup") == ["5", "15.92 ± 0.26"]


def test_a_measure_that_a_row_does_not_have_is_a_dash():
    frame = FRAME.assign(NLL=[0.5] * 5 + [math.nan] * 5)
    shown = table(frame, {"NLL": "NLL", "error": "test_error"})
    assert cells(shown, "Mixup") == ["5", "–", "15.92 ± 0.26"]


def test_a_star_stands_where_the_family_allows_an_order():
    # CutMix is lower alone (p = .036); beside its NLL, of which nothing may be said, its value counts twice.
    frame = pandas.concat([FRAME, pandas.DataFrame({
        "row": ["CutMix"] * 5, "seed": range(5), "test_error": [16.95, 18.2, 17.0, 17.5, 17.1],
        "NLL": [0.57, 0.60, 0.59, 0.59, 0.58],
    })])
    alone = compared(frame, "ERM", rows=["CutMix"])["test_error"]
    family = compared(frame, "ERM", ["test_error", "NLL"])["test_error"]
    shown = table(frame, {"alone": alone, "family": family})
    assert cells(shown, "CutMix")[1:] == ["-0.25 [-0.47, -0.03] *", "-0.25 [-0.47, -0.03]"]
    assert cells(shown, "Mixup")[1:] == ["–", MINUS]


def test_one_seed_and_a_difference_over_fewer_seeds_say_so():
    frame = pandas.concat([FRAME[FRAME["seed"] < 4], FRAME[(FRAME["row"] == "Mixup") & (FRAME["seed"] == 4)]])
    shown = table(frame, {"error": "test_error", "minus": compared(frame, "ERM")["test_error"]})
    assert cells(shown, "Mixup")[0] == "5" and cells(shown, "Mixup")[2].endswith("] (4 seeds)")
    single = FRAME[FRAME["seed"] == 0]
    shown = table(single, {"error": "test_error", "minus": compared(single, "ERM")["test_error"]})
    assert cells(shown, "Mixup") == ["1", "15.60", "-1.40, one seed"]


def test_nothing_on_record():
    empty = pandas.DataFrame()
    columns = {"error": "test_error", "minus": compared(empty, "ERM")["test_error"]}
    assert cells(table(empty, columns, rows=["ERM", "Mixup"]), "Mixup") == ["–", "–", "–"]
    assert table(empty, columns).columns.tolist() == ["seeds", "error", "minus"]


@pytest.mark.parametrize("arguments, message", [
    ({"columns": {"error": "test_err"}}, "expected a measure among"),
    ({"columns": {"error": "test_error"}, "rows": ["Erm"]}, "expected rows among ERM, Mixup, received Erm"),
    ({"columns": {"error": "test_error"}, "digits": {"test_error": 1}}, "expected digits of error, received"),
])
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        table(FRAME, **arguments)


def test_two_runs_write_equal_bytes():
    """Stored outputs are compared text for text; a styled table would have a random number in it."""
    code = """if True:
        import pandas
        from mixlab.records import compared, table
        frame = pandas.DataFrame({"row": ["a"] * 5 + ["b"] * 5, "seed": [*range(5)] * 2, "x": range(10)})
        shown = table(frame, {"x": "x", "minus a": compared(frame, "a", "x")["x"]})
        print(shown.to_html(), repr(shown))
    """
    first, second = (
        subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout
        for _ in range(2)
    )
    assert first == second and "<td>+5.00 [+5.00,\N{NO-BREAK SPACE}+5.00]\N{NO-BREAK SPACE}*</td>" in first

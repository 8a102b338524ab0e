"""Tables and curves of the label corruption experiment, from its records."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np

from mixlab.analysis.paired import Difference, paired_difference

if TYPE_CHECKING:
    import pandas

__all__ = ["curves", "gains", "summary", "training_errors", "validation_errors"]

COLUMNS = {
    "best_epoch_test_error": "test, best epoch",
    "test_error": "test, last epoch",
    "kept_error": "training, kept",
    "replaced_error": "training, drawn anew",
    "learned": "learned",
}


def summary(records: pandas.DataFrame, chance: float) -> pandas.DataFrame:
    """Mean ± standard deviation over the seeds, laid out as table 2 of the mixup paper, in percent.

    The last column is the part of the labels drawn anew that was learned by heart, 1 - error / chance: a prediction
    that does not depend on such a label has the error ``chance``.

    Args:
        records: as `mixlab.reproduce.load` gives them; may be empty.
        chance: error in percent of a prediction that knows nothing of the label drawn, 100 (1 - 1 / classes).

    Returns:
        One line per fraction of corrupted labels and method; methods by name, equal names by their number.
    """
    import pandas

    if records.empty:
        return pandas.DataFrame(columns=[*COLUMNS.values(), "seeds"])
    records = records.assign(learned=100 * (1 - records["replaced_error"] / chance))
    groups = records.groupby(["corrupt", "row"], sort=False)
    table = groups[list(COLUMNS)].agg(_spread).rename(columns=COLUMNS)
    table["seeds"] = groups.size()
    table = table.loc[sorted(table.index, key=lambda pair: (pair[0], *_by_number(pair[1])))]
    return table.rename(index=_percent, level="corrupt").rename_axis(["corrupted", "method"])


def validation_errors(records: pandas.DataFrame) -> pandas.DataFrame:
    """Mean ± standard deviation over the seeds of the validation error at the last epoch, in percent: what chooses.

    Args:
        records: of one fraction of corrupted labels, as `mixlab.reproduce.load` gives them; may be empty.

    Returns:
        One line per method; methods by name, equal names by their number.
    """
    import pandas

    columns = ["validation, last epoch", "seeds"]
    if records.empty:
        return pandas.DataFrame(columns=columns)
    groups = records.groupby("row")["validation_error"]
    table = pandas.DataFrame({columns[0]: groups.agg(_spread), columns[1]: groups.size()})
    return table.loc[sorted(table.index, key=_by_number)].rename_axis("method")


def _by_number(row: str) -> tuple[str, float]:
    """A key that puts ``mixup α=8`` before ``mixup α=32``, whichever of them has records."""
    number = re.search(r"[\d.]+$", row)
    return (row[: number.start()], float(number.group())) if number else (row, 0.0)


def _spread(values: pandas.Series) -> str:
    deviation = f" ± {values.std():.1f}" if len(values) > 1 else ""
    return f"{values.mean():.1f}{deviation}"


def _percent(fraction: float) -> str:
    return f"{100 * fraction:.0f} %"


def curves(records: pandas.DataFrame, quantity: str = "validation_error") -> dict[str, dict[str, np.ndarray]]:
    """One quantity of every epoch: fraction corrupted -> method -> (seeds, epochs)."""
    return _panels(records, lambda part: np.array([each["result"]["curves"][quantity] for each in part["record"]]))


def training_errors(records: pandas.DataFrame) -> dict[str, dict[str, tuple[list[float], list[float]]]]:
    """Training errors on kept and replaced labels, in percent: fraction corrupted -> method -> two lists of seeds."""
    return _panels(records, lambda part: (part["kept_error"].tolist(), part["replaced_error"].tolist()))


def _panels(records: pandas.DataFrame, take) -> dict:
    panels: dict[str, dict] = {}
    if records.empty:
        return panels
    for corrupt in sorted(records["corrupt"].unique()):
        at = records[records["corrupt"] == corrupt]
        panels[f"{_percent(corrupt)} corrupted"] = {
            row: take(at[at["row"] == row]) for row in sorted(at["row"].unique(), key=_by_number)
        }
    return panels


def gains(
    records: pandas.DataFrame, quantity: str = "test_error", reference: str = "ERM"
) -> dict[tuple[str, str], Difference]:
    """How much lower an error is than the reference's, paired by seed: (corrupted, method) -> difference in points.

    Only seeds that both have are paired; without one, the pair of settings is left out.
    """
    found = {}
    if records.empty:
        return found
    for corrupt in sorted(records["corrupt"].unique()):
        table = records[records["corrupt"] == corrupt].pivot(index="seed", columns="row", values=quantity)
        for row in sorted(records["row"].unique(), key=_by_number):
            if row == reference or not {row, reference} <= set(table):
                continue
            pairs = table[[reference, row]].dropna()
            if len(pairs):
                found[_percent(corrupt), row] = paired_difference(pairs[reference].tolist(), pairs[row].tolist())
    return found

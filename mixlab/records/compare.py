"""From a frame of records to differences: every row against a baseline, paired by seed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mixlab.records.difference import Difference, paired_difference
from mixlab.records.family import corrected

__all__ = ["by_seed", "compared", "expect"]


def compared(frame, baseline: str, measures: str | Sequence[str] = "test_error", rows: Sequence[str] | None = None,
             confidence: float = 0.95) -> dict[str, dict[str, Difference]]:
    """Every row minus the baseline, for one or several measures, paired by seed and corrected as one family (Holm).

    What is asked for in one call is one family, all rows and all measures. A primary comparison, stated beforehand, is
    a call of its own with one row and one measure; it is corrected for nothing and may have a margin.

    Args:
        frame: records of one setting, one for every row and seed, see `mixlab.reproduce.load`; may be empty.
        baseline: the row that the others are compared with.
        measures: columns of the frame.
        rows: the rows to compare, in the order wanted; all by default. The baseline among them is left out.
        confidence: of the intervals, between 0 and 1.

    Returns:
        measure -> row -> difference, over the seeds that both rows have. A row without such a seed, or without the
        measure, is left out.

    Raises:
        ValueError: for a row or measure that complete records do not have, two records of one row and seed, or a
            number that is not finite.

    Example:
        >>> import pandas
        >>> frame = pandas.DataFrame({
        ...     "row": ["ERM"] * 5 + ["Mixup"] * 5, "seed": [0, 1, 2, 3, 4] * 2,
        ...     "test_error": [17.0, 18.3, 17.5, 17.8, 17.4, 15.6, 16.0, 16.3, 15.9, 15.8],
        ... })
        >>> mixup = compared(frame, "ERM")["test_error"]["Mixup"]
        >>> print(mixup, mixup.verdict(), sep=": ")
        -1.68 [-2.22, -1.14]: lower
    """
    measures = [measures] if isinstance(measures, str) else list(measures)
    names = [name for name in (_rows(frame) if rows is None else rows) if name != baseline]
    expect(frame, [baseline, *names])
    found = {}
    for measure in measures:
        values = by_seed(frame, measure)
        origin = values.get(baseline, {})
        for name in names:
            if common := sorted(values.get(name, {}).keys() & origin.keys()):
                pairs = [values[name][seed] for seed in common], [origin[seed] for seed in common]
                found[measure, name] = paired_difference(*pairs, confidence)
    family = corrected(found)
    return {each: {row: found for (measure, row), found in family.items() if measure == each} for each in measures}


def by_seed(frame, measure: str) -> dict[str, dict[int, float]]:
    """The numbers of every row by seed, in the order of the records; rows without the measure are left out.

    Args:
        frame: as for `compared`.
        measure: a column of the frame.

    Raises:
        ValueError: for a measure that complete records do not have, two records of one row and seed, or a number that
            is not finite. A row that has the measure at some seeds only is such a case: leaving out a run that failed
            would flatter its setting.

    Example:
        >>> import pandas
        >>> by_seed(pandas.DataFrame({"row": ["ERM", "ERM"], "seed": [0, 1], "NLL": [0.61, 0.58]}), "NLL")
        {'ERM': {0: 0.61, 1: 0.58}}
    """
    if measure not in frame.columns:
        if len(frame) and not frame.attrs.get("missing"):
            raise ValueError(f"expected a measure among {', '.join(map(str, frame.columns))}, received {measure!r}")
        return {}
    found: dict[str, dict[int, float]] = {}
    for row, seed, value in zip(frame["row"], frame["seed"], frame[measure]):
        numbers = found.setdefault(row, {})
        if seed in numbers:
            raise ValueError(f"expected one record of every row and seed, received two of {row!r}, seed {seed}: "
                             "choose one setting of the frame first")
        numbers[seed] = np.nan if value is None else value
    found = {row: numbers for row, numbers in found.items() if not all(map(_absent, numbers.values()))}
    for row, numbers in found.items():
        for seed, value in numbers.items():
            if not (np.isscalar(value) and np.isreal(value) and np.isfinite(value)):
                raise ValueError(f"expected a finite {measure}, received {value} for {row!r}, seed {seed}")
    return {row: {int(seed): float(value) for seed, value in numbers.items()} for row, numbers in found.items()}


def expect(frame, rows: Sequence[str]) -> None:
    """Refuse names that complete records do not have; while runs are missing, a row may be yet to come.

    Raises:
        ValueError: naming the rows that are there and those that are not.
    """
    unknown = [name for name in rows if name not in _rows(frame)]
    if unknown and len(frame) and not frame.attrs.get("missing"):
        raise ValueError(f"expected rows among {', '.join(_rows(frame))}, received {', '.join(unknown)}")


def _rows(frame) -> list[str]:
    """The rows of a frame in the order of their first record."""
    return list(dict.fromkeys(frame["row"])) if len(frame) else []


def _absent(value: object) -> bool:
    return isinstance(value, float) and np.isnan(value)

"""Records as a table for readers: means and deviations in strings, missing ones as dashes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from mixlab.records.compare import by_seed, expect
from mixlab.records.difference import Difference

__all__ = ["DASH", "said", "table"]

#: What stands where nothing is on record.
DASH = "–"


def said(name: str, difference: Difference | None, margin: float | None = None, digits: int = 2) -> str:
    """A comparison and its verdict in one line, for a cell to print.

    Args:
        name: what is compared, as "A minus B".
        difference: None where nothing is on record.
        margin: of a primary comparison, see `Difference.verdict`.
        digits: after the point.

    Raises:
        ValueError: as `Difference.verdict`.

    Example:
        >>> from mixlab.records import paired_difference
        >>> said("A minus B", paired_difference([2.0, 2.1, 2.2, 2.0, 2.1], [1.0, 1.2, 1.1, 1.1, 1.0]))
        'A minus B: +1.00 [+0.88, +1.12], 5 seeds: higher'
        >>> said("A minus B", None)
        'A minus B: not on record'
        >>> said("A minus B", paired_difference([2.0], [1.0]))
        'A minus B: +1.00, one seed: undecided'
    """
    if difference is None:
        return f"{name}: not on record"
    seeds = "" if difference.seeds == 1 else f", {difference.seeds} seeds"  # one is said with the difference itself
    return f"{name}: {difference:.{digits}f}{seeds}: {difference.verdict(margin)}"


def table(frame, columns: Mapping[str, str | Mapping[str, Difference]], rows: Sequence[str] | None = None,
          digits: Mapping[str, int] | None = None):
    """A line for every row of the records: its seeds, mean ± standard deviation of measures, and differences.

    Args:
        frame: records of one setting, one for every row and seed, see `mixlab.reproduce.load`; may be empty.
        columns: the columns in order, title -> what it shows: a measure (a column of the frame), or differences by
            row, as `compared` gives them for a measure. A difference that is ordered has a star.
        rows: the lines in order; by default the rows on record. A row that is not there has dashes.
        digits: title -> digits after the point; 2 where nothing is said.

    Returns:
        A pandas DataFrame of strings with the rows as its index. Its HTML is the same in every run. The number of seeds
        is that of the records; a difference over fewer says so. Where a narrow column may not break a line, spaces are
        no-break spaces.

    Raises:
        ValueError: as `compared`; for digits of a column that is not there.

    Example:
        >>> import pandas
        >>> from mixlab.records import compared
        >>> frame = pandas.DataFrame({
        ...     "row": ["ERM"] * 5 + ["Mixup"] * 5, "seed": [0, 1, 2, 3, 4] * 2,
        ...     "test_error": [17.0, 18.3, 17.5, 17.8, 17.4, 15.6, 16.0, 16.3, 15.9, 15.8],
        ...     "NLL": [0.61, 0.62, 0.60, 0.61, 0.59, 0.52, 0.51, 0.52, 0.53, 0.52],
        ... })
        >>> columns = {
        ...     "error, %": "test_error", "minus ERM": compared(frame, "ERM")["test_error"], "NLL": "NLL",
        ... }
        >>> shown = table(frame, columns, rows=["ERM", "Mixup"], digits={"NLL": 3})
        >>> print(shown.to_string().replace("\\xa0", " "))
              seeds      error, %               minus ERM            NLL
        ERM       5  17.60 ± 0.48                       –  0.606 ± 0.011
        Mixup     5  15.92 ± 0.26  -1.68 [-2.22, -1.14] *  0.520 ± 0.007
    """
    import pandas

    digits = dict(digits or {})
    if unknown := digits.keys() - columns.keys():
        raise ValueError(f"expected digits of {', '.join(columns)}, received those of {', '.join(sorted(unknown))}")
    seeds = {} if frame.empty else frame.groupby("row", sort=False)["seed"].nunique().to_dict()
    rows = list(seeds) if rows is None else list(rows)
    expect(frame, rows)
    cells = {"seeds": [str(seeds.get(row, DASH)) for row in rows]}
    for title, shown in columns.items():
        places = digits.get(title, 2)
        if isinstance(shown, str):
            values = by_seed(frame, shown)
            cells[title] = [_spread(list(values.get(row, {}).values()), places) for row in rows]
        else:
            cells[title] = [_difference(shown.get(row), seeds.get(row), places) for row in rows]
    return pandas.DataFrame(cells, index=rows)


def _spread(values: Sequence[float], places: int) -> str:
    """Mean ± standard deviation (ddof 1), the number itself if it is one, a dash if there is none."""
    if not values:
        return DASH
    mean = f"{np.mean(values):.{places}f}"
    return mean if len(values) == 1 else _unbroken(f"{mean} ± {np.std(values, ddof=1):.{places}f}")


def _difference(difference: Difference | None, seeds: int | None, places: int) -> str:
    if difference is None:
        return DASH
    fewer = f" ({difference.seeds} seeds)" if difference.seeds not in (1, seeds) else ""
    mean, _, interval = f"{difference:.{places}f}{fewer}{' *' if difference.ordered else ''}".partition(" ")
    return f"{mean} {_unbroken(interval)}"


def _unbroken(text: str) -> str:
    """A narrow column may not break there: spaces become no-break spaces."""
    return text.replace(" ", "\N{NO-BREAK SPACE}")

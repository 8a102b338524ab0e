"""What the chapters' comparisons on the bench share: which measures a table shows, and how."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mixlab import records
from mixlab.records import Difference

#: What a table shows of a run: title, column of the records, digits.
COLUMNS = (
    ("error, %", "test_error", 2),
    ("NLL", "test_loss", 3),
    ("NLL, scaled", "scaled_loss", 3),
    ("ECE, %", "test_ece", 1),
    ("ECE, scaled", "scaled_ece", 1),
    ("training error at half-time, %", "half_time_train_error", 1),
    ("at the end", "train_error", 1),
)


def measures(frame, rows: Sequence[str], **minus: Mapping[str, Difference]):
    """Records as a table of strings: the error with its deviation, the other measures as means.

    Args:
        frame: records of one setting, see `mixlab.reproduce.load`; may be empty.
        rows: the lines in order.
        minus: columns of differences in error, by row, to stand beside the error: title -> row -> difference.

    Example:
        >>> import pandas
        >>> frame = pandas.DataFrame({"row": ["CutMix"] * 2, "seed": [1, 2]} | {
        ...     column: [0.5, 0.7] for _, column, _ in COLUMNS
        ... })
        >>> print(measures(frame, ["CutMix"]).iloc[:, :3].to_string().replace("\\xa0", " "))
               seeds     error, %    NLL
        CutMix     2  0.60 ± 0.14  0.600
    """
    error, *others = COLUMNS
    shown = {error[0]: error[1]} | minus | {title: column for title, column, _ in others}
    table = records.table(frame, shown, rows=rows, digits={title: places for title, _, places in COLUMNS})
    for title, *_ in others:  # nine columns with deviations would not fit on the page
        table[title] = table[title].str.partition("\N{NO-BREAK SPACE}±")[0]
    return table


def on_record(frame) -> str:
    """How many runs are there and how many are missing, in words.

    Example:
        >>> import pandas
        >>> on_record(pandas.DataFrame())
        '0 runs on record, none missing'
    """
    absent = len(frame.attrs.get("missing", []))
    return f"{len(frame)} runs on record, " + (f"{absent} still missing" if absent else "none missing")


def pace(frame, pairs: Sequence[tuple[str, str]]) -> str:
    """How many times as long as those of another row the runs of a row take, medians over the seeds, in words.

    Args:
        frame: see `measures`. A pair of which one row has no records is not mentioned.
        pairs: row and other row.

    Example:
        >>> import pandas
        >>> taken = pandas.DataFrame({"row": ["CutMix", "Puzzle Mix"], "seconds": [50.0, 65.0]})
        >>> pace(taken, [("Puzzle Mix", "CutMix"), ("Mixup", "CutMix")])
        'median time: Puzzle Mix 1.3 times CutMix'
    """
    taken = {} if frame.empty else frame.groupby("row")["seconds"].median()
    found = [f"{one} {taken[one] / taken[other]:.1f} times {other}" for one, other in pairs
             if one in taken and other in taken]
    return f"median time: {', '.join(found) or 'not on record'}"

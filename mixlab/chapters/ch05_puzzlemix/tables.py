"""The chapter's tables and sentences: labelings on paper, and what the records of `puzzlemix` and `bench` say."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from mixlab import records, reference
from mixlab.chapters.bench import comparison
from mixlab.chapters.bench import tables as bench_tables
from mixlab.chapters.bench.comparison import COLUMNS, measures, on_record
from mixlab.chapters.bench.experiments.bench import ROWS as BENCH
from mixlab.chapters.ch05_puzzlemix.experiments.puzzlemix import PLAN, rows
from mixlab.records import Difference, said
from mixlab.records.summary import DASH

__all__ = [
    "COLUMNS", "FAMILY", "ROWS", "baseline", "best_labelings", "on_record", "pace", "paper_and_ours", "primary", "said",
    "secondary", "setting", "summary",
]

SETTINGS = ("grey", "colour")
OURS, CUTMIX = (rows("grey")[name][0] for name in ("puzzlemix", "cutmix-clean"))
#: Rows without a clean loss, which are records of the bench.
BASELINES = tuple(BENCH[name][0] for name in ("erm", "mixup", "cutmix"))
#: The lines of each setting's table: the baseline effect first.
ROWS = {
    setting: (*BASELINES, *dict.fromkeys(
        title for name, (title, _) in rows(setting).items()
        for where, names, _ in PLAN if where == setting and name in names
    ))
    for setting in SETTINGS
}
#: The rows that are compared with Puzzle Mix as one family; on grey, CutMix with the clean loss is the primary one.
FAMILY = {
    "grey": tuple(row for row in ROWS["grey"] if row not in (OURS, CUTMIX)),
    "colour": tuple(row for row in ROWS["colour"] if row != OURS),
}
#: The margin of the primary comparison, in points of error.
MARGIN = 1.0


def best_labelings(labelings: Tensor, saliency: Tensor, jumps: Tensor, weight: float, count: int = 6):
    """The labelings of least energy as a table of strings, and which rank each has where smoothness costs nothing.

    Equals share a rank.

    Args:
        labelings: (N, b, b) in {0, ½, 1}.
        saliency: (N,) what each labeling shows of both maps.
        jumps: (N,) the sum of (z_i − z_j)² over neighbours.
        weight: what a jump of 1 costs.
        count: how many lines.

    Example:
        >>> import torch
        >>> z = torch.tensor([[[0.0, 1.0]], [[0.5, 0.5]]])
        >>> print(best_labelings(z, torch.tensor([1.4, 1.0]), torch.tensor([1.0, 0.0]), 0.5, count=2).to_string())
             mask z saliency seen jumps energy rank without smoothness partner's label
        1st   ½ ½          1.00  0.00  -1.00                       2nd            0.50
        2nd   0 1          1.40  1.00  -0.90                       1st            0.50
    """
    import pandas

    energy, free = ((price * jumps - saliency).double().round(decimals=6) for price in (weight, 0.0))
    order = energy.argsort(stable=True)[:count].tolist()
    lines = [
        {
            "mask z": " / ".join(" ".join(_SPELT[value] for value in row) for row in labelings[place].tolist()),
            "saliency seen": f"{saliency[place]:.2f}",
            "jumps": f"{jumps[place]:.2f}",
            "energy": f"{energy[place]:.3f}".removesuffix("0"),
            "rank without smoothness": _nth(1 + int((free < free[place]).sum())),
            "partner's label": f"{labelings[place].mean():.2f}",
        }
        for place in order
    ]
    return pandas.DataFrame(lines, index=[_nth(1 + int((energy < energy[place]).sum())) for place in order])


_SPELT = {0.0: "0", 0.5: "½", 1.0: "1"}


def _nth(place: int) -> str:
    ends = {1: "st", 2: "nd", 3: "rd"}
    return f"{place}{'th' if 10 < place % 100 < 14 else ends.get(place % 10, 'th')}"


def setting(puzzle, bench, name: str):
    """The records of one setting of the bench, its rows without mixing, with Mixup and with CutMix among them.

    Args:
        puzzle, bench: records of the two experiments, see `mixlab.reproduce.load`; either may be empty.
        name: "grey" or "colour".
    """
    import pandas

    parts = [] if puzzle.empty else [puzzle[puzzle["run"].str.startswith(f"{name}-")]]
    if not bench.empty:
        known = bench_tables.setting(bench, name, range(1, 11))
        parts.append(known[known["row"].isin(BASELINES)])
    parts = [part for part in parts if len(part)]
    frame = pandas.concat(parts, ignore_index=True) if parts else pandas.DataFrame()
    frame.attrs = {"missing": [*puzzle.attrs.get("missing", []), *bench.attrs.get("missing", [])]}
    return frame


def baseline(frame) -> list[str]:
    """What the setting and the clean pass do without saliency, a line each: none of it was planned here.

    Args:
        frame: see `setting`.
    """
    pairs = ((BASELINES[2], BASELINES[0]), (CUTMIX, BASELINES[2]))
    found = [records.compared(frame, second, rows=[first])["test_error"].get(first) for first, second in pairs]
    return [said(f"{first} minus {second}", each) for (first, second), each in zip(pairs, found)]


def pace(frame) -> str:
    """How long runs with Puzzle Mix and with CutMix take, see `mixlab.chapters.bench.comparison.pace`."""
    return comparison.pace(frame, ((OURS, CUTMIX), (CUTMIX, BASELINES[2])))


def primary(frame) -> Difference | None:
    """Puzzle Mix minus CutMix, both with the clean loss, error in points; None without records."""
    return records.compared(frame, CUTMIX, rows=[OURS])["test_error"].get(OURS)


def secondary(frame, name: str) -> dict[str, dict[str, Difference]]:
    """The controls and the other rows of a setting, one family: each minus Puzzle Mix, error in points."""
    return records.compared(frame, OURS, "test_error", rows=FAMILY[name])


def summary(frame, name: str):
    """The records of one setting as a table of strings: the error with its deviation, the other measures as means.

    Args:
        frame: see `setting`.
        name: "grey" or "colour".
    """
    return measures(frame, ROWS[name], **{"minus Puzzle Mix": secondary(frame, name)["test_error"]})


def paper_and_ours(frames: Mapping[str, object]):
    """Puzzle Mix minus other methods in the talk and here, as a table of strings: a line for every setting.

    The talk's are differences of two means in points. Ours are paired by seed and have their interval and no verdict:
    but for the primary one they are not the comparisons that were stated beforehand. Ours have the clean loss.

    Args:
        frames: "grey" and "colour" -> records, see `setting`.
    """
    import pandas

    rows_of = dict(zip(("Vanilla", "Input", "CutMix"), BASELINES))
    lines = {
        f"{row['data']}, {row['network']}": {name: f"{row['Puzzle Mix'] - row[theirs]:+.2f}"
                                             for theirs, name in rows_of.items()}
        for _, row in reference.table("comixup-errors").iterrows()
    }
    for name, frame in frames.items():
        both = {row: records.compared(frame, row, rows=[OURS])["test_error"].get(OURS) for row in (*BASELINES, CUTMIX)}
        lines[f"here, {name} bench"] = {row: str(each) if each else DASH for row, each in both.items()}
    table = pandas.DataFrame.from_dict(lines, orient="index", columns=[*BASELINES, CUTMIX]).fillna(DASH)
    return table.rename(columns=lambda row: f"minus {row}")

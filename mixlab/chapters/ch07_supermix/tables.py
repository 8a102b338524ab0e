"""The chapter's tables and sentences: what the records of `supermix`, and those of the bench beside them, say."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from mixlab import records, reference
from mixlab.chapters.bench import comparison
from mixlab.chapters.bench.comparison import COLUMNS, measures, on_record
from mixlab.chapters.bench.experiments.bench import ROWS as BENCH
from mixlab.chapters.ch07_supermix.experiments import supermix as plan
from mixlab.records import Difference, said
from mixlab.records.compare import by_seed
from mixlab.records.summary import DASH

__all__ = [
    "COLUMNS", "FAMILY", "LABELS", "ROWS", "SEEN", "baseline", "lines", "on_record", "pace", "paper_and_ours",
    "primary", "said", "secondary", "setting", "success", "summary", "teacher", "what_success_takes",
]

TITLES = {name: title for name, (title, _) in plan.ROWS.items()}
OURS, CUTMIX = (TITLES[name] for name in plan.PRIMARY)
#: Rows without a teacher, which are records of the bench.
BASELINES = tuple(BENCH[name][0] for name in ("erm", "mixup", "cutmix"))
#: The rows that are compared with SuperMix as one family; and the same set with other labels, a family of its own.
FAMILY = (*(TITLES[name] for name in plan.CONTROLS), BASELINES[0], *(TITLES[name] for name in plan.SECONDARY))
LABELS = tuple(TITLES[name] for name in plan.LABELS)
#: The lines of the table: the baseline effect first.
ROWS = (*BASELINES, OURS, CUTMIX, *(row for row in FAMILY if row not in BASELINES), *LABELS)
#: The margin of the primary comparison, in points of error.
MARGIN = 1.0
#: What the table of success shows of a fixed set: title, column of the records, digits.
SEEN = (
    ("succeeds, %", "set_success", 1),
    ("drawn for 2,000", "set_drawn", 0),
    ("iterations", "set_iterations", 1),
    ("both classes seen, %", "set_top", 1),
    ("larger class first, %", "set_larger", 1),
    ("mean m (1 − m)", "set_spread", 3),
    ("seconds", "set_seconds", 0),
)
SETS = tuple(TITLES[name] for name in ("supermix", "shuffled", "cutmix", "own"))


def setting(supermix, bench):
    """The records of the chapter, and those of the bench's rows that it is compared with, on the grey bench.

    Args:
        supermix, bench: records of the two experiments, see `mixlab.reproduce.load`; either may be empty.
    """
    import pandas

    known = bench if bench.empty else bench[
        bench["run"].str.startswith("grey-") & bench["epochs"].isna() & bench["row"].isin(BASELINES)]
    parts = [part for part in (supermix, known) if len(part)]
    frame = pandas.concat(parts, ignore_index=True) if parts else pandas.DataFrame()
    frame.attrs = {"missing": [each for part in (supermix, bench) for each in part.attrs.get("missing", [])]}
    return frame


def baseline(frame) -> list[str]:
    """What mixing does without a teacher, and a teacher without mixing, a line each: none of it was planned here.

    Args:
        frame: see `setting`.
    """
    erm, mixup, cutmix = BASELINES
    pairs = ((mixup, erm), (cutmix, erm), (TITLES["kd"], erm))
    found = [records.compared(frame, second, rows=[first])["test_error"].get(first) for first, second in pairs]
    return [said(f"{first} minus {second}", each) for (first, second), each in zip(pairs, found)]


def pace(frame) -> str:
    """How long students take, see `mixlab.chapters.bench.comparison.pace`; teachers and sets are not counted."""
    return comparison.pace(frame, ((OURS, BASELINES[0]), (TITLES["fresh"], OURS), (TITLES["kd"], OURS)))


def primary(frame) -> Difference | None:
    """SuperMix minus CutMix, both as fixed sets, error in points; None without records."""
    return records.compared(frame, CUTMIX, rows=[OURS])["test_error"].get(OURS)


def secondary(frame) -> dict[str, dict[str, Difference]]:
    """The controls and the secondary rows, one family, and the labels, another one: each minus SuperMix, in points."""
    families = [records.compared(frame, OURS, "test_error", rows=rows) for rows in (FAMILY, LABELS)]
    return {"test_error": {row: each for family in families for row, each in family["test_error"].items()}}


def lines(frame) -> dict[str, dict[str, Difference]]:
    """What the forest shows: the primary comparison, turned round and alone, then what `secondary` has.

    Args:
        frame: see `setting`.
    """
    first = records.compared(frame, OURS, "test_error", rows=[CUTMIX]).get("test_error", {})
    found = {f"{row} (primary)": each for row, each in first.items()} | secondary(frame)["test_error"]
    return {"test_error": found}


def summary(frame):
    """The records as a table of strings: the error with its deviation, the other measures as means.

    The differences are to SuperMix, see `secondary`; that of the other fixed set is the primary comparison, turned
    round and corrected for nothing.

    Args:
        frame: see `setting`.
    """
    minus = secondary(frame)["test_error"] | records.compared(frame, OURS, rows=[CUTMIX])["test_error"]
    return measures(frame, ROWS, **{"minus SuperMix": minus})


def success(frame):
    """What was seen in the fixed sets, a line each, as a table of strings; means over the seeds.

    Args:
        frame: see `setting`.
    """
    shown = records.table(frame, {title: column for title, column, _ in SEEN}, rows=SETS,
                          digits={title: places for title, _, places in SEEN})
    for title, *_ in SEEN:
        shown[title] = shown[title].str.partition("\N{NO-BREAK SPACE}±")[0]
    return shown


def what_success_takes(frame) -> list[str]:
    """How often the teacher finds both classes: in plain mixes of halves, without a price of blending, and as it is.

    Args:
        frame: see `setting`.
    """
    lines = (("plain mixes of two halves", "set_plain_success"),
             ("masks with λ_s = 0, within 20 iterations", "set_free_success"),
             ("masks with λ_s = 25, within 50 iterations", "set_success"))
    found = [f"{name}: {_mean(frame, column, OURS)} % succeed" for name, column in lines]
    return [*found, f"discarded: {_mean(frame, 'set_success', OURS, lambda kept: 100 - kept)} % of what is drawn"]


def teacher(frame) -> str:
    """How good the teachers are and what one takes, in words.

    Args:
        frame: see `setting`.
    """
    return (f"teachers: test error {_mean(frame, 'teacher_error', OURS, places=2)} %, "
            f"{_mean(frame, 'teacher_seconds', OURS, places=0)} s of one core each")


def _mean(frame, column: str, row: str, change: Callable[[float], float] = float, places: int = 1) -> str:
    """The mean of a measure over the seeds of a row; a dash where there is none."""
    values = by_seed(frame, column).get(row, {}).values()
    return f"{np.mean([change(value) for value in values]):.{places}f}" if values else DASH


def paper_and_ours(frame):
    """What the paper's tables say of the same differences, as a table of strings; above zero is worse than SuperMix.

    Theirs are differences of printed accuracies in points: the mean over the seven pairs of networks of Table 2 with
    the least and the largest, and of Table 1 over its three networks on CIFAR-100. By the public code their CutMix and
    Mixup are drawn anew at each step. Ours are paired by seed and have their interval and no verdict.

    Args:
        frame: see `setting`.
    """
    import pandas

    pairs, alone = reference.table("supermix-2"), reference.table("supermix-1")
    alone = alone[alone["data"] == "CIFAR-100"]

    def printed(table, method: str, ours: str) -> str:
        found = table[ours] - table[method]
        return f"{found.mean():+.2f} ({found.min():+.2f} to {found.max():+.2f})"

    def here(row: str, minus: str = OURS) -> str:
        found = records.compared(frame, minus, rows=[row])["test_error"].get(row)
        return str(found) if found else DASH

    own, erm = TITLES["own"], BASELINES[0]
    lines = {
        "CutMix, drawn anew": (printed(pairs, "CE + CutMix", "CE + SuperMix"), here(TITLES["fresh"])),
        "Mixup of halves, drawn anew": (printed(pairs, "CE + MixUp", "CE + SuperMix"), here(TITLES["halves"])),
        "KD": (printed(pairs, "KD", "CE + SuperMix"), here(TITLES["kd"])),
        "CRD": (printed(pairs, "CRD", "CE + SuperMix"), here(TITLES["crd"])),
        "KD + SuperMix": (printed(pairs, "KD + SuperMix", "CE + SuperMix"), here(TITLES["kd-supermix"])),
        "no teacher, no mixing": (printed(pairs, "student alone", "CE + SuperMix"), here(erm)),
        "classification: no mixing minus SuperMix by its own network": (
            printed(alone, "Base", "SuperMix"), here(erm, own)),
        "classification: CutMix minus SuperMix by its own network": (
            printed(alone, "CutMix", "SuperMix"), here(BASELINES[2], own)),
    }
    return pandas.DataFrame.from_dict(lines, orient="index", columns=["paper, CIFAR-100", "here"])

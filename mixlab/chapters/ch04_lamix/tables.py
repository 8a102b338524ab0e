"""The chapter's tables and sentences: closed forms, and what the records of `lamix` and `bench` say."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from mixlab import records, reference
from mixlab.chapters.bench import tables as bench_tables
from mixlab.chapters.bench.comparison import COLUMNS, measures, on_record
from mixlab.chapters.ch04_lamix.experiments.lamix import BASELINES, CONTROL, LAMIX, SECONDARY
from mixlab.records import Difference, said
from mixlab.records.summary import DASH
from mixlab.theory import entropy_bound, p_max, variation_bound

__all__ = [
    "COLUMNS", "ROWS", "baseline", "bounds", "labels", "on_record", "paper_and_ours", "primary", "records_at", "said",
    "saturated_smoothing", "secondary", "summary",
]

OURS, UNIFORM, NONE = LAMIX[0], CONTROL[0], BASELINES["erm"][0]
#: The lines of the tables: the baseline effect first.
ROWS = (*(row for row, _ in BASELINES.values()), OURS, UNIFORM, *(row for row, _ in SECONDARY.values()))
#: The margin of the primary comparison, in points of error.
MARGIN = 1.0
#: The length at which the comparisons are made.
LONG = 200


def labels(parts: Mapping[str, Sequence[float]], classes: Sequence[str]):
    """Labels as a table of strings, a line each and a column for every class.

    Example:
        >>> print(labels({"local": [0.25, 0.75]}, ["cat", "cup"]))
                 cat    cup
        local  0.250  0.750
    """
    import pandas

    lines = {name: [f"{float(value):.3f}" for value in values] for name, values in parts.items()}
    return pandas.DataFrame.from_dict(lines, orient="index", columns=list(classes))


def saturated_smoothing(classes: int, beta: float) -> float:
    r"""The uniform smoothing that LaMix's target on a clean picture becomes when p has moved as far as it can.

    With all of p's freedom on the true class, :math:`p = \frac{1}{Z} \mathbf 1 + \frac{e - 1}{Z} y` and
    :math:`Z = e + C - 1`. So the target :math:`\beta y + (1 - \beta) p` is
    :math:`(1 - \varepsilon) y + \frac{\varepsilon}{C} \mathbf 1` with :math:`\varepsilon = (1 - \beta)\, C / Z`.

    Args:
        classes: number of classes C.
        beta: weight of the local label.

    Example:
        >>> round(saturated_smoothing(10, 0.5), 3), round(saturated_smoothing(100, 0.5), 3)
        (0.427, 0.492)
    """
    return (1 - beta) * classes * p_max(classes) / math.e


def bounds(classes: Sequence[int] = (10, 100), beta: float = 0.5):
    """How far the global label can be from uniform, as a table of strings with a line for each number of classes."""
    import pandas

    lines = {
        f"{count} classes": {
            "largest entry of p": f"{p_max(count):.4f}",
            "least entropy of p, % of log C": f"{100 * entropy_bound(count):.1f}",
            "weight elsewhere than 1/C, %": f"{100 * variation_bound(count):.1f}",
            "largest target": f"{beta + (1 - beta) * p_max(count):.3f}",
            "smoothing ε if p is at its bound": f"{saturated_smoothing(count, beta):.3f}",
        }
        for count in classes
    }
    return pandas.DataFrame.from_dict(lines, orient="index")


def records_at(lamix, bench, epochs: int):
    """The records of one length; at the bench's own length, its rows without mixing, Mixup and CutMix belong to them.

    Args:
        lamix, bench: records of the two experiments, see `mixlab.reproduce.load`; either may be empty.
        epochs: of the runs.
    """
    import pandas

    parts = [] if lamix.empty else [lamix[lamix["epochs"] == epochs]]
    if epochs != LONG and not bench.empty:
        grey = bench_tables.setting(bench, "grey")
        parts.append(grey[grey["row"].isin([row for row, _ in BASELINES.values()])])
    parts = [part for part in parts if len(part)]
    frame = pandas.concat(parts, ignore_index=True) if parts else pandas.DataFrame()
    frame.attrs = {"missing": [*lamix.attrs.get("missing", []), *bench.attrs.get("missing", [])]}
    return frame


def baseline(frames: Mapping[int, object]) -> list[str]:
    """The effect of plain mixing at every length, a line each: Mixup and CutMix minus no mixing, a family a length.

    Args:
        frames: epochs -> records, see `records_at`.
    """
    lines = []
    for epochs, frame in frames.items():
        rows = [row for row, _ in BASELINES.values() if row != NONE]
        found = records.compared(frame, NONE, rows=rows)["test_error"]
        lines += [said(f"{epochs} epochs, {row} minus {NONE}", found.get(row)) for row in rows]
    return lines


def primary(frame) -> Difference | None:
    """The primary comparison: LaMix minus its control, error in points; None without records."""
    return records.compared(frame, UNIFORM, rows=[OURS])["test_error"].get(OURS)


def sureness(frame) -> Difference | None:
    """LaMix minus its control in NLL after the fitted temperature, in nats: not planned. None without records."""
    return records.compared(frame, UNIFORM, "scaled_loss", rows=[OURS])["scaled_loss"].get(OURS)


def secondary(frame) -> dict[str, dict[str, Difference]]:
    """The secondary comparisons, one family: every other row minus the control, error in points."""
    return records.compared(frame, UNIFORM, "test_error", rows=[row for row in ROWS if row not in (OURS, UNIFORM)])


def summary(frame, differences: bool = True):
    """The records of one length as a table of strings: the error with its deviation, the other measures as means.

    Args:
        frame: see `records_at`.
        differences: whether there is a column of differences to the control. LaMix's is the primary comparison and
            corrected for nothing, the others are a family.
    """
    if not differences:
        return measures(frame, ROWS)
    minus = {**secondary(frame)["test_error"], OURS: primary(frame)}
    return measures(frame, ROWS, **{"minus uniform": {row: each for row, each in minus.items() if each}})


def paper_and_ours(frame):
    """What the paper's tables say of the same differences, as a table of strings; ours at the bench's double length.

    The paper's are differences of two means in points, with PreAct ResNet-18 where nothing else is said. Ours are
    paired by seed and have their interval and no verdict: they are not the comparisons that were stated beforehand.
    """
    import pandas

    beside = {row: records.compared(frame, OURS, "test_error", rows=[row])["test_error"].get(row) for row in ROWS}

    def printed(table: str, what: Mapping[str, str], first: str, second: str) -> str:
        chosen = reference.table(table)
        for column, value in what.items():
            chosen = chosen[chosen[column] == value]
        return f"{chosen.iloc[0][first] - chosen.iloc[0][second]:+.2f}"

    resnet = {"network": "PreAct ResNet-18"}
    grey, ten, hundred = ({"data": name} | resnet for name in ("Fashion-MNIST", "CIFAR-10", "CIFAR-100"))
    figure = reference.table("lamix-figure-6").set_index("method")["accuracy"]
    no_p, no_clean = SECONDARY["beta1"][0], SECONDARY["no-clean"][0]
    lines = [
        (f"{NONE} minus LaMix", "Table 1, Fashion-MNIST", printed("lamix-1", grey, "Vanilla", "LaMix"), NONE),
        ("Mixup minus LaMix", "Table 1, Fashion-MNIST", printed("lamix-1", grey, "Mixup", "LaMix"), "Mixup"),
        ("CutMix minus LaMix", "Table 1, Fashion-MNIST", printed("lamix-1", grey, "CutMix", "LaMix"), "CutMix"),
        ("Mixup minus LaMix", "Table 6, Tiny-ImageNet", printed("lamix-6", resnet, "Mixup", "LaMix"), None),
        ("Mixup + smoothing 0.1 and 0.3 minus Mixup", "Table 5, CIFAR-100", ", ".join(
            printed("lamix-5", hundred, f"Mixup + smoothing {part}", "Mixup") for part in (0.1, 0.3)), None),
        ("label smoothing 0.2 minus LaMix", "Figure 6, CIFAR-100",
         f"{figure['LaMix'] - figure['label smoothing 0.2']:+.2f}", None),
        ("without clean batches minus LaMix", "Table 7, CIFAR-10",
         printed("lamix-7", ten, "LaMix without original samples", "LaMix"), no_clean),
        ("without p (β = 1) minus LaMix", "Table 8, CIFAR-10",
         printed("lamix-8", ten, "LaMix without global label", "LaMix"), no_p),
        ("β = .3 minus LaMix", "Figure 4, CIFAR-100", "“similar”", SECONDARY["beta0.3"][0]),
        ("λ = ½ minus LaMix", "not in the paper", DASH, SECONDARY["half"][0]),
    ]
    return pandas.DataFrame(
        [(where, theirs, str(beside[row]) if row and beside[row] else DASH) for _, where, theirs, row in lines],
        index=[name for name, *_ in lines], columns=["where", "paper", "here"],
    )

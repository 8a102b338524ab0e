"""The chapter's tables and sentences: the example by hand, and what the records of `comixup` and `puzzlemix` say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product

from torch import Tensor

from mixlab import records, reference
from mixlab.chapters.bench import comparison
from mixlab.chapters.bench.comparison import COLUMNS, measures, on_record
from mixlab.chapters.bench.experiments.bench import ROWS as BENCH
from mixlab.chapters.ch05_puzzlemix.experiments.puzzlemix import rows as puzzle_rows
from mixlab.chapters.ch06_comixup.experiments.comixup import ROWS as OUR_ROWS
from mixlab.records import Difference, said
from mixlab.records.summary import DASH

__all__ = [
    "COLUMNS", "FAMILY", "ROWS", "baseline", "by_hand", "effort", "on_record", "pace", "paper_and_ours", "primary",
    "said", "secondary", "setting", "summary",
]

OURS = OUR_ROWS["comixup"][0]
PUZZLE, CUTMIX = (puzzle_rows("grey")[name][0] for name in ("puzzlemix", "cutmix-clean"))
BASELINES = tuple(BENCH[name][0] for name in ("erm", "mixup", "cutmix"))
CONTROLS, FORMULA = (
    tuple(OUR_ROWS[name][0] for name in names) for names in (("another", "smooth"), ("formula", "formula0.3"))
)
#: The rows that are compared with Co-Mixup as one family, in each setting; Puzzle Mix on grey is the primary one's.
FAMILY = {"grey": (*CONTROLS, CUTMIX, *FORMULA), "colour": (PUZZLE, CUTMIX)}
#: The lines of the tables: the baseline effect first.
ROWS = {
    "grey": (*BASELINES, CUTMIX, PUZZLE, OURS, *FORMULA, *CONTROLS),
    "colour": (*BASELINES, CUTMIX, PUZZLE, OURS),
}
#: The margin of the primary comparison, in points of error.
MARGIN = 1.0


def by_hand(saliency: Tensor, names: Sequence[str], budgets: Sequence[float], beta: float = 0.2, gamma: float = 1.0):
    """The best batch of two outputs for every budget, and the batch without mixing, as a table of strings.

    All batches of whole masks are tried. Every output is a row of cells, the overlap counts equal images (A is the
    identity), and there is no prior.

    Args:
        saliency: (m, n), what each image has in each cell.
        names: of the images.
        budgets: the values of τ, a column each.
        beta, gamma: of formula (1).

    Example:
        >>> import torch
        >>> shown = by_hand(torch.tensor([[0.8, 0.2], [0.4, 0.6]]), ["cat", "rocket"], [0.0, 0.5])
        >>> shown.index[-1], shown.iloc[-1]["f, τ = 0"], shown.iloc[-1]["f, τ = 0.5"]
        ('cat, cat + rocket, rocket', '-2.00 *', '0.00')
    """
    import pandas

    images, cells = saliency.shape
    choices = list(product(range(images), repeat=cells))
    # The order of the outputs does not matter.
    batches = [(first, second) for place, first in enumerate(choices) for second in choices[place:]]
    parts = {batch: _parts(batch, saliency.tolist()) for batch in batches}

    def value(batch, budget: float) -> float:
        shown, borders, overlap = parts[batch]
        # n² m' overlaps are counted in cells, and the term is divided by n.
        return -shown + beta / cells * borders + gamma * cells * 2 * max(budget, overlap)

    best = [min(batches, key=lambda batch: value(batch, budget)) for budget in budgets]
    rows = list(dict.fromkeys([*best[::-1], tuple((image,) * cells for image in range(2))]))
    lines = {}
    for batch in rows:
        shown, borders, overlap = parts[batch]
        lines[" + ".join(", ".join(names[image] for image in output) for output in batch)] = {
            "saliency": f"{shown:.1f}", "borders": str(borders), "mean overlap": f"{overlap:g}",
        } | {
            f"f, τ = {budget:g}": f"{round(value(batch, budget), 6) + 0.0:.2f}" + (" *" if batch == winner else "")
            for budget, winner in zip(budgets, best)
        }
    return pandas.DataFrame.from_dict(lines, orient="index")


def effort(labels: Sequence[int], cells: int = 4) -> str:
    """What it takes to find the best labelling of a square grid, by trying all and along a frontier, a line each.

    Args:
        labels: numbers of labels K.
        cells: of a side.

    Example:
        >>> print(effort([3]))
        K = 3: 43,046,721 labellings, or 3,888 sums along the frontier
    """
    return "\n".join(
        f"K = {count}: {count ** cells**2:,} labellings, or {cells**2 * count ** (cells + 1):,} sums along the frontier"
        for count in labels
    )


def _parts(batch: Sequence[Sequence[int]], saliency: Sequence[Sequence[float]]) -> tuple[float, int, float]:
    """Saliency, borders between different images, and mean overlap of two outputs in images."""
    first, second = batch
    shown = sum(saliency[image][cell] for output in batch for cell, image in enumerate(output))
    borders = sum(left != right for output in batch for left, right in zip(output, output[1:]))
    # Two ordered pairs of outputs, over m' = 2.
    overlap = sum(a == b for a in first for b in second) / len(first) ** 2
    return shown, borders, overlap


def setting(comixup, puzzle, bench, name: str):
    """The records of one setting: Co-Mixup's, and of the other experiments the rows that it is compared with.

    Args:
        comixup, puzzle, bench: records of the three experiments, see `mixlab.reproduce.load`; any may be empty.
        name: "grey" or "colour".
    """
    import pandas

    parts = [comixup, _rows(puzzle, (PUZZLE, CUTMIX)), _rows(bench, BASELINES)]
    parts = [part[part["run"].str.startswith(f"{name}-") & _planned(part)] for part in parts if len(part)]
    parts = [part for part in parts if len(part)]
    frame = pandas.concat(parts, ignore_index=True) if parts else pandas.DataFrame()
    frame.attrs = {"missing": [each for part in (comixup, puzzle, bench) for each in part.attrs.get("missing", [])]}
    return frame


def _rows(frame, rows: Sequence[str]):
    return frame[frame["row"].isin(rows)] if len(frame) else frame


def _planned(frame):
    """Which runs have the length of their recipe: the bench has others, too."""
    return frame["epochs"].isna()


def baseline(frame) -> list[str]:
    """What mixing and the clean loss do without Co-Mixup, a line each: none of it was planned here.

    Args:
        frame: see `setting`.
    """
    erm, _, cutmix = BASELINES
    pairs = ((cutmix, erm), (CUTMIX, cutmix), (PUZZLE, CUTMIX))
    found = [records.compared(frame, second, rows=[first])["test_error"].get(first) for first, second in pairs]
    return [said(f"{first} minus {second}", each) for (first, second), each in zip(pairs, found)]


def pace(frame) -> str:
    """How long runs with Co-Mixup take, see `mixlab.chapters.bench.comparison.pace`."""
    return comparison.pace(frame, ((OURS, PUZZLE), (OURS, BASELINES[2])))


def primary(frame) -> Difference | None:
    """Co-Mixup minus Puzzle Mix, both with the clean loss, error in points; None without records."""
    return records.compared(frame, PUZZLE, rows=[OURS])["test_error"].get(OURS)


def secondary(frame, name: str) -> dict[str, dict[str, Difference]]:
    """The controls and the secondary rows of a setting, one family: each minus Co-Mixup, error in points."""
    return records.compared(frame, OURS, "test_error", rows=FAMILY[name])


def summary(frame, name: str):
    """The records of one setting as a table of strings: the error with its deviation, the other measures as means.

    The differences are to Co-Mixup and one family; that of Puzzle Mix on grey is the primary comparison, turned round
    and corrected for nothing.

    Args:
        frame: see `setting`.
        name: "grey" or "colour".
    """
    minus = dict(secondary(frame, name)["test_error"])
    if name == "grey":
        minus |= records.compared(frame, OURS, rows=[PUZZLE])["test_error"]
    return measures(frame, ROWS[name], **{"minus Co-Mixup": minus})


def paper_and_ours(frames: Mapping[str, object]):
    """What the slides' tables say of the same differences, as a table of strings; above zero is worse than Co-Mixup.

    Theirs are differences of two means in points. Ours are paired by seed and have their interval and no verdict.

    Args:
        frames: "grey" and "colour" -> records, see `setting`.
    """
    import pandas

    errors = reference.table("comixup-errors")
    inputs = reference.table("comixup-4").set_index("inputs")

    def printed(method: str, place: int) -> str:
        return f"{errors.loc[place, method] - errors.loc[place, 'Co-Mixup']:+.2f}"

    def ours(name: str, row: str) -> str:
        found = records.compared(frames[name], OURS, rows=[row])["test_error"].get(row)
        return str(found) if found else DASH

    places = [f"{data}, {network}" for data, network in zip(errors["data"], errors["network"])]
    lines = [("Puzzle Mix minus Co-Mixup", places[0], printed("Puzzle Mix", 0), PUZZLE)]
    lines += [("", place, printed("Puzzle Mix", number), None) for number, place in enumerate(places) if number]
    lines += [
        ("CutMix minus Co-Mixup", places[0], printed("CutMix", 0), BASELINES[2]),
        ("CutMix + clean loss minus Co-Mixup", "not in the paper", DASH, CUTMIX),
        ("Mixup minus Co-Mixup", places[0], printed("Input", 0), BASELINES[1]),
        ("no mixing minus Co-Mixup", places[0], printed("Vanilla", 0), BASELINES[0]),
        ("CutMix, 3 inputs, minus Co-Mixup", places[0],
         f"{inputs.loc[3, 'CutMix'] - inputs.loc[3, 'Co-Mixup']:+.2f}", None),
    ]
    return pandas.DataFrame(
        [(where, theirs, *(ours(name, row) if row else DASH for name in ("grey", "colour")))
         for _, where, theirs, row in lines],
        index=[name for name, *_ in lines], columns=["where", "paper", "here, grey", "here, colour"],
    )

"""Records as settings: numbers by seed, paired comparisons with one of them, and choices made on validation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import mean

from mixlab.analysis.paired import Difference, paired_difference

__all__ = [
    "Comparison", "against", "against_none", "by_seed", "by_width", "changes", "chosen_strengths", "compare",
    "sentences", "strength_table",
]


@dataclass(frozen=True)
class Comparison:
    """The settings of an experiment and what tells each from a reference.

    Attributes:
        values: for every setting, its number by seed.
        differences: every other setting minus the reference, paired by seed.
        reference: the setting that the others are compared with.
        missing: how many runs have no record yet.
    """

    values: dict[str, dict[int, float]]
    differences: dict[str, Difference]
    reference: str
    missing: int

    @property
    def intervals(self) -> dict[str, tuple[float, float, float]]:
        """Mean, low and high of the differences that have two seeds or more."""
        return {name: (each.mean, each.low, each.high) for name, each in self.differences.items() if each.seeds > 1}

    def pair(self, setting: str) -> tuple[dict[int, float], dict[int, float]]:
        """The numbers of the reference and of a setting, for :func:`changes`; empty where nothing is on record."""
        return self.values.get(self.reference, {}), self.values.get(setting, {})

    def __str__(self) -> str:
        lines = sentences(self.differences, self.reference)
        return "\n".join([f"runs without a record yet: {self.missing}", *lines])

    def steps(self) -> str:
        """Each setting against the one before it, in one line a step."""
        lines = []
        for before, after in zip(self.values, list(self.values)[1:]):
            found = against({name: self.values[name] for name in (before, after)}, before)
            lines += sentences(found, before)
        return "\n".join(lines)


def compare(frame, reference: str, numbers: Mapping[int, float] | None = None) -> Comparison:
    """Compare the rows of an experiment with one of them, or with a row of another experiment.

    Args:
        frame: records, see `mixlab.reproduce.load`; it may be empty.
        reference: the row that the others are compared with.
        numbers: its numbers by seed, where it is a row of another experiment with the same settings and seeds.
    """
    values = by_seed(frame) if numbers is None else {reference: dict(numbers)} | by_seed(frame)
    return Comparison(values, against(values, reference), reference, len(frame.attrs.get("missing", [])))


def by_seed(frame, column: str = "test_error") -> dict[str, dict[int, float]]:
    """The numbers of every row of an experiment by seed, in the order of its runs.

    Args:
        frame: records, see `mixlab.reproduce.load`; it may be empty.
        column: which number.
    """
    found: dict[str, dict[int, float]] = {}
    for _, record in frame.iterrows():
        found.setdefault(record["row"], {})[record["seed"]] = record[column]
    return found


def against(values: Mapping[str, Mapping[int, float]], reference: str) -> dict[str, Difference]:
    """Every setting minus the reference, over the seeds that both have; settings without a common seed are left out.

    Example:
        >>> found = against({"none": {0: 3.0, 1: 5.0}, "mixup": {1: 4.0, 0: 2.0}}, "none")
        >>> print(found["mixup"])
        -1.00 [-1.00, -1.00]
    """
    origin = values.get(reference, {})
    found = {}
    for name, numbers in values.items():
        common = sorted(set(numbers) & set(origin))
        if name != reference and common:
            found[name] = paired_difference([numbers[s] for s in common], [origin[s] for s in common])
    return found


def sentences(differences: Mapping[str, Difference], reference: str) -> list[str]:
    """What may be said of each setting, in one line: the difference with its 95 % interval, in points.

    An ordering in words needs five seeds, two standard errors and an interval without zero
    (:attr:`~mixlab.analysis.paired.Difference.ordered`); otherwise the interval stands alone.

    Example:
        >>> from mixlab.analysis.paired import paired_difference
        >>> print(*sentences({"mixup": paired_difference([2.0, 4.1, 6.2], [3.0, 5.0, 7.0])}, "none"))
        mixup minus none: -0.90 [-1.15, -0.65], 3 seeds
        >>> print(*sentences({"mixup": paired_difference([2.0, 4.1, 6.2, 3.0, 5.0], [4.0] * 5)}, "none"))
        mixup minus none: +0.06 [-1.98, +2.10], 5 seeds
    """
    lines = []
    for name, difference in differences.items():
        seeds = "" if difference.seeds == 1 else f", {difference.seeds} seeds"
        order = (": lower" if difference.mean < 0 else ": higher") if difference.ordered else ""
        lines.append(f"{name} minus {reference}: {difference}{seeds}{order}")
    return lines


def by_width(frame, column: str) -> dict[int, dict[float, list[float]]]:
    """A grid of widths and mixing strengths: width -> α -> the numbers of the seeds.

    Args:
        frame: records of `width-strength`.
        column: which number.
    """
    return {width: {alpha: list(seeds.values()) for alpha, seeds in row.items()}
            for width, row in _grid(frame, column).items()}


def against_none(frame, column: str = "test_error") -> dict[str, Difference]:
    """Every width and strength minus the same width without mixing, paired by seed; "width 8, α = 1" -> difference.

    Args:
        frame: records of `width-strength`.
        column: which number.
    """
    return {
        f"width {width}, α = {alpha:g}": difference
        for width, row in _grid(frame, column).items()
        for alpha, difference in sorted(against(row, 0.0).items())
    }


def _grid(frame, column: str) -> dict[int, dict[float, dict[int, float]]]:
    """width -> α -> seed -> number, widths in order."""
    found: dict[int, dict[float, dict[int, float]]] = {}
    for _, record in frame.iterrows():
        row = found.setdefault(record["width"], {})
        row.setdefault(record["risk"]["mixer"]["alpha"], {})[record["seed"]] = record[column]
    return dict(sorted(found.items()))


def chosen_strengths(validation: Mapping[int, Mapping[float, list[float]]]) -> dict[int, float]:
    """For every width, the α with the lowest mean validation error; the smaller one of equals.

    Example:
        >>> chosen_strengths({4: {0.0: [9.0], 1.0: [8.0, 9.0]}})
        {4: 1.0}
    """
    return {width: min(sorted(row), key=lambda alpha: mean(row[alpha])) for width, row in sorted(validation.items())}


def strength_table(frame, chosen: Mapping[int, float]):
    """Test errors and training losses of every width without mixing, at the chosen strength and at the strongest.

    Args:
        frame: records of `width-strength`.
        chosen: for every width, the α that validation chose.

    Returns:
        A pandas DataFrame with a row for each width and setting that is on record; the strongest is so among those.
    """
    import pandas

    test, train = by_width(frame, "test_error"), by_width(frame, "train_loss")
    rows = []
    for width, alpha in chosen.items():
        named = {0.0: "none", max(test[width]): "strongest", alpha: "chosen"}
        for setting, strength in ((each, name) for each, name in named.items() if each in test[width]):
            errors, losses = (pandas.Series(part[width][setting], dtype=float) for part in (test, train))
            rows.append({
                "width": width, "α": setting, "strength": strength, "seeds": len(errors),
                "test error, %": errors.mean(), "sd": errors.std(), "training loss, nats": losses.mean(),
            })
    return pandas.DataFrame(rows)


def changes(pairs: Mapping[str, tuple[Mapping[int, float] | float, Mapping[int, float] | float]]):
    """Two settings side by side: means over their common seeds, the relative change, and the paired difference.

    Args:
        pairs: for every line of the table, the numbers by seed before and after; or two printed numbers, of which
            nobody knows how many seeds stand behind them.

    Returns:
        A pandas DataFrame. The last column is the difference in the numbers' own unit, with its 95 % interval where
        there are seeds; lines without a common seed hold NaN and a dash.

    Example:
        >>> changes({"paper": (25.6, 21.1)})["change, %"].round(1).tolist()
        [-17.6]
    """
    import pandas

    rows = {name: _printed(*pair) if isinstance(pair[0], float) else _paired(*pair) for name, pair in pairs.items()}
    table = pandas.DataFrame.from_dict(rows, orient="index", columns=["seeds", "before", "after", "difference"])
    table.insert(3, "change, %", 100 * (table["after"] / table["before"] - 1))
    return table


def _printed(before: float, after: float) -> tuple:
    return "–", before, after, f"{after - before:+.2f}"


def _paired(before: Mapping[int, float], after: Mapping[int, float]) -> tuple:
    common = sorted(set(before) & set(after))
    if not common:
        return 0, float("nan"), float("nan"), "–"
    first, second = (mean(part[seed] for seed in common) for part in (before, after))
    return len(common), first, second, str(against({"before": before, "after": after}, "before")["after"])

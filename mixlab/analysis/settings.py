"""Records as settings: numbers by seed, paired comparisons with one of them, and choices made on validation."""

from __future__ import annotations

from collections.abc import Mapping

from mixlab.analysis.paired import Difference, paired_difference

__all__ = ["against", "by_seed", "by_width", "chosen_strengths", "sentences"]


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
    """What the intervals allow to be said, one sentence for each setting; three seeds give intervals, no ranking.

    Example:
        >>> from mixlab.analysis.paired import paired_difference
        >>> print(*sentences({"mixup": paired_difference([2.0, 4.1, 6.2], [3.0, 5.0, 7.0])}, "none"))
        mixup: 3 seeds, error lower than with none: the 95 % interval leaves out zero.
    """
    lines = []
    for name, difference in differences.items():
        side = "lower" if difference.high < 0 else "higher" if difference.low > 0 else ""
        said = (
            f"error {side} than with {reference}: the 95 % interval leaves out zero."
            if side
            else f"not told apart from {reference}: the 95 % interval holds zero."
        )
        lines.append(f"{name}: {difference.seeds} seed{'s' * (difference.seeds > 1)}, {said}")
    return lines


def by_width(frame, column: str) -> dict[int, dict[float, list[float]]]:
    """A grid of widths and mixing strengths: width -> α -> the numbers of the seeds.

    Args:
        frame: records of `width-strength`.
        column: which number.
    """
    found: dict[int, dict[float, list[float]]] = {}
    for _, record in frame.iterrows():
        alphas = found.setdefault(record["width"], {})
        alphas.setdefault(record["risk"]["mixer"]["alpha"], []).append(record[column])
    return found


def chosen_strengths(validation: Mapping[int, Mapping[float, list[float]]]) -> dict[int, float]:
    """For every width, the α with the lowest mean validation error; the smaller one of equals.

    Example:
        >>> chosen_strengths({4: {0.0: [9.0], 1.0: [8.0, 9.0]}})
        {4: 1.0}
    """
    def mean(numbers: list[float]) -> float:
        return sum(numbers) / len(numbers)

    return {width: min(sorted(row), key=lambda alpha: mean(row[alpha])) for width, row in sorted(validation.items())}

"""The records of the uncertainty study, read as an answer: which score finds a network's errors?"""

from __future__ import annotations

from collections.abc import Mapping

from mixlab.analysis import settings
from mixlab.analysis.k_images import spread
from mixlab.analysis.paired import Difference

__all__ = ["areas", "detection_table", "points", "verdict"]

SINGLE_PASS = "single pass"
#: column of the table -> measure and decimals
COLUMNS = {
    "AUROC, entropy": ("auroc", 3), "AUROC, 1 - max p": ("auroc_confidence", 3), "error of the mean, %": ("error", 2)
}
#: network -> method -> seed -> number
Areas = Mapping[str, Mapping[str, Mapping[int, float]]]


def areas(frame, measure: str = "auroc") -> dict[str, dict[str, dict[int, float]]]:
    """A measure of every method, as network -> method -> seed -> number.

    Args:
        frame: records of the experiment "uncertainty", see `mixlab.reproduce.load`; it may be empty.
        measure: "auroc" (of the entropy), "auroc_confidence" (of one minus the largest probability) or "error" (%).
    """
    found: dict[str, dict[str, dict[int, float]]] = {}
    for _, row in frame.iterrows():
        for method, number in row[measure].items():
            found.setdefault(row["row"], {}).setdefault(method, {})[row["seed"]] = number
    return found


def points(found: Areas) -> dict[str, dict[str, list[float]]]:
    """The same for a figure: network -> method -> numbers of the seeds."""
    return {network: {method: list(seeds.values()) for method, seeds in methods.items()}
            for network, methods in found.items()}


def verdict(found: Areas) -> str:
    """What both readings are worth beside each of the other scores and beside each other, one line per comparison.

    An ordering, higher or lower, is printed where :attr:`~mixlab.analysis.paired.Difference.ordered` allows it;
    otherwise the interval speaks.

    Args:
        found: areas under the curve, see :func:`areas`.
    """
    if not found:
        return "No run is on record: nothing can be said."
    lines = []
    for network, methods in found.items():
        lines.append(network)
        readings = [method for method in methods if "reading" in method]
        for reference in (method for method in methods if method not in readings):
            differences = settings.against(methods, reference)
            lines += [_sentence(reading, reference, differences[reading]) for reading in readings]
        for first, second in zip(readings, readings[1:]):
            lines.append(_sentence(first, second, settings.against(methods, second)[first]))
    return "\n".join(lines)


def detection_table(frame):
    """One line per network and method: both areas and the method's own error, each beside the single pass's.

    Returns:
        A pandas DataFrame of strings, indexed by network and score, with two columns a measure: mean ± standard
        deviation (seeds), and the paired difference to the single pass with its 95 % interval.
    """
    import pandas

    lines = {}
    for title, (measure, digits) in COLUMNS.items():
        for network, methods in areas(frame, measure).items():
            differences = settings.against(methods, SINGLE_PASS)
            for method, seeds in methods.items():
                line = lines.setdefault((network, method), {})
                line[title, "mean ± s.d. (seeds)"] = spread(list(seeds.values()), digits)
                line[title, "minus single pass"] = _interval(differences.get(method), digits)
    table = pandas.DataFrame.from_dict(lines, orient="index")
    return table.rename_axis(["network", "score"]) if lines else table


def _sentence(method: str, reference: str, difference: Difference) -> str:
    ordering = ("higher" if difference.mean > 0 else "lower") if difference.ordered else "no ordering"
    first, second = (name.removeprefix("composites, ") for name in (method, reference))
    return f"  {first} minus {second}: {_interval(difference, 3)}: {ordering}"


def _interval(difference: Difference | None, digits: int) -> str:
    if difference is None:
        return ""
    if difference.seeds == 1:
        return f"{difference.mean:+.{digits}f}, one seed"
    return f"{difference.mean:+.{digits}f} [{difference.low:+.{digits}f}, {difference.high:+.{digits}f}]"

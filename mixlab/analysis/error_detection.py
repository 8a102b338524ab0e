"""The records of the uncertainty study, read as an answer: which score finds a network's errors?"""

from __future__ import annotations

from collections.abc import Mapping

from mixlab.analysis.k_images import spread
from mixlab.analysis.paired import Difference, paired_difference

__all__ = ["against", "areas", "detection_table", "points", "verdict"]

SINGLE_PASS = "single pass"
COLUMNS = [
    "network", "score", "AUROC, entropy", "AUROC, 1 - max p", "minus single pass", "ordering", "error of the mean, %",
]
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


def against(found: Areas, reference: str = SINGLE_PASS) -> dict[str, dict[str, Difference]]:
    """Every method minus a reference method on the same network, over the seeds they share."""
    return {
        network: {
            method: paired_difference([seeds[s] for s in sorted(seeds)], [methods[reference][s] for s in sorted(seeds)])
            for method, seeds in methods.items() if method != reference
        }
        for network, methods in found.items()
    }


def verdict(found: Areas) -> str:
    """What both readings are worth beside each of the other scores, one line per comparison.

    An ordering is printed for at least five seeds and two standard errors; otherwise the interval speaks.
    """
    if not found:
        return "No run is on record: nothing can be said."
    lines = []
    for network, methods in found.items():
        lines.append(network)
        readings = [method for method in methods if "reading" in method]
        for reference in (method for method in methods if method not in readings):
            differences = against({network: methods}, reference)[network]
            lines += [f"  {reading.removeprefix('composites, ')} minus {reference}: {_interval(differences[reading])}: "
                      f"{_ordering(differences[reading]) or 'no ordering'}" for reading in readings]
    return "\n".join(lines)


def detection_table(frame):
    """One line per network and method: areas, the difference to the single pass, and the method's own error.

    Returns:
        A pandas DataFrame of strings, indexed by network and score: mean ± standard deviation (seeds), the difference
        with its 95 % interval, and whether an ordering may be printed (five seeds, two standard errors).
    """
    import pandas

    found, confidence, error = areas(frame), areas(frame, "auroc_confidence"), areas(frame, "error")
    differences = against(found)
    rows = []
    for network, methods in found.items():
        for method, seeds in methods.items():
            difference = differences[network].get(method)
            rows.append({
                "network": network, "score": method,
                "AUROC, entropy": spread(list(seeds.values()), 3),
                "AUROC, 1 - max p": spread(list(confidence[network][method].values()), 3),
                "minus single pass": _interval(difference),
                "ordering": _ordering(difference),
                "error of the mean, %": spread(list(error[network][method].values())),
            })
    return pandas.DataFrame(rows, columns=COLUMNS).set_index(["network", "score"])


def _interval(difference: Difference | None) -> str:
    if difference is None:
        return ""
    if difference.seeds == 1:
        return f"{difference.mean:+.4f}, one seed"
    return f"{difference.mean:+.4f} [{difference.low:+.4f}, {difference.high:+.4f}]"


def _ordering(difference: Difference | None) -> str:
    if difference is None or not difference.ordered:
        return ""
    return "better" if difference.mean > 0 else "worse"

"""The records of the K-image grid, read as an answer: does mixing more than two images help?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import mean, stdev

from mixlab.analysis.paired import MINIMUM_SEEDS, Difference
from mixlab.analysis.settings import against

__all__ = [
    "against_two",
    "against_unmixed",
    "errors_by_k",
    "family",
    "many_against_two",
    "middle",
    "nested_against_pasted",
    "panels",
    "spread",
    "table_by_k",
    "unmixed",
    "verdict",
]

COMPOSITIONS = {"dcutmix": "nested", "pasted-cutmix": "pasted"}
#: family -> K -> seed -> test error in percent
Errors = Mapping[str, Mapping[int, Mapping[int, float]]]


def family(risk: Mapping) -> tuple[str, int] | None:
    """What a setting mixes apart from K, and its K; None for a setting without mixing.

    Args:
        risk: a specification with a mixer of `k` and `alpha`, see `mixlab.risk.build_risk`.

    Example:
        >>> family({"name": "vicinal", "mixer": {"name": "dcutmix", "k": 5, "alpha": 0.2}})
        ('nested, α = 1/K', 5)
        >>> family({"name": "manifold", "mixer": {"name": "dmixup", "k": 3, "alpha": 1.0}, "layers": [""]})
        ('Manifold Mixup, α = 1', 3)
    """
    if "mixer" not in risk:
        return None
    mixer = risk["mixer"]
    k, alpha = mixer["k"], mixer["alpha"]
    concentration = "1/K" if abs(alpha * k - 1) < 1e-9 else f"{alpha:g}"
    linear = "Manifold Mixup" if risk["name"] == "manifold" else "Input Mixup"
    return f"{COMPOSITIONS.get(mixer['name'], linear)}, α = {concentration}", k


def errors_by_k(frame) -> dict[str, dict[int, dict[int, float]]]:
    """Test errors as family -> K -> seed -> percent; rows without mixing are left out."""
    found: dict[str, dict[int, dict[int, float]]] = {}
    for _, row in frame.iterrows():
        if (kind := family(row["risk"])) is not None:
            name, k = kind
            found.setdefault(name, {}).setdefault(k, {})[row["seed"]] = row["test_error"]
    return {name: dict(sorted(by_k.items())) for name, by_k in found.items()}


def against_two(errors: Errors) -> dict[tuple[str, int], Difference]:
    """Error at K minus error at K = 2 of the same family and the same seeds; (family, K) -> difference.

    Pairs without a common seed are left out.
    """
    return {(name, k): each for name, by_k in errors.items() for k, each in against(by_k, 2).items()}


def against_unmixed(frame) -> dict[tuple[str, int], Difference]:
    """Error of every setting that mixes minus the error without mixing at the same seeds; (family, K) -> difference."""
    none = {row["seed"]: row["test_error"] for _, row in frame.iterrows() if family(row["risk"]) is None}
    return {
        (name, k): each
        for name, by_k in errors_by_k(frame).items()
        for k, each in against({"none": none, **by_k}, "none").items()
    }


def many_against_two(errors: Errors) -> dict[str, Difference]:
    """The mean error over all K > 2 minus the error at K = 2; family -> difference.

    One comparison a family instead of one for every K. Only seeds that every K has are used, so that all means are of
    the same settings.

    Example:
        >>> print(many_against_two({"nested, α = 1": {2: {0: 9.0}, 3: {0: 8.0}, 5: {0: 9.0}}})["nested, α = 1"])
        -0.50, one seed
    """
    found = {}
    for name, by_k in errors.items():
        more = [seeds for k, seeds in by_k.items() if k != 2]
        common = set.intersection(*map(set, more)) if more else set()
        many = {seed: mean(seeds[seed] for seeds in more) for seed in common}
        if each := against({"two": by_k.get(2, {}), "many": many}, "two"):
            found[name] = each["many"]
    return found


def nested_against_pasted(errors: Errors) -> dict[tuple[str, int], Difference]:
    """Error of nested minus error of pasted boxes at the same α, K and seeds; (α, K) -> difference.

    Example:
        >>> found = nested_against_pasted({"nested, α = 1": {5: {0: 9.0}}, "pasted, α = 1": {5: {0: 8.0}}})
        >>> print(*found, found["α = 1", 5])
        ('α = 1', 5) +1.00, one seed
    """
    found = {}
    for name, by_k in errors.items():
        composition, concentration = name.split(", ")
        pasted = errors.get(f"pasted, {concentration}", {}) if composition == "nested" else {}
        for k in by_k.keys() & pasted.keys():
            if each := against({"nested": by_k[k], "pasted": pasted[k]}, "pasted"):
                found[concentration, k] = each["nested"]
    return dict(sorted(found.items()))


def verdict(differences: Mapping[object, Difference]) -> str:
    """What some differences allow to be said together: how many intervals lie on which side of zero.

    Beside them stands how many would leave zero out by chance, if nothing differed; nothing is corrected for their
    number. Differences of one seed have no interval and are counted apart. Orderings are counted only with five seeds
    (see :attr:`~mixlab.analysis.paired.Difference.ordered`).

    Example:
        >>> from mixlab.analysis.paired import paired_difference
        >>> print(verdict({("nested, α = 1", 3): paired_difference([9.0, 9.1, 9.2], [9.1, 9.0, 9.2])}))
        1 comparison: 0 intervals below zero, 0 above, 1 around it.
        By chance alone 0.1 would leave it out.
        3 seeds are too few to order anything.
    """
    if not differences:
        return "No comparison is on record: nothing can be said."
    tested = [each for each in differences.values() if each.seeds > 1]
    lines = [_sides(tested)] if tested else []
    if single := len(differences) - len(tested):
        lines.append(f"{_number(single, 'comparison')} of one seed: no interval, nothing can be told.")
    enough = [each for each in tested if each.seeds >= MINIMUM_SEEDS]
    if enough:
        lower = sum(each.ordered and each.mean < 0 for each in enough)
        higher = sum(each.ordered and each.mean > 0 for each in enough)
        lines.append(f"With {MINIMUM_SEEDS} seeds or more: {lower} lower, {higher} higher, "
                     f"{len(enough) - lower - higher} undecided.")
    elif tested:
        lines.append(f"{max(each.seeds for each in tested)} seeds are too few to order anything.")
    return "\n".join(lines)


def _sides(tested: Sequence[Difference]) -> str:
    below, above = sum(each.high < 0 for each in tested), sum(each.low > 0 for each in tested)
    return (f"{_number(len(tested), 'comparison')}: {_number(below, 'interval')} below zero, {above} above, "
            f"{len(tested) - below - above} around it.\nBy chance alone {0.05 * len(tested):.1f} would leave it out.")


def _number(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


def table_by_k(errors: Errors):
    """Errors as a table to read: one line per K, one column per family, `mean ± standard deviation (seeds)`.

    Args:
        errors: see `errors_by_k`.

    Returns:
        A pandas DataFrame of strings; empty where a family has no such K or no record yet.
    """
    import pandas

    columns = {name: {k: spread(list(seeds.values())) for k, seeds in by_k.items()} for name, by_k in errors.items()}
    return pandas.DataFrame(columns).sort_index().rename_axis("K").fillna("")


def panels(errors: Errors) -> dict[str, dict[str, dict[int, list[float]]]]:
    """Errors for a figure: panel -> series -> K -> results, one panel for each way to compose K images.

    Example:
        >>> panels({"pasted, α = 1": {2: {0: 9.0}}, "Input Mixup, α = 1": {2: {0: 8.0}}})["blends"]
        {'Input Mixup': {2: [8.0]}}
    """
    found: dict[str, dict[str, dict[int, list[float]]]] = {"nested boxes": {}, "pasted boxes": {}, "blends": {}}
    for name, by_k in errors.items():
        composition, concentration = name.split(", ")
        blended = composition.endswith("Mixup")
        panel, series = ("blends", composition) if blended else (f"{composition} boxes", concentration)
        found[panel][series] = {k: list(seeds.values()) for k, seeds in by_k.items()}
    return found


def unmixed(frame) -> list[float]:
    """Test errors of the runs without mixing, one per seed."""
    return [row["test_error"] for _, row in frame.iterrows() if family(row["risk"]) is None]


def middle(values: Sequence[float]) -> float:
    """Mean of the results, NaN where there is none."""
    return mean(values) if values else float("nan")


def spread(values: Sequence[float], digits: int = 2) -> str:
    """Mean, standard deviation (ddof 1) and number of results in one string; a dash where there is none.

    Example:
        >>> spread([1.0, 2.0, 3.0]), spread([4.0])
        ('2.00 ± 1.00 (3)', '4.00 (1)')
    """
    if len(values) < 2:
        return f"{values[0]:.{digits}f} (1)" if values else "–"
    return f"{mean(values):.{digits}f} ± {stdev(values):.{digits}f} ({len(values)})"

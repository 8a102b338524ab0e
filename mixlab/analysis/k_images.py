"""The records of the K-image grid, read as an answer: does mixing more than two images help?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import mean, stdev

from mixlab.analysis.paired import MINIMUM_SEEDS, Difference, paired_difference

__all__ = [
    "against_two", "errors_by_k", "family", "middle", "panels", "spread", "table_by_k", "unmixed", "verdict"
]

COMPOSITIONS = {"dcutmix": "nested", "pasted-cutmix": "pasted"}


def family(risk: Mapping) -> tuple[str, int] | None:
    """What a setting mixes apart from K, and its K; None for a setting without mixing.

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


def against_two(errors: Mapping[str, Mapping[int, Mapping[int, float]]]) -> dict[tuple[str, int], Difference]:
    """Error at K minus error at K = 2 of the same family and the same seeds; (family, K) -> difference.

    Pairs without a common seed are left out.
    """
    differences = {}
    for name, by_k in errors.items():
        two = by_k.get(2, {})
        for k, seeds in by_k.items():
            common = sorted(set(seeds) & set(two))
            if k != 2 and common:
                differences[name, k] = paired_difference([seeds[s] for s in common], [two[s] for s in common])
    return differences


def verdict(differences: Mapping[tuple[str, int], Difference]) -> str:
    """What the differences to K = 2 allow to be said, in one sentence.

    An ordering needs at least five seeds and two standard errors; below that the count of 95 % intervals that leave
    out zero is given, beside the number that chance alone would be expected to produce.

    Example:
        >>> from mixlab.analysis.paired import paired_difference
        >>> print(verdict({("nested, α = 1", 3): paired_difference([9.0, 9.1, 9.2], [9.1, 9.0, 9.2])}))
        1 comparison with K = 2: 0 intervals below zero, 0 above, 1 around it (0.1 expected to leave it out by chance);
        3 seeds: K > 2 is not confirmed to help at this scale.
    """
    if not differences:
        return "No comparison with K = 2 is on record: nothing can be said."
    below = sum(difference.high < 0 for difference in differences.values())
    above = sum(difference.low > 0 for difference in differences.values())
    seeds = min(difference.seeds for difference in differences.values())
    count = len(differences)
    around = count - below - above
    tested = (f"{count} comparison{'s' * (count > 1)} with K = 2: {below} intervals below zero, {above} above, "
              f"{around} around it ({0.05 * count:.1f} expected to leave it out by chance); {seeds} seeds")
    helped = sum(difference.ordered and difference.mean < 0 for difference in differences.values())
    if seeds >= MINIMUM_SEEDS and helped > count / 2:
        return f"{tested}: K > 2 helps in {helped} of them."
    return f"{tested}: K > 2 is not confirmed to help at this scale."


def table_by_k(errors: Mapping[str, Mapping[int, Mapping[int, float]]]):
    """Errors as a table to read: one line per K, one column per family, `mean ± standard deviation (seeds)`.

    Args:
        errors: see `errors_by_k`.

    Returns:
        A pandas DataFrame of strings; empty where a family has no such K or no record yet.
    """
    import pandas

    columns = {name: {k: spread(list(seeds.values())) for k, seeds in by_k.items()} for name, by_k in errors.items()}
    return pandas.DataFrame(columns).sort_index().rename_axis("K").fillna("")


def panels(errors: Mapping[str, Mapping[int, Mapping[int, float]]]) -> dict[str, dict[str, dict[int, list[float]]]]:
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

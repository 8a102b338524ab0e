"""What orders the settings of the K-image grid: the number of images K, or how many of them count?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, permutations

import torch
from torch import Tensor

from mixlab.analysis.k_images import family
from mixlab.analysis.paired import Difference
from mixlab.analysis.settings import against
from mixlab.analysis.shares import measured_effective_images
from mixlab.data.registry import find
from mixlab.mixers import from_config

__all__ = ["Setting", "at_one_number", "decided", "points", "rank_correlations", "settings"]


@dataclass(frozen=True, eq=False)
class Setting:
    """A setting of the grid: what it mixes, how many of its images count, and what came of it.

    Args:
        family: all of the setting but K.
        k: number of images K.
        effective: one over the mean of the summed squared shares, as drawn for images of the data's size.
        largest: mean share of the image that has most of the picture, in the same draws.
        errors: test error by seed, in percent.
    """

    family: str
    k: int
    effective: float
    largest: float
    errors: dict[int, float]

    def __str__(self) -> str:
        return f"{self.family}, K = {self.k}"


def settings(frame, n: int, *, generator: torch.Generator) -> list[Setting]:
    """The settings that mix, each with the effective number of its own shares in whole pixels.

    Args:
        frame: records of the grid, see `mixlab.reproduce.load`; it may be empty.
        n: mixes drawn for each setting.
        generator: source of the draws, a CPU one.
    """
    found: dict[tuple[str, int], Setting] = {}
    for _, row in frame.iterrows():
        if (kind := family(row["risk"])) is None:
            continue
        if kind not in found:
            shares = _shares(row["risk"]["mixer"], row["data"], n, generator)
            largest = float(shares.amax(1).double().mean())
            found[kind] = Setting(*kind, measured_effective_images(shares), largest, {})
        found[kind].errors[row["seed"]] = row["test_error"]
    return list(found.values())


def _shares(mixer: Mapping, data: str, n: int, generator: torch.Generator) -> Tensor:
    images = torch.zeros(1).expand(n, *find(data).shape)  # one number, seen n times: a draw looks at the shape alone
    return from_config(mixer).draw(images, generator=generator).shares


def rank_correlations(of: Sequence[Setting]) -> dict[str, list[float]]:
    """Spearman's rank correlation of the test error with each number that a setting has, one for each seed.

    Only seeds that every setting has are used; tied ranks are averaged. NaN where a number is the same for all.

    Example:
        >>> found = rank_correlations([Setting("a", 2, 1.5, 0.7, {0: 9.0}), Setting("b", 9, 1.4, 0.8, {0: 8.0})])
        >>> {name: [round(each, 2) for each in values] for name, values in found.items()}
        {'K': [-1.0], 'effective number': [1.0], 'largest share': [-1.0]}
    """
    from scipy.stats import spearmanr

    numbers = {
        "K": [each.k for each in of],
        "effective number": [each.effective for each in of],
        "largest share": [each.largest for each in of],
    }
    return {
        name: [float(spearmanr(values, [each.errors[seed] for each in of]).statistic) for seed in _common(of)]
        for name, values in numbers.items()
    }


def decided(of: Sequence[Setting], within: float) -> tuple[int, list[int]]:
    """Pairs in which fewer images K have the larger effective number, and in how many of them this one errs more.

    Args:
        of: settings.
        within: numbers that differ by no more than this part count as equal, and their pair as no dispute.

    Returns:
        The number of such pairs, and for each seed that every setting has the number of those in which the error
        goes with the effective number and against K.

    Example:
        >>> decided([Setting("a", 2, 1.5, 0.7, {0: 9.0}), Setting("b", 9, 1.4, 0.8, {0: 8.0})], within=0.02)
        (1, [1])
    """
    pairs = [(a, b) for a, b in permutations(of, 2) if a.k < b.k and a.effective > b.effective]
    pairs = [(a, b) for a, b in pairs if not _equal(a, b, within)]
    return len(pairs), [sum(a.errors[seed] > b.errors[seed] for a, b in pairs) for seed in _common(of)]


def at_one_number(of: Sequence[Setting], within: float) -> dict[tuple[Setting, Setting], Difference]:
    """Error of one setting minus that of another with the same effective number, for every such pair.

    Args:
        of: settings.
        within: numbers that differ by no more than this part count as equal.

    Returns:
        Differences paired by seed; pairs without a common seed are left out. In a pair the setting with more images
        comes first, or the one that comes first among `of` where both have as many.

    Example:
        >>> two, nine = Setting("a", 2, 1.50, 0.7, {0: 9.0}), Setting("b", 9, 1.49, 0.8, {0: 8.0})
        >>> [(one.k, other.k, str(each)) for (one, other), each in at_one_number([two, nine], within=0.02).items()]
        [(9, 2, '-1.00, one seed')]
    """
    pairs = [sorted(pair, key=lambda each: -each.k) for pair in combinations(of, 2) if _equal(*pair, within)]
    found = {(a, b): against({"a": a.errors, "b": b.errors}, "b") for a, b in pairs}
    return {pair: each["a"] for pair, each in found.items() if each}


def _equal(a: Setting, b: Setting, within: float) -> bool:
    return abs(a.effective - b.effective) <= within * max(a.effective, b.effective)


def points(of: Sequence[Setting]) -> dict[str, list[tuple[dict[str, float], list[float]]]]:
    """Settings for a figure: family -> K and effective number, and the seeds' errors, of each setting.

    Example:
        >>> points([Setting("nested", 2, 1.5, 0.7, {0: 9.0, 1: 9.5})])
        {'nested': [({'images mixed, K': 2, 'effective number of images': 1.5}, [9.0, 9.5])]}
    """
    found: dict[str, list[tuple[dict[str, float], list[float]]]] = {}
    for each in of:
        numbers = {"images mixed, K": each.k, "effective number of images": each.effective}
        found.setdefault(each.family, []).append((numbers, list(each.errors.values())))
    return found


def _common(of: Sequence[Setting]) -> list[int]:
    return sorted(set.intersection(*(set(each.errors) for each in of))) if of else []

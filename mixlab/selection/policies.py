r"""Which rows to keep, given what every row scores.

.. math:: D = \bigcup_c S\big(\{O(L_i) : l_i = c\},\, t\big)

O is a score and S keeps the part t of every class (K-image paper, eq. 9). The paper's S(.) is not spelled out: here it
keeps the :math:`\lceil t N_c \rceil` rows of class c with the largest score. The other curves of its figure 3 (easy,
hard, plain standard deviation, random) and some more are policies beside it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from mixlab.data.stratify import part_of

if TYPE_CHECKING:
    from mixlab.bayes import Scores
    from mixlab.data import Split

__all__ = ["DRAWN", "POLICIES", "choose", "select"]

#: The policies that draw, and need a generator.
DRAWN = ("random", "stratified", "proportional")
#: All policies.
POLICIES = ("high-cv", "low-cv", "easy", "hard", "std", *DRAWN)
_RANKED = {"high-cv": ("cv", "largest"), "low-cv": ("cv", "smallest"), "easy": ("mean", "smallest"),
           "hard": ("mean", "largest"), "std": ("std", "largest")}


def select(
    scores: Scores | Split,
    t: float,
    policy: str = "high-cv",
    *,
    per_class: bool = True,
    generator: torch.Generator | None = None,
) -> Tensor:
    r"""Choose the part ``t`` of the rows by a policy.

    - ``"high-cv"``, ``"low-cv"``: the largest or the smallest coefficients of variation of the loss.
    - ``"easy"``, ``"hard"``: the smallest or the largest mean losses.
    - ``"std"``: the largest standard deviations.
    - ``"random"``: all rows alike. It asks for no score, so a `Split` does in place of `Scores`.
    - ``"stratified"``: rows sorted by mean loss are cut into as many groups as are to be kept (quantiles, whose sizes
      differ by one at most), and each gives one of its rows, drawn uniformly.
    - ``"proportional"``: drawn without replacement, one after another, with probabilities proportional to CV; rows
      of CV 0 come after all others.

    A policy that draws takes one number from the generator for every row, in the order of the rows' numbers. So with
    one seed, what ``"random"`` and ``"proportional"`` keep at a small t is kept at a larger one, as it is by those that
    only rank.

    Args:
        scores: of every candidate, in any order: anything with ``rows`` and ``labels``, and ``mean``, ``std`` or ``cv``
            where the policy asks for them.
        t: part to keep, in (0, 1].
        policy: one of `POLICIES`.
        per_class: keep :math:`\lceil t N_c \rceil` of the rows of each class c; else :math:`\lceil t N \rceil` of all.
        generator: source of randomness, a CPU one, for the policies in `DRAWN`; others leave it alone.

    Returns:
        ``(n,)`` int64, the rows' numbers in the set's own file, ascending. They do not depend on the order of the
        scores; of equal scores the smaller numbers are kept.

    Raises:
        ValueError: for a t outside (0, 1], an unknown policy, one that draws without a generator, scores that are not
            finite or have a row twice, or, without ``per_class``, a class that would end up empty.

    Source: K-image paper, section 3.1, eq. 9, and appendix C, figure 3; ``"proportional"``: Efraimidis and Spirakis
    2006, "Weighted random sampling with a reservoir".

    Example:
        >>> from mixlab.bayes import Scores
        >>> rows, labels = torch.arange(6), torch.tensor([0, 0, 0, 1, 1, 1])
        >>> mean, std = torch.tensor([1.0, 2, 3, 1, 2, 3]).double(), torch.tensor([1.0, 1, 1, 2, 5, 2]).double()
        >>> scores = Scores(rows, labels, mean, std, draws=256, about={})
        >>> select(scores, 0.3).tolist(), select(scores, 0.5, "easy").tolist()
        ([0, 4], [0, 1, 3, 4])
        >>> select(scores, 0.1, "random", generator=torch.Generator().manual_seed(0)).tolist()
        [2, 4]
    """
    if policy not in POLICIES:
        raise ValueError(f"expected a policy of {', '.join(POLICIES)}, received {policy!r}")
    if policy in _RANKED:
        measure, keep = _RANKED[policy]
        return choose(getattr(scores, measure), scores.rows, scores.labels, t, keep=keep, per_class=per_class)
    if generator is None:
        raise ValueError(f"expected a generator with the policy {policy}, which draws, received none")
    uniform = torch.empty(len(scores.rows), dtype=torch.float64)
    uniform[scores.rows.argsort()] = torch.rand(len(uniform), dtype=torch.float64, generator=generator)
    if policy == "random":
        return choose(uniform, scores.rows, scores.labels, t, keep="smallest", per_class=per_class)
    measured = scores.cv if policy == "proportional" else scores.mean
    _check(measured, scores.rows, scores.labels)
    if policy == "stratified":
        return _stratified(measured, uniform, scores.rows, scores.labels, t, per_class)
    # The first of exponential clocks with these rates to ring is i with probability rate_i / sum of rates, and so on.
    rings = torch.where(measured > 0, -torch.log1p(-uniform) / measured, torch.inf)
    rings = rings.clamp(max=torch.finfo(torch.float64).max)
    return choose(rings, scores.rows, scores.labels, t, keep="smallest", per_class=per_class)


def choose(
    values: Tensor,
    rows: Tensor,
    labels: Tensor,
    t: float,
    *,
    keep: str = "largest",
    per_class: bool = True,
) -> Tensor:
    r"""Keep the part ``t`` of the rows with the largest or the smallest values, class by class.

    Args:
        values: ``(N,)`` of any real type, a score of every row, such as one of `mixlab.selection.baselines`.
        rows: ``(N,)`` int64, their numbers.
        labels: ``(N,)`` int64, their classes.
        t: part to keep, in (0, 1].
        keep: ``"largest"`` or ``"smallest"``.
        per_class: keep :math:`\lceil t N_c \rceil` rows of each class c; else :math:`\lceil t N \rceil` of all.

    Returns:
        ``(n,)`` int64, the numbers of the rows that are kept, ascending. Of equal values the smaller numbers are kept.

    Raises:
        ValueError: for a t outside (0, 1], another ``keep``, other shapes, values that are not finite, a row twice, or,
            without ``per_class``, a class that would end up empty.

    Source: K-image paper, section 3.1, eq. 9.

    Example:
        >>> values, rows, labels = torch.tensor([0.3, 0.1, 0.2, 0.9]), torch.arange(4), torch.tensor([0, 0, 0, 1])
        >>> choose(values, rows, labels, 0.5).tolist(), choose(values, rows, labels, 0.5, keep="smallest").tolist()
        ([0, 2, 3], [1, 2, 3])
    """
    _check(values, rows, labels)
    if keep not in ("largest", "smallest"):
        raise ValueError(f"expected to keep 'largest' or 'smallest', received {keep!r}")
    kept = []
    for group in groups(rows, labels, per_class):
        ranked = group[values[group].argsort(descending=keep == "largest", stable=True)]
        kept.append(ranked[: part_of(t, len(group))])
    return _whole(torch.cat(kept), rows, labels)


def _stratified(values: Tensor, keys: Tensor, rows: Tensor, labels: Tensor, t: float, per_class: bool) -> Tensor:
    """Of each of as many quantile groups as rows are to be kept, the row with the smallest key."""
    kept = []
    for group in groups(rows, labels, per_class):
        ranked, count = group[values[group].argsort(stable=True)], part_of(t, len(group))
        ends = [place * len(group) // count for place in range(count + 1)]
        kept += [ranked[start:end][keys[ranked[start:end]].argmin()] for start, end in zip(ends, ends[1:])]
    return _whole(torch.stack(kept), rows, labels)


def groups(rows: Tensor, labels: Tensor, per_class: bool = True) -> Iterator[Tensor]:
    """The places of the rows of each class, or of all rows at once, in the order of the rows' numbers."""
    order = rows.argsort()
    if not per_class:
        yield order
        return
    for label in labels.unique():
        yield order[labels[order] == label]


def _whole(places: Tensor, rows: Tensor, labels: Tensor) -> Tensor:
    """The numbers of the rows at some places, ascending; a class that has none of them is an error."""
    classes = labels.unique()
    if len(missing := classes[~torch.isin(classes, labels[places])]):
        raise ValueError(f"expected rows of all {len(classes)} classes, received a choice with none of class "
                         f"{', '.join(map(str, missing.tolist()))}: a larger t, or per_class=True, keeps some")
    return rows[places].sort().values


def check_rows(rows: Tensor, labels: Tensor) -> None:
    """Refuse numbers and classes of rows that are none."""
    for name, part in (("rows", rows), ("labels", labels)):
        if part.dtype != torch.int64 or part.shape != (len(rows),):
            received = f"{tuple(part.shape)} {part.dtype}"
            raise ValueError(f"expected int64 {name} of shape ({len(rows)},), received {received}")
    if not len(rows):
        raise ValueError("expected rows to choose from, received none")
    if len(rows.unique()) < len(rows):
        raise ValueError("expected every row once, received one twice")


def _check(values: Tensor, rows: Tensor, labels: Tensor) -> None:
    """Refuse what cannot be ranked."""
    check_rows(rows, labels)
    if values.shape != rows.shape:
        raise ValueError(f"expected a score of each of {len(rows)} rows, received {tuple(values.shape)}")
    if not (finite := values.isfinite()).all():
        raise ValueError(f"expected finite scores, received {int((~finite).sum())} that are not, such as that of row "
                         f"{int(rows[~finite].min())}")

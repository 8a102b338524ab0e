"""What the chapter computes while the page is built: mixed batches, solvers at work, and paths through solutions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from mixlab import priors
from mixlab.mix import Mix
from mixlab.mixers import Average, CoMixup, CutMix, DCutMix, DMixup, Mixer, Mixup, PuzzleMix
from mixlab.mixers.comixup import compatibility, descend, objective, overlap
from mixlab.rng import generator
from mixlab.saliency import block_saliency
from mixlab.theory.supermodular import gated, overlaps, violation

__all__ = [
    "BLIND", "BUDGETS", "COUNTED", "OTHERS", "Path", "Problems", "budget", "cut", "gate", "kept", "mixed", "path",
    "problems", "rises", "steps", "unmixed", "verdicts", "violations",
]

#: The mixers that Co-Mixup is compared with; partners are a permutation of the batch, as in the papers.
OTHERS: dict[str, Mixer] = {
    "no mixing": Mixup(0.0),
    "Mixup": Mixup(1.0, pairing="permutation"),
    "CutMix": CutMix(1.0, pairing="permutation"),
    "LaMix's average": Average(pairing="permutation"),
    "DMixup, K = 3": DMixup(3, 1.0, pairing="permutation"),
    "DCutMix, K = 3": DCutMix(3, 1.0, pairing="permutation"),
    "Puzzle Mix": PuzzleMix(pairing="permutation"),
    "published procedure": CoMixup(mode="official"),
}
#: Those that do not look at saliency.
BLIND = ("Mixup", "CutMix", "LaMix's average", "DMixup, K = 3", "DCutMix, K = 3")
#: The budgets τ that are tried, and those whose numbers of inputs are drawn.
BUDGETS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.83, 1.2, 2.0)
COUNTED = (0.1, 0.3, 0.6, 0.83)
CELLS = 4


def cut(images: Tensor, owners: Tensor) -> Tensor:
    """One picture, every cell of it from the image that owns the cell.

    Args:
        images: (m, C, H, W).
        owners: (b, b) int64; b divides H and W.

    Returns:
        (C, H, W).

    Example:
        >>> cut(torch.tensor([[[[1.0, 1.0]]], [[[5.0, 5.0]]]]), torch.tensor([[0, 1]]))
        tensor([[[1., 5.]]])
    """
    height, width = (side // cells for side, cells in zip(images.shape[-2:], owners.shape))
    of_pixels = owners.repeat_interleave(height, 0).repeat_interleave(width, 1)
    return images.gather(0, of_pixels.expand(1, *images.shape[1:]))[0]


def mixed(
    saliency: Tensor, size: tuple[int, int], tau: float, seed: int = 0, mode: str = "paper", **options
) -> Mix:
    """Co-Mixup's mix of one batch, by formula (1) unless told otherwise, for pictures larger than its saliency.

    Args:
        saliency: (m, H, W).
        size: of the pictures, in pixels.
        tau: τ.
        seed: of the start and of the prior, the same whatever τ.
        mode: "paper" or "official".
        **options: of `CoMixup`.
    """
    images = saliency[:, None]
    mixer = CoMixup(tau=tau, mode=mode, **options)
    mix = mixer.draw(images, saliency=saliency, generator=generator(seed, "mixed"))
    return mix.resize(size)


def budget(use: Tensor, free: float) -> Tensor:
    """What overlap beyond a budget costs.

    Example:
        >>> budget(torch.tensor([0.5, 1.0, 1.5]), 0.75)
        tensor([0.0000, 0.2500, 0.7500])
    """
    return (use - free).clamp(min=0)


def gate(use: Tensor, free: float) -> Tensor:
    """What it costs where nothing is charged up to a gate, and everything beyond it.

    Example:
        >>> gate(torch.tensor([0.5, 1.0, 1.5]), 0.75)
        tensor([0.0000, 1.0000, 1.5000])
    """
    return torch.where(use > free, use, 0.0)


def violations(instances: int, numbers: torch.Generator) -> dict[str, list[float]]:
    """How far the prices of overlap are from being supermodular, on small random instances.

    An instance has two outputs of three cells and two images, a random symmetric A with entries in [0, 1], and a random
    threshold t of up to three cells; the budget is 4t.

    Args:
        instances: how many.
        numbers: source of A and of the threshold.

    Returns:
        Rule -> the violation of each instance, see `mixlab.theory.supermodular.violation`; at most 0 is supermodular.

    Example:
        >>> found = violations(3, torch.Generator().manual_seed(0))
        >>> max(found["a budget for the batch"]) < 1e-9
        True
    """
    found: dict[str, list[float]] = {}
    for _ in range(instances):
        half = torch.rand(2, 2, generator=numbers, dtype=torch.float64)
        a, threshold = ((half + half.T) / 2).numpy(), 3 * float(torch.rand((), generator=numbers))
        overlap_of_all = overlaps(a, outputs=2, cells=3)
        rules = {
            "overlap": overlap_of_all,
            "a budget for the batch": np.maximum(4 * threshold, overlap_of_all),
            "a gate for every image": gated(a, 2, threshold, cells=3),
            "a gate without a jump": gated(a, 2, threshold, cells=3, jump=False),
        }
        for rule, values in rules.items():
            found.setdefault(rule, []).append(violation(values))
    return found


@dataclass(frozen=True)
class Problems:
    """Several batches to be mixed.

    Attributes:
        c: (P, m, b, b), minus the saliency of each cell.
        a: (P, m, m), how much it costs to show one input in one output and another in another one.
        prior: (P, m), λ.
        start: (P, m, m, b, b), one-hot masks at random.
    """

    c: Tensor
    a: Tensor
    prior: Tensor
    start: Tensor

    def value(self, z: Tensor, tau: float = 0.83) -> Tensor:
        """Formula (1) of masks (P, m, m, b, b), for every output and less γτn, what the budget costs: (P,) float64."""
        return objective(z, self.c, self.a, prior=self.prior, tau=tau) / z.shape[1] - tau * CELLS**2


def problems(saliency: Tensor, m: int, seed: int = 0) -> Problems:
    """Cut a batch into parts of m rows, each a problem of its own, with a random start.

    Args:
        saliency: (P m, H, W).
        m: rows of a part.
        seed: of prior and start.
    """
    c = -block_saliency(saliency, CELLS).double().unflatten(0, (-1, m))
    numbers = generator(seed, "problems")
    prior = priors.dirichlet(2.0, len(c), k=m, generator=numbers)
    start = F.one_hot(torch.randint(m, (len(c), m, CELLS, CELLS), generator=numbers), m).movedim(-1, 2).double()
    return Problems(c, compatibility(saliency.unflatten(0, (-1, m))), prior, start)


def steps(given: Problems, sweeps: int, mode: str = "paper", labels: int = 4, tau: float = 0.83) -> Tensor:
    """The value of formula (1) for every output, at the start and after each step of a solver.

    Returns:
        (P, 1 + sweeps m) float64.
    """
    made = descend(given.start, given.c, given.a, prior=given.prior, sweeps=sweeps, mode=mode, labels=labels, tau=tau)
    return torch.stack([given.value(given.start, tau), *(given.value(z, tau) for z in made)], dim=1)


def unmixed(given: Problems, tau: float = 0.83) -> float:
    """The mean value of formula (1) for every output where each row stays itself."""
    m = given.c.shape[1]
    z = torch.eye(m, dtype=torch.float64)[:, :, None, None].expand(given.start.shape)
    return given.value(z, tau).mean().item()


def rises(values: Tensor) -> float:
    """The part of the steps, of those that change anything, after which the value is higher.

    Args:
        values: (P, steps), see `steps`.

    Example:
        >>> rises(torch.tensor([[3.0, 1.0, 1.0, 2.0]]))
        0.5
    """
    changes = values.diff(dim=1)
    changes = changes[changes.abs() > 1e-12]
    return (changes > 0).double().mean().item() if len(changes) else 0.0


def verdicts(traces: Mapping[str, Tensor]) -> tuple[dict[str, float], dict[str, float]]:
    """Of each solver: the percentage of steps that raise the value (see `rises`), and the mean value at the end.

    Args:
        traces: solver -> (P, steps), see `steps`.
    """
    return ({name: 100 * rises(values) for name, values in traces.items()},
            {name: values[:, -1].mean().item() for name, values in traces.items()})


def kept(given: Sequence[Problems], labels: Sequence[int], sweeps: int,
         tau: float = 0.83) -> dict[int, dict[int, float]]:
    """The mean value of formula (1) for every output, over the number of kept labels and of sweeps.

    Args:
        given: problems, maybe the same ones with several starts.
        labels: how many are kept in a cell.
        sweeps: the most.
        tau: τ.

    Returns:
        labels -> sweeps -> value, from one sweep on.
    """
    m = given[0].c.shape[1]
    means = {
        count: torch.stack([steps(each, sweeps, labels=count, tau=tau).mean(0) for each in given]).mean(0)
        for count in labels
    }
    return {
        count: {sweep: values[sweep * m].item() for sweep in range(1, sweeps + 1)} for count, values in means.items()
    }


@dataclass(frozen=True)
class Path:
    """Solutions for many budgets, judged by one.

    Attributes:
        budgets: each solution's own budget.
        unary: what each has without the term of overlap, for every output.
        overlap: what overlap beyond the one budget costs.
        at: that budget.
    """

    budgets: tuple[float, ...]
    unary: tuple[float, ...]
    overlap: tuple[float, ...]
    at: float

    @property
    def best(self) -> float:
        """The budget of the solution with the least sum."""
        sums = [first + second for first, second in zip(self.unary, self.overlap)]
        return self.budgets[sums.index(min(sums))]


def path(given: Problems, budgets: Sequence[float], at: float, sweeps: int = 4) -> Path:
    """Solve for every budget, and judge all solutions by the objective with one budget.

    Args:
        given: some problems; the parts are means over them.
        budgets: rising.
        at: the budget of the objective.
        sweeps: of the solver.
    """
    cells, m = CELLS**2, given.c.shape[1]
    unary, shared = [], []
    for tau in budgets:
        for z in descend(given.start, given.c, given.a, prior=given.prior, tau=tau, sweeps=sweeps):
            pass
        term = (overlap(z, given.a) - at * cells**2 * m).clamp(min=0) / cells / m
        shared.append(term.mean().item())
        unary.append((given.value(z, at) - term).mean().item())
    return Path(tuple(budgets), tuple(unary), tuple(shared), at)

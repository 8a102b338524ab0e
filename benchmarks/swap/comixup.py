"""Co-Mixup as its public code solves it: sweeps over the outputs, each relabelled by one alpha-beta swap."""

import itertools

import numpy as np
import torch.nn.functional as F
from torch import Tensor

from . import Swap

#: Cells along each side, and along both.
SIDE, CELLS = 4, 16


def unaries(saliency: Tensor) -> np.ndarray:
    """c without its prior, ``(m, 16)``: minus the part of an image's saliency that lies in each cell."""
    pooled = F.avg_pool2d(saliency, saliency.shape[-1] // SIDE).flatten(1)
    return -(pooled / pooled.sum(1, keepdim=True)).double().numpy()


def compatibility(saliency: Tensor, omega: float = 0.001) -> np.ndarray:
    """A of one part of the batch, ``(m, m)``: the identity, and a little of how far apart the salient places are."""
    pooled = F.avg_pool2d(saliency, 8, stride=1)
    peaks = pooled.flatten(1).argmax(1).numpy()
    places = np.stack(np.divmod(peaks, pooled.shape[-1]), axis=1)
    distance = np.abs(places[:, None] - places).sum(2).astype(float)
    return (1 - omega) * np.eye(len(peaks)) + omega * distance * len(peaks) / max(distance.sum(), 1)


def solve(unary: np.ndarray, inputs: np.ndarray, start: np.ndarray, swap: Swap, *, beta: float = 0.32,
          gamma: float = 1.0, tau: float = 0.83, sweeps: int = 4) -> np.ndarray:
    """Masks ``(m', 16, m)`` of one part of the batch: cells in {0, ½, 1}, at most two inputs a cell.

    Args:
        unary: ``(m, 16)``, c with the prior in it.
        inputs: ``(m, m)``, the compatibility A.
        start: ``(m', 16)``, numbers of the inputs that the cells begin with.
        swap: minimises on the grid, from label 0.
        beta, gamma, tau: of formula (1); γ's term enters by a gate per input: nothing below τ.
        sweeps: over all outputs, at most; fewer when an objective without gate stops changing.
    """
    masks = np.eye(len(unary))[start]
    costs = unary.T
    vertical = np.full((SIDE - 1, SIDE), beta / CELLS)
    dearer = np.zeros((len(masks), len(unary)))
    before = np.inf
    for sweep in range(sweeps):
        total = masks.sum((0, 1))
        for output, mask in enumerate(masks):
            rest = total - mask.sum(0)
            # The gate closes columns of A, not entries of A @ rest: so it is in the public code.
            heavy = inputs @ rest > tau * CELLS
            penalty = 2 * gamma / CELLS * (inputs @ (heavy * rest)) + dearer[output]
            masks[output] = _relabelled(costs + penalty, mask.sum(0), vertical, swap, halves=sweep > 0)
            total = rest + masks[output].sum(0)
        if sweep == sweeps - 2:
            dearer = gamma / CELLS * _duplicates(masks)
        after = _without_gate(masks, costs, beta, gamma)
        if abs(before - after) < 1e-6 * abs(after):
            break
        before = after
    return masks


def _relabelled(costs: np.ndarray, used: np.ndarray, vertical: np.ndarray, swap: Swap, *, halves: bool) -> np.ndarray:
    """One output's mask ``(16, m)``, given what every input costs in every cell ``(16, m)``."""
    count = len(used)
    top = np.argsort(-used, kind="stable")[:3]
    pairs = list(itertools.combinations(top[used[top] > 0], 2)) if halves else []
    table = 1 - np.eye(count + len(pairs))
    codes = np.eye(count)
    if pairs:
        first, second = np.array(pairs).T
        extra = np.arange(count, count + len(pairs))
        costs = np.concatenate([costs, (costs[:, first] + costs[:, second]) / 2 - 5e-4], axis=1)
        for part in (first, second):
            table[extra, part] = table[part, extra] = 0.25
        codes = np.concatenate([codes, (codes[first] + codes[second]) / 2])
    labels = swap(costs.reshape(SIDE, SIDE, -1), table, vertical, vertical.T)
    return codes[labels]


def _duplicates(masks: np.ndarray) -> np.ndarray:
    """``(m', m)``: 1 where an input becomes dearer because two outputs have the same set of inputs.

    Of such a pair the first output loses its first input, the second another one; a set of one input has no other, so
    there the second output stays as it is.
    """
    sets = masks.sum(1) > 0
    dearer = np.zeros(sets.shape)
    for one, other in itertools.combinations(range(len(sets)), 2):
        if (sets[one] == sets[other]).all():
            members = np.flatnonzero(sets[one])
            dearer[one, members[0]] = 1
            dearer[other, members[1:2]] = 1
    return dearer


def _without_gate(masks: np.ndarray, costs: np.ndarray, beta: float, gamma: float) -> float:
    """What the public code watches in order to stop early: it has no gate, and counts no input as near another."""
    grid = masks.reshape(len(masks), SIDE, SIDE, -1)
    jumps = sum((np.diff(grid, axis=axis) ** 2).sum() / 2 for axis in (1, 2))
    amounts = masks.sum(1)
    shared = (amounts.sum(0) ** 2).sum() - (amounts**2).sum()
    return float((masks * costs).sum() + beta / CELLS * jumps + gamma / CELLS * shared)

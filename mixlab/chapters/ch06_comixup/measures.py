r"""What a mixed batch is like: how much saliency it shows, how diverse it is, how many inputs an output has.

Everything is read from a :class:`~mixlab.Mix` and is the same for every method. :math:`\tilde o_j` is the vector of the
shares that output j takes from each of the m inputs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor

from mixlab.mix import Mix
from mixlab.mixers import Mixer
from mixlab.rng import generator

__all__ = ["Measured", "diversity", "gap", "imbalance", "inputs", "measure", "measure_all", "purity", "ratios", "shown"]


def ratios(mix: Mix) -> Tensor:
    r"""The shares that every output takes from every input, :math:`\tilde o_j` of Co-Mixup.

    Args:
        mix: of a batch of m rows.

    Returns:
        ``(m, m)`` float64: outputs, inputs. A row sums to 1, less where pixels are nobody's.

    Example:
        >>> from mixlab.masks import Constant
        >>> ratios(Mix(torch.tensor([[0, 1], [1, 1]]), Constant(torch.tensor([[0.75, 0.25], [0.5, 0.5]]))))
        tensor([[0.7500, 0.2500],
                [0.0000, 1.0000]], dtype=torch.float64)
    """
    found = torch.zeros(len(mix), len(mix), dtype=torch.float64)
    return found.scatter_add_(1, mix.sources.cpu(), mix.shares.cpu().double())


def diversity(ratios: Tensor) -> float:
    r"""Co-Mixup's measure :math:`1 - \sum_j \sum_{j' \neq j} \tilde o_j^\top \tilde o_{j'} / m'`.

    1 where no two outputs share an input; with m' equal outputs that each show one input it is 2 - m'.

    Args:
        ratios: ``(m', m)``, see :func:`ratios`.

    Source: Co-Mixup (Kim et al., 2021), Figure 2 (d).

    Example:
        >>> diversity(torch.eye(3)), diversity(torch.eye(3)[[0, 0, 0]]), diversity(torch.full((3, 3), 1 / 3))
        (1.0, -1.0, 0.3333333134651184)
    """
    total = ratios.sum(0)
    return float(1 - (total.square().sum() - ratios.square().sum()) / len(ratios))


def purity(ratios: Tensor) -> float:
    r"""The mean of :math:`\lVert \tilde o_j \rVert^2`: 1 where every output shows one input, 1/K for K even shares.

    It is the mean of one over the effective number of images, which the chapter on K images defines.

    Example:
        >>> purity(torch.tensor([[1.0, 0.0], [0.5, 0.5]]))
        0.75
    """
    return float(ratios.square().sum() / len(ratios))


def imbalance(ratios: Tensor) -> float:
    r"""How unevenly the inputs are used: the variance of :math:`u_i = \sum_j \tilde o_j[i]` over the inputs.

    Of a square matrix of shares whose rows sum to 1. Then the diversity is the purity minus this.

    Example:
        >>> imbalance(torch.eye(2)), imbalance(torch.tensor([[1.0, 0.0], [1.0, 0.0]]))
        (0.0, 1.0)
    """
    return float(ratios.sum(0).var(correction=0))


def inputs(ratios: Tensor) -> Tensor:
    """How many inputs each output shows something of.

    Returns:
        ``(m',)`` int64.

    Example:
        >>> inputs(torch.tensor([[1.0, 0.0], [0.5, 0.5]])).tolist()
        [1, 2]
    """
    return (ratios > 0).sum(1)


def shown(mix: Mix, saliency: Tensor) -> Tensor:
    """How much saliency every output shows: the maps are mixed like images, each scaled to a sum of 1 before.

    Args:
        mix: of a batch of B rows.
        saliency: ``(B, H, W)``, non-negative, no map without any.

    Returns:
        ``(B,)`` float64; 1 without mixing. A blend of the same pixel counts with its masks, so Mixup has 1.

    Source: Co-Mixup (Kim et al., 2021), Figure 2 (c), which normalises each input's saliency to 1.

    Example:
        >>> from mixlab.masks import Owners
        >>> maps = torch.tensor([[[3.0, 1.0]], [[1.0, 1.0]]])
        >>> shown(Mix(torch.tensor([[0, 1], [1, 0]]), Owners(torch.tensor([[[0, 1]]] * 2, dtype=torch.uint8))), maps)
        tensor([1.2500, 0.7500], dtype=torch.float64)
    """
    maps = saliency.double() / saliency.double().sum((1, 2), keepdim=True)
    return mix.apply(maps[:, None]).sum((1, 2, 3))


#: What a mixer is called: a name, or its budget.
Key = TypeVar("Key", str, float)


@dataclass(frozen=True)
class Measured:
    """Means over some draws of a mixer.

    Attributes:
        saliency: shown by an output.
        diversity, purity, imbalance: of the batch.
        counts: the number of inputs of each output, of all draws.
    """

    saliency: float
    diversity: float
    purity: float
    imbalance: float
    counts: Tensor


def gap(found: Iterable[Measured]) -> float:
    """How far the diversity is from the purity minus the imbalance, at most: rounding, for shares that sum to 1."""
    return max(abs(each.diversity - (each.purity - each.imbalance)) for each in found)


def measure(mixer: Mixer, images: Tensor, saliency: Tensor, draws: int, seed: int = 0) -> Measured:
    """Draw some mixes of one batch and measure them.

    Args:
        mixer: any; it is handed the saliency.
        images: ``(B, C, H, W)``.
        saliency: ``(B, H, W)``.
        draws: how many mixes.
        seed: of the draws.
    """
    mixes = [mixer.draw(images, saliency=saliency, generator=generator(seed, "draw", each)) for each in range(draws)]
    parts = [ratios(mix) for mix in mixes]
    return Measured(
        sum(shown(mix, saliency).mean().item() for mix in mixes) / draws,
        *(sum(map(what, parts)) / draws for what in (diversity, purity, imbalance)),
        torch.cat([inputs(part) for part in parts]),
    )


def measure_all(mixers: Mapping[Key, Mixer], images: Tensor, saliency: Tensor, draws: int) -> dict[Key, Measured]:
    """`measure` for every mixer, by its name or its budget."""
    return {name: measure(mixer, images, saliency, draws) for name, mixer in mixers.items()}

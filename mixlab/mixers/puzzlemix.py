r"""Puzzle Mix: two images are cut into blocks, and every place shows the one that has more to show there.

**Method card.** Puzzle Mix (Kim, Choo and Song, 2020) chooses a mask z in {0, ½, 1} for every block of the result, and
for each image a permutation of its blocks: much saliency is to be seen, neighbours are to fit together, and the
partner's share is to be about λ. What that weighs is formula 3 of the Co-Mixup slides, here :func:`energy`; its terms
are functions of their own. The mask is the exact minimum for blocks in their places, the permutations are the best
ones for that mask.

- *How to use*: ``SaliencyRisk(PuzzleMix())`` in training, where saliency comes from the network, or
  ``PuzzleMix().draw(images, saliency=maps)``.
- *Settings*: those of the public code for CIFAR: β = 1.2, γ = 0.5, η = 0.2, ξ = 0.8, λ ~ Beta(1, 1), and b x b blocks
  with b of {2, 4, 8, 16}.
- *Implementation*: λ is drawn for every image (``lam_per="batch"``: one for all), b for every batch. Masks and
  permutations are found on the CPU whatever the device (:func:`best_masks`, :func:`best_plans`).
- *The public code* draws one λ for the whole batch. It approximates both steps, moves blocks of a finer grid than the
  mask's where b is 2 or 4, and counts a block that is half seen as seen when it moves them.
- *Labels*: the shares of the picture, which are the means of the masks; moving blocks does not change them.
- *Limits*: floating-point images (B, C, H, W) whose sides b divides. α = 0 is ERM.
- *Zero saliency* counts as uniform. If both images are uniform, smoothness and prior are left, and without the data
  term a mask is one value everywhere: ½ for λ between 1/3 and 2/3, else 0 or 1.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from mixlab.arrays import array
from mixlab.checks import numbers, real, whole
from mixlab.masks import Soft, Transported
from mixlab.mix import Mix
from mixlab.mixers.base import PairMixer, check_non_negative, draw_shares, image_size
from mixlab.mixers.mincut import minimum_cuts
from mixlab.saliency import block_saliency

__all__ = [
    "Borders",
    "PuzzleMix",
    "best_masks",
    "best_plans",
    "border_differences",
    "data_smoothness",
    "energy",
    "label_smoothness",
    "prior_cost",
    "saliency_lost",
    "transport_cost",
]

# What a plan has to gain over staying: rounding alone moves no block.
_WORTH_A_MOVE = 1e-12


# The energy of formula 3, term by term.


class Borders(NamedTuple):
    """How much neighbouring blocks differ in colour where they meet, for each choice of their sources.

    Attributes:
        down: ``(B, 2, 2, b - 1, b)`` float64 in [0, 1]: ``down[:, k, l, i, j]`` is the difference between block (i, j)
            of source k and block (i + 1, j) of source l, along their border.
        right: ``(B, 2, 2, b, b - 1)``, the same for blocks (i, j) and (i, j + 1).
    """

    down: Tensor
    right: Tensor


def border_differences(
    own: Tensor, partner: Tensor, blocks: int, *, std: float | Sequence[float] = 1.0
) -> Borders:
    r"""The colour differences that φ is made of.

    An image is averaged over cells of g x g pixels, g = 4 or less where blocks are smaller. The difference of two
    blocks is the mean over channels and border cells of :math:`|x - x'|` on the two sides of the border. It is capped
    at 1, the largest that there is between pixels in [0, 1]: so the best mask is a minimum cut for every γ <= 1.

    Args:
        own: ``(B, C, H, W)`` floating point, source 0.
        partner: the same shape, source 1.
        blocks: b, which divides H and W.
        std: what the images were divided by when they were normalised, one number or one for every channel: differences
            are those of pixels in [0, 1]. With the default of 1 they are taken as they are.

    Raises:
        ValueError: for other shapes, or a b that does not divide the sides.

    Source: formula 3's φ as in Puzzle Mix's public code, where g is min(4, block). Here g is the largest divisor of
    the block's side up to 4, so that 7 x 7 pixels are a block, too.

    Example:
        >>> black, white = torch.zeros(1, 1, 2, 2), torch.ones(1, 1, 2, 2)
        >>> border_differences(black, white, 2).down[0, :, :, 0, 0]  # alike within an image
        tensor([[0., 1.],
                [1., 0.]], dtype=torch.float64)
    """
    size = image_size(own)
    if own.shape != partner.shape or not own.is_floating_point():
        raise ValueError(f"expected two batches of floating-point images of one shape, received {tuple(own.shape)} "
                         f"{own.dtype} and {tuple(partner.shape)}")
    _check_blocks([blocks], size)
    grain = tuple(max(g for g in (1, 2, 3, 4) if side // blocks % g == 0) for side in size)
    scale = torch.as_tensor(std, dtype=torch.float32, device=own.device).reshape(-1, *[1] * (own.ndim - 2))
    if len(scale) not in (1, own.shape[1]):
        raise ValueError(f"expected one std, or one for each of {own.shape[1]} channels, received {len(scale)}")
    pair = torch.stack([own, partner]).detach().to(torch.float32) * scale
    cells = F.avg_pool2d(pair.flatten(0, 1).flatten(1, -3), grain).unflatten(0, pair.shape[:2]).transpose(0, 1)
    # (B, sources, channels, block row, row in the block, block column, column in the block)
    cells = cells.unflatten(-1, (blocks, -1)).unflatten(-3, (blocks, -1))
    lower_edge, upper_edge = cells[:, :, :, :-1, -1], cells[:, :, :, 1:, 0]
    right_edge, left_edge = cells[..., :-1, -1], cells[..., 1:, 0]
    down = (lower_edge[:, :, None] - upper_edge[:, None]).abs().mean((3, -1))
    right = (right_edge[:, :, None] - left_edge[:, None]).abs().mean((3, -2))
    return Borders(down.clamp(max=1).double(), right.clamp(max=1).double())


def saliency_lost(z: Tensor, own: Tensor, partner: Tensor, plans: Tensor | None = None) -> Tensor:
    r"""What is shown, negative: :math:`-\|(1 - z) \odot \Pi_0^\top s_0\|_1 - \|z \odot \Pi_1^\top s_1\|_1`.

    Args:
        z: ``(B, b, b)`` in {0, ½, 1}, the mask of the partner.
        own: ``(B, b, b)``, saliency of the row itself, every map summing to 1
            (:func:`mixlab.saliency.block_saliency`).
        partner: the same of the partner.
        plans: ``(B, 2, b * b)`` int64, see :class:`mixlab.masks.Transported`; None leaves blocks in their places.

    Returns:
        ``(B,)`` float64 in [-2, 0]; a blend of uniform maps has -1.

    Source: Co-Mixup slides, formula 3, the first two terms.

    Example:
        >>> left, right = torch.tensor([[[0.5, 0.0], [0.5, 0.0]]]), torch.tensor([[[0.0, 1.0], [0.0, 0.0]]])
        >>> saliency_lost(torch.tensor([[[0.0, 1.0], [0.0, 1.0]]]), left, right)
        tensor([-2.], dtype=torch.float64)
    """
    maps = torch.stack([own, partner], dim=1).flatten(2).double()
    shown = maps if plans is None else maps.gather(2, plans)
    return -(_both_masks(z) * shown).sum((1, 2))


def label_smoothness(z: Tensor) -> Tensor:
    r""":math:`\sum_{(i,j) \in \mathcal N} \psi(z_i, z_j)` with :math:`\psi = (z_i - z_j)^2` over neighbouring blocks.

    Args:
        z: ``(B, b, b)`` in {0, ½, 1}.

    Returns:
        ``(B,)`` float64 in [0, 2b(b - 1)].

    Source: Co-Mixup slides, formula 3, the term with β.

    Example:
        >>> label_smoothness(torch.tensor([[[0.0, 1.0], [0.0, 0.5]]]))  # 1 + ½² on the right, ½² between rows
        tensor([1.5000], dtype=torch.float64)
    """
    z = z.double()
    return z.diff(dim=1).square().sum((1, 2)) + z.diff(dim=2).square().sum((1, 2))


def data_smoothness(z: Tensor, borders: Borders) -> Tensor:
    r""":math:`\sum_{(i,j) \in \mathcal N} \phi_{ij}(z_i, z_j)`: how much colours change at borders in the result.

    For z of 0 and 1, :math:`\phi_{ij}` is the difference :math:`d_{kl}` between block i of source k and block j of
    source l. Between them it is :math:`d_{00} + u_i z_i + u_j z_j + p\,(z_i - z_j)^2`, the only such function with
    these four values: :math:`p = (d_{10} + d_{01} - d_{11} - d_{00}) / 2`, :math:`u_i = d_{10} - d_{00} - p` and
    :math:`u_j = d_{01} - d_{00} - p`.

    Args:
        z: ``(B, b, b)`` in {0, ½, 1}.
        borders: of :func:`border_differences`, for blocks in their places: the public code measures them there, and
            what transport does to borders is not counted.

    Returns:
        ``(B,)`` float64, >= 0 for z of 0 and 1.

    Source: Co-Mixup slides, formula 3, the term with γ; the values between are those of the public code.

    Example:
        >>> black, white = torch.zeros(1, 1, 2, 2), torch.ones(1, 1, 2, 2)
        >>> data_smoothness(torch.tensor([[[0.0, 1.0], [0.0, 0.5]]]), border_differences(black, white, 2))
        tensor([1.5000], dtype=torch.float64)
    """
    z = z.double()
    ends = ((z[:, :-1], z[:, 1:], borders.down), (z[:, :, :-1], z[:, :, 1:], borders.right))
    total = torch.zeros(len(z), dtype=torch.float64, device=z.device)
    for first, second, differences in ends:
        of_first, of_second, together = _border_terms(differences)
        phi = differences[:, 0, 0] + of_first * first + of_second * second + together * (first - second).square()
        total += phi.sum((1, 2))
    return total


def prior_cost(z: Tensor, lam: Tensor | float) -> Tensor:
    r""":math:`-\sum_i \log p(z_i)` with :math:`2z \sim \mathrm{Binomial}(2, \lambda)`: λ is the partner's mean share.

    Args:
        z: ``(B, b, b)`` in {0, ½, 1}.
        lam: λ in [0, 1], ``(B,)`` or one number.

    Returns:
        ``(B,)`` float64; infinite where λ is 0 or 1 and excludes the mask. (The public code adds 1e-8 to p.)

    Source: Co-Mixup slides, formula 3, the term with η.

    Example:
        >>> prior_cost(torch.tensor([[[0.0, 0.5], [1.0, 0.0]]]), 0.5).exp()  # 4 · 2 · 4 · 4
        tensor([128.0000], dtype=torch.float64)
    """
    levels = (2 * z.flatten(1)).long()
    return _log_prior(lam, z).neg().gather(1, levels).sum(1)


def transport_cost(plans: Tensor, blocks: int) -> Tensor:
    r""":math:`\sum_k \langle \Pi_k, C \rangle`, with the squared distance of two places over :math:`(b - 1)^2` as C.

    Args:
        plans: ``(B, 2, b * b)`` int64, see :class:`mixlab.masks.Transported`.
        blocks: b.

    Returns:
        ``(B,)`` float64, >= 0.

    Source: Co-Mixup slides, formula 3, the term with ξ; C as in the public code.

    Example:
        >>> transport_cost(torch.tensor([[[0, 1, 2, 3], [1, 0, 2, 3]]]), 2)  # two blocks move to the side
        tensor([2.], dtype=torch.float64)
    """
    costs = torch.from_numpy(_distances(blocks)).to(plans.device)
    return costs[plans, torch.arange(blocks**2, device=plans.device)].sum((1, 2))


def energy(
    z: Tensor,
    own: Tensor,
    partner: Tensor,
    plans: Tensor | None = None,
    *,
    lam: Tensor | float,
    borders: Borders | None = None,
    beta: float = 1.2,
    gamma: float = 0.5,
    eta: float = 0.2,
    xi: float = 0.8,
) -> Tensor:
    r"""What Puzzle Mix minimises: formula 3.

    .. math::

        -\|(1 - z) \odot \Pi_0^\top s_0\|_1 - \|z \odot \Pi_1^\top s_1\|_1
        + \beta' \sum_{(i,j)} \bigl[(z_i - z_j)^2 + \gamma\, \phi_{ij}(z_i, z_j)\bigr]
        - \eta' \sum_i \log p(z_i) + \xi \sum_k \langle \Pi_k, C \rangle

    with :math:`\beta' = \beta / 16b` and :math:`\eta' = \eta / b^2`, the scaling of the public code, which makes terms
    of grids of different b comparable; its data term is weighed by βγ, where formula 3 writes γ.

    Args:
        z: ``(B, b, b)`` in {0, ½, 1}, the mask of the partner.
        own: ``(B, b, b)``, saliency of the row itself, every map summing to 1.
        partner: the same of the partner.
        plans: ``(B, 2, b * b)`` int64, see :class:`mixlab.masks.Transported`; None leaves blocks in their places.
        lam: λ in [0, 1], the partner's intended share, ``(B,)`` or one number.
        borders: of :func:`border_differences`; None leaves φ out.
        beta, gamma, eta, xi: weights, >= 0, and γ <= 1.

    Returns:
        ``(B,)`` float64; infinite where λ is 0 or 1 and the mask is not, whatever η.

    Raises:
        ValueError: for masks or saliencies of other shapes.

    Source: Co-Mixup slides, formula 3.

    Example:
        >>> uniform, lam = torch.full((1, 2, 2), 0.25), torch.tensor([0.5])
        >>> energy(torch.full((1, 2, 2), 0.5), uniform, uniform, lam=lam, eta=1.0).item()  # -1 + log 2
        -0.3068...
    """
    _check_maps(z, own, partner)
    blocks = z.shape[-1]
    smooth, prior = beta / (16 * blocks), prior_cost(z, lam)
    total = saliency_lost(z, own, partner, plans) + smooth * label_smoothness(z)
    if borders is not None:
        total = total + smooth * gamma * data_smoothness(z, borders)
    if plans is not None:
        total = total + xi * transport_cost(plans, blocks)
    return total + torch.where(prior.isinf(), prior, eta / blocks**2 * prior)


def _both_masks(z: Tensor) -> Tensor:
    """``(B, 2, n)`` float64 masks of the row itself and of its partner."""
    return torch.stack([1 - z, z], dim=1).flatten(2).double()


def _border_terms(differences: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The factors of z_i, of z_j and of (z_i - z_j)² in φ."""
    together = (differences[:, 1, 0] + differences[:, 0, 1] - differences[:, 1, 1] - differences[:, 0, 0]) / 2
    alone = differences[:, 0, 0] + together
    return differences[:, 1, 0] - alone, differences[:, 0, 1] - alone, together


def _log_prior(lam: Tensor | float, like: Tensor) -> Tensor:
    """``(B, 3)`` float64 log probabilities of z = 0, ½ and 1."""
    lam = torch.as_tensor(lam, dtype=torch.float64, device=like.device).expand(len(like))
    none, whole_block = torch.log1p(-lam), lam.log()
    return torch.stack([2 * none, math.log(2) + none + whole_block, 2 * whole_block], dim=1)


@lru_cache(maxsize=16)
def _distances(blocks: int) -> np.ndarray:
    """``(n, n)`` squared distances of the places of a grid, the sides being of length 1."""
    row, column = np.divmod(np.arange(blocks**2), blocks)
    squares = (row[:, None] - row) ** 2 + (column[:, None] - column) ** 2
    return squares / max(blocks - 1, 1) ** 2


# The solvers.


def best_masks(
    own: Tensor,
    partner: Tensor,
    *,
    lam: Tensor | float,
    borders: Borders | None = None,
    beta: float = 1.2,
    gamma: float = 0.5,
    eta: float = 0.2,
) -> Tensor:
    r"""The masks of least :func:`energy` for blocks that stay in their places: one minimum cut for every image.

    The terms with saliency and prior, and the linear part of φ, are costs of single blocks, convex in z. What is left
    are multiples of :math:`(z_i - z_j)^2`, not negative for γ <= 1. That is what a minimum cut can minimise
    (:mod:`mixlab.mixers.mincut`, where rounding is described, too). Of several best masks the one with the smallest z
    is taken, block by block: what is as good stays the row's own. λ = 0 gives 0 everywhere and λ = 1 gives 1, whatever
    η.

    Args:
        own: ``(B, b, b)``, saliency of the row itself, every map summing to 1.
        partner: the same of the partner.
        lam, borders, beta, gamma, eta: see :func:`energy`.

    Returns:
        ``(B, b, b)`` in {0, ½, 1}, of the dtype and on the device of ``own``.

    Raises:
        ValueError: for maps of other shapes, values that are not finite, λ outside [0, 1], negative weights, or γ > 1,
            which is no minimum cut any more.

    Source: Co-Mixup slides, formula 3. The public code approximates the minimum by alpha-beta swaps.

    Example:
        >>> own = torch.tensor([[[0.4, 0.1], [0.3, 0.2]]])
        >>> best_masks(own, own.flip(2), lam=0.5, eta=0.1)
        tensor([[[0., 1.],
                 [0., 1.]]])
    """
    _check_maps(own, own, partner)
    _check_weights(beta=beta, gamma=gamma, eta=eta)
    batch, blocks = len(own), own.shape[-1]
    lam = torch.as_tensor(lam, dtype=torch.float64, device=own.device)
    if lam.shape not in ((), (batch,)) or not bool(((lam >= 0) & (lam <= 1)).all()):
        raise ValueError(f"expected λ in [0, 1], one or one for each of {batch} rows, received {lam.tolist()}")
    lam = lam.expand(batch)
    fixed = (lam == 0) | (lam == 1)
    log_prior = _log_prior(torch.where(fixed, 0.5, lam), own) * (eta / blocks**2)
    half_step = (own.double() - partner.double()) / 2
    smooth = beta / (16 * blocks)
    down = half_step.new_full((batch, blocks - 1, blocks), smooth)
    right = half_step.new_full((batch, blocks, blocks - 1), smooth)
    if borders is not None:
        of_upper, of_lower, vertical = (smooth * gamma * term for term in _border_terms(borders.down))
        of_left, of_right, horizontal = (smooth * gamma * term for term in _border_terms(borders.right))
        down, right = down + vertical, right + horizontal
        half_step[:, :-1] += of_upper / 2
        half_step[:, 1:] += of_lower / 2
        half_step[:, :, :-1] += of_left / 2
        half_step[:, :, 1:] += of_right / 2
    # What the steps from 0 to ½ and from ½ to 1 cost.
    steps = torch.stack([half_step, half_step], dim=-1) - log_prior.diff(dim=1)[:, None, None]
    steps, down, right = array(steps), array(down), array(right)
    if not all(np.isfinite(each).all() for each in (steps, down, right)):
        raise ValueError("expected finite saliencies and border differences, received others")
    labels = torch.from_numpy(minimum_cuts(steps, down, right))
    z = (labels.view(batch, blocks, blocks) / 2).to(own)
    return torch.where(fixed[:, None, None], lam.to(own)[:, None, None], z)


def best_plans(z: Tensor, own: Tensor, partner: Tensor, *, xi: float = 0.8) -> Tensor:
    r"""The permutations of blocks of least :func:`energy` for a given mask.

    For each image the best :math:`\Pi` maximises :math:`\sum_j m_j s_{\pi(j)} - \xi \sum_j C_{\pi(j) j}`, an
    assignment of blocks to places, solved exactly. Where no block gains more by a move than its way costs, nothing
    moves, and nothing is solved; nor does it where the best assignment is no better than staying.

    Args:
        z: ``(B, b, b)`` in {0, ½, 1}, the mask of the partner.
        own: ``(B, b, b)``, saliency of the row itself, every map summing to 1.
        partner: the same of the partner.
        xi: ξ >= 0, what it costs to cross the image along one side; the cost grows with the square of the way.

    Returns:
        ``(B, 2, b * b)`` int64, on the device of ``z``: place p of slot k shows block ``plans[b, k, p]``. Every row is
        a permutation.

    Raises:
        ValueError: for maps of other shapes, or a negative ξ.

    Source: formula 3 of the Co-Mixup slides. The public code approximates the assignment, and counts a block that is
    half seen as seen.

    Example:
        >>> hidden = torch.tensor([[[0.0, 1.0], [0.0, 0.0]]])  # the partner shows the left column
        >>> z = torch.tensor([[[1.0, 0.0], [1.0, 0.0]]])
        >>> best_plans(z, torch.full((1, 2, 2), 0.25), hidden, xi=0.2)[0, 1]  # two blocks exchange places
        tensor([1, 0, 2, 3])
    """
    # Here, since mixlab is imported without SciPy.
    from scipy.optimize import linear_sum_assignment

    _check_maps(z, own, partner)
    check_non_negative(xi=xi)
    masks, maps = array(_both_masks(z)), array(torch.stack([own, partner], dim=1).flatten(2).double())
    costs, places = xi * _distances(z.shape[-1]), np.arange(masks.shape[2])
    plans = np.tile(places, (*masks.shape[:2], 1))
    nearest = xi / max(z.shape[-1] - 1, 1) ** 2
    gaining = maps * (masks.max(2, keepdims=True) - masks) > nearest
    for slot in map(tuple, np.argwhere(gaining.any(2))):
        saliency, mask, movers = maps[slot], masks[slot], np.flatnonzero(gaining[slot])
        if (saliency[movers, None] * (mask - mask[movers, None]) <= costs[movers]).all():
            continue
        values = saliency[:, None] * mask - costs
        block, place = linear_sum_assignment(values, maximize=True)
        if values[block, place].sum() > np.trace(values) + _WORTH_A_MOVE:
            plans[slot][place] = block
    return torch.from_numpy(plans).to(z.device)


# Settings.


def _check_maps(z: Tensor, own: Tensor, partner: Tensor) -> None:
    if own.ndim != 3 or own.shape[1] != own.shape[2] or 0 in own.shape or not z.shape == own.shape == partner.shape:
        shapes = ", ".join(str(tuple(each.shape)) for each in (z, own, partner))
        raise ValueError(f"expected masks and saliencies of one shape (B, b, b), received {shapes}")


def _check_weights(gamma: float = 0.0, **weights: float) -> None:
    check_non_negative(gamma=gamma, **weights)
    if gamma > 1:
        raise ValueError(f"expected a weight gamma in [0, 1], received {gamma!r}")


def _check_blocks(numbers_of_blocks: Sequence[int], size: tuple[int, int]) -> None:
    if wrong := [b for b in numbers_of_blocks if not whole(b) or b < 1 or size[0] % b or size[1] % b]:
        both = math.gcd(*size)
        fitting = [b for b in range(1, both + 1) if both % b == 0]
        raise ValueError("expected blocks to be numbers of blocks along each side that divide height and width "
                         f"{size[0]} x {size[1]}, of {fitting}, received {wrong}")


#: The numbers of blocks of the public code, and those for sides of 28 pixels.
_BLOCKS = (2, 4, 8, 16), (2, 4, 7, 14)


@dataclass(frozen=True)
class PuzzleMix(PairMixer):
    r"""Mix two images block by block so that much of both is seen where it matters.

    Args:
        alpha: concentration of λ ~ Beta(α, α), the partner's intended share, >= 0; 0 is ERM.
        beta: weight of label smoothness ψ, >= 0.
        gamma: weight of data smoothness φ beside ψ, in [0, 1]; 0 does not look at the images.
        eta: weight of the prior that pulls the partner's share to λ, >= 0.
        xi: what moving blocks costs, >= 0.
        blocks: b, or several of which one is drawn for every batch; all must divide the sides. None takes 2, 4, 8 and
            16 where these divide the sides, else 2, 4, 7 and 14, else those of the six that do.
        lam_per: ``"image"`` draws a λ for every row, ``"batch"`` one for all, as the public code does.
        transport: whether blocks may move.
        std: what the images were divided by when they were normalised, one number or one for every channel: φ compares
            pixels in [0, 1]. The default takes images as they are, so that normalised ones count as more different.

    Raises:
        ValueError: for settings outside these ranges; from ``draw`` without a saliency, and where b does not divide the
            sides.

    Source: Kim, Choo and Song, "Puzzle Mix: exploiting saliency and local statistics for optimal mixup", 2020; Co-Mixup
    slides, formula 3; what the defaults mean is read in the public code.

    Example:
        >>> images, seen = torch.zeros(2, 1, 4, 4), torch.zeros(2, 4, 4)
        >>> seen[0, :, :2], seen[1, :, 2:] = 1, 1
        >>> mix = PuzzleMix(blocks=2).draw(images, saliency=seen, generator=torch.Generator().manual_seed(0))
        >>> mix.masks()[0, 1].tolist()[0], mix.shares[0]
        ([0.0, 0.0, 1.0, 1.0], tensor([0.5000, 0.5000]))
    """

    beta: float = 1.2
    gamma: float = 0.5
    eta: float = 0.2
    xi: float = 0.8
    blocks: int | Sequence[int] | None = None
    lam_per: str = "image"
    transport: bool = True
    std: float | Sequence[float] = 1.0

    needs_saliency = True

    def __post_init__(self):
        super().__post_init__()
        _check_weights(beta=self.beta, gamma=self.gamma, eta=self.eta, xi=self.xi)
        if self.lam_per not in ("image", "batch"):
            raise ValueError(f"expected a lam_per of 'image' or 'batch', received {self.lam_per!r}")
        if not isinstance(self.transport, bool):
            raise ValueError(f"expected a transport of True or False, received {self.transport!r}")
        if isinstance(self.blocks, Sequence):
            object.__setattr__(self, "blocks", tuple(self.blocks))
        counts = self.blocks if isinstance(self.blocks, tuple) else (1 if self.blocks is None else self.blocks,)
        if not counts or not all(whole(b) and b >= 1 for b in counts):
            raise ValueError(f"expected positive integers as numbers of blocks, or None, received {self.blocks!r}")
        scales = [self.std] if real(self.std) else numbers(self.std)
        if not scales or not all(0 < scale < math.inf for scale in scales):
            raise ValueError(f"expected positive standard deviations, received {self.std!r}")
        object.__setattr__(self, "std", scales[0] if real(self.std) else tuple(scales))

    def _draw(
        self, images: Tensor, labels: Tensor | None, saliency: Tensor | None, generator: torch.Generator
    ) -> Mix:
        size, batch = image_size(images), len(images)
        counts = self._block_numbers(size)
        sources = self._partners(batch, 2, generator)
        lam = draw_shares(self.alpha, batch if self.lam_per == "image" else 1, 2, generator)[:, 1].expand(batch)
        choice = torch.randint(len(counts), (), generator=generator, device=generator.device)
        sources, lam, blocks = sources.to(images.device), lam.to(images.device), counts[int(choice)]
        own = block_saliency(saliency.to(images.device), blocks)
        other, borders = sources[:, 1], None
        if self.gamma > 0 and self.beta > 0:
            borders = border_differences(images, images[other], blocks, std=self.std)
        z = best_masks(
            own, own[other], lam=lam, borders=borders, beta=self.beta, gamma=self.gamma, eta=self.eta
        ).to(torch.float32)
        masks = torch.stack([1 - z, z], dim=1)
        form = Soft(masks, size)
        if self.transport:
            form = Transported(masks, size, plans=best_plans(z, own, own[other], xi=self.xi))
        return Mix.trusted(sources, form, anchored=True)

    def _block_numbers(self, size: tuple[int, int]) -> tuple[int, ...]:
        if self.blocks is not None:
            counts = (self.blocks,) if whole(self.blocks) else self.blocks
            _check_blocks(counts, size)
            return counts
        both = math.gcd(*size)
        for counts in _BLOCKS:
            if all(both % b == 0 for b in counts):
                return counts
        if counts := tuple(b for b in sorted({*_BLOCKS[0], *_BLOCKS[1]}) if both % b == 0):
            return counts
        _check_blocks(_BLOCKS[0], size)

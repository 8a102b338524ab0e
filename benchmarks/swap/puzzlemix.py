"""Puzzle Mix as its public code solves it: masks by alpha-beta swap, transport by rounds of a greedy contest."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from . import Swap

#: The labels: the partner's part of a block.
LEVELS = (0.0, 0.5, 1.0)


def terms(images: Tensor, saliency: Tensor, partners: Tensor, lam: float, blocks: int, *, beta: float, gamma: float,
          eta: float) -> tuple[Tensor, Tensor, Tensor]:
    """The energy of a batch of masks: unaries ``(B, b, b, 3)``, weights of vertical and of horizontal edges.

    Args:
        images: ``(B, C, H, W)`` in [0, 1].
        saliency: ``(B, H, W)``, no map of zeros.
        partners: ``(B,)`` rows.
        lam: the partner's share, as the prior has it.
        blocks: b, along each side.
        beta, gamma, eta: weights of label smoothness, data smoothness and prior.
    """
    size = images.shape[-1] // blocks
    pooled = F.avg_pool2d(saliency, size)
    pooled = pooled / pooled.sum((1, 2), keepdim=True)
    prior = torch.tensor([(1 - lam) ** 2, 2 * lam * (1 - lam), lam**2])
    # What is lost: the partner's saliency where the row itself is kept, and the other way round.
    slope = pooled - pooled[partners]
    constant = pooled[partners][..., None] - eta / blocks**2 * (prior + 1e-8).log()

    smoothness = beta / (16 * blocks)
    size = min(4, size)
    borders = F.avg_pool2d(images, size)
    down = _borders(borders, borders[partners], blocks)
    across = (each.mT for each in _borders(borders.mT, borders[partners].mT, blocks))
    down, across = ([smoothness * gamma * each for each in borders] for borders in (down, across))
    slope = slope + _tilt(down, 1) + _tilt(across, 2)
    vertical, horizontal = (smoothness + (p[1] + p[2] - p[0] - p[3]) / 2 for p in (down, across))
    return constant + slope[..., None] * torch.tensor(LEVELS), vertical, horizontal


def _borders(own: Tensor, partner: Tensor, blocks: int) -> list[Tensor]:
    """Mean difference of colours across the lower border of every block but the last, ``(B, b - 1, b)`` each: for both
    sides the row's own, own above partner, partner above own, both the partner's."""
    step = own.shape[-1] // blocks
    above = [each[:, :, step - 1 : -1 : step] for each in (own, partner)]
    below = [each[:, :, step::step] for each in (own, partner)]
    gaps = [(a - b).abs().mean(1) for a in above for b in below]
    return [gap.unflatten(2, (blocks, step)).mean(3) for gap in gaps]


def _tilt(gaps: list[Tensor], axis: int) -> Tensor:
    """What the borders add to the slope of the unaries, ``(B, b, b)``; the rest of them is the weight of the edge."""
    both_own, own_first, partner_first, both_partner = gaps
    first = (partner_first + both_partner - both_own - own_first) / 2
    second = (own_first + both_partner - both_own - partner_first) / 2
    before, after = ((0, 0, 0, 1), (0, 0, 1, 0)) if axis == 1 else ((0, 1), (1, 0))
    return F.pad(first, before) + F.pad(second, after)


def masks(images: Tensor, saliency: Tensor, partners: Tensor, lam: float, blocks: int, swap: Swap, *, beta: float = 1.2,
          gamma: float = 0.5, eta: float = 0.2) -> Tensor:
    """The partner's masks ``(B, b, b)`` in {0, ½, 1}, one swap an image; arguments as of :func:`terms`."""
    settings = {"beta": beta, "gamma": gamma, "eta": eta}
    scale = 1000 * blocks**2
    whole = ((scale * each).int().numpy() for each in terms(images, saliency, partners, lam, blocks, **settings))
    levels = np.array(LEVELS)
    table = (levels[:, None] - levels) ** 2
    labels = [swap(unary, table, vertical, horizontal) for unary, vertical, horizontal in zip(*whole, strict=True)]
    return torch.from_numpy(np.stack(labels)).view(-1, blocks, blocks) / 2


def plans(mask: Tensor, saliency: Tensor, *, xi: float = 0.8) -> Tensor:
    """Where the blocks of one slot go: ``(B, n, n)`` bool, true where block i moves to place j.

    In each round every block asks for the place that is cheapest for it, a place keeps the cheapest block that asks,
    and for the others the place becomes dearer by 1. After b rounds the last answers count. A block that lost moves
    nowhere, a place that nobody asked for is empty: the plan may be partial.

    Every round writes out who asked and who won as matrices of blocks and places.

    Args:
        mask: ``(B, b, b)`` of the slot.
        saliency: ``(B, b, b)`` of the slot's image, of sum 1.
        xi: price of a distance.
    """
    cost = _prices(mask, saliency, xi)
    nobody = torch.zeros_like(cost, dtype=torch.bool)
    for _ in range(mask.shape[-1]):
        asked = nobody.scatter(2, cost.argmin(2, keepdim=True), True)
        offers = torch.where(asked, cost, torch.inf)
        won = nobody.scatter(1, offers.argmin(1, keepdim=True), True) & asked
        cost = cost + (asked & ~won)
    return won


def plans_by_index(mask: Tensor, saliency: Tensor, *, xi: float = 0.8) -> Tensor:
    """The answer of :func:`plans`, with no matrix but the prices: what the rounds cost when they are written well."""
    cost = _prices(mask, saliency, xi)
    batch, count = cost.shape[:2]
    blocks = torch.arange(count).expand(batch, -1)
    for _ in range(mask.shape[-1]):
        price, place = cost.min(2)
        cheapest = price.new_full((batch, count), torch.inf).scatter_reduce_(1, place, price, "amin")
        suitor = torch.where(price == cheapest.gather(1, place), blocks, count)
        winner = blocks.new_full((batch, count), count).scatter_reduce_(1, place, suitor, "amin")
        won = winner.gather(1, place) == blocks
        cost.scatter_add_(2, place[:, :, None], (~won)[:, :, None].to(cost.dtype))
    return torch.zeros_like(cost, dtype=torch.bool).scatter_(2, place[:, :, None], won[:, :, None])


def _prices(mask: Tensor, saliency: Tensor, xi: float) -> Tensor:
    """``(B, n, n)``: the way from block to place, less the saliency that is seen there; half seen counts as seen."""
    blocks = mask.shape[-1]
    place = torch.cartesian_prod(torch.arange(blocks), torch.arange(blocks))
    distance = (place[:, None] - place).square().sum(2) / (blocks - 1) ** 2
    return xi * distance - saliency.flatten(1)[:, :, None] * (mask.flatten(1) > 0)[:, None, :]

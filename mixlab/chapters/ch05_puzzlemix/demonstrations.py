"""What the chapter trains and counts while the page is built: digits in a field, and crops of twelve photographs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mixlab.masks import Transported
from mixlab.mix import Mix
from mixlab.mixers import Mixer
from mixlab.mixers.puzzlemix import best_masks, best_plans, border_differences
from mixlab.models import initialise
from mixlab.risk import EmpiricalRisk, Risk
from mixlab.rng import generator
from mixlab.saliency import block_saliency

__all__ = [
    "GREY", "Field", "Moves", "crops", "field", "identity", "mean_seen", "moves", "photograph_network", "puzzle",
    "reader", "seen", "switched_off",
]

#: What is subtracted from a photograph in [0, 1] before a network sees it.
GREY = 0.45


@dataclass(frozen=True)
class Field:
    """Digits, each somewhere in a noisy field.

    Attributes:
        images: (N, 1, H, W) float32.
        ink: (N, H, W) float32 in [0, 1], what the pen left: the object's own pixels.
    """

    images: Tensor
    ink: Tensor


def field(digits: Tensor, draws: torch.Generator, size: int = 32, noise: float = 0.15) -> Field:
    """Put every digit, at twice its size, at a random place of a field of normal noise.

    Args:
        digits: (N, 1, h, w) uint8.
        draws: source of places and noise.
        size: height and width of the field, at least twice the digits'.
        noise: its standard deviation.

    Example:
        >>> found = field(torch.full((5, 1, 8, 8), 255, dtype=torch.uint8), torch.Generator().manual_seed(0))
        >>> found.images.shape, found.ink.sum((1, 2)).tolist()
        (torch.Size([5, 1, 32, 32]), [256.0, 256.0, 256.0, 256.0, 256.0])
    """
    large = F.interpolate(digits.float() / 255, scale_factor=2, mode="bilinear")[:, 0]
    height, width = large.shape[1:]
    ink = torch.zeros(len(large), size, size)
    top = torch.randint(size - height + 1, (len(large), 1, 1), generator=draws)
    left = torch.randint(size - width + 1, (len(large), 1, 1), generator=draws)
    ink[torch.arange(len(large)).view(-1, 1, 1), top + torch.arange(height).view(1, -1, 1),
        left + torch.arange(width).view(1, 1, -1)] = large
    return Field(ink[:, None] + noise * torch.randn(len(large), 1, size, size, generator=draws), ink)


def reader(digits: Tensor, labels: Tensor, *, epochs: int, seed: int = 0, risk: Risk | None = None,
           rate: float = 0.1) -> nn.Module:
    """A small network that reads digits in a field, placed anew in every epoch; in evaluation mode.

    Args:
        digits: (N, 1, h, w) uint8.
        labels: (N,) int64.
        epochs: passes over the digits.
        seed: of everything.
        risk: what is minimised; the mean cross-entropy of the fields by default.
        rate: the highest learning rate.
    """
    network = _convolutions(1, 12, (2, 2, 1), int(labels.max()) + 1, generator(seed, "init"))
    steps = -(-len(digits) // 100)

    def batch(step: int) -> tuple[Tensor, Tensor]:
        epoch, place = divmod(step, steps)
        rows = torch.randperm(len(digits), generator=generator(seed, "order", epoch))[place::steps]
        return field(digits[rows], generator(seed, "field", step)).images, labels[rows]

    return _trained(network, batch, epochs * steps, EmpiricalRisk() if risk is None else risk, seed, rate)


def photograph_network(photographs: Tensor, *, steps: int, seed: int = 0) -> nn.Module:
    """A small network that tells from a crop which of some photographs it is of; in evaluation mode.

    Args:
        photographs: (N, 3, H, W) in [0, 1], N classes.
        steps: of the optimiser, with four crops of each photograph in a batch.
        seed: of everything.
    """
    network = _convolutions(3, 16, (2, 2, 2), len(photographs), generator(seed, "init"))
    labels = torch.arange(len(photographs)).repeat(4)

    def batch(step: int) -> tuple[Tensor, Tensor]:
        return crops(photographs[labels], generator(seed, "crops", step)), labels

    return _trained(network, batch, steps, EmpiricalRisk(), seed)


def crops(photographs: Tensor, draws: torch.Generator, smallest: float = 0.35) -> Tensor:
    """A random square of every photograph at the photograph's size, every second one flipped, every second one grey.

    Args:
        photographs: (N, 3, H, W) in [0, 1].
        draws: source of places, sizes and brightness.
        smallest: side of the smallest square, as a part of the photograph's.

    Returns:
        (N, 3, H, W), centred as the network wants them.

    Example:
        >>> crops(torch.full((2, 3, 8, 8), 0.5), torch.Generator().manual_seed(0)).shape
        torch.Size([2, 3, 8, 8])
    """
    rows = len(photographs)
    side, across, down, flip, grey, light = torch.rand(6, rows, generator=draws)
    side = smallest + (1 - smallest) * side
    corners = torch.zeros(rows, 2, 3)
    corners[:, 0, 0], corners[:, 1, 1] = torch.where(flip < 0.5, -side, side), side
    corners[:, 0, 2], corners[:, 1, 2] = (2 * across - 1) * (1 - side), (2 * down - 1) * (1 - side)
    places = F.affine_grid(corners, list(photographs.shape), align_corners=False)
    found = F.grid_sample(photographs, places, padding_mode="border", align_corners=False)
    found = torch.where((grey < 0.5).view(-1, 1, 1, 1), found.mean(1, keepdim=True), found)
    return (0.7 + 0.6 * light).view(-1, 1, 1, 1) * found - GREY


def seen(mix: Mix, maps: Tensor) -> Tensor:
    """How much of each source's map can be seen in the mixed picture, wherever its blocks were moved.

    Args:
        mix: of B rows, for images of the size of the maps.
        maps: (B, H, W), non-negative, not zero everywhere: saliency, or the ink of an object.

    Returns:
        (B, K) float32 in [0, 1].

    Example:
        >>> from mixlab.masks import Owners
        >>> half = Mix(torch.tensor([[0, 1], [1, 0]]), Owners(torch.tensor([[[0, 1]]] * 2, dtype=torch.uint8)))
        >>> seen(half, torch.tensor([[[3.0, 1.0]], [[1.0, 1.0]]])).tolist()
        [[0.75, 0.5], [0.5, 0.25]]
    """
    parts = maps / maps.sum((1, 2), keepdim=True)
    masks = mix.masks(maps.shape[1:])
    found = []
    for slot in range(mix.k):
        sources, form = mix.sources[:, slot:slot + 1], mix.form
        shown = parts[sources[:, 0]]
        if isinstance(form, Transported):
            alone = Transported(torch.ones_like(form.maps[:, :1]), form.size, plans=form.plans[:, slot:slot + 1])
            shown = Mix(sources, alone).apply(parts[:, None])[:, 0]
        found.append((masks[:, slot] * shown).sum((1, 2)))
    return torch.stack(found, 1)


def mean_seen(mixer: Mixer, images: Tensor, saliency: Tensor, draws: int, seed: int = 0) -> float:
    """How much of the saliency of both images is seen, of 2, mean over the rows of some draws.

    Args:
        mixer: of pairs.
        images: (B, C, H, W).
        saliency: (B, H, W).
        draws: how many.
        seed: of the draws.
    """
    mixes = (mixer.draw(images, saliency=saliency, generator=generator(seed, "seen", each)) for each in range(draws))
    return sum(seen(mix, saliency).sum(1).mean().item() for mix in mixes) / draws


def puzzle(pair: Tensor, saliency: Tensor, blocks: int, lam: float, *, transport: bool = True, xi: float = 0.8,
           **weights: float) -> Mix:
    """Puzzle Mix on one pair at a λ that is given, not drawn.

    Args:
        pair: (2, C, H, W) in [0, 1], the row itself and its partner.
        saliency: (2, H, W).
        blocks: b.
        lam: the partner's intended share.
        transport, xi: see `mixlab.mixers.PuzzleMix`.
        **weights: beta, gamma, eta, where they are not the usual ones.

    Returns:
        A mix of two rows: the pair, and the same pair seen from the partner.
    """
    own = block_saliency(saliency, blocks)
    partner = own.flip(0)
    borders = border_differences(pair, pair.flip(0), blocks)
    z = best_masks(own, partner, lam=torch.tensor([lam, 1 - lam]), borders=borders, **weights)
    plans = best_plans(z, own, partner, xi=xi) if transport else identity(2, blocks)
    form = Transported(torch.stack([1 - z, z], 1), tuple(pair.shape[-2:]), plans=plans)
    return Mix(torch.tensor([[0, 1], [1, 0]]), form)


def identity(rows: int, blocks: int) -> Tensor:
    """(rows, 2, b²) plans that leave every block in its place."""
    return torch.arange(blocks**2).expand(rows, 2, -1)


def switched_off(pair: Tensor, saliency: Tensor, blocks: int, lam: float) -> dict[str, Mix]:
    """Puzzle Mix on one pair with all its terms, and with each but transport switched off.

    Args:
        pair, saliency, blocks, lam: see `puzzle`.
    """
    off = {"all terms": {}, "β = 0": {"beta": 0.0}, "γ = 0": {"gamma": 0.0}, "η = 0": {"eta": 0.0}}
    mixes = {title: puzzle(pair, saliency, blocks, lam, **weights) for title, weights in off.items()}
    return mixes | {"uniform saliency": puzzle(pair, torch.ones_like(saliency), blocks, lam)}


@dataclass(frozen=True)
class Moves:
    """What transport does at each ξ, mean over pairs.

    Attributes:
        costs: the ξ.
        gained: how much more of both maps is seen than without transport, of 2.
        pairs: part of the pairs in which a block moves.
    """

    costs: tuple[float, ...]
    gained: tuple[float, ...]
    pairs: tuple[float, ...]


def moves(images: Tensor, saliency: Tensor, blocks: int, costs: Sequence[float], lam: float = 0.5) -> Moves:
    """Mix all pairs of some images and count what transport adds, at each of its costs.

    Args:
        images: (N, C, H, W) in [0, 1].
        saliency: (N, H, W).
        blocks: b.
        costs: the ξ.
        lam: the partner's intended share.
    """
    first, second = torch.triu_indices(len(images), len(images), 1)
    maps = block_saliency(saliency, blocks)
    own, partner = maps[first], maps[second]
    z = best_masks(own, partner, lam=lam, borders=border_differences(images[first], images[second], blocks))
    masks, both = (torch.stack(each, 1).flatten(2) for each in ([1 - z, z], [own, partner]))
    stay, found = identity(len(first), blocks), []
    for xi in costs:
        plans = best_plans(z, own, partner, xi=xi)
        gained = (masks * (both.gather(2, plans) - both)).sum((1, 2))
        found.append((gained.mean().item(), (plans != stay).any((1, 2)).double().mean().item()))
    return Moves(tuple(costs), *(tuple(each) for each in zip(*found)))


def _convolutions(channels: int, width: int, strides: tuple[int, ...], classes: int,
                  draws: torch.Generator) -> nn.Module:
    """Three convolutions, the largest value over all places, and a linear head."""
    layers: list[nn.Module] = []
    with torch.device("meta"):  # without memory no layer draws from the global generator
        for number, stride in enumerate(strides):
            reach, out = (2, width) if number == 0 else (1, width << number)
            layer = nn.Conv2d(channels, out, 2 * reach + 1, stride, padding=reach, bias=False)
            layers += [layer, nn.BatchNorm2d(out), nn.ReLU()]
            channels = out
        layers += [nn.AdaptiveMaxPool2d(1), nn.Flatten(), nn.Linear(channels, classes)]
    return initialise(nn.Sequential(*layers).to_empty(device="cpu"), draws)


def _trained(network: nn.Module, batch: Callable[[int], tuple[Tensor, Tensor]], steps: int, risk: Risk, seed: int,
             rate: float = 0.1) -> nn.Module:
    """Minimise a risk of one batch after another, by SGD with a rate that rises and falls."""
    optimizer = torch.optim.SGD(network.parameters(), rate, momentum=0.9, nesterov=True, weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=steps)
    for step in range(steps):
        loss = risk(network, batch(step), step=step, generator=generator(seed, "mix", step))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return network.eval()

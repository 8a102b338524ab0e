"""What many draws of a mixer have in common: how often, how much, where it mixes, and whether its labels are true."""

from collections.abc import Iterable

import torch
from torch import Tensor

from mixlab.mix import Mix
from mixlab.mixers import Mixer

__all__ = ["change_frequency", "draw_many", "label_error", "mixed_parts", "most_untrue"]


def draw_many(mixer: Mixer, rows: int, size: tuple[int, int], *, generator: torch.Generator) -> Mix:
    """Draw one mix for many rows of nothing.

    The rows are views of one black image: number and size count, and memory is not spent on pixels.

    Args:
        mixer: one that does not look at images or labels.
        rows: how many.
        size: height and width in pixels.
        generator: source of randomness.

    Example:
        >>> from mixlab.mixers import CutMix
        >>> mix = draw_many(CutMix(1.0), 1000, (64, 64), generator=torch.Generator().manual_seed(0))
        >>> 0.28 < float(mix.shares[:, 1].mean()) < 0.36
        True
    """
    return mixer.draw(torch.zeros(1, 1, *size).expand(rows, -1, -1, -1), generator=generator)


def mixed_parts(mixer: Mixer, batches: int, rows: int, *, generator: torch.Generator) -> Tensor:
    """The part of the rows of each batch whose label is mixed, ``(batches,)`` float32.

    Example:
        >>> from mixlab.mixers import Identity, Mixup, OneOf
        >>> mixed_parts(Mixup(1.0), 2, 10, generator=torch.Generator().manual_seed(0))
        tensor([1., 1.])
    """
    mixes = (draw_many(mixer, rows, (8, 8), generator=generator) for _ in range(batches))
    return torch.tensor([(mix.weights[:, 0] < 1).float().mean() for mix in mixes])


def change_frequency(mixer: Mixer, rows: int, size: tuple[int, int], *, generator: torch.Generator) -> Tensor:
    """How often each pixel comes from another slot than the first, ``(H, W)`` in [0, 1], for hard masks.

    Example:
        >>> from mixlab.mixers import CutMix
        >>> change_frequency(CutMix(0.0), 3, (2, 2), generator=torch.Generator())
        tensor([[0., 0.],
                [0., 0.]])
    """
    return (draw_many(mixer, rows, size, generator=generator).owners != 0).float().mean(0)


def label_error(mix: Mix, size: tuple[int, int]) -> float:
    """The largest difference between a label weight and the mean of its mask, over all rows and slots.

    Example:
        >>> from mixlab.mixers import Cutout
        >>> mix = Cutout(1).draw(torch.zeros(1, 1, 4, 4), generator=torch.Generator())
        >>> label_error(mix, (4, 4))
        0.0625
    """
    return (mix.weights - mix.masks(size).mean((2, 3))).abs().max().item()


def most_untrue(mix: Mix, kinds: int, ranks: Iterable[int]) -> list[int]:
    """Rows of a batch, by how much more their label promises to slot 1 than its mask shows.

    Args:
        mix: of two slots, drawn for a batch in which rows that are equal modulo ``kinds`` are the same picture.
        kinds: how many different pictures there are; rows that meet their own picture come last.
        ranks: which places of that order are asked for; 0 is the worst.

    Example:
        >>> from mixlab.masks import Constant
        >>> halves = Constant(torch.full((3, 2), 0.5))
        >>> weights = torch.tensor([[0.5, 0.5], [0.0, 1.0], [0.4, 0.6]])
        >>> mix = Mix(torch.tensor([[0, 1], [1, 2], [2, 0]]), halves, weights)
        >>> most_untrue(mix, 3, [0, 1])
        [1, 2]
    """
    lie = mix.weights[:, 1] - mix.shares[:, 1]
    lie = lie.masked_fill(mix.sources[:, 0] % kinds == mix.sources[:, 1] % kinds, -torch.inf)
    order = lie.argsort(descending=True, stable=True)
    return [int(order[rank]) for rank in ranks]

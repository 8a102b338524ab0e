r"""Regional dropout: part of an image is hidden, and its label stays.

**Method card.** Cutout (DeVries and Taylor, 2017) hides a square; GridMask (Chen et al., 2020) hides a grid of squares.

- *How to use*: ``Cutout(num_classes=10)(images, labels)``; ``Cutout(16)`` in pixels, ``Cutout(0.25)`` as a part.
- *Settings*: Cutout 16 pixels on CIFAR-10, 8 on CIFAR-100, which has 32 x 32 pixels, too; the default, half the shorter
  side, is the 16 there and fits images of any size. GridMask ratio 0.6, periods 0.43 to 1 of the side on ImageNet,
  ratio 0.4, periods 0.75 to 1 on CIFAR.
- *Implementation*: a square or grid for every image. ``fill`` is what is seen instead: the default 0 is the mean of
  normalised images; a tensor that broadcasts to the images gives noise or a picture.
- *Limits*: the label does not know what was hidden, and lies when nothing of the object is left. Settings that could
  leave nothing of a whole image are an error.
"""

from dataclasses import dataclass, fields

import torch
from torch import Tensor

from mixlab.checks import numbers, real, whole
from mixlab.masks import NestedBoxes, Owners
from mixlab.mix import Mix
from mixlab.mixers.base import Mixer, image_size

__all__ = ["Cutout", "GridMask"]


def _hide(form: NestedBoxes | Owners, batch: int, device: torch.device, fill: Tensor | float) -> Mix:
    """Every row with nobody: the label keeps its full weight, whatever is hidden."""
    own = torch.arange(batch, device=device)[:, None]
    return Mix.trusted(own, form, torch.ones(batch, 1, device=device), fill, anchored=True)


class _Hiding(Mixer):
    """A mixer with a fill, which may be a tensor: mixers are equal where its values are."""

    def __post_init__(self):
        if not isinstance(self.fill, Tensor) and not real(self.fill):
            raise ValueError(f"expected a number or a tensor as fill, received {self.fill!r}")
        super().__post_init__()

    def _values(self) -> tuple:
        values = {each.name: getattr(self, each.name) for each in fields(self)}
        if isinstance(self.fill, Tensor):
            values["fill"] = (self.fill.dtype, self.fill.shape, *self.fill.flatten().tolist())
        return type(self), *values.values()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Hiding) and self._values() == other._values()

    def __hash__(self) -> int:
        return hash(self._values())


@dataclass(frozen=True, eq=False)
class Cutout(_Hiding):
    """Hide one square of every image.

    The centre is uniform over the pixels, and the square is clipped at the border.

    Args:
        side: side of the square: an integer >= 1 is in pixels; a float in (0, 1) is a part of the shorter side of the
            image, rounded to whole pixels, at least 1. The default is the paper's 16 pixels on images of CIFAR-10, of
            32 x 32 pixels.
        fill: what is seen instead, a number or a tensor that broadcasts to the images.

    Raises:
        ValueError: for a side that is neither a positive integer nor in (0, 1), or a fill that is neither a number nor
            a tensor; from ``draw``, for images that the square can hide as a whole: neither higher nor wider than it.

    Source: DeVries and Taylor (2017), section 3.2.

    Example:
        >>> mixed, targets = Cutout(1, num_classes=3)(torch.ones(2, 1, 4, 4), torch.tensor([0, 2]))
        >>> mixed.sum((1, 2, 3)), targets.tolist()
        (tensor([15., 15.]), [[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
        >>> Cutout(0.25).draw(torch.ones(1, 1, 4, 4), generator=torch.Generator()).shares  # the same square
        tensor([[0.9375]])
    """

    side: int | float = 0.5
    fill: Tensor | float = 0.0

    def __post_init__(self):
        if not (whole(self.side) and self.side >= 1):
            if whole(self.side) or not real(self.side) or not 0 < self.side < 1:
                raise ValueError("expected a side in whole pixels >= 1, or a part of the image's shorter side in "
                                 f"(0, 1), received {self.side!r}")
            object.__setattr__(self, "side", float(self.side))
        super().__post_init__()

    def _pixels(self, size: tuple[int, int]) -> int:
        """Side of the square in images of a height and width."""
        side = self.side if whole(self.side) else max(1, round(self.side * min(size)))
        if side >= max(size):
            raise ValueError(f"expected images higher or wider than the square, so that something is left to see, "
                             f"received a height and width of {size} for a side of {side} (side={self.side})")
        return side

    def _draw(
        self, images: Tensor, labels: Tensor | None, saliency: Tensor | None, generator: torch.Generator
    ) -> Mix:
        size, device = image_size(images), generator.device
        side, extent = self._pixels(size), torch.tensor(size, device=device)
        uniform = torch.rand(len(images), 2, dtype=torch.float64, generator=generator, device=device)
        corner = (uniform * extent).long() - side // 2
        edges = torch.cat([corner, corner + side], dim=1).clamp(min=0).minimum(extent.repeat(2))
        return _hide(NestedBoxes(edges[:, None], size), len(images), device, self.fill)


@dataclass(frozen=True, eq=False)
class GridMask(_Hiding):
    """Hide a regular grid of squares.

    Every image gets a period d, uniform over whole pixels, and an offset; of each d x d unit a square with sides
    ``d - round(ratio * d)`` is hidden.

    Args:
        ratio: visible part of a unit's side, in (0, 1).
        periods: smallest and largest d, as parts of the shorter side of the image, in (0, 1].
        fill: what is seen instead, a number or a tensor that broadcasts to the images.

    Raises:
        ValueError: for a ratio outside (0, 1), periods that are not two increasing numbers within (0, 1], or a fill
            that is neither a number nor a tensor; from ``draw``, where nothing would be left of a whole image: for a
            ratio that rounds the visible part of the smallest period to no pixel, or images of a single pixel.

    Source: Chen et al. (2020), section 3, without the rotation.

    Example:
        >>> mix = GridMask(0.5, (0.25, 0.25)).draw(torch.ones(1, 1, 8, 8), generator=torch.Generator())
        >>> mix.shares, mix.weights
        (tensor([[0.7500]]), tensor([[1.]]))
    """

    ratio: float = 0.6
    periods: tuple[float, float] = (0.4, 1.0)
    fill: Tensor | float = 0.0

    def __post_init__(self):
        if not real(self.ratio) or not 0 < self.ratio < 1:
            raise ValueError(f"expected a visible ratio in (0, 1), received {self.ratio!r}")
        periods = numbers(self.periods)
        if periods is None or len(periods) != 2 or not 0 < periods[0] <= periods[1] <= 1:
            raise ValueError(f"expected periods 0 < low <= high <= 1, received {self.periods!r}")
        object.__setattr__(self, "periods", tuple(periods))
        super().__post_init__()

    def _hidden(self, period: Tensor) -> Tensor:
        """How many rows or columns of every period are hidden."""
        return period - (self.ratio * period).round().long()

    def _draw(
        self, images: Tensor, labels: Tensor | None, saliency: Tensor | None, generator: torch.Generator
    ) -> Mix:
        size, device = image_size(images), generator.device
        low, high = (max(2, round(period * min(size))) for period in self.periods)
        fewest, most = self._hidden(torch.tensor([low, high])).tolist()
        if fewest == low or most >= max(size):
            raise ValueError(f"expected a ratio and images of which the grid leaves something to see, received a ratio "
                             f"of {self.ratio} and periods of {low} to {high} pixels for a height and width of {size}")
        uniform = torch.rand(3, len(images), 1, dtype=torch.float64, generator=generator, device=device)
        period = low + (uniform[0] * (high - low + 1)).long()
        hidden = self._hidden(period)
        rows, columns = (
            (torch.arange(extent, device=device) + (offset * period).long()) % period < hidden
            for extent, offset in zip(size, uniform[1:])
        )
        hidden_map = (rows[:, :, None] & columns[:, None, :]).to(torch.uint8)
        return _hide(Owners(hidden_map), len(images), device, self.fill)

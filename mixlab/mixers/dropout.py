r"""Regional dropout: part of an image is hidden, and its label stays.

**Method card.** Cutout (DeVries and Taylor, 2017) hides a square; GridMask (Chen et al., 2020) hides a grid of squares.

- *How to use*: ``Cutout(16, num_classes=10)(images, labels)``.
- *Settings*: Cutout 16 pixels on CIFAR-10, 8 on CIFAR-100; GridMask ratio 0.6, periods 0.43 to 1 of the side on
  ImageNet, ratio 0.4, periods 0.75 to 1 on CIFAR.
- *Implementation*: a square or grid for every image. ``fill`` is what is seen instead: the default 0 is the mean of
  normalised images; a tensor that broadcasts to the images gives noise or a picture.
- *Limits*: the label does not know what was hidden, and lies when nothing of the object is left.
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
        side: side of the square, in pixels, >= 1.
        fill: what is seen instead, a number or a tensor that broadcasts to the images.

    Raises:
        ValueError: for a side that is no positive integer, or a fill that is neither a number nor a tensor.

    Source: DeVries and Taylor (2017), section 3.2.

    Example:
        >>> mixed, targets = Cutout(8, num_classes=3)(torch.ones(2, 1, 4, 4), torch.tensor([0, 2]))
        >>> float(mixed.max()), targets.tolist()
        (0.0, [[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    """

    side: int = 16
    fill: Tensor | float = 0.0

    def __post_init__(self):
        if not whole(self.side) or self.side < 1:
            raise ValueError(f"expected a side of at least one pixel, received {self.side!r}")
        super().__post_init__()

    def _draw(
        self, images: Tensor, labels: Tensor | None, saliency: Tensor | None, generator: torch.Generator
    ) -> Mix:
        size, device = image_size(images), generator.device
        extent = torch.tensor(size, device=device)
        uniform = torch.rand(len(images), 2, dtype=torch.float64, generator=generator, device=device)
        corner = (uniform * extent).long() - self.side // 2
        edges = torch.cat([corner, corner + self.side], dim=1).clamp(min=0).minimum(extent.repeat(2))
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
            that is neither a number nor a tensor.

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

    def _draw(
        self, images: Tensor, labels: Tensor | None, saliency: Tensor | None, generator: torch.Generator
    ) -> Mix:
        size, device = image_size(images), generator.device
        low, high = (max(2, round(period * min(size))) for period in self.periods)
        uniform = torch.rand(3, len(images), 1, dtype=torch.float64, generator=generator, device=device)
        period = low + (uniform[0] * (high - low + 1)).long()
        hidden = period - (self.ratio * period).round().long()
        rows, columns = (
            (torch.arange(extent, device=device) + (offset * period).long()) % period < hidden
            for extent, offset in zip(size, uniform[1:])
        )
        hidden_map = (rows[:, :, None] & columns[:, None, :]).to(torch.uint8)
        return _hide(Owners(hidden_map), len(images), device, self.fill)

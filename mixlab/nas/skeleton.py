"""What a supernet and a final network have in common: a stem, and a row of cells two of which halve the sides."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from mixlab.checks import whole
from mixlab.models import initialise
from mixlab.nas.operations import FactorizedReduce, relu_conv_bn

__all__ = ["STEMS", "LargeStem", "Place", "Skeleton", "SmallStem", "places", "plain_order", "reader"]


class SmallStem(nn.Module):
    """For small images: one 3×3 convolution to 3 C channels, normalised; both of the first cell's sources are that.

    Args:
        in_channels: of the images.
        channels: C, of the first cells.

    Example:
        >>> first, second = SmallStem(3, 4)(torch.zeros(1, 3, 32, 32))
        >>> first is second, first.shape
        (True, torch.Size([1, 12, 32, 32]))
    """

    divides = 1  # the sides of the images, on the way to the second source
    apart = False  # whether the first source is twice as large as the second

    def __init__(self, in_channels: int, channels: int):
        super().__init__()
        self.widths = (3 * channels, 3 * channels)
        self.layers = nn.Sequential(nn.Conv2d(in_channels, 3 * channels, 3, padding=1, bias=False),
                                    nn.BatchNorm2d(3 * channels))

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Map images (B, in_channels, H, W) to two sources."""
        maps = self.layers(images)
        return maps, maps


class LargeStem(nn.Module):
    """For large images: three 3×3 convolutions of stride 2; the sources are the second's and the third's maps.

    Args:
        in_channels: of the images.
        channels: C, of the first cells, an even number.

    Example:
        >>> [each.shape for each in LargeStem(3, 4)(torch.zeros(1, 3, 64, 64))]
        [torch.Size([1, 4, 16, 16]), torch.Size([1, 4, 8, 8])]
    """

    divides, apart = 8, True

    def __init__(self, in_channels: int, channels: int):
        super().__init__()
        self.widths = (channels, channels)
        half = channels // 2
        self.first = nn.Sequential(
            nn.Conv2d(in_channels, half, 3, 2, padding=1, bias=False), nn.BatchNorm2d(half), nn.ReLU(),
            nn.Conv2d(half, channels, 3, 2, padding=1, bias=False), nn.BatchNorm2d(channels),
        )
        self.second = nn.Sequential(
            nn.ReLU(), nn.Conv2d(channels, channels, 3, 2, padding=1, bias=False), nn.BatchNorm2d(channels))

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Map images (B, in_channels, H, W) to two sources."""
        first = self.first(images)
        return first, self.second(first)


STEMS = {"small": SmallStem, "large": LargeStem}


class Place(NamedTuple):
    """Where a cell stands.

    Attributes:
        before, last: channels of its two sources.
        channels: of each of its nodes.
        reduce: whether it halves the sides.
        apart: whether its first source is twice as large as its second.
    """

    before: int
    last: int
    channels: int
    reduce: bool
    apart: bool


def places(layers: int, channels: int, widths: Sequence[int], apart: bool, outputs: Sequence[int]) -> Iterator[Place]:
    """The cells of a network in their order: number layers // 3 and 2 · layers // 3 halve the sides.

    Args:
        layers: cells.
        channels: of the nodes of the first cells; doubled where sides are halved.
        widths: channels of the two sources of the first cell.
        apart: whether its first source is twice as large as its second.
        outputs: how many nodes a normal and a reduction cell put together.

    Source: Liu et al. (2019), appendix A.

    Example:
        >>> [(each.channels, each.reduce, each.apart) for each in places(3, 8, (24, 24), False, (4, 4))]
        [(8, False, False), (16, True, False), (32, True, True)]
    """
    before, last = widths
    for layer in range(layers):
        reduce = layer in (layers // 3, 2 * layers // 3)
        channels *= 1 + reduce
        yield Place(before, last, channels, reduce, apart)
        before, last, apart = last, outputs[reduce] * channels, reduce


def reader(channels: int, out: int, *, halve: bool, affine: bool) -> nn.Module:
    """How a cell reads one of its sources: to its own number of channels, and to half of the sides if need be."""
    return (FactorizedReduce if halve else relu_conv_bn)(channels, out, affine=affine)


def plain_order(images: Tensor) -> Tensor:
    """The images in the usual order of memory on a CPU, whatever strides they have; on an accelerator as they are.

    On a CPU the gradient of a strided 1×1 convolution of few channels writes past its buffer where maps are in
    channels-last order (oneDNN issue 6035), and these networks have such layers. Grey images that were permuted from
    (N, H, W, 1) have strides of that order and pass for contiguous, so `contiguous` alone would leave them.

    Example:
        >>> grey = torch.zeros(2, 5, 6, 1).permute(0, 3, 1, 2)
        >>> grey.contiguous().stride(), plain_order(grey).stride()
        ((30, 1, 6, 1), (30, 30, 6, 1))
    """
    usual = torch.empty(images.shape, device="meta").stride()
    if images.device.type != "cpu" or images.stride() == usual:
        return images
    return images.clone(memory_format=torch.contiguous_format)


class Skeleton(nn.Module):
    """A stem, cells, the mean over positions, and a linear layer.

    Args:
        num_classes: logits.
        in_channels: of the images.
        layers: cells.
        channels: of the nodes of the first cells.
        stem: "small", or "large" for images whose sides are to be divided by 8 first.

    Raises:
        ValueError: for a size that is not a positive integer, or another stem.
    """

    def __init__(self, num_classes: int, in_channels: int, layers: int, channels: int, stem: str):
        super().__init__()
        sizes = {"num_classes": num_classes, "in_channels": in_channels, "layers": layers, "channels": channels}
        for name, value in sizes.items():
            if not whole(value) or value < 1:
                raise ValueError(f"expected a positive integer {name}, received {value!r}")
        if stem not in STEMS:
            raise ValueError(f"expected a stem of {', '.join(STEMS)}, received {stem!r}")
        self.num_classes, self.in_channels, self.layers, self.channels = map(int, sizes.values())
        self.kind = stem

    def _places(self, outputs: Sequence[int]) -> list[Place]:
        """Make the stem; where the cells stand."""
        self.stem = STEMS[self.kind](self.in_channels, self.channels)
        found = list(places(self.layers, self.channels, self.stem.widths, self.stem.apart, outputs))
        self.divides = self.stem.divides * 2 ** sum(place.reduce for place in found)
        return found

    def _draw(self, generator: torch.Generator | None) -> torch.Generator:
        """Give all layers memory and initial weights; the generator, for what else is to be drawn."""
        if generator is not None and generator.device.type != "cpu":
            # One seed then gives one network, wherever it is trained.
            raise ValueError(f"expected a generator on the CPU, received one on {generator.device}")
        generator = torch.Generator().manual_seed(0) if generator is None else generator
        self.to_empty(device="cpu")
        for part in self.children():
            initialise(part, generator)
        return generator

    def check(self, shape: Sequence[int]) -> None:
        """Refuse images that the network cannot halve as often as it has to.

        Args:
            shape: of the images, (B, C, H, W) or (C, H, W).

        Raises:
            ValueError: for another number of channels, or sides that are not divided evenly.
        """
        if len(shape) not in (3, 4) or shape[-3] != self.in_channels:
            raise ValueError(f"expected images of {self.in_channels} channels, (B, C, H, W), received {tuple(shape)}")
        height, width = shape[-2:]
        if height % self.divides or width % self.divides or 0 in (height, width):
            raise ValueError(f"expected images whose sides {self.divides} divides, so that no odd side is to be halved,"
                             f" received {height} x {width}")

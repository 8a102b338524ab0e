"""Networks by name."""

import re
from collections.abc import Callable

import torch
from torch import nn

from mixlab.models.initialise import initialise
from mixlab.models.preact_resnet import preact_resnet18
from mixlab.models.regularisers import Regularisers

__all__ = ["NAMES", "build"]


def _residual(make: Callable, *structure: int) -> Callable:
    """A builder of a network that takes a width and regularisers."""

    def builder(num_classes: int, in_channels: int, width: int | None, regularisers: Regularisers) -> nn.Module:
        options = {} if width is None else {"width": width}
        return make(*structure, num_classes, in_channels, regularisers=regularisers, **options)

    return builder


#: A pattern for every kind of name, and what makes a builder of its numbers.
_PATTERNS: list[tuple[str, Callable[..., Callable]]] = [
    (r"preact-resnet18", lambda: _residual(preact_resnet18)),
]

#: What names look like, for messages and help.
NAMES = ("preact-resnet18",)


def build(
    name: str,
    num_classes: int,
    in_channels: int = 3,
    width: int | None = None,
    generator: torch.Generator | None = None,
    *,
    dropout: float = 0.0,
    stochastic_depth: float = 0.0,
    dropblock: float = 0.0,
    block_size: int = 7,
) -> nn.Module:
    """Build a network by name, with initial weights from a generator.

    Args:
        name: one of ``NAMES``.
        num_classes: number of logits.
        in_channels: of the images.
        width: channels of the stem; the other layers follow in proportion. None is the paper's.
        generator: source of the initial weights, on the CPU; None is a new one of seed 0. The global random state is
            left alone.
        dropout, stochastic_depth, dropblock, block_size: see ``Regularisers``.

    Returns:
        The network, on the CPU and in training mode. It maps images ``(B, in_channels, H, W)`` to logits.

    Raises:
        ValueError: for an unknown name, a size that is not a positive integer, a generator that is not on the CPU, or
            an option that the network does not have.

    Example:
        >>> network = build("preact-resnet18", num_classes=10, in_channels=1, width=16)
        >>> network(torch.zeros(2, 1, 28, 28)).shape
        torch.Size([2, 10])
        >>> network.layers
        ('stem', 'stage1', 'stage2', 'stage3', 'stage4', 'final')
    """
    sizes = {"num_classes": num_classes, "in_channels": in_channels, "width": 1 if width is None else width}
    for option, value in sizes.items():
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise ValueError(f"expected a positive integer {option}, received {value!r}")
    generator = torch.Generator().manual_seed(0) if generator is None else generator
    if generator.device.type != "cpu":
        # One seed then gives one network, wherever it is trained.
        raise ValueError(f"expected a generator on the CPU, received one on {generator.device}")
    builder = _find(name)
    # Layers draw from the global generator as they are made; without memory there is nothing to draw.
    with torch.device("meta"):
        network = builder(num_classes, in_channels, width, Regularisers(dropout, stochastic_depth, dropblock, block_size))
    return initialise(network.to_empty(device="cpu"), generator)


def _find(name: str) -> Callable:
    for pattern, numbers_to_builder in _PATTERNS:
        if match := re.fullmatch(pattern, name):
            return numbers_to_builder(*map(int, match.groups()))
    raise ValueError(f"expected a network of {', '.join(NAMES)}, received {name!r}")

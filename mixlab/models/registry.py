"""Networks by name."""

import re
from collections.abc import Callable

import torch
from torch import nn

from mixlab.checks import whole
from mixlab.models.bench_net import BenchNet
from mixlab.models.initialise import initialise
from mixlab.models.lenet import LeNet
from mixlab.models.preact_resnet import preact_resnet18
from mixlab.models.pyramidnet import pyramidnet
from mixlab.models.regularisers import Regularisers
from mixlab.models.resnet_cifar import resnet_cifar
from mixlab.models.torchvision_resnet import TORCHVISION, torchvision_resnet
from mixlab.models.wideresnet import wideresnet

__all__ = ["NAMES", "build"]

#: A builder maps (num_classes, in_channels, width or None, regularisers) to a network.
Builder = Callable[[int, int, int | None, Regularisers], nn.Module]


def _residual(make: Callable[..., nn.Module], *structure: int) -> Builder:
    """A network with a width, whose blocks take every regulariser."""

    def builder(num_classes: int, in_channels: int, width: int | None, regularisers: Regularisers):
        options = {} if width is None else {"width": width}
        return make(*structure, num_classes, in_channels, regularisers=regularisers, **options)

    return builder


def _unregularised(name: str, make: Callable[..., nn.Module], *structure: int) -> Builder:
    """A network with a width, whose layers take no regulariser."""

    def builder(num_classes: int, in_channels: int, width: int | None, regularisers: Regularisers):
        _refuse(name, dropout=regularisers.dropout, dropblock=regularisers.dropblock,
                stochastic_depth=regularisers.stochastic_depth, block_size=_other_size(regularisers))
        return make(*structure, num_classes, in_channels, **({} if width is None else {"width": width}))

    return builder


def _lenet(num_classes: int, in_channels: int, width: int | None, regularisers: Regularisers) -> nn.Module:
    _refuse("lenet", width=width, stochastic_depth=regularisers.stochastic_depth,
            dropblock=regularisers.dropblock, block_size=_other_size(regularisers))
    return LeNet(num_classes, in_channels, regularisers.dropout)


def _torchvision(name: str) -> Builder:
    def builder(num_classes: int, in_channels: int, width: int | None, regularisers: Regularisers):
        _refuse(name, width=width, dropout=regularisers.dropout, dropblock=regularisers.dropblock,
                stochastic_depth=regularisers.stochastic_depth, block_size=_other_size(regularisers))
        return torchvision_resnet(name, num_classes, in_channels)

    return builder


def _other_size(regularisers: Regularisers) -> int | None:
    """The size of DropBlock's blocks, if it was asked for."""
    return None if regularisers.block_size == Regularisers.block_size else regularisers.block_size


def _refuse(name: str, **options: float | None) -> None:
    """Say which of the options the network does not have, if one was asked for."""
    if asked := [option for option, value in options.items() if value]:
        received = ", ".join(f"{option}={options[option]}" for option in asked)
        raise ValueError(f"expected no {' or '.join(options)} for {name}, received {received}")


#: Names that stand for one network. resnet-20 is one of small images, resnet18 is torchvision's.
_NAMED: dict[str, Builder] = {
    "lenet": _lenet,
    "bench-net": _unregularised("bench-net", BenchNet),
    "preact-resnet18": _residual(preact_resnet18),
    "pyramidnet-110": _residual(pyramidnet, 110, 64),
    "pyramidnet-200": _residual(pyramidnet, 200, 240),
    **{f"resnet-{depth}": _unregularised(f"resnet-{depth}", resnet_cifar, depth) for depth in (20, 32, 56)},
    **{name: _torchvision(name) for name in TORCHVISION},
}

#: Names with numbers in them: the words, and what the numbers are for.
_NUMBERED: dict[str, Callable[..., nn.Module]] = {"wideresnet": wideresnet, "pyramidnet": pyramidnet}

#: What a network can be called. D is a depth, K WideResNet's widening, A PyramidNet's α̃: wideresnet-28-10.
NAMES = (*_NAMED, "wideresnet-D-K", "pyramidnet-D-A")


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
        name: one of ``NAMES``, with numbers for the capitals: ``wideresnet-28-10``, ``pyramidnet-20-48``.
        num_classes: number of logits.
        in_channels: of the images.
        width: channels of the stem; the stages follow in proportion, and grow by α̃ from there in a
            PyramidNet. None is the paper's. LeNet and torchvision's networks have one width; bench-net has it
            in its first stage.
        generator: source of the initial weights, on the CPU; None is a new one of seed 0. The global random
            state is left alone.
        dropout, stochastic_depth, dropblock, block_size: see ``Regularisers``. LeNet has dropout alone,
            before its linear layers; bench-net, resnet-20, -32, -56 and torchvision's networks have none of them.

    Returns:
        The network, on the CPU and in training mode. It maps images ``(B, in_channels, H, W)`` to logits.

    Raises:
        ValueError: for an unknown name, a size that is not a positive integer, a generator that is not on the
            CPU, or an option that the network does not have.

    Example:
        >>> network = build("preact-resnet18", num_classes=10, in_channels=1, width=16)
        >>> network(torch.zeros(2, 1, 28, 28)).shape
        torch.Size([2, 10])
        >>> network.layers
        ('stem', 'stage1', 'stage2', 'stage3', 'stage4', 'final')
    """
    sizes = {"num_classes": num_classes, "in_channels": in_channels, "width": 1 if width is None else width}
    for option, value in sizes.items():
        if not whole(value) or value < 1:
            raise ValueError(f"expected a positive integer {option}, received {value!r}")
    generator = torch.Generator().manual_seed(0) if generator is None else generator
    if generator.device.type != "cpu":
        # One seed then gives one network, wherever it is trained.
        raise ValueError(f"expected a generator on the CPU, received one on {generator.device}")
    builder, regularisers = _find(name), Regularisers(dropout, stochastic_depth, dropblock, block_size)
    # Layers draw from the global generator as they are made; without memory there is nothing to draw.
    with torch.device("meta"):
        network = builder(num_classes, in_channels, width, regularisers)
    return initialise(network.to_empty(device="cpu"), generator)


def _find(name: str) -> Builder:
    if name in _NAMED:
        return _NAMED[name]
    match = re.fullmatch(r"([a-z]+)-([1-9][0-9]*)-([1-9][0-9]*)", name)
    if match and match[1] in _NUMBERED:
        return _residual(_NUMBERED[match[1]], int(match[2]), int(match[3]))
    raise ValueError(f"expected a network of {', '.join(NAMES)}, received {name!r}")

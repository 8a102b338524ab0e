"""The eight operations that an edge of a cell chooses among, each in two forms.

In a search the batch normalisations have no scale and shift of their own (those would compete with the weights of the
operations), and a pooling is normalised like everything else, so that all candidates arrive at one size. In the network
that is built from what was found, normalisations have scale and shift, and a pooling is only that.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

__all__ = ["OPERATIONS", "FactorizedReduce", "Zero", "check_even", "operation", "relu_conv_bn"]

#: The operations in the order of the columns of α.
OPERATIONS = ("none", "max_pool_3x3", "avg_pool_3x3", "skip_connect", "sep_conv_3x3", "sep_conv_5x5", "dil_conv_3x3",
              "dil_conv_5x5")


def operation(name: str, channels: int, stride: int = 1, *, search: bool = False) -> nn.Module:
    """Make one operation, which keeps the number of channels and divides the sides by `stride`.

    - ``none`` gives zeros.
    - ``max_pool_3x3`` and ``avg_pool_3x3``; the average leaves out what lies beyond the border.
    - ``skip_connect`` is the identity, at stride 2 a `FactorizedReduce`.
    - ``sep_conv_k``: ReLU, depthwise k×k convolution, 1×1 convolution, batch normalisation, and all of it once more at
      stride 1.
    - ``dil_conv_k``: ReLU, depthwise k×k convolution whose taps are 2 apart, 1×1 convolution, batch normalisation.

    Args:
        name: one of `OPERATIONS`.
        channels: of what comes in and goes out; even for ``skip_connect`` at stride 2.
        stride: 1 or 2.
        search: the form of a supernet, without scale and shift and with a normalisation after poolings; else the form
            of the final network.

    Returns:
        A module that maps (B, channels, H, W) to (B, channels, H / stride, W / stride).

    Raises:
        ValueError: for another name or stride, or an odd number of channels that is to be halved.

    Source: Liu et al. (2019), "DARTS: differentiable architecture search", section 3.1.1; Xu et al. (2020), "PC-DARTS:
    partial channel connections for memory-efficient architecture search", and its published code.

    Example:
        >>> layer = operation("sep_conv_3x3", 4, 2)
        >>> layer(torch.zeros(2, 4, 8, 8)).shape, sum(each.numel() for each in layer.parameters())
        (torch.Size([2, 4, 4, 4]), 120)
    """
    if name not in OPERATIONS:
        raise ValueError(f"expected an operation of {', '.join(OPERATIONS)}, received {name!r}")
    if stride not in (1, 2):
        raise ValueError(f"expected a stride of 1 or 2, received {stride!r}")
    if name == "none":
        return Zero(stride)
    if name == "skip_connect":
        return nn.Identity() if stride == 1 else FactorizedReduce(channels, channels, affine=not search)
    if name.endswith("pool_3x3"):
        pool = (nn.MaxPool2d(3, stride, padding=1) if name.startswith("max") else
                nn.AvgPool2d(3, stride, padding=1, count_include_pad=False))
        return nn.Sequential(pool, nn.BatchNorm2d(channels, affine=False)) if search else pool
    side, affine = int(name[-1]), not search
    if name.startswith("dil"):
        return nn.Sequential(*_depthwise(channels, side, stride, 2, affine))
    return nn.Sequential(*_depthwise(channels, side, stride, 1, affine), *_depthwise(channels, side, 1, 1, affine))


def _depthwise(channels: int, side: int, stride: int, dilation: int, affine: bool) -> list[nn.Module]:
    """ReLU, a convolution of each channel by itself, one of all channels at each pixel, normalisation."""
    return [
        nn.ReLU(),
        nn.Conv2d(channels, channels, side, stride, padding=dilation * (side - 1) // 2, dilation=dilation,
                  groups=channels, bias=False),
        nn.Conv2d(channels, channels, 1, bias=False),
        nn.BatchNorm2d(channels, affine=affine),
    ]


def relu_conv_bn(channels: int, out: int, *, affine: bool = True) -> nn.Sequential:
    """ReLU, 1×1 convolution, batch normalisation: how a cell reads another one of the same sides.

    Args:
        channels: that come in.
        out: that go out.
        affine: whether the normalisation has a scale and a shift.

    Example:
        >>> relu_conv_bn(6, 4)(torch.zeros(1, 6, 8, 8)).shape
        torch.Size([1, 4, 8, 8])
    """
    return nn.Sequential(nn.ReLU(), nn.Conv2d(channels, out, 1, bias=False), nn.BatchNorm2d(out, affine=affine))


def check_even(images: Tensor) -> None:
    """Refuse maps that cannot be halved: the ways of halving them would disagree about the last row.

    Raises:
        ValueError: for an odd side.

    Example:
        >>> check_even(torch.zeros(1, 2, 7, 8))
        Traceback (most recent call last):
        ...
        ValueError: expected even sides at stride 2, received 7 x 8
    """
    height, width = images.shape[-2:]
    if height % 2 or width % 2:
        raise ValueError(f"expected even sides at stride 2, received {height} x {width}")


class Zero(nn.Module):
    """Zeros, of the size that another operation of this stride would give.

    Args:
        stride: 1 or 2.

    Example:
        >>> Zero(2)(torch.ones(1, 3, 4, 4)).shape
        torch.Size([1, 3, 2, 2])
    """

    def __init__(self, stride: int):
        super().__init__()
        self.stride = stride

    def forward(self, images: Tensor) -> Tensor:
        """Map (B, C, H, W) to zeros (B, C, H / stride, W / stride)."""
        return torch.zeros_like(images[:, :, ::self.stride, ::self.stride])

    def extra_repr(self) -> str:
        return f"stride={self.stride}"


class FactorizedReduce(nn.Module):
    """Halve the sides by two 1×1 convolutions of stride 2, one of which starts a pixel further down and right.

    One such convolution would look at every fourth pixel only; the two, with half of the channels each, look at every
    second.

    Args:
        channels: that come in.
        out: that go out, an even number.
        affine: whether the normalisation has a scale and a shift.

    Raises:
        ValueError: for an odd `out`, or images with an odd side.

    Source: the published code of Liu et al. (2019).

    Example:
        >>> FactorizedReduce(3, 4)(torch.zeros(1, 3, 8, 8)).shape
        torch.Size([1, 4, 4, 4])
    """

    def __init__(self, channels: int, out: int, *, affine: bool = True):
        super().__init__()
        if out % 2:
            raise ValueError(f"expected an even number of channels to halve, received {out}")
        self.relu = nn.ReLU()
        self.first = nn.Conv2d(channels, out // 2, 1, 2, bias=False)
        self.second = nn.Conv2d(channels, out // 2, 1, 2, bias=False)
        self.norm = nn.BatchNorm2d(out, affine=affine)

    def forward(self, images: Tensor) -> Tensor:
        """Map (B, channels, H, W) to (B, out, H / 2, W / 2)."""
        check_even(images)
        images = self.relu(images)
        return self.norm(torch.cat([self.first(images), self.second(images[:, :, 1:, 1:])], dim=1))

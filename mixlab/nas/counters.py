"""How large a network is: parameters and multiplications, counted without memory and without computing.

A multiplication with an addition counts once (a MAC). Two conventions are in use, and their numbers differ by some
per cent, so a number has to say which it is:

- "macs": those of convolutions and linear layers.
- "paper": as in the papers on architecture search, which count 2 more for every output of a batch normalisation and 1
  for every output of a ReLU layer. PC-DARTS' published 586 M for ImageNet are of this kind; the figures that DARTS
  published are not explained by it.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy

import torch
from torch import nn

__all__ = ["CONVENTIONS", "macs", "parameters"]

CONVENTIONS = ("macs", "paper")


def parameters(network: nn.Module, *, without: Sequence[str] = ("auxiliary",)) -> int:
    """How many parameters a network has.

    Args:
        network: on any device.
        without: parts that are not counted, by name; an auxiliary head is for training only.

    Example:
        >>> parameters(nn.Linear(3, 2)), parameters(nn.Sequential(nn.Linear(3, 2)), without=["0"])
        (8, 0)
    """
    return sum(each.numel() for name, each in network.named_parameters() if name.partition(".")[0] not in without)


def macs(network: nn.Module, shape: Sequence[int], *, convention: str = "macs") -> int:
    """Multiplications for one image in evaluation mode.

    Args:
        network: of convolutions, linear layers, batch normalisations and ReLU layers that are modules; what it
            computes by functions is not seen, as in the rearranged form of a supernet.
        shape: of an image, (C, H, W).
        convention: see `CONVENTIONS`.

    Returns:
        The number; nothing is computed, and the network is left as it is.

    Raises:
        ValueError: for another convention.

    Source: Liu et al. (2019) and Xu et al. (2020), whose numbers these are compared with.

    Example:
        >>> layers = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU())
        >>> macs(layers, (3, 4, 4)), macs(layers, (3, 4, 4), convention="paper")
        (3456, 3840)
    """
    if convention not in CONVENTIONS:
        raise ValueError(f"expected a convention of {', '.join(CONVENTIONS)}, received {convention!r}")
    network = deepcopy(network).to("meta").eval()
    counted = []

    def count(layer: nn.Module, given: tuple, made: torch.Tensor) -> None:
        if isinstance(layer, nn.Conv2d):
            counted.append(made.numel() * layer.weight[0].numel())
        elif isinstance(layer, nn.Linear):
            counted.append(made.numel() * layer.in_features)
        elif convention == "paper":
            counted.append(made.numel() * (2 if isinstance(layer, nn.BatchNorm2d) else 1))

    for layer in network.modules():
        if isinstance(layer, (nn.Conv2d, nn.Linear, nn.BatchNorm2d, nn.ReLU)):
            layer.register_forward_hook(count)
    with torch.no_grad():
        network(torch.empty(1, *shape, device="meta"))
    return sum(counted)

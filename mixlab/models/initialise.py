"""Initial weights from an explicit generator."""

import math
from itertools import chain

import torch
from torch import Tensor, nn

__all__ = ["IdentityConv2d", "initialise"]

_NORMS = (nn.modules.batchnorm._BatchNorm, nn.GroupNorm, nn.LayerNorm)


class IdentityConv2d(nn.Conv2d):
    """A convolution that ``initialise`` starts as the identity, as far as its channels go.

    Of the filters, as many as there are input channels (all, if there are fewer) hand one channel on unchanged; the
    others are drawn as in every convolution. Sides must be odd, or there is no centre.

    Source: K. Jordan (2024), arXiv 2404.00498, section 3.3.

    Example:
        >>> layer = initialise(IdentityConv2d(2, 3, 3, padding=1), torch.Generator().manual_seed(0))
        >>> images = torch.rand(1, 2, 5, 5)
        >>> torch.equal(layer(images)[:, :2], images)
        True
    """


def initialise(model: nn.Module, generator: torch.Generator) -> nn.Module:
    """Draw every weight of a network anew, in the order of ``model.modules()``.

    Convolutions, transposed ones too: normal with variance 2 / (k² · out_channels), which keeps the size of gradients
    through ReLU layers (He et al., 2015, "Delving deep into rectifiers", section 2.2, backward case); groups are not
    counted, as in torchvision; then ``IdentityConv2d`` as it says. Linear layers: uniform on ±1/√in_features.
    Normalisations: scale 1, shift 0, running mean 0 and variance 1. Every other bias: 0.

    Args:
        model: any network made of such layers, with its memory allocated; changed in place.
        generator: source of randomness, on the device of the weights.

    Returns:
        The model.

    Raises:
        ValueError: for a layer with parameters or buffers that no rule covers.

    Example:
        >>> layer = initialise(nn.Conv2d(3, 50, 3), torch.Generator().manual_seed(0))
        >>> abs(layer.weight.var().item() * 9 * 50 / 2 - 1) < 0.1, layer.bias.abs().max().item()
        (True, 0.0)
    """
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu", generator=generator)
            _zero(module.bias)
            if isinstance(module, IdentityConv2d):
                nn.init.dirac_(module.weight.data[:module.in_channels])
        elif isinstance(module, nn.ConvTranspose2d):  # its weights are (in, out, k, k): torch takes out · k² for "in"
            nn.init.kaiming_normal_(module.weight, mode="fan_in", nonlinearity="relu", generator=generator)
            _zero(module.bias)
        elif isinstance(module, nn.Linear):
            bound = 1 / math.sqrt(module.in_features)
            nn.init.uniform_(module.weight, -bound, bound, generator=generator)
            _zero(module.bias)
        elif isinstance(module, _NORMS):
            module.reset_parameters()  # constants, and the running statistics; draws nothing
        elif any(True for _ in chain(module.parameters(recurse=False), module.buffers(recurse=False))):
            raise ValueError(f"expected convolutions, linear layers and normalisations, received {module}")
    return model


def _zero(bias: Tensor | None) -> None:
    if bias is not None:
        nn.init.zeros_(bias)

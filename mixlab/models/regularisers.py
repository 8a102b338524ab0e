"""Regularisers inside residual blocks, the baselines of mixing: torchvision's layers, wired in."""

from dataclasses import dataclass

from torch import Tensor, nn
from torchvision.ops import StochasticDepth, drop_block2d

from mixlab.checks import whole

__all__ = ["DropBlock", "Regularisers"]


class DropBlock(nn.Module):
    """torchvision's DropBlock, for feature maps of any size.

    torchvision shrinks a block to the map and refuses even sides; here it shrinks to the largest odd side
    that fits, so that one setting serves the 8×8 and the 4×4 maps of a network for small images.

    Args:
        p: expected share of zeroed elements, up to the overlap of blocks.
        block_size: side of a block, odd.

    Source: Ghiasi et al. (2018), "DropBlock", algorithm 1, with p constant during training.

    Example:
        >>> import torch
        >>> layer = DropBlock(0.5, 7).eval()
        >>> layer(torch.ones(1, 1, 4, 4)).sum().item()
        16.0
    """

    def __init__(self, p: float, block_size: int):
        super().__init__()
        self.p, self.block_size = p, block_size

    def forward(self, maps: Tensor) -> Tensor:
        """Zero blocks of ``maps (B, C, H, W)`` and rescale what is left; the identity in evaluation mode."""
        side = min(self.block_size, *maps.shape[-2:])
        return drop_block2d(maps, self.p, side - (side + 1) % 2, training=self.training)

    def extra_repr(self) -> str:
        return f"p={self.p:g}, block_size={self.block_size}"


@dataclass(frozen=True)
class Regularisers:
    """How strongly the residual blocks of a network are regularised; everything is off by default.

    Args:
        dropout: rate of the dropout between the convolutions of a block (Zagoruyko & Komodakis, 2016, section
            2.4); also where Zhang et al. (2018) put it for "ERM + dropout".
        stochastic_depth: rate at which the last block loses its residual branch. Block l of L loses it at the
            rate l/L times this, the linear decay of Huang et al. (2016), equation 4. Drawn per image, and
            rescaled in training instead of in evaluation, as torchvision does; the paper draws per batch.
        dropblock: rate of DropBlock on the sum of branch and shortcut, in the last two stages (Ghiasi et al.,
            2018, section 4: groups 3 and 4, convolutions and shortcuts).
        block_size: side of DropBlock's blocks, odd.

    Raises:
        ValueError: for a rate outside [0, 1] or a block size that is not a positive odd integer.

    Example:
        >>> depth = Regularisers(stochastic_depth=0.5)
        >>> [depth.path(block, 4).p for block in range(1, 5)]
        [0.125, 0.25, 0.375, 0.5]
    """

    dropout: float = 0.0
    stochastic_depth: float = 0.0
    dropblock: float = 0.0
    block_size: int = 7

    def __post_init__(self):
        for name in ("dropout", "stochastic_depth", "dropblock"):
            rate = getattr(self, name)
            if not 0 <= rate <= 1:
                raise ValueError(f"expected {name} in [0, 1], received {rate}")
        size = self.block_size
        if not whole(size) or size < 1 or size % 2 != 1:
            raise ValueError(f"expected a positive odd block_size, received {size!r}")

    def inside(self) -> nn.Module:
        """Make the layer between two convolutions of a block."""
        return nn.Dropout(self.dropout) if self.dropout else nn.Identity()

    def path(self, block: int, blocks: int) -> nn.Module:
        """Make the layer at the end of the branch, for block ``block`` = 1..``blocks`` of the network."""
        if not self.stochastic_depth:
            return nn.Identity()
        return StochasticDepth(self.stochastic_depth * block / blocks, "row")

    def after(self, stage: int, stages: int) -> nn.Module:
        """Make the layer after the sum, for a block of stage ``stage`` = 1..``stages``."""
        if not self.dropblock or stage < stages - 1:
            return nn.Identity()
        return DropBlock(self.dropblock, self.block_size)

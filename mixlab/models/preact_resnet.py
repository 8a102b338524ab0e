"""PreAct ResNet-18 for small images, of any width."""

from torch import Tensor, nn

from mixlab.models.regularisers import Regularisers
from mixlab.models.staged import Staged, pooled_linear

__all__ = ["PreActBlock", "batch_norm_relu", "chain", "preact_resnet18"]


def batch_norm_relu(channels: int) -> nn.Sequential:
    """Make the activation that comes before a convolution."""
    return nn.Sequential(nn.BatchNorm2d(channels), nn.ReLU(inplace=True))


class PreActBlock(nn.Module):
    """Two 3×3 convolutions, each after batch normalisation and ReLU, added to a shortcut.

    Where the shape changes, the shortcut is a 1×1 convolution of the first activation; else it is the input.

    Args:
        channels_in: of the input.
        channels: of the output.
        stride: of the first convolution.
        inside, path, after: regularising layers between the convolutions, on the branch and on the sum.

    Source: He et al. (2016), "Identity mappings in deep residual networks", figure 4e and appendix
    (shortcuts).

    Example:
        >>> import torch
        >>> block = PreActBlock(4, 8, 2, nn.Identity(), nn.Identity(), nn.Identity())
        >>> block(torch.zeros(2, 4, 7, 6)).shape
        torch.Size([2, 8, 4, 3])
    """

    def __init__(self, channels_in: int, channels: int, stride: int,
                 inside: nn.Module, path: nn.Module, after: nn.Module):
        super().__init__()
        self.activation = batch_norm_relu(channels_in)
        self.branch = nn.Sequential(
            nn.Conv2d(channels_in, channels, 3, stride, 1, bias=False),
            batch_norm_relu(channels),
            inside,
            nn.Conv2d(channels, channels, 3, 1, 1, bias=False),
        )
        changes = stride != 1 or channels_in != channels
        self.shortcut = nn.Conv2d(channels_in, channels, 1, stride, bias=False) if changes else None
        self.path, self.after = path, after

    def forward(self, maps: Tensor) -> Tensor:
        """Map ``(B, channels_in, H, W)`` to ``(B, channels, ⌈H/stride⌉, ⌈W/stride⌉)``."""
        active = self.activation(maps)
        shortcut = maps if self.shortcut is None else self.shortcut(active)
        return self.after(shortcut + self.path(self.branch(active)))


def chain(in_channels: int, num_classes: int, widths: list[int], depths: list[int], strides: list[int],
          regularisers: Regularisers) -> Staged:
    """Chain PreAct blocks: stem convolution, stages, final batch normalisation and ReLU, mean, linear.

    Args:
        in_channels: of the images.
        num_classes: number of logits.
        widths: channels of the stem and of every stage.
        depths: blocks of every stage.
        strides: of the first block of every stage.
        regularisers: what the blocks hold.
    """
    stages: dict[str, nn.Module] = {"stem": nn.Conv2d(in_channels, widths[0], 3, 1, 1, bias=False)}
    block = 0
    for stage, (depth, stride) in enumerate(zip(depths, strides, strict=True), start=1):
        blocks = []
        for index in range(depth):
            block += 1
            channels_in, first_stride = (widths[stage - 1], stride) if index == 0 else (widths[stage], 1)
            blocks.append(PreActBlock(
                channels_in, widths[stage], first_stride, regularisers.inside(),
                regularisers.path(block, sum(depths)), regularisers.after(stage, len(depths)),
            ))
        stages[f"stage{stage}"] = nn.Sequential(*blocks)
    stages["final"] = batch_norm_relu(widths[-1])
    return Staged(stages, pooled_linear(widths[-1], num_classes))


def preact_resnet18(num_classes: int, in_channels: int = 3, width: int = 64,
                    regularisers: Regularisers = Regularisers()) -> Staged:
    """Make a PreAct ResNet-18: four stages of two blocks with 1, 2, 4 and 8 times ``width`` channels.

    Stages ``stem``, ``stage1`` to ``stage4``, ``final``; stages 2 to 4 halve the image, so 32×32 ends as 4×4
    and any size from 1×1 runs. The structure is that of He et al. (2016): a bare convolution as stem, and
    batch normalisation and ReLU after the last block. The public code of the mixup paper normalises and
    rectifies after the stem instead, and not at the end; its numbers are therefore those of a slightly
    different network.

    Args:
        num_classes: number of logits.
        in_channels: of the images.
        width: channels of the stem and the first stage; 64 has 11.2 M parameters, 16 has 0.7 M.
        regularisers: what the blocks hold.

    Source: He et al. (2016), "Identity mappings in deep residual networks".

    Example:
        >>> network = preact_resnet18(100)
        >>> sum(parameter.numel() for parameter in network.parameters())
        11218340
    """
    widths = [width, width, 2 * width, 4 * width, 8 * width]
    return chain(in_channels, num_classes, widths, [2, 2, 2, 2], [1, 2, 2, 2], regularisers)

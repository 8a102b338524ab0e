"""PyramidNet: every block is a little wider than the one before."""

from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, pad

from mixlab.models.preact_resnet import batch_norm_relu
from mixlab.models.regularisers import Regularisers
from mixlab.models.staged import Staged, pooled_linear

__all__ = ["EXPANSION", "PyramidBottleneck", "pyramidnet", "widths"]

#: A block puts out this many times the channels of its 3×3 convolution.
EXPANSION = 4


def widths(blocks: int, alpha: int, width: int = 16) -> list[int]:
    """Say how wide the 3×3 convolution of every block is: ``width`` + α̃ · k / N, to the nearest integer.

    The paper's equation 2 takes the floor of each sum; its published networks accumulate α̃ / N unrounded and
    round each width, which is what this does, and what ends at ``width`` + α̃ exactly.

    Args:
        blocks: N.
        alpha: α̃, the widening factor: channels added from the first block to the last.
        width: channels of the stem.

    Source: Han et al. (2017), "Deep pyramidal residual networks", equation 2.

    Example:
        >>> widths(4, 10)
        [19, 21, 24, 26]
    """
    # Integers alone: a width does not depend on how a sum of fractions rounds.
    return [width + (2 * alpha * block + blocks) // (2 * blocks) for block in range(1, blocks + 1)]


class PyramidBottleneck(nn.Module):
    """1×1, 3×3 and 1×1 convolutions between four batch normalisations, added to a zero-padded shortcut.

    There is no ReLU before the first convolution, and a batch normalisation after the last. The shortcut has
    no weights: where the image is halved it is averaged over 2×2 positions, and the channels it lacks are
    zero.

    Args:
        channels_in: of the input.
        channels: of the 3×3 convolution; the output has ``EXPANSION`` times as many.
        stride: of the 3×3 convolution, 1 or 2.
        inside, path, after: regularising layers before the last convolution, on the branch and on the sum.

    Source: Han et al. (2017), section 3 and figure 6d.

    Example:
        >>> import torch
        >>> block = PyramidBottleneck(16, 18, 2, nn.Identity(), nn.Identity(), nn.Identity())
        >>> block(torch.zeros(2, 16, 7, 6)).shape
        torch.Size([2, 72, 4, 3])
    """

    def __init__(self, channels_in: int, channels: int, stride: int,
                 inside: nn.Module, path: nn.Module, after: nn.Module):
        super().__init__()
        self.stride = stride
        self.missing = EXPANSION * channels - channels_in
        self.branch = nn.Sequential(
            nn.BatchNorm2d(channels_in),
            nn.Conv2d(channels_in, channels, 1, bias=False),
            batch_norm_relu(channels),
            nn.Conv2d(channels, channels, 3, stride, 1, bias=False),
            batch_norm_relu(channels),
            inside,
            nn.Conv2d(channels, EXPANSION * channels, 1, bias=False),
            nn.BatchNorm2d(EXPANSION * channels),
        )
        self.path, self.after = path, after

    def forward(self, maps: Tensor) -> Tensor:
        """Map ``(B, channels_in, H, W)`` to ``(B, EXPANSION * channels, ⌈H/stride⌉, ⌈W/stride⌉)``."""
        # ceil_mode keeps the last row and column of an odd image, as the strided convolution does.
        shortcut = maps if self.stride == 1 else avg_pool2d(maps, 2, ceil_mode=True)
        return self.after(pad(shortcut, (0, 0, 0, 0, 0, self.missing)) + self.path(self.branch(maps)))


def pyramidnet(depth: int, alpha: int, num_classes: int, in_channels: int = 3, width: int = 16,
               regularisers: Regularisers = Regularisers()) -> Staged:
    """Make an additive PyramidNet of bottleneck blocks: three stages of (depth - 2) / 9 blocks.

    The K-image paper trains depth 110 with α̃ = 64 (1.7 M parameters) and depth 200 with α̃ = 240 (26.8 M).
    Stages ``stem``, ``stage1`` to ``stage3``, ``final``; stages 2 and 3 halve the image, so 32×32 ends as 8×8
    and any size from 1×1 runs.

    Args:
        depth: of the form 9n + 2: 20, 29, 110, 164, 200, 272, ...
        alpha: α̃, the widening factor.
        num_classes: number of logits.
        in_channels: of the images.
        width: channels of the stem; the paper's is 16.
        regularisers: what the blocks hold.

    Raises:
        ValueError: for another depth, or an alpha below 1.

    Source: Han et al. (2017), "Deep pyramidal residual networks", section 4 and table 1.

    Example:
        >>> network = pyramidnet(20, 48, num_classes=10)
        >>> network.layers, network.head.linear.in_features
        (('stem', 'stage1', 'stage2', 'stage3', 'final'), 256)
    """
    if depth < 11 or depth % 9 != 2:
        raise ValueError(f"expected a depth of 11, 20, 29, ... (9n + 2), received {depth}")
    if alpha < 1:
        raise ValueError(f"expected an alpha of at least 1, received {alpha}")
    per_stage = (depth - 2) // 9
    total = 3 * per_stage
    stem = [nn.Conv2d(in_channels, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width)]
    stages: dict[str, list[nn.Module]] = {"stem": stem, "stage1": [], "stage2": [], "stage3": []}
    channels_in = width
    for block, channels in enumerate(widths(total, alpha, width)):
        stage = 1 + block // per_stage
        halves = stage > 1 and block % per_stage == 0
        stages[f"stage{stage}"].append(PyramidBottleneck(
            channels_in, channels, 2 if halves else 1, regularisers.inside(),
            regularisers.path(block + 1, total), regularisers.after(stage, 3),
        ))
        channels_in = EXPANSION * channels
    parts = {name: nn.Sequential(*layers) for name, layers in stages.items()}
    return Staged(parts | {"final": batch_norm_relu(channels_in)}, pooled_linear(channels_in, num_classes))

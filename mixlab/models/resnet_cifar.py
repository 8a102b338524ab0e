"""Residual networks of 6n + 2 layers for small images: the students of the tables on distillation."""

from torch import Tensor, nn
from torch.nn.functional import pad

from mixlab.models.staged import Staged, pooled_linear

__all__ = ["BasicBlock", "resnet_cifar"]

SHORTCUTS = ("projection", "padding")


class BasicBlock(nn.Module):
    """Two 3×3 convolutions with batch normalisation, added to a shortcut; ReLU between them and after the sum.

    Where the shape changes, the shortcut is a 1×1 convolution with batch normalisation (``"projection"``, option B
    of the paper), or every second pixel with zeros for the channels it lacks (``"padding"``, option A); else it is
    the input.

    Args:
        channels_in: of the input.
        channels: of the output, at least as many.
        stride: of the first convolution, 1 or 2.
        shortcut: ``"projection"`` or ``"padding"``.

    Source: He et al. (2016), "Deep residual learning for image recognition", figure 2 and section 3.3.

    Example:
        >>> import torch
        >>> BasicBlock(4, 8, 2, "projection")(torch.zeros(2, 4, 7, 6)).shape
        torch.Size([2, 8, 4, 3])
    """

    def __init__(self, channels_in: int, channels: int, stride: int, shortcut: str):
        super().__init__()
        self.branch = nn.Sequential(
            nn.Conv2d(channels_in, channels, 3, stride, 1, bias=False), nn.BatchNorm2d(channels),
            nn.ReLU(inplace=True),
            nn.Conv2d(channels, channels, 3, 1, 1, bias=False), nn.BatchNorm2d(channels),
        )
        self.stride, self.missing = stride, channels - channels_in
        changes = stride != 1 or channels != channels_in
        self.projection = nn.Sequential(
            nn.Conv2d(channels_in, channels, 1, stride, bias=False), nn.BatchNorm2d(channels),
        ) if changes and shortcut == "projection" else None

    def forward(self, maps: Tensor) -> Tensor:
        """Map ``(B, channels_in, H, W)`` to ``(B, channels, ⌈H/stride⌉, ⌈W/stride⌉)``."""
        if self.projection is not None:
            shortcut = self.projection(maps)
        else:
            shortcut = pad(maps[:, :, ::self.stride, ::self.stride], (0, 0, 0, 0, 0, self.missing))
        return (shortcut + self.branch(maps)).relu()


def resnet_cifar(depth: int, num_classes: int, in_channels: int = 3, width: int = 16,
                 shortcut: str = "projection") -> Staged:
    """Make a ResNet for small images: three stages of (depth - 2) / 6 blocks with 1, 2 and 4 times ``width`` channels.

    The tables on distillation (CRD, SuperMix) use the shortcut with a projection; the paper that introduced the
    networks pads, and so has 2,752 parameters fewer at width 16. Stages ``stem``, ``stage1`` to ``stage3``; stages 2
    and 3 halve the image, so 32×32 ends as 8×8 and any size from 1×1 runs.

    Args:
        depth: of the form 6n + 2: 8, 14, 20, 32, 56, ...
        num_classes: number of logits.
        in_channels: of the images.
        width: channels of the stem; the paper's is 16.
        shortcut: ``"projection"`` or ``"padding"``, where the shape changes.

    Raises:
        ValueError: for another depth or shortcut.

    Source: He et al. (2016), "Deep residual learning for image recognition", section 4.2; Tian et al. (2020),
        "Contrastive representation distillation", for the projection.

    Example:
        >>> network = resnet_cifar(20, num_classes=100)
        >>> sum(parameter.numel() for parameter in network.parameters())
        278324
    """
    if depth < 8 or depth % 6 != 2:
        raise ValueError(f"expected a depth of 8, 14, 20, ... (6n + 2), received {depth}")
    if shortcut not in SHORTCUTS:
        raise ValueError(f"expected a shortcut of {', '.join(SHORTCUTS)}, received {shortcut!r}")
    stages: dict[str, nn.Module] = {"stem": nn.Sequential(
        nn.Conv2d(in_channels, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU(inplace=True),
    )}
    channels_in = width
    for stage, channels in enumerate((width, 2 * width, 4 * width), start=1):
        blocks = []
        for index in range((depth - 2) // 6):
            blocks.append(BasicBlock(channels_in, channels, 2 if stage > 1 and index == 0 else 1, shortcut))
            channels_in = channels
        stages[f"stage{stage}"] = nn.Sequential(*blocks)
    return Staged(stages, pooled_linear(channels_in, num_classes))

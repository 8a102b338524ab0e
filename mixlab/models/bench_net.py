"""The bench's network: a small one that fits a thousand images in minutes of one CPU core."""

from collections import OrderedDict

from torch import Tensor, nn

from mixlab.models.initialise import IdentityConv2d
from mixlab.models.staged import Staged

__all__ = ["LOGIT_SCALE", "BenchNet", "Scale"]

#: What the bench's network multiplies its logits by.
LOGIT_SCALE = 1 / 9


class Scale(nn.Module):
    """Multiply by a constant.

    Args:
        factor: the constant; no parameter, it is not trained.

    Example:
        >>> import torch
        >>> Scale(0.5)(torch.ones(2)), list(Scale(0.5).parameters())
        (tensor([0.5000, 0.5000]), [])
    """

    def __init__(self, factor: float):
        super().__init__()
        self.factor = factor

    def forward(self, values: Tensor) -> Tensor:
        """Map values of any shape to ``factor`` times them."""
        return self.factor * values

    def extra_repr(self) -> str:
        return f"{self.factor:.4g}"


class BenchNet(Staged):
    """airbench's shape at a small width: a 2×2 stem, three groups that halve the image, the maximum over positions.

    Stages ``stem`` (24 channels, unpadded, so that 32×32 pixels become 31×31), ``stage1``, ``stage2``, ``stage3``
    with ``width``, 4 ``width`` and 4 ``width`` channels. The head takes the maximum over positions, applies
    ``head.linear`` without a bias, and multiplies by ``LOGIT_SCALE`` = 1/9 (``head.scale``): the maxima of 4 ``width``
    maps are large, and unscaled logits would be certain from the first step. Another head on these features (another
    number of classes, a distance, a teacher's) starts alike if it is followed by the same ``Scale(LOGIT_SCALE)``.

    Of airbench's tricks one is kept: the groups' convolutions start as identities. The stem is learned, not whitened;
    batch normalisation is the ordinary one.

    Args:
        num_classes: number of logits.
        in_channels: of the images.
        width: channels of the first group.

    Source: K. Jordan (2024), "94% on CIFAR-10 in 3.29 seconds on a single GPU", arXiv 2404.00498, sections 3.1 and
        3.3.

    Example:
        >>> import torch
        >>> network = BenchNet(20)
        >>> network(torch.zeros(2, 3, 32, 32)).shape, sum(parameter.numel() for parameter in network.parameters())
        (torch.Size([2, 20]), 127736)
    """

    # No strided convolution at all, and a third faster that way; see `Staged`.
    channels_last_on_cpu = True
    logit_scale = LOGIT_SCALE

    def __init__(self, num_classes: int, in_channels: int = 3, width: int = 16):
        super().__init__({
            "stem": nn.Sequential(nn.Conv2d(in_channels, 24, 2), nn.GELU()),
            "stage1": _group(24, width),
            "stage2": _group(width, 4 * width),
            "stage3": _group(4 * width, 4 * width),
        }, nn.Sequential(OrderedDict(
            pool=nn.AdaptiveMaxPool2d(1), flatten=nn.Flatten(),
            linear=nn.Linear(4 * width, num_classes, bias=False), scale=Scale(LOGIT_SCALE),
        )))

    def features(self, images: Tensor) -> Tensor:
        """Map images ``(B, C, H, W)`` to 4 ``width`` maps of ⌊(H−1)/8⌋ × ⌊(W−1)/8⌋.

        Raises:
            ValueError: for images below 9×9 pixels.
        """
        if min(images.shape[-2:]) < 9:
            raise ValueError(f"expected images of at least 9×9 pixels, received {tuple(images.shape)}")
        return super().features(images)


def _group(channels: int, out: int) -> nn.Sequential:
    """Make a group: it halves the sides of its maps, rounded down."""
    return nn.Sequential(
        IdentityConv2d(channels, out, 3, padding=1, bias=False), nn.MaxPool2d(2), nn.BatchNorm2d(out), nn.GELU(),
        IdentityConv2d(out, out, 3, padding=1, bias=False), nn.BatchNorm2d(out), nn.GELU(),
    )

"""torchvision's own residual networks, for images of any number of channels."""

from torch import nn
from torchvision.models import get_model

__all__ = ["TORCHVISION", "torchvision_resnet"]

#: Names that are torchvision's.
TORCHVISION = (
    "resnet18", "resnet34", "resnet50", "resnet101", "resnet152", "resnext50_32x4d", "wide_resnet50_2",
)


def torchvision_resnet(name: str, num_classes: int, in_channels: int = 3) -> nn.Module:
    """Make a network of torchvision without pretrained weights.

    Its submodules keep torchvision's names: ``conv1`` (the stem), ``layer1`` to ``layer4``, ``fc``. It halves
    an image five times, so it suits 64 pixels and more; 28×28 runs, and ends as one position.

    Args:
        name: one of ``TORCHVISION``.
        num_classes: number of logits.
        in_channels: of the images; the first convolution is made anew where it is not 3.

    Source: He et al. (2016), "Deep residual learning for image recognition"; torchvision puts the stride of a
    bottleneck on its 3×3 convolution.

    Example:
        >>> torchvision_resnet("resnet18", 10, in_channels=1).conv1.weight.shape
        torch.Size([64, 1, 7, 7])
    """
    network = get_model(name, weights=None, num_classes=num_classes)
    if in_channels != 3:
        first = network.conv1
        network.conv1 = nn.Conv2d(
            in_channels, first.out_channels, first.kernel_size, first.stride, first.padding, bias=False
        )
    return network

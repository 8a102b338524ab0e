"""LeNet-5 in today's parts."""

from collections import OrderedDict

from torch import Tensor, nn

from mixlab.models.staged import Staged

__all__ = ["LeNet"]


class LeNet(Staged):
    """LeNet-5: convolutions of 6, 16 and 120 maps, layers of 84 and ``num_classes`` units.

    The sizes are those of 1998 (61,706 parameters for digits); ReLU, max pooling, a full table between the
    first two convolutions and a linear output are today's. Stages ``stage1``, ``stage2`` and ``stage3``. The
    third convolution has one position on 28×28 images, the original's; on larger ones its maps are averaged.
    Smaller images, such as 8×8 digits, do not fit.

    Args:
        num_classes: number of logits.
        in_channels: of the images.
        dropout: rate before each of the two linear layers.

    Source: LeCun et al. (1998), "Gradient-based learning applied to document recognition", section II.B.

    Example:
        >>> sum(parameter.numel() for parameter in LeNet(10, in_channels=1).parameters())
        61706
    """

    def __init__(self, num_classes: int, in_channels: int = 3, dropout: float = 0.0):
        # A margin of 2 around 28×28 pixels makes the original's 32×32.
        stages = {
            "stage1": nn.Sequential(nn.Conv2d(in_channels, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2)),
            "stage2": nn.Sequential(nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2)),
            "stage3": nn.Sequential(nn.Conv2d(16, 120, 5), nn.ReLU()),
        }
        super().__init__(stages, nn.Sequential(OrderedDict(
            pool=nn.AdaptiveAvgPool2d(1), flatten=nn.Flatten(),
            dropout1=nn.Dropout(dropout), hidden=nn.Linear(120, 84), relu=nn.ReLU(),
            dropout2=nn.Dropout(dropout), linear=nn.Linear(84, num_classes),
        )))

    def features(self, images: Tensor) -> Tensor:
        """Map images ``(B, C, H, W)`` to 120 feature maps.

        Raises:
            ValueError: for images below 28×28 pixels.
        """
        if min(images.shape[-2:]) < 28:
            raise ValueError(f"expected images of at least 28×28 pixels, received {tuple(images.shape)}")
        return super().features(images)

"""What the networks have in common: named stages that make features, and a head that reads them."""

from collections import OrderedDict

from torch import Tensor, nn

__all__ = ["Staged", "pooled_linear"]


class Staged(nn.Module):
    """A chain of named stages, then a head: ``logits = head(features(images))``.

    The stages are submodules under their own names (``stem``, ``stage1``, ...), each of which maps one tensor
    to one tensor and runs once in a forward pass, so any of them can be mixed (Manifold Mixup) or looked at.

    Args:
        stages: name and module, in the order in which they run.
        head: maps features ``(B, D, h, w)`` to logits ``(B, num_classes)``.

    Attributes:
        layers: the names of the stages, in order.
        channels_last_on_cpu: whether the network may be trained in channels-last order on a CPU. Not by itself:
            there the gradient of a strided 1×1 convolution of few channels can write past its buffer (oneDNN
            issue 6035), so only a network without such a layer, and tested for it, says yes.
        logit_scale: what the head multiplies the outputs of its linear layer by; another linear head on the same
            features shares it.

    Example:
        >>> import torch
        >>> network = Staged({"stem": nn.Conv2d(3, 8, 3)}, pooled_linear(8, 10))
        >>> images = torch.zeros(2, 3, 6, 5)
        >>> network.layers, network.features(images).shape, network(images).shape
        (('stem',), torch.Size([2, 8, 4, 3]), torch.Size([2, 10]))
    """

    channels_last_on_cpu = False
    logit_scale = 1.0

    def __init__(self, stages: dict[str, nn.Module], head: nn.Module):
        super().__init__()
        self.layers = tuple(stages)
        for name, stage in stages.items():
            self.add_module(name, stage)
        self.head = head

    def features(self, images: Tensor) -> Tensor:
        """Map images ``(B, C, H, W)`` to the last feature maps ``(B, D, h, w)``."""
        for name in self.layers:
            images = getattr(self, name)(images)
        return images

    def forward(self, images: Tensor) -> Tensor:
        """Map images ``(B, C, H, W)`` to logits ``(B, num_classes)``."""
        return self.head(self.features(images))


def pooled_linear(channels: int, num_classes: int) -> nn.Sequential:
    """Make the head of the residual networks: mean over positions (``pool``), then ``linear``.

    It commutes with the mean, so ``head.linear`` applied to every position gives class activation maps.
    """
    return nn.Sequential(OrderedDict(
        pool=nn.AdaptiveAvgPool2d(1), flatten=nn.Flatten(), linear=nn.Linear(channels, num_classes)
    ))

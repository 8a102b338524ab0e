"""Wide residual networks, WRN-d-k."""

from mixlab.models.preact_resnet import chain
from mixlab.models.regularisers import Regularisers
from mixlab.models.staged import Staged

__all__ = ["wideresnet"]


def wideresnet(depth: int, widening: int, num_classes: int, in_channels: int = 3, width: int = 16,
               regularisers: Regularisers = Regularisers()) -> Staged:
    """Make a WRN-d-k: three stages of (d - 4) / 6 blocks with 1, 2 and 4 times ``width * widening`` channels.

    The blocks are PreAct blocks; the paper's dropout between their convolutions is ``Regularisers.dropout``.
    Stages ``stem``, ``stage1`` to ``stage3``, ``final``; stages 2 and 3 halve the image, so 32×32 ends as 8×8
    and any size from 1×1 runs.

    Args:
        depth: d, of the form 6n + 4: 16, 22, 28, 40, ...
        widening: k.
        num_classes: number of logits.
        in_channels: of the images.
        width: channels of the stem; the paper's is 16.
        regularisers: what the blocks hold.

    Raises:
        ValueError: for another depth, or a widening below 1.

    Source: Zagoruyko & Komodakis (2016), "Wide residual networks", table 1 and section 2.4 (dropout).

    Example:
        >>> network = wideresnet(16, 4, num_classes=10)
        >>> sum(parameter.numel() for parameter in network.parameters())
        2748890
    """
    if depth < 10 or depth % 6 != 4:
        raise ValueError(f"expected a depth of 10, 16, 22, 28, ... (6n + 4), received {depth}")
    if widening < 1:
        raise ValueError(f"expected a widening of at least 1, received {widening}")
    widths = [width, *(factor * widening * width for factor in (1, 2, 4))]
    return chain(in_channels, num_classes, widths, [(depth - 4) // 6] * 3, [1, 2, 2], regularisers)

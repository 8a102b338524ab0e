"""What α does to one and the same draw: the numbers behind a figure that moves."""

import torch
from torch import Tensor

from mixlab.masks import Constant, NestedBoxes
from mixlab.mix import Mix
from mixlab.mixers.regional import clipped_boxes

__all__ = ["mixes_at"]


def mixes_at(alpha: float, images: Tensor, generator: torch.Generator) -> tuple[Mix, Mix]:
    r"""Mixup and CutMix of each image with the next, at shares that follow α smoothly.

    Mixers draw anew at each α. Here λ is the quantile of Beta(α, α) at a uniform number u that does not depend on α,
    so generators in one state give the same u, and the same centres of boxes, at every α. λ has the right law at each.

    Args:
        alpha: concentration, positive.
        images: ``(B, C, H, W)``, B >= 2.
        generator: source of u and of the centres.

    Returns:
        Two mixes with slots (row, next row): blended with weights (λ, 1 - λ), and with a box that has the area 1 - λ
        before it is clipped, weighed by the pixels that are left.

    Raises:
        ValueError: for an alpha that is not positive and finite, or other images.

    Example:
        >>> seeded = lambda: torch.Generator().manual_seed(0)
        >>> images = torch.zeros(2, 3, 8, 8)
        >>> [mixes_at(alpha, images, seeded())[0].shares[0] for alpha in (1.0, 8.0)]
        [tensor([0.9701, 0.0299]), tensor([0.7258, 0.2742])]
    """
    from scipy.stats import beta

    if not 0 < alpha < float("inf"):
        raise ValueError(f"expected a positive, finite alpha, received {alpha!r}")
    if images.ndim != 4 or len(images) < 2:
        raise ValueError(f"expected images of shape (B, C, H, W), B >= 2, received {tuple(images.shape)}")
    batch, size = len(images), tuple(images.shape[-2:])
    uniform = torch.rand(batch, dtype=torch.float64, generator=generator)
    lam = torch.from_numpy(beta.ppf(uniform.numpy(), alpha, alpha))
    sources = torch.stack([torch.arange(batch), torch.arange(batch).roll(-1)], dim=1)
    blend = Constant(torch.stack([lam, 1 - lam], dim=1).float())
    box = NestedBoxes(clipped_boxes(1 - lam[:, None], size, generator), size)
    return Mix(sources, blend), Mix(sources, box)

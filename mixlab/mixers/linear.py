r"""Linear mixing: every pixel is the same blend.

**Method card.** Mixup (Zhang et al., 2018) blends two images and their labels with :math:`\lambda \sim \mathrm{Beta}
(\alpha, \alpha)`; DMixup (K-image paper, eq. 3) blends K with :math:`\varphi \sim \mathrm{Dir}(\alpha)`; SMOTE (Chawla
et al., 2002) blends an example with a near one of its own class.

- *How to use*: ``Mixup(alpha=1.0, num_classes=10)(images, labels)``.
- *Settings*: Mixup α = 1 on CIFAR, 0.2 to 0.4 on ImageNet, 8 to 32 against corrupted labels; DMixup K = 3, α = 1/3
  or 1. Strong mixing underfits small networks: lower α before giving up.
- *Implementation*: one λ for every image, not for every batch; the coefficient of the row itself is the first share.
- *Limits*: images must be floating point; α = 0 is ERM. For two half-precision images λ is rounded to their dtype (in
  bfloat16 by at most 2^-9); labels never are.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from mixlab.checks import whole
from mixlab.labels import plain_labels
from mixlab.masks import Constant
from mixlab.mix import Mix
from mixlab.mixers.base import KMixer, Mixer, PairMixer, draw_shares

__all__ = ["DMixup", "Identity", "Mixup", "SMOTE"]


@dataclass(frozen=True)
class Identity(Mixer):
    """Leaves every image and label alone: empirical risk as a mixer.

    Example:
        >>> Identity(num_classes=2)(torch.ones(1, 3), torch.tensor([1]))[1]
        tensor([[0., 1.]])
    """

    def _draw(
        self, images: Tensor, labels: Tensor | None, saliency: Tensor | None, generator: torch.Generator
    ) -> Mix:
        return Mix.identity(len(images))


@dataclass(frozen=True)
class DMixup(KMixer):
    r"""Blend K images: :math:`\hat x = \sum_k \varphi_k x_k,\ \hat y = \sum_k \varphi_k y_k`.

    The shares are :math:`\varphi \sim \mathrm{Dir}(\alpha)`.

    Args:
        k: number of images K >= 1, the row itself first.
        alpha: concentration of every component, >= 0; 0 is ERM. The paper uses 1 or 1 / K.

    Raises:
        ValueError: for a k that is no integer in 1..254, or an alpha that is negative or not finite.

    Source: K-image paper, eqs 2 and 3.

    Example:
        >>> mix = DMixup(3, 1.0).draw(torch.rand(4, 2), generator=torch.Generator().manual_seed(0))
        >>> mix.k, bool(torch.allclose(mix.shares.sum(1), torch.ones(4)))
        (3, True)
    """

    def _draw(
        self, images: Tensor, labels: Tensor | None, saliency: Tensor | None, generator: torch.Generator
    ) -> Mix:
        sources = self._partners(len(images), self.k, generator)
        shares = draw_shares(self.alpha, len(images), self.k, generator)
        return Mix.trusted(sources, Constant(shares.float()), anchored=True)


@dataclass(frozen=True)
class Mixup(PairMixer):
    r"""Blend two images: :math:`\hat x = \lambda x_i + (1 - \lambda) x_j,\ \hat y = \lambda y_i + (1 - \lambda) y_j`.

    λ is the share of the row itself, drawn for every row.

    Args:
        alpha: :math:`\lambda \sim \mathrm{Beta}(\alpha, \alpha)`, alpha >= 0; 0 is ERM.

    Raises:
        ValueError: for an alpha that is negative or not finite.

    Source: Zhang et al. (2018), section 2.

    Example:
        >>> images, labels = torch.eye(2), torch.tensor([0, 1])
        >>> mixed, targets = Mixup(1.0, num_classes=2)(images, labels)
        >>> torch.allclose(mixed, targets)
        True
    """

    def _draw(
        self, images: Tensor, labels: Tensor | None, saliency: Tensor | None, generator: torch.Generator
    ) -> Mix:
        sources = self._partners(len(images), 2, generator)
        shares = draw_shares(self.alpha, len(images), 2, generator)
        return Mix.trusted(sources, Constant(shares.float()), anchored=True)


@dataclass(frozen=True)
class SMOTE(Mixer):
    r"""Blend an example with one of its nearest neighbours of the same class: :math:`\hat x = x + \lambda (x' - x)`.

    Neighbours are sought among the rows handed to :meth:`draw`, by Euclidean distance; λ is uniform on [0, 1]. A row
    whose class has no other row stays itself. The label does not change.

    Args:
        neighbours: how many nearest neighbours of the same class may be chosen, >= 1.

    Raises:
        ValueError: for a number of neighbours below 1, or ``draw`` without integer labels.

    Source: Chawla et al. (2002), section 4.2.

    Example:
        >>> images, labels = torch.tensor([[0.0], [1.0], [9.0]]), torch.tensor([0, 0, 1])
        >>> SMOTE().draw(images, labels, generator=torch.Generator().manual_seed(0)).sources
        tensor([[0, 1],
                [1, 0],
                [2, 2]])
    """

    neighbours: int = 5

    def __post_init__(self):
        if not whole(self.neighbours) or self.neighbours < 1:
            raise ValueError(f"expected an integer number of neighbours >= 1, received {self.neighbours!r}")
        super().__post_init__()

    def _draw(
        self, images: Tensor, labels: Tensor | None, saliency: Tensor | None, generator: torch.Generator
    ) -> Mix:
        labels = None if labels is None else plain_labels(labels)
        if labels is None or labels.shape != images.shape[:1]:
            received = None if labels is None else f"{tuple(labels.shape)} {labels.dtype}"
            raise ValueError(f"expected class indices of shape ({len(images)},) as labels, received {received}")
        batch, device = len(images), generator.device
        own = torch.arange(batch, device=device)
        flat, labels = images.flatten(1).to(device, torch.float32), labels.to(device)
        # Exact differences: the faster matrix product cancels where neighbours are close.
        distance = torch.cdist(flat, flat, compute_mode="donot_use_mm_for_euclid_dist")
        stranger = (labels[:, None] != labels) | (own[:, None] == own)
        distance = distance.masked_fill(stranger, torch.inf)
        nearest = distance.sort(dim=1, stable=True).indices[:, : self.neighbours]
        choices = (~stranger).sum(1).clamp(max=self.neighbours)
        uniform = torch.rand(2, batch, dtype=torch.float64, generator=generator, device=device)
        choice = (uniform[0] * choices).long()
        neighbour = torch.where(choices > 0, nearest.gather(1, choice[:, None])[:, 0], own)
        coefficients = torch.stack([1 - uniform[1], uniform[1]], dim=1).float()
        return Mix.trusted(torch.stack([own, neighbour], dim=1), Constant(coefficients), anchored=True)

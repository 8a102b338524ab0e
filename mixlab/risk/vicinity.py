r"""Vicinities: what a training example stands for.

Vicinal risk (Chapelle et al., 2000) replaces every training pair by a distribution around it, the vicinity
:math:`\nu(\tilde x, \tilde y \mid x_i, y_i)`. Each class here is one such distribution, and ``sample`` draws one pair
for every row of a batch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Generator, Tensor, nn

from mixlab.batches import images_and_labels
from mixlab.checks import whole
from mixlab.models.logits import as_logits
from mixlab.risk.base import Risk
from mixlab.risk.empirical import distributions
from mixlab.risk.loss import soft_cross_entropy

__all__ = ["Delta", "FlipCrop", "Gaussian", "Mixed", "SampledRisk", "Vicinity"]


class Vicinity(Protocol):
    """A distribution around each example of a batch."""

    def sample(self, images: Tensor, labels: Tensor, num_classes: int, generator: Generator) -> tuple[Tensor, Tensor]:
        """Draw one pair for every row: inputs like ``images (B, ...)``, targets (B, num_classes) float32."""


@dataclass(frozen=True)
class Delta:
    """All mass on the example itself; vicinal risk is then empirical risk.

    Example:
        >>> x, y = Delta().sample(torch.ones(1, 2), torch.tensor([1]), 2, torch.Generator())
        >>> x.tolist(), y.tolist()
        ([[1.0, 1.0]], [[0.0, 1.0]])
    """

    def sample(self, images: Tensor, labels: Tensor, num_classes: int, generator: Generator) -> tuple[Tensor, Tensor]:
        """Give the batch back, with targets of probability one. Nothing is drawn."""
        return images, distributions(labels, num_classes)


@dataclass(frozen=True)
class Gaussian:
    """A Gaussian ball around the input, with the label as it is (Chapelle et al., 2000, section 3).

    Args:
        sigma: standard deviation in every coordinate, in units of the input, >= 0.

    Raises:
        ValueError: for a negative sigma.

    Example:
        >>> Gaussian(0.0).sample(torch.ones(1, 2), torch.tensor([1]), 2, torch.Generator())[0].tolist()
        [[1.0, 1.0]]
    """

    sigma: float

    def __post_init__(self):
        if not self.sigma >= 0:
            raise ValueError(f"expected a standard deviation of at least 0, received {self.sigma}")

    def sample(self, images: Tensor, labels: Tensor, num_classes: int, generator: Generator) -> tuple[Tensor, Tensor]:
        """Add noise to ``images``.

        Raises:
            ValueError: for images that are not floating point, which would round it, or labels outside the classes.
        """
        if not images.is_floating_point():
            raise ValueError(f"expected floating-point images, received {images.dtype}")
        noise = torch.randn(images.shape, generator=generator, device=generator.device).to(images)
        return images + self.sigma * noise, distributions(labels, num_classes)


@dataclass(frozen=True)
class FlipCrop:
    """The image mirrored or not, and cut out at a random place of a padded copy, with the label as it is.

    This is what the CIFAR recipes call data augmentation: a finite set of images around each, which somebody who
    knows the data has chosen.

    Args:
        padding: pixels of zeros on each side, an integer >= 0; the window moves by up to this much.

    Raises:
        ValueError: for another padding.

    Example:
        >>> FlipCrop(1).sample(torch.ones(2, 1, 4, 4), torch.tensor([0, 1]), 2, torch.Generator())[0].shape
        torch.Size([2, 1, 4, 4])
    """

    padding: int = 4

    def __post_init__(self):
        if not whole(self.padding) or self.padding < 0:
            raise ValueError(f"expected a padding of whole pixels, at least 0, received {self.padding!r}")

    def sample(self, images: Tensor, labels: Tensor, num_classes: int, generator: Generator) -> tuple[Tensor, Tensor]:
        """Augment ``images (B, C, H, W)``, each row on its own."""
        from mixlab.data.augment import crop, flip

        return flip(crop(images, generator, padding=self.padding), generator), distributions(labels, num_classes)


@dataclass(frozen=True)
class Mixed:
    """What a mixer draws: the first vicinity here that involves other examples, and that changes the label.

    Args:
        mixer: anything with ``draw(images, labels, generator=g) -> Mix``.

    Example:
        >>> from mixlab.mixers import Mixup
        >>> x, y = Mixed(Mixup(1.0)).sample(torch.eye(2), torch.tensor([0, 1]), 2, torch.Generator().manual_seed(0))
        >>> torch.allclose(x, y)
        True
    """

    mixer: object

    def sample(self, images: Tensor, labels: Tensor, num_classes: int, generator: Generator) -> tuple[Tensor, Tensor]:
        """Mix the rows of the batch."""
        mix = self.mixer.draw(images, labels, generator=generator)
        return mix.apply(images), mix.targets(labels, num_classes)


class SampledRisk(Risk):
    r"""Vicinal risk by sampling: :math:`R_\nu(f) = \frac1m \sum_i \ell(f(\tilde x_i), \tilde y_i)`, one draw a row.

    Args:
        vicinity: see `Vicinity`. For a mixer, `mixlab.risk.VicinalRisk` is the same and shorter.
        num_classes: of the targets.

    Source: Chapelle et al. (2000); Zhang et al. (2018), section 2.

    Example:
        >>> risk = SampledRisk(Gaussian(0.1), num_classes=3)
        >>> batch = torch.zeros(3, 4), torch.tensor([0, 1, 2])
        >>> risk(nn.Linear(4, 3), batch, generator=torch.Generator().manual_seed(0)).shape
        torch.Size([])
    """

    def __init__(self, vicinity: Vicinity, num_classes: int):
        super().__init__()
        self.vicinity, self.num_classes = vicinity, num_classes

    def forward(self, model: nn.Module, batch: tuple[Tensor, ...], *, step: int = 0,
                generator: Generator | None = None) -> Tensor:
        """Loss of ``model`` on one draw; all randomness comes from ``generator``.

        Raises:
            ValueError: without a generator, or for labels outside the classes.
        """
        if generator is None:
            raise ValueError("expected a generator to sample the vicinity with, received None")
        drawn, targets = self.vicinity.sample(*images_and_labels(batch), self.num_classes, generator)
        return soft_cross_entropy(as_logits(model(drawn)), targets)

    def extra_repr(self) -> str:
        return f"{self.vicinity!r}, num_classes={self.num_classes}"

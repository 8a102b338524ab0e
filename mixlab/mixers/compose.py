"""Mixers made of mixers: sometimes, for some rows, or one of several.

``num_classes`` and ``seed`` are read from the outermost mixer: ``Sometimes(CutMix(), 0.5, num_classes=10)``.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mixlab.checks import numbers, real
from mixlab.mix import Mix
from mixlab.mixers.base import Mixer, Wrapper

__all__ = ["OneOf", "PerSample", "Sometimes"]


@dataclass(frozen=True)
class _Chance(Wrapper):
    """A mixer that is used with probability p."""

    p: float

    def __post_init__(self):
        super().__post_init__()
        if not real(self.p) or not 0 <= self.p <= 1:
            raise ValueError(f"expected a probability in [0, 1], received {self.p!r}")


@dataclass(frozen=True)
class Sometimes(_Chance):
    """Mix a whole batch with probability p, and leave it alone otherwise: the papers' recipes.

    Args:
        mixer: what to do.
        p: how often, in [0, 1].

    Raises:
        ValueError: for a ``mixer`` that is none, or a p outside [0, 1].

    Example:
        >>> from mixlab.mixers import CutMix
        >>> Sometimes(CutMix(), 0.0).draw(torch.rand(4, 3, 8, 8)).k
        1
    """

    def _draw(
        self, images: Tensor, labels: Tensor | None, saliency: Tensor | None, generator: torch.Generator
    ) -> Mix:
        mixed = torch.rand((), dtype=torch.float64, generator=generator, device=generator.device) < self.p
        return self.mixer._draw(images, labels, saliency, generator) if mixed else Mix.identity(len(images))


@dataclass(frozen=True)
class PerSample(_Chance):
    """Mix every row with probability p; the other rows are their own source, and their finite values stay as they are.

    Args:
        mixer: what to do.
        p: how often, in [0, 1].

    Raises:
        ValueError: for a ``mixer`` that is none, or a p outside [0, 1].

    Example:
        >>> from mixlab.mixers import CutMix
        >>> images = torch.rand(4, 3, 8, 8)
        >>> torch.equal(PerSample(CutMix(), 0.0).draw(images).apply(images), images)
        True
    """

    def _draw(
        self, images: Tensor, labels: Tensor | None, saliency: Tensor | None, generator: torch.Generator
    ) -> Mix:
        coin = torch.rand(len(images), dtype=torch.float64, generator=generator, device=generator.device)
        return self.mixer._draw(images, labels, saliency, generator).select(coin < self.p)


@dataclass(frozen=True)
class OneOf(Mixer):
    """Choose one mixer for every batch.

    Args:
        mixers: what to choose from.
        probabilities: one for each, summing to 1; uniform by default.

    Raises:
        ValueError: for no mixers, something else among them, or probabilities that do not fit them.

    Example:
        >>> from mixlab.mixers import CutMix, Mixup
        >>> OneOf([Mixup(0.8), CutMix(1.0)], [0.0, 1.0]).draw(torch.rand(2, 3, 8, 8)).form.size
        (8, 8)
    """

    mixers: Sequence[Mixer]
    probabilities: Sequence[float] | None = None

    def __post_init__(self):
        super().__post_init__()
        if not isinstance(self.mixers, Sequence) or not all(isinstance(each, Mixer) for each in self.mixers):
            raise ValueError(f"expected a sequence of mixers, received {self.mixers!r}")
        count = len(self.mixers)
        p = [1 / max(count, 1)] * count if self.probabilities is None else numbers(self.probabilities)
        if not p or len(p) != count or not all(each >= 0 for each in p) or not abs(sum(p) - 1) <= 1e-6:
            raise ValueError(f"expected {count or 'some'} probabilities that sum to 1, received {self.probabilities!r}")
        # Tuples, so that equal mixers are equal whatever they were given in, and can be hashed.
        object.__setattr__(self, "mixers", tuple(self.mixers))
        if self.probabilities is not None:
            object.__setattr__(self, "probabilities", tuple(p))

    @property
    def needs_saliency(self) -> bool:
        return any(mixer.needs_saliency for mixer in self.mixers)

    def _draw(
        self, images: Tensor, labels: Tensor | None, saliency: Tensor | None, generator: torch.Generator
    ) -> Mix:
        rates = [1.0] * len(self.mixers) if self.probabilities is None else self.probabilities
        p = torch.tensor(rates, dtype=torch.float64, device=generator.device)
        choice = torch.multinomial(p, 1, generator=generator)
        return self.mixers[int(choice)]._draw(images, labels, saliency, generator)

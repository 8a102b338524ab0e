r"""Controls: mixers that differ from a method in one thing, so that an experiment can say what that thing does.

**Method card.** None of these is a method to use. Each is Mixup or CutMix with one part exchanged, and draws the same
numbers in the same order as its model: from one generator, partners, shares and boxes are equal (TiltedMixup, whose
law is another one, shares the partners alone).

- *Image or label?* ``DominantMixup`` mixes both, ``InputMixup`` the image alone, ``LabelMixup`` the label alone.
- *Which law?* ``TiltedMixup`` keeps one hard label and draws λ from Beta(α + 1, α); its expected loss is Mixup's.
- *Which fill?* ``ErasedBox`` and ``NoiseBox`` fill CutMix's box with nothing and with noise, ``PatchCutMix`` with the
  partner; all three keep the image's own label.
- *Which label?* ``NominalCutMix`` weighs labels with the λ that was drawn instead of the share that was pasted.
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from mixlab import priors
from mixlab.masks import Constant, NestedBoxes, first_slot
from mixlab.mix import Mix
from mixlab.mixers.base import Mixer, draw_shares, image_size
from mixlab.mixers.linear import Mixup
from mixlab.mixers.regional import CutMix, clipped_boxes

__all__ = [
    "CONTROLS",
    "DominantMixup",
    "ErasedBox",
    "InputMixup",
    "LabelMixup",
    "NoiseBox",
    "NominalCutMix",
    "PatchCutMix",
    "TiltedMixup",
]


@dataclass(frozen=True)
class DominantMixup(Mixup):
    r"""Mixup whose row itself has the larger share: :math:`\lambda' = \max(\lambda, 1 - \lambda)`.

    Over a batch in which every row is a partner once, this is Mixup with the rows of some pairs exchanged: the law of
    image and label is the same. It makes "the row's own label" mean something.

    Source: the folded law of Carratino et al. (2020), section 3.

    Example:
        >>> mix = DominantMixup(1.0).draw(torch.rand(64, 2), generator=torch.Generator().manual_seed(0))
        >>> bool((mix.shares[:, 0] >= 0.5).all())
        True
    """

    def _draw(
        self, images: Tensor, labels: Tensor | None, saliency: Tensor | None, generator: torch.Generator
    ) -> Mix:
        mix = super()._draw(images, labels, saliency, generator)
        folded = mix.form.coefficients.sort(dim=1, descending=True).values
        return Mix(mix.sources, Constant(folded))


@dataclass(frozen=True)
class InputMixup(DominantMixup):
    """The image of :class:`DominantMixup` with the label of its larger part alone.

    Example:
        >>> mix = InputMixup(1.0).draw(torch.rand(2, 2), generator=torch.Generator().manual_seed(0))
        >>> mix.weights
        tensor([[1., 0.],
                [1., 0.]])
    """

    def _draw(
        self, images: Tensor, labels: Tensor | None, saliency: Tensor | None, generator: torch.Generator
    ) -> Mix:
        mix = super()._draw(images, labels, saliency, generator)
        return replace(mix, weights=first_slot(mix.weights))


@dataclass(frozen=True)
class LabelMixup(DominantMixup):
    """The label of :class:`DominantMixup` with the image of its larger part alone.

    In expectation over partners this is label smoothing towards the mean label.

    Example:
        >>> mix = LabelMixup(1.0).draw(torch.rand(2, 2), generator=torch.Generator().manual_seed(0))
        >>> mix.shares
        tensor([[1., 0.],
                [1., 0.]])
    """

    def _draw(
        self, images: Tensor, labels: Tensor | None, saliency: Tensor | None, generator: torch.Generator
    ) -> Mix:
        mix = super()._draw(images, labels, saliency, generator)
        return Mix(mix.sources, Constant(first_slot(mix.weights)), weights=mix.weights)


@dataclass(frozen=True)
class TiltedMixup(Mixup):
    r"""Mixup with one hard label, and :math:`\lambda \sim \mathrm{Beta}(\alpha + 1, \alpha)` to make up for it.

    For a loss that is linear in the target the expected loss is that of :class:`Mixup`.

    Source: Carratino et al. (2020), section 3; Zhang et al. (2021), lemma 3.1.

    Example:
        >>> mix = TiltedMixup(1.0).draw(torch.rand(1000, 2), generator=torch.Generator().manual_seed(0))
        >>> bool((mix.shares[:, 0].mean() - 2 / 3).abs() < 0.03), mix.weights[0].tolist()
        (True, [1.0, 0.0])
    """

    def _draw(
        self, images: Tensor, labels: Tensor | None, saliency: Tensor | None, generator: torch.Generator
    ) -> Mix:
        sources = self._partners(len(images), 2, generator)
        if self.alpha == 0:
            shares = draw_shares(0.0, len(images), 2, generator)
        else:
            shares = priors.dirichlet([self.alpha + 1, self.alpha], len(images), generator=generator)
        return Mix(sources, Constant(shares.float()), weights=first_slot(shares.float()))


@dataclass(frozen=True)
class ErasedBox(CutMix):
    """CutMix's box, filled with zeros (the mean of normalised images); the label stays.

    Example:
        >>> mixed = ErasedBox(1.0, num_classes=2)(torch.ones(2, 1, 8, 8), torch.tensor([0, 1]))[0]
        >>> float(mixed.min())
        0.0
    """

    def _fill(self, images: Tensor, generator: torch.Generator) -> Tensor | float:
        return 0.0

    def _draw(
        self, images: Tensor, labels: Tensor | None, saliency: Tensor | None, generator: torch.Generator
    ) -> Mix:
        mix = super()._draw(images, labels, saliency, generator)
        return Mix(mix.sources[:, :1], mix.form, torch.ones_like(mix.weights[:, :1]), self._fill(images, generator))


@dataclass(frozen=True)
class NoiseBox(ErasedBox):
    """CutMix's box, filled with standard normal noise (the spread of normalised images); the label stays.

    Example:
        >>> mixed = NoiseBox(1.0, num_classes=2)(torch.zeros(2, 1, 8, 8), torch.tensor([0, 1]))[0]
        >>> bool(mixed.std() > 0)
        True
    """

    def _fill(self, images: Tensor, generator: torch.Generator) -> Tensor | float:
        return torch.randn(images.shape, generator=generator, device=generator.device)


@dataclass(frozen=True)
class PatchCutMix(CutMix):
    """CutMix's image with the row's own label: the partner's patch is treated as a hole.

    Example:
        >>> mix = PatchCutMix(1.0).draw(torch.rand(2, 1, 8, 8), generator=torch.Generator().manual_seed(0))
        >>> mix.k, mix.weights.tolist()
        (2, [[1.0, 0.0], [1.0, 0.0]])
    """

    def _draw(
        self, images: Tensor, labels: Tensor | None, saliency: Tensor | None, generator: torch.Generator
    ) -> Mix:
        mix = super()._draw(images, labels, saliency, generator)
        return replace(mix, weights=first_slot(mix.weights))


@dataclass(frozen=True)
class NominalCutMix(CutMix):
    r"""CutMix's image with the label weights :math:`(\lambda, 1 - \lambda)` that were drawn, clipped or not.

    Source: Yun et al. (2019), eqs 1 and 2 read literally; the authors' code corrects λ after clipping.

    Example:
        >>> mix = NominalCutMix(1.0).draw(torch.rand(64, 1, 8, 8), generator=torch.Generator().manual_seed(0))
        >>> bool((mix.weights[:, 0] < mix.shares[:, 0]).float().mean() > 0.5)
        True
    """

    def _draw(
        self, images: Tensor, labels: Tensor | None, saliency: Tensor | None, generator: torch.Generator
    ) -> Mix:
        size = image_size(images)
        sources = self._partners(len(images), 2, generator)
        shares = draw_shares(self.alpha, len(images), 2, generator)
        form = NestedBoxes(clipped_boxes(1 - shares[:, :1], size, generator), size)
        return Mix(sources, form, weights=shares.float())


#: The name of every control, for records.
CONTROLS: dict[str, type[Mixer]] = {
    "dominant-mixup": DominantMixup,
    "input-mixup": InputMixup,
    "label-mixup": LabelMixup,
    "tilted-mixup": TiltedMixup,
    "erased-box": ErasedBox,
    "noise-box": NoiseBox,
    "patch-cutmix": PatchCutMix,
    "nominal-cutmix": NominalCutMix,
}

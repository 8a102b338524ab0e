r"""Controls: mixers that differ from a method in one thing, so that an experiment can say what that thing does.

**Method card.** None of these is a method to use. Each is another mixer with one part exchanged, and draws the same
numbers in the same order as its model: from one generator, partners, shares and boxes are equal (TiltedMixup, whose
law is another one, shares the partners alone).

- *Image or label?* ``DominantMixup`` mixes both, ``InputMixup`` the image alone, ``LabelMixup`` the label alone.
- *Which law?* ``TiltedMixup`` keeps one hard label and draws λ from Beta(α + 1, α); its expected loss is Mixup's.
- *Which fill?* ``ErasedBox`` and ``NoiseBox`` fill CutMix's box with nothing and with noise, ``PatchCutMix`` with the
  partner; all three keep the image's own label.
- *Which label?* ``NominalCutMix`` weighs labels with the λ that was drawn instead of the share that was pasted.
- *Which saliency?* ``ReplacedSaliency`` tells any mixer that of another image, a random one, or a constant one.
- *Which place?* ``SharesInBoxes`` pastes what a mixer of pairs would show of the partner as one box, anywhere.
- *Which partners?* ``DistinctPredictions`` gives any mixer partners as SuperMix's: of distinct predicted classes.
- *Whose masks?* ``ShuffledMasks`` shows a row and its partners through the masks of another row.
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from mixlab import priors, rng
from mixlab.masks import Constant, NestedBoxes, first_slot
from mixlab.mix import Mix
from mixlab.mixers.base import Mixer, Taught, Wrapper, draw_shares, image_size
from mixlab.mixers.linear import Mixup
from mixlab.mixers.regional import CutMix, clipped_boxes
from mixlab.mixers.supermix import distinct_partners
from mixlab.models.teacher import Teacher
from mixlab.saliency import smooth_random_saliency

__all__ = [
    "CONTROLS",
    "DistinctPredictions",
    "DominantMixup",
    "ErasedBox",
    "InputMixup",
    "LabelMixup",
    "NoiseBox",
    "NominalCutMix",
    "PatchCutMix",
    "ReplacedSaliency",
    "SharesInBoxes",
    "ShuffledMasks",
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


_REPLACEMENTS = ("another", "smooth", "uniform")


@dataclass(frozen=True)
class ReplacedSaliency(Wrapper):
    """A mixer that is told another saliency than that of the images.

    From one generator the mixer draws the same numbers with this control and without: the control's own numbers come
    from a second stream, which is seeded by the generator's state and does not move it. So partners, λ and the number
    of blocks are equal, and all that differs is what the saliency decides.

    Args:
        mixer: what mixes; it may be made of mixers, too.
        by: ``"another"`` gives every row the map of another row: all maps move on by the same random number of rows (a
            row alone in its batch keeps its own). ``"smooth"`` gives a random smooth map
            (:func:`mixlab.saliency.smooth_random_saliency`), ``"uniform"`` a constant one. The last two need no
            saliency.

    Raises:
        ValueError: for a ``mixer`` that is none, or another ``by``.

    Example:
        >>> from mixlab.mixers import PuzzleMix
        >>> images, g = torch.rand(4, 1, 8, 8), torch.Generator().manual_seed(0)
        >>> mix = ReplacedSaliency(PuzzleMix(gamma=0.0, blocks=2), by="uniform").draw(images, generator=g)
        >>> mix.form.maps.flatten(2).std(2).unique()
        tensor([0.])
    """

    by: str

    def __post_init__(self):
        super().__post_init__()
        if self.by not in _REPLACEMENTS:
            raise ValueError(f"expected a saliency replaced by one of {list(_REPLACEMENTS)}, received {self.by!r}")

    @property
    def needs_saliency(self) -> bool:
        return self.by == "another" and self.mixer.needs_saliency

    def _draw(
        self, images: Tensor, labels: Tensor | None, saliency: Tensor | None, generator: torch.Generator
    ) -> Mix:
        return self.mixer._draw(images, labels, self._replaced(images, saliency, generator), generator)

    def _replaced(self, images: Tensor, saliency: Tensor | None, generator: torch.Generator) -> Tensor | None:
        size, batch = image_size(images), len(images)
        if self.by == "uniform":
            return torch.ones(batch, *size, device=images.device)
        # A copy of the generator tells the next number, and a hash of that number seeds the second stream. The mixer
        # will draw that number, too, but nothing can be told from its hash.
        ahead = torch.Generator(generator.device)
        ahead.set_state(generator.get_state())
        number = int(torch.randint(2**63 - 1, (), generator=ahead, device=ahead.device))
        own = rng.generator("replaced saliency", number, device=generator.device)
        if self.by == "smooth":
            return smooth_random_saliency(batch, size, generator=own).to(images.device)
        if saliency is None or batch == 1:
            return saliency
        return saliency.roll(1 + int(torch.randint(batch - 1, (), generator=own, device=own.device)), 0)


@dataclass(frozen=True)
class SharesInBoxes(Wrapper):
    """The partners and the shares of a mixer of pairs, shown CutMix's way: one box, placed uniformly inside the image.

    The box has the share that the mixer gave to the partner, as nearly as whole pixels allow with about the aspect of
    the image: at 28 x 28 and 32 x 32 pixels it is off by .3 % of the image in the mean over Puzzle Mix's shares, and by
    half a row at most. Label weights are the box's own share. Its place is drawn after the mixer's numbers.

    Args:
        mixer: what draws partners and shares. Where it leaves a batch unmixed (K = 1), so does this.

    Raises:
        ValueError: for a ``mixer`` that is none; from ``draw``, for one that mixes more than two images.

    Example:
        >>> from mixlab.mixers import Mixup
        >>> mix = SharesInBoxes(Mixup()).draw(torch.rand(4, 1, 32, 32), generator=torch.Generator().manual_seed(0))
        >>> own = Mixup().draw(torch.rand(4, 1, 32, 32), generator=torch.Generator().manual_seed(0)).shares
        >>> torch.equal(mix.weights, mix.shares), bool((mix.shares - own).abs().max() < 0.01)
        (True, True)
    """

    def _draw(
        self, images: Tensor, labels: Tensor | None, saliency: Tensor | None, generator: torch.Generator
    ) -> Mix:
        size, mix = image_size(images), self.mixer._draw(images, labels, saliency, generator)
        if mix.k == 1:
            return mix
        if mix.k != 2:
            raise ValueError(f"expected a mixer of pairs, whose partner fits one box, received one of {mix.k} images")
        sides = _sides(mix.shares[:, 1].to("cpu", torch.float64), size)
        place = torch.rand(len(mix), 2, dtype=torch.float64, generator=generator, device=generator.device).cpu()
        corners = (place * (torch.tensor(size) - sides + 1)).long()
        boxes = torch.cat([corners, corners + sides], dim=1)[:, None].to(mix.sources.device)
        return Mix(mix.sources, NestedBoxes(boxes, size))


def _sides(shares: Tensor, size: tuple[int, int]) -> Tensor:
    """Height and width (B, 2) int64 of the boxes whose areas are nearest to some shares (B,) of an image.

    A pixel that the area is off counts as much as a row or a column that the sides are off the image's own aspect.
    """
    height, width = size
    area, side = shares[:, None] * (height * width), shares[:, None].sqrt()
    heights = torch.arange(1, height + 1, dtype=torch.float64)
    widths = (area / heights).round().clamp(max=width)
    off = (heights * widths - area).abs()
    best = (off + (heights - height * side).abs() + (widths - width * side).abs()).argmin(1)
    return torch.stack([heights[best], widths.gather(1, best[:, None])[:, 0]], dim=1).long()


@dataclass(frozen=True, eq=False)
class DistinctPredictions(Taught, Wrapper):
    """Another mixer under SuperMix's pair rule: its masks as drawn, its partners of distinct predicted classes.

    The mixer draws first, and partners are drawn after that (:func:`mixlab.mixers.distinct_partners`).

    Args:
        mixer: what draws the masks.
        teacher: what predicts classes; it takes images as they are given here.

    Raises:
        ValueError: for a ``mixer`` or a ``teacher`` that is none; from ``draw``, for fewer rows than are mixed, or a
            teacher whose logits are not finite.

    Example:
        >>> from mixlab.models import Teacher
        >>> images = torch.tensor([0.0, 0.0, 1.0]).view(3, 1, 1, 1).expand(3, 1, 2, 2)
        >>> brighter = torch.nn.Sequential(torch.nn.AvgPool2d(2), torch.nn.Flatten(), torch.nn.Linear(1, 2))
        >>> _ = brighter[2].weight.data.copy_(torch.tensor([[-1.0], [1.0]])), brighter[2].bias.data.zero_()
        >>> DistinctPredictions(CutMix(), Teacher(brighter)).draw(images - 0.5).sources[:2].tolist()
        [[0, 2], [1, 2]]
    """

    teacher: Teacher

    def _draw(
        self, images: Tensor, labels: Tensor | None, saliency: Tensor | None, generator: torch.Generator
    ) -> Mix:
        mix = self.mixer._draw(images, labels, saliency, generator)
        if mix.k == 1:
            return mix
        predicted = self._ask(images)[1].argmax(1)
        sources = distinct_partners(predicted, mix.k, generator)[0].to(mix.sources.device)
        return Mix.trusted(sources, mix.form, mix.weights, mix.fill, anchored=True)


@dataclass(frozen=True)
class ShuffledMasks(Wrapper):
    """The partners of a mixer, shown through the masks that were made for another row.

    Shares and label weights go with the masks. Whose masks a row gets is drawn after the mixer's numbers, so that no
    row keeps its own: all rows stand in one random circle, and hand their masks on. A row alone in its batch keeps its
    own.

    Args:
        mixer: what draws partners and masks.

    Raises:
        ValueError: for a ``mixer`` that is none.

    Example:
        >>> images, g = torch.rand(2, 1, 8, 8), torch.Generator
        >>> own = CutMix().draw(images, generator=g().manual_seed(0))
        >>> mix = ShuffledMasks(CutMix()).draw(images, generator=g().manual_seed(0))
        >>> torch.equal(mix.sources, own.sources), torch.equal(mix.shares, own.shares.flip(0))
        (True, True)
    """

    def _draw(
        self, images: Tensor, labels: Tensor | None, saliency: Tensor | None, generator: torch.Generator
    ) -> Mix:
        mix = self.mixer._draw(images, labels, saliency, generator)
        circle = torch.randperm(len(mix), generator=generator, device=generator.device).to(mix.sources.device)
        giver = torch.empty_like(circle)
        giver[circle] = circle.roll(1)
        moved = {name: part[giver] for name, part in vars(mix.form).items() if isinstance(part, Tensor)}
        return Mix.trusted(mix.sources, replace(mix.form, **moved), mix.weights[giver], mix.fill,
                           anchored=vars(mix).get("anchored"))


#: The name of every control that is a mixer by itself, for records; those made of mixers are in the registry.
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

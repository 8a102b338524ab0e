r"""Regional mixing: every pixel keeps one owner.

**Method card.** CutMix (Yun et al., 2019) pastes a box of a partner; DCutMix (K-image paper, eqs 4 and 5) breaks a
stick and nests K - 1 boxes; PastedCutMix repeats CutMix's paste K - 1 times. Labels are the shares of pixels really
shown.

- *How to use*: ``DCutMix(k=5, alpha=0.2, num_classes=100)(images, labels)``.
- *Settings*: CutMix α = 1; DCutMix K = 5, α = 0.2 or 1 (CIFAR-100), K = 3, α = 1/3 (CIFAR-10). With α = 1/K the
  effective number of images, 1 / E Σφ² = 2K / (K + 1), stays below 2.
- *Implementation*: a box for every image, not for every batch. Edges are whole pixels.
- *Clipping*: CutMix's box is centred uniformly and clipped at the border, so the mean area at α = 1 is
  ∫ (s - s²/4)² = 0.321 of the image instead of 1/2, where s² is uniform. UnclippedCutMix and DCutMix place boxes
  fully inside: areas are what was drawn, and central pixels change hands more often.
- *Rounding*: sides are whole pixels. Of nested boxes this favours the inner images, and on small maps one sees it (in
  Feature CutMix, see :mod:`mixlab.mixers.manifold`): at K = 2, α = 1 the row itself keeps 7/16 of a 2 x 2 map and
  31/64 of a 4 x 4 map instead of 1/2 in the mean; at K = 5, α = 0.2 the first image keeps .180 of a 4 x 4 map and the
  last .226 instead of 1/5. At 32 x 32 neither is off by .002. Labels are the pixels shown, always.
- *Limits*: images of shape (B, C, H, W), any dtype; α = 0 is ERM.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from mixlab import priors
from mixlab.arrays import array
from mixlab.masks import NestedBoxes, PastedBoxes
from mixlab.mix import Mix
from mixlab.mixers.base import KMixer, PairMixer, draw_shares, image_size

__all__ = ["CutMix", "DCutMix", "PastedCutMix", "UnclippedCutMix"]


def clipped_boxes(area: Tensor, size: tuple[int, int], generator: torch.Generator) -> Tensor:
    """Boxes with the images' aspect, centred uniformly and clipped at the border (Yun et al., 2019, eq. 2).

    Args:
        area: ``(...)`` float64 in [0, 1], the area before clipping as a part of the image.
        size: height and width, in pixels.
        generator: source of the centres.

    Returns:
        ``(..., 4)`` int64 edges ``top, left, bottom, right``.
    """
    centre = torch.rand(*area.shape, 2, dtype=torch.float64, generator=generator, device=generator.device)
    centre, half = array(centre), np.sqrt(array(area))[..., None] / 2
    edges = np.empty((*area.shape, 4))
    np.maximum(centre - half, 0, out=edges[..., :2])
    np.minimum(centre + half, 1, out=edges[..., 2:])
    edges *= (*size, *size)
    return torch.from_numpy(np.rint(edges, out=edges).astype(np.int64)).to(generator.device)


def nested_boxes(sticks: Tensor, size: tuple[int, int], generator: torch.Generator) -> Tensor:
    r"""Boxes of which each lies uniformly inside the one before (K-image paper, eqs 4 and 5).

    Box k has the aspect of its parent and :math:`1 - v_k` of its area; sides are rounded to pixels, which makes boxes
    a little larger in the mean (see *Rounding* in the method card).

    Args:
        sticks: ``(B, N)`` float64 stick fractions v: what the parent keeps.
        size: height and width, in pixels.
        generator: source of the positions (the paper's γ).

    Returns:
        ``(B, N, 4)`` int64 edges ``top, left, bottom, right``.
    """
    place = torch.rand(*sticks.shape, 2, dtype=torch.float64, generator=generator, device=generator.device)
    # Boxes and axes first, rows last: numpy is fast along long axes.
    place = array(place).transpose(1, 2, 0)
    scales = np.sqrt(np.maximum(1 - array(sticks).T, 0), order="C")
    extents = np.empty((len(scales) + 1, *place.shape[1:]))
    extents[0] = np.reshape(size, (2, 1))
    for n, scale in enumerate(scales):
        np.rint(extents[n] * scale, out=extents[n + 1])
    corners = np.floor(place * (extents[:-1] - extents[1:] + 1)).cumsum(axis=0)
    boxes = np.empty((*sticks.shape, 4), dtype=np.int64)
    edges = boxes.transpose(1, 2, 0)
    edges[:, :2], edges[:, 2:] = corners, corners + extents[1:]
    return torch.from_numpy(boxes).to(generator.device)


def _nest(mixer: PairMixer | KMixer, k: int, images: Tensor, generator: torch.Generator) -> Mix:
    """K images nested in boxes, with the partners and the concentration of a mixer."""
    size = image_size(images)
    sources = mixer._partners(len(images), k, generator)
    sticks = priors.sticks_from_shares(draw_shares(mixer.alpha, len(images), k, generator))
    return Mix.trusted(sources, NestedBoxes(nested_boxes(sticks[:, :-1], size, generator), size), anchored=True)


@dataclass(frozen=True)
class CutMix(PairMixer):
    r"""Paste a box of a partner.

    The box has sides :math:`H\sqrt{1-\lambda}` and :math:`W\sqrt{1-\lambda}` with :math:`\lambda \sim \mathrm{Beta}
    (\alpha, \alpha)`, a uniform centre, edges rounded to pixels, and is clipped at the border; the label is the share
    of pixels that is left. (Yun et al. print the centre's law beside the sides' as if it were a corner's; their code
    centres and clips.)

    Args:
        alpha: concentration, >= 0; 0 is ERM.

    Raises:
        ValueError: for an alpha that is negative or not finite.

    Source: Yun et al. (2019), eqs 1 and 2.

    Example:
        >>> images, labels = torch.eye(2).view(2, 2, 1, 1).expand(2, 2, 8, 8), torch.tensor([0, 1])
        >>> mixed, targets = CutMix(num_classes=2)(images, labels)
        >>> torch.equal(mixed.mean((2, 3)), targets)
        True
    """

    def _draw(
        self, images: Tensor, labels: Tensor | None, saliency: Tensor | None, generator: torch.Generator
    ) -> Mix:
        size = image_size(images)
        sources = self._partners(len(images), 2, generator)
        area = draw_shares(self.alpha, len(images), 2, generator)[:, 1:]
        return Mix.trusted(sources, NestedBoxes(clipped_boxes(area, size, generator), size), anchored=True)


@dataclass(frozen=True)
class DCutMix(KMixer):
    r"""Nest K images by breaking a stick.

    Shares :math:`\varphi \sim \mathrm{Dir}(\alpha)` become stick fractions v; image 1 is the whole picture, and image
    k + 1 fills a box of :math:`1 - v_k` of the area of the box before, placed uniformly inside it. Image k keeps the
    frame between its box and the next, :math:`\varphi_k` of the picture up to the rounding of sides to pixels, which
    is not neutral on small maps (see *Rounding* in the method card); labels are the shares in whole pixels. At K = 2
    this is :class:`UnclippedCutMix`: CutMix with a box that never leaves the image.

    Args:
        k: number of images K >= 1, the row itself first and outermost.
        alpha: concentration of every component, >= 0; 0 is ERM. The paper uses 1 or 1 / K.

    Raises:
        ValueError: for a k that is no integer in 1..254, or an alpha that is negative or not finite.

    Source: K-image paper, eqs 4 and 5; that boxes nest is read in the authors' code, the text leaves it open.

    Example:
        >>> mix = DCutMix(3, 1.0).draw(torch.rand(4, 3, 16, 24), generator=torch.Generator().manual_seed(0))
        >>> mix.owners.shape, bool(torch.allclose(mix.shares.sum(1), torch.ones(4)))
        (torch.Size([4, 16, 24]), True)
    """

    k: int = 5

    def _draw(
        self, images: Tensor, labels: Tensor | None, saliency: Tensor | None, generator: torch.Generator
    ) -> Mix:
        return _nest(self, self.k, images, generator)


@dataclass(frozen=True)
class UnclippedCutMix(PairMixer):
    """CutMix with the box uniformly placed fully inside the image: its area is 1 - λ up to rounding, never clipped.

    On small maps rounding favours the box (see *Rounding* in the method card).

    Args:
        alpha: concentration, >= 0; 0 is ERM.

    Raises:
        ValueError: for an alpha that is negative or not finite.

    Source: the K = 2 case of the K-image paper, eqs 4 and 5.

    Example:
        >>> mix = UnclippedCutMix().draw(torch.rand(4, 3, 8, 8), generator=torch.Generator().manual_seed(0))
        >>> mix.shares.shape
        torch.Size([4, 2])
    """

    def _draw(
        self, images: Tensor, labels: Tensor | None, saliency: Tensor | None, generator: torch.Generator
    ) -> Mix:
        return _nest(self, 2, images, generator)


@dataclass(frozen=True)
class PastedCutMix(KMixer):
    r"""Paste K - 1 clipped boxes one after another, each where it falls.

    Shares :math:`\varphi \sim \mathrm{Dir}(\alpha)` are broken from the top: the box pasted last covers
    :math:`\varphi_K` of the image before clipping, and box k :math:`\varphi_k / \sum_{j \le k} \varphi_j`, so that
    independent overlaps would leave :math:`\varphi_k` of it in sight. Labels come from the final owner map, whatever
    was overlapped and clipped. At K = 2 this is :class:`CutMix`.

    Args:
        k: number of images K >= 1, the row itself first and undermost.
        alpha: concentration of every component, >= 0; 0 is ERM.

    Raises:
        ValueError: for a k that is no integer in 1..254, or an alpha that is negative or not finite.

    Source: the K-image CutMix that Co-Mixup's Table 4 compares with is not described; this is CutMix's box rule,
    repeated.

    Example:
        >>> mix = PastedCutMix(3, 1.0).draw(torch.rand(4, 3, 8, 8), generator=torch.Generator().manual_seed(0))
        >>> bool((mix.weights == mix.shares).all())
        True
    """

    def _draw(
        self, images: Tensor, labels: Tensor | None, saliency: Tensor | None, generator: torch.Generator
    ) -> Mix:
        size = image_size(images)
        sources = self._partners(len(images), self.k, generator)
        shares = draw_shares(self.alpha, len(images), self.k, generator)
        # Sticks broken from the last image to the first: what a box covers of all that lies under it.
        cover = priors.sticks_from_shares(shares.flip(1)).flip(1)[:, 1:]
        return Mix.trusted(sources, PastedBoxes(clipped_boxes(cover, size, generator), size), anchored=True)

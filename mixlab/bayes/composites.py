r"""Composites anchored on an image: what surrounds it, drawn once and shared by all images that are judged.

.. math:: x_c = f_c(x, x_2, \dots, x_K; \varphi, \gamma) = M \odot x + b, \qquad l_c = w\, l + t

An anchor x has one slot of a mix; the companions fill the others. Seen from the anchor, a draw of companions, shares
:math:`\varphi` and positions :math:`\gamma` is a mask M, a background b, the anchor's label weight w and the label t of
the rest. None of them depends on the anchor, so one set of draws serves every image: differences between two images
are then differences between the images (common random numbers), and neither order nor batch size plays a part.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from mixlab import priors
from mixlab.checks import whole
from mixlab.masks import Constant, NestedBoxes
from mixlab.mixers.regional import nested_boxes

__all__ = ["Composites", "blended_composites", "companion_rows", "nested_composites"]


@dataclass(frozen=True, eq=False)
class Composites:
    """S ways to surround an anchor.

    Args:
        masks: ``(S, 1, H, W)`` float32 in [0, 1], the anchor's mask M in each draw.
        backgrounds: ``(S, C, H, W)`` floating point, what the companions contribute.
        weights: ``(S,)`` float32, the anchor's share of the pixels and of the label.
        targets: ``(S, classes)`` float32, the companions' part of the label; rows sum to ``1 - weights``.

    Example:
        >>> pool, labels = torch.rand(6, 1, 8, 8), torch.tensor([0, 1, 2, 0, 1, 2])
        >>> g = torch.Generator().manual_seed(0)
        >>> around = blended_composites(
        ...     pool, labels, num_classes=3, k=3, alpha=1.0, anchor_share=0.5, draws=4, generator=g
        ... )
        >>> len(around), around.apply(0, torch.rand(5, 1, 8, 8)).shape, around.weights.tolist()
        (4, torch.Size([5, 1, 8, 8]), [0.5, 0.5, 0.5, 0.5])
    """

    masks: Tensor
    backgrounds: Tensor
    weights: Tensor
    targets: Tensor

    def __len__(self) -> int:
        return len(self.weights)

    def apply(self, draw: int, images: Tensor) -> Tensor:
        """Every image of a batch ``(B, C, H, W)`` as the anchor of one draw: a new tensor of the same shape.

        Raises:
            ValueError: for images of another shape than the backgrounds'.
        """
        if images.shape[1:] != self.backgrounds.shape[1:]:
            raise ValueError(f"expected images of shape (B, {', '.join(map(str, self.backgrounds.shape[1:]))}), "
                             f"received {tuple(images.shape)}")
        return images * self.masks[draw] + self.backgrounds[draw]

    def to(self, device: torch.device | str) -> "Composites":
        """The same draws on another device."""
        parts = self.masks, self.backgrounds, self.weights, self.targets
        return Composites(*(part.to(device) for part in parts))


def companion_rows(
    count: int, *, k: int, draws: int, generator: torch.Generator, companion_sets: int | None = None
) -> Tensor:
    """Which rows of a pool surround the anchor: in every draw K - 1 different ones, uniformly.

    Args:
        count: rows of the pool.
        k: number of images in a composite, the anchor among them.
        draws: number of composites per anchor.
        generator: source of randomness, a CPU one.
        companion_sets: how many different sets of companions there are; draws use them in turn, so each is used equally
            often. None: fresh companions in every draw; the R sets are the first R of those.

    Returns:
        ``(draws, k - 1)`` int64.

    Raises:
        ValueError: for a k that is not an integer from 1 to ``count + 1``, or a number of sets that does not divide
            ``draws``.

    Example:
        >>> companion_rows(9, k=3, draws=4, companion_sets=2, generator=torch.Generator().manual_seed(0)).tolist()
        [[8, 0], [1, 4], [8, 0], [1, 4]]
    """
    if not whole(k) or not 1 <= k <= count + 1:
        raise ValueError(f"expected an integer 1 <= k <= {count + 1}, since the pool has {count} rows, received {k}")
    sets = draws if companion_sets is None else companion_sets
    if not whole(sets) or sets < 1 or draws % sets:
        raise ValueError(f"expected a number of companion sets that divides the {draws} draws, received {sets!r}")
    drawn = torch.stack([torch.randperm(count, generator=generator)[: k - 1] for _ in range(sets)])
    return drawn.repeat(draws // sets, 1)


def nested_composites(
    images: Tensor,
    labels: Tensor,
    *,
    num_classes: int,
    k: int,
    alpha: float,
    anchor_share: float,
    draws: int,
    generator: torch.Generator,
    companions: Tensor | None = None,
) -> Composites:
    r"""Surround an anchor as DCutMix does, with boxes nested by stick-breaking.

    In every draw the anchor's slot is uniform over the K slots (in slot 1 it would always be the outermost frame), its
    share is ``anchor_share``, the other shares are :math:`\varphi_{-i} \mid \varphi_i`, and its companions are K - 1
    different rows of the pool. Weights are the shares of whole pixels.

    Args:
        images: ``(N, C, H, W)`` floating point, on the CPU, the pool of companions; training images, normalised as the
            network wants them.
        labels: ``(N,)`` int64, their classes.
        num_classes: number of classes.
        k: number of images in a composite, the anchor among them; 1 is the image itself.
        alpha: concentration of every component, positive.
        anchor_share: the anchor's :math:`\varphi_i`, in (0, 1]; 1 shows it alone.
        draws: number of composites S per anchor.
        generator: source of randomness, a CPU one.
        companions: ``(S, k - 1)`` int64, the rows of the pool that surround the anchor in each draw; drawn where None,
            see :func:`companion_rows`.

    Returns:
        `Composites` of S draws, on the CPU.

    Raises:
        ValueError: for a pool with fewer than K - 1 rows or not on the CPU, labels outside the classes, a k that is not
            an integer, an alpha or a share out of range, less than one draw, or companions of another shape.

    Source: K-image paper, eqs 4 to 7 and section 3.1 (an anchor with a fixed share).

    Example:
        >>> pool, labels, g = torch.ones(6, 1, 32, 32), torch.tensor([0, 1, 2] * 2), torch.Generator().manual_seed(0)
        >>> around = nested_composites(
        ...     pool, labels, num_classes=3, k=3, alpha=1.0, anchor_share=0.5, draws=100, generator=g
        ... )
        >>> around.masks.unique().tolist(), round(around.weights.mean().item(), 1)
        ([0.0, 1.0], 0.5)
    """
    size = tuple(images.shape[-2:])

    def form(shares: Tensor) -> NestedBoxes:
        return NestedBoxes(nested_boxes(priors.sticks_from_shares(shares)[:, :-1], size, generator), size)

    return _surround(form, images, labels, num_classes, k, alpha, anchor_share, draws, generator, companions)


def blended_composites(
    images: Tensor,
    labels: Tensor,
    *,
    num_classes: int,
    k: int,
    alpha: float,
    anchor_share: float,
    draws: int,
    generator: torch.Generator,
    companions: Tensor | None = None,
) -> Composites:
    """Surround an anchor as DMixup does, by a blend; see :func:`nested_composites` for arguments and errors.

    Returns:
        `Composites` of S draws; every mask is ``anchor_share`` at all pixels.

    Source: K-image paper, eqs 3 and 6.

    Example:
        >>> white, labels, g = torch.ones(4, 1, 1, 2), torch.tensor([0, 0, 1, 1]), torch.Generator().manual_seed(0)
        >>> around = blended_composites(
        ...     white, labels, num_classes=2, k=3, alpha=1.0, anchor_share=0.75, draws=1, generator=g
        ... )
        >>> around.apply(0, torch.zeros(1, 1, 1, 2)), around.targets.sum(1)
        (tensor([[[[0.2500, 0.2500]]]]), tensor([0.2500]))
    """

    def form(shares: Tensor) -> Constant:
        return Constant(shares.float())

    return _surround(form, images, labels, num_classes, k, alpha, anchor_share, draws, generator, companions)


def _surround(form, images, labels, num_classes, k, alpha, anchor_share, draws, generator, rows) -> Composites:
    """Draw slots, shares, companions and masks, in this order, and sum up what is not the anchor."""
    _check(images, labels, num_classes, k, alpha, anchor_share, draws)
    slot = torch.randint(k, (draws,), generator=generator)
    shares = _anchored_shares(slot, k, alpha, anchor_share, generator)
    if rows is None:
        rows = companion_rows(len(images), k=k, draws=draws, generator=generator)
    if rows.shape != (draws, k - 1) or rows.dtype != torch.int64:
        raise ValueError(f"expected int64 companions of shape ({draws}, {k - 1}), received {tuple(rows.shape)} "
                         f"{rows.dtype}")
    made = form(shares)
    masks, weights = made.dense(k, tuple(images.shape[-2:])), made.shares(k)
    # The companions' slots, in order: all but the anchor's.
    others = torch.arange(k - 1).expand(draws, -1)
    others = others + (others >= slot[:, None])
    draw = torch.arange(draws)
    masks_of_others, weights_of_others = masks[draw[:, None], others], weights.gather(1, others)
    backgrounds = (masks_of_others[:, :, None].to(images.dtype) * images[rows]).sum(1)
    targets = torch.zeros(draws, num_classes).scatter_add_(1, labels[rows], weights_of_others)
    return Composites(masks[draw, slot][:, None], backgrounds, weights[draw, slot], targets)


def _anchored_shares(slot: Tensor, k: int, alpha: float, anchor_share: float, generator: torch.Generator) -> Tensor:
    """``(S, K)`` float64 shares: ``anchor_share`` at the anchor's slot, the others given it.

    The prior is symmetric, so what is drawn for slot 0 may change places with what stands at the anchor's slot.
    """
    if k == 1:
        return torch.ones(len(slot), 1, dtype=torch.float64)
    share = torch.full((len(slot),), anchor_share, dtype=torch.float64)
    shares = priors.conditional_dirichlet(alpha, 0, share, k=k, generator=generator)
    moved = shares.gather(1, slot[:, None])
    shares = shares.scatter(1, slot[:, None], shares[:, :1])
    shares[:, :1] = torch.where(slot[:, None] == 0, shares[:, :1], moved)
    return shares


def _check(images: Tensor, labels: Tensor, num_classes: int, k: int, alpha: float, anchor_share: float,
           draws: int) -> None:
    if images.ndim != 4 or not images.is_floating_point():
        raise ValueError(f"expected floating-point images (N, C, H, W), received {tuple(images.shape)} {images.dtype}")
    if labels.shape != images.shape[:1] or labels.dtype != torch.int64:
        raise ValueError(
            f"expected int64 labels of shape ({len(images)},), received {tuple(labels.shape)} {labels.dtype}"
        )
    if images.device.type != "cpu" or labels.device.type != "cpu":
        raise ValueError(f"expected a pool on the CPU, received {images.device} and {labels.device}")
    if len(labels) and not (0 <= labels.min() and labels.max() < num_classes):
        raise ValueError(f"expected labels in [0, {num_classes}), received {int(labels.min())} to {int(labels.max())}")
    if not alpha > 0:
        raise ValueError(f"expected a positive alpha, received {alpha}")
    if not whole(k) or not 1 <= k <= len(images) + 1:
        raise ValueError(f"expected an integer 1 <= k <= {len(images) + 1}, since the pool has {len(images)} rows, "
                         f"received {k}")
    if not 0 < anchor_share <= 1:
        raise ValueError(f"expected an anchor share in (0, 1], received {anchor_share}")
    if not whole(draws) or draws < 1:
        raise ValueError(f"expected at least one draw, a whole number, received {draws!r}")

r"""The record every mixing method produces.

.. math::

    \hat x_b = \sum_k M_{b,k} \odot x_{s(b,k)} + n_b, \qquad \hat y_b = \sum_k w_{b,k}\, y_{s(b,k)},
    \qquad \mathrm{share}_{b,k} = \overline{M_{b,k}}

A method is a distribution over the sources s and the masks M; a :class:`Mix` is one sample of it.
"""

from copy import copy
from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Tensor

from mixlab.checks import whole
from mixlab.labels import plain_labels
from mixlab.masks import (
    Constant,
    NestedBoxes,
    Owners,
    PastedBoxes,
    Soft,
    Transported,
    check_shares,
    first_slot,
    memory_order,
    send,
    visible,
)

__all__ = ["Mix"]

Masks = Constant | NestedBoxes | PastedBoxes | Owners | Soft | Transported


def _within(indices: Tensor, count: int) -> bool:
    """Whether all of some indices are in 0..count-1; they must be visible."""
    lowest, highest = indices.aminmax()
    return 0 <= int(lowest) and int(highest) < count


def check_classes(count: int | None) -> None:
    """Raise ValueError unless ``count`` is a number of classes, or None where it is not known."""
    if count is not None and not (whole(count) and count >= 1):
        raise ValueError(f"expected an integer num_classes >= 1, received {count!r}")


def _plain(images: Tensor) -> Tensor:
    """The numbers of a subclass of tensors as a plain tensor in the same memory, differentiable."""
    from torchvision import tv_tensors  # here, so that only who meets a subclass waits for the import

    coordinates = "BoundingBoxes", "KeyPoints"
    if isinstance(images, tuple(getattr(tv_tensors, name) for name in coordinates if hasattr(tv_tensors, name))):
        raise ValueError(f"expected images, segmentation masks, videos or features, received {type(images).__name__}: "
                         "they are coordinates, which masks cannot mix")
    # A compiler takes none of the paths that copy bare bits, and this step would stop it.
    return images if torch.compiler.is_compiling() else images.as_subclass(Tensor)


def _like(mixed: Tensor, images: Tensor) -> Tensor:
    """What was mixed, as the subclass of tensors that torch makes of such images: a plain tensor of a parameter."""
    from torchvision import tv_tensors

    if isinstance(images, tv_tensors.TVTensor):
        return tv_tensors.wrap(mixed, like=images)
    kind = type(images.detach())
    return mixed if type(mixed) is kind else mixed.as_subclass(kind)


def _rows_of(images: Tensor, rows: Tensor) -> Tensor:
    """Some rows of a batch, in memory of their own that is laid out like the batch's."""
    # On a CPU index_select copies whole rows, in a third of the time that indexing takes, but only of dense memory.
    if not images.is_cpu:
        return images[rows]
    if images.is_contiguous() and 1 not in images.shape:  # else its memory may be that of another order, too
        return images.index_select(0, rows)
    order, back = memory_order(images)
    ordered = images.permute(order)
    return ordered.index_select(back[0], rows).permute(back) if ordered.is_contiguous() else images[rows]


@dataclass(frozen=True, eq=False)
class Mix:
    """What to mix with what, where, and what the result is called. It can be replayed on anything with the same rows.

    Args:
        sources: ``(B, K)`` int64, the batch row that fills each slot; 0 <= sources < B.
        form: the masks M in their cheapest exact form: :class:`~mixlab.masks.Constant`,
            :class:`~mixlab.masks.NestedBoxes`, :class:`~mixlab.masks.PastedBoxes`, :class:`~mixlab.masks.Owners`,
            :class:`~mixlab.masks.Soft` or :class:`~mixlab.masks.Transported`.
        weights: ``(B, K)`` float32, the label weight of each slot; non-negative, rows summing to 1 (within 1e-3).
            Left out, it is the share of pixels that the masks really give to the slot; shares sum to less where
            pixels are nobody's.
        fill: what is seen where no slot is: a number, or a tensor that broadcasts to the images.
        noise: n, ``(B, ...)`` floating point in the shape of the images that the mix was drawn for, added to those
            alone: ``apply(images, noise=True)`` asks for it. Other tensors with the batch's rows (segmentation masks,
            second views) and other sizes (``resize``) never get it.

    Attributes:
        shares: ``(B, K)`` float32, the mean of each mask: the part of the picture that is the slot's.

    Raises:
        ValueError: where shapes or dtypes do not fit together, or (seen on a CPU only, and neither under the transforms
            of ``torch.func`` nor by a compiler) a source is no row of the batch, a box leaves the image or, nested, the
            box before, a pixel belongs to a slot beyond nobody's, K, a coefficient, map or weight is negative or not
            finite, or a row of coefficients, or of weights that are not its shares, does not sum to 1.

    Example:
        >>> images = torch.tensor([[[[0.0, 0.0]]], [[[1.0, 1.0]]]])
        >>> mix = Mix(torch.tensor([[0, 1], [1, 0]]), NestedBoxes(torch.tensor([[[0, 1, 1, 2]]] * 2), (1, 2)))
        >>> mix.apply(images).flatten(1)
        tensor([[0., 1.],
                [1., 0.]])
        >>> mix.targets(torch.tensor([3, 1]), num_classes=4)
        tensor([[0.0000, 0.5000, 0.0000, 0.5000],
                [0.0000, 0.5000, 0.0000, 0.5000]])
    """

    sources: Tensor
    form: Masks
    weights: Tensor = None
    fill: Tensor | float = 0.0
    noise: Tensor | None = None
    shares: Tensor = field(init=False)

    def __post_init__(self):
        if self.sources.ndim != 2 or self.sources.dtype != torch.int64:
            received = f"{tuple(self.sources.shape)} {self.sources.dtype}"
            raise ValueError(f"expected sources of shape (B, K) and dtype int64, received {received}")
        # Only what is visible: on a device the check would be waited for at every step.
        if visible(self.sources) and self.sources.numel() and not _within(self.sources, len(self)):
            raise ValueError(f"expected sources in 0..{len(self) - 1}, the rows of the batch, received others")
        self.form.check(self.k)
        noise = self.noise
        if noise is not None and (noise.ndim < 2 or len(noise) != len(self) or not noise.is_floating_point()):
            received = f"{tuple(noise.shape)} {noise.dtype}"
            raise ValueError(f"expected floating-point noise of shape ({len(self)}, ...), received {received}")
        self._weigh(self.weights)
        for name, value in (("shares", self.shares), ("weights", self.weights)):
            if value.shape != self.sources.shape:
                raise ValueError(f"expected {name} of shape {tuple(self.sources.shape)}, received {tuple(value.shape)}")
        if self.weights is not self.shares and visible(self.weights, self.shares):
            # Weights that are the shares may be handed on, by dataclasses.replace for one, and sum to what they do.
            check_shares("weights", self.weights[(self.weights != self.shares).any(1)])

    def _weigh(self, weights: Tensor | None) -> None:
        shares = self.form.shares(self.k)
        vars(self).update(shares=shares, weights=shares if weights is None else weights.to(torch.float32))

    @classmethod
    def trusted(
        cls,
        sources: Tensor,
        form: Masks,
        weights: Tensor = None,
        fill: Tensor | float = 0.0,
        *,
        anchored: bool | None = None,
    ) -> "Mix":
        """A mix of parts that fit by construction, for mixers: checking boxes would cost a tenth of drawing them.

        ``anchored`` is what :attr:`anchored` would find out, where that is known, too.
        """
        mix = cls.__new__(cls)
        vars(mix).update(sources=sources, form=form, fill=fill)
        if anchored is not None:
            vars(mix).update(anchored=anchored)
        mix._weigh(weights)
        return mix

    @classmethod
    def identity(cls, batch: int) -> "Mix":
        """The mix that leaves every row alone: K = 1.

        Example:
            >>> Mix.identity(2).apply(torch.tensor([[5.0], [7.0]]))
            tensor([[5.],
                    [7.]])
        """
        return cls.trusted(torch.arange(batch)[:, None], Constant(torch.ones(batch, 1)), anchored=True)

    def __len__(self) -> int:
        return len(self.sources)

    def __repr__(self) -> str:
        return f"Mix(B={len(self)}, K={self.k}, {type(self.form).__name__}, {self.sources.device})"

    @property
    def k(self) -> int:
        """Number of slots K."""
        return self.sources.shape[1]

    @cached_property
    def anchored(self) -> bool:
        """Whether slot 0 of every row is the row itself, so that it need not be gathered."""
        return torch.equal(self.sources[:, 0], torch.arange(len(self), device=self.sources.device))

    @property
    def owners(self) -> Tensor:
        """``(B, H, W)`` uint8: the slot that each pixel comes from; K where it comes from none.

        Raises:
            AttributeError: for blended masks, in which a pixel has several sources.
        """
        return self.form.owners(self.k)

    def masks(self, size: tuple[int, int] | None = None) -> Tensor:
        """``(B, K, H, W)`` float32 masks M, for pictures and tests.

        Args:
            size: height and width; needed where the masks fit any size, and by default the size they are made for.
        """
        size = size or self.form.size
        if size is None:
            raise ValueError("expected a size (height, width), because constant masks have none of their own")
        return self.form.dense(self.k, tuple(size))

    def apply(self, images: Tensor, fill: Tensor | float | None = None, *, noise: bool = False) -> Tensor:
        """Mix anything that has the batch's rows: images, segmentation masks, second views, features.

        Args:
            images: ``(B, C, H, W)``, or any ``(B, ...)`` for constant masks and any ``(B, ..., H, W)`` for the others.
                Any dtype where every pixel has one owner; floating point of at least 16 bits where pixels are blended.
            fill: what to show where no slot is, instead of the mix's own fill; not looked at where every pixel has one.
            noise: whether these are the images that the mix's noise was drawn for, so that it is added to them; a mix
                without noise adds none.

        Returns:
            A new tensor with the shape, dtype, device and memory format of ``images``; differentiable in them, backward
            and forward. Finite values that belong to one source alone are its own bits; where pixels are blended, an
            infinite one spoils its pixel even at weight 0.

            The type of what comes out does not depend on the size of what goes in: an ``Image``, a ``Mask`` or a
            ``Video`` of ``torchvision.tv_tensors`` stays one, so that transforms which follow treat image and mask
            alike. Another subclass of tensors stays one, too; an ``nn.Parameter`` gives a plain tensor.

        Raises:
            ValueError: for another number of rows, another size, integer images where pixels are blended or noise is
                added, images on another device, a fill that does not broadcast to them or that their dtype cannot hold,
                noise of another shape, or ``BoundingBoxes`` or ``KeyPoints``, which masks cannot mix.

        Example:
            >>> from torchvision import tv_tensors
            >>> mix = Mix(torch.tensor([[0, 1], [1, 0]]), Constant(torch.tensor([[0.5, 0.5], [1.0, 0.0]])))
            >>> type(mix.apply(tv_tensors.Image(torch.rand(2, 3, 8, 8)))).__name__
            'Image'
        """
        given = images
        if type(given) is not Tensor:
            images = _plain(given)
        if images.ndim < 2 or len(images) != len(self):
            raise ValueError(f"expected a batch of shape ({len(self)}, ...), received {tuple(images.shape)}")
        if images.device != self.sources.device:
            raise ValueError(f"expected images on {self.sources.device}, where the mix is, received {images.device}")

        def pick(slot: int) -> Tensor:
            if slot == 0 and self.anchored:
                return images
            return _rows_of(images, self.sources[:, slot])

        added = self.noise if noise else None
        if added is not None and (images.shape != added.shape or not images.is_floating_point()):
            raise ValueError(f"expected floating-point images of shape {tuple(added.shape)}, for which noise was "
                             f"drawn, received {tuple(images.shape)} {images.dtype}")
        mixed = self.form.apply(images, self.sources, pick, self.fill if fill is None else fill)
        mixed = mixed if added is None else mixed + added.to(mixed.dtype)
        return mixed if type(given) is Tensor else _like(mixed, given)

    def targets(self, labels: Tensor, num_classes: int | None = None) -> Tensor:
        """Mix labels with the weights: the only place where targets are made.

        Args:
            labels: ``(B,)`` or ``(B, 1)`` class indices of any integer dtype, or ``(B, C)`` probabilities, one-hot or
                several-hot integers or bools, taken as they are (:func:`mixlab.labels.plain_labels`).
            num_classes: C, needed for class indices.

        Returns:
            ``(B, C)`` float32. For class indices, and for probabilities that sum to 1, a row sums to what its weights
            sum to: to 1, but where they are shares of masks that do not sum to 1 at every pixel.

        Raises:
            ValueError: for floating-point labels of one axis, indices outside 0..C-1 of rows that are mixed (seen on
                the CPU, and neither under the transforms of ``torch.func`` nor by a compiler; on an accelerator the
                check would stall every step, and sets are checked when they are loaded), a number of classes that is
                missing or no positive integer, or another number of rows.
        """
        check_classes(num_classes)
        if labels.ndim not in (1, 2) or len(labels) != len(self):
            raise ValueError(
                f"expected labels of shape ({len(self)},) or ({len(self)}, C), received {tuple(labels.shape)}"
            )
        labels = plain_labels(labels, num_classes)
        if labels.ndim == 2:
            if num_classes not in (None, labels.shape[1]):
                raise ValueError(
                    f"expected labels of shape ({len(self)}, {num_classes}) for {num_classes} classes, received "
                    f"{tuple(labels.shape)}"
                )
            return (self.weights[:, :, None] * labels.to(torch.float32)[self.sources]).sum(1)
        if num_classes is None:
            raise ValueError("expected num_classes, because class indices do not tell how many classes there are")
        labels = labels.long()
        classes = labels.take(self.sources)
        targets = torch.zeros(len(self), num_classes, dtype=torch.float32, device=labels.device)
        try:
            # On a CPU torch looks at every index: looking first would cost a fifth of making targets.
            return targets.scatter_add_(1, classes, self.weights)
        except RuntimeError:
            if visible(labels) and not _within(labels, num_classes):
                raise ValueError(
                    f"expected labels in 0..{num_classes - 1}, "
                    f"received values from {int(labels.min())} to {int(labels.max())}"
                ) from None
            raise

    def resize(self, size: tuple[int, int]) -> "Mix":
        """The same mix for images of another height and width, with the shares it has there, and without noise.

        Label weights that were the shares follow them; declared ones stay.

        Raises:
            ValueError: for a size without pixels, where the masks have a size.
        """
        declared = None if torch.equal(self.weights, self.shares) else self.weights
        return Mix.trusted(
            self.sources,
            self.form.resize(self.k, tuple(size)),
            declared,
            self.fill,
            anchored=vars(self).get("anchored"),
        )

    def select(self, selected: Tensor) -> "Mix":
        """This mix in the rows where ``selected`` (a ``(B,)`` bool tensor); the other rows stay themselves.

        Raises:
            ValueError: for anything but one bool for each row.
        """
        if selected.shape != (len(self),) or selected.dtype != torch.bool:
            raise ValueError(
                f"expected a bool tensor of shape ({len(self)},), received {tuple(selected.shape)} {selected.dtype}"
            )
        selected = selected.to(self.sources.device)
        own = torch.arange(len(self), device=self.sources.device)[:, None]
        mix = Mix.trusted(
            torch.where(selected[:, None], self.sources, own),
            self.form.select(selected),
            torch.where(selected[:, None], self.weights, first_slot(self.weights)),
            self.fill,
            anchored=vars(self).get("anchored") or None,  # others may be anchored now
        )
        if self.noise is not None:
            kept = selected.view(-1, *[1] * (self.noise.ndim - 1))
            vars(mix).update(noise=torch.where(kept, self.noise, 0.0))
        return mix

    def to(self, device: torch.device | str) -> "Mix":
        """The same mix on another device."""
        if torch.device(device) == self.sources.device:
            return self
        # Moved, not made anew: an accelerator divides with another last bit, and would have to be waited for to find
        # out whether slot 0 is the row itself.
        known = vars(self) | {"anchored": self.anchored, "form": self.form.to(device)}
        moved = copy(self)
        for name, each in known.items():
            vars(moved)[name] = send(each, device) if isinstance(each, Tensor) else each
        return moved

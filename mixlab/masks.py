"""The masks M of a mix, each kind in the cheapest form that is exact.

Five kinds share one interface. ``Constant``: every pixel is blended alike. ``NestedBoxes`` and ``PastedBoxes``: every
pixel has one owner, given by rectangles pasted in order. ``Owners``: every pixel has one owner, written out.
``Soft``: a weight for every source and pixel, stored small and upsampled. ``Transported``: the same, of images whose
blocks have changed places.

In the three hard kinds slot k of a pixel's owner is a column of ``Mix.sources``; the slot after the last column is
nobody, and shows the fill value.
"""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import lru_cache
from numbers import Real

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.forward_ad import unpack_dual

from mixlab.arrays import array, wrapped

__all__ = ["Constant", "NestedBoxes", "Owners", "PastedBoxes", "Soft", "Transported"]

#: A mask never looks at other rows than this function hands out: slot k -> (B, C, ...) images of that slot.
Pick = Callable[[int], Tensor]

# Same-size integers: numpy knows neither bfloat16 nor the 8-bit floats, and a copy need not know what it copies. There
# are none for complex numbers of 16 bytes, which numpy knows.
_BITS = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
_NUMPY = {torch.bool: bool, torch.uint8: np.uint8, torch.int16: np.int16, torch.int32: np.int32, torch.int64: np.int64}

#: The most sources that an owner map of bytes can name, with one more for nobody.
MOST_SOURCES = 254

# Copying boxes costs a call for each; other ways cost some time for each number. Measured on two CPU cores, a call is
# worth looking up about a thousand numbers, or, for one box alone, calculating with about four thousand. So at 3x32x32
# calls win for two boxes, at 3x224x224 for any sensible K.
_ELEMENTS_PER_BOX = 1024

# How far a row of shares may be from summing to 1: much more than float32 rounds, much less than one shows.
_SUM_TOLERANCE = 1e-3

# Up to this many places a table of intervals is small (a quarter of a megabyte), and quicker than comparing.
_LONGEST_TABLE = 512

# Images so large (from about 3x150x150 on) and their boxes are copied faster by all threads.
_ELEMENTS_FOR_THREADS = 2**16


def _rows(values: Tensor, like: Tensor) -> Tensor:
    """``(B,)`` values shaped to broadcast over the rows of ``like``, in its dtype."""
    return values.to(like.dtype).view(-1, *[1] * (like.ndim - 1))


def _keep_rows(changed: Tensor, selected: Tensor, otherwise: Tensor | int) -> Tensor:
    """``changed`` where ``selected`` (B,), ``otherwise`` in the other rows."""
    return torch.where(selected.view(-1, *[1] * (changed.ndim - 1)), changed, otherwise)


def first_slot(like: Tensor) -> Tensor:
    """Ones in slot 0 of axis 1, zeros in the others."""
    first = torch.zeros_like(like)
    first[:, 0] = 1
    return first


def memory_order(images: Tensor) -> tuple[list[int], list[int]]:
    """The axes of images from the outermost in memory to the innermost, and the permutation that undoes this one.

    What is made in that order and put back lies in memory as the images do: channels last, for one.
    """
    strides, shape = images.stride(), images.shape
    order = list(range(len(shape)))
    if 0 not in strides:  # an expanded axis lies nowhere
        # Of two axes with one stride, one has length 1, and lies inside the other.
        order.sort(key=lambda axis: (-strides[axis], -shape[axis]))
    return order, [order.index(axis) for axis in range(len(shape))]


def _fresh(picked: Tensor, images: Tensor) -> Tensor:
    """What was picked, in memory that may be written to: copied only where it is the images themselves."""
    return picked.clone() if picked is images else picked


def visible(*tensors: Tensor) -> bool:
    """Whether one may look at what some tensors hold: on a CPU, where nobody waits for it, and one batch at a time.

    Under the transforms of ``torch.func`` a tensor may stand for many, and while a compiler traces it holds nothing.
    """
    return not torch.compiler.is_compiling() and all(
        each.device.type == "cpu" and not wrapped(each) for each in tensors
    )


def _followed(*tensors: Tensor) -> bool:
    """Whether what is done to some tensors is followed, so that nothing may be written in place or done to bare bits.

    Derivatives follow it, backward and forward, so do the transforms of ``torch.func``, ``vmap`` among them, and so
    does a compiler, which finds its own way to write in place.
    """
    return torch.compiler.is_compiling() or any(
        (torch.is_grad_enabled() and each.requires_grad) or wrapped(each) or unpack_dual(each).tangent is not None
        for each in tensors
    )


def check_shares(name: str, rows: Tensor) -> None:
    """Raise ValueError unless the numbers in ``(B, K)`` rows are finite, non-negative and sum to 1 in every row."""
    if not rows.numel():
        return
    rows = rows.detach().to(torch.float32)
    least, (low, high) = float(rows.amin()), map(float, rows.sum(1).aminmax())
    # Whatever is not finite fails: comparisons with NaN do, and an infinite number makes an infinite sum.
    if not (0 <= least and 1 - _SUM_TOLERANCE <= low and high <= 1 + _SUM_TOLERANCE):
        raise ValueError(
            f"expected finite, non-negative {name} that sum to 1 in every row, received a least value of "
            f"{least:g} and sums from {low:g} to {high:g}"
        )


def send(tensor: Tensor, device: torch.device | str) -> Tensor:
    """``tensor`` on another device. Nobody waits for an accelerator to take it; what comes from one is waited for."""
    return tensor.to(device, non_blocking=torch.device(device).type != "cpu")


class _Masks:
    """What all kinds of masks share."""

    def to(self, device: torch.device | str):
        """The same masks on another device."""
        moved = {name: send(value, device) for name, value in vars(self).items() if isinstance(value, Tensor)}
        return replace(self, **moved)

    def check(self, k: int) -> None:
        """Raise ValueError where these cannot be the masks of k sources.

        What a tensor holds is looked at only where it is :func:`visible`.
        """


@dataclass(frozen=True, eq=False)
class Constant(_Masks):
    """Every pixel of the mixed image is the same blend of its sources.

    Sums are taken in float32 at least, and rounded to the dtype of the images once. Only for two sources, blended in
    one pass, the coefficient itself is first rounded to that dtype: in bfloat16 by up to 2^-9 of the difference of
    the two images.

    Args:
        coefficients: ``(B, K)`` float32, non-negative, rows summing to 1 (within 1e-3); :class:`mixlab.Mix` looks.

    Example:
        >>> from mixlab import Mix
        >>> mix = Mix(torch.tensor([[0, 1], [1, 0]]), Constant(torch.tensor([[0.75, 0.25], [0.5, 0.5]])))
        >>> mix.apply(torch.tensor([[0.0], [8.0]]))
        tensor([[2.],
                [4.]])
    """

    coefficients: Tensor

    #: Height and width the masks are made for; ``None`` fits any size.
    size = None

    def check(self, k: int) -> None:
        """Raise ValueError where there is not one coefficient for each source, or they are no shares of a picture."""
        if self.coefficients.shape[1:] != (k,):
            raise ValueError(f"expected coefficients of shape (B, {k}), received {tuple(self.coefficients.shape)}")
        if visible(self.coefficients):
            check_shares("coefficients", self.coefficients)

    def shares(self, k: int) -> Tensor:
        """``(B, K)`` float32: the mean of each mask."""
        return self.coefficients.to(torch.float32)

    def apply(self, images: Tensor, sources: Tensor, pick: Pick, fill: Tensor | float) -> Tensor:
        """Blend floating-point images; see :meth:`mixlab.Mix.apply`."""
        k = self.coefficients.shape[1]
        if k == 1:
            # Nothing is blended: images of any dtype stay what they are.
            return _fresh(pick(0), images)
        if not images.is_floating_point():
            raise ValueError(
                f"expected floating-point images, because blending integers would round them; received {images.dtype}"
            )
        if k == 2:
            # One image-sized allocation: the gathered partner becomes the result.
            blended, weight = pick(1), _rows(self.coefficients[:, 0], images)
            return blended.lerp(pick(0), weight) if _followed(images, weight) else blended.lerp_(pick(0), weight)
        # Half-precision sums of many terms would lose digits, so they are taken in float32.
        wide = torch.promote_types(images.dtype, torch.float32)
        weights = self.coefficients.to(wide).view(len(images), k, *[1] * (images.ndim - 1))
        blended = pick(0).to(wide) * weights[:, 0]
        for slot in range(1, k):
            blended = blended.addcmul(pick(slot).to(wide), weights[:, slot])
        return blended.to(images.dtype)

    def dense(self, k: int, size: tuple[int, int]) -> Tensor:
        """``(B, K, H, W)`` float32 masks."""
        return self.coefficients.to(torch.float32)[:, :, None, None].expand(-1, -1, *size)

    def resize(self, k: int, size: tuple[int, int]) -> "Constant":
        """The same masks for images of another size."""
        return self

    def select(self, selected: Tensor) -> "Constant":
        """These masks where ``selected``, slot 0 alone in the other rows."""
        return Constant(_keep_rows(self.coefficients, selected, first_slot(self.coefficients)))


def _check_pixels(size: tuple[int, int]) -> None:
    if min(size) < 1:
        raise ValueError(f"expected images of at least one pixel, received height and width {tuple(size)}")


def _check_size(size: tuple[int, int] | None, images: Tensor) -> None:
    if images.ndim < 3 or tuple(images.shape[-2:]) != tuple(size):
        raise ValueError(
            f"expected images of height and width {tuple(size)}, for which the mix was drawn, received shape "
            f"{tuple(images.shape)}; Mix.resize makes a mix for another size"
        )


def _shown(fill: Tensor | float, images: Tensor) -> Tensor:
    """What is seen where nobody is, in the dtype and on the device of the images."""
    inexact = images.is_floating_point() or images.is_complex()
    # In the images' own precision: a number would become float32 first, also for float64 images.
    fill = torch.as_tensor(fill, dtype=images.dtype if inexact else None)
    if not inexact and not torch.equal(fill.to(images.dtype).to(fill.dtype), fill):
        raise ValueError(f"expected a fill that {images.dtype} can hold, received {fill.tolist()}")
    if fill.ndim > images.ndim or any(a not in (1, b) for a, b in zip(fill.shape[::-1], images.shape[::-1])):
        raise ValueError(
            f"expected a fill that broadcasts to images of shape {tuple(images.shape)}, received shape "
            f"{tuple(fill.shape)}"
        )
    return send(fill.to(images.dtype), images.device)


def _gather(images: Tensor, sources: Tensor, of_owner: Callable[[Tensor], Tensor]) -> Tensor:
    """Every pixel looked up in the row of its owner: one pass, whatever K is.

    ``of_owner`` turns ``(B, K)`` values of the slots into ``(B, H, W)``, that of every pixel's owner.
    """
    if images.is_floating_point() and images.element_size() == 1:  # torch looks up bytes, but no floats of 8 bits
        return _gather(images.view(torch.uint8), sources, of_owner).view(images.dtype)
    order, back = memory_order(images)
    ordered = images.permute(order)

    def of_numbers(values: Tensor) -> Tensor:
        """``(B, K)`` values of the slots, that of every number's owner, in the order of memory."""
        spread = of_owner(values).view(len(images), *[1] * (images.ndim - 3), *images.shape[-2:])
        return spread.expand(images.shape).permute(order)

    dense = images.device.type == "cpu" and order[0] == 0 and ordered.is_contiguous()
    if not dense or not images.numel() or _followed(images):
        return ordered.gather(back[0], of_numbers(sources)).permute(back)
    # Dense memory is one line of numbers, in which a thread finds places faster than rows of many axes.
    line, length = ordered.flatten().resolve_conj().resolve_neg(), ordered[0].numel()
    line = line.view(_BITS.get(line.element_size(), line.dtype))
    if order[-2:] == [images.ndim - 2, images.ndim - 1]:
        # Every channel is looked up in the line from its own first number on, so that all share the places of one.
        places = of_owner(sources * length).flatten(1)
        pixels = places.shape[1]
        places += torch.arange(pixels, device=places.device)
        shape = len(images), length // pixels, pixels
        channels = line.as_strided((*shape[:2], line.numel() - length + pixels), (0, pixels, 1))
        mixed = channels.gather(2, places[:, None].expand(shape))
    else:
        within = torch.arange(length, dtype=_places(images), device=images.device).view(ordered.shape[1:])
        places = of_numbers((sources * length).to(within.dtype)) + within
        mixed = line.index_select(0, places.flatten())
    return mixed.view(images.dtype).view(ordered.shape).permute(back)


def _places(images: Tensor) -> torch.dtype:
    """The smaller of two integers that can number every element from 0 on."""
    return torch.int32 if images.numel() <= 2**31 else torch.int64


def _choose(mask: Tensor, fresh: Tensor, other: Tensor) -> Tensor:
    """``fresh`` where an integer ``mask`` is 1, ``other`` where it is 0; may overwrite ``fresh``."""
    if _followed(fresh, other):
        return torch.where(mask != 0, fresh, other)
    # One allocation, and on a CPU a quarter of the time, since where is not vectorised for a mask of bool. The bits are
    # taken for integers, whose differences wrap around: exact for every value, also for NaN.
    target, other = fresh.view(mask.dtype), other.view(mask.dtype)
    torch.addcmul(other, target.sub_(other), mask, out=target)
    return fresh


def _along(partners: list[int]) -> list[int]:
    """All rows of a batch, most of them just before their partner."""
    order, seen = [], [False] * len(partners)
    for row in range(len(partners)):
        while not seen[row]:
            seen[row] = True
            order.append(row)
            row = partners[row]
    return order


# Where to paste what: a row, the row it is taken from, and top, left, bottom, right.
_Patch = tuple[int, int, list[int]]


def _copy(images: Tensor, mixed: Tensor, patches: Iterable[_Patch]) -> Tensor:
    """``mixed`` with patches of the images copied to it, in order."""
    bits = _BITS.get(images.element_size(), images.dtype)
    target, source = (tensor.detach().view(bits).numpy() for tensor in (mixed, images))
    # Numpy slices in a tenth of the time that torch takes; of large boxes torch copies faster, with all its threads.
    large = images[:1].numel() >= _ELEMENTS_FOR_THREADS
    view, copy = (torch.from_numpy, Tensor.copy_) if large else (np.asarray, np.copyto)
    # All views first: between two copies of large boxes Python would run with cold caches, at a multiple of its cost.
    pieces = [
        (view(target[row, ..., top:bottom, left:right]), view(source[other, ..., top:bottom, left:right]))
        for row, other, (top, left, bottom, right) in patches
        if top < bottom and left < right
    ]
    for into, piece in pieces:
        copy(into, piece)
    return mixed


def _paste(images: Tensor, sources: Tensor, boxes: Tensor, pick: Pick) -> Tensor:
    """Slot 0 of every row, with the row's boxes pasted on it from the rows of the other slots."""
    rows, boxes = sources.tolist(), boxes.tolist()
    if images[:1].numel() < _ELEMENTS_FOR_THREADS:
        others = (zip(others[1:], own) for others, own in zip(rows, boxes))
        patches = ((row, other, box) for row, each in enumerate(others) for other, box in each)
        return _copy(images, _fresh(pick(0), images), patches)
    # Row by row, the whole image first: what is pasted on is in the cache then, and what is pasted mostly comes next.
    whole, order = [0, 0, *images.shape[-2:]], _along([others[1] for others in rows])
    patches = ((row, other, box) for row in order for other, box in zip(rows[row], [whole, *boxes[row]]))
    return _copy(images, torch.empty_like(images), patches)


class _Hard(_Masks):
    """What masks with one owner a pixel share; subclasses have ``owners(k)`` and ``size``."""

    def check(self, k: int) -> None:
        """Raise ValueError where an owner map cannot name k sources."""
        if k > MOST_SOURCES:
            raise ValueError(f"expected at most {MOST_SOURCES} sources, which an owner map can name, received {k}")

    def shares(self, k: int) -> Tensor:
        """``(B, K)`` float32: the exact share of pixels of each slot."""
        owners = self.owners(k).flatten(1)
        counts = torch.stack([(owners == slot).sum(1) for slot in range(k)], dim=1)
        return counts.to(torch.float32) / owners.shape[1]

    def dense(self, k: int, size: tuple[int, int]) -> Tensor:
        """``(B, K, H, W)`` float32 masks of zeros and ones, by nearest neighbour where ``size`` differs."""
        owners = self.resize(k, size).owners(k)
        return torch.stack([owners == slot for slot in range(k)], dim=1).to(torch.float32)

    def resize(self, k: int, size: tuple[int, int]):
        """Masks for images of another size: the owner of a pixel is that of the nearest old pixel."""
        _check_pixels(size)
        if tuple(size) == tuple(self.size):
            return self
        owners = self.owners(k)
        rows, columns = (
            (torch.arange(new, device=owners.device) + 0.5).mul(old / new).long() for old, new in zip(self.size, size)
        )
        return Owners(owners[:, rows][:, :, columns])

    def apply(self, images: Tensor, sources: Tensor, pick: Pick, fill: Tensor | float) -> Tensor:
        """Give every pixel to its owner; see :meth:`mixlab.Mix.apply`."""
        _check_size(self.size, images)
        k = sources.shape[1]
        shape = (len(images), *[1] * (images.ndim - 3), *self.size)
        if k == 1:
            mixed = pick(0)
        elif k == 2 and images.device.type == "cpu" and images.element_size() in _BITS:
            mixed = _choose(self._second(_BITS[images.element_size()]).view(shape), pick(1), pick(0))
        else:
            mixed = _gather(images, sources, self._of_owner)
        if not self.can_fill(k):
            return _fresh(mixed, images)
        # The images come before the fill: the result lies in memory as the first of them does.
        return torch.where(self.owners(k).view(shape) != k, mixed, _shown(fill, images))

    def _of_owner(self, values: Tensor) -> Tensor:
        """``(B, K)`` values of the slots become ``(B, H, W)``: a pixel gets its owner's, and nobody's the last."""
        slots = self.owners(values.shape[1] - 1).flatten(1).long()
        return values.gather(1, slots).view(len(values), *self.size)

    def _second(self, dtype: torch.dtype) -> Tensor:
        """``(B, H, W)`` of an integer dtype: 1 where slot 1 is the owner, 0 elsewhere."""
        return (self.owners(2) == 1).to(dtype)

    def can_fill(self, k: int) -> bool:
        """Whether some pixel may belong to nobody."""
        return True


@dataclass(frozen=True, eq=False)
class Owners(_Hard):
    """Every pixel has one owner.

    Args:
        map: ``(B, H, W)`` uint8, the slot that owns each pixel; K means nobody.

    Raises:
        ValueError: for another shape or dtype, or no pixels.

    Example:
        >>> one_row = Owners(torch.tensor([[[0, 1, 1, 2]]], dtype=torch.uint8))
        >>> one_row.shares(2)  # the last pixel is nobody's
        tensor([[0.2500, 0.5000]])
    """

    map: Tensor

    def __post_init__(self):
        if self.map.ndim != 3 or self.map.dtype != torch.uint8:
            raise ValueError(
                "expected an owner map of shape (B, H, W) and dtype uint8, "
                f"received {tuple(self.map.shape)} {self.map.dtype}"
            )
        _check_pixels(self.size)

    def check(self, k: int) -> None:
        """Raise ValueError where the map names a slot beyond K, or there are too many."""
        super().check(k)
        if visible(self.map) and self.map.numel() and int(self.map.max()) > k:
            raise ValueError(f"expected owners in 0..{k}, since {k} is nobody, received {int(self.map.max())}")

    @property
    def size(self) -> tuple[int, int]:
        """Height and width the masks are made for."""
        return tuple(self.map.shape[-2:])

    def owners(self, k: int) -> Tensor:
        """``(B, H, W)`` uint8 owner map; slots beyond K - 1 are K."""
        return self.map.clamp(max=k)

    def select(self, selected: Tensor) -> "Owners":
        """These masks where ``selected``, slot 0 alone in the other rows."""
        return Owners(_keep_rows(self.map, selected, 0))


def _cells(low: Tensor, high: Tensor, extent: int) -> tuple[Tensor, Tensor]:
    """Cut ``[0, extent)`` at the edges of N intervals: ``(B, N, M)`` which cells each covers, ``(B, M)`` lengths."""
    ends = torch.tensor([0, extent], device=low.device).expand(len(low), 2)
    cuts = torch.cat([low, high, ends], dim=1).sort(dim=1).values
    start, stop = cuts[:, None, :-1], cuts[:, None, 1:]
    return (start >= low[:, :, None]) & (stop <= high[:, :, None]), cuts.diff(dim=1)


@dataclass(frozen=True, eq=False)
class PastedBoxes(_Hard):
    """Slot 0 is the whole image; slot n + 1 is pasted over what lies under box n, in order.

    Args:
        boxes: ``(B, N, 4)`` int64 pixel edges ``top, left, bottom, right`` with ``0 <= top <= bottom <= H`` and
            ``0 <= left <= right <= W``; bottom and right lie outside the box, and an empty box pastes nothing.
        size: height and width ``(H, W)`` of the images, in pixels.

    Raises:
        ValueError: for another shape or dtype, or a size without pixels. Edges are checked by :class:`mixlab.Mix`.

    Example:
        >>> boxes = PastedBoxes(torch.tensor([[[0, 0, 2, 2], [1, 1, 3, 3]]]), size=(3, 3))
        >>> boxes.owners(3)[0]
        tensor([[1, 1, 0],
                [1, 2, 2],
                [0, 2, 2]], dtype=torch.uint8)
    """

    boxes: Tensor
    size: tuple[int, int]

    def __post_init__(self):
        if self.boxes.ndim != 3 or self.boxes.shape[2] != 4 or self.boxes.dtype != torch.int64:
            received = f"{tuple(self.boxes.shape)} {self.boxes.dtype}"
            raise ValueError(f"expected boxes of shape (B, N, 4) and dtype int64, received {received}")
        _check_pixels(self.size)

    def check(self, k: int) -> None:
        """Raise ValueError where a box leaves the image or has its edges exchanged, or there are too many sources."""
        super().check(k)
        if not visible(self.boxes) or not self.boxes.numel():
            return
        least, most = (edges.tolist() for edges in self.boxes.flatten(0, 1).aminmax(dim=0))
        sides = self.boxes[..., 2:] - self.boxes[..., :2]
        if min(least) < 0 or most[2] > self.size[0] or most[3] > self.size[1] or int(sides.min()) < 0:
            raise ValueError(
                f"expected boxes (top, left, bottom, right) within a height and width of {tuple(self.size)}, top <= "
                f"bottom and left <= right, received sides from {int(sides.min())} and edges from {least} to {most}"
            )

    def _inside(self, dtype: torch.dtype = torch.bool) -> tuple[Tensor, Tensor]:
        """Whether each image row ``(B, N, H)`` and each column ``(B, N, W)`` meets each box."""
        (height, width), longest = self.size, max(self.size)
        if longest <= _LONGEST_TABLE and visible(self.boxes):
            before = _before(longest).take(array(self.boxes), axis=0, mode="clip")
            # What comes before one edge, and not before the other, lies between them.
            inside = (before[:, :, 2:] > before[:, :, :2]).astype(_NUMPY[dtype])
            return torch.from_numpy(inside[:, :, 0, :height]), torch.from_numpy(inside[:, :, 1, :width])
        places, boxes = torch.arange(longest, device=self.boxes.device), self.boxes[..., None]
        inside = ((places >= boxes[:, :, :2]) & (places < boxes[:, :, 2:])).to(dtype)
        return inside[:, :, 0, :height], inside[:, :, 1, :width]

    def _second(self, dtype: torch.dtype) -> Tensor:
        """``(B, H, W)`` of an integer dtype: 1 where slot 1 is the owner, 0 elsewhere."""
        if self.boxes.shape[1] != 1:
            return super()._second(dtype)
        rows, columns = self._inside(dtype)
        return rows.mT & columns

    def owners(self, k: int) -> Tensor:
        """``(B, H, W)`` uint8 owner map: the last box that covers a pixel owns it; boxes beyond slot K - 1 are K."""
        rows, columns = self._inside()
        owners = torch.zeros(len(rows), *self.size, dtype=torch.uint8, device=self.boxes.device)
        for n in range(self.boxes.shape[1]):
            owners.masked_fill_(rows[:, n, :, None] & columns[:, n, None, :], min(n + 1, k))
        return owners

    def shares(self, k: int) -> Tensor:
        """``(B, K)`` float32: the exact share of pixels of each slot.

        Box edges cut the image into a few cells, each with one owner: counting cells is exact and costs the same for
        any size of image; only very many boxes make more cells than there are pixels.
        """
        (height, width), boxes = self.size, self.boxes.shape[1]
        if boxes * (2 * boxes + 1) ** 2 > height * width:
            return super().shares(k)
        rows, row_lengths = _cells(self.boxes[:, :, 0], self.boxes[:, :, 2], height)
        columns, column_lengths = _cells(self.boxes[:, :, 1], self.boxes[:, :, 3], width)
        order = torch.arange(1, boxes + 1, device=self.boxes.device)[:, None, None]
        covered = rows[:, :, :, None] & columns[:, :, None, :]
        area = row_lengths[:, :, None] * column_lengths[:, None, :]
        owner = torch.cat([torch.zeros_like(area)[:, None], covered * order], dim=1).amax(1)
        counts = area.new_zeros(len(area), max(k, boxes + 1))
        counts.scatter_add_(1, owner.flatten(1), area.flatten(1))
        return counts[:, :k].to(torch.float32) / (height * width)

    def apply(self, images: Tensor, sources: Tensor, pick: Pick, fill: Tensor | float) -> Tensor:
        """Paste; see :meth:`mixlab.Mix.apply`."""
        k, boxes = sources.shape[1], self.boxes.shape[1]
        worth_copying = boxes > 0 and images[:1].numel() > _ELEMENTS_PER_BOX * (4 if boxes == 1 else boxes)
        if images.device.type != "cpu" or not worth_copying or self.can_fill(k) or _followed(images):
            return super().apply(images, sources, pick, fill)
        _check_size(self.size, images)
        return _paste(images, sources, self.boxes, pick)

    def can_fill(self, k: int) -> bool:
        """Whether some pixel may belong to nobody: only if there is a box beyond the last source."""
        return self.boxes.shape[1] >= k

    def select(self, selected: Tensor) -> "PastedBoxes":
        """These masks where ``selected``, slot 0 alone in the other rows."""
        return replace(self, boxes=_keep_rows(self.boxes, selected, 0))


@lru_cache(maxsize=4)
def _before(extent: int) -> np.ndarray:
    """``(extent + 1, extent)`` uint8: row n is 1 in the first n places. Kept: making it costs more than using it."""
    table = np.tri(extent + 1, extent, -1, dtype=np.uint8)
    table.flags.writeable = False
    return table


def _depths(boxes: Tensor, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """How many of at most 255 boxes each image row and each column meets: ``(B, H)`` and ``(B, W)`` uint8."""
    low, high = boxes.transpose(1, 2).split(2, dim=1)
    # Rows and columns in one pass. Bytes wrap around: 255 is one step down, and sums are exact.
    steps = boxes.new_zeros(len(boxes), 2, max(size) + 1, dtype=torch.uint8)
    up = torch.ones_like(low, dtype=torch.uint8)
    depths = steps.scatter_add_(2, low, up).scatter_add_(2, high, -up).cumsum(2, dtype=torch.uint8)
    return depths[:, 0, : size[0]], depths[:, 1, : size[1]]


class NestedBoxes(PastedBoxes):
    """Boxes of which each lies inside the one before, at most 255: shares and owners have closed forms.

    Args and errors: see :class:`PastedBoxes`.

    Example:
        >>> frames = NestedBoxes(torch.tensor([[[0, 0, 4, 2], [1, 0, 3, 1]]]), size=(4, 4))
        >>> frames.shares(3)  # 8, 6 and 2 of 16 pixels
        tensor([[0.5000, 0.3750, 0.1250]])
    """

    def check(self, k: int) -> None:
        """Raise ValueError where a box leaves the one before, or there are more boxes than a byte can count."""
        super().check(k)
        if self.boxes.shape[1] > 255:
            raise ValueError(f"expected at most 255 nested boxes, received {self.boxes.shape[1]}")
        if not visible(self.boxes) or self.boxes.shape[1] < 2 or not len(self.boxes):
            return
        inward = self.boxes[:, 1:] - self.boxes[:, :-1]
        if int(inward[..., :2].min()) < 0 or int(inward[..., 2:].max()) > 0:
            raise ValueError("expected each box inside the one before it, received others (PastedBoxes takes any)")

    def shares(self, k: int) -> Tensor:
        """``(B, K)`` float32: the exact share of pixels of each slot, from the areas of the boxes."""
        whole, (batch, boxes) = self.size[0] * self.size[1], self.boxes.shape[:2]
        if visible(self.boxes):
            frames = self._frames(array(self.boxes), np.full((batch, boxes + 2), whole))[:, :k]
            return torch.from_numpy((frames / whole).astype(np.float32))
        return self._frames(self.boxes, self.boxes.new_full((batch, boxes + 2), whole))[:, :k].to(torch.float32) / whole

    @staticmethod
    def _frames(boxes: Tensor | np.ndarray, areas: Tensor | np.ndarray) -> Tensor | np.ndarray:
        """``(B, N + 1)`` pixels between each of N boxes and the next, given room for areas that holds the image's."""
        areas[:, 1:-1] = (boxes[:, :, 2] - boxes[:, :, 0]) * (boxes[:, :, 3] - boxes[:, :, 1])
        areas[:, -1] = 0
        return areas[:, :-1] - areas[:, 1:]

    def owners(self, k: int) -> Tensor:
        """``(B, H, W)`` uint8 owner map: how many boxes a pixel's row and its column both meet."""
        rows, columns = _depths(self.boxes, self.size)
        return torch.minimum(rows.clamp(max=k)[:, :, None], columns[:, None, :])

    def _of_owner(self, values: Tensor) -> Tensor:
        batch, k = values.shape
        if k >= self.size[0]:  # there would be more depths to make than rows to copy them to
            return super()._of_owner(values)
        rows, columns = (depths.long().clamp_(max=k - 1) for depths in _depths(self.boxes, self.size))
        # All rows of one depth look alike: of each depth one is made, and copied to where it belongs.
        depth = torch.arange(k, device=values.device)[:, None]
        lines = values.gather(1, torch.minimum(depth, columns[:, None, :]).flatten(1)).view(batch * k, self.size[1])
        first = torch.arange(0, batch * k, k, device=values.device)[:, None]
        return lines.index_select(0, (first + rows).flatten()).view(batch, *self.size)


# How maps grow to images. Torch's "nearest" rounds another way than hard masks do.
_INTERPOLATION = {"nearest": "nearest-exact", "bilinear": "bilinear"}


@dataclass(frozen=True, eq=False)
class Soft(_Masks):
    """A weight for every source and pixel, stored at its own resolution.

    Args:
        maps: ``(B, K, h, w)`` floating point, finite and non-negative; :class:`mixlab.Mix` looks.
        size: height and width of the images, in pixels.
        mode: how maps grow to images: ``"nearest"`` (blocks) or ``"bilinear"`` (smooth), as in
            :func:`torch.nn.functional.interpolate` without aligned corners.

    Raises:
        ValueError: for another shape, dtype or mode, or a size without pixels.

    Example:
        >>> left_to_right = Soft(torch.tensor([[[[1.0, 0.5]], [[0.0, 0.5]]]]), size=(1, 4))
        >>> left_to_right.dense(2, (1, 4))[0, :, 0]
        tensor([[1.0000, 1.0000, 0.5000, 0.5000],
                [0.0000, 0.0000, 0.5000, 0.5000]])
    """

    maps: Tensor
    size: tuple[int, int]
    mode: str = "nearest"

    def __post_init__(self):
        if self.maps.ndim != 4 or not self.maps.is_floating_point():
            received = f"{tuple(self.maps.shape)} {self.maps.dtype}"
            raise ValueError(f"expected floating-point maps of shape (B, K, h, w), received {received}")
        if self.mode not in _INTERPOLATION:
            raise ValueError(f"expected a mode of {sorted(_INTERPOLATION)}, received {self.mode!r}")
        _check_pixels(self.size)

    def check(self, k: int) -> None:
        """Raise ValueError where a map is negative or not finite."""
        if not visible(self.maps) or not self.maps.numel():
            return
        least, most = map(float, self.maps.detach().to(torch.float32).aminmax())
        if not 0 <= least <= most < math.inf:
            raise ValueError(f"expected finite, non-negative maps, received values from {least:g} to {most:g}")

    def _grown(self, size: tuple[int, int]) -> Tensor:
        """``(B, K, H, W)`` upsampled masks in the dtype of the maps: the maps themselves where they have that size."""
        if tuple(size) == tuple(self.maps.shape[-2:]):
            return self.maps
        return F.interpolate(self.maps, size=tuple(size), mode=_INTERPOLATION[self.mode])

    def dense(self, k: int, size: tuple[int, int]) -> Tensor:
        """``(B, K, H, W)`` float32 upsampled masks, in memory of their own; differentiable in the maps."""
        return self._grown(size).to(torch.float32, copy=True)

    def shares(self, k: int) -> Tensor:
        """``(B, K)`` float32: the mean of each mask over the image."""
        return self._grown(self.size).mean((2, 3), dtype=torch.float32)

    def apply(self, images: Tensor, sources: Tensor, pick: Pick, fill: Tensor | float) -> Tensor:
        """Blend floating-point images pixel by pixel; see :meth:`mixlab.Mix.apply`."""
        if not images.is_floating_point():
            raise ValueError(
                f"expected floating-point images, because blending integers would round them; received {images.dtype}"
            )
        _check_size(self.size, images)
        masks = self._grown(self.size).to(images.dtype)
        shape = (len(masks), *[1] * (images.ndim - 3), *self.size)
        # In the order of memory: a product could not tell whether an only channel comes first or last.
        order, back = memory_order(images)
        mixed = sum(
            pick(slot).permute(order) * masks[:, slot].reshape(shape).permute(order) for slot in range(sources.shape[1])
        ).permute(back)
        if isinstance(fill, Real) and fill == 0:
            return mixed
        return mixed + (1 - masks.sum(1)).reshape(shape) * _shown(fill, images)

    def resize(self, k: int, size: tuple[int, int]) -> "Soft":
        """The same maps, upsampled to another size."""
        return replace(self, size=tuple(size))

    def select(self, selected: Tensor) -> "Soft":
        """These masks where ``selected``, slot 0 alone in the other rows."""
        return replace(self, maps=_keep_rows(self.maps, selected, first_slot(self.maps)))


@dataclass(frozen=True, eq=False, kw_only=True)
class Transported(Soft):
    r"""Soft masks over images whose blocks have changed places: :math:`\sum_k M_k \odot T_k\, x_k`.

    Masks and shares are those of the result. A block is as large as a cell of the maps, and blocks and cells are
    numbered row by row.

    Args:
        maps: ``(B, K, h, w)`` and the other arguments: see :class:`Soft`.
        size: height and width of the images, in pixels, multiples of h and w.
        plans: ``(B, K, h * w)`` int64: place p of slot k shows block ``plans[b, k, p]`` of that slot's image, in
            0..h*w-1. A permutation shows every block once.

    Raises:
        ValueError: for another shape or dtype, or sides that the grid does not divide. The numbers of the blocks are
            checked by :class:`mixlab.Mix`.

    Source: Puzzle Mix's transport, formula 3 of the Co-Mixup slides: block i moves to place j where
    :math:`\Pi_{ij} = 1`, so that the picture is :math:`\Pi^\top x`.

    Example:
        >>> from mixlab import Mix
        >>> exchanged = Transported(maps=torch.ones(1, 1, 1, 3), size=(1, 6), plans=torch.tensor([[[2, 0, 1]]]))
        >>> Mix(torch.tensor([[0]]), exchanged).apply(torch.arange(6.0).view(1, 1, 1, 6))
        tensor([[[[4., 5., 0., 1., 2., 3.]]]])
    """

    plans: Tensor

    def __post_init__(self):
        super().__post_init__()
        batch, k, rows, columns = self.maps.shape
        if self.plans.shape != (batch, k, rows * columns) or self.plans.dtype != torch.int64:
            raise ValueError(
                f"expected plans of shape {(batch, k, rows * columns)} and dtype int64, for maps of shape "
                f"{tuple(self.maps.shape)}, received {tuple(self.plans.shape)} {self.plans.dtype}"
            )
        if self.size[0] % rows or self.size[1] % columns:
            raise ValueError(
                f"expected a height and width that a grid of {rows} x {columns} blocks divides, received "
                f"{tuple(self.size)}"
            )

    def check(self, k: int) -> None:
        """Raise ValueError where a map is negative or not finite, or a plan names a block that there is not."""
        super().check(k)
        if not visible(self.plans) or not self.plans.numel():
            return
        least, most = map(int, self.plans.aminmax())
        if not 0 <= least <= most < self.plans.shape[2]:
            raise ValueError(
                f"expected blocks in 0..{self.plans.shape[2] - 1} in the plans, received some from {least} to {most}"
            )

    def apply(self, images: Tensor, sources: Tensor, pick: Pick, fill: Tensor | float) -> Tensor:
        """Move the blocks of every source, then blend; see :meth:`mixlab.Mix.apply`."""
        _check_size(self.size, images)
        return super().apply(images, sources, lambda slot: self._moved(pick(slot), self.plans[:, slot]), fill)

    def _moved(self, images: Tensor, plans: Tensor) -> Tensor:
        """Images of which place p shows block ``plans[b, p]``, in memory laid out as theirs."""
        if visible(plans) and torch.equal(plans, self._still().expand_as(plans)):
            return images  # as in most batches: moving costs as much as blending does, or several times that
        (rows, columns), (height, width) = self.maps.shape[-2:], self.size
        channels = math.prod(images.shape[1:-2])
        blocks = images.reshape(len(images), channels, rows, height // rows, columns, width // columns)
        blocks = blocks.permute(0, 2, 4, 1, 3, 5).flatten(1, 2)
        # One place of one image, whatever it shows: (B, places, channels, block height, block width).
        moved = blocks[torch.arange(len(plans), device=plans.device)[:, None], plans]
        moved = moved.unflatten(1, (rows, columns)).permute(0, 3, 1, 4, 2, 5).reshape(images.shape)
        order, back = memory_order(images)
        return moved.permute(order).contiguous().permute(back)

    def select(self, selected: Tensor) -> "Transported":
        """These masks and plans where ``selected``; slot 0 alone, with every block in its place, in the other rows."""
        maps = _keep_rows(self.maps, selected, first_slot(self.maps))
        return replace(self, maps=maps, plans=_keep_rows(self.plans, selected, self._still().expand_as(self.plans)))

    def _still(self) -> Tensor:
        """``(n,)``: the plan of blocks that stay where they are."""
        return torch.arange(self.plans.shape[2], device=self.plans.device)

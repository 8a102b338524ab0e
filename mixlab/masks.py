"""The masks M of a mix, each kind in the cheapest form that is exact.

Four kinds share one interface. ``Constant``: every pixel is blended alike. ``NestedBoxes`` and ``PastedBoxes``: every
pixel has one owner, given by rectangles pasted in order. ``Owners``: every pixel has one owner, written out.
``Soft``: a weight for every source and pixel, stored small and upsampled.

In the three hard kinds slot k of a pixel's owner is a column of ``Mix.sources``; the slot after the last column is
nobody, and shows the fill value.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["Constant", "NestedBoxes", "Owners", "PastedBoxes", "Soft"]

#: A mask never looks at other rows than this function hands out: slot k -> (B, C, ...) images of that slot.
Pick = Callable[[int], Tensor]

# Same-size integers: numpy knows neither bfloat16 nor the 8-bit floats, and a copy need not know what it copies.
_BITS = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}

# Copying boxes costs a call for each; other ways cost some time for each number. Measured on two CPU cores, a call is
# worth looking up about a thousand numbers, or, for one box alone, calculating with about four thousand. So at 3x32x32
# calls win for two boxes, at 3x224x224 for any sensible K.
_ELEMENTS_PER_BOX = 1024

# Boxes of images so large (from about 3x210x210 on) are copied faster by all threads.
_ELEMENTS_FOR_THREADS = 2**17


def _rows(values: Tensor, like: Tensor) -> Tensor:
    """``(B,)`` values shaped to broadcast over the rows of ``like``, in its dtype."""
    return values.to(like.dtype).view(-1, *[1] * (like.ndim - 1))


def _keep_rows(changed: Tensor, selected: Tensor, otherwise: Tensor | int) -> Tensor:
    """``changed`` where ``selected`` (B,), ``otherwise`` in the other rows."""
    return torch.where(selected.view(-1, *[1] * (changed.ndim - 1)), changed, otherwise)


def _first_slot(like: Tensor) -> Tensor:
    """Ones in slot 0 of axis 1, zeros in the others."""
    first = torch.zeros_like(like)
    first[:, 0] = 1
    return first


def send(tensor: Tensor, device: torch.device | str) -> Tensor:
    """``tensor`` on another device. Nobody waits for an accelerator to take it; what comes from one is waited for."""
    return tensor.to(device, non_blocking=torch.device(device).type != "cpu")


class _Masks:
    """What all kinds of masks share."""

    def to(self, device: torch.device | str):
        """The same masks on another device."""
        moved = {name: send(value, device) for name, value in vars(self).items() if isinstance(value, Tensor)}
        return replace(self, **moved)


@dataclass(frozen=True, eq=False)
class Constant(_Masks):
    """Every pixel of the mixed image is the same blend of its sources.

    Args:
        coefficients: ``(B, K)`` float32, non-negative, rows summing to 1.
    """

    coefficients: Tensor

    #: Height and width the masks are made for; ``None`` fits any size.
    size = None

    def shares(self, k: int) -> Tensor:
        """``(B, K)`` float32: the mean of each mask."""
        return self.coefficients

    def apply(self, images: Tensor, sources: Tensor, pick: Pick, fill: Tensor) -> Tensor:
        """Blend floating-point images; see :meth:`mixlab.Mix.apply`."""
        k = self.coefficients.shape[1]
        if k == 1:
            # Nothing is blended: images of any dtype stay what they are.
            return pick(0).clone()
        if not images.is_floating_point():
            raise ValueError(
                f"expected floating-point images, because blending integers would round them; received {images.dtype}"
            )
        if k == 2:
            # One image-sized allocation: the gathered partner becomes the result.
            blended, weight = pick(1), _rows(self.coefficients[:, 0], images)
            in_place = not (torch.is_grad_enabled() and (images.requires_grad or weight.requires_grad))
            return blended.lerp_(pick(0), weight) if in_place else blended.lerp(pick(0), weight)
        # Half-precision sums of many terms would lose digits, so they are taken in float32.
        wide = torch.promote_types(images.dtype, torch.float32)
        weights = self.coefficients.to(wide).view(len(images), k, *[1] * (images.ndim - 1))
        blended = pick(0).to(wide) * weights[:, 0]
        for slot in range(1, k):
            blended = blended.addcmul(pick(slot).to(wide), weights[:, slot])
        return blended.to(images.dtype)

    def dense(self, k: int, size: tuple[int, int]) -> Tensor:
        """``(B, K, H, W)`` float32 masks."""
        return self.coefficients[:, :, None, None].expand(-1, -1, *size)

    def resize(self, k: int, size: tuple[int, int]) -> "Constant":
        """The same masks for images of another size."""
        return self

    def select(self, selected: Tensor) -> "Constant":
        """These masks where ``selected``, slot 0 alone in the other rows."""
        return Constant(_keep_rows(self.coefficients, selected, _first_slot(self.coefficients)))


def _check_size(size: tuple[int, int] | None, images: Tensor) -> None:
    if images.ndim < 3 or tuple(images.shape[-2:]) != tuple(size):
        raise ValueError(
            f"expected images of height and width {tuple(size)}, for which the mix was drawn, received shape "
            f"{tuple(images.shape)}; Mix.resize makes a mix for another size"
        )


def _gather(images: Tensor, sources: Tensor, owners: Tensor) -> Tensor:
    """Every pixel looked up in the row of its owner: one pass, whatever K is."""
    slots = owners.flatten(1).long().clamp_(max=sources.shape[1] - 1)
    rows = sources.gather(1, slots).view(owners.shape)
    # Gathered in the order the images lie in memory, so that channels_last stays channels_last. (One channel is both.)
    if not images.is_contiguous() and images.ndim == 4 and images.is_contiguous(memory_format=torch.channels_last):
        last = images.permute(0, 2, 3, 1)
        return last.gather(0, rows.permute(0, 2, 3, 1).expand(last.shape)).permute(0, 3, 1, 2)
    return images.gather(0, rows.expand(images.shape))


def _choose(mask: Tensor, fresh: Tensor, other: Tensor) -> Tensor:
    """``fresh`` where an integer ``mask`` is 1, ``other`` where it is 0; may overwrite ``fresh``."""
    if torch.is_grad_enabled() and (fresh.requires_grad or other.requires_grad):
        return torch.where(mask != 0, fresh, other)
    # One allocation, and on a CPU a quarter of the time, since where is not vectorised for a mask of bool. The bits are
    # taken for integers, whose differences wrap around: exact for every value, also for NaN.
    target, other = fresh.view(mask.dtype), other.view(mask.dtype)
    torch.addcmul(other, target.sub_(other), mask, out=target)
    return fresh


def _paste(images: Tensor, sources: Tensor, boxes: Tensor, below: Tensor) -> Tensor:
    """A copy of ``below``, slot 0 of every row, with the row's boxes pasted on it from the rows of the other slots."""
    mixed = below.clone() if below is images else below
    target, source = mixed.detach(), images.detach()
    if images[:1].numel() < _ELEMENTS_FOR_THREADS:
        # numpy slices in a third of the time that torch takes, but copies with one thread.
        target, source = (tensor.view(_BITS[images.element_size()]).numpy() for tensor in (target, source))
    for row, (others, edges) in enumerate(zip(sources[:, 1:].tolist(), boxes.tolist())):
        for other, (top, left, bottom, right) in zip(others, edges):
            target[row, ..., top:bottom, left:right] = source[other, ..., top:bottom, left:right]
    return mixed


class _Hard(_Masks):
    """What masks with one owner a pixel share; subclasses have ``owners(k)`` and ``size``."""

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
        if tuple(size) == tuple(self.size):
            return self
        owners = self.owners(k)
        rows, columns = (
            (torch.arange(new, device=owners.device) + 0.5).mul(old / new).long() for old, new in zip(self.size, size)
        )
        return Owners(owners[:, rows][:, :, columns])

    def apply(self, images: Tensor, sources: Tensor, pick: Pick, fill: Tensor) -> Tensor:
        """Give every pixel to its owner; see :meth:`mixlab.Mix.apply`."""
        _check_size(self.size, images)
        k = sources.shape[1]
        shape = (len(images), *[1] * (images.ndim - 3), *self.size)
        if k == 1:
            mixed = pick(0).clone()
        elif k == 2 and images.device.type == "cpu":
            mixed = _choose(self._second(_BITS[images.element_size()]).view(shape), pick(1), pick(0))
        else:
            mixed = _gather(images, sources, self.owners(k).view(shape))
        return torch.where(self.owners(k).view(shape) == k, fill.to(mixed.dtype), mixed) if self.can_fill(k) else mixed

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
        ValueError: for another shape or dtype.
    """

    map: Tensor

    def __post_init__(self):
        if self.map.ndim != 3 or self.map.dtype != torch.uint8:
            raise ValueError(
                "expected an owner map of shape (B, H, W) and dtype uint8, "
                f"received {tuple(self.map.shape)} {self.map.dtype}"
            )

    @property
    def size(self) -> tuple[int, int]:
        """Height and width the masks are made for."""
        return tuple(self.map.shape[-2:])

    def owners(self, k: int) -> Tensor:
        """``(B, H, W)`` uint8 owner map."""
        return self.map

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
    """

    boxes: Tensor
    size: tuple[int, int]

    def _inside(self) -> tuple[Tensor, Tensor]:
        """Whether each image row ``(B, N, H)`` and each column ``(B, N, W)`` meets each box."""
        (height, width), device = self.size, self.boxes.device
        top, left, bottom, right = self.boxes.unsqueeze(-1).unbind(2)
        row, column = torch.arange(height, device=device), torch.arange(width, device=device)
        return (row >= top) & (row < bottom), (column >= left) & (column < right)

    def _second(self, dtype: torch.dtype) -> Tensor:
        """``(B, H, W)`` of an integer dtype: 1 where slot 1 is the owner, 0 elsewhere."""
        if self.boxes.shape[1] != 1:
            return super()._second(dtype)
        rows, columns = (inside[:, 0].to(dtype) for inside in self._inside())
        return rows[:, :, None] & columns[:, None, :]

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

    def apply(self, images: Tensor, sources: Tensor, pick: Pick, fill: Tensor) -> Tensor:
        """Paste; see :meth:`mixlab.Mix.apply`."""
        k, boxes = sources.shape[1], self.boxes.shape[1]
        needs_gradient = torch.is_grad_enabled() and images.requires_grad
        worth_copying = images[:1].numel() > _ELEMENTS_PER_BOX * (4 if boxes == 1 else boxes)
        if images.device.type != "cpu" or needs_gradient or not worth_copying or self.can_fill(k):
            return super().apply(images, sources, pick, fill)
        _check_size(self.size, images)
        return _paste(images, sources, self.boxes, pick(0))

    def can_fill(self, k: int) -> bool:
        """Whether some pixel may belong to nobody: only if there is a box beyond the last source."""
        return self.boxes.shape[1] >= k

    def select(self, selected: Tensor) -> "PastedBoxes":
        """These masks where ``selected``, slot 0 alone in the other rows."""
        return replace(self, boxes=_keep_rows(self.boxes, selected, 0))


class NestedBoxes(PastedBoxes):
    """Boxes of which each lies inside the one before: shares and owners have closed forms, for any number of boxes."""

    def shares(self, k: int) -> Tensor:
        """``(B, K)`` float32: the exact share of pixels of each slot, from the areas of the boxes."""
        whole = self.size[0] * self.size[1]
        height, width = (self.boxes[:, :, 2:] - self.boxes[:, :, :2]).unbind(2)
        outermost, beyond = height.new_full((len(height), 1), whole), height.new_zeros(len(height), 1)
        areas = torch.cat([outermost, height * width, beyond], dim=1)
        return (areas[:, :-1] - areas[:, 1:])[:, :k].to(torch.float32) / whole

    def owners(self, k: int) -> Tensor:
        """``(B, H, W)`` uint8 owner map: how many boxes a pixel's row and its column both meet."""
        rows, columns = (inside.sum(1, dtype=torch.uint8) for inside in self._inside())
        return torch.minimum(rows.clamp_(max=k)[:, :, None], columns[:, None, :])


@dataclass(frozen=True, eq=False)
class Soft(_Masks):
    """A weight for every source and pixel, stored at its own resolution.

    Args:
        maps: ``(B, K, h, w)`` floating point, non-negative.
        size: height and width of the images, in pixels.
        mode: how maps grow to images: ``"nearest"`` (blocks) or ``"bilinear"`` (smooth), as in
            :func:`torch.nn.functional.interpolate` without aligned corners.
    """

    maps: Tensor
    size: tuple[int, int]
    mode: str = "nearest"

    def dense(self, k: int, size: tuple[int, int]) -> Tensor:
        """``(B, K, H, W)`` upsampled masks; differentiable in the maps."""
        if tuple(size) == tuple(self.maps.shape[-2:]):
            return self.maps
        mode = "nearest-exact" if self.mode == "nearest" else self.mode
        return F.interpolate(self.maps, size=tuple(size), mode=mode)

    def shares(self, k: int) -> Tensor:
        """``(B, K)`` float32: the mean of each mask over the image."""
        return self.dense(k, self.size).mean((2, 3), dtype=torch.float32)

    def apply(self, images: Tensor, sources: Tensor, pick: Pick, fill: Tensor) -> Tensor:
        """Blend floating-point images pixel by pixel; see :meth:`mixlab.Mix.apply`."""
        if not images.is_floating_point():
            raise ValueError(
                f"expected floating-point images, because blending integers would round them; received {images.dtype}"
            )
        _check_size(self.size, images)
        masks = self.dense(sources.shape[1], self.size).to(images.dtype)
        shape = (len(masks), *[1] * (images.ndim - 3), *self.size)
        mixed = sum(pick(slot) * masks[:, slot].reshape(shape) for slot in range(sources.shape[1]))
        return mixed + (1 - masks.sum(1)).reshape(shape) * fill.to(images.dtype) if fill.any() else mixed

    def resize(self, k: int, size: tuple[int, int]) -> "Soft":
        """The same maps, upsampled to another size."""
        return replace(self, size=tuple(size))

    def select(self, selected: Tensor) -> "Soft":
        """These masks where ``selected``, slot 0 alone in the other rows."""
        return replace(self, maps=_keep_rows(self.maps, selected, _first_slot(self.maps)))

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

# Copying boxes costs a call for each, gathering pixels costs a look-up for each. Measured on two CPU cores, a call is
# worth about a thousand look-ups (at 3x32x32 boxes win for one box a row, at 3x224x224 for any number up to 100).
_ELEMENTS_PER_BOX = 1024


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


@dataclass(frozen=True, eq=False)
class Constant:
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
        if not images.is_floating_point():
            raise ValueError(
                f"expected floating-point images, because blending integers would round them; received {images.dtype}"
            )
        k = self.coefficients.shape[1]
        if k == 1:
            return pick(0).clone()
        if k == 2:
            # One image-sized allocation: the gathered partner becomes the result.
            blended, weight = images.index_select(0, sources[:, 1]), _rows(self.coefficients[:, 0], images)
            in_place = not (torch.is_grad_enabled() and (images.requires_grad or weight.requires_grad))
            return blended.lerp_(pick(0), weight) if in_place else blended.lerp(pick(0), weight)
        # Half-precision sums of many terms would lose digits, so they are taken in float32.
        wide = torch.promote_types(images.dtype, torch.float32)
        blended = sum(pick(slot).to(wide) * _rows(self.coefficients[:, slot], images.to(wide)) for slot in range(k))
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

    def to(self, device: torch.device | str) -> "Constant":
        """The same masks on another device."""
        return Constant(self.coefficients.to(device))


def _check_size(size: tuple[int, int] | None, images: Tensor) -> None:
    if images.ndim < 3 or tuple(images.shape[-2:]) != tuple(size):
        raise ValueError(
            f"expected images of height and width {tuple(size)}, for which the mix was drawn, received shape "
            f"{tuple(images.shape)}; Mix.resize makes a mix for another size"
        )


class _Hard:
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
        """Gather every pixel from its owner; see :meth:`mixlab.Mix.apply`."""
        _check_size(self.size, images)
        k = sources.shape[1]
        owners = self.owners(k)
        between = [1] * (images.ndim - 3)
        owner_row = sources.gather(1, owners.flatten(1).long().clamp_(max=k - 1))
        # Gathered in the order the images lie in memory, so that channels_last stays channels_last.
        if images.ndim == 4 and images.is_contiguous(memory_format=torch.channels_last):
            last = images.permute(0, 2, 3, 1)
            mixed = last.gather(0, owner_row.view(*owners.shape, 1).expand(last.shape)).permute(0, 3, 1, 2)
        else:
            index = owner_row.view(len(owners), *between, *owners.shape[1:])
            mixed = images.gather(0, index.expand(images.shape))
        return self._fill(mixed, owners, k, fill)

    def _fill(self, mixed: Tensor, owners: Tensor, k: int, fill: Tensor) -> Tensor:
        nobody = owners.view(len(owners), *[1] * (mixed.ndim - 3), *owners.shape[1:]) == k
        return torch.where(nobody, fill.to(mixed.dtype), mixed) if self.can_fill(k) else mixed

    def can_fill(self, k: int) -> bool:
        """Whether some pixel may belong to nobody."""
        return True


@dataclass(frozen=True, eq=False)
class Owners(_Hard):
    """Every pixel has one owner.

    Args:
        map: ``(B, H, W)`` uint8, the slot that owns each pixel; K means nobody.
    """

    map: Tensor

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

    def to(self, device: torch.device | str) -> "Owners":
        """The same masks on another device."""
        return Owners(self.map.to(device))


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

    def owners(self, k: int) -> Tensor:
        """``(B, H, W)`` uint8 owner map: the last box that covers a pixel owns it."""
        rows, columns = self._inside()
        owners = torch.zeros(len(rows), *self.size, dtype=torch.uint8, device=self.boxes.device)
        for n in range(self.boxes.shape[1]):
            owners.masked_fill_(rows[:, n, :, None] & columns[:, n, None, :], n + 1)
        return owners

    def apply(self, images: Tensor, sources: Tensor, pick: Pick, fill: Tensor) -> Tensor:
        """Paste; see :meth:`mixlab.Mix.apply`."""
        _check_size(self.size, images)
        boxes = self.boxes.shape[1]
        worth_copying = images[:1].numel() > _ELEMENTS_PER_BOX * boxes
        if images.device.type != "cpu" or images.requires_grad or not worth_copying or len(images) == 0:
            return super().apply(images, sources, pick, fill)
        k = sources.shape[1]
        mixed = pick(0).clone()
        bits = _BITS[images.element_size()]
        target, source = mixed.view(bits).numpy(), images.detach().view(bits).numpy()
        for row, (row_boxes, row_sources) in enumerate(zip(self.boxes.tolist(), sources.tolist())):
            for slot, (top, left, bottom, right) in enumerate(row_boxes[: k - 1], start=1):
                if top < bottom and left < right:
                    target[row, ..., top:bottom, left:right] = source[row_sources[slot], ..., top:bottom, left:right]
        return self._fill(mixed, self.owners(k), k, fill) if self.can_fill(k) else mixed

    def can_fill(self, k: int) -> bool:
        """Whether some pixel may belong to nobody: only if there is a box beyond the last source."""
        return self.boxes.shape[1] >= k

    def select(self, selected: Tensor) -> "PastedBoxes":
        """These masks where ``selected``, slot 0 alone in the other rows."""
        return replace(self, boxes=_keep_rows(self.boxes, selected, 0))

    def to(self, device: torch.device | str) -> "PastedBoxes":
        """The same masks on another device."""
        return replace(self, boxes=self.boxes.to(device))


class NestedBoxes(PastedBoxes):
    """Boxes of which each lies inside the one before: shares and owners have closed forms, for any number of boxes."""

    def shares(self, k: int) -> Tensor:
        """``(B, K)`` float32: the exact share of pixels of each slot, from the areas of the boxes."""
        top, left, bottom, right = self.boxes.unbind(2)
        area = (bottom - top) * (right - left)
        whole = torch.full_like(area[:, :1], self.size[0] * self.size[1])
        edges = torch.cat([whole, area, torch.zeros_like(whole)], dim=1)
        return ((edges[:, :-1] - edges[:, 1:]).to(torch.float32) / (self.size[0] * self.size[1]))[:, :k]

    def owners(self, k: int) -> Tensor:
        """``(B, H, W)`` uint8 owner map: how many boxes a pixel's row and its column both meet."""
        rows, columns = (inside.sum(1, dtype=torch.uint8) for inside in self._inside())
        return torch.minimum(rows[:, :, None], columns[:, None, :])


@dataclass(frozen=True, eq=False)
class Soft:
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

    def to(self, device: torch.device | str) -> "Soft":
        """The same masks on another device."""
        return replace(self, maps=self.maps.to(device))

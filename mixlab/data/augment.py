"""Augmentation of a whole batch at once, on the device where it lies: no loop over pictures, no PIL."""

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["AUGMENTATIONS", "crop", "flip", "normalise"]

PADDING = 4


def _draw(high: int, count: int, like: Tensor, generator: torch.Generator) -> Tensor:
    """Draw integers 0..high-1 where the generator lives, so that every device augments alike."""
    draws = torch.randint(high, (count, len(like)), generator=generator, device=generator.device)
    return draws.to(like.device, non_blocking=True)


def crop(images: Tensor, generator: torch.Generator, *, padding: int = PADDING) -> Tensor:
    """Pad every picture with black and cut a window of the old size out at a random place.

    Args:
        images: (B, C, H, W), any dtype.
        generator: draws the two offsets of every row uniformly from 0..2·padding.
        padding: pixels added on each side.

    Returns:
        A new tensor of the same shape and dtype.

    Example:
        >>> images = torch.ones(2, 3, 8, 8, dtype=torch.uint8)
        >>> crop(images, torch.Generator().manual_seed(0)).shape
        torch.Size([2, 3, 8, 8])
    """
    height, width = images.shape[-2:]
    down, right = _draw(2 * padding + 1, 2, images, generator)
    # A view of every window; only the chosen ones are copied.
    windows = F.pad(images, (padding,) * 4).unfold(2, height, 1).unfold(3, width, 1)
    return windows[torch.arange(len(images), device=images.device), :, down, right]


def flip(images: Tensor, generator: torch.Generator) -> Tensor:
    """Mirror each picture (B, C, H, W) left to right with probability one half."""
    mirrored = _draw(2, 1, images, generator)[0].bool()
    return torch.where(mirrored.view(-1, 1, 1, 1), images.flip(-1), images)


# What `Loader` may be asked for by name; "crop-flip" is the recipe of the CIFAR papers, "crop2-flip" moves pictures by
# two pixels in place of four: short runs on few images are then long enough to fit them.
AUGMENTATIONS = {
    "none": lambda images, generator: images,
    "crop": crop,
    "flip": flip,
    "crop-flip": lambda images, generator: flip(crop(images, generator), generator),
    "crop2-flip": lambda images, generator: flip(crop(images, generator, padding=2), generator),
}


def normalise(images: Tensor, mean: tuple[float, ...], std: tuple[float, ...]) -> Tensor:
    """Turn uint8 pictures into float32 ones: (value / 255 - mean) / std for every channel.

    Args:
        images: (B, C, H, W) uint8.
        mean: of every channel, in units where white is 1.
        std: standard deviation of every channel, in the same units.

    Raises:
        ValueError: for another dtype, another number of channels, or a standard deviation that is not positive.

    Example:
        >>> normalise(torch.full((1, 1, 1, 1), 255, dtype=torch.uint8), (0.5,), (0.25,)).item()
        2.0
    """
    if images.dtype != torch.uint8:
        raise ValueError(f"expected uint8 pictures in 0..255, received {images.dtype}")
    if len(mean) != images.shape[1] or len(std) != images.shape[1]:
        raise ValueError(
            f"expected mean and std of {images.shape[1]} channels, received {len(mean)} and {len(std)}"
        )
    if not min(std) > 0:
        raise ValueError(f"expected positive standard deviations, received {tuple(std)}")
    means, deviations = (torch.tensor(values, dtype=torch.float64).view(-1, 1, 1) for values in (mean, std))
    scale, shift = 1 / (255 * deviations), -means / deviations
    # Without non_blocking, the host would wait for everything that a GPU still has to do.
    place = {"device": images.device, "dtype": torch.float32, "non_blocking": True}
    return images.to(torch.float32).mul_(scale.to(**place)).add_(shift.to(**place))

"""Test-time augmentation: the predictive distribution over shifted and mirrored views of an image."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mixlab.checks import whole
from mixlab.data.augment import PADDING, normalise
from mixlab.models import inference

__all__ = ["view_predictive"]


def view_predictive(
    model: nn.Module,
    images: Tensor,
    *,
    mean: tuple[float, ...],
    std: tuple[float, ...],
    draws: int,
    generator: torch.Generator,
    padding: int = PADDING,
    batch_size: int = 500,
) -> Tensor:
    """Average the softmax over views: padded with black, cut out at a random place, mirrored half of the time.

    The law is that of the training augmentation ``"crop-flip"``, but a view is drawn once and taken of all images, so
    that neither batch size nor order plays a part.

    Args:
        model: images (B, C, H, W) to logits (B, classes); put into evaluation mode for the call.
        images: ``(N, C, H, W)`` uint8.
        mean, std: per channel, of images scaled to [0, 1].
        draws: number of views.
        generator: source of randomness, a CPU one.
        padding: largest shift, in pixels.
        batch_size: images at a time.

    Returns:
        ``(N, classes)`` float64 probabilities on the model's device.

    Raises:
        ValueError: for less than one draw.

    Example:
        >>> images = torch.full((2, 1, 4, 4), 255, dtype=torch.uint8)
        >>> g = torch.Generator().manual_seed(0)
        >>> view_predictive(nn.Flatten(), images, mean=(0.0,), std=(1.0,), draws=3, generator=g, padding=0)[0, :2]
        tensor([0.0625, 0.0625], dtype=torch.float64)
    """
    if not whole(draws) or draws < 1:
        raise ValueError(f"expected at least one draw, a whole number, received {draws!r}")
    shifts = torch.randint(2 * padding + 1, (draws, 2), generator=generator).tolist()
    mirrored = torch.randint(2, (draws,), generator=generator).bool().tolist()
    device = next((parameter.device for parameter in model.parameters()), images.device)
    with inference(model):
        parts = [
            sum(_probabilities(model, _view(batch.to(device), *shift, mirror, padding), mean, std)
                for shift, mirror in zip(shifts, mirrored))
            for batch in images.split(batch_size)
        ]
    return torch.cat(parts) / draws


def _view(images: Tensor, down: int, right: int, mirror: bool, padding: int) -> Tensor:
    height, width = images.shape[-2:]
    window = F.pad(images, (padding,) * 4)[..., down : down + height, right : right + width]
    return window.flip(-1) if mirror else window


def _probabilities(model: nn.Module, images: Tensor, mean, std) -> Tensor:
    return model(normalise(images, mean, std)).double().softmax(1)

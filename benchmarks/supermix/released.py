"""What mixlab's SuperMix is measured against: the loop that its authors released, written from a description of it.

Every iteration takes the whole batch through the network three times: forward and backward for a step, and forward
again to see who is done. Images that are done stand still, and are paid for. The batch stops when no more than a
tolerated part of it is left, by default 70 %, and what is left then is thrown away. The images of a row are neighbours
in the batch; nobody asks whether the network sees different classes in them. Where it does not, fewer than K entries of
the target are above 0, any class fills the gap among its K largest, and the row is hardly ever done.

What else costs the released code time and changes no answer is left out: gradients of the network's weights, graphs of
passes whose gradients nobody asks for, labels that are made image by image.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["KERNEL", "Released", "neighbours", "solve"]

#: The filter of one side at σ = 1: five taps of a normal density, with the sum 1.
KERNEL = torch.softmax(-torch.arange(-2.0, 3.0).square() / 2, 0)


class Released(NamedTuple):
    """What the loop ends with."""

    images: Tensor  #: (B, C, H, W), of which those of `success` are kept
    masks: Tensor  #: (B, K, H, W)
    success: Tensor  #: (B,) bool
    iterations: int  #: of the batch; every image pays all of them


def neighbours(batch: int, k: int) -> Tensor:
    """The rows that are mixed, (B, K): a row and those behind it, round the end of the batch."""
    return (torch.arange(batch)[:, None] + torch.arange(k)) % batch


def solve(network, images: Tensor, ratios: Tensor, *, sources: Tensor | None = None, side: int = 8,
          sparsity: float = 25.0, tolerance: float = 0.7, max_iter: int = 50) -> Released:
    """Mix a batch.

    Args:
        network: maps images to logits, frozen and in evaluation mode.
        images: (B, C, H, W), as the network wants them.
        ratios: (B, K), the share of every image in the target.
        sources: (B, K) rows; `neighbours` where None.
        side: of the masks that are optimised.
        sparsity: λ_s.
        tolerance: which part of the batch may be left.
        max_iter: most iterations.
    """
    batch, k = ratios.shape
    sources = neighbours(batch, k) if sources is None else sources
    parts = images[sources]
    with torch.no_grad():
        outputs = network(images)
    target = torch.zeros_like(outputs).scatter_add_(1, outputs.argmax(1)[sources], ratios.to(outputs))
    wanted = _top(target, k)
    logits = torch.zeros(batch, k, side, side)
    done = torch.zeros(batch, dtype=torch.bool)
    iterations = 0
    while iterations < max_iter and ((~done).sum() > tolerance * batch or not iterations):
        logits.requires_grad_()
        masks, mixed = _mixed(logits, parts)
        divergence = F.kl_div(network(mixed).log_softmax(1), target, reduction="none").sum(1)
        loss = divergence + sparsity * (masks * (1 - masks)).mean((1, 2, 3))
        (gradient,) = torch.autograd.grad(loss[~done].sum(), logits)
        smooth = _smooth(gradient)
        with torch.no_grad():
            rate = loss / ((gradient * smooth).sum((1, 2, 3)) + 1e-10)
            step = rate.clamp(1e-4, 2000)[:, None, None, None] * smooth
            logits = torch.where(done[:, None, None, None], logits, logits - step)
            masks, mixed = _mixed(logits, parts)
            done = done | (_top(network(mixed), k) == wanted).all(1)
        iterations += 1
    return Released(mixed, masks, done, iterations)


def _mixed(logits: Tensor, parts: Tensor) -> tuple[Tensor, Tensor]:
    """Masks of the images' size, and the sum of the parts under them."""
    shares = F.interpolate(logits, size=parts.shape[-2:], mode="bilinear", align_corners=False).sigmoid()
    masks = shares / shares.sum(1, keepdim=True)
    return masks, (masks[:, :, None] * parts).sum(1)


def _smooth(gradient: Tensor) -> Tensor:
    """Every mask's gradient under the filter, with zeros around it."""
    flat = gradient.flatten(0, 1)[:, None]
    rows = F.conv2d(flat, KERNEL.view(1, 1, -1, 1), padding=(len(KERNEL) // 2, 0))
    return F.conv2d(rows, KERNEL.view(1, 1, 1, -1), padding=(0, len(KERNEL) // 2)).view_as(gradient)


def _top(values: Tensor, k: int) -> Tensor:
    """The k classes with the largest values, (B, k), in ascending order."""
    return values.topk(k, dim=1).indices.sort(1).values

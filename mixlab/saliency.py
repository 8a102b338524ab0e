r"""Saliency: how much every pixel matters to a network that is being trained.

Puzzle Mix and Co-Mixup take it from the gradient of the cross-entropy in the image,

.. math:: s_{ij} = \sqrt{\tfrac1C \sum_c g_{cij}^2}, \qquad g = \nabla_x\, \mathrm{CE}(f(x), y),

cut it into b x b blocks, and scale it to a sum of 1 for every image. Only the shape of a map matters then, neither how
large the loss was nor how large the batch.

**Where saliency is the same everywhere.** A map of zeros (a network that ignores its input, a loss that is exactly
zero) becomes uniform, like a constant one. Puzzle Mix then has no place that it would rather keep. Without its data
term, what is left of its objective (label smoothness and prior) wants one value of the mask everywhere, the likeliest
under 2z ~ Binomial(2, λ). That is ½ where λ lies between 1/3 and 2/3, and 0 or 1 elsewhere. So with λ ~ U(0, 1) two
rows in three show one image alone, and one in three is a blend of halves.
"""

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from mixlab.checks import whole
from mixlab.labels import plain_labels
from mixlab.masks import visible
from mixlab.models.logits import as_logits

__all__ = ["block_saliency", "gradient_saliency", "input_gradient", "input_saliency", "smooth_random_saliency"]


def gradient_saliency(gradient: Tensor) -> Tensor:
    """The root of the mean squared gradient over the channels.

    Args:
        gradient: ``(B, C, H, W)`` floating point, of some loss in the images.

    Returns:
        ``(B, H, W)`` float32 (float64 where the gradient is), >= 0, in the unit of the gradient; no part of a graph.

    Raises:
        ValueError: for another shape or dtype.

    Source: the public code of Puzzle Mix and Co-Mixup, which smooths nothing.

    Example:
        >>> gradient_saliency(torch.tensor([7.0, -1.0]).view(1, 2, 1, 1))
        tensor([[[5.]]])
    """
    if gradient.ndim != 4 or not gradient.is_floating_point():
        raise ValueError("expected a floating-point gradient of shape (B, C, H, W), received "
                         f"{tuple(gradient.shape)} {gradient.dtype}")
    # In float64: where the network is sure of an image the gradient is so small that its square would be 0 in float32.
    lengths = torch.linalg.vector_norm(gradient.detach(), dim=1, dtype=torch.float64) / gradient.shape[1] ** 0.5
    return lengths.to(torch.promote_types(gradient.dtype, torch.float32))


def input_saliency(model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    """How much every pixel matters to a network as it is.

    A training step has its saliency from :class:`mixlab.risk.SaliencyRisk`, which may train on the same pass.

    Args:
        model, images, labels: as of :func:`input_gradient`.

    Returns:
        ``(B, H, W)`` float32 (float64 where the images are), >= 0: :func:`gradient_saliency` of
        :func:`input_gradient`.

    Raises:
        ValueError: for images or labels of another shape or dtype, or class indices outside the classes (seen on a CPU
            only).

    Example:
        >>> from torch import nn
        >>> weight = torch.tensor([[1.0, 0.0, 2.0, 0.0], [0.0, 0.0, 0.0, 0.0]])
        >>> model = nn.Sequential(nn.Flatten(), nn.Linear(4, 2, bias=False))
        >>> model[1].weight = nn.Parameter(weight)
        >>> input_saliency(model, torch.zeros(1, 1, 2, 2), torch.tensor([1]))
        tensor([[[0.5000, 0.0000],
                 [1.0000, 0.0000]]])
    """
    return gradient_saliency(input_gradient(model, images, labels))


def input_gradient(model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    """The gradient of each row's cross-entropy in its image, from one forward and one backward pass.

    They run in evaluation mode, and the network is left as it was: batch statistics, the mode of every layer,
    gradients.

    Args:
        model: images to logits ``(B, classes)``.
        images: ``(B, C, H, W)`` floating point.
        labels: ``(B,)`` class indices of any integer dtype, or ``(B, classes)`` probabilities.

    Returns:
        A gradient in the shape and dtype of the images. A row does not depend on the others: the losses are summed, not
        averaged. Zero where the network does not look.

    Raises:
        ValueError: for images or labels of another shape or dtype, or class indices outside the classes (seen on a CPU
            only).

    Example:
        >>> from torch import nn
        >>> model = nn.Sequential(nn.Flatten(), nn.Linear(2, 2, bias=False))
        >>> model[1].weight = nn.Parameter(torch.tensor([[4.0, 0.0], [0.0, 2.0]]))
        >>> input_gradient(model, torch.zeros(1, 1, 1, 2), torch.tensor([0]))
        tensor([[[[-2.,  1.]]]])
    """
    inputs = differentiable(images)
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        with torch.enable_grad():
            loss = _cross_entropy(as_logits(model(inputs)), labels)
            (gradient,) = torch.autograd.grad(loss, inputs, materialize_grads=True)
    finally:
        for module, mode in modes.items():
            module.training = mode
    return gradient


def differentiable(images: Tensor) -> Tensor:
    """The images as a leaf of a new graph, so that a gradient in them can be taken; they are not copied.

    Raises:
        ValueError: for images of another shape than (B, C, H, W), or that are not floating point.
    """
    if images.ndim != 4 or not images.is_floating_point():
        raise ValueError("expected floating-point images of shape (B, C, H, W), received "
                         f"{tuple(images.shape)} {images.dtype}")
    return images.detach().requires_grad_()


def _cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """The sum over the rows, so that the gradient of each is what it would be alone."""
    batch, classes = logits.shape
    labels = plain_labels(labels, classes)
    soft = labels.ndim == 2
    if labels.shape != ((batch, classes) if soft else (batch,)):
        raise ValueError(f"expected {batch} integer labels or probabilities of shape {(batch, classes)}, received "
                         f"{tuple(labels.shape)} {labels.dtype}")
    if not soft and visible(labels) and not bool(((labels >= 0) & (labels < classes)).all()):
        raise ValueError(f"expected labels in 0..{classes - 1}, received values from {int(labels.min())} to "
                         f"{int(labels.max())}")
    wide = logits.to(torch.promote_types(logits.dtype, torch.float32))
    return F.cross_entropy(wide, labels.to(wide.dtype) if soft else labels.long(), reduction="sum")


def block_saliency(saliency: Tensor, blocks: int) -> Tensor:
    """The part of an image's saliency that lies in each of b x b blocks.

    Args:
        saliency: ``(B, H, W)``, finite and non-negative.
        blocks: b, the number of blocks along each side; it divides height and width.

    Returns:
        ``(B, b, b)`` float32 (float64 where the saliency is), >= 0; every map sums to 1. One of zeros becomes uniform.

    Raises:
        ValueError: for another shape, a number of blocks that does not divide the sides, or values that are negative,
            infinite or NaN. Values are looked at on an accelerator, too, which is waited for: otherwise NaN would
            become a mask, and no error would say so.

    Example:
        >>> left = torch.tensor([[[3.0, 0.0], [1.0, 0.0]], [[0.0, 0.0], [0.0, 0.0]]])
        >>> block_saliency(left, 2)
        tensor([[[0.7500, 0.0000],
                 [0.2500, 0.0000]],
        <BLANKLINE>
                [[0.2500, 0.2500],
                 [0.2500, 0.2500]]])
    """
    if saliency.ndim != 3 or 0 in saliency.shape:
        raise ValueError(f"expected a saliency of shape (B, H, W), received {tuple(saliency.shape)}")
    batch, height, width = saliency.shape
    if not whole(blocks) or blocks < 1 or height % blocks or width % blocks:
        fitting = [b for b in range(1, min(height, width) + 1) if height % b == 0 and width % b == 0]
        raise ValueError(f"expected a number of blocks along each side that divides height and width {height} x "
                         f"{width}, one of {fitting}, received {blocks!r}")
    # In float64: no sum overflows, and the smallest saliencies do not become 0.
    wide = saliency.detach().double()
    if not bool(((wide >= 0) & (wide < torch.inf)).all()):
        raise ValueError("expected a finite, non-negative saliency, received values from "
                         f"{float(wide.nan_to_num(torch.inf).min()):g} to {float(wide.max()):g}: has training "
                         "diverged?")
    pooled = wide.reshape(batch, blocks, height // blocks, blocks, width // blocks).sum((2, 4))
    total = pooled.sum((1, 2), keepdim=True)
    parts = torch.where(total > 0, pooled / total, 1 / blocks**2)
    return parts.to(torch.promote_types(saliency.dtype, torch.float32))


def smooth_random_saliency(batch: int, size: tuple[int, int], *, cells: int = 4, generator: Generator) -> Tensor:
    """Random smooth maps: what a saliency looks like that knows nothing of the image.

    Squared normal numbers at the points of a ``cells`` x ``cells`` grid, linear in between: a few bright places, most
    of a map dark.

    Args:
        batch: number of maps B.
        size: height and width, in pixels.
        cells: points of the grid along each side, >= 1; with 1 the map is constant.
        generator: source of randomness; the maps are on its device.

    Returns:
        ``(B, H, W)`` float32, >= 0.

    Raises:
        ValueError: for numbers that are not positive integers.

    Example:
        >>> maps = smooth_random_saliency(2, (8, 6), generator=torch.Generator().manual_seed(0))
        >>> maps.shape, bool((maps >= 0).all())
        (torch.Size([2, 8, 6]), True)
    """
    for name, value in (("batch", batch), ("height", size[0]), ("width", size[1]), ("cells", cells)):
        if not whole(value) or value < 1:
            raise ValueError(f"expected a positive integer {name}, received {value!r}")
    coarse = torch.randn(batch, 1, cells, cells, generator=generator, device=generator.device).square()
    return F.interpolate(coarse, size=tuple(size), mode="bilinear", align_corners=True)[:, 0]

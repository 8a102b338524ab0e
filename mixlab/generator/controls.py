"""What a generator's images are compared with: as large a change of the images that is noise, or an attack."""

from __future__ import annotations

import torch
from torch import Generator, Tensor, nn

from mixlab.checks import whole
from mixlab.generator.law import divergence

__all__ = ["noisy", "perturbed"]


def noisy(images: Tensor, radius: Tensor, *, generator: Generator) -> Tensor:
    """Images with Gaussian noise of a given Euclidean length each: x + n, ‖n_b‖ = r_b, in a random direction.

    Pixels are not clipped, which would change the length.

    Args:
        images: (B, C, H, W), floating point.
        radius: (B,), r_b >= 0.
        generator: source of randomness.

    Returns:
        (B, C, H, W) of the images' type.

    Example:
        >>> images = torch.zeros(2, 1, 4, 4)
        >>> moved = noisy(images, torch.tensor([3.0, 0.0]), generator=torch.Generator().manual_seed(0))
        >>> (moved - images).flatten(1).norm(dim=1).round(decimals=4)
        tensor([3., 0.])
    """
    noise = torch.randn(images.shape, generator=generator, device=generator.device).to(images)
    return images + _of_length(noise, radius)


def perturbed(classifier: nn.Module, images: Tensor, mu: Tensor, radius: Tensor, *, steps: int = 20,
              generator: Generator) -> Tensor:
    """Images changed by a given Euclidean length each so that a classifier finds μ in them: x + δ, ‖δ_b‖ = r_b.

    Projected gradient descent on KL(μ ‖ W'(x + δ)) over the sphere of radius r_b: from a random point of it, steps
    along the negative gradient whose lengths fall linearly from 5 r_b / `steps` to nothing (2.5 r_b in all), each
    followed by the way back onto the sphere. The best point that was met is kept, image by image. This is an
    adversarial attack with a soft target; it has the generator's aim, without a network that learns it. Pixels are not
    clipped.

    Args:
        classifier: maps images to logits (B, C); asked in its own mode, so it should be frozen.
        images: (B, ...), floating point.
        mu: (B, C) soft labels.
        radius: (B,), r_b >= 0.
        steps: at least 1; each costs a forward and a backward pass. The larger the radius, the more are needed: far
            from the images, where it starts, a classifier is sure of some class.
        generator: source of the start.

    Returns:
        (B, ...) of the images' type, without a graph.

    Raises:
        ValueError: for a number of steps that is none.

    Source: Madry et al. (2018), "Towards deep learning models resistant to adversarial attacks", section 2.1; the
        sphere, the shrinking steps (2.5 radii in all, as in its public code) and the soft target are ours.

    Example:
        >>> classifier = nn.Sequential(nn.Flatten(), nn.Linear(4, 2))
        >>> images, mu = torch.rand(3, 1, 2, 2), torch.tensor([[0.9, 0.1]]).expand(3, 2)
        >>> moved = perturbed(classifier, images, mu, torch.ones(3), generator=torch.Generator().manual_seed(0))
        >>> bool((divergence(mu, classifier(moved)) < divergence(mu, classifier(images))).all())
        True
    """
    if not whole(steps) or steps < 1:
        raise ValueError(f"expected an integer number of steps of at least 1, received {steps!r}")
    images = images.detach()
    start = torch.randn(images.shape, generator=generator, device=generator.device)
    change = _of_length(start.to(images), radius)
    best, least = change, torch.full_like(radius, torch.inf)
    for step in range(steps + 1):
        seen = (images + change).requires_grad_()
        with torch.enable_grad():
            losses = divergence(mu, classifier(seen))
        better = losses.detach() < least
        best = torch.where(better.view(-1, *[1] * (change.ndim - 1)), change, best)
        least = torch.where(better, losses.detach().to(least), least)
        if step < steps:
            slope, = torch.autograd.grad(losses.sum(), seen)
            length = radius * 5 / steps * (1 - step / steps)
            change = _of_length(change - _of_length(slope, length), radius)
    return images + best


def _of_length(vectors: Tensor, length: Tensor) -> Tensor:
    """Vectors (B, ...) of the same directions and the lengths (B,); zeros stay zeros."""
    now = vectors.flatten(1).norm(dim=1).clamp(min=torch.finfo(vectors.dtype).tiny)
    return vectors * (length.to(vectors) / now).view(-1, *[1] * (vectors.ndim - 1))

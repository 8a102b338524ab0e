"""Vicinal risk for mixers that look at gradients: one clean pass a step says where the images are salient."""

from __future__ import annotations

import math

import torch
from torch import Generator, Tensor, nn

from mixlab.checks import real
from mixlab.risk.base import Risk
from mixlab.risk.empirical import distributions
from mixlab.risk.loss import soft_cross_entropy
from mixlab.saliency import differentiable, gradient_saliency, input_saliency


class SaliencyRisk(Risk):
    r"""Mean soft cross-entropy on what a mixer draws from the batch, its saliency, and in part on the batch itself.

        R(f) = E CE(f(x̂), ŷ) + λ · 1/B Σ_b CE(f(x_b), y_b)

    Each step runs the network twice: over the clean images, whose gradient is the saliency that the mixer sees
    (`mixlab.saliency`), and over the mixed ones.

    With `clean=0` the first pass serves the saliency alone. It runs in evaluation mode and leaves no trace: no batch
    statistics, no gradients. The loss is then that of `VicinalRisk`. With `clean=λ` the network trains on that pass,
    too: it runs in the network's own mode, so its batch statistics count, and one backward pass gives the gradient in
    the images and that in the weights. What is returned has the value and the gradient of both losses.

    λ = 1 weighs the two mean cross-entropies alike. (The public code of both papers divides both by the number of
    classes C: its mixed loss is a binary cross-entropy of the softmax, averaged over the classes, its clean one
    2λ/C times the cross-entropy. Its λ is 1 in Co-Mixup and, but for CIFAR, where it is 0, in Puzzle Mix.)

    Any mixer can be given: one that does not look at the saliency, such as `CutMix`, shows what training on the clean
    images does alone. One generator draws what it draws in `VicinalRisk`.

    Args:
        mixer: anything with `draw(images, labels, saliency=s, generator=g) -> Mix`, s of shape (B, H, W).
        clean: weight λ >= 0 of the loss on the clean images.

    Raises:
        ValueError: if `clean` is no finite number, or negative.

    Source: Kim et al., Puzzle Mix (2020) and Co-Mixup (2021), and their public code.

    Example:
        >>> from mixlab.mixers import CutMix
        >>> risk = SaliencyRisk(CutMix(), clean=1.0)
        >>> model = nn.Sequential(nn.Flatten(), nn.Linear(16, 2, bias=False))
        >>> _ = nn.init.zeros_(model[1].weight)
        >>> batch = torch.rand(4, 1, 4, 4), torch.tensor([0, 1, 1, 0])
        >>> round(risk(model, batch, generator=torch.Generator().manual_seed(0)).item(), 4)  # 2 log 2
        1.3863
    """

    def __init__(self, mixer, clean: float = 0.0):
        super().__init__()
        if not real(clean) or not 0 <= clean < math.inf:
            raise ValueError(f"expected clean to be a finite number of at least 0, a weight, received {clean!r}")
        self.mixer, self.clean = mixer, float(clean)

    def forward(self, model: nn.Module, batch: tuple[Tensor, ...], *, step: int = 0,
                generator: Generator | None = None) -> Tensor:
        """Loss of `model` on one draw of the mixer and on the clean batch; all randomness comes from `generator`.

        Raises:
            ValueError: for images that are not floating point, or whatever the mixer finds wrong with the batch or
                its saliency.
        """
        images, labels = batch[:2]
        if self.clean:
            clean, gradient = _clean_pass(model, images, labels)
            saliency = gradient_saliency(gradient)
        else:
            clean, saliency = None, input_saliency(model, images, labels)
        mix = self.mixer.draw(images, labels, saliency=saliency, generator=generator)
        logits = model(mix.apply(images))
        mixed = soft_cross_entropy(logits, mix.targets(labels, num_classes=logits.shape[1]))
        return mixed if clean is None else mixed + self.clean * clean

    def extra_repr(self) -> str:
        return f"{self.mixer!r}, clean={self.clean:g}"


def _clean_pass(model: nn.Module, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """The loss on the clean images, to be trained on, and its gradient in the images, from one backward pass.

    The loss has no graph: the network's is freed before the mixed pass begins. What it is given instead is linear in
    the weights, with the gradient that was found. A backward pass adds that to the gradient of the mixed loss where a
    weight collects both, so that processes average the sum, and once.
    """
    inputs = differentiable(images)
    logits = model(inputs)
    loss = soft_cross_entropy(logits, distributions(labels, logits.shape[1]))
    weights = [each for each in model.parameters() if each.requires_grad]
    gradient, *slopes = torch.autograd.grad(loss, [inputs, *weights], allow_unused=True)
    # w - w is 0 and has the derivative 1.
    linear = sum((slope * (weight - weight.detach())).sum()
                 for slope, weight in zip(slopes, weights, strict=True) if slope is not None)
    return loss.detach() + linear, torch.zeros_like(images) if gradient is None else gradient

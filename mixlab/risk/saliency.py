"""Vicinal risk for mixers that look at gradients: one clean pass a step says where the images are salient."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Generator, Tensor, nn

from mixlab.batches import images_and_labels
from mixlab.checks import numbers, real
from mixlab.mix import Mix
from mixlab.models.logits import as_logits
from mixlab.risk.base import Risk
from mixlab.risk.empirical import distributions
from mixlab.risk.loss import soft_cross_entropy
from mixlab.saliency import differentiable, gradient_saliency, input_gradient


class SaliencyRisk(Risk):
    r"""Mean soft cross-entropy on what a mixer draws from the batch, its saliency, and in part on the batch itself.

        R(f) = E CE(f(x̂), ŷ) + λ · 1/B Σ_b CE(f(x_b), y_b)

    Each step runs the network twice: over the clean images, where the gradient of the loss is the saliency that the
    mixer sees (`mixlab.saliency`), and over the mixed ones.

    With `clean=0` the first pass serves the saliency alone. It runs in evaluation mode and leaves no trace: no batch
    statistics, no gradients. The loss is then that of `VicinalRisk`. With `clean=λ` the network trains on that pass,
    too: it runs in the network's own mode, so its batch statistics count, and one backward pass gives the gradient in
    the images and that in the weights. What is returned has the value and the gradient of both losses.

    λ = 1 weighs the two mean cross-entropies alike. (The public code of both papers divides both by the number of
    classes C: its mixed loss is a binary cross-entropy of the softmax, averaged over the classes, its clean one
    2λ/C times the cross-entropy. Its λ is 1 in Co-Mixup. In Puzzle Mix it is 0 for CIFAR and ImageNet, and 1 for
    Tiny-ImageNet.)

    Any mixer can be given: one that does not look at the saliency, such as `CutMix`, shows what training on the clean
    images does alone. One generator draws what it draws in `VicinalRisk`.

    **Adversarial start.** With `adversarial=p` the images that are mixed have adversarial noise at times. Of each batch
    and each slot of the mix (the rows themselves, their partners) a coin of chance p decides; the noise of an image is
    a uniform start and one step along the sign of its gradient, within ±ε,

        δ = u · clamp(r + 1.2 ε sign(g), -ε, ε),  r ~ U(-ε, ε) in every pixel,  u ~ U(0, 1), one a batch,

    and it is mixed as the image is: n_b = Σ_k M[b,k] T[b,k] δ over the slots whose coin fell. g is the gradient that
    there is already, so this costs no pass. In the public code (p = .1 for CIFAR, .15 for Tiny-ImageNet, ε = 10/255)
    the start is added before that gradient is taken, and noisy pixels are kept within the range of images; here the
    gradient, and the saliency, are those of the clean images, and nothing but ε bounds the noise.

    Args:
        mixer: anything with `draw(images, labels, saliency=s, generator=g) -> Mix`, s of shape (B, H, W).
        clean: weight λ >= 0 of the loss on the clean images.
        adversarial: chance p in [0, 1] that the images of a slot have noise.
        epsilon: ε > 0 in units of the images as they are handed in, one number or one for every channel; needed with
            `adversarial`. For normalised images that is what it is in pixels over the set's deviation: 10/255/std.

    Raises:
        ValueError: if `clean` is no finite number, or negative, `adversarial` no chance, or ε missing, not positive, or
            given without a chance.

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

    # Set on an instance only where they differ from these, so that a run without noise is the same run as before there
    # was noise: what identifies a run is what its risk prints and holds.
    adversarial, epsilon = 0.0, None

    def __init__(self, mixer, clean: float = 0.0, adversarial: float = 0.0,
                 epsilon: float | Sequence[float] | None = None):
        super().__init__()
        if not real(clean) or not 0 <= clean < math.inf:
            raise ValueError(f"expected clean to be a finite number of at least 0, a weight, received {clean!r}")
        if not real(adversarial) or not 0 <= adversarial <= 1:
            raise ValueError(f"expected adversarial to be a chance in [0, 1], received {adversarial!r}")
        limits = [epsilon] if real(epsilon) else numbers(epsilon)
        if adversarial and not (limits and all(0 < limit < math.inf for limit in limits)):
            raise ValueError("expected a positive epsilon with adversarial, one number or one for every channel, "
                             f"received {epsilon!r}")
        if not adversarial and epsilon is not None:
            raise ValueError(f"expected adversarial above 0 with an epsilon, received {adversarial!r}")
        self.mixer, self.clean = mixer, float(clean)
        if adversarial:
            self.adversarial, self.epsilon = float(adversarial), tuple(map(float, limits))

    def forward(self, model: nn.Module, batch: tuple[Tensor, ...], *, step: int = 0,
                generator: Generator | None = None) -> Tensor:
        """Loss of `model` on one draw of the mixer and on the clean batch; all randomness comes from `generator`.

        The mixer draws first, and so draws the same with an adversarial start and without.

        Raises:
            ValueError: for images that are not floating point, an adversarial start without a generator or with an
                epsilon for another number of channels, or whatever the mixer finds wrong with the batch or its
                saliency.
        """
        images, labels = images_and_labels(batch, getattr(self.mixer, "labels_getter", "default"))
        if self.clean:
            clean, gradient = _clean_pass(model, images, labels)
        else:
            clean, gradient = None, input_gradient(model, images, labels)
        mix = self.mixer.draw(images, labels, saliency=gradient_saliency(gradient), generator=generator)
        if self.adversarial:
            mix = self._disturbed(mix, gradient, generator)
        logits = as_logits(model(mix.apply(images, noise=True)))
        mixed = soft_cross_entropy(logits, mix.targets(labels, num_classes=logits.shape[1]))
        return mixed if clean is None else mixed + self.clean * clean

    def _disturbed(self, mix: Mix, gradient: Tensor, generator: Generator | None) -> Mix:
        """The mix with the noise of the slots whose coin fell."""
        if generator is None:
            raise ValueError("expected a generator for an adversarial start, received None")
        if len(self.epsilon) not in (1, gradient.shape[1]):
            raise ValueError(f"expected an epsilon for each of {gradient.shape[1]} channels, or one for all, received "
                             f"{len(self.epsilon)}")
        coins = torch.rand(mix.k, generator=generator, device=generator.device) < self.adversarial
        if not coins.any():
            return mix
        start = 2 * torch.rand(gradient.shape, generator=generator, device=generator.device) - 1
        scale = torch.rand((), generator=generator, device=generator.device)
        limits = torch.tensor(self.epsilon, dtype=gradient.dtype, device=gradient.device).view(-1, 1, 1)
        unit = (start.to(gradient) + 1.2 * gradient.sign()).clamp(-1, 1)
        return _spread(mix, scale.to(gradient) * limits * unit, coins.to(gradient.device))

    def extra_repr(self) -> str:
        noise = f", adversarial={self.adversarial:g}, epsilon={self.epsilon}" if self.adversarial else ""
        return f"{self.mixer!r}, clean={self.clean:g}{noise}"


def _spread(mix: Mix, noise: Tensor, slots: Tensor) -> Mix:
    """The mix with noise: that of its images (B, C, H, W), mixed as they are, in the slots (K,) that are True.

    A mix blends all slots at once. So the batch is doubled by rows without noise, and the other slots are taken from
    those.
    """
    rows = len(mix)
    sources = torch.where(slots, mix.sources, mix.sources + rows)
    twice = {name: torch.cat([part, part]) for name, part in vars(mix.form).items() if isinstance(part, Tensor)}
    both = Mix.trusted(torch.cat([sources, sources]), replace(mix.form, **twice))
    return replace(mix, noise=both.apply(torch.cat([noise, torch.zeros_like(noise)]), 0.0)[:rows])


def _clean_pass(model: nn.Module, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """The loss on the clean images, to be trained on, and its gradient in the images, from one backward pass.

    The loss has no graph: the network's is freed before the mixed pass begins. What it is given instead is linear in
    the weights, with the gradient that was found. A backward pass adds that to the gradient of the mixed loss where a
    weight collects both, so that processes average the sum, and once.
    """
    inputs = differentiable(images)
    logits = as_logits(model(inputs))
    loss = soft_cross_entropy(logits, distributions(labels, logits.shape[1]))
    weights = [each for each in model.parameters() if each.requires_grad]
    gradient, *slopes = torch.autograd.grad(loss, [inputs, *weights], allow_unused=True)
    # w - w is 0 and has the derivative 1.
    linear = sum((slope * (weight - weight.detach())).sum()
                 for slope, weight in zip(slopes, weights, strict=True) if slope is not None)
    return loss.detach() + linear, torch.zeros_like(images) if gradient is None else gradient

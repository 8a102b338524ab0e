"""Vicinal risk: each sample stands for a distribution around it, drawn by a mixer."""

from __future__ import annotations

from torch import Generator, Tensor, nn

from mixlab.risk.base import Risk
from mixlab.risk.loss import soft_cross_entropy


class VicinalRisk(Risk):
    """Mean soft cross-entropy on what a mixer draws from the batch.

    R(f) = E_(x̂, ŷ) CE(f(x̂), ŷ), one draw a step (Zhang et al. 2018, sec. 2; Chapelle et al. 2000). The targets come
    from the mix that was applied, so the label weights are those of the pixels wherever the mixer says so.

    Args:
        mixer: anything with `draw(images, labels, generator=g) -> Mix`.

    Example:
        >>> import torch
        >>> from mixlab.mixers import Mixup
        >>> risk = VicinalRisk(Mixup(alpha=1.0))
        >>> images, labels = torch.zeros(4, 1, 2, 2), torch.tensor([0, 1, 1, 0])
        >>> model = nn.Sequential(nn.Flatten(), nn.Linear(4, 2, bias=False))
        >>> round(risk(model, (images, labels)).item(), 4)
        0.6931
    """

    def __init__(self, mixer):
        super().__init__()
        self.mixer = mixer

    def forward(self, model: nn.Module, batch: tuple[Tensor, ...], *, step: int = 0,
                generator: Generator | None = None) -> Tensor:
        """Loss of `model` on one draw of the mixer; all randomness comes from `generator`.

        Raises:
            ValueError: whatever the mixer finds wrong with the batch.
        """
        images, labels = batch[:2]
        mix = self.mixer.draw(images, labels, generator=generator)
        logits = model(mix.apply(images))
        return soft_cross_entropy(logits, mix.targets(labels, num_classes=logits.shape[1]))

    def extra_repr(self) -> str:
        return repr(self.mixer)

"""Vicinal risk in feature space: a hidden layer is mixed in place of the image."""

from __future__ import annotations

from torch import Generator, Tensor, nn

from mixlab.batches import images_and_labels
from mixlab.models.logits import as_logits
from mixlab.risk.base import Risk
from mixlab.risk.loss import soft_cross_entropy


class ManifoldRisk(Risk):
    """Mean soft cross-entropy where a layer drawn at each step is mixed (Verma et al. 2019, section 2).

    Args:
        manifold: `manifold(model, images, labels, generator=g) -> (logits, mix)`, e.g. `ManifoldMixup`; `mix` is the
            mix at the resolution of the layer, and the targets come from it.

    Example:
        >>> import torch
        >>> from mixlab.mixers import ManifoldMixup, Mixup
        >>> model = nn.Sequential(nn.Flatten(), nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))
        >>> risk = ManifoldRisk(ManifoldMixup(Mixup(alpha=1.0), layers=["1"]))
        >>> loss = risk(model, (torch.zeros(4, 1, 2, 2), torch.tensor([0, 1, 1, 0])))
        >>> loss.shape
        torch.Size([])
    """

    compilable = False  # a compiled network hides the layers to be mixed

    def __init__(self, manifold):
        super().__init__()
        self.manifold = manifold

    def forward(self, model: nn.Module, batch: tuple[Tensor, ...], *, step: int = 0,
                generator: Generator | None = None) -> Tensor:
        """Loss of `model` on one draw; layer, partners and shares all come from `generator`.

        Raises:
            ValueError: whatever the mixer finds wrong with the model or the batch.
        """
        mixer = getattr(self.manifold, "mixer", None)
        images, labels = images_and_labels(batch, getattr(mixer, "labels_getter", "default"))
        logits, mix = self.manifold(model, images, labels, generator=generator)
        logits = as_logits(logits)
        return soft_cross_entropy(logits, mix.targets(labels, num_classes=logits.shape[1]))

    def extra_repr(self) -> str:
        return repr(self.manifold)

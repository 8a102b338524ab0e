r"""LaMix's input: a plain average of two images, and a :math:`\lambda` that is in the label alone.

**Method card.** LaMix (2021) shows the network one picture of a pair, the average, whatever the mixing ratio; the ratio
only weighs the two labels. What LaMix adds to them, a label that the network gives itself, is
:class:`mixlab.risk.LaMixRisk`.

- *How to use*: ``Average(num_classes=10)(images, labels)``, or through ``LaMixRisk``, which has one of its own.
- *Settings*: ``local_lambda="random"`` is equation 10 of the paper, 0.5 its figure 1. The cross-entropy is linear in
  the label and the picture does not depend on λ, so the two have the same expected gradient; the random one has more
  noise.
- *Implementation*: one λ for every pair, not for every batch. The weights are declared: they are not the shares of
  pixels, which are one half. Partners are drawn before λ, so one generator pairs alike whatever λ is. The default
  pairing is ours, as in all mixers; the paper's is ``pairing="permutation"``, and ``LaMixRisk`` uses that one.
- *Limits*: images must be floating point. From the picture nobody can tell λ, nor which of the two images came first.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from mixlab.checks import real
from mixlab.masks import Constant
from mixlab.mix import Mix
from mixlab.mixers.base import PartnerMixer

__all__ = ["Average"]


@dataclass(frozen=True)
class Average(PartnerMixer):
    r"""Average two images: :math:`\hat x = \frac12 x_i + \frac12 x_j,\ \hat y = \lambda y_i + (1 - \lambda) y_j`.

    λ is the label weight of the row itself. It says nothing about the pixels.

    Args:
        local_lambda: ``"random"`` draws :math:`\lambda \sim U(0, 1)` for every row; a number in [0, 1] is that λ.

    Raises:
        ValueError: for another ``local_lambda``.

    Source: LaMix (2021), eqs 2 and 4.

    Example:
        >>> mix = Average(0.25).draw(torch.rand(2, 3), generator=torch.Generator().manual_seed(0))
        >>> mix.shares.tolist(), mix.weights.tolist()
        ([[0.5, 0.5], [0.5, 0.5]], [[0.25, 0.75], [0.25, 0.75]])
    """

    local_lambda: float | str = "random"

    def __post_init__(self):
        super().__post_init__()
        if isinstance(self.local_lambda, str) and self.local_lambda == "random":
            return
        if not real(self.local_lambda) or not 0 <= self.local_lambda <= 1:
            raise ValueError(f"expected a local_lambda of 'random' or in [0, 1], received {self.local_lambda!r}")
        object.__setattr__(self, "local_lambda", float(self.local_lambda))

    def _draw(
        self, images: Tensor, labels: Tensor | None, saliency: Tensor | None, generator: torch.Generator
    ) -> Mix:
        sources = self._partners(len(images), 2, generator)
        if self.local_lambda == "random":
            weight = torch.rand(len(images), dtype=torch.float64, generator=generator, device=generator.device)
        else:
            weight = torch.full((len(images),), self.local_lambda, dtype=torch.float64, device=generator.device)
        halves = torch.full((len(images), 2), 0.5, device=generator.device)
        return Mix.trusted(sources, Constant(halves), torch.stack([weight, 1 - weight], 1), anchored=True)

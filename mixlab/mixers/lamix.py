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
- *Other pictures*: ``Relabelled(mixer)`` gives the same label to the picture of any mixer of pairs.
- *Limits*: images must be floating point. From the picture nobody can tell λ, nor which of the two images came first.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from mixlab.checks import real
from mixlab.masks import Constant
from mixlab.mix import Mix
from mixlab.mixers.base import PartnerMixer, Wrapper

__all__ = ["Average", "Relabelled"]


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
        _check_local_lambda(self)

    def _draw(
        self, images: Tensor, labels: Tensor | None, saliency: Tensor | None, generator: torch.Generator
    ) -> Mix:
        sources = self._partners(len(images), 2, generator)
        halves = torch.full((len(images), 2), 0.5, device=generator.device)
        weights = _local_weights(self.local_lambda, len(images), generator)
        return Mix.trusted(sources, Constant(halves), weights, anchored=True)


@dataclass(frozen=True)
class Relabelled(Wrapper):
    r"""The picture of another mixer of pairs, with LaMix's label: :math:`\hat y = \lambda y_i + (1 - \lambda) y_j`.

    LaMix's equation 5 does this to Puzzle Mix's picture at a λ of one half: ``Relabelled(PuzzleMix(1e6))``, as
    Beta(α, α) is practically one half for a large α.

    Args:
        mixer: what makes the picture, of the row itself and one partner.
        local_lambda: ``"random"`` draws :math:`\lambda \sim U(0, 1)` for every row; a number in [0, 1] is that λ.

    Raises:
        ValueError: for a ``mixer`` that is none, or another ``local_lambda``; when drawn, for a mixer of other than two
            images.

    Source: LaMix (2021), eqs 2 and 5.

    Example:
        >>> from mixlab.mixers import CutMix
        >>> mix = Relabelled(CutMix(), 0.25).draw(torch.rand(2, 3, 8, 8), generator=torch.Generator().manual_seed(0))
        >>> mix.weights.tolist(), bool((mix.shares[:, 0] != 0.25).all())
        ([[0.25, 0.75], [0.25, 0.75]], True)
    """

    local_lambda: float | str = "random"

    def __post_init__(self):
        super().__post_init__()
        _check_local_lambda(self)

    def _draw(
        self, images: Tensor, labels: Tensor | None, saliency: Tensor | None, generator: torch.Generator
    ) -> Mix:
        mix = self.mixer._draw(images, labels, saliency, generator)
        if mix.k != 2:
            raise ValueError(f"expected a mixer of two images to relabel, received a mix of {mix.k} from {self.mixer}")
        weights = _local_weights(self.local_lambda, len(images), generator).to(mix.sources.device)
        return Mix.trusted(mix.sources, mix.form, weights, mix.fill, anchored=vars(mix).get("anchored"))


def _check_local_lambda(mixer: Average | Relabelled) -> None:
    """Raise ValueError unless a mixer's ``local_lambda`` is "random" or in [0, 1]; make it a float."""
    value = mixer.local_lambda
    if isinstance(value, str) and value == "random":
        return
    if not real(value) or not 0 <= value <= 1:
        raise ValueError(f"expected a local_lambda of 'random' or in [0, 1], received {value!r}")
    object.__setattr__(mixer, "local_lambda", float(value))


def _local_weights(local_lambda: float | str, rows: int, generator: torch.Generator) -> Tensor:
    """``(rows, 2)`` float64 label weights λ and 1 - λ."""
    if local_lambda == "random":
        weight = torch.rand(rows, dtype=torch.float64, generator=generator, device=generator.device)
    else:
        weight = torch.full((rows,), local_lambda, dtype=torch.float64, device=generator.device)
    return torch.stack([weight, 1 - weight], 1)

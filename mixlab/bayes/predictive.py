r"""The predictive distribution over shares and positions, in both readings that the K-image paper leaves open.

Equations 6 and 7 average :math:`f_W(l_c \mid x_c)` over draws of :math:`\varphi` and :math:`\gamma`, but do not say
at which label the network's output is read. Two readings are possible:

.. math::

    p_A(c \mid x) &= \frac1S \sum_s f_W(c \mid x_c^{(s)}) && \text{softmax averaged over composites anchored on } x \\
    p_B(c \mid x) &\propto \frac1S \sum_s \prod_{c'} f_W(c' \mid x_c^{(s)})^{l_c^{(s)}(c')}, \quad
        l_c^{(s)} = w^{(s)} e_c + t^{(s)} && \text{mean likelihood of each composite's own label}

In B the anchor is given class c in turn; the likelihood of a soft label is :math:`e^{-L}` with the cross-entropy L of
the paper's equation 8. Both sums have the factor 1/S that the print of equation 7 leaves out.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from mixlab.bayes.composites import Composites
from mixlab.models import inference

__all__ = ["Predictive", "predictive"]


@dataclass(frozen=True, eq=False)
class Predictive:
    """Both readings for N images and C classes, float64.

    Args:
        averaged: ``(N, C)`` reading A; rows sum to 1.
        log_likelihood: ``(N, C)`` natural logarithm of reading B's mean likelihood, were the anchor of class c.

    Example:
        >>> averaged, likelihood = torch.tensor([[0.7, 0.3]]).double(), torch.tensor([[0.4, 0.1]]).double()
        >>> both = Predictive(averaged, likelihood.log())
        >>> both.posterior, both.own_likelihood(torch.tensor([1]))
        (tensor([[0.8000, 0.2000]], dtype=torch.float64), tensor([0.1000], dtype=torch.float64))
    """

    averaged: Tensor
    log_likelihood: Tensor

    @property
    def posterior(self) -> Tensor:
        """``(N, C)`` reading B, normalised over the classes: a uniform prior, turned by the likelihoods."""
        return self.log_likelihood.softmax(1)

    def own_likelihood(self, labels: Tensor) -> Tensor:
        """``(N,)`` mean likelihood of the composites' labels where the anchors' classes ``(N,)`` are known."""
        return self.log_likelihood.gather(1, labels.to(self.log_likelihood.device)[:, None])[:, 0].exp()


def predictive(model: nn.Module, images: Tensor, composites: Composites, *, batch_size: int = 500) -> Predictive:
    """Average a network over composites of every image; S forward passes for each.

    Running sums are kept, never the S passes; what is drawn is in ``composites``, so the answer does not depend on
    the batch size (beyond what a forward pass rounds) or on the order of the images.

    Args:
        model: images (B, C, H, W) to logits (B, classes); put into evaluation mode for the call.
        images: ``(N, C, H, W)`` floating point, normalised like the pool of the composites.
        composites: what surrounds them, see :func:`mixlab.bayes.nested_composites`.
        batch_size: images at a time.

    Returns:
        A `Predictive` of N rows, float64, on the model's device.

    Raises:
        ValueError: for images of another shape, or a network of another number of classes, than the composites are for.

    Source: K-image paper, eqs 6 and 7.

    Example:
        >>> from mixlab.bayes import blended_composites
        >>> pool, g = torch.rand(3, 1, 2, 2), torch.Generator().manual_seed(0)
        >>> alone = blended_composites(
        ...     pool, torch.tensor([0, 1, 2]), num_classes=4, k=1, alpha=1.0, anchor_share=1.0, draws=1, generator=g
        ... )
        >>> images = torch.rand(2, 1, 2, 2)
        >>> once = predictive(nn.Flatten(), images, alone).averaged
        >>> torch.allclose(once, images.flatten(1).double().softmax(1))
        True
    """
    device = next((parameter.device for parameter in model.parameters()), images.device)
    composites = composites.to(device)
    with inference(model):
        parts = [_sums(model, batch.to(device), composites) for batch in images.split(batch_size)]
    probabilities, likelihoods = (torch.cat(part) for part in zip(*parts))
    return Predictive(probabilities / len(composites), likelihoods - math.log(len(composites)))


def _sums(model: nn.Module, images: Tensor, composites: Composites) -> tuple[Tensor, Tensor]:
    """Sum of probabilities and logarithm of the sum of likelihoods over the draws, for one batch."""
    probabilities, likelihoods = 0.0, None
    for draw in range(len(composites)):
        logits = model(composites.apply(draw, images))
        if logits.shape[1:] != composites.targets.shape[1:]:
            raise ValueError(f"expected logits (B, {composites.targets.shape[1]}), as many classes as the composites "
                             f"have, received {tuple(logits.shape)}")
        logarithm = logits.double().log_softmax(1)
        probabilities = probabilities + logarithm.exp()
        companions = (logarithm * composites.targets[draw]).sum(1, keepdim=True)
        likelihood = companions + composites.weights[draw] * logarithm
        likelihoods = likelihood if likelihoods is None else torch.logaddexp(likelihoods, likelihood)
    return probabilities, likelihoods

r"""How mixup tends to empirical risk as α goes to 0.

Beta(α, α) tends to half a point mass at 0 and half at 1, and both ends give training pairs as they are. To first order

.. math::
    R_\nu(\alpha) = R_\delta + \alpha \cdot \tfrac12 \int_0^1 \frac{h(\lambda)}{\lambda (1 - \lambda)} d\lambda
    + O(\alpha^2), \qquad h(\lambda) = r(\lambda) - R_\delta,

where :math:`r(\lambda)` is the mean loss over all ordered pairs mixed with a fixed λ. The reason: :math:`1 /
\mathrm{B}(\alpha, \alpha) = \alpha / 2 + O(\alpha^3)`, h vanishes at both ends, and the density of λ inside is that
times :math:`(\lambda (1 - \lambda))^{\alpha - 1}`.
"""

from collections.abc import Callable

import torch
from scipy.special import betainc, roots_legendre
from torch import Tensor

from mixlab.analysis.label_laws import Loss, risk_at

__all__ = ["first_order", "probability_mixed"]


def first_order(
    network: Callable[[Tensor], Tensor], loss: Loss, inputs: Tensor, targets: Tensor, count: int = 24
) -> float:
    r"""Derivative of the mixup risk with respect to α at α = 0.

    Args:
        network, loss, inputs, targets: see :func:`~mixlab.analysis.label_laws.risk_at`.
        count: nodes of the Gauss-Legendre rule on [0, 1].

    Example:
        >>> square = lambda outputs, wanted: ((outputs - wanted) ** 2).sum(1)
        >>> x = torch.tensor([[0.0], [2.0]], dtype=torch.float64)
        >>> round(first_order(lambda x: x, square, x, x**2), 6)
        -1.0
    """
    nodes, weights = roots_legendre(count)
    nodes, weights = (1 + nodes) / 2, weights / 2
    empirical = risk_at(network, loss, inputs, targets, 1.0)
    gaps = [(risk_at(network, loss, inputs, targets, share) - empirical).item() for share in nodes.tolist()]
    return float(sum(weights * gaps / (nodes * (1 - nodes)))) / 2


def probability_mixed(alpha: float, edge: float) -> float:
    """Probability that λ ~ Beta(α, α) is farther than ``edge`` from both 0 and 1.

    Args:
        alpha: > 0.
        edge: between 0 and 1/2.

    Example:
        >>> round(probability_mixed(1.0, 0.1), 3)
        0.8
    """
    return float(betainc(alpha, alpha, 1 - edge) - betainc(alpha, alpha, edge))

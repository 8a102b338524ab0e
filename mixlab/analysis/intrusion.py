r"""Manifold intrusion: a mixture of two points of one class may lie where another class lives (Guo et al., 2019).

Under the cross-entropy the best prediction at :math:`\tilde x` is the mean label that mixup puts there,

.. math:: q(\tilde x) = \mathrm{E}[\tilde y \mid \tilde x],

whatever the network. For intervals on a line this conditional mean has a closed form up to one integral over λ, so the
damage can be computed without training anything.
"""

import torch
from torch import Tensor

from mixlab.analysis.label_laws import beta_nodes

__all__ = ["point_posterior", "posterior", "posterior_error"]

CENTRES = (-1.0, 0.0, 1.0)


def posterior(
    x: Tensor,
    alpha: float,
    classes: tuple[int, int, int] = (0, 1, 0),
    masses: tuple[float, float, float] = (1 / 3, 1 / 3, 1 / 3),
    half_width: float = 0.3,
    nodes: int = 200,
) -> Tensor:
    r"""Best prediction of class 1 under mixup of three intervals around -1, 0 and 1.

    For intervals a and b with centres :math:`c_a, c_b` and masses :math:`\pi_a, \pi_b`, the mixed point given λ is the
    sum of :math:`\lambda c_a + (1-\lambda) c_b` and two uniform variables of half widths :math:`\lambda h` and
    :math:`(1-\lambda) h`; its density is a trapezium :math:`t_{ab\lambda}`. So

    .. math::
        q(\tilde x) = \frac{\sum_{ab} \pi_a \pi_b
        \mathrm{E}_\lambda[(\lambda y_a + (1-\lambda) y_b) t_{ab\lambda}(\tilde x)]}
        {\sum_{ab} \pi_a \pi_b \mathrm{E}_\lambda[t_{ab\lambda}(\tilde x)]}

    Args:
        x: (N,) places, any dtype; where no mixture can lie the answer is NaN.
        alpha: of :math:`\lambda \sim \mathrm{Beta}(\alpha, \alpha)`, > 0.
        classes: 0 or 1, of the three intervals.
        masses: probabilities of the three intervals.
        half_width: h.
        nodes: of the Gauss-Jacobi rule for λ.

    Returns:
        (N,) float64, q.

    Raises:
        ValueError: for alpha <= 0.

    Example:
        >>> middle = torch.tensor([0.0])
        >>> posterior(middle, alpha=1.0).item() > 0.5, posterior(middle, alpha=32.0).item() > 0.5
        (True, False)
    """
    if not alpha > 0:
        raise ValueError(f"expected alpha > 0, received {alpha}")
    share, weight = beta_nodes(alpha, alpha, nodes)
    share = share.clamp(1e-9, 1 - 1e-9)
    places = x.double()[:, None]
    below, above = torch.zeros_like(places[:, 0]), torch.zeros_like(places[:, 0])
    for centre_a, class_a, mass_a in zip(CENTRES, classes, masses, strict=True):
        for centre_b, class_b, mass_b in zip(CENTRES, classes, masses, strict=True):
            distance = (places - share * centre_a - (1 - share) * centre_b).abs()
            density = mass_a * mass_b * weight * _trapezium(distance, share * half_width, (1 - share) * half_width)
            below += density.sum(1)
            above += (density * (share * class_a + (1 - share) * class_b)).sum(1)
    return above / below


def _trapezium(distance: Tensor, first: Tensor, second: Tensor) -> Tensor:
    """Density of the sum of two uniform variables on ±first and ±second, at a distance from its middle."""
    slope = (first + second - distance) / (4 * first * second)
    return slope.clamp(min=0).minimum(0.5 / torch.maximum(first, second))


def posterior_error(alpha: float, classes: tuple[int, int, int] = (0, 1, 0), half_width: float = 0.3,
                    masses: tuple[float, float, float] = (1 / 3, 1 / 3, 1 / 3), places: int = 301) -> float:
    """Error on the true classes, in percent, of a classifier that predicts mixup's :func:`posterior`.

    A posterior within rounding of one half counts as right: it says nothing.

    Example:
        >>> posterior_error(0.2), round(posterior_error(32.0)) > 25
        (0.0, True)
    """
    wrong = 0.0
    for centre, label, mass in zip(CENTRES, classes, masses, strict=True):
        edges = torch.linspace(-half_width, half_width, places + 1, dtype=torch.float64)
        q = posterior(centre + (edges[1:] + edges[:-1]) / 2, alpha, classes, masses, half_width)
        toward_truth = q - 0.5 if label else 0.5 - q
        wrong += mass * (toward_truth < -1e-9).double().mean().item()
    return 100 * wrong / sum(masses)


def point_posterior(x: Tensor, alpha: float, middle: float) -> Tensor:
    r"""The same for three *points* -1, 0, 1 of classes 0, 1, 0: best prediction of class 1 at 0 < \|x\| < 1.

    With :math:`b` the density of Beta(α, α), and masses :math:`\pi` in the middle, :math:`(1-\pi)/2` at each end,

    .. math:: q(x) = (1 - |x|) \Big/ \Big(1 + \frac{1-\pi}{4\pi} \, \frac{b((1 + |x|)/2)}{b(|x|)}\Big).

    The fraction counts mixtures of the two ends against mixtures of an end and the middle.

    Args:
        x: (N,) places, 0 < |x| < 1.
        alpha: > 0.
        middle: π, the mass of the middle point, between 0 and 1.

    Example:
        >>> point_posterior(torch.tensor([0.5]), alpha=1.0, middle=0.5)
        tensor([0.4000], dtype=torch.float64)
    """
    place = x.double().abs()
    beta = lambda share: (share * (1 - share)) ** (alpha - 1)  # noqa: E731  (the constant cancels)
    intruders = (1 - middle) / (4 * middle) * beta((1 + place) / 2) / beta(place)
    return (1 - place) / (1 + intruders)

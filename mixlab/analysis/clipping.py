r"""What a border does to CutMix's λ.

A box of side s (parts of the image's side) with a uniform centre keeps all of its length with probability 1 - s, and
otherwise a length that is uniform on [s/2, s]. So its mean length is :math:`s - s^2/4`; height and width are
independent given s; and :math:`u = s^2 = 1 - \lambda` is Beta(α, α).
"""

import torch
from scipy.special import poch
from torch import Tensor

__all__ = ["clipped_area_cdf", "clipped_area_mean"]


def clipped_area_mean(alpha: float) -> float:
    r"""Mean part of the image that a clipped box covers.

    .. math:: \mathrm{E}\,(\sqrt u - u/4)^2
        = \mathrm{E}\,u - \tfrac12 \mathrm{E}\,u^{3/2} + \tfrac1{16} \mathrm{E}\,u^2,
        \qquad \mathrm{E}\,u^r = \frac{\mathrm{B}(\alpha + r, \alpha)}{\mathrm{B}(\alpha, \alpha)}

    with :math:`\mathrm{E}\,u = \tfrac12`, :math:`\mathrm{E}\,u^{3/2} = \tfrac12 (\alpha + 1)_{1/2} / (2\alpha +
    1)_{1/2}`, where :math:`(x)_r = \Gamma(x + r) / \Gamma(x)`, and :math:`\mathrm{E}\,u^2 = \tfrac14 + 1 / (8\alpha
    + 4)`: ratios, which are as exact for a large α as for a small one.

    Args:
        alpha: concentration of λ, positive.

    Returns:
        A part of the image; 77/240 at α = 1, where the unclipped box covers 1/2.

    Raises:
        ValueError: for an alpha outside (0, 1e300].

    Example:
        >>> round(clipped_area_mean(1.0), 4)
        0.3208
    """
    _check(alpha)
    three_halves = float(poch(alpha + 1, 0.5) / poch(2 * alpha + 1, 0.5)) / 2
    second = 0.25 + 0.25 / (2 * alpha + 1)
    return 0.5 - three_halves / 2 + second / 16


def _check(alpha: float) -> None:
    if not 0 < alpha <= 1e300:
        raise ValueError(f"expected a positive alpha of at most 1e300, received {alpha!r}")


def _cdf_of_two_halves(r: Tensor) -> Tensor:
    """P(UV <= r) for independent U, V uniform on [1/2, 1]."""
    safe = r.clamp(min=0.25)
    low = 4 * safe * (4 * safe).log() - 4 * safe + 1
    high = 4 * safe - 3 - 4 * safe * safe.log()
    inside = torch.where(r <= 0.5, low, high)
    return torch.where(r <= 0.25, torch.zeros_like(r), inside).where(r < 1, torch.ones_like(r))


def clipped_area_cdf(area: Tensor, alpha: float, count: int = 2000) -> Tensor:
    r"""Probability that a clipped box covers at most ``area`` of the image.

    Given s, the part of the box that survives is a product of two factors, each 1 with probability 1 - s and uniform
    on [1/2, 1] otherwise; the law of u = s² is averaged over ``count`` of its quantiles.

    Args:
        area: ``(n,)`` parts of the image.
        alpha: concentration of λ, positive.
        count: quantiles of u.

    Returns:
        ``(n,)`` float64 probabilities.

    Raises:
        ValueError: for an alpha outside (0, 1e300].

    Example:
        >>> clipped_area_cdf(torch.tensor([0.0, 1.0]), 1.0)
        tensor([0., 1.], dtype=torch.float64)
    """
    from scipy.stats import beta

    _check(alpha)
    quantiles = (torch.arange(count, dtype=torch.float64) + 0.5) / count
    u = torch.from_numpy(beta.ppf(quantiles.numpy(), alpha, alpha)).clamp(min=1e-300)
    side = u.sqrt()
    kept = torch.as_tensor(area, dtype=torch.float64)[:, None] / u
    whole = (kept >= 1).double()
    one = (2 * kept - 1).clamp(0, 1)
    return ((1 - side) ** 2 * whole + 2 * side * (1 - side) * one + side**2 * _cdf_of_two_halves(kept)).mean(1)

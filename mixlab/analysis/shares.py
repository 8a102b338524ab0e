r"""What a law of shares means for a picture: how many images count, how many are seen, what rounding costs."""

import torch
from torch import Tensor

from mixlab import priors
from mixlab.masks import NestedBoxes
from mixlab.mixers.regional import nested_boxes

__all__ = ["effective_images", "measured_effective_images", "naive_dirichlet", "probability_inside",
           "rounding_error", "seen_images"]


def effective_images(alpha: float, k: int) -> float:
    r"""Effective number of images of a symmetric Dirichlet: :math:`1 / E \sum_k \varphi_k^2 = (K\alpha+1)/(\alpha+1)`.

    It is 1 where one image has everything, K where all have the same, and follows from
    :math:`E\varphi_k^2 = (\alpha + 1) / (K (K \alpha + 1))`.

    Args:
        alpha: concentration of every component, >= 0 and finite.
        k: number of images, >= 1.

    Raises:
        ValueError: for values out of range.

    Example:
        >>> effective_images(1.0, 3), round(effective_images(1 / 9, 9), 3)
        (2.0, 1.8)
    """
    if not (0 <= alpha < float("inf") and k >= 1):
        raise ValueError(f"expected a finite alpha >= 0 and k >= 1, received {alpha} and {k}")
    return (k * alpha + 1) / (alpha + 1)


def measured_effective_images(shares: Tensor) -> float:
    """One over the mean of the summed squares of shares ``(N, K)``.

    Example:
        >>> measured_effective_images(torch.tensor([[0.5, 0.5], [0.5, 0.5]]))
        2.0
    """
    return float(1 / shares.double().square().sum(1).mean())


def seen_images(shares: Tensor, threshold: float = 0.05) -> float:
    """Mean number of images that have more than ``threshold`` of the picture, from shares ``(N, K)``.

    Example:
        >>> seen_images(torch.tensor([[0.5, 0.49, 0.01]]))
        2.0
    """
    return float((shares > threshold).sum(1).double().mean())


def probability_inside(alpha: float, k: int, low: float, high: float) -> float:
    r"""Exact :math:`P(\text{low} < \varphi_1 < \text{high})` of a symmetric Dirichlet.

    One share is :math:`\mathrm{Beta}(\alpha, (K - 1)\alpha)`, whose distribution function is the regularised incomplete
    beta function.

    Args:
        alpha: concentration, positive.
        k: number of components, >= 2.
        low, high: in [0, 1].

    Raises:
        ValueError: for values out of range.

    Example:
        >>> round(probability_inside(1.0, 2, 0.25, 0.75), 6)
        0.5
    """
    from scipy.special import betainc

    if not (0 < alpha < float("inf") and k >= 2 and 0 <= low <= 1 and 0 <= high <= 1):
        raise ValueError(f"expected alpha > 0, k >= 2 and bounds in [0, 1], received {alpha}, {k}, {low} and {high}")
    a, b = alpha, (k - 1) * alpha
    return float(betainc(a, b, high) - betainc(a, b, low))


def naive_dirichlet(alpha: float, n: int, k: int, *, generator: torch.Generator) -> Tensor:
    """Normalised gamma draws, as a textbook has it: WRONG for small alpha, kept to show why.

    A Gamma(alpha) variate is about exp(-1/alpha); below the smallest float it is clamped, and clamped ones tie. Use
    :func:`mixlab.priors.dirichlet`.

    Args:
        alpha: concentration, positive.
        n: number of draws.
        k: number of components.
        generator: source of randomness.

    Returns:
        ``(n, k)`` float64.

    Example:
        >>> g = torch.Generator().manual_seed(0)
        >>> bool((naive_dirichlet(1e-4, 1000, 2, generator=g) == 0.5).double().mean() > 0.5)
        True
    """
    gamma = torch._standard_gamma(torch.full((n, k), alpha, dtype=torch.float64), generator=generator)
    return gamma / gamma.sum(1, keepdim=True)


def rounding_error(k: int, alpha: float, size: int, n: int, *, generator: torch.Generator) -> float:
    r"""Mean :math:`\sum_k |\text{share}_k - \varphi_k|` of nested boxes in whole pixels.

    Args:
        k: number of images.
        alpha: concentration, positive.
        size: height and width, in pixels.
        n: number of draws.
        generator: source of randomness.

    Example:
        >>> draw = lambda size: rounding_error(3, 1.0, size, 500, generator=torch.Generator().manual_seed(0))
        >>> draw(224) < draw(32)
        True
    """
    shares = priors.dirichlet(alpha, n, k=k, generator=generator)
    boxes = nested_boxes(priors.sticks_from_shares(shares)[:, :-1], (size, size), generator)
    return float((NestedBoxes(boxes, (size, size)).shares(k) - shares).abs().sum(1).mean())

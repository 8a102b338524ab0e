r"""The second-order expansion of the mixup loss, term by term.

Mixup is training on data that were first *shrunk* towards their mean and then *perturbed*. With the folded λ' = max(λ,
1 - λ), its mean :math:`\bar\lambda` and a partner j drawn from all examples,

.. math::

    \hat x = \tilde x_i + \delta_i, \quad \tilde x_i = \bar x + \bar\lambda (x_i - \bar x), \quad
    \delta_i = (\lambda' - \bar\lambda)(x_i - \bar x) + (1 - \lambda')(x_j - \bar x)

and the same for the labels, with :math:`\varepsilon_i` in place of :math:`\delta_i`. Both perturbations have mean zero
given i. For the cross-entropy of logits f, which is linear in its target, the expansion to second order is

.. math::

    R \approx \underbrace{\tfrac1n \sum_i \ell(f(\tilde x_i), \tilde y_i)}_{\text{shrunk}}
    + \underbrace{\tfrac1{2n} \sum_i \mathrm{tr}(J_i^\top H_i J_i \Sigma_i)}_{\text{Jacobian}}
    + \underbrace{\tfrac1{2n} \sum_{i,c} (p_{ic} - \tilde y_{ic})\,
      \mathrm{tr}(\nabla^2 f_c\, \Sigma_i)}_{\text{curvature}}
    - \underbrace{\tfrac1n \sum_i \mathrm{tr}(J_i S_i)}_{\text{alignment}}

with :math:`H = \mathrm{diag}(p) - pp^\top, \Sigma_i = \mathrm{E}\,\delta\delta^\top` and :math:`S_i =
\mathrm{E}\,\delta\varepsilon^\top`. Source: Carratino et al. (2020), theorems 1 and 2; Zhang et al. (2021), lemma 3.1,
expand the twin with hard labels instead.

A network is a function ``(..., D) -> (..., C)`` here, in float64, that treats rows independently.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from scipy.special import poch, roots_jacobi
from torch import Tensor
from torch.func import hessian, jacrev, vmap

from mixlab import priors

__all__ = [
    "Expansion",
    "Folded",
    "covariances",
    "expand",
    "folded",
    "folded_nodes",
    "isolate",
    "path_errors",
    "path_risk",
    "perturbations",
    "shrunk",
]

Network = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Folded:
    r"""Mean and variance of :math:`\lambda' = \max(\lambda, 1 - \lambda)`.

    Attributes:
        mean: the factor by which inputs and labels shrink towards their means; 3/4 at α = 1.
        variance: of λ'.
    """

    mean: float
    variance: float

    @property
    def other(self) -> float:
        r"""The second moment of the partner's share, :math:`\mathrm{E}(1 - \lambda')^2`."""
        return self.variance + (1 - self.mean) ** 2


def folded(alpha: float) -> Folded:
    r"""Moments of the folded law, in closed form.

    :math:`\mathrm{E}\,\lambda' = \tfrac12 + m` with :math:`m = \mathrm{E}|\lambda - \tfrac12| = 4^{-\alpha} / (\alpha\,
    \mathrm{B}(\alpha, \alpha)) = \Gamma(\alpha + \tfrac12) / (2 \sqrt\pi\,\Gamma(\alpha + 1))`, and
    :math:`\mathrm{Var}\,\lambda' = \mathrm{E}(\lambda - \tfrac12)^2 - m^2 = 1 / (8\alpha + 4) - m^2`.

    Args:
        alpha: concentration of λ, positive.

    Raises:
        ValueError: for an alpha outside (0, 1e300].

    Example:
        >>> round(folded(1.0).mean, 12), round(folded(1.0).variance * 48, 12)
        (0.75, 1.0)
    """
    if not 0 < alpha <= 1e300:
        raise ValueError(f"expected a positive alpha of at most 1e300, received {alpha!r}")
    spread = 0.5 / (math.sqrt(math.pi) * float(poch(alpha + 0.5, 0.5)))
    # Near 0 both terms are 1/4, and rounding may put the difference below 0.
    return Folded(0.5 + spread, max(0.25 / (2 * alpha + 1) - spread**2, 0.0))


def folded_nodes(alpha: float, count: int = 16) -> tuple[Tensor, Tensor]:
    """Gauss-Jacobi nodes in (1/2, 1) and weights summing to 1 for the folded law, each ``(count,)`` float64.

    Args:
        alpha: concentration of λ, positive. The law is narrow where it is large: with 16 nodes the variance is right to
            1e-9 up to 100, and wrong by an eighth at 1000.
        count: number of nodes.

    Example:
        >>> nodes, weights = folded_nodes(1.0)
        >>> round(float((weights * nodes).sum()), 12)
        0.75
    """
    nodes, weights = roots_jacobi(count, alpha - 1, 0)
    nodes = torch.from_numpy((3 + nodes) / 4)
    weights = torch.from_numpy(weights) * nodes ** (alpha - 1)
    return nodes, weights / weights.sum()


def shrunk(values: Tensor, factor: float) -> Tensor:
    """Rows moved towards their mean: ``mean + factor * (values - mean)``, shape and dtype kept.

    Example:
        >>> shrunk(torch.tensor([[0.0], [4.0]]), 0.5)
        tensor([[1.],
                [3.]])
    """
    mean = values.mean(0)
    return mean + factor * (values - mean)


def covariances(inputs: Tensor, targets: Tensor, alpha: float) -> tuple[Tensor, Tensor]:
    r"""Second moments of the perturbations of every example.

    :math:`\Sigma_i = \mathrm{Var}(\lambda')\,(x_i - \bar x)(x_i - \bar x)^\top + \mathrm{E}(1 - \lambda')^2\,\Sigma`,
    and the same with labels for :math:`S_i`.

    Args:
        inputs: ``(n, D)``.
        targets: ``(n, C)``.
        alpha: concentration of λ, positive.

    Returns:
        :math:`\Sigma` ``(n, D, D)`` and :math:`S` ``(n, D, C)``.

    Source: Carratino et al. (2020), theorem 1.

    Example:
        >>> sigma, cross = covariances(torch.tensor([[-1.0], [1.0]]), torch.eye(2), 1.0)
        >>> sigma.flatten()
        tensor([0.1042, 0.1042])
    """
    law = folded(alpha)
    x, y = inputs - inputs.mean(0), targets - targets.mean(0)

    def moments(other: Tensor) -> Tensor:
        own = x[:, :, None] * other[:, None, :]
        return law.variance * own + law.other * own.mean(0)

    return moments(x), moments(y)


@dataclass(frozen=True)
class Expansion:
    """The four terms, as numbers in nats.

    Attributes:
        shrunk: the loss of shrunken inputs with shrunken (smoothed) labels.
        jacobian: the penalty on the input Jacobian; never negative.
        curvature: the residual times the curvature of the network.
        alignment: the reward for a Jacobian that follows the covariance of inputs and labels (its sign included).
    """

    shrunk: float
    jacobian: float
    curvature: float
    alignment: float

    @property
    def second_order(self) -> float:
        """What is added to the loss of the shrunken problem."""
        return self.jacobian + self.curvature + self.alignment

    @property
    def total(self) -> float:
        """The approximation of the mixup loss."""
        return self.shrunk + self.second_order


def expand(network: Network, inputs: Tensor, targets: Tensor, alpha: float) -> Expansion:
    """The terms of the expansion for a smooth network.

    Args:
        network: twice differentiable, ``(..., D)`` to logits ``(..., C)``.
        inputs: ``(n, D)`` float64.
        targets: ``(n, C)`` float64, rows sum to 1.
        alpha: concentration of λ, positive.

    Example:
        >>> inputs, targets = torch.eye(2, dtype=torch.float64), torch.eye(2, dtype=torch.float64)
        >>> terms = expand(lambda x: 2 * x, inputs, targets, 1.0)
        >>> terms.curvature, terms.jacobian > 0, terms.alignment < 0
        (0.0, True, True)
    """
    factor = folded(alpha).mean
    points, labels = shrunk(inputs, factor), shrunk(targets, factor)
    sigma, cross = covariances(inputs, targets, alpha)
    logits = network(points)
    p = logits.softmax(1)
    jacobian = vmap(jacrev(network))(points)
    curvature = vmap(hessian(network))(points)
    spread = jacobian @ sigma @ jacobian.mT
    fisher = torch.diag_embed(p) - p[:, :, None] * p[:, None, :]
    terms = (
        _cross_entropy(logits, labels).mean(),
        (fisher * spread).sum((1, 2)).mean() / 2,
        ((p - labels) * (curvature * sigma[:, None]).sum((2, 3))).sum(1).mean() / 2,
        -(jacobian.mT * cross).sum((1, 2)).mean(),
    )
    return Expansion(*(term.item() for term in terms))


def perturbations(
    inputs: Tensor, targets: Tensor, alpha: float, draws: int, *, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    r"""Draw the perturbations of every example: what mixup adds to the shrunken problem.

    Args:
        inputs: ``(n, D)``.
        targets: ``(n, C)``.
        alpha: concentration of λ, positive.
        draws: S, for every example.
        generator: source of randomness.

    Returns:
        :math:`\delta` ``(S, n, D)`` and :math:`\varepsilon` ``(S, n, C)``.

    Example:
        >>> inputs, targets = torch.eye(3, dtype=torch.float64), torch.eye(3, dtype=torch.float64)
        >>> delta, epsilon = perturbations(inputs, targets, 1.0, 4, generator=torch.Generator().manual_seed(0))
        >>> torch.equal(delta, epsilon), delta.shape
        (True, torch.Size([4, 3, 3]))
    """
    n, mean = len(inputs), folded(alpha).mean
    lam = priors.beta(alpha, alpha, draws * n, generator=generator).view(draws, n, 1)
    own = torch.maximum(lam, 1 - lam)
    partner = torch.randint(n, (draws, n), generator=generator)
    x, y = inputs - inputs.mean(0), targets - targets.mean(0)
    return tuple((own - mean) * value + (1 - own) * value[partner] for value in (x, y))


def _cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """Cross-entropy over the last axis."""
    return -(targets * logits.log_softmax(-1)).sum(-1)


def _linearised(network: Network, points: Tensor) -> Network:
    """The network's tangent at each of ``points`` (n, D): maps (..., n, D) to (..., n, C)."""
    logits, jacobian = network(points), vmap(jacrev(network))(points)
    return lambda x: logits + ((x - points)[..., None, :] * jacobian).sum(-1)


def isolate(
    network: Network,
    inputs: Tensor,
    targets: Tensor,
    delta: Tensor,
    epsilon: Tensor,
    alpha: float,
    scale: float,
) -> dict[str, tuple[float, float]]:
    r"""Measure each second-order term alone, by switching the others off.

    Differences of losses at ``scale`` times the perturbations, divided by ``scale`` squared:

    - *jacobian*: the network is replaced by its tangent, the labels stay;
    - *curvature*: the network minus its tangent, the labels stay;
    - *alignment*: what moving inputs and labels together does beyond moving each alone.

    Each draw is used with both signs, which removes all odd orders: the measurements approach the terms as ``scale``
    squared.

    Args:
        network: as in :func:`expand`.
        inputs: ``(n, D)`` float64.
        targets: ``(n, C)`` float64.
        delta: ``(S, n, D)`` from :func:`perturbations`.
        epsilon: ``(S, n, C)``.
        alpha: concentration of λ that they were drawn with.
        scale: positive; 1 is mixup.

    Returns:
        For each term, its mean and its standard error over the S draws.

    Example:
        >>> inputs, targets = torch.eye(2, dtype=torch.float64), torch.eye(2, dtype=torch.float64)
        >>> moved = perturbations(inputs, targets, 1.0, 64, generator=torch.Generator().manual_seed(0))
        >>> found = isolate(lambda x: 2 * x, inputs, targets, *moved, 1.0, 0.1)
        >>> abs(found["curvature"][0]) < 1e-9
        True
    """
    factor = folded(alpha).mean
    points, labels = shrunk(inputs, factor), shrunk(targets, factor)
    tangent = _linearised(network, points)

    def even(function: Callable[[float], Tensor]) -> Tensor:
        return (function(scale) + function(-scale)) / 2

    def loss(logits: Network, s: float, t: float) -> Tensor:
        return _cross_entropy(logits(points + s * delta), labels + t * epsilon)

    still = _cross_entropy(network(points), labels)
    bent = even(lambda s: loss(network, s, 0.0))
    straight = even(lambda s: loss(tangent, s, 0.0))
    together = even(lambda s: loss(network, s, s))
    # Labels moved alone cost nothing in the mean of both signs, exactly: the loss is linear in them.
    parts = {"jacobian": straight - still, "curvature": bent - straight, "alignment": together - bent}
    found = {name: part.mean(1) / scale**2 for name, part in parts.items()}
    return {name: (each.mean().item(), each.std().item() / len(each) ** 0.5) for name, each in found.items()}


def path_risk(network: Network, inputs: Tensor, targets: Tensor, alpha: float, scale: float) -> float:
    r"""The risk at ``scale`` times the perturbations: exact over all pairs, and over λ by quadrature.

    At scale 0 this is the loss of the shrunken problem, at scale 1 the risk of mixup. Its difference to ``shrunk +
    scale² · second_order`` is of third order.

    Args:
        network: as in :func:`expand`.
        inputs: ``(n, D)`` float64.
        targets: ``(n, C)`` float64.
        alpha: concentration of λ, positive, at most about 100 (see :func:`folded_nodes`).
        scale: how far to go.

    Example:
        >>> inputs, targets = torch.eye(2, dtype=torch.float64), torch.eye(2, dtype=torch.float64)
        >>> risk = lambda scale: path_risk(lambda x: 2 * x, inputs, targets, 1.0, scale)
        >>> terms = expand(lambda x: 2 * x, inputs, targets, 1.0)
        >>> abs(risk(0.0) - terms.shrunk) < 1e-12, abs(risk(0.1) - terms.shrunk - 0.01 * terms.second_order) < 1e-4
        (True, True)
    """
    mean = folded(alpha).mean
    x, y = inputs - inputs.mean(0), targets - targets.mean(0)
    nodes, weights = folded_nodes(alpha)

    def moved(values: Tensor, centred: Tensor, lam: Tensor) -> Tensor:
        delta = (lam - mean) * centred[:, None] + (1 - lam) * centred[None]
        return shrunk(values, mean)[:, None] + scale * delta

    risks = [_cross_entropy(network(moved(inputs, x, lam)), moved(targets, y, lam)).mean() for lam in nodes]
    return (weights * torch.stack(risks)).sum().item()


def path_errors(
    network: Network, inputs: Tensor, targets: Tensor, alpha: float, scales: Sequence[float]
) -> list[float]:
    """Distance between the exact risk and the expansion at each scale, in nats; arguments as in `path_risk`.

    Example:
        >>> inputs, targets = torch.eye(2, dtype=torch.float64), torch.eye(2, dtype=torch.float64)
        >>> near, far = path_errors(lambda x: 2 * x, inputs, targets, 1.0, [0.1, 0.2])
        >>> far > 4 * near
        True
    """
    terms = expand(network, inputs, targets, alpha)
    exact = [path_risk(network, inputs, targets, alpha, scale) for scale in scales]
    return [abs(risk - terms.shrunk - scale**2 * terms.second_order) for risk, scale in zip(exact, scales)]

r"""Two laws, one risk: Beta(α, α) with a mixed label, Beta(α + 1, α) with a hard one.

Both risks are taken exactly: over all ordered pairs of examples, and over λ by Gauss-Jacobi quadrature, whose weight
carries the ends of the Beta density.
"""

from collections.abc import Callable

import torch
from scipy.special import roots_jacobi
from torch import Tensor

from mixlab.mixers import Mixer

__all__ = ["beta_nodes", "hard_label_risk", "mixed_label_risk", "risk_at", "simulated_losses", "untilted_label_risk"]

#: (B, C) logits and (B, C) targets to (B,) losses.
Loss = Callable[[Tensor, Tensor], Tensor]


def beta_nodes(a: float, b: float, count: int = 24) -> tuple[Tensor, Tensor]:
    r"""Nodes and weights with :math:`\sum_q w_q\, g(\lambda_q) \approx \mathrm{E}\, g(\lambda)` for a Beta(a, b) λ.

    Args:
        a: first concentration, positive.
        b: second concentration, positive.
        count: number of nodes; polynomials up to degree ``2 * count - 1`` are exact.

    Returns:
        Nodes in (0, 1) and weights that sum to 1, each ``(count,)`` float64.

    Example:
        >>> nodes, weights = beta_nodes(2.0, 1.0)
        >>> round(float((weights * nodes).sum()), 12)
        0.666666666667
    """
    nodes, weights = roots_jacobi(count, b - 1, a - 1)
    return torch.from_numpy((1 + nodes) / 2), torch.from_numpy(weights / weights.sum())


def _pairs(inputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """All ordered pairs of rows, a row with itself included."""
    n = len(inputs)
    first, second = torch.arange(n).repeat_interleave(n), torch.arange(n).repeat(n)
    return inputs[first], targets[first], inputs[second], targets[second]


def risk_at(network: Callable[[Tensor], Tensor], loss: Loss, inputs: Tensor, targets: Tensor, share: float) -> Tensor:
    """Mean loss over all ordered pairs of examples, a pair with itself included, mixed with one fixed share.

    Args:
        network: ``(B, D)`` inputs to ``(B, C)`` outputs.
        loss: outputs and targets to ``(B,)`` losses.
        inputs: ``(n, D)``.
        targets: ``(n, C)``.
        share: λ, of the first of a pair; 0 and 1 give empirical risk.

    Example:
        >>> square = lambda outputs, wanted: ((outputs - wanted) ** 2).sum(1)
        >>> x = torch.tensor([[0.0], [2.0]])
        >>> risk_at(lambda x: x, square, x, x**2, 1.0), risk_at(lambda x: x, square, x, x**2, 0.5)
        (tensor(2.), tensor(1.5000))
    """
    first, own, second, other = _pairs(inputs, targets)
    return loss(network(share * first + (1 - share) * second), share * own + (1 - share) * other).mean()


def mixed_label_risk(
    network: Callable[[Tensor], Tensor], loss: Loss, inputs: Tensor, targets: Tensor, alpha: float, count: int = 24
) -> Tensor:
    r"""The risk of mixup: :math:`\lambda \sim \mathrm{Beta}(\alpha, \alpha)`, inputs and targets mixed.

    Args:
        network: ``(B, D)`` inputs to ``(B, C)`` outputs.
        loss: outputs and targets to ``(B,)`` losses.
        inputs: ``(n, D)`` float64.
        targets: ``(n, C)`` float64.
        alpha: concentration, positive.
        count: quadrature nodes.

    Returns:
        A scalar: the mean over all ordered pairs and λ.

    Source: Zhang et al. (2018), section 2.

    Example:
        >>> inputs, targets = torch.eye(2, dtype=torch.float64), torch.eye(2, dtype=torch.float64)
        >>> square = lambda outputs, wanted: ((outputs - wanted) ** 2).sum(1)
        >>> float(mixed_label_risk(lambda x: x, square, inputs, targets, 1.0))
        0.0
    """
    nodes, weights = beta_nodes(alpha, alpha, count)
    return (weights * torch.stack([risk_at(network, loss, inputs, targets, lam) for lam in nodes])).sum()


def hard_label_risk(
    network: Callable[[Tensor], Tensor], loss: Loss, inputs: Tensor, targets: Tensor, alpha: float, count: int = 24
) -> Tensor:
    r"""The risk of its twin: :math:`\lambda \sim \mathrm{Beta}(\alpha + 1, \alpha)`, and the first input's target.

    Arguments and result as in :func:`mixed_label_risk`. The two agree for every loss that is linear in the target.

    Source: Zhang et al. (2021), lemma 3.1.

    Example:
        >>> inputs, targets = torch.randn(5, 2, dtype=torch.float64), torch.eye(5, dtype=torch.float64)
        >>> linear = lambda outputs, wanted: (outputs.tanh() @ torch.ones(2, 5, dtype=torch.float64) * wanted).sum(1)
        >>> risks = [risk(lambda x: x, linear, inputs, targets, 0.5) for risk in (mixed_label_risk, hard_label_risk)]
        >>> torch.allclose(*risks, rtol=1e-10)
        True
    """
    return _hard(network, loss, inputs, targets, beta_nodes(alpha + 1, alpha, count))


def untilted_label_risk(
    network: Callable[[Tensor], Tensor], loss: Loss, inputs: Tensor, targets: Tensor, alpha: float, count: int = 24
) -> Tensor:
    r"""The control: the first input's target with the untilted :math:`\lambda \sim \mathrm{Beta}(\alpha, \alpha)`.

    Arguments and result as in :func:`mixed_label_risk`, with which it agrees for no network that learns something.

    Example:
        >>> inputs, targets = torch.eye(2, dtype=torch.float64), torch.eye(2, dtype=torch.float64)
        >>> miss = lambda outputs, wanted: 1 - (outputs * wanted).sum(1)
        >>> for risk in (mixed_label_risk, hard_label_risk, untilted_label_risk):
        ...     print(round(float(risk(lambda x: x, miss, inputs, targets, 1.0)), 4))
        0.1667
        0.1667
        0.25
    """
    return _hard(network, loss, inputs, targets, beta_nodes(alpha, alpha, count))


def _hard(network, loss: Loss, inputs: Tensor, targets: Tensor, law: tuple[Tensor, Tensor]) -> Tensor:
    first, own, second, _ = _pairs(inputs, targets)
    risks = [loss(network(lam * first + (1 - lam) * second), own).mean() for lam in law[0]]
    return (law[1] * torch.stack(risks)).sum()


def simulated_losses(
    network: Callable[[Tensor], Tensor],
    loss: Loss,
    mixer: Mixer,
    inputs: Tensor,
    targets: Tensor,
    draws: int,
    *,
    generator: torch.Generator,
) -> Tensor:
    """Losses of what a mixer draws.

    Args:
        network: as in :func:`mixed_label_risk`.
        loss: outputs and targets to ``(B,)`` losses.
        mixer: of constant masks.
        inputs: ``(n, D)`` float64.
        targets: ``(n, C)`` float64.
        draws: batches.
        generator: source of randomness.

    Returns:
        ``(draws, n)`` float64.

    Example:
        >>> from mixlab.mixers import Mixup
        >>> eye = torch.eye(2, dtype=torch.float64)
        >>> miss = lambda outputs, wanted: (outputs - wanted).abs().sum(1)
        >>> g = torch.Generator().manual_seed(0)
        >>> bool(simulated_losses(lambda x: x, miss, Mixup(1.0), eye, eye, 3, generator=g).max() < 1e-6)
        True
    """
    found = []
    for _ in range(draws):
        mix = mixer.draw(inputs, targets.argmax(1), generator=generator)
        found.append(loss(network(mix.apply(inputs)), mix.targets(targets).double()))
    return torch.stack(found)

"""The rate at which mixup tends to empirical risk, against closed forms and direct integration."""

import math

import pytest
import torch

from mixlab.analysis.label_laws import mixed_label_risk, risk_at
from mixlab.analysis.limit import first_order, probability_mixed
from mixlab.analysis.small import perceptron
from mixlab.priors import beta
from mixlab.risk import soft_cross_entropy
from mixlab.rng import generator

X = torch.randn(7, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
Y = torch.eye(3, dtype=torch.float64)[torch.tensor([0, 1, 2, 0, 1, 2, 0])]
NETWORK = perceptron((3, 8, 3), generator("limit")).double().requires_grad_(False)


def cross_entropy(logits, targets):
    return soft_cross_entropy(logits, targets, "none")


def square(outputs, wanted):
    return ((outputs - wanted) ** 2).sum(1)


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_both_ends_are_empirical_risk(share):
    torch.testing.assert_close(risk_at(NETWORK, cross_entropy, X, Y, share), cross_entropy(NETWORK(X), Y).mean())


def test_risk_at_is_the_mean_over_all_pairs():
    total = sum(
        cross_entropy(NETWORK((0.3 * X[i] + 0.7 * X[j])[None]), (0.3 * Y[i] + 0.7 * Y[j])[None])[0]
        for i in range(7) for j in range(7)
    )
    torch.testing.assert_close(risk_at(NETWORK, cross_entropy, X, Y, 0.3), total / 49)


def test_first_order_of_a_linear_function_under_square_loss():
    # f(x) = x, y = x + e: the residual at λ is λ e_i + (1-λ) e_j, so h = -2 λ(1-λ) Var(e) and the slope is -Var(e).
    noise = torch.tensor([1.0, -2.0, 0.5, 3.0, 0.0, 1.0, 2.0], dtype=torch.float64)[:, None]
    targets = X[:, :1] + noise
    slope = first_order(lambda x: x, square, X[:, :1], targets)
    assert slope == pytest.approx(-noise.var(correction=0).item(), rel=1e-10)


def test_first_order_is_the_derivative_of_the_exact_risk():
    empirical = cross_entropy(NETWORK(X), Y).mean()
    slope = first_order(NETWORK, cross_entropy, X, Y, count=64)
    errors = []
    for alpha in (0.04, 0.02, 0.01):
        gap = (mixed_label_risk(NETWORK, cross_entropy, X, Y, alpha, count=64) - empirical).item()
        errors.append(abs(gap / alpha - slope))
    assert errors[2] < 0.02 * abs(slope)
    assert errors[0] / errors[1] == pytest.approx(2, rel=0.2) and errors[1] / errors[2] == pytest.approx(2, rel=0.2)


@pytest.mark.parametrize("alpha", [0.05, 1.0, 8.0])
def test_probability_mixed_agrees_with_draws(alpha):
    share = beta(alpha, alpha, 200_000, generator=generator(3))
    drawn = ((share > 0.1) & (share < 0.9)).double().mean().item()
    assert abs(drawn - probability_mixed(alpha, 0.1)) < 0.005


def test_the_bound_of_the_proof_holds():
    from scipy.special import beta as beta_function

    for alpha in (0.01, 0.001):
        bound = 1 / (0.01 * 0.99 * beta_function(alpha, alpha))
        assert probability_mixed(alpha, 0.01) <= bound < 0.51


@pytest.mark.parametrize("alpha", [0.01, 0.001])
def test_for_small_alpha_few_pairs_are_mixed(alpha):
    # The density is alpha / (2 lambda (1 - lambda)) to first order; over (e, 1 - e) that is alpha log(1/e - 1).
    assert probability_mixed(alpha, 0.01) == pytest.approx(alpha * math.log(99), rel=5 * alpha)

"""Mixed and hard labels: one expected loss where the loss is linear in the target, and only there."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import beta

from mixlab.analysis.label_laws import (
    beta_nodes,
    hard_label_risk,
    mixed_label_risk,
    simulated_losses,
    untilted_label_risk,
)
from mixlab.mixers import Mixup
from mixlab.mixers.controls import TiltedMixup

D, C, N = 3, 4, 9


def cross_entropy(logits, targets):
    return -(targets * logits.log_softmax(-1)).sum(-1)


def brier(logits, targets):
    return ((logits.softmax(-1) - targets) ** 2).sum(-1)


def problem(seed):
    g = torch.Generator().manual_seed(seed)
    weight = torch.randn(D, C, dtype=torch.float64, generator=g)
    inputs = torch.randn(N, D, dtype=torch.float64, generator=g)
    targets = torch.eye(C, dtype=torch.float64)[torch.randint(C, (N,), generator=g)]
    return (lambda x: (x @ weight).sin()), inputs, targets


@given(a=st.floats(0.1, 20), b=st.floats(0.1, 20), power=st.integers(1, 6))
def test_the_nodes_integrate_powers(a, b, power):
    nodes, weights = beta_nodes(a, b)
    assert math.isclose(float((weights * nodes**power).sum()), beta.moment(power, a, b), rel_tol=1e-8)


@given(seed=st.integers(0, 500), alpha=st.floats(0.1, 10))
def test_cross_entropy_has_one_risk_under_both_laws(seed, alpha):
    network, inputs, targets = problem(seed)
    mixed = mixed_label_risk(network, cross_entropy, inputs, targets, alpha)
    hard = hard_label_risk(network, cross_entropy, inputs, targets, alpha)
    assert torch.allclose(mixed, hard, rtol=1e-8)


def test_without_the_tilt_hard_labels_are_another_risk():
    """The control: the same hard label with the untilted law."""
    network, inputs, targets = problem(0)
    untilted = untilted_label_risk(network, cross_entropy, inputs, targets, 1.0)
    assert abs(float(untilted - mixed_label_risk(network, cross_entropy, inputs, targets, 1.0))) > 1e-3


@pytest.mark.parametrize("alpha", [0.3, 1.0, 5.0])
def test_the_brier_score_differs_by_a_constant(alpha):
    """||p - y||² is quadratic in y: hard labels cost E λ(1-λ) ||y_i - y_j||² more, whatever the network."""
    _, inputs, targets = problem(3)
    constant = alpha / (2 * (2 * alpha + 1)) * float(((targets[:, None] - targets[None]) ** 2).sum(-1).mean())
    for seed in (3, 4):
        network = problem(seed)[0]
        gap = hard_label_risk(network, brier, inputs, targets, alpha) - mixed_label_risk(
            network, brier, inputs, targets, alpha
        )
        assert math.isclose(float(gap), constant, rel_tol=1e-8)


def test_the_mixers_share_their_expected_loss_and_the_mixed_label_is_the_quieter(generator):
    """The mixed label is the conditional mean of the hard one, so a row's loss varies less (Rao and Blackwell)."""
    network, inputs, targets = problem(7)
    draws = 3000

    def losses(mixer):
        return simulated_losses(network, cross_entropy, mixer, inputs, targets, draws, generator=generator)

    exact = float(mixed_label_risk(network, cross_entropy, inputs, targets, 1.0))
    mixed, hard = losses(Mixup(1.0, pairing="permutation")), losses(TiltedMixup(1.0, pairing="permutation"))
    for found in (mixed, hard):
        means = found.mean(1)
        assert abs(float(means.mean()) - exact) < 5 * float(means.std()) / draws**0.5
    assert float(hard.std()) > 1.1 * float(mixed.std())

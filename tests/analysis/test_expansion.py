"""The expansion of the mixup loss against quadrature, simulation and hand-computed cases."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mixlab import priors
from mixlab.analysis.expansion import (
    covariances,
    expand,
    folded,
    folded_nodes,
    isolate,
    path_errors,
    path_risk,
    perturbations,
    shrunk,
)
from mixlab.analysis.label_laws import mixed_label_risk

D, C, N = 4, 3, 12


def cross_entropy(logits, targets):
    return -(targets * logits.log_softmax(-1)).sum(-1)


@pytest.fixture
def problem(generator):
    """A small smooth network and data, float64."""
    draw = lambda *shape: torch.randn(*shape, dtype=torch.float64, generator=generator)  # noqa: E731
    first, bias, second = draw(D, 6) / 2, draw(6), draw(6, C)
    network = lambda x: torch.tanh(x @ first + bias) @ second  # noqa: E731
    targets = torch.eye(C, dtype=torch.float64)[torch.arange(N) % C]
    return network, draw(N, D), targets


@given(alpha=st.floats(0.05, 40))
def test_the_folded_moments_are_those_of_quadrature(alpha):
    nodes, weights = folded_nodes(alpha, 60)
    law = folded(alpha)
    mean = float((weights * nodes).sum())
    assert math.isclose(law.mean, mean, rel_tol=1e-6)
    assert math.isclose(law.variance, float((weights * (nodes - mean) ** 2).sum()), rel_tol=1e-4, abs_tol=1e-9)


@pytest.mark.parametrize("alpha", [0.1, 0.2, 1.0, 8.0])
def test_the_folded_moments_are_those_of_draws(alpha, generator):
    lam = priors.beta(alpha, alpha, 200_000, generator=generator)
    drawn = torch.maximum(lam, 1 - lam)
    assert abs(float(drawn.mean()) - folded(alpha).mean) < 5 * float(drawn.std()) / 200_000**0.5
    assert math.isclose(float(drawn.var()), folded(alpha).variance, rel_tol=0.03)


def test_the_uniform_law_by_hand():
    law = folded(1.0)
    assert math.isclose(law.mean, 3 / 4) and math.isclose(law.variance, 1 / 48) and math.isclose(law.other, 1 / 12)


@pytest.mark.parametrize("alpha", [1e6, 1e12, 1e15, 1e100, 1e300])
def test_the_folded_moments_of_a_large_alpha_are_those_of_a_half_normal_law(alpha):
    """λ is normal with variance 1 / (8 α), up to a part 1 / α of it; half of that law has variance 1 - 2 / π."""
    law = folded(alpha)
    assert math.isclose(law.variance, (1 - 2 / math.pi) / (8 * alpha), rel_tol=2 / alpha + 1e-12)
    assert math.isclose(law.mean, 0.5 + (4 * math.pi * alpha) ** -0.5, rel_tol=1 / alpha + 1e-12)


@pytest.mark.parametrize("alpha", [1e-300, 1e-20, 1e-16, 1e-9])
def test_the_folded_moments_of_a_tiny_alpha_are_those_of_a_constant(alpha):
    law = folded(alpha)
    assert 0 <= law.variance < 4 * alpha + 1e-15 and math.isclose(law.mean, 1, rel_tol=alpha + 1e-15)


@pytest.mark.parametrize("alpha", [0, -1.0, math.nan, math.inf])
def test_a_bad_alpha_is_refused(alpha):
    with pytest.raises(ValueError, match="positive alpha"):
        folded(alpha)


@pytest.mark.parametrize("alpha", [0.3, 1.0])
def test_perturbations_have_mean_zero_and_the_stated_covariances(problem, alpha, generator):
    _, inputs, targets = problem
    delta, epsilon = perturbations(inputs, targets, alpha, 100_000, generator=generator)
    sigma, cross = covariances(inputs, targets, alpha)
    assert float(delta.mean(0).abs().max()) < 0.01 and float(epsilon.mean(0).abs().max()) < 0.01
    assert torch.allclose(torch.einsum("sni,snj->nij", delta, delta) / 100_000, sigma, atol=0.03)
    assert torch.allclose(torch.einsum("sni,snj->nij", delta, epsilon) / 100_000, cross, atol=0.01)


def test_shrunken_plus_perturbed_is_mixup(problem, generator):
    """With both signs of the partner's law taken together, x_tilde + delta is a convex pair of rows."""
    _, inputs, targets = problem
    delta, epsilon = perturbations(inputs, targets, 1.0, 50, generator=generator)
    factor = folded(1.0).mean
    labels = shrunk(targets, factor) + epsilon
    assert torch.allclose(labels.sum(-1), torch.ones(50, N, dtype=torch.float64))
    assert float(labels.min()) > -1e-12
    own = labels.gather(2, targets.argmax(1).expand(50, N)[..., None])
    assert float(own.min()) >= 0.5 - 1e-12
    # The image is the same combination as the label: solve for lambda from the label where the classes differ.
    images = shrunk(inputs, factor) + delta
    lam = own[0, :, 0]
    for row in range(N):
        rest = (images[0, row] - lam[row] * inputs[row]) / (1 - lam[row]) if lam[row] < 1 - 1e-9 else None
        assert rest is None or float((inputs - rest).abs().sum(1).min()) < 1e-6


@pytest.mark.parametrize("alpha", [0.3, 1.0, 4.0])
def test_the_whole_path_ends_at_mixup(problem, alpha):
    network, inputs, targets = problem
    exact = float(mixed_label_risk(network, cross_entropy, inputs, targets, alpha, count=60))
    assert math.isclose(path_risk(network, inputs, targets, alpha, 1.0), exact, rel_tol=2e-4)


@pytest.mark.parametrize("alpha", [0.3, 1.0])
def test_the_remainder_is_of_third_order(problem, alpha):
    network, inputs, targets = problem
    terms = expand(network, inputs, targets, alpha)
    scales = [0.04, 0.08]
    errors = [
        abs(path_risk(network, inputs, targets, alpha, s) - terms.shrunk - s**2 * terms.second_order) for s in scales
    ]
    slope = math.log(errors[1] / errors[0]) / math.log(scales[1] / scales[0])
    assert 2.8 < slope < 3.2


@pytest.mark.parametrize("left_out", ["jacobian", "curvature", "alignment"])
def test_without_one_of_its_terms_the_expansion_is_of_second_order(problem, left_out):
    network, inputs, targets = problem
    terms = expand(network, inputs, targets, 1.0)
    second = terms.second_order - getattr(terms, left_out)
    scales = [0.01, 0.02]
    errors = [abs(path_risk(network, inputs, targets, 1.0, s) - terms.shrunk - s**2 * second) for s in scales]
    assert 1.8 < math.log(errors[1] / errors[0]) / math.log(2) < 2.2


def test_each_term_alone_agrees_with_simulation(problem, generator):
    network, inputs, targets = problem
    terms = expand(network, inputs, targets, 1.0)
    moved = perturbations(inputs, targets, 1.0, 20_000, generator=generator)
    for name, (mean, error) in isolate(network, inputs, targets, *moved, 1.0, 0.05).items():
        assert abs(mean - getattr(terms, name)) < 5 * error + 0.01 * abs(getattr(terms, name)), name


def test_a_linear_softmax_model_by_hand():
    """Logits (w x, 0) on the two points -1 and 1: all terms follow from p = sigmoid(w x_tilde)."""
    w, inputs = 1.5, torch.tensor([[-1.0], [1.0]], dtype=torch.float64)
    targets = torch.tensor([[0.0, 1.0], [1.0, 0.0]], dtype=torch.float64)
    terms = expand(lambda x: torch.cat([w * x, 0 * x], -1), inputs, targets, 1.0)
    p = 1 / (1 + math.exp(-w * 0.75))
    label = 0.5 + 0.75 * 0.5
    sigma = 1 / 48 + 1 / 12
    assert math.isclose(terms.shrunk, -label * math.log(p) - (1 - label) * math.log(1 - p))
    assert math.isclose(terms.jacobian, w**2 * p * (1 - p) * sigma / 2)
    assert terms.curvature == 0
    # Cross covariance of x and the first label: x = 2 (y_1 - 1/2).
    assert math.isclose(terms.alignment, -w * sigma / 2)


@given(seed=st.integers(0, 1000), alpha=st.floats(0.1, 10))
def test_the_jacobian_term_is_never_negative(seed, alpha):
    g = torch.Generator().manual_seed(seed)
    weight = torch.randn(D, C, dtype=torch.float64, generator=g)
    inputs = torch.randn(N, D, dtype=torch.float64, generator=g)
    targets = torch.eye(C, dtype=torch.float64)[torch.randint(C, (N,), generator=g)]
    assert expand(lambda x: (x @ weight).sin(), inputs, targets, alpha).jacobian >= 0


def test_the_errors_along_the_path_are_those_of_its_ends(problem):
    network, inputs, targets = problem
    terms = expand(network, inputs, targets, 1.0)
    start, end = path_errors(network, inputs, targets, 1.0, [0.0, 1.0])
    assert start < 1e-12
    assert math.isclose(end, abs(path_risk(network, inputs, targets, 1.0, 1.0) - terms.total))

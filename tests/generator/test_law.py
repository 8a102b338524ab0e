"""The law of the soft labels: the simplex, the exact share of the class, and the entropies by simulation."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from oracle import assert_mean, assert_probabilities, seeded, unchanged_global_rng

from mixlab.generator import divergence, entropy_of_law, kl_of_ignorant, soft_labels
from mixlab.generator.law import BACKGROUNDS
from mixlab.risk import soft_cross_entropy


@given(st.integers(2, 40), st.floats(0, 1), st.sampled_from(BACKGROUNDS), st.integers(0, 30), st.integers(0, 2**31))
def test_every_label_is_on_the_simplex_and_the_class_has_its_share_exactly(classes, epsilon, background, rows, seed):
    labels = torch.randint(classes, (rows,), generator=seeded(seed))
    mu = soft_labels(labels, classes, epsilon, background=background, generator=seeded(seed))
    assert mu.shape == (rows, classes) and mu.dtype == torch.float32
    assert bool((mu >= 0).all()) and bool(((mu.double().sum(1) - 1).abs() < 1e-6).all())
    assert torch.equal(mu[torch.arange(rows), labels], torch.full((rows,), 1 - epsilon))


def test_a_constant_background_is_label_smoothing_and_one_class_has_all_of_one():
    labels = torch.tensor([3, 0, 2])
    constant = soft_labels(labels, 4, 0.3, background="constant")
    rows = [[0.1, 0.1, 0.1, 0.7], [0.7, 0.1, 0.1, 0.1], [0.1, 0.1, 0.7, 0.1]]
    torch.testing.assert_close(constant, torch.tensor(rows))
    one = soft_labels(labels.repeat(9), 4, 0.3, background="one", generator=seeded())
    torch.testing.assert_close(one.sort(1).values, torch.tensor([[0, 0, 0.3, 0.7]]).expand(27, -1))


def test_a_single_class_of_background_is_drawn_uniformly_among_the_others():
    mu = soft_labels(torch.full((6000,), 1), 4, 0.4, background="one", generator=seeded(1))
    assert_probabilities((mu > 0).sum(0).tolist(), [1 / 3, 1, 1 / 3, 1 / 3], 6000)


def test_a_uniform_background_has_the_moments_of_a_flat_dirichlet():
    """Each share of n is Beta(1, n - 1): mean 1/n, mean square 2 / n (n + 1), and P(share > t) = (1 - t)^(n - 1)."""
    mu = soft_labels(torch.full((6000,), 2), 5, 0.5, generator=seeded(2)).double()
    for shares in (2 * mu[:, [0, 1, 3, 4]]).T:
        assert_mean(shares, 1 / 4)
        assert_mean(shares.square(), 2 / (4 * 5))
        assert_probabilities([int((shares > 0.4).sum())], [0.6**3], 6000)


@pytest.mark.parametrize("background", BACKGROUNDS)
@pytest.mark.parametrize(("classes", "epsilon"), [(2, 0.5), (3, 1.0), (10, 0.5), (10, 0.1), (100, 0.5), (4, 0.0)])
def test_entropy_and_the_kl_of_the_ignorant_are_those_of_a_simulation(classes, epsilon, background):
    mu = soft_labels(torch.zeros(4000, dtype=torch.int64), classes, epsilon, background=background,
                     generator=seeded(3)).double()
    assert_mean(torch.special.entr(mu).sum(1), entropy_of_law(classes, epsilon, background=background))
    ignorant = soft_labels(torch.tensor([0]), classes, epsilon, background="constant").double()
    kl = torch.special.xlogy(mu, mu / ignorant.clamp(min=1e-300)).sum(1)
    assert_mean(kl, kl_of_ignorant(classes, epsilon, background=background))


def test_what_is_known_of_the_kl_of_the_ignorant():
    assert [round(kl_of_ignorant(classes, 0.5), 3) for classes in (10, 100)] == [0.184, 0.209]
    assert kl_of_ignorant(100_001, 1.0) == pytest.approx(1 - 0.5772157, abs=1e-4)
    assert kl_of_ignorant(5, 0.4, background="one") == pytest.approx(0.4 * math.log(4))
    assert kl_of_ignorant(5, 0.4, background="constant") == kl_of_ignorant(2, 0.4) == kl_of_ignorant(5, 0.0) == 0


def test_no_other_label_that_ignores_mu_does_better():
    mu = soft_labels(torch.zeros(4000, dtype=torch.int64), 5, 0.5, generator=seeded(4)).double()
    best = mu.mean(0).log()
    least = divergence(mu, best.expand_as(mu)).mean()
    for seed in range(20):
        moved = best + 0.3 * torch.randn(5, generator=seeded(seed), dtype=torch.float64)
        assert divergence(mu, moved.expand_as(mu)).mean() > least


def test_the_divergence_is_the_cross_entropy_less_the_entropy_and_has_its_gradient():
    mu = soft_labels(torch.arange(6), 6, 0.5, generator=seeded(5))
    logits = torch.randn(6, 6, generator=seeded(6), dtype=torch.float64).requires_grad_()
    kl, entropy = divergence(mu, logits), torch.special.entr(mu.double()).sum(1)
    cross_entropy = soft_cross_entropy(logits, mu, reduction="none")
    torch.testing.assert_close(kl, cross_entropy - entropy)
    gradients = [torch.autograd.grad(each.sum(), logits, retain_graph=True)[0] for each in (kl, cross_entropy)]
    torch.testing.assert_close(*gradients)
    assert divergence(mu.bfloat16(), logits.detach().bfloat16()).dtype == torch.float32


def test_one_generator_gives_one_draw_and_the_global_one_is_left_alone():
    labels = torch.arange(8) % 4
    with unchanged_global_rng():
        for background in BACKGROUNDS:
            first, again = (soft_labels(labels, 4, 0.5, background=background, generator=seeded(7)) for _ in range(2))
            assert torch.equal(first, again)
    small = soft_labels(labels.to(torch.uint8), 4, 0.5, generator=seeded(7))
    assert torch.equal(small, soft_labels(labels, 4, 0.5, generator=seeded(7)))


@pytest.mark.parametrize(("labels", "options"), [
    ([0, 3], {}), ([-1, 0], {}), ([0.5, 1.0], {}), ([[0, 1]], {}), ([True, False], {}), ([0], {"num_classes": 1}),
    ([0], {"epsilon": 1.1}), ([0], {"epsilon": float("nan")}), ([0], {"background": "dirichlet"}),
    ([0], {"generator": None}), ([0], {"generator": None, "background": "one"}),
], ids=str)
def test_what_is_no_law_is_refused(labels, options):
    law = {"num_classes": 3, "epsilon": 0.5, "background": "uniform", "generator": seeded()} | options
    with pytest.raises(ValueError, match="expected .*, received"):
        soft_labels(torch.tensor(labels), law.pop("num_classes"), law.pop("epsilon"), **law)

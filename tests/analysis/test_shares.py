"""Effective numbers, exact probabilities and rounding, against draws and closed forms."""

import pytest
import torch

from mixlab import priors
from mixlab.analysis.shares import (
    effective_images,
    measured_effective_images,
    naive_dirichlet,
    probability_inside,
    rounding_error,
    seen_images,
)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("k, alpha", [(2, 1.0), (5, 0.2), (9, 1 / 9), (9, 1.0), (3, 8.0)])
def test_effective_number_is_what_draws_show(k, alpha):
    shares = priors.dirichlet(alpha, 40_000, k=k, generator=seeded())
    assert measured_effective_images(shares) == pytest.approx(effective_images(alpha, k), rel=0.02)


@pytest.mark.parametrize("k", [1, 2, 3, 5, 9, 100, 10_000])
def test_at_alpha_one_over_k_it_stays_below_two(k):
    assert effective_images(1 / k, k) == pytest.approx(2 * k / (k + 1)) and effective_images(1 / k, k) < 2


def test_limits_of_the_effective_number():
    assert effective_images(0.0, 7) == 1 and effective_images(1e9, 7) == pytest.approx(7)
    with pytest.raises(ValueError, match="alpha >= 0"):
        effective_images(-1.0, 3)


def test_seen_images_counts():
    assert seen_images(torch.tensor([[0.9, 0.1, 0.0], [0.4, 0.3, 0.3]])) == 2.5


@pytest.mark.parametrize("alpha", [1e-3, 1e-2, 0.2, 1.0, 8.0])
def test_exact_probability_is_what_log_space_draws_show(alpha):
    first = priors.dirichlet(alpha, 200_000, k=2, generator=seeded())[:, 0]
    measured = ((first > 0.01) & (first < 0.99)).double().mean().item()
    exact = probability_inside(alpha, 2, 0.01, 0.99)
    assert measured == pytest.approx(exact, abs=4 * (exact * (1 - exact) / 200_000) ** 0.5 + 1e-6)


def test_naive_draws_are_wrong_where_the_book_says_so():
    first = naive_dirichlet(1e-3, 20_000, 2, generator=seeded())[:, 0]
    inside = ((first > 0.01) & (first < 0.99)).double().mean().item()
    assert inside > 30 * probability_inside(1e-3, 2, 0.01, 0.99)
    fine = naive_dirichlet(1.0, 20_000, 2, generator=seeded())[:, 0]
    assert fine.mean().item() == pytest.approx(0.5, abs=0.01) and fine.std().item() == pytest.approx(12**-0.5, abs=0.01)


def test_rounding_shrinks_in_proportion_to_the_pixel():
    small, large = (rounding_error(2, 1.0, size, 20_000, generator=seeded()) for size in (32, 224))
    assert small / large == pytest.approx(7, rel=0.1)
    assert small == pytest.approx(0.021, abs=0.001) and large == pytest.approx(0.003, abs=0.0003)

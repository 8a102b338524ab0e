"""Clipped boxes: closed forms against quadrature, simulation and the mixer."""

import math

import pytest
import torch
from scipy.integrate import quad
from scipy.stats import beta

from mixlab import priors
from mixlab.analysis.clipping import clipped_area_cdf, clipped_area_mean
from mixlab.mixers import CutMix, UnclippedCutMix


def simulated(alpha, n, generator):
    """Areas of continuous boxes, clipped by hand."""
    side = (1 - priors.beta(alpha, alpha, n, generator=generator)).sqrt()
    centre = torch.rand(n, 2, dtype=torch.float64, generator=generator)
    low, high = (centre - side[:, None] / 2).clamp(min=0), (centre + side[:, None] / 2).clamp(max=1)
    return (high - low).prod(1)


def test_at_alpha_one_the_mean_is_77_240ths():
    assert math.isclose(clipped_area_mean(1.0), 77 / 240)
    assert math.isclose(clipped_area_mean(1.0), quad(lambda u: (u**0.5 - u / 4) ** 2, 0, 1)[0], rel_tol=1e-9)


@pytest.mark.parametrize("alpha", [0.2, 0.5, 2.0, 8.0])
def test_the_mean_is_the_integral(alpha):
    integral = quad(lambda u: (u**0.5 - u / 4) ** 2 * beta.pdf(u, alpha, alpha), 0, 1, points=[0.001, 0.999])[0]
    assert math.isclose(clipped_area_mean(alpha), integral, rel_tol=1e-3)


def test_the_limits_of_the_mean():
    assert math.isclose(clipped_area_mean(1e-6), 9 / 32, rel_tol=1e-4)
    assert math.isclose(clipped_area_mean(1e6), (0.5**0.5 - 1 / 8) ** 2, rel_tol=1e-4)


@pytest.mark.parametrize("alpha", [1e-300, 1e-12])
def test_the_mean_of_a_tiny_alpha_is_that_of_a_coin(alpha):
    assert math.isclose(clipped_area_mean(alpha), 9 / 32, rel_tol=1e-9)


@pytest.mark.parametrize("alpha", [1e9, 1e15, 1e100, 1e300])
def test_the_mean_of_a_large_alpha_is_that_of_one_box(alpha):
    """The variance of u is 1 / (8 α + 4): what is left of it is smaller than 1 / α."""
    assert math.isclose(clipped_area_mean(alpha), (0.5**0.5 - 1 / 8) ** 2, rel_tol=1 / alpha + 1e-14)


@pytest.mark.parametrize("alpha", [0, -2.0, math.nan, math.inf])
def test_a_bad_alpha_is_refused(alpha):
    with pytest.raises(ValueError, match="positive alpha"):
        clipped_area_mean(alpha)
    with pytest.raises(ValueError, match="positive alpha"):
        clipped_area_cdf(torch.tensor([0.5]), alpha)


@pytest.mark.parametrize("alpha", [0.2, 1.0, 8.0])
def test_the_distribution_is_that_of_clipped_boxes(alpha, generator):
    areas = simulated(alpha, 100_000, generator)
    at = torch.linspace(0.01, 0.99, 25)
    counted = torch.stack([(areas <= value).double().mean() for value in at])
    assert float((counted - clipped_area_cdf(at, alpha)).abs().max()) < 0.008


def test_the_distribution_has_the_stated_mean():
    at = (torch.arange(1000, dtype=torch.float64) + 0.5) / 1000
    assert math.isclose(float((1 - clipped_area_cdf(at, 1.0)).mean()), 77 / 240, rel_tol=1e-3)


def test_the_mixers_follow_the_theory(generator):
    images = torch.zeros(20_000, 1, 64, 64)
    clipped = 1 - CutMix(1.0).draw(images, generator=generator).shares[:, 0]
    whole = 1 - UnclippedCutMix(1.0).draw(images, generator=generator).shares[:, 0]
    assert abs(float(clipped.mean()) - 77 / 240) < 0.006
    assert abs(float(whole.mean()) - 0.5) < 0.008

"""Vicinities draw what they say, and risk by sampling agrees with the risks that need no sampling."""

import pytest
import torch
from torch import nn

from mixlab.mixers import Mixup
from mixlab.risk import EmpiricalRisk, SampledRisk, VicinalRisk
from mixlab.risk.vicinity import Delta, FlipCrop, Gaussian, Mixed
from mixlab.rng import generator

IMAGES = torch.rand(6, 2, 5, 4, generator=torch.Generator().manual_seed(3))
LABELS = torch.tensor([0, 1, 2, 2, 1, 0])
ALL = [Delta(), Gaussian(0.2), FlipCrop(2), Mixed(Mixup(1.0))]


@pytest.mark.parametrize("vicinity", ALL, ids=lambda each: type(each).__name__)
def test_draws_follow_from_the_generator_and_leave_the_batch_alone(vicinity):
    before = IMAGES.clone()
    first, again, other = (vicinity.sample(IMAGES, LABELS, 3, generator(seed)) for seed in (0, 0, 1))
    assert torch.equal(first[0], again[0]) and torch.equal(first[1], again[1])
    assert torch.equal(IMAGES, before) and first[0].shape == IMAGES.shape
    assert torch.equal(first[0], other[0]) == isinstance(vicinity, Delta)
    torch.testing.assert_close(first[1].sum(1), torch.ones(6))


@pytest.mark.parametrize("vicinity", ALL[:3], ids=lambda each: type(each).__name__)
def test_only_mixing_changes_the_label(vicinity):
    assert torch.equal(vicinity.sample(IMAGES, LABELS, 3, generator(0))[1], nn.functional.one_hot(LABELS, 3).float())


def test_gaussian_noise_has_its_mean_and_deviation():
    drawn, _ = Gaussian(0.5).sample(torch.ones(100, 400), torch.zeros(100).long(), 2, generator(0))
    assert abs(drawn.mean().item() - 1) < 0.01 and abs(drawn.std().item() - 0.5) < 0.01


def test_flip_and_crop_shows_a_window_of_the_padded_image_or_of_its_mirror():
    padded = nn.functional.pad(IMAGES, (1, 1, 1, 1))
    drawn, _ = FlipCrop(1).sample(IMAGES, LABELS, 3, generator(0))
    for row, image in enumerate(drawn):
        windows = [padded[row, :, i : i + 5, j : j + 4] for i in range(3) for j in range(3)]
        assert any(torch.equal(image, shown) for window in windows for shown in (window, window.flip(-1)))


def test_mixed_is_the_mix_that_the_mixer_draws():
    drawn, targets = Mixed(Mixup(0.7)).sample(IMAGES, LABELS, 3, generator(5))
    mix = Mixup(0.7).draw(IMAGES, LABELS, generator=generator(5))
    assert torch.equal(drawn, mix.apply(IMAGES)) and torch.equal(targets, mix.targets(LABELS, 3))


@pytest.mark.parametrize(
    ("vicinity", "risk"), [(Delta(), EmpiricalRisk()), (Mixed(Mixup(1.0)), VicinalRisk(Mixup(1.0)))]
)
def test_sampled_risk_is_the_risk_it_stands_for(vicinity, risk):
    model = nn.Sequential(nn.Flatten(), nn.Linear(40, 3))
    batch = IMAGES, LABELS
    sampled = SampledRisk(vicinity, 3)(model, batch, generator=generator(9))
    torch.testing.assert_close(sampled, risk(model, batch, generator=generator(9)))


def test_gaussian_risk_of_a_quadratic_loss_has_its_closed_form():
    # Two logits (x, -x): the loss of class 0 is log(1 + exp(-2x)); its mean over x + sigma*eps by quadrature.
    model = nn.Linear(1, 2, bias=False)
    with torch.no_grad():
        model.weight.copy_(torch.tensor([[1.0], [-1.0]]))
    batch = torch.full((200_000, 1), 0.3), torch.zeros(200_000).long()
    nodes = torch.linspace(-8, 8, 4001, dtype=torch.float64)
    density = torch.exp(-(nodes**2) / 2)
    exact = (torch.log1p(torch.exp(-2 * (0.3 + 0.5 * nodes))) * density).sum() / density.sum()
    sampled = SampledRisk(Gaussian(0.5), 2)(model, batch, generator=generator(0))
    assert abs(sampled.item() - exact.item()) < 0.005


def test_a_sampled_risk_prints_what_it_samples():
    assert repr(SampledRisk(Gaussian(0.5), 3)) == "SampledRisk(Gaussian(sigma=0.5), num_classes=3)"


def test_wrong_use_is_refused():
    with pytest.raises(ValueError, match="at least 0, received -1"):
        Gaussian(-1.0)
    with pytest.raises(ValueError, match="floating-point images, received torch.uint8"):
        Gaussian(1.0).sample(IMAGES.byte(), LABELS, 3, generator(0))
    for padding in (-1, 1.5):
        with pytest.raises(ValueError, match="whole pixels"):
            FlipCrop(padding)
    with pytest.raises(ValueError, match=r"labels of shape \(B, 3\) for 3 logits, received \(6, 7\)"):
        Delta().sample(IMAGES, torch.full((6, 7), 1 / 7), 3, generator(0))
    with pytest.raises(ValueError, match="expected a generator"):
        SampledRisk(Delta(), 3)(nn.Flatten(), (IMAGES, LABELS))

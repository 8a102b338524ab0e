"""Both readings of the predictive distribution: closed forms, brute force, and independence of the batch."""

import math

import pytest
import torch
from torch import nn

from mixlab.bayes import blended_composites, nested_composites, predictive

POOL = torch.rand(9, 1, 6, 8, generator=torch.Generator().manual_seed(2))
LABELS = torch.arange(9) % 3
IMAGES = torch.rand(7, 1, 6, 8, generator=torch.Generator().manual_seed(3))


class Constant(nn.Module):
    """The same distribution whatever the picture."""

    def __init__(self, probabilities):
        super().__init__()
        self.logits = torch.tensor(probabilities).log()

    def forward(self, images):
        return self.logits.expand(len(images), -1)


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(96, 3))


def around(kind=nested_composites, k=4, draws=6, anchor_share=0.5, seed=0):
    return kind(POOL, LABELS, num_classes=3, k=k, alpha=0.7, anchor_share=anchor_share, draws=draws,
                generator=torch.Generator().manual_seed(seed))


def test_constant_network_reading_a_is_the_constant():
    result = predictive(Constant([0.5, 0.3, 0.2]), IMAGES, around())
    p = torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64)
    assert torch.allclose(result.averaged, p.expand(7, -1), atol=1e-7)


def test_constant_network_reading_b_has_a_closed_form():
    p = torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64)
    composites = around()
    terms = (composites.targets.double() @ p.log())[:, None] + composites.weights.double()[:, None] * p.log()
    expected = terms.exp().mean(0)
    result = predictive(Constant([0.5, 0.3, 0.2]), IMAGES, composites)
    assert torch.allclose(result.log_likelihood.exp(), expected.expand(7, -1), atol=1e-7)
    assert torch.allclose(result.posterior, (expected / expected.sum()).expand(7, -1), atol=1e-7)


@pytest.mark.parametrize("kind", [nested_composites, blended_composites])
def test_k_1_is_a_single_pass_in_both_readings(kind):
    model = network().eval()
    with torch.no_grad():
        once = model(IMAGES).double().softmax(1)
    result = predictive(model, IMAGES, around(kind, k=1, draws=3))
    assert torch.allclose(result.averaged, once, atol=1e-6)
    assert torch.allclose(result.log_likelihood.exp(), once, atol=1e-6)
    assert torch.allclose(result.posterior, once, atol=1e-6)


@pytest.mark.parametrize("kind", [nested_composites, blended_composites])
def test_brute_force_over_every_composite_and_every_class(kind):
    model, composites = network().eval(), around(kind)
    result = predictive(model, IMAGES, composites, batch_size=3)
    for n, image in enumerate(IMAGES):
        averaged, likelihood = [0.0] * 3, [0.0] * 3
        for s in range(6):
            with torch.no_grad():
                f = model((image * composites.masks[s] + composites.backgrounds[s])[None])[0].softmax(0).tolist()
            for c in range(3):
                label = composites.targets[s].tolist()
                label[c] += composites.weights[s].item()
                cross_entropy = -sum(weight * math.log(p) for weight, p in zip(label, f))
                averaged[c] += f[c] / 6
                likelihood[c] += math.exp(-cross_entropy) / 6
        assert result.averaged[n].tolist() == pytest.approx(averaged, abs=1e-5)
        assert result.log_likelihood[n].exp().tolist() == pytest.approx(likelihood, abs=1e-5)
        own = result.own_likelihood(torch.full((7,), 2))
        assert own[n].item() == pytest.approx(likelihood[2], abs=1e-5)


def test_linear_probabilities_under_blending_are_blended():
    # A model whose softmax is linear in the picture: p(x) = a x + b for one pixel, so averages can be written down.
    class Linear(nn.Module):
        def forward(self, images):
            p = images.flatten(1)[:, :1]
            return torch.cat([p, 1 - p], 1).log()

    pool, labels = torch.rand(5, 1, 1, 1) * 0.8 + 0.1, torch.tensor([0, 1, 0, 1, 0])
    composites = blended_composites(pool, labels, num_classes=2, k=3, alpha=1.0, anchor_share=0.25, draws=40,
                                    generator=torch.Generator().manual_seed(0))
    image = torch.full((1, 1, 1, 1), 0.6)
    expected = 0.25 * 0.6 + composites.backgrounds.mean().item()
    assert predictive(Linear(), image, composites).averaged[0, 0].item() == pytest.approx(expected, abs=1e-6)


def test_neither_batch_size_nor_order_matters():
    model, composites = network(), around()
    whole = predictive(model, IMAGES, composites)
    for batch_size in (1, 2, 5):
        parts = predictive(model, IMAGES, composites, batch_size=batch_size)
        assert torch.allclose(parts.averaged, whole.averaged, atol=1e-6)
        assert torch.allclose(parts.log_likelihood, whole.log_likelihood, atol=1e-5)
    backwards = predictive(model, IMAGES.flip(0), composites, batch_size=2)
    assert torch.allclose(backwards.averaged.flip(0), whole.averaged, atol=1e-6)


def test_rows_are_distributions_and_the_model_is_left_as_it_was():
    model = network()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    result = predictive(model, IMAGES, around())
    ones = torch.ones(7, dtype=torch.float64)
    assert torch.allclose(result.averaged.sum(1), ones) and torch.allclose(result.posterior.sum(1), ones)
    assert model.training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_likelihoods_far_below_the_smallest_float_do_not_vanish():
    extreme = Constant([1.0, 1e-300, 1e-300])
    extreme.logits = torch.tensor([0.0, -5000.0, -9000.0])
    result = predictive(extreme, IMAGES, around())
    assert result.posterior.isfinite().all() and (result.posterior[:, 0] > 0.999).all()

"""Each risk against what it should be on networks that are simple enough to say."""

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from mixlab.mixers import CutMix, DCutMix, Identity, ManifoldMixup, Mixup, OneOf, PerSample, Sometimes
from mixlab.risk import EmpiricalRisk, ManifoldRisk, VicinalRisk, build_risk, soft_cross_entropy


@pytest.fixture
def batch(generator):
    return torch.randn(12, 3, 8, 8, generator=generator), torch.randint(5, (12,), generator=generator)


@pytest.fixture
def model(generator):
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 5))
    for parameter in network.parameters():
        nn.init.normal_(parameter, std=0.2, generator=generator)
    return network


def seeded(seed=3):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 1.0])
def test_empirical_risk_is_torchs_smoothed_cross_entropy(model, batch, smoothing):
    images, labels = batch
    expected = cross_entropy(model(images), labels, label_smoothing=smoothing)
    assert torch.allclose(EmpiricalRisk(smoothing)(model, batch), expected, rtol=1e-5)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int16, torch.int32, torch.int64])
def test_empirical_risk_takes_labels_of_any_integer_type_and_soft_ones(model, batch, dtype):
    images, labels = batch
    hard = EmpiricalRisk()(model, (images, labels.to(dtype)))
    soft = EmpiricalRisk()(model, (images, nn.functional.one_hot(labels, 5).float()))
    assert torch.equal(hard, soft)


def test_empirical_risk_draws_nothing(model, batch):
    draws = seeded()
    before = draws.get_state()
    EmpiricalRisk()(model, batch, generator=draws)
    assert torch.equal(before, draws.get_state())


@pytest.mark.parametrize("labels", [
    torch.tensor([0, 5]), torch.tensor([-1, 0]), torch.tensor([0.0, 1.0]), torch.tensor([True, False]),
    torch.full((2, 4), 0.25), torch.full((2, 5), 2), torch.full((2, 4), 1),
])
def test_empirical_risk_names_bad_labels(labels):
    with pytest.raises(ValueError, match="expected"):
        EmpiricalRisk()(nn.Identity(), (torch.zeros(2, 5), labels))


@pytest.mark.parametrize("smoothing", [-0.1, 1.1, float("nan")])
def test_label_smoothing_outside_the_unit_interval_is_refused(smoothing):
    with pytest.raises(ValueError, match="label_smoothing"):
        EmpiricalRisk(smoothing)


def test_vicinal_risk_of_the_identity_is_the_empirical_risk(model, batch):
    assert torch.allclose(VicinalRisk(Identity())(model, batch), EmpiricalRisk()(model, batch), rtol=1e-6)


def test_vicinal_risk_is_the_weighted_sum_of_two_cross_entropies(model, batch):
    images, labels = batch
    mixer = Mixup(alpha=1.0)
    mix = mixer.draw(images, labels, generator=seeded())
    share, partner = mix.weights[:, 1], mix.sources[:, 1]
    logits = model((1 - share).view(-1, 1, 1, 1) * images + share.view(-1, 1, 1, 1) * images[partner])
    own, other = (cross_entropy(logits, each, reduction="none") for each in (labels, labels[partner]))
    expected = ((1 - share) * own + share * other).mean()
    assert torch.allclose(VicinalRisk(mixer)(model, batch, generator=seeded()), expected, rtol=1e-5)


def test_equal_generators_give_equal_losses_and_the_global_one_is_left_alone(model, batch):
    risk, state = VicinalRisk(DCutMix(k=3, alpha=1.0)), torch.get_rng_state()
    first, second, other = (risk(model, batch, generator=seeded(seed)) for seed in (1, 1, 2))
    assert torch.equal(first, second) and not torch.equal(first, other)
    assert torch.equal(state, torch.get_rng_state())


def test_manifold_risk_on_the_input_is_the_vicinal_risk(model, batch):
    images, labels = batch
    manifold = ManifoldMixup(CutMix(alpha=1.0), layers=[""])
    logits, mix = manifold(model, images, labels, generator=seeded())
    assert torch.allclose(logits, model(mix.apply(images)))
    expected = soft_cross_entropy(logits, mix.targets(labels, 5))
    assert torch.equal(ManifoldRisk(manifold)(model, batch, generator=seeded()), expected)


def test_manifold_risk_mixes_what_the_layer_puts_out(model, batch):
    images, labels = batch
    manifold = ManifoldMixup(Mixup(alpha=1.0), layers=["1"])
    _, mix = manifold(model, images, labels, generator=seeded())
    logits = model[2:](mix.apply(model[:2](images)))
    expected = soft_cross_entropy(logits, mix.targets(labels, 5))
    assert torch.allclose(ManifoldRisk(manifold)(model, batch, generator=seeded()), expected, rtol=1e-5)


def test_gradients_reach_the_network_through_every_risk(model, batch):
    for risk in (EmpiricalRisk(), VicinalRisk(DCutMix(3, 1.0)), ManifoldRisk(ManifoldMixup(Mixup(1.0), ["0"]))):
        model.zero_grad()
        risk(model, batch, generator=seeded()).backward()
        assert all(parameter.grad.abs().sum() > 0 for parameter in model.parameters())


@pytest.mark.parametrize(("spec", "expected"), [
    ({"name": "empirical", "label_smoothing": 0.1}, EmpiricalRisk(0.1)),
    ({"name": "vicinal", "mixer": {"name": "dcutmix", "k": 5, "alpha": 0.2}}, VicinalRisk(DCutMix(5, 0.2))),
    ({"name": "vicinal", "mixer": {"name": "sometimes", "p": 0.5, "mixer": {"name": "mixup"}}},
     VicinalRisk(Sometimes(Mixup(), 0.5))),
    ({"name": "vicinal", "mixer": {"name": "per-sample", "p": 0.5, "mixer": {"name": "mixup"}}},
     VicinalRisk(PerSample(Mixup(), 0.5))),
    ({"name": "vicinal", "mixer": {"name": "one-of", "mixers": [{"name": "mixup"}, {"name": "cutmix"}]}},
     VicinalRisk(OneOf([Mixup(), CutMix()]))),
    ({"name": "manifold", "mixer": {"name": "mixup", "alpha": 2.0}, "layers": ["", "1"]},
     ManifoldRisk(ManifoldMixup(Mixup(2.0), ["", "1"]))),
])
def test_a_specification_builds_what_it_says(spec, expected):
    assert repr(build_risk(spec)) == repr(expected)


@pytest.mark.parametrize(("spec", "message"), [
    ({}, "expected a risk of"), ({"name": "nothing"}, "expected a risk of .* received 'nothing'"),
    ({"name": "empirical", "smooth": 1}, "'smooth'"), ({"name": "vicinal"}, "'mixer'"),
    ({"name": "vicinal", "mixer": {"name": "blend"}}, "'blend'"), ({"name": "vicinal", "mixer": {}}, "None"),
    ({"name": "vicinal", "mixer": {"name": "mixup", "beta": 1}}, "beta"),
    ({"name": "vicinal", "mixer": "mixup"}, "expected a mixer such as .* received 'mixup'"),
    ({"name": "vicinal", "mixer": {"name": "sometimes", "p": 0.5}}, "'mixer'"),
    ({"name": "vicinal", "mixer": {"name": "sometimes", "mixer": {"name": "mixup"}}}, "'p'"),
    ({"name": "vicinal", "mixer": {"name": "sometimes", "p": 0.5, "mixer": {"name": "mixup"}, "often": 1}}, "'often'"),
    ({"name": "vicinal", "mixer": {"name": "one-of", "mixers": [{"name": "mixup"}], "weights": [1.0]}}, "'weights'"),
    ({"name": "manifold", "mixer": {"name": "mixup"}, "layers": "stage1"}, "layer names, received 'stage1'"),
    ({"name": "manifold", "mixer": {"name": "mixup"}, "layers": [1]}, r"layer names, received \[1\]"),
])
def test_a_wrong_specification_is_refused(spec, message):
    with pytest.raises(ValueError, match=message):
        build_risk(spec)

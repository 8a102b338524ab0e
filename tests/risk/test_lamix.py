"""LaMix against its equations, its bounds and its controls."""

import copy
import math
from dataclasses import dataclass, replace

import pytest
import torch
from oracle import assert_mean, seeded, unchanged_global_rng
from torch import nn

from mixlab.data import load
from mixlab.mixers import Average, CutMix, Mixup
from mixlab.models import build, initialise
from mixlab.risk import EmpiricalRisk, LaMixRisk, VicinalRisk, build_risk
from mixlab.risk.lamix import linear_head
from mixlab.train import fit, recipes

CLASSES, WIDTH, ROWS = 5, 6, 12


@pytest.fixture
def batch(generator):
    images = torch.randn(ROWS, 2, 4, 4, generator=generator, dtype=torch.float64)
    return images, torch.randint(CLASSES, (ROWS,), generator=generator)


@pytest.fixture
def model(generator):
    network = nn.Sequential(nn.Flatten(), nn.Linear(32, WIDTH), nn.Tanh(), nn.Linear(WIDTH, CLASSES)).double()
    for parameter in network.parameters():
        nn.init.normal_(parameter, std=0.7, generator=generator)
    return network


@dataclass(frozen=True)
class NextRow(Average):
    """The average with the next row: nothing is drawn but λ."""

    def _partners(self, batch, k, generator):
        return torch.stack([torch.arange(batch), torch.arange(batch).roll(-1)], 1)


def lamix(**options):
    """A risk in double precision whose head says something, bias included."""
    risk = LaMixRisk(CLASSES, WIDTH, **{"layer": "3", "generator": seeded(7)} | options).double()
    nn.init.normal_(risk.head.weight, generator=seeded(8))
    nn.init.normal_(risk.head.bias, generator=seeded(9))
    return risk


def softmax(scores):
    return scores.exp() / scores.exp().sum(1, keepdim=True)


def gradients(loss, *modules):
    loss.backward()
    found = [None if each.grad is None else each.grad.clone() for module in modules for each in module.parameters()]
    for module in modules:
        module.zero_grad()
    return found


def by_hand(risk, model, batch, step, draws):
    """Equations 4 to 11 and their gradients, without autograd beyond the embedding."""
    images, labels = batch
    one_hot = torch.eye(CLASSES, dtype=torch.float64)[labels]
    seen, local = images, one_hot
    if step % 2 or not risk.clean:
        mix = risk.mixer.draw(images, labels, generator=draws)
        partner, own = mix.sources[:, 1], mix.weights[:, :1].double()
        seen, local = 0.5 * images + 0.5 * images[partner], own * one_hot + (1 - own) * one_hot[partner]
    hidden = model[:3](seen)
    s, w_l = hidden.detach(), model[3].weight.detach()
    predicted = softmax(s @ w_l.T + model[3].bias.detach())
    scores = risk.scale * (s @ risk.head.weight.detach().T + risk.head.bias.detach())
    sigma = 1 / (1 + (-scores).exp())
    p = softmax(sigma if risk.sigmoid else scores)
    target = risk.beta * local + (1 - risk.beta) * p
    loss = -(target * predicted.log()).sum(1).mean()
    of_p = -(1 - risk.beta) * predicted.log() / ROWS
    of_scores = p * (of_p - (p * of_p).sum(1, keepdim=True)) * (sigma * (1 - sigma) if risk.sigmoid else 1) * risk.scale
    of_logits = (predicted - target) / ROWS
    of_hidden = of_logits @ w_l
    if risk.target_grad == "full":
        of_hidden = of_hidden + of_scores @ risk.head.weight.detach()
    of_backbone = torch.autograd.grad(hidden, list(model[1].parameters()), of_hidden)
    of_head = [of_scores.T @ s, of_scores.sum(0)] if risk.target_grad != "none" else [None, None]
    return loss, [*of_backbone, of_logits.T @ s, of_logits.sum(0), *of_head]


@pytest.mark.parametrize("target_grad", ["full", "head", "none"])
@pytest.mark.parametrize(("step", "options"), [
    (0, {}), (1, {}), (0, {"clean": False}), (3, {"sigmoid": False}), (2, {"sigmoid": False}),
    (1, {"beta": 0.3, "scale": 1 / 9}), (1, {"beta": 0.0}),
])
def test_loss_and_gradients_are_those_of_the_equations(model, batch, step, options, target_grad):
    risk = lamix(target_grad=target_grad, **options)
    loss, expected = by_hand(risk, model, batch, step, seeded(4))
    ours = risk(model, batch, step=step, generator=seeded(4))
    torch.testing.assert_close(ours, loss, rtol=1e-6, atol=0)  # λ is kept in float32
    for grad, hand in zip(gradients(ours, model, risk), expected, strict=True):
        assert (grad is None) == (hand is None)
        if grad is not None:
            torch.testing.assert_close(grad, hand, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("target_grad", ["full", "head", "none"])
def test_with_a_lambda_that_float32_holds_they_agree_to_double_precision(model, batch, target_grad):
    risk = lamix(target_grad=target_grad, local_lambda=0.375)
    loss, expected = by_hand(risk, model, batch, 1, seeded(4))
    ours = risk(model, batch, step=1, generator=seeded(4))
    torch.testing.assert_close(ours, loss, rtol=1e-13, atol=0)
    for grad, hand in zip(gradients(ours, model, risk), expected, strict=True):
        assert grad is hand is None or torch.allclose(grad, hand, rtol=1e-11, atol=1e-14)


def test_gradients_reach_the_second_head_where_they_should(model, batch):
    for target_grad, reached in (("full", True), ("head", True), ("none", False)):
        risk = lamix(target_grad=target_grad)
        for step in (0, 1):
            grads = gradients(risk(model, batch, step=step, generator=seeded()), risk)
            assert all(each is not None and bool(each.abs().max() > 1e-4) for each in grads) == reached
        assert any(each.requires_grad for each in risk.parameters()) == reached


def test_in_head_mode_the_target_sends_nothing_into_the_network(model, batch):
    """The network's gradient is that of a constant target; with "full" it is another one."""
    losses = {}
    for target_grad in ("full", "head", "none"):
        risk = lamix(target_grad=target_grad)
        losses[target_grad] = gradients(risk(model, batch, step=1, generator=seeded()), model)
    for full, head, none in zip(*losses.values(), strict=True):
        assert torch.equal(head, none)
    assert not torch.allclose(losses["full"][0], losses["head"][0], rtol=1e-3)
    assert torch.allclose(losses["full"][2], losses["head"][2])  # W_l sees the target as it is in every mode


def test_clean_and_mixed_batches_take_turns(model, batch):
    images, _ = batch
    seen = []
    model.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    draws = seeded(4)
    for step in range(5):
        before = draws.get_state()
        lamix()(model, batch, step=step, generator=draws)
        assert torch.equal(seen[-1], images) == (step % 2 == 0)
        assert torch.equal(before, draws.get_state()) == (step % 2 == 0)
    for step in range(3):
        lamix(clean=False)(model, batch, step=step, generator=draws)
        assert not torch.equal(seen[-1], images)


def test_the_picture_does_not_depend_on_lambda(model, batch):
    images, _ = batch
    seen = []
    model.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    for weight in (0.0, 0.3, 1.0, "random"):
        lamix(local_lambda=weight)(model, batch, step=1, generator=seeded(4))
    partner = Average(pairing="permutation").draw(images, generator=seeded(4)).sources[:, 1]
    for each in seen:
        torch.testing.assert_close(each, (images + images[partner]) / 2, rtol=1e-14, atol=1e-14)


def test_partners_are_a_permutation_by_default_and_may_be_the_row_itself(batch):
    risk = lamix()
    drawn = torch.stack([risk.mixer.draw(*batch, generator=seeded(seed)).sources[:, 1] for seed in range(50)])
    assert torch.equal(drawn.sort(1).values, torch.arange(ROWS).expand(50, ROWS))
    assert bool((drawn == torch.arange(ROWS)).any())


@pytest.mark.parametrize("sigmoid", [True, False])
@pytest.mark.parametrize("beta", [0.0, 0.3, 1.0])
def test_targets_are_distributions(beta, sigmoid):
    risk = lamix(beta=beta, sigmoid=sigmoid)
    local = Mixup(0.5, num_classes=CLASSES)(torch.rand(ROWS, 3), torch.arange(ROWS) % CLASSES)[1]
    targets = risk.targets(local, 10 * torch.randn(ROWS, WIDTH, dtype=torch.float64, generator=seeded()))
    assert targets.shape == (ROWS, CLASSES) and bool((targets >= 0).all())
    torch.testing.assert_close(targets.sum(1).double(), torch.ones(ROWS, dtype=torch.float64), rtol=0, atol=1e-6)


@pytest.mark.parametrize("classes", [2, 10, 100])
def test_the_global_label_is_bounded_by_the_sigmoid_alone(classes):
    bound = math.e / (math.e + classes - 1)
    embeddings = 100 * torch.eye(classes, dtype=torch.float64) - 50
    with_it, without = (LaMixRisk(classes, classes, sigmoid=sigmoid).double() for sigmoid in (True, False))
    for risk in (with_it, without):
        nn.init.eye_(risk.head.weight)
    largest = with_it.global_label(embeddings).amax(1)
    torch.testing.assert_close(largest, torch.full_like(largest, bound), rtol=1e-12, atol=0)
    assert bool((without.global_label(embeddings).amax(1) > 0.999).all())
    drawn = with_it.global_label(30 * torch.randn(500, classes, dtype=torch.float64, generator=seeded()))
    assert bool((drawn <= bound).all())


def test_the_gradient_at_one_half_is_that_of_lambda_and_its_complement(model, batch):
    """The cross-entropy is linear in the target, and nothing else depends on λ."""
    grads = {}
    for weight in (0.125, 0.5, 0.875):
        risk = lamix(mixer=NextRow(weight))
        grads[weight] = gradients(risk(model, batch, step=1, generator=seeded()), model, risk)
    for low, half, high in zip(*grads.values(), strict=True):
        torch.testing.assert_close((low + high) / 2, half, rtol=1e-12, atol=1e-15)
    assert not torch.allclose(grads[0.125][0], grads[0.5][0], rtol=1e-2)


def test_the_mean_gradient_over_many_lambdas_is_the_gradient_at_one_half(model, batch):
    half, risk, draws = lamix(mixer=NextRow(0.5)), lamix(mixer=NextRow()), seeded(5)
    expected = torch.cat([each.flatten() for each in gradients(half(model, batch, step=1), model)])
    directions = torch.stack([expected, torch.randn(len(expected), dtype=torch.float64, generator=seeded())])
    drawn = (gradients(risk(model, batch, step=1, generator=draws), model) for _ in range(400))
    along = torch.stack([directions @ torch.cat([each.flatten() for each in grads]) for grads in drawn])
    for values, mean in zip(along.T, directions @ expected, strict=True):
        assert values.std() > 0
        assert_mean(values, mean.item(), sigmas=4)


@pytest.mark.parametrize("step", [0, 1])
def test_beta_one_ignores_the_global_label_and_trains_no_head(model, batch, step):
    risk, control = lamix(beta=1), VicinalRisk(Average(pairing="permutation"), clean=True)
    assert torch.equal(risk(model, batch, step=step, generator=seeded(2)),
                       control(model, batch, step=step, generator=seeded(2)))
    assert not any(each.requires_grad for each in risk.parameters())


@pytest.mark.parametrize("beta", [0.3, 0.5])
@pytest.mark.parametrize("local_lambda", ["random", 0.5])
def test_the_control_differs_in_the_global_label_alone(model, batch, beta, local_lambda):
    """A second head of zeros gives the uniform label; draws, pairs and turns are the same, step for step."""
    risk = lamix(beta=beta, local_lambda=local_lambda)
    control = VicinalRisk(Average(local_lambda, pairing="permutation"), label_smoothing=1 - beta, clean=True)
    ours, theirs = seeded(2), seeded(2)
    for step in range(4):
        learned = risk(model, batch, step=step, generator=seeded(step))
        smoothed = control(model, batch, step=step, generator=seeded(step))
        assert not torch.isclose(learned, smoothed, rtol=1e-4)
    nn.init.zeros_(risk.head.weight), nn.init.zeros_(risk.head.bias)
    for step in range(4):
        losses = [each(model, batch, step=step, generator=draws) for each, draws in ((risk, ours), (control, theirs))]
        torch.testing.assert_close(*losses, rtol=1e-7, atol=0)
        assert torch.equal(ours.get_state(), theirs.get_state())


def test_training_moves_the_global_label_towards_the_prediction_unless_the_target_is_detached():
    """On digits: the entry of the predicted class grows from 1/10 or so, below its bound."""
    data, entries = load("digits"), {}
    images = (data.test.images.float() / 255 - data.mean[0]) / data.std[0]
    for target_grad in ("full", "head", "none"):
        model = initialise(nn.Sequential(nn.Flatten(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10)), seeded())
        risk = build_risk({"name": "lamix", "target_grad": target_grad}, model=model, classes=10, generator=seeded(1))
        before = risk.head.weight.clone()
        fit(model, risk, data, replace(recipes["demo"], epochs=20), device="cpu")
        p, predicted = risk.global_label(model[:3](images)), model(images).argmax(1, keepdim=True)
        assert torch.equal(before, risk.head.weight) == (target_grad == "none")
        assert p.max() < math.e / (math.e + 9)
        entries[target_grad] = p.gather(1, predicted).mean().item()
    assert entries["full"] > 0.14 and entries["head"] > 0.14 and entries["none"] < 0.12


def test_the_network_alone_predicts(model, batch):
    images, _ = batch
    before, logits = copy.deepcopy(model.state_dict()), model(images)
    risk = lamix()
    risk(model, batch, step=1, generator=seeded()).backward()
    assert list(risk.state_dict()) == ["head.weight", "head.bias"]
    assert list(model.state_dict()) == list(before) and torch.equal(model(images), logits)
    assert all(not module._forward_pre_hooks and not module._forward_hooks for module in model.modules())


def test_the_head_starts_like_the_network_s_from_its_generator():
    with unchanged_global_rng():
        first, again, other = (LaMixRisk(10, 400, generator=seeded(seed)).head for seed in (1, 1, 2))
    assert torch.equal(first.weight, again.weight) and not torch.equal(first.weight, other.weight)
    assert torch.equal(LaMixRisk(10, 400).head.weight, LaMixRisk(10, 400, generator=seeded(0)).head.weight)
    assert not first.bias.any() and first.weight.abs().max() <= 1 / 20
    assert first.weight.std().item() == pytest.approx(1 / 20 / math.sqrt(3), rel=0.05)


@pytest.mark.parametrize("mixer", [CutMix(0.7), Average(0.2, pairing="distinct")])
def test_another_mixer_brings_its_images_and_its_labels(model, batch, mixer):
    risk, vicinal = lamix(mixer=mixer, beta=0.5), VicinalRisk(mixer, label_smoothing=0.5)
    nn.init.zeros_(risk.head.weight), nn.init.zeros_(risk.head.bias)
    expected = vicinal(model, batch, generator=seeded(3))
    torch.testing.assert_close(risk(model, batch, step=1, generator=seeded(3)), expected, rtol=1e-7, atol=0)


def test_labels_are_not_rounded_to_half_precision():
    risk = LaMixRisk(100, 8)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        p = risk.global_label(torch.randn(20, 8, generator=seeded()).bfloat16())
    assert p.dtype == torch.float32
    torch.testing.assert_close(p.sum(1), torch.ones(20), rtol=0, atol=1e-6)


@pytest.mark.parametrize(("name", "layer", "width", "scale"), [
    ("lenet", "head.linear", 84, 1), ("bench-net", "head.linear", 16, 1 / 9),
    ("preact-resnet18", "head.linear", 32, 1), ("wideresnet-10-2", "head.linear", 32, 1), ("resnet18", "fc", 512, 1),
])
def test_a_specification_finds_the_head_of_every_network(name, layer, width, scale):
    model = build(name, 10, width=None if name in ("lenet", "resnet18") else 4)
    spec = {"name": "lamix", "beta": 0.3, "target_grad": "head", "local_lambda": 0.5, "sigmoid": False, "clean": False}
    risk = build_risk(spec, model=model, classes=10, generator=seeded(3))
    expected = LaMixRisk(10, width, beta=0.3, target_grad="head", local_lambda=0.5, sigmoid=False, clean=False,
                         layer=layer, scale=scale, generator=seeded(3))
    assert repr(risk) == repr(expected) and torch.equal(risk.head.weight, expected.head.weight)
    assert not risk.compilable
    loss = risk(model, (torch.randn(3, 3, 32, 32, generator=seeded()), torch.tensor([0, 1, 9])), step=1)
    assert bool(loss.isfinite())


def test_a_scaled_network_s_second_head_starts_like_its_first_unless_another_scale_is_given():
    model = build("bench-net", 10, in_channels=1)
    embedding = model.head[:2](model.features(torch.randn(64, 1, 28, 28, generator=seeded())))
    risk = build_risk({"name": "lamix"}, model=model, classes=10, generator=seeded())
    ratio = (risk.scale * risk.head(embedding)).std() / model.head[2:](embedding).std()
    assert 0.7 < ratio < 1.4
    assert build_risk({"name": "lamix", "scale": 1.0}, model=model, classes=10).scale == 1


def test_a_specification_takes_another_mixer_and_another_layer(model):
    risk = build_risk({"name": "lamix", "mixer": {"name": "mixup", "alpha": 0.5}, "layer": "1"}, model=model,
                      classes=CLASSES)
    assert risk.mixer == Mixup(0.5) and (risk.layer, risk.head.in_features, risk.scale) == ("1", 32, 1)


def test_the_last_linear_layer_of_the_right_size_is_the_head():
    model = nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 3), nn.Linear(3, 7), nn.Identity())
    assert linear_head(model, 3)[0] == "1" and linear_head(model, 7)[0] == "2"


@pytest.mark.parametrize(("spec", "given", "message"), [
    ({}, {"classes": 5}, "expected a model .*'lamix'.* received no model"),
    ({}, {"model": nn.Linear(4, 5)}, "received no number of classes"),
    ({}, {"model": nn.Conv2d(1, 5, 3), "classes": 5}, "a linear head of 5 outputs, received Conv2d"),
    ({}, {"model": nn.Linear(4, 6), "classes": 5}, "a linear head of 5 outputs, received Linear"),
    ({"layer": "fc"}, {"model": nn.Sequential(nn.Linear(4, 5)), "classes": 5}, "a layer of the network, received 'fc'"),
    ({"layer": "0"}, {"model": nn.Sequential(nn.Flatten(), nn.Linear(4, 5)), "classes": 5}, "linear one, .* Flatten"),
    ({"bet": 1}, {"model": nn.Linear(4, 5), "classes": 5}, "'bet'"),
    ({"scale": 0}, {"model": nn.Linear(4, 5), "classes": 5}, "positive scale, received 0"),
    ({"classes": 5}, {"model": nn.Linear(4, 5), "classes": 5}, "'classes'"),
    ({"mixer": {"name": "mixup"}, "local_lambda": 0.5}, {"model": nn.Linear(4, 5), "classes": 5}, "no local_lambda"),
])
def test_a_wrong_specification_or_network_is_one_error(spec, given, message):
    with pytest.raises(ValueError, match=message):
        build_risk({"name": "lamix"} | spec, **given)


@pytest.mark.parametrize(("options", "message"), [
    *(({"beta": wrong}, r"expected beta in \[0, 1\], received") for wrong in (-0.1, 1.1, math.nan, "0.5", None, True)),
    *(({"target_grad": wrong}, "target_grad of full, head, none, received") for wrong in ("both", None, True, [1])),
    *(({"local_lambda": wrong}, r"local_lambda of 'random' or in \[0, 1\], received")
      for wrong in (-0.1, 1.1, math.nan, "half", None, True)),
    *(({name: wrong}, f"expected {name} to be True or False, received")
      for name in ("sigmoid", "clean") for wrong in (1, None, "yes")),
    *(({"scale": wrong}, "expected a positive scale, received") for wrong in (0, -1, math.inf, math.nan, "1", None)),
    *(({name: wrong}, f"expected a positive integer {name}, received")
      for name in ("classes", "width") for wrong in (0, -1, 2.0, True, None)),
    ({"mixer": Mixup(), "local_lambda": 0.5}, "no local_lambda with a mixer"),
])
def test_options_outside_their_values_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        LaMixRisk(**{"classes": 5, "width": 6} | options)


def test_a_network_that_does_not_fit_is_named(model, batch):
    with pytest.raises(ValueError, match="expected a layer of the network, received 'head.linear'"):
        LaMixRisk(CLASSES, WIDTH)(model, batch)
    with pytest.raises(ValueError, match=r"embeddings of shape \(B, 7\) in front of layer '3', received \(12, 6\)"):
        LaMixRisk(CLASSES, 7, layer="3")(model, batch)
    with pytest.raises(ValueError, match=r"one shape \(B, C\), received \(12, 5\) and \(12, 6\)"):
        LaMixRisk(6, WIDTH, layer="3")(model, batch)


def test_vicinal_risk_smooths_mixed_labels(model, batch):
    images, labels = batch
    mix = Mixup(0.6).draw(images, labels, generator=seeded(1))
    targets = 0.8 * mix.targets(labels, CLASSES).double() + 0.2 / CLASSES
    expected = -(targets * model(mix.apply(images)).log_softmax(1)).sum(1).mean()
    ours = VicinalRisk(Mixup(0.6), label_smoothing=0.2)(model, batch, generator=seeded(1))
    torch.testing.assert_close(ours, expected, rtol=1e-7, atol=0)


@pytest.mark.parametrize("smoothing", [0.0, 0.3])
def test_vicinal_risk_leaves_every_other_batch_clean_if_asked(model, batch, smoothing):
    turns, always = (VicinalRisk(CutMix(), smoothing, clean=clean) for clean in (True, False))
    for step in range(4):
        draws = seeded(step)
        ours = turns(model, batch, step=step, generator=draws)
        assert torch.equal(draws.get_state(), seeded(step).get_state()) == (step % 2 == 0)
        if step % 2:
            assert torch.equal(ours, always(model, batch, step=step, generator=seeded(step)))
        else:
            torch.testing.assert_close(ours, EmpiricalRisk(smoothing)(model, batch), rtol=1e-6, atol=0)


def test_vicinal_risk_without_options_is_what_it_was():
    """What a risk has at its default enters neither its text nor what makes two runs the same."""
    assert repr(VicinalRisk(Mixup())) == f"VicinalRisk({Mixup()!r})"
    assert not {"label_smoothing", "clean"} & set(vars(VicinalRisk(Mixup())))
    smoothed = VicinalRisk(Mixup(), label_smoothing=0.1, clean=True)
    assert repr(smoothed) == f"VicinalRisk({Mixup()!r}, label_smoothing=0.1, clean=True)"
    assert {"label_smoothing", "clean"} <= set(vars(smoothed))


@pytest.mark.parametrize(("options", "message"), [
    *(({"label_smoothing": wrong}, r"label_smoothing in \[0, 1\], received")
      for wrong in (-0.1, 1.1, math.nan, "1", True)),
    *(({"clean": wrong}, "expected clean to be True or False, received") for wrong in (1, 0.5, None)),
])
def test_vicinal_risk_names_wrong_options(options, message):
    with pytest.raises(ValueError, match=message):
        VicinalRisk(Mixup(), **options)


@pytest.mark.parametrize("spec", [
    {"name": "vicinal", "mixer": {"name": "mixup"}, "label_smoothing": 0.1},
    {"name": "vicinal", "mixer": {"name": "cutmix"}, "clean": True},
    {"name": "vicinal", "mixer": {"name": "average", "pairing": "permutation"}, "label_smoothing": 0.5, "clean": True},
])
def test_controls_are_specifications(spec):
    risk = build_risk(spec)
    assert (risk.label_smoothing, risk.clean) == (spec.get("label_smoothing", 0), spec.get("clean", False))

"""The risk of mixers that look at gradients, against two ordinary backward passes."""

import copy
import math
from dataclasses import dataclass

import pytest
import torch
from oracle import assert_mean, assert_probabilities, seeded, unchanged_global_rng
from torch import nn
from torch.nn.functional import cross_entropy

from mixlab import Mix
from mixlab.data import Batch, load
from mixlab.masks import Constant, NestedBoxes, Owners, PastedBoxes, Soft, Transported
from mixlab.mixers import CutMix, DCutMix, Identity, PerSample, PuzzleMix, Sometimes
from mixlab.mixers.base import Mixer
from mixlab.models import noise
from mixlab.risk import EmpiricalRisk, SaliencyRisk, VicinalRisk, build_risk
from mixlab.saliency import block_saliency, gradient_saliency, input_gradient, input_saliency
from mixlab.train import fit, recipes

CLASSES, ROWS = 5, 12


@dataclass(frozen=True)
class LeftHalf(Mixer):
    """Each row is blended with the next one, by the part of its saliency that lies in its left half."""

    def _draw(self, images, labels, saliency, generator):
        left = block_saliency(saliency, 2)[:, :, 0].sum(1).float()
        rows = torch.arange(len(images))
        return Mix(torch.stack([rows, rows.roll(1)], 1), Constant(torch.stack([left, 1 - left], 1)))


@pytest.fixture
def batch(generator):
    images = torch.randn(ROWS, 2, 6, 6, generator=generator, dtype=torch.float64)
    return images, torch.randint(CLASSES, (ROWS,), generator=generator)


@pytest.fixture
def model(generator):
    network = nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1), nn.BatchNorm2d(4), nn.Tanh(), nn.Conv2d(4, 4, 3), nn.BatchNorm2d(4), nn.ReLU(),
        nn.Flatten(), nn.Linear(64, CLASSES),
    ).double()
    for parameter in network.parameters():
        nn.init.normal_(parameter, std=0.4, generator=generator)
    return network.train()


def mixed_loss(model, mix, images, labels):
    targets = mix.targets(labels, CLASSES).double()
    return -(targets * model(mix.apply(images)).log_softmax(1)).sum(1).mean()


def assert_same_network(one, two):
    """The same gradients and the same buffers, to double precision."""
    for first, second in zip(one.parameters(), two.parameters(), strict=True):
        assert (first.grad is None) == (second.grad is None)
        if first.grad is not None:
            torch.testing.assert_close(first.grad, second.grad, rtol=1e-10, atol=1e-13)
    for first, second in zip(one.buffers(), two.buffers(), strict=True):
        torch.testing.assert_close(first, second, rtol=1e-13, atol=0)


@pytest.mark.parametrize("mixer", [LeftHalf(), CutMix(), Sometimes(PerSample(CutMix(), 0.5), 0.9)], ids=repr)
@pytest.mark.parametrize("weight", [0.5, 1, 3.0])
def test_value_gradient_and_batch_statistics_are_those_of_two_ordinary_backward_passes(model, batch, mixer, weight):
    images, labels = batch
    twin = copy.deepcopy(model)
    inputs = images.clone().requires_grad_()
    clean = cross_entropy(twin(inputs), labels)
    (weight * clean).backward()
    mix = mixer.draw(images, labels, saliency=gradient_saliency(inputs.grad), generator=seeded(3))
    mixed = mixed_loss(twin, mix, images, labels)
    mixed.backward()

    loss = SaliencyRisk(mixer, clean=weight)(model, batch, generator=seeded(3))
    loss.backward()
    assert loss.item() == pytest.approx((mixed + weight * clean).item(), rel=1e-6)  # targets are float32
    assert_same_network(model, twin)
    assert not torch.equal(model[1].running_mean, torch.zeros(4).double()) and model[1].num_batches_tracked == 2


def test_the_clean_pass_has_a_part_in_the_gradient(model, batch):
    """Without this control, the test above might compare two nothings."""
    found = []
    for weight in (1e-12, 1.0):
        twin = copy.deepcopy(model)
        SaliencyRisk(CutMix(), clean=weight)(twin, batch, generator=seeded()).backward()
        found.append(twin[0].weight.grad)
    assert not torch.allclose(*found, rtol=0.1)


@pytest.mark.parametrize("mixer", [LeftHalf(), CutMix()], ids=repr)
def test_without_a_clean_loss_the_saliency_pass_leaves_no_trace(model, batch, mixer):
    images, labels = batch
    twin = copy.deepcopy(model)
    mix = mixer.draw(images, labels, saliency=input_saliency(twin, images, labels), generator=seeded(3))
    mixed = mixed_loss(twin, mix, images, labels)
    mixed.backward()

    loss = SaliencyRisk(mixer)(model, batch, generator=seeded(3))
    loss.backward()
    assert loss.item() == pytest.approx(mixed.item(), rel=1e-6)
    assert_same_network(model, twin)
    assert all(module.training for module in model.modules()) and model[1].num_batches_tracked == 1


def test_saliency_is_taken_with_running_statistics_or_with_the_batch_s(model, batch):
    """Which is not the same: evaluation mode if the pass is not trained on, the network's own if it is."""
    told = []

    class Telling(Identity):
        def _draw(self, images, labels, saliency, generator):
            told.append(saliency)
            return super()._draw(images, labels, saliency, generator)

    images, labels = batch
    for weight in (0, 1.0):
        SaliencyRisk(Telling(), clean=weight)(model, batch)
    inputs = images.clone().requires_grad_()
    cross_entropy(model(inputs), labels).backward()
    torch.testing.assert_close(told[1], gradient_saliency(inputs.grad), rtol=1e-12, atol=0)
    assert told[0].shape == told[1].shape == (ROWS, 6, 6)
    shapes = [each / each.sum((1, 2), keepdim=True) for each in told]
    assert not torch.allclose(*shapes, rtol=0.05)


def test_a_mixer_that_looks_at_nothing_gives_the_vicinal_risk(model, batch):
    mixer, draws, theirs = DCutMix(3), seeded(5), seeded(5)
    twin = copy.deepcopy(model)
    ours = SaliencyRisk(mixer)(model, batch, generator=draws)
    assert torch.equal(ours, VicinalRisk(mixer)(twin, batch, generator=theirs))
    assert torch.equal(draws.get_state(), theirs.get_state())


def test_nothing_mixed_and_the_clean_loss_are_the_empirical_risk_twice(model, batch):
    loss = SaliencyRisk(Identity(), clean=1.0)(copy.deepcopy(model), batch)
    torch.testing.assert_close(loss, 2 * EmpiricalRisk()(model, batch), rtol=1e-6, atol=0)


@pytest.mark.parametrize("weight", [0, 1.0])
def test_frozen_and_unused_weights_get_no_gradient(model, batch, weight):
    model[7].register_parameter("spare", nn.Parameter(torch.ones(2)))  # in the network, not in what it computes
    whole = copy.deepcopy(model)
    model[0].requires_grad_(False)
    for network in (model, whole):
        SaliencyRisk(LeftHalf(), clean=weight)(network, batch).backward()
    assert model[0].weight.grad is None and whole[0].weight.grad is not None
    assert model[7].spare.grad is None is whole[7].spare.grad
    torch.testing.assert_close(model[3].weight.grad, whole[3].weight.grad, rtol=1e-12, atol=0)


@pytest.mark.parametrize("weight", [0, 1.0])
def test_a_network_that_is_frozen_altogether_has_a_loss_and_no_gradient(model, batch, weight):
    expected = SaliencyRisk(LeftHalf(), clean=weight)(copy.deepcopy(model), batch)
    loss = SaliencyRisk(LeftHalf(), clean=weight)(model.requires_grad_(False), batch)
    torch.testing.assert_close(loss, expected.detach(), rtol=1e-12, atol=0)
    assert not loss.requires_grad


@pytest.mark.parametrize("weight", [0, 1.0])
def test_a_batch_with_rows_and_soft_labels(model, batch, weight):
    images, labels = batch
    risk, soft = SaliencyRisk(LeftHalf(), clean=weight), nn.functional.one_hot(labels, CLASSES).float()
    expected = risk(copy.deepcopy(model), batch)
    for other in (Batch(images, labels, torch.arange(ROWS)), Batch(images, soft, torch.arange(ROWS))):
        torch.testing.assert_close(risk(copy.deepcopy(model), other), expected, rtol=1e-6, atol=0)


@pytest.mark.parametrize("weight", [0, 1.0])
def test_images_are_left_alone_and_everything_comes_from_the_generator(model, batch, weight):
    images, _ = batch
    before = images.clone()
    risk = SaliencyRisk(CutMix(), clean=weight)
    with unchanged_global_rng():
        losses = [risk(copy.deepcopy(model), batch, generator=seeded(seed)) for seed in (1, 1, 2)]
    assert torch.equal(losses[0], losses[1]) and not torch.equal(losses[0], losses[2])
    assert torch.equal(images, before) and not images.requires_grad and images.grad is None


def test_dropout_is_off_where_the_pass_is_not_trained_on(model, batch):
    """The mixed pass then drops what it would drop without a saliency."""
    model[2] = nn.Dropout(0.5)
    losses = []
    for risk in (SaliencyRisk(CutMix()), VicinalRisk(CutMix())):
        twin = copy.deepcopy(model)
        with noise(twin, seeded(1)):
            losses.append(risk(twin, batch, generator=seeded(2)))
    assert torch.equal(*losses)


@pytest.mark.parametrize("weight", [0, 1.0])
def test_images_without_a_saliency_are_mixed_as_if_it_were_uniform(batch, weight):
    images, labels = batch
    model = nn.Sequential(nn.Flatten(), nn.Linear(72, CLASSES)).double()
    nn.init.zeros_(model[1].weight), nn.init.ones_(model[1].bias)
    loss = SaliencyRisk(LeftHalf(), clean=weight)(model, batch)
    assert loss.item() == pytest.approx((1 + weight) * math.log(CLASSES), rel=1e-6)
    mix = LeftHalf().draw(images, labels, saliency=torch.zeros(ROWS, 6, 6))
    assert torch.equal(mix.weights, torch.full((ROWS, 2), 0.5))


@pytest.mark.parametrize("weight", [0, 1.0])
def test_a_saliency_that_is_not_a_number_is_one_error(model, batch, weight):
    model[3].weight.data[0, 0, 0, 0] = math.nan
    with pytest.raises(ValueError, match="expected a finite, non-negative saliency, received values from"):
        SaliencyRisk(LeftHalf(), clean=weight)(model, batch)


@pytest.mark.parametrize("weight", [0, 1.0])
def test_images_that_have_no_gradient_are_refused(model, weight):
    batch = torch.zeros(2, 2, 6, 6, dtype=torch.uint8), torch.tensor([0, 1])
    with pytest.raises(ValueError, match=r"floating-point images of shape \(B, C, H, W\), received .* torch.uint8"):
        SaliencyRisk(CutMix(), clean=weight)(model, batch)


@pytest.mark.parametrize("wrong", [-0.1, math.nan, math.inf, True, "1", None])
def test_the_clean_loss_has_a_weight(wrong):
    with pytest.raises(ValueError, match="expected clean to be a finite number of at least 0, a weight, received"):
        SaliencyRisk(CutMix(), clean=wrong)


def test_a_specification_builds_it():
    risk = build_risk({"name": "saliency", "mixer": {"name": "cutmix", "alpha": 0.5}, "clean": 1})
    assert repr(risk) == repr(SaliencyRisk(CutMix(0.5), clean=1.0)) and "clean=1" in repr(risk)
    assert build_risk({"name": "saliency", "mixer": {"name": "cutmix"}}).clean == 0
    for spec, message in (({}, "'mixer'"), ({"mixer": {"name": "cutmix"}, "weight": 1}, "'weight'")):
        with pytest.raises(ValueError, match=message):
            build_risk({"name": "saliency"} | spec)


class Fixed:
    """A mixer that has one mix and draws nothing."""

    def __init__(self, mix):
        self.mix = mix

    def draw(self, images, labels, *, saliency=None, generator=None):
        return self.mix


def noise_of(mix, model, batch, seed, **options):
    """What is added to the mixed images of a step."""
    images, _ = batch
    seen = []
    handle = model.register_forward_pre_hook(lambda _, given: seen.append(given[0].detach()))
    SaliencyRisk(Fixed(mix), **{"adversarial": 1.0, "epsilon": 0.1} | options)(model, batch, generator=seeded(seed))
    handle.remove()
    return seen[-1] - mix.apply(images)


def both_alone(images):
    """Mixes that show every row as it is, once in slot 0 and once in slot 1."""
    rows = torch.arange(len(images))[:, None].expand(-1, 2)
    return (Mix(rows, Constant(torch.eye(2)[slot].expand(len(images), 2))) for slot in (0, 1))


@pytest.mark.parametrize("clean", [0, 1.0])
def test_noise_starts_anywhere_takes_one_step_up_the_loss_and_keeps_its_bound(model, batch, clean):
    images, labels = batch
    inputs = images.clone().requires_grad_()
    gradient = input_gradient(model, images, labels)
    if clean:  # that of the network in its own mode
        cross_entropy(copy.deepcopy(model)(inputs), labels).backward()
        gradient = inputs.grad
    scales, units = [], []
    for seed in range(40):
        noise = noise_of(Mix.identity(ROWS), copy.deepcopy(model), batch, seed, clean=clean, epsilon=0.3)
        scales.append(noise.abs().max().item() / 0.3)
        units.append((noise * gradient.sign()).flatten() / (0.3 * scales[-1]))
    units = torch.cat(units)
    assert max(scales) <= 1 + 1e-9
    assert_mean(scales, 0.5), assert_mean(torch.tensor(scales).square(), 1 / 3)
    # A uniform start in -1..1 and a step of 1.2: six in ten are clamped to 1, the others uniform in .2 to 1.
    bins = torch.histc(units[units < 1 - 1e-6], 4, 0.2 - 1e-9, 1.0)
    assert units.min() >= 0.2 - 1e-6 and units.max() <= 1 + 1e-9
    assert_probabilities([*bins.tolist(), int((units >= 1 - 1e-6).sum())], [0.1] * 4 + [0.6], len(units))


def test_every_channel_may_have_a_bound_of_its_own(model, batch):
    one = noise_of(Mix.identity(ROWS), model.eval(), batch, 3, epsilon=1.0)
    two = noise_of(Mix.identity(ROWS), model, batch, 3, epsilon=[0.1, 0.4])
    torch.testing.assert_close(two, one * torch.tensor([0.1, 0.4]).double().view(2, 1, 1), rtol=1e-6, atol=1e-12)


def mixes_of(form):
    """A mix of two slots, for images of 6 x 6 pixels."""
    g, size = seeded(11), (6, 6)
    boxes = torch.tensor([1, 2, 4, 6]).expand(ROWS, 1, 4)
    maps = torch.rand(ROWS, 1, 3, 3, generator=g).mul(2).round().div(2)
    maps = torch.cat([1 - maps, maps], 1)
    plans = torch.rand(ROWS, 2, 9, generator=g).argsort(2)
    forms = {
        "constant": Constant(torch.rand(ROWS, 2, generator=g).softmax(1)), "nested": NestedBoxes(boxes, size),
        "pasted": PastedBoxes(boxes, size), "soft": Soft(maps, size),
        "transported": Transported(maps, size, plans=plans),
        "owners": Owners(torch.randint(0, 3, (ROWS, *size), generator=g).byte()),  # with pixels of nobody
    }
    return Mix(torch.stack([torch.arange(ROWS), torch.randperm(ROWS, generator=g)], 1), forms[form], fill=0.7)


@pytest.mark.parametrize("form", ["constant", "nested", "pasted", "owners", "soft", "transported"])
def test_noise_is_mixed_as_the_images_are(model, batch, form):
    """n_b = Σ_k M[b,k] T[b,k] δ of the slots whose coin fell: each slot's part is read off mixes that show it alone."""
    images, _ = batch
    mix, model = mixes_of(form), model.eval()
    dense, met = mix.masks((6, 6)).double(), set()
    for seed in range(12):
        parts = [noise_of(alone, model, batch, seed, adversarial=0.5) for alone in both_alone(images)]
        met.add(tuple(bool(part.any()) for part in parts))
        expected = torch.zeros_like(images)
        for b in range(ROWS):
            for k, part in enumerate(parts):
                moved = part[mix.sources[b, k]].clone()
                if form == "transported":
                    for place, block in enumerate(mix.form.plans[b, k].tolist()):
                        (i, j), (r, c) = divmod(place, 3), divmod(block, 3)
                        source = part[mix.sources[b, k]][:, 2 * r:2 * r + 2, 2 * c:2 * c + 2]
                        moved[:, 2 * i:2 * i + 2, 2 * j:2 * j + 2] = source
                expected[b] += dense[b, k] * moved
        torch.testing.assert_close(noise_of(mix, model, batch, seed, adversarial=0.5), expected, rtol=1e-6, atol=1e-8)
    assert met == {(False, False), (False, True), (True, False), (True, True)}


def test_each_slot_has_a_coin_of_its_own(model, batch):
    images, _ = batch
    sides = [[bool(noise_of(alone, model.eval(), batch, seed, adversarial=0.3).any()) for seed in range(400)]
             for alone in both_alone(images)]
    both = [one and other for one, other in zip(*sides, strict=True)]
    assert_probabilities([sum(sides[0]), sum(sides[1]), sum(both)], [0.3, 0.3, 0.09], 400)


@pytest.mark.parametrize("clean", [0, 1.0])
def test_the_value_is_that_of_the_noisy_images_and_the_rest_stays(model, batch, clean):
    """Puzzle Mix, whole: targets, the clean loss and what the mixer draws are those without noise."""
    images, labels = batch
    model = model.eval()  # so that the two passes of a risk leave nothing for the next one
    mixer, g = PuzzleMix(blocks=2), seeded(7)
    risk = SaliencyRisk(mixer, clean=clean, adversarial=1.0, epsilon=0.2)
    seen = []
    handle = model.register_forward_pre_hook(lambda _, given: seen.append(given[0].detach()))
    with unchanged_global_rng():
        loss = risk(model, batch, generator=g)
    handle.remove()
    mix = mixer.draw(images, labels, saliency=input_saliency(model, images, labels), generator=seeded(7))
    assert torch.equal(seen[0], images) and not torch.equal(seen[1], mix.apply(images))
    targets = mix.targets(labels, CLASSES).double()
    expected = -(targets * model(seen[1]).log_softmax(1)).sum(1).mean() + clean * cross_entropy(model(images), labels)
    torch.testing.assert_close(loss, expected, rtol=1e-6, atol=0)


def test_without_an_adversarial_start_nothing_is_drawn_for_it(model, batch):
    assert not {"adversarial", "epsilon"} & set(vars(SaliencyRisk(CutMix())))
    assert repr(SaliencyRisk(CutMix(), clean=1.0)) == f"SaliencyRisk({CutMix()!r}, clean=1)"
    first, second = seeded(1), seeded(1)
    SaliencyRisk(CutMix())(model, batch, generator=first), CutMix().draw(batch[0], generator=second)
    assert torch.equal(first.get_state(), second.get_state())


@pytest.mark.parametrize(("options", "message"), [
    *(({"adversarial": wrong}, r"adversarial to be a chance in \[0, 1\], received")
      for wrong in (-0.1, 1.1, math.nan, True, "1", None)),
    *(({"adversarial": 0.1, "epsilon": wrong}, "expected a positive epsilon with adversarial, .* received")
      for wrong in (None, 0, -1, math.nan, math.inf, "1", (), [0.1, 0.0], True)),
    ({"epsilon": 0.1}, "expected adversarial above 0 with an epsilon, received 0"),
])
def test_an_adversarial_start_has_a_chance_and_a_bound(options, message):
    with pytest.raises(ValueError, match=message):
        SaliencyRisk(CutMix(), **options)


def test_an_adversarial_start_that_does_not_fit_the_batch_is_named(model, batch):
    with pytest.raises(ValueError, match="an epsilon for each of 2 channels, or one for all, received 3"):
        SaliencyRisk(CutMix(), adversarial=1.0, epsilon=(0.1, 0.1, 0.1))(model, batch, generator=seeded())
    with pytest.raises(ValueError, match="expected a generator for an adversarial start, received None"):
        SaliencyRisk(CutMix(), adversarial=1.0, epsilon=0.1)(model, batch)


def test_a_specification_names_the_adversarial_start():
    spec = {"name": "saliency", "mixer": {"name": "puzzlemix"}, "adversarial": 0.1, "epsilon": [0.1, 0.2]}
    assert repr(build_risk(spec)) == repr(SaliencyRisk(PuzzleMix(), adversarial=0.1, epsilon=(0.1, 0.2)))
    assert "adversarial=0.1, epsilon=(0.1, 0.2)" in repr(build_risk(spec))


@pytest.mark.parametrize("weight", [0, 1.0])
def test_a_compiled_network_gives_the_same(model, batch, weight):
    """Traced, and run without a compiler of machine code, which a machine may lack."""
    model, twin = model.float(), copy.deepcopy(model.float())
    images, labels = batch
    losses = []
    for network in (torch.compile(twin, dynamic=False, backend="aot_eager"), model):
        losses.append(SaliencyRisk(LeftHalf(), clean=weight)(network, (images.float(), labels)))
        losses[-1].backward()
    torch.testing.assert_close(*losses, rtol=1e-6, atol=0)
    for one, two in zip(twin.parameters(), model.parameters(), strict=True):
        torch.testing.assert_close(one.grad, two.grad, rtol=1e-4, atol=1e-6)
    assert SaliencyRisk.compilable and all(module.training for module in twin.modules())


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
@pytest.mark.parametrize("weight", [0, 1.0])
def test_the_training_loop_takes_it_in_every_precision(precision, weight):
    """Digits, three epochs: below the error of guessing by far, and the same losses for the same seed."""
    def run():
        network = nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
        for parameter in network.parameters():
            nn.init.normal_(parameter, std=0.2, generator=seeded())
        return fit(network, SaliencyRisk(LeftHalf(), clean=weight), load("digits"), recipes["demo"], device="cpu",
                   precision=precision)

    first, second = run(), run()
    assert first.losses == second.losses and first.last["test_error"] < 25

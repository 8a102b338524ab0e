"""The risk with generated images against its formula, term by term, and all that it must leave alone."""

import copy
import math
from dataclasses import replace

import pytest
import torch
from oracle import seeded, unchanged_global_rng
from torch import nn
from torch.func import functional_call

from mixlab.data import Batch, Loader, Split, load, normalise
from mixlab.generator import ConditionalUNet, SampleGenerator, divergence, noisy, perturbed, soft_labels
from mixlab.mixers import CutMix, Mixup, PuzzleMix
from mixlab.models import Teacher, build
from mixlab.risk import EmpiricalRisk, GeneratedRisk, VicinalRisk, build_risk, soft_cross_entropy
from mixlab.rng import generator as stream
from mixlab.saliency import gradient_saliency, input_gradient
from mixlab.train import fit, recipes
from mixlab.train.fingerprint import fingerprint

CLASSES, ROWS, SIDE = 3, 8, 12


def network(seed=0):
    """Batch statistics tell who saw what."""
    return build("bench-net", CLASSES, 1, 2, generator=seeded(seed)).double()


def made_by(seed=0, **law):
    unet = ConditionalUNet(CLASSES, in_channels=1, base=2, downs=1, output="residual", generator=seeded(seed))
    return SampleGenerator(unet, **law)


def classifier():
    return Teacher(build("bench-net", CLASSES, 1, 2, generator=seeded(9)))


@pytest.fixture
def batch(generator):
    images = torch.randn(ROWS, 1, SIDE, SIDE, generator=generator, dtype=torch.float64)
    return Batch(images, torch.arange(ROWS) % CLASSES, torch.arange(ROWS) + 100)


def drawn(batch, mixer=None, seed=4, epsilon=0.5, background="uniform"):
    """Mixed images, their targets, μ, and the generator after it: what any form of the risk begins with."""
    draws = seeded(seed)
    images, labels = batch[:2]
    mixed, targets = images, torch.eye(CLASSES, dtype=torch.float64)[labels]
    if mixer is not None:
        mix = mixer.draw(images, labels, generator=draws)
        mixed, targets = mix.apply(images), mix.targets(labels, CLASSES)
    return mixed, targets, soft_labels(labels, CLASSES, epsilon, background=background, generator=draws), draws


def assert_same_network(one, two, statistics=True):
    for first, second in zip(one.parameters(), two.parameters(), strict=True):
        torch.testing.assert_close(first.grad, second.grad, rtol=1e-9, atol=1e-12)
    if statistics:
        for first, second in zip(one.buffers(), two.buffers(), strict=True):
            torch.testing.assert_close(first, second, rtol=1e-12, atol=0)


def assert_step(risk, batch, expected):
    """Value, gradient and buffers of the risk are those of `expected(model)`, which makes a plain backward pass."""
    one, two = network(), network()
    value = expected(two)
    value.backward()
    loss = risk(one, batch, generator=seeded(4))
    loss.backward()
    torch.testing.assert_close(loss, value, rtol=1e-9, atol=0)
    assert_same_network(one, two)


def buffers_kept(model, images):
    """Logits on images by their own statistics, of which the running ones learn nothing."""
    kept = {name: value.clone() for name, value in model.named_buffers()}
    logits = model(images)
    for name, value in model.named_buffers():
        value.data = kept[name]
    return logits


def by_running(model, images):
    """Logits by copies of the running statistics, since the next pass changes those that this one's graph needs."""
    for module in model.modules():
        module.train(not isinstance(module, nn.BatchNorm2d))
    logits = functional_call(model, {name: value.clone() for name, value in model.named_buffers()}, (images,))
    model.train()
    return logits


PASSES = {"own": buffers_kept, "running": by_running, "updating": lambda model, images: model(images)}


@pytest.mark.parametrize("mixer", [None, CutMix(), Mixup()], ids=repr)
@pytest.mark.parametrize("statistics", PASSES)
@pytest.mark.parametrize("weights", [(1.0, 1.0), (0.5, 2.0)])
def test_value_gradient_and_running_statistics_are_those_of_two_plain_passes(batch, mixer, statistics, weights):
    net, (base, weight) = made_by(), weights

    def expected(model):
        mixed, targets, mu, _ = drawn(batch, mixer)
        generated = PASSES[statistics](model, net.make(batch.images, mu))
        second = weight * soft_cross_entropy(generated, mu)
        return base * soft_cross_entropy(model(mixed), targets) + second

    assert_step(GeneratedRisk(net, mixer=mixer, base=base, weight=weight, statistics=statistics), batch, expected)


def test_joint_statistics_are_those_of_one_batch(batch):
    net = made_by()

    def expected(model):
        mixed, targets, mu, _ = drawn(batch, CutMix())
        logits = model(torch.cat([mixed, net.make(batch.images, mu)]))
        return 2.0 * soft_cross_entropy(logits[:ROWS], targets) + 0.5 * soft_cross_entropy(logits[ROWS:], mu)

    assert_step(GeneratedRisk(net, mixer=CutMix(), base=2.0, weight=0.5, statistics="joint"), batch, expected)


def test_equation_12_alone_is_the_second_term(batch):
    net = made_by()

    def expected(model):
        mu = drawn(batch)[2]
        return 0.7 * soft_cross_entropy(model(net.make(batch.images, mu)), mu)

    for statistics in ("updating", "joint"):
        assert_step(GeneratedRisk(net, base=0.0, weight=0.7, statistics=statistics), batch, expected)


def test_without_the_second_term_it_is_the_risk_of_the_mixer(batch):
    for mixer, risk in ((CutMix(), VicinalRisk(CutMix())), (None, EmpiricalRisk())):
        assert_step(GeneratedRisk(made_by(), mixer=mixer, weight=0.0), batch,
                    lambda model, risk=risk: risk(model, batch, generator=seeded(4)))


@pytest.mark.parametrize("statistics", ["own", "running"])
def test_the_generated_pass_leaves_running_statistics_and_modes_alone(batch, statistics):
    with_it, without = network(), network()
    with_it.stage2[2].eval()
    without.stage2[2].eval()
    loss = GeneratedRisk(made_by(), mixer=CutMix(), statistics=statistics)(with_it, batch, generator=seeded(4))
    VicinalRisk(CutMix())(without, batch, generator=seeded(4))
    for (name, one), two in zip(with_it.named_buffers(), without.buffers(), strict=True):
        assert torch.equal(one, two), name
    for one, two in zip(with_it.modules(), without.modules(), strict=True):
        assert one.training == two.training
        assert getattr(one, "track_running_stats", True)
    assert loss.isfinite()


def test_running_statistics_do_learn_of_the_generated_pass_where_that_is_asked(batch):
    """The control of the test above."""
    kinds = {kind: network() for kind in ("own", "updating", "joint")}
    for kind, model in kinds.items():
        GeneratedRisk(made_by(), statistics=kind)(model, batch, generator=seeded(4))
    means = [model.stage1[2].running_mean for model in kinds.values()]
    assert not any(torch.allclose(one, other) for one, other in (means[:2], means[1:], means[::2]))
    assert [model.stage1[2].num_batches_tracked.item() for model in kinds.values()] == [1, 2, 1]


def images_by_hand(kind, net, batch, mu, draws):
    if kind == "clean":
        return batch.images
    made = net.make(batch.images, mu)
    radius = (made - batch.images).flatten(1).norm(dim=1)
    if kind == "noise":
        return noisy(batch.images, radius, generator=draws)
    if kind == "pgd":
        float32 = batch.images.float(), mu, radius.float()
        return perturbed(classifier(), *float32, steps=3, generator=draws).double()
    return made


@pytest.mark.parametrize("kind", ["generated", "clean", "noise", "pgd"])
@pytest.mark.parametrize("label", ["mu", "one-hot", "background"])
def test_controls_change_the_image_or_the_label_and_nothing_else(batch, kind, label):
    net = made_by(epsilon=0.6)
    options = {"classifier": classifier(), "steps": 3} if kind == "pgd" else {}

    def expected(model):
        mixed, targets, mu, draws = drawn(batch, CutMix(), epsilon=0.6)
        others = mu.clone()
        others[range(ROWS), batch.labels] = -1
        eye = torch.eye(CLASSES)
        target = {"mu": mu, "one-hot": eye[batch.labels], "background": eye[others.argmax(1)]}[label]
        second = soft_cross_entropy(buffers_kept(model, images_by_hand(kind, net, batch, mu, draws)), target)
        return soft_cross_entropy(model(mixed), targets) + second

    assert_step(GeneratedRisk(net, mixer=CutMix(), images=kind, label=label, **options), batch, expected)


def test_clean_images_need_no_generator_and_draw_the_same_labels(batch):
    losses = [GeneratedRisk(net, mixer=CutMix(), images="clean", epsilon=0.5)(network(), batch, generator=seeded(4))
              for net in (None, made_by(epsilon=0.2))]
    assert losses[0] == losses[1]
    constant = GeneratedRisk(images="clean", background="constant", base=0.0, statistics="updating")
    smoothed = EmpiricalRisk(label_smoothing=0.75)  # 1 - 3/4 + 1/4 is 1/2, and 1/4 is the half of ½
    torch.testing.assert_close(constant(network(), batch), smoothed(network(), batch))


def test_noise_and_attack_are_as_long_as_the_change_of_the_generator(batch):
    seen = []

    def record(model, inputs):
        seen.append(inputs[0].detach())

    for kind in ("generated", "noise", "pgd"):
        model, options = network(), {"classifier": classifier()} if kind == "pgd" else {}
        model.register_forward_pre_hook(record)
        GeneratedRisk(made_by(), images=kind, **options)(model, batch, generator=seeded(4))
    lengths = [(each - batch.images).flatten(1).norm(dim=1) for each in seen[::2]]
    assert bool((lengths[0] > 0.1).all())
    torch.testing.assert_close(lengths[1], lengths[0])
    torch.testing.assert_close(lengths[2], lengths[0], rtol=1e-5, atol=1e-6)
    mu = drawn(batch)[2]
    kl = [divergence(mu, classifier()(each.float())).mean() for each in seen[::2]]
    assert kl[2] < kl[0] and kl[2] < kl[1]


def test_the_law_is_the_generators_unless_another_is_named(batch):
    net = made_by(epsilon=0.3, background="one")
    for options, law in (({}, (0.3, "one")), ({"epsilon": 0.8}, (0.8, "one")), ({"background": "constant"},
                                                                             (0.3, "constant"))):
        def expected(model, law=law):
            mu = drawn(batch, epsilon=law[0], background=law[1])[2]
            return soft_cross_entropy(model(net.make(batch.images, mu)), mu)

        assert_step(GeneratedRisk(net, base=0.0, statistics="joint", **options), batch, expected)


def test_fixed_labels_belong_to_the_rows(batch):
    net, rows = made_by(), batch.rows.tolist()

    def expected(model):
        mu = torch.cat([soft_labels(label, CLASSES, 0.5, generator=stream("mu", row))
                        for label, row in zip(batch.labels.split(1), rows, strict=True)])
        return soft_cross_entropy(model(net.make(batch.images, mu)), mu)

    risk = GeneratedRisk(net, base=0.0, mu="fixed", statistics="joint")
    assert_step(risk, batch, expected)
    order = torch.randperm(ROWS, generator=seeded(1))
    turned = Batch(*(part[order] for part in batch))
    torch.testing.assert_close(risk(network(), turned), risk(network(), batch))
    with pytest.raises(ValueError, match="row numbers"):
        risk(network(), batch[:2])


def test_images_may_come_from_a_pool(batch):
    pixels = torch.randint(256, (20, 1, SIDE, SIDE), generator=seeded(6), dtype=torch.uint8)
    pool = Split(pixels, torch.arange(20) % CLASSES)
    net = made_by()

    def expected(model):
        draws = seeded(4)
        mix = CutMix().draw(*batch[:2], generator=draws)
        rows = torch.randperm(20, generator=draws)[:ROWS]
        images = normalise(pixels[rows], (0.4,), (0.3,)).double()
        mu = soft_labels(pool.labels[rows], CLASSES, 0.5, generator=draws)
        second = soft_cross_entropy(buffers_kept(model, net.make(images, mu)), mu)
        return soft_cross_entropy(model(mix.apply(batch.images)), mix.targets(batch.labels, CLASSES)) + second

    risk = GeneratedRisk(net, mixer=CutMix(), pool=pool, mean=(0.4,), std=(0.3,))
    assert_step(risk, batch, expected)
    assert not risk.state_dict()
    larger = Batch(*(torch.cat([part] * 3) for part in batch))  # more rows than the pool has
    assert risk(network(), larger, generator=seeded(4)).isfinite()


def test_a_mixer_that_needs_a_saliency_is_given_the_students(batch):
    risk, model = GeneratedRisk(made_by(), mixer=PuzzleMix(blocks=2), weight=0.0), network()
    saliency = gradient_saliency(input_gradient(model, *batch[:2]))
    mix = PuzzleMix(blocks=2).draw(*batch[:2], saliency=saliency, generator=seeded(4))
    expected = soft_cross_entropy(network()(mix.apply(batch.images)), mix.targets(batch.labels, CLASSES))
    torch.testing.assert_close(risk(model, batch, generator=seeded(4)), expected)


def test_nothing_of_generator_and_classifier_changes_or_is_kept(batch):
    risk = GeneratedRisk(made_by(), mixer=CutMix(), images="pgd", classifier=classifier(), steps=2).train()
    before = copy.deepcopy([part.network.state_dict() for part in (risk.generator_net, risk.classifier)])
    model = network()
    optimizer = torch.optim.SGD([*model.parameters(), *risk.parameters()], lr=0.1, weight_decay=0.1)
    with unchanged_global_rng():
        for step in range(3):
            optimizer.zero_grad()
            risk(model, batch, step=step, generator=seeded(step)).backward()
            optimizer.step()
    for part, kept in zip((risk.generator_net, risk.classifier), before, strict=True):
        assert all(torch.equal(kept[name], value) for name, value in part.network.state_dict().items())
        assert all(each.grad is None for each in part.parameters())
    assert not risk.state_dict()


def test_random_numbers_come_from_the_generator_alone(batch):
    risk = GeneratedRisk(made_by(), mixer=CutMix(), images="noise")
    losses = [risk(network(), batch, generator=seeded(seed)).item() for seed in (1, 1, 2)]
    assert losses[0] == losses[1] != losses[2]


WRONG = {
    "no generator": lambda: GeneratedRisk(),
    "a teacher for one": lambda: GeneratedRisk(classifier()),
    "nothing to minimise": lambda: GeneratedRisk(made_by(), base=0.0, weight=0.0),
    "a negative weight": lambda: GeneratedRisk(made_by(), weight=-1.0),
    "a mixer for nothing": lambda: GeneratedRisk(made_by(), mixer=CutMix(), base=0.0, statistics="joint"),
    "no statistics at all": lambda: GeneratedRisk(made_by(), base=0.0),
    "images": lambda: GeneratedRisk(made_by(), images="blurred"),
    "label": lambda: GeneratedRisk(made_by(), label="soft"),
    "mu": lambda: GeneratedRisk(made_by(), mu="new"),
    "statistics": lambda: GeneratedRisk(made_by(), statistics="frozen"),
    "augment": lambda: GeneratedRisk(made_by(), augment="turn"),
    "epsilon": lambda: GeneratedRisk(made_by(), epsilon=1.5),
    "background": lambda: GeneratedRisk(made_by(), background="none"),
    "an attack on nobody": lambda: GeneratedRisk(made_by(), images="pgd"),
    "a classifier for nothing": lambda: GeneratedRisk(made_by(), classifier=classifier()),
    "steps": lambda: GeneratedRisk(made_by(), images="pgd", classifier=classifier(), steps=0),
    "a pool without moments": lambda: GeneratedRisk(made_by(), pool=Split(
        torch.zeros(1, 1, 4, 4, dtype=torch.uint8), torch.zeros(1, dtype=torch.int64))),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_no_such_risk_is_refused(name):
    with pytest.raises(ValueError, match="expected .*, received"):
        WRONG[name]()


def test_batches_that_do_not_fit_are_refused(batch):
    images, labels, rows = batch
    with pytest.raises(ValueError, match="expected images whose sides 2 = 2.1 divides, received 11 x 12"):
        GeneratedRisk(made_by())(network(), Batch(images[:, :, 1:], labels, rows), generator=seeded())
    with pytest.raises(ValueError, match="expected integer labels"):
        GeneratedRisk(made_by())(network(), Batch(images, torch.eye(CLASSES)[labels], rows), generator=seeded())
    other = build("bench-net", 5, 1, 2).double()
    with pytest.raises(ValueError, match="expected a generator of 5 classes, as the network's logits, received"):
        GeneratedRisk(made_by())(other, batch, generator=seeded())


@pytest.fixture
def files(tmp_path):
    """A generator and a classifier of digits, in files."""
    data, sizes = load("digits", limit=64), {"num_classes": 10, "in_channels": 1, "width": 2}
    unet = ConditionalUNet(10, in_channels=1, base=2, downs=1, mean=(0.1,), std=(0.9,))
    SampleGenerator(unet, epsilon=0.4).save(tmp_path / "generator.pt")
    asked = Teacher(build("preact-resnet18", **sizes), mean=(0.1,), std=(0.9,))
    asked.save(tmp_path / "classifier.pt", name="preact-resnet18", **sizes)
    return data, tmp_path / "generator.pt", tmp_path / "classifier.pt"


def test_names_build_it_for_the_moments_of_the_data(files):
    data, net, asked = files
    spec = {"name": "generated", "generator_net": {"checkpoint": str(net)}, "classifier": {"checkpoint": str(asked)},
            "mixer": {"name": "cutmix"}, "images": "pgd", "weight": 0.5, "pool": True}
    risk = build_risk(spec, data=data)
    assert isinstance(risk, GeneratedRisk) and risk.mixer == CutMix() and risk.weight == 0.5 and risk.epsilon == 0.4
    for part in (risk.generator_net, risk.classifier):
        assert (part.mean, part.std, part.input_mean, part.input_std) == ((0.1,), (0.9,), data.mean, data.std)
    assert len(risk.pool_images) == len(data.train) and risk.mean == data.mean
    plain = build_risk({"name": "generated", "images": "clean"}, data=data)
    assert plain.generator_net is None and not hasattr(plain, "pool_images")
    for wrong in ({"pool": 1}, {"images": "clean", "speed": 2}, {"generator_net": {"checkpoint": str(asked)}},
                  {"generator_net": {"checkpoint": str(net), "checksum": "0" * 64}}):
        with pytest.raises(ValueError, match="expected|cannot be built"):
            build_risk({"name": "generated"} | wrong, data=data)
    with pytest.raises(ValueError, match="no data"):
        build_risk({"name": "generated", "images": "clean", "pool": True})


def test_it_trains_like_any_risk_and_counts_in_what_makes_a_run(files, tmp_path):
    data, net, _ = files
    recipe = replace(recipes["demo"], epochs=1, batch_size=32)
    spec = {"name": "generated", "generator_net": {"checkpoint": str(net)}, "mixer": {"name": "cutmix"}}

    def run(**options):
        model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(144, 10))
        for parameter in model.parameters():
            nn.init.normal_(parameter, std=0.1, generator=seeded(3))
        risk = build_risk(spec | options, data=data)
        return fit(model, risk, data, recipe, device="cpu"), fingerprint(model, risk, data, recipe)["risk"]

    (result, first), (again, same), (other, third) = run(), run(), run(weight=0.5)
    assert result.losses == again.losses != other.losses and all(map(math.isfinite, result.losses))
    assert first == same != third


def test_a_step_on_two_processes_has_the_mean_of_their_gradients(monkeypatch):
    """That of the generated pass is averaged, too, and once."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    data, step = load("digits", limit=64, validation=0.0), replace(
        recipes["demo"], epochs=1, batch_size=64, momentum=0.0, nesterov=False, weight_decay=0.0)
    risk = GeneratedRisk(SampleGenerator(ConditionalUNet(10, in_channels=1, base=2, downs=1, output="residual")))
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.BatchNorm1d(32), nn.Tanh(), nn.Linear(32, 10))
    for number, parameter in enumerate(model.parameters()):
        nn.init.normal_(parameter, std=0.2, generator=seeded(number))
    alone = copy.deepcopy(model)
    for rank in range(2):
        batch = next(Loader(data.train, 64, mean=data.mean, std=data.std, rank=rank, world=2).epoch(0))
        (risk(alone, batch, generator=stream(0, "mix", rank, 0)) / 2).backward()
    moved = [parameter.detach() - 0.1 * parameter.grad for parameter in alone.parameters()]
    fit(model, risk, data, step, device="cpu", processes=2)
    for expected, parameter in zip(moved, model.parameters(), strict=True):
        torch.testing.assert_close(parameter.detach(), expected, rtol=0, atol=1e-6)
    assert max(each.grad.abs().max() for each in alone.parameters()) > 0.1

"""A generator learns what eq. 11 asks for, and the classifier stays as it is."""

from dataclasses import replace
from importlib import import_module

import pytest
import torch
from oracle import seeded, unchanged_global_rng
from torch import nn

from mixlab.data import Loader, Split, load, normalise
from mixlab.generator import (
    RECIPES,
    ConditionalUNet,
    GeneratorTask,
    SampleGenerator,
    divergence,
    kl_of_ignorant,
    probe,
    soft_labels,
    train_generator,
)
from mixlab.generator.train import MEASURED, generator_loss, measured_rows, step
from mixlab.models import Teacher, build
from mixlab.rng import generator as stream
from mixlab.train import Cosine, loop

CLASSES = 4


@pytest.fixture(scope="module")
def digits():
    """The digits below four, normalised."""
    data = load("digits")
    few = data.train.labels < CLASSES
    return normalise(data.train.images[few], data.mean, data.std), data.train.labels[few], data


@pytest.fixture(scope="module")
def classifier(digits):
    """A linear classifier of them, after twenty steps."""
    images, labels, _ = digits
    network = nn.Sequential(nn.Flatten(), nn.Linear(64, CLASSES))
    for parameter in network.parameters():
        nn.init.zeros_(parameter)
    optimizer = torch.optim.Adam(network.parameters(), lr=0.05)
    for _ in range(20):
        optimizer.zero_grad()
        nn.functional.cross_entropy(network(images), labels).backward()
        optimizer.step()
    asked = Teacher(network)
    assert (asked(images).argmax(1) == labels).float().mean() > 0.95
    return asked


def new_network(data, seed=0):
    return ConditionalUNet(CLASSES, in_channels=1, base=4, downs=2, mean=data.mean, std=data.std,
                           generator=seeded(seed))


def trained(digits, classifier, steps=120):
    images, labels, data = digits
    network = new_network(data)
    optimizer, draws = torch.optim.Adam(network.parameters(), lr=1e-2), seeded(1)
    for _ in range(steps):
        rows = torch.randint(len(images), (64,), generator=draws)
        optimizer.zero_grad()
        step(network, classifier, images[rows], labels[rows], num_classes=CLASSES, generator=draws).backward()
        optimizer.step()
    return network


def test_after_a_short_training_the_image_says_more_of_mu_than_its_class_and_less_of_another_one(digits, classifier):
    images, labels, _ = digits
    made = SampleGenerator(trained(digits, classifier))
    found = probe(made, classifier, images, labels, num_classes=CLASSES, generator=seeded(2))
    ignorant = kl_of_ignorant(CLASSES, 0.5)
    assert found["kl"] < ignorant / 2 < ignorant < found["kl_class"] < found["kl_any"]
    # It writes whatever class it is asked for, over whatever was there.
    assert found["wrong_written"] > 90 and found["wrong_kept"] < 10
    # The same μ, with each row's label given to another row of its class, is not what the images show.
    mu = soft_labels(labels, CLASSES, 0.5, generator=seeded(3))
    logits = classifier(made.make(images, mu))
    assert divergence(mu, logits).mean() < ignorant / 2


def test_the_loss_is_the_cross_entropy_less_the_entropy_plus_the_penalty(digits, classifier):
    images, labels, data = digits
    network, batch = new_network(data).eval(), images[:5]
    mu = soft_labels(labels[:5], CLASSES, 0.5, generator=seeded(4))
    made = network(batch, mu)
    cross_entropy = nn.functional.cross_entropy(classifier(made), mu)
    expected = cross_entropy - torch.special.entr(mu).sum(1).mean() + 0.3 * (made - batch).square().mean()
    torch.testing.assert_close(generator_loss(network, classifier, batch, mu, penalty=0.3), expected)
    drawn = step(network, classifier, batch, labels[:5], num_classes=CLASSES, generator=seeded(4))
    assert drawn == generator_loss(network, classifier, batch, mu)
    other = step(network, classifier, batch, labels[:5], num_classes=CLASSES, epsilon=0.2, background="one",
                 generator=seeded(4))
    named = soft_labels(labels[:5], CLASSES, 0.2, background="one", generator=seeded(4))
    assert other == generator_loss(network, classifier, batch, named)


def test_gradient_reaches_the_generator_and_not_the_classifier_nor_its_statistics(digits):
    images, labels, data = digits
    asked = Teacher(build("preact-resnet18", CLASSES, 1, 2)).train()
    before = {name: value.clone() for name, value in asked.network.state_dict().items()}
    network = new_network(data)
    for _ in range(2):
        step(network, asked, images[:8], labels[:8], num_classes=CLASSES, generator=seeded(5)).backward()
    assert all(each.grad.abs().max() > 0 for each in network.parameters())
    assert all(each.grad is None for each in asked.parameters())
    after = asked.network.state_dict()
    assert all(torch.equal(value, after[name]) for name, value in before.items())
    assert Teacher(asked.network).checksum == asked.checksum


def test_a_penalty_keeps_the_images_nearer(digits, classifier):
    images, labels, data = digits
    network = new_network(data)
    mu = soft_labels(labels[:64], CLASSES, 0.5, generator=seeded(6))
    slopes = []
    for penalty in (0.0, 1.0):
        network.zero_grad()
        generator_loss(network, classifier, images[:64], mu, penalty=penalty).backward()
        slopes.append(network.head.bias.grad.item())
    made = network(images[:64], mu)
    network.zero_grad()
    (made - images[:64]).square().mean().backward()
    assert slopes[1] - slopes[0] == pytest.approx(network.head.bias.grad.item(), rel=1e-3)


RECIPE = replace(RECIPES["generator-bench"], epochs=2, batch_size=40)  # three steps an epoch
SMALL = {"base": 2, "downs": 2, "device": "cpu", "seed": 3}


@pytest.fixture(scope="module")
def data():
    return load("digits", limit=130)


def linear(seed=1, classes=10):
    network = nn.Sequential(nn.Flatten(), nn.Linear(64, classes))
    nn.init.normal_(network[1].weight, std=0.5, generator=seeded(seed))
    nn.init.zeros_(network[1].bias)
    return Teacher(network)


@pytest.fixture(scope="module")
def undisturbed(data):
    return train_generator(linear(), data, RECIPE, **SMALL)


def test_the_task_is_the_loop_one_would_write(data, undisturbed):
    made, result = undisturbed
    network = ConditionalUNet(10, in_channels=1, base=2, downs=2, mean=data.mean, std=data.std,
                              generator=stream(3, "init"))
    optimizer, losses = torch.optim.Adam(network.parameters(), lr=1e-2), []
    loader = Loader(data.train, 40, mean=data.mean, std=data.std, augment="crop2-flip", drop_last=True, seed=3)
    for epoch in range(2):
        for number, batch in enumerate(loader.epoch(epoch), start=3 * epoch):
            optimizer.param_groups[0]["lr"] = 1e-2 * Cosine().factor(number / 3, 2)
            mu = soft_labels(batch.labels, 10, 0.5, generator=stream(3, "mu", 0, number))
            logits = linear()(network(batch.images, mu))
            loss = nn.functional.cross_entropy(logits, mu) - torch.special.entr(mu).sum(1).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
    assert result.losses == pytest.approx(losses, rel=1e-4) and len(losses) == 6
    for name, value in network.state_dict().items():
        torch.testing.assert_close(made.network.state_dict()[name], value, rtol=1e-3, atol=1e-4)
    assert result.metric == "kl" and result.curves["kl"][1] == made.about["kl"]


def test_what_is_measured_is_the_divergence_of_the_frozen_network_on_held_out_images(data, undisturbed):
    made, result = undisturbed
    images, labels = measured_rows(data)
    torch.testing.assert_close(images, normalise(data.validation.images, data.mean, data.std))
    mu = soft_labels(labels, 10, 0.5, generator=stream("measure", "mu"))
    kl = divergence(mu, linear()(made.make(images, mu)))
    assert result.last["kl"] == pytest.approx(kl.mean().item(), rel=1e-5)
    assert made.about["kl_ignorant"] == kl_of_ignorant(10, 0.5)
    assert (made.about["steps"], made.about["images"], made.about["rows"]) == (6, 240, 130)
    assert made.about["seconds"] == result.seconds > 0
    assert made.classifier == linear().checksum and made.mean == data.mean


def test_it_is_measured_on_a_thousand_rows_at_most_and_on_training_rows_where_none_are_held_out(data):
    alone = replace(data, validation=data.validation.subset(torch.arange(0)))
    torch.testing.assert_close(measured_rows(alone)[0], normalise(data.train.images, data.mean, data.std))
    many = Split(torch.zeros(MEASURED + 50, 1, 8, 8, dtype=torch.uint8), torch.arange(MEASURED + 50) % 10)
    images, labels = measured_rows(replace(data, validation=many))
    assert len(images) == len(labels) == MEASURED
    every, _ = train_generator(linear(), data, replace(RECIPE, measured="epoch"), **SMALL)
    assert every.about["kl"] > 0


@pytest.mark.parametrize("at", [1, 3, 5])
def test_stopped_and_continued_it_ends_with_the_same_bits(data, undisturbed, monkeypatch, tmp_path, at):
    module, left = import_module("mixlab.generator.train"), iter(range(at))

    def stopping(*arguments, **options):
        if next(left, None) is None:
            raise KeyboardInterrupt
        return step(*arguments, **options)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(module, "step", stopping)
        train_generator(linear(), data, RECIPE, checkpoint=tmp_path, every=2, **SMALL)
    made, result = train_generator(linear(), data, RECIPE, checkpoint=tmp_path, every=2, **SMALL)
    assert made.checksum == undisturbed[0].checksum
    assert (result.losses, result.curves, result.last) == (
        undisturbed[1].losses, undisturbed[1].curves, undisturbed[1].last)
    # Once more: nothing is left to do.
    again, _ = train_generator(linear(), data, RECIPE, checkpoint=tmp_path, every=2, **SMALL)
    assert again.checksum == made.checksum and again.about == made.about


def test_the_run_of_another_generator_is_not_continued(data, tmp_path):
    one = replace(RECIPE, epochs=1)
    train_generator(linear(), data, one, checkpoint=tmp_path, **SMALL)
    for name, options in {
        "classifier": {"classifier": linear(2)}, "generator": {"skips": False}, "epsilon": {"epsilon": 0.3},
        "background": {"background": "one"}, "penalty": {"penalty": 1.0}, "seed": {"seed": 4},
        "recipe": {"recipe": replace(one, lr=0.1)}, "data": {"dataset": load("digits", limit=140)},
    }.items():
        given = {"classifier": linear(), "dataset": data, "recipe": one, **SMALL} | options
        with pytest.raises(ValueError, match=f"another run: its {name} is"):
            train_generator(**given, checkpoint=tmp_path)


def test_classifier_and_global_generator_are_left_alone(data):
    asked = Teacher(build("preact-resnet18", 10, 1, 2), mean=(0.1,), std=(0.9,))
    before = {name: value.clone() for name, value in asked.network.state_dict().items()}
    with unchanged_global_rng():
        made, _ = train_generator(asked, data, replace(RECIPE, epochs=1), **SMALL)
    assert all(torch.equal(value, asked.network.state_dict()[name]) for name, value in before.items())
    assert made.classifier == asked.checksum and not any(each.requires_grad for each in asked.parameters())
    # It was asked about images as it knows them, though the set has other moments.
    images, labels = measured_rows(data)
    mu = soft_labels(labels, 10, 0.5, generator=stream("measure", "mu"))
    pixels = made.make(images, mu) * data.std[0] + data.mean[0]
    assert made.about["kl"] == pytest.approx(divergence(mu, asked((pixels - 0.1) / 0.9)).mean().item(), rel=1e-4)


def test_the_papers_recipe():
    recipe = RECIPES["generator-paper"]
    assert (recipe.epochs, recipe.batch_size, recipe.lr, recipe.weight_decay) == (600, 64, 1e-4, 5e-4)
    assert [recipe.learning_rate(epoch) for epoch in (449.9, 450, 540)] == pytest.approx([1e-4, 1e-5, 1e-6])
    optimizer = recipe.optimizer.over([nn.Parameter(torch.zeros(1))], recipe)
    assert type(optimizer) is torch.optim.Adam and optimizer.defaults["betas"] == (0.9, 0.999)


@pytest.mark.parametrize(("options", "message"), [
    ({"downs": 4}, "sides 16 = 2.4 divides, received 8 x 8: with downs=3 they fit"),
    ({"classifier": linear(classes=7)}, "a classifier and a generator of the 10 classes of digits, received one of 7"),
    ({"classifier": Teacher(nn.Sequential(nn.Flatten(), nn.Linear(65, 10)))}, "classifier of images of shape"),
    ({"classifier": nn.Flatten()}, "expected a mixlab.models.Teacher"),
    ({"epsilon": -1}, "epsilon in"), ({"background": "x"}, "background of"), ({"penalty": -1.0}, "penalty"),
])
def test_what_does_not_fit_is_one_error_and_leaves_nothing(data, tmp_path, options, message):
    folder = tmp_path / "run"
    given = {"classifier": linear(), "dataset": data, "recipe": RECIPE, "checkpoint": folder, **SMALL} | options
    with pytest.raises(ValueError, match=message):
        train_generator(**given)
    assert not folder.exists()


def test_soft_labels_are_refused_and_batches_have_to_be_shared(data):
    network = ConditionalUNet(10, in_channels=1, base=2, downs=2, output="free")
    soft = replace(data, train=replace(data.train, soft=torch.eye(10)[data.train.labels]))
    with pytest.raises(ValueError, match="the soft labels of digits"):
        loop(GeneratorTask(network, linear(), soft), RECIPE, device="cpu")
    with pytest.raises(ValueError, match="3 processes share evenly, received 40 images"):
        loop(GeneratorTask(network, linear(), data), RECIPE, device="cpu", processes=3)

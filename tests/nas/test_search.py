"""A search is the loop one would write: halves, warm-up, architecture step before weight step; and it resumes."""

from dataclasses import replace
from importlib import import_module
from pathlib import Path

import pytest
import torch
from oracle import unchanged_global_rng
from torch import nn
from torch.nn.functional import cross_entropy

from mixlab.data import Loader, Split, load
from mixlab.generator import ConditionalUNet, SampleGenerator
from mixlab.nas import (
    ARCHITECTURE,
    RECIPES,
    ArchitectureSteps,
    SearchNetwork,
    SearchTask,
    derive,
    halves,
    history,
    search,
)
from mixlab.rng import generator as stream
from mixlab.train import Cosine, loop

RECIPE = replace(RECIPES["search-bench"], epochs=3, batch_size=30)  # two steps an epoch
SMALL = {"layers": 2, "channels": 8, "nodes": 1, "device": "cpu", "seed": 3}
STEPS = ArchitectureSteps(lr=0.02, warmup=0.3)  # from the second epoch on
STILL = 1e-30  # a learning rate that moves nothing


@pytest.fixture(scope="module")
def data():
    return load("digits", limit=130)


@pytest.fixture(scope="module")
def undisturbed(data):
    return search(data, RECIPE, architecture=STEPS, **SMALL)


def painter(data, classes=10, **law):
    network = ConditionalUNet(classes, in_channels=1, base=2, downs=1, mean=data.mean, std=data.std)
    return SampleGenerator(network, **law)


@pytest.mark.parametrize("with_generator", [False, True])
def test_the_task_is_the_loop_one_would_write(data, undisturbed, with_generator):
    made = painter(data) if with_generator else None
    options = {"generator": made, "generator_weight": 0.7}
    found = search(data, RECIPE, architecture=STEPS, **SMALL, **options) if with_generator else undisturbed
    network = SearchNetwork(10, 1, layers=2, channels=8, nodes=1, form="plain", generator=stream(3, "init"))
    rows = halves(data.train.labels, 3, data.classes)
    moments = {"mean": data.mean, "std": data.std}
    ours, theirs = (
        Loader(data.train.subset(part), 30, **moments, augment="crop2-flip", drop_last=True, seed=seed)
        for part, seed in zip(rows, (3, stream(3, "architecture").initial_seed()), strict=True))
    weights, architecture = network.weight_parameters(), [network.alpha, network.beta]
    descent = torch.optim.SGD(weights, lr=0.1, momentum=0.9, weight_decay=3e-4)
    adam = torch.optim.Adam(architecture, lr=0.02, betas=(0.5, 0.999), weight_decay=1e-3)
    losses, trail = [], []
    for epoch in range(3):
        for step, (mine, other) in enumerate(zip(ours.epoch(epoch), theirs.epoch(epoch), strict=False)):
            number = 2 * epoch + step
            if epoch >= 1:
                images, labels = other.images, other.labels
                if with_generator:
                    drawn, mu = made.draw(images, labels, generator=stream(3, "mu", 0, number))
                    logits = network(torch.cat([images, drawn]))
                    loss = cross_entropy(logits[:30], labels) + 0.7 * cross_entropy(logits[30:], mu)
                else:
                    loss = cross_entropy(network(images), labels)
                for each, grad in zip(architecture, torch.autograd.grad(loss, architecture), strict=True):
                    each.grad = grad
                adam.step()
            descent.param_groups[0]["lr"] = 0.1 * Cosine().factor(number / 2, 3)
            loss = cross_entropy(network(mine.images), mine.labels)
            for each, grad in zip(weights, torch.autograd.grad(loss, weights), strict=True):
                each.grad = grad
            nn.utils.clip_grad_norm_(weights, 5.0)
            descent.step()
            losses.append(loss.item())
        trail.append((network.alpha.detach().clone(), network.beta.detach().clone()))
    assert found.result.losses == pytest.approx(losses, rel=1e-3) and len(losses) == 6
    alpha, beta = history(found.result.curves)
    torch.testing.assert_close(alpha, torch.stack([one for one, _ in trail]), rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(beta, torch.stack([one for _, one in trail]), rtol=1e-3, atol=1e-4)
    assert torch.equal(alpha[-1], found.network.alpha) and torch.equal(beta[-1], found.network.beta)
    assert found.genotype == derive(alpha[-1], beta[-1])
    torch.testing.assert_close(found.network.classifier.weight, network.classifier.weight, rtol=1e-2, atol=1e-3)
    assert found.result.curves["train_architecture_loss"][0] is None
    assert len(found.result.curves["train_architecture_loss"]) == 3


def test_on_two_processes_it_is_the_loop_with_the_mean_of_their_gradients(data, monkeypatch):
    """Each normalises its own half of a batch. Both end with the same architecture, and with the same weights."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    import small_search

    def started():
        return SearchNetwork(10, 1, layers=2, channels=8, nodes=1, form="plain", generator=stream(3, "init"))

    together, network = started(), started()
    result = loop(small_search.Compared(together, data, STEPS), RECIPE, seed=3, device="cpu", processes=2)
    assert result.curves["apart"] == [0.0, 0.0, 0.0] and len(result.losses) == 6
    assert all(each.isfinite().all() for each in together.state_dict().values())

    weights, architecture = network.weight_parameters(), [network.alpha, network.beta]
    descent = torch.optim.SGD(weights, lr=0.1, momentum=0.9, weight_decay=3e-4)
    adam = torch.optim.Adam(architecture, lr=0.02, betas=(0.5, 0.999), weight_decay=1e-3)
    seeds = 3, stream(3, "architecture").initial_seed()
    loaders = [
        [Loader(data.train.subset(part), 30, mean=data.mean, std=data.std, augment="crop2-flip", drop_last=True,
                seed=seed, rank=rank, world=2) for rank in range(2)]
        for part, seed in zip(halves(data.train.labels, 3, data.classes), seeds, strict=True)]

    def descend(batches, parameters):
        """The loss, of which every parameter given has the gradient."""
        loss = sum(cross_entropy(network(batch.images), batch.labels) for batch in batches) / 2
        for each, grad in zip(parameters, torch.autograd.grad(loss, parameters), strict=True):
            each.grad = grad
        return loss.item()

    losses = []
    for epoch in range(3):
        mine, others = (zip(*(loader.epoch(epoch) for loader in half), strict=True) for half in loaders)
        for step, (own, other) in enumerate(zip(mine, others, strict=False)):
            assert [len(batch.rows) for batch in (*own, *other)] == [15] * 4
            if epoch >= 1:
                descend(other, architecture)
                adam.step()
            descent.param_groups[0]["lr"] = 0.1 * Cosine().factor((2 * epoch + step) / 2, 3)
            losses.append(descend(own, weights))
            nn.utils.clip_grad_norm_(weights, 5.0)
            descent.step()
    assert result.losses == pytest.approx(losses, rel=1e-3)
    torch.testing.assert_close(together.alpha, network.alpha, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(together.beta, network.beta, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(together.classifier.weight, network.classifier.weight, rtol=1e-2, atol=1e-3)
    assert (together.alpha - started().alpha).abs().max() > 0.01


def test_the_architecture_rests_in_the_warm_up_and_moves_after_it(data, undisturbed):
    alpha, beta = history(undisturbed.result.curves)
    start = SearchNetwork(10, 1, layers=2, channels=8, nodes=1, generator=stream(3, "init"))
    assert torch.equal(alpha[0], start.alpha) and torch.equal(beta[0], start.beta)
    assert (alpha[1:].diff(dim=0) != 0).any() and not torch.equal(alpha[1], alpha[0])
    assert not torch.equal(beta[1], beta[0])
    at_once = search(data, replace(RECIPE, epochs=1), architecture=replace(STEPS, warmup=0.0), **SMALL)
    assert not torch.equal(history(at_once.result.curves)[0][0], start.alpha)
    assert "alpha.normal.0.none" not in undisturbed.result.last


@pytest.mark.parametrize("with_generator", [False, True])
def test_neither_step_moves_what_the_other_trains(data, with_generator):
    start = SearchNetwork(10, 1, layers=2, channels=8, nodes=1, generator=stream(3, "init"))
    made = painter(data) if with_generator else None
    once = replace(RECIPE, epochs=1, weight_decay=0.0)
    at_once = ArchitectureSteps(lr=0.02, warmup=0.0, weight_decay=0.0)
    held = search(data, replace(once, lr=STILL), architecture=at_once, generator=made, **SMALL).network
    for found, before in zip(held.weight_parameters(), start.weight_parameters(), strict=True):
        torch.testing.assert_close(found, before, rtol=0, atol=1e-25)
    assert not torch.equal(held.alpha, start.alpha) and all(each.requires_grad for each in held.parameters())
    held = search(data, once, architecture=replace(at_once, lr=STILL), generator=made, **SMALL).network
    for found, before in zip(held.architecture_parameters(), start.architecture_parameters(), strict=True):
        torch.testing.assert_close(found, before, rtol=0, atol=1e-25)
    assert not torch.equal(held.classifier.weight, start.classifier.weight)


def test_the_generator_is_asked_by_its_law_and_stays_as_it_is(data, undisturbed):
    made = painter(data, epsilon=0.2)
    before = made.checksum
    with unchanged_global_rng():
        changed = search(data, RECIPE, architecture=STEPS, generator=made, **SMALL)
    none = search(data, RECIPE, architecture=STEPS, generator=made, generator_weight=0.0, **SMALL)
    alphas = [each.network.alpha for each in (changed, none, undisturbed)]
    assert not torch.equal(alphas[0], alphas[1]) and not torch.equal(alphas[0], alphas[2])
    assert SampleGenerator(made.network).checksum == before


def test_both_halves_of_a_subset_that_is_sorted_by_class_have_all_classes(data):
    by_class = load("digits").train.labels.sort().values
    weights, architecture = halves(by_class, 0, data.classes)
    assert torch.equal(torch.cat([weights, architecture]).sort().values, torch.arange(len(by_class)))
    counts = [torch.bincount(by_class[rows], minlength=10) for rows in (weights, architecture)]
    assert counts[0].min() > 0 and ((counts[1] - counts[0] == 0) | (counts[1] - counts[0] == 1)).all()
    again, other = halves(by_class, 0, data.classes)[0], halves(by_class, 1, data.classes)[0]
    assert torch.equal(weights, again) and not torch.equal(weights, other)


def test_each_half_is_seen_by_its_own_parameters_only(data):
    """Images of the weights' half are black, those of the other white; what a step is given tells them apart."""
    weights, _ = halves(data.train.labels, 3, data.classes)
    images = torch.full_like(data.train.images, 255)
    images[weights] = 0
    two = replace(data, train=Split(images, data.train.labels), mean=(0.0,), std=(1.0,))
    seen = []
    network = SearchNetwork(10, 1, layers=2, channels=8, nodes=1)
    network.register_forward_hook(lambda layer, given, _: seen.append(
        (given[0].max().item(), layer.alpha.requires_grad)) if layer.training else None)
    loop(SearchTask(network, two, STEPS), replace(RECIPE, augment="none", epochs=2), seed=3, device="cpu")
    assert seen == [(0.0, False), (0.0, False), *2 * [(1.0, True), (0.0, False)]]


@pytest.mark.parametrize("at", [1, 5, 8])
def test_stopped_and_continued_it_ends_with_the_same_bits(data, undisturbed, monkeypatch, tmp_path, at):
    """There are ten losses: two steps of the weights, and four times two of both."""
    module, left = import_module("mixlab.nas.search"), iter(range(at))

    def stopping(*arguments):
        if next(left, None) is None:
            raise KeyboardInterrupt
        return cross_entropy(*arguments)

    options = {"architecture": STEPS, "checkpoint": tmp_path, "every": 1, **SMALL}
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(module, "cross_entropy", stopping)
        search(data, RECIPE, **options)
    found = search(data, RECIPE, **options)
    for name, value in undisturbed.network.state_dict().items():
        assert torch.equal(value, found.network.state_dict()[name]), name
    assert (found.result.losses, found.result.curves) == (undisturbed.result.losses, undisturbed.result.curves)
    assert found.genotype == undisturbed.genotype


def test_the_run_of_another_search_is_not_continued(data, tmp_path):
    one = replace(RECIPE, epochs=1)
    options = {"checkpoint": tmp_path, "architecture": STEPS, **SMALL}
    search(data, one, **options)
    for name, other in {
        "architecture": {"architecture": replace(STEPS, lr=0.1)}, "network": {"nodes": 2},
        "generator": {"generator": painter(data)}, "generator_weight": {"generator_weight": 2.0}, "seed": {"seed": 4},
    }.items():
        with pytest.raises(ValueError, match=f"another run: its {name} is"):
            search(data, one, **options | other)


def test_the_papers_recipe():
    recipe, steps = RECIPES["search-paper"], ARCHITECTURE["search-paper"]
    assert (recipe.epochs, recipe.batch_size, recipe.lr, recipe.weight_decay, recipe.clip) == (50, 256, 0.1, 3e-4, 5.0)
    assert (steps.lr, steps.betas, steps.weight_decay, steps.first(50)) == (6e-4, (0.5, 0.999), 1e-3, 15)
    # 98 steps an epoch on half of CIFAR's 50,000 images would need the incomplete last batch, which is left out here.
    assert 25_000 // recipe.batch_size == 97
    assert set(RECIPES) == set(ARCHITECTURE)


def test_what_does_not_fit_is_one_error_and_leaves_nothing(data, tmp_path):
    kept = data.train.labels != 4
    others = data.train.rows[kept]
    single = torch.cat([others, data.train.rows[~kept][:1]])
    soft = replace(data, train=replace(data.train, soft=torch.eye(10)[data.train.labels]))
    network = SearchNetwork(7, 1, layers=2, channels=8, nodes=1)
    odd = replace(data, train=Split(torch.zeros(130, 1, 7, 8, dtype=torch.uint8), data.train.labels))
    folder = tmp_path / "run"
    for run, message in (
        (lambda: search(data.subset(others), RECIPE, checkpoint=folder, **SMALL),
         "at least two images of each of the 10 classes.*received 0 of '4'"),
        (lambda: search(data.subset(single), RECIPE, checkpoint=folder, **SMALL), "received 1 of '4'"),
        (lambda: search(odd, RECIPE, checkpoint=folder, **SMALL), "sides 4 divides, .* received 7 x 8"),
        (lambda: search(data, RECIPE, **SMALL | {"channels": 12}), "channels that 8 = 2 K divides"),
        (lambda: search(soft, RECIPE, checkpoint=folder, **SMALL), "the soft labels of digits"),
        (lambda: search(data, RECIPE, checkpoint=folder, generator=painter(data, 7), **SMALL),
         "a generator of the 10 classes of digits, received one of 7"),
        (lambda: search(data, RECIPE, generator=nn.Identity(), **SMALL), "a mixlab.generator.SampleGenerator or none"),
        (lambda: search(data, RECIPE, generator_weight=-1.0, **SMALL), "generator_weight"),
        (lambda: loop(SearchTask(network, data), RECIPE, device="cpu"), "a supernet of the 10 classes"),
        (lambda: loop(SearchTask(network, data), RECIPE, device="cpu", processes=7), "supernet of the 10"),
        (lambda: SearchTask(nn.Identity(), data), "a mixlab.nas.SearchNetwork, received Identity"),
        (lambda: ArchitectureSteps(lr=0), "positive learning rate"), (lambda: ArchitectureSteps(warmup=1), "a warm-up"),
        (lambda: ArchitectureSteps(betas=(1, 2)), "two betas"), (lambda: history({"epoch": [1]}), "curves of a search"),
    ):
        with pytest.raises(ValueError, match=message):
            run()
    assert not folder.exists()

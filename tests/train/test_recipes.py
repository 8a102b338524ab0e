"""Recipes: the papers' values, schedules against torch's own, refusals."""

from dataclasses import FrozenInstanceError, replace

import pytest
import torch

from mixlab.train import BUDGETS, SGD, Adam, Cosine, MultiStep, recipes
from mixlab.train.recipes import budget, by_name


@pytest.mark.parametrize(("name", "values"), [
    # epochs, batch, lr, weight decay, nesterov, milestones
    ("mixup-cifar10", (200, 128, 0.1, 1e-4, False, (100, 150))),
    ("cutmix-cifar", (300, 64, 0.25, 1e-4, True, (150, 225))),
    ("cutmix-cifar-resnet110", (300, 64, 0.1, 1e-4, True, (150, 225))),
    ("dcutmix-cifar", (300, 64, 0.25, 4e-5, True, (225, 270))),
    ("co-mixup-cifar", (300, 100, 0.2, 1e-4, True, (100, 200))),
])
def test_the_papers_recipes_have_the_papers_values(name, values):
    recipe = recipes[name]
    assert values == (recipe.epochs, recipe.batch_size, recipe.lr, recipe.weight_decay, recipe.nesterov,
                      recipe.schedule.milestones)
    assert (recipe.momentum, recipe.schedule.gamma, recipe.augment) == (0.9, 0.1, "crop-flip")
    assert recipe.report == ("last" if name == "co-mixup-cifar" else "best")


@pytest.mark.parametrize(("name", "epochs"), [("bench-grey", 100), ("bench-colour", 100)])
def test_the_bench_rises_over_a_fifth_of_its_epochs_and_falls_to_zero(name, epochs):
    recipe = recipes[name]
    assert (recipe.epochs, recipe.batch_size, recipe.report, recipe.nesterov) == (epochs, 100, "last", True)
    assert recipe.augment == "crop2-flip"
    rates = [recipe.learning_rate(share * epochs) for share in (0, 0.1, 0.2, 0.6, 1)]
    assert rates == pytest.approx([0, 0.1, 0.2, 0.1, 0])


def torchs(scheduler, epochs, **options):
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.5)
    schedule = scheduler(optimizer, **options)
    for _ in range(epochs):
        yield optimizer.param_groups[0]["lr"]
        optimizer.step()
        schedule.step()


def test_multistep_is_torchs():
    recipe = replace(recipes["mixup-cifar10"], lr=0.5, epochs=12, schedule=MultiStep((4, 9), 0.2))
    expected = torchs(torch.optim.lr_scheduler.MultiStepLR, 12, milestones=[4, 9], gamma=0.2)
    assert [recipe.learning_rate(epoch) for epoch in range(12)] == pytest.approx(list(expected))


def test_cosine_is_torchs():
    recipe = replace(recipes["small"], lr=0.5, epochs=12)
    expected = torchs(torch.optim.lr_scheduler.CosineAnnealingLR, 12, T_max=12)
    assert [recipe.learning_rate(epoch) for epoch in range(12)] == pytest.approx(list(expected))


def test_warmup_rises_linearly_to_the_cosine():
    recipe = replace(recipes["small"], lr=1.0, schedule=Cosine(warmup=2))
    assert [recipe.learning_rate(position) for position in (0, 1, 2, 6, 10)] == pytest.approx([0, 0.5, 1, 0.5, 0])


def test_a_stretched_recipe_keeps_its_shape():
    short = recipes["dcutmix-cifar"].over(30)
    assert (short.epochs, short.schedule.milestones) == (30, (22.5, 27))
    assert recipes["small"].over(5).learning_rate(2.5) == pytest.approx(recipes["small"].learning_rate(5))


def test_milestones_that_fall_on_a_whole_epoch_stay_there():
    for recipe in (each for each in recipes.values() if isinstance(each.schedule, MultiStep)):
        for epochs in range(1, 601):
            for old, new in zip(recipe.schedule.milestones, recipe.over(epochs).schedule.milestones, strict=True):
                whole, rest = divmod(old * epochs, recipe.epochs)
                assert new == whole if rest == 0 else whole < new < whole + 1, (recipe.name, epochs, old)


def test_recipes_are_frozen_and_say_where_they_come_from():
    with pytest.raises(FrozenInstanceError):
        recipes["small"].lr = 1.0
    assert all(name == recipe.name and recipe.source for name, recipe in recipes.items())


@pytest.mark.parametrize("change", [
    {"epochs": 0}, {"batch_size": 0}, {"lr": 0.0}, {"lr": float("nan")}, {"momentum": 1.0}, {"weight_decay": -1e-4},
    {"momentum": 0.0}, {"report": "mean"}, {"epochs": 1.5}, {"epochs": True}, {"batch_size": 64.0},
])
def test_values_out_of_range_are_refused(change):
    with pytest.raises(ValueError, match="expected"):
        replace(recipes["small"], **change)


@pytest.mark.parametrize(("change", "message"), [
    ({"optimizer": "adam"}, "expected an optimizer of SGD.. or Adam.., received 'adam'"),
    ({"optimizer": Adam()}, "expected momentum=0 and nesterov=False with Adam, received 0.9 and True"),
    ({"optimizer": Adam(), "nesterov": False}, "with Adam, received 0.9 and False"),
    *(({"clip": clip}, "expected a norm above 0 to clip at, or None, received") for clip in (0, -1.0, True, "5")),
    ({"clip": float("inf")}, "expected a norm above 0"), ({"clip": float("nan")}, "expected a norm above 0"),
])
def test_optimisers_and_norms_that_are_none_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        replace(recipes["small"], **change)


@pytest.mark.parametrize("betas", [(0.9,), (0.9, 1.0), (-0.1, 0.9), 0.9, (0.9, float("nan")), (0.9, 0.99, 0.999)])
def test_betas_that_are_none_are_refused(betas):
    with pytest.raises(ValueError, match="expected two betas in"):
        Adam(betas)


def test_recipes_say_nothing_of_the_optimiser_that_they_always_had():
    """So that a run from before there was another is still the same run."""
    plain = recipes["small"]
    assert plain.optimizer == SGD() and not {"optimizer", "clip"} & set(plain.as_dict())
    other = replace(plain, optimizer=Adam([0.5, 0.99]), clip=5.0, momentum=0.0, nesterov=False).as_dict()
    assert (other["optimizer"], other["clip"]) == ({"name": "Adam", "betas": (0.5, 0.99)}, 5.0)
    assert list(other)[: len(plain.as_dict())] == list(plain.as_dict())


def test_optimisers_are_torchs_with_the_values_of_the_recipe():
    weights = [torch.zeros(2, requires_grad=True)]
    sgd = SGD().over(weights, recipes["small"])
    expected = torch.optim.SGD(weights, lr=0.1, momentum=0.9, nesterov=True, weight_decay=5e-4)
    assert type(sgd) is torch.optim.SGD and sgd.defaults == expected.defaults
    recipe = replace(recipes["small"], optimizer=Adam((0.5, 0.99)), momentum=0.0, nesterov=False)
    adam = recipe.optimizer.over(weights, recipe)
    expected = torch.optim.Adam(weights, lr=0.1, betas=(0.5, 0.99), weight_decay=5e-4)
    assert type(adam) is torch.optim.Adam and adam.defaults == expected.defaults


def test_budgets_name_recipes_that_exist():
    assert all(by_name(each.recipe).name == each.recipe for each in BUDGETS.values())
    assert [budget(name) for name in ("cpu", "gpu", "paper")] == list(BUDGETS.values())


@pytest.mark.parametrize("find", [by_name, budget])
def test_unknown_names_are_refused_with_the_known_ones(find):
    with pytest.raises(ValueError, match="received 'nothing'"):
        find("nothing")

"""Chapter 10's experiment: all networks of a small table as the measure of a run, and the runs that are compared."""

import json
from dataclasses import replace

import pytest
import torch
from oracle import unchanged_global_rng

from mixlab.chapters.ch08_selection import choices
from mixlab.chapters.ch10_search import exhaustive
from mixlab.chapters.ch10_search.experiments import search_table as plan
from mixlab.nas import TabularNetwork, cells
from mixlab.reproduce import Run, get
from mixlab.reproduce.execute import dataset_of, execute, measure_of, recipe_of
from mixlab.risk import EmpiricalRisk
from mixlab.rng import generator
from mixlab.train import evaluate, fit

THREE = [("skip", "skip", "conv_1x1"), ("conv_3x3", "avg_pool_3x3", "skip"), ("conv_1x1", "skip", "conv_3x3")]
RUN = Run("tiny-s5", "random", data="digits", model="tabular", risk={"name": "empirical"}, recipe="bench-grey", seed=5,
          epochs=4, limit=300, validation=0.2, options={"cell": plan.CELL, "channels": 4}, device="cpu")


@pytest.fixture
def three(monkeypatch):
    """A table of three networks."""
    monkeypatch.setattr(exhaustive, "cells", lambda: list(THREE))


@pytest.fixture(scope="module")
def data():
    return dataset_of(RUN)


def by_hand(run, data):
    """The networks of `THREE`, each trained by itself."""
    for cell in THREE:
        network = TabularNetwork(cell, len(data.classes), data.train.images.shape[1],
                                 channels=run.options["channels"], generator=generator(run.seed, "init"))
        fit(network, EmpiricalRisk(), data, recipe_of(run), seed=run.seed, device="cpu")
        yield network


def numbers(measures):
    """What is measured, without how long it took."""
    return {name: value for name, value in measures.items() if name != "table_seconds"}


# What a run measures


def test_the_truth_is_of_test_images_and_a_proxy_of_validation_images(three, data):
    """Looking at validation and training images on the way, as `fit` does here, changes no network."""
    expected = {"test": {}, "validation": {}}
    for number, network in enumerate(by_hand(RUN, data)):
        for name, measures in expected.items():
            found = evaluate(network, getattr(data, name), mean=data.mean, std=data.std)
            measures |= {f"error_0{number}": found.error, f"loss_0{number}": found.loss}
    with unchanged_global_rng():
        truth, proxy = (measure(None, data, RUN) for measure in (exhaustive.truth, exhaustive.proxy))
    assert numbers(truth) == pytest.approx(expected["test"], rel=1e-5)
    assert numbers(proxy) == pytest.approx(expected["validation"], rel=1e-5)
    assert all(truth[f"loss_0{number}"] != proxy[f"loss_0{number}"] for number in range(3))
    assert len({truth[f"loss_0{number}"] for number in range(3)}) == 3
    assert truth["table_seconds"] > 0 < proxy["table_seconds"]
    assert exhaustive.errors(truth) == [truth["error_00"], truth["error_01"], truth["error_02"]]


def test_two_calls_give_the_same_numbers_and_another_seed_others(three, data):
    short = replace(RUN, epochs=1)
    first, again, other = (numbers(exhaustive.table(data, run)) for run in (short, short, replace(short, seed=6)))
    assert first == again and not set(first.values()) & {other[f"loss_0{number}"] for number in range(3)}
    # Which cell the run itself trains does not matter.
    assert first == numbers(exhaustive.table(data, replace(short, options={"cell": THREE[0], "channels": 4})))
    assert first != numbers(exhaustive.table(data, replace(short, options={"cell": THREE[0], "channels": 2})))


def test_validation_images_are_no_part_of_the_truth(three, data):
    short = replace(RUN, epochs=1)
    none = replace(data, validation=data.validation.subset(torch.arange(0)))
    assert numbers(exhaustive.truth(None, data, short)) == numbers(exhaustive.truth(None, none, short))
    black = replace(data, test=replace(data.test, images=torch.zeros_like(data.test.images)))
    assert numbers(exhaustive.proxy(None, data, short)) == numbers(exhaustive.proxy(None, black, short))
    assert numbers(exhaustive.truth(None, data, short)) != numbers(exhaustive.truth(None, black, short))


def said(errors, losses):
    named = {f"error_{number:02d}": value for number, value in enumerate(errors)}
    return named | {f"loss_{number:02d}": value for number, value in enumerate(losses)}


def test_the_smallest_error_is_chosen_and_of_equal_ones_the_smaller_loss(three):
    assert exhaustive.chosen(said([20.0, 10.0, 15.0], [0.1, 0.9, 0.2])) == 1
    assert exhaustive.chosen(said([20.0, 10.0, 10.0], [0.1, 0.9, 0.5])) == 2
    assert exhaustive.chosen(said([10.0, 20.0, 10.0], [0.4, 0.1, 0.5])) == 0
    assert exhaustive.chosen(said([10.0, 10.0, 10.0], [0.5, 0.4, 0.4])) == 1


def test_errors_are_in_the_order_of_the_table():
    errors = [float(value) for value in torch.randperm(64, generator=torch.Generator().manual_seed(0))]
    measures = said(errors, [0.0] * 64)
    assert exhaustive.errors(dict(reversed(measures.items()))) == errors
    assert exhaustive.chosen(measures) == errors.index(0.0) and len(cells()) == 64


# The plan


@pytest.fixture(scope="module")
def runs():
    return get("search-table").runs


def arm(runs, row):
    return {run.seed: run for run in runs if run.row == row}


ARMS = [*plan.POLICIES.values(), plan.FULL]


def test_three_runs_of_the_truth_and_ten_of_every_arm(runs):
    assert len(runs) == 43 == len({run.name for run in runs}) == len({run.digest() for run in runs})
    truth = arm(runs, plan.TRUTH)
    assert list(truth) == [1, 2, 3] and len(ARMS) == 4
    for row in ARMS:
        assert sorted(arm(runs, row)) == list(range(11, 21))
        assert not set(arm(runs, row)) & set(truth)
    assert set(plan.PRIMARY) <= set(ARMS)


def test_records_say_what_was_done_and_name_no_file(runs):
    for run in runs:
        config = json.loads(json.dumps(run.as_dict()))
        assert "/" not in json.dumps(config) and run.same_as(config) and Run(**config).digest() == run.digest()


def test_a_record_is_the_record_of_its_run(runs):
    for run in runs:
        assert Run(**run.as_dict()) == run


def test_arms_take_as_many_steps_as_each_other_and_the_truth_three_times_as_many(runs):
    for run in runs:
        recipe, images = recipe_of(run), run.limit if run.subset is None else run.subset["t"] * run.limit
        assert (run.recipe, recipe.batch_size, run.part) == ("bench-grey", 100, 1)
        assert recipe.epochs * -(-images // recipe.batch_size) == (300 if run.row == plan.TRUTH else 100)
        assert images == (500 if run.subset else 5000)


def test_arms_of_a_seed_differ_in_their_images_and_epochs_only(runs):
    first = arm(runs, plan.PRIMARY[0])
    for row in ARMS:
        for seed, run in arm(runs, row).items():
            same = replace(run, name="", row="", epochs=None, subset=None)
            assert same == replace(first[seed], name="", row="", epochs=None, subset=None)
            assert (run.limit, run.validation, run.split) == (5000, 0.05, None)
            assert run.subset is None or {**run.subset, "policy": ""} == {**first[seed].subset, "policy": ""}
    policies = {row: {run.subset["policy"] for run in arm(runs, row).values()} for row in plan.POLICIES.values()}
    assert policies == {title: {name} for name, title in plan.POLICIES.items()}
    assert all(run.subset is None for run in runs if run.row in (plan.TRUTH, plan.FULL))


def test_the_truth_is_measured_on_test_images_and_no_arm_is(runs):
    for run in runs:
        assert measure_of(run) is (exhaustive.truth if run.row == plan.TRUTH else exhaustive.proxy)
        assert run.risk == {"name": "empirical"} and run.options["channels"] == 8 and run.model == "tabular"


def test_two_runs_in_a_row_do_not_wait_for_one_scorer(runs):
    """Of the runs of a seed that need its scores, the first is done two runs or more before the next."""
    place = {(run.seed, run.row): number for number, run in enumerate(runs)}
    first, *others = plan.POLICIES.values()
    for seed in plan.SEEDS:
        assert min(place[seed, row] for row in others) - place[seed, first] >= 2


@pytest.mark.data
def test_a_tenth_of_the_images_is_a_tenth_of_every_class(runs):
    """Of the seeds, one; the others divide the same classes."""
    full, first = arm(runs, plan.FULL)[11], arm(runs, plan.PRIMARY[0])[11]
    data, same = dataset_of(full), dataset_of(first)
    assert torch.equal(data.train.rows, same.train.rows) and torch.equal(data.validation.rows, same.validation.rows)
    assert data.train.labels.bincount().tolist() == [500] * 10 and len(data.test) == 10_000
    assert data.validation.labels.bincount().tolist() == [300] * 10
    assert not torch.isin(data.train.rows, data.validation.rows).any()


# From a run to its record


def test_a_run_of_the_table_is_a_run_like_any_other(data):
    """Its network is that of its cell, from the run's own seed."""
    short = replace(RUN, epochs=1, options={"cell": list(THREE[2]), "channels": 4})
    record = execute(short, "mine", "cpu")
    network = TabularNetwork(THREE[2], 10, 1, channels=4, generator=generator(5, "init"))
    expected = fit(network, EmpiricalRisk(), data, recipe_of(short), seed=5, device="cpu")
    assert record["result"]["last"]["test_loss"] == pytest.approx(expected.last["test_loss"], rel=1e-6)
    assert record["what"]["config"] == short.as_dict() and Run(**record["what"]["config"]) == short
    assert not any(name.startswith(("error_", "loss_")) for name in record["result"].get("measures") or {})


def test_an_unknown_cell_is_refused():
    with pytest.raises(ValueError, match="expected a cell of 3 operations.*received .*'none'"):
        execute(replace(RUN, options={"cell": ["skip", "skip", "none"]}), "mine", "cpu")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Where the arms find the scores that the first of them makes."""
    return tmp_path_factory.mktemp("scores")


# Digits are too small for the scorer of the experiment.
SCORER = {**plan.SCORER, "model": "preact-resnet18", "width": 2, "recipe": "demo", "epochs": 1}


@pytest.mark.parametrize("row", [plan.TRUTH, *ARMS])
def test_every_row_can_be_carried_out(row, runs, three, folder):
    """Small: three networks, few images, and a scorer of a second. They are trained on what the run chooses."""
    run = next(run for run in runs if run.row == row)
    tiny = replace(run, data="digits", limit=300, epochs=1, seed=5, validation=0.2, device="cpu",
                   options={**run.options, "channels": 2})
    if run.subset is not None:
        tiny = replace(tiny, subset={**run.subset, "scorer": SCORER, "score": {**plan.SCORE, "draws": 4}})
    measures = execute(tiny, "mine", "cpu", shared=folder)["result"]["measures"]
    data = dataset_of(tiny)
    if run.subset is not None:
        rows, _ = choices.choose(tiny, data, folder)
        data = data.subset(rows)
        assert len(data.train) < 40 and "chosen_cv" in measures
    split = data.test if row == plan.TRUTH else data.validation
    for number, network in enumerate(by_hand(tiny, data)):
        found = evaluate(network, split, mean=data.mean, std=data.std)
        assert measures[f"error_0{number}"] == pytest.approx(found.error)
        assert measures[f"loss_0{number}"] == pytest.approx(found.loss, rel=1e-5)
    assert measures["table_seconds"] > 0 and "error_03" not in measures

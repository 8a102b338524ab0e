"""Chapter 9's experiment, and how its runs come by a classifier and a generator."""

import json
from dataclasses import replace

import pandas
import pytest
import torch

from mixlab.chapters.ch09_generator import preparation, tables
from mixlab.chapters.ch09_generator.experiments import generator as plan
from mixlab.data.augment import normalise
from mixlab.generator import SampleGenerator
from mixlab.models import Teacher
from mixlab.reproduce import Run, get
from mixlab.reproduce.execute import dataset_of, execute, recipe_of
from mixlab.risk import build_risk

CLASSIFIER = {"model": "bench-net", "width": 2, "recipe": "demo", "epochs": 1, "risk": {"name": "empirical"}}
GENERATOR = {"classifier": CLASSIFIER, "recipe": "generator-bench", "epochs": 1, "base": 2, "downs": 1}


def small(risk):
    """A risk with networks of a second in place of its own."""
    found = dict(risk)
    if "classifier" in risk:
        found["classifier"] = CLASSIFIER
    if "generator_net" in risk:
        known = ("recipe", "base", "downs", "classifier")
        found["generator_net"] = GENERATOR | {
            name: value for name, value in risk["generator_net"].items() if name not in known}
    return found


RUN = Run("tiny-s0", "generated images, μ", data="shapes", model="bench-net", width=2, recipe="demo", seed=0, limit=100,
          epochs=1, device="cpu", prepare="ch9", risk=small(plan.ROWS["generated"][1]))


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder in which a generator was made, the data, and what the preparation gives."""
    folder, data = tmp_path_factory.mktemp("made"), dataset_of(RUN)
    return folder, data, preparation.prepare(RUN, data, folder)


def files(folder):
    return {path.relative_to(folder): path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


# What is made


def test_the_generator_was_trained_against_the_classifier_that_stands_beside_it(made):
    folder, data, (spec, measures) = made
    trained = SampleGenerator.from_config(spec["generator_net"])
    classifier, = (Teacher.load(path) for path in folder.rglob("classifier.pt"))
    assert trained.classifier == classifier.checksum and trained.about["rows"] == len(data.train) == 100
    images = normalise(data.test.images, data.mean, data.std)
    with torch.no_grad():
        wrong = 100 * (classifier(images).argmax(1) != data.test.labels).double().mean().item()
    assert measures["classifier_error"] == pytest.approx(wrong)
    assert measures["classifier_seconds"] > 0 < measures["generator_seconds"]
    # What is said of the generator is of test images, all of them where they are few.
    own = torch.full((len(images), data.num_classes), 1 / data.num_classes)
    assert trained.make(images, own).shape == images.shape
    assert measures["generator_norm"] == pytest.approx(images.flatten(1).norm(dim=1).double().mean().item(), rel=1e-5)


def test_both_are_made_once_for_all_runs_of_a_seed_that_name_them(made):
    folder, data, (spec, measures) = made
    before = files(folder)
    for name in ("generated", "noise", "pgd"):
        again, said = preparation.prepare(replace(RUN, name=name, risk=small(plan.ROWS[name][1])), data, folder)
        assert again["generator_net"] == spec["generator_net"] and said == measures
    assert files(folder) == before


@pytest.mark.parametrize("change", [{"seed": 1}, {"limit": 90}, {"risk": small(plan.ROWS["slow"][1])}],
                         ids=["seed", "limit", "rate"])
def test_another_seed_set_or_rate_has_a_generator_of_its_own(made, change):
    folder, _, (spec, _) = made
    other = replace(RUN, **change)
    again, _ = preparation.prepare(other, dataset_of(other), folder)
    assert again["generator_net"]["checksum"] != spec["generator_net"]["checksum"]


def test_a_rate_and_a_length_replace_those_of_the_recipe(made):
    folder, data, _ = made
    slow = replace(RUN, risk=small(plan.ROWS["slow"][1]))
    about = SampleGenerator.from_config(preparation.prepare(slow, data, folder)[0]["generator_net"]).about
    assert about["lr"] == 1e-4 and about["epochs"] == 1 and about["steps"] == 2


def test_a_preparation_that_was_stopped_between_the_two_goes_on_with_the_classifier(tmp_path, monkeypatch, made):
    _, data, (spec, _) = made

    def stopped(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(preparation, "train_generator", stopped)
        preparation.prepare(RUN, data, tmp_path)
    before = files(tmp_path)
    assert [path.name for path in before if path.suffix == ".pt"] == ["classifier.pt"]
    again, _ = preparation.prepare(RUN, data, tmp_path)
    assert again["generator_net"]["checksum"] == spec["generator_net"]["checksum"]
    assert before.items() <= files(tmp_path).items()


# The plan


@pytest.fixture(scope="module")
def runs():
    return get("generator").runs


def test_records_say_what_was_made_and_name_no_file(runs):
    for run in runs:
        text = json.dumps(run.as_dict())
        assert "/" not in text and Run(**json.loads(text)) == run
        assert run.limit == 500 and recipe_of(run).epochs * 500 / recipe_of(run).batch_size == 300


def test_primary_rows_and_controls_have_twenty_seeds_and_the_others_five(runs):
    seeds = {name: sorted(run.seed for run in runs if run.row == title) for name, (title, _) in plan.ROWS.items()}
    assert all(seeds[name] == list(range(1, 21)) for name in (*plan.PRIMARY, *plan.CONTROLS))
    assert all(seeds[name] == list(range(1, 6)) for name in (*plan.SECONDARY, *plan.WRITTEN))
    assert sum(map(len, seeds.values())) == len(runs)


def test_the_rows_of_the_primary_comparison_draw_the_same_mixes_and_soft_labels(made):
    """The student's two losses on one batch differ, and are the same where the generator changes nothing."""
    folder, data, _ = made
    batch = (normalise(data.train.images[:8], data.mean, data.std), data.train.labels[:8])
    student = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(batch[0][0].numel(), data.num_classes))
    losses = {}
    for name in plan.PRIMARY:
        run = replace(RUN, risk=small(plan.ROWS[name][1]))
        risk = build_risk(preparation.prepare(run, data, folder)[0], data=data)
        losses[name] = risk(student, batch, generator=torch.Generator().manual_seed(0)).item()
        if name == "generated":
            risk.generator_net.forward = lambda images, mu: images
            losses["unchanged"] = risk(student, batch, generator=torch.Generator().manual_seed(0)).item()
    assert losses["unchanged"] == pytest.approx(losses["clean"], rel=1e-6) != losses["generated"]


@pytest.mark.parametrize("name", plan.ROWS)
def test_every_row_can_be_carried_out(name, made):
    """Small: the row's own risk with networks of a second."""
    run = next(run for run in get("generator").runs if run.row == plan.ROWS[name][0])
    tiny = replace(run, data="shapes", limit=100, width=2, recipe="demo", epochs=1, seed=0, device="cpu", measure=None,
                   validation=0.1, risk=small(run.risk))
    record = execute(tiny, "mine", "cpu", shared=made[0])
    assert 0 <= record["result"]["last"]["test_error"] <= 100
    assert ("generator_kl" in record["result"]["measures"]) == ("generator_net" in run.risk)


# The tables


def recorded(**changes):
    """Two records of students beside a generator, and one of a student without; what was said of the generators."""
    said = {"generator_kl": [0.04, 0.06], "generator_kl_ignorant": [0.1, 0.1], "generator_wrong_kept": [9.0, 11.0],
            "generator_seconds": [60.0, 70.0], "classifier_seconds": [20.0, 22.0], "classifier_error": [17.0, 18.0]}
    said = {name: [*values, float("nan")] for name, values in said.items()}  # a student without has no such measure
    rows = [plan.ROWS[name][0] for name in ("generated", "generated", "none")]
    frame = pandas.DataFrame({"row": rows, "seed": [1, 2, 1], "seconds": [38.0, 40.0, 20.0], **said, **changes})
    frame.attrs["missing"] = ["others"]
    return frame


def test_what_generators_do_has_a_deviation_where_seeds_differ():
    shown = tables.probes(recorded())["rate .01, μ uniform"]
    assert shown["KL"].split() == ["0.050", "±", "0.014"]  # .01 √2
    assert shown["wrong: kept, %"].split() == ["10.0", "±", "1.4"]
    assert shown["KL, ignoring μ"] == "0.100" and shown["given, %"] == "–"


def test_cost_counts_the_epochs_that_the_paper_leaves_out():
    made, longer = tables.cost(recorded())
    # 65 s for 130 epochs are 300 s for 600.
    assert "a classifier 21 (error 17.5 %), a generator 65;" in made
    assert longer == "for the paper's 600 epochs instead of 130 it would be 300"

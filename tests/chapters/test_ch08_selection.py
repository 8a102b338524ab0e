"""Chapter 8's experiment, and how its runs choose what they are trained on."""

import json
from dataclasses import replace

import pytest
import torch

from mixlab.bayes import score
from mixlab.chapters.ch08_selection import choices
from mixlab.chapters.ch08_selection.experiments import selection as plan
from mixlab.data.augment import normalise
from mixlab.reproduce import Run, get
from mixlab.reproduce.execute import dataset_of, execute, recipe_of
from mixlab.selection import POLICIES, select
from mixlab.train import fit

SCORER = {"model": "bench-net", "width": 2, "recipe": "demo", "epochs": 1, "risk": plan.DCUTMIX}
SCORE = {**plan.SCORE, "draws": 4}


def chosen(policy="high-cv", t=0.1, **scorer):
    return {"choice": "ch8", "policy": policy, "t": t, "scorer": {**SCORER, **scorer}, "score": SCORE}


RUN = Run("tiny-s0", "high CV", data="shapes", model="bench-net", width=2, risk=plan.DCUTMIX, recipe="demo", seed=0,
          limit=300, epochs=1, device="cpu", subset=chosen())


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder in which scores were made, the data, and what was chosen."""
    folder, data = tmp_path_factory.mktemp("made"), dataset_of(RUN)
    return folder, data, choices.choose(RUN, data, folder)


def files(folder):
    return {path.relative_to(folder): path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


# What is chosen


def test_a_tenth_of_every_class_is_kept(made):
    _, data, (rows, _) = made
    kept = data.subset(rows).train.labels.bincount(minlength=data.num_classes)
    assert kept.tolist() == [-(-int(count) // 10) for count in data.train.labels.bincount(minlength=data.num_classes)]


def test_scores_are_made_once_for_all_runs_of_a_seed(made):
    folder, data, (rows, measures) = made
    before = files(folder)
    again = choices.choose(RUN, data, folder)
    assert torch.equal(again[0], rows) and again[1] == measures
    for policy in plan.POLICIES:
        other = replace(RUN, name="other", subset=chosen(policy, 0.2), risk={"name": "empirical"})
        choices.choose(other, data, folder)
    assert files(folder) == before


@pytest.mark.parametrize("change", [{"seed": 1}, {"limit": 250}, {"subset": chosen(epochs=2)}],
                         ids=["seed", "limit", "scorer"])
def test_other_rows_or_another_scorer_have_scores_of_their_own(made, change):
    folder, data, _ = made
    other = replace(RUN, **change)
    first, second = (choices.scored(run, dataset_of(run), folder)[0] for run in (RUN, other))
    assert first.about["network"]["checksum"] != second.about["network"]["checksum"]
    assert second.rows.tolist() == dataset_of(other).train.rows.sort().values.tolist()


def test_scores_of_other_rows_are_refused(made):
    folder, data, (rows, _) = made
    with pytest.raises(ValueError, match="expected the rows that were scored"):
        choices.choose(RUN, data.subset(rows), folder)


@pytest.fixture
def watched(monkeypatch):
    """What the scorer is trained on, and what is scored by which network."""
    seen = {}

    def fitting(model, risk, data, *others, **options):
        seen["trained"] = data.train
        return fit(model, risk, data, *others, **options)

    def scoring(network, split, **options):
        seen["scorer"], seen["scored"] = network, split
        return score(network, split, **options)

    monkeypatch.setattr("mixlab.reproduce.made.fit", fitting)
    monkeypatch.setattr(choices, "score", scoring)
    return seen


@pytest.mark.parametrize("limit", [None, 50])
def test_the_scorer_is_trained_on_all_rows_or_on_few_and_scores_all(limit, tmp_path, watched):
    """Of few rows, it has the moments of those."""
    data = dataset_of(RUN)
    subset = chosen() if limit is None else chosen(limit=limit)
    scores, measures = choices.scored(replace(RUN, subset=subset), data, tmp_path)
    trained, scorer = watched["trained"], watched["scorer"]
    assert len(trained) == (limit or 300) and set(trained.rows.tolist()) <= set(data.train.rows.tolist())
    assert watched["scored"] is data.train and len(scores) == 300 and scores.draws == 4
    assert (scorer.mean, scorer.std) == trained.moments()
    with torch.no_grad():
        answers = scorer.eval()(normalise(data.test.images, scorer.mean, scorer.std)).argmax(1)
    wrong = 100 * (answers != data.test.labels).double().mean().item()
    assert measures["scorer_error"] == pytest.approx(wrong)


def test_the_measures_are_those_of_what_was_chosen(made):
    folder, data, (rows, measures) = made
    scores, _ = choices.scored(RUN, data, folder)
    assert rows.tolist() == select(scores, 0.1).tolist()
    kept = [place for place, row in enumerate(scores.rows.tolist()) if row in set(rows.tolist())]
    assert measures["chosen_cv"] == pytest.approx(scores.cv[kept].mean().item())
    assert measures["chosen_loss"] == pytest.approx(scores.mean[kept].mean().item())
    assert measures["chosen_cv"] > measures["all_cv"] == pytest.approx(scores.cv.mean().item())
    random, said = choices.choose(replace(RUN, subset=chosen("random")), data, folder)
    common = len(set(rows.tolist()) & set(random.tolist()))
    assert measures["overlap"] == pytest.approx(100 * common / len(rows)) and said["overlap"] == 100
    assert measures["scorer_seconds"] > 0 < measures["score_seconds"]


def test_what_is_drawn_follows_from_the_seed_and_differs_between_policies(made, tmp_path):
    _, data, _ = made
    drawn = [
        choices.choose(replace(RUN, seed=seed, split=0, subset=chosen(policy)), data, tmp_path)[0].tolist()
        for seed in (0, 1) for policy in ("random", "stratified", "proportional")
    ]
    assert len({tuple(rows) for rows in drawn}) == 6


# The plan


@pytest.fixture(scope="module")
def runs():
    return get("selection").runs


def test_records_say_what_was_chosen_and_name_no_file(runs):
    for run in runs:
        text = json.dumps(run.as_dict())
        assert "/" not in text and Run(**json.loads(text)) == run
        assert run.limit == 5000 and run.seed in range(1, 11) and run.split is None


def test_a_row_has_each_seed_once_and_the_primary_rows_have_ten(runs):
    seeds = {}
    for run in runs:
        seeds.setdefault((run.data, run.row), []).append(run.seed)
    assert all(len(found) == len(set(found)) for found in seeds.values())
    for data in ("fashion-mnist", "cifar100-coarse"):
        for name in plan.PRIMARY:
            assert sorted(seeds[data, plan.POLICIES[name]]) == list(range(1, 11))


def test_all_of_a_seed_but_its_first_run_find_its_scores_made(runs):
    """Between the run that makes them and the first that takes them there is one of the next seed, if there is any."""
    for setting in plan.SETTINGS:
        ours = [run for run in runs if run.name.startswith(setting)][: 3 * len(plan.PRIMARY_SEEDS)]
        for seed in plan.PRIMARY_SEEDS:
            of_seed = [place for place, run in enumerate(ours) if run.seed == seed]
            assert ours[of_seed[0]].row == "high CV"
            if seed != plan.PRIMARY_SEEDS[-1]:
                between = ours[of_seed[0] + 1 : of_seed[1]]
                assert any(run.seed == seed + 1 and run.row == "high CV" for run in between)


def test_the_rows_of_a_comparison_differ_in_the_policy_alone(runs):
    for setting in plan.SETTINGS:
        first = [run for run in runs if run.name in {f"{setting}-{name}-s{plan.SEEDS[0]}" for name in plan.POLICIES}]
        plain = [replace(run, name="", row="", subset={**run.subset, "policy": ""}) for run in first]
        assert {run.subset["policy"] for run in first} == set(plan.POLICIES) and all(run == plain[0] for run in plain)
    assert set(plan.POLICIES) == set(POLICIES)


def test_five_hundred_images_take_three_hundred_steps(runs):
    for run in runs:
        assert run.epochs * run.limit * run.subset["t"] / recipe_of(run).batch_size == pytest.approx(300)
        assert run.recipe == run.subset["scorer"]["recipe"]


def rows_of_the_plan():
    return {run.row: run for run in get("selection").runs if run.data == "fashion-mnist"}


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    return tmp_path_factory.mktemp("shared")


@pytest.mark.parametrize("row", rows_of_the_plan())
def test_every_row_can_be_carried_out(row, shared):
    """Small: the row's own risk, policy and part, with a scorer and a network of seconds."""
    run = rows_of_the_plan()[row]
    small = replace(run, data="shapes", limit=300, width=2, recipe="demo", epochs=1, seed=0, device="cpu", measure=None)
    small = replace(small, subset={**run.subset, "scorer": SCORER, "score": SCORE})
    record = execute(small, "mine", "cpu", shared=shared)
    assert 0 <= record["result"]["last"]["test_error"] <= 100
    assert record["what"]["config"] == small.as_dict()
    assert record["result"]["measures"]["scorer_error"] > 0

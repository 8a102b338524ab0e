"""How far two scores agree: the measure of `score-stability`, and what that experiment trains."""

import pytest
import torch
from scipy.stats import spearmanr

from mixlab.bayes import score
from mixlab.chapters.ch08_selection import stability
from mixlab.chapters.ch08_selection.experiments import selection as plan
from mixlab.data import load
from mixlab.models import build
from mixlab.reproduce import Run, get
from mixlab.reproduce.execute import execute, measure_of

torch.set_num_threads(1)

RUN = Run("tiny-s3", "scorer", data="shapes", model="bench-net", width=2, risk=plan.DCUTMIX, recipe="demo", seed=3,
          limit=300, epochs=1, device="cpu", measure="score-stability")
LINES = {"fresh": ((4, 8), None), "2 sets": ((8,), 2)}


@pytest.fixture
def small(monkeypatch):
    """Ten images of each class, and few draws."""
    monkeypatch.setattr(stability, "ANCHORS", 10)
    monkeypatch.setattr(stability, "LINES", LINES)


@pytest.fixture
def drawn(monkeypatch, small):
    """What `surroundings` is asked for, call by call, and the data with a network."""
    asked, usual = [], stability.surroundings

    def asking(pool, **options):
        asked.append((pool, options))
        return usual(pool, **options)

    monkeypatch.setattr(stability, "surroundings", asking)
    data = load("shapes", validation=0.0, limit=300, seed=3)
    network = build("bench-net", data.num_classes, 3, 2, generator=torch.Generator().manual_seed(0)).eval()
    return stability.measure(network, data, RUN), asked, data, network


def test_the_measures_are_those_of_two_scores(drawn):
    """Scored by `mixlab.bayes.score`, compared class by class by hand."""
    measures, asked, data, network = drawn
    anchors = stability.anchors(data.train, data.num_classes, 3)
    expected = {}
    for (line, (draws, sets)), pair in zip(LINES.items(), (asked[:2], asked[2:]), strict=True):
        most = max(draws)  # fewer are the first of them: see below
        options = {**plan.SCORE, "draws": most, "companion_sets": sets, "num_classes": data.num_classes}
        scores = [score(network, anchors, pool=data.train, mean=data.mean, std=data.std, seed=each["seed"], **options)
                  for _, each in pair]
        ranks, shared = {"cv": [], "mean": []}, []
        for label in range(data.num_classes):
            own = scores[0].labels == label
            for what, found in ranks.items():
                found.append(spearmanr(*(getattr(each, what)[own].numpy() for each in scores)).statistic)
            first, second = (each.rows[own][each.cv[own].argmax()] for each in scores)
            shared.append(100.0 * bool(first == second))  # a tenth of ten images is one
        expected |= {stability.column(line, most, what): sum(found) / len(found) for what, found in ranks.items()}
        expected[stability.column(line, most, "overlap")] = sum(shared) / len(shared)
    assert {name: measures[name] for name in expected} == pytest.approx(expected)
    assert len(expected) == 6 and measures["stability_seconds"] > 0
    assert set(measures) - set(expected) == {"fresh_4_cv", "fresh_4_mean", "fresh_4_overlap", "stability_seconds"}


def test_both_scores_have_streams_and_companions_of_their_own_from_all_images(drawn):
    _, asked, data, _ = drawn
    seeds = [options["seed"] for _, options in asked]
    assert seeds[0] != seeds[1] and seeds[:2] == seeds[2:]
    assert all(pool is data.train and len(pool) == 300 for pool, _ in asked)
    assert [options["companion_sets"] for _, options in asked] == [None, None, 2, 2]
    assert {options["draws"] for _, options in asked} == {8}


def test_few_draws_are_the_first_of_many(small, monkeypatch):
    """Fresh companions, so what the first four draws gave is what all of them give where there are four."""
    data = load("shapes", validation=0.0, limit=300, seed=3)
    network = build("bench-net", data.num_classes, 3, 2, generator=torch.Generator().manual_seed(0)).eval()
    seen, usual = [], stability.composite_losses

    def watched(*arguments, **options):
        seen.append(usual(*arguments, **options))
        return seen[-1]

    monkeypatch.setattr(stability, "composite_losses", watched)
    monkeypatch.setattr(stability, "LINES", {"fresh": ((4, 8), None)})
    many = stability.measure(network, data, RUN)
    monkeypatch.setattr(stability, "composite_losses", lambda *arguments, **options: seen.pop(0)[:4])
    monkeypatch.setattr(stability, "LINES", {"fresh": ((4,), None)})
    few = stability.measure(network, data, RUN)
    assert {name: few[name] for name in ("fresh_4_cv", "fresh_4_mean", "fresh_4_overlap")} == pytest.approx(
        {name: many[name] for name in ("fresh_4_cv", "fresh_4_mean", "fresh_4_overlap")})
    assert many["fresh_4_cv"] != many["fresh_8_cv"]


def test_anchors_are_as_many_of_each_class_and_follow_from_the_seed(small):
    train = load("shapes", validation=0.0, limit=300, seed=3).train
    classes = int(train.labels.max()) + 1
    found = [stability.anchors(train, classes, seed) for seed in (0, 0, 1)]
    assert all(each.labels.bincount().tolist() == classes * [10] for each in found)
    assert found[0].rows.tolist() == found[1].rows.tolist() != found[2].rows.tolist()
    assert len(found[0].rows.unique()) == 10 * classes and set(found[0].rows.tolist()) <= set(train.rows.tolist())


def test_a_class_with_too_few_images_is_told():
    train = load("shapes", validation=0.0, limit=300).train
    fewest = int(train.labels.bincount().min())
    with pytest.raises(ValueError, match=f"at least 100 images of every class, received {fewest} of one"):
        stability.anchors(train, int(train.labels.max()) + 1, 0)


# The plan


def test_the_scorer_is_that_of_selection_by_law_and_on_the_same_images():
    ours = get("score-stability").runs
    theirs = {run.seed: run for run in get("selection").runs if run.name.startswith("grey-high-cv")}
    assert [run.seed for run in ours] == [1, 2, 3]
    for run in ours:
        other = theirs[run.seed]
        scorer = other.subset["scorer"]
        assert {"model": run.model, "recipe": run.recipe, "epochs": run.epochs, "risk": run.risk} == scorer
        assert all(getattr(run, name) == getattr(other, name) for name in ("data", "limit", "validation", "split"))
        assert measure_of(run) is stability.measure


def test_its_run_can_be_carried_out(small):
    record = execute(RUN, "mine", "cpu")
    measures = record["result"]["measures"]
    assert -1 <= measures["fresh_8_cv"] <= 1 and 0 <= measures["2_sets_8_overlap"] <= 100

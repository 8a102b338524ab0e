"""The grid of the label corruption experiment, and what it measures on a network whose answers are known."""

from dataclasses import replace

import pytest
import torch

from mixlab.data import load
from mixlab.reproduce import get
from mixlab.reproduce.execute import dataset_of
from mixlab.reproduce.experiments.label_corruption import memorised
from mixlab.reproduce.plan import Run


class Recites(torch.nn.Module):
    """Answers row i of the training set with answer i, whatever it is shown."""

    def __init__(self, answers):
        super().__init__()
        self.answers, self.next = answers, 0

    def forward(self, images):
        rows = self.answers[self.next : self.next + len(images)]
        self.next += len(images)
        return torch.nn.functional.one_hot(rows, 10).float()


@pytest.mark.parametrize("budget", ["cpu", "gpu", "paper"])
def test_the_grid_is_complete_and_balanced(budget):
    runs = get("label-corruption", budget).runs
    cells = {(run.seed, run.corrupt, run.row) for run in runs}
    assert len(runs) == len(cells) == 5 * 3 * 4
    assert {run.corrupt for run in runs} == {0.2, 0.5, 0.8}
    assert [run.seed for run in runs] == sorted(run.seed for run in runs)
    # Within a budget only what is compared differs.
    same = {(run.data, run.limit, run.width, run.recipe, run.epochs, run.validation, run.precision) for run in runs}
    assert len(same) == 1


@pytest.mark.parametrize(
    ("budget", "rates"),
    [
        ("cpu", {0.2: 0.2, 0.5: 0.2, 0.8: 0.2}),  # the records of the book
        # Zhang et al. (2018), table 2
        ("gpu", {0.2: 0.7, 0.5: 0.8, 0.8: 0.8}),
        ("paper", {0.2: 0.7, 0.5: 0.8, 0.8: 0.8}),
    ],
)
def test_dropout_is_the_best_of_its_corruption_and_the_row_says_it(budget, rates):
    runs = [run for run in get("label-corruption", budget).runs if "dropout" in run.options]
    assert {(run.corrupt, run.options["dropout"]) for run in runs} == set(rates.items())
    assert all(run.row == f"ERM + dropout {run.options['dropout']:g}" for run in runs)


@pytest.mark.parametrize("corrupt", [0.2, 0.8])
def test_memorised_tells_rote_from_truth(corrupt):
    run = Run("t", "t", data="digits", model="lenet", risk={"name": "empirical"}, recipe="demo", seed=3,
              corrupt=corrupt, limit=1000)
    data, truth = dataset_of(run), load("digits", seed=3, limit=1000).train.labels
    rote = memorised(Recites(data.train.labels), data, run)
    assert rote["kept_error"] == 0 and rote["replaced_error"] == 0
    assert 80 < rote["replaced_truth_error"] < 97
    wise = memorised(Recites(truth), data, run)
    assert wise["kept_error"] == 0 and wise["replaced_truth_error"] == 0
    # Against the labels drawn, one who knows the truth errs as often as one who knows them errs against the truth.
    assert wise["replaced_error"] == pytest.approx(rote["replaced_truth_error"])


def test_validation_and_test_labels_stay_true():
    run = Run("t", "t", data="digits", model="lenet", risk={"name": "empirical"}, recipe="demo", seed=0, corrupt=0.8)
    noisy, clean = dataset_of(run), dataset_of(replace(run, corrupt=0.0))
    assert torch.equal(noisy.validation.labels, clean.validation.labels)
    assert torch.equal(noisy.test.labels, clean.test.labels)
    assert not torch.equal(noisy.train.labels, clean.train.labels)

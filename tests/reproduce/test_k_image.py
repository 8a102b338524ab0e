"""The confirmatory grid: what its runs are at every budget."""

import pytest

from mixlab.reproduce import get
from mixlab.train import recipes


@pytest.mark.parametrize("budget", ["cpu", "gpu", "paper"])
def test_the_grid_is_complete_and_its_rows_differ_in_nothing_but_the_risk(budget):
    runs = get("k-image", budget).runs
    regional = {("dcutmix", k) for k in (2, 3, 5, 9)} | {("pasted-cutmix", k) for k in (2, 3, 5, 9)}
    mixers = [run.risk["mixer"] for run in runs if run.seed == 0 and run.risk["name"] != "empirical"]
    assert len(runs) == 69 and {run.seed for run in runs} == {0, 1, 2}
    assert {(mixer["name"], mixer["k"]) for mixer in mixers} == regional | {("dmixup", k) for k in (2, 3, 4)}
    for k in (2, 3, 5, 9):
        assert [mixer["alpha"] for mixer in mixers if mixer["name"] == "dcutmix" and mixer["k"] == k] == [1, 1 / k]
    assert len({(run.data, run.limit, run.width, run.model, run.recipe, run.precision) for run in runs}) == 1


@pytest.mark.parametrize("experiment", ["k-image", "same-number"])
def test_at_the_papers_budget_it_is_trained_as_the_papers_table_4(experiment):
    runs = get(experiment, "paper").runs
    mixers = [run.risk["mixer"] for run in runs if "mixer" in run.risk]
    assert {run.recipe for run in runs} == {"co-mixup-cifar"} <= set(recipes)
    assert {run.data for run in runs} == {"cifar100"} and {mixer["pairing"] for mixer in mixers} == {"permutation"}


def test_elsewhere_partners_are_the_mixers_own():
    assert not any("pairing" in run.risk.get("mixer", {}) for run in get("k-image", "cpu").runs)

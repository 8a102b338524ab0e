"""From a run to its record: what is wrong in it is said before anything is trained."""

import os
from dataclasses import replace
from pathlib import Path

import pytest

from mixlab.reproduce import Experiment, Run, execute, run
from mixlab.train import read_record

RUN = Run("tiny-s0", "ERM", data="digits", model="lenet", risk={"name": "empirical"}, recipe="demo", seed=0)


@pytest.mark.parametrize(
    "change",
    [
        {"measure": "mixlab.reproduce.experiments.uncertainty:mesure"},
        {"measure": "mixlab.reproduce.experiments.uncertanty:measure"},
        {"measure": "mixlab.reproduce.experiments.uncertainty:SEEDS"},
        {"measure": "mixlab.reproduce.experiments.uncertainty"},
        {"measure": ".experiments:measure"},
        {"measure": ""},
        {"prepare": "mixlab.reproduce.experiments.uncertainty:prepaer"},
        {"prepare": "mixlab.reproduce.experiments.uncertanty:prepare"},
        {"prepare": "supermiks"},
        {"data": "digit"},
        {"model": "lenett"},
        {"recipe": "dmeo"},
        {"risk": {"name": "empiricle"}},
        {"limit": 1439},
        {"corrupt": 1.5},
    ],
    ids=str,
)
def test_what_is_misspelt_costs_no_training(monkeypatch, tmp_path, change):
    monkeypatch.setattr(execute, "fit", lambda *arguments, **options: pytest.fail("a network was trained"))
    (received,) = change.values()
    wrong = received["name"] if isinstance(received, dict) else received
    with pytest.raises(ValueError, match=f"received.*{wrong}"):
        execute.execute(replace(RUN, **change), "none", "cpu", shared=tmp_path)


WRITTEN = {"name": "empirical", "label_smoothing": "of the preparation"}
PREPARED = replace(RUN, name="prepared-s0", data="shapes", risk=WRITTEN, prepare="preparing:smoothing", device="cpu",
                   limit=64, epochs=1)


@pytest.fixture
def preparing(monkeypatch):
    """Makes `tests/reproduce/preparing.py` a module, here and in workers."""
    here = str(Path(__file__).parent)
    monkeypatch.syspath_prepend(here)
    monkeypatch.setenv("PYTHONPATH", here, prepend=os.pathsep)


def test_a_preparation_fills_in_the_risk_and_the_record_keeps_what_was_written(preparing, tmp_path):
    record = execute.execute(PREPARED, "mine", "cpu", shared=tmp_path)
    assert record["what"]["config"]["risk"] == WRITTEN
    assert record["what"]["config"]["prepare"] == "preparing:smoothing"
    assert record["result"]["measures"] == {"smoothed": 0.1}
    smoothed = replace(PREPARED, risk={"name": "empirical", "label_smoothing": 0.1}, prepare=None)
    assert record["result"]["curves"] == execute.execute(smoothed, "mine", "cpu")["result"]["curves"]


def test_what_is_measured_on_the_network_stands_beside_what_was_prepared(preparing, tmp_path):
    both = replace(PREPARED, measure="preparing:answer")
    record = execute.execute(both, "mine", "cpu", shared=tmp_path)
    assert record["result"]["measures"] == {"smoothed": 0.1, "answer": 42}


def test_a_preparation_needs_a_folder(preparing):
    with pytest.raises(ValueError, match="expected a folder for what preparing:smoothing prepares, received none"):
        execute.execute(PREPARED, "mine", "cpu")
    with pytest.raises(ValueError, match="expected a folder"):
        execute.train(PREPARED)


def test_what_two_runs_want_at_once_is_made_once(preparing, tmp_path):
    """The second waits for the first, and both take what was made."""
    runs = tuple(replace(PREPARED, name=f"prepared-s{seed}", seed=seed) for seed in range(2))
    assert run(Experiment("mine", runs), tmp_path / "results", jobs=2, work=tmp_path / "runs") == {}
    records = [read_record(tmp_path / "results/mine" / f"{each.name}.json") for each in runs]
    assert [record["result"]["measures"] for record in records] == [{"smoothed": 0.1}] * 2
    assert (tmp_path / "runs/mine/made/log").read_text() == "made\n"
    assert not list((tmp_path / "results/mine").glob("*made*"))

"""The runner does what is missing, survives what goes wrong, and is never confused by what it finds."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from mixlab.reproduce import Experiment, Run, load, missing, run
from mixlab.reproduce.runner import work_root
from mixlab.train import read_record

TINY = Run("tiny-s0", "ERM", data="digits", model="preact-resnet18", width=2, risk={"name": "empirical"},
           recipe="demo", epochs=1, limit=128, seed=0, device="cpu")
MIXED = replace(TINY, name="mixed-s0", row="DCutMix",
                risk={"name": "vicinal", "mixer": {"name": "dcutmix", "k": 3, "alpha": 1.0}})
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """An experiment of two runs and one that cannot work, carried out once."""
    folder = tmp_path_factory.mktemp("done")
    experiment = Experiment("pair", (TINY, replace(TINY, name="wrong", width=-1), MIXED))
    failures = run(experiment, folder / "results", jobs=2, work=folder / "runs")
    return experiment, folder, failures


def test_a_failing_run_is_reported_and_does_not_stop_the_others(done):
    experiment, folder, failures = done
    assert list(failures) == ["wrong"]
    assert "width" in failures["wrong"] and "\n" not in failures["wrong"]
    assert sorted(path.name for path in (folder / "results/pair").iterdir()) == ["mixed-s0.json", "tiny-s0.json"]


def test_a_record_says_what_ran_and_what_came_out(done):
    _, folder, _ = done
    record = read_record(folder / "results/pair/mixed-s0.json")
    assert record["what"] == {"experiment": "pair", "row": "DCutMix", "budget": "cpu", "seed": 0,
                              "config": MIXED.as_dict()}
    assert Run(**record["what"]["config"]) == MIXED
    assert record["result"]["value"] == record["result"]["last"]["test_error"]
    assert record["result"]["curves"]["epoch"] == [1]
    assert record["origin"]["threads"] == 1
    assert torch.__version__.startswith(record["origin"]["versions"]["torch"])


def test_load_is_a_table_of_what_is_there_with_a_list_of_what_is_not(done):
    experiment, folder, _ = done
    frame = load(experiment, folder / "results")
    assert list(frame["row"]) == ["ERM", "DCutMix"]
    assert frame.attrs["missing"] == ["wrong"]
    record = read_record(folder / "results/pair/tiny-s0.json")
    assert frame["test_error"][0] == record["result"]["last"]["test_error"]
    assert frame["train_loss"][0] == record["result"]["curves"]["train_loss"][-1]


def test_what_has_a_record_is_not_run_again(done):
    experiment, folder, _ = done
    path = folder / "results/pair/tiny-s0.json"
    before = path.stat().st_mtime_ns
    assert run(replace(experiment, runs=(TINY, MIXED)), folder / "results", work=folder / "runs") == {}
    assert path.stat().st_mtime_ns == before


@pytest.mark.parametrize("root", ["records", "/"])
def test_checkpoints_go_beside_the_book_wherever_the_records_go(root):
    assert run(Experiment("nothing", ()), root) == {}
    assert work_root() == ROOT / "runs"


def test_a_record_of_another_configuration_or_a_torn_one_counts_as_missing(done, tmp_path):
    experiment, folder, _ = done
    (tmp_path / "pair").mkdir()
    text = (folder / "results/pair/tiny-s0.json").read_text()
    (tmp_path / "pair/tiny-s0.json").write_text(text)
    assert missing(replace(experiment, runs=(TINY,)), tmp_path) == []
    assert missing(replace(experiment, runs=(replace(TINY, epochs=2),)), tmp_path) != []
    (tmp_path / "pair/tiny-s0.json").write_text(text[: len(text) // 2])
    assert missing(replace(experiment, runs=(TINY,)), tmp_path) == [TINY]
    assert load(replace(experiment, runs=(TINY,)), tmp_path).attrs["missing"] == ["tiny-s0"]


def test_a_run_is_the_same_in_a_process_of_its_own(done):
    from mixlab.reproduce.execute import execute

    _, folder, _ = done
    here = execute(MIXED, "pair", "cpu")
    there = read_record(folder / "results/pair/mixed-s0.json")
    assert json.loads(json.dumps(here["result"])) == there["result"]


def test_a_killed_runner_takes_its_runs_along_and_its_successor_goes_on(tmp_path):
    longer = replace(TINY, name="longer", epochs=400, limit=1024)
    code = ("from mixlab.reproduce import Experiment, Run, run; import json, sys\n"
            "run(Experiment('long', (Run(**json.loads(sys.argv[1])),)), sys.argv[2], work=sys.argv[3])")
    arguments = [json.dumps(longer.as_dict()), str(tmp_path / "results"), str(tmp_path / "runs")]
    runner = subprocess.Popen([sys.executable, "-c", code, *arguments], cwd=ROOT,
                              env=os.environ | {"PYTHONPATH": str(ROOT)})
    checkpoint = tmp_path / "runs/long" / f"longer-{longer.digest()}" / "last.ckpt"
    wait_for(lambda: checkpoint.exists() and epochs(checkpoint) >= 2)
    os.kill(runner.pid, signal.SIGKILL)
    runner.wait()
    wait_for(lambda: quiet(checkpoint))
    reached = epochs(checkpoint)
    assert 2 <= reached < 400
    assert not list((tmp_path / "results").rglob("*.json"))
    # Shown to continue: the state that the first runner left is further than a new run's first checkpoint.
    successor = subprocess.Popen([sys.executable, "-c", code, *arguments], cwd=ROOT,
                                 env=os.environ | {"PYTHONPATH": str(ROOT)})
    wait_for(lambda: epochs(checkpoint) > reached)
    successor.kill()
    successor.wait()
    wait_for(lambda: quiet(checkpoint))


def wait_for(condition, seconds=120.0):
    """Wait until something has happened; a deadlock, not a slow machine, is what the limit is for."""
    for _ in range(int(seconds / 0.05)):
        if condition():
            return
        time.sleep(0.05)
    pytest.fail("what was waited for did not happen")


def epochs(checkpoint):
    """How many epochs a checkpoint has behind it; none while a new one takes its place."""
    try:
        return torch.load(checkpoint, weights_only=True)["state"]["epoch"]
    except FileNotFoundError:
        return 0


def quiet(path):
    """Whether nobody writes here any more."""
    before = path.stat().st_mtime_ns if path.exists() else None
    time.sleep(0.5)
    return before is not None and path.exists() and path.stat().st_mtime_ns == before

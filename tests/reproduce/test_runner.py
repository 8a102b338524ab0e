"""The runner does what is missing, survives what goes wrong, and is never confused by what it finds."""

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pandas
import pytest
import torch

from mixlab.reproduce import Experiment, Run, cost, get, load, missing, names, run, runner
from mixlab.reproduce.runner import record_path, results_root, work_root
from mixlab.reproduce.table import recorded
from mixlab.train import read_record, write_record

TINY = Run("tiny-s0", "ERM", data="digits", model="preact-resnet18", width=2, risk={"name": "empirical"},
           recipe="demo", epochs=1, limit=128, seed=0, device="cpu")
MIXED = replace(TINY, name="mixed-s0", row="DCutMix",
                risk={"name": "vicinal", "mixer": {"name": "dcutmix", "k": 3, "alpha": 1.0}})


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


def test_the_book_of_this_checkout_keeps_the_records():
    checkout = Path(__file__).resolve().parents[2]
    assert results_root() == checkout / "book" / "results" and work_root() == checkout / "runs"


@pytest.mark.parametrize("installed", [False, True])
@pytest.mark.parametrize("root", [None, "records", "/"])
def test_checkpoints_go_beside_the_book_wherever_the_records_go(tmp_path, monkeypatch, root, installed):
    """In a checkout beside its book; where mixlab is installed, in the working directory."""
    (tmp_path / "checkout" / "book").mkdir(parents=True)
    monkeypatch.setattr(runner, "CHECKOUT", tmp_path / ("site-packages" if installed else "checkout"))
    monkeypatch.chdir(tmp_path)
    beside = tmp_path if installed else tmp_path / "checkout"
    assert work_root() == beside / "runs" and results_root() == beside / "book" / "results"
    assert run(Experiment("nothing", ()), root) == {}
    if root != "/":  # which is not ours to write into
        job = first_job(monkeypatch, root)
        assert job["work"] == str(beside / "runs" / "tiny" / f"tiny-s0-{TINY.digest()}")
        expected = results_root() if root is None else tmp_path / root
        assert job["record"] == str(expected / "tiny" / "tiny-s0.json")


def first_job(monkeypatch, root):
    """What the worker would be told of `TINY`."""
    jobs = []
    monkeypatch.setattr(runner._Pool, "map", lambda pool, given: jobs.extend(given) or iter(()))
    run(Experiment("tiny", (TINY,)), root)
    return jobs[0][1]


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


def test_a_killed_runner_takes_its_runs_along_and_its_successor_goes_on(tmp_path, monkeypatch):
    from mixlab.reproduce.execute import execute

    beat = tmp_path / "beat"
    monkeypatch.setenv("MIXLAB_TEST_BEAT", str(beat))
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent), prepend=os.pathsep)
    waiting = replace(MIXED, name="waiting", measure="waiting:wait_once")
    experiment = Experiment("long", (waiting,))
    runner = multiprocessing.get_context("spawn").Process(
        target=run, args=(experiment, tmp_path / "results"), kwargs={"work": tmp_path / "runs"})
    runner.start()
    wait_for(lambda: beat.exists() or not runner.is_alive())
    assert beat.exists(), "the runner ended before its run had begun"
    os.kill(runner.pid, signal.SIGKILL)
    runner.join()
    wait_for(lambda: quiet(beat))
    assert missing(experiment, tmp_path / "results") == [waiting]

    checkpoint = tmp_path / "runs/long" / f"waiting-{waiting.digest()}" / "last.ckpt"
    before = checkpoint.read_bytes()
    assert run(experiment, tmp_path / "results", work=tmp_path / "runs") == {}
    assert checkpoint.read_bytes() == before  # the trained network was found, not trained again
    record = read_record(tmp_path / "results/long/waiting.json")
    assert record["result"]["measures"] == {"waited": 1.0}
    undisturbed = execute(replace(waiting, measure=None), "long", "cpu")
    assert record["result"]["curves"] == undisturbed["result"]["curves"]


def test_a_run_that_crashes_is_reported_with_its_signal(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent), prepend=os.pathsep)
    experiment = Experiment("crash", (replace(TINY, measure="waiting:die"),))
    failures = run(experiment, tmp_path / "results", work=tmp_path / "runs")
    assert failures["tiny-s0"].startswith("killed by SIGSEGV")


def wait_for(condition, seconds=900.0):
    """Wait until something has happened; the limit is for a deadlock, not for a slow machine."""
    for _ in range(int(seconds / 0.05)):
        if condition():
            return
        time.sleep(0.05)
    pytest.fail("what was waited for did not happen")


def quiet(path):
    """Whether nobody writes here any more."""
    before = path.stat().st_mtime_ns
    time.sleep(0.5)
    return path.stat().st_mtime_ns == before


@pytest.mark.parametrize("root", ["records", "link", "other records"])
@pytest.mark.parametrize("work", ["work", "other work"])
def test_a_second_command_that_writes_into_a_folder_of_the_first_is_refused(tmp_path, monkeypatch, root, work):
    experiment = Experiment("tiny", (TINY,))
    (tmp_path / "records").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "records")
    begun = []

    def carry_out(pool, jobs):
        """Instead of runs: the first command tries to begin a second one, the second says that it did."""
        begun.append(list(jobs))
        if len(begun) == 1:
            run(experiment, tmp_path / root, work=tmp_path / work)
        yield TINY.name, None

    monkeypatch.setattr(runner._Pool, "map", carry_out)
    if (root, work) == ("other records", "other work"):
        assert run(experiment, tmp_path / "records", work=tmp_path / "work") == {} and len(begun) == 2
    else:
        with pytest.raises(ValueError, match="another command is at work and holds"):
            run(experiment, tmp_path / "records", work=tmp_path / "work")
        assert len(begun) == 1
    assert run(experiment, tmp_path / root, work=tmp_path / work) == {}  # both have ended
    assert not list((tmp_path / "records" / "tiny").iterdir())  # no lock lies among the records


def test_where_nothing_is_missing_nothing_is_written(done, tmp_path):
    experiment, folder, _ = done
    whole = replace(experiment, runs=(TINY, MIXED))
    assert run(whole, folder / "results", work=tmp_path / "work") == {}
    assert not list(tmp_path.iterdir())


@pytest.fixture
def nowhere(tmp_path, monkeypatch):
    """A root of data sets that is not there, and a pool that reports the runs it is given."""
    monkeypatch.setenv("MIXLAB_DATA", str(tmp_path / "nowhere"))
    monkeypatch.setattr(runner._Pool, "map", lambda pool, jobs: [(each.name, "begun") for each, _ in jobs])
    return tmp_path


def test_data_that_are_not_there_are_told_once_and_before_anything_is_written(nowhere):
    runs = (TINY, *(replace(TINY, name=f"absent-s{seed}", data="svhn", seed=seed) for seed in range(3)))
    with pytest.raises(FileNotFoundError) as refused:
        run(Experiment("absent", runs), nowhere / "records", work=nowhere / "work")
    assert str(refused.value).startswith(f"expected svhn in {nowhere / 'nowhere'}, received neither its files")
    assert "mixlab data fetch svhn" in str(refused.value)
    with pytest.raises(ValueError, match="expected a data set out of .*, received 'no set'"):
        run(Experiment("absent", (replace(TINY, data="no set"),)), nowhere / "records", work=nowhere / "work")
    assert not list(nowhere.iterdir())


def test_the_cost_names_every_machine():
    origins = [{"device": "GPU", "threads": 4}, {"device": "CPU", "threads": 1}, {"device": "CPU", "threads": 1}]
    records = pandas.DataFrame({"seconds": [1800.0] * 3, "record": [{"origin": origin} for origin in origins]})
    assert cost(records) == "1.5 hours in all, on CPU, 1 thread a run and GPU, 4 threads a run"
    assert cost(records[:0]) == "no runs on record"


def test_only_runs_without_a_record_need_their_data_and_some_data_need_no_download(done, nowhere):
    recorded = replace(TINY, name="recorded", data="svhn")
    experiment = Experiment("both", (recorded, TINY))
    record = read_record(done[1] / "results/pair/tiny-s0.json")
    record["what"]["config"] = recorded.as_dict()
    write_record(record_path(experiment, recorded, nowhere), record)
    assert run(experiment, nowhere, work=nowhere / "work") == {"tiny-s0": "begun"}


def in_place_of_the_worker(monkeypatch, code, before=lambda: None, after=lambda process: None):
    """Let a pool start a Python that does ``code``, with something done just before and just after."""

    class Child(subprocess.Popen):
        def __init__(self, command, **options):
            before()
            super().__init__([sys.executable, "-c", code], **options)
            after(self)

    monkeypatch.setattr(subprocess, "Popen", Child)


def test_a_child_that_was_being_started_when_the_command_was_stopped_is_ended(tmp_path, monkeypatch):
    pool = runner._Pool(1)
    in_place_of_the_worker(monkeypatch, "import time; time.sleep(60)", before=pool.stop)
    failures = dict(pool.map([(TINY, {"work": str(tmp_path)})]))
    assert failures["tiny-s0"] and failures["tiny-s0"].startswith("killed by SIGKILL")


def test_after_a_stop_no_child_is_started(tmp_path, monkeypatch):
    pool = runner._Pool(1)
    pool.stop()
    monkeypatch.setattr(subprocess, "Popen", lambda *arguments, **options: pytest.fail("a child was started"))
    assert dict(pool.map([(TINY, {"work": str(tmp_path)})])) == {"tiny-s0": "stopped"}


def test_a_child_that_ends_before_it_reads_its_job_is_reported(tmp_path, monkeypatch):
    in_place_of_the_worker(monkeypatch, "raise SystemExit('no room for me')", after=lambda process: process.wait())
    failures = dict(runner._Pool(1).map([(TINY, {"work": str(tmp_path)})]))
    assert failures["tiny-s0"].startswith("no room for me")


@pytest.mark.parametrize("budget", ["cpu", "gpu", "paper"])
@pytest.mark.parametrize("name", names())
def test_every_record_of_the_book_is_of_a_run_as_it_is_planned(name, budget):
    experiment = get(name, budget)
    absent = {each.name for each in missing(experiment)}
    planned = {record_path(experiment, each) for each in experiment.runs if each.name not in absent}
    folder = results_root() / experiment.folder
    assert set(folder.glob("*.json")) <= planned


def test_a_budget_without_records_shows_those_of_the_cpu_and_says_so(tmp_path, monkeypatch, capsys):
    experiment = Experiment("pair", (TINY,))
    monkeypatch.setattr("mixlab.reproduce.table.get", lambda name, budget: replace(experiment, budget=budget))
    assert recorded("pair", "gpu", tmp_path) == "cpu"
    assert capsys.readouterr().out == "no records of pair at budget gpu: those at budget cpu are shown\n"
    assert recorded("pair", "cpu", tmp_path) == "cpu" and capsys.readouterr().out == ""
    monkeypatch.setattr("mixlab.reproduce.table.missing", lambda experiment, root: [])
    assert recorded("pair", "gpu", tmp_path) == "gpu" and capsys.readouterr().out == ""


def test_records_that_came_with_a_package_are_read_and_never_written(tmp_path, monkeypatch):
    """Outside a checkout; a record of the working directory comes first."""
    monkeypatch.setattr(runner, "CHECKOUT", tmp_path / "site-packages")
    monkeypatch.setattr(runner, "RECORDED", tmp_path / "site-packages" / "mixlab" / "recorded")
    monkeypatch.chdir(tmp_path)
    experiment = Experiment("pair", (TINY,))
    came = tmp_path / "site-packages/mixlab/recorded/pair/tiny-s0.json"
    came.parent.mkdir(parents=True)
    came.write_text("{}")
    own = tmp_path / "book" / "results" / "pair" / "tiny-s0.json"
    assert record_path(experiment, TINY) == came
    assert record_path(experiment, TINY, tmp_path) == tmp_path / "pair" / "tiny-s0.json"
    assert first_job(monkeypatch, None)["record"] == str(own.parents[1] / "tiny" / "tiny-s0.json")
    own.parent.mkdir(parents=True)
    own.write_text("{}")
    assert record_path(experiment, TINY) == own

"""A run killed with SIGKILL, at whatever moment, ends with the same bits as an undisturbed one."""

import multiprocessing
import signal
from importlib import import_module
from pathlib import Path

import pytest
import torch

from mixlab.train import Checkpoints, fit


@pytest.fixture(scope="module")
def runs():
    """The module `small_run` beside this file, importable by the processes that are started here."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(Path(__file__).parent))
        import small_run

        yield small_run


@pytest.fixture(scope="module")
def processes(runs):
    """Processes that start quickly: they are forked from one that has imported what they need."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["small_run", "lightning.fabric"])
    return context


@pytest.fixture(scope="module")
def undisturbed(runs, tmp_path_factory):
    return runs.train(tmp_path_factory.mktemp("undisturbed"))


def kill(processes, target, folder, at):
    """Run `target` until it kills itself."""
    process = processes.Process(target=target, args=(str(folder), at))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL


def assert_same(run, other):
    (model, result), (other_model, other_result) = run, other
    assert_same_weights(model, other_model)
    assert result.losses == other_result.losses
    assert (result.curves, result.last, result.best) == (
        other_result.curves, other_result.last, other_result.best)


def assert_same_weights(module, other):
    weights, others = module.state_dict(), other.state_dict()
    assert list(weights) == list(others) and all(torch.equal(weights[name], others[name]) for name in weights)


# Sixteen steps in two epochs, with checkpoints after steps 3, 6, 8, 11, 14, 16 and at the end.
MOMENTS = [
    *[("train_until_step", at) for at in (1, 2, 4, 8, 9, 10, 16)],
    *[("train_until_write", at) for at in (1, 2, 3, 6, 7)],
    *[("train_until_rename", at) for at in (1, 2, 3, 4, 5, 6, 7, 9)],
]


@pytest.mark.parametrize(("how", "at"), MOMENTS)
def test_killed_at_any_moment_the_run_ends_with_the_same_bits(runs, processes, undisturbed, tmp_path, how, at):
    kill(processes, getattr(runs, how), tmp_path, at)
    assert_same(runs.train(tmp_path), undisturbed)


def test_killed_again_and_again_the_run_ends_with_the_same_bits(runs, processes, undisturbed, tmp_path):
    for _ in range(4):
        kill(processes, runs.train_until_step, tmp_path, 4)
    assert_same(runs.train(tmp_path), undisturbed)


@pytest.fixture(scope="module")
def undisturbed_lamix(runs, tmp_path_factory):
    risk = runs.KillingLaMix()
    return *runs.train(tmp_path_factory.mktemp("lamix"), risk=risk), risk


@pytest.mark.parametrize("at", [1, 5, 8, 12])
def test_a_head_that_the_risk_learns_is_continued_with_the_same_bits(runs, processes, undisturbed_lamix, tmp_path, at):
    """Killed at a clean step or at a mixed one; the turns go on where they were."""
    *run, head = undisturbed_lamix
    kill(processes, runs.train_lamix_until_step, tmp_path, at)
    risk = runs.KillingLaMix()
    assert_same(runs.train(tmp_path, risk=risk), run)
    assert_same_weights(risk, head)
    assert not torch.equal(risk.head.weight, runs.KillingLaMix().head.weight)


def test_a_learned_head_is_in_the_checkpoint_and_not_in_the_network(runs, tmp_path):
    risk = runs.KillingLaMix()
    model, _ = runs.train(tmp_path, risk=risk)
    saved = Checkpoints(tmp_path, config_of(runs, risk)).load()
    assert list(saved["risk"]) == ["head.weight", "head.bias"]
    assert torch.equal(saved["risk"]["head.weight"], risk.head.weight)
    assert list(saved["model"]) == list(model.state_dict()) == list(runs.model().state_dict())


def test_what_a_killed_write_left_is_not_taken_for_a_checkpoint(runs, processes, tmp_path):
    kill(processes, runs.train_until_write, tmp_path, 3)
    state = Checkpoints(tmp_path, config_of(runs)).load()
    assert (state["epoch"], state["step"]) == (0, 6)


def test_a_finished_run_is_not_trained_again(runs, undisturbed, tmp_path):
    runs.train(tmp_path)
    assert_same(runs.train(tmp_path, at=1), undisturbed)  # the first step would kill this process


@pytest.fixture(scope="module")
def finished(runs, tmp_path_factory):
    """The folder of a run that is done."""
    folder = tmp_path_factory.mktemp("finished")
    runs.train(folder)
    return folder


def flipped(content):
    """The same bytes but for one bit in the middle, where the weights are."""
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


@pytest.mark.parametrize("damage", [lambda content: content[: len(content) // 2], lambda content: b"",
                                    lambda content: b"not a checkpoint", flipped])
def test_a_damaged_checkpoint_is_passed_over_for_the_one_before(runs, processes, undisturbed, tmp_path, damage):
    kill(processes, runs.train_until_step, tmp_path, 8)
    last = tmp_path / "last.ckpt"
    last.write_bytes(damage(last.read_bytes()))
    with pytest.warns(UserWarning, match="last.ckpt is damaged"):
        assert_same(runs.train(tmp_path), undisturbed)


def test_where_every_checkpoint_is_damaged_one_error_says_so(runs, tmp_path):
    for name in ("last.ckpt", "previous.ckpt"):
        (tmp_path / name).write_bytes(b"torn")
    with pytest.warns(UserWarning), pytest.raises(ValueError, match="every checkpoint in .* is damaged"):
        runs.train(tmp_path)
    assert (tmp_path / "last.ckpt").read_bytes() == b"torn"


def test_a_checkpoint_that_the_disk_does_not_give_ends_the_run_and_is_left_alone(runs, tmp_path):
    runs.train(tmp_path)
    last, previous = tmp_path / "last.ckpt", tmp_path / "previous.ckpt"
    last.rename(tmp_path / "aside")
    last.mkdir()
    before = previous.read_bytes()
    with pytest.raises(IsADirectoryError, match="last.ckpt"):
        runs.train(tmp_path)
    assert last.is_dir() and previous.read_bytes() == before


def drop(name):
    return lambda state: state.pop(name)


@pytest.mark.parametrize(("change", "reason"), [
    (drop("best_weights"), "expected a checkpoint with 'best_weights' at .*last.ckpt, received one without it"),
    (drop("optimizer"), "expected a checkpoint with 'optimizer' at .*last.ckpt, received one without it"),
    (lambda state: state["model"].pop("5.bias"),
     r"'model' of this run in the checkpoint .*last.ckpt.* Missing key.*5\.bias"),
    (lambda state: state["model"].update({"5.bias": torch.zeros(11)}),
     r"'model' of this run in the checkpoint .*last.ckpt.* size mismatch for 5\.bias"),
    (lambda state: state["optimizer"].update(param_groups=[]), "'optimizer' of this run in the checkpoint .*last.ckpt"),
    (lambda state: state["result"].update(later=1), "'result' of this run in the checkpoint .*last.ckpt.*'later'"),
    (lambda state: state["result"].pop("curves"), "'result' of this run in the checkpoint .*last.ckpt.*'curves'"),
], ids=["no entry", "no optimiser", "no weight", "another shape", "no parameters", "a later result", "an older result"])
def test_a_whole_checkpoint_that_does_not_fit_is_named_with_what_it_lacks(runs, finished, tmp_path, change, reason):
    saved = torch.load(finished / "last.ckpt", weights_only=True)
    change(saved["state"])
    torch.save(saved, tmp_path / "last.ckpt")
    before = (tmp_path / "last.ckpt").read_bytes()
    with pytest.raises(ValueError, match=reason) as raised:
        runs.train(tmp_path, at=1)
    assert "\n" not in str(raised.value)
    assert (tmp_path / "last.ckpt").read_bytes() == before


def test_no_pickle_is_executed(runs, tmp_path):
    class Trap:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "sprung",))

    torch.save({"config": {}, "state": Trap()}, tmp_path / "last.ckpt")
    with pytest.warns(UserWarning), pytest.raises(ValueError, match="is damaged"):
        runs.train(tmp_path)
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize(("change", "name"), [
    ({"seed": 2}, "seed"), ({"precision": "bf16-mixed"}, "precision"), ({"lr": 0.1}, "recipe"),
    ({"alpha": 0.5}, "risk"), ({"limit": 229}, "data"), ({"classes": 11}, "model"),
])
def test_another_runs_checkpoint_is_refused_and_left_alone(runs, undisturbed, tmp_path, change, name):
    from dataclasses import replace

    from mixlab.data import load
    from mixlab.mixers import DCutMix
    from mixlab.risk import VicinalRisk

    runs.train(tmp_path)
    before = (tmp_path / "last.ckpt").read_bytes()
    model = runs.model()
    model[-1] = torch.nn.Linear(256, change.get("classes", 10))
    with pytest.raises(ValueError, match=f"another run: its {name} is"):
        fit(model, VicinalRisk(DCutMix(3, change.get("alpha", 1.0))), load("digits", limit=change.get("limit", 230)),
            replace(runs.RECIPE, lr=change.get("lr", 0.05)), seed=change.get("seed", 1),
            precision=change.get("precision", "32-true"), device="cpu", checkpoint=tmp_path)
    assert (tmp_path / "last.ckpt").read_bytes() == before


def config_of(runs, risk=None):
    from mixlab.train.fingerprint import fingerprint

    return fingerprint(runs.model(), risk or runs.KillingVicinal(), runs.data(), runs.RECIPE, seed=1,
                       precision="32-true", processes=1)


def interrupt():
    raise KeyboardInterrupt


def test_a_run_names_every_commit_that_it_ran_under(runs, tmp_path, monkeypatch):
    """A session's commit is read once, when it begins: what is committed later did not train anything."""
    commits = iter(["aaaa", "bbbb", "bbbb", "aaaa", None, "cccc"])
    monkeypatch.setattr(import_module("mixlab.train.loop"), "commit", lambda: next(commits))
    monkeypatch.setattr(runs, "kill", interrupt)
    for _ in range(4):
        with pytest.raises(KeyboardInterrupt):
            runs.train(tmp_path, at=4)
    assert runs.train(tmp_path)[1].origin["commit"] == "aaaa, bbbb, unknown"
    assert runs.train(tmp_path)[1].origin["commit"] == "aaaa, bbbb, unknown"  # nothing was left to do at cccc


@pytest.mark.parametrize("commit", ["aaaa", None])
def test_a_run_under_one_commit_names_just_that(runs, tmp_path, monkeypatch, commit):
    monkeypatch.setattr(import_module("mixlab.train.loop"), "commit", lambda: commit)
    monkeypatch.setattr(runs, "kill", interrupt)
    with pytest.raises(KeyboardInterrupt):
        runs.train(tmp_path, at=4)
    assert runs.train(tmp_path)[1].origin["commit"] == commit

"""Two processes and one: the same global batches, the same curve; mixing is local to a process."""

import errno
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from mixlab.cli import TOLD
from mixlab.data import Loader, load
from mixlab.mixers import DCutMix
from mixlab.risk import EmpiricalRisk, LaMixRisk, SaliencyRisk, VicinalRisk
from mixlab.rng import generator
from mixlab.train import Cosine, MultiStep, Recipe, fit
from mixlab.train.lock import LOCK, alone

RECIPE = Recipe("test", epochs=5, batch_size=64, lr=0.1, schedule=Cosine(), momentum=0.9, nesterov=True,
                weight_decay=1e-4, augment="crop", report="last", source="these tests")


@pytest.fixture(autouse=True)
def one_thread_each(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).resolve().parents[2]), prepend=os.pathsep)


@pytest.fixture
def runs(monkeypatch):
    """The module `small_run` beside this file, importable by the processes that are started here."""
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    import small_run

    return small_run


@pytest.fixture(scope="module")
def digits():
    return load("digits", limit=640)  # ten batches of 64


def network():
    """Without batch statistics, which two processes would take over half a batch each."""
    model = nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(512, 10))
    for number, parameter in enumerate(model.parameters()):
        nn.init.normal_(parameter, std=0.1, generator=generator(0, number))
    return model


def test_two_processes_and_one_give_the_same_curve_over_fifty_steps(digits, tmp_path):
    one, two = network(), network()
    alone = fit(one, EmpiricalRisk(), digits, RECIPE, seed=3, device="cpu")
    together = fit(two, EmpiricalRisk(), digits, RECIPE, seed=3, device="cpu", processes=2, checkpoint=tmp_path)
    assert len(alone.losses) == len(together.losses) == 50
    largest = max(abs(first - second) for first, second in zip(alone.losses, together.losses, strict=True))
    print(f"largest difference of the losses: {largest:.2e}")
    assert largest <= 1e-5
    for name, value in one.state_dict().items():
        assert torch.allclose(value, two.state_dict()[name], rtol=1e-3, atol=1e-4), name
    assert together.last["validation_loss"] == pytest.approx(alone.last["validation_loss"], rel=1e-4)
    saved = torch.load(tmp_path / "last.ckpt", weights_only=True)["state"]
    assert all(torch.equal(value, two.state_dict()[name]) for name, value in saved["model"].items())


def test_partners_are_local_and_generators_follow_from_seed_rank_and_step(digits):
    mixer, model = DCutMix(k=3, alpha=1.0), network()
    shares = []
    for rank in range(2):
        loader = Loader(digits.train, 64, mean=digits.mean, std=digits.std, augment="crop", seed=3, rank=rank, world=2)
        images, labels, _ = next(loader.epoch(0))
        draws = generator(3, "mix", rank, 0)
        shares.append(VicinalRisk(mixer)(model, (images, labels), generator=draws).item())
    assert shares[0] != shares[1]
    one_epoch = replace(RECIPE, epochs=1)
    result = fit(network(), VicinalRisk(mixer), digits, one_epoch, seed=3, device="cpu", processes=2)
    assert result.losses[0] == pytest.approx(sum(shares) / 2, abs=1e-6)


@pytest.mark.parametrize("risk", ["Headed", "OnlyTaught"])
def test_one_step_on_two_processes_is_the_step_on_one(runs, risk):
    """A hidden layer read by a hook, a head that the risk learns, a teacher that nobody trains."""
    step = Recipe("step", epochs=1, batch_size=64, lr=1.0, schedule=MultiStep(()), momentum=0.0, nesterov=False,
                  weight_decay=0.0, augment="none", report="last", source="these tests")
    data, gradients = load("digits", limit=64, validation=0.0), []
    for processes in (1, 2):
        model = runs.initialised(nn.Sequential(
            nn.Flatten(), nn.Linear(64, 32), nn.Tanh(), nn.Identity(), nn.Linear(32, 10)))
        objective = getattr(runs, risk)()
        before = [parameter.detach().clone() for parameter in (*model.parameters(), *objective.parameters())]
        fit(model, objective, data, step, seed=3, device="cpu", processes=processes)
        after = [parameter.detach() for parameter in (*model.parameters(), *objective.parameters())]
        gradients.append([first - second for first, second in zip(before, after, strict=True)])
    for one, two in zip(*gradients, strict=True):
        torch.testing.assert_close(one, two, rtol=0, atol=1e-6)
    moved = [bool(gradient.abs().max() > 1e-3) for gradient in gradients[0]]
    assert moved[:4] == [True] * 4 and moved[-2:] == [False] * 2 and all(moved[4:-2])


@pytest.mark.parametrize(("images", "options"), [
    (128, {}), (64, {"clean": False, "target_grad": "head"}), (64, {"clean": False, "target_grad": "none"}),
    (64, {"clean": False, "beta": 1.0}),
], ids=["clean, then mixed", "head", "none", "no global label"])
def test_a_step_of_lamix_on_two_processes_is_the_step_on_one(runs, images, options):
    """Pairs and label weights follow from the place in the global batch, so that both share them."""
    steps = Recipe("steps", epochs=1, batch_size=64, lr=0.5, schedule=MultiStep(()), momentum=0.0, nesterov=False,
                   weight_decay=0.0, augment="none", report="last", source="these tests")
    data, moves = load("digits", limit=images, validation=0.0), []
    for processes in (1, 2):
        model = runs.initialised(nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.Tanh(), nn.Linear(32, 10)))
        risk = LaMixRisk(10, 32, layer="3", mixer=runs.Halves(), generator=generator(0, "risk"), **options)
        modules = *model.parameters(), *risk.parameters()
        before = [parameter.detach().clone() for parameter in modules]
        result = fit(model, risk, data, steps, seed=3, device="cpu", processes=processes)
        assert len(result.losses) == images // 64
        moves.append([was - parameter.detach() for was, parameter in zip(before, modules, strict=True)])
    for one, two in zip(*moves, strict=True):
        torch.testing.assert_close(one, two, rtol=0, atol=1e-6)
    trained = "beta" not in options and options.get("target_grad") != "none"
    assert [bool(move.abs().max() > 1e-4) for move in moves[0]] == [True] * 4 + [trained] * 2


@pytest.mark.parametrize(("clean", "frozen"), [(0.0, False), (1.0, False), (1.0, True)])
def test_two_steps_of_the_saliency_risk_on_two_processes_are_the_steps_on_one(runs, clean, frozen):
    """The gradient of the clean pass, which goes past the wrapper that averages, is averaged all the same, and once."""
    steps = Recipe("steps", epochs=1, batch_size=64, lr=0.5, schedule=MultiStep(()), momentum=0.0, nesterov=False,
                   weight_decay=0.0, augment="none", report="last", source="these tests")
    data, moves, losses = load("digits", limit=128, validation=0.0), [], []
    for processes in (1, 2):
        model = runs.initialised(nn.Sequential(
            nn.Conv2d(1, 4, 3), nn.Tanh(), nn.Flatten(), nn.Linear(144, 32), nn.Tanh(), nn.Linear(32, 10)))
        model[0].requires_grad_(not frozen)
        before = [parameter.detach().clone() for parameter in model.parameters()]
        result = fit(model, SaliencyRisk(runs.LeftHalves(), clean=clean), data, steps, seed=3, device="cpu",
                     processes=processes)
        losses.append(result.losses)
        moves.append([was - parameter.detach() for was, parameter in zip(before, model.parameters(), strict=True)])
    assert losses[0] == pytest.approx(losses[1], abs=1e-6) and len(losses[0]) == 2
    for one, two in zip(*moves, strict=True):
        torch.testing.assert_close(one, two, rtol=0, atol=1e-6)
    assert [bool(move.abs().max() > 1e-4) for move in moves[0]] == [not frozen] * 2 + [True] * 4


def test_a_risk_that_differentiates_runs_on_processes_in_mixed_precision(runs):
    """The same five steps but for rounding: to 8 bits, on two processes, and to 24, on one."""
    data, losses = load("digits", limit=320, validation=0.0), []
    for options in ({}, {"processes": 2, "precision": "bf16-mixed"}):
        risk = SaliencyRisk(runs.LeftHalves(), clean=1.0)
        losses.append(fit(network(), risk, data, replace(RECIPE, epochs=1), seed=3, device="cpu", **options).losses)
    assert losses[0] != losses[1] and losses[0] == pytest.approx(losses[1], rel=0.02) and len(losses[0]) == 5


def test_networks_larger_than_what_a_pipe_holds_come_back(digits):
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 2000), nn.ReLU(), nn.Linear(2000, 10))
    before = model[1].weight.detach().clone()
    fit(model, EmpiricalRisk(), digits, replace(RECIPE, epochs=1), device="cpu", processes=2)
    assert not torch.equal(model[1].weight, before)


def test_an_error_in_a_process_comes_out_as_it_was_there(digits, runs):
    error = FileNotFoundError(2, "No such file or directory", "somewhere")
    with pytest.raises(FileNotFoundError) as raised:
        fit(network(), runs.Failing(error), digits, RECIPE, device="cpu", processes=2)
    assert str(raised.value) == str(error)


def test_a_loss_that_is_not_finite_is_told_by_several_processes_as_by_one(digits, runs, tmp_path):
    messages = []
    for processes in (1, 2):
        with pytest.raises(FloatingPointError) as raised:
            fit(network(), runs.NotANumber(), digits, RECIPE, device="cpu", processes=processes, checkpoint=tmp_path)
        messages.append(str(raised.value))
    assert messages[0] == messages[1] and "loss is nan in epoch 1, step 1" in messages[0]


def test_a_process_that_the_system_kills_is_named_in_one_line(digits, runs, tmp_path, capfd):
    with pytest.raises(TOLD, match="^the process of rank 1 was ended by SIGKILL, .* memory .* can be continued$"):
        fit(network(), runs.Killed(), digits, RECIPE, device="cpu", processes=2, checkpoint=tmp_path / "run")
    assert "Terminating" not in capfd.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_told_where_the_trained_weights_come_back(digits, runs):
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 200), nn.ReLU(), nn.Linear(200, 10))  # 60 kB
    with pytest.raises(OSError, match=os.strerror(errno.EFBIG)):
        fit(model, runs.Cramped(), digits, replace(RECIPE, epochs=1), device="cpu", processes=2)


def free(path):
    """Whether nobody holds a file."""
    try:
        with alone(path):
            return True
    except ValueError:
        return False


def wait(condition):
    """Until something is so; five minutes at most, for a machine that is busy."""
    until = time.monotonic() + 300
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.1)


def test_processes_end_with_the_one_that_started_them(tmp_path):
    """Also where they ignore an interrupt, as all that a shell starts in the background do."""
    files = [tmp_path / name for name in ("rank-0", "rank-1", f"run/{LOCK}")]
    code = "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN); import small_run as s; s.train_for_long"
    paths = os.pathsep.join([str(Path(__file__).parent), os.environ["PYTHONPATH"]])
    launcher = subprocess.Popen([sys.executable, "-c", f"{code}({str(tmp_path)!r})"], start_new_session=True,
                                env={**os.environ, "PYTHONPATH": paths})
    try:
        wait(lambda: (tmp_path / "held-0").exists() and (tmp_path / "held-1").exists())
        assert not any(free(path) for path in files)
        launcher.kill()
        launcher.wait()
        wait(lambda: all(free(path) for path in files))
    finally:
        with suppress(ProcessLookupError):
            os.killpg(launcher.pid, signal.SIGKILL)
        launcher.wait()


def test_a_folder_that_is_held_is_refused_by_processes_too(digits, tmp_path):
    with alone(tmp_path / LOCK), pytest.raises(ValueError, match="another command is at work and holds"):
        fit(network(), EmpiricalRisk(), digits, RECIPE, device="cpu", processes=2, checkpoint=tmp_path)


@pytest.mark.parametrize(("started", "processes"), [("2", 1), ("1", 2), ("4", 2)])
def test_another_number_of_processes_than_the_launchers_is_refused(digits, monkeypatch, started, processes):
    monkeypatch.setenv("LOCAL_RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", started)
    with pytest.raises(ValueError, match=f"processes={started}, as many as the launcher .* received {processes}"):
        fit(network(), EmpiricalRisk(), digits, RECIPE, device="cpu", processes=processes)

"""The loop: against a loop written by hand, what it keeps apart, what it refuses, and what it leaves on the disk."""

import csv
from contextlib import closing
from dataclasses import replace
from functools import partial
from importlib import import_module
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from mixlab.data import Loader, load
from mixlab.mixers import DCutMix, ManifoldMixup, Mixup
from mixlab.risk import EmpiricalRisk, ManifoldRisk, VicinalRisk
from mixlab.rng import generator
from mixlab.train import Cosine, Recipe, evaluate, fit, recipes
from mixlab.train.fit import RESIDENT, _home, _loader
from mixlab.train.logs import TensorBoard
from mixlab.train.measure import Measures
from mixlab.train.state import State

RECIPE = Recipe("test", epochs=3, batch_size=64, lr=0.1, schedule=Cosine(), momentum=0.9, nesterov=True,
                weight_decay=1e-3, augment="crop", report="last", source="these tests")


@pytest.fixture(scope="module")
def digits():
    return load("digits", limit=300, validation=0.2)


def network(seed=0):
    model = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(256, 10))
    for number, parameter in enumerate(model.parameters()):
        nn.init.normal_(parameter, std=0.2, generator=generator(seed, number))
    return model


def train(model, digits, risk=None, recipe=RECIPE, **options):
    return fit(model, risk or EmpiricalRisk(), digits, recipe, device="cpu", **options)


def test_fit_is_the_loop_one_would_write(digits):
    """Same batches, same mixes, same rates: the same weights, bit for bit."""
    mixer, model, ours = DCutMix(k=3, alpha=1.0), network(), network()
    result = train(ours, digits, VicinalRisk(mixer), seed=5)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, nesterov=True, weight_decay=1e-3)
    loader = Loader(digits.train, 64, mean=digits.mean, std=digits.std, augment="crop", seed=5)
    losses = []
    for epoch in range(3):
        for step, (images, labels, _) in enumerate(loader.epoch(epoch)):
            optimizer.param_groups[0]["lr"] = RECIPE.learning_rate(epoch + step / 5)
            mix = mixer.draw(images, labels, generator=generator(5, "mix", 0, 5 * epoch + step))
            logits = model(mix.apply(images))
            loss = -(mix.targets(labels, 10) * logits.log_softmax(1)).sum(1).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
    assert result.losses == pytest.approx(losses, rel=1e-6)
    for name, value in model.state_dict().items():
        assert torch.allclose(value, ours.state_dict()[name], rtol=1e-5, atol=1e-7), name


def test_a_narrow_network_trains_on_a_cpu_in_a_layout_that_is_safe(digits):
    """oneDNN's strided 1x1 convolution of few channels corrupts memory where channels come last."""
    seen = []
    model = nn.Sequential(nn.Conv2d(1, 2, 1, stride=2), nn.Flatten(), nn.Linear(32, 10))
    model.register_forward_pre_hook(lambda module, inputs: seen.append((module.training, inputs[0].stride())))
    model[0].register_forward_pre_hook(lambda module, _: seen.append((module.training, module.weight.stride())))
    train(model, digits, recipe=replace(RECIPE, epochs=1))
    assert {stride for training, stride in seen if training} == {(64, 64, 8, 1), (1, 1, 1, 1)}


def test_curves_and_last_epoch_agree_with_evaluation(digits):
    model = network()
    result = train(model, digits)
    assert result.curves["epoch"] == [1, 2, 3] and len(result.losses) == 15
    assert result.curves["train_loss"][1] == pytest.approx(sum(result.losses[5:10]) / 5)
    for split in ("test", "validation"):
        measured = evaluate(model, getattr(digits, split), mean=digits.mean, std=digits.std)
        assert result.last[f"{split}_error"] == pytest.approx(measured.error)
        assert result.last[f"{split}_loss"] == pytest.approx(measured.loss, rel=1e-5)
    assert result.best_test_error is None and "test_error" not in result.curves


def test_the_best_epoch_is_the_first_with_the_lowest_validation_error(digits):
    """A rate that explodes late makes an early epoch the best; the model keeps the last epoch's weights."""
    class Late:
        def factor(self, position, epochs):
            return 1.0 if position < 2 else 30.0

    recipe = replace(RECIPE, epochs=4, schedule=Late(), report="best", augment="none")
    recipe = SimpleNamespace(**vars(recipe), learning_rate=recipe.learning_rate, as_dict=dict)
    model = network()
    result = train(model, digits, recipe=recipe)
    errors = result.curves["validation_error"]
    assert result.best["epoch"] == errors.index(min(errors)) + 1 < 4
    assert result.best["test_error"] == result.curves["test_error"][result.best["epoch"] - 1]
    assert result.last["test_error"] == result.curves["test_error"][-1] > result.best["test_error"]
    assert result.best_test_error == min(result.curves["test_error"])
    measured = evaluate(model, digits.test, mean=digits.mean, std=digits.std)
    assert measured.error == pytest.approx(result.last["test_error"])


def test_without_a_validation_split_there_is_no_best_epoch():
    result = train(network(), load("digits", limit=128, validation=0), recipe=RECIPE.over(1))
    assert result.best is None and "validation_error" not in result.last


def test_seeds_and_nothing_else_decide(digits):
    runs = []
    for seed, noise in ((1, 0), (1, 1), (2, 0)):
        torch.manual_seed(noise)
        model = network()
        result = train(model, digits, VicinalRisk(DCutMix(2, 1.0)), RECIPE.over(1), seed=seed)
        runs.append((result.losses, model[-1].weight))
    assert runs[0][0] == runs[1][0] and torch.equal(runs[0][1], runs[1][1])
    assert runs[0][0] != runs[2][0]


def test_the_global_generator_is_left_alone(digits):
    model = nn.Sequential(nn.Flatten(), nn.Dropout(0.5), nn.Linear(64, 10))
    state = torch.get_rng_state()
    train(model, digits, recipe=RECIPE.over(1))
    assert torch.equal(state, torch.get_rng_state())


def test_what_a_risk_learns_is_trained_and_kept(digits, tmp_path):
    class Scaled(nn.Module):
        def __init__(self):
            super().__init__()
            self.scale = nn.Parameter(torch.ones(()))
            self.register_buffer("steps", torch.zeros((), dtype=torch.int64))

        def forward(self, model, batch, *, step=0, generator=None):
            self.steps += 1
            return nn.functional.cross_entropy(self.scale * model(batch[0]), batch[1])

    risk = Scaled()
    train(network(), digits, risk, checkpoint=tmp_path)
    assert int(risk.steps) == 15 and abs(float(risk.scale.detach()) - 1) > 1e-3
    again = Scaled()
    train(network(), digits, again, checkpoint=tmp_path)
    assert torch.equal(again.scale, risk.scale) and int(again.steps) == 15


class Spoilt(EmpiricalRisk):
    """Not a number from its n-th call on.

    The calls are counted by the class: an attribute of the risk would make its run another one.
    """

    def __init__(self, calls):
        super().__init__()
        Spoilt.calls = calls

    def forward(self, model, batch, *, step=0, generator=None):
        Spoilt.calls -= 1
        return super().forward(model, batch) * (1.0 if Spoilt.calls > 0 else float("nan"))


class RootOfNothing(EmpiricalRisk):
    """A loss of zero whose gradient is not finite."""

    def forward(self, network, batch, *, step=0, generator=None):
        images, _, _ = batch
        return (network(images) * 0).sum().sqrt()


def test_a_weight_that_is_not_finite_is_named_and_reaches_no_checkpoint(digits, tmp_path):
    with pytest.raises(FloatingPointError, match=r"0.weight is not finite in epoch 1: .* checkpoint is from before"):
        train(network(), digits, RootOfNothing(), checkpoint=tmp_path / "run", every=1)
    assert not list(tmp_path.rglob("*.ckpt"))


def test_a_weight_that_is_not_finite_is_named_where_nothing_is_kept(digits):
    """The measurement after the epoch comes before the check, and must not end in an error of its own."""
    with pytest.raises(FloatingPointError, match="0.weight is not finite in epoch 1"):
        train(network(), digits, RootOfNothing(), replace(RECIPE, batch_size=300))  # one step an epoch


def test_a_loss_that_is_not_finite_is_named_and_the_checkpoint_is_from_before(digits, tmp_path):
    with pytest.raises(FloatingPointError, match="loss is nan in epoch 2, step 3"):
        train(network(), digits, Spoilt(8), checkpoint=tmp_path, every=2)
    state = torch.load(tmp_path / "last.ckpt", weights_only=True)["state"]
    assert (state["epoch"], state["step"]) == (1, 2)
    assert all(bool(value.isfinite().all()) for value in state["model"].values())


def test_bfloat16_is_close_to_float32_and_keeps_float32_weights(digits):
    models = {precision: network() for precision in ("32-true", "bf16-mixed")}
    losses = {name: train(model, digits, recipe=RECIPE.over(1), precision=name).losses
              for name, model in models.items()}
    assert losses["bf16-mixed"] == pytest.approx(losses["32-true"], rel=0.05)
    assert losses["bf16-mixed"] != losses["32-true"]
    assert {value.dtype for value in models["bf16-mixed"].parameters()} == {torch.float32}


def test_csv_has_a_row_per_epoch_after_a_resume_too(digits, tmp_path):
    with pytest.raises(FloatingPointError):
        train(network(), digits, Spoilt(8), checkpoint=tmp_path)
    result = train(network(), digits, Spoilt(1000), checkpoint=tmp_path)
    with (tmp_path / "curves.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["1", "2", "3"]
    assert [float(row["train_loss"]) for row in rows] == result.curves["train_loss"]


def test_a_log_that_cannot_be_written_is_told_before_an_epoch_is_spent(digits, tmp_path, monkeypatch):
    monkeypatch.setattr("mixlab.train.logs.find_spec", lambda name: None)
    with pytest.raises(ImportError, match="expected tensorboard for log='tensorboard', found none"):
        train(network(), digits, checkpoint=tmp_path / "run", log="tensorboard")
    assert not (tmp_path / "run").exists()


def test_tensorboard_holds_the_curves(digits, tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    result = train(network(), digits, checkpoint=tmp_path, log="tensorboard")
    events = EventAccumulator(str(tmp_path)).Reload()
    logged = [(event.step, event.value) for event in events.Scalars("train_loss")]
    assert [step for step, _ in logged] == [1, 2, 3]
    assert [value for _, value in logged] == pytest.approx(result.curves["train_loss"])


@pytest.mark.parametrize(("options", "message"), [
    ({"precision": "16"}, "precision"), ({"log": "wandb"}, "log"), ({"processes": 0}, "processes"),
    ({"every": 0}, "every"),
])
def test_unknown_options_are_refused_and_nothing_is_written(digits, tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        train(network(), digits, checkpoint=tmp_path / "run", **options)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("there", [False, True], ids=["new folder", "empty folder"])
@pytest.mark.parametrize(("change", "message"), [
    ({"recipe": replace(RECIPE, augment="tilt")}, "tilt"), ({"seed": 1.5}, "1.5"),
    ({"risk": ManifoldRisk(ManifoldMixup(Mixup(), ["nowhere"]))}, "nowhere"),
    ({"model": nn.Sequential(nn.Flatten(), nn.Linear(7, 10))}, "shapes cannot be multiplied"),
])
def test_what_is_seen_late_to_be_wrong_leaves_nothing_either(digits, tmp_path, change, message, there):
    folder = tmp_path / "course" / "run"
    if there:
        folder.mkdir(parents=True)
    with pytest.raises((ValueError, TypeError, RuntimeError), match=message):
        train(**{"model": network(), "digits": digits, **change}, checkpoint=folder)
    assert list(tmp_path.iterdir()) == ([tmp_path / "course"] if there else [])
    assert not there or list(folder.iterdir()) == []


def test_an_error_after_the_first_checkpoint_removes_nothing(digits, tmp_path):
    class Breaks(EmpiricalRisk):
        def forward(self, *arguments, **options):
            self.steps = getattr(self, "steps", 0) + 1
            if self.steps == 3:
                raise ValueError("the third step")
            return super().forward(*arguments, **options)

    with pytest.raises(ValueError, match="third"):
        train(network(), digits, Breaks(), checkpoint=tmp_path / "run", every=1)
    assert {path.name for path in (tmp_path / "run").iterdir()} == {"lock", "last.ckpt", "previous.ckpt"}


@pytest.mark.parametrize("option", [{"processes": 1.5}, {"processes": True}, {"every": 2.5}, {"every": 0}])
def test_whole_numbers_are_whole(digits, option):
    with pytest.raises(ValueError, match=f"integer {[*option][0]}"):
        train(network(), digits, **option)


def test_tensorboard_holds_the_epochs_of_sessions_with_another_log_too_and_each_epoch_once(digits, tmp_path):
    from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

    with pytest.raises(FloatingPointError):
        train(network(), digits, Spoilt(8), checkpoint=tmp_path)
    result = train(network(), digits, Spoilt(1000), checkpoint=tmp_path, log="tensorboard")
    files = list(tmp_path.glob("events*"))
    events = EventFileLoader(str(files[0])).Load()
    logged = [(value.tag, event.step) for event in events for value in event.summary.value]
    assert len(files) == 1
    assert sorted(logged) == sorted((name, epoch) for name in result.curves if name != "epoch" for epoch in (1, 2, 3))


def test_whoever_watches_the_folder_sees_every_epoch_once(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    watcher = EventAccumulator(str(tmp_path))
    for session in ((1, 2), (3, 4), (4,)):  # the last one repeats an epoch whose checkpoint was lost
        with closing(TensorBoard(tmp_path)) as log:
            for epochs in session:
                log.write({"epoch": list(range(1, epochs + 1)), "train_loss": [0.5] * epochs})
                for reader in (watcher.Reload(), EventAccumulator(str(tmp_path)).Reload()):
                    assert [event.step for event in reader.Scalars("train_loss")] == list(range(1, epochs + 1))
    assert len(list(tmp_path.glob("events*"))) == 3


@pytest.mark.parametrize(("images", "batch_size", "steps"), [
    (65, 64, 1), (66, 64, 2), (129, 64, 2), (1, 64, 1), (3, 1, 3), (128, 64, 2), (300, 64, 5),
])
def test_a_last_batch_of_one_row_is_left_out_where_there_are_others(digits, images, batch_size, steps):
    few = replace(digits, train=digits.train.subset(torch.arange(images) % len(digits.train)))
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    result = train(model, few, recipe=replace(RECIPE, epochs=1, batch_size=batch_size))
    assert len(result.losses) == steps


@pytest.mark.parametrize(("images", "steps"), [(130, 2), (131, 2), (132, 3)])
def test_a_last_batch_of_one_row_for_each_process_is_left_out(digits, images, steps):
    few = replace(digits, train=digits.train.subset(torch.arange(images)))
    fabric = SimpleNamespace(global_rank=1, world_size=2)
    assert len(_loader(fabric, few, RECIPE, 0, torch.device("cpu"))) == steps


def test_batch_statistics_survive_a_last_batch_of_one_row(digits):
    few = replace(digits, train=digits.train.subset(torch.arange(65)))
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.BatchNorm1d(8), nn.Linear(8, 10))
    assert len(train(model, few, recipe=RECIPE).losses) == 3


def test_images_stay_on_an_accelerator_if_they_fit(digits, monkeypatch):
    size = sum(split.images.nbytes for split in (digits.train, digits.validation, digits.test))
    memory = SimpleNamespace(total_memory=size / RESIDENT)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: memory)
    assert _home(digits, torch.device("cuda", 0)) == torch.device("cuda", 0)
    memory.total_memory -= 1
    assert _home(digits, torch.device("cuda", 0)) == _home(digits, torch.device("cpu")) == torch.device("cpu")


@pytest.mark.gpu
def test_images_kept_by_the_host_and_by_a_gpu_give_the_same_run(digits, monkeypatch):
    runs = []
    for resident in (1.0, 0.0):
        monkeypatch.setattr(import_module("mixlab.train.fit"), "RESIDENT", resident)
        runs.append(fit(network(), VicinalRisk(DCutMix(3, 1.0)), digits, RECIPE, device="cuda").losses[:5])
    fabric = SimpleNamespace(global_rank=0, world_size=1)
    batches = [[[part.cpu() for part in batch] for batch in
                _loader(fabric, digits, RECIPE, 0, torch.device(home)).epoch(1)] for home in ("cuda", "cpu")]
    assert runs[0] == pytest.approx(runs[1], rel=1e-3)
    for (images, labels, _), (others, other_labels, _) in zip(*batches, strict=True):
        assert torch.equal(labels, other_labels)
        torch.testing.assert_close(images, others, rtol=1e-6, atol=1e-6)


def test_images_to_measure_on_are_not_copied_in_one_process(digits):
    fabric = SimpleNamespace(global_rank=0, world_size=1)
    measures = Measures(fabric, network(), digits, RECIPE, torch.device("cpu"))
    for name in ("validation", "test"):
        assert getattr(measures, name).images.data_ptr() == getattr(digits, name).images.data_ptr()


def test_weights_are_looked_at_together(digits, monkeypatch):
    """On an accelerator every answer is a wait for it."""
    answers = []
    ask = torch.Tensor.__bool__
    monkeypatch.setattr(torch.Tensor, "__bool__", lambda tensor: answers.append(1) or ask(tensor))
    model = network()
    State(SimpleNamespace(), {"model": model}, None, None)._check_weights()
    assert answers == []
    model[1].running_var[2] = float("inf")
    with pytest.raises(FloatingPointError, match="1.running_var is not finite"):
        State(SimpleNamespace(), {"model": model}, None, None)._check_weights()


@pytest.mark.parametrize("device", ["cuda", "auto"])
def test_more_processes_than_gpus_are_refused(digits, monkeypatch, device):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(ValueError, match="at most 2 processes, one for each GPU, received 4"):
        fit(network(), EmpiricalRisk(), digits, RECIPE, device=device, processes=4)


def test_a_network_that_cannot_be_compiled_is_refused_in_one_line(digits, monkeypatch):
    def backend(graph, inputs):
        raise RuntimeError("no compiler here\nand more lines")

    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend=backend))
    with pytest.raises(ValueError, match="can be compiled here, or compile=False: RuntimeError: no compiler here$"):
        train(network(), digits, compile=True)
    with pytest.raises(RuntimeError, match="ours"):
        train(network(), digits, Ours(), compile=True)


class Ours(EmpiricalRisk):
    """An error that has nothing to do with compiling."""

    def forward(self, *arguments, **options):
        raise RuntimeError("ours")


def test_an_unknown_device_is_refused(digits):
    with pytest.raises(ValueError, match="'tpu'"):
        fit(network(), EmpiricalRisk(), digits, RECIPE, device="tpu")


def test_a_compiled_network_whose_layers_are_to_be_mixed_is_refused(digits):
    """The compiler does not look at hooks again: whether a layer is mixed would depend on what was drawn before."""
    with pytest.raises(ValueError, match="expected compile=False with a ManifoldRisk"):
        train(network(), digits, ManifoldRisk(ManifoldMixup(Mixup(), ("", "1"))), compile=True)


@pytest.mark.parametrize(("images", "processes", "message"), [
    (64, 3, "a batch size that 3 processes share evenly, received 64"),
    (63, 2, "64 training images or more for 2 processes, received 63"),
])
def test_batches_that_processes_cannot_share_are_refused_before_one_starts(digits, images, processes, message):
    few = replace(digits, train=digits.train.subset(torch.arange(images)))
    with pytest.raises(ValueError, match=message):
        train(network(), few, processes=processes)


def test_a_missing_test_split_is_refused_before_training(digits):
    empty = replace(digits, test=digits.test.subset(torch.tensor([], dtype=torch.int64)))
    with pytest.raises(ValueError, match="test images"):
        train(network(), empty, Spoilt(0))


@pytest.mark.gpu
def test_a_gpu_run_is_close_to_the_same_run_on_the_cpu(digits):
    on_cpu, on_gpu = (fit(network(), EmpiricalRisk(), digits, RECIPE, device=device) for device in ("cpu", "cuda"))
    assert on_gpu.losses[:5] == pytest.approx(on_cpu.losses[:5], rel=1e-3)


def test_a_place_for_checkpoints_that_is_a_file_is_refused_before_training(tmp_path):
    occupied = tmp_path / "file"
    occupied.write_text("kept")
    with pytest.raises(ValueError, match="can be written"):
        fit(nn.Sequential(nn.Flatten(), nn.Linear(64, 10)), EmpiricalRisk(), load("digits"), recipes["demo"],
            device="cpu", checkpoint=occupied / "run")
    assert occupied.read_text() == "kept" and [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_recipe_in_halves_measures_at_half_time_and_at_the_end(digits, tmp_path):
    """The curves have gaps in between; clean training errors are those of the network at that time."""
    recipe = replace(RECIPE, measured="halves")
    model = network()
    result = train(model, digits, VicinalRisk(Mixup(1.0)), recipe, checkpoint=tmp_path)
    assert recipe.epochs == 3
    for name in ("validation_error", "validation_loss", "train_error"):
        first, half, last = result.curves[name]
        assert first is None and half is not None and last is not None
    shorter = network()
    half = Stopping(Mixup(1.0), calls=2 * 5)
    with pytest.raises(InterruptedError):
        train(shorter, digits, half, recipe)
    at_half = evaluate(shorter, digits.train, mean=digits.mean, std=digits.std)
    assert result.last["half_time_train_error"] == result.curves["train_error"][1] == pytest.approx(at_half.error)
    at_end = evaluate(model, digits.train, mean=digits.mean, std=digits.std)
    assert result.last["train_error"] == pytest.approx(at_end.error)
    assert result.best is None
    lines = (tmp_path / "curves.csv").read_text().splitlines()
    assert len(lines) == 4 and lines[1].endswith(",,,")


class Stopping(VicinalRisk):
    """The mixing risk, which raises after some calls."""

    def __init__(self, mixer, calls):
        super().__init__(mixer)
        self.calls = calls

    def forward(self, *arguments, **options):
        self.calls -= 1
        if self.calls < 0:
            raise InterruptedError
        return super().forward(*arguments, **options)


def test_halves_leave_no_best_epoch_to_report():
    with pytest.raises(ValueError, match="expected report of last with measured='halves'"):
        replace(RECIPE, measured="halves", report="best")
    with pytest.raises(ValueError, match="expected measured of epoch, halves, received 'often'"):
        replace(RECIPE, measured="often")


def test_a_risk_is_told_the_step_across_epochs(digits):
    class Counting(EmpiricalRisk):
        steps = []

        def forward(self, model, batch, *, step=0, generator=None):
            self.steps.append((step, tuple(batch.rows.tolist())))
            return super().forward(model, batch)

    train(network(), digits, Counting())
    steps, rows = zip(*Counting.steps, strict=True)
    assert steps == tuple(range(15))
    assert sorted(sum(rows[:5], ())) == sorted(digits.train.rows.tolist()) == sorted(sum(rows[5:10], ()))


def test_frozen_parameters_stay_as_they_are(digits):
    model, risk = network(), EmpiricalRisk()
    risk.teacher = nn.Linear(2, 2).requires_grad_(False)
    first = next(model.parameters()).requires_grad_(False)
    before = first.clone(), risk.teacher.weight.clone(), list(model.parameters())[-1].clone()
    train(model, digits, risk)
    assert torch.equal(first, before[0]) and torch.equal(risk.teacher.weight, before[1])
    assert not torch.equal(list(model.parameters())[-1], before[2])

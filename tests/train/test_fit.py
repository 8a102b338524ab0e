"""The loop: against a loop written by hand, what it keeps apart, what it refuses, and what it leaves on the disk."""

import csv
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from mixlab.data import Loader, load
from mixlab.mixers import DCutMix, ManifoldMixup, Mixup
from mixlab.risk import EmpiricalRisk, ManifoldRisk, VicinalRisk
from mixlab.rng import generator
from mixlab.train import Cosine, Recipe, evaluate, fit, recipes

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
        for step, (images, labels) in enumerate(loader.epoch(epoch)):
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

        def forward(self, model, batch, *, generator=None):
            self.steps += 1
            return nn.functional.cross_entropy(self.scale * model(batch[0]), batch[1])

    risk = Scaled()
    train(network(), digits, risk, checkpoint=tmp_path)
    assert int(risk.steps) == 15 and abs(float(risk.scale.detach()) - 1) > 1e-3
    again = Scaled()
    train(network(), digits, again, checkpoint=tmp_path)
    assert torch.equal(again.scale, risk.scale) and int(again.steps) == 15


class Spoilt(EmpiricalRisk):
    """Not a number from its n-th call on."""

    def __init__(self, calls):
        super().__init__()
        self.calls = calls

    def forward(self, model, batch, *, generator=None):
        self.calls -= 1
        return super().forward(model, batch) * (1.0 if self.calls > 0 else float("nan"))


class RootOfNothing(EmpiricalRisk):
    """A loss of zero whose gradient is not finite."""

    def forward(self, network, batch, *, generator=None):
        images, _ = batch
        return (network(images) * 0).sum().sqrt()


def test_a_weight_that_is_not_finite_is_named_and_reaches_no_checkpoint(digits, tmp_path):
    with pytest.raises(FloatingPointError, match=r"0.weight is not finite in epoch 1: .* checkpoint is from before"):
        train(network(), digits, RootOfNothing(), checkpoint=tmp_path / "run", every=1)
    assert not list(tmp_path.rglob("*.ckpt"))


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

"""Tasks that are not classification: against loops written by hand, killed and continued, and what the loop refuses."""

import multiprocessing
import signal
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from mixlab.data import Loader, load
from mixlab.risk import EmpiricalRisk
from mixlab.rng import generator
from mixlab.train import SGD, Adam, Classification, Cosine, MultiStep, Recipe, Task, fit, loop, recipes, validate


@pytest.fixture(scope="module")
def tasks():
    """The module `small_tasks` beside this file, importable by the processes that are started here."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(Path(__file__).parent))
        import small_tasks

        yield small_tasks


@pytest.fixture(scope="module")
def processes(tasks):
    """Processes that start quickly: they are forked from one that has imported what they need."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["small_tasks", "lightning.fabric"])
    return context


@pytest.fixture(scope="module")
def undisturbed(tasks, tmp_path_factory):
    """Both tasks done, with the states that they end in."""
    runs = {}
    for name in tasks.TASKS:
        folder = tmp_path_factory.mktemp(name)
        runs[name] = *tasks.train(name, folder), state_in(folder)
    return runs


def state_in(folder):
    return torch.load(folder / "last.ckpt", weights_only=True)["state"]


def same(one, other):
    """Whether nested states are equal, tensors bit for bit; when, where and at which commits they ran is left out."""
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict):
        names = [name for name in one if name not in ("seconds", "origin", "commits")]
        return list(one) == list(other) and all(same(one[name], other[name]) for name in names)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    return one == other


# A search has four descents in its first epoch, where shares wait, and eight in each of the other two; a generator has
# four in each of its two epochs. There are checkpoints after every second step.
MOMENTS = [("search", at) for at in (1, 4, 5, 6, 9, 12)] + [("generate", at) for at in (1, 3, 4, 6)]


@pytest.mark.parametrize(("name", "at"), MOMENTS)
def test_killed_between_any_two_optimisers_steps_a_task_ends_with_the_same_bits(
    tasks, processes, undisturbed, tmp_path, name, at
):
    process = processes.Process(target=getattr(tasks, f"train_{name}_until"), args=(str(tmp_path), at))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    task, result = tasks.train(name, tmp_path)
    other, undisturbed_result, state = undisturbed[name]
    assert same(state_in(tmp_path), state)  # weights, both optimisers' moments, losses, curves
    assert (result.losses, result.curves, result.last) == (
        undisturbed_result.losses, undisturbed_result.curves, undisturbed_result.last)
    assert all(same(module.state_dict(), other.modules[key].state_dict()) for key, module in task.modules.items())


def test_the_search_is_the_loop_one_would_write(tasks):
    """Each optimiser follows its own loss alone: no gradient of one is left for the other."""
    recipe = replace(tasks.SEARCH, clip=0.05)  # every gradient is longer
    task = tasks.search()
    task.modules["network"].rest[1].p = 0.0  # what dropout draws is the loop's
    result = loop(task, recipe, seed=1, device="cpu")
    network, data, losses, shares_losses = tasks.initialised(tasks.Choice()), tasks.data(), [], []
    network.rest[1].p = 0.0
    shares, weights = network.split()
    adam = torch.optim.Adam(shares, lr=0.05, betas=(0.5, 0.999), weight_decay=1e-3)
    sgd = torch.optim.SGD(weights, lr=0.05, momentum=0.9, weight_decay=3e-4)
    halves = [data.train.subset(torch.arange(half, len(data.train), 2)) for half in range(2)]
    loaders = [Loader(half, 32, mean=data.mean, std=data.std, augment="crop", drop_last=True, seed=1 + number)
               for number, half in enumerate(halves)]
    for epoch in range(3):
        for step, (mine, others) in enumerate(zip(*(each.epoch(epoch) for each in loaders), strict=True)):
            sgd.param_groups[0]["lr"] = 0.05 * Cosine().factor(epoch + step / len(loaders[0]), 3)
            if epoch > 0:
                loss = nn.functional.cross_entropy(network(others.images), others.labels)
                shares_losses.append(loss.item())
                shares[0].grad, = torch.autograd.grad(loss, shares)
                adam.step()
            loss = nn.functional.cross_entropy(network(mine.images), mine.labels)
            losses.append(loss.item())
            gradients = torch.autograd.grad(loss, weights)
            norm = torch.stack([gradient.norm() for gradient in gradients]).norm()
            assert norm > 0.05
            for weight, gradient in zip(weights, gradients, strict=True):
                weight.grad = gradient * 0.05 / norm
            sgd.step()
    assert result.losses == pytest.approx(losses, rel=1e-4)
    steps = len(loaders[0])
    assert result.curves["train_shares_loss"][0] is None
    means = [sum(shares_losses[part * steps :][:steps]) / steps for part in range(2)]
    assert result.curves["train_shares_loss"][1:] == pytest.approx(means, rel=1e-4)
    for name, value in network.state_dict().items():
        torch.testing.assert_close(task.modules["network"].state_dict()[name], value, rtol=1e-3, atol=1e-5)
    assert float(task.modules["network"].shares.detach().abs().max()) > 0.02


def test_the_generator_is_trained_and_the_classifier_is_not(tasks, undisturbed, tmp_path):
    task, result, state = undisturbed["generate"]
    assert same(task.classifier.state_dict(), tasks.classifier().state_dict())
    assert all(parameter.grad is None for parameter in task.classifier.parameters())
    assert not any("classifier" in name for name in state)
    before = tasks.initialised(tasks.Painter()).state_dict()
    assert not any(torch.equal(value, before[name]) for name, value in task.modules["painter"].state_dict().items())
    first, last = result.curves["train_divergence"]
    assert last < first and result.metric == "divergence" and result.best is None
    assert [group["betas"] for group in state["adam"]["param_groups"]] == [(0.9, 0.99)]


def test_a_record_says_what_the_task_is_judged_by(undisturbed):
    result = undisturbed["generate"][1]
    record = validate(result.record(experiment="mine", row="A", budget="cpu", seed=1, config={}))
    assert record["result"]["metric"] == "divergence of the last epoch"
    assert record["result"]["value"] == result.last["divergence"] == result.curves["divergence"][-1]
    assert result.last["epoch"] == 2


def test_two_processes_train_a_task_as_one_does(tasks, monkeypatch):
    """Adam and a clipped norm see gradients that are means over both. Labels have nearly no part that is drawn."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).resolve().parents[2]), prepend=":")
    runs = []
    for number in (1, 2):
        task = tasks.generate(epsilon=0.0001)
        task.modules["painter"].layers[2].p = 0.0
        runs.append((task.modules["painter"], loop(task, tasks.GENERATE, seed=1, device="cpu", processes=number)))
    (one, alone), (two, together) = runs
    assert together.losses == pytest.approx(alone.losses, rel=1e-3)
    before, one, two = (nn.utils.parameters_to_vector(painter.parameters()).detach()
                        for painter in (tasks.initialised(tasks.Painter()), one, two))
    assert (one - two).norm() < 0.02 * (one - before).norm()


@pytest.mark.parametrize("change", ["epsilon", "classifier", "kind"])
def test_the_checkpoint_of_another_task_is_refused_and_left_alone(tasks, tmp_path, change):
    loop(tasks.generate(), replace(tasks.GENERATE, epochs=1), device="cpu", checkpoint=tmp_path)
    before = (tmp_path / "last.ckpt").read_bytes()
    other = {"epsilon": lambda: tasks.generate(epsilon=0.4), "classifier": lambda: tasks.generate(seed=2),
             "kind": tasks.search}[change]()
    with pytest.raises(ValueError, match="another run: its task is Generate"):
        loop(other, replace(tasks.GENERATE, epochs=1), device="cpu", checkpoint=tmp_path)
    assert (tmp_path / "last.ckpt").read_bytes() == before


def test_a_task_that_was_trained_is_the_same_task(tasks, tmp_path):
    """What getting ready adds to a task stays in the loop, so a task can be given to it again."""
    task = tasks.generate()
    first = loop(task, tasks.GENERATE, seed=1, device="cpu", checkpoint=tmp_path)
    assert not hasattr(task, "tools") and not hasattr(task, "optimizers")
    assert loop(task, tasks.GENERATE, seed=1, device="cpu", checkpoint=tmp_path).losses == first.losses


class Line(Task):
    """One weight, and whatever a test wants of a step."""

    metric = "weight"

    def __init__(self, name="descent", also=lambda loss: {}, module="line"):
        line = nn.Linear(1, 1, bias=False)
        nn.init.zeros_(line.weight)
        self.modules, self.name, self.also = {module: line, "other": nn.Linear(1, 1)}, name, also

    def ready(self, tools):
        self.tools, (self.line, self.other), self.steps = tools, map(tools.network, self.modules.values()), 4
        parameters = [*self.line.parameters(), *self.other.parameters()]
        self.optimizers = {self.name: tools.optimizer(parameters)}

    def batches(self, epoch, start):
        return (torch.ones(2, 1) for _ in range(start, self.steps))

    def step(self, batch, number):
        loss = (self.line(batch) - 2).square().mean() + 0 * self.other(batch).sum()
        self.tools.descend(loss, self.name)
        return {"loss": loss} | self.also(loss)

    def measure(self, epoch):
        return {"weight": next(iter(self.modules.values())).weight.item()}


PLAIN = Recipe("plain", epochs=2, batch_size=2, lr=0.1, schedule=MultiStep(()), momentum=0.0, nesterov=False,
               weight_decay=0.0, augment="none", report="last", source="these tests")


def test_adam_and_clipping_are_torchs():
    """Clipped at 1e-3, Adam's first step is as long as without; SGD's is the rate times the norm."""
    one_step = replace(PLAIN, epochs=1)
    weights = {}
    for optimizer in (SGD(), Adam()):
        for clip in (None, 1e-3, 100.0):
            weights[optimizer, clip] = loop(Short(), replace(one_step, optimizer=optimizer, clip=clip),
                                            device="cpu").last["weight"]
    assert weights[SGD(), None] == weights[SGD(), 100.0] == pytest.approx(0.1 * 4)
    assert weights[SGD(), 1e-3] == pytest.approx(0.1 * 1e-3, rel=1e-4)
    assert [weights[Adam(), clip] for clip in (None, 1e-3)] == pytest.approx([0.1, 0.1], rel=1e-4)


class Short(Line):
    """One step an epoch."""

    def ready(self, tools):
        super().ready(tools)
        self.steps = 1


@pytest.mark.parametrize(("also", "message"), [
    (lambda loss: {"second": loss * float("nan")}, "second is nan in epoch 1, step 1: the learning rate"),
    (lambda loss: {"second": loss / (loss < 3.9)}, "second is inf in epoch 1, step 1: the learning rate"),
])
def test_whatever_a_step_gives_that_is_not_finite_is_named(also, message):
    with pytest.raises(FloatingPointError, match=message):
        loop(Line(also=also), PLAIN, device="cpu")


def test_a_weight_of_the_second_module_that_is_not_finite_is_named(tmp_path):
    task = Line(also=lambda loss: nn.init.constant_(task.modules["other"].weight, float("inf")) is None or {})
    with pytest.raises(FloatingPointError, match=r"other\.weight is not finite in epoch 1"):
        loop(task, replace(PLAIN, epochs=1), device="cpu", every=1, checkpoint=tmp_path)
    assert not list(tmp_path.glob("*.ckpt"))


@pytest.mark.parametrize(("options", "taken"), [
    ({"name": "line"}, "line"), ({"name": "losses"}, "losses"), ({"module": "epoch"}, "epoch"),
    ({"module": "scalars"}, "scalars"),
])
def test_a_name_that_a_checkpoint_has_already_is_refused(options, taken):
    with pytest.raises(ValueError, match=f"expected another name .* received '{taken}'"):
        loop(Line(**options), PLAIN, device="cpu")


def test_a_step_without_a_loss_is_refused():
    class Silent(Line):
        def step(self, batch, number):
            return {"weight": torch.zeros(())}

    with pytest.raises(ValueError, match="expected the loss of a step among what it gives, received weight"):
        loop(Silent(), PLAIN, device="cpu")


def test_fit_is_the_loop_over_classification(tmp_path):
    data, runs = load("digits", limit=130, validation=0.2), []
    recipe = replace(recipes["demo"], epochs=2)
    for number, train in enumerate((
        lambda model, **options: fit(model, EmpiricalRisk(), data, recipe, **options),
        lambda model, **options: loop(Classification(model, EmpiricalRisk(), data), recipe, **options),
    )):
        model = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
        nn.init.normal_(model[1].weight, std=0.1, generator=generator(0, "init"))
        nn.init.zeros_(model[1].bias)
        train(model, seed=4, device="cpu", checkpoint=tmp_path / str(number))
        runs.append(torch.load(tmp_path / str(number) / "last.ckpt", weights_only=True))
    assert same(runs[0], runs[1])


def test_a_checkpoint_of_classification_has_what_it_always_had(tmp_path):
    """A run that began under an earlier version is continued under a later one."""
    data = load("digits", limit=130, validation=0.2)
    fit(nn.Sequential(nn.Flatten(), nn.Linear(64, 10)), EmpiricalRisk(), data, recipes["demo"], device="cpu",
        checkpoint=tmp_path)
    saved = torch.load(tmp_path / "last.ckpt", weights_only=True)
    assert list(saved["config"]) == ["model", "risk", "data", "recipe", "seed", "precision", "processes"]
    assert saved["config"]["recipe"] == (
        '{"name": "demo", "epochs": 3, "batch_size": 64, "lr": 0.1, "schedule": {"name": "Cosine", "warmup": 0.0}, '
        '"momentum": 0.9, "nesterov": true, "weight_decay": 0.0005, "augment": "none", "report": "last", '
        '"source": "this book, for runs of seconds"}')
    assert list(saved["state"]) == [
        "epoch", "step", "losses", "curves", "best", "best_weights", "seconds", "commits", "result", "model", "risk",
        "optimizer"]
    assert list(saved["state"]["curves"]) == ["epoch", "lr", "train_loss", "validation_error", "validation_loss"]
    # A result that was kept when results had no metric is one of classification.
    del saved["state"]["result"]["metric"]
    torch.save(saved, tmp_path / "last.ckpt")
    again = fit(nn.Sequential(nn.Flatten(), nn.Linear(64, 10)), EmpiricalRisk(), data, recipes["demo"], device="cpu",
                checkpoint=tmp_path)
    assert again.metric == "test_error" and again.losses == saved["state"]["losses"]


def test_a_task_that_leaves_something_out_is_told_what():
    class Silent(Task):
        def __init__(self):
            self.modules = {"factor": nn.Linear(1, 1)}

    with pytest.raises(TypeError, match="Silent does not say how it is made ready"):
        loop(Silent(), recipes["demo"], device="cpu")

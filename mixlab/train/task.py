"""What the loop asks of a task, and what it gives a task to train with."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from mixlab.rng import generator
from mixlab.train.fingerprint import identity
from mixlab.train.recipe import Recipe
from mixlab.train.state import State


class Tools:
    """What a task trains with, in one process.

    Args:
        fabric: the launched Fabric.
        recipe: of the run.
        seed: of everything drawn during training.
        compile: whether networks go through `torch.compile`.

    Attributes:
        device, rank, world: of this process, its number, and how many there are.
        optimizers: the task's, by name; the loop puts them here when the task is ready.

    Example:
        >>> from lightning.fabric import Fabric
        >>> from mixlab.train import recipes
        >>> tools = Tools(Fabric(accelerator="cpu"), recipes["demo"], seed=0)
        >>> network = tools.network(nn.Linear(1, 1))
        >>> tools.optimizers = {"weights": tools.optimizer(network.parameters())}
        >>> before = network.weight.item()
        >>> tools.descend(network(torch.ones(1, 1)).square().mean(), "weights")
        >>> network.weight.item() == before, network.weight.grad
        (False, None)
    """

    def __init__(self, fabric, recipe: Recipe, seed: int, compile: bool = False):
        self.fabric, self.recipe, self.seed, self.compile = fabric, recipe, seed, compile
        self.device, self.rank, self.world = fabric.device, fabric.global_rank, fabric.world_size
        self.optimizers: dict[str, Optimizer] = {}
        self._by_recipe: list[Optimizer] = []

    def network(self, module: nn.Module) -> nn.Module:
        """A network to be trained, on the device: compiled if the run is to be, its gradients means over processes.

        Its weights are put into channels-last order on an accelerator.
        """
        if self.device.type != "cpu" or getattr(module, "channels_last_on_cpu", False):
            # A convolution gives its output in the order of its weights, whatever that of the images. Not on a CPU
            # unless the network says that it may be: there the gradient of a strided 1x1 convolution of fewer channels
            # than oneDNN takes at a time (8 or 16) writes past its buffer (oneDNN issue 6035), and narrow networks die.
            module.to(memory_format=torch.channels_last)
        return self.fabric.setup_module(torch.compile(module, dynamic=False) if self.compile else module)

    def placed(self, module: nn.Module) -> nn.Module:
        """Any other module, on the device: a risk, a frozen network. Gradients, if any, are means over processes."""
        # What has nothing to train has no gradients to be shared, and the wrapper that shares them refuses it.
        return self.fabric.setup_module(module) if _trained(module.parameters()) else module.to(self.device)

    def optimizer(self, parameters: Iterable[nn.Parameter]) -> Optimizer:
        """The recipe's optimiser of those parameters that are not frozen; the loop sets its rate at every step."""
        self._by_recipe.append(self.recipe.optimizer.over(_trained(parameters), self.recipe))
        return self._by_recipe[-1]

    def descend(self, loss: Tensor, name: str) -> None:
        """Take a step of one of the task's optimisers, by its name, down the gradient of `loss`.

        The gradient of its parameters is clipped as the recipe says, if the optimiser is the recipe's. Gradients are
        forgotten afterwards, those of the parameters of other optimisers too: the next loss has its own.
        """
        self.fabric.backward(loss)
        optimizer = self.optimizers[name]
        if self.recipe.clip is not None and optimizer in self._by_recipe:
            nn.utils.clip_grad_norm_([each for group in optimizer.param_groups for each in group["params"]],
                                     self.recipe.clip)
        optimizer.step()
        for each in self.optimizers.values():
            each.zero_grad()

    def draws(self, purpose: str, number: int) -> torch.Generator:
        """A generator for something that is drawn at step (or epoch) `number`, by this process.

        On the CPU: a seed then draws alike on every device, and no draw waits for an accelerator.
        """
        return generator(self.seed, purpose, self.rank, number)

    def set_rate(self, rate: float) -> None:
        """The rate of the recipe's optimisers from now on."""
        for optimizer in self._by_recipe:
            for group in optimizer.param_groups:
                group["lr"] = rate


class Task:
    """What `loop` trains: which modules, with which optimisers, on what, and how it is measured.

    A task is made before devices are known. In each process the loop takes a copy of it, calls `ready`, and then for
    every epoch `step` with each of `batches` and once `measure`. What `ready` and `step` put into the task stays in
    that copy; modules are trained in place. A step may depend on the modules, the optimisers, its batch, its number and
    `Tools.draws` alone: then a run that was killed ends as an undisturbed one. (The loop seeds the global generators
    for every step, so dropout layers need nothing.)

    Attributes:
        metric: the measurement that the task is judged by.
        modules: what is trained and kept in checkpoints, by name, first the network that the task is about. A frozen
            network is none of them, but an attribute.
        optimizers: kept as well, by other names; made in `ready`.
        steps: steps an epoch, in each process; counted in `ready`.
        keeps_best: whether the weights of the epoch of the lowest `validation_error` are kept beside the last.

    Example:
        >>> from mixlab.train import loop, recipes
        >>> class Double(Task):
        ...     '''One weight that learns to double.'''
        ...     metric = "distance"
        ...
        ...     def __init__(self):
        ...         self.modules = {"factor": nn.Linear(1, 1, bias=False)}
        ...
        ...     def ready(self, tools):
        ...         self.tools, self.factor, self.steps = tools, tools.network(self.modules["factor"]), 10
        ...         self.optimizers = {"descent": tools.optimizer(self.factor.parameters())}
        ...
        ...     def batches(self, epoch, start):
        ...         return (torch.ones(4, 1) for _ in range(start, self.steps))
        ...
        ...     def step(self, batch, number):
        ...         loss = (self.factor(batch) - 2 * batch).square().mean()
        ...         self.tools.descend(loss, "descent")
        ...         return {"loss": loss}
        ...
        ...     def measure(self, epoch):
        ...         return {"distance": abs(self.modules["factor"].weight.item() - 2)}
        >>> result = loop(Double(), recipes["demo"], device="cpu")
        >>> list(result.last), result.last["distance"] < 0.1
        (['epoch', 'train_loss', 'distance'], True)
    """

    metric: str
    modules: dict[str, nn.Module]
    optimizers: dict[str, Optimizer]
    steps: int
    keeps_best = False

    def check(self, recipe: Recipe, *, processes: int, compile: bool) -> None:
        """Raise ValueError for what cannot run, before anything is touched."""

    def fingerprint(self, recipe: Recipe, **options) -> dict:
        """What makes two runs the same run, as plain data: a checkpoint is only continued where all of it agrees.

        By default the kind of the task with all of its attributes (see `mixlab.train.fingerprint.described`: weights
        that are trained do not count, frozen ones and data do), the recipe, and `options` as they are.
        """
        return {"task": identity(self), "recipe": json.dumps(recipe.as_dict()), **options}

    def ready(self, tools: Tools) -> None:
        """Put modules and data where they are needed, make `optimizers`, count `steps`."""
        raise self._silent("how it is made ready")

    def batches(self, epoch: int, start: int) -> Iterator:
        """The batches of an epoch (0 is the first) from step `start` of it on, as many as there are steps."""
        raise self._silent("what its batches are")

    def step(self, batch, number: int) -> dict[str, Tensor]:
        """Do step `number` (over all epochs, 0 is the first) and tell what it came to.

        Returns:
            `loss`, and whatever else is to be averaged over the epoch for the curves; numbers as tensors, on their
            device, of this process. The loop takes their means over the processes.
        """
        raise self._silent("what a step is")

    def measure(self, epoch: int) -> dict[str, float]:
        """What the curves say after `epoch` epochs (1 is the first), the same in every process."""
        raise self._silent("what is measured")

    def final(self, state: State) -> tuple[dict, dict | None]:
        """Last and best epoch as a result has them; by default what the curves say of the last epoch, and None."""
        return {name: values[-1] for name, values in state.curves.items() if name != "lr"}, None

    def _silent(self, what: str) -> TypeError:
        return TypeError(f"{type(self).__name__} does not say {what}; `Task` lists what a subclass has to")


def _trained(parameters: Iterable[nn.Parameter]) -> list[nn.Parameter]:
    """Those that an optimiser changes."""
    return [parameter for parameter in parameters if parameter.requires_grad]

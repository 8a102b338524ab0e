"""Learning to classify: the loop over a network, a risk and a data set."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor, nn

from mixlab.data import Batch, Dataset, Loader
from mixlab.data.stratify import part_of
from mixlab.train.fingerprint import fingerprint
from mixlab.train.loop import loop
from mixlab.train.measure import Measures
from mixlab.train.recipe import Recipe
from mixlab.train.result import Result
from mixlab.train.state import State
from mixlab.train.task import Task, Tools

# The part of an accelerator's memory that images may take: of the rest live the network and its activations.
RESIDENT = 0.25


def fit(
    model: nn.Module,
    risk: nn.Module,
    dataset: Dataset,
    recipe: Recipe,
    *,
    seed: int = 0,
    device: str = "auto",
    precision: str = "32-true",
    processes: int = 1,
    compile: bool = False,
    checkpoint: str | Path | None = None,
    every: int | None = None,
    log: str = "csv",
    progress: bool = False,
) -> Result:
    """Minimise `risk` of `model` on `dataset.train` by the recipe; the model is trained in place.

    It is `loop` over a `Classification`. Order, augmentation, mixing and noise of a step follow from (seed, epoch,
    step, rank) alone, not from what ran before. So a run that was killed continues from its last checkpoint exactly
    where it was: on a CPU and with one thread count it ends with the same bits as an undisturbed run. Runs of one seed
    see the same batches whatever the risk; with the initialisation from `generator(seed, "init")` their seeds pair.

    With several processes each takes its share of one global batch (`recipe.batch_size`) and mixes within that share.
    An incomplete last batch is left out if the processes cannot share it evenly, or if it is not the only one and would
    leave each a single row, which batch normalisation refuses and which has no partner to be mixed with.

    Images stay on the device if those of all splits take at most `RESIDENT` of an accelerator's memory; a larger set
    stays in the host's memory and goes there batch by batch.

    Args:
        model, risk, dataset: see `Classification`.
        recipe: see `Recipe`.
        seed: of everything drawn during training.
        compile: send the network through `torch.compile`; not for a risk that reaches into its layers.
        device, precision, processes, checkpoint, every, log, progress: see `loop`.

    Raises:
        ValueError: as `loop`; also for a data set without training or test images, batches that the processes cannot
            share evenly, or a network whose layers are to be mixed and compiled.
        FloatingPointError: if a loss or a weight is not finite; the last checkpoint is from before.
        OSError: if the disk refuses a checkpoint.

    Example:
        >>> from mixlab.data import load
        >>> from mixlab.risk import EmpiricalRisk
        >>> from mixlab.train import recipes
        >>> model = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
        >>> result = fit(model, EmpiricalRisk(), load("digits"), recipes["demo"], device="cpu")
        >>> result.last["epoch"], result.last["test_error"] < 20
        (3, True)
    """
    return loop(Classification(model, risk, dataset), recipe, seed=seed, device=device, precision=precision,
                processes=processes, compile=compile, checkpoint=checkpoint, every=every, log=log, progress=progress)


class Classification(Task):
    """A network that learns classes by a risk, measured by its error; see `fit`.

    Args:
        model: images (B, C, H, W) float32 to logits (B, classes). On an accelerator its weights are put into
            channels-last order; images come in the usual one.
        risk: `risk(model, batch, step=s, generator=g) -> loss`, see `mixlab.risk.Risk`; its parameters are trained
            too. Frozen parameters, of either, stay as they are.
        dataset: see `mixlab.data.load`. A validation split is measured when the recipe says (`Recipe.measured`), the
            test split at the end.

    Example:
        >>> from mixlab.data import load
        >>> from mixlab.risk import EmpiricalRisk
        >>> model = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
        >>> task = Classification(model, EmpiricalRisk(), load("digits"))
        >>> task.metric, list(task.modules)
        ('test_error', ['model', 'risk'])
    """

    metric = "test_error"

    def __init__(self, model: nn.Module, risk: nn.Module, dataset: Dataset):
        self.modules, self.dataset = {"model": model, "risk": risk}, dataset

    def check(self, recipe: Recipe, *, processes: int, compile: bool) -> None:
        """Refuse sets without images, batches that cannot be shared, and layers that cannot be reached."""
        images = len(self.dataset.train)
        if not images or not len(self.dataset.test):
            raise ValueError(f"expected training and test images, received {images} and {len(self.dataset.test)}")
        _check_batches(part_of(recipe.part, images), recipe.batch_size, processes)
        risk = self.modules["risk"]
        if compile and not getattr(risk, "compilable", True):
            raise ValueError(f"expected compile=False with a {type(risk).__name__}: "
                             "a compiled network hides its layers")

    def fingerprint(self, recipe: Recipe, **options) -> dict:
        """Network, risk, data and recipe, each by itself: an error can say which of them differs."""
        return fingerprint(*self.modules.values(), self.dataset, recipe, **options)

    def ready(self, tools: Tools) -> None:
        """Both modules under one optimiser, and the images where they are kept."""
        model, risk = self.modules.values()
        recipe, home = tools.recipe, _home(self.dataset, tools.device)
        self.tools, self.network, self.objective = tools, tools.network(model), tools.placed(risk)
        self.optimizers = {"optimizer": tools.optimizer([*model.parameters(), *risk.parameters()])}
        self.loader = _loader(tools.fabric, self.dataset, recipe, tools.seed, home)
        self.measures = Measures(tools.fabric, model, self.dataset, recipe, home)
        self.steps, self.keeps_best = len(self.loader), recipe.measured == "epoch"
        self.network.train()

    def batches(self, epoch: int, start: int) -> Iterator[Batch]:
        """The share of this process in each global batch."""
        return self.loader.epoch(epoch, start=start)

    def step(self, batch: Batch, number: int) -> dict[str, Tensor]:
        """Down the gradient of the risk."""
        batch = Batch(*(part.to(self.tools.device) for part in batch))
        loss = self.objective(self.network, batch, step=number, generator=self.tools.draws("mix", number))
        self.tools.descend(loss, "optimizer")
        return {"loss": loss}

    def measure(self, epoch: int) -> dict[str, float]:
        """Errors and losses on validation images, and on others where the recipe says so."""
        return self.measures.epoch(epoch)

    def final(self, state: State) -> tuple[dict, dict | None]:
        """Last and best epoch, each with its test error."""
        return self.measures.final(state)


def _home(dataset: Dataset, device: torch.device) -> torch.device:
    """Where images are kept: on the device if all of them fit there, else in the host's memory."""
    if device.type == "cpu":
        return device
    size = sum(split.images.nbytes for split in (dataset.train, dataset.validation, dataset.test))
    fits = size <= RESIDENT * torch.cuda.get_device_properties(device).total_memory
    return device if fits else torch.device("cpu")


def _loader(fabric, dataset: Dataset, recipe: Recipe, seed: int, home: torch.device) -> Loader:
    """Training batches of this process, made where the images are kept."""
    images, batch_size, world = part_of(recipe.part, len(dataset.train)), recipe.batch_size, fabric.world_size
    tail = images % batch_size
    return Loader(
        dataset.train, batch_size, mean=dataset.mean, std=dataset.std, augment=recipe.augment, part=recipe.part,
        seed=seed, device=home, rank=fabric.global_rank, world=world,
        drop_last=tail % world > 0 or tail == world and images > batch_size,
    )


def _check_batches(images: int, batch_size: int, processes: int) -> None:
    """Refuse global batches that the processes cannot share, and epochs without one that they can."""
    if batch_size % processes:
        raise ValueError(f"expected a batch size that {processes} processes share evenly, received {batch_size}")
    if images < batch_size and images % processes:
        raise ValueError(f"expected {batch_size} training images or more for {processes} processes, received {images}")

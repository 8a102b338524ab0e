"""Searching: weights learn on one half of the training images, the architecture on the other, in turn."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from mixlab.checks import numbers, real
from mixlab.data import Batch, Dataset, Loader
from mixlab.data.stratify import hold_out, part_of
from mixlab.generator import SampleGenerator
from mixlab.mixers.base import check_non_negative
from mixlab.nas.genotype import CELLS, Genotype
from mixlab.nas.operations import OPERATIONS
from mixlab.nas.supernet import SearchNetwork
from mixlab.risk.loss import soft_cross_entropy
from mixlab.rng import generator as stream
from mixlab.train.evaluate import evaluate
from mixlab.train.fingerprint import fingerprint
from mixlab.train.loop import loop
from mixlab.train.recipe import Cosine, Recipe
from mixlab.train.result import Result
from mixlab.train.state import State
from mixlab.train.task import Task, Tools

__all__ = ["ARCHITECTURE", "RECIPES", "ArchitectureSteps", "Found", "SearchTask", "halves", "history", "search"]

_ALL = (
    Recipe(
        name="search-paper", epochs=50, batch_size=256, lr=0.1, schedule=Cosine(), momentum=0.9, nesterov=False,
        weight_decay=3e-4, augment="crop-flip", report="last", clip=5.0,
        source="Xu et al. 2020, section 4.2 and the published code (CIFAR-10); the K-image paper says that it searches "
        "as PC-DARTS does",
    ),
    Recipe(
        name="search-bench", epochs=20, batch_size=50, lr=0.1, schedule=Cosine(), momentum=0.9, nesterov=False,
        weight_decay=3e-4, augment="crop2-flip", report="last", clip=5.0, measured="halves",
        source="this book, for a small supernet on some hundreds of images",
    ),
)
#: What the weights of a supernet are trained by, by name.
RECIPES: dict[str, Recipe] = {recipe.name: recipe for recipe in _ALL}


@dataclass(frozen=True)
class ArchitectureSteps:
    """How α and β are trained: by Adam, from some epoch on.

    Args:
        lr: learning rate, the same from the first step to the last.
        warmup: the part of the epochs at the beginning in which only weights are trained, in [0, 1).
        betas: of Adam.
        weight_decay: added to the gradient.

    Raises:
        ValueError: for a value outside its range.

    Source: Xu et al. (2020), section 4.2: 15 of 50 epochs, Adam at 6e-4 with betas (0.5, 0.999), decay 1e-3.

    Example:
        >>> ArchitectureSteps().first(50), ArchitectureSteps(warmup=0.0).first(50)
        (15, 0)
    """

    lr: float = 6e-4
    warmup: float = 0.3
    betas: tuple[float, float] = (0.5, 0.999)
    weight_decay: float = 1e-3

    def __post_init__(self):
        if not real(self.lr) or not 0 < self.lr < float("inf"):
            raise ValueError(f"expected a positive learning rate of the architecture, received {self.lr!r}")
        if not real(self.warmup) or not 0 <= self.warmup < 1:
            raise ValueError(f"expected a warm-up in [0, 1), a part of the epochs, received {self.warmup!r}")
        betas = numbers(self.betas)
        if betas is None or len(betas) != 2 or not all(0 <= beta < 1 for beta in betas):
            raise ValueError(f"expected two betas in [0, 1), received {self.betas!r}")
        check_non_negative(weight_decay=self.weight_decay)
        object.__setattr__(self, "betas", tuple(betas))

    def first(self, epochs: int) -> int:
        """The first epoch (0 is that of the search) in which the architecture is trained."""
        return part_of(self.warmup, epochs) if self.warmup else 0


#: What α and β are trained by, by the name of the recipe that it belongs to.
ARCHITECTURE = {
    "search-paper": ArchitectureSteps(),
    # Some tens of steps at the paper's rate would leave α and β where they began.
    "search-bench": ArchitectureSteps(lr=1e-2),
}


def halves(labels: Tensor, seed: int, classes: Sequence[str]) -> tuple[Tensor, Tensor]:
    """Divide rows between weights and architecture, class by class, so that both halves have every class.

    The published code cuts its list of images in the middle. That is harmless where the list has no order; a subset
    whose rows are sorted by class would leave half of the classes to either.

    Args:
        labels: (N,) int64, of the rows that were selected: selection comes before this split.
        seed: of the split.
        classes: their names.

    Returns:
        The rows for the weights and those for the architecture, ascending int64; the second has one more of a class
        with an odd number.

    Raises:
        ValueError: for a class with fewer than two rows.

    Example:
        >>> weights, architecture = halves(torch.tensor([0, 0, 0, 0, 1, 1, 1]), 0, ["cat", "dog"])
        >>> [int((part < 4).sum()) for part in (weights, architecture)], len(weights), len(architecture)
        ([2, 2], 3, 4)
    """
    counts = torch.bincount(labels, minlength=len(classes))
    if (counts < 2).any():
        least = int(counts.argmin())
        raise ValueError(f"expected at least two images of each of the {len(classes)} classes, one for the weights and "
                         f"one for the architecture, received {int(counts[least])} of {classes[least]!r}")
    return hold_out(labels, 0.5, stream(seed, "halves"))


class SearchTask(Task):
    r"""A supernet whose architecture and weights take steps in turn, first order: each holds the other for fixed.

    The training images are divided by `halves`. After the warm-up, a step of the architecture on a fresh batch of its
    half comes before each step of the weights on a batch of theirs; neither moves the other's parameters (the running
    statistics of the batch normalisations see both batches). With a generator the architecture's loss is

        CE(net(x), y) + weight · CE(net(q_V(x, μ)), μ)

    while the weights stay with real images.

    What is measured after an epoch: α and β, each number a curve (`history` puts them together), and with a validation
    split "validation_error" and "validation_loss" of the supernet; under a recipe measured in halves those at half-time
    and at the end. They say little about the networks that are found.

    Args:
        network: a `SearchNetwork`.
        dataset: see `mixlab.data.load`; whatever is to be selected has been.
        architecture: see `ArchitectureSteps`.
        generator: q_V, of images that are normalised by the set's moments; nothing of it changes.
        generator_weight: of its term; the paper gives none.

    Raises:
        ValueError: for a network or generator of another kind, or a negative weight.

    Source: Liu et al. (2019), section 2.3, first order; Xu et al. (2020), section 4.2 and its published code; Jeong et
    al., appendix D, for the generator.

    Example:
        >>> from mixlab.data import load
        >>> network = SearchNetwork(10, in_channels=1, layers=2, channels=8, nodes=1)
        >>> task = SearchTask(network, load("digits"))
        >>> task.metric, list(task.modules)
        ('validation_error', ['network'])
    """

    def __init__(self, network: SearchNetwork, dataset: Dataset, architecture: ArchitectureSteps | None = None, *,
                 generator: SampleGenerator | None = None, generator_weight: float = 1.0):
        if not isinstance(network, SearchNetwork):
            raise ValueError(f"expected a mixlab.nas.SearchNetwork, received {type(network).__name__}")
        if not isinstance(generator, (SampleGenerator, type(None))):
            raise ValueError(f"expected a mixlab.generator.SampleGenerator or none, received {generator!r}")
        check_non_negative(generator_weight=generator_weight)
        self.modules, self.dataset, self.generator = {"network": network}, dataset, generator
        self.architecture, self.generator_weight = architecture or ArchitectureSteps(), float(generator_weight)
        self.metric = "validation_error" if len(dataset.validation) else "train_loss"

    def check(self, recipe: Recipe, *, processes: int, compile: bool) -> None:
        """Refuse images that network or generator do not take, classes without images, and batches not to be shared."""
        train, network, classes = self.dataset.train, self.modules["network"], self.dataset.num_classes
        if not len(train):
            raise ValueError("expected training images, received none")
        if train.soft is not None:
            raise ValueError(f"expected images with one class each, received the soft labels of {self.dataset.name}")
        network.check(train.images.shape)
        if network.num_classes != classes:
            raise ValueError(f"expected a supernet of the {classes} classes of {self.dataset.name}, received one of "
                             f"{network.num_classes}")
        if self.generator is not None:
            self.generator.network.check(train.images.shape)
            if self.generator.num_classes != classes:
                raise ValueError(f"expected a generator of the {classes} classes of {self.dataset.name}, received one "
                                 f"of {self.generator.num_classes}")
        least = min(map(len, halves(train.labels, 0, self.dataset.classes)))  # how many does not depend on the seed
        if min(recipe.batch_size, least) % processes:
            raise ValueError(f"expected a batch that {processes} processes share evenly, received "
                             f"{min(recipe.batch_size, least)} images")

    def fingerprint(self, recipe: Recipe, **options) -> dict:
        """Data, network, generator, architecture steps and recipe, each by itself: errors can say which differs."""
        parts = fingerprint(self.modules["network"], self.generator or nn.Identity(), self.dataset, recipe, **options)
        own = {"data": parts.pop("data"), "network": parts.pop("model"), "generator": parts.pop("risk")}
        return own | {"architecture": json.dumps(asdict(self.architecture)),
                      "generator_weight": self.generator_weight} | parts

    def ready(self, tools: Tools) -> None:
        """Two optimisers, and a loader for either half."""
        network, recipe, data = self.modules["network"], tools.recipe, self.dataset
        self.tools, self.network = tools, tools.network(network)
        if self.generator is not None:
            self.generator = tools.placed(self.generator)
        ours = self.architecture
        self.optimizers = {
            "architecture": torch.optim.Adam(network.architecture_parameters(), lr=ours.lr, betas=ours.betas,
                                             weight_decay=ours.weight_decay),
            "weights": tools.optimizer(network.weight_parameters()),
        }
        # The order of the second half is drawn by a stream of its own.
        seeds = tools.seed, stream(tools.seed, "architecture").initial_seed()
        self.loaders = [
            Loader(data.train.subset(rows), recipe.batch_size, mean=data.mean, std=data.std, augment=recipe.augment,
                   # A last batch of a few rows would have batch statistics of its own.
                   drop_last=len(rows) >= recipe.batch_size, seed=seed, device=tools.device, rank=tools.rank,
                   world=tools.world)
            for rows, seed in zip(halves(data.train.labels, tools.seed, data.classes), seeds, strict=True)
        ]
        self.steps = len(self.loaders[0])
        self.first = self.steps * ours.first(recipe.epochs)
        self.network.train()

    def batches(self, epoch: int, start: int) -> Iterator[tuple[Batch, Batch]]:
        """A batch for the weights and one for the architecture, whose half may have a batch more."""
        return zip(*(loader.epoch(epoch, start=start) for loader in self.loaders), strict=False)

    def step(self, batch: tuple[Batch, Batch], number: int) -> dict[str, Tensor]:
        """The architecture's step, after the warm-up; then that of the weights."""
        mine, others = batch
        network, scalars = self.modules["network"], {}
        if number >= self.first:
            with self._resting(network.weight_parameters()):
                scalars["architecture_loss"] = self._architecture_loss(others, number)
                self.tools.descend(scalars["architecture_loss"], "architecture")
        with self._resting(network.architecture_parameters()):
            loss = cross_entropy(self.network(mine.images), mine.labels)
            self.tools.descend(loss, "weights")
        return {"loss": loss, **scalars}

    @contextmanager
    def _resting(self, parameters: list[nn.Parameter]) -> Iterator[None]:
        """No gradients for parameters whose step this is not: a third of a backward pass.

        Where processes share gradients, all have one: whoever waits for the others' would wait for ever.
        """
        resting = [each for each in parameters if each.requires_grad] if self.tools.world == 1 else []
        for each in resting:
            each.requires_grad_(False)
        try:
            yield
        finally:
            for each in resting:
                each.requires_grad_(True)

    def _architecture_loss(self, batch: Batch, number: int) -> Tensor:
        """On real images, and on generated ones where there is a generator."""
        if self.generator is None:
            return cross_entropy(self.network(batch.images), batch.labels)
        made, mu = self.generator.draw(batch.images, batch.labels, generator=self.tools.draws("mu", number))
        # One pass for both: where processes share gradients, a second one would be refused. Batch statistics are then
        # those of real and generated images together.
        logits, of_made = self.network(torch.cat([batch.images, made])).chunk(2)
        return cross_entropy(logits, batch.labels) + self.generator_weight * soft_cross_entropy(of_made, mu)

    def measure(self, epoch: int) -> dict[str, float]:
        """α and β, and what validation images say of the supernet, see above."""
        network, recipe, data = self.modules["network"], self.tools.recipe, self.dataset
        row = {}
        if len(data.validation) and (recipe.measured == "epoch" or epoch in ((recipe.epochs + 1) // 2, recipe.epochs)):
            if self.tools.world > 1:
                for buffer in network.buffers():  # batch statistics are those of the first process
                    torch.distributed.broadcast(buffer, 0)
            found = evaluate(network, data.validation, mean=data.mean, std=data.std)
            row = {"validation_error": found.error, "validation_loss": found.loss}
        return row | _named(network.alpha, network.beta)

    def final(self, state: State) -> tuple[dict, dict | None]:
        """What the curves say of the last epoch, without α and β."""
        last, best = super().final(state)
        return {name: value for name, value in last.items() if not name.startswith(("alpha.", "beta."))}, best


def _named(alpha: Tensor, beta: Tensor) -> dict[str, float]:
    """Every number of α and β by a name of its own."""
    named = {}
    for cell, weights, own in zip(CELLS, alpha.tolist(), beta.tolist(), strict=True):
        for edge, (row, number) in enumerate(zip(weights, own, strict=True)):
            named |= {f"alpha.{cell}.{edge}.{name}": value for name, value in zip(OPERATIONS, row, strict=True)}
            named[f"beta.{cell}.{edge}"] = number
    return named


def history(curves: Mapping[str, Sequence[float]]) -> tuple[Tensor, Tensor]:
    """α and β after every epoch, from the curves of a search.

    Args:
        curves: of a `Result` of a `SearchTask`, or of its record.

    Returns:
        α (epochs, 2, edges, 8) and β (epochs, 2, edges), float32, the numbers as they were.

    Raises:
        ValueError: for the curves of something else.

    Example:
        >>> from mixlab.nas.search import _named
        >>> alpha, beta = torch.rand(2, 2, 8), torch.rand(2, 2)
        >>> found = history({name: [value] for name, value in _named(alpha, beta).items()})
        >>> torch.equal(found[0][0], alpha), torch.equal(found[1][0], beta)
        (True, True)
    """
    edges = sum(name.startswith("beta.normal.") for name in curves)
    if not edges:
        raise ValueError("expected the curves of a search, with alpha and beta, received "
                         f"{', '.join(curves) or 'none'}")
    alpha = [[[curves[f"alpha.{cell}.{edge}.{name}"] for name in OPERATIONS] for edge in range(edges)]
             for cell in CELLS]
    beta = [[curves[f"beta.{cell}.{edge}"] for edge in range(edges)] for cell in CELLS]
    return torch.tensor(alpha).movedim(-1, 0), torch.tensor(beta).movedim(-1, 0)


class Found(NamedTuple):
    """What a search came to.

    Attributes:
        genotype: of the last epoch.
        network: the supernet, on the CPU.
        result: of the loop.

    Example:
        >>> network = SearchNetwork(10, layers=1, channels=8, nodes=1)
        >>> found = Found(network.genotype(), network, Result({}, None, None, {}, [], 0.0, {}))
        >>> found.genotype == found.network.genotype()
        True
    """

    genotype: Genotype
    network: SearchNetwork
    result: Result


def search(
    dataset: Dataset,
    recipe: Recipe = RECIPES["search-bench"],
    *,
    architecture: ArchitectureSteps | None = None,
    layers: int = 8,
    channels: int = 16,
    nodes: int = 4,
    parts: int = 4,
    stem: str = "small",
    form: str = "fused",
    generator: SampleGenerator | None = None,
    generator_weight: float = 1.0,
    seed: int = 0,
    device: str = "auto",
    precision: str = "32-true",
    checkpoint: str | Path | None = None,
    every: int | None = None,
    log: str = "csv",
    progress: bool = False,
) -> Found:
    """Search for cells on the training images of a set: `loop` over a `SearchTask`.

    Args:
        dataset: see `mixlab.data.load`. Whatever is to be selected has been: the split into two halves comes after.
        recipe: of the weights, see `RECIPES`.
        architecture: of α and β; None is what belongs to the recipe by its name (`ARCHITECTURE`), else the paper's.
        layers, channels, nodes, parts, stem, form: of the supernet, see `SearchNetwork`.
        generator: a trained one, of such images, whatever the moments that it was trained with; see `SearchTask`.
        generator_weight: of its term.
        seed: of the initial weights, of the two halves, and of everything drawn during training.
        device, precision, checkpoint, every, log, progress: see `mixlab.train.loop`. A run that is found in the folder
            `checkpoint` is continued.

    Returns:
        See `Found`.

    Raises:
        ValueError: for options outside their values, images or a generator that do not fit, a class with fewer than two
            images, or the folder of another run.
        FloatingPointError: if a loss is not finite.
        OSError: if the disk refuses a checkpoint.

    Source: Xu et al. (2020); Jeong et al., appendix D.

    Example:
        >>> from dataclasses import replace
        >>> from mixlab.data import load
        >>> short = replace(RECIPES["search-bench"], epochs=2)
        >>> found = search(load("digits", limit=100), short, layers=2, channels=8, nodes=1, device="cpu")
        >>> len(found.genotype.normal), history(found.result.curves)[0].shape
        (1, torch.Size([2, 2, 2, 8]))
    """
    network = SearchNetwork(
        dataset.num_classes, dataset.train.images.shape[1], layers=layers, channels=channels, nodes=nodes, parts=parts,
        stem=stem, form=form, generator=stream(seed, "init"),
    )
    if isinstance(generator, SampleGenerator):
        generator = generator.for_images(dataset.mean, dataset.std)
    steps = architecture or ARCHITECTURE.get(recipe.name, ArchitectureSteps())
    task = SearchTask(network, dataset, steps, generator=generator, generator_weight=generator_weight)
    result = loop(task, recipe, seed=seed, device=device, precision=precision, checkpoint=checkpoint, every=every,
                  log=log, progress=progress)
    return Found(network.cpu().genotype(), network, result)

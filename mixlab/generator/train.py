"""Training a generator against a frozen classifier: eq. 11 of the paper, as functions, as a task, and all in one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Generator, Tensor, nn

from mixlab.data import Batch, Dataset, Loader, Split, normalise
from mixlab.generator.law import check_law, divergence, soft_labels
from mixlab.generator.probes import change, divergences, probe
from mixlab.generator.stored import SampleGenerator
from mixlab.generator.unet import ConditionalUNet
from mixlab.mixers.base import check_non_negative
from mixlab.models import Teacher, inference
from mixlab.rng import generator as stream
from mixlab.train.fingerprint import fingerprint
from mixlab.train.loop import loop
from mixlab.train.recipe import Adam, Cosine, MultiStep, Recipe
from mixlab.train.result import Result
from mixlab.train.task import Task, Tools

__all__ = ["MEASURED", "RECIPES", "GeneratorTask", "generator_loss", "step", "train_generator"]

#: Rows that a generator is measured on, at most: a small set has more held-out rows than rows to train on.
MEASURED = 1000

_ALL = (
    Recipe(
        name="generator-paper", epochs=600, batch_size=64, lr=1e-4, schedule=MultiStep((450, 540)), momentum=0.0,
        nesterov=False, weight_decay=5e-4, augment="none", report="last", optimizer=Adam((0.9, 0.999)),
        source="Jeong et al., appendix A; their momentum of .9 is Adam's first beta, and augmentation is not mentioned",
    ),
    Recipe(
        name="generator-bench", epochs=130, batch_size=50, lr=1e-2, schedule=Cosine(), momentum=0.0, nesterov=False,
        weight_decay=0.0, augment="crop2-flip", report="last", measured="halves", optimizer=Adam((0.9, 0.999)),
        source="this book, for a small generator on 500 images: at the paper's rate it hardly moves in as many steps",
    ),
)
#: What generators are trained by, by name.
RECIPES: dict[str, Recipe] = {recipe.name: recipe for recipe in _ALL}


def generator_loss(network: nn.Module, classifier: nn.Module, images: Tensor, mu: Tensor, *,
                   penalty: float = 0.0) -> Tensor:
    r"""What a generator minimises: how far the classifier's answer to its images is from the labels it was given.

        L(V) = KL(μ ‖ W'(q_V(x, μ))) + penalty · mean (x̃ - x)²

    The paper's loss is the cross-entropy, which is the first term plus H(μ), a constant: the gradient is the same, and
    this value is 0 where nothing is left to learn. The paper has no second term. So nothing asks the image to stay what
    it is, except that the classifier has to find the image's class in it again.

    Args:
        network: maps images (B, C, H, W) and soft labels (B, classes) to images, q_V; learns.
        classifier: maps images to logits, W'; frozen (a `mixlab.models.Teacher`).
        images: (B, C, H, W), normalised.
        mu: (B, classes), rows on the simplex.
        penalty: weight of the mean squared change of a pixel.

    Returns:
        A scalar: the mean over the rows, in nats where there is no penalty.

    Raises:
        ValueError: for sizes that do not fit.

    Source: Jeong et al., eq. 11.

    Example:
        >>> classifier = nn.Sequential(nn.Flatten(), nn.Linear(4, 2))
        >>> _ = [nn.init.zeros_(each) for each in classifier.parameters()]
        >>> mu = torch.tensor([[1.0, 0.0], [0.5, 0.5]])
        >>> loss = generator_loss(lambda images, mu: images + 1, classifier, torch.zeros(2, 1, 2, 2), mu, penalty=0.5)
        >>> round(loss.item(), 4)  # (log 2 + 0) / 2 + ½
        0.8466
    """
    made = network(images, mu)
    loss = divergence(mu, classifier(made)).mean()
    return loss + penalty * (made - images).square().mean() if penalty else loss


def step(network: nn.Module, classifier: nn.Module, images: Tensor, labels: Tensor, *, num_classes: int,
         epsilon: float = 0.5, background: str = "uniform", penalty: float = 0.0,
         generator: Generator | None = None) -> Tensor:
    """The loss on a batch, with fresh soft labels by the law: see `soft_labels` and `generator_loss`.

    Example:
        >>> classifier = nn.Sequential(nn.Flatten(), nn.Linear(4, 3))
        >>> g = torch.Generator().manual_seed(0)
        >>> step(lambda images, mu: images, classifier, torch.zeros(2, 1, 2, 2), torch.tensor([0, 2]), num_classes=3,
        ...      generator=g).shape
        torch.Size([])
    """
    mu = soft_labels(labels, num_classes, epsilon, background=background, generator=generator)
    return generator_loss(network, classifier, images, mu, penalty=penalty)


class GeneratorTask(Task):
    """A generator that learns against a frozen classifier, measured by its divergence on held-out images.

    What is measured after an epoch: "kl" and "kl_class" (see `mixlab.generator.probes.divergences`), "moved" and "norm"
    (`change`), of the network in evaluation mode on validation images, or on clean training images where there are
    none, at most `MEASURED`; the same images and soft labels every time. Under a recipe measured in halves that is done
    at half-time and at the end.

    Args:
        network: learns.
        classifier: W'; takes images that are normalised by the set's moments. Nothing of it changes.
        dataset: see `mixlab.data.load`.
        epsilon, background: the law of the soft labels, see `soft_labels`; they are drawn anew at each step.
        penalty: see `generator_loss`.

    Raises:
        ValueError: for a classifier that is no `Teacher`, or a law or penalty outside its values.

    Example:
        >>> from mixlab.data import load
        >>> classifier = Teacher(nn.Sequential(nn.Flatten(), nn.Linear(64, 10)))
        >>> network = ConditionalUNet(10, in_channels=1, base=2, downs=2, output="free")
        >>> task = GeneratorTask(network, classifier, load("digits"))
        >>> task.metric, list(task.modules)
        ('kl', ['generator'])
    """

    metric = "kl"

    def __init__(self, network: ConditionalUNet, classifier: Teacher, dataset: Dataset, *, epsilon: float = 0.5,
                 background: str = "uniform", penalty: float = 0.0):
        if not isinstance(classifier, Teacher):
            raise ValueError(f"expected a mixlab.models.Teacher as the classifier, received {classifier!r}")
        check_law(dataset.num_classes, epsilon, background)
        check_non_negative(penalty=penalty)
        self.modules, self.classifier, self.dataset = {"generator": network}, classifier, dataset
        self.law = {"num_classes": dataset.num_classes, "epsilon": float(epsilon), "background": background}
        self.penalty = float(penalty)

    def check(self, recipe: Recipe, *, processes: int, compile: bool) -> None:
        """Refuse images that the network or the classifier does not take, and batches that cannot be shared."""
        train, network = self.dataset.train, self.modules["generator"]
        if not len(train):
            raise ValueError("expected training images, received none")
        if train.soft is not None:
            raise ValueError(f"expected images with one class each, received the soft labels of {self.dataset.name}")
        batch = min(recipe.batch_size, len(train))
        if batch % processes:
            raise ValueError(f"expected a batch that {processes} processes share evenly, received {batch} images")
        network.check(train.images.shape)
        try:
            found = self.classifier(normalise(train.images[:1], self.dataset.mean, self.dataset.std)).shape[1]
        except RuntimeError as error:
            reason = str(error).partition("\n")[0]
            raise ValueError(f"expected a classifier of images of shape {tuple(train.images.shape[1:])}, received "
                             f"another: {reason}") from error
        if not found == network.num_classes == self.dataset.num_classes:
            raise ValueError(f"expected a classifier and a generator of the {self.dataset.num_classes} classes of "
                             f"{self.dataset.name}, received one of {found} and one of {network.num_classes}")

    def fingerprint(self, recipe: Recipe, **options) -> dict:
        """Generator, classifier, law, data and recipe, each by itself: an error can say which of them differs."""
        parts = fingerprint(self.modules["generator"], self.classifier, self.dataset, recipe, **options)
        # The data first: moments are part of the generator, too.
        own = {"data": parts.pop("data"), "generator": parts.pop("model"), "classifier": parts.pop("risk")}
        return own | {**self.law, "penalty": self.penalty} | parts

    def ready(self, tools: Tools) -> None:
        """The network under the recipe's optimiser, the images on the device."""
        data, recipe = self.dataset, tools.recipe
        self.tools, self.network = tools, tools.network(self.modules["generator"])
        self.classifier = tools.placed(self.classifier)
        self.optimizers = {"optimizer": tools.optimizer(self.modules["generator"].parameters())}
        self.loader = Loader(
            data.train, recipe.batch_size, mean=data.mean, std=data.std, augment=recipe.augment, part=recipe.part,
            # A last batch of a few rows would have batch statistics of its own.
            drop_last=len(data.train) >= recipe.batch_size, seed=tools.seed, device=tools.device, rank=tools.rank,
            world=tools.world,
        )
        self.steps = len(self.loader)
        self.network.train()

    def batches(self, epoch: int, start: int) -> Iterator[Batch]:
        """The share of this process in each global batch."""
        return self.loader.epoch(epoch, start=start)

    def step(self, batch: Batch, number: int) -> dict[str, Tensor]:
        """Down the gradient of `generator_loss`, with soft labels of this step."""
        loss = step(self.network, self.classifier, batch.images, batch.labels, **self.law, penalty=self.penalty,
                    generator=self.tools.draws("mu", number))
        self.tools.descend(loss, "optimizer")
        return {"loss": loss}

    def measure(self, epoch: int) -> dict[str, float]:
        """Divergence and change, see above."""
        recipe, network = self.tools.recipe, self.modules["generator"]
        if recipe.measured == "halves" and epoch not in ((recipe.epochs + 1) // 2, recipe.epochs):
            return {}
        if self.tools.world > 1:
            for buffer in network.buffers():  # batch statistics are those of the first process, as in a checkpoint
                torch.distributed.broadcast(buffer, 0)
        images, labels = measured_rows(self.dataset)
        draws = stream("measure", "mu")
        mu = soft_labels(labels, generator=draws, **self.law)
        with inference(network):
            made, logits = [], []
            for part, asked in zip(images.split(500), mu.split(500), strict=True):
                made.append(network(part.to(self.tools.device), asked.to(self.tools.device)))
                logits.append(self.classifier(made[-1]).cpu())
        found = divergences(mu, torch.cat(logits), labels, generator=draws)
        return {name: found[name] for name in ("kl", "kl_class")} | change(images, torch.cat(made).cpu())


def measured_rows(dataset: Dataset) -> tuple[Tensor, Tensor]:
    """Images (N, C, H, W), normalised, and labels (N,) that a generator for a set is measured on, `MEASURED` at most.

    Example:
        >>> from mixlab.data import load
        >>> images, labels = measured_rows(load("digits"))
        >>> images.shape, labels.shape  # its validation split
        (torch.Size([145, 1, 8, 8]), torch.Size([145]))
    """
    split: Split = dataset.validation if len(dataset.validation) else dataset.train
    if len(split) > MEASURED:
        split = split.subset(torch.randperm(len(split), generator=stream("measure", "rows"))[:MEASURED])
    return normalise(split.images, dataset.mean, dataset.std), split.labels


def train_generator(
    classifier: Teacher,
    dataset: Dataset,
    recipe: Recipe = RECIPES["generator-bench"],
    *,
    base: int = 32,
    downs: int = 3,
    skips: bool = True,
    output: str = "bounded",
    reach: float = 1.0,
    epsilon: float = 0.5,
    background: str = "uniform",
    penalty: float = 0.0,
    seed: int = 0,
    device: str = "auto",
    checkpoint: str | Path | None = None,
    every: int | None = None,
    log: str = "csv",
    progress: bool = False,
) -> tuple[SampleGenerator, Result]:
    """Train a generator for a set against a frozen classifier, and freeze it: `loop` over a `GeneratorTask`.

    Args:
        classifier: W', of such images, whatever the moments that it was trained with. The paper does not say which
            network it is, nor on what it was trained; if it saw more than a subset, the generator did.
        dataset: see `mixlab.data.load`. Its training images are what the generator learns on.
        recipe: see `RECIPES`.
        base, downs, skips, output, reach: of the network, see `ConditionalUNet`.
        epsilon, background: the law of the soft labels, see `soft_labels`.
        penalty: see `generator_loss`.
        seed: of the initial weights and of everything drawn during training.
        device, checkpoint, every, log, progress: see `mixlab.train.loop`. A run that is found in the folder
            `checkpoint` is continued.

    Returns:
        The generator, on the CPU, for images of the set's moments, and the loop's result. The generator's `about` has
        what it was trained on and for how long, with the time in seconds, the steps and the images seen (all of it is
        part of what it costs), and what `probe` says of it on the rows that it was measured on.

    Raises:
        ValueError: for options outside their values, images or a classifier that do not fit, or the folder of another
            run.
        FloatingPointError: if the loss is not finite.
        OSError: if the disk refuses a checkpoint.

    Source: Jeong et al., eq. 11 and appendix A.

    Example:
        >>> from dataclasses import replace
        >>> from mixlab.data import load
        >>> classifier = Teacher(nn.Sequential(nn.Flatten(), nn.Linear(64, 10)))
        >>> short = replace(RECIPES["generator-bench"], epochs=1)
        >>> made, result = train_generator(classifier, load("digits", limit=100), short, base=2, downs=2, device="cpu")
        >>> made.about["steps"], made.about["images"], made.about["kl"] == result.last["kl"]
        (2, 100, True)
    """
    asked = classifier.for_images(dataset.mean, dataset.std) if isinstance(classifier, Teacher) else classifier
    network = ConditionalUNet(
        dataset.num_classes, in_channels=dataset.train.images.shape[1], base=base, downs=downs, skips=skips,
        output=output, mean=dataset.mean, std=dataset.std, reach=reach, generator=stream(seed, "init"),
    )
    task = GeneratorTask(network, asked, dataset, epsilon=epsilon, background=background, penalty=penalty)
    result = loop(task, recipe, seed=seed, device=device, checkpoint=checkpoint, every=every, log=log,
                  progress=progress)
    steps, about = len(result.losses), recipe.as_dict()
    about = {name: about[name] for name in ("epochs", "batch_size", "lr", "weight_decay", "augment")} | {
        "recipe": recipe.name, "data": dataset.name, "rows": len(dataset.train), "penalty": float(penalty),
        "seed": int(seed), "steps": steps, "images": steps * min(recipe.batch_size, len(dataset.train)),
        "seconds": result.seconds,
    }
    made = SampleGenerator(network.cpu(), epsilon=epsilon, background=background, classifier=classifier.checksum)
    found = probe(made, asked.cpu(), *measured_rows(dataset), **task.law, generator=stream("measure", "probe"))
    made.about = about | found | result.last
    return made, result

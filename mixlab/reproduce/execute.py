"""From a run as plain data to its record."""

from __future__ import annotations

import importlib
from dataclasses import replace
from pathlib import Path

from torch import nn

from mixlab.data import Dataset, corrupt_labels, load
from mixlab.reproduce.plan import MEASURES, Run
from mixlab.risk import build_risk
from mixlab.rng import generator
from mixlab.train import Recipe, Result, fit
from mixlab.train.recipes import by_name


def dataset_of(run: Run) -> Dataset:
    """The data of a run. Only training labels are corrupted; validation and test stay as they are."""
    data = load(run.data, validation=run.validation, seed=run.seed, limit=run.limit)
    if run.corrupt == 0:
        return data
    draws = generator(run.seed, "corrupt")
    labels, _ = corrupt_labels(data.train.labels, run.corrupt, len(data.classes), draws)
    return replace(data, train=replace(data.train, labels=labels))


def model_of(run: Run, data: Dataset) -> nn.Module:
    """The untrained network of a run; its weights depend on the seed and on nothing else that is drawn."""
    from mixlab.models import build

    return build(run.model, num_classes=len(data.classes), in_channels=data.train.images.shape[1], width=run.width,
                 generator=generator(run.seed, "init"), **run.options)


def recipe_of(run: Run) -> Recipe:
    """The recipe of a run, stretched to its length."""
    recipe = by_name(run.recipe)
    return recipe if run.epochs is None else recipe.over(run.epochs)


def summary(run: Run) -> str:
    """What a run trains, on what and how, in a few lines for a reader. Its risk and its seed are left out.

    Example:
        >>> run = Run("a", "A", data="shapes", model="lenet", risk={"name": "empirical"}, recipe="demo", seed=0,
        ...           epochs=5)
        >>> print(summary(run))
        shapes: 10 % of its training set for validation, all others for training
        lenet, 5 epochs, batches of 64, augmentation none
        SGD, lr 0.1 (cosine), momentum 0.9 (Nesterov), weight decay 0.0005
    """
    recipe = recipe_of(run)
    images = "all others" if run.limit is None else f"{run.limit} others"
    width = "" if run.width is None else f" of width {run.width}"
    momentum = f"momentum {recipe.momentum:g}" + " (Nesterov)" * recipe.nesterov
    schedule = type(recipe.schedule).__name__.lower()
    return (
        f"{run.data}: {100 * run.validation:g} % of its training set for validation, {images} for training\n"
        f"{run.model}{width}, {recipe.epochs} epochs, batches of {recipe.batch_size}, augmentation {recipe.augment}\n"
        f"SGD, lr {recipe.lr:g} ({schedule}), {momentum}, weight decay {recipe.weight_decay:g}"
    )


def train(run: Run, folder: str | Path | None = None, **options) -> tuple[nn.Module, Dataset, Result]:
    """Build what a run names and fit it.

    Args:
        run: what to do.
        folder: where checkpoints and curves go; a run found there is continued.
        options: passed on to `fit`.

    Returns:
        The trained network, the data and the result.

    Raises:
        ValueError, OSError: if a name is unknown, an option wrong, or the data are not there; before any training.
    """
    recipe, data = recipe_of(run), dataset_of(run)
    model = model_of(run, data)
    risk = build_risk(run.risk, model=model, classes=data.num_classes, generator=generator(run.seed, "risk"))
    result = fit(model, risk, data, recipe, seed=run.seed, device=run.device, precision=run.precision,
                 compile=run.compile, checkpoint=folder, **options)
    return model, data, result


def execute(run: Run, experiment: str, budget: str, folder: str | Path | None = None, **options) -> dict:
    """Train a run and give its record.

    Args:
        run, folder, options: see `train`.
        experiment, budget: what the record says of where the run belongs.

    Raises:
        ValueError, OSError: as `train`; also if `run.measure` names no function.

    Example:
        >>> run = Run("a", "ERM", data="shapes", model="lenet", risk={"name": "empirical"}, recipe="demo", seed=0,
        ...           epochs=1, limit=64, device="cpu")
        >>> record = execute(run, "mine", "cpu")
        >>> record["what"]["row"], record["result"]["last"]["epoch"], len(record["result"]["curves"]["train_loss"])
        ('ERM', 1, 1)
    """
    # Found first: a misspelt measure costs no training, and what measures is the code that was there at the start.
    measure = None if run.measure is None else measure_of(run)
    model, data, result = train(run, folder, **options)
    measures = {} if measure is None else measure(model, data, run)
    return result.record(experiment=experiment, row=run.row, budget=budget, seed=run.seed, config=run.as_dict(),
                         measures=measures)


def measure_of(run: Run):
    """The function that `run.measure` names.

    Raises:
        ValueError: if there is none of that name.
    """
    module, _, name = MEASURES.get(run.measure, run.measure).partition(":")
    try:
        measure = getattr(importlib.import_module(module), name)
        if not callable(measure):
            raise TypeError(f"it is {type(measure).__name__}")
    except (ImportError, AttributeError, ValueError, TypeError) as error:
        raise ValueError(
            f"expected a measure as 'package.module:function', received {run.measure!r}: {error}"
        ) from error
    return measure

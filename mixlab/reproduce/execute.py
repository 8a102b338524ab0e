"""From a run as plain data to its record."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from torch import nn

from mixlab.data import Dataset, corrupt_labels, load
from mixlab.reproduce.plan import CHOICES, MEASURES, PREPARATIONS, Run
from mixlab.risk import build_risk
from mixlab.rng import generator
from mixlab.selection import apply_subset
from mixlab.train import Recipe, Result, fit
from mixlab.train.recipes import by_name


def dataset_of(run: Run) -> Dataset:
    """The data of a run; a choice that is made when it is carried out is still to come.

    Only training labels are corrupted; validation and test stay as they are.
    """
    seed = run.seed if run.split is None else run.split
    data = load(run.data, validation=run.validation, seed=seed, limit=run.limit)
    if run.corrupt:
        labels, _ = corrupt_labels(data.train.labels, run.corrupt, len(data.classes), generator(seed, "corrupt"))
        data = replace(data, train=replace(data.train, labels=labels, soft=None))
    if run.subset and "file" in run.subset:
        data = apply_subset(data, run.subset["file"], run.subset.get("checksum"))
    return data


def model_of(run: Run, data: Dataset) -> nn.Module:
    """The untrained network of a run; its weights depend on the seed and on nothing else that is drawn."""
    from mixlab.models import build

    if "genotype" in run.options:
        return _of_cells(run, data)
    if run.model == "tabular":
        from mixlab.nas import TabularNetwork

        return TabularNetwork(num_classes=len(data.classes), in_channels=data.train.images.shape[1],
                              generator=generator(run.seed, "init"), **run.options)
    return build(run.model, num_classes=len(data.classes), in_channels=data.train.images.shape[1], width=run.width,
                 generator=generator(run.seed, "init"), **run.options)


def _of_cells(run: Run, data: Dataset) -> nn.Module:
    """The network of a genotype that the run has in its options; its width is C."""
    from mixlab.nas import CellNetwork, Genotype

    sizes = {name: value for name, value in run.options.items() if name != "genotype"}
    sizes |= {} if run.width is None else {"channels": run.width}
    return CellNetwork(Genotype.from_dict(run.options["genotype"]), len(data.classes), data.train.images.shape[1],
                       generator=generator(run.seed, "init"), **sizes)


def recipe_of(run: Run) -> Recipe:
    """The recipe of a run, with what the run has of its own, stretched to its length."""
    recipe = by_name(run.recipe)
    recipe = recipe if run.part == 1 else replace(recipe, part=run.part)
    own = {name: getattr(run, name) for name in ("lr", "batch_size") if getattr(run, name) is not None}
    recipe = replace(recipe, **own)
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
    chosen = "" if run.subset is None else f", of which {run.subset.get('file') or run.subset['choice']} takes some"
    redrawn = "" if run.part == 1 else f", {100 * run.part:g} % of them each epoch"
    width = "" if run.width is None else f" of width {run.width}"
    momentum = f"momentum {recipe.momentum:g}" + " (Nesterov)" * recipe.nesterov
    schedule = type(recipe.schedule).__name__.lower()
    return (
        f"{run.data}: {100 * run.validation:g} % of its training set for validation, {images} for training"
        f"{chosen}{redrawn}\n"
        f"{run.model}{width}, {recipe.epochs} epochs, batches of {recipe.batch_size}, augmentation {recipe.augment}\n"
        f"SGD, lr {recipe.lr:g} ({schedule}), {momentum}, weight decay {recipe.weight_decay:g}"
    )


def train(run: Run, folder: str | Path | None = None, **options) -> tuple[nn.Module, Dataset, Result]:
    """Build what a run names and fit it.

    Args:
        run: what to do; one that needs nothing to be prepared or chosen.
        folder: where checkpoints and curves go; a run found there is continued.
        options: passed on to `fit`.

    Returns:
        The trained network, the data and the result.

    Raises:
        ValueError, OSError: if a name is unknown, an option wrong, or the data are not there; before any training.
    """
    model, data, result, _ = _train(run, folder, None, options)
    return model, data, result


def execute(run: Run, experiment: str, budget: str, folder: str | Path | None = None,
            shared: str | Path | None = None, **options) -> dict:
    """Train a run and give its record.

    Args:
        run: what to do.
        experiment, budget: what the record says of where the run belongs.
        folder, options: see `train`.
        shared: where runs of the experiment keep what they prepare for each other; see `Run.prepare`.

    Raises:
        ValueError, OSError: as `train`; also if `run.measure`, `run.prepare` or the choice of `run.subset` names no
            function, or there is something to prepare or to choose and no folder for it.

    Example:
        >>> run = Run("a", "ERM", data="shapes", model="lenet", risk={"name": "empirical"}, recipe="demo", seed=0,
        ...           epochs=1, limit=64, device="cpu")
        >>> record = execute(run, "mine", "cpu")
        >>> record["what"]["row"], record["result"]["last"]["epoch"], len(record["result"]["curves"]["train_loss"])
        ('ERM', 1, 1)
    """
    # Found first: a misspelt measure costs no training, and what measures is the code that was there at the start.
    measure = None if run.measure is None else measure_of(run)
    model, data, result, measures = _train(run, folder, shared, options)
    measures |= {} if measure is None else measure(model, data, run)
    return result.record(experiment=experiment, row=run.row, budget=budget, seed=run.seed, config=run.as_dict(),
                         measures=measures)


def _train(
    run: Run, folder: str | Path | None, shared: str | Path | None, options: dict
) -> tuple[nn.Module, Dataset, Result, dict]:
    """What `train` gives, and what there is to say of what was prepared."""
    prepare = None if run.prepare is None else preparation_of(run)
    if prepare and shared is None:
        raise ValueError(f"expected a folder for what {run.prepare} prepares, received none")
    choose = None if run.subset is None or "file" in run.subset else choice_of(run)
    if choose and shared is None:
        raise ValueError(f"expected a folder for what {run.subset['choice']} chooses by, received none")
    recipe, data = recipe_of(run), dataset_of(run)
    said = {}
    if choose:
        rows, said = choose(run, data, Path(shared))
        data = data.subset(rows)
    model = model_of(run, data)
    spec, measures = prepare(run, data, Path(shared)) if prepare else (run.risk, {})
    risk = build_risk(spec, model=model, classes=data.num_classes, generator=generator(run.seed, "risk"), data=data)
    result = fit(model, risk, data, recipe, seed=run.seed, device=run.device, precision=run.precision,
                 compile=run.compile, checkpoint=folder, **options)
    return model, data, result, {**said, **measures}


def measure_of(run: Run) -> Callable:
    """The function that `run.measure` names.

    Raises:
        ValueError: if there is none of that name.
    """
    return _named("measure", run.measure, MEASURES)


def preparation_of(run: Run) -> Callable:
    """The function that `run.prepare` names.

    Raises:
        ValueError: if there is none of that name.
    """
    return _named("preparation", run.prepare, PREPARATIONS)


def choice_of(run: Run) -> Callable:
    """The function that `run.subset` names.

    Raises:
        ValueError: if there is none of that name.
    """
    return _named("choice", run.subset.get("choice", ""), CHOICES)


def _named(what: str, name: str, known: Mapping[str, str]) -> Callable:
    """The function of a name that is known, or of "package.module:function"."""
    module, _, inside = known.get(name, name).partition(":")
    try:
        found = getattr(importlib.import_module(module), inside)
        if not callable(found):
            raise TypeError(f"it is {type(found).__name__}")
    except (ImportError, AttributeError, ValueError, TypeError) as error:
        raise ValueError(f"expected a {what} as 'package.module:function', received {name!r}: {error}") from error
    return found

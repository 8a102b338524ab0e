"""What is measured during a run: a row of the curves after each epoch, last and best epoch at the end."""

from __future__ import annotations

import math

import torch

from mixlab.data import Dataset, Split
from mixlab.train.evaluate import Metrics, metrics, predict, totals
from mixlab.train.recipe import Recipe
from mixlab.train.state import State, clone


def epoch_row(fabric, model, dataset: Dataset, recipe: Recipe, state: State, steps: int) -> dict:
    """What the curves say about the epoch that has just ended."""
    row = {
        "epoch": state.epoch + 1,
        "lr": recipe.learning_rate(state.epoch),
        "train_loss": math.fsum(state.losses[-steps:]) / steps,
    }
    if len(dataset.validation):
        row |= _measured("validation", _evaluate(fabric, model, dataset, dataset.validation, recipe))
    if recipe.report == "best":
        row |= _measured("test", _evaluate(fabric, model, dataset, dataset.test, recipe))
    return row


def final(fabric, model, dataset: Dataset, recipe: Recipe, state: State) -> tuple[dict, dict | None]:
    """Last and best epoch, each with its test error; the weights are those of the last epoch afterwards."""
    last = {name: values[-1] for name, values in state.curves.items()
            if name == "epoch" or name.startswith("validation")}
    last |= _measured("test", _evaluate(fabric, model, dataset, dataset.test, recipe))
    if state.best is None:
        return last, None
    if state.best["epoch"] == last["epoch"]:
        return last, dict(last)
    weights = clone(model)
    model.load_state_dict(state.best_weights)
    best = state.best | _measured("test", _evaluate(fabric, model, dataset, dataset.test, recipe))
    model.load_state_dict(weights)
    return last, best


def _measured(split: str, values: Metrics) -> dict:
    return {f"{split}_error": values.error, f"{split}_loss": values.loss}


def _evaluate(fabric, model, dataset: Dataset, split: Split, recipe: Recipe) -> Metrics:
    """Metrics over all processes, each of which takes a share of the rows.

    The network is called without its distributed wrapper, which would have every process make as many calls.
    """
    if fabric.world_size > 1:
        for buffer in model.buffers():  # batch statistics are those of the first process, as in a checkpoint
            torch.distributed.broadcast(buffer, 0)
    share = split.subset(torch.arange(fabric.global_rank, len(split), fabric.world_size))
    with fabric.autocast():
        logits = predict(model, share, mean=dataset.mean, std=dataset.std, batch_size=recipe.batch_size)
    return metrics(fabric.all_reduce(totals(logits, share.labels), reduce_op="sum"))

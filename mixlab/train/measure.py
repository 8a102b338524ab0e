"""What is measured during a run: a row of the curves after each epoch, last and best epoch at the end."""

from __future__ import annotations

import math

import torch
from torch import nn

from mixlab.data import Dataset, Split
from mixlab.train.evaluate import metrics, predict, totals
from mixlab.train.recipe import Recipe
from mixlab.train.state import State, clone


class Measures:
    """Errors and losses of a network on the validation and test images, over all processes.

    Each process keeps its share of the rows for the whole run.

    Args:
        fabric: the launched Fabric.
        model: the network without its distributed wrapper, which would have every process make as many calls.
        dataset: see `mixlab.data.Dataset`.
        recipe: tells the batch size, and whether the test split is measured after every epoch.
        home: the device on which images are kept.
    """

    def __init__(self, fabric, model: nn.Module, dataset: Dataset, recipe: Recipe, home: torch.device):
        self.fabric, self.model, self.dataset, self.recipe = fabric, model, dataset, recipe
        self.validation, self.test = (self._share(split, home) for split in (dataset.validation, dataset.test))

    def epoch(self, state: State, steps: int) -> dict:
        """What the curves say about the epoch of `steps` steps that has just ended."""
        row = {
            "epoch": state.epoch + 1,
            "lr": self.recipe.learning_rate(state.epoch),
            "train_loss": math.fsum(state.losses[-steps:]) / steps,
        }
        if len(self.dataset.validation):
            row |= self._measure("validation")
        if self.recipe.report == "best":
            row |= self._measure("test")
        return row

    def final(self, state: State) -> tuple[dict, dict | None]:
        """Last and best epoch, each with its test error; the weights are those of the last epoch afterwards."""
        last = {name: values[-1] for name, values in state.curves.items()
                if name == "epoch" or name.startswith("validation")}
        last |= self._measure("test")
        if state.best is None:
            return last, None
        if state.best["epoch"] == last["epoch"]:
            return last, dict(last)
        weights = clone(self.model)
        self.model.load_state_dict(state.best_weights)
        best = state.best | self._measure("test")
        self.model.load_state_dict(weights)
        return last, best

    def _share(self, split: Split, home: torch.device) -> Split:
        """The rows of this process."""
        if self.fabric.world_size > 1:
            split = split.subset(torch.arange(self.fabric.global_rank, len(split), self.fabric.world_size))
        return Split(split.images.to(home), split.labels.to(home))

    def _measure(self, name: str) -> dict:
        if self.fabric.world_size > 1:
            for buffer in self.model.buffers():  # batch statistics are those of the first process, as in a checkpoint
                torch.distributed.broadcast(buffer, 0)
        share, data = getattr(self, name), self.dataset
        with self.fabric.autocast():
            logits = predict(self.model, share, mean=data.mean, std=data.std, batch_size=self.recipe.batch_size)
        values = metrics(self.fabric.all_reduce(totals(logits, share.labels), reduce_op="sum"))
        return {f"{name}_error": values.error, f"{name}_loss": values.loss}

"""What is measured while a network learns to classify: after epochs, and of the last and best epoch at the end."""

from __future__ import annotations

import torch
from torch import nn

from mixlab.data import Dataset, Split
from mixlab.train.evaluate import metrics, predict, totals
from mixlab.train.recipe import Recipe
from mixlab.train.state import State, clone


class Measures:
    """Errors and losses of a network on images that it is not trained on, or on clean training images.

    All processes take part.

    Each process keeps its share of the rows for the whole run.

    Args:
        fabric: the launched Fabric.
        model: the network without its distributed wrapper, which would have every process make as many calls.
        dataset: see `mixlab.data.Dataset`.
        recipe: tells the batch size, when to measure, and whether the test split is measured after every epoch.
        home: the device on which images are kept.
    """

    def __init__(self, fabric, model: nn.Module, dataset: Dataset, recipe: Recipe, home: torch.device):
        self.fabric, self.model, self.dataset, self.recipe = fabric, model, dataset, recipe
        self.validation, self.test = (self._share(split, home) for split in (dataset.validation, dataset.test))
        self.train = self._share(dataset.train, home) if recipe.measured == "halves" else None

    def epoch(self, epoch: int) -> dict:
        """What is measured after `epoch` epochs, by name."""
        row, halves = {}, self.recipe.measured == "halves"
        if halves and epoch not in (_half(self.recipe.epochs), self.recipe.epochs):
            return row
        if len(self.dataset.validation):
            row |= self._measure("validation", "error", "loss")
        if halves:
            row |= self._measure("train", "error")
        if self.recipe.report == "best":
            row |= self._measure("test", "error", "loss")
        return row

    def final(self, state: State) -> tuple[dict, dict | None]:
        """Last and best epoch, each with its test error; the weights are those of the last epoch afterwards."""
        last = {name: values[-1] for name, values in state.curves.items()
                if name == "epoch" or name.startswith("validation")}
        last |= self._measure("test", "error", "loss", "ece")
        if self.recipe.measured == "halves":
            errors = state.curves["train_error"]
            last |= {"train_error": errors[-1], "half_time_train_error": errors[_half(self.recipe.epochs) - 1]}
        if state.best is None:
            return last, None
        if state.best["epoch"] == last["epoch"]:
            return last, dict(last)
        weights = clone(self.model)
        self.model.load_state_dict(state.best_weights)
        best = state.best | self._measure("test", "error", "loss", "ece")
        self.model.load_state_dict(weights)
        return last, best

    def _share(self, split: Split, home: torch.device) -> Split:
        """The rows of this process."""
        if self.fabric.world_size > 1:
            split = split.subset(torch.arange(len(split))[self.fabric.global_rank :: self.fabric.world_size])
        return Split(split.images.to(home), split.labels.to(home))

    def _measure(self, name: str, *wanted: str) -> dict:
        if self.fabric.world_size > 1:
            for buffer in self.model.buffers():  # batch statistics are those of the first process, as in a checkpoint
                torch.distributed.broadcast(buffer, 0)
        share, data = getattr(self, name), self.dataset
        with self.fabric.autocast():
            logits = predict(self.model, share, mean=data.mean, std=data.std, batch_size=self.recipe.batch_size)
        values = metrics(self.fabric.all_reduce(totals(logits, share.labels), reduce_op="sum"))
        return {f"{name}_{each}": getattr(values, each) for each in wanted}


def _half(epochs: int) -> int:
    """The epoch after which half of the run is done."""
    return (epochs + 1) // 2

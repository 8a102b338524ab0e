"""Training all networks of the small table, as a measure of a run: the truth, and the proxies."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import nn

from mixlab.data import Dataset
from mixlab.nas import TabularNetwork, cells
from mixlab.reproduce.execute import recipe_of
from mixlab.reproduce.plan import Run
from mixlab.risk import EmpiricalRisk
from mixlab.rng import generator
from mixlab.train import fit

__all__ = ["chosen", "errors", "proxy", "truth"]


def truth(model: nn.Module, data: Dataset, run: Run) -> dict[str, float]:
    """Train all networks as the run says, and measure them on test images; see `table`.

    Args:
        model: of the run, not used: it is one of the 64.
        data: of the run.
        run: see `mixlab.reproduce.Run`.
    """
    return table(data, run)


def proxy(model: nn.Module, data: Dataset, run: Run) -> dict[str, float]:
    """Train all networks as the run says, and measure them on validation images; see `table`.

    Args:
        model, data, run: see `truth`.
    """
    return table(replace(data, test=data.validation), run)


def table(data: Dataset, run: Run) -> dict[str, float]:
    """Train the 64 networks of the table one after the other, each from the run's own seed.

    Args:
        data: its test images measure; its validation images are left alone.
        run: its seed, recipe, epochs and channels.

    Returns:
        For the network of each cell, by its number in `mixlab.nas.cells`, such as 07: its error in percent
        ``error_07`` and its mean cross-entropy in nats ``loss_07``. ``table_seconds`` is what all took, of one core.
    """
    start, measures = time.process_time(), {}
    data = replace(data, validation=data.validation.subset(torch.arange(0)))
    # Measured once, at the end: more looks would take as long as the training.
    recipe = replace(recipe_of(run), measured="epoch")
    for number, cell in enumerate(cells()):
        network = TabularNetwork(cell, data.num_classes, data.train.images.shape[1],
                                 channels=run.options["channels"], generator=generator(run.seed, "init"))
        last = fit(network, EmpiricalRisk(), data, recipe, seed=run.seed, device=run.device).last
        measures |= {f"error_{number:02d}": last["test_error"], f"loss_{number:02d}": last["test_loss"]}
    return measures | {"table_seconds": time.process_time() - start}


def errors(measures: Mapping[str, float]) -> list[float]:
    """The errors of all networks in the order of `mixlab.nas.cells`, from the measures of a record.

    Args:
        measures: what `table` gives, or a row of a frame of `mixlab.reproduce.load`.

    Example:
        >>> errors({f"error_{number:02d}": float(number) for number in range(64)})[:3]
        [0.0, 1.0, 2.0]
    """
    return [float(measures[f"error_{number:02d}"]) for number in range(len(cells()))]


def chosen(measures: Mapping[str, float]) -> int:
    """The number of the network with the smallest error; of equal ones, that with the smaller loss.

    Args:
        measures: see `errors`.

    Example:
        >>> said = {f"error_{number:02d}": 20.0 for number in range(64)}
        >>> chosen(said | {f"loss_{number:02d}": 1.0 - number / 100 for number in range(64)})
        63
    """
    return min(range(len(cells())), key=lambda number: (measures[f"error_{number:02d}"],
                                                        measures[f"loss_{number:02d}"]))

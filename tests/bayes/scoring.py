"""A small score that is quick to compute, for the tests of scores and the processes that they start."""

import os
import signal

import torch
from torch import nn

from mixlab.bayes import score
from mixlab.data import Split
from mixlab.rng import generator

torch.set_num_threads(1)
MOMENTS = {"mean": (0.4, 0.5), "std": (0.3, 0.2)}


def pictures(count=30, classes=3, seed=0):
    """A split of noise, with row numbers as after a limit: ascending, with gaps."""
    draws = generator(seed, "pictures")
    images = torch.randint(256, (count, 2, 6, 8), dtype=torch.uint8, generator=draws)
    return Split(images, torch.arange(count) % classes, rows=3 * torch.arange(count) + 1)


def network(dtype=torch.float64, classes=3, seed=0):
    """A small network with batch statistics, in training mode."""
    model = nn.Sequential(nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(96, classes))
    for number, parameter in enumerate(model.parameters()):
        nn.init.normal_(parameter, std=0.3, generator=generator(seed, number))
    return model.to(dtype)


def scored(split=None, model=None, **options):
    """The scores of the split of noise by the small network, unless told otherwise."""
    options = {"num_classes": 3, "k": 4, "alpha": 0.7, "draws": 12, **MOMENTS} | options
    return score(network() if model is None else model, pictures() if split is None else split, **options)


def score_until(at, folder, options):
    """Score until this process kills itself, just before it puts moments in place for the `at`-th time."""
    calls, usual = [], os.replace

    def counted(*arguments):
        calls.append(arguments)
        if len(calls) == at:
            os.kill(os.getpid(), signal.SIGKILL)
        return usual(*arguments)

    os.replace = counted
    scored(folder=folder, **options)


def score_as(rank, world, meeting, folder):
    """Score as one of several processes that meet at a file, and save what this one gets."""
    torch.distributed.init_process_group("gloo", init_method=f"file://{meeting}", rank=rank, world_size=world)
    try:
        scored(folder=folder / "moments").save(folder / f"{rank}.npz")
    finally:
        torch.distributed.destroy_process_group()

"""A small run that other processes can be asked to do: real digits, batch statistics, dropout, mixing."""

import os
import resource
import signal
from dataclasses import replace
from pathlib import Path

import torch
from torch import nn

import mixlab.train.checkpoint as checkpoint
from mixlab import Mix
from mixlab.data import load
from mixlab.masks import Constant
from mixlab.mixers import DCutMix
from mixlab.models import tap
from mixlab.risk import EmpiricalRisk, LaMixRisk, VicinalRisk, soft_cross_entropy
from mixlab.rng import generator
from mixlab.saliency import block_saliency
from mixlab.train import Cosine, Recipe, fit
from mixlab.train.lock import alone

RECIPE = Recipe("test", epochs=2, batch_size=32, lr=0.05, schedule=Cosine(), momentum=0.9, nesterov=True,
                weight_decay=1e-4, augment="crop", report="last", source="these tests")


def data():
    return load("digits", limit=230)  # eight batches, the last one of six rows


def initialised(network, seed=0):
    for parameter in network.parameters():
        nn.init.normal_(parameter, std=0.2, generator=generator(seed, "init", str(parameter.shape)))
    return network


def model():
    return initialised(nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.3), nn.Flatten(),
        nn.Linear(256, 10)))


class Killing:
    """A risk, to be mixed in before its class, that ends its process at one of its calls.

    The calls are counted by the class: an attribute of the risk would make its run another one. So would its name.
    """

    def forward(self, *arguments, **options):
        Killing.at -= 1
        if Killing.at == 0:
            kill()
        return super().forward(*arguments, **options)

    def _get_name(self):
        return type(self).__bases__[1].__name__


class KillingVicinal(Killing, VicinalRisk):
    """The mixing risk."""

    def __init__(self):
        super().__init__(DCutMix(k=3, alpha=1.0))


class KillingLaMix(Killing, LaMixRisk):
    """A risk that learns a head and whose steps take turns."""

    def __init__(self):
        super().__init__(classes=10, width=256, layer="5", generator=generator(0, "risk"))


class Halves:
    """A mixer for batches that processes share: every row meets the one half the batch on, whoever holds them.

    Row i of a process is row i * world + rank of the global batch. With an even number of rows for each process its
    partners are the same as in one process, and so are their label weights, which nobody draws.
    """

    def draw(self, images, labels=None, *, saliency=None, generator=None):
        rows, count = torch.arange(len(images)), len(images)
        weights = torch.where(rows < count // 2, 0.8, 0.3)
        return Mix(torch.stack([rows, rows.roll(count // 2)], 1), Constant(torch.full((count, 2), 0.5)),
                   torch.stack([weights, 1 - weights], 1))


class LeftHalves:
    """A mixer for batches that processes share, as `Halves`, whose shares follow from the saliency of each row."""

    def draw(self, images, labels=None, *, saliency=None, generator=None):
        rows, left = torch.arange(len(images)), block_saliency(saliency, 2)[:, :, 0].sum(1)
        shares = torch.stack([left, 1 - left], 1)
        return Mix(torch.stack([rows, rows.roll(len(images) // 2)], 1), Constant(shares))


class Failing(EmpiricalRisk):
    """An error in the second process, while the first one waits for it."""

    def __init__(self, error):
        super().__init__()
        self.error = error

    def forward(self, *arguments, **options):
        if torch.distributed.get_rank() == 1:
            raise self.error
        return super().forward(*arguments, **options)


class Headed(EmpiricalRisk):
    """A second head on the hidden layer, learned by the risk, and a teacher that is not."""

    def __init__(self):
        super().__init__()
        self.head, self.teacher = initialised(nn.Linear(32, 10)), initialised(nn.Linear(32, 10), seed=1)
        self.teacher.requires_grad_(False)

    def forward(self, model, batch, *, step=0, generator=None):
        with tap(model, "4", input=True) as hidden:
            loss = super().forward(model, batch)
        second = soft_cross_entropy(self.head(hidden.value), self.teacher(hidden.value).softmax(1))
        return loss + second


class OnlyTaught(EmpiricalRisk):
    """A risk with nothing to learn, and a teacher."""

    def __init__(self):
        super().__init__()
        self.teacher = initialised(nn.Linear(64, 10), seed=1).requires_grad_(False)

    def forward(self, model, batch, *, step=0, generator=None):
        return soft_cross_entropy(model(batch.images), self.teacher(batch.images.flatten(1)).softmax(1))


class NotANumber(EmpiricalRisk):
    """A loss that is none."""

    def forward(self, *arguments, **options):
        return super().forward(*arguments, **options) * float("nan")


class Holding(EmpiricalRisk):
    """Each process holds a file of its own in a folder from its first step to its end, and says so with another one.

    They are `rank-0` or `rank-1`, and `held-0` or `held-1`.
    """

    def __init__(self, folder):
        super().__init__()
        self.folder = str(folder)

    def forward(self, *arguments, **options):
        if not hasattr(Holding, "held"):
            rank = torch.distributed.get_rank()
            Holding.held = alone(Path(self.folder, f"rank-{rank}"))
            Holding.held.__enter__()
            Path(self.folder, f"held-{rank}").touch()
        return super().forward(*arguments, **options)


class Killed(EmpiricalRisk):
    """The second process is ended by the system, while the first one waits for it."""

    def forward(self, *arguments, **options):
        if torch.distributed.get_rank() == 1:
            kill()
        return super().forward(*arguments, **options)


class Cramped(EmpiricalRisk):
    """No file of the first process may grow beyond 50 kB from the first step on."""

    def forward(self, *arguments, **options):
        if torch.distributed.get_rank() == 0:
            resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
        return super().forward(*arguments, **options)


def kill():
    os.kill(os.getpid(), signal.SIGKILL)


def train(folder, at=0, risk=None):
    """Do the run, or what is left of it; `at` counts the steps until the process kills itself."""
    torch.set_num_threads(1)
    network, Killing.at = model(), at
    result = fit(network, risk or KillingVicinal(), data(), RECIPE, seed=1, device="cpu", checkpoint=folder, every=3)
    return network, result


def train_for_long(folder):
    """On two processes, until somebody ends it."""
    fit(model(), Holding(folder), data(), replace(RECIPE, epochs=100_000), device="cpu", processes=2,
        checkpoint=Path(folder) / "run")


def train_until_step(folder, at):
    train(folder, at)


def train_lamix_until_step(folder, at):
    train(folder, at, KillingLaMix())


def train_until_write(folder, at):
    """The process is killed when half of the `at`-th checkpoint is written."""
    class HalfWritten:
        def __init__(self, file):
            self.file, self.left = file, 20_000

        def write(self, content):
            self.left -= len(content)
            self.file.write(content)
            if self.left < 0:
                self.file.flush()
                kill()

        def flush(self):
            self.file.flush()

    save, calls = torch.save, iter(range(1, 1000))

    class Torch:
        load = staticmethod(torch.load)

        @staticmethod
        def save(state, file):
            save(state, HalfWritten(file) if next(calls) == at else file)

    checkpoint.torch = Torch
    train(folder)


def train_until_rename(folder, at):
    """The process is killed just before the `at`-th time that a file takes another's place."""
    replace, calls = os.replace, iter(range(1, 1000))

    class System:
        fsync = staticmethod(os.fsync)

        @staticmethod
        def replace(source, target):
            if next(calls) == at:
                kill()
            replace(source, target)

    checkpoint.os = System
    train(folder)

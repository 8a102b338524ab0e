"""Two small tasks that other processes can be asked to do: a search with two optimisers, and a generator."""

import os
import signal

import torch
from torch import nn

from mixlab.data import Loader, load
from mixlab.data.augment import normalise
from mixlab.models import inference
from mixlab.rng import generator
from mixlab.train import Adam, Cosine, Recipe, Task, evaluate, loop

SEARCH = Recipe("search", epochs=3, batch_size=32, lr=0.05, schedule=Cosine(), momentum=0.9, nesterov=False,
                weight_decay=3e-4, augment="crop", report="last", source="these tests", clip=0.5)
GENERATE = Recipe("generate", epochs=2, batch_size=64, lr=3e-3, schedule=Cosine(), momentum=0.0, nesterov=False,
                  weight_decay=5e-4, augment="none", report="last", source="these tests", optimizer=Adam((0.9, 0.99)),
                  clip=1.0)
ARCHITECTURE = {"lr": 0.05, "betas": (0.5, 0.999), "weight_decay": 1e-3}


def initialised(network, seed=0):
    for number, parameter in enumerate(network.parameters()):
        nn.init.normal_(parameter, std=0.2, generator=generator(seed, "init", number))
    return network


class Choice(nn.Module):
    """Two layers and how much of each, with batch statistics and dropout."""

    def __init__(self):
        super().__init__()
        self.shares = nn.Parameter(torch.zeros(2))
        self.layers = nn.ModuleList([
            nn.Sequential(nn.Linear(64, 16), nn.ReLU()), nn.Sequential(nn.Linear(64, 16), nn.Tanh())])
        self.rest = nn.Sequential(nn.BatchNorm1d(16), nn.Dropout(0.3), nn.Linear(16, 10))

    def forward(self, images):
        shares = self.shares.softmax(0)
        mixed = [share * layer(images.flatten(1)) for share, layer in zip(shares, self.layers, strict=True)]
        return self.rest(sum(mixed))

    def split(self):
        """Shares, and everything else."""
        return [self.shares], [*self.layers.parameters(), *self.rest.parameters()]


class Counted(Task):
    """A task that ends its process before one of its optimisers' steps.

    They are counted by the class: an attribute would make its run another one.
    """

    at = 0

    def descend(self, loss, name):
        Counted.at -= 1
        if Counted.at == 0:
            kill()
        self.tools.descend(loss, name)


class Search(Counted):
    """From the second epoch on a step of the shares, on images of one half, before each of the weights, on the other's.

    Args:
        network: a `Choice`.
        data: see `load`.
        first: the first epoch with steps of the shares.
    """

    metric = "validation_error"

    def __init__(self, network, data, first=1):
        self.modules, self.data, self.first = {"network": network}, data, first

    def ready(self, tools):
        self.tools, self.network = tools, tools.network(self.modules["network"])
        shares, weights = self.modules["network"].split()
        self.optimizers = {"shares": torch.optim.Adam(shares, **ARCHITECTURE), "weights": tools.optimizer(weights)}
        rows = torch.arange(len(self.data.train))
        self.loaders = [
            Loader(self.data.train.subset(rows[half::2]), tools.recipe.batch_size, mean=self.data.mean,
                   std=self.data.std, augment=tools.recipe.augment, drop_last=True, seed=tools.seed + half,
                   device=tools.device, rank=tools.rank, world=tools.world)
            for half in range(2)]
        self.steps = len(self.loaders[0])

    def batches(self, epoch, start):
        return zip(*(loader.epoch(epoch, start=start) for loader in self.loaders), strict=True)

    def step(self, batch, number):
        mine, others = batch
        scalars = {}
        if number >= self.first * self.steps:
            scalars["shares_loss"] = nn.functional.cross_entropy(self.network(others.images), others.labels)
            self.descend(scalars["shares_loss"], "shares")
        loss = nn.functional.cross_entropy(self.network(mine.images), mine.labels)
        self.descend(loss, "weights")
        return {"loss": loss, **scalars}

    def measure(self, epoch):
        measured = evaluate(self.modules["network"], self.data.validation, mean=self.data.mean, std=self.data.std)
        return {"validation_error": measured.error}


class Painter(nn.Module):
    """What it adds to an image for a label."""

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(74, 32), nn.ReLU(), nn.Dropout(0.2), nn.Linear(32, 64))

    def forward(self, images, labels):
        return images + self.layers(torch.cat([images.flatten(1), labels], 1)).view_as(images)


class Generate(Counted):
    """Images that a frozen classifier takes for what it is told.

    Args:
        painter: a `Painter`.
        classifier: images to logits; neither trained nor kept.
        data: see `load`.
        epsilon: mass of the labels on other classes.
    """

    metric = "divergence"

    def __init__(self, painter, classifier, data, epsilon=0.5):
        self.modules, self.classifier = {"painter": painter}, classifier.requires_grad_(False).eval()
        self.data, self.epsilon = data, epsilon

    def ready(self, tools):
        self.tools, self.painter = tools, tools.network(self.modules["painter"])
        self.classifier = tools.placed(self.classifier)
        self.optimizers = {"adam": tools.optimizer(self.painter.parameters())}
        self.loader = Loader(self.data.train, tools.recipe.batch_size, mean=self.data.mean, std=self.data.std,
                             drop_last=True, seed=tools.seed, device=tools.device, rank=tools.rank, world=tools.world)
        self.steps = len(self.loader)

    def batches(self, epoch, start):
        return self.loader.epoch(epoch, start=start)

    def labels(self, classes, draws):
        """(B, 10), 1 - epsilon at the class and the rest of it anywhere."""
        others = torch.rand(len(classes), 10, generator=draws)
        return (1 - self.epsilon) * nn.functional.one_hot(classes, 10) + self.epsilon * others / others.sum(1, True)

    def step(self, batch, number):
        labels = self.labels(batch.labels, self.tools.draws("labels", number))
        log = self.classifier(self.painter(batch.images, labels)).log_softmax(1)
        loss = -(labels * log).sum(1).mean()
        self.descend(loss, "adam")
        return {"loss": loss, "divergence": loss + (labels * labels.log()).sum(1).mean()}

    def measure(self, epoch):
        images = normalise(self.data.validation.images, self.data.mean, self.data.std)
        labels = self.labels(self.data.validation.labels, generator(0, "labels"))
        with inference(self.modules["painter"]):
            log = self.classifier(self.modules["painter"](images, labels)).log_softmax(1)
        return {"divergence": (labels * (labels.log() - log)).sum(1).mean().item()}


def kill():
    os.kill(os.getpid(), signal.SIGKILL)


def data():
    return load("digits", limit=270)


def search(first=1):
    return Search(initialised(Choice()), data(), first)


def classifier(seed=1):
    """With running statistics that a pass in training mode would change."""
    return initialised(nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.BatchNorm1d(16), nn.Linear(16, 10)), seed)


def generate(epsilon=0.5, seed=1):
    return Generate(initialised(Painter()), classifier(seed), data(), epsilon)


TASKS = {"search": (search, SEARCH), "generate": (generate, GENERATE)}


def train(name, folder=None, at=0, **options):
    """Do a task, or what is left of it; `at` counts the optimisers' steps until the process kills itself."""
    torch.set_num_threads(1)
    (make, recipe), Counted.at = TASKS[name], at
    task = make()
    return task, loop(task, recipe, seed=1, device="cpu", checkpoint=folder, every=2, **options)


def train_search_until(folder, at):
    train("search", folder, at)


def train_generate_until(folder, at):
    train("generate", folder, at)

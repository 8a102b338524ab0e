"""What several runs of an experiment need and one of them makes: a network, a set of images, scores."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import nn

from mixlab.data import Dataset
from mixlab.files import write_atomically
from mixlab.models import build
from mixlab.reproduce.plan import Run
from mixlab.risk import build_risk
from mixlab.rng import generator
from mixlab.train import fit
from mixlab.train.lock import alone
from mixlab.train.recipes import by_name


def made(path: Path, make: Callable[[], dict]) -> dict:
    """What there is to say of an artefact, which is made if it is not there; whoever comes second waits.

    Args:
        path: the artefact's folder. Its name has to change with anything that the artefact depends on.
        make: puts the artefact there and tells of it, as data that JSON keeps. What a `make` that was killed has left
            is made again.

    Raises:
        OSError: if the folder or what there is to say cannot be written; and whatever `make` raises.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     [made(Path(folder, "one"), lambda: {"attempt": attempt}) for attempt in (1, 2)]
        [{'attempt': 1}, {'attempt': 1}]
    """
    about = path / "about.json"
    with alone(path / "lock", wait=True):
        if not about.exists():
            told = json.dumps(make()).encode()
            write_atomically(about, lambda file: file.write(told))
        return json.loads(about.read_text())


def seed_of(run: Run, name: str) -> int:
    """A seed of its own for what is made under a name, which follows from the run's."""
    return int(torch.randint(2**31, (), generator=generator(run.seed, name, "seed")))


def trained(run: Run, data: Dataset, definition: Mapping, name: str) -> tuple[nn.Module, float]:
    """A network that runs need before they are trained, such as a scorer or a frozen classifier.

    Its streams are its own: it shares neither start nor order nor mixes with the network of the run.

    Args:
        run: says the seed and the device.
        data: what the network is trained on.
        definition: ``model`` and, if it is not the model's own, ``width``; ``recipe`` and ``epochs``; and ``risk``, see
            `mixlab.risk.build_risk`.
        name: of the streams.

    Returns:
        The network, and its test error in percent after the last epoch.

    Raises:
        ValueError: for an unknown name or a risk that does not fit.

    Example:
        >>> from mixlab.data import load
        >>> run = Run("a", "A", data="shapes", model="lenet", risk={"name": "empirical"}, recipe="demo", seed=0)
        >>> definition = {"model": "lenet", "recipe": "demo", "epochs": 1, "risk": {"name": "empirical"}}
        >>> _, error = trained(run, load("shapes", limit=64), definition, "scorer")
        >>> 0 <= error <= 100
        True
    """
    network = build(definition["model"], num_classes=data.num_classes, in_channels=data.train.images.shape[1],
                    width=definition.get("width"), generator=generator(run.seed, name))
    risk = build_risk(definition["risk"], model=network, classes=data.num_classes,
                      generator=generator(run.seed, name, "risk"), data=data)
    recipe = by_name(definition["recipe"]).over(definition["epochs"])
    result = fit(network, risk, data, recipe, seed=seed_of(run, name), device=run.device)
    return network, result.last["test_error"]

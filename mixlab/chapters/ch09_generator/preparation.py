"""What the chapter's runs need before they can be trained: a classifier, and a generator that is trained against it.

A run's risk says both as plain data, where it needs them:

    "classifier": {"model": "bench-net", "recipe": "bench-grey", "epochs": 60, "risk": {"name": "empirical"}}
    "generator_net": {"classifier": {...}, "recipe": "generator-bench", "base": 8, "downs": 2}

Beside `classifier`, a generator's definition has the arguments of `mixlab.generator.train_generator`; `lr` and `epochs`
replace the recipe's. Both networks learn from the run's own training images and from no others. `prepare` makes what is
not there yet and puts the files in the places. What two runs need at once is made by one of them, while the other
waits.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch

from mixlab.data import Dataset
from mixlab.data.augment import normalise
from mixlab.generator import RECIPES, SampleGenerator, probe, train_generator
from mixlab.models import Teacher
from mixlab.reproduce.made import made, seed_of, trained
from mixlab.reproduce.plan import Run
from mixlab.rng import generator

#: Test images that a generator is asked to change, for what is to be said of it.
PROBED = 2000


def prepare(run: Run, data: Dataset, folder: Path) -> tuple[dict, dict[str, float]]:
    """Make the classifier and the generator that a run's risk names, or take those that are there.

    Args:
        run: its risk is a specification with definitions, as the head of this module says.
        data: of the run.
        folder: shared by the runs of an experiment.

    Returns:
        The specification that `mixlab.risk.build_risk` takes, and what there is to say of what was made. Of the
        classifier: `classifier_error` on test images in percent, `classifier_seconds` of one core. Of the generator:
        `generator_seconds`, and `generator_` with each name of `mixlab.generator.probe`, on test images, which neither
        of the two was trained on.
    """
    making = _Making(run, data, folder)
    return making.filled(run.risk), making.measures


@dataclass
class _Making:
    """A preparation under way."""

    run: Run
    data: Dataset
    folder: Path
    measures: dict[str, float] = field(default_factory=dict)

    def filled(self, spec: Mapping) -> dict:
        """A risk with files in place of definitions."""
        filled = dict(spec)
        if "classifier" in spec:
            filled["classifier"] = self._classifier(spec["classifier"])
        if "generator_net" in spec:
            filled["generator_net"] = self._generator(spec["generator_net"])
        return filled

    def _classifier(self, definition: Mapping) -> dict:
        """The file and the checksum of a classifier."""
        return self._made("classifier", definition, lambda path: self._train_classifier(definition, path))

    def _generator(self, definition: Mapping) -> dict:
        """The file and the checksum of a generator."""
        classifier = self._classifier(definition["classifier"])
        return self._made("generator", definition, lambda path: self._train_generator(definition, classifier, path))

    def _made(self, kind: str, definition: Mapping, make: Callable[[Path], dict]) -> dict:
        """The file of a frozen network and its checksum; what there is to say of it is kept."""
        run = self.run
        whole = {"data": run.data, "validation": run.validation, "limit": run.limit, "seed": run.seed, kind: definition}
        digest = hashlib.blake2b(json.dumps(whole, sort_keys=True).encode(), digest_size=6).hexdigest()
        folder = self.folder / f"{kind}-s{run.seed}-{digest}"
        about = made(folder, lambda: make(folder / f"{kind}.pt"))
        self.measures |= {f"{kind}_{name}": value for name, value in about.items() if name != "checksum"}
        return {"checkpoint": str(folder / f"{kind}.pt"), "checksum": about["checksum"]}

    def _train_classifier(self, definition: Mapping, path: Path) -> dict:
        """Train a classifier and keep it; what there is to say of it."""
        run, data, start = self.run, self.data, time.process_time()
        sizes = {"num_classes": data.num_classes, "in_channels": data.train.images.shape[1],
                 "width": definition.get("width")}
        network, error = trained(run, data, definition, "classifier")
        classifier = Teacher(network.cpu(), mean=data.mean, std=data.std)
        classifier.save(path, name=definition["model"], **sizes)
        return {"checksum": classifier.checksum, "error": error,
                "seconds": time.process_time() - start}

    def _train_generator(self, definition: Mapping, file: Mapping, path: Path) -> dict:
        """Train a generator and keep it; what there is to say of it."""
        run, data = self.run, self.data
        classifier = Teacher.load(file["checkpoint"], file["checksum"])
        options = {name: value for name, value in definition.items() if name != "classifier"}
        recipe = RECIPES[options.pop("recipe")]
        recipe = replace(recipe.over(options.pop("epochs", recipe.epochs)), lr=options.pop("lr", recipe.lr))
        start = time.process_time()
        trained, _ = train_generator(classifier, data, recipe, **options, seed=seed_of(run, "generator"),
                                     device=run.device)
        seconds = time.process_time() - start
        trained.save(path)
        return {"checksum": trained.checksum, "seconds": seconds} | self._probed(trained, classifier)

    def _probed(self, trained: SampleGenerator, classifier: Teacher) -> dict[str, float]:
        """What a generator does to test images, as its classifier sees it."""
        data, draws = self.data, generator(self.run.seed, "probe")
        rows = torch.randperm(len(data.test), generator=draws)[:PROBED]
        images = normalise(data.test.images[rows], data.mean, data.std)
        return probe(trained, classifier, images, data.test.labels[rows], num_classes=data.num_classes,
                     epsilon=trained.epsilon, background=trained.background, generator=draws)

"""What the chapter's runs need before they can be trained: teachers, and sets of mixed images that are written once.

A run's risk says what it needs in the place where it needs it, as plain data:

- `"teacher": {"model": "bench-net", "width": 24, "limit": 5000, "recipe": "bench-grey", "epochs": 12}`, anywhere, is a
  network of that kind, trained without mixing on so many images of the run's own set and split. (Of one seed a larger
  limit keeps all images that a smaller one keeps, so a teacher knows the images of its student.)
- `"images": {"mixer": {...}, "count": 2000, "keep": "success"}` is a set of mixed images made from the run's training
  images, see `mixlab.distill.write_mixed`.

`prepare` makes what is not there yet and puts the files in the places. What two runs need at once is made by one of
them, while the other waits.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from torch import Tensor

from mixlab.data import Dataset, load
from mixlab.data.augment import normalise
from mixlab.data.mixed import read_mixed, read_parts
from mixlab.distill import write_mixed
from mixlab.mixers import Mixer, SuperMix, distinct_partners, from_config
from mixlab.mixers.supermix import recognised
from mixlab.models import Teacher, build
from mixlab.reproduce.made import made
from mixlab.reproduce.plan import Run
from mixlab.risk import EmpiricalRisk
from mixlab.rng import generator
from mixlab.train import fit, predict
from mixlab.train.recipes import by_name

#: Mixes that are drawn for a shard; few, since a set is cut off where it is large enough.
PER_SHARD = 200
#: Iterations of the trial without a price of blending.
PROBE_ITERATIONS = 20


def prepare(run: Run, data: Dataset, folder: Path) -> tuple[dict, dict[str, float]]:
    """Make the teachers and sets that a run's risk names, or take those that are there.

    Args:
        run: its risk is a specification with definitions, as the head of this module says.
        data: of the run.
        folder: shared by the runs of an experiment.

    Returns:
        The specification that `mixlab.risk.build_risk` takes, and what there is to say of what was made. Of the
        teacher: `teacher_error` on test images in percent, `teacher_seconds` of one core. Of the set: `set_seconds`;
        `set_drawn`, how many mixes were drawn for it; `set_success` (percent of them) and `set_iterations` (mean over
        them), where the mixer solves for its masks; and what `seen` and `probed` measure.
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
        """A risk or a mixer with files in place of definitions."""
        filled = dict(spec)
        if "mixer" in spec:
            filled["mixer"] = self.filled(spec["mixer"])
        if "teacher" in spec:
            filled["teacher"] = self._teacher(spec["teacher"])
        if "images" in spec:
            filled |= {"images": self._images(spec["images"]), "mean": self.data.mean, "std": self.data.std}
        return filled

    def _teacher(self, definition: Mapping) -> dict:
        """The file and the checksum of a teacher, and the moments of the images that it will be given."""
        path = self._path("teacher", {"teacher": definition})
        about = made(path, lambda: self._train(definition, path / "teacher.pt"))
        self._note("teacher", about)
        return {"checkpoint": str(path / "teacher.pt"), "checksum": about["checksum"],
                "mean": self.data.mean, "std": self.data.std}

    def _train(self, definition: Mapping, path: Path) -> dict:
        """Train a teacher and keep it; what there is to say of it."""
        run, start = self.run, time.process_time()
        data = load(run.data, validation=run.validation, seed=run.seed, limit=definition["limit"])
        sizes = {"num_classes": data.num_classes, "in_channels": data.train.images.shape[1],
                 "width": definition.get("width")}
        # Its streams are its own: a teacher that is its student's twin shares neither start nor order with it.
        network = build(definition["model"], **sizes, generator=generator(run.seed, "teacher"))
        recipe = by_name(definition["recipe"])
        if "epochs" in definition:
            recipe = recipe.over(definition["epochs"])
        seed = int(torch.randint(2**31, (), generator=generator(run.seed, "teacher", "fit")))
        result = fit(network, EmpiricalRisk(), data, recipe, seed=seed, device=run.device)
        teacher = Teacher(network.cpu(), mean=data.mean, std=data.std)
        teacher.save(path, name=definition["model"], **sizes)
        return {"checksum": teacher.checksum, "error": result.last["test_error"],
                "seconds": time.process_time() - start}

    def _images(self, definition: Mapping) -> str:
        """The folder of a written set."""
        spec = self.filled(definition["mixer"])
        path = self._path("set", {"mixer": _without_paths(spec), **{
            name: value for name, value in definition.items() if name != "mixer"}})
        about = made(path, lambda: self._write(from_config(spec), definition, path / "images"))
        self._note("set", about)
        return str(path / "images")

    def _write(self, mixer: Mixer, definition: Mapping, path: Path) -> dict:
        """Write a set; what there is to say of it."""
        data, start = self.data, time.process_time()
        about = write_mixed(
            mixer, data.train, path, count=definition["count"], keep=definition["keep"], seed=self.run.seed,
            mean=data.mean, std=data.std, classes=data.classes, source=data.name, per_shard=PER_SHARD,
        )
        told = {"seconds": time.process_time() - start, "drawn": about["drawn"]}
        if about["success_rate"] is not None:
            told |= {"success": 100 * about["success_rate"], "iterations": about["iterations"]}
        told |= seen(path, teacher_of(mixer), data)
        return told | (probed(mixer, data, self.run.seed) if isinstance(mixer, SuperMix) else {})

    def _path(self, kind: str, definition: Mapping) -> Path:
        """A folder for what is defined, which changes with anything that it depends on."""
        run = self.run
        limit = {"limit": run.limit} if kind == "set" else {}
        whole = {"data": run.data, "validation": run.validation, "seed": run.seed, **limit, **definition}
        text = json.dumps(whole, sort_keys=True).encode()
        return self.folder / f"{kind}-s{run.seed}-{hashlib.blake2b(text, digest_size=6).hexdigest()}"

    def _note(self, kind: str, about: Mapping) -> None:
        self.measures |= {f"{kind}_{name}": value for name, value in about.items() if name != "checksum"}


def _without_paths(spec: object) -> object:
    """A specification without the paths of files, whose checksums stay."""
    if not isinstance(spec, Mapping):
        return spec
    return {name: _without_paths(value) for name, value in spec.items() if name != "checkpoint"}


def teacher_of(mixer: Mixer) -> Teacher:
    """The teacher that a mixer asks, or that the mixer inside it asks."""
    while not hasattr(mixer, "teacher"):
        mixer = mixer.mixer
    return mixer.teacher


def seen(folder: Path, teacher: Teacher, data: Dataset) -> dict[str, float]:
    """What a teacher sees in a set of mixed images, and how its masks are.

    Args:
        folder: of a written set, made from `data.train`.
        teacher: takes images that are normalised as those of `data`.
        data: its moments normalise.

    Returns:
        In percent of the set's rows: `larger`, where the teacher's first class is that of the source with the larger
        weight; `top`, where its first K classes are those of the K sources (SuperMix's rule of stopping). `spread` is
        the mean of m (1 - m) over masks, pixels and rows, 0 for hard masks and ¼ for masks of ½. The classes of the
        sources are those that the teacher finds.
    """
    split, parts = read_mixed(folder)[0], read_parts(folder)
    moments = {"mean": data.mean, "std": data.std}
    own = predict(teacher, data.train, **moments).argmax(1)
    classes = own[torch.searchsorted(data.train.rows, parts["sources"])]
    answers = predict(teacher, split, **moments)
    larger = classes.gather(1, parts["weights"].argmax(1, keepdim=True))[:, 0]
    masks = parts["masks"].float() / 255
    return {"larger": _percent(answers.argmax(1) == larger), "top": _percent(recognised(answers, classes)),
            "spread": (masks * (1 - masks)).mean().item()}


def probed(mixer: SuperMix, data: Dataset, seed: int) -> dict[str, float]:
    """What success takes: how often the teacher finds both classes in a plain mix, and in masks that need not be hard.

    Args:
        mixer: SuperMix as the set has it.
        data: its training images are mixed.
        seed: draws the pairs.

    Returns:
        In percent of as many mixes as there are training images, with partners of other predicted classes:
        `plain_success`, of equal parts (1/K); `free_success`, of SuperMix with λ_s = 0, within 20 iterations.
    """
    draws, teacher = generator(seed, "probe"), mixer.teacher
    images = normalise(data.train.images, data.mean, data.std)
    with torch.no_grad():
        classes = predict(teacher, data.train, mean=data.mean, std=data.std).argmax(1)
        sources, _ = distinct_partners(classes, mixer.k, draws)
        answers = torch.cat([teacher(images[rows].mean(1)) for rows in sources.split(500)])
    plain = recognised(answers, classes[sources])
    free = replace(mixer, sparsity=0.0, max_iter=PROBE_ITERATIONS).solve(images, generator=draws)
    return {"plain_success": _percent(plain), "free_success": _percent(free.success)}


def _percent(hits: Tensor) -> float:
    return 100 * hits.double().mean().item()

"""How far two independent scores of the same images by the same network agree, measured on the bench.

`score-stability` measures it on every scorer that it trains; `mixlab.chapters.ch08_selection.tables.stability` shows
what is on record.
"""

from __future__ import annotations

import time

import torch
from torch import nn

from mixlab.bayes import composite_losses, surroundings
from mixlab.chapters.ch08_selection.choices import BATCH
from mixlab.chapters.ch08_selection.demonstrations import agreement
from mixlab.chapters.ch08_selection.experiments.selection import PART, SCORE
from mixlab.data import Dataset, Split
from mixlab.data.augment import normalise
from mixlab.data.stratify import draw_per_class
from mixlab.models import Teacher
from mixlab.reproduce.plan import Run
from mixlab.rng import generator

__all__ = ["ANCHORS", "LINES", "MEASURED", "anchors", "column", "measure"]

#: Images of each class that are scored; companions are drawn from all training images.
ANCHORS = 100
#: Name of a line -> numbers of draws, and how many sets of companions there are (None: new ones for every draw). The
#: fewer draws of a line are the first of its most.
LINES = {
    "fresh": ((16, 64, 256), None),
    "4 sets": ((64,), 4),
    "1 set": ((64,), 1),
}
#: What is measured of each number of draws of a line, see `mixlab.chapters.ch08_selection.demonstrations.Agreement`.
MEASURED = ("cv", "mean", "overlap")


def anchors(train: Split, classes: int, seed: int) -> Split:
    """The images that are scored: as many of each class, drawn by the seed.

    Args:
        train: of a run.
        classes: how many there are.
        seed: of the run.

    Raises:
        ValueError: where a class has fewer than `ANCHORS` images.

    Example:
        >>> from mixlab.data import load
        >>> found = anchors(load("digits").train, 10, seed=0)
        >>> found.labels.bincount().tolist() == 10 * [ANCHORS]
        True
    """
    counts = torch.bincount(train.labels, minlength=classes)
    if counts.min() < ANCHORS:
        raise ValueError(f"expected at least {ANCHORS} images of every class, received {int(counts.min())} of one")
    take = torch.full((classes,), ANCHORS, dtype=torch.int64)
    return train.subset(draw_per_class(train.labels, take, generator(seed, "stability", "anchors")))


def measure(model: nn.Module, data: Dataset, run: Run) -> dict[str, float]:
    """Score some images twice with streams of their own, by several numbers of draws and of companion sets.

    Args:
        model: the scorer, which takes images as the data's moments normalise them.
        data: of the run; its training images are the companions, `ANCHORS` of each class the anchors.
        run: its seed draws anchors and both streams.

    Returns:
        For each line and number of draws of `LINES`, such as `fresh_256`: ``fresh_256_cv`` and ``fresh_256_mean``,
        Spearman's rank correlation between the two scores within a class (the mean over the classes) of CV and of the
        mean loss, and ``fresh_256_overlap``, the percent of the tenth of every class that high CV keeps by one of them
        which it keeps by the other as well. ``stability_seconds`` is all that took, of one core.

    Raises:
        ValueError: where a class has fewer than `ANCHORS` images.
    """
    begun, measures = time.process_time(), {}
    part = data.subset(anchors(data.train, data.num_classes, run.seed).rows)
    for line, (draws, sets) in LINES.items():
        both = [_losses(model, data, part.train, max(draws), sets, _seed(run, stream))
                for stream in ("first", "second")]
        found = agreement(both, part, draws, PART)
        for place, number in enumerate(draws):
            measures |= {column(line, number, what): getattr(found, what)[place] for what in MEASURED}
    return measures | {"stability_seconds": time.process_time() - begun}


def column(line: str, draws: int, what: str) -> str:
    """The name of a measure in a record.

    Example:
        >>> column("4 sets", 64, "overlap")
        '4_sets_64_overlap'
    """
    return f"{line.replace(' ', '_')}_{draws}_{what}"


def _losses(model: nn.Module, data: Dataset, split: Split, draws: int, sets: int | None, seed: int) -> torch.Tensor:
    """The losses (draws, N) whose moments `mixlab.bayes.score` would keep."""
    moments = {"mean": data.mean, "std": data.std}
    options = {name: value for name, value in SCORE.items() if name != "draws"}
    around = surroundings(data.train, num_classes=data.num_classes, draws=draws, companion_sets=sets, seed=seed,
                          **options, **moments)
    images = normalise(split.images, **moments)
    return composite_losses(Teacher(model), images, split.labels, around, batch_size=BATCH).cpu()


def _seed(run: Run, stream: str) -> int:
    return int(torch.randint(2**31, (), generator=generator(run.seed, "stability", stream)))

"""From a name to tensors, split for honest use."""

import os
from pathlib import Path

import torch

from mixlab.checks import whole
from mixlab.data.mixed import is_written, read_mixed
from mixlab.data.registry import data_root, find
from mixlab.data.split import Dataset, Split
from mixlab.data.stratify import allocate, draw_per_class, hold_out
from mixlab.rng import generator

__all__ = ["load"]


def load(
    name: str | os.PathLike,
    root: str | Path | None = None,
    *,
    validation: float | None = None,
    seed: int = 0,
    limit: int | None = None,
) -> Dataset:
    """Read a data set and split it. Nothing is downloaded and nothing is written.

    The folder of a set of mixed images (`mixlab.distill.write_mixed`) loads like any other set: its rows, with their
    soft labels, are those to train on, and the test split is that of the set whose images were mixed.

    Args:
        name: one of `SOURCES`, or such a folder; a path that is no set's name, ``./digits`` if need be.
        root: where downloaded and packed sets lie; ``$MIXLAB_DATA``, else ``~/.cache/mixlab``, where None.
        validation: fraction of every class of the training rows that is held out, 0 <= validation < 1; where None, a
            tenth, and nothing of mixed images. (A row's class there is the largest of its soft label.)
        seed: draws which rows are held out and which the limit keeps. The test split does not depend on it.
        limit: how many training rows to keep of those that validation leaves, class by class in proportion; all
            where None.

    Returns:
        A `Dataset`; rows keep the original order. A set of mixed images has its folder's name.

    Raises:
        ValueError: for an unknown name, a fraction that leaves no row to train on, a limit above the rows that
            are left or below 1, files that are damaged, or mixed images of a set that has no name, or other classes.
        FileNotFoundError: where the set is not in ``root``, or there are no mixed images in the folder.

    Example:
        >>> data = load("digits", limit=1000)
        >>> len(data.train), len(data.validation), len(data.test), data.train.images.dtype
        (1000, 145, 359, torch.uint8)
    """
    written = is_written(name)
    validation = (0.0 if written else 0.1) if validation is None else validation
    if not 0 <= validation < 1:
        raise ValueError(f"expected a validation fraction from 0 to below 1, received {validation}")
    if written:
        train, test, classes = _mixed(Path(name), data_root(root))
        name = Path(name).resolve().name
    else:
        source = find(name)
        (train, test), classes = source.rows_from(data_root(root)), source.classes
    kept, held = hold_out(train.labels, validation, generator(seed, "validation"))
    if not len(kept):
        raise ValueError(f"expected a validation fraction that leaves training rows of {name}, received {validation}")
    if limit is not None:
        if not (whole(limit) and 1 <= limit <= len(kept)):
            raise ValueError(
                f"expected an integer limit from 1 to {len(kept)}, the training rows of {name} that"
                f" validation={validation:g} leaves, received {limit!r}"
            )
        labels = train.labels[kept]
        take = allocate(torch.bincount(labels, minlength=len(classes)), limit)
        kept = kept[draw_per_class(labels, take, generator(seed, "limit"))]
    rows, validation_rows = train.subset(kept), train.subset(held)
    return Dataset(name, rows, validation_rows, test, classes, *rows.moments())


def _mixed(folder: Path, root: Path) -> tuple[Split, Split, tuple[str, ...]]:
    """The rows of a written set, and test split and classes of the set that they were made of."""
    train, about = read_mixed(folder)
    name = about["source"]["name"]
    if name is None:
        raise ValueError(f"expected {folder} to name the set that its images are from, received none: there is no test"
                         " split to report; `read_mixed` reads the rows alone")
    source = find(name)
    if list(source.classes) != about["classes"]:
        raise ValueError(f"expected the classes of {name} in {folder}, received {', '.join(about['classes'])}")
    return train, source.rows_from(root)[1], source.classes

"""From a name to tensors, split for honest use."""

from pathlib import Path

import torch

from mixlab.checks import whole
from mixlab.data.registry import data_root, find
from mixlab.data.split import Dataset
from mixlab.data.stratify import allocate, draw_per_class, hold_out
from mixlab.rng import generator

__all__ = ["load"]


def load(
    name: str,
    root: str | Path | None = None,
    *,
    validation: float = 0.1,
    seed: int = 0,
    limit: int | None = None,
) -> Dataset:
    """Read a data set and split it. Nothing is downloaded and nothing is written.

    Args:
        name: one of `SOURCES`.
        root: where downloaded and packed sets lie; ``$MIXLAB_DATA``, else ``~/.cache/mixlab``, where None.
        validation: fraction of every class of the training rows that is held out, 0 <= validation < 1.
        seed: draws which rows are held out and which the limit keeps. The test split does not depend on it.
        limit: how many training rows to keep of those that validation leaves, class by class in proportion; all
            where None.

    Returns:
        A `Dataset`; rows keep the original order.

    Raises:
        ValueError: for an unknown name, a fraction that leaves no row to train on, a limit above the rows that
            are left or below 1, or files that are damaged.
        FileNotFoundError: where the set is not in ``root``.

    Example:
        >>> data = load("digits", limit=1000)
        >>> len(data.train), len(data.validation), len(data.test), data.train.images.dtype
        (1000, 145, 359, torch.uint8)
    """
    source = find(name)
    if not 0 <= validation < 1:
        raise ValueError(f"expected a validation fraction from 0 to below 1, received {validation}")
    train, test = source.rows_from(data_root(root))
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
        take = allocate(torch.bincount(labels, minlength=len(source.classes)), limit)
        kept = kept[draw_per_class(labels, take, generator(seed, "limit"))]
    rows, validation_rows = train.subset(kept), train.subset(held)
    return Dataset(name, rows, validation_rows, test, source.classes, *rows.moments())

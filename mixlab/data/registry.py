"""The sets that have a name, and where each comes from."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from mixlab.data import digits, mnist, shapes
from mixlab.data.split import Split

__all__ = ["SOURCES", "Source", "data_root", "find"]


@dataclass(frozen=True)
class Source:
    """A set by name: its size and how to read it.

    Attributes:
        name: what `load` is given.
        shape: (C, H, W) of a picture.
        rows: of the original training and test part.
        classes: the name of every class.
        origin: where it comes from, in a few words.
        read: maps the root folder to the training and the test part.
        files: maps the root folder to the files that must be there; none for sets without a download.
    """

    name: str
    shape: tuple[int, int, int]
    rows: tuple[int, int]
    classes: tuple[str, ...]
    origin: str
    read: Callable[[Path], tuple[Split, Split]]
    files: Callable[[Path], list[Path]] = lambda root: []


def _mnist(name: str, folder: str, classes: tuple[str, ...]) -> Source:
    read, files = (partial(part, folder=folder) for part in (mnist.read_family, mnist.files))
    return Source(name, (1, 28, 28), (60_000, 10_000), classes, "torchvision", read, files)


def _shapes(name: str, size: int) -> Source:
    read = partial(shapes.read, size=size)
    return Source(name, (3, size, size), (4000, 1000), shapes.CLASSES, "made by mixlab", read)


SOURCES = {
    source.name: source
    for source in (
        Source("digits", (1, 8, 8), (1438, 359), tuple("0123456789"), "scikit-learn", digits.read),
        _shapes("shapes", 32),
        _shapes("shapes-64", 64),
        _mnist("mnist", "MNIST", mnist.MNIST_CLASSES),
        _mnist("fashion-mnist", "FashionMNIST", mnist.FASHION_CLASSES),
    )
}


def find(name: str) -> Source:
    """Find a set by name.

    Raises:
        ValueError: for a name that is not known.

    Example:
        >>> find("digits").shape
        (1, 8, 8)
    """
    if name not in SOURCES:
        raise ValueError(f"expected a data set out of {', '.join(SOURCES)}, received {name!r}")
    return SOURCES[name]


def data_root(root: str | Path | None = None) -> Path:
    """Tell where data sets lie: ``root``, else what ``MIXLAB_DATA`` names, else ``~/.cache/mixlab``."""
    return Path(root or os.environ.get("MIXLAB_DATA") or "~/.cache/mixlab").expanduser()

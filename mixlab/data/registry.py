"""The sets that have a name, and where each comes from."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from mixlab.data import cifar, digits, download, gallery, mnist, shapes, svhn
from mixlab.data.packed import is_packed, read_packed
from mixlab.data.split import Split

__all__ = ["SOURCES", "Source", "data_root", "find", "state", "survey"]


@dataclass(frozen=True)
class Source:
    """A set by name: its size and how to read it.

    Attributes:
        name: what `load` is given.
        shape: (C, H, W) of a picture.
        rows: of the training and the test part.
        classes: the name of every class.
        origin: the package that holds it, makes it or downloads it.
        read: maps the root folder to the training and the test part, verified.
        files: maps the root folder to the files that ``read`` needs there; none for sets without a download.
        download: puts those files below a folder; None for sets without a download.
        coarse_of: the set whose coarse labels these are: its packed folder is read where there is none of this name.
    """

    name: str
    shape: tuple[int, int, int]
    rows: tuple[int, int]
    classes: tuple[str, ...]
    origin: str
    read: Callable[[Path], tuple[Split, Split]]
    files: Callable[[Path], list[Path]] = lambda root: []
    download: Callable[[Path], None] | None = None
    coarse_of: str | None = None

    def rows_from(self, root: Path) -> tuple[Split, Split]:
        """Read the training and the test part from ``root``: torchvision's files, else a packed folder.

        Raises:
            FileNotFoundError: where neither is there; it says how to get the set.
            ValueError: where what is there is damaged.
        """
        where = state(self, root)
        if where is None:
            raise FileNotFoundError(
                f"expected {self.name} in {root}, received neither its files nor a packed folder: run"
                f" `mixlab data fetch {self.name}`, or set MIXLAB_DATA to a folder that has it"
            )
        if where == "packed":
            folder, kind = self.packed_in(root)
            return read_packed(folder, self.name, self.rows, self.shape, self.classes, kind)
        return self.read(root)

    def packed_in(self, root: Path) -> tuple[Path, str] | None:
        """Find the packed folder below ``root`` and the kind of its labels, "fine" or "coarse"; None where not."""
        places = [(root / self.name, "fine")]
        if self.coarse_of is not None:
            places.append((root / self.coarse_of, "coarse"))
        return next((place for place in places if is_packed(*place)), None)


def state(source: Source, root: Path) -> str | None:
    """Tell in which form a set is there: ``"built in"``, ``"files"``, ``"packed"`` or, where not, None."""
    if source.name == "gallery" and not gallery.installed():
        return None
    if source.download is None:
        return "built in"
    if all(path.is_file() for path in source.files(root)):
        return "files"
    return "packed" if source.packed_in(root) else None


def survey(root: Path) -> dict[str, str | OSError | None]:
    """Tell of every set in which form it is there, as `state` does; one that cannot be looked at hides no other.

    Args:
        root: the folder that holds the sets.

    Returns:
        For each name of `SOURCES` the form, None where the set is not there, or the error that looking for it raised
        (a folder that nobody but its owner may read, say).

    Example:
        >>> found = survey(Path("nowhere"))
        >>> found["digits"], found["svhn"]
        ('built in', None)
    """
    found = {}
    for name, source in SOURCES.items():
        try:
            found[name] = state(source, root)
        except OSError as error:
            found[name] = error
    return found


def _mnist(name: str, folder: str, classes: tuple[str, ...]) -> Source:
    read, files = partial(mnist.read_family, folder=folder), partial(mnist.files, folder=folder)
    get = partial(download.mnist, folder=folder)
    return Source(name, (1, 28, 28), (60_000, 10_000), classes, "torchvision", read, files, get)


def _cifar(name: str, folder: str, kind: str, classes: tuple[str, ...], coarse_of: str | None = None) -> Source:
    read, files = partial(cifar.read, folder=folder, kind=kind), partial(cifar.files, folder=folder)
    get = partial(download.cifar, folder=folder)
    return Source(name, (3, 32, 32), (50_000, 10_000), classes, "torchvision", read, files, get, coarse_of)


def _shapes(name: str, size: int) -> Source:
    read = partial(shapes.read, size=size)
    return Source(name, (3, size, size), (4000, 1000), shapes.CLASSES, "mixlab", read)


DIGITS = tuple("0123456789")
SOURCES = {
    source.name: source
    for source in (
        Source("digits", (1, 8, 8), (1438, 359), DIGITS, "scikit-learn", digits.read),
        Source("gallery", (3, 224, 224), (12, 0), gallery.CLASSES, "scikit-image", gallery.read),
        _shapes("shapes", 32),
        _shapes("shapes-64", 64),
        _mnist("mnist", "MNIST", mnist.MNIST_CLASSES),
        _mnist("fashion-mnist", "FashionMNIST", mnist.FASHION_CLASSES),
        _cifar("cifar10", "cifar-10-batches-py", "labels", cifar.CIFAR10_CLASSES),
        _cifar("cifar100", "cifar-100-python", "fine_labels", cifar.CIFAR100_CLASSES),
        _cifar("cifar100-coarse", "cifar-100-python", "coarse_labels", cifar.CIFAR100_SUPERCLASSES, "cifar100"),
        Source(
            "svhn", (3, 32, 32), (73_257, 26_032), DIGITS, "torchvision", svhn.read, svhn.files, download.svhn
        ),
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
    """Tell where data sets lie: ``root``, else what ``MIXLAB_DATA`` names, else ``~/.cache/mixlab``.

    Raises:
        ValueError: for a path that begins with ``~`` where there is no such home directory, as in some containers.

    Example:
        >>> data_root("sets").name
        'sets'
    """
    folder = Path(root or os.environ.get("MIXLAB_DATA") or "~/.cache/mixlab")
    try:
        return folder.expanduser()
    except RuntimeError:
        raise ValueError(f"expected a home directory for the data sets in {folder}, received none: set MIXLAB_DATA to"
                         " a folder for them") from None

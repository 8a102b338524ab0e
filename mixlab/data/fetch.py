"""Downloading a set: into a scratch folder, verified there, and only then moved to where it is read."""

import os
import socket
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPException
from pathlib import Path
from tarfile import TarError

from mixlab.data.folders import scratch_folder
from mixlab.data.registry import Source, state

__all__ = ["fetch"]

TIMEOUT = 60.0  # seconds without a byte; torchvision sets no limit

# What torchvision, its archives and our own check raise where a download breaks off or holds something else.
BROKEN = (OSError, RuntimeError, ValueError, EOFError, HTTPException, TarError, zlib.error)


@contextmanager
def _timeout(seconds: float) -> Iterator[None]:
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


def _is_whole(source: Source, root: Path) -> bool:
    try:
        source.rows_from(root)
    except ValueError:
        return False
    return True


def fetch(source: Source, root: Path) -> bool:
    """Download ``source`` into ``root`` through torchvision, which shows a progress bar.

    What arrives is verified before a single file is put into its place, each at once, so a broken download leaves
    the root as it was. A set that is there and whole is left alone; a damaged one is replaced. A process that is
    killed may leave its hidden scratch folder, ``.NAME.*.part``, which nothing reads.

    Args:
        source: one of the values of `mixlab.data.SOURCES`.
        root: the folder that holds the sets; made where it is not there.

    Returns:
        Whether anything was downloaded.

    Raises:
        ValueError: for a set that needs no download.
        OSError: where there is no network, no room, or what arrived is damaged.

    Example:
        >>> from mixlab.data import SOURCES
        >>> fetch(SOURCES["digits"], Path("unused"))
        Traceback (most recent call last):
        ...
        ValueError: expected a set to download, received digits (comes with scikit-learn)
    """
    if source.download is None:
        raise ValueError(f"expected a set to download, received {source.name} (comes with {source.origin})")
    if state(source, root) is not None and _is_whole(source, root):
        return False
    try:
        with scratch_folder(root, source.name) as scratch, _timeout(TIMEOUT):
            source.download(scratch)
            source.read(scratch)
            for file in source.files(scratch):
                place = root / file.relative_to(scratch)
                place.parent.mkdir(parents=True, exist_ok=True)
                os.replace(file, place)
    except BROKEN as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise OSError(
            f"could not fetch {source.name} into {root}: {reason}. Without a network, run `mixlab data pack"
            f" {source.name} --out DIR` on a machine that has the set and copy DIR/{source.name} into {root}"
        ) from error
    return True

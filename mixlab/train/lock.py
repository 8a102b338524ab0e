"""A folder or a file for one command at a time."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

LOCK = "lock"  # the file that a run holds beside its checkpoints


@contextmanager
def alone(path: Path, *, wait: bool = False) -> Iterator[None]:
    """Hold a folder or a file against every other command; the lock ends with this process, however it ends.

    Where the system has no locks, or the file system none, a warning says so and nothing is held.

    Args:
        path: a folder, which is held without any file in it, or a file, which is made if it is not there, with the
            folders above it. Such a file stays and says nothing by being there. Over NFS only a file can be held.
        wait: until whoever holds it lets go, however long that is, instead of raising.

    Raises:
        ValueError: if another command, or this one, holds it already and is not waited for.
        OSError: if the file or its folder cannot be made or opened.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        import fcntl
    except ImportError as error:  # Windows
        _warn(path, error)
        yield
        return
    descriptor = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR | os.O_CREAT, 0o666)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            raise ValueError(f"another command is at work and holds {path}: wait for it, or stop it") from None
        except OSError as error:  # some file systems of clusters
            _warn(path, error)
        yield
    finally:
        os.close(descriptor)


@contextmanager
def tidied(folder: Path | None) -> Iterator[None]:
    """Where an error ends a run before its first checkpoint, remove the lock and the folders that were made for it.

    Bad input may show itself only at the first step; it shall leave the disk as it was.
    """
    made = [] if folder is None else [path for path in _chain(folder.absolute()) if not path.exists()]
    try:
        yield
    except BaseException:
        kept = folder is not None and any(folder.glob("*.ckpt"))
        for path in [] if kept else made:
            with suppress(OSError):  # it has not been made, or something lies in it
                path.unlink() if path.name == LOCK else path.rmdir()
        raise


def _chain(folder: Path) -> list[Path]:
    return [folder / LOCK, folder, *folder.parents]


def _warn(path: Path, error: Exception) -> None:
    warnings.warn(f"{path} cannot be locked ({error}): run no second command there", stacklevel=4)

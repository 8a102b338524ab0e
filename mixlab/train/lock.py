"""A folder for one at a time."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

LOCK = "lock"


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Hold a folder against every other command; the lock ends with this process, however it ends.

    The file `lock` stays in the folder and says nothing by being there. Where the file system has no locks, a warning
    says so and nothing is held.

    Args:
        folder: made if it is not there.

    Raises:
        ValueError: if another command, or this one, holds the folder already.
        OSError: if the folder cannot be made or written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / LOCK).open("a") as file:
        try:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ValueError(f"another command is at work in {folder}: wait for it, or stop it") from None
        except (ImportError, OSError) as error:  # Windows, and some file systems of clusters
            warnings.warn(f"{folder} cannot be locked ({error}): run no second command there", stacklevel=3)
        yield

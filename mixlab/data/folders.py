"""Writing whole folders: complete under their name, or not there at all."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["scratch_folder"]


@contextmanager
def scratch_folder(parent: Path, name: str) -> Iterator[Path]:
    """Lend a folder below ``parent`` to build something in, on the file system where it will stay.

    It is removed at the end, with all that is still in it; what shall stay is moved out of it by
    `os.replace`. A parent that had to be made is removed again where it ends up empty.

    Args:
        parent: the folder to work in; it is made where it is missing.
        name: what is being built; the scratch folder is hidden and named after it and the process.

    Yields:
        The new, empty folder.
    """
    missing = [folder for folder in (parent, *parent.parents) if not folder.exists()]
    scratch = parent / f".{name}.{os.getpid()}.part"
    try:
        scratch.mkdir(parents=True)
        yield scratch
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
        for folder in missing:
            if not folder.is_dir() or any(folder.iterdir()):
                break
            folder.rmdir()

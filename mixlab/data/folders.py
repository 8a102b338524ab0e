"""Writing whole folders: complete under their name, or not there at all."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

__all__ = ["scratch_folder"]


@contextmanager
def scratch_folder(parent: Path, name: str) -> Iterator[Path]:
    """Lend a folder below ``parent`` to build something in, on the file system where it will stay.

    It is removed at the end, with all that is still in it; what shall stay is moved out of it by
    `os.replace`. A parent that had to be made is removed again where it ends up empty.

    Args:
        parent: the folder to work in; it is made where it is missing.
        name: what is being built; the scratch folder is hidden, named after it, and no other's: process numbers
            return, in containers above all, and several of them may share a root.

    Yields:
        The new, empty folder.
    """
    missing = [folder for folder in (parent, *parent.parents) if not folder.exists()]
    try:
        parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(".part", f".{name}.", parent, ignore_cleanup_errors=True) as scratch:
            yield Path(scratch)
    finally:
        for folder in missing:
            with suppress(OSError):  # something lies in it
                folder.rmdir()

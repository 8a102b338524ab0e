"""Files that are there whole or not at all."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

__all__ = ["write_atomically"]


class _Disk(io.FileIO):
    """A file that remembers how the disk refused a write: who writes may turn that into an error of another kind."""

    refused: OSError | None = None

    def write(self, content) -> int | None:
        """Write what fits, as any file does."""
        try:
            return super().write(content)
        except OSError as error:
            self.refused = error
            raise


def write_atomically(path: Path, write: Callable) -> None:
    """Put a file in place whole or not at all, also where two write it at once: one of theirs is there then.

    Args:
        path: the file; its folder is made.
        write: called with an open binary file.

    Raises:
        OSError: if the disk refuses, whatever `write` makes of that; what was at `path` is still there.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     write_atomically(Path(folder) / "new" / "file", lambda file: file.write(b"whole"))
        ...     (Path(folder) / "new" / "file").read_bytes()
        b'whole'
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # A name of its own for every writer, and not one of `tempfile`, whose files nobody else may read.
    scratch = path.with_name(f".{path.name}.{uuid4().hex}.tmp")
    disk = _Disk(scratch, "x")
    try:
        with io.BufferedWriter(disk) as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(scratch, path)
    except Exception as error:
        if disk.refused is None or isinstance(error, OSError):
            raise
        raise disk.refused from None  # `torch.save` says "unexpected pos", of a full disk too
    finally:
        scratch.unlink(missing_ok=True)

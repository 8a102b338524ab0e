"""The idx format of the MNIST family: a short header, then raw bytes; plain or gzipped, and checked."""

import gzip
import hashlib
import zlib
from pathlib import Path

import numpy as np

__all__ = ["read_idx"]

UNSIGNED_BYTES = 0x08


def _content(path: Path, size: int) -> bytes:
    """Read ``path``, or its gzipped neighbour, but never more than one byte above ``size``."""
    if path.is_file():
        with path.open("rb") as file:
            return file.read(size + 1)
    packed = path.with_name(path.name + ".gz")
    try:
        with gzip.open(packed) as file:
            return file.read(size + 1)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise ValueError(f"expected a complete gzip file in {packed}, received {error}") from None


def read_idx(path: Path, shape: tuple[int, ...], sha256: str) -> np.ndarray:
    """Read one idx file of unsigned bytes whose shape and checksum are known.

    Args:
        path: the plain file; where it is missing, ``path`` + ``.gz`` is read instead. Nothing is written.
        shape: the shape it must have.
        sha256: of the whole plain file.

    Returns:
        A uint8 array of ``shape``.

    Raises:
        FileNotFoundError: where neither file is there.
        ValueError: where the content is another one.
    """
    header = bytes([0, 0, UNSIGNED_BYTES, len(shape)]) + b"".join(n.to_bytes(4, "big") for n in shape)
    size = len(header) + int(np.prod(shape))
    content = _content(path, size)
    received = hashlib.sha256(content).hexdigest()
    if received != sha256 or len(content) != size or not content.startswith(header):
        raise ValueError(f"expected {path} to have sha256 {sha256}, received {received}: the file is damaged")
    return np.frombuffer(content, np.uint8, offset=len(header)).reshape(shape).copy()

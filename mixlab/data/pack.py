"""Writing packed sets; the format is described in `mixlab.data.packed`."""

import io
import json
import os
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from mixlab.data.checksums import split_checksums
from mixlab.data.folders import scratch_folder
from mixlab.data.packed import pictures_per_strip, strip_name
from mixlab.data.split import Split

__all__ = ["write_packed"]

PART_BYTES = 48 << 20


def _encode(images: np.ndarray) -> bytes:
    """Encode pictures (n, C, H, W) as one lossless strip."""
    from PIL import Image

    tall = np.ascontiguousarray(images.transpose(0, 2, 3, 1)).reshape(-1, images.shape[3], images.shape[1])
    stream = io.BytesIO()
    colour = np.repeat(tall, 3, 2) if tall.shape[2] == 1 else tall
    Image.fromarray(colour).save(stream, "WEBP", lossless=True, quality=75)
    return stream.getvalue()


def _strips(split: Split, progress: bool, part: str) -> Iterator[tuple[str, bytes]]:
    from tqdm import tqdm

    images = split.images.numpy()
    full = pictures_per_strip(images.shape[2])
    pieces = [images[start : start + full] for start in range(0, len(images), full)]
    # Pillow encodes without holding Python's lock.
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        encoded = tqdm(pool.map(_encode, pieces), f"packing {part}", len(pieces), disable=not progress)
        for number, content in enumerate(encoded):
            yield strip_name(number, len(pieces)), content


def _write_part(path: Path, strips: list[tuple[str, bytes]]) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for name, content in strips:
            archive.writestr(zipfile.ZipInfo(name), content)  # no time stamp: equal rows give equal archives


def _write_images(folder: Path, part: str, split: Split, part_bytes: int, progress: bool) -> None:
    waiting, size, number = [], 0, 0
    for name, content in _strips(split, progress, part):
        if waiting and size + len(content) > part_bytes:
            _write_part(folder / f"{part}_images_{number}.zip", waiting)
            waiting, size, number = [], 0, number + 1
        waiting.append((name, content))
        size += len(content)
    _write_part(folder / (f"{part}_images_{number}.zip" if number else f"{part}_images.zip"), waiting)


def write_packed(
    folder: Path,
    train: Split,
    test: Split,
    classes: tuple[str, ...],
    *,
    part_bytes: int = PART_BYTES,
    progress: bool = False,
) -> None:
    """Write a packed set: complete under ``folder``, or not at all.

    Args:
        folder: a new folder, named like the set.
        train: rows with 1 or 3 channels.
        test: rows of the same shape.
        classes: the name of every class.
        part_bytes: a zip is closed before its strips exceed this (one strip may, alone).
        progress: show a bar on standard error.

    Raises:
        FileExistsError: where ``folder`` is there already.
        ValueError: for pictures with neither 1 nor 3 channels, parts of different shape, or a part_bytes
            below 1.
        OSError: where writing fails; nothing stays behind.

    Example:
        >>> import tempfile, torch
        >>> rows = Split(torch.zeros(2, 1, 8, 8, dtype=torch.uint8), torch.tensor([0, 1]))
        >>> with tempfile.TemporaryDirectory() as root:
        ...     write_packed(Path(root, "mine"), rows, rows, ("cat", "dog"))
        ...     sorted(path.name for path in Path(root, "mine").iterdir())
        ['checksums.json', 'labels.npz', 'test_images.zip', 'train_images.zip']
    """
    if folder.exists():
        raise FileExistsError(f"expected a new folder to pack into, received {folder}, which is there")
    shape = tuple(train.images.shape[1:])
    if shape[0] not in (1, 3) or shape != tuple(test.images.shape[1:]) or part_bytes < 1:
        raise ValueError(
            f"expected pictures of 1 or 3 channels, alike in both parts, and part_bytes of at least 1,"
            f" received {shape}, {tuple(test.images.shape[1:])} and {part_bytes}"
        )
    with scratch_folder(folder.parent, folder.name) as scratch:
        new = scratch / folder.name
        new.mkdir()
        kind = np.uint8 if len(classes) <= 256 else np.uint32
        fine = (split.labels.numpy().astype(kind) for split in (train, test))
        arrays = dict(zip(("train_fine", "test_fine"), fine), fine_names=np.array(classes, dtype=str))
        np.savez_compressed(new / "labels.npz", **arrays)
        checksums = {**split_checksums("train", train), **split_checksums("test", test)}
        (new / "checksums.json").write_text(json.dumps(checksums, indent=2) + "\n")
        for part, split in (("train", train), ("test", test)):
            _write_images(new, part, split, part_bytes, progress)
        os.replace(new, folder)

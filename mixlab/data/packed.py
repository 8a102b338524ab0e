"""Packed sets: zips of lossless WebP strips with a table of labels, for machines without a network.

A packed set is a folder with

- ``train_images.zip`` or ``train_images_0.zip``, ``train_images_1.zip``, ..., and the same for ``test``.
  Together the parts hold ``00.webp``, ``01.webp``, ... in the order of the rows (more digits where two do not
  suffice). A strip is a lossless RGB WebP of 500 pictures one below the other, or of as many as fit into
  WebP's 16,383 pixels; only the last strip of ``train`` and of ``test`` may be shorter. Grey pictures are
  stored with three equal channels.
- ``labels.npz``: ``train_fine`` and ``test_fine`` (N,) unsigned integers, ``fine_names`` (C,) strings. Coarse
  labels may stand beside them (``train_coarse``, ``test_coarse``, ``coarse_names``): a second set of labels for the
  same pictures.
- ``checksums.json``: sha256 of the decoded pictures and of the fine labels (see `split_checksums`). Sets whose
  checksums mixlab knows need no such file, and are held to what is known; coarse labels are read of those alone.

Everything is compared with the size that the set must have before it is unpacked, and nothing is written.
"""

import io
import json
import os
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import numpy as np
import torch

from mixlab.data.checksums import KNOWN, split_checksums
from mixlab.data.split import Split

__all__ = ["is_packed", "pictures_per_strip", "read_packed", "strip_name"]

LABELS = {kind: (f"train_{kind}", f"test_{kind}", f"{kind}_names") for kind in ("fine", "coarse")}
HEADROOM = 1 << 16  # bytes of headers that a file may have beyond its raw content


def pictures_per_strip(height: int) -> int:
    """How many pictures lie in a full strip: 500, or as many as WebP's 16,383 pixels hold.

    Example:
        >>> pictures_per_strip(32), pictures_per_strip(64)
        (500, 255)
    """
    return min(500, 16_383 // height)


def strip_name(number: int, strips: int) -> str:
    """Name strip ``number`` of ``strips`` so that names sort like numbers.

    Example:
        >>> strip_name(7, 100), strip_name(7, 120)
        ('07.webp', '007.webp')
    """
    return f"{number:0{max(2, len(str(strips - 1)))}d}.webp"


@contextmanager
def _expecting(what: str) -> Iterator[None]:
    """Turn whatever is raised inside into the one ValueError that says what was expected, and where.

    Every parser has its own classes of errors for damaged data: zlib's, lzma's and tokenize's, and on hostile data
    NotImplementedError, RecursionError and MemoryError. No list of them would be complete.
    """
    try:
        yield
    except Exception as error:
        raise ValueError(f"expected {what}: {str(error) or type(error).__name__}") from None


@contextmanager
def _open(path: Path) -> Iterator[zipfile.ZipFile]:
    with path.open("rb") as file:
        with _expecting(f"a zip archive in {path} that is not damaged"):
            archive = zipfile.ZipFile(file)
        yield archive


def is_packed(folder: Path, kind: str = "fine") -> bool:
    """Tell whether ``folder`` looks like a packed set with labels of a kind, "fine" (all have them) or "coarse"."""
    path = folder / "labels.npz"
    if kind == "fine" or not path.is_file():
        return path.is_file()
    try:
        with _open(path) as archive:
            return f"train_{kind}.npy" in archive.namelist()
    except ValueError:
        return True  # Whoever reads it hears that it is damaged.


def _member(archive: zipfile.ZipFile, info: zipfile.ZipInfo, limit: int) -> bytes:
    """Read one member of at most ``limit`` bytes; what its header claims is not trusted."""
    with _expecting(f"a readable {info.filename} in {archive.filename}"), archive.open(info) as file:
        content = file.read(limit + 1)
    if len(content) > limit:
        raise ValueError(f"expected {info.filename} of {archive.filename} in {limit} bytes, received more")
    return content


def _parts(folder: Path, part: str) -> list[Path]:
    single = folder / f"{part}_images.zip"
    if single.is_file():
        return [single]
    numbered = []
    for number in count():
        path = folder / f"{part}_images_{number}.zip"
        if not path.is_file():
            return numbered
        numbered.append(path)


def _strips(folder: Path, part: str, names: list[str], limit: int) -> list[bytes]:
    """Read the strips ``names`` out of the parts, and see that the parts hold these and nothing else."""
    found = []
    contents = []
    for path in _parts(folder, part):
        with _open(path) as archive:
            members = sorted(archive.infolist(), key=lambda info: info.filename)
            expected = names[len(found) : len(found) + len(members)]
            found += [info.filename for info in members]
            for info, name in zip(members, expected):
                if info.filename != name:
                    raise ValueError(f"expected {name} in {path}, received {info.filename!r}")
            if len(found) > len(names):
                break
            contents += [_member(archive, info, limit) for info in members]
    if len(found) != len(names):
        raise ValueError(f"expected {len(names)} strips of {part} in {folder}, received {len(found)}")
    return contents


def _decode(content: bytes, name: str, rows: int, shape: tuple[int, int, int]) -> np.ndarray:
    """Decode a strip into (rows, H, W, C) uint8, after a look at what its header says."""
    from PIL import Image

    channels, height, width = shape
    with _expecting(f"a WebP strip in {name}"), Image.open(io.BytesIO(content), formats=["WEBP"]) as strip:
        if strip.size != (width, rows * height) or strip.mode != "RGB" or strip.n_frames != 1:
            raise ValueError(
                f"expected one RGB picture of {width}x{rows * height}, received {strip.n_frames} in mode"
                f" {strip.mode} of {strip.size[0]}x{strip.size[1]}"
            )
        pixels = np.asarray(strip).reshape(rows, height, width, 3)
    if channels == 1 and (pixels != pixels[..., :1]).any():
        raise ValueError(f"expected grey pictures in {name}, received coloured ones")
    return pixels[..., :channels]


def _images(folder: Path, part: str, rows: int, shape: tuple[int, int, int]) -> np.ndarray:
    channels, height, width = shape
    full = pictures_per_strip(height)
    starts = range(0, rows, full)
    names = [strip_name(number, len(starts)) for number in range(len(starts))]
    strips = _strips(folder, part, names, full * height * width * 3 + HEADROOM)
    images = np.empty((rows, height, width, channels), np.uint8)

    def decode(start: int, name: str, content: bytes) -> None:
        take = min(full, rows - start)
        images[start : start + take] = _decode(content, f"{part} strip {name} of {folder}", take, shape)

    # Pillow decodes without holding Python's lock.
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        list(pool.map(decode, starts, names, strips))
    return images


def _array(content: bytes, what: str) -> np.ndarray:
    """Read an ``.npy`` whose header claims exactly the bytes that are there."""
    stream = io.BytesIO(content)
    with _expecting(f"an array of integers or strings in {what}"):
        version = np.lib.format.read_magic(stream)
        if version != (1, 0):
            raise ValueError(f"it has version {version} of the format")
        shape, _, dtype = np.lib.format.read_array_header_1_0(stream)
        size = dtype.itemsize * int(np.prod(shape, dtype=object))
        if dtype.hasobject or dtype.kind not in "uiU" or size != len(content) - stream.tell():
            raise ValueError(f"it claims {dtype} of shape {shape}")
        return np.load(io.BytesIO(content), allow_pickle=False)


def _labels(folder: Path, rows: tuple[int, int], classes: tuple[str, ...], kind: str) -> list[torch.Tensor]:
    path = folder / "labels.npz"
    wanted, known = LABELS[kind], {name for names in LABELS.values() for name in names}
    limit = 8 * max(*rows, 1) + HEADROOM
    with _open(path) as archive:
        members = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
        if len(members) != len(archive.infolist()) or not set(wanted) <= set(members) <= known:
            raise ValueError(f"expected {', '.join(wanted)} in {path}, received {', '.join(sorted(members))}")
        read = {name: _array(_member(archive, members[name], limit), f"{name} of {path}") for name in wanted}
    # Compared as an array, shape first: strings of no length cost no bytes, and there may be billions of them.
    if not np.array_equal(read[wanted[2]], np.array(classes, dtype=str)):
        raise ValueError(f"expected the {len(classes)} class names of the set in {path}, received others")
    parts = []
    for name, count_ in zip(wanted[:2], rows):
        labels = read[name]
        if labels.shape != (count_,) or labels.dtype.kind not in "ui":
            raise ValueError(
                f"expected {name} of {path} as ({count_},) integers, received {labels.shape} {labels.dtype}"
            )
        if count_ and not (labels.min() >= 0 and labels.max() < len(classes)):
            raise ValueError(f"expected labels 0..{len(classes) - 1} in {name} of {path}, received others")
        parts.append(torch.from_numpy(labels.astype(np.int64)))
    return parts


def _expected(folder: Path, name: str) -> dict[str, str]:
    """What the checksums must be: those mixlab knows, else those that were written with the set."""
    if name in KNOWN:
        return KNOWN[name]
    path = folder / "checksums.json"
    if not path.is_file():
        raise ValueError(f"expected checksums of {name} in {path}, received no such file")
    with path.open("rb") as file:
        content = file.read(HEADROOM)
    with _expecting(f"a table of checksums in {path}"):
        return dict(json.loads(content))


def read_packed(
    folder: Path,
    name: str,
    rows: tuple[int, int],
    shape: tuple[int, int, int],
    classes: tuple[str, ...],
    kind: str = "fine",
) -> tuple[Split, Split]:
    """Read and verify a packed set.

    Args:
        folder: where the archives lie.
        name: of the set.
        rows: that the training and the test part must have.
        shape: (C, H, W) that a picture must have.
        classes: names that the classes must have.
        kind: of the labels, "fine" or "coarse".

    Returns:
        The training and the test part.

    Raises:
        ValueError: where anything is missing, damaged, too large or unexpected.

    Example:
        >>> import tempfile
        >>> from mixlab.data.pack import write_packed
        >>> rows = Split(torch.full((2, 1, 8, 8), 7, dtype=torch.uint8), torch.tensor([0, 1]))
        >>> with tempfile.TemporaryDirectory() as root:
        ...     write_packed(Path(root, "mine"), rows, rows, ("cat", "dog"))
        ...     train, test = read_packed(Path(root, "mine"), "mine", (2, 2), (1, 8, 8), ("cat", "dog"))
        >>> train.labels.tolist(), torch.equal(test.images, rows.images)
        ([0, 1], True)
    """
    expected = _expected(folder, name)
    labels = _labels(folder, rows, classes, kind)
    splits = []
    for part, count_, index in zip(("train", "test"), rows, labels):
        pixels = torch.from_numpy(_images(folder, part, count_, shape))
        split = Split(pixels.permute(0, 3, 1, 2).contiguous(), index)
        for what, received in split_checksums(part, split).items():
            if expected.get(what) != received:
                raise ValueError(
                    f"expected {what} of {folder} with sha256 {expected.get(what)}, received {received}"
                )
        splits.append(split)
    return splits[0], splits[1]

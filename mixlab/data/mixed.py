"""Sets of mixed images that were written once, to be trained on often: what such a folder holds, and its reader.

`mixlab.distill.write_mixed` makes them. A written set is a folder with

- ``mixed.json``, which is written first: all that defines the set. That is the mixer as plain data (with its teacher's
  checksum), the name and the checksum of the images that were mixed, ``mean``, ``std``, ``classes``, ``seed``,
  ``batch_size``, ``per_shard``, ``keep``, ``count`` and ``masks``.
- Shards ``00000-SHA.npz``, ``00001-SHA.npz``, ..., where SHA is the sha256 of the file. So a shard and its checksum
  come to be there in one step. A shard may hold any number of rows, also none.

A shard has, for its n mixes of K images each:

- ``images`` (n, C, H, W) uint8: mixed as the mixer saw them, then put back to 0..255 and rounded to the nearest.
- ``soft`` (n, classes) float32: the label of the mix.
- ``sources`` (n, K) int64: the images that were mixed, by their numbers in their own set's file (`Split.rows`).
- ``weights`` (n, K) float32: what each counts in the label, SuperMix's ratios r. ``shares`` (n, K) float32: its part of
  the picture.
- ``masks`` (n, K, H, W) uint8, where they were asked for: the masks in steps of 1/255, rounded to the nearest, so that
  a hard mask is exact and a smooth one is off by 1/510 at most.
- ``success`` (n,) bool, ``iterations`` (n,) int64 and ``classes`` (n, K) int64 where the mixer solves for its masks:
  whether the teacher sees what was asked for, how many steps that took, and what it sees in the images themselves.
- ``drawn``, ``succeeded`` and ``spent``, () int64: how many mixes were drawn for this shard, how many of them
  succeeded, and how many iterations all of them took. The last two are -1 where the mixer does not solve.
- ``set``, () a string: the sha256 of the ``mixed.json`` that it belongs to.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from mixlab.data.checksums import read_checked
from mixlab.data.registry import SOURCES
from mixlab.data.split import Split

__all__ = ["FORMAT", "MANIFEST", "described", "is_written", "manifest_of", "read_mixed", "read_parts", "read_shard",
           "shards_of"]

MANIFEST = "mixed.json"
FORMAT = 1
PARTS = ("sources", "weights", "shares", "masks", "success", "iterations", "classes")
_SHARD = re.compile(r"(\d{5,})-([0-9a-f]{64})\.npz")


def is_written(name: str | os.PathLike) -> bool:
    """Whether a name means the folder of a written set: it is no set's name, and has a separator or names a manifest.

    Example:
        >>> is_written("digits"), is_written("runs/mine")
        (False, True)
    """
    text = os.fspath(name)
    if text in SOURCES:
        return False
    return (Path(text) / MANIFEST).is_file() or any(mark and mark in text for mark in (os.sep, os.altsep))


def manifest_of(folder: str | os.PathLike) -> tuple[dict, str]:
    """Read what defines a written set.

    Returns:
        The manifest, and the sha256 of its file, which every shard of the set names.

    Raises:
        FileNotFoundError: where there is none.
        ValueError: where it cannot be read.
    """
    path = Path(folder) / MANIFEST
    if not path.is_file():
        raise FileNotFoundError(f"expected a written set in {folder}, received no {MANIFEST} there: `mixlab mix` "
                                "writes one")
    content = path.read_bytes()
    try:
        manifest = json.loads(content)
        known = manifest["format"] == FORMAT
    except (ValueError, TypeError, KeyError) as error:
        raise ValueError(f"expected what defines a written set in {path}, received a damaged file") from error
    if not known:
        raise ValueError(f"expected format {FORMAT} in {path}, received {manifest['format']!r}")
    return manifest, hashlib.sha256(content).hexdigest()


def shards_of(folder: str | os.PathLike) -> dict[int, Path]:
    """Find the shards that are there, by their number.

    Raises:
        ValueError: where one number has two.
    """
    shards = {}
    for path in sorted(Path(folder).iterdir()):
        if found := _SHARD.fullmatch(path.name):
            number = int(found[1])
            if number in shards:
                raise ValueError(f"expected one shard {number} in {folder}, received {shards[number].name} and "
                                 f"{path.name}")
            shards[number] = path
    return shards


def read_shard(path: Path, digest: str, names: Sequence[str]) -> dict[str, np.ndarray]:
    """Read some arrays of a shard, and the numbers that say how it was made.

    Args:
        path: the shard.
        digest: sha256 of the set's manifest.
        names: arrays to read, of those that are there.

    Raises:
        ValueError: where the file is damaged, or belongs to another set.
    """
    content = read_checked(path, "sha256", _SHARD.fullmatch(path.name)[2])
    with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
        if str(arrays["set"]) != digest:
            raise ValueError(f"expected a shard of the set that {path.with_name(MANIFEST)} defines, received "
                             f"{path.name} of another one")
        wanted = [*names, "drawn", "succeeded", "spent"]
        return {name: arrays[name] for name in wanted if name in arrays} | {"kept": np.array(len(arrays["soft"]))}


def described(manifest: dict, shards: list[dict]) -> dict:
    """What there is to say of a set: its manifest, and what its shards add up to.

    Args:
        manifest: of the set.
        shards: what `read_shard` gives of each.

    Returns:
        The manifest with ``shards`` (how many), ``drawn`` and ``kept`` (rows; ``count`` of those kept make the set),
        ``success_rate`` (of what was drawn) and ``iterations`` (mean over what was drawn). The last two are None where
        the mixer does not solve for its masks.
    """
    drawn, kept, succeeded, spent = (
        sum(int(shard[name]) for shard in shards) for name in ("drawn", "kept", "succeeded", "spent")
    )
    solves = bool(shards) and all(int(shard["spent"]) >= 0 for shard in shards)
    return manifest | {
        "shards": len(shards),
        "drawn": drawn,
        "kept": kept,
        "success_rate": succeeded / drawn if solves else None,
        "iterations": spent / drawn if solves else None,
    }


def _read(folder: str | os.PathLike, names: Sequence[str]) -> tuple[dict[str, Tensor], dict]:
    """The first ``count`` rows of some arrays, and the set's description."""
    manifest, digest = manifest_of(folder)
    count, read = manifest["count"], []
    for shard in _in_order(folder, digest, names):
        read.append(shard)
        if sum(int(each["kept"]) for each in read) >= count:
            break
    about = described(manifest, read)
    if about["kept"] < count:
        raise ValueError(f"expected {count} rows in {folder}, received {about['kept']}: the set is not complete, and "
                         "writing goes on where the same command is given again")
    there = [name for name in names if name in read[0]]
    rows = {name: np.concatenate([shard[name] for shard in read])[:count] for name in there}
    return {name: torch.from_numpy(value) for name, value in rows.items()}, about


def _in_order(folder: str | os.PathLike, digest: str, names: Sequence[str]) -> Iterator[dict[str, np.ndarray]]:
    """The shards from the first on, up to the first that is missing."""
    shards = shards_of(folder)
    number = 0
    while number in shards:
        yield read_shard(shards[number], digest, names)
        number += 1


def read_mixed(folder: str | os.PathLike) -> tuple[Split, dict]:
    """Read and verify a written set.

    Args:
        folder: of `mixlab.distill.write_mixed`, or of `mixlab mix`.

    Returns:
        A `Split` of ``count`` rows, with soft labels; ``labels`` are the largest of each (the first of equals), and
        ``rows`` are 0..N-1. Beside it, the set's description: see `described`.

    Raises:
        FileNotFoundError: where there is no written set.
        ValueError: where a file is damaged or of another set, or rows are missing.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> from mixlab.data import load
        >>> from mixlab.distill import write_mixed
        >>> from mixlab.mixers import Mixup
        >>> digits = load("digits")
        >>> with TemporaryDirectory() as folder:
        ...     about = write_mixed(Mixup(), digits.train, folder, count=150, mean=digits.mean, std=digits.std,
        ...                         classes=digits.classes, keep="best", per_shard=100)
        ...     split, again = read_mixed(folder)
        >>> len(split), split.soft.shape, split.soft.sum(1).allclose(torch.ones(150)), again == about
        (150, torch.Size([150, 10]), True, True)
    """
    parts, about = _read(folder, ("images", "soft"))
    return Split(parts["images"], parts["soft"].argmax(1), soft=parts["soft"]), about


def read_parts(folder: str | os.PathLike, names: Sequence[str] = PARTS) -> dict[str, Tensor]:
    """Read and verify how the rows of a written set were made, in the order of `read_mixed`.

    Args:
        folder: see `read_mixed`.
        names: what to read: ``sources``, ``weights``, ``shares`` and, where they are there, ``masks``, ``success``,
            ``iterations`` and ``classes``, as the head of this module says. Masks are most of it.

    Raises:
        FileNotFoundError, ValueError: as `read_mixed`.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> from mixlab.data import load
        >>> from mixlab.distill import write_mixed
        >>> from mixlab.mixers import CutMix
        >>> digits = load("digits")
        >>> with TemporaryDirectory() as folder:
        ...     about = write_mixed(CutMix(), digits.train, folder, count=100, mean=digits.mean, std=digits.std,
        ...                         classes=digits.classes, keep="best")
        ...     parts = read_parts(folder)
        >>> parts["masks"].sum(1).unique(), (parts["masks"].float().mean((2, 3)) / 255).allclose(parts["shares"])
        (tensor([255]), True)
    """
    return _read(folder, names)[0]

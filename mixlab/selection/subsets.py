"""A choice of rows as a plain file: their numbers, and where they are from.

The file is JSON: ``format``; ``about``, plain data that says of which set the rows are and how they were chosen; and
``rows``, the numbers in the set's own training file, ascending.
"""

from __future__ import annotations

import hashlib
import json
from os import PathLike
from pathlib import Path

import torch
from torch import Tensor

from mixlab.data import Dataset
from mixlab.data.checksums import content_checksum
from mixlab.files import write_atomically

__all__ = ["apply_subset", "provenance", "read_subset", "write_subset"]

FORMAT = 1


def provenance(data: Dataset, rows: Tensor, **more: object) -> dict:
    """What a subset file has to say of its rows, and whatever else there is to say.

    Args:
        data: the set that the rows are of.
        rows: ``(n,)`` int64, numbers of training rows.
        more: plain data, such as the policy and the part t.

    Returns:
        A dict with ``set``, the name, ``content``, a checksum over pictures, labels and numbers of these rows, and
        ``more``.

    Raises:
        ValueError: for rows that are not in the training split; see `Dataset.subset`.

    Example:
        >>> from mixlab.data import load
        >>> about = provenance(load("digits"), torch.tensor([3, 5]), policy="mine")
        >>> about["set"], len(about["content"]), about["policy"]
        ('digits', 64, 'mine')
    """
    return {"set": data.name, "content": content_checksum(data.subset(rows).train), **more}


def write_subset(path: str | PathLike, rows: Tensor, about: dict) -> None:
    """Write a subset file, whole or not at all.

    Args:
        path: the file; its folder is made.
        rows: ``(n,)`` int64, numbers of training rows.
        about: from `provenance`.

    Raises:
        ValueError: for rows that are none or not ascending, or an ``about`` that is no plain data or names no set.
        OSError: if the disk refuses; whatever was at `path` is still there.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> from mixlab.data import load
        >>> rows = torch.tensor([3, 5])
        >>> with TemporaryDirectory() as folder:
        ...     write_subset(f"{folder}/two.json", rows, provenance(load("digits"), rows, policy="mine"))
        ...     again, about = read_subset(f"{folder}/two.json")
        >>> again.tolist(), about["policy"]
        ([3, 5], 'mine')
    """
    if not isinstance(rows, Tensor) or rows.dtype != torch.int64 or rows.ndim != 1:
        raise ValueError(f"expected rows as int64 tensor (n,), received {rows!r}")
    try:
        said = json.dumps(about, indent=1).replace("\n", "\n ")
    except TypeError as error:
        raise ValueError(f"expected an about of plain data, received other: {error}") from None
    content = f'{{\n "format": {FORMAT},\n "about": {said},\n "rows": {json.dumps(rows.tolist())}\n}}\n'
    _parsed(content)  # what could not be read again is not written
    write_atomically(Path(path), lambda file: file.write(content.encode()))


def read_subset(path: str | PathLike, checksum: str | None = None) -> tuple[Tensor, dict]:
    """Read a subset file.

    Args:
        path: the file.
        checksum: sha256 that it has; not looked at where None.

    Returns:
        The rows, ``(n,)`` int64, ascending, and what is said about them.

    Raises:
        FileNotFoundError: where there is none.
        ValueError: for a file that is damaged, none of `write_subset`, or of another checksum.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     file = Path(folder) / "two.json"
        ...     said = file.write_text('{"format": 1, "about": {"set": "digits", "content": "0f"}, "rows": [3, 5]}')
        ...     read_subset(file)
        (tensor([3, 5]), {'set': 'digits', 'content': '0f'})
    """
    content = Path(path).read_bytes()
    received = hashlib.sha256(content).hexdigest()
    if checksum not in (None, received):
        wrong = f"expected the subset {path} to have sha256 {checksum}, received {received}: it is another one"
        raise ValueError(wrong)
    try:
        rows, about = _parsed(content)
    except ValueError as error:
        raise ValueError(f"expected a file of `mixlab select` at {path}, received another: {error}") from None
    return torch.tensor(rows), about


def apply_subset(data: Dataset, path: str | PathLike, checksum: str | None = None) -> Dataset:
    """Keep the training rows that a subset file names, having compared them with those that were meant.

    Args:
        data: the set; its validation and test rows stay.
        path: the file.
        checksum: sha256 that it has; not looked at where None.

    Returns:
        `Dataset.subset` of the rows.

    Raises:
        FileNotFoundError: where there is no file.
        ValueError: for a file that cannot be read or has another checksum, rows of another set or with other pictures
            or labels, or rows that are not in the training split.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> from mixlab.data import load
        >>> data, rows = load("digits"), torch.tensor([3, 5])
        >>> with TemporaryDirectory() as folder:
        ...     write_subset(f"{folder}/two.json", rows, provenance(data, rows))
        ...     apply_subset(data, f"{folder}/two.json").train.rows.tolist()
        [3, 5]
    """
    rows, about = read_subset(path, checksum)
    if about["set"] != data.name:
        raise ValueError(f"expected a subset of {data.name}, received {path}, which is one of {about['set']}")
    try:
        kept = data.subset(rows)
    except ValueError as error:
        raise ValueError(f"{error} ({path}: {_origin(about)})") from None
    if (received := content_checksum(kept.train)) != about["content"]:
        raise ValueError(f"expected the pictures and labels of {data.name} that {path} was made of "
                         f"({about['content'][:12]}), received others under the same numbers ({received[:12]})")
    return kept


def _origin(about: dict) -> str:
    """How the training split was drawn of which the rows are, where that is known."""
    drawn = about.get("split")
    if not isinstance(drawn, dict):
        return "it does not say how its training split was drawn"
    return "chosen with " + ", ".join(f"{name} {value}" for name, value in drawn.items())


def _parsed(content: bytes | str) -> tuple[list[int], dict]:
    """Rows and provenance in a file's content."""
    found = json.loads(content)
    received = found.get("format") if isinstance(found, dict) else None
    if received != FORMAT:
        raise ValueError(f"expected format {FORMAT}, received {received!r}")
    rows, about = found.get("rows"), found.get("about")
    if not isinstance(about, dict) or not all(isinstance(about.get(name), str) for name in ("set", "content")):
        raise ValueError("expected an about with set and content, received none: `provenance` makes one")
    whole = isinstance(rows, list) and all(type(row) is int for row in rows)
    if not (whole and rows and 0 <= rows[0] and all(one < other for one, other in zip(rows, rows[1:]))):
        raise ValueError("expected ascending numbers of rows, at least one, received others")
    return rows, about

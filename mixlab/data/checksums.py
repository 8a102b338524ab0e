"""Checksums: of files, which are read once, compared and only then used, and of the arrays that they hold."""

import hashlib
from pathlib import Path

import numpy as np

from mixlab.data.split import Split

__all__ = ["KNOWN", "content_checksum", "read_checked", "row_digests", "split_checksums"]

# sha256 of pictures in (N, H, W, C) order and of labels as little-endian int64, for sets in the original
# order.
KNOWN = {
    "mnist": {
        "train_images": "741c988805d008ac6e4c904b69001ba184c24b2c540a4ef403f4c71b676cf757",
        "train_labels": "e474323ac02fc156161b0bbb1f8c9cfeb327a74bcd9f9680a8385269a24f566c",
        "test_images": "6d87418db22cc8025d05968bec9bd5c3932904b23485740db143a061a2c9d161",
        "test_labels": "2fd8de6bdb8d11780b4b96dc57847bcfe6953f7c32aa48bfcd8237c3b7847243",
    },
    "fashion-mnist": {
        "train_images": "2e487a6c89124f78f2d7521542223cafe96f7123c3ca13d447772ac6ecbb3012",
        "train_labels": "e3245b63f7c40d1c8b652835f19744d970c1613b40ddac6bcfc87b9c46e16a0b",
        "test_images": "c867c93ff95360594e8ec3287995350b824dd110b11595c0e13d5423f621867a",
        "test_labels": "d51d859896c55775b9e9e219b77ff03bcec1b6ac322f313544dc3f9e7bc94fae",
    },
    "cifar100": {
        "train_images": "4e457917601a66aed021f5fa37957b56c6319557c0a8ed5484de3c390af45430",
        "train_labels": "8bf4935e7c77a3096270043c6f3b221b6ecb9c63d1a08608e9af66cff17e977a",
        "test_images": "4cb8e5d9309da489bf6b19cc10cd96c3ae6f8daf225380b605aaee4c0d6aee19",
        "test_labels": "80031c23f8300724c6fbc588e4bccbe41c6392041782148727bb497b0132c4ad",
    },
}
# The pictures are the same.
KNOWN["cifar100-coarse"] = KNOWN["cifar100"] | {
    "train_labels": "9f99c2cdae93cf09da2fc6497c96ab042c6dc02c456a2e86dcffd2305df5a2e9",
    "test_labels": "e2f01c218d5f70ed60e3d80cb12337f835005bcae62b64fefcaa2b647612af83",
}


def read_checked(path: Path, kind: str, expected: str) -> bytes:
    """Read a file whose checksum is known.

    Args:
        path: the file.
        kind: ``"md5"`` or ``"sha256"``.
        expected: the checksum in hexadecimal digits.

    Raises:
        ValueError: where the content has another checksum.
    """
    content = path.read_bytes()
    received = hashlib.new(kind, content, usedforsecurity=False).hexdigest()
    if received != expected:
        raise ValueError(f"expected {path} to have {kind} {expected}, received {received}: it is damaged")
    return content


def split_checksums(part: str, split: Split) -> dict[str, str]:
    """Compute sha256 of a split's pictures, (N, H, W, C) uint8, and of its labels, (N,) little-endian int64.

    Example:
        >>> import torch
        >>> split = Split(torch.zeros(1, 1, 1, 1, dtype=torch.uint8), torch.tensor([0]))
        >>> split_checksums("train", split)["train_images"][:8]
        '6e340b9c'
    """
    pixels = split.images.permute(0, 2, 3, 1).contiguous().numpy()
    labels = split.labels.numpy().astype("<i8")
    return {
        f"{part}_images": hashlib.sha256(np.ascontiguousarray(pixels)).hexdigest(),
        f"{part}_labels": hashlib.sha256(labels).hexdigest(),
    }


def row_digests(split: Split) -> list[bytes]:
    """Compute a digest of every row's picture and label, 16 bytes each; its number does not count.

    Example:
        >>> import torch
        >>> split = Split(torch.zeros(3, 1, 2, 2, dtype=torch.uint8), torch.tensor([0, 1, 0]))
        >>> one, other, same = row_digests(split)
        >>> one == same, one == other
        (True, False)
    """
    pictures, labels = split.images.cpu().contiguous().numpy(), split.labels.cpu().numpy().astype("<i8")
    return [hashlib.blake2b(picture, digest_size=16, key=label.tobytes()).digest()
            for picture, label in zip(pictures, labels, strict=True)]


def content_checksum(split: Split) -> str:
    """Compute sha256 of what a split holds: the picture, the label and the number of every row, in any order.

    Example:
        >>> import torch
        >>> split = Split(torch.arange(3, dtype=torch.uint8).view(3, 1, 1, 1), torch.tensor([0, 1, 0]))
        >>> content_checksum(split) == content_checksum(split.subset(torch.tensor([2, 0, 1])))
        True
        >>> content_checksum(split) == content_checksum(split.subset(torch.tensor([2, 0])))
        False
    """
    named = sorted(zip(split.rows.tolist(), row_digests(split), strict=True))
    digest = hashlib.sha256(repr(tuple(split.images.shape[1:])).encode())
    for row, content in named:
        digest.update(row.to_bytes(8, "little", signed=True) + content)
    return digest.hexdigest()

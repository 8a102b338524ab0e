"""`svhn`: 73,257 + 26,032 house-number digits in colour, 32x32, cropped format, in two Matlab files.

Y. Netzer et al., "Reading Digits in Natural Images with Unsupervised Feature Learning", 2011.
"""

import io
from pathlib import Path

import numpy as np
import torch

from mixlab.data.checksums import read_checked
from mixlab.data.split import Split

__all__ = ["files", "read"]

# torchvision puts the files into the folder it is given; one of their own keeps the root in order.
FOLDER = "SVHN"


def _layout() -> list[tuple[str, str]]:
    """Torchvision's (file, md5) of the training and the test part."""
    from torchvision.datasets import SVHN

    return [tuple(SVHN.split_list[part][1:]) for part in ("train", "test")]


def files(root: Path) -> list[Path]:
    """List the two files below ``root``, whether they are there or not."""
    return [root / FOLDER / name for name, _ in _layout()]


def _part(path: Path, md5: str) -> Split:
    from scipy.io import loadmat

    content = loadmat(io.BytesIO(read_checked(path, "md5", md5)))
    pixels = np.ascontiguousarray(content["X"].transpose(3, 2, 0, 1))  # stored as (H, W, C, N)
    labels = content["y"].astype(np.int64).ravel() % 10  # the digit 0 is stored as 10
    return Split(torch.from_numpy(pixels), torch.from_numpy(labels))


def read(root: Path) -> tuple[Split, Split]:
    """Read both parts; the label of a picture is its digit. The 531,131 extra pictures are not used.

    Raises:
        ValueError: where a file's md5 is not torchvision's.
    """
    train, test = (_part(root / FOLDER / name, md5) for name, md5 in _layout())
    return train, test

"""`mnist` and `fashion-mnist`: 60,000 + 10,000 grey pictures of 28x28, in torchvision's four idx files."""

from pathlib import Path

import numpy as np
import torch

from mixlab.data.idx import read_idx
from mixlab.data.split import Split

__all__ = ["CHECKSUMS", "FASHION_CLASSES", "MNIST_CLASSES", "files", "read_family"]

MNIST_CLASSES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
FASHION_CLASSES = (
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
)  # fmt: skip

ROWS = {"train": 60_000, "t10k": 10_000}
# sha256 of the four files, unpacked, by torchvision's name of the folder.
CHECKSUMS = {
    "MNIST": {
        "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
        "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
        "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    },
    "FashionMNIST": {
        "train-images-idx3-ubyte": "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
        "train-labels-idx1-ubyte": "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
        "t10k-images-idx3-ubyte": "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
        "t10k-labels-idx1-ubyte": "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
    },
}


def files(root: Path, folder: str) -> list[Path]:
    """List the four files of ``folder`` below ``root``, there or not; gzipped where only that is there."""
    plain = [root / folder / "raw" / name for name in CHECKSUMS[folder]]
    packed = [path.with_name(path.name + ".gz") for path in plain]
    return [path if path.is_file() or not other.is_file() else other for path, other in zip(plain, packed)]


def _part(root: Path, folder: str, part: str) -> Split:
    rows, checksums, raw = ROWS[part], CHECKSUMS[folder], root / folder / "raw"
    images, labels = f"{part}-images-idx3-ubyte", f"{part}-labels-idx1-ubyte"
    grey = read_idx(raw / images, (rows, 28, 28), checksums[images])
    index = read_idx(raw / labels, (rows,), checksums[labels])
    return Split(torch.from_numpy(grey).unsqueeze(1), torch.from_numpy(index.astype(np.int64)))


def read_family(root: Path, folder: str) -> tuple[Split, Split]:
    """Read both parts of ``MNIST`` or ``FashionMNIST`` (the folder's name), each file by its sha256."""
    return _part(root, folder, "train"), _part(root, folder, "t10k")

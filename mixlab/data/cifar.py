"""The CIFAR sets: 50,000 + 10,000 colour pictures of 32x32, in the pickles of torchvision's layout.

CIFAR-100 has two labels a picture: one of 100 fine classes (`cifar100`), and the one of 20 superclasses of five fine
classes each that it belongs to (`cifar100-coarse`).

A. Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", technical report, 2009. A pickle can
run code when it is opened, so these are opened only where their md5 is the one that torchvision lists.
"""

import pickle
from pathlib import Path

import numpy as np
import torch

from mixlab.data.checksums import read_checked
from mixlab.data.split import Split

__all__ = ["CIFAR100_CLASSES", "CIFAR100_SUPERCLASSES", "CIFAR10_CLASSES", "files", "read"]

CIFAR10_CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
CIFAR100_CLASSES = tuple(
    """
    apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus butterfly camel
    can castle caterpillar cattle chair chimpanzee clock cloud cockroach couch crab crocodile cup dinosaur
    dolphin elephant flatfish forest fox girl hamster house kangaroo keyboard lamp lawn_mower leopard lion
    lizard lobster man maple_tree motorcycle mountain mouse mushroom oak_tree orange orchid otter palm_tree
    pear pickup_truck pine_tree plain plate poppy porcupine possum rabbit raccoon ray road rocket rose sea
    seal shark shrew skunk skyscraper snail snake spider squirrel streetcar sunflower sweet_pepper table
    tank telephone television tiger tractor train trout tulip turtle wardrobe whale willow_tree wolf woman
    worm
    """.split()
)
CIFAR100_SUPERCLASSES = tuple(
    """
    aquatic_mammals fish flowers food_containers fruit_and_vegetables household_electrical_devices
    household_furniture insects large_carnivores large_man-made_outdoor_things large_natural_outdoor_scenes
    large_omnivores_and_herbivores medium_mammals non-insect_invertebrates people reptiles small_mammals trees
    vehicles_1 vehicles_2
    """.split()
)


def _layout(folder: str) -> tuple[list, list]:
    """Torchvision's lists of (file, md5) of the training and the test part of ``folder``."""
    from torchvision.datasets import CIFAR10, CIFAR100

    kind = {one.base_folder: one for one in (CIFAR10, CIFAR100)}[folder]
    return kind.train_list, kind.test_list


def files(root: Path, folder: str) -> list[Path]:
    """List the pickles of ``folder`` below ``root``, whether they are there or not."""
    return [root / folder / name for part in _layout(folder) for name, _ in part]


def _part(root: Path, folder: str, listed: list, kind: str) -> Split:
    pixels, labels = [], []
    for name, md5 in listed:
        # What is unpickled is the very bytes whose checksum matched, not the file read a second time.
        batch = pickle.loads(read_checked(root / folder / name, "md5", md5), encoding="latin1")
        pixels.append(batch["data"])
        labels.extend(batch[kind])
    images = np.concatenate(pixels).reshape(-1, 3, 32, 32)
    return Split(torch.from_numpy(images), torch.tensor(labels, dtype=torch.int64))


def read(root: Path, folder: str, kind: str) -> tuple[Split, Split]:
    """Read both parts of a CIFAR set.

    Args:
        root: what ``folder`` lies in.
        folder: ``cifar-10-batches-py`` or ``cifar-100-python``.
        kind: the pickles' name of the labels: ``labels`` of CIFAR-10, ``fine_labels`` or ``coarse_labels`` of
            CIFAR-100.

    Raises:
        ValueError: where a file's md5 is not torchvision's; that file is not opened.
    """
    train, test = _layout(folder)
    return _part(root, folder, train, kind), _part(root, folder, test, kind)

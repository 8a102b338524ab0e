"""CIFAR and SVHN in torchvision's files: read alike, and never opened before their checksum matched."""

import hashlib
import pickle

import numpy as np
import pytest
import torch
from scipy.io import savemat
from torchvision import datasets

from mixlab.data import SOURCES, cifar, load, svhn


def md5(path):
    return hashlib.md5(path.read_bytes()).hexdigest()


class Trap:
    """Unpickling this writes a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


@pytest.fixture
def cifar10(tmp_path, monkeypatch):
    """A small CIFAR-10 in torchvision's layout, whose checksums torchvision is made to expect."""
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    draws = np.random.default_rng(0)
    listed = []
    for name in ("data_batch_1", "data_batch_2", "test_batch"):
        batch = {
            "data": draws.integers(0, 256, (20, 3072), dtype=np.uint8),
            "labels": [int(label) for label in np.arange(20) % 10],
        }
        (folder / name).write_bytes(pickle.dumps(batch))
        listed.append([name, md5(folder / name)])
    (folder / "batches.meta").write_bytes(pickle.dumps({"label_names": list(cifar.CIFAR10_CLASSES)}))
    meta = {"filename": "batches.meta", "key": "label_names", "md5": md5(folder / "batches.meta")}
    monkeypatch.setattr(datasets.CIFAR10, "train_list", listed[:2])
    monkeypatch.setattr(datasets.CIFAR10, "test_list", listed[2:])
    monkeypatch.setattr(datasets.CIFAR10, "meta", meta)
    return tmp_path


def test_cifar10_is_what_torchvision_reads(cifar10):
    train, test = cifar.read(cifar10, "cifar-10-batches-py", "labels")
    for split, part in ((train, True), (test, False)):
        theirs = datasets.CIFAR10(cifar10, train=part)
        assert np.array_equal(split.images.permute(0, 2, 3, 1).numpy(), theirs.data)
        assert split.labels.tolist() == theirs.targets
    assert list(cifar.CIFAR10_CLASSES) == theirs.classes
    data = load("cifar10", cifar10, validation=0.25)
    assert torch.bincount(data.validation.labels).tolist() == [1] * 10  # 4 rows a class


def test_cifar100_gives_the_fine_labels(tmp_path, monkeypatch):
    folder = tmp_path / "cifar-100-python"
    folder.mkdir()
    pixels = np.random.default_rng(0).integers(0, 256, (5, 3072), dtype=np.uint8)
    for name in ("train", "test"):
        batch = {"data": pixels, "fine_labels": [99, 0, 3, 7, 7], "coarse_labels": [1, 2, 3, 4, 5]}
        (folder / name).write_bytes(pickle.dumps(batch))
        monkeypatch.setattr(datasets.CIFAR100, f"{name}_list", [[name, md5(folder / name)]])
    for split in cifar.read(tmp_path, "cifar-100-python", "fine_labels"):
        assert split.labels.tolist() == [99, 0, 3, 7, 7]
        assert np.array_equal(split.images.numpy().reshape(5, 3072), pixels)


def test_a_pickle_with_another_checksum_is_not_opened(cifar10):
    path = cifar10 / "cifar-10-batches-py" / "data_batch_2"
    path.write_bytes(pickle.dumps(Trap(cifar10 / "sprung")))
    with pytest.raises(ValueError, match=f"data_batch_2 to have md5 .* received {md5(path)}"):
        load("cifar10", cifar10)
    assert not (cifar10 / "sprung").exists()
    pickle.loads(path.read_bytes()).close()
    assert (cifar10 / "sprung").exists()  # the trap does work


def test_svhn_is_what_torchvision_reads(tmp_path, monkeypatch):
    folder = tmp_path / "SVHN"
    folder.mkdir()
    draws = np.random.default_rng(0)
    listed = {}
    for part, rows in (("train", 30), ("test", 10)):
        pixels = draws.integers(0, 256, (32, 32, 3, rows), dtype=np.uint8)
        labels = (np.arange(rows) % 10 + 1).astype(np.uint8).reshape(-1, 1)
        path = folder / f"{part}_32x32.mat"
        savemat(path, {"X": pixels, "y": labels})
        listed[part] = ["", path.name, md5(path)]
    monkeypatch.setattr(datasets.SVHN, "split_list", listed)
    for split, part in zip(svhn.read(tmp_path), ("train", "test")):
        theirs = datasets.SVHN(folder, split=part)
        assert np.array_equal(split.images.numpy(), theirs.data)
        assert split.labels.tolist() == theirs.labels.tolist()
    assert split.labels.tolist() == [1, 2, 3, 4, 5, 6, 7, 8, 9, 0]
    (folder / "test_32x32.mat").write_bytes(b"something else")
    with pytest.raises(ValueError, match="test_32x32.mat to have md5"):
        load("svhn", tmp_path)


def test_the_registry_names_the_files_torchvision_writes(tmp_path):
    files = {
        name: [str(path.relative_to(tmp_path)) for path in source.files(tmp_path)]
        for name, source in SOURCES.items()
    }
    batches = [f"cifar-10-batches-py/data_batch_{number}" for number in range(1, 6)]
    assert files["cifar10"] == [*batches, "cifar-10-batches-py/test_batch"]
    assert files["cifar100"] == ["cifar-100-python/train", "cifar-100-python/test"]
    assert files["svhn"] == ["SVHN/train_32x32.mat", "SVHN/test_32x32.mat"]
    assert files["mnist"][0] == "MNIST/raw/train-images-idx3-ubyte"
    assert files["digits"] == []
    assert SOURCES["cifar100"].classes[:2] == ("apple", "aquarium_fish")

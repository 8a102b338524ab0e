"""CIFAR-100's two labels a picture: one set by its fine classes, one by its superclasses, from either kind of files."""

import hashlib
import pickle
from dataclasses import replace

import numpy as np
import pytest
import torch
from torchvision import datasets
from typer.testing import CliRunner

from mixlab.cli.data import app
from mixlab.data import SOURCES, Split, cifar, load
from mixlab.data.checksums import KNOWN, split_checksums
from mixlab.data.pack import write_packed
from mixlab.data.packed import is_packed
from mixlab.data.registry import state

# The table of the set's web page: superclasses in alphabetical order, as the coarse labels count them.
TABLE = """
beaver dolphin otter seal whale
aquarium_fish flatfish ray shark trout
orchid poppy rose sunflower tulip
bottle bowl can cup plate
apple mushroom orange pear sweet_pepper
clock keyboard lamp telephone television
bed chair couch table wardrobe
bee beetle butterfly caterpillar cockroach
bear leopard lion tiger wolf
bridge castle house road skyscraper
cloud forest mountain plain sea
camel cattle chimpanzee elephant kangaroo
fox porcupine possum raccoon skunk
crab lobster snail spider worm
baby boy girl man woman
crocodile dinosaur lizard snake turtle
hamster mouse rabbit shrew squirrel
maple_tree oak_tree palm_tree pine_tree willow_tree
bicycle bus motorcycle pickup_truck train
lawn_mower rocket streetcar tank tractor
"""
FINE = tuple(line.split() for line in TABLE.strip().splitlines())
ROWS = {"train": 40, "test": 20}


def drawn(part):
    """Random pictures with coarse labels 0..19 in turn, and for each one of its fine classes."""
    draws = np.random.default_rng(len(part))
    rows = ROWS[part]
    coarse = np.arange(rows) % 20
    fine = np.array([cifar.CIFAR100_CLASSES.index(FINE[label][row % 5]) for row, label in enumerate(coarse)])
    return draws.integers(0, 256, (rows, 3, 32, 32), dtype=np.uint8), fine, coarse


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """The registry and the known checksums are made to expect the drawn rows of both sets."""
    for name, kind in (("cifar100", 1), ("cifar100-coarse", 2)):
        monkeypatch.setitem(SOURCES, name, replace(SOURCES[name], rows=tuple(ROWS.values())))
        known = {}
        for part in ROWS:
            known |= split_checksums(part, Split(torch.from_numpy(drawn(part)[0]), torch.from_numpy(drawn(part)[kind])))
        monkeypatch.setitem(KNOWN, name, known)


def pack(root, coarse=True):
    """The drawn rows as a packed `cifar100`, with or without coarse labels."""
    parts = [Split(torch.from_numpy(images), torch.from_numpy(fine)) for images, fine, _ in map(drawn, ROWS)]
    write_packed(root / "cifar100", *parts, cifar.CIFAR100_CLASSES)
    if coarse:
        arrays = dict(np.load(root / "cifar100" / "labels.npz"))
        arrays |= {f"{part}_coarse": drawn(part)[2].astype(np.uint8) for part in ROWS}
        np.savez_compressed(root / "cifar100" / "labels.npz", **arrays,
                            coarse_names=np.array(cifar.CIFAR100_SUPERCLASSES))
    return root


def pickled(root, monkeypatch):
    """The drawn rows in torchvision's files, whose checksums torchvision is made to expect."""
    (root / "cifar-100-python").mkdir(parents=True)
    for part in ROWS:
        images, fine, coarse = drawn(part)
        content = pickle.dumps({"data": images.reshape(len(images), -1), "fine_labels": fine.tolist(),
                                "coarse_labels": coarse.tolist()})
        (root / "cifar-100-python" / part).write_bytes(content)
        monkeypatch.setattr(datasets.CIFAR100, f"{part}_list", [[part, hashlib.md5(content).hexdigest()]])
    return root


def run(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.mark.parametrize("form", ["packed", "files"])
def test_both_labels_are_read_from_either_form(form, tmp_path, monkeypatch):
    root = pack(tmp_path) if form == "packed" else pickled(tmp_path, monkeypatch)
    for name, kind in (("cifar100", 1), ("cifar100-coarse", 2)):
        assert state(SOURCES[name], root) == form
        data = load(name, root, validation=0)
        for part in ROWS:
            split, expected = getattr(data, part), drawn(part)
            assert split.labels.tolist() == expected[kind].tolist()
            assert np.array_equal(split.images.numpy(), expected[0])
    assert data.num_classes == 20 and data.classes == SOURCES["cifar100-coarse"].classes


def test_a_limit_and_validation_follow_the_superclasses(tmp_path):
    data = load("cifar100-coarse", pack(tmp_path), validation=0.5, limit=20)
    assert torch.bincount(data.train.labels).tolist() == torch.bincount(data.validation.labels).tolist() == [1] * 20


def test_a_packed_folder_without_coarse_labels_has_the_fine_set_alone(tmp_path):
    pack(tmp_path, coarse=False)
    assert is_packed(tmp_path / "cifar100") and not is_packed(tmp_path / "cifar100", "coarse")
    assert state(SOURCES["cifar100"], tmp_path) == "packed" and state(SOURCES["cifar100-coarse"], tmp_path) is None
    with pytest.raises(FileNotFoundError, match="cifar100-coarse in .*mixlab data fetch cifar100-coarse"):
        load("cifar100-coarse", tmp_path)
    assert run("verify", "--root", tmp_path).exit_code == 0


def test_what_is_packed_under_its_own_name_is_read_back(tmp_path):
    pack(tmp_path)
    assert run("pack", "cifar100-coarse", "--root", tmp_path, "--out", tmp_path / "carried").exit_code == 0
    assert [path.name for path in (tmp_path / "carried").iterdir()] == ["cifar100-coarse"]
    here, there = (load("cifar100-coarse", root, validation=0) for root in (tmp_path, tmp_path / "carried"))
    assert torch.equal(here.train.labels, there.train.labels) and torch.equal(here.test.images, there.test.images)
    assert state(SOURCES["cifar100"], tmp_path / "carried") is None


def test_other_coarse_labels_are_refused_and_the_fine_set_is_left_whole(tmp_path):
    path = pack(tmp_path) / "cifar100" / "labels.npz"
    arrays = dict(np.load(path))
    np.savez_compressed(path, **arrays | {"train_coarse": arrays["train_coarse"][::-1]})
    with pytest.raises(ValueError, match="train_labels of .*cifar100 with sha256"):
        load("cifar100-coarse", tmp_path)
    result = run("verify", "--root", tmp_path)
    assert result.exit_code == 1 and "cifar100-coarse: damaged: expected train_labels" in result.output
    assert "cifar100: whole, 40 + 20 rows" in result.output
    np.savez_compressed(path, **arrays | {"coarse_names": arrays["coarse_names"][::-1]})
    with pytest.raises(ValueError, match="the 20 class names"):
        load("cifar100-coarse", tmp_path)


def test_a_damaged_table_of_labels_is_named(tmp_path):
    (pack(tmp_path) / "cifar100" / "labels.npz").write_bytes(b"nothing")
    assert run("list", "--root", tmp_path).exit_code == 0
    for name in ("cifar100", "cifar100-coarse"):
        with pytest.raises(ValueError, match=r"expected a zip archive in .*labels.npz"):
            load(name, tmp_path)


def test_the_names_are_in_the_order_of_the_labels():
    assert list(cifar.CIFAR100_SUPERCLASSES) == sorted(cifar.CIFAR100_SUPERCLASSES) and len(FINE) == 20
    assert sorted(name for names in FINE for name in names) == list(cifar.CIFAR100_CLASSES)


@pytest.mark.data
def test_real_superclasses_are_those_of_the_table(monkeypatch):
    monkeypatch.undo()  # the real sets
    fine, coarse = (load(name, validation=0) for name in ("cifar100", "cifar100-coarse"))
    for part, rows in (("train", 2500), ("test", 500)):
        ours, theirs = getattr(coarse, part), getattr(fine, part)
        assert torch.equal(ours.images, theirs.images)
        assert torch.bincount(ours.labels).tolist() == [rows] * 20
        for row, names in enumerate(FINE):
            expected = [fine.classes.index(name) for name in names]
            assert theirs.labels[ours.labels == row].unique().tolist() == sorted(expected), coarse.classes[row]
        assert split_checksums(part, ours).items() <= KNOWN["cifar100-coarse"].items()
    assert coarse.mean == fine.mean

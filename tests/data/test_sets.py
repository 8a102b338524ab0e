"""The named sets: their values, their splits, and what happens where they are not."""

import hashlib

import numpy as np
import pytest
import torch

from mixlab.data import SOURCES, load
from mixlab.data.checksums import split_checksums
from mixlab.data.registry import data_root

COUNTS = {
    "mnist": (
        [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949],
        [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009],
    ),
    "fashion-mnist": ([6000] * 10, [1000] * 10),
    "cifar100": ([500] * 100, [100] * 100),
}


def test_digits_are_the_original_counts_scaled():
    from sklearn.datasets import load_digits

    counts, labels = load_digits(return_X_y=True)
    data = load("digits", validation=0)
    scaled = (counts * 255 / 16 + 0.5).astype(int).tolist()
    white = {tuple(image): label for image, label in zip(scaled, labels)}
    for part in (data.train, data.test):
        for image, label in zip(part.images.flatten(1).tolist(), part.labels.tolist()):
            assert white[tuple(image)] == label
    assert len(data.train) + len(data.test) == 1797


def test_the_test_split_of_digits_is_a_fifth_of_every_class_whatever_the_seed():
    one, other = load("digits", seed=0), load("digits", seed=1)
    assert torch.equal(one.test.images, other.test.images)
    assert not torch.equal(one.validation.images, other.validation.images)
    # load_digits has 178, 182, 177, 183, 181, 182, 181, 179, 174, 180 rows a class
    assert torch.bincount(one.test.labels).tolist() == [36, 36, 35, 37, 36, 36, 36, 36, 35, 36]


@pytest.mark.parametrize("name", ["digits", "shapes"])
def test_validation_is_exact_and_disjoint(name):
    whole, parted = load(name, validation=0), load(name, validation=0.25, seed=3)
    have = torch.bincount(whole.train.labels)
    assert torch.bincount(parted.validation.labels).tolist() == [int(n * 0.25 + 0.5) for n in have.tolist()]

    def rows(split):
        return sorted(hashlib.sha256(image.numpy()).digest() for image in split.images)

    assert sorted(rows(parted.train) + rows(parted.validation)) == rows(whole.train)
    assert torch.equal(parted.test.images, whole.test.images)
    assert len(whole.validation) == 0


def test_a_limit_keeps_every_class_in_proportion_and_leaves_the_rest():
    full, limited = load("shapes", seed=2), load("shapes", seed=2, limit=1000)
    assert torch.bincount(limited.train.labels).tolist() == [125] * 8
    assert torch.equal(limited.validation.images, full.validation.images)
    assert torch.equal(limited.test.images, full.test.images)
    assert limited.mean == limited.train.moments()[0] != full.mean
    again = load("shapes", seed=2, limit=1000)
    assert torch.equal(limited.train.images, again.train.images)


def test_a_limit_may_be_numpy_s():
    assert torch.equal(load("digits", limit=np.int64(100)).train.images, load("digits", limit=100).train.images)


@pytest.mark.parametrize("validation", [0, 0.1])
def test_a_limit_may_be_all_that_validation_leaves(validation):
    whole = load("digits", validation=validation)
    limited = load("digits", validation=validation, limit=len(whole.train))
    assert torch.equal(limited.train.images, whole.train.images)
    assert torch.equal(limited.validation.images, whole.validation.images)


@pytest.mark.parametrize("name", ["digits", "gallery", "shapes", "shapes-64"])
def test_built_in_sets_are_as_the_registry_says(name):
    source, data = SOURCES[name], load(name, validation=0)
    assert (len(data.train), len(data.test)) == source.rows
    assert tuple(data.train.images.shape[1:]) == source.shape
    assert data.num_classes == len(source.classes) == int(data.train.labels.max()) + 1


def test_the_gallery_shows_the_photographs():
    from PIL import Image
    from skimage import data as pictures

    gallery = load("gallery").train
    names = SOURCES["gallery"].classes
    reference = Image.fromarray(pictures.astronaut()).resize((224, 224), Image.Resampling.BILINEAR)
    reference = torch.tensor(list(reference.tobytes())).reshape(224, 224, 3).permute(2, 0, 1)
    ours = gallery.images[names.index("astronaut")]
    # Two antialiased bilinear resizes may round differently, by one level.
    assert (ours.int() - reference).abs().max() <= 1
    photographer = gallery.images[names.index("photographer")]
    assert torch.equal(photographer[0], photographer[2])


def test_the_gallery_without_its_package_says_what_to_install(monkeypatch):
    from mixlab.data import gallery

    monkeypatch.setattr(gallery, "find_spec", lambda name: None)
    with pytest.raises(ModuleNotFoundError, match=r"scikit-image.*mixlab\[book\]"):
        gallery.read(data_root())


@pytest.mark.parametrize("name", ["mnist", "fashion-mnist", "cifar10", "cifar100", "cifar100-coarse", "svhn"])
def test_an_absent_set_is_named_with_its_root_and_how_to_get_it(name, tmp_path):
    with pytest.raises(FileNotFoundError) as error:
        load(name, tmp_path)
    assert f"{name} in {tmp_path}" in str(error.value)
    assert f"mixlab data fetch {name}" in str(error.value)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "imagenet"}, "digits, gallery, shapes.*received 'imagenet'"),
        ({"name": "digits", "validation": 1.0}, "validation fraction"),
        ({"name": "digits", "validation": float("nan")}, "validation fraction"),
        # 1,438 rows, of which the default validation split takes 145: the limit counts what is left.
        ({"name": "digits", "limit": 1294}, "limit from 1 to 1293, .* that validation=0.1 leaves, received 1294"),
        ({"name": "digits", "limit": 1439, "validation": 0}, "limit from 1 to 1438, .* received 1439"),
        ({"name": "digits", "limit": 0}, "limit from 1 to 1293, .* received 0"),
        ({"name": "digits", "limit": -1}, "received -1"),
        ({"name": "digits", "limit": 10.5}, "received 10.5"),
        ({"name": "digits", "limit": True}, "integer limit .* received True"),
        ({"name": "gallery", "validation": 0.5}, "leaves training rows of gallery, received 0.5"),
    ],
)
def test_wrong_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        load(**arguments)


def test_the_root_is_the_argument_then_the_environment_then_the_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("MIXLAB_DATA", str(tmp_path / "environment"))
    assert data_root(tmp_path) == tmp_path
    assert data_root() == tmp_path / "environment"
    monkeypatch.delenv("MIXLAB_DATA")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert data_root() == tmp_path / ".cache" / "mixlab"


@pytest.mark.data
@pytest.mark.parametrize("name", ["mnist", "fashion-mnist", "cifar100"])
def test_real_sets_have_the_published_counts_and_checksums(name):
    from mixlab.data.checksums import KNOWN

    data = load(name, validation=0)
    train, test = COUNTS[name]
    assert torch.bincount(data.train.labels).tolist() == train
    assert torch.bincount(data.test.labels).tolist() == test
    assert {**split_checksums("train", data.train), **split_checksums("test", data.test)} == KNOWN[name]
    if name == "cifar100":
        assert data.train.labels[:8].tolist() == [19, 29, 0, 11, 1, 86, 90, 28]
        assert data.test.labels[:8].tolist() == [49, 33, 72, 51, 71, 92, 15, 14]
        assert data.mean == pytest.approx((0.50707516, 0.48654887, 0.44091784), abs=1e-8)
        assert data.std == pytest.approx((0.26733429, 0.25643846, 0.27615047), abs=1e-8)
        assert [data.classes[label] for label in (19, 29, 0)] == ["cattle", "dinosaur", "apple"]


@pytest.mark.data
def test_fashion_mnist_is_what_torchvision_reads_and_splits_exactly():
    from torchvision.datasets import FashionMNIST

    data = load("fashion-mnist", validation=0)
    theirs = FashionMNIST(data_root(), train=True, download=False)
    assert torch.equal(data.train.images[:, 0], theirs.data)
    assert torch.equal(data.train.labels, theirs.targets)
    assert list(data.classes) == theirs.classes
    limited = load("fashion-mnist", limit=10_000)
    assert torch.bincount(limited.train.labels).tolist() == [1000] * 10
    assert torch.bincount(limited.validation.labels).tolist() == [600] * 10

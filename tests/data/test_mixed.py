"""Written sets of mixed images: what is in them, that damage is found, and that they load like any other set."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn.functional import one_hot

from mixlab.data import Dataset, Loader, Split, load
from mixlab.data.mixed import MANIFEST, is_written, read_mixed, read_parts, shards_of
from mixlab.distill import write_mixed
from mixlab.mixers import CutMix, DMixup, GridMask, Mixup
from mixlab.models import build
from mixlab.risk import EmpiricalRisk
from mixlab.train import fit, recipes
from mixlab.train.fingerprint import fingerprint

DIGITS = load("digits", limit=300, seed=3)


def write(folder, mixer=Mixup(), data=DIGITS, **options):
    options = {"count": 250, "keep": "best", "batch_size": 50, "per_shard": 100, "source": "digits"} | options
    return write_mixed(mixer, data.train, folder, mean=data.mean, std=data.std, classes=data.classes, **options)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sets") / "mine"
    write(folder)
    return folder


@pytest.fixture
def copy(folder, tmp_path):
    return Path(shutil.copytree(folder, tmp_path / "copy"))


@pytest.fixture(scope="module")
def file():
    """The whole training file that row numbers mean."""
    return load("digits", validation=0.0).train


def in_file_order(file, sources):
    """Images (N, K, C, H, W) and labels (N, K) of sources."""
    return file.images[sources].double(), file.labels[sources]


@pytest.mark.parametrize("mixer", [Mixup(0.7), DMixup(k=3, alpha=2.0)])
def test_blended_images_are_their_sources_blended_and_rounded_to_the_nearest(tmp_path, file, mixer):
    write(tmp_path, mixer)
    (split, _), parts = read_mixed(tmp_path), read_parts(tmp_path)
    images, labels = in_file_order(file, parts["sources"])
    exact = (parts["weights"].double()[:, :, None, None, None] * images).sum(1)
    assert (split.images - exact).abs().max() <= 0.5 + 1e-3
    assert ((split.images - exact).mean() < 0.05).all() and split.images.double().std() > 50  # truncated: off by .5
    wanted = (parts["weights"][:, :, None] * one_hot(labels, 10)).sum(1)
    assert torch.allclose(split.soft, wanted, atol=1e-6)
    assert torch.equal(parts["shares"], parts["weights"])


def test_pixels_with_one_owner_are_its_own_and_masks_say_whose(tmp_path, file):
    write(tmp_path, CutMix())
    (split, _), parts = read_mixed(tmp_path), read_parts(tmp_path)
    images, _ = in_file_order(file, parts["sources"])
    assert parts["masks"].dtype == torch.uint8 and set(parts["masks"].unique().tolist()) == {0, 255}
    shown = (parts["masks"][:, :, None] == 255) * images
    assert torch.equal(shown.sum(1), split.images.double())
    assert torch.allclose(parts["masks"].double().mean((2, 3)) / 255, parts["shares"].double(), atol=1e-6)
    assert 0.1 < parts["shares"][:, 1].mean() < 0.9


def test_soft_masks_are_stored_to_half_a_step(tmp_path):
    write(tmp_path, Mixup())
    parts = read_parts(tmp_path)
    wanted = parts["weights"].double()[:, :, None, None].expand(-1, -1, 8, 8)
    assert ((parts["masks"].double() / 255 - wanted).abs() <= 1 / 510 + 1e-7).all()


def test_images_with_a_fill_come_back_and_one_source_is_enough(tmp_path, file):
    write(tmp_path, GridMask(fill=-DIGITS.mean[0] / DIGITS.std[0]), masks=False)  # black
    (split, _), parts = read_mixed(tmp_path), read_parts(tmp_path)
    assert parts["sources"].shape == (250, 1) and "masks" not in parts
    own = file.images[parts["sources"][:, 0]]
    assert ((split.images == own) | (split.images == 0)).all() and (split.images != own).any()


def test_the_labels_are_the_largest_and_rows_are_counted(folder):
    split, about = read_mixed(folder)
    assert len(split) == 250 and split.soft.shape == (250, 10) and split.soft.dtype == torch.float32
    assert torch.equal(split.labels, split.soft.argmax(1)) and split.rows.tolist() == list(range(250))
    assert about["count"] == 250 and about["kept"] == about["drawn"] == 300 and about["shards"] == 3
    assert about["success_rate"] is None and about["iterations"] is None
    assert about["mixer"] == {"name": "mixup"} and about["source"]["name"] == "digits"


def test_sources_stay_numbers_of_the_file_whatever_was_limited(folder):
    sources = read_parts(folder)["sources"]
    assert set(sources.unique().tolist()) <= set(DIGITS.train.rows.tolist())
    assert sources.max() >= 300  # 300 images were mixed; the file has more


def test_a_flipped_bit_anywhere_in_a_shard_is_found(copy):
    path = shards_of(copy)[1]
    content = bytearray(path.read_bytes())
    for place in (0, len(content) // 2, len(content) - 1):
        content[place] ^= 1
        path.write_bytes(content)
        with pytest.raises(ValueError, match=f"{path.name}.*damaged"):
            read_mixed(copy)
        content[place] ^= 1
    path.write_bytes(content)
    assert len(read_mixed(copy)[0]) == 250


@pytest.mark.parametrize("number", [0, 1, 2])
def test_a_missing_shard_is_said_and_no_later_one_takes_its_place(copy, number):
    shards_of(copy)[number].unlink()
    with pytest.raises(ValueError, match=f"expected 250 rows.*received {100 * number}.*not complete"):
        read_mixed(copy)


def test_two_shards_of_one_number_are_refused(copy, tmp_path):
    write(tmp_path / "other", seed=1)
    shutil.copy(shards_of(tmp_path / "other")[1], copy)
    with pytest.raises(ValueError, match="one shard 1"):
        read_mixed(copy)


def test_a_shard_of_another_set_is_refused(copy, tmp_path):
    write(tmp_path / "other", seed=1)
    shards_of(copy)[1].unlink()
    shutil.copy(shards_of(tmp_path / "other")[1], copy)
    with pytest.raises(ValueError, match="of another one"):
        read_mixed(copy)


def test_shards_belong_to_the_manifest_that_they_were_written_with(copy):
    manifest = json.loads((copy / MANIFEST).read_text())
    (copy / MANIFEST).write_text(json.dumps(manifest | {"count": 200}))
    with pytest.raises(ValueError, match="of another one"):
        read_mixed(copy)


@pytest.mark.parametrize("content", ["", "[]", "{", '{"count": 250}', '{"format": 2}'])
def test_a_manifest_that_is_damaged_or_of_another_format_is_refused(copy, content):
    (copy / MANIFEST).write_text(content)
    with pytest.raises(ValueError, match=MANIFEST):
        read_mixed(copy)


def test_a_set_loads_like_any_other_with_the_test_split_of_its_source(folder):
    data, digits = load(folder), load("digits")
    assert data.name == "mine" and data.classes == digits.classes
    assert len(data.train) == 250 and len(data.validation) == 0
    assert torch.equal(data.test.images, digits.test.images) and torch.equal(data.test.labels, digits.test.labels)
    assert data.test.soft is None
    assert data.mean == data.train.moments()[0]
    again = load(str(folder))
    assert torch.equal(again.train.soft, data.train.soft) and torch.equal(again.train.images, data.train.images)


def test_limit_and_validation_take_whole_rows(folder):
    everything, data = load(folder), load(folder, validation=0.2, limit=100)
    assert len(data.train) == 100 and 45 <= len(data.validation) <= 55
    for split in (data.train, data.validation):
        for name in ("images", "labels", "soft"):
            assert torch.equal(getattr(split, name), getattr(everything.train, name)[split.rows])
    assert not set(data.train.rows.tolist()) & set(data.validation.rows.tolist())


def test_what_is_a_set_s_name_and_what_a_folder(folder, tmp_path, monkeypatch):
    monkeypatch.chdir(folder.parent)
    assert is_written("mine") and load("mine").name == "mine"
    monkeypatch.chdir(folder)
    assert load(".").name == "mine"
    shutil.copytree(folder, tmp_path / "digits")
    monkeypatch.chdir(tmp_path)
    assert load("digits").train.soft is None and load("./digits").train.soft is not None
    with pytest.raises(ValueError, match="expected a data set out of"):
        load("nobody")
    with pytest.raises(FileNotFoundError, match="expected a written set in nobody"):
        load("./nobody")


def test_a_set_without_a_source_or_of_other_classes_has_no_test_split(tmp_path):
    write(tmp_path / "a", source=None)
    assert len(read_mixed(tmp_path / "a")[0]) == 250
    with pytest.raises(ValueError, match="name the set"):
        load(tmp_path / "a")
    write(tmp_path / "b", source="shapes")
    with pytest.raises(ValueError, match="classes of shapes"):
        load(tmp_path / "b")


def test_subsets_carry_soft_labels_and_other_shapes_are_refused():
    images, labels = torch.zeros(3, 1, 2, 2, dtype=torch.uint8), torch.tensor([0, 1, 1])
    soft = torch.tensor([[0.6, 0.4], [0.3, 0.7], [0.0, 1.0]])
    split = Split(images, labels, soft=soft)
    assert torch.equal(split.subset(torch.tensor([2, 0])).soft, soft[[2, 0]])
    assert split.subset(split.labels == 0).soft.tolist() == soft[:1].tolist()
    for wrong in (soft[:2], soft.double(), soft[:, 0]):
        with pytest.raises(ValueError, match="soft as torch.float32"):
            Split(images, labels, soft=wrong)
    with pytest.raises(ValueError, match="soft train labels for the 3 classes of mine, received 2"):
        Dataset("mine", split, split, split, ("a", "b", "c"), (0.0,), (1.0,))


def test_loaders_hand_out_soft_labels_in_the_order_of_the_rows(folder):
    data = load(folder)
    loader = Loader(data.train, 64, mean=data.mean, std=data.std, augment="crop2-flip")
    batches = list(loader.epoch(0))
    assert sum(len(batch.labels) for batch in batches) == 250
    for batch in batches:
        assert torch.equal(batch.labels, data.train.soft[batch.rows])


def test_soft_labels_are_what_is_trained_on(folder):
    data = load(folder)
    # One step of one batch, at an untrained network of equal logits: the gradient of the bias is softmax less target.
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 10))
    torch.nn.init.zeros_(model[1].weight)
    torch.nn.init.zeros_(model[1].bias)
    recipe = replace(recipes["demo"].over(1), batch_size=250, weight_decay=0.0, momentum=0.0, nesterov=False)
    fit(model, EmpiricalRisk(), data, recipe, device="cpu")
    step = recipe.learning_rate(0.0)
    assert torch.allclose(model[1].bias / step, data.train.soft.mean(0) - 0.1, atol=1e-5)
    assert (data.train.soft.mean(0) - one_hot(data.train.labels, 10).float().mean(0)).abs().max() > 0.005


def test_a_soft_label_is_part_of_what_makes_two_runs_the_same(folder):
    data, model = load(folder), build("lenet", 10, 1)
    soft = data.train.soft.clone()
    soft[7] = soft[7].roll(1)
    other = replace(data, train=replace(data.train, soft=soft))
    hard = replace(data, train=replace(data.train, soft=None))
    prints = [fingerprint(model, EmpiricalRisk(), each, recipes["demo"])["data"] for each in (data, other, hard)]
    assert len(set(prints)) == 3


def test_shards_hold_plain_numbers_and_text_alone(copy):
    path = shards_of(copy)[0]
    with np.load(path) as arrays:
        assert all(arrays[name].dtype.kind in "uifbU" for name in arrays.files)

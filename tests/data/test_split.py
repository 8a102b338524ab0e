"""`Split` and `Dataset`: what they accept, what a subset keeps, and exact moments."""

import numpy as np
import pytest
import torch

from mixlab.data import Dataset, Split, load


def rows(count=6):
    images = torch.arange(count * 12, dtype=torch.uint8).reshape(count, 3, 2, 2)
    masks = torch.arange(count * 4, dtype=torch.uint8).reshape(count, 2, 2)
    return Split(images, torch.arange(count), masks, torch.arange(count * 4).reshape(count, 4))


def test_subset_takes_the_same_rows_of_every_part():
    take = torch.tensor([4, 0])
    part = rows().subset(take)
    assert part.labels.tolist() == [4, 0]
    for name in ("images", "masks", "boxes"):
        assert torch.equal(getattr(part, name), getattr(rows(), name)[take])


def test_row_numbers_mean_the_same_image_after_any_choice():
    whole = rows()
    part = whole.subset(torch.tensor([5, 1, 3])).subset(torch.tensor([True, False, True]))
    assert whole.rows.tolist() == [0, 1, 2, 3, 4, 5] and part.rows.tolist() == [5, 3]
    assert torch.equal(part.images, whole.images[part.rows])


@pytest.mark.parametrize(("validation", "limit"), [(0.0, None), (0.2, 300), (0.1, 64)])
def test_rows_of_a_loaded_set_are_those_of_its_training_file(validation, limit):
    whole = load("digits", validation=0.0).train
    data = load("digits", validation=validation, limit=limit, seed=3)
    for split in (data.train, data.validation):
        assert torch.equal(split.images, whole.images[split.rows])
    both = torch.cat([data.train.rows, data.validation.rows]).tolist()
    assert len(set(both)) == len(both)


def test_subset_by_a_mask_and_without_masks():
    plain = Split(rows().images, rows().labels)
    part = plain.subset(plain.labels > 3)
    assert part.labels.tolist() == [4, 5] and part.masks is None and part.boxes is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"images": torch.zeros(6, 3, 2, 2)}, "images as torch.uint8"),
        ({"images": torch.zeros(6, 2, 2, dtype=torch.uint8)}, r"\(any, any, any, any\)"),
        ({"labels": torch.zeros(5, dtype=torch.int64)}, r"labels as torch.int64 of shape \(6\)"),
        ({"labels": torch.zeros(6)}, "received torch.float32"),
        ({"labels": np.zeros(6, np.int64)}, "labels as a tensor, received ndarray"),
        ({"masks": torch.zeros(6, 2, 3, dtype=torch.uint8)}, r"masks as torch.uint8 of shape \(6, 2, 2\)"),
        ({"boxes": torch.zeros(6, 5, dtype=torch.int64)}, r"boxes as torch.int64 of shape \(6, 4\)"),
        ({"rows": torch.zeros(5, dtype=torch.int64)}, r"rows as torch.int64 of shape \(6\)"),
    ],
)
def test_wrong_parts_are_named(change, message):
    parts = {name: getattr(rows(), name) for name in ("images", "labels", "masks", "boxes")}
    with pytest.raises(ValueError, match=message):
        Split(**{**parts, **change})


def test_moments_equal_those_of_the_scaled_values():
    images = torch.randint(256, (50, 3, 7, 5), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    mean, std = Split(images, torch.zeros(50, dtype=torch.int64)).moments()
    scaled = images.double() / 255
    assert mean == pytest.approx(scaled.mean((0, 2, 3)).tolist(), abs=1e-12)
    assert std == pytest.approx(scaled.std((0, 2, 3), correction=0).tolist(), abs=1e-12)


@pytest.mark.parametrize("part", ["train", "validation", "test"])
@pytest.mark.parametrize("wrong", [-1, 2])
def test_labels_of_every_split_are_classes(part, wrong):
    splits = {name: rows().subset(torch.arange(2)) for name in ("train", "validation", "test")}
    Dataset("two", **splits, classes=("a", "b"), mean=(0.5,), std=(0.5,))
    splits[part] = Split(splits[part].images, torch.tensor([0, wrong]))
    with pytest.raises(ValueError, match=f"expected {part} labels from 0 to 1, the classes of two"):
        Dataset("two", **splits, classes=("a", "b"), mean=(0.5,), std=(0.5,))


def test_moments_of_nothing_are_refused():
    with pytest.raises(ValueError, match="at least one row"):
        rows().subset(torch.arange(0)).moments()


def test_a_subset_of_a_set_has_these_training_rows_and_no_others():
    whole, data = load("digits", validation=0.0).train, load("digits", validation=0.2, seed=2)
    rows = data.train.rows[torch.tensor([40, 3, 700, 0])]
    part = data.subset(rows)
    assert part.train.rows.tolist() == sorted(rows.tolist())
    assert torch.equal(part.train.images, whole.images[part.train.rows])
    assert torch.equal(part.train.labels, whole.labels[part.train.rows])
    assert (part.mean, part.std) == part.train.moments() != (data.mean, data.std)
    assert part.validation is data.validation and part.test is data.test and part.classes == data.classes
    assert data.subset(data.train.rows.flip(0)).train.rows.tolist() == data.train.rows.tolist()


def test_a_subset_keeps_soft_labels():
    split = Split(rows().images, rows().labels, soft=torch.eye(6))
    data = Dataset("soft", split, rows().subset(torch.arange(0)), rows(), tuple("abcdef"), (0.5,) * 3, (0.5,) * 3)
    assert torch.equal(data.subset(torch.tensor([4, 1])).train.soft, torch.eye(6)[[1, 4]])


@pytest.mark.parametrize(("chosen", "message"), [
    (torch.tensor([0.0]), "expected rows as torch.int64"),
    ([0, 1], "expected rows as a tensor, received list"),
    (torch.tensor([[0]]), r"of shape \(any\), received"),
    (torch.tensor([], dtype=torch.int64), "at least one row to keep, received none"),
    (torch.tensor([2, 2]), "every row to keep once"),
    (torch.tensor([0, 4, 5, 9]), "split of six, received 3 others, 2 of them held out for validation, such as 4"),
])
def test_rows_that_cannot_be_kept_are_told(chosen, message):
    train, held = rows().subset(torch.arange(4)), rows().subset(torch.tensor([4, 5]))
    data = Dataset("six", train, held, held, tuple("abcdef"), (0.5,) * 3, (0.5,) * 3)
    with pytest.raises(ValueError, match=message):
        data.subset(chosen)

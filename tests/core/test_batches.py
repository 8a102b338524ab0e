"""Batches that hold more than images and labels."""

from collections import namedtuple
from copy import deepcopy

import pytest
import torch
from torch.utils.data import DataLoader

from mixlab.data import Batch
from mixlab.mixers import SMOTE, CutMix, Cutout, ManifoldMixup, Mixup, to_config
from mixlab.models import Teacher
from mixlab.risk import (
    CRDRisk,
    DistillationRisk,
    EmpiricalRisk,
    GeneratedRisk,
    ManifoldRisk,
    SaliencyRisk,
    VicinalRisk,
)

IMAGES, LABELS, ROWS = torch.rand(6, 3, 8, 8), torch.tensor([0, 1, 2, 0, 1, 2]), torch.arange(6) + 70
Named = namedtuple("Named", "image label number")
TEACHER = Teacher(torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(192, 3)))


def mixed(mixer=None):
    return (mixer or CutMix(num_classes=3))(IMAGES, LABELS)


@pytest.mark.parametrize(("batch", "where"), [
    ({"image": IMAGES, "label": LABELS, "row": ROWS}, ("image", "label", "row")),
    ({"pixel_values": IMAGES, "labels": LABELS, "row": ROWS}, ("pixel_values", "labels", "row")),
    ({"row": ROWS, "labels": LABELS, "images": IMAGES}, ("images", "labels", "row")),
    ((IMAGES, LABELS, ROWS), (0, 1, 2)),
    ([IMAGES, LABELS, ROWS], (0, 1, 2)),
    (Batch(IMAGES, LABELS, ROWS), (0, 1, 2)),
    (Named(IMAGES, LABELS, ROWS), (0, 1, 2)),
], ids=["image", "pixel_values", "any order", "triple", "list", "Batch", "NamedTuple"])
def test_images_and_labels_are_mixed_where_they_are_and_the_rest_stays(batch, where):
    done = CutMix(num_classes=3)(batch)
    images, targets = mixed()
    assert torch.equal(done[where[0]], images) and torch.equal(done[where[1]], targets)
    assert done[where[2]] is ROWS and len(done) == 3
    assert type(done) is (tuple if isinstance(batch, list) else type(batch))


def test_a_labels_getter_finds_labels_anywhere():
    def getter(batch):
        return batch[1]["class"]

    pixels, rest = CutMix(num_classes=3, labels_getter=getter)((IMAGES, {"class": LABELS, "weight": ROWS}))
    images, targets = mixed()
    assert torch.equal(pixels, images) and torch.equal(rest["class"], targets) and rest["weight"] is ROWS
    risk = VicinalRisk(CutMix(labels_getter=getter))
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(192, 3))
    expected = VicinalRisk(CutMix())(model, (IMAGES, LABELS))
    assert torch.equal(risk(model, (IMAGES, {"class": LABELS})), expected)


def test_a_labels_getter_changes_neither_draws_nor_what_a_mixer_is():
    plain, other = CutMix(), CutMix(labels_getter=len)
    assert repr(plain) == repr(other) and plain != other
    assert torch.equal(plain.draw(IMAGES).shares, other.draw(IMAGES).shares)
    assert "labels_getter" not in plain.__getstate__() and "labels_getter" not in to_config(plain)
    with pytest.raises(ValueError, match="labels_getter"):
        to_config(other)
    with pytest.raises(ValueError, match="labels_getter"):
        CutMix(labels_getter="class")


def test_masks_and_other_views_are_mixed_as_the_images_are():
    tv_tensors = pytest.importorskip("torchvision.tv_tensors")
    marked = tv_tensors.Mask(ROWS.view(6, 1, 1).expand(6, 8, 8).contiguous())
    done = CutMix(num_classes=3)({"image": tv_tensors.Image(IMAGES), "mask": marked, "label": LABELS})
    mix = CutMix(num_classes=3).draw(IMAGES, LABELS)
    assert torch.equal(done["mask"], mix.apply(ROWS.view(6, 1, 1).expand(6, 8, 8)))


def test_a_mask_never_shows_the_fill_of_the_images():
    tv_tensors = pytest.importorskip("torchvision.tv_tensors")
    regions = tv_tensors.Mask(torch.full((6, 1, 8, 8), 7, dtype=torch.uint8))
    for fill in (0.5, torch.full((3, 1, 1), 0.25)):
        image, _, mask = Cutout(fill=fill, num_classes=3)((tv_tensors.Image(IMAGES), LABELS, regions))
        hidden = (image == (fill if isinstance(fill, float) else 0.25)).all(1, keepdim=True)
        assert torch.equal(mask, torch.where(hidden, 0, 7).byte()) and hidden.any()


@pytest.mark.parametrize("getter", [lambda batch: batch["t"].long(), lambda batch: batch["t"][:, 0]])
def test_labels_that_are_no_tensor_of_the_batch_cannot_be_replaced(getter):
    batch = {"image": IMAGES, "t": LABELS.int()[:, None]}
    with pytest.raises(ValueError, match="gives a tensor of the batch as it is"):
        Mixup(num_classes=3, labels_getter=getter)(batch)


def test_what_is_no_tensor_hides_no_images_and_two_tensors_are_one_too_many():
    done = Mixup(num_classes=3)({"image": ["a.png"], "pixel_values": IMAGES, "labels": LABELS})
    assert done["image"] == ["a.png"] and not torch.equal(done["pixel_values"], IMAGES)
    with pytest.raises(ValueError, match="with one of label, labels, received label and labels"):
        Mixup(num_classes=3)({"image": IMAGES, "label": LABELS, "labels": LABELS.clone()})


@pytest.mark.parametrize("kind", ["tuple", "dict"])
def test_collating_keeps_the_types_of_samples(kind):
    tv_tensors = pytest.importorskip("torchvision.tv_tensors")
    regions = torch.zeros(1, 8, 8, dtype=torch.uint8)
    samples = [(tv_tensors.Image(image), int(label), tv_tensors.Mask(regions + index), "a.png")
               for index, (image, label) in enumerate(zip(IMAGES, LABELS))]
    names = "image", "label", "mask", "file"
    if kind == "dict":
        samples = [dict(zip(names, sample)) for sample in samples]
    done = CutMix(num_classes=3).collate(samples)
    image, targets, mask, files = done.values() if kind == "dict" else done
    assert [type(part) for part in (image, targets, mask)] == [tv_tensors.Image, torch.Tensor, tv_tensors.Mask]
    assert list(files) == ["a.png"] * 6 and mask.unique().numel() > 1
    boxed = [(sample[0], sample[1], tv_tensors.BoundingBoxes(torch.zeros(1, 4), format="XYXY", canvas_size=(8, 8)))
             for sample in ([tuple(each.values()) for each in samples] if kind == "dict" else samples)]
    with pytest.raises(ValueError, match="received BoundingBoxes"):
        CutMix(num_classes=3).collate(boxed)


@pytest.mark.parametrize("other", [torch.zeros(6, 8, 8), torch.zeros(6, 1, 8, 8), torch.zeros(6, 3, 16, 16)])
def test_what_may_lie_over_the_images_is_refused_and_not_left_unmixed(other):
    for batch in ((IMAGES, LABELS, other), {"image": IMAGES, "label": LABELS, "other": other}):
        with pytest.raises(ValueError, match="expected beside images .* received a plain tensor of shape .6, "):
            CutMix(num_classes=3)(batch)


@pytest.mark.parametrize("samples", [
    [{"image": image, "label": int(label)} for image, label in zip(IMAGES, LABELS)],
    [(image, int(label), index) for index, (image, label) in enumerate(zip(IMAGES, LABELS))],
], ids=["dicts", "triples"])
def test_a_data_loader_collates_dicts_and_triples(samples):
    (batch,) = DataLoader(samples, batch_size=6, collate_fn=Mixup(num_classes=3).collate)
    images, targets, *_ = batch.values() if isinstance(batch, dict) else batch
    assert images.shape == IMAGES.shape and torch.allclose(targets.sum(1), torch.ones(6))


@pytest.mark.parametrize("risk", [
    EmpiricalRisk(), VicinalRisk(CutMix()), SaliencyRisk(CutMix(), clean=0.5),
    ManifoldRisk(ManifoldMixup(Mixup(), ["0"])), DistillationRisk(TEACHER, mixer=CutMix(), kd=0.5),
    CRDRisk(TEACHER, rows=ROWS, labels=LABELS, width=192, layer="1", teacher_layer="1", negatives=2),
    GeneratedRisk(images="clean", mixer=Mixup()), GeneratedRisk(images="clean", mu="fixed"),
    VicinalRisk(SMOTE()),
], ids=repr)
def test_risks_take_dicts_and_columns_of_labels(risk):
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(192, 3))
    batches = [{"pixel_values": IMAGES, "labels": LABELS, "rows": ROWS}, Batch(IMAGES, LABELS, ROWS),
               (IMAGES, LABELS[:, None], ROWS)]
    losses = [deepcopy(risk)(model, batch, generator=torch.Generator().manual_seed(0)) for batch in batches]
    assert torch.equal(*losses[:2]) and torch.equal(*losses[1:])


@pytest.mark.parametrize("batch", [
    {"image": IMAGES}, {"x": IMAGES, "y": LABELS}, (IMAGES,), IMAGES, (IMAGES, "cat"), {}, "batch",
])
def test_a_batch_without_images_or_labels_is_refused(batch):
    for call in (CutMix(num_classes=3), lambda batch: EmpiricalRisk()(torch.nn.Flatten(), batch)):
        with pytest.raises(ValueError, match="expected images and labels.* received"):
            call(batch)

"""A mixer's own randomness: in this process, in forked and spawned workers, in torchvision's pipelines."""

import copy
import pickle
from types import SimpleNamespace

import numpy
import pytest
import torch
from oracle import CountingImages, same_bytes, same_mix, seeded
from torch.utils.data import DataLoader
from torchvision.transforms import v2

from mixlab.mixers import (
    SMOTE,
    CutMix,
    Cutout,
    DCutMix,
    DMixup,
    GridMask,
    Mixup,
    OneOf,
    PerSample,
    Sometimes,
    UnclippedCutMix,
)
from mixlab.mixers import base as base_of_mixers

ROWS, BATCH = 8, 4


def _loader(mixer, context=None, **options):
    """Two batches an epoch, one from each of two workers where there are any."""
    workers = 2 if context else 0
    return DataLoader(
        CountingImages(ROWS),
        batch_size=BATCH,
        collate_fn=mixer.collate,
        num_workers=workers,
        multiprocessing_context=context,
        generator=seeded(3),
        **options,
    )


def _epochs(loader, count=2):
    return [list(loader) for _ in range(count)]


def _same(first, second):
    pairs = [pair for one, two in zip(first, second, strict=True) for pair in zip(one, two, strict=True)]
    return all(same_bytes(a, b) for a, b in pairs)


MIXER = DCutMix(3, 1.0, num_classes=ROWS)


@pytest.fixture(scope="module")
def forked():
    return _epochs(_loader(MIXER, "fork"))


def test_collating_gives_mixed_images_and_their_targets(forked):
    for epoch in forked:
        for number, (images, targets) in enumerate(epoch):
            assert images.shape == (BATCH, 1, 6, 5) and targets.shape == (BATCH, ROWS)
            torch.testing.assert_close(targets.sum(1), torch.ones(BATCH))
            # Image i is constant i, so the mean of a mixed image is the mean label.
            torch.testing.assert_close(images.mean((1, 2, 3)), targets @ torch.arange(ROWS).float())
            assert targets[:, BATCH * (1 - number) : BATCH * (2 - number)].sum() == 0


def test_two_workers_draw_differently(forked):
    first, second = forked[0]
    assert not torch.equal(first[1][:, :BATCH], second[1][:, BATCH:])


def test_two_epochs_draw_differently(forked):
    for one, two in zip(*forked):
        assert not torch.equal(one[1], two[1])


def test_the_whole_is_repeatable_under_fork(forked):
    again = _epochs(_loader(MIXER, "fork"))
    assert all(_same(a, b) for a, b in zip(forked, again))


def test_forked_workers_do_not_go_on_with_their_parents_stream(forked):
    used = DCutMix(3, 1.0, num_classes=ROWS)
    for _ in range(3):
        used(torch.zeros(BATCH, 1, 6, 5), torch.zeros(BATCH, dtype=torch.int64))
    assert _same(_epochs(_loader(used, "fork"), 1)[0], forked[0])


def test_spawned_workers_draw_what_forked_workers_draw(forked):
    used = DCutMix(3, 1.0, num_classes=ROWS)
    used(torch.zeros(BATCH, 1, 6, 5), torch.zeros(BATCH, dtype=torch.int64))
    assert _same(_epochs(_loader(used, "spawn"), 1)[0], forked[0])


def test_persistent_workers_go_on_from_epoch_to_epoch():
    epochs = _epochs(_loader(MIXER, "fork", persistent_workers=True))
    again = _epochs(_loader(MIXER, "fork", persistent_workers=True))
    assert all(_same(a, b) for a, b in zip(epochs, again))
    for one, two in zip(*epochs):
        assert not torch.equal(one[1], two[1])


def test_another_seed_of_the_mixer_or_of_the_loader_draws_differently(forked):
    other = _epochs(_loader(DCutMix(3, 1.0, num_classes=ROWS, seed=1), "fork"), 1)[0]
    assert not _same(other, forked[0])


def test_without_workers_the_stream_goes_on_and_the_seed_repeats_it():
    one, two = (_epochs(_loader(DCutMix(3, 1.0, num_classes=ROWS))) for _ in range(2))
    assert all(_same(a, b) for a, b in zip(one, two))
    assert not _same(one[0], one[1])
    other = _epochs(_loader(DCutMix(3, 1.0, num_classes=ROWS, seed=1)))
    assert not _same(one[0], other[0])


COPIES = {"pickle": lambda m: pickle.loads(pickle.dumps(m)), "deepcopy": copy.deepcopy}


@pytest.mark.parametrize("twin", COPIES)
@pytest.mark.parametrize("make", [CutMix, lambda **o: OneOf([Mixup(), PerSample(CutMix(), 0.5)], **o)])
def test_a_used_mixer_is_copied_without_its_stream(make, twin):
    images, labels = torch.rand(BATCH, 1, 6, 5, generator=seeded()), torch.arange(BATCH)
    used = make(num_classes=BATCH)
    first = used(images, labels)
    used(images, labels)
    fresh = COPIES[twin](used)
    assert fresh == used
    assert all(map(same_bytes, fresh(images, labels), first))


def _be(monkeypatch, rank):
    """Let this process have a rank in a process group."""
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.distributed, "get_world_size", lambda: 2)
    monkeypatch.setattr(torch.distributed, "get_rank", lambda: rank)


@pytest.mark.parametrize("worker", [None, SimpleNamespace(seed=7)], ids=["no worker", "worker"])
def test_processes_of_one_training_draw_differently(monkeypatch, worker):
    images, labels = torch.rand(16, 1, 12, 12, generator=seeded()), torch.arange(16)
    monkeypatch.setattr(base_of_mixers, "get_worker_info", lambda: worker)
    alone = CutMix(num_classes=16)(images, labels)[1]
    targets = []
    for rank in (0, 1):
        _be(monkeypatch, rank)
        targets.append(CutMix(num_classes=16)(images, labels)[1])
    assert torch.equal(targets[0], alone) and not torch.equal(targets[0], targets[1])


def test_a_mixer_used_before_its_process_has_a_rank_does_not_go_on_as_rank_0(monkeypatch):
    images = torch.zeros(16, 1, 12, 12)
    used = CutMix()
    used.draw(images)
    _be(monkeypatch, 1)
    assert same_mix(used.draw(images), CutMix().draw(images))


def test_without_a_process_group_the_environment_tells_the_rank(monkeypatch):
    images = torch.zeros(16, 1, 12, 12)
    monkeypatch.setenv("RANK", "1")
    told = CutMix().draw(images)
    _be(monkeypatch, 1)
    assert same_mix(told, CutMix().draw(images))


def test_a_spawned_worker_has_the_rank_of_its_parent(monkeypatch, forked):
    """It has no process group of its own, as a forked one does."""
    _be(monkeypatch, 1)
    spawned = _epochs(_loader(MIXER, "spawn"), 1)[0]
    assert not _same(spawned, forked[0])
    assert _same(spawned, _epochs(_loader(MIXER, "fork"), 1)[0])


def test_what_a_mixer_is_does_not_depend_on_the_rank(monkeypatch):
    """Runs are known by it, on every process of a training."""
    plain = CutMix().__getstate__()
    _be(monkeypatch, 1)
    told = pickle.loads(pickle.dumps(CutMix()))
    told.draw(torch.zeros(4, 1, 8, 8))
    assert told.__getstate__() == CutMix().__getstate__() == plain


def test_two_calls_draw_differently():
    images, labels = torch.rand(16, 1, 12, 12, generator=seeded()), torch.arange(16)
    mixer = CutMix(num_classes=16)
    assert not torch.equal(mixer(images, labels)[1], mixer(images, labels)[1])


def _batch():
    return torch.rand(6, 3, 10, 8, generator=seeded()), torch.tensor([0, 1, 2, 2, 1, 0])


def test_in_a_composed_pipeline_of_torchvision():
    images, labels = _batch()
    pipeline = v2.Compose([v2.Normalize([0.5] * 3, [0.5] * 3), CutMix(num_classes=3)])
    mixed, targets = pipeline(images, labels)
    expected, same = CutMix(num_classes=3)((images - 0.5) / 0.5, labels)
    torch.testing.assert_close(mixed, expected)
    assert torch.equal(targets, same)


def test_two_mixers_one_after_the_other_take_soft_labels():
    images, labels = _batch()
    mixed, targets = v2.Compose([CutMix(num_classes=3), Mixup(seed=1)])(images, labels)
    assert mixed.shape == images.shape
    torch.testing.assert_close(targets.sum(1), torch.ones(6))


def test_torchvision_chooses_between_mixers():
    images, labels = _batch()
    choice = v2.RandomChoice([CutMix(num_classes=3), Mixup(num_classes=3)], p=[0.0, 1.0])
    mixed, targets = choice(images, labels)
    expected, same = Mixup(num_classes=3)(images, labels)
    assert torch.equal(mixed, expected) and torch.equal(targets, same)


def test_torchvision_applies_a_mixer_sometimes():
    """Labels must be soft before, because a batch that is left alone keeps the labels it came with."""
    images, labels = _batch()
    soft = torch.eye(3)[labels]
    always, never = (v2.RandomApply([CutMix()], p=p) for p in (1.0, 0.0))
    mixed, targets = always(images, soft)
    expected, same = CutMix()(images, soft)
    assert torch.equal(mixed, expected) and torch.equal(targets, same)
    assert torch.equal(never(images, soft)[0], images) and torch.equal(never(images, soft)[1], soft)


def test_torchvisions_own_image_type_is_mixed():
    from torchvision import tv_tensors

    images, labels = _batch()
    for size in ((10, 8), (80, 72)):
        large = torch.rand(6, 3, *size, generator=seeded())
        mixed = CutMix(num_classes=3)(tv_tensors.Image(large), labels)[0]
        assert torch.equal(torch.as_tensor(mixed), CutMix(num_classes=3)(large, labels)[0])


def test_two_mixers_of_one_pipeline_draw_unrelated_numbers():
    images = torch.zeros(64, 1, 32, 32)
    first, second = CutMix(1.0).draw(images), CutMix(0.9).draw(images)
    assert not torch.equal(first.sources, second.sources)


def test_numbers_of_numpy_are_numbers():
    mixer = DCutMix(numpy.int64(3), numpy.float32(0.5))
    assert mixer.draw(torch.zeros(4, 1, 8, 8)).k == 3


EQUAL = [
    (Mixup(1), Mixup(1.0)),
    (Mixup(numpy.float32(0.5)), Mixup(0.5)),
    (UnclippedCutMix(1), UnclippedCutMix(1.0)),
    (DMixup(numpy.int64(3), 1), DMixup(3, 1.0)),
    (CutMix(seed=numpy.int64(3), num_classes=numpy.int32(4)), CutMix(seed=3, num_classes=4)),
    (Cutout(numpy.int64(5)), Cutout(5)),
    (Cutout(numpy.float32(0.25)), Cutout(0.25)),
    (Cutout(0.5), Cutout()),
    (GridMask(numpy.float64(0.5), [0.25, 1]), GridMask(0.5, (0.25, 1.0))),
    (SMOTE(numpy.int64(2)), SMOTE(2)),
    (Sometimes(Mixup(1), 1), Sometimes(Mixup(1.0), 1.0)),
    (OneOf([Mixup(), CutMix()], numpy.array([0, 1])), OneOf([Mixup(), CutMix()], [0.0, 1.0])),
    (OneOf([Mixup(), CutMix()], torch.tensor([0.5, 0.5])), OneOf([Mixup(), CutMix()], (0.5, 0.5))),
]


@pytest.mark.parametrize("one, other", EQUAL, ids=lambda mixer: type(mixer).__name__)
def test_equal_mixers_draw_equal_numbers(one, other):
    images, labels = torch.zeros(8, 1, 12, 12), torch.arange(8) % 3
    assert one == other and repr(one) == repr(other)
    fresh = [pickle.loads(pickle.dumps(mixer)) for mixer in (one, other)]
    assert same_mix(*(mixer.draw(images, labels) for mixer in fresh))


def test_fills_are_compared_by_their_values():
    fill = torch.tensor([0.1, 0.2]).view(2, 1, 1)
    for kind in (Cutout, GridMask):
        one, twin = kind(fill=fill), kind(fill=fill.clone())
        assert one == twin and hash(one) == hash(twin) and pickle.loads(pickle.dumps(one)) == one
        for other in (fill + 1, fill.view(2), fill.double(), 0.1):
            assert one != kind(fill=other)
        assert kind() == kind() and kind() != kind(fill=1.0) and hash(kind()) == hash(kind())
    assert Cutout(5) != Cutout(6) and Cutout() != GridMask() and Cutout() != "Cutout"

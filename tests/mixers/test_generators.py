"""A mixer's own randomness: in this process, in forked and spawned workers, in torchvision's pipelines."""

import copy
import pickle

import pytest
import torch
from oracle import CountingImages, same_bytes, seeded
from torch.utils.data import DataLoader
from torchvision.transforms import v2

from mixlab.mixers import CutMix, DCutMix, Mixup, OneOf, PerSample

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


def test_processes_of_one_training_draw_differently(monkeypatch):
    images, labels = torch.rand(16, 1, 12, 12, generator=seeded()), torch.arange(16)
    alone = CutMix(num_classes=16)(images, labels)[1]
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    targets = []
    for rank in (0, 1):
        monkeypatch.setattr(torch.distributed, "get_rank", lambda rank=rank: rank)
        targets.append(CutMix(num_classes=16)(images, labels)[1])
    assert torch.equal(targets[0], alone) and not torch.equal(targets[0], targets[1])


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
    import numpy

    mixer = DCutMix(numpy.int64(3), numpy.float32(0.5))
    assert mixer.draw(torch.zeros(4, 1, 8, 8)).k == 3

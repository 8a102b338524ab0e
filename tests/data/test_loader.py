"""The device-resident loader: every row once, resumable to the bit, alike for any number of ranks."""

import math
from fractions import Fraction

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mixlab.data import Loader, Split, draw_shapes, normalise
from mixlab.data.augment import AUGMENTATIONS
from mixlab.rng import generator

GREY = {"mean": (0.4, 0.5, 0.6), "std": (0.2, 0.3, 0.4)}


def split(rows=37):
    part = draw_shapes(rows, 16, torch.Generator().manual_seed(0))
    return Split(part.images, torch.arange(rows))


def same(one, other):
    pairs = list(zip(one, other, strict=True))
    return all(torch.equal(a, b) for first, second in pairs for a, b in zip(first, second, strict=True))


@given(st.integers(1, 40), st.integers(1, 12), st.booleans(), st.booleans())
def test_an_epoch_has_every_row_once(rows, batch_size, shuffle, drop_last):
    loader = Loader(split(rows), batch_size, **GREY, shuffle=shuffle, drop_last=drop_last)
    batches = [batch.labels for batch in loader.epoch(0)]
    seen = torch.cat(batches).tolist() if batches else []
    assert len(batches) == len(loader)
    assert all(len(labels) == batch_size for labels in batches[: rows // batch_size])
    assert len(set(seen)) == len(seen) == (rows - rows % batch_size if drop_last else rows)
    if not shuffle:
        assert seen == list(range(len(seen)))


def test_batches_are_the_rows_augmented_and_normalised():
    part = split()
    loader = Loader(part, 8, **GREY, augment="crop-flip", seed=5)
    for number, (images, labels, _) in enumerate(loader.epoch(2)):
        raw = AUGMENTATIONS["crop-flip"](part.images[labels], generator(5, "augment", 2, number))
        assert images.dtype == torch.float32 and labels.dtype == torch.int64
        assert torch.equal(images, normalise(raw, **GREY))


@pytest.mark.parametrize("start", [0, 1, 4, 5])
def test_a_resumed_epoch_goes_on_as_the_whole_one(start):
    make = lambda: Loader(split(), 8, **GREY, augment="crop-flip", seed=1)  # noqa: E731
    whole = list(make().epoch(3))
    assert same(whole[start:], list(make().epoch(3, start=start)))


def test_epochs_and_seeds_differ_and_iterating_counts_epochs():
    loader = Loader(split(), 8, **GREY, augment="crop")
    assert same(list(loader), list(loader.epoch(0)))
    assert same(list(loader), list(loader.epoch(1)))
    assert not same(list(loader.epoch(0)), list(loader.epoch(1)))
    other = Loader(split(), 8, **GREY, augment="crop", seed=1)
    assert not same(list(loader.epoch(0)), list(other.epoch(0)))


@pytest.mark.parametrize("world", [1, 2])
def test_rows_name_the_images_of_a_batch_in_the_training_file(world):
    whole = split()
    part = whole.subset(torch.tensor([30, 2, 17, 9, 8, 36]))
    loaders = [Loader(part, 4, **GREY, rank=rank, world=world) for rank in range(world)]
    batches = [batch for loader in loaders for batch in loader.epoch(1)]
    for images, labels, rows in batches:
        assert torch.equal(images, normalise(whole.images[rows], **GREY))
        assert torch.equal(labels, whole.labels[rows])
    assert sorted(torch.cat([batch.rows for batch in batches]).tolist()) == [2, 8, 9, 17, 30, 36]


def test_order_does_not_depend_on_the_augmentation():
    plain, augmented = (Loader(split(), 8, **GREY, augment=name) for name in ("none", "crop-flip"))
    for (_, one, _), (_, two, _) in zip(plain.epoch(0), augmented.epoch(0), strict=True):
        assert torch.equal(one, two)


@pytest.mark.parametrize("world", [2, 4])
def test_ranks_together_see_the_global_batch(world):
    settings = {**GREY, "augment": "crop-flip", "drop_last": True, "seed": 7}
    whole = list(Loader(split(), 8, **settings).epoch(1))
    parts = [list(Loader(split(), 8, **settings, rank=rank, world=world).epoch(1)) for rank in range(world)]
    for number, (images, labels, _) in enumerate(whole):
        for rank in range(world):
            assert torch.equal(parts[rank][number][0], images[rank::world])
            assert torch.equal(parts[rank][number][1], labels[rank::world])


def test_loading_draws_nothing_from_the_global_generator():
    state = torch.get_rng_state()
    list(Loader(split(), 8, **GREY, augment="crop-flip"))
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"augment": "cutout"}, "none, crop, flip, crop-flip, crop2-flip as augment, received 'cutout'"),
        ({"batch_size": 0}, "at least 1, received 0"),
        ({"batch_size": 8.0}, "integer batch size .* received 8.0"),
        ({"rank": 2, "world": 2}, "rank from 0 to 1, received 2"),
        ({"batch_size": 5, "world": 2}, "2 processes share evenly, received 5 rows"),
        ({"world": 2}, "and 5 in the last one: use drop_last"),
        ({"mean": (0.5,)}, "of 3 channels, received 1"),
    ],
)
def test_wrong_arguments_are_named(change, message):
    with pytest.raises(ValueError, match=message):
        Loader(split(), **{"batch_size": 8, **GREY, **change})


@pytest.mark.gpu
def test_batches_on_a_gpu_are_those_of_the_cpu():
    settings = {**GREY, "augment": "crop-flip"}
    there, here = (list(Loader(split(), 8, **settings, device=device).epoch(0)) for device in ("cuda", "cpu"))
    for (images, labels), (expected, rows) in zip(there, here, strict=True):
        assert images.is_cuda and labels.is_cuda
        assert torch.equal(labels.cpu(), rows)
        torch.testing.assert_close(images.cpu(), expected, rtol=1e-6, atol=1e-6)


@given(st.integers(1, 40), st.integers(1, 12), st.floats(0.01, 1), st.booleans())
def test_a_part_of_the_rows_is_drawn_anew_for_every_epoch(rows, batch_size, part, drop_last):
    loader = Loader(split(rows), batch_size, **GREY, part=part, drop_last=drop_last, seed=3)
    count, whole = math.ceil(Fraction(str(part)) * rows), Loader(split(rows), rows, **GREY, seed=3)
    for epoch in range(2):
        batches = [batch.labels for batch in loader.epoch(epoch)]
        seen = torch.cat(batches).tolist() if batches else []
        assert len(batches) == len(loader)
        assert len(seen) == (count - count % batch_size if drop_last else count)
        # The same stream as that of a whole epoch, so that a part of 1 is what was there before.
        assert seen == next(iter(whole.epoch(epoch))).labels[: len(seen)].tolist()


def test_parts_reach_every_row_alike_and_go_on_where_they_were_left():
    loader = Loader(split(20), 2, **GREY, part=0.3, augment="crop", seed=1)
    seen = torch.bincount(torch.cat([batch.labels for epoch in range(2000) for batch in loader.epoch(epoch)]))
    # 2000 epochs take each row 600 times on average, with a standard deviation of 20.5.
    assert seen.sum() == 12_000 and 500 < seen.min() and seen.max() < 700
    assert same(list(loader.epoch(7))[1:], list(loader.epoch(7, start=1)))


@pytest.mark.parametrize(("options", "message"), [
    ({"part": 0.0}, r"expected a part t in \(0, 1\], received 0.0"),
    ({"part": 1.01}, r"received 1.01"),
    ({"part": 0.5, "shuffle": False}, "expected shuffle=True with a part of the rows"),
    ({"part": 0.5, "world": 2}, "2 processes share evenly, received 8 rows a batch and 3 in the last one"),
])
def test_parts_that_are_none_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        Loader(split(37), 8, **GREY, **options)

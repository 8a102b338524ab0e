"""Augmentation of a batch: equal to the same thing done one picture at a time."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mixlab.data import normalise
from mixlab.data.augment import AUGMENTATIONS, crop, flip


def pictures(rows, height, width, channels=3, seed=0):
    draws = torch.Generator().manual_seed(seed)
    return torch.randint(1, 256, (rows, channels, height, width), dtype=torch.uint8, generator=draws)


def windows(image, padding):
    """All crops of one picture, by plain indexing."""
    channels, height, width = image.shape
    padded = torch.zeros(channels, height + 2 * padding, width + 2 * padding, dtype=image.dtype)
    padded[:, padding : padding + height, padding : padding + width] = image
    steps = range(2 * padding + 1)
    return [[padded[:, y : y + height, x : x + width] for x in steps] for y in steps]


@given(st.integers(1, 9), st.integers(1, 12), st.integers(1, 12), st.integers(0, 99))
def test_crop_takes_the_drawn_window_of_each_picture(rows, height, width, seed):
    images = pictures(rows, height, width, seed=seed)
    cut = crop(images, torch.Generator().manual_seed(seed))
    down, right = torch.randint(9, (2, rows), generator=torch.Generator().manual_seed(seed)).tolist()
    expected = [windows(image, 4)[y][x] for image, y, x in zip(images, down, right)]
    assert torch.equal(cut, torch.stack(expected))


def test_every_window_is_equally_likely():
    images = pictures(1, 8, 8, channels=1).expand(16_200, -1, -1, -1)
    cut = crop(images, torch.Generator().manual_seed(0)).flatten(1)
    counts = torch.stack([
        (cut == window.flatten()).all(1).sum() for row in windows(images[0], 4) for window in row
    ])
    assert counts.sum() == len(images)  # the 81 windows of this picture all differ
    assert ((counts - 200).abs() < 5 * 200**0.5).all()


def test_flip_mirrors_each_picture_or_not():
    images = pictures(400, 3, 5)
    flipped = flip(images, torch.Generator().manual_seed(0))
    mirrored = torch.tensor([torch.equal(a, b.flip(-1)) for a, b in zip(flipped, images)])
    kept = torch.tensor([torch.equal(a, b) for a, b in zip(flipped, images)])
    assert (mirrored ^ kept).all()
    assert abs(int(mirrored.sum()) - 200) < 50


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_augmentations_leave_their_input_and_the_global_generator_alone(name):
    images = pictures(7, 6, 4)
    before, state = images.clone(), torch.get_rng_state()
    one, two = (AUGMENTATIONS[name](images, torch.Generator().manual_seed(3)) for _ in range(2))
    assert torch.equal(images, before) and torch.equal(torch.get_rng_state(), state)
    assert torch.equal(one, two) and one.dtype == torch.uint8 and one.shape == images.shape


@given(st.integers(0, 255), st.floats(-1, 1), st.floats(0.05, 2))
def test_normalise_is_the_closed_form(value, mean, std):
    image = torch.full((1, 2, 1, 1), value, dtype=torch.uint8)
    first, second = normalise(image, (mean, 0.0), (std, 1.0)).flatten().tolist()
    assert first == pytest.approx((value / 255 - mean) / std, abs=1e-5 / std)
    assert second == pytest.approx(value / 255, abs=1e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.int64, torch.bool], ids=str)
def test_normalise_takes_bytes_alone(dtype):
    """Pictures that are float32 already would be written to, and normalised a second time."""
    images = torch.ones(2, 3, 4, 4, dtype=dtype)
    with pytest.raises(ValueError, match=f"expected uint8 pictures in 0..255, received {dtype}"):
        normalise(images, (0.5,) * 3, (0.5,) * 3)
    assert bool((images == 1).all())


def test_normalise_refuses_wrong_constants():
    image = torch.zeros(1, 3, 2, 2, dtype=torch.uint8)
    with pytest.raises(ValueError, match="of 3 channels, received 1 and 3"):
        normalise(image, (0.5,), (1.0, 1.0, 1.0))
    with pytest.raises(ValueError, match="positive standard deviations"):
        normalise(image, (0.5,) * 3, (1.0, 0.0, 1.0))


def test_the_smaller_crop_moves_pictures_by_two_pixels_and_mirrors_them():
    images = pictures(300, 6, 6, channels=1)
    seen = AUGMENTATIONS["crop2-flip"](images, torch.Generator().manual_seed(0))
    for image, one in zip(images, seen):
        assert any(torch.equal(one, way) for row in windows(image, 2) for cut in row for way in (cut, cut.flip(-1)))

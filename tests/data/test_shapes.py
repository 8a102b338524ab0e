"""`shapes`: boxes and masks that fit the pictures, and a task that colour and place do not give away."""

import pytest
import torch

from mixlab.data import draw_shapes
from mixlab.data.shapes import CLASSES, INSIDE


@pytest.fixture(scope="module")
def split():
    return draw_shapes(800, 32, torch.Generator().manual_seed(0))


def test_boxes_are_tight_around_the_masks(split):
    for mask, (x0, y0, x1, y1) in zip(split.masks, split.boxes.tolist()):
        rows, columns = mask.nonzero().unbind(1)
        assert (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1) == (x0, y0, x1, y1)


def test_a_shape_is_seen_in_one_colour(split):
    # The object is flat but for noise of 0.04 of white; the ground, noise apart, varies.
    for image, mask in zip(split.images[:100].double() / 255, split.masks[:100].bool()):
        middle = image[:, mask].median(1).values
        inner = (middle > 0.15) & (middle < 0.85)  # clipping at black and white takes the noise away
        assert (image[:, mask].std(1)[inner] < 0.06).all()


@pytest.mark.parametrize("size", [32, 64])
def test_most_of_every_shape_stays_in_sight(size):
    split = draw_shapes(400, size, torch.Generator().manual_seed(1))
    area = split.masks.flatten(1).sum(1) / size**2
    # Even the thinnest shape at the smallest radius, a fifth, covers more under the widest stripe.
    assert area.min() > 0.015 and area.max() < 0.55


def test_areas_in_the_unit_square_are_those_of_the_figures():
    axis = (torch.arange(2000) + 0.5) / 1000 - 1
    v, u = torch.meshgrid(axis, axis, indexing="ij")
    area = dict(zip(CLASSES, (4 * inside(u, v).double().mean().item() for inside in INSIDE)))
    pi = torch.pi
    assert area["disc"] == pytest.approx(pi * 0.9**2, abs=0.01)
    assert area["ring"] == pytest.approx(pi * (0.95**2 - 0.55**2), abs=0.01)
    assert area["square"] == pytest.approx(1.5**2, abs=0.01)
    assert area["frame"] == pytest.approx(4 * (0.78**2 - 0.45**2), abs=0.01)
    assert area["triangle"] == pytest.approx(3 * 3**0.5 / 4, abs=0.01)
    assert area["cross"] == pytest.approx(4 * (2 * 0.9 * 0.28 - 0.28**2), abs=0.01)
    assert area["star"] == pytest.approx(5 * 0.42 * torch.sin(torch.tensor(pi / 5)).item(), abs=0.01)


def test_colour_and_place_say_nothing_about_the_class(split):
    # Class means of colour and place differ from the common mean only by chance: five standard errors.
    seen = split.masks.bool()
    colour = torch.stack([image[:, mask].double().mean(1) for image, mask in zip(split.images, seen)])
    middle = (split.boxes[:, :2] + split.boxes[:, 2:]).double() / 2
    for feature in (colour, middle):
        spread = feature.std(0) / (len(split) / len(CLASSES)) ** 0.5
        for label in range(len(CLASSES)):
            assert ((feature[split.labels == label].mean(0) - feature.mean(0)).abs() < 5 * spread).all()


def test_pictures_follow_from_the_generator_alone():
    state = torch.get_rng_state()
    one, two, three = (draw_shapes(20, 32, torch.Generator().manual_seed(seed)) for seed in (5, 5, 6))
    assert torch.equal(one.images, two.images) and torch.equal(one.masks, two.masks)
    assert not torch.equal(one.images, three.images)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize(("rows", "size"), [(0, 32), (1, 8)])
def test_wrong_sizes_are_refused(rows, size):
    with pytest.raises(ValueError, match="at least 1 row and a size of at least 16"):
        draw_shapes(rows, size, torch.Generator())

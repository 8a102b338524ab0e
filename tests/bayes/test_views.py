"""Test-time augmentation against views cut by hand."""

import pytest
import torch
from torch import nn

from mixlab.bayes import view_predictive
from mixlab.data.augment import normalise

IMAGES = torch.randint(256, (5, 1, 6, 7), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(42, 3))


def views(model, draws, *, padding=2, batch_size=500, images=IMAGES):
    return view_predictive(model, images, mean=(0.4,), std=(0.3,), draws=draws, padding=padding, batch_size=batch_size,
                           generator=torch.Generator().manual_seed(1))


def test_brute_force():
    model, padding, draws = network(), 2, 7
    g = torch.Generator().manual_seed(1)
    shifts = torch.randint(2 * padding + 1, (draws, 2), generator=g).tolist()
    mirrored = torch.randint(2, (draws,), generator=g).tolist()
    expected = torch.zeros(5, 3, dtype=torch.float64)
    for (down, right), mirror in zip(shifts, mirrored):
        canvas = torch.zeros(5, 1, 10, 11, dtype=torch.uint8)
        canvas[:, :, 2:8, 2:9] = IMAGES
        view = canvas[:, :, down : down + 6, right : right + 7]
        view = torch.flip(view, [3]) if mirror else view
        with torch.no_grad():
            expected += model(normalise(view, (0.4,), (0.3,))).double().softmax(1) / draws
    assert torch.allclose(views(model, draws), expected, atol=1e-7)


def test_batch_size_does_not_matter_and_the_mode_comes_back():
    model = network()
    assert torch.allclose(views(model, 5), views(model, 5, batch_size=2), atol=1e-7)
    assert model.training


def test_symmetric_pictures_without_padding_are_one_pass():
    model, images = network(), torch.full((2, 1, 6, 7), 90, dtype=torch.uint8)
    with torch.no_grad():
        once = model(normalise(images, (0.4,), (0.3,))).double().softmax(1)
    assert torch.allclose(views(model, 4, padding=0, images=images), once, atol=1e-7)


@pytest.mark.parametrize("draws", [0, 1.5, True])
def test_anything_but_a_number_of_views_is_refused(draws):
    with pytest.raises(ValueError, match="at least one draw"):
        views(network(), draws)

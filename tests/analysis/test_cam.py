"""Class activation maps against the logits that they are parts of, and areas that can be counted."""

import pytest
import torch
from oracle import seeded

from mixlab.analysis.cam import attended_area, cam
from mixlab.models import build, inference


def test_the_mean_of_a_map_is_the_logit_without_its_bias():
    network = build("preact-resnet18", num_classes=5, in_channels=1, width=4, generator=seeded())
    images = torch.randn(6, 1, 16, 16, generator=seeded(1))
    with inference(network):
        maps, logits = network.features(images), network(images)
    linear = network.head.linear
    for label in range(5):
        found = cam(maps, linear.weight.detach(), torch.full((6,), label))
        assert found.shape == (6, *maps.shape[2:])
        torch.testing.assert_close(found.mean((1, 2)) + linear.bias[label].detach(), logits[:, label])


def test_a_map_is_a_sum_over_features_at_every_position():
    maps, weight = torch.randn(3, 4, 2, 5, generator=seeded()), torch.randn(7, 4, generator=seeded(1))
    classes = torch.tensor([6, 0, 3])
    found = cam(maps, weight, classes)
    for row, label in enumerate(classes.tolist()):
        for i in range(2):
            for j in range(5):
                assert found[row, i, j].item() == pytest.approx((weight[label] @ maps[row, :, i, j]).item(), abs=1e-6)


def test_areas_are_counted_whatever_the_scale():
    map_ = torch.tensor([[4.0, 3.0, 2.0, 1.9, 1.0, 0.0, -1.0, -9.0]])
    maps = torch.stack([map_, 0.01 * map_, map_ - 4, map_.abs()])
    assert attended_area(maps).tolist() == [3 / 8, 3 / 8, 0.0, 1 / 8]
    assert attended_area(maps, level=1.0).tolist() == [1 / 8, 1 / 8, 0.0, 1 / 8]
    assert attended_area(torch.ones(1, 3, 3)).item() == 1


def test_a_map_of_everything_is_all_of_the_picture_and_levels_are_nested():
    maps = torch.rand(50, 4, 4, generator=seeded())
    areas = [attended_area(maps, level) for level in (0.1, 0.5, 0.9)]
    assert (areas[0] >= areas[1]).all() and (areas[1] >= areas[2]).all() and (areas[2] >= 1 / 16).all()


def test_bad_input_is_named():
    with pytest.raises(ValueError, match=r"expected maps \(N, D, h, w\)"):
        cam(torch.zeros(2, 3, 4, 4), torch.zeros(5, 4), torch.zeros(2, dtype=torch.int64))
    with pytest.raises(ValueError, match="expected a level above 0"):
        attended_area(torch.zeros(1, 2, 2), level=0.0)

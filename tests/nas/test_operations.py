"""The eight operations, in the form of a search and in that of the final network."""

import pytest
import torch
from torch import nn

from mixlab.nas import OPERATIONS, operation
from mixlab.nas.operations import FactorizedReduce


def norms(layer):
    return [each for each in layer.modules() if isinstance(each, nn.BatchNorm2d)]


@pytest.mark.parametrize("search", [True, False])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("name", OPERATIONS)
def test_sides_are_divided_and_channels_kept(name, stride, search):
    assert operation(name, 4, stride, search=search)(torch.rand(2, 4, 6, 8)).shape == (2, 4, 6 // stride, 8 // stride)


def test_only_the_final_form_has_scales_and_only_the_searched_form_normalises_poolings():
    for stride in (1, 2):
        for name in OPERATIONS:
            searched, final = operation(name, 4, stride, search=True), operation(name, 4, stride)
            assert not any(each.affine for each in norms(searched)) and all(each.affine for each in norms(final))
            assert len(norms(searched)) - len(norms(final)) == ("pool" in name)
    # k² + C weights a channel and, in the final form, 2 more; a separable convolution has all of it twice.
    counts = {name: [sum(each.numel() for each in operation(name, 4, search=search).parameters())
                     for search in (True, False)] for name in OPERATIONS}
    assert counts == {"none": [0, 0], "max_pool_3x3": [0, 0], "avg_pool_3x3": [0, 0], "skip_connect": [0, 0],
                      "sep_conv_3x3": [104, 120], "sep_conv_5x5": [232, 248], "dil_conv_3x3": [52, 60],
                      "dil_conv_5x5": [116, 124]}


def test_an_average_leaves_the_border_out_and_none_gives_zeros():
    ones = torch.ones(1, 2, 4, 4)
    assert torch.equal(operation("avg_pool_3x3", 2)(ones), ones)
    assert torch.equal(operation("none", 2, 2)(ones), torch.zeros(1, 2, 2, 2))
    assert torch.equal(operation("skip_connect", 2)(ones), ones)


@pytest.mark.parametrize(("name", "seen"), [
    ("dil_conv_3x3", [-2, 0, 2]), ("dil_conv_5x5", [-4, -2, 0, 2, 4]), ("sep_conv_3x3", [-2, -1, 0, 1, 2]),
    ("sep_conv_5x5", [-4, -3, -2, -1, 0, 1, 2, 3, 4]), ("max_pool_3x3", [-1, 0, 1]), ("avg_pool_3x3", [-1, 0, 1]),
])
def test_which_pixels_an_operation_sees(name, seen):
    layer = operation(name, 2).double().eval()
    for each in layer.modules():
        if isinstance(each, nn.Conv2d):
            nn.init.constant_(each.weight, 1.0)
    found = set()
    for column in range(13):  # a pixel that is moved along the middle row moves the middle of the output or not
        images = torch.full((1, 2, 13, 13), 0.1, dtype=torch.double)
        before = layer(images)[0, :, 6, 6]
        images[0, :, 6, column] += 1
        if not torch.equal(layer(images)[0, :, 6, 6], before):
            found.add(column - 6)
    assert sorted(found) == seen


def test_halving_looks_at_every_second_pixel_along_the_diagonal():
    layer = FactorizedReduce(1, 2, affine=False).eval()
    for each in (layer.first, layer.second):
        nn.init.ones_(each.weight)
    images = torch.arange(16.0).view(1, 1, 4, 4) - 3
    expected = torch.stack([images[0, 0, ::2, ::2], images[0, 0, 1::2, 1::2]])[None].relu() / (1 + 1e-5) ** 0.5
    torch.testing.assert_close(layer(images), expected)


def test_what_does_not_fit_is_one_error():
    with pytest.raises(ValueError, match="expected an operation of none, .* received 'conv'"):
        operation("conv", 4)
    with pytest.raises(ValueError, match="a stride of 1 or 2, received 3"):
        operation("none", 4, 3)
    with pytest.raises(ValueError, match="an even number of channels to halve, received 3"):
        operation("skip_connect", 3, 2)
    with pytest.raises(ValueError, match="expected even sides at stride 2, received 7 x 8"):
        operation("skip_connect", 4, 2)(torch.zeros(1, 4, 7, 8))

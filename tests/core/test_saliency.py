"""Saliency against captum, against finite differences, and on maps that are none."""

import pytest
import torch
from captum.attr import Saliency
from oracle import seeded, unchanged_global_rng
from torch import nn

from mixlab.saliency import block_saliency, gradient_saliency, input_saliency, smooth_random_saliency

CLASSES = 5
NAN, INF = float("nan"), float("inf")


@pytest.fixture
def model(generator):
    network = nn.Sequential(
        nn.Conv2d(3, 6, 3, padding=1), nn.BatchNorm2d(6), nn.Tanh(), nn.Dropout(0.5), nn.Flatten(),
        nn.Linear(6 * 48, CLASSES),
    )
    for parameter in network.parameters():
        nn.init.normal_(parameter, std=0.3, generator=generator)
    network(torch.randn(32, 3, 8, 6, generator=generator))  # batch statistics that are not 0 and 1
    return network.double()


@pytest.fixture
def batch(generator):
    images = torch.randn(7, 3, 8, 6, generator=generator, dtype=torch.float64)
    return images, torch.randint(CLASSES, (7,), generator=generator)


def test_the_mean_is_taken_over_channels_of_the_squared_gradient(generator):
    gradient = torch.randn(2, 3, 4, 5, generator=generator, dtype=torch.float64)
    expected = torch.zeros(2, 4, 5, dtype=torch.float64)
    for b, i, j in torch.cartesian_prod(torch.arange(2), torch.arange(4), torch.arange(5)).tolist():
        expected[b, i, j] = (sum(gradient[b, c, i, j] ** 2 for c in range(3)) / 3) ** 0.5
    torch.testing.assert_close(gradient_saliency(gradient), expected, rtol=1e-14, atol=0)


def test_a_gradient_whose_square_float32_cannot_hold_is_not_lost():
    gradient = torch.full((1, 2, 2, 2), 1e-30)
    gradient[0, :, 0, 0] = 1e30
    assert gradient_saliency(gradient)[0].tolist() == [pytest.approx([1e30, 1e-30]), pytest.approx([1e-30, 1e-30])]


@pytest.mark.parametrize(("dtype", "kept"), [
    (torch.bfloat16, torch.float32), (torch.float16, torch.float32), (torch.float32, torch.float32),
    (torch.float64, torch.float64),
], ids=str)
def test_saliency_is_float32_at_least_and_leaves_the_graph(dtype, kept):
    gradient = torch.ones(1, 2, 2, 2, dtype=dtype, requires_grad=True)
    found = gradient_saliency(gradient)
    assert found.dtype == kept and not found.requires_grad and bool((found == 1).all())


def test_saliency_is_captum_s_with_the_channels_combined(model, batch):
    """Captum differentiates the score that it is given: here the loss of every row."""
    images, labels = batch

    def losses(inputs):
        return nn.functional.cross_entropy(model(inputs), labels, reduction="none")

    model.eval()
    theirs = Saliency(losses).attribute(images, abs=False)
    torch.testing.assert_close(input_saliency(model, images, labels), theirs.square().mean(1).sqrt(),
                               rtol=1e-12, atol=1e-15)


def test_saliency_is_what_finite_differences_measure(model, batch):
    images, labels = batch
    found, step = input_saliency(model, images, labels), 1e-5
    model.eval()
    for row, i, j in ((0, 0, 0), (3, 4, 2), (6, 7, 5)):
        squares = []
        for channel in range(3):
            moved = []
            for sign in (1, -1):
                other = images.clone()
                other[row, channel, i, j] += sign * step
                logits = model(other)[row]
                moved.append(logits.logsumexp(0) - logits[labels[row]])
            squares.append(((moved[0] - moved[1]) / (2 * step)) ** 2)
        assert found[row, i, j].item() == pytest.approx((sum(squares) / 3).sqrt().item(), rel=1e-6)


def test_the_network_is_left_as_it_was(model, batch):
    images, labels = batch
    model.train()
    model[1].eval()  # a layer whose mode is another one
    model(images).sum().backward()
    gradients = [parameter.grad.clone() for parameter in model.parameters()]
    state, modes = {name: value.clone() for name, value in model.state_dict().items()}, [m.training for m in
                                                                                         model.modules()]
    before = images.clone()
    with unchanged_global_rng():
        input_saliency(model, images, labels)
    assert [m.training for m in model.modules()] == modes and any(modes) and not all(modes)
    assert all(torch.equal(state[name], value) for name, value in model.state_dict().items())
    assert all(torch.equal(was, parameter.grad) for was, parameter in zip(gradients, model.parameters(), strict=True))
    assert torch.equal(before, images) and images.grad is None and not images.requires_grad


def test_the_modes_come_back_after_an_error_too(model, batch):
    model.train()
    with pytest.raises(ValueError, match=r"labels in 0\.\.4, received values from 0 to 9"):
        input_saliency(model, batch[0], torch.tensor([0, 1, 2, 3, 4, 0, 9]))
    assert all(module.training for module in model.modules())


def test_a_row_does_not_depend_on_the_others_nor_on_gradients_being_off(model, batch):
    images, labels = batch
    found = input_saliency(model, images, labels)
    with torch.no_grad():
        alone = input_saliency(model, images[2:3], labels[2:3])
    torch.testing.assert_close(found[2:3], alone, rtol=1e-12, atol=0)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int32, torch.int64], ids=str)
def test_labels_may_be_of_any_integer_type_or_soft(model, batch, dtype):
    images, labels = batch
    expected = input_saliency(model, images, labels)
    assert torch.equal(input_saliency(model, images, labels.to(dtype)), expected)
    soft = nn.functional.one_hot(labels, CLASSES).float()
    torch.testing.assert_close(input_saliency(model, images, soft), expected, rtol=1e-12, atol=1e-15)


def test_frozen_networks_have_a_saliency_too(model, batch):
    expected = input_saliency(model, *batch)
    model.requires_grad_(False)
    assert torch.equal(input_saliency(model, *batch), expected) and bool((expected > 0).all())


def test_a_network_that_ignores_its_input_has_none():
    class Prior(nn.Module):
        def __init__(self):
            super().__init__()
            self.logits = nn.Parameter(torch.arange(3.0))

        def forward(self, images):
            return self.logits.expand(len(images), 3)

    found = input_saliency(Prior(), torch.randn(2, 1, 4, 4, generator=seeded()), torch.tensor([0, 2]))
    assert torch.equal(found, torch.zeros(2, 4, 4))
    assert torch.equal(block_saliency(found, 2), torch.full((2, 2, 2), 0.25))


@pytest.mark.parametrize(("images", "labels", "message"), [
    (torch.zeros(2, 3, 8), torch.tensor([0, 1]), r"images of shape \(B, C, H, W\), received \(2, 3, 8\)"),
    (torch.zeros(2, 3, 8, 6, dtype=torch.uint8), torch.tensor([0, 1]), "floating-point images .* torch.uint8"),
    (torch.zeros(2, 3, 8, 6).double(), torch.tensor([0, 1, 2]), r"expected 2 integer labels .* received \(3,\)"),
    (torch.zeros(2, 3, 8, 6).double(), torch.tensor([True, False]), r"class indices .* \(2,\) torch.bool"),
    (torch.zeros(2, 3, 8, 6).double(), torch.zeros(2, 4), r"shape \(2, 5\), received \(2, 4\)"),
    (torch.zeros(2, 3, 8, 6).double(), torch.tensor([-100, 0]), "values from -100 to 0"),
])
def test_batches_that_do_not_fit_are_named(model, images, labels, message):
    with pytest.raises(ValueError, match=message):
        input_saliency(model, images, labels)


@pytest.mark.parametrize("blocks", [1, 2, 4])
def test_blocks_hold_their_part_of_the_map(blocks):
    saliency = torch.rand(3, 8, 12, generator=seeded(), dtype=torch.float64)
    found = block_saliency(saliency, blocks)
    high, wide = 8 // blocks, 12 // blocks
    for b in range(3):
        for i in range(blocks):
            for j in range(blocks):
                part = saliency[b, i * high:(i + 1) * high, j * wide:(j + 1) * wide].sum() / saliency[b].sum()
                assert found[b, i, j].item() == pytest.approx(part.item(), rel=1e-13)
    torch.testing.assert_close(found.sum((1, 2)), torch.ones(3, dtype=torch.float64), rtol=1e-14, atol=0)


def test_only_the_shape_of_a_map_matters():
    saliency = torch.rand(4, 8, 8, generator=seeded())
    expected = block_saliency(saliency, 4)
    for factor in (1e-38, 1e-20, 1e20, 3e38):
        torch.testing.assert_close(block_saliency(saliency * factor, 4), expected, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("value", [0.0, 1e-45, 1.0, 3e38])
def test_constant_maps_become_uniform_and_zero_is_one_of_them(value):
    found = block_saliency(torch.full((2, 4, 4), value), 2)
    assert torch.equal(found, torch.full((2, 2, 2), 0.25))


def test_one_map_of_zeros_leaves_the_others_alone():
    saliency = torch.rand(3, 4, 4, generator=seeded())
    expected = block_saliency(saliency, 4)
    saliency[1] = 0
    found = block_saliency(saliency, 4)
    assert torch.equal(found[[0, 2]], expected[[0, 2]]) and torch.equal(found[1], torch.full((4, 4), 1 / 16))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.int64], ids=str)
def test_maps_of_other_dtypes_become_float32(dtype):
    found = block_saliency(torch.arange(16).view(1, 4, 4).to(dtype), 2)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.flatten(), torch.tensor([10.0, 18.0, 42.0, 50.0]) / 120)


@pytest.mark.parametrize("wrong", [NAN, INF, -INF, -1e-30])
def test_values_that_no_saliency_has_are_one_error(wrong):
    saliency = torch.rand(3, 4, 4, generator=seeded())
    saliency[1, 2, 3] = wrong
    with pytest.raises(ValueError, match="expected a finite, non-negative saliency, received values from"):
        block_saliency(saliency, 2)


@pytest.mark.parametrize(("size", "blocks", "fitting"), [
    ((28, 28), 8, r"\[1, 2, 4, 7, 14, 28\]"), ((32, 32), 3, r"\[1, 2, 4, 8, 16, 32\]"), ((12, 8), 3, r"\[1, 2, 4\]"),
    ((4, 4), 0, r"\[1, 2, 4\]"), ((4, 4), -2, r"\[1, 2, 4\]"), ((4, 4), 2.0, r"\[1, 2, 4\]"),
    ((4, 4), 8, r"\[1, 2, 4\]"), ((4, 4), True, r"\[1, 2, 4\]"),
])
def test_blocks_that_do_not_divide_the_sides_are_told_which_do(size, blocks, fitting):
    with pytest.raises(ValueError, match=f"divides height and width {size[0]} x {size[1]}, one of {fitting}, received"):
        block_saliency(torch.ones(2, *size), blocks)


@pytest.mark.parametrize("shape", [(4, 4), (2, 1, 4, 4), (0, 4, 4), (2, 0, 4)])
def test_a_saliency_of_another_shape_is_refused(shape):
    with pytest.raises(ValueError, match=r"saliency of shape \(B, H, W\), received"):
        block_saliency(torch.ones(shape), 2)


def test_random_maps_follow_from_their_generator():
    with unchanged_global_rng():
        first, again, other = (smooth_random_saliency(3, (28, 20), generator=seeded(seed)) for seed in (1, 1, 2))
    assert first.shape == (3, 28, 20) and first.dtype == torch.float32 and bool((first >= 0).all())
    assert torch.equal(first, again) and not torch.equal(first, other)


def test_random_maps_are_smooth_and_not_flat():
    """Linear between the points of a grid; at its points the squares of normal numbers, whose mean is 1."""
    maps = smooth_random_saliency(4000, (10, 10), generator=seeded())
    between = [maps[:, 3 * k:3 * k + 4].double() for k in range(3)]
    for part in between:
        torch.testing.assert_close(part[:, 1], (2 * part[:, 0] + part[:, 3]) / 3, rtol=1e-5, atol=1e-6)
    corners = maps[:, ::3, ::3].double()
    assert corners.mean().item() == pytest.approx(1, abs=5 * (2 / corners.numel()) ** 0.5)
    assert corners.var().item() == pytest.approx(2, rel=0.1)
    flat = smooth_random_saliency(2, (5, 6), cells=1, generator=seeded())
    assert bool((flat == flat[:, :1, :1]).all())


@pytest.mark.parametrize("options", [
    {"batch": 0}, {"size": (0, 4)}, {"size": (4, 2.5)}, {"cells": 0}, {"cells": True},
])
def test_numbers_of_a_random_map_are_positive_integers(options):
    with pytest.raises(ValueError, match="expected a positive integer"):
        smooth_random_saliency(**{"batch": 2, "size": (4, 4), "generator": seeded()} | options)

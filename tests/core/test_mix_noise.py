"""The noise of a mix: added to the images that it was drawn for, and to nothing else."""

import pickle
from dataclasses import replace

import pytest
import torch
from oracle import seeded
from torch.func import jvp

from mixlab import Mix
from mixlab.masks import Constant, NestedBoxes, Owners, Soft

SIZE = (6, 4)
FORMS = {
    "constant": lambda: Constant(torch.rand(3, 2, generator=seeded(1)).softmax(1)),
    "nested": lambda: NestedBoxes(torch.tensor([[[1, 0, 4, 2]], [[0, 0, 6, 4]], [[2, 2, 2, 3]]]), SIZE),
    "owners": lambda: Owners(torch.randint(0, 2, (3, *SIZE), generator=seeded(2)).byte()),
    "soft": lambda: Soft(torch.rand(3, 2, 3, 2, generator=seeded(3)) / 2, SIZE),
}
every_form = pytest.mark.parametrize("form", FORMS)
IMAGES = torch.randn(3, 2, *SIZE, generator=seeded(4))
NOISE = torch.randn(3, 2, *SIZE, generator=seeded(5))


def mixes(form):
    """A mix, and the same one with noise."""
    mix = Mix(torch.tensor([[0, 1], [1, 2], [2, 0]]), FORMS[form](), fill=0.5)
    return mix, replace(mix, noise=NOISE)


@every_form
def test_noise_is_added_only_where_it_is_asked_for(form):
    plain, noisy = mixes(form)
    before = IMAGES.clone()
    assert torch.equal(noisy.apply(IMAGES), plain.apply(IMAGES))
    assert torch.equal(noisy.apply(IMAGES, noise=True), plain.apply(IMAGES) + NOISE)
    assert torch.equal(noisy.apply(IMAGES, 0.0, noise=True), plain.apply(IMAGES, 0.0) + NOISE)
    assert torch.equal(plain.apply(IMAGES, noise=True), plain.apply(IMAGES))
    assert torch.equal(IMAGES, before)


@every_form
def test_masks_shares_and_targets_know_nothing_of_it(form):
    plain, noisy = mixes(form)
    assert torch.equal(plain.masks(SIZE), noisy.masks(SIZE)) and torch.equal(plain.shares, noisy.shares)
    labels = torch.tensor([0, 1, 2])
    assert torch.equal(plain.targets(labels, 3), noisy.targets(labels, 3))
    second = torch.rand(3, 5, *SIZE, generator=seeded(6))  # another number of channels: a view, a segmentation
    assert torch.equal(noisy.apply(second), plain.apply(second))


@every_form
def test_another_size_has_none(form):
    plain, noisy = mixes(form)
    resized, large = noisy.resize((12, 8)), torch.randn(3, 2, 12, 8, generator=seeded(7))
    assert resized.noise is None
    assert torch.equal(resized.apply(large, noise=True), plain.resize((12, 8)).apply(large))


@every_form
def test_rows_that_stay_themselves_stay_clean(form):
    _, noisy = mixes(form)
    mixed = noisy.select(torch.tensor([True, False, True])).apply(IMAGES, noise=True)
    assert torch.equal(mixed[1], IMAGES[1])
    expected = noisy.apply(IMAGES, noise=True)
    assert torch.equal(mixed[[0, 2]], expected[[0, 2]])


@every_form
def test_it_goes_with_the_mix(form):
    _, noisy = mixes(form)
    assert noisy.to("meta").noise.device.type == "meta" and noisy.to("cpu") is noisy
    assert torch.equal(pickle.loads(pickle.dumps(noisy)).noise, NOISE)
    assert torch.equal(replace(noisy, weights=torch.eye(2)[[0, 0, 1]]).noise, NOISE)
    assert Mix.trusted(noisy.sources, noisy.form).noise is None is Mix.identity(3).noise


@every_form
@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16], ids=str)
def test_the_images_keep_their_dtype_and_their_derivative(form, dtype):
    plain, noisy = mixes(form)
    images = IMAGES.to(dtype).requires_grad_()
    mixed = noisy.apply(images, noise=True)
    assert mixed.dtype == dtype
    (with_noise,) = torch.autograd.grad(mixed.sum(), images)
    (without,) = torch.autograd.grad(plain.apply(images).sum(), images)
    assert torch.equal(with_noise, without) and bool(with_noise.any())
    if dtype == torch.float64:
        tangent = torch.randn(IMAGES.shape, generator=seeded(8), dtype=dtype)
        for mix in (plain, noisy):
            _, moved = jvp(lambda x: mix.apply(x, noise=True), (images.detach(),), (tangent,))
            torch.testing.assert_close(moved, plain.apply(tangent, 0.0), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("wrong", [
    torch.zeros(2, 2, *SIZE), torch.zeros(3), torch.zeros(3, 2, *SIZE, dtype=torch.int64), torch.zeros(3, 2).bool(),
])
def test_noise_of_other_rows_or_types_is_refused(wrong):
    with pytest.raises(ValueError, match=r"expected floating-point noise of shape \(3, \.\.\.\), received"):
        replace(mixes("soft")[0], noise=wrong)


@every_form
def test_images_that_it_was_not_drawn_for_are_refused(form):
    _, noisy = mixes(form)
    for images in (IMAGES[:, :1], IMAGES[..., None, :, :], torch.zeros(3, 2, *SIZE, dtype=torch.uint8)):
        with pytest.raises(ValueError, match=r"images of shape \(3, 2, 6, 4\), for which noise was drawn, received"):
            noisy.apply(images, noise=True)

"""Numbers handed to numpy: the same memory, also under the transforms of torch.func, under which torch refuses."""

import numpy as np
import pytest
import torch
from oracle import seeded

from mixlab.arrays import array
from mixlab.mixers import CutMix, DCutMix, Mixup

TRANSFORMS = {
    "grad": lambda function: torch.func.grad(function)(torch.tensor(2.0)),
    "grad of grad": lambda function: torch.func.grad(lambda x: torch.func.grad(function)(x) * x)(torch.tensor(2.0)),
    "jvp": lambda function: torch.func.jvp(function, (torch.tensor(2.0),), (torch.tensor(1.0),))[1],
    "vmap of grad": lambda function: torch.vmap(torch.func.grad(function), randomness="same")(torch.full((3,), 2.0))[1],
}


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.int64, torch.uint8, torch.bool])
def test_an_array_is_the_same_memory(dtype):
    tensor = torch.tensor([[0, 1, 1], [1, 0, 0]]).to(dtype).T
    numbers = array(tensor)
    assert numbers.shape == (3, 2) and numbers.tolist() == tensor.tolist()
    tensor.logical_not_()
    assert numbers.tolist() == tensor.tolist()


def test_an_array_leaves_the_gradient_behind():
    assert array(torch.ones(2, requires_grad=True) * 3).tolist() == [3, 3]


@pytest.mark.parametrize("outside", [True, False], ids=["made outside", "made inside"])
@pytest.mark.parametrize("transform", TRANSFORMS)
def test_transforms_are_seen_through(transform, outside):
    made = torch.tensor([3.0, 4.0])
    derivative = TRANSFORMS[transform](lambda x: x * array(made if outside else torch.tensor([3.0, 4.0])).sum().item())
    assert derivative.item() == 7


def test_a_tensor_that_stands_for_many_is_refused():
    with pytest.raises(RuntimeError, match="expected one tensor, received a batch of them under torch.vmap"):
        torch.vmap(lambda row: row * array(row).item())(torch.ones(2))


@pytest.mark.parametrize("mixer", [Mixup(1.0), CutMix(1.0), DCutMix(3, 0.2)], ids=lambda mixer: type(mixer).__name__)
@pytest.mark.parametrize("transform", TRANSFORMS)
def test_mixers_draw_under_transforms_what_they_draw_outside(mixer, transform):
    images = torch.rand(4, 1, 5, 6, generator=seeded(1))
    weights = torch.rand(images.shape, generator=seeded(2))

    def mixed(x):
        return x * (weights * mixer.draw(images, generator=seeded(3)).apply(images)).sum()

    derivative = TRANSFORMS[transform](mixed)
    torch.testing.assert_close(derivative, mixed(torch.tensor(1.0)), rtol=1e-5, atol=0)


def test_one_draw_cannot_be_many():
    images = torch.rand(4, 1, 5, 6)
    with pytest.raises(RuntimeError, match="draw outside of it"):
        torch.vmap(lambda x: CutMix().draw(images).apply(x * images), randomness="different")(torch.ones(2))
    with pytest.raises(RuntimeError, match="randomness"):  # torch's own default
        torch.vmap(lambda x: CutMix().draw(images).apply(x * images))(torch.ones(2))


@pytest.mark.gpu
def test_what_an_accelerator_holds_is_fetched():
    np.testing.assert_array_equal(array(torch.arange(4, device="cuda").view(2, 2).T), [[0, 2], [1, 3]])


@pytest.mark.gpu
@pytest.mark.parametrize("mixer", [Mixup(1.0), CutMix(0.5), DCutMix(3, 0.2)], ids=lambda mixer: type(mixer).__name__)
def test_an_accelerator_s_generator_draws_a_mix_for_it(mixer):
    images = torch.rand(8, 1, 16, 16, device="cuda")
    mix, again = (mixer.draw(images, generator=torch.Generator("cuda").manual_seed(1)) for _ in range(2))
    assert mix.sources.device == mix.shares.device == images.device
    assert torch.equal(mix.apply(images), again.apply(images))
    torch.testing.assert_close(mix.shares.sum(1), torch.ones(8, device="cuda"))

"""Building by name: initial weights, randomness, refusals."""

import math

import pytest
import torch
from torch import nn

from mixlab.models import NAMES, Regularisers, build, initialise
from mixlab.models.initialise import IdentityConv2d
from mixlab.models.resnet_cifar import resnet_cifar

CHEAP = ["lenet", "bench-net", "preact-resnet18", "wideresnet-10-1", "pyramidnet-20-6", "resnet-20", "resnet18",
         "resnext50_32x4d"]


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def same(first, second):
    first, second = first.state_dict(), second.state_dict()
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize("name", CHEAP)
def test_weights_follow_from_the_generator_alone(name):
    state = torch.get_rng_state()
    first = build(name, 7, generator=seeded(3))
    assert torch.equal(torch.get_rng_state(), state)
    torch.rand(1)
    assert same(first, build(name, 7, generator=seeded(3)))
    assert not same(first, build(name, 7, generator=seeded(4)))
    assert same(build(name, 7), build(name, 7, generator=seeded(0)))
    for tensor in first.state_dict().values():
        assert tensor.device.type == "cpu" and tensor.isfinite().all()
    assert first.training


def test_a_generator_goes_on():
    generator = seeded(0)
    first, second = (build("lenet", 3, generator=generator) for _ in range(2))
    assert not same(first, second)


def test_regularisers_draw_no_weights():
    network = build("preact-resnet18", 7, width=4, generator=seeded(1))
    regularised = build("preact-resnet18", 7, width=4, generator=seeded(1), dropout=0.3, stochastic_depth=0.5,
                        dropblock=0.1)
    images = torch.randn(2, 3, 16, 16, generator=seeded(2))
    assert torch.equal(network.eval()(images), regularised.eval()(images))
    assert not torch.equal(network.train()(images), regularised.train()(images))


def test_convolutions_are_normal_with_variance_by_fan_out():
    layer = initialise(nn.Conv2d(64, 128, 3, bias=True), seeded(0))
    weights = layer.weight.flatten().double()
    variance = 2 / (9 * 128)
    # 73,728 normal draws: a standard error of √(2/n) of the variance and √(1/n) of a deviation; four of them.
    assert abs(weights.var().item() / variance - 1) < 4 * math.sqrt(2 / len(weights))
    assert abs(weights.mean().item()) < 4 * math.sqrt(variance / len(weights))
    # A normal variable has a fourth moment of 3 variances²; its estimate has a standard error of √(96/n).
    kurtosis = (weights / variance**0.5).pow(4).mean().item()
    assert abs(kurtosis - 3) < 4 * math.sqrt(96 / len(weights))
    assert layer.bias.count_nonzero() == 0


def test_grouped_convolutions_start_as_in_torchvision():
    layer = initialise(nn.Conv2d(256, 256, 3, groups=8, bias=False), seeded(0))
    assert abs(layer.weight.var().item() / (2 / (9 * 256)) - 1) < 4 * math.sqrt(2 / layer.weight.numel())


@pytest.mark.parametrize("channels, out", [(3, 3), (3, 5), (5, 3)])
def test_identity_convolutions_hand_their_channels_on(channels, out):
    layer = initialise(IdentityConv2d(channels, out, 3, padding=1, bias=True), seeded(0))
    maps = torch.randn(2, channels, 4, 5, generator=seeded(1))
    shared = min(channels, out)
    assert torch.equal(layer(maps)[:, :shared], maps[:, :shared])
    usual = initialise(nn.Conv2d(channels, out, 3, padding=1), seeded(0))
    assert torch.equal(layer.weight[shared:], usual.weight[shared:])  # the others, by the same draws


def test_linear_layers_are_uniform():
    layer = initialise(nn.Linear(100, 400), seeded(0))
    assert layer.weight.abs().max() <= 0.1
    # Uniform on ±b: variance b²/3, whose estimate has a relative standard error of √(0.8/n).
    assert abs(layer.weight.var().item() / (0.01 / 3) - 1) < 4 * math.sqrt(0.8 / layer.weight.numel())
    assert layer.bias.count_nonzero() == 0


def test_normalisations_start_as_the_identity():
    layer = nn.BatchNorm2d(3)
    layer(torch.randn(4, 3, 2, 2, generator=seeded(0)))
    for tensor in (layer.weight.data, layer.bias.data):
        tensor.normal_(generator=seeded(0))
    initialise(layer, seeded(0))
    assert layer.weight.tolist() == [1] * 3 and layer.bias.tolist() == [0] * 3
    assert layer.running_mean.tolist() == [0] * 3 and layer.running_var.tolist() == [1] * 3
    assert layer.num_batches_tracked.item() == 0


def test_initialise_refuses_what_it_has_no_rule_for():
    with pytest.raises(ValueError, match=r"normalisations, received Embedding\(3, 2\)"):
        initialise(nn.Sequential(nn.Linear(2, 2), nn.Embedding(3, 2)), seeded(0))


@pytest.mark.parametrize("name", [
    "", "resnet", "preact_resnet18", "PreAct-ResNet18", "wideresnet", "wideresnet-28", "wideresnet-28-10-1",
    "wideresnet-a-b", "wideresnet-016-4", "pyramidnet-110 ", "wideresnet-28-10\n", "alexnet", "resnet-44",
    "resnet-20-1",
])
def test_unknown_names(name):
    with pytest.raises(ValueError, match="expected a network of lenet, bench-net, preact-resnet18, ") as error:
        build(name, 10)
    assert all(known in str(error.value) for known in NAMES) and repr(name) in str(error.value)


@pytest.mark.parametrize("name, message", [
    ("wideresnet-27-10", r"6n \+ 4\), received 27"), ("wideresnet-4-10", r"6n \+ 4\), received 4"),
    ("wideresnet-16-0", "expected a network of"), ("pyramidnet-100-10", r"9n \+ 2\), received 100"),
    ("pyramidnet-2-10", r"9n \+ 2\), received 2"),
])
def test_impossible_numbers(name, message):
    with pytest.raises(ValueError, match=message):
        build(name, 10)


@pytest.mark.parametrize("options, message", [
    ({"num_classes": 0}, "positive integer num_classes, received 0"),
    ({"num_classes": 2.0}, "positive integer num_classes, received 2.0"),
    ({"in_channels": -1}, "positive integer in_channels, received -1"),
    ({"width": 0}, "positive integer width, received 0"),
    ({"width": True}, "positive integer width, received True"),
    ({"dropout": -0.1}, r"dropout in \[0, 1\], received -0.1"),
    ({"dropout": math.nan}, r"dropout in \[0, 1\], received nan"),
    ({"stochastic_depth": 1.5}, r"stochastic_depth in \[0, 1\], received 1.5"),
    ({"dropblock": 2}, r"dropblock in \[0, 1\], received 2"),
    ({"block_size": 4}, "odd block_size, received 4"),
    ({"block_size": -1}, "odd block_size, received -1"), ({"block_size": 3.0}, "odd block_size, received 3.0"),
])
def test_impossible_options(options, message):
    with pytest.raises(ValueError, match=message):
        build("preact-resnet18", **{"num_classes": 10} | options)


@pytest.mark.parametrize("name, options, received", [
    ("lenet", {"width": 8}, "width=8"),
    ("lenet", {"stochastic_depth": 0.5}, "stochastic_depth=0.5"),
    ("lenet", {"dropblock": 0.5}, "dropblock=0.5"), ("lenet", {"block_size": 3}, "block_size=3"),
    ("resnet18", {"block_size": 9}, "block_size=9"), ("bench-net", {"block_size": 3}, "block_size=3"),
    ("bench-net", {"dropout": 0.5, "stochastic_depth": 0.1}, "dropout=0.5, stochastic_depth=0.1"),
    ("bench-net", {"dropblock": 0.1}, "dropblock=0.1"), ("resnet-32", {"dropblock": 0.1}, "dropblock=0.1"),
    ("resnet18", {"dropout": 0.5, "width": 32}, "width=32, dropout=0.5"),
    ("resnet18", {"dropblock": 0.1}, "dropblock=0.1"),
])
def test_options_a_network_does_not_have(name, options, received):
    with pytest.raises(ValueError, match=f"for {name}, received {received}$"):
        build(name, 10, **options)


@pytest.mark.parametrize("depth, shortcut, message", [
    (21, "projection", r"\(6n \+ 2\), received 21"), (2, "projection", r"\(6n \+ 2\), received 2"),
    (20, "zeros", "shortcut of projection, padding, received 'zeros'"),
])
def test_impossible_resnets_of_small_images(depth, shortcut, message):
    with pytest.raises(ValueError, match=message):
        resnet_cifar(depth, 10, shortcut=shortcut)


@pytest.mark.gpu
def test_one_seed_gives_one_network():
    with pytest.raises(ValueError, match="generator on the CPU, received one on cuda"):
        build("lenet", 10, generator=torch.Generator("cuda"))


def test_lenet_dropout():
    rates = [layer.p for layer in build("lenet", 10, dropout=0.4).modules() if isinstance(layer, nn.Dropout)]
    assert rates == [0.4, 0.4]


def test_defaults_regularise_nothing():
    assert Regularisers() == Regularisers(0, 0, 0)
    noisy = [layer for layer in build("wideresnet-10-1", 10).modules() if "rop" in type(layer).__name__]
    assert noisy == []

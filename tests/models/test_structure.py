"""What the networks compute: against plain formulas, loops and each other."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from mixlab.mixers import ManifoldMixup, Mixup
from mixlab.models import build, tap
from mixlab.models.bench_net import LOGIT_SCALE, Scale
from mixlab.models.preact_resnet import PreActBlock
from mixlab.models.pyramidnet import PyramidBottleneck
from mixlab.models.resnet_cifar import BasicBlock, resnet_cifar

SMALL = {
    "lenet": {},
    "bench-net": {"width": 4},
    "preact-resnet18": {"width": 4},
    "wideresnet-10-2": {"width": 4},
    "pyramidnet-20-6": {"width": 4},
    "resnet-20": {"width": 4},
}


def small(name, **options):
    return build(name, 5, in_channels=2, **SMALL[name], **options)


def scramble(module, generator):
    """Give batch normalisations statistics and scales that are not those of initialisation."""
    for layer in module.modules():
        if isinstance(layer, nn.BatchNorm2d):
            for tensor in (layer.weight.data, layer.bias.data, layer.running_mean):
                tensor.normal_(generator=generator)
            layer.running_var.uniform_(0.5, 2, generator=generator)
    return module


def normalise(maps, layer):
    column = lambda vector: vector[:, None, None]  # noqa: E731
    deviation = (column(layer.running_var) + layer.eps).sqrt()
    return (maps - column(layer.running_mean)) / deviation * column(layer.weight) + column(layer.bias)


def convolve(maps, layer, stride=1):
    size = layer.weight.shape[-1]
    return functional.conv2d(maps, layer.weight, stride=stride, padding=size // 2)


def of_kind(module, kind):
    return [layer for layer in module.modules() if isinstance(layer, kind)]


def preact_block(block, maps, stride):
    (norm1, norm2), convolutions = of_kind(block, nn.BatchNorm2d), of_kind(block, nn.Conv2d)
    active = normalise(maps, norm1).clamp(min=0)
    branch = normalise(convolve(active, convolutions[0], stride), norm2).clamp(min=0)
    branch = convolve(branch, convolutions[1])
    return branch + (convolve(active, convolutions[2], stride) if len(convolutions) == 3 else maps)


def plain(*shape):
    return PreActBlock(*shape, nn.Identity(), nn.Identity(), nn.Identity())


@pytest.mark.parametrize("shape", [(4, 4, 1), (3, 5, 1), (3, 6, 2), (4, 4, 2)])
def test_preact_block_by_hand(shape, generator):
    block = scramble(plain(*shape), generator).eval().double()
    maps = torch.randn(2, shape[0], 7, 6, generator=generator, dtype=torch.float64)
    torch.testing.assert_close(block(maps), preact_block(block, maps, shape[2]), rtol=1e-10, atol=1e-10)
    assert len(of_kind(block, nn.Conv2d)) == (2 if shape == (4, 4, 1) else 3)


@pytest.mark.parametrize("name, strides", [("preact-resnet18", [1, 2, 2, 2]), ("wideresnet-10-2", [1, 2, 2])])
def test_chain_by_hand(name, strides, generator):
    """The whole network, from its weights and the formulas alone."""
    network = scramble(small(name), generator).eval().double()
    images = torch.randn(3, 2, 13, 10, generator=generator, dtype=torch.float64)
    maps = convolve(images, network.stem)
    for stage, stride in enumerate(strides, start=1):
        for index, block in enumerate(getattr(network, f"stage{stage}")):
            maps = preact_block(block, maps, stride if index == 0 else 1)
    maps = normalise(maps, network.final[0]).clamp(min=0)
    logits = maps.mean((2, 3)) @ network.head.linear.weight.T + network.head.linear.bias
    torch.testing.assert_close(network(images), logits, rtol=1e-9, atol=1e-9)


def pyramid_shortcut(maps, channels, stride):
    """Averages and zeros, one position at a time."""
    rows, columns = (-(-size // stride) for size in maps.shape[-2:])
    out = maps.new_zeros(len(maps), channels, rows, columns)
    for row in range(rows):
        for column in range(columns):
            patch = maps[:, :, stride * row:stride * row + stride, stride * column:stride * column + stride]
            out[:, :maps.shape[1], row, column] = patch.mean((2, 3))
    return out


@pytest.mark.parametrize("shape", [(4, 2, 1), (4, 2, 2), (6, 2, 1), (6, 3, 2)])
@pytest.mark.parametrize("size", [(6, 4), (7, 5), (1, 1)])
def test_pyramid_block_by_hand(shape, size, generator):
    block = PyramidBottleneck(*shape, nn.Identity(), nn.Identity(), nn.Identity())
    block = scramble(block, generator).eval().double()
    maps = torch.randn(2, shape[0], *size, generator=generator, dtype=torch.float64)
    norms, convolutions = of_kind(block, nn.BatchNorm2d), of_kind(block, nn.Conv2d)
    branch = convolve(normalise(maps, norms[0]), convolutions[0])
    branch = convolve(normalise(branch, norms[1]).clamp(min=0), convolutions[1], shape[2])
    branch = normalise(convolve(normalise(branch, norms[2]).clamp(min=0), convolutions[2]), norms[3])
    expected = branch + pyramid_shortcut(maps, 4 * shape[1], shape[2])
    torch.testing.assert_close(block(maps), expected, rtol=1e-10, atol=1e-10)


def test_pyramid_shortcut_has_no_weights(generator):
    block = PyramidBottleneck(4, 2, 2, nn.Identity(), nn.Identity(), nn.Identity())
    nn.init.zeros_(block.branch[-1].weight)
    maps = torch.randn(3, 4, 5, 4, generator=generator)
    torch.testing.assert_close(block(maps), pyramid_shortcut(maps, 8, 2))
    assert block(maps)[:, 4:].count_nonzero() == 0


def test_pyramid_stages(generator):
    network = build("pyramidnet-20-12", 5, in_channels=2, width=4)
    blocks = [block for stage in (1, 2, 3) for block in getattr(network, f"stage{stage}")]
    assert [block.branch[3].out_channels for block in blocks] == [6, 8, 10, 12, 14, 16]
    assert [block.stride for block in blocks] == [1, 1, 2, 1, 2, 1]


def basic_block(block, maps, stride, shortcut):
    norms, convolutions = of_kind(block, nn.BatchNorm2d), of_kind(block, nn.Conv2d)
    branch = normalise(convolve(maps, convolutions[0], stride), norms[0]).clamp(min=0)
    branch = normalise(convolve(branch, convolutions[1]), norms[1])
    changes = stride != 1 or branch.shape != maps.shape
    if changes and shortcut == "projection":
        maps = normalise(convolve(maps, convolutions[2], stride), norms[2])
    elif changes:
        padded = torch.zeros_like(branch)
        for row in range(branch.shape[2]):
            for column in range(branch.shape[3]):
                padded[:, :maps.shape[1], row, column] = maps[:, :, stride * row, stride * column]
        maps = padded
    return (maps + branch).clamp(min=0)


@pytest.mark.parametrize("shortcut, extra", [("projection", 1), ("padding", 0)])
@pytest.mark.parametrize("shape", [(4, 4, 1), (3, 5, 1), (3, 6, 2), (4, 4, 2)])
@pytest.mark.parametrize("size", [(7, 6), (1, 1)])
def test_basic_block_by_hand(shape, size, shortcut, extra, generator):
    block = scramble(BasicBlock(*shape, shortcut), generator).eval().double()
    maps = torch.randn(2, shape[0], *size, generator=generator, dtype=torch.float64)
    changes = shape != (4, 4, 1)
    assert len(of_kind(block, nn.Conv2d)) == len(of_kind(block, nn.BatchNorm2d)) == 2 + changes * extra
    torch.testing.assert_close(block(maps), basic_block(block, maps, shape[2], shortcut), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("shortcut", ["projection", "padding"])
def test_resnet_of_small_images_by_hand(shortcut, generator):
    """The whole network, from its weights and the formulas alone."""
    network = resnet_cifar(14, 5, in_channels=2, width=4, shortcut=shortcut)
    network = scramble(network, generator).eval().double()
    images = torch.randn(3, 2, 13, 10, generator=generator, dtype=torch.float64)
    maps = normalise(convolve(images, network.stem[0]), network.stem[1]).clamp(min=0)
    for stage, stride in enumerate((1, 2, 2), start=1):
        blocks = getattr(network, f"stage{stage}")
        assert len(blocks) == 2
        for index, block in enumerate(blocks):
            maps = basic_block(block, maps, stride if index == 0 else 1, shortcut)
    logits = maps.mean((2, 3)) @ network.head.linear.weight.T + network.head.linear.bias
    torch.testing.assert_close(network(images), logits, rtol=1e-9, atol=1e-9)


def test_the_named_resnets_of_small_images_project(generator):
    named = small("resnet-20").eval()
    spelled = resnet_cifar(20, 5, in_channels=2, width=4).eval()
    spelled.load_state_dict(named.state_dict())
    images = torch.randn(2, 2, 9, 9, generator=generator)
    assert torch.equal(named(images), spelled(images))
    projections = [name for name, _ in named.named_parameters() if "projection.0" in name]
    assert projections == ["stage2.0.projection.0.weight", "stage3.0.projection.0.weight"]


HALVINGS = {
    "preact-resnet18": {"stem": 0, "stage1": 0, "stage2": 1, "stage3": 2, "stage4": 3, "final": 3},
    "wideresnet-10-2": {"stem": 0, "stage1": 0, "stage2": 1, "stage3": 2, "final": 2},
    "pyramidnet-20-6": {"stem": 0, "stage1": 0, "stage2": 1, "stage3": 2, "final": 2},
    "resnet-20": {"stem": 0, "stage1": 0, "stage2": 1, "stage3": 2},
}
CHANNELS = {
    "preact-resnet18": [4, 4, 8, 16, 32, 32],
    "wideresnet-10-2": [4, 8, 16, 32, 32],
    "pyramidnet-20-6": [4, 24, 32, 40, 40],
    "resnet-20": [4, 4, 8, 16],
}


@pytest.mark.parametrize("name", HALVINGS)
@pytest.mark.parametrize("size", [(8, 8), (28, 28), (32, 20), (29, 33), (1, 1)])
def test_stage_shapes(name, size):
    network = small(name).eval()
    assert network.layers == tuple(HALVINGS[name])
    maps = torch.zeros(2, 2, *size)
    for (stage, halvings), channels in zip(HALVINGS[name].items(), CHANNELS[name], strict=True):
        maps = getattr(network, stage)(maps)
        assert maps.shape == (2, channels, -(-size[0] // 2**halvings), -(-size[1] // 2**halvings))
    torch.testing.assert_close(network.head(maps), network(torch.zeros(2, 2, *size)))


def test_lenet_shapes():
    network = small("lenet").eval()
    assert network.features(torch.zeros(2, 2, 28, 28)).shape == (2, 120, 1, 1)
    assert network.features(torch.zeros(2, 2, 32, 44)).shape == (2, 120, 2, 5)
    for size in ((8, 8), (27, 40)):
        with pytest.raises(ValueError, match=f"at least 28×28 pixels, received .*{size[1]}"):
            network(torch.zeros(2, 2, *size))


def test_lenet_by_hand(generator):
    network = small("lenet").eval()
    maps = images = torch.randn(2, 2, 30, 28, generator=generator)
    for stage, margin in (("stage1", 2), ("stage2", 0), ("stage3", 0)):
        layer = getattr(network, stage)[0]
        maps = functional.conv2d(maps, layer.weight, layer.bias, padding=margin).clamp(min=0)
        if stage != "stage3":
            rows, columns = maps.shape[2] // 2, maps.shape[3] // 2
            maps = maps[:, :, :2 * rows, :2 * columns].reshape(2, -1, rows, 2, columns, 2).amax((3, 5))
    hidden = (maps.mean((2, 3)) @ network.head.hidden.weight.T + network.head.hidden.bias).clamp(min=0)
    logits = hidden @ network.head.linear.weight.T + network.head.linear.bias
    torch.testing.assert_close(network(images), logits)


@pytest.mark.parametrize("size", [(9, 9), (28, 28), (32, 32), (33, 20)])
def test_bench_net_shapes(size):
    network = small("bench-net").eval()
    assert network.layers == ("stem", "stage1", "stage2", "stage3")
    maps = torch.zeros(2, 2, *size)
    for stage, channels, halvings in (("stem", 24, 0), ("stage1", 4, 1), ("stage2", 16, 2), ("stage3", 16, 3)):
        maps = getattr(network, stage)(maps)
        assert maps.shape == (2, channels, *((side - 1) // 2**halvings for side in size))
    assert network(torch.zeros(2, 2, *size)).shape == (2, 5)


@pytest.mark.parametrize("size", [(8, 8), (32, 8)])
def test_bench_net_refuses_images_that_pooling_would_use_up(size):
    with pytest.raises(ValueError, match=rf"at least 9×9 pixels, received \(2, 2, {size[0]}, {size[1]}\)"):
        small("bench-net")(torch.zeros(2, 2, *size))


def pooled(maps):
    """The maximum of every 2×2 block; an odd last row or column is left out."""
    rows, columns = maps.shape[2] // 2, maps.shape[3] // 2
    return maps[:, :, :2 * rows, :2 * columns].reshape(*maps.shape[:2], rows, 2, columns, 2).amax((3, 5))


def gelu(maps):
    """A value times the probability that a standard normal one lies below it."""
    return maps * 0.5 * (1 + torch.erf(maps / 2**0.5))


def test_bench_net_by_hand(generator):
    network = scramble(small("bench-net"), generator).eval().double()
    network.stem[0].bias.data.normal_(generator=generator)
    images = torch.randn(3, 2, 19, 28, generator=generator, dtype=torch.float64)
    patches = images.unfold(2, 2, 1).unfold(3, 2, 1)  # (3, 2, 18, 27, 2, 2), one for each position
    stem = network.stem[0]
    maps = gelu(torch.einsum("bcyxij,kcij->bkyx", patches, stem.weight) + stem.bias[:, None, None])
    for group in (network.stage1, network.stage2, network.stage3):
        (first, second), (norm1, norm2) = of_kind(group, nn.Conv2d), of_kind(group, nn.BatchNorm2d)
        maps = gelu(normalise(pooled(convolve(maps, first)), norm1))
        maps = gelu(normalise(convolve(maps, second), norm2))
    torch.testing.assert_close(network.features(images), maps, rtol=1e-9, atol=1e-9)
    logits = maps.amax((2, 3)) @ network.head.linear.weight.T / 9
    torch.testing.assert_close(network(images), logits, rtol=1e-9, atol=1e-9)
    assert network.head.linear.bias is None
    assert all(layer.bias is None for layer in of_kind(network, nn.Conv2d) if layer is not stem)


def test_the_bench_net_s_groups_start_as_identities():
    network = small("bench-net")
    for group, channels in ((network.stage1, 4), (network.stage2, 4), (network.stage3, 16)):
        first, second = of_kind(group, nn.Conv2d)
        centre = torch.eye(channels, first.in_channels)
        assert torch.equal(first.weight[:channels, :, 1, 1], centre) and first.weight[:channels].sum() == channels
        assert torch.equal(second.weight, nn.init.dirac_(torch.empty_like(second.weight)))


def test_another_head_can_share_the_bench_net_s_scale(generator):
    network = small("bench-net").eval()
    images = torch.randn(2, 2, 28, 28, generator=generator)
    features = network.head.flatten(network.head.pool(network.features(images)))
    torch.testing.assert_close(Scale(LOGIT_SCALE)(network.head.linear(features)), network(images))
    assert network.head.scale.factor == LOGIT_SCALE == 1 / 9


@pytest.mark.parametrize("name", SMALL)
def test_logits_are_a_linear_head_s_times_the_scale_that_the_network_names(name, generator):
    network = scramble(small(name), generator).eval()
    images = torch.randn(3, 2, 32, 32, generator=generator)
    with tap(network, "head.linear", input=True) as embedding:
        logits = network(images)
    torch.testing.assert_close(network.logit_scale * network.head.linear(embedding.value), logits)
    assert network.logit_scale == (1 / 9 if name == "bench-net" else 1)


def test_only_the_bench_net_says_that_it_may_be_channels_last_on_a_cpu():
    """No strided convolution of one pixel, whose gradient oneDNN may write past its buffer."""
    assert {name: small(name).channels_last_on_cpu for name in SMALL} == {
        name: name == "bench-net" for name in SMALL}
    layers = of_kind(small("bench-net"), nn.Conv2d)
    assert {(layer.kernel_size, layer.stride) for layer in layers} == {((2, 2), (1, 1)), ((3, 3), (1, 1))}


def test_head_reads_every_position(generator):
    """The mean commutes with the linear layer, which class activation maps rely on."""
    network = small("preact-resnet18").eval()
    images = torch.randn(2, 2, 16, 24, generator=generator)
    maps = network.features(images)
    linear = network.head.linear
    activations = torch.einsum("bdhw,cd->bchw", maps, linear.weight) + linear.bias[:, None, None]
    torch.testing.assert_close(activations.mean((2, 3)), network(images))


@pytest.mark.parametrize("name", [name for name in SMALL if name != "lenet"])
def test_channels_last(name, generator):
    noisy = {} if name in ("bench-net", "resnet-20") else {"dropblock": 0.1, "stochastic_depth": 0.1}
    network = small(name, **noisy).eval()
    images = torch.randn(2, 2, 16, 12, generator=generator)
    expected = network(images)
    network.to(memory_format=torch.channels_last)
    images = images.contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(network(images), expected, rtol=1e-4, atol=1e-5)
    # No layer gives the memory format up, in training neither.
    network.train()
    for layer in network.layers:
        images = getattr(network, layer)(images)
        assert images.is_contiguous(memory_format=torch.channels_last), layer


@pytest.mark.parametrize("name", SMALL)
def test_bfloat16_autocast(name, generator):
    network = small(name)
    images = torch.randn(4, 2, 28, 28, generator=generator)
    with torch.autocast("cpu", torch.bfloat16):
        logits = network(images)
        logits.float().square().mean().backward()
    assert all(parameter.grad.isfinite().all() for parameter in network.parameters())
    network.eval()
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        rough = network(images).float()
    exact = network(images)
    assert (rough - exact).norm() < 0.05 * exact.norm()


@pytest.mark.parametrize("name", SMALL)
def test_traces_as_one_graph(name, generator):
    network = small(name).eval()
    images = torch.randn(2, 2, 28, 28, generator=generator)
    compiled = torch.compile(network, backend="eager", fullgraph=True)
    with torch.no_grad():
        torch.testing.assert_close(compiled(images), network(images))


@pytest.mark.parametrize("name", SMALL)
def test_manifold_mixup_reaches_every_layer(name, generator):
    network = small(name).eval()
    images = torch.randn(4, 2, 28, 28, generator=generator)
    for layer in network.layers:
        logits, mix = ManifoldMixup(Mixup(1.0), (layer,))(network, images, generator=generator)
        later = network.layers[network.layers.index(layer) + 1:]
        maps = images
        for stage in network.layers[:network.layers.index(layer) + 1]:
            maps = getattr(network, stage)(maps)
        maps = mix.apply(maps)
        for stage in later:
            maps = getattr(network, stage)(maps)
        torch.testing.assert_close(logits, network.head(maps))


def test_gradients_reach_every_parameter(generator):
    for name in SMALL:
        network = small(name)
        network(torch.randn(4, 2, 28, 28, generator=generator)).square().sum().backward()
        assert all(parameter.grad.abs().sum() > 0 for parameter in network.parameters()), name

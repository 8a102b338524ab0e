"""Dropout, stochastic depth and DropBlock inside the networks."""

import math

import pytest
import torch
from torch import nn
from torch.nn.functional import max_pool2d
from torchvision.ops import StochasticDepth

from mixlab.models import build, noise
from mixlab.models.regularisers import DropBlock


def of_kind(module, kind):
    return [layer for layer in module.modules() if isinstance(layer, kind)]


def blocks(network):
    return [block for name in network.layers if name.startswith("stage") for block in getattr(network, name)]


TOTALS = [("preact-resnet18", 8), ("wideresnet-16-1", 6), ("pyramidnet-29-6", 9)]
STAGES = [("preact-resnet18", 4), ("wideresnet-16-1", 3), ("pyramidnet-20-6", 3)]
FITTING = [((4, 4), 3), ((4, 9), 3), ((7, 7), 7), ((6, 30), 5), ((2, 2), 1), ((1, 3), 1)]


@pytest.mark.parametrize("name, total", TOTALS)
def test_survival_decays_linearly(name, total):
    network = build(name, 10, width=4, stochastic_depth=0.6)
    rates = [block.path.p for block in blocks(network)]
    assert rates == pytest.approx([0.6 * block / total for block in range(1, total + 1)])


@pytest.mark.parametrize("name", ["preact-resnet18", "wideresnet-16-1", "pyramidnet-20-6"])
def test_a_block_that_never_survives_is_its_shortcut(name, generator):
    network = build(name, 10, width=4, stochastic_depth=1.0)
    block = blocks(network)[-1]
    assert block.path.p == 1
    channels = of_kind(block, nn.BatchNorm2d)[0].num_features
    maps = torch.randn(3, channels, 5, 4, generator=generator)
    out = block(maps)
    torch.testing.assert_close(out[:, :channels], maps, rtol=0, atol=0)
    assert out[:, channels:].count_nonzero() == 0
    assert not torch.equal(block.eval()(maps)[:, :channels], maps)


def test_stochastic_depth_drops_rows_and_keeps_the_mean(generator):
    """A row is its shortcut, or its shortcut and the branch over the survival rate."""
    block = blocks(build("preact-resnet18", 10, width=4, stochastic_depth=0.5))[-1].eval()
    channels = 32
    maps = torch.randn(1, channels, 3, 3, generator=generator).expand(4000, -1, -1, -1)
    branch = block(maps)[0] - maps[0]
    block.path.train()
    with noise(block, generator), torch.no_grad():
        out = block(maps)
    dropped = (out == maps).flatten(1).all(1)
    survivors = out[~dropped]
    torch.testing.assert_close(survivors, (maps[0] + branch / 0.5).expand_as(survivors), rtol=1e-4, atol=1e-5)
    # 4000 coins of 1/2: four standard errors.
    assert abs(dropped.float().mean().item() - 0.5) < 4 * 0.5 / math.sqrt(4000)


def test_dropout_is_between_the_convolutions(generator):
    network = build("wideresnet-16-2", 10, width=4, dropout=0.25)
    for block in blocks(network):
        kinds = [type(layer).__name__ for layer in block.branch]
        assert kinds == ["Conv2d", "Sequential", "Dropout", "Conv2d"]
        assert block.branch[2].p == 0.25
    # A rate of 1 leaves the shortcut.
    block = blocks(build("wideresnet-16-2", 10, width=4, dropout=1.0))[-1]
    maps = torch.randn(2, 32, 3, 3, generator=generator)
    assert torch.equal(block(maps), maps)


@pytest.mark.parametrize("name, stages", STAGES)
def test_dropblock_is_in_the_last_two_stages(name, stages):
    network = build(name, 10, width=4, dropblock=0.1, block_size=5)
    for stage in range(1, stages + 1):
        layers = of_kind(getattr(network, f"stage{stage}"), DropBlock)
        count = len(getattr(network, f"stage{stage}")) if stage > stages - 2 else 0
        assert [(layer.p, layer.block_size) for layer in layers] == [(0.1, 5)] * count


@pytest.mark.parametrize("size, block", [((12, 12), 3), ((9, 14), 5), ((8, 8), 7), ((6, 5), 1)])
@pytest.mark.parametrize("p", [0.1, 0.5])
def test_dropblock_share_of_zeros(size, block, p, generator):
    """The share equals that of independent block centres, summed over positions; it is p up to overlaps."""
    layer = DropBlock(p, block)
    height, width = size
    centres = [height - block + 1, width - block + 1]
    gamma = p * height * width / (block**2 * centres[0] * centres[1])
    reach = [[min(i, centre - 1) - max(i - block + 1, 0) + 1 for i in range(side)]
             for side, centre in zip(size, centres, strict=True)]
    zero = torch.tensor([[1 - (1 - gamma) ** (rows * columns) for columns in reach[1]] for rows in reach[0]])
    with noise(layer, generator):
        out = layer(torch.ones(20, 50, *size))
    shares = (out == 0).float().mean((2, 3)).flatten()
    # 1000 independent maps, so that their own spread gives the standard error of the mean; four of them.
    error = shares.std().item() / math.sqrt(len(shares))
    assert abs(shares.mean().item() - zero.mean().item()) < 4 * error
    assert zero.mean() <= p + 1e-6
    # What is left is scaled up to keep the sum.
    torch.testing.assert_close(out.mean(), torch.tensor(1.0), rtol=1e-4, atol=0)


def test_dropblock_zeros_are_blocks(generator):
    layer = DropBlock(0.2, 3)
    with noise(layer, generator):
        zeros = (layer(torch.ones(4, 6, 11, 9)) == 0).float()
    assert 0 < zeros.mean() < 1
    # Morphological opening by a 3×3 square leaves a union of 3×3 squares as it is.
    eroded = 1 - max_pool2d(1 - zeros, 3, 1, 0)
    opened = max_pool2d(torch.nn.functional.pad(eroded, [2] * 4), 3, 1, 0)
    assert torch.equal(opened, zeros)


@pytest.mark.parametrize("size, side", FITTING)
def test_dropblock_shrinks_to_small_maps(size, side, generator):
    """Blocks of 7 on maps that are smaller: the largest odd side that fits."""
    maps = torch.rand(30, 20, *size, generator=generator) + 0.5
    wide, fitting = DropBlock(0.3, 7), DropBlock(0.3, side)
    with noise(wide, generator.manual_seed(1)):
        expected = wide(maps)
    with noise(fitting, generator.manual_seed(1)):
        assert torch.equal(fitting(maps), expected)
    assert (expected == 0).any() and (expected != 0).any()


@pytest.mark.parametrize("rate, kept", [(0.0, True), (1.0, False)])
def test_dropblock_at_its_ends(rate, kept):
    maps = torch.ones(2, 3, 5, 5)
    assert torch.equal(DropBlock(rate, 1)(maps), maps if kept else torch.zeros_like(maps))
    assert torch.equal(DropBlock(rate, 1).eval()(maps), maps)


@pytest.mark.parametrize("name", ["preact-resnet18", "wideresnet-10-1", "pyramidnet-20-6"])
@pytest.mark.parametrize("option", ["dropout", "stochastic_depth", "dropblock"])
def test_noise_drives_every_regulariser(name, option, generator):
    network = build(name, 5, width=4, **{option: 0.5})
    images = torch.randn(6, 3, 16, 16, generator=generator)
    state = torch.get_rng_state()

    def run(seed):
        with noise(network, torch.Generator().manual_seed(seed)), torch.no_grad():
            return network(images)

    first = run(0)
    assert torch.equal(first, run(0)) and not torch.equal(first, run(1))
    assert torch.equal(torch.get_rng_state(), state)
    kinds = {"dropout": nn.Dropout, "stochastic_depth": StochasticDepth, "dropblock": DropBlock}
    assert [kind for kind, layer in kinds.items() if of_kind(network, layer)] == [option]

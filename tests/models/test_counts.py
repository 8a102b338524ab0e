"""Parameter counts: closed forms derived from the papers' tables, and the roundings that were published."""

from fractions import Fraction
from math import floor

import pytest
import torch

from mixlab.models import build
from mixlab.models.pyramidnet import pyramidnet, widths
from mixlab.models.resnet_cifar import resnet_cifar
from mixlab.models.wideresnet import wideresnet


def count(network):
    return sum(parameter.numel() for parameter in network.parameters())


def on_meta(make, *arguments, **options):
    with torch.device("meta"):
        return make(*arguments, **options)


@pytest.mark.parametrize("width, channels, classes", [(64, 3, 100), (64, 3, 10), (16, 1, 10), (3, 5, 2)])
def test_preact_resnet18(width, channels, classes):
    # Stage 1: four 3×3 convolutions and four BNs of w. A stage that doubles to o: 9 o²/2 + 27 o² + o²/2
    # = 32 o² weights and 7 o for BN; o = 2w, 4w, 8w. Then the final BN, the stem and the linear layer.
    expected = (36 + 32 * (4 + 16 + 64)) * width**2 + (8 + 7 * 14 + 16) * width
    expected += 9 * channels * width + (8 * width + 1) * classes
    assert count(build("preact-resnet18", classes, channels, width)) == expected


def test_preact_resnet18_as_published():
    assert round(count(build("preact-resnet18", 10)) / 1e6, 1) == 11.2


def wide_count(depth, widening, classes, channels=3, width=16):
    convolutions = 2 * (depth - 4) // 6
    wide = width * widening
    total = 9 * channels * width  # stem
    total += 9 * width * wide + 9 * (convolutions - 1) * wide**2 + (width * wide if width != wide else 0)
    total += 2 * width + 2 * (convolutions - 1) * wide
    for out in (2 * wide, 4 * wide):
        total += 9 * out * out // 2 + 9 * (convolutions - 1) * out**2 + out * out // 2
        total += out + 2 * (convolutions - 1) * out
    return total + 8 * wide + (4 * wide + 1) * classes


@pytest.mark.parametrize("depth, widening, classes", [(10, 1, 10), (16, 1, 3), (16, 4, 10), (40, 2, 100)])
def test_wideresnet(depth, widening, classes):
    assert count(build(f"wideresnet-{depth}-{widening}", classes)) == wide_count(depth, widening, classes)


def test_wideresnet_of_other_sizes():
    assert count(build("wideresnet-16-2", 10, in_channels=1, width=4)) == wide_count(16, 2, 10, 1, 4)


# Zagoruyko & Komodakis (2016), table 4, in millions.
PUBLISHED_WIDE = {
    (40, 1): 0.6, (40, 2): 2.2, (40, 4): 8.9, (40, 8): 35.7, (28, 10): 36.5, (22, 10): 26.8, (16, 8): 11.0,
}


@pytest.mark.parametrize("structure, millions", PUBLISHED_WIDE.items())
def test_wideresnet_as_published(structure, millions):
    network = on_meta(wideresnet, *structure, 10)
    assert count(network) == wide_count(*structure, 10)
    assert round(count(network) / 1e6, 1) == millions


@pytest.mark.parametrize("depth, count_of_100", [(16, 703_284), (40, 2_255_156)])
def test_wideresnets_of_the_tables_on_distillation(depth, count_of_100):
    """WRN-16-2 with 100 classes, n = 2 blocks a stage, channels 16, 32, 64, 128.

    Stem 27·16 = 432. Stage 1: 9 (16·32 + 3·32²) = 32,256 weights, a shortcut of 16·32 = 512, BNs before four
    convolutions 2 (16 + 3·32) = 224. Stage 2: 9 (32·64 + 3·64²) = 129,024, shortcut 2,048, BNs 2 (32 + 3·64) = 448.
    Stage 3: 9 (64·128 + 3·128²) = 516,096, shortcut 8,192, BNs 2 (64 + 3·128) = 896. The last BN 256, the linear layer
    129·100 = 12,900. The sum is 703,284. Each further block of a stage of w channels has 18 w² + 4 w: 387,968 together
    for w = 32, 64, 128, and WRN-40-2 has four more: 703,284 + 4 · 387,968 = 2,255,156. The networks that CRD's
    public code trains have these counts: there too the shortcut is a bare convolution of the first activation.
    """
    assert count(build(f"wideresnet-{depth}-2", 100)) == wide_count(depth, 2, 100) == count_of_100


def cifar_count(depth, classes, channels=3, width=16, projection=True):
    convolutions = (depth - 2) // 3
    total = 9 * channels * width + 2 * width  # stem
    total += 9 * convolutions * width**2 + 2 * convolutions * width
    for out in (2 * width, 4 * width):
        total += 9 * out * out // 2 + 9 * (convolutions - 1) * out**2 + 2 * convolutions * out
        total += (out * out // 2 + 2 * out) * projection
    return total + (4 * width + 1) * classes


@pytest.mark.parametrize("depth, count_of_100", [(20, 278_324), (32, 472_756), (56, 861_620)])
def test_resnets_of_the_tables_on_distillation(depth, count_of_100):
    """resnet-20 with 100 classes, n = 3 blocks a stage, channels 16, 32, 64; a convolution has BN behind it.

    Stem 27·16 + 32 = 464. Stage 1: six convolutions, 6 (9·16² + 32) = 14,016. Stage 2: 9·16·32 + 5·9·32² = 50,688
    weights, BNs 6·64 = 384, the projection 16·32 + 64 = 576: 51,648. Stage 3: 9·32·64 + 5·9·64² = 202,752, BNs
    6·128 = 768, the projection 32·64 + 128 = 2,176: 205,696. The linear layer 65·100 = 6,500. The sum is 278,324. Each
    further block of a stage of w channels has 18 w² + 4 w: 97,216 together for w = 16, 32, 64. resnet-32 has two more
    blocks a stage, resnet-56 six: 278,324 + 2 · 97,216 = 472,756 and 278,324 + 6 · 97,216 = 861,620.
    """
    assert count(build(f"resnet-{depth}", 100)) == cifar_count(depth, 100) == count_of_100
    # Depth counts the layers of the longest way: the projections stand beside it.
    layers = [name for name, layer in build(f"resnet-{depth}", 10, width=2).named_modules()
              if isinstance(layer, torch.nn.Conv2d) and "projection" not in name]
    assert len(layers) + 1 == depth


@pytest.mark.parametrize("depth, millions", [(20, 0.27), (32, 0.46), (44, 0.66), (56, 0.85), (110, 1.7)])
def test_padded_resnets_as_published(depth, millions):
    """He et al. (2016), table 6: 10 classes, shortcuts without parameters."""
    network = on_meta(resnet_cifar, depth, 10, shortcut="padding")
    assert count(network) == cifar_count(depth, 10, projection=False)
    assert count(on_meta(resnet_cifar, depth, 10)) == count(network) + 576 + 2176
    assert round(count(network) / 1e6, 2 if millions < 1 else 1) == millions


def test_resnet_of_other_sizes():
    assert count(build("resnet-32", 10, in_channels=1, width=4)) == cifar_count(32, 10, 1, 4)


def half_up(value):
    return floor(value + Fraction(1, 2))


@pytest.mark.parametrize("blocks, alpha, width", [(36, 64, 16), (66, 240, 16), (3, 10, 16), (4, 2, 1)])
def test_widths_grow_linearly(blocks, alpha, width):
    exact = [width + Fraction(alpha * block, blocks) for block in range(1, blocks + 1)]
    assert widths(blocks, alpha, width) == [half_up(value) for value in exact]
    assert widths(blocks, alpha, width)[-1] == width + alpha


def pyramid_count(depth, alpha, classes, channels=3, width=16):
    blocks = (depth - 2) // 3
    total, before = 9 * channels * width + 2 * width, width
    for block in range(1, blocks + 1):
        inner = half_up(width + Fraction(alpha * block, blocks))
        weights = before * inner + 9 * inner**2 + 4 * inner**2
        norms = 2 * (before + inner + inner + 4 * inner)
        total, before = total + weights + norms, 4 * inner
    return total + 2 * before + (before + 1) * classes


@pytest.mark.parametrize("depth, alpha, classes, width", [(11, 3, 10, 16), (20, 48, 10, 16), (29, 30, 5, 8)])
def test_pyramidnet(depth, alpha, classes, width):
    network = build(f"pyramidnet-{depth}-{alpha}", classes, width=width)
    assert count(network) == pyramid_count(depth, alpha, classes, width=width)


# The K-image paper, table 2: CIFAR-100.
@pytest.mark.parametrize("depth, alpha, millions", [(110, 64, 1.7), (200, 240, 26.8)])
def test_pyramidnet_as_published(depth, alpha, millions):
    network = on_meta(pyramidnet, depth, alpha, 100)
    assert count(network) == pyramid_count(depth, alpha, 100)
    assert round(count(network) / 1e6, 1) == millions
    # Depth counts convolutions and the linear layer.
    convolutions = [layer for layer in network.modules() if isinstance(layer, torch.nn.Conv2d)]
    assert len(convolutions) + 1 == depth


def test_named_pyramidnets():
    assert count(build("pyramidnet-110", 100)) == pyramid_count(110, 64, 100)
    named, spelled = build("pyramidnet-110", 10), build("pyramidnet-110-64", 10)
    assert all(map(torch.equal, named.parameters(), spelled.parameters()))
    assert build("pyramidnet-200", 100, width=2).head.linear.in_features == 4 * (2 + 240)


def test_lenet():
    # C1, C3 with a full table, C5, F6 and the output.
    layers = [(25 * 1 + 1) * 6, (25 * 6 + 1) * 16, (25 * 16 + 1) * 120, (120 + 1) * 84, (84 + 1) * 10]
    assert sum(layers) == 61_706 == count(build("lenet", 10, in_channels=1))
    assert count(build("lenet", 10)) == 61_706 + 25 * 2 * 6


@pytest.mark.parametrize("width, channels, classes", [(16, 3, 20), (16, 1, 10), (24, 1, 10), (4, 2, 5)])
def test_bench_net(width, channels, classes):
    # The stem of 24 maps with a bias; six 3×3 convolutions: 24w + w², w·4w + (4w)², 2 (4w)² pairs of channels; two BNs
    # in each group; a linear layer without a bias.
    pairs = 24 * width + (1 + 4 + 16 + 16 + 16) * width**2
    norms = 2 * 2 * (1 + 4 + 4) * width
    expected = (4 * channels + 1) * 24 + 9 * pairs + norms + 4 * width * classes
    assert count(build("bench-net", classes, channels, width)) == expected
    assert width != 16 or count(build("bench-net", classes, channels)) == expected


# torchvision's documented parameter counts for 1000 classes.
@pytest.mark.parametrize("name, documented", [("resnet18", 11_689_512), ("resnet50", 25_557_032)])
def test_torchvision(name, documented):
    assert count(build(name, 1000)) == documented
    assert count(build(name, 1000, in_channels=1)) == documented - 2 * 64 * 49

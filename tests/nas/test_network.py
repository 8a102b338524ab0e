"""The network of a genotype: its size to the last parameter, drop path, and the auxiliary head."""

from dataclasses import replace

import pytest
import torch
from oracle import seeded, unchanged_global_rng
from torch import nn
from torch.nn.functional import cross_entropy

from mixlab.data import Batch, load
from mixlab.models import tap
from mixlab.nas import (
    AuxiliaryRisk,
    CellClassification,
    CellNetwork,
    Genotype,
    PC_DARTS_cifar,
    PC_DARTS_imagenet,
    SearchNetwork,
    macs,
    parameters,
)
from mixlab.nas.network import AuxiliaryHead, DerivedCell
from mixlab.nas.skeleton import Place
from mixlab.risk import EmpiricalRisk
from mixlab.train import loop, recipes

SMALL = {"in_channels": 1, "layers": 3, "channels": 4}


def test_the_published_network_for_cifar():
    network = CellNetwork(PC_DARTS_cifar, 10, auxiliary=True)
    assert parameters(network) == 3_634_678
    assert parameters(network, without=()) == 4_111_104
    assert macs(network, (3, 32, 32)) == 556_670_592


def test_the_published_network_for_imagenet():
    network = CellNetwork(PC_DARTS_cifar, 1000, layers=14, channels=48, stem="large", auxiliary=True)
    assert parameters(network) == 5_270_560
    assert parameters(network, without=()) == 6_531_336
    assert macs(network, (3, 224, 224)) == 571_137_408
    # "586 M" in the paper.
    assert macs(network, (3, 224, 224), convention="paper") == 585_945_600


def test_counting_leaves_the_network_as_it_is_and_sees_every_kind_of_layer():
    layers = nn.Sequential(nn.Conv2d(4, 6, 3, 2, padding=1, groups=2), nn.BatchNorm2d(6), nn.ReLU(), nn.Flatten(),
                           nn.Linear(24, 5))
    before = layers[1].running_mean.clone()
    assert macs(layers, (4, 4, 4)) == 24 * 2 * 9 + 24 * 5
    assert macs(layers, (4, 4, 4), convention="paper") == 24 * 2 * 9 + 24 * 5 + 3 * 24
    assert layers.training and layers[0].weight.device.type == "cpu" and torch.equal(layers[1].running_mean, before)
    with pytest.raises(ValueError, match="a convention of macs, paper, received 'flops'"):
        macs(layers, (4, 4, 4), convention="flops")
    # A supernet can be counted too: the plain form, all of whose operations are modules.
    supernet = SearchNetwork(10, 1, layers=1, channels=8, nodes=1, form="plain")
    assert macs(supernet, (1, 8, 8)) > 0


def test_cells_read_the_sources_that_the_genotype_names():
    genotype = Genotype(normal=[(("skip_connect", 1), ("max_pool_3x3", 0)), (("sep_conv_3x3", 2), ("skip_connect", 0))],
                        reduce=[(("skip_connect", 0), ("skip_connect", 1))], normal_concat=[3])
    cell = DerivedCell(genotype, Place(3, 5, 4, False, False)).eval()
    before, last = torch.rand(2, 3, 8, 8), torch.rand(2, 5, 8, 8)
    one, two = cell.read_before(before), cell.read_last(last)
    first = two + nn.functional.max_pool2d(one, 3, 1, 1)
    torch.testing.assert_close(cell(before, last), cell.edges[2](first) + one)
    network = CellNetwork(genotype, 7, **SMALL)
    assert network(torch.rand(2, 1, 8, 8)).shape == (2, 7)


def test_drop_path_keeps_the_expectation_and_spares_the_identity():
    genotype = Genotype(normal=[(("max_pool_3x3", 0), ("skip_connect", 1))], reduce=[(("max_pool_3x3", 0),
                                                                                     ("skip_connect", 1))])
    cell = DerivedCell(genotype, Place(2, 2, 2, False, False))
    cell.read_before, cell.read_last = nn.Identity(), nn.Identity()
    images, p, count = torch.ones(1, 2, 4, 4).expand(4000, -1, -1, -1), 0.3, 4000
    cell.drop.p = p
    with torch.random.fork_rng():
        torch.manual_seed(0)
        made = cell(images, 10 * images)[:, 0, 0, 0]
    dropped, kept = torch.tensor(10.0), torch.tensor(10 + 1 / (1 - p))
    assert torch.all(made.isclose(dropped) | made.isclose(kept))  # by image, and the identity's 10 is always there
    # A dropped path has probability p: within 4.5 standard deviations of a mean of 1, as without dropping.
    assert abs(made.mean().item() - 11) < 4.5 * (p / (1 - p) / count) ** 0.5
    assert (made == 10).any() and torch.equal(cell.eval()(images, 10 * images)[:, 0, 0, 0], torch.full((count,), 11.0))


def test_the_auxiliary_head_is_read_in_training_and_does_not_run_otherwise():
    network = CellNetwork(PC_DARTS_cifar, 10, 1, layers=3, channels=2, auxiliary=True)
    images, labels = torch.rand(3, 1, 24, 24, generator=seeded(1)), torch.tensor([1, 2, 3])
    batch = Batch(images, labels, torch.arange(3))
    with tap(network, "auxiliary") as head:
        logits = network(images)
    expected = cross_entropy(logits, labels) + 0.25 * cross_entropy(head.value, labels)
    torch.testing.assert_close(AuxiliaryRisk(0.25)(network, batch), expected)
    soft = torch.full((3, 10), 0.1)
    expected = cross_entropy(logits, soft) + 0.4 * cross_entropy(head.value, soft)
    torch.testing.assert_close(AuxiliaryRisk()(network, batch._replace(labels=soft)), expected)
    network.eval()
    with tap(network, "auxiliary") as head:
        network(images)
    with pytest.raises(RuntimeError, match="ran 0 times"):
        head.value  # noqa: B018
    AuxiliaryRisk()(network.train(), batch).backward()
    assert all(each.grad is not None and each.grad.abs().max() > 0 for each in network.auxiliary.parameters())


def test_windows_of_the_auxiliary_head_stand_at_the_ends_of_a_side():
    head, maps = AuxiliaryHead(4, 3), torch.rand(2, 4, 8, 7)
    with tap(head, "0", input=True) as pooled:
        head(maps)
    ends = [[maps[:, :, y:y + 5, x:x + 5].mean((2, 3)) for x in (0, 2)] for y in (0, 3)]
    torch.testing.assert_close(pooled.value, torch.stack([torch.stack(row, -1) for row in ends], -2))
    with pytest.raises(ValueError, match="at least 6 x 6 pixels for an auxiliary head, received 5 x 8"):
        head(torch.zeros(1, 4, 5, 8))


def test_paths_are_dropped_more_from_epoch_to_epoch():
    data, seen = load("digits", limit=64), []
    network = CellNetwork(PC_DARTS_imagenet, 10, in_channels=1, layers=2, channels=2)
    network.register_forward_hook(lambda layer, *_: seen.append(layer.cells[1].drop.p) if layer.training else None)
    task = CellClassification(network, EmpiricalRisk(), data, drop=0.3)
    result = loop(task, replace(recipes["demo"], batch_size=32), device="cpu")
    assert seen == pytest.approx([0, 0, 0.1, 0.1, 0.2, 0.2]) and result.metric == "test_error"


def test_one_generator_gives_one_network_and_channels_last_images_do_no_harm():
    with unchanged_global_rng():
        one, same, other = (CellNetwork(PC_DARTS_cifar, 10, **SMALL, generator=seeded(seed)) for seed in (1, 1, 2))
    images = torch.rand(4, 8, 8, 1).permute(0, 3, 1, 2)
    assert torch.equal(one(images), same(images.reshape(4, 1, 8, 8).clone()))
    assert not torch.equal(one(images), other(images))
    cross_entropy(one(images), torch.arange(4)).backward()
    assert all(each.grad.isfinite().all() for each in one.parameters())


def test_what_does_not_fit_is_one_error():
    network = CellNetwork(PC_DARTS_cifar, 10, **SMALL)
    for make, message in (
        (lambda: CellNetwork("PC_DARTS", 10), "expected a mixlab.nas.Genotype, received 'PC_DARTS'"),
        (lambda: CellNetwork(PC_DARTS_cifar, 10, channels=5), "an even number of channels, received 5"),
        (lambda: CellNetwork(PC_DARTS_cifar, 0), "positive integer num_classes, received 0"),
        (lambda: network(torch.zeros(1, 1, 10, 8)), "sides 4 divides, .* received 10 x 8"),
        (lambda: network.drop_path(1.0), "a probability in .0, 1. to drop a path, received 1.0"),
        (lambda: AuxiliaryRisk(-1), "a weight of at least 0, received -1"),
        (lambda: CellClassification(network, EmpiricalRisk(), load("digits"), drop=2), "a probability"),
    ):
        with pytest.raises(ValueError, match=message):
            make()

"""The supernet: its edges by hand, and the rearranged form against the plain one."""

import pytest
import torch
from oracle import seeded, unchanged_global_rng
from torch.nn.functional import cross_entropy, max_pool2d

from mixlab.nas import OPERATIONS, MixedOperation, SearchNetwork, derive, shares
from mixlab.nas.skeleton import Place, places
from mixlab.nas.supernet import SearchCell

SMALL = {"in_channels": 1, "layers": 3, "channels": 8, "nodes": 2}


def shuffled(maps, groups):
    """Channel i of group g goes to place groups · i + g."""
    size = maps.shape[1] // groups
    return torch.stack([maps[:, (place % groups) * size + place // groups] for place in range(maps.shape[1])], 1)


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("chosen", range(8))
def test_with_all_weight_on_one_operation_an_edge_is_that_operation(chosen, stride):
    edge = MixedOperation(8, stride, parts=2).double()
    maps = torch.rand(2, 8, 6, 6, dtype=torch.double)
    rest = maps[:, 4:] if stride == 1 else max_pool2d(maps[:, 4:], 2)
    expected = shuffled(torch.cat([edge.operations[chosen](maps[:, :4]), rest], 1), 2)
    torch.testing.assert_close(edge(maps, torch.eye(8, dtype=torch.double)[chosen]), expected)


def test_with_one_part_it_is_the_mixed_operation_of_darts(generator):
    edge, weights = MixedOperation(4, 2, parts=1), torch.randn(8, generator=generator).softmax(0)
    maps = torch.rand(3, 4, 6, 6, generator=generator)
    expected = sum(weights[number] * edge.operations[number](maps) for number in range(8))
    torch.testing.assert_close(edge(maps, weights), expected)


def test_a_node_is_the_sum_of_its_edges_by_their_shares(generator):
    cell = SearchCell(Place(3, 5, 8, True, False), nodes=2, parts=4).double()
    before, last = (torch.rand(2, channels, 8, 8, dtype=torch.double) for channels in (3, 5))
    weights = torch.randn(5, 8, generator=generator, dtype=torch.double).softmax(1)
    share = shares(torch.randn(5, generator=generator, dtype=torch.double))
    one, two = cell.read_before(before), cell.read_last(last)
    edge = lambda number, maps: share[number] * cell.edges[number](maps, weights[number])  # noqa: E731
    first = edge(0, one) + edge(1, two)
    second = edge(2, one) + edge(3, two) + edge(4, first)
    assert [each.stride for each in cell.edges] == [2, 2, 2, 2, 1]
    torch.testing.assert_close(cell(before, last, weights, share), torch.cat([first, second], 1))


def test_reduction_cells_stand_at_a_third_and_two_thirds():
    for layers, expected in ((8, [2, 5]), (20, [6, 13]), (14, [4, 9]), (3, [1, 2])):
        found = list(places(layers, 16, (48, 48), False, (4, 4)))
        assert [number for number, place in enumerate(found) if place.reduce] == expected
        assert found[-1].channels == 64
        assert [number for number, place in enumerate(found) if place.apart] == [
            number + 1 for number in expected if number + 1 < layers]


def test_architecture_is_parameters_of_its_own():
    network = SearchNetwork(10, generator=seeded(3))
    architecture, weights = network.architecture_parameters(), network.weight_parameters()
    assert sum(each.numel() for each in architecture) == 252
    assert {id(each) for each in [*architecture, *weights]} == {id(each) for each in network.parameters()}
    assert len(architecture) + len(weights) == len(list(network.parameters()))
    assert {"alpha", "beta"} <= set(network.state_dict())
    assert 0.8e-3 < network.alpha.std() < 1.2e-3
    assert network.genotype() == derive(network.alpha, network.beta)


def test_one_generator_gives_one_network_and_both_forms_alike():
    with unchanged_global_rng():
        plain, fused, other = (SearchNetwork(10, **SMALL, form=form, generator=seeded(seed))
                               for form, seed in (("plain", 1), ("fused", 1), ("fused", 2)))
    assert list(plain.state_dict()) == list(fused.state_dict())
    assert all(torch.equal(value, fused.state_dict()[name]) for name, value in plain.state_dict().items())
    assert not torch.equal(other.alpha, fused.alpha)
    again = SearchNetwork(**fused.config)
    again.load_state_dict(fused.state_dict())
    images = torch.rand(2, 1, 8, 8)
    assert torch.equal(again(images), fused(images))


CASES = [
    SMALL, SMALL | {"nodes": 4, "layers": 2}, SMALL | {"nodes": 1, "parts": 1, "channels": 4},
    SMALL | {"parts": 2, "in_channels": 3, "layers": 1}, SMALL | {"stem": "large", "layers": 2},
]


@pytest.mark.parametrize("sizes", CASES, ids=lambda sizes: "-".join(map(str, sizes.values())))
def test_the_rearranged_form_is_the_plain_one(sizes):
    plain, fused = (SearchNetwork(5, **sizes, form=form).double() for form in ("plain", "fused"))
    with torch.no_grad():
        for number, each in enumerate(plain.architecture_parameters()):
            each.normal_(generator=seeded(number))
    fused.load_state_dict(plain.state_dict())
    side = 8 * (8 if sizes.get("stem") == "large" else 1)
    images = torch.rand(4, sizes["in_channels"], side, side, dtype=torch.double, generator=seeded(5))
    logits = [network(images) for network in (plain, fused)]
    torch.testing.assert_close(logits[1], logits[0], rtol=1e-10, atol=1e-12)
    for each in logits:
        cross_entropy(each, torch.tensor([0, 1, 2, 4])).backward()
    found, grads = dict(fused.named_parameters()), {name: each.grad for name, each in plain.named_parameters()}
    assert list(found) == list(grads) and all(each.abs().max() > 0 for each in grads.values())
    for name, grad in grads.items():
        torch.testing.assert_close(found[name].grad, grad, rtol=1e-8, atol=1e-11, msg=name)
    # Running statistics too, and what is computed with them.
    for name, value in plain.state_dict().items():
        torch.testing.assert_close(fused.state_dict()[name], value, rtol=1e-9, atol=1e-12, msg=name)
    torch.testing.assert_close(fused.eval()(images), plain.eval()(images), rtol=1e-10, atol=1e-12)


def test_equal_shares_and_weights_of_none_leave_nothing_of_the_mixed_channels():
    """The plain form too: with all weight on none a node is what passes by, zeros before it, shuffled."""
    for form in ("plain", "fused"):
        network = SearchNetwork(10, **SMALL | {"layers": 3}, form=form)
        cell = network.cells[0]
        maps = torch.rand(2, 24, 8, 8)
        weights = torch.eye(8)[[OPERATIONS.index("none")]].expand(5, 8)
        made = cell(maps, maps, weights, torch.tensor([1.0, 0.0, 0.0, 1.0, 0.0]))
        for node, reader in enumerate((cell.read_before, cell.read_last)):
            read = reader(maps)
            expected = shuffled(torch.cat([torch.zeros(2, 2, 8, 8), read[:, 2:]], 1), 4)
            torch.testing.assert_close(made[:, 8 * node:8 * node + 8], expected)


@pytest.mark.parametrize("form", ["plain", "fused"])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_narrow_supernet_trains_on_images_in_channels_last_order(channels, form):
    network = SearchNetwork(4, channels, layers=3, channels=8, nodes=2, form=form)
    images = torch.rand(8, 8, 8, channels, generator=seeded(1)).permute(0, 3, 1, 2)
    usual = torch.empty(8, channels, 8, 8).copy_(images)
    assert images.stride() != usual.stride()
    made = []
    network.stem.register_forward_hook(lambda layer, given, found: made.append((given[0].stride(), found[0].stride())))
    optimizer = torch.optim.SGD(network.parameters(), lr=0.05)
    for _ in range(3):
        optimizer.zero_grad()
        cross_entropy(network(images), torch.arange(8) % 4).backward()
        optimizer.step()
    assert set(made) == {(usual.stride(), torch.empty(8, 24, 8, 8).stride())}
    assert all(each.isfinite().all() for each in network.parameters())
    assert torch.equal(network.eval()(images), network(usual))


def test_one_batch_is_learned():
    network = SearchNetwork(4, **SMALL, generator=seeded(0))
    images, labels = torch.rand(12, 1, 8, 8, generator=seeded(2)), torch.arange(12) % 4
    optimizer = torch.optim.Adam(network.parameters(), lr=0.01)
    losses = []
    for _ in range(25):
        optimizer.zero_grad()
        losses.append(cross_entropy(network(images), labels))
        losses[-1].backward()
        optimizer.step()
    assert losses[-1] < 0.3 < 1.2 < losses[0]


@pytest.mark.parametrize(("options", "message"), [
    ({"channels": 12}, "channels that 8 = 2 K divides .K = 4., received 12"),
    ({"parts": 2, "channels": 6}, "channels that 4 = 2 K divides"),
    ({"nodes": 0}, "positive integer nodes, received 0"), ({"parts": 0}, "positive integer parts, received 0"),
    ({"layers": 0}, "positive integer layers"), ({"stem": "x"}, "a stem of small, large, received 'x'"),
    ({"form": "x"}, "a form of plain, fused, received 'x'"),
])
def test_sizes_that_do_not_fit(options, message):
    with pytest.raises(ValueError, match=message):
        SearchNetwork(10, **SMALL | options)


@pytest.mark.parametrize("form", ["plain", "fused"])
def test_images_that_do_not_fit(form):
    network = SearchNetwork(10, **SMALL, form=form)
    with pytest.raises(ValueError, match="sides 4 divides, so that no odd side is to be halved, received 14 x 8"):
        network(torch.zeros(1, 1, 14, 8))
    with pytest.raises(ValueError, match="images of 1 channels"):
        network(torch.zeros(1, 3, 8, 8))
    maps = torch.zeros(1, 24, 7, 8)
    with pytest.raises(ValueError, match="expected even sides at stride 2, received 7 x 8"):
        network.cells[1](torch.zeros(1, 24, 7, 8), torch.zeros(1, 16, 7, 8), torch.ones(5, 8), torch.ones(5))
    assert network.cells[0](maps, maps, torch.ones(5, 8), torch.ones(5)).shape == (1, 16, 7, 8)

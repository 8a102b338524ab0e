"""The small table of networks: what a cell computes and costs, and what a proxy's choice among the cells is worth."""

import math
from collections import Counter

import numpy
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from oracle import seeded, unchanged_global_rng
from scipy.stats import spearmanr
from torch.nn.functional import avg_pool2d, conv2d, cross_entropy, max_pool2d

from mixlab.data import load, normalise
from mixlab.nas import TABLE_OPERATIONS, TabularNetwork, cells, rank_correlation, regret, stratum
from mixlab.rng import generator as stream

SKIP, ONE, THREE, POOL = TABLE_OPERATIONS
SOME = [(SKIP, SKIP, SKIP), (ONE, THREE, POOL), (POOL, ONE, THREE), (THREE, POOL, ONE), (SKIP, THREE, THREE)]


def count(network):
    return sum(each.numel() for each in network.parameters())


def varied(network):
    """The network with scales, shifts and running statistics that are not those of the start."""
    for number, (name, value) in enumerate(network.state_dict().items()):
        drawn = torch.rand(value.shape, generator=stream(7, number))
        if name.endswith(("weight", "running_var")) and value.ndim == 1:
            value.copy_(drawn + 0.5)
        elif name.endswith(("bias", "running_mean")):
            value.copy_(drawn - 0.5)
    return network


# The cells


def test_the_table_has_every_cell_once():
    found = cells()
    assert len(found) == len(set(found)) == 4**3
    assert all(len(cell) == 3 and set(cell) <= set(TABLE_OPERATIONS) for cell in found)
    # A number in base four: the last edge changes first.
    for number, cell in enumerate(found):
        assert [TABLE_OPERATIONS.index(name) for name in cell] == [number // 16, number // 4 % 4, number % 4]


def test_strata_are_as_large_as_the_multinomial_says():
    """Three edges, of which n are 1x1, m are 3x3 and the others one of two without parameters."""
    expected = {
        (n, m): math.comb(3, n) * math.comb(3 - n, m) * 2**(3 - n - m) for n in range(4) for m in range(4 - n)
    }
    assert Counter(map(stratum, cells())) == expected
    assert sum(expected.values()) == 64 and sorted(expected.values()) == [1, 1, 3, 3, 6, 6, 8, 12, 12, 12]
    assert stratum([ONE, POOL, ONE]) == (2, 0) == stratum((SKIP, ONE, ONE))


# The network


@pytest.mark.parametrize(("classes", "planes", "wide"), [(10, 1, 8), (100, 3, 4), (2, 3, 1)])
def test_parameters_by_arithmetic(classes, planes, wide):
    def inside(cell, channels):
        return cell.count(ONE) * (channels**2 + 2 * channels) + cell.count(THREE) * (9 * channels**2 + 2 * channels)

    outside = (9 * planes * wide + 2 * wide) + (2 * wide**2 + 4 * wide) + (2 * wide * classes + classes)
    for cell in cells():
        network = TabularNetwork(cell, classes, planes, channels=wide)
        assert count(network) == outside + inside(cell, wide) + inside(cell, 2 * wide), cell


def test_known_counts():
    """Of the table's own size; 88 of the stem, 160 between the cells and 170 of the classifier are in all."""
    assert count(TabularNetwork((SKIP, POOL, SKIP), 10, 1, channels=8)) == 88 + 160 + 170
    assert count(TabularNetwork((SKIP, ONE, POOL), 10, 1, channels=8)) == 418 + (64 + 16) + (256 + 32)
    assert count(TabularNetwork((THREE, THREE, THREE), 10, 1, channels=8)) == 418 + 3 * (592 + 2336)


def test_equal_strata_are_equal_counts():
    found = {}
    for cell in cells():
        found.setdefault(stratum(cell), set()).add(count(TabularNetwork(cell, 10, 1, channels=8)))
    assert all(len(counts) == 1 for counts in found.values())
    assert len(set.union(*found.values())) == len(found) == 10


def pooled(maps):
    """Sums of 3x3 windows, divided by how many of their places lie in the map."""
    inside = torch.ones_like(maps[:1, :1])
    return avg_pool2d(maps, 3, 1, 1, divisor_override=1) / avg_pool2d(inside, 3, 1, 1, divisor_override=1)


def test_three_skips_double_the_maps():
    network, maps = TabularNetwork((SKIP, SKIP, SKIP), 10, 1, channels=4), torch.randn(3, 4, 5, 6, generator=seeded())
    assert torch.equal(network.first(maps), 2 * maps)


def test_averages_leave_out_what_lies_beyond_the_border():
    network = TabularNetwork((POOL, POOL, POOL), 10, 1, channels=1)
    maps = torch.arange(9.0).reshape(1, 1, 3, 3)
    once = torch.tensor([[2.0, 2.5, 3.0], [3.5, 4.0, 4.5], [5.0, 5.5, 6.0]])[None, None]
    torch.testing.assert_close(TabularNetwork((SKIP, POOL, SKIP), 10, channels=1).first(maps), maps + once)
    torch.testing.assert_close(network.first(maps), once + pooled(once))
    torch.testing.assert_close(once, avg_pool2d(maps, 3, 1, 1, count_include_pad=False))


def test_which_edge_is_which():
    """Convolutions that double, so that relu(2x) is told from its place: 0→1 reads the input, 1→2 reads node 1."""
    maps = torch.randn(2, 3, 4, 4, generator=seeded())
    scale = 2 / math.sqrt(1 + 1e-5)  # a normalisation that has seen nothing divides by this root
    for cell, expected in {
        (ONE, SKIP, POOL): maps + pooled(scale * maps.relu()),
        (POOL, SKIP, ONE): maps + scale * pooled(maps).relu(),
        (SKIP, POOL, ONE): pooled(maps) + scale * maps.relu(),
        (SKIP, ONE, POOL): scale * maps.relu() + pooled(maps),
        (ONE, SKIP, ONE): maps + scale**2 * maps.relu(),
    }.items():
        inside = TabularNetwork(cell, 10, 1, channels=3).eval().first
        for parameter in inside.parameters():
            if parameter.ndim == 4:
                parameter.data = 2 * torch.eye(3)[:, :, None, None]
        torch.testing.assert_close(inside(maps), expected)


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("cell", SOME, ids="-".join)
def test_logits_by_hand(cell, training):
    """Every layer written out, with the network's own weights."""
    network = varied(TabularNetwork(cell, 5, 2, channels=3, generator=seeded(1))).double().train(training)
    images = torch.randn(4, 2, 9, 12, generator=seeded(2), dtype=torch.float64)

    def normalised(maps, norm):
        mean, var = norm.running_mean, norm.running_var
        if training:
            mean, var = maps.mean((0, 2, 3)), maps.var((0, 2, 3), unbiased=False)
        return ((maps - mean[:, None, None]) / (var[:, None, None] + 1e-5).sqrt() * norm.weight[:, None, None]
                + norm.bias[:, None, None])

    def edge(name, layer, maps):
        if name == SKIP:
            return maps
        if name == POOL:
            return pooled(maps)
        _, conv, norm = layer
        return normalised(conv2d(maps.relu(), conv.weight, padding=int(name[-1]) // 2), norm)

    def through(inside, maps):
        first, across, last = (lambda given, name=name, layer=layer: edge(name, layer, given)
                               for name, layer in zip(cell, inside.edges, strict=True))
        return across(maps) + last(first(maps))

    conv, norm = network.stem
    before = {name: value.clone() for name, value in network.state_dict().items()}
    maps = through(network.first, normalised(conv2d(images, conv.weight, stride=2, padding=1), norm))
    assert maps.shape == (4, 3, 5, 6)
    maps = edge(ONE, network.widen, max_pool2d(maps, 2))
    maps = through(network.second, maps).relu()
    assert maps.shape == (4, 6, 2, 3)
    expected = maps.mean((2, 3)) @ network.classifier.weight.T + network.classifier.bias
    torch.testing.assert_close(network(images), expected)
    if not training:
        assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_weights_follow_from_the_generator():
    def weights(**options):
        return TabularNetwork((ONE, THREE, POOL), 10, 1, channels=4, **options).state_dict()

    with unchanged_global_rng():
        first, again, other = (weights(generator=seeded(seed)) for seed in (3, 3, 4))
        default, zero = weights(), weights(generator=seeded(0))
    assert all(torch.equal(first[name], again[name]) and torch.equal(default[name], zero[name]) for name in first)
    drawn = [name for name, value in first.items() if value.ndim > 1]
    assert len(drawn) == 7 and not any(torch.equal(first[name], other[name]) for name in drawn)
    assert all(value.device.type == "cpu" and value.isfinite().all() for value in first.values())


@pytest.mark.parametrize("planes", [1, 3])
@pytest.mark.parametrize("cell", SOME, ids="-".join)
def test_the_order_of_memory_changes_nothing(cell, planes):
    plain = torch.randn(6, planes, 12, 12, generator=seeded(2))
    permuted = plain.permute(0, 2, 3, 1).clone(memory_format=torch.contiguous_format).permute(0, 3, 1, 2)
    assert permuted.stride() != plain.stride() and torch.equal(permuted, plain)
    found = []
    for images in (plain, permuted):
        network = TabularNetwork(cell, 4, planes, channels=4)
        logits = network(images)
        cross_entropy(logits, torch.arange(6) % 4).backward()
        found.append([logits, *(each.grad for each in network.parameters())])
    assert all(map(torch.equal, *found))


@pytest.mark.parametrize("wide", [2, 4])
def test_a_narrow_network_learns_from_grey_images_in_channels_last_order(wide):
    """Their gradients once went past the end of a buffer, see `mixlab.nas.skeleton.plain_order`."""
    data = load("digits", limit=200)
    images = normalise(data.train.images, data.mean, data.std)
    images = images.permute(0, 2, 3, 1).clone(memory_format=torch.contiguous_format).permute(0, 3, 1, 2)
    assert images.stride() == (64, 1, 8, 1)
    network = TabularNetwork((ONE, THREE, ONE), 10, 1, channels=wide)
    descent, losses = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9), []
    for _ in range(40):
        loss = cross_entropy(network(images), data.train.labels)
        descent.zero_grad()
        loss.backward()
        descent.step()
        losses.append(loss.item())
    assert all(map(math.isfinite, losses)) and losses[0] > 2 and losses[-1] < 0.75 * losses[0]


@pytest.mark.parametrize("cell", [
    (), (SKIP,), (SKIP, ONE), (SKIP,) * 4, (SKIP, ONE, "none"), (SKIP, ONE, "conv_5x5"), SKIP, "abc",
], ids=str)
def test_another_cell_is_refused(cell):
    with pytest.raises(ValueError, match="expected a cell of 3 operations of skip, conv_1x1, .*received") as refused:
        TabularNetwork(cell, 10, 1)
    assert str(refused.value).endswith(f"received {cell!r}")


@pytest.mark.parametrize("size", ["num_classes", "in_channels", "channels"])
@pytest.mark.parametrize("value", [0, -1, 2.0, True, "8", None], ids=repr)
def test_another_size_is_refused(size, value):
    with pytest.raises(ValueError, match=f"expected a positive integer {size}, received {value!r}"):
        TabularNetwork(**{"cell": (SKIP,) * 3, "num_classes": 10, "in_channels": 1, "channels": 2, size: value})


def test_a_cell_may_be_a_list():
    """As it is in a record; the network keeps a tuple."""
    network = TabularNetwork([ONE, SKIP, POOL], numpy.int64(10), 1, channels=2)
    assert (network.cell, network.num_classes) == ((ONE, SKIP, POOL), 10)


# Regret

LOOKS = st.lists(st.tuples(st.floats(0, 100), st.integers(0, 5)), min_size=1, max_size=20)


@given(LOOKS)
def test_regret_by_brute_force(looks):
    truth, proxy = map(list, zip(*looks, strict=True))
    chosen, smallest = 0, proxy[0]
    for number, value in enumerate(proxy):
        if value < smallest:
            chosen, smallest = number, value
    found = regret(truth, proxy)
    assert found == truth[chosen] - min(truth) >= 0


@given(st.lists(st.integers(-50, 50), min_size=1, max_size=20))
def test_what_ranks_as_the_truth_has_no_regret(truth):
    assert regret(truth, [value**3 + value for value in truth]) == 0.0
    assert regret(truth, [-value for value in truth]) == max(truth) - min(truth)


def test_of_equal_ones_the_first_is_chosen():
    assert regret([3.0, 1.0, 2.0], [0.5, 0.5, 0.5]) == 2.0
    assert regret([9.0, 4.0, 1.0, 2.0], [7, 3, 3, 3]) == 3.0
    assert isinstance(regret(torch.tensor([3.0, 1.0]), numpy.array([2, 1])), float)


# Rank correlation


def ranked(values):
    """The mean place of each number among them, equal ones sharing theirs."""
    return [sum(other < value for other in values) + (sum(other == value for other in values) + 1) / 2
            for value in values]


def by_hand(truth, proxy, strata):
    """Pearson's correlation of the ranks in each stratum, and the mean over all networks of a stratum that has one."""
    found = []
    for each in set(strata):
        inside = [number for number, other in enumerate(strata) if other == each]
        one, two = (numpy.array(ranked([values[number] for number in inside])) for values in (truth, proxy))
        one, two = one - one.mean(), two - two.mean()
        if one.any() and two.any():
            found += [(one @ two) / math.sqrt((one @ one) * (two @ two))] * len(inside)
    return sum(found) / len(found) if found else math.nan


NETWORKS = st.lists(st.tuples(st.integers(0, 8), st.integers(0, 8), st.sampled_from("abc")), min_size=1, max_size=20)


@given(NETWORKS)
def test_rank_correlation_by_hand(networks):
    truth, proxy, strata = zip(*networks, strict=True)
    assert rank_correlation(truth, proxy, strata) == pytest.approx(by_hand(truth, proxy, strata), nan_ok=True, abs=1e-9)
    # Without strata all are in one, whatever it is called.
    assert rank_correlation(truth, proxy) == pytest.approx(by_hand(truth, proxy, [0] * len(truth)), nan_ok=True,
                                                           abs=1e-9)


def test_without_strata_it_is_spearmans():
    truth, proxy = torch.randn(2, 30, generator=seeded()).double().numpy()
    proxy = numpy.round(proxy + 0.5 * truth, 1)  # with ties
    assert len(set(proxy)) < 30
    assert rank_correlation(truth, proxy) == pytest.approx(spearmanr(truth, proxy).statistic, abs=1e-11)


@given(st.lists(st.integers(-50, 50), min_size=2, max_size=20, unique=True))
def test_of_a_monotone_proxy_it_is_one(truth):
    assert rank_correlation(truth, [value**3 for value in truth]) == 1.0
    assert rank_correlation(truth, [-(value**3) for value in truth]) == -1.0


def test_strata_count_by_their_sizes_and_those_without_a_correlation_not_at_all():
    truth = [1, 2, 3, 10, 20, 5, 7, 8, 9, 9]
    proxy = [1, 3, 2, 4, 2, 6, 3, 3, 1, 2]
    strata = ["a", "a", "a", "b", "b", "alone", "all said the same", "all said the same", "all true the same",
              "all true the same"]
    # Of a, 1 − 6 · 2 / (3 · 8) = ½; of b, −1.
    assert rank_correlation(truth, proxy, strata) == pytest.approx((3 * 0.5 + 2 * -1) / 5)
    assert rank_correlation(truth[:5], proxy[:5], strata[:5]) == pytest.approx(-0.1)
    # Where they lie in the list says nothing.
    order = [8, 3, 0, 5, 1, 9, 4, 7, 2, 6]
    mixed = ([values[number] for number in order] for values in (truth, proxy, strata))
    assert rank_correlation(*mixed) == pytest.approx(-0.1)


@given(NETWORKS)
def test_it_is_the_same_after_an_increasing_transformation_of_each_stratum(networks):
    truth, proxy, strata = zip(*networks, strict=True)
    place = {"a": -1000, "b": 0, "c": 70}
    bent = [value**3 + place[each] for value, each in zip(truth, strata, strict=True)]
    other = [math.exp(value) - 2 * place[each] for value, each in zip(proxy, strata, strict=True)]
    first, second = rank_correlation(truth, proxy, strata), rank_correlation(bent, other, strata)
    assert first == second or math.isnan(first) and math.isnan(second)


def test_the_number_of_parameters_says_nothing_within_strata():
    sizes = [count(TabularNetwork(cell, 10, 1, channels=2)) for cell in cells()]
    truth = torch.rand(64, generator=seeded()).tolist()
    assert math.isnan(rank_correlation(truth, sizes, map(stratum, cells())))
    assert not math.isnan(rank_correlation(truth, sizes))
    assert math.isnan(rank_correlation([1.0, 2.0], [2.0, 1.0], "ab")) and math.isnan(rank_correlation([1], [1]))


@pytest.mark.parametrize("measure", [regret, rank_correlation])
@pytest.mark.parametrize(("truth", "proxy", "received"), [
    ([1, 2], [1], r"\(2,\) and \(1,\)"), ([], [], r"\(0,\) and \(0,\)"), ([[1, 2]], [[1, 2]], r"\(1, 2\) and \(1, 2\)"),
    (1, 1, r"\(\) and \(\)"),
], ids=["lengths", "empty", "tables", "numbers"])
def test_lists_that_do_not_fit_are_refused(measure, truth, proxy, received):
    with pytest.raises(ValueError, match=f"expected two lists of as many numbers, received {received}"):
        measure(truth, proxy)


def test_a_stratum_for_each():
    for strata in ("ab", "abcd", ""):
        with pytest.raises(ValueError, match=f"expected a stratum for each of 3 networks, received {len(strata)}"):
            rank_correlation([1, 2, 3], [1, 2, 3], strata)

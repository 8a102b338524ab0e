"""What chapter 10 shows: its tables of records, and its demonstrations on digits."""

import numpy as np
import pandas
import pytest
import torch

from mixlab import reproduce
from mixlab.chapters.ch10_search import demonstrations, figures, tables
from mixlab.chapters.ch10_search.demonstrations import by_hand, never_seen, only_chosen, random_genotype
from mixlab.nas import SearchNetwork, cells, rank_correlation, stratum

COUNT = len(cells())


def record(row, seed, errors, **more):
    """A line of a frame as `mixlab.reproduce.load` gives it."""
    own = {f"error_{number:02d}": float(value) for number, value in enumerate(errors)}
    own |= {f"loss_{number:02d}": float(value) / 50 for number, value in enumerate(errors)}
    return {"row": row, "seed": seed, "run": f"{row}-s{seed}", "table_seconds": 100.0 + seed} | own | more


def noisy(size, seed):
    return size * np.random.default_rng(seed).standard_normal(COUNT)


@pytest.fixture
def worth():
    """Errors without noise: fewer with more weights, and different within strata."""
    size = np.array([ones + 9 * threes for ones, threes in map(stratum, cells())])
    return 40 - size / 2 + noisy(1.0, 0)


@pytest.fixture
def frame(worth):
    rows = [record("truth", seed, worth + noisy(0.5, seed)) for seed in (1, 2, 3)]
    for seed in range(11, 16):
        rows.append(record("random", seed, worth + 10 + noisy(0.5, 100 + seed)))
        rows.append(record("high CV", seed, worth + 12 + noisy(3.0, 200 + seed), scorer_seconds=40.0,
                           score_seconds=90.0))
        rows.append(record("easy", seed, worth + 14 + noisy(0.5, 300 + seed)))
    found = pandas.DataFrame(rows)
    found.attrs["missing"] = ["full-s11"]
    return found


def test_the_truth_is_the_mean_over_its_seeds(frame, worth):
    expected = np.mean([worth + noisy(0.5, seed) for seed in (1, 2, 3)], axis=0)
    np.testing.assert_allclose(tables.truth(frame), expected)


def test_a_proxy_is_judged_by_the_truth_of_what_it_chooses(frame):
    true, found = tables.truth(frame), tables.judged(frame)
    assert "truth" not in set(found["row"])
    for line in found.to_dict("records"):
        own = np.array([line[f"error_{number:02d}"] for number in range(COUNT)])
        number = int(own.argmin())
        assert line["regret"] == pytest.approx(true[number] - true.min())
        assert line["place"] == 1 + (true < true[number]).sum()
        assert line["within"] == pytest.approx(rank_correlation(true, own, list(map(stratum, cells()))))
        assert line["overall"] == pytest.approx(rank_correlation(true, own))


def test_the_primary_comparison_is_high_cv_minus_random_paired_by_seed(frame):
    found, primary = tables.judged(frame).set_index(["row", "seed"]), tables.primary(frame)
    for name, each in primary.items():
        assert each.seeds == 5
        assert each.mean == pytest.approx((found.loc["high CV", name] - found.loc["random", name]).mean())
    assert primary["within"].mean < -0.1  # six times the noise
    assert len(tables.sentences(frame)) == 2 and "5 seeds" in tables.sentences(frame)[0]


def test_what_is_not_on_record_is_said_to_be_missing(frame):
    table = tables.summary(frame)
    assert table.loc["full data"].tolist() == ["–"] * 5
    assert table.loc["number of parameters", "within strata"] == "–"
    assert tables.lines(frame)["regret"].keys() == {"high CV (primary)", "easy"}
    assert tables.cost(frame)[1:] == [
        "a proxy on all images: –", "a proxy on a random tenth: 113 s", "scorer and scores for high CV: 130 s"]


def test_reliability_and_ceiling_follow_from_the_noise(frame, worth):
    strata = list(map(stratum, cells()))
    one, other = (worth + noisy(0.5, seed) for seed in (1, 2))
    pair = rank_correlation(one, other, strata)
    only_two = frame[~((frame["row"] == "truth") & (frame["seed"] == 3))].copy()
    only_two.attrs = frame.attrs
    assert tables.reliability(only_two, "truth") == pytest.approx(pair)
    table = tables.ceiling(only_two)
    together, own = 2 * pair / (1 + pair), tables.reliability(frame, "random")
    assert table.loc["random", "R of the truth"] == f"{together:.2f}"
    assert table.loc["random", "at most"] == f"{(own * together) ** 0.5:.2f}"
    assert float(table.loc["high CV", "at most"]) < float(table.loc["random", "at most"])
    assert table.loc["full data"].tolist() == ["–"] * 5


def test_the_control_compares_each_seed_of_the_truth_with_the_others(frame, worth):
    one, two, three = (worth + noisy(0.5, seed) for seed in (1, 2, 3))
    strata = list(map(stratum, cells()))
    first, last = (rank_correlation((other + two) / 2, each, strata) for other, each in ((three, one), (one, three)))
    found = tables.control(frame).rpartition(": ")[2].split(", ")
    assert [found[0], found[2]] == [f"{first:.2f}", f"{last:.2f}"]
    assert tables.control(frame[frame["row"] == "random"]).endswith(": –")


def test_random_search_is_what_drawing_and_choosing_gives_on_average(frame):
    found, draws = list(tables.looks(frame, "truth").values()), np.random.default_rng(0)
    for count in (1, 5, 64):
        regrets = []
        for place, own in enumerate(found):
            others = np.mean([each for number, each in enumerate(found) if number != place], axis=0)
            for _ in range(2000):
                drawn = draws.permutation(COUNT)[:count]
                regrets.append(others[min(drawn, key=lambda number: own[number])] - others.min())
        spread = np.std(regrets) / len(regrets) ** 0.5
        assert tables.random_search(frame, count) == pytest.approx(np.mean(regrets), abs=4 * spread + 1e-9)
    assert np.isnan(tables.random_search(frame[frame["seed"] == 1], 5))


def test_the_paper_s_times_are_parts_of_the_first():
    assert tables.paper_costs()["part of the first"].tolist() == ["1.000", "0.058", "0.075"]


def test_the_best_and_the_worst_are_shown_with_their_operations(frame):
    true, table = tables.truth(frame), tables.top(frame, 3)
    assert table.index.tolist() == ["1.", "2.", "3.", "63.", "64."]
    best = cells()[int(true.argmin())]
    assert table.iloc[0, :3].tolist() == [name.replace("_", " ") for name in best]
    assert table["mean, %"].tolist() == [f"{value:.1f}" for value in (*np.sort(true)[:3], *np.sort(true)[-2:])]


def test_without_records_every_table_is_empty_and_nothing_fails(tmp_path):
    nothing = reproduce.load("search-table", tmp_path)
    assert tables.truth(nothing) is None and tables.top(nothing).empty
    assert tables.lines(nothing) == {"regret": {}, "within": {}}
    assert all("not on record" in line for line in tables.sentences(nothing))
    assert len(tables.summary(nothing)) == 4 and len(tables.ceiling(nothing)) == 4
    assert figures.ranked(tables.truth(nothing), tables.proxies(nothing, 11), tables.STRATA).axes


def test_by_hand_is_autograd():
    outputs, target = {"a": 1.0, "b": 3.0, "c": 2.5}, 3.0
    f, alpha = torch.tensor([*outputs.values()]), torch.zeros(3, requires_grad=True)
    (0.5 * (alpha.softmax(0) @ f - target) ** 2).backward()
    table = by_hand(outputs, target, rate=2.0)
    after = (-2 * alpha.grad).softmax(0)
    assert table["gradient"][:3].tolist() == [f"{value:.3f}" for value in alpha.grad.tolist()]
    assert table["weight after"][:3].tolist() == [f"{value:.3f}" for value in after.tolist()]
    assert table.loc["the edge gives", "weight after"] == f"{after @ f:.3f}"


@pytest.mark.parametrize(("parts", "digits"), [(2, 3), (3, 2), (4, 2), (4, 3)])
def test_channels_without_a_zero_digit_are_never_seen(parts, digits):
    for edges in range(2 * digits):
        told = (parts - 1) ** min(edges, digits) * parts ** (digits - min(edges, digits))
        assert never_seen(parts ** digits, parts, edges) == told


def test_only_what_was_chosen_is_left_of_a_supernet():
    network = SearchNetwork(10, in_channels=1, layers=3, channels=8, nodes=2)
    with torch.no_grad():
        network.alpha.normal_(generator=torch.Generator().manual_seed(0))
        network.beta.normal_(generator=torch.Generator().manual_seed(1))
    kept, before = only_chosen(network), {name: value.clone() for name, value in network.state_dict().items()}
    for kind in ("normal", "reduce"):  # the order within a node is that of the shares alone
        left, whole = (getattr(each.genotype(), kind) for each in (kept, network))
        assert list(map(set, left)) == list(map(set, whole))
    for name, value in network.state_dict().items():
        assert torch.equal(value, before[name])
    # Weights of operations that were not chosen do not matter any more.
    images = torch.randn(2, 1, 8, 8, generator=torch.Generator().manual_seed(2))
    chosen = {(source, name) for name, source in network.genotype().normal[0]}
    expected = kept.eval()(images)
    with torch.no_grad():
        for source in range(2):
            edge = kept.cells[0].edges[source]
            for name, operation in zip(demonstrations.OPERATIONS, edge.operations, strict=True):
                if (source, name) not in chosen:
                    for weight in operation.parameters():
                        weight.mul_(5)
    torch.testing.assert_close(kept(images), expected)


def test_random_cells_are_drawn_by_the_generator_alone():
    state = torch.get_rng_state()
    drawn = [random_genotype(3, torch.Generator().manual_seed(seed)) for seed in (0, 0, 1)]
    assert drawn[0] == drawn[1] != drawn[2]
    assert torch.equal(torch.get_rng_state(), state)
    operations = {name for seed in range(40) for node in random_genotype(2, torch.Generator().manual_seed(seed)).normal
                  for name, _ in node}
    assert operations == set(demonstrations.OPERATIONS[1:])


def test_searches_are_compared_by_what_they_share():
    found = demonstrations.agreement(range(2), (0, 1), rows=60, epochs=2)
    assert {name: each.pairs for name, each in found.items()} == {
        "one subset, two seeds": 2, "two subsets, one seed": 2, "two of both": 2}
    assert all(-1 <= each.weights <= 1 for each in found.values())

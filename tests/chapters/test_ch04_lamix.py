"""Chapter 4's closed forms, demonstrations and tables; its tables on made-up records, whatever has been recorded."""

import math

import numpy as np
import pandas
import pytest
import torch
from matplotlib import pyplot as plt
from oracle import seeded

from mixlab.chapters.ch04_lamix import demonstrations, figures, tables
from mixlab.chapters.ch04_lamix.experiments.lamix import EPOCHS, PRIMARY_SEEDS, SEEDS
from mixlab.reproduce import get
from mixlab.risk import EmpiricalRisk
from mixlab.theory import p_max


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


# Closed forms


@pytest.mark.parametrize("classes", [2, 3, 10, 100])
@pytest.mark.parametrize("beta", [0.0, 0.3, 0.5, 1.0])
def test_a_saturated_label_is_uniform_smoothing(classes, beta):
    """All scores at the ends that the sigmoid allows, the true class's at 1: the target is that of smoothing."""
    true = torch.eye(classes, dtype=torch.float64)[classes // 2]
    target = beta * true + (1 - beta) * true.softmax(0)
    s = tables.saturated_smoothing(classes, beta)
    torch.testing.assert_close(target, (1 - s) * true + s / classes)


def test_the_table_of_bounds_has_the_numbers_of_the_text():
    shown = tables.bounds()
    assert shown.loc["10 classes"].tolist() == ["0.2320", "94.7", "24.4", "0.616", "0.427"]
    assert shown.loc["100 classes", "largest entry of p"] == "0.0267"


def test_a_line_of_labels_has_a_column_for_every_class():
    shown = tables.labels({"p": torch.tensor([0.25, 0.75])}, ["cat", "cup"])
    assert shown.loc["p"].to_dict() == {"cat": "0.250", "cup": "0.750"}


# Demonstrations


@pytest.fixture(scope="module")
def rows():
    """Three classes on three rays, with noise: (90, 6) and their labels."""
    labels = torch.arange(90) % 3
    images = 2 * torch.eye(3).repeat(1, 2)[labels] + 0.3 * torch.randn(90, 6, generator=seeded())
    return images, labels


def test_training_is_that_of_the_seed_and_leaves_the_global_generator(rows):
    def run(seed):
        network = demonstrations.bottleneck(6, 3, seed)
        demonstrations.train(network, EmpiricalRisk(), *rows, epochs=3, seed=seed, batch=20)
        return torch.cat([each.flatten() for each in network.parameters()]).detach()

    before = torch.get_rng_state()
    first = run(0)
    assert torch.equal(first, run(0)) and not torch.equal(first, run(1))
    assert torch.equal(before, torch.get_rng_state())


def test_the_watcher_is_called_before_and_after_every_epoch_and_changes_nothing(rows):
    def run(watch):
        network = demonstrations.attentive(3, seed=0)
        images = rows[0].repeat(1, 6).view(90, 1, 6, 6)
        demonstrations.train(network, EmpiricalRisk(), images, rows[1], epochs=2, watch=watch)
        return network

    seen = []
    watched = run(seen.append)
    assert seen == [0, 1, 2] and not watched.training
    for ours, theirs in zip(watched.state_dict().values(), run(None).state_dict().values(), strict=True):
        assert torch.equal(ours, theirs)


def test_the_second_head_moves_where_it_is_trained_and_stays_below_its_bound(rows):
    found = {
        name: demonstrations.second_head(*rows, epochs=15, classes=3, **options)
        for name, options in demonstrations.HEADS.items()
    }
    for name in ("full", "head", "none"):
        history = found[name]
        assert history.clean.shape == history.mixed.shape == (16, 90, 3)
        assert history.clean.amax() <= p_max(3) and history.top[0] == pytest.approx(found["none"].top[0].item())
    assert found["full"].top[-1] > found["none"].top[-1] + 0.05
    assert found["no sigmoid"].top[-1] > p_max(3)


def test_targets_are_the_mean_of_local_and_global_label(rows):
    history = demonstrations.second_head(*rows, epochs=1, classes=3, beta=0.3)
    one_hot = torch.eye(3)[rows[1]]
    torch.testing.assert_close(history.targets(mixed=False), 0.3 * one_hot + 0.7 * history.clean)
    torch.testing.assert_close(history.targets(mixed=True), 0.3 * history.local + 0.7 * history.mixed)
    assert history.local.sum(1).allclose(torch.ones(90)) and (history.local > 0).sum(1).max() == 2


def test_the_favourite_is_counted():
    p = torch.tensor([[0.5, 0.3, 0.2], [0.2, 0.5, 0.3], [0.6, 0.2, 0.2], [0.4, 0.3, 0.3]])
    assert demonstrations.History(p[None], p[None], p, p, beta=0.5, error=0.0).favourite == 0.75


def test_shares_are_those_of_the_pictures_outside_the_favourite_class():
    """Class 0 is the favourite; the first picture is of it and does not count."""
    p = torch.tensor([[0.7, 0.1, 0.1, 0.1], [0.4, 0.3, 0.2, 0.1], [0.5, 0.1, 0.3, 0.1]])
    labels = torch.eye(4)[[0, 1, 2]]
    found = demonstrations.History(p[None], p[None], labels, labels, beta=0.5, error=0.0).shares
    assert found == pytest.approx((0.3, 0.45, 0.125))


def test_the_noise_of_a_random_share_is_that_of_the_theorem():
    """Three pairs and a gradient whose slopes are known: distance² of one draw is Σ slope² / 12."""
    slopes = torch.tensor([[1.0, 2.0, 0.0], [0.0, 3.0, 4.0]], dtype=torch.float64)
    start = torch.tensor([10.0, -20.0], dtype=torch.float64)
    found = demonstrations.label_noise(lambda share: start + slopes @ share, 3, 64 * 256, seeded())
    half = (start + slopes.sum(1) / 2).norm()
    assert found.theory == pytest.approx(((1 + 4 + 9 + 16) / 12) ** 0.5 / half.item(), rel=1e-12)
    for draws, distance in zip(found.draws, found.distances):
        groups = 64 * 256 / draws
        assert distance * draws**0.5 == pytest.approx(found.theory, rel=5 / groups**0.5)


def test_means_over_seeds_are_means():
    labels = torch.tensor([0, 0, 1, 1])
    near, far = torch.tensor([[0.0], [2.0], [10.0], [12.0]]), torch.tensor([[0.0], [2.0], [20.0], [22.0]])
    found = demonstrations.progress({"LaMix": [([far, near], [9.0, 1.0]), ([far, far], [7.0, 0.0])]}, labels)
    assert found["LaMix"] == [pytest.approx((0.05, 8.0)), pytest.approx(((0.1 + 0.05) / 2, 0.5))]
    one, other = (demonstrations.Attention(torch.zeros(2, 1, 1), torch.tensor(areas), 0.0)
                  for areas in ([0.25, 0.75], [0.5, 0.25]))
    assert demonstrations.mean_areas({"Mixup": [one, other]}) == {"Mixup": [50.0, 37.5]}


def test_tightness_is_width_over_distance_whatever_the_place_and_the_scale():
    labels = torch.tensor([0, 0, 1, 1, 2, 2])
    corners = torch.tensor([[0.0, 0.0], [4.0, 0.0], [2.0, math.sqrt(12.0)]])
    points = corners[labels] + torch.tensor([[0.0, 1.0], [0.0, -1.0]]).repeat(3, 1)
    assert demonstrations.tightness(points, labels) == pytest.approx(1 / 4, rel=1e-6)
    assert demonstrations.tightness(7 * points + 3, labels) == pytest.approx(1 / 4, rel=1e-6)


def test_points_are_those_of_the_times_asked_for(rows):
    for method in demonstrations.METHODS:
        points, errors = demonstrations.embeddings(method, *rows, at=(1, 30), seed=1)
        assert [each.shape for each in points] == [(90, 2)] * 2 and points[1].abs().max() <= 1
        assert not torch.equal(*points) and errors[1] < 20


def test_a_network_is_mapped_at_every_test_picture(rows):
    images = rows[0].repeat(1, 6).view(90, 1, 6, 6)
    found = demonstrations.attention("LaMix", images, rows[1], images[:30], rows[1][:30], epochs=4, classes=3)
    assert found.maps.shape == (30, 6, 6) and found.areas.shape == (30,)
    assert found.error < 40
    for map_, area in zip(found.maps, found.areas):
        assert area == pytest.approx((map_ >= map_.max() / 2).float().mean().item())


def test_an_unknown_method_is_refused():
    with pytest.raises(ValueError, match="expected a method of no mixing, Mixup"):
        demonstrations.risk_of("CutMix", 10, 64, "4", seed=0)


# Records


def made_up(name):
    """As the experiment's, with errors that are easy to check."""
    lines = []
    for run in get(name).runs:
        row = tables.ROWS.index(run.row) if run.row in tables.ROWS else 99
        error = 20 + row + (run.seed * (row + 3) % 5) / 10 - (run.epochs or 100) / 100
        measured = {column: error / (place + 1) for place, (_, column, _) in enumerate(tables.COLUMNS)}
        lines.append(run.as_dict() | {"run": run.name, "epochs": run.epochs} | measured)
    frame = pandas.DataFrame(lines)
    frame.attrs["missing"] = []
    return frame


@pytest.fixture(scope="module")
def frames():
    lamix, bench = made_up("lamix"), made_up("bench")
    return {epochs: tables.records_at(lamix, bench, epochs) for epochs in EPOCHS}


def test_each_length_has_every_row_at_its_seeds_once(frames):
    for frame in frames.values():
        seeds = frame.groupby("row")["seed"].apply(sorted)
        assert set(seeds.index) == set(tables.ROWS)
        for row, found in seeds.items():
            assert found == list(PRIMARY_SEEDS if row in (tables.OURS, tables.UNIFORM) else SEEDS)


def test_the_primary_comparison_is_lamix_minus_its_control_over_ten_seeds_and_alone(frames):
    by_row = {row: group.set_index("seed")["test_error"] for row, group in frames[200].groupby("row")}
    found = tables.primary(frames[200])
    assert found.mean == pytest.approx((by_row[tables.OURS] - by_row[tables.UNIFORM]).mean())
    assert (found.seeds, found.comparisons, found.adjusted) == (10, 1, found.p)
    assert found.verdict(tables.MARGIN) == found.sign or found.within(tables.MARGIN)


def test_the_secondary_ones_are_the_family_that_was_stated(frames):
    family = tables.secondary(frames[200])["test_error"]
    assert len(family) == 9 and {each.comparisons for each in family.values()} == {9}
    assert tables.OURS not in family and {each.seeds for each in family.values()} == {5}
    assert family["no mixing"].mean == pytest.approx(-4, abs=0.5)


def test_the_summary_shows_both_lengths_and_dashes_without_records(frames):
    shown = tables.summary(frames[200])
    assert list(shown.index) == list(tables.ROWS)
    assert shown.loc[tables.UNIFORM, "minus uniform"] == "–" != shown.loc[tables.OURS, "minus uniform"]
    assert "minus uniform" not in tables.summary(frames[100], differences=False).columns
    assert shown.loc["Mixup", "error, %"].startswith("19.") and shown.loc["Mixup", "seeds"] == "5"
    assert "±" in shown.loc["Mixup", "error, %"] and float(shown.loc["Mixup", "NLL"]) == pytest.approx(9.6, abs=0.4)
    nothing = tables.records_at(pandas.DataFrame(), pandas.DataFrame(), 200)
    assert set(tables.summary(nothing).to_numpy().ravel()) == {"–"}
    assert tables.primary(nothing) is None and tables.secondary(nothing) == {"test_error": {}}
    assert all(line.endswith("not on record") for line in tables.baseline({100: nothing, 200: nothing}))


def test_a_baseline_has_a_family_of_two_at_each_length(frames):
    lines = tables.baseline(frames)
    assert len(lines) == 4 and lines[0].startswith("200 epochs, Mixup minus no mixing: +1.")


def test_missing_runs_are_counted(frames):
    assert tables.on_record(frames[200]) == f"{len(frames[200])} runs on record, none missing"
    some = pandas.DataFrame({"row": ["LaMix"]})
    some.attrs["missing"] = ["a", "b"]
    assert tables.on_record(some) == "1 runs on record, 2 still missing"


def test_the_papers_differences_are_those_of_its_tables(frames):
    shown = tables.paper_and_ours(frames[200])
    assert shown.loc["no mixing minus LaMix", "paper"] == "+0.75"
    assert shown.loc["without p (β = 1) minus LaMix", "paper"] == "+1.25"
    assert shown.loc["label smoothing 0.2 minus LaMix", "paper"] == "+2.15"
    assert shown.loc["Mixup + smoothing 0.1 and 0.3 minus Mixup", "paper"] == "+0.41, -0.16"
    assert shown.loc["without p (β = 1) minus LaMix", "here"].startswith("+3.80 [")
    assert set(tables.paper_and_ours(pandas.DataFrame())["here"]) == {"–"}


# Figures


def test_the_line_of_theory_falls_like_the_root_and_the_points_are_the_numbers():
    axis = figures.label_noise(demonstrations.Noise((1, 4, 16), (0.3, 0.16, 0.07), 0.32)).axes[0]
    line, points = axis.get_lines()
    np.testing.assert_allclose(line.get_ydata() * np.sqrt(line.get_xdata()), 0.32)
    assert points.get_ydata().tolist() == [0.3, 0.16, 0.07]


def test_figures_of_the_second_head_draw_its_numbers(rows):
    histories = {
        name: demonstrations.second_head(*rows, epochs=2, classes=3, **options)
        for name, options in demonstrations.HEADS.items()
    }
    left, right = figures.second_heads(histories).axes
    assert [line.get_label() for line in left.get_lines()[:3]] == ["full", "head", "none"]
    np.testing.assert_allclose(left.get_lines()[0].get_ydata(), histories["full"].top)
    np.testing.assert_allclose(right.get_lines()[0].get_ydata(), histories["no sigmoid"].top)
    assert p_max(3) in [line.get_ydata()[0] for line in right.get_lines()]
    left, *spreads = figures.soft_targets(histories["full"]).axes
    assert [axis.get_lines()[0].get_xdata()[0] for axis in spreads] == [0.5 + 0.5 * p_max(3), p_max(3)]
    bars = left.patches
    largest = histories["full"].targets(False).amax(2).mean().item()
    assert bars[0].get_height() == pytest.approx(largest, abs=1e-6)


def test_other_figures_draw_what_they_are_given(rows):
    images = rows[0].repeat(1, 6).view(90, 1, 6, 6)
    points = torch.rand(90, 2, generator=seeded())
    said = [(0.2, 9.0), (0.1, 0.0)]
    figure = figures.clusters({"LaMix": [points, points], "Mixup": [points, points]}, rows[1], (1, 9), ("a", "b", "c"),
                              {"LaMix": said, "Mixup": said})
    assert [axis.get_title() for axis in figure.axes[1:3]] == [
        "9 epochs\nwidth 0.10, error 0.0 %", "width 0.20, error 9.0 %"]
    np.testing.assert_allclose(figure.axes[0].get_lines()[2].get_xdata(), points[rows[1] == 2, 0])
    seen = demonstrations.Attention(torch.rand(90, 6, 6, generator=seeded(1)), torch.linspace(0, 0.5, 90), 10.0)
    each, mean = figures.looked_at(images, {"LaMix": [seen, seen]}).axes[-1].get_lines()
    assert each.get_xdata() == pytest.approx([25, 25]) and mean.get_xdata() == pytest.approx([25])


def test_the_line_of_a_map_goes_around_whole_pixels():
    """One pixel of a map of 3 by 4 is high enough: the line is its four edges."""
    map_ = torch.full((1, 3, 4), 0.4)
    map_[0, 2, 1] = 1.0
    seen = demonstrations.Attention(map_, torch.tensor([1 / 12]), 0.0)
    figure = figures.looked_at(torch.zeros(1, 1, 3, 4), {"LaMix": [seen]}, rows=[0])
    (line,) = figure.axes[1].collections[0].get_paths()
    assert line.vertices.min(0) == pytest.approx([0.5, 1.5], abs=0.05)
    assert line.vertices.max(0) == pytest.approx([1.5, 2.5], abs=0.05)


def test_the_target_of_a_pair_is_drawn_and_said():
    local, p = [0.25, 0.75, 0.0], [0.5, 0.3, 0.2]
    axis = figures.target_of_pair(torch.zeros(3, 4, 4), ["cat", "cup", "moon"], local, p, beta=0.5).axes[1]
    assert [round(bar.get_y() + bar.get_height(), 3) for bar in axis.patches[3:]] == [0.375, 0.525, 0.1]
    assert figures.target_in_words(["cat", "cup"], [0.2, 0.8], [0.4, 0.6], 1.0).endswith("cat 0.20, cup 0.80")


def test_sureness_is_the_scaled_nll_of_the_same_pairs(frames):
    by_row = {row: group.set_index("seed")["scaled_loss"] for row, group in frames[200].groupby("row")}
    found = tables.sureness(frames[200])
    assert found.mean == pytest.approx((by_row[tables.OURS] - by_row[tables.UNIFORM]).mean()) and found.seeds == 10
    assert tables.sureness(tables.records_at(pandas.DataFrame(), pandas.DataFrame(), 200)) is None

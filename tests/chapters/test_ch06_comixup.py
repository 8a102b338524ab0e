"""Chapter 6's measures, demonstrations and tables; its tables on made-up records, whatever has been recorded."""

import numpy as np
import pandas
import pytest
import torch
from matplotlib import pyplot as plt
from oracle import seeded

from mixlab import Mix
from mixlab.chapters.ch06_comixup import demonstrations, figures, measures, tables
from mixlab.masks import Constant, Owners, Soft
from mixlab.mixers import CoMixup, CutMix, Mixup
from mixlab.mixers.comixup import objective
from mixlab.reproduce import get
from mixlab.saliency import smooth_random_saliency


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def saliency():
    return smooth_random_saliency(12, (16, 16), generator=seeded())


# Measures


def random_ratios(m, seed):
    return torch.rand(m, m, dtype=torch.float64, generator=seeded(seed)).softmax(1)


@pytest.mark.parametrize("m", [1, 2, 7, 20])
def test_diversity_is_that_of_the_paper_pair_by_pair_and_purity_less_imbalance(m):
    shares = random_ratios(m, m)
    pairs = sum(float(shares[j] @ shares[i]) for j in range(m) for i in range(m) if i != j)
    assert measures.diversity(shares) == pytest.approx(1 - pairs / m, abs=1e-12)
    assert measures.diversity(shares) == pytest.approx(measures.purity(shares) - measures.imbalance(shares), abs=1e-12)


def test_the_diversity_of_mixup_is_that_of_the_exercise():
    """A share for each row: purity 2/3, imbalance 1/6; one for all: imbalance 0."""
    mix = Mixup(1.0).draw(torch.zeros(20_000, 1), generator=seeded())
    own = mix.shares[:, 0].double()
    sources, shares = mix.sources.flatten(), mix.shares.double().flatten()
    used = torch.zeros(20_000, dtype=torch.float64).scatter_add_(0, sources, shares)
    purity, imbalance = (own**2 + (1 - own) ** 2).mean().item(), used.var().item()
    assert (purity, imbalance) == (pytest.approx(2 / 3, abs=0.01), pytest.approx(1 / 6, abs=0.02))


def test_ratios_count_an_input_that_fills_two_slots_once():
    mix = Mix(torch.tensor([[0, 1, 0], [1, 1, 1]]), Constant(torch.tensor([[0.25, 0.5, 0.25], [0.5, 0.5, 0.0]])))
    assert measures.ratios(mix).tolist() == [[0.5, 0.5], [0.0, 1.0]]
    assert measures.inputs(measures.ratios(mix)).tolist() == [2, 1]


def test_saliency_is_mixed_like_pictures():
    """Half of the first map lies where it is shown; of a blend, the part that its mask has counts."""
    maps = torch.tensor([[[1.0, 0.0], [1.0, 2.0]], [[4.0, 0.0], [0.0, 0.0]]])
    owners = Owners(torch.tensor([[[1, 0], [0, 0]], [[0, 0], [0, 1]]], dtype=torch.uint8))
    assert measures.shown(Mix(torch.tensor([[0, 1], [1, 0]]), owners), maps).tolist() == [0.75 + 1, 1 + 0.5]
    halves = Soft(torch.full((2, 2, 1, 1), 0.5), (2, 2))
    assert measures.shown(Mix(torch.tensor([[0, 1], [1, 0]]), halves), maps).tolist() == [1, 1]


def test_a_mixer_that_does_not_look_shows_one_on_average(saliency):
    found = measures.measure(CutMix(1.0), torch.zeros(12, 1, 16, 16), saliency, draws=400)
    assert found.saliency == pytest.approx(1, abs=0.02) and len(found.counts) == 12 * 400


def test_everything_that_was_measured_obeys_the_identity(saliency):
    mixers = demonstrations.OTHERS | {"Co-Mixup": CoMixup(mode="paper")}
    found = measures.measure_all(mixers, torch.zeros(12, 3, 16, 16), saliency, draws=1)
    assert list(found) == list(mixers) and measures.gap(found.values()) < 1e-6
    assert found["no mixing"].diversity == found["no mixing"].saliency == 1
    assert set(demonstrations.BLIND) < set(demonstrations.OTHERS)
    assert found["Co-Mixup"].saliency > found["Puzzle Mix"].saliency > 1


# Demonstrations


def test_a_picture_is_cut_cell_by_cell():
    images = torch.arange(3.0)[:, None, None, None].expand(3, 2, 4, 8)
    owners = torch.tensor([[0, 1], [2, 0]])
    found = demonstrations.cut(images, owners)
    assert found.shape == (2, 4, 8)
    assert torch.equal(found[1], owners.float().repeat_interleave(2, 0).repeat_interleave(4, 1))


@pytest.mark.parametrize("size", [(16, 16), (32, 64)])
def test_a_mix_for_larger_pictures_has_the_same_shares(saliency, size):
    small, large = (demonstrations.mixed(saliency, each, 0.4) for each in ((16, 16), size))
    assert torch.equal(small.shares, large.shares) and large.masks().shape[2:] == size


def test_prices_of_overlap_are_supermodular_unless_they_jump():
    found = demonstrations.violations(20, seeded())
    worst = {rule: max(values) for rule, values in found.items()}
    assert worst.pop("a gate for every image") > 0.1 and max(worst.values()) < 1e-9
    use = torch.linspace(0, 2, 9)
    assert (demonstrations.budget(use, 0.75).diff().diff() > -1e-6).all()
    assert demonstrations.gate(use, 0.75).diff().diff().min() < -0.4


def test_steps_are_the_objective_per_output_less_what_the_budget_costs(saliency):
    given = demonstrations.problems(saliency, 6)
    values = demonstrations.steps(given, sweeps=2)
    assert values.shape == (2, 1 + 2 * 6)
    start = objective(given.start, given.c, given.a, prior=given.prior, tau=0.83) / 6 - 0.83 * 16
    torch.testing.assert_close(values[:, 0], start)
    assert demonstrations.rises(values) == 0
    assert torch.equal(values, demonstrations.steps(demonstrations.problems(saliency, 6), sweeps=2))
    assert not torch.equal(given.start, demonstrations.problems(saliency, 6, seed=1).start)


def test_no_mixing_shows_one_image_and_pays_the_prior(saliency):
    given = demonstrations.problems(saliency, 6)
    prior = 0.05 * -torch.log(given.prior + 1e-8).mean()
    assert demonstrations.unmixed(given) == pytest.approx(-1 + prior.item(), abs=1e-6)


def test_rises_leave_out_what_changes_nothing():
    assert demonstrations.rises(torch.tensor([[1.0, 1.0, 2.0, 0.0, 0.0, -1.0]])) == pytest.approx(1 / 3)
    assert demonstrations.rises(torch.ones(2, 3)) == 0.0


def test_the_effort_of_a_solver_is_that_of_its_steps(saliency):
    given = [demonstrations.problems(saliency, 6, seed) for seed in (0, 1)]
    found = demonstrations.kept(given, (1, 3), sweeps=2)
    assert list(found) == [1, 3] and list(found[1]) == [1, 2]
    ends = [demonstrations.steps(each, 2, labels=3)[:, -1].mean().item() for each in given]
    assert found[3][2] == pytest.approx(sum(ends) / 2)


def test_the_path_ends_at_its_own_budget(saliency):
    given = demonstrations.problems(saliency, 6)
    found = demonstrations.path(given, (0.0, 0.3, 0.6, 1.0), at=0.6)
    assert found.best == 0.6
    assert found.overlap[:2] == (0, 0) and found.overlap[3] > 1
    assert found.unary[0] > found.unary[1] > found.unary[2] > found.unary[3]


# The example by hand


def test_every_budget_of_the_example_has_its_own_batch():
    shares = torch.tensor([[0.8, 0.2], [0.7, 0.3], [0.4, 0.6]])
    shown = tables.by_hand(shares, ["cat", "coffee", "rocket"], [0, 0.25, 0.5])
    assert list(shown.index) == [
        "cat, rocket + cat, rocket", "cat, rocket + coffee, rocket", "cat, rocket + coffee, coffee",
        "cat, cat + coffee, coffee",
    ]
    assert shown["f, τ = 0"].tolist() == ["-0.60", "-1.50", "-2.30 *", "-2.00"]
    assert shown["f, τ = 0.25"].tolist() == ["-0.60", "-1.50 *", "-1.30", "-1.00"]
    assert shown["f, τ = 0.5"].tolist() == ["-0.60 *", "-0.50", "-0.30", "0.00"]


@pytest.mark.parametrize("tau", [0.0, 0.25, 0.5, 1.0])
def test_the_example_is_the_objective_of_the_library(tau):
    """Each batch of the table, and the best of all 81, by mixlab's objective."""
    shares = torch.tensor([[0.8, 0.2], [0.7, 0.3], [0.4, 0.6]]).double()
    shown = tables.by_hand(shares, "ABC", [tau])
    every = torch.cartesian_prod(*[torch.arange(3)] * 4).view(-1, 2, 1, 2)
    z = torch.nn.functional.one_hot(every, 3).movedim(-1, 2).double()
    values = objective(z, -shares[:, None], torch.eye(3), beta=0.2, gamma=1.0, tau=tau)
    by_name = {" + ".join(", ".join("ABC"[i] for i in row[0]) for row in cells.tolist()): value.item()
               for cells, value in zip(every, values)}
    for name, value in shown[f"f, τ = {tau:g}"].items():
        assert float(value.removesuffix(" *")) == pytest.approx(by_name[name], abs=0.006)
    assert float(shown.iloc[0][f"f, τ = {tau:g}"].removesuffix(" *")) == pytest.approx(min(values).item(), abs=0.006)


# Records


def made_up(name):
    """As the experiment's, with errors that are easy to check: 20 and a number for the row."""
    lines = []
    for run in get(name).runs:
        row = ROWS.index(run.row) if run.row in ROWS else 50
        error = 20 + row + (run.seed * (row + 3) % 5) / 10
        measured = {column: error / (place + 1) for place, (_, column, _) in enumerate(tables.COLUMNS)}
        lines.append(run.as_dict() | {"run": run.name, "epochs": run.epochs} | measured)
    frame = pandas.DataFrame(lines)
    frame.attrs["missing"] = []
    return frame


ROWS = tables.ROWS["grey"]


@pytest.fixture(scope="module")
def frames():
    parts = [made_up(name) for name in ("comixup", "puzzlemix", "bench")]
    return {name: tables.setting(*parts, name) for name in ("grey", "colour")}


def test_a_setting_has_each_row_at_a_seed_once(frames):
    for name, frame in frames.items():
        assert set(frame["row"]) == set(tables.ROWS[name])
        assert not frame.duplicated(["row", "seed"]).any()
    seeds = frames["grey"].groupby("row")["seed"].nunique()
    assert seeds[tables.OURS] == seeds[tables.PUZZLE] == 10


def test_the_primary_comparison_is_comixup_minus_puzzle_mix_over_ten_seeds_and_alone(frames):
    by_row = {row: group.set_index("seed")["test_error"] for row, group in frames["grey"].groupby("row")}
    found = tables.primary(frames["grey"])
    assert found.mean == pytest.approx((by_row[tables.OURS] - by_row[tables.PUZZLE]).mean())
    assert (found.seeds, found.comparisons, found.adjusted) == (10, 1, found.p)


def test_the_secondary_ones_are_a_family_of_their_own_in_each_setting(frames):
    for name, frame in frames.items():
        family = tables.secondary(frame, name)["test_error"]
        assert tuple(family) == tables.FAMILY[name]
        assert {each.comparisons for each in family.values()} == {len(family)}
    assert tables.PUZZLE not in tables.FAMILY["grey"]


def test_the_summary_has_every_row_and_dashes_without_records(frames):
    shown = tables.summary(frames["grey"], "grey")
    assert list(shown.index) == list(ROWS)
    assert shown.loc[tables.OURS, "minus Co-Mixup"] == "–" != shown.loc[tables.PUZZLE, "minus Co-Mixup"]
    place = ROWS.index(tables.PUZZLE)
    assert float(shown.loc[tables.PUZZLE, "NLL"]) == pytest.approx((20.2 + place) / 2, abs=0.2)
    nothing = tables.setting(*[pandas.DataFrame()] * 3, "grey")
    assert set(tables.summary(nothing, "grey").to_numpy().ravel()) == {"–"}
    assert tables.primary(nothing) is None and tables.secondary(nothing, "grey") == {"test_error": {}}
    assert all(line.endswith("not on record") for line in tables.baseline(nothing))


def test_a_setting_is_read_while_runs_are_missing(frames):
    some = frames["grey"][frames["grey"]["row"] != tables.OURS].copy()
    some.attrs["missing"] = ["grey-comixup-s1"]
    assert tables.primary(some) is None
    assert tables.summary(some, "grey").loc[tables.OURS, "error, %"] == "–"
    assert tables.on_record(some) == f"{len(some)} runs on record, 1 still missing"


def test_the_papers_differences_are_those_of_its_tables(frames):
    shown = tables.paper_and_ours(frames)
    assert shown["paper"].tolist() == [
        "+0.75", "+0.09", "+1.34", "+0.67", "+0.10", "+0.16", "+1.42", "–", "+2.56", "+3.72", "+2.14"]
    difference = ROWS.index(tables.PUZZLE) - ROWS.index(tables.OURS)
    assert float(shown.iloc[0]["here, grey"].split()[0]) == pytest.approx(difference, abs=0.4)
    empty = {name: pandas.DataFrame() for name in frames}
    assert set(tables.paper_and_ours(empty)[["here, grey", "here, colour"]].to_numpy().ravel()) == {"–"}


# Figures


def test_a_batch_is_drawn_with_the_shares_of_its_outputs():
    pictures = torch.rand(3, 3, 8, 8, generator=seeded())
    mix = Mix(torch.tensor([[0, 1], [1, 2], [2, 0]]), Constant(torch.tensor([[0.75, 0.25], [1.0, 0.0], [0.5, 0.5]])))
    figure = figures.outputs(pictures, mix, [0, 1], columns=2)
    _, first, _, second = figure.axes
    assert [round(bar.get_width(), 6) for bar in first.patches] == [0.75, 0.25]
    assert [text.get_text() for text in first.texts] == ["1", "2"]
    assert [(bar.get_width(), text.get_text()) for bar, text in zip(second.patches, second.texts)] == [(1.0, "2")]
    np.testing.assert_allclose(figure.axes[0].images[0].get_array(), mix.apply(pictures)[0].permute(1, 2, 0), atol=1e-6)
    whole = figures.batch(pictures, mix, columns=2)
    assert sum(len(axis.images) for axis in whole.axes) == 6


def test_a_batch_is_said_in_words_whatever_size_it_was_drawn_for(saliency):
    mix = demonstrations.mixed(saliency, (32, 32), 0.0)
    said = "An output has 1.0 inputs on average and shows saliency 1.00; diversity 1.00"
    assert figures.batch_in_words(mix, saliency) == said


def test_the_gate_is_drawn_broken_at_its_jump():
    use = torch.arange(0, 2.01, 0.01)
    rules = {"budget": demonstrations.budget(use, 0.75), "gate": demonstrations.gate(use, 0.75)}
    left, right = figures.gate(use, 0.75, rules, every=50).axes
    assert not np.isnan(left.get_lines()[1].get_ydata()).any() and np.isnan(right.get_lines()[1].get_ydata()).sum() == 1
    assert [text.get_text() for text in left.texts] == ["+0", "+0.25", "+0.5", "+0.5"]
    assert [text.get_text() for text in right.texts] == ["+0", "+1", "+0.5", "+0.5"]


def test_the_frontier_is_the_row_before_a_cell():
    said = [text.get_text() for text in figures.frontier(blocks=4, done=9).axes[0].texts]
    assert said[1::2] == ["forgotten"] * 5 + ["frontier"] * 4 + ["next"] + [""] * 6
    assert tables.effort([2]) == "K = 2: 65,536 labellings, or 512 sums along the frontier"


def test_lines_and_points_are_the_numbers(saliency):
    found = demonstrations.Path((0.0, 0.5, 1.0), (-1.0, -2.0, -2.5), (0.0, 0.0, 3.0), 0.5)
    total, unary, overlap, star, _ = figures.path(found).axes[0].get_lines()
    assert total.get_ydata().tolist() == [-1.0, -2.0, 0.5] and star.get_xdata() == [0.5]
    measured = measures.measure_all({"Mixup": Mixup(1.0)}, torch.zeros(12, 1, 16, 16), saliency, draws=2)
    line, point = figures.measured(measured, {0.5: measured["Mixup"]}).axes[0].get_lines()
    assert point.get_xdata() == line.get_xdata() == [measured["Mixup"].diversity]
    axis = figures.counts({"τ = 1": measured["Mixup"], "τ = 2": measured["Mixup"]}).axes[0]
    assert [bar.get_height() for bar in axis.patches] == [0.0, 100.0]
    traces = {"one": torch.tensor([[3.0, 1.0, 1.0]]), "other": torch.tensor([[3.0, 2.0, 2.5]])}
    panels = figures.solvers(traces, 2, {1: {1: 0.5, 2: 0.4}}).axes
    assert panels[0].get_lines()[0].get_xdata().tolist() == [0, 0.5, 1]
    assert list(panels[2].get_lines()[0].get_ydata()) == [0.5, 0.4] and panels[0].get_ylim() == panels[1].get_ylim()


def test_the_greedy_picture_names_the_owner_of_each_cell():
    owners = torch.tensor([[0, 1], [1, 0]])
    figure = figures.greedy(torch.rand(2, 3, 4, 4), torch.full((2, 2, 2), 0.25), torch.rand(3, 4, 4), owners)
    assert [text.get_text() for text in figure.axes[-1].texts] == ["1", "2", "2", "1"]

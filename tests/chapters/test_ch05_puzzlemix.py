"""Chapter 5's demonstrations, figures and tables; its tables on made-up records, whatever has been recorded."""

import itertools

import numpy as np
import pandas
import pytest
import torch
from matplotlib import pyplot as plt
from oracle import seeded

from mixlab import Mix
from mixlab.chapters.ch05_puzzlemix import demonstrations, figures, tables
from mixlab.chapters.ch05_puzzlemix.experiments.puzzlemix import PRIMARY_SEEDS, SEEDS
from mixlab.masks import NestedBoxes, Transported
from mixlab.mixers import CutMix, PuzzleMix
from mixlab.mixers.puzzlemix import energy
from mixlab.reproduce import get
from mixlab.risk import VicinalRisk
from mixlab.saliency import block_saliency, smooth_random_saliency

LABELS = (0.0, 0.5, 1.0)


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


# Digits in a field


@pytest.fixture(scope="module")
def digits():
    """Three classes of blobs, 60 of them: (60, 1, 8, 8) uint8 and their labels."""
    labels = torch.arange(60) % 3
    blobs = torch.zeros(60, 1, 8, 8)
    bars = (slice(0, 3), slice(0, 8)), (slice(0, 8), slice(3, 6)), (slice(2, 6), slice(2, 6))
    for label, (rows, columns) in enumerate(bars):
        blobs[labels == label, :, rows, columns] = 255.0
    return (blobs * (0.7 + 0.3 * torch.rand(60, 1, 1, 1, generator=seeded()))).to(torch.uint8), labels


def test_every_digit_lies_whole_in_its_field_at_twice_its_size(digits):
    found = demonstrations.field(digits[0], seeded(), size=20, noise=0.1)
    assert found.images.shape == (60, 1, 20, 20) and found.ink.shape == (60, 20, 20)
    large = torch.nn.functional.interpolate(digits[0] / 255, scale_factor=2, mode="bilinear")
    torch.testing.assert_close(found.ink.sum((1, 2)), large.sum((1, 2, 3)))
    noise = found.images[:, 0] - found.ink
    assert noise.mean().abs() < 0.01 and noise.std() == pytest.approx(0.1, rel=0.05)
    rows = found.ink.amax(2).argmax(1)
    assert len(set(rows.tolist())) > 2  # not always at one place


def test_a_reader_learns_what_is_in_the_field(digits):
    fields = demonstrations.field(digits[0], seeded(1))
    network = demonstrations.reader(*digits, epochs=120)
    assert (network(fields.images).argmax(1) == digits[1]).double().mean() > 0.8 and not network.training


def test_a_reader_is_that_of_its_seed_and_leaves_the_global_generator(digits):
    before = torch.get_rng_state()
    first, again, other = (demonstrations.reader(*digits, epochs=2, seed=seed)[0].weight for seed in (0, 0, 1))
    assert torch.equal(first, again) and not torch.equal(first, other)
    assert torch.equal(before, torch.get_rng_state())


def test_a_reader_minimises_the_risk_that_it_is_given(digits):
    plain, mixed = (demonstrations.reader(*digits, epochs=2, risk=risk) for risk in (None, VicinalRisk(CutMix())))
    assert any(not torch.equal(*each) for each in zip(plain.parameters(), mixed.parameters()))


# Photographs


def test_crops_are_squares_of_the_photograph_and_half_are_grey():
    ramp = torch.linspace(0, 1, 32).expand(400, 3, 32, 32) * torch.tensor([1.0, 0.5, 0.0]).view(3, 1, 1)
    found = demonstrations.crops(ramp, seeded()) + demonstrations.GREY
    assert found.shape == ramp.shape
    grey = (found[:, 0] - found[:, 1]).abs().amax((1, 2)) < 1e-6
    assert grey.float().mean() == pytest.approx(0.5, abs=0.1)
    rising = found[:, 0, 0].diff(dim=1).sum(1)
    assert (rising > 0).float().mean() == pytest.approx(0.5, abs=0.1)  # the other half is flipped
    assert rising.abs().min() > 0.35 * 0.7 * 0.5 * 0.9 and (found - found[:, :, :1]).abs().max() < 1e-5


def test_the_network_tells_the_photographs_apart():
    photographs = torch.rand(3, 3, 8, 8, generator=seeded(5)).repeat_interleave(3, 2).repeat_interleave(3, 3)
    network = demonstrations.photograph_network(photographs, steps=40)
    assert network(photographs - demonstrations.GREY).argmax(1).tolist() == [0, 1, 2]


# What is seen


def test_what_is_seen_is_counted_block_by_block():
    """Random masks and plans on 2 x 2 blocks of one pixel: the sum over places by hand."""
    draws = seeded(2)
    maps = torch.rand(5, 2, 2, generator=draws)
    z = torch.randint(3, (5, 2, 2), generator=draws) / 2
    plans = torch.stack([torch.randperm(4, generator=draws) for _ in range(10)]).view(5, 2, 4)
    sources = torch.stack([torch.arange(5), torch.arange(5).roll(1)], 1)
    found = demonstrations.seen(Mix(sources, Transported(torch.stack([1 - z, z], 1), (2, 2), plans=plans)), maps)
    for row, slot in itertools.product(range(5), range(2)):
        flat = maps[sources[row, slot]].flatten()
        mask = (z if slot else 1 - z)[row].flatten()
        by_hand = sum(mask[place] * flat[plans[row, slot, place]] for place in range(4)) / flat.sum()
        assert found[row, slot].item() == pytest.approx(by_hand.item(), rel=1e-5)


def test_a_box_shows_of_one_image_what_it_hides_of_the_other():
    maps = torch.rand(2, 8, 8, generator=seeded())
    box = Mix(torch.tensor([[0, 1], [1, 0]]), NestedBoxes(torch.tensor([[[2, 0, 8, 5]]] * 2), (8, 8)))
    found = demonstrations.seen(box, maps)
    inside = maps[:, 2:8, 0:5].sum((1, 2)) / maps.sum((1, 2))
    torch.testing.assert_close(found, torch.stack([1 - inside, inside.flip(0)], 1))


def test_the_mean_over_draws_is_that_of_the_draws():
    maps = smooth_random_saliency(6, (16, 16), generator=seeded())
    images = torch.rand(6, 3, 16, 16, generator=seeded(1))
    puzzle = demonstrations.mean_seen(PuzzleMix(blocks=4), images, maps, draws=8)
    boxes = demonstrations.mean_seen(CutMix(), images, maps, draws=8)
    assert puzzle > boxes + 0.1
    assert demonstrations.mean_seen(CutMix(0.0), images, maps, draws=2) == pytest.approx(1.0)


# One pair


@pytest.fixture(scope="module")
def pair():
    """Two images of 16 x 16 pixels and their saliency."""
    return torch.rand(2, 3, 16, 16, generator=seeded(3)), smooth_random_saliency(2, (16, 16), generator=seeded(4))


@pytest.mark.parametrize("lam", [0.3, 0.5])
def test_a_pair_has_the_mask_of_least_energy_among_all(pair, lam):
    """Without colours, brute force over the 81 masks of 2 x 2 blocks, for both rows."""
    mix = demonstrations.puzzle(*pair, 2, lam, gamma=0.0)
    masks = torch.tensor(list(itertools.product(LABELS, repeat=4))).view(81, 2, 2)
    blocks = block_saliency(pair[1], 2).expand(81, 2, 2, 2).double()
    for row, share in ((0, lam), (1, 1 - lam)):
        own, partner = blocks[:, row], blocks[:, 1 - row]
        energies = energy(masks, own, partner, lam=share)
        chosen = (masks == mix.form.maps[row, 1]).all(2).all(1).nonzero().item()
        assert energies[chosen].item() == pytest.approx(energies.min().item(), abs=1e-6)
    assert mix.sources.tolist() == [[0, 1], [1, 0]]


def test_the_two_rows_of_a_pair_are_each_others_mirror(pair):
    mix = demonstrations.puzzle(*pair, 4, 0.4)
    torch.testing.assert_close(mix.form.maps[0].flip(0), mix.form.maps[1])
    torch.testing.assert_close(mix.apply(pair[0])[0], mix.apply(pair[0])[1])


def test_without_transport_no_block_moves_and_for_nothing_they_do(pair):
    free = demonstrations.puzzle(*pair, 4, 0.5, xi=0.0)
    still = demonstrations.puzzle(*pair, 4, 0.5, xi=0.0, transport=False)
    assert torch.equal(still.form.plans, demonstrations.identity(2, 4)) and torch.equal(still.form.maps, free.form.maps)
    assert demonstrations.seen(free, pair[1]).sum() > demonstrations.seen(still, pair[1]).sum() + 0.05


def test_each_term_is_switched_off_alone(pair):
    found = demonstrations.switched_off(*pair, 4, 0.2)
    assert list(found) == ["all terms", "β = 0", "γ = 0", "η = 0", "uniform saliency"]
    off = {"β = 0": {"beta": 0.0}, "γ = 0": {"gamma": 0.0}, "η = 0": {"eta": 0.0}}
    for title, changes in ({"all terms": {}} | off).items():
        assert torch.equal(found[title].form.maps, demonstrations.puzzle(*pair, 4, 0.2, **changes).form.maps)
    assert found["uniform saliency"].shares[0].tolist() == [1.0, 0.0]


def test_what_transport_gains_falls_with_its_cost_and_ends_at_the_bound(pair):
    images = torch.rand(4, 3, 16, 16, generator=seeded(6))
    maps = smooth_random_saliency(4, (16, 16), generator=seeded(7))
    bound = 9 * block_saliency(maps, 4).max().item()  # ξ above which no block can pay the shortest way
    found = demonstrations.moves(images, maps, 4, (0.0, 0.05, 0.2, bound))
    assert list(found.gained) == sorted(found.gained, reverse=True) and found.gained[0] > 0.02
    assert found.pairs[0] == 1 and (found.gained[-1], found.pairs[-1]) == (0, 0)

    def both(xi):
        rows = [list(each) for each in itertools.combinations(range(4), 2)]
        mixes = [demonstrations.puzzle(images[each], maps[each], 4, 0.5, xi=xi) for each in rows]
        return np.mean([demonstrations.seen(mix, maps[each])[0].sum().item() for mix, each in zip(mixes, rows)])

    assert found.gained[1] == pytest.approx(both(0.05) - both(1e9), abs=1e-5)


# Tables


def test_the_best_labelings_are_those_of_the_page():
    """The chapter's example; the table must say what the text computes on paper."""
    own, partner = torch.tensor([[0.4, 0.3], [0.2, 0.1]]), torch.tensor([[0.1, 0.2], [0.3, 0.4]])
    masks = torch.tensor(list(itertools.product(LABELS, repeat=4))).view(81, 2, 2)
    seen = ((1 - masks) * own + masks * partner).sum((1, 2))
    jumps = masks.diff(dim=1).square().sum((1, 2)) + masks.diff(dim=2).square().sum((1, 2))
    shown = tables.best_labelings(masks, seen, jumps, weight=0.15)
    assert shown.iloc[0].tolist() == ["0 ½ / ½ 1", "1.30", "1.00", "-1.15", "4th", "0.50"]
    assert list(shown.index) == ["1st", "2nd", "2nd", "2nd", "2nd", "6th"]
    assert shown.loc["6th"].tolist() == ["0 0 / 1 1", "1.40", "2.00", "-1.10", "1st", "0.50"]
    assert tables.best_labelings(masks, seen, jumps, weight=0.0, count=1)["mask z"].tolist() == ["0 0 / 1 1"]


def made_up(name):
    """As the experiment's, with errors that are easy to check: 20 and the place of the row in its table."""
    lines = []
    for run in get(name).runs:
        setting = run.name.partition("-")[0]
        known = tables.ROWS.get(setting, ())
        error = 20 + (known.index(run.row) if run.row in known else 99) + (run.seed * 7 % 5) / 10
        measured = {column: error / (place + 1) for place, (_, column, _) in enumerate(tables.COLUMNS)}
        lines.append(run.as_dict() | {"run": run.name, "epochs": run.epochs} | measured)
    frame = pandas.DataFrame(lines)
    frame.attrs["missing"] = []
    return frame


@pytest.fixture(scope="module")
def frames():
    puzzle, bench = made_up("puzzlemix"), made_up("bench")
    return {name: tables.setting(puzzle, bench, name) for name in tables.SETTINGS}


@pytest.fixture(scope="module")
def nothing():
    return {name: tables.setting(pandas.DataFrame(), pandas.DataFrame(), name) for name in tables.SETTINGS}


def test_each_setting_has_its_rows_at_their_seeds_once(frames):
    for name, frame in frames.items():
        seeds = frame.groupby("row")["seed"].apply(sorted)
        assert set(seeds.index) == set(tables.ROWS[name])
        for row in tables.ROWS[name][3:]:
            assert seeds[row] == list(PRIMARY_SEEDS if name == "grey" else SEEDS)
        assert set(seeds["CutMix"]) >= set(SEEDS)


def test_the_primary_comparison_is_alone_and_has_ten_seeds(frames):
    place = tables.ROWS["grey"].index
    found = tables.primary(frames["grey"])
    assert found.mean == pytest.approx(place(tables.OURS) - place(tables.CUTMIX))
    assert (found.seeds, found.comparisons, found.adjusted) == (10, 1, found.p)


def test_the_others_are_one_family_a_setting(frames):
    for name, size in (("grey", 6), ("colour", 5)):
        family = tables.secondary(frames[name], name)["test_error"]
        assert set(family) == set(tables.FAMILY[name]) and {each.comparisons for each in family.values()} == {size}
        ours = tables.ROWS[name].index(tables.OURS)
        for row, each in family.items():
            assert each.mean == pytest.approx(tables.ROWS[name].index(row) - ours)
    assert tables.CUTMIX not in tables.FAMILY["grey"] and tables.CUTMIX in tables.FAMILY["colour"]


def test_the_summary_shows_what_there_is_and_dashes_for_the_rest(frames, nothing):
    shown = tables.summary(frames["grey"], "grey")
    assert list(shown.index) == list(tables.ROWS["grey"])
    assert shown.loc[tables.CUTMIX, "minus Puzzle Mix"] == shown.loc[tables.OURS, "minus Puzzle Mix"] == "–"
    assert shown.loc["Mixup", "minus Puzzle Mix"].startswith("-2.00") and "±" in shown.loc["Mixup", "error, %"]
    assert "±" not in shown.loc["Mixup", "NLL"]
    for name, frame in nothing.items():
        assert set(tables.summary(frame, name).to_numpy().ravel()) == {"–"}
        assert tables.primary(frame) is None and tables.secondary(frame, name) == {"test_error": {}}
        assert all(line.endswith("not on record") for line in tables.baseline(frame))


def test_partial_records_are_shown():
    """The first two seeds of the primary arms alone."""
    puzzle, bench = made_up("puzzlemix").iloc[:4], made_up("bench")
    puzzle.attrs["missing"] = ["the others"]
    frame = tables.setting(puzzle, bench, "grey")
    assert tables.primary(frame).seeds == 2
    assert tables.summary(frame, "grey").loc["boxes with its shares", "error, %"] == "–"
    assert tables.on_record(frame) == f"{len(frame)} runs on record, 1 still missing"
    assert tables.paper_and_ours({"grey": frame}).loc["here, grey bench", "minus no mixing"] != "–"


def test_the_baseline_is_said_first(frames):
    lines = tables.baseline(frames["grey"])
    assert lines[0].startswith("CutMix minus no mixing: +2.00") and "CutMix + clean loss minus CutMix" in lines[1]


def test_the_pace_is_that_of_the_median_run():
    times = {"CutMix": (10.0, 20.0, 90.0), "CutMix + clean loss": (30.0, 40.0, 41.0), "Puzzle Mix": (60.0, 60.0, 500.0)}
    frame = pandas.DataFrame([{"row": row, "seconds": each} for row, all_ in times.items() for each in all_])
    assert tables.pace(frame) == ("median time: Puzzle Mix 1.5 times CutMix + clean loss, "
                                  "CutMix + clean loss 2.0 times CutMix")
    assert tables.pace(frame.iloc[3:]) == "median time: Puzzle Mix 1.5 times CutMix + clean loss"
    assert tables.pace(pandas.DataFrame()) == "median time: not on record"


def test_the_talks_differences_are_those_of_its_table(frames, nothing):
    shown = tables.paper_and_ours(frames)
    assert shown.loc["CIFAR-100, PreAct ResNet-18"].tolist() == ["-2.97", "-1.81", "-0.67", "–"]
    assert shown.loc["Tiny-ImageNet, PreAct ResNet-18", "minus CutMix"] == "-6.59"
    assert shown.loc["here, colour bench", "minus no mixing"].startswith("+3.00 [")
    assert set(tables.paper_and_ours(nothing).iloc[-2:].to_numpy().ravel()) == {"–"}


# Figures


@pytest.mark.parametrize("left", LABELS)
@pytest.mark.parametrize("right", LABELS)
def test_the_drawn_graph_cuts_the_square_of_the_difference(left, right):
    assert figures.cut_cost(left, right) == (left - right) ** 2


def test_the_graph_is_drawn_for_every_labelling():
    axes = figures.cut_graph([(1, 0), (0.5, 0.5)]).axes
    arrows = [[text.arrow_patch for text in axis.texts if getattr(text, "arrow_patch", None)] for axis in axes]
    thick = [sum(arrow.get_linewidth() > 2 for arrow in each) for each in arrows]
    assert thick == [3, 0]


def test_labels_against_ink_are_drawn_with_their_crosses():
    weights, ink = torch.tensor([0.9, 0.6, 0.2, 0.5]), torch.tensor([0.05, 0.8, 0.0, 0.09])
    axis = figures.kept({"CutMix": (weights, ink), "Puzzle Mix": (weights, ink)}).axes[0]
    dots, crosses = axis.get_lines()
    np.testing.assert_allclose(crosses.get_xdata(), [0.9, 0.5])
    np.testing.assert_allclose(dots.get_ydata(), [0.8, 0.0])
    (band,) = axis.patches  # where crosses lie
    assert (band.get_x(), band.get_y() + band.get_height()) == pytest.approx((0.5, 0.1))
    figure = figures.hidden(torch.zeros(4, 1, 6, 6), weights, ink, [0, 3], torch.tensor([7, 1, 2, 4]))
    assert figure.axes[1].get_title() == "label: 0.50 of a 4,\nits ink seen: 0.09"


def test_maps_say_what_the_busiest_block_holds():
    maps = torch.zeros(1, 8, 8)
    maps[0, 0, 0], maps[0, 7, 7] = 3.0, 1.0
    figure = figures.maps_of(torch.zeros(1, 3, 8, 8), maps, ["dot"], blocks=(2,))
    assert figure.axes[-1].get_title() == "0.75 in one block"


def test_a_picture_and_its_mask_are_drawn_and_said(pair):
    mixes = demonstrations.switched_off(*pair, 4, 0.5)
    parts = {title: demonstrations.seen(mix, pair[1])[0].tolist() for title, mix in mixes.items()}
    figure = figures.picture_and_mask(pair[0], mixes, parts)
    own, partner = parts["all terms"]
    share = mixes["all terms"].weights[0]
    labels = [axis.get_xlabel() for axis in figure.axes if axis.get_xlabel()]
    assert labels[0] == f"label {share[0]:.2f} | {share[1]:.2f}\nseen {own:.2f} | {partner:.2f}"
    said = figures.picture_and_mask_in_words(mixes, parts)
    assert said.startswith(f"all terms: partner's label {share[1]:.2f}, half blocks ") and said.count(";") == 4
    assert said.endswith("half blocks 1.00, saliency seen 1.00 of 2")


def test_moved_blocks_that_are_seen_have_a_frame(pair):
    mix = demonstrations.puzzle(*pair, 4, 0.5, xi=0.0)
    found = {4: demonstrations.Moves((0.0, 0.8), (0.3, 0.0), (1.0, 0.0))}
    axes = figures.moved(found, pair[0], {"ξ = 0": mix}).axes
    np.testing.assert_allclose(axes[0].get_lines()[0].get_ydata(), [0.3, 0.0])
    elsewhere = mix.form.plans[0] != torch.arange(16)
    assert len(axes[1].patches) == (elsewhere & (mix.form.maps[0].flatten(1) > 0)).sum() > 0


def test_a_box_stands_beside_puzzle_mix(pair):
    mix = demonstrations.puzzle(*pair, 4, 0.5)
    box = Mix(mix.sources, NestedBoxes(torch.tensor([[[0, 0, 8, 16]]] * 2), (16, 16)))
    axes = figures.cut_into([pair[0]], [pair[1]], [(mix, box)], [("left", "right")]).axes
    own, partner = demonstrations.seen(box, pair[1])[0].tolist()
    assert axes[6].get_xlabel() == f"seen {own:.2f} | {partner:.2f}" and own + partner > 0
    assert [axis.get_title() for axis in axes[:3]] == ["left", "saliency", "right"]

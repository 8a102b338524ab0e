"""Puzzle Mix: the energy from its definition, and solvers against enumeration and linear programmes of their own."""

import itertools
import json
import math
import re

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from oracle import same_mix, seeded
from scipy.optimize import linprog
from scipy.sparse import coo_matrix

from mixlab import Mix, priors
from mixlab.masks import Soft, Transported
from mixlab.mixers import CutMix, PuzzleMix, from_config, puzzlemix, to_config
from mixlab.mixers.puzzlemix import best_masks, best_plans, border_differences, energy
from mixlab.saliency import block_saliency, smooth_random_saliency

#: Saliencies: smooth; log-normal; and so uneven that a block may hold nearly everything, the rest many decades less.
KINDS = ["smooth", "heavy", "spiked"]
seeds = st.integers(0, 10**6)
WEIGHTS = {"beta": 1.2, "gamma": 0.5, "eta": 0.2, "xi": 0.8}


def random_maps(batch, blocks, kind, generator):
    """``(B, b, b)`` float64, every map summing to 1."""
    if kind == "smooth":
        return block_saliency(smooth_random_saliency(batch, (2 * blocks,) * 2, generator=generator), blocks).double()
    spread = {"heavy": 2.0, "spiked": 12.0}[kind]
    maps = torch.randn(batch, blocks, blocks, generator=generator, dtype=torch.float64).mul(spread).exp()
    return maps / maps.sum((1, 2), keepdim=True)


def random_problem(batch, blocks, kind, seed, **weights):
    """Saliencies, and the other arguments of the energy, with colours that change at some borders and not at others."""
    generator = seeded(seed)
    own, partner = (random_maps(batch, blocks, kind, generator) for _ in range(2))
    images = [torch.rand(batch, 1, 2 * blocks, 2 * blocks, generator=generator).round() * 3 for _ in range(2)]
    lam = torch.rand(batch, generator=generator, dtype=torch.float64)
    return own, partner, {"lam": lam, "borders": border_differences(*images, blocks), **WEIGHTS, **weights}


def solved(own, partner, options):
    """The masks of the solver, which knows no ξ."""
    return best_masks(own, partner, **{name: value for name, value in options.items() if name != "xi"})


def neighbours(blocks):
    """Pairs of places that meet, numbered row by row."""
    for i, j in itertools.product(range(blocks), repeat=2):
        if i + 1 < blocks:
            yield i * blocks + j, (i + 1) * blocks + j
        if j + 1 < blocks:
            yield i * blocks + j, i * blocks + j + 1


def energy_by_hand(z, plans, s0, s1, d, lam, *, beta, gamma, eta, xi):
    """Formula 3 for one row in Python floats; ``d[i, j][k][l]`` is the difference of block i of k and block j of l."""
    blocks = math.isqrt(len(z))
    total = 0.0
    for place, mask in enumerate(z):
        total -= (1 - mask) * s0[plans[0][place]] + mask * s1[plans[1][place]]
        p = {0.0: (1 - lam) ** 2, 0.5: 2 * lam * (1 - lam), 1.0: lam**2}[mask]
        total -= eta / blocks**2 * math.log(p)
        for plan in plans:
            rows, columns = (abs(a - b) for a, b in zip(divmod(plan[place], blocks), divmod(place, blocks)))
            total += xi * (rows**2 + columns**2) / max(blocks - 1, 1) ** 2
    for i, j in neighbours(blocks):
        d00, d01, d10, d11 = d[i, j][0][0], d[i, j][0][1], d[i, j][1][0], d[i, j][1][1]
        p = (d10 + d01 - d11 - d00) / 2
        phi = d00 + (d10 - d00 - p) * z[i] + (d01 - d00 - p) * z[j] + p * (z[i] - z[j]) ** 2
        total += beta / (16 * blocks) * ((z[i] - z[j]) ** 2 + gamma * phi)
    return total


def differences_by_hand(borders, row, blocks):
    """``{(i, j): 2 x 2 differences}`` of one row."""
    table = {}
    for i, j in neighbours(blocks):
        (y, x), below = divmod(i, blocks), j == i + blocks
        side = borders.down if below else borders.right
        table[i, j] = side[row, :, :, y, x].tolist()
    return table


def all_labelings(blocks):
    """``(3^n, b, b)`` every mask there is."""
    labels = torch.cartesian_prod(*[torch.tensor([0.0, 0.5, 1.0], dtype=torch.float64)] * blocks**2)
    return labels.view(-1, blocks, blocks)


def energies_of_all(own, partner, options):
    """``(rows, 3^n)``: the energy of every mask, with blocks in their places."""
    labels = all_labelings(own.shape[1])
    count, found = len(labels), []
    for row in range(len(own)):
        borders = options["borders"]
        one = None if borders is None else type(borders)(*(side[row].expand(count, -1, -1, -1, -1) for side in borders))
        arguments = options | {"borders": one, "lam": options["lam"][row]}
        found.append(energy(labels, own[row].expand_as(labels), partner[row].expand_as(labels), **arguments))
    return torch.stack(found)


@given(blocks=st.sampled_from([1, 2, 3, 4]), kind=st.sampled_from(KINDS), seed=seeds)
def test_the_energy_is_formula_3(blocks, kind, seed):
    own, partner, options = random_problem(3, blocks, kind, seed)
    z = torch.randint(0, 3, own.shape, generator=seeded(seed)) / 2
    plans = torch.stack([torch.randperm(blocks**2, generator=seeded(seed + k)) for k in range(6)]).view(3, 2, -1)
    expected = [
        energy_by_hand(
            z[row].flatten().tolist(), plans[row].tolist(), *(maps[row].flatten().tolist() for maps in (own, partner)),
            differences_by_hand(options["borders"], row, blocks), float(options["lam"][row]), **WEIGHTS,
        )
        for row in range(3)
    ]
    found = energy(z, own, partner, plans, **options)
    torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float64))


@given(kind=st.sampled_from(KINDS), seed=seeds, beta=st.sampled_from([0.0, 1.2, 40.0]),
       gamma=st.sampled_from([0.0, 0.5, 1.0]), eta=st.sampled_from([0.0, 0.2, 5.0]))
def test_masks_are_the_best_of_all_labelings(kind, seed, beta, gamma, eta):
    own, partner, options = random_problem(4, 2, kind, seed, beta=beta, gamma=gamma, eta=eta)
    z = solved(own, partner, options)
    found = energy(z, own, partner, **options)
    torch.testing.assert_close(found, energies_of_all(own, partner, options).amin(1), rtol=0, atol=1e-7)


def test_masks_are_the_best_of_all_labelings_of_nine_blocks():
    for kind in KINDS:
        own, partner, options = random_problem(4, 3, kind, 5)
        z = solved(own, partner, options)
        best = energies_of_all(own, partner, options).amin(1)
        torch.testing.assert_close(energy(z, own, partner, **options), best, rtol=0, atol=1e-7)
        assert len(z.unique()) == 3, "expected an instance in which every label is used"


def least_energy(own, partner, options, row):
    """The minimum over real masks of an energy that is linear between the labels: a linear programme of one row.

    It is at most the energy of every mask in {0, ½, 1}, so a mask that reaches it is a best one. Variables are the
    levels l = 2z, a bound on the cost of each, and one on that of each pair, 1 and 4 at a difference of 1 and 2.
    """
    blocks, lam = own.shape[1], float(options["lam"][row])
    s0, s1 = (maps[row].flatten().tolist() for maps in (own, partner))
    d, n = differences_by_hand(options["borders"], row, blocks), blocks**2
    smooth, prior = options["beta"] / (16 * blocks), options["eta"] / n
    costs = np.array([
        [-s0[i] - prior * math.log((1 - lam) ** 2), -(s0[i] + s1[i]) / 2 - prior * math.log(2 * lam * (1 - lam)),
         -s1[i] - prior * math.log(lam**2)]
        for i in range(n)
    ])
    edges, weights, constant = list(neighbours(blocks)), [], 0.0
    for i, j in edges:
        (d00, d01), (d10, d11) = d[i, j]
        together, factor = (d10 + d01 - d11 - d00) / 2, smooth * options["gamma"]
        costs[i] += factor * (d10 - d00 - together) * np.array([0, 0.5, 1])
        costs[j] += factor * (d01 - d00 - together) * np.array([0, 0.5, 1])
        weights.append((smooth + factor * together) / 4)
        constant += factor * d00
    entries, bounds = [], []

    def at_most(bound, *terms):
        entries.extend((len(bounds), variable, factor) for variable, factor in terms)
        bounds.append(bound)

    for i in range(n):
        for step in (0, 1):  # the line through two labels lies below the cost
            slope = costs[i, step + 1] - costs[i, step]
            at_most(slope * step - costs[i, step], (i, slope), (n + i, -1))
    for e, (i, j) in enumerate(edges):
        for sign in (1, -1):
            at_most(0, (i, sign), (j, -sign), (2 * n + e, -1))
            at_most(2, (i, 3 * sign), (j, -3 * sign), (2 * n + e, -1))
    rows, columns, values = zip(*entries)
    matrix = coo_matrix((values, (rows, columns)), shape=(len(bounds), 2 * n + len(edges))).tocsr()
    objective = np.concatenate([np.zeros(n), np.ones(n), weights])
    limits = [(0, 2)] * n + [(None, None)] * n + [(0, None)] * len(edges)
    found = linprog(objective, A_ub=matrix, b_ub=bounds, bounds=limits, method="highs")
    assert found.status == 0, found.message
    return found.fun + constant


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("blocks", [2, 4, 7, 8, 14, 16])
def test_masks_reach_the_bound_of_a_linear_programme(blocks, kind):
    own, partner, options = random_problem(4, blocks, kind, blocks)
    found = energy(solved(own, partner, options), own, partner, **options)
    bounds = torch.tensor([least_energy(own, partner, options, row) for row in range(4)], dtype=torch.float64)
    torch.testing.assert_close(found, bounds, rtol=0, atol=1e-8)


def test_the_bound_of_the_linear_programme_is_that_of_all_labelings():
    own, partner, options = random_problem(3, 2, "heavy", 1)
    bounds = torch.tensor([least_energy(own, partner, options, row) for row in range(3)], dtype=torch.float64)
    torch.testing.assert_close(bounds, energies_of_all(own, partner, options).amin(1), rtol=0, atol=1e-9)


@pytest.mark.parametrize("kind", KINDS)
def test_a_mask_does_not_depend_on_the_rest_of_the_batch(kind):
    """Each of 100 images has as many units of flow as a quarter of int32, and sixteen are solved at once."""
    own, partner, options = random_problem(100, 16, kind, 3)
    together = solved(own, partner, options)
    order = torch.randperm(100, generator=seeded())

    def rows(chosen):
        borders = type(options["borders"])(*(side[chosen] for side in options["borders"]))
        return own[chosen], partner[chosen], options | {"borders": borders, "lam": options["lam"][chosen]}

    assert torch.equal(solved(*rows(order)), together[order])
    for row in (0, 15, 16, 99):
        assert torch.equal(solved(*rows(torch.tensor([row])))[0], together[row])


@pytest.mark.parametrize("level", [0.0, 1.0])
@pytest.mark.parametrize("eta", [0.0, 0.2])
def test_a_prior_that_is_sure_decides_alone(level, eta):
    own, partner, options = random_problem(3, 4, "heavy", 0, eta=eta)
    lam = torch.tensor([0.5, level, 0.5], dtype=torch.float64)
    z = solved(own, partner, options | {"lam": lam})
    assert bool((z[1] == level).all()) and not torch.equal(z[0], z[1])
    found = energy(z, own, partner, **options | {"lam": lam})
    assert bool(found.isfinite().all())
    assert energy(1 - z, own, partner, **options | {"lam": lam}).isinf().tolist() == [False, True, False]
    assert torch.equal(solved(own, partner, options | {"lam": level}), torch.full_like(own, level))


def test_uniform_saliency_leaves_the_likeliest_label_everywhere():
    """½ between a third and two thirds, which the beta law with α = 1 hits a third of the time, else 0 or 1."""
    lam = torch.linspace(0.005, 0.995, 100, dtype=torch.float64)
    uniform = torch.full((100, 4, 4), 1 / 16)
    z = best_masks(uniform, uniform, lam=lam)
    expected = torch.where(lam < 1 / 3, 0.0, torch.where(lam < 2 / 3, 0.5, 1.0))
    assert torch.equal(z, expected.view(100, 1, 1).expand(100, 4, 4).float())


def test_of_masks_that_are_as_good_the_smallest_is_taken():
    """Without a prior a mask that is constant costs as much as any other constant one."""
    uniform = torch.full((1, 4, 4), 1 / 16)
    assert not best_masks(uniform, uniform, lam=0.5, eta=0.0).any()
    assert not best_masks(uniform, uniform, lam=0.5, eta=0.0, beta=0.0).any()


@given(kind=st.sampled_from(KINDS), blocks=st.sampled_from([2, 4, 8]), seed=seeds)
def test_exchanging_the_images_exchanges_their_masks(kind, blocks, seed):
    own, partner, options = random_problem(4, blocks, kind, seed)
    borders = type(options["borders"])(*(side.flip(1, 2) for side in options["borders"]))
    z = solved(own, partner, options)
    exchanged = solved(partner, own, options | {"borders": borders, "lam": 1 - options["lam"]})
    for each in (z, 1 - exchanged):
        torch.testing.assert_close(energy(each, own, partner, **options), energy(z, own, partner, **options))
    assert torch.equal(exchanged, 1 - z), "no two masks are as good in a random instance"


def test_smoothness_and_prior_do_what_they_are_for():
    own, partner, options = random_problem(20, 8, "smooth", 2, gamma=0.0)
    rough, smooth = (solved(own, partner, options | {"beta": beta}) for beta in (0.1, 10.0))
    assert puzzlemix.label_smoothness(smooth).sum() < puzzlemix.label_smoothness(rough).sum() / 4
    free, tied = (solved(own, partner, options | {"eta": eta}) for eta in (0.0, 0.8))
    off = [(z.mean((1, 2)) - options["lam"]).abs().mean() for z in (free, tied)]
    assert off[1] < off[0] / 1.5


# Transport.


def worth(plan, mask, saliency, xi):
    """What is seen of one image under a plan, less what the moves cost, in Python floats."""
    blocks, total = math.isqrt(len(plan)), 0.0
    for place, block in enumerate(plan):
        (y, x), (row, column) = divmod(place, blocks), divmod(int(block), blocks)
        total += mask[place] * saliency[block] - xi * ((y - row) ** 2 + (x - column) ** 2) / (blocks - 1) ** 2
    return total


def slots(z, own, partner):
    """Mask and saliency of both slots of every row, as flat lists."""
    for row in range(len(z)):
        for slot, (mask, maps) in enumerate(((1 - z[row], own[row]), (z[row], partner[row]))):
            yield row, slot, mask.flatten().tolist(), maps.flatten().tolist()


@given(kind=st.sampled_from(KINDS), seed=seeds, xi=st.sampled_from([0.0, 0.02, 0.2, 0.8]))
def test_plans_are_the_best_of_all_permutations(kind, seed, xi):
    own, partner, _ = random_problem(4, 2, kind, seed)
    z = torch.randint(0, 3, own.shape, generator=seeded(seed)) / 2
    plans = best_plans(z, own, partner, xi=xi)
    for row, slot, mask, saliency in slots(z, own, partner):
        best = max(worth(plan, mask, saliency, xi) for plan in itertools.permutations(range(4)))
        assert worth(plans[row, slot].tolist(), mask, saliency, xi) == pytest.approx(best, abs=1e-12)


@pytest.mark.parametrize("xi", [0.05, 0.8])
def test_plans_are_the_best_of_all_permutations_of_nine_blocks(xi):
    own, partner, _ = random_problem(1, 3, "heavy", 4)
    z = torch.randint(0, 3, own.shape, generator=seeded(4)) / 2
    plans = best_plans(z, own, partner, xi=xi)
    everything = np.array(list(itertools.permutations(range(9))))
    places = np.arange(9)
    ways = ((places[:, None] // 3 - places // 3) ** 2 + (places[:, None] % 3 - places % 3) ** 2) / 4
    for row, slot, mask, saliency in slots(z, own, partner):
        values = (np.array(mask) * np.array(saliency)[everything] - xi * ways[everything, places]).sum(1)
        found = worth(plans[row, slot].tolist(), mask, saliency, xi)
        assert found == pytest.approx(values.max(), abs=1e-12)


def most_that_a_circle_gains(plan, mask, saliency, xi):
    """What the blocks of a plan gain at most by going round in a circle of places; 0 where the plan is a best one.

    Any other plan is this one with blocks going round in circles. The longest way from every place to every place, by
    Floyd and Warshall: exact where no circle gains anything, and above 0 on the diagonal where one does.
    """
    blocks, block = math.isqrt(len(plan)), np.array(plan)
    y, x = np.divmod(np.arange(len(plan)), blocks)
    ways = ((y[block][:, None] - y) ** 2 + (x[block][:, None] - x) ** 2) / (blocks - 1) ** 2
    values = np.array(saliency)[block][:, None] * np.array(mask) - xi * ways
    gains = values - np.diag(values)[:, None]
    for place in range(len(plan)):
        gains = np.maximum(gains, gains[:, [place]] + gains[[place]])
    return np.diag(gains).max()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("xi", [0.01, 0.1, 0.8])
@pytest.mark.parametrize("blocks", [4, 8, 16])
def test_no_circle_of_blocks_gains_anything(blocks, xi, kind):
    own, partner, options = random_problem(2, blocks, kind, 7)
    z = solved(own, partner, options)
    plans = best_plans(z, own, partner, xi=xi)
    for row, slot, mask, saliency in slots(z, own, partner):
        assert most_that_a_circle_gains(plans[row, slot].tolist(), mask, saliency, xi) < 1e-12


def test_the_certificate_finds_what_a_worse_plan_leaves():
    own, partner, options = random_problem(2, 8, "heavy", 7)
    z = solved(own, partner, options)
    plans = best_plans(z, own, partner, xi=0.1)
    gained = []
    for row, slot, mask, saliency in slots(z, own, partner):
        plan, still = plans[row, slot].tolist(), list(range(64))
        gained.append(worth(plan, mask, saliency, 0.1) - worth(still, mask, saliency, 0.1))
        assert (most_that_a_circle_gains(still, mask, saliency, 0.1) > 1e-12) == (gained[-1] > 0)
    assert max(gained) > 1e-3 and min(gained) == 0, "expected an instance in which some images change and some do not"


@given(blocks=st.sampled_from([1, 2, 4, 8]), kind=st.sampled_from(KINDS), seed=seeds, xi=st.sampled_from([0.01, 0.8]))
def test_plans_are_permutations_that_raise_no_energy(blocks, kind, seed, xi):
    own, partner, options = random_problem(4, blocks, kind, seed, xi=xi)
    z = solved(own, partner, options)
    plans = best_plans(z, own, partner, xi=xi)
    assert torch.equal(plans.sort(2).values, torch.arange(blocks**2).expand_as(plans))
    still = torch.arange(blocks**2).expand_as(plans)
    before, after = (energy(z, own, partner, each, **options) for each in (still, plans))
    torch.testing.assert_close(before, energy(z, own, partner, **options))
    moved = (plans != still).flatten(1).any(1)
    assert bool((after[moved] < before[moved]).all()) and torch.equal(after[~moved], before[~moved])


def test_what_is_seen_is_what_the_plan_promised():
    """The plan that the solver finds and the one that a mix applies are read the same way round."""
    own, partner, options = random_problem(6, 4, "heavy", 11)
    z = solved(own, partner, options)
    plans = best_plans(z, own, partner, xi=0.01)
    inverse = plans.argsort(2)
    assert bool((plans != inverse).any()), "expected an instance with a circle of three blocks"
    images = torch.cat([own, partner])[:, None]
    sources = torch.arange(12).view(2, 6).T
    masks = torch.stack([1 - z, z], dim=1)
    for each, promised in ((plans, True), (inverse, False)):
        form = Transported(torch.cat([masks, masks]), (4, 4), plans=torch.cat([each, each]))
        shown = Mix(torch.cat([sources, sources]), form).apply(images)[:6].sum((1, 2, 3))
        expected = -puzzlemix.saliency_lost(z, own, partner, plans)
        assert torch.allclose(shown, expected) == promised


def test_nothing_moves_where_the_way_costs_more_than_can_be_seen():
    own, partner, options = random_problem(8, 8, "heavy", 3)
    z, still = solved(own, partner, options), torch.arange(64).expand(8, 2, 64)
    assert torch.equal(best_plans(z, own, partner, xi=49.1), still)
    assert not torch.equal(best_plans(z, own, partner, xi=0.1), still)
    constant = torch.full_like(z, 0.5)
    assert torch.equal(best_plans(constant, own, partner, xi=0.0), still), "a constant mask shows all of an image"


# Colours at borders.


@pytest.mark.parametrize("size, blocks, grain", [
    ((8, 8), 4, (2, 2)), ((32, 32), 2, (4, 4)), ((28, 28), 4, (1, 1)), ((28, 28), 2, (2, 2)), ((12, 6), 2, (3, 3)),
    ((10, 4), 2, (1, 2)), ((5, 5), 1, (1, 1)),
], ids=str)
def test_differences_are_means_over_channels_and_border_cells(size, blocks, grain):
    own, partner = torch.rand(2, 2, 3, *size, generator=seeded())
    std = (0.1, 0.2, 0.3)
    borders = border_differences(own, partner, blocks, std=std)
    pictures, (height, width) = (own.double().numpy(), partner.double().numpy()), (size[0] // blocks, size[1] // blocks)

    def strip(picture, row, side, i, j):
        """``(3, cells)``: the cells of block (i, j) along one side, each the mean of its pixels."""
        block = picture[row, :, i * height : (i + 1) * height, j * width : (j + 1) * width]
        cells = block.reshape(3, height // grain[0], grain[0], width // grain[1], grain[1]).mean((2, 4))
        return {"top": cells[:, 0], "bottom": cells[:, -1], "left": cells[:, :, 0], "right": cells[:, :, -1]}[side]

    assert borders.down.shape == (2, 2, 2, blocks - 1, blocks)
    assert borders.right.shape == (2, 2, 2, blocks, blocks - 1)
    for row, k, m, i, j in itertools.product(range(2), range(2), range(2), range(blocks), range(blocks)):
        for found, first, second, ii, jj in (
            (borders.down, "bottom", "top", i + 1, j), (borders.right, "right", "left", i, j + 1)
        ):
            if max(ii, jj) < blocks:
                apart = strip(pictures[k], row, first, i, j) - strip(pictures[m], row, second, ii, jj)
                expected = (np.abs(apart) * np.array(std)[:, None]).mean()
                assert float(found[row, k, m, i, j]) == pytest.approx(expected, rel=1e-5)


def test_differences_are_at_most_one_so_that_every_gamma_is_a_cut():
    own, partner = (10 * torch.randn(6, 3, 8, 8, generator=seeded(seed)) for seed in (0, 1))
    borders = border_differences(own, partner, 4)
    assert borders.down.max() == 1 and borders.right.max() == 1
    # The hardest case: each image changes at the border, and the mixed ones do not.
    hard = type(borders)(*(torch.zeros_like(side) for side in borders))
    for side in hard:
        side[:, 0, 0], side[:, 1, 1] = 1, 1
    saliencies = random_maps(6, 4, "smooth", seeded(2)), random_maps(6, 4, "smooth", seeded(3))
    options = {"lam": torch.full((6,), 0.5, dtype=torch.float64), "borders": hard, **WEIGHTS, "gamma": 1.0, "beta": 5.0}
    found = energy(solved(*saliencies, options), *saliencies, **options)
    bounds = [least_energy(*saliencies, options, row) for row in range(6)]
    torch.testing.assert_close(found, torch.tensor(bounds, dtype=torch.float64), rtol=0, atol=1e-8)


def test_a_video_has_the_mean_difference_of_its_frames():
    own, partner = torch.rand(2, 3, 2, 5, 8, 8, generator=seeded())
    video = border_differences(own, partner, 4, std=(0.5, 0.25))
    frames = [border_differences(own[:, :, t], partner[:, :, t], 4, std=(0.5, 0.25)) for t in range(5)]
    for side, each in zip(video, zip(*frames)):
        torch.testing.assert_close(side, torch.stack(each).mean(0), rtol=1e-5, atol=1e-7)


# The mixer.


def photographs(batch=8, size=(16, 16), channels=3, seed=0):
    """Images and saliency maps."""
    generator = seeded(seed)
    return (
        torch.rand(batch, channels, *size, generator=generator),
        smooth_random_saliency(batch, size, generator=generator),
    )


@pytest.mark.parametrize("size, counts", [
    ((32, 32), {2, 4, 8, 16}), ((28, 28), {2, 4, 7, 14}), ((64, 32), {2, 4, 8, 16}), ((8, 8), {2, 4, 8}),
    ((14, 14), {2, 7, 14}), ((12, 10), {2}), ((56, 28), {2, 4, 7, 14}), ((7, 21), {7}),
], ids=str)
def test_every_block_number_that_fits_is_drawn(size, counts):
    images, saliency = photographs(2, size)
    generator = seeded()
    drawn = [PuzzleMix().draw(images, saliency=saliency, generator=generator).form.maps.shape for _ in range(40)]
    assert {shape[-1] for shape in drawn} == counts and all(shape[-1] == shape[-2] for shape in drawn)


def test_block_numbers_are_what_one_asks_for():
    images, saliency = photographs(2, (12, 18))
    generator = seeded()
    for blocks, counts in ((3, {3}), ((1, 6), {1, 6}), ([2, 3], {2, 3})):
        mixer = PuzzleMix(blocks=blocks)
        drawn = [mixer.draw(images, saliency=saliency, generator=generator).form.maps.shape[-1] for _ in range(20)]
        assert set(drawn) == counts


@pytest.mark.parametrize("blocks", [4, (3, 4), (2, 9), None])
def test_block_numbers_that_do_not_fit_are_an_error_that_names_those_that_do(blocks):
    size, fitting = ((9, 5), "[1]") if blocks is None else ((12, 18), "[1, 2, 3, 6]")
    images, saliency = photographs(2, size)
    wrong = {4: [4], (3, 4): [4], (2, 9): [9], None: [2, 4, 8, 16]}[blocks]
    message = f"divide height and width {size[0]} x {size[1]}, of {fitting}, received {wrong}"
    with pytest.raises(ValueError, match=re.escape(message)):
        PuzzleMix(blocks=blocks).draw(images, saliency=saliency, generator=seeded())


@given(seed=seeds, alpha=st.sampled_from([0.2, 1.0, 5.0]), lam_per=st.sampled_from(["image", "batch"]))
def test_a_mix_is_the_solution_for_the_numbers_that_were_drawn(seed, alpha, lam_per):
    images, saliency = photographs(seed=seed)
    mixer = PuzzleMix(alpha, blocks=4, lam_per=lam_per, xi=0.05, std=(0.2, 0.3, 0.4))
    mix = mixer.draw(images, saliency=saliency, generator=seeded(seed))
    generator = seeded(seed)
    sources = priors.partners(8, 2, generator=generator)
    lam = priors.dirichlet(alpha, 8 if lam_per == "image" else 1, k=2, generator=generator)[:, 1].expand(8)
    own, other = block_saliency(saliency, 4), sources[:, 1]
    borders = border_differences(images, images[other], 4, std=(0.2, 0.3, 0.4))
    z = best_masks(own, own[other], lam=lam, borders=borders)
    assert torch.equal(mix.sources, sources)
    assert torch.equal(mix.form.maps, torch.stack([1 - z, z], dim=1))
    assert torch.equal(mix.form.plans, best_plans(z, own, own[other], xi=0.05))
    assert torch.equal(mix.weights, mix.shares) and torch.equal(mix.shares[:, 1], z.mean((1, 2)))


def test_one_lambda_for_a_batch_or_one_for_every_image():
    """With a prior that outweighs all else, the mask of a row is the likeliest label under its λ."""
    images, saliency = photographs(40)
    for lam_per, several in (("batch", False), ("image", True)):
        for seed in range(4):
            mixer = PuzzleMix(eta=1e6, lam_per=lam_per)
            shares = mixer.draw(images, saliency=saliency, generator=seeded(seed)).shares[:, 1]
            assert set(shares.tolist()) <= {0.0, 0.5, 1.0} and (len(shares.unique()) > 1) == several


def test_without_transport_blocks_stay_and_masks_are_the_same():
    images, saliency = photographs()
    with_, without = (
        PuzzleMix(xi=0.01, transport=transport).draw(images, saliency=saliency, generator=seeded(2))
        for transport in (True, False)
    )
    assert type(with_.form) is Transported and type(without.form) is Soft
    assert torch.equal(with_.form.maps, without.form.maps) and torch.equal(with_.sources, without.sources)
    assert not torch.equal(with_.apply(images), without.apply(images))
    still = PuzzleMix(xi=1e6).draw(images, saliency=saliency, generator=seeded(2))
    assert torch.equal(still.apply(images), without.apply(images))


def test_partners_are_those_of_other_mixers():
    images, saliency = photographs()
    ours, theirs = (m.draw(images, saliency=saliency, generator=seeded(5)) for m in (PuzzleMix(), CutMix()))
    assert torch.equal(ours.sources, theirs.sources)


def test_normalised_images_are_cut_like_their_pixels_where_std_is_given():
    images, saliency = photographs(16)
    std, mean = torch.tensor([0.2, 0.3, 0.25]).view(3, 1, 1), torch.tensor([0.4, 0.5, 0.6]).view(3, 1, 1)
    normalised = (images - mean) / std
    mixes = [
        PuzzleMix(blocks=8, std=scale).draw(x, saliency=saliency, generator=seeded(1))
        for x, scale in ((images, 1.0), (normalised, (0.2, 0.3, 0.25)), (normalised, 1.0))
    ]
    assert same_mix(mixes[0], mixes[1]) and not same_mix(mixes[0], mixes[2])


def test_only_the_shape_of_a_saliency_matters_and_zeros_are_uniform():
    images, saliency = photographs()
    mixes = [
        PuzzleMix(blocks=4).draw(images, saliency=saliency * scale, generator=seeded(3)) for scale in (1.0, 1e-20, 1e20)
    ]
    assert same_mix(mixes[0], mixes[1]) and same_mix(mixes[0], mixes[2])
    nothing, uniform = (
        PuzzleMix(blocks=4).draw(images, saliency=torch.full((8, 16, 16), level), generator=seeded(3))
        for level in (0.0, 2.0)
    )
    assert same_mix(nothing, uniform)


def test_identical_images_are_unchanged():
    """Also where saliencies differ, as long as blocks stay in their places; and where blocks may move, if not."""
    images, saliency = photographs()
    one, flat = images[:1].expand(8, -1, -1, -1).contiguous(), saliency[:1].expand(8, -1, -1).contiguous()
    for seed in range(5):
        still = PuzzleMix(transport=False).draw(one, saliency=saliency, generator=seeded(seed))
        assert torch.equal(still.apply(one), one)
        moving = PuzzleMix(xi=0.0).draw(one, saliency=flat, generator=seeded(seed))
        assert torch.equal(moving.apply(one), one)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("dtype", [torch.float16, torch.float64], ids=str)
def test_images_of_any_precision_are_cut_alike(channels, dtype):
    images, saliency = photographs(channels=channels)
    images = (images * 64).round() / 64  # which 16 bits hold exactly
    plain, other = (
        PuzzleMix().draw(each, saliency=saliency.to(each.dtype).float(), generator=seeded(1))
        for each in (images, images.to(dtype))
    )
    if dtype == torch.float64:
        assert same_mix(plain, other)
    mixed = other.apply(images.to(dtype))
    assert mixed.dtype == dtype and torch.equal(mixed.double(), other.apply(images.double()))


def test_gradients_and_inputs_are_left_alone():
    images, saliency = photographs()
    images, saliency = images.requires_grad_(), saliency.requires_grad_()
    mix = PuzzleMix().draw(images, saliency=saliency, generator=seeded())
    assert not mix.form.maps.requires_grad and not mix.shares.requires_grad
    mix.apply(images).sum().backward()
    # Each row of the result sums to one image's worth of weights, wherever its blocks went.
    assert images.grad.sum() == pytest.approx(images.numel(), rel=1e-5) and saliency.grad is None


@pytest.mark.gpu
def test_a_mix_is_the_same_on_another_device():
    images, saliency = photographs(32, (32, 32))
    mixer = PuzzleMix(xi=0.05, gamma=0.0)
    here = mixer.draw(images, saliency=saliency, generator=seeded(1))
    there = mixer.draw(images.cuda(), saliency=saliency.cuda(), generator=seeded(1))
    assert there.sources.is_cuda and there.form.maps.is_cuda and there.form.plans.is_cuda
    assert same_mix(here, there.to("cpu")) and torch.equal(here.form.plans, there.form.plans.cpu())
    torch.testing.assert_close(there.apply(images.cuda()).cpu(), here.apply(images))


def test_settings_survive_json():
    mixer = PuzzleMix(0.5, blocks=(2, 4), std=(0.2, 0.3, 0.4), lam_per="batch", transport=False)
    again = from_config(json.loads(json.dumps(to_config(mixer))))
    assert again == mixer and hash(again) == hash(mixer) and again.blocks == (2, 4)
    assert to_config(PuzzleMix(blocks=4)) == {"name": "puzzlemix", "blocks": 4}


@pytest.mark.parametrize("options, message", [
    ({"beta": -1.0}, "number beta >= 0, received -1.0"), ({"eta": math.nan}, "number eta >= 0, received nan"),
    ({"xi": math.inf}, "number xi >= 0, received inf"), ({"gamma": 1.5}, r"gamma in \[0, 1\], received 1.5"),
    ({"gamma": "much"}, "number gamma >= 0, received 'much'"),
    ({"lam_per": "row"}, "'image' or 'batch', received 'row'"),
    ({"lam_per": None}, "'image' or 'batch', received None"), ({"transport": 1}, "True or False, received 1"),
    *(({"blocks": wrong}, "positive integers as numbers of blocks, or None, received")
      for wrong in (0, -2, 2.5, True, "4", (), (2, 0), [2.0], torch.tensor(4))),
    *(({"std": wrong}, "positive standard deviations, received")
      for wrong in (0.0, -1.0, math.nan, math.inf, "1", None, (), (0.1, 0.0), torch.ones(2, 2))),
], ids=repr)
def test_wrong_settings_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        PuzzleMix(**options)


def test_wrong_problems_are_named():
    maps = torch.full((3, 2, 2), 0.25)
    with pytest.raises(ValueError, match=r"of one shape \(B, b, b\), received \(3, 2, 2\), .*\(2, 2, 2\)"):
        best_masks(maps, maps[:2], lam=0.5)
    with pytest.raises(ValueError, match=r"of one shape \(B, b, b\), received \(3, 4\)"):
        best_masks(maps.flatten(1), maps.flatten(1), lam=0.5)
    for call in (lambda: best_plans(maps[:2], maps, maps), lambda: energy(maps[:2], maps, maps, lam=0.5)):
        with pytest.raises(ValueError, match=r"of one shape \(B, b, b\), received \(2, 2, 2\), \(3, 2, 2\)"):
            call()
    for lam in (-0.1, 1.1, math.nan, torch.full((2,), 0.5), torch.full((3, 1), 0.5)):
        with pytest.raises(ValueError, match=r"λ in \[0, 1\], one or one for each of 3 rows, received"):
            best_masks(maps, maps, lam=lam)
    with pytest.raises(ValueError, match=r"weight gamma in \[0, 1\], received 2"):
        best_masks(maps, maps, lam=0.5, gamma=2)
    with pytest.raises(ValueError, match="number xi >= 0, received -1"):
        best_plans(maps, maps, maps, xi=-1)
    with pytest.raises(ValueError, match="expected finite saliencies and border differences, received others"):
        best_masks(maps * math.nan, maps, lam=0.5)
    images = torch.zeros(3, 1, 4, 4)
    with pytest.raises(ValueError, match="expected finite saliencies and border differences, received others"):
        best_masks(maps, maps, lam=0.5, borders=border_differences(images + math.nan, images, 2))
    with pytest.raises(ValueError, match=r"divide height and width 4 x 4, of \[1, 2, 4\], received \[3\]"):
        border_differences(images, images, 3)
    with pytest.raises(ValueError, match="floating-point images of one shape, received .*int64"):
        border_differences(images.long(), images.long(), 2)
    with pytest.raises(ValueError, match="one std, or one for each of 1 channels, received 2"):
        border_differences(images, images, 2, std=(0.1, 0.2))

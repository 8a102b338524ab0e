"""Co-Mixup: the objective from its definition, the solver against enumeration, and what holds for every mix."""

import itertools
import json
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from oracle import probe, same_mix, seeded, share_of_rows, unchanged_global_rng

from mixlab import Mix, priors
from mixlab.masks import Soft
from mixlab.mixers import CoMixup, from_config, to_config
from mixlab.mixers.comixup import (
    compatibility,
    descend,
    objective,
    overlap,
    prior_cost,
    smoothness,
    solve,
    unary,
)
from mixlab.saliency import block_saliency, smooth_random_saliency

seeds = st.integers(0, 10**6)
modes = pytest.mark.parametrize("mode", ["paper", "official"])


def random_problem(problems, m, size, seed, spread=1.0):
    """c, A and λ of problems with log-normal saliency; A has an ω that is large enough to be felt."""
    generator = seeded(seed)
    maps = torch.randn(problems, m, *size, generator=generator, dtype=torch.float64).mul(spread).exp()
    c = -maps / maps.sum((2, 3), keepdim=True)
    distance = torch.rand(problems, m, m, generator=generator, dtype=torch.float64)
    a = 0.9 * torch.eye(m, dtype=torch.float64) + 0.1 * (distance + distance.mT)
    return c, a, priors.dirichlet(2.0, problems, k=m, generator=generator)


def smooth_problem(problems, m, seed, size=(16, 16)):
    """c, A and λ as the mixer makes them, of smooth maps."""
    generator = seeded(seed)
    maps = smooth_random_saliency(problems * m, size, generator=generator)
    c = -block_saliency(maps, 4).double().unflatten(0, (problems, m))
    prior = priors.dirichlet(2.0, problems, k=m, generator=generator)
    return c, compatibility(maps.unflatten(0, (problems, m))), prior


def random_masks(problems, outputs, m, size, seed, halves=True):
    """Masks in {0, ½, 1}: every cell is half one input and half another, or the same."""
    generator = seeded(seed)
    pair = torch.randint(m, (2, problems, outputs, *size), generator=generator)
    if not halves:
        pair[1] = pair[0]
    return torch.nn.functional.one_hot(pair, m).double().mean(0).movedim(-1, 2)


def every_labelling(m, cells, halves):
    """``(N, cells, m)`` all labellings with one input a cell, and with two where ``halves``."""
    labels = [*((i, i) for i in range(m)), *(itertools.combinations(range(m), 2) if halves else ())]
    table = torch.zeros(len(labels), m, dtype=torch.float64)
    for row, pair in enumerate(labels):
        for i in pair:
            table[row, i] += 0.5
    return table[torch.tensor(list(itertools.product(range(len(labels)), repeat=cells)))]


def every_mask(outputs, m, size, halves):
    """``(N, m', m, h, w)`` all the masks that there are."""
    labellings = every_labelling(m, outputs * size[0] * size[1], halves)
    return labellings.unflatten(1, (outputs, *size)).movedim(-1, 2)


def neighbours(height, width):
    for i, j in itertools.product(range(height), range(width)):
        if i + 1 < height:
            yield (i, j), (i + 1, j)
        if j + 1 < width:
            yield (i, j), (i, j + 1)


# The objective.


def by_hand(z, c, a, prior):
    """The four terms of one problem, one product at a time."""
    outputs, m, height, width = z.shape
    cells = list(itertools.product(range(height), range(width)))
    z, c, a, prior = (each.tolist() for each in (z, c, a, prior))
    shown = sum(z[j][i][y][x] * c[i][y][x] for j in range(outputs) for i in range(m) for y, x in cells)
    unlike = sum(
        0.5 * (z[j][i][y][x] - z[j][i][v][u]) ** 2
        for j in range(outputs) for i in range(m) for (y, x), (v, u) in neighbours(height, width)
    )
    counts = [[sum(z[j][i][y][x] for y, x in cells) for i in range(m)] for j in range(outputs)]
    common = sum(
        counts[j][i] * a[i][k] * counts[other][k]
        for j in range(outputs) for other in range(outputs) if other != j for i in range(m) for k in range(m)
    )
    surprise = -sum(counts[j][i] * math.log(prior[i] + 1e-8) for j in range(outputs) for i in range(m))
    return shown, unlike, common, surprise


@given(
    m=st.integers(1, 4), outputs=st.integers(1, 3), size=st.sampled_from([(1, 1), (1, 3), (2, 2), (4, 4)]), seed=seeds
)
def test_the_objective_is_the_sum_of_its_terms_by_hand(m, outputs, size, seed):
    (c, a, prior), z = random_problem(2, m, size, seed), random_masks(2, outputs, m, size, seed + 1)
    terms = torch.tensor([by_hand(*each) for each in zip(z, c, a, prior)], dtype=torch.float64).T
    measured = unary(z, c), smoothness(z), overlap(z, a), prior_cost(z, prior)
    torch.testing.assert_close(torch.stack(measured), terms)
    shown, unlike, common, surprise = terms
    n = size[0] * size[1]
    for tau in (0.0, 0.4, 1e3):
        expected = shown + 0.3 / n * unlike + 2 / n * common.clamp(min=tau * n**2 * outputs) + 0.7 / n * surprise
        weights = {"beta": 0.3, "gamma": 2.0, "tau": tau, "eta": 0.7}
        torch.testing.assert_close(objective(z, c, a, prior=prior, **weights), expected)
        torch.testing.assert_close(objective(z, c, a, **weights), expected - 0.7 / n * surprise)


@given(seed=seeds)
def test_cells_of_one_input_differ_as_in_formula_1(seed):
    z = random_masks(1, 2, 3, (3, 4), seed, halves=False)[0]
    products = sum(1 - float(z[j, :, y, x] @ z[j, :, v, u]) for j in range(2) for (y, x), (v, u) in neighbours(3, 4))
    assert float(smoothness(z)) == products


def test_equal_blends_are_smooth_and_a_blend_softens_an_edge():
    blend = torch.full((1, 2, 2, 2), 0.5)
    assert float(smoothness(blend)) == 0
    hard = torch.tensor([[[[1.0, 1.0, 0.0]], [[0.0, 0.0, 1.0]]]])
    soft = torch.tensor([[[[1.0, 0.5, 0.0]], [[0.0, 0.5, 1.0]]]])
    assert float(smoothness(hard)) == 1 and float(smoothness(soft)) == 0.5


def test_overlap_is_counted_in_pairs_of_outputs():
    """The unit of τ: one is reached where outputs show all inputs alike, but for the pairs of an output with itself."""
    m, n = 5, 4
    alike = torch.full((m, m, 2, 2), 1 / m)
    assert float(overlap(alike, torch.eye(m))) == pytest.approx(n**2 * m * (1 - 1 / m))
    alone = torch.eye(m)[:, :, None, None].expand(m, m, 2, 2)
    assert float(overlap(alone, torch.eye(m))) == 0
    one = torch.zeros(m, m, 2, 2)
    one[:, 2] = 1
    assert float(overlap(one, torch.eye(m))) == n**2 * m * (m - 1)


@pytest.mark.parametrize("m, size", [(1, (4, 4)), (3, (8, 8)), (5, (9, 14)), (4, (3, 5))])
def test_compatibility_is_the_distance_of_the_best_windows(m, size):
    maps = torch.rand(2, m, *size, generator=seeded(m), dtype=torch.float64)
    high, wide = (max(1, side // 4) for side in size)
    for problem, measured in zip(maps, compatibility(maps, omega=0.25)):
        places = [
            max(itertools.product(range(size[0] - high + 1), range(size[1] - wide + 1)),
                key=lambda at: float(each[at[0] : at[0] + high, at[1] : at[1] + wide].sum()))
            for each in problem
        ]
        distances = np.array([[abs(y - v) + abs(x - u) for v, u in places] for y, x in places], dtype=float)
        if distances.sum():
            distances *= m / distances.sum()
        np.testing.assert_allclose(measured, 0.75 * np.eye(m) + 0.25 * distances)


def test_maps_without_a_place_of_their_own_are_no_further_apart():
    for maps in (torch.zeros(1, 3, 8, 8), torch.ones(1, 3, 8, 8)):
        assert torch.equal(compatibility(maps, omega=0.1)[0], 0.9 * torch.eye(3, dtype=torch.float64))


# The solver.


@given(m=st.integers(1, 6), outputs=st.integers(1, 5), tau=st.sampled_from([0.0, 0.3, 0.83, 2.0]), seed=seeds)
def test_no_step_raises_the_objective(m, outputs, tau, seed):
    (c, a, prior), start = random_problem(2, m, (4, 4), seed), random_masks(2, outputs, m, (4, 4), seed)
    before = objective(start, c, a, tau=tau, prior=prior)
    steps = 0
    for z in descend(start, c, a, tau=tau, prior=prior, sweeps=3, labels=3):
        after, steps = objective(z, c, a, tau=tau, prior=prior), steps + 1
        assert bool((after <= before + 1e-9).all())
        before = after
    assert steps == 3 * outputs


@modes
@given(m=st.integers(1, 6), outputs=st.integers(1, 5), seed=seeds)
def test_masks_are_halves_of_at_most_two_inputs(mode, m, outputs, seed):
    c, a, prior = random_problem(3, m, (4, 4), seed)
    z = solve(c, a, outputs=outputs, prior=prior, mode=mode, generator=seeded(seed))
    assert z.shape == (3, outputs, m, 4, 4) and z.dtype == torch.float64
    assert bool(((z == 0) | (z == 0.5) | (z == 1)).all())
    assert bool((z.sum(2) == 1).all()) and bool(((z > 0).sum(2) <= 2).all())


@pytest.mark.parametrize("m, size", [(3, (2, 2)), (2, (4, 4)), (4, (1, 3))])
def test_one_output_is_the_best_of_all_labellings(m, size):
    """It has nobody to overlap with. In the first sweep cells have one input."""
    c, a, prior = random_problem(5, m, size, 0)
    first, *_, last = (
        z.clone() for z in descend(random_masks(5, 1, m, size, 1), c, a, prior=prior, sweeps=3, labels=None)
    )
    all_of_them = every_mask(1, m, size, halves=False)
    for q in range(5):
        least = objective(all_of_them, c[q], a[q], prior=prior[q]).min()
        torch.testing.assert_close(objective(first[q], c[q], a[q], prior=prior[q]), least)
    assert bool((objective(last, c, a, prior=prior) <= objective(first, c, a, prior=prior) + 1e-9).all())


@pytest.mark.parametrize("seed", range(4))
def test_a_step_at_the_full_price_is_the_best_answer_to_the_others(seed):
    """At τ = 0 all overlap is paid for, and a first price of 4/(γn) >= 1 is the full one."""
    (c, a, prior), start = random_problem(3, 3, (2, 2), seed), random_masks(3, 2, 3, (2, 2), seed)
    weights = {"tau": 0.0, "gamma": 0.5, "prior": prior}
    z = next(descend(start, c, a, labels=None, **weights)).clone()
    for q in range(3):
        answers = start[q].repeat(3**4, 1, 1, 1, 1)
        answers[:, 0] = every_mask(1, 3, (2, 2), halves=False)[:, 0]
        values = objective(answers, c[q], a[q], **weights | {"prior": prior[q]})
        value = objective(z[q], c[q], a[q], **weights | {"prior": prior[q]})
        # The start may have halves, and then stay.
        assert float(value) == pytest.approx(min(float(values.min()), float(objective(
            start[q], c[q], a[q], **weights | {"prior": prior[q]}))))
        assert torch.equal(z[q, 1], start[q, 1])


@pytest.mark.parametrize("outputs, size", [(3, (1, 2)), (2, (2, 2)), (2, (1, 3))])
@pytest.mark.parametrize("tau", [0.2, 0.5, 0.8])
def test_the_best_of_several_starts_is_the_best_there_is(outputs, size, tau):
    m, starts = 3, 400
    halves = outputs * size[0] * size[1] < 8
    whole, blends = (every_mask(outputs, m, size, each) for each in (False, halves))
    reached = []
    for seed in range(6):
        c, a, prior = random_problem(1, m, size, seed)
        many = [each.expand(starts, *each.shape[1:]) for each in (c, a, prior)]
        z = solve(*many[:2], outputs=outputs, prior=many[2], tau=tau, sweeps=8, labels=None, generator=seeded(seed))
        values = objective(z, c, a, tau=tau, prior=prior)
        best = objective(whole, c, a, tau=tau, prior=prior).min()
        reached.append(bool(values.min() <= best + 1e-9))
        if halves:
            assert bool((values >= objective(blends, c, a, tau=tau, prior=prior).min() - 1e-9).all())
        without = values[(z != 0.5).flatten(1).all(1)]
        assert bool((without >= best - 1e-9).all()), "below the best, without a blend"
    assert all(reached)


def test_a_budget_is_kept_and_used():
    """Overlap beyond τ is paid for, and hardly ever worth it; less of it means fewer inputs an output."""
    c, a, prior = smooth_problem(3, 12, 0)
    used = {}
    for tau in (0.2, 0.5, 0.83):
        z = solve(c, a, tau=tau, prior=prior, sweeps=8, generator=seeded())
        part = overlap(z, a) / (16**2 * 12)
        assert bool((part < 1.01 * tau).all()) and bool((part > 0.6 * tau).all())
        used[tau] = float((z.sum((3, 4)) > 0).sum(2).double().mean())
    assert used[0.2] < used[0.5] - 1 < used[0.83] - 2


def test_the_solver_is_better_than_the_public_procedure_and_than_no_mixing():
    """By formula 1 with the units of the objective, over seeds."""
    gains = []
    for seed in range(3):
        c, a, prior = smooth_problem(2, 20, seed)
        value = {mode: objective(solve(c, a, prior=prior, mode=mode, generator=seeded(seed)), c, a, prior=prior)
                 for mode in ("paper", "official")}
        alone = torch.eye(20)[None, :, :, None, None].expand(2, 20, 20, 4, 4)
        random = objective(random_masks(2, 20, 20, (4, 4), seed, halves=False), c, a, prior=prior)
        unmixed = objective(alone, c, a, prior=prior)
        assert bool((value["official"] < unmixed).all()) and bool((unmixed < random).all())
        gains.append(value["official"] - value["paper"])
    assert float(torch.stack(gains).min()) > 0


def test_more_labels_and_sweeps_are_no_worse_on_the_whole():
    c, a, prior = smooth_problem(4, 16, 3)
    values = {}
    for labels, sweeps in ((1, 1), (1, 4), (3, 1), (3, 4), (5, 8)):
        z = solve(c, a, prior=prior, labels=labels, sweeps=sweeps, generator=seeded())
        values[labels, sweeps] = float(objective(z, c, a, prior=prior).mean())
    assert values[3, 4] < values[1, 4] < values[1, 1] and values[3, 4] < values[3, 1]
    assert values[5, 8] < values[3, 4] + 0.01 * abs(values[3, 4] - values[1, 1])


@modes
@given(seed=seeds)
def test_problems_of_a_batch_do_not_know_of_each_other(mode, seed):
    (c, a, prior), start = random_problem(3, 4, (4, 4), seed), random_masks(3, 4, 4, (4, 4), seed)
    together = solve(c, a, prior=prior, start=start, mode=mode)
    for q in range(3):
        own = slice(q, q + 1)
        assert torch.equal(together[own], solve(c[own], a[own], prior=prior[own], start=start[own], mode=mode))


@given(seed=seeds)
def test_numbering_inputs_anew_numbers_the_masks_anew(seed):
    m = 5
    (c, a, prior), start = random_problem(2, m, (4, 4), seed), random_masks(2, m, m, (4, 4), seed)
    order = torch.randperm(m, generator=seeded(seed))
    z = solve(c, a, prior=prior, start=start)
    again = solve(c[:, order], a[:, order][:, :, order], prior=prior[:, order], start=start[:, :, order])
    assert torch.equal(again, z[:, :, order])


def test_a_start_is_not_written_to_and_steps_are_one_tensor():
    (c, a, _), start = random_problem(1, 3, (2, 2), 0), random_masks(1, 3, 3, (2, 2), 0)
    kept, steps = start.clone(), list(descend(start, c, a))
    assert torch.equal(start, kept) and all(step is steps[0] for step in steps)
    assert not torch.equal(steps[0], start)


# The public code's procedure, written out for one problem, with a search of all labellings in place of graph cuts.


def official_by_hand(z, c, a, prior, beta, gamma, tau, eta, sweeps):
    outputs, m, height, width = z.shape
    n, edges = height * width, list(neighbours(height, width))
    cells = list(itertools.product(range(height), range(width)))
    masks, c, a, lam = (each.clone().numpy() for each in (z, c, a, prior))
    extra = np.zeros((outputs, m))
    for sweep in range(sweeps):
        if sweep > 0 and sweep == sweeps - 1:
            sets = [frozenset(np.flatnonzero(masks[j].sum((1, 2)))) for j in range(outputs)]
            for j in range(outputs):
                if sets[j] in sets[j + 1 :]:
                    extra[j, min(sets[j])] += gamma / n
                if sets[j] in sets[:j]:
                    extra[j, max(sets[j])] += gamma / n
        for j in range(outputs):
            counts = masks.sum((2, 3))
            rest = counts.sum(0) - counts[j]
            gate = a @ rest > tau * n
            charge = 2 * gamma / n * (a @ (gate * rest)) + extra[j]
            cost = c - eta / n * np.log(lam + 1e-8)[:, None, None] + charge[:, None, None]
            used = sorted(np.flatnonzero(counts[j]), key=lambda i: (-counts[j][i], cost[i].mean()))[:3]
            names = [(i,) for i in range(m)]
            names += list(itertools.combinations(used, 2)) if sweep else []

            def unlike(p, q):
                if p == q:
                    return 0.0
                return 0.25 if len(p) != len(q) and set(p) & set(q) else 1.0

            best = None
            for labelling in itertools.product(range(len(names)), repeat=n):
                at = dict(zip(cells, (names[label] for label in labelling)))
                value = sum(np.mean([cost[i][cell] for i in name]) for cell, name in at.items())
                value -= 5e-4 * sum(len(name) == 2 for name in at.values())
                value += beta / n * sum(unlike(at[first], at[second]) for first, second in edges)
                if best is None or value < best[0]:
                    best = value, at
            masks[j] = 0
            for (y, x), name in best[1].items():
                for i in name:
                    masks[j, i, y, x] += 1 / len(name)
    return masks


@pytest.mark.parametrize("spread, eta", [(1.0, 0.1), (0.005, 0.0)], ids=["peaks", "nearly uniform"])
@pytest.mark.parametrize("seed", range(6))
def test_official_is_what_the_public_code_does(seed, spread, eta):
    weights = {"beta": 0.3 * spread, "gamma": 0.2 * spread, "tau": 1.0, "eta": eta}
    c, a, prior = random_problem(1, 3, (2, 2), seed, spread)
    start = random_masks(1, 4, 3, (2, 2), seed, halves=False)
    z = solve(c, a, prior=prior, start=start, mode="official", labels=None, sweeps=3, **weights)
    assert np.array_equal(z[0], official_by_hand(start[0], c[0], a[0], prior[0], sweeps=3, **weights))


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"sweeps": 0}, "integer number of sweeps >= 1, received 0"),
        ({"sweeps": 1.5}, "integer number of sweeps >= 1, received 1.5"),
        ({"labels": 0}, "integer number of labels >= 1, or None, received 0"),
        ({"mode": "exact"}, r"a mode of \['official', 'paper'\], received 'exact'"),
        ({"beta": -1.0}, "finite number beta >= 0, received -1.0"),
        ({"tau": math.nan}, "finite number tau >= 0, received nan"),
        ({"prior": torch.ones(1, 4)}, r"prior of shape \(..., 3\), received \(1, 4\)"),
        ({"outputs": 0}, "positive integer number of outputs, received 0"),
        ({"generator": None}, "a generator for a random start, or masks to start from, received neither"),
        ({"start": torch.ones(1, 2, 4, 2, 2)}, r"received \(1, 2, 4, 2, 2\) and \(1, 3, 2, 2\)"),
    ],
)
def test_wrong_arguments_of_the_solver_are_named(settings, message):
    c, a, _ = random_problem(1, 3, (2, 2), 0)
    with pytest.raises(ValueError, match=message):
        solve(c, a, **{"generator": seeded(), **settings})


def test_shapes_that_do_not_fit_are_named():
    c, a, _ = random_problem(1, 3, (2, 2), 0)
    with pytest.raises(ValueError, match=r"A of shape \(..., m, m\), received \(1, 3, 2, 2\) and \(1, 2, 2\)"):
        objective(torch.ones(1, 1, 3, 2, 2), c, a[:, :2, :2])
    with pytest.raises(ValueError, match=r"masks of shape \(..., m', 3, 2, 2\), received \(1, 1, 2, 2, 2\)"):
        objective(torch.ones(1, 1, 2, 2, 2), c, a)
    with pytest.raises(ValueError, match=r"an omega in \[0, 1\], received 2"):
        compatibility(torch.ones(1, 2, 4, 4), omega=2)
    with pytest.raises(ValueError, match=r"saliency of shape \(..., m, H, W\), received \(4, 4\)"):
        compatibility(torch.ones(4, 4))
    with pytest.raises(ValueError, match="keep fewer labels"):
        solve(torch.full((1, 30, 4, 4), -1 / 16), torch.eye(30)[None], labels=None, sweeps=1, generator=seeded())


# The mixer.


def draw(mixer, batch, seed=0, size=(16, 12)):
    saliency = smooth_random_saliency(batch, size, generator=seeded(seed))
    return mixer.draw(torch.zeros(batch, 1, *size), saliency=saliency, generator=seeded(seed))


@modes
@given(batch=st.integers(1, 11), m_part=st.integers(1, 6), seed=seeds)
def test_every_batch_size_is_mixed_within_its_partitions(mode, batch, m_part, seed):
    mix = draw(CoMixup(m_part=m_part, mode=mode, sweeps=2), batch, seed)
    assert isinstance(mix.form, Soft) and mix.form.maps.shape == (batch, mix.k, 4, 4) and len(mix) == batch
    assert same_mix(mix, Mix(mix.sources, mix.form, mix.weights)), "what is drawn passes the checks"
    assert torch.equal(mix.sources // m_part, (torch.arange(batch) // m_part)[:, None].expand(-1, mix.k))
    assert torch.equal(mix.weights, mix.form.maps.mean((2, 3))) and torch.equal(mix.weights, mix.shares)
    maps = mix.form.maps
    assert bool(((maps == 0) | (maps == 0.5) | (maps == 1)).all()) and bool((maps.sum(1) == 1).all())
    assert bool((mix.shares.diff(dim=1) <= 0).all()) and bool((mix.shares[:, -1] > 0).any())
    for sources, shares in zip(mix.sources, mix.shares):
        shown = sources[shares > 0].tolist()
        assert len(set(shown)) == len(shown) and bool((sources[shares == 0] == sources[0]).all())


@modes
def test_the_mix_is_what_the_solver_finds(mode):
    mixer = CoMixup(m_part=5, tau=0.4, omega=0.2, alpha=0.7, beta=0.2, eta=0.3, mode=mode)
    images = torch.zeros(5, 1, 8, 8)
    saliency = smooth_random_saliency(5, (8, 8), generator=seeded(1))
    mix = mixer.draw(images, saliency=saliency, generator=seeded(2))
    generator = seeded(2)
    prior = priors.dirichlet(0.7, 1, k=5, generator=generator)
    z = solve(-block_saliency(saliency, 4)[None], compatibility(saliency[None], omega=0.2), prior=prior, tau=0.4,
              beta=0.2, eta=0.3, mode=mode, generator=generator)[0]
    shown = mix.apply(probe(5, (8, 8)))
    assert torch.equal(shown, z.to(torch.float32).repeat_interleave(2, 2).repeat_interleave(2, 3))
    torch.testing.assert_close(share_of_rows(mix), z.mean((2, 3)))


def test_salient_parts_are_seen():
    """More of the saliency of its inputs than a random cut of the same shares shows, which is their shares."""
    saliency = smooth_random_saliency(40, (16, 16), generator=seeded())
    parts = block_saliency(saliency, 4)
    for mode in ("paper", "official"):
        mix = CoMixup(mode=mode).draw(torch.zeros(40, 1, 16, 16), saliency=saliency, generator=seeded())
        seen = (mix.form.maps * parts[mix.sources]).sum((1, 2, 3))
        assert float(seen.mean()) > 1.3, "of 1, what a row of shares that sum to 1 would show"


@modes
def test_equal_images_stay_what_they_are(mode):
    images = torch.rand(1, 3, 8, 8, generator=seeded()).expand(7, 3, 8, 8).contiguous()
    saliency = smooth_random_saliency(1, (8, 8), generator=seeded()).expand(7, 8, 8).contiguous()
    mix = CoMixup(mode=mode).draw(images, saliency=saliency, generator=seeded())
    torch.testing.assert_close(mix.apply(images), images, rtol=0, atol=1e-6)


@modes
def test_uniform_and_zero_saliency_are_alike(mode):
    images, mixer = torch.zeros(6, 1, 8, 8), CoMixup(mode=mode)
    nothing, constant = (
        mixer.draw(images, saliency=torch.full((6, 8, 8), value), generator=seeded()) for value in (0.0, 3.0)
    )
    assert same_mix(nothing, constant) and bool((nothing.form.maps.sum(1) == 1).all())


@pytest.mark.parametrize("value", [math.nan, math.inf, -1.0])
def test_a_saliency_without_sense_is_an_error(value):
    saliency = torch.ones(3, 8, 8)
    saliency[1, 2, 3] = value
    with pytest.raises(ValueError, match="expected a finite, non-negative saliency"):
        CoMixup().draw(torch.zeros(3, 1, 8, 8), saliency=saliency, generator=seeded())


@given(size=st.sampled_from([(1, 1), (3, 9), (33, 20), (28, 28), (6, 64)]), seed=seeds)
def test_images_of_any_size_are_mixed(size, seed):
    mix = draw(CoMixup(m_part=3, sweeps=1), 4, seed, size)
    shown = mix.apply(probe(4, size))
    torch.testing.assert_close(shown.double().mean((2, 3)), share_of_rows(mix), rtol=0, atol=1e-6)


def test_alpha_zero_is_erm():
    mix = draw(CoMixup(alpha=0), 5)
    assert torch.equal(mix.sources, torch.arange(5)[:, None]) and isinstance(mix.form, Soft) and mix.anchored
    images = torch.randn(5, 1, 16, 12, generator=seeded())
    assert torch.equal(mix.apply(images), images)


@modes
def test_one_generator_gives_one_mix_and_no_global_random_state_moves(mode):
    mixer = CoMixup(mode=mode, m_part=4)
    with unchanged_global_rng():
        assert same_mix(draw(mixer, 10, 3), draw(mixer, 10, 3))
    assert not same_mix(draw(mixer, 10, 3), draw(mixer, 10, 4))


def test_prior_and_start_are_drawn_anew_for_every_partition():
    """Two partitions of the same saliencies are not mixed alike."""
    saliency = smooth_random_saliency(6, (8, 8), generator=seeded()).repeat(2, 1, 1)
    mix = CoMixup(m_part=6).draw(torch.zeros(12, 1, 8, 8), saliency=saliency, generator=seeded())
    shares = share_of_rows(mix)
    assert not torch.equal(shares[:6, :6], shares[6:, 6:])


def test_the_prior_draws_an_output_to_its_inputs():
    """With one likely input and a strong prior, the outputs are that one: overlap is free here."""
    c, a, _ = random_problem(1, 4, (4, 4), 0)
    prior = torch.tensor([[0.01, 0.97, 0.01, 0.01]], dtype=torch.float64)
    z = solve(c, a, prior=prior, eta=5.0, tau=10.0, generator=seeded())
    assert bool((z[:, :, 1] == 1).all())


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"m_part": 0}, "integer number of rows m_part >= 1, received 0"),
        ({"m_part": 2.5}, "integer number of rows m_part >= 1, received 2.5"),
        ({"omega": 1.5}, r"an omega in \[0, 1\], received 1.5"),
        ({"omega": True}, r"an omega in \[0, 1\], received True"),
        ({"tau": -0.1}, "finite number tau >= 0, received -0.1"),
        ({"beta": "1"}, "finite number beta >= 0, received '1'"),
        ({"eta": math.inf}, "finite number eta >= 0, received inf"),
        ({"gamma": None}, "finite number gamma >= 0, received None"),
        ({"sweeps": 0}, "number of sweeps >= 1, received 0"),
        ({"labels": True}, "number of labels >= 1, or None, received True"),
        ({"mode": None}, r"a mode of \['official', 'paper'\], received None"),
        ({"alpha": -1}, "finite concentration alpha >= 0, received -1"),
    ],
)
def test_wrong_settings_are_named(settings, message):
    with pytest.raises(ValueError, match=message):
        CoMixup(**settings)


def test_settings_are_plain_data():
    mixer = CoMixup(tau=0.5, mode="paper", labels=None)
    assert from_config(json.loads(json.dumps(to_config(mixer)))) == mixer
    assert to_config(CoMixup()) == {"name": "comixup"}


def test_what_is_mixed_without_a_mode_is_the_published_procedure():
    assert CoMixup() == CoMixup(mode="official")
    assert same_mix(draw(CoMixup(), 8), draw(CoMixup(mode="official"), 8))
    assert not same_mix(draw(CoMixup(), 8), draw(CoMixup(mode="paper"), 8))


@pytest.mark.gpu
@modes
def test_an_accelerator_finds_what_a_cpu_finds(mode):
    images = torch.zeros(50, 1, 16, 16)
    saliency = smooth_random_saliency(50, (16, 16), generator=seeded())
    here = CoMixup(mode=mode).draw(images, saliency=saliency, generator=seeded(1))
    there = CoMixup(mode=mode).draw(images.cuda(), saliency=saliency.cuda(), generator=seeded(1))
    assert there.sources.is_cuda and same_mix(here, there.to("cpu"))

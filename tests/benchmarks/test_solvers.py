"""The benchmark of solvers: what mixlab's are compared with does what it says, and the figures are what they claim."""

import importlib
import importlib.util
import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from oracle import seeded

from mixlab.mixers.puzzlemix import best_masks, border_differences, energy
from mixlab.saliency import block_saliency, smooth_random_saliency

FOLDER = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def load(monkeypatch):
    """A module of the folder, which is no package."""
    monkeypatch.syspath_prepend(FOLDER)
    return importlib.import_module


def cell_by_cell(unary, table, vertical, horizontal):
    """Stands in for alpha-beta swap, and is exact where edges weigh nothing."""
    assert table.shape == (unary.shape[2],) * 2 and (table == table.T).all() and not np.diag(table).any()
    assert vertical.shape == (unary.shape[0] - 1, unary.shape[1]) and not vertical.any()
    assert horizontal.shape == (unary.shape[0], unary.shape[1] - 1) and not horizontal.any()
    return unary.argmin(2).ravel()


def pictures(seed=0, batch=6, size=16):
    generator = seeded(seed)
    images = torch.rand(batch, 3, size, size, generator=generator)
    saliency = smooth_random_saliency(batch, (size, size), generator=generator)
    return images, saliency, torch.randperm(batch, generator=generator), generator


@pytest.mark.parametrize("blocks", [2, 4, 8])
def test_swap_is_given_the_energy_of_puzzle_mix(load, blocks):
    images, saliency, partners, generator = pictures()
    weights = {"beta": 3.0, "gamma": 0.7, "eta": 0.4}
    unary, vertical, horizontal = load("swap.puzzlemix").terms(images, saliency, partners, 0.3, blocks, **weights)
    own = block_saliency(saliency, blocks)
    borders = border_differences(images, images[partners], blocks)
    offsets = []
    for _ in range(5):
        labels = torch.randint(3, (6, blocks, blocks), generator=generator)
        z = labels.double() / 2
        cost = unary.gather(3, labels[..., None]).double().sum((1, 2, 3))
        cost += (vertical * z.diff(dim=1).square()).sum((1, 2)) + (horizontal * z.diff(dim=2).square()).sum((1, 2))
        offsets.append(cost - energy(z, own, own[partners], lam=0.3, borders=borders, **weights))
    # Both have left out what no mask changes: they differ by one number for each pair of images.
    torch.testing.assert_close(torch.stack(offsets), offsets[0].expand(5, 6), atol=1e-5, rtol=0)
    assert (vertical > 0).all() and (horizontal > 0).all()


@pytest.mark.parametrize("blocks", [2, 4])
def test_masks_of_puzzle_mix_where_edges_weigh_nothing(load, blocks):
    images, saliency, partners, _ = pictures(1)
    z = load("swap.puzzlemix").masks(images, saliency, partners, 0.6, blocks, cell_by_cell, beta=0.0)
    own = block_saliency(saliency, blocks)
    least = best_masks(own, own[partners], lam=0.6, beta=0.0)
    found, best = (energy(each, own, own[partners], lam=0.6, beta=0.0) for each in (z, least))
    assert z.unique().tolist() == [0, 0.5, 1]
    # A unary is cut off to a whole number of 1 / 1000 n.
    assert (found >= best - 1e-9).all() and (found <= best + 2e-3).all()


def test_greedy_transport_by_hand(load):
    """Only the first place is seen, and the last block is worth most there. The first one gives way, and asks for the
    second place next, whose own block is cheaper: after two rounds it has none, and the last place is empty."""
    swap = load("swap.puzzlemix")
    seen, saliency = torch.tensor([[[0.5, 0.0], [0.0, 0.0]]]), torch.tensor([[[0.1, 0.2], [0.3, 0.4]]])
    plan = torch.tensor([[[0, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [1, 0, 0, 0]]]).bool()
    assert torch.equal(swap.plans(seen, saliency, xi=0.01), plan)
    assert torch.equal(swap.plans(seen, saliency, xi=1e3), torch.eye(4).bool()[None])


@pytest.mark.parametrize("blocks", [4, 8, 16])
def test_greedy_transport_is_a_plan_whichever_way_it_is_written(load, blocks):
    swap, generator = load("swap.puzzlemix"), seeded(blocks)
    maps = smooth_random_saliency(5, (16, 16), generator=generator) * torch.randn(5, 16, 16, generator=generator).exp()
    saliency = block_saliency(maps, blocks)
    mask = torch.randint(3, (5, blocks, blocks), generator=generator) / 2
    plan = swap.plans(mask, saliency, xi=0.2)
    assert torch.equal(plan, swap.plans_by_index(mask, saliency, xi=0.2))
    assert plan.sum(1).max() == plan.sum(2).max() == 1 and (plan & ~torch.eye(blocks**2).bool()).any()


def test_the_gate_of_co_mixup_keeps_outputs_apart(load):
    solve = load("swap.comixup").solve
    alike, start = np.full((2, 16), -1 / 16), np.zeros((2, 16), dtype=int)
    apart = solve(alike, np.eye(2), start, cell_by_cell, beta=0.0, tau=0.9, sweeps=1)
    assert (apart[0] == [0, 1]).all() and (apart[1] == [1, 0]).all()
    together = solve(alike, np.eye(2), start, cell_by_cell, beta=0.0, tau=1.1, sweeps=1)
    assert (together == [1, 0]).all()


def test_twins_of_co_mixup_are_told_apart_in_the_last_sweep(load):
    solve = load("swap.comixup").solve
    left = np.tile([1.0, 1.0, 0.0, 0.0], 4)
    unary = -0.01 * np.stack([left, 1 - left])
    start = np.random.default_rng(0).integers(2, size=(2, 16))

    def solved(sweeps):
        return solve(unary, np.eye(2), start, cell_by_cell, beta=0.0, tau=1e3, sweeps=sweeps)

    best = np.stack([left, 1 - left], axis=1)
    assert (solved(1) == best).all()
    last = solved(2)
    assert (last[0] == [0, 1]).all() and (last[1] == [1, 0]).all()


def test_halves_of_co_mixup_are_of_inputs_in_use_and_come_in_the_second_sweep(load):
    solve, generator = load("swap.comixup").solve, np.random.default_rng(0)
    unary = -generator.dirichlet(np.ones(16), size=5)
    unary[:2, :3] = -0.5
    unary[3] = 0
    start = generator.integers(2, size=(1, 16))
    once, twice = (solve(unary, np.eye(5), start, cell_by_cell, beta=0.0, sweeps=sweeps) for sweeps in (1, 2))
    assert set(np.unique(once)) == {0, 1} and set(np.unique(twice)) == {0, 0.5, 1}
    # The bonus decides between halves of equal parts and one of them.
    assert (twice[0, :3] == [0.5, 0.5, 0, 0, 0]).all()
    for masks in (once, twice):
        assert (masks.sum(2) == 1).all() and ((masks > 0).sum(2) <= 2).all() and not masks[..., 3].any()


def test_compatibility_is_that_of_mixlab(load):
    from mixlab.mixers.comixup import compatibility

    saliency = smooth_random_saliency(7, (32, 32), generator=seeded())
    np.testing.assert_allclose(load("swap.comixup").compatibility(saliency, 0.1), compatibility(saliency, omega=0.1))


def test_co_mixup_stops_when_nothing_changes(load):
    calls = []

    def counted(*energy):
        calls.append(1)
        return cell_by_cell(*energy)

    unary, start = -np.random.default_rng(0).dirichlet(np.ones(16), size=5), np.zeros((1, 16), dtype=int)
    solve = load("swap.comixup").solve
    stopped = solve(unary, np.eye(5), start, counted, beta=0.0, sweeps=50)
    # Nothing can be compared before the second sweep, which may find halves, and a last one finds nothing new.
    assert 2 <= len(calls) < 10
    before = solve(unary, np.eye(5), start, cell_by_cell, beta=0.0, sweeps=len(calls) - 1)
    np.testing.assert_array_equal(stopped, before)


def test_a_partial_plan_is_completed_by_the_shortest_ways(load):
    plan = torch.zeros(2, 9, 9, dtype=torch.bool)
    plan[:, range(3, 9), range(3, 9)] = True
    plan[0, 3, 3], plan[0, 3, 0] = False, True  # block 3 goes to place 0; blocks 0, 1, 2 and places 1, 2, 3 are left
    shown = load("solvers").completed(plan)
    assert shown.tolist() == [[3, 1, 2, 0, 4, 5, 6, 7, 8], list(range(9))]


def test_a_row_is_what_its_numbers_come_to(load):
    solvers = load("solvers")
    row = solvers.row(([3.0, 1.0, 2.0], [8.0, 4.0, 5.0]), ([torch.tensor([1, 2, 4.0])], [torch.tensor([1.5, 2, 3])]))
    assert row[:3] == (2.0, 5.0, 0.4) and row[5:] == (1, 1, 3)
    assert row.value == pytest.approx(7 / 3) and row.other_value == pytest.approx(6.5 / 3)
    name = "Puzzle Mix masks, 2 blocks"
    assert solvers.verdict(name, row) == "1 missed"  # fast enough, and worse
    assert solvers.verdict(name, row._replace(other_value=row.value)) == "1 met"
    assert solvers.verdict(name, row._replace(ratio=1.01, other_value=3.0)) == "1 missed"
    alone = solvers.row(([3.0, 1.0, 2.0], []), ([torch.tensor([1.0, 2.0, 4.0])], []))
    assert alone.ours == 2 and math.isnan(alone.ratio) and solvers.verdict(name, alone) == ""


def test_both_sides_take_turns_on_every_seed_but_the_first_round_does_not_count(load):
    solvers, calls = load("solvers"), []

    def contests(seed):
        def side(name, result):
            return lambda: calls.append((seed, name)) or result

        def value(result):
            return torch.tensor([float(result)])

        return {"a": solvers.Contest(side("ours", 10 + seed), side("theirs", 20 + seed), value, value)}

    row = solvers.measure(contests, 2)["a"]
    assert [seed for seed, _ in calls] == [0, 0, 0, 0, 1, 1]
    assert {tuple(name for _, name in calls[at : at + 2]) for at in (2, 4)} == {("ours", "theirs"), ("theirs", "ours")}
    assert row.of == 2 and (row.value, row.other_value, row.worse) == (10.5, 20.5, 2)


def test_every_aim_is_that_of_a_row_and_no_exact_solver_is_beaten(load):
    solvers = load("solvers")
    given = solvers.instance(0, "heavy", 6, 32)
    contests = {f"Puzzle Mix masks, {b} blocks": solvers.mask_contest(given, b, cell_by_cell) for b in solvers.BLOCKS}
    contests |= solvers.transport_contests(given, 16) | solvers.batch_contests(given, cell_by_cell)
    assert set(solvers.AIMS) <= set(contests)
    contest = contests["Puzzle Mix transport, 16 blocks"]
    best, greedy = contest.value(contest.ours()), contest.value_of_theirs(contest.theirs())
    assert best.shape == (6,) and (greedy >= best - 1e-9).all() and (greedy > best + 1e-6).any()


@pytest.mark.parametrize("hidden", [True, False])
def test_the_benchmark_prints_its_tables_and_says_what_it_skips(hidden):
    """In a process of its own: gco changes numpy for the whole process. Hidden, or there where it is installed."""
    hiding = "sys.modules['gco'] = None" if hidden else "pass"
    script = f"import runpy, sys; {hiding}; runpy.run_path(sys.argv.pop(1), run_name='__main__')"
    command = [sys.executable, "-c", script, FOLDER / "solvers.py"]
    options = ["--seeds", "1", "--batch", "4", "--steps", "1", "--tail", "heavy"]
    environment = os.environ | {"PYTHONPATH": str(FOLDER)}
    done = subprocess.run([*command, *options], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    printed = done.stdout
    swap_is_there = not hidden and importlib.util.find_spec("gco") is not None
    assert ("gco-wrapper is not installed" in printed) != swap_is_there
    first, second = printed.split("step with saliency")
    rows = [line for line in first.splitlines() if line.startswith(("Puzzle Mix masks", "Co-Mixup  "))]
    assert len(rows) == 5
    for line in rows:
        assert ("met" in line or "missed" in line) == swap_is_there and ("-" in line[40:].split()) != swap_is_there
    parts = [line.split()[-1] for line in second.splitlines()[1:]]
    assert len(parts) == 6 and all(0 < float(part.removesuffix("%")) < 100 for part in parts)

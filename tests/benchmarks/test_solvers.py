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

from mixlab.mixers import SuperMix
from mixlab.mixers.puzzlemix import best_masks, border_differences, energy
from mixlab.mixers.supermix import masks_of, objective, soft_target
from mixlab.models import Teacher
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


def linear_teacher(seed=0, rows=24, classes=5, size=12):
    """A teacher that adds up pixels, and images of which its answers are about as far apart as the images."""
    generator = seeded(seed)
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(size * size, classes))
    network[1].weight.data.normal_(std=3 / size, generator=generator)
    network[1].bias.data.zero_()
    return Teacher(network), torch.randn(rows, 1, size, size, generator=generator)


class Counted:
    """A network, and how many images went through it in every pass."""

    def __init__(self, network):
        self.network, self.passes = network, []

    def __call__(self, images):
        self.passes.append(len(images))
        return self.network(images)


def test_the_released_filter_and_its_neighbours(load):
    released = load("supermix.released")
    assert released.KERNEL.numpy().round(3).tolist() == pytest.approx([0.054, 0.244, 0.403, 0.244, 0.054])
    assert released.neighbours(3, 2).tolist() == [[0, 1], [1, 2], [2, 0]]


@pytest.mark.parametrize("k, side", [(2, 8), (3, 5)])
def test_a_step_of_the_released_loop_pixel_by_pixel(load, k, side):
    """Against mixlab's masks and objective, and a filter that is a loop over cells, with nothing beyond the border."""
    released, (teacher, images) = load("supermix.released"), linear_teacher()
    ratios = torch.distributions.Dirichlet(torch.ones(k)).sample((len(images),)).to(torch.float32)
    sources = released.neighbours(len(images), k)
    found = released.solve(teacher, images, ratios, side=side, max_iter=1)
    logits = torch.zeros(len(images), k, side, side, requires_grad=True)
    masks, parts = masks_of(logits, (12, 12)), images[sources]
    target = soft_target(ratios, teacher(images).argmax(1)[sources], 5)
    loss = objective(masks, teacher((masks[:, :, None] * parts).sum(1)), target, sparsity=25.0)
    (gradient,) = torch.autograd.grad(loss.sum(), logits)
    smooth = torch.zeros_like(gradient)
    for row in range(side):
        for column in range(side):
            for down in range(max(row - 2, 0), min(row + 3, side)):
                for right in range(max(column - 2, 0), min(column + 3, side)):
                    weight = released.KERNEL[down - row + 2] * released.KERNEL[right - column + 2]
                    smooth[..., row, column] += weight * gradient[..., down, right]
    length = (loss / (gradient * smooth).sum((1, 2, 3))).clamp(1e-4, 2000)
    expected = masks_of(-length.view(-1, 1, 1, 1).detach() * smooth, (12, 12))
    torch.testing.assert_close(found.masks, expected, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(found.images, (expected[:, :, None] * parts).sum(1), rtol=1e-4, atol=1e-5)
    assert found.iterations == 1 and (found.masks - 1 / k).abs().max() > 0.1


def test_the_released_loop_pays_for_the_whole_batch_until_few_enough_are_left(load):
    released, (teacher, images) = load("supermix.released"), linear_teacher()
    ratios = torch.full((24, 2), 0.5)
    kept = {}
    for most in range(1, 13):
        network = Counted(teacher)
        found = released.solve(network, images, ratios, tolerance=0.0, max_iter=most)
        kept[most] = found
        assert network.passes == [24] * (1 + 2 * found.iterations)
    shares = [found.success.float().mean().item() for found in kept.values()]
    assert shares == sorted(shares) and shares[0] < shares[-1] < 1
    # What is done stands still.
    early = kept[1].success
    assert torch.equal(kept[1].masks[early], kept[12].masks[early])
    assert not torch.equal(kept[1].masks[~early], kept[12].masks[~early])
    for tolerance in (0.7, 0.6, 0.5):
        found = released.solve(teacher, images, ratios, tolerance=tolerance, max_iter=12)
        first = next(most for most, each in kept.items() if (~each.success).sum() <= tolerance * 24 or most == 12)
        assert found.iterations == first and torch.equal(found.success, kept[first].success)
    # Done are those whose classes are the two that the teacher is surest of. Of two images of one class only the first
    # of them is asked for, and any other class.
    classes, success = teacher(images).argmax(1)[released.neighbours(24, 2)], kept[12].success
    distinct = classes[:, 0] != classes[:, 1]
    best = teacher(kept[12].images).topk(2).indices.sort(1).values
    assert (distinct & success).any() and (~distinct).any()
    assert (best == classes.sort(1).values).all(1)[distinct & success].all()


def test_an_arm_goes_as_far_as_a_count_asks(load):
    supermix, (teacher, images) = load("supermix"), linear_teacher()
    arms = supermix.arms(teacher, 10.0, (12, 30))
    assert len(arms) == 6 and list(arms)[0] == supermix.OURS
    for name, arm in arms.items():
        usual = arm.run(images, 0, arm.usual)
        assert 0 < usual.kept <= 24, name
        for count, limit in zip((3, 12, 25), arm.limits(images, 0, [3, 12, 25]), strict=True):
            found = arm.run(images, 0, limit)
            assert (found.kept >= count) == (count < 25), name
            if not name.startswith(supermix.RELEASED) and 1 < limit < arm.usual:
                assert arm.run(images, 0, limit - 1).kept < count, name


def test_mixlab_s_rows_pay_until_they_are_done(load):
    supermix, (teacher, images) = load("supermix"), linear_teacher()
    solution = SuperMix(teacher, max_iter=12).solve(images, generator=supermix.generator(3))
    found = supermix.mixlab_arm(SuperMix(teacher, max_iter=12)).run(images, 3, 12)
    assert found.kept == solution.success.sum() and found.iterations == solution.iterations.sum() < 12 * 24
    masks = solution.mix.masks()[solution.success]
    assert found.blending / found.kept == pytest.approx((masks * (1 - masks)).mean().item())
    # On mixlab's pairs the released loop has the same partners and ratios: of distinct classes, so more can be kept.
    peers = [supermix.released_arm(teacher, 30, distinct).run(images, 3, 0.0) for distinct in (False, True)]
    assert peers[1].kept >= peers[0].kept and all(peer.iterations == 30 * 24 for peer in peers)


def test_a_row_of_supermix_is_what_its_batches_come_to(load):
    supermix = load("supermix")
    row = supermix.row([(30.0, 10, True, 4, 20, 0.4), (90.0, 10, True, 6, 40, 1.6)])
    assert row == (0.5, 6.0, 12.0, 0.2, True)
    none = supermix.row([(30.0, 10, True, 0, 20, 0.0), (90.0, 10, False, 0, 40, 0.0)])
    assert none.kept == 0 and math.isnan(none.milliseconds) and not none.reached
    slower, short = row._replace(milliseconds=36.0), row._replace(milliseconds=48.0, reached=False)
    assert supermix.verdict(row, slower) == "0.33 met" and supermix.verdict(slower, row) == "3.00 missed"
    assert supermix.verdict(row, short) == "0.25 met"  # the peer keeps fewer, and still takes longer
    assert supermix.verdict(short, slower) == supermix.verdict(row, none) == "-"


def test_arms_meet_on_the_same_batches_and_a_goal_is_what_ours_keeps(load):
    supermix, (teacher, images) = load("supermix"), linear_teacher(rows=48)
    calls = []

    def arm(name, keeps, usual):
        def run(batch, seed, limit):
            calls.append((seed, name, limit))
            return supermix.Mixed(min(limit, keeps), 2 * limit, 0.0)

        return supermix.Arm(run, usual, lambda batch, seed, counts: counts)

    found = supermix.measure({supermix.OURS: arm("ours", 20, 24), "peer": arm("theirs", 15, 8)}, images.split(24))
    assert {name: {goal: row.kept * 24 for goal, row in goals.items()} for name, goals in found.items()} == {
        supermix.OURS: {"as they are": 20, "to 30%": 8, "to 50%": 12, "to 70%": 17, "as ours": 20},
        "peer": {"as they are": 8, "to 30%": 8, "to 50%": 12, "to 70%": 15, "as ours": 15}}
    reached = {name: [row.reached for row in goals.values()] for name, goals in found.items()}
    assert reached == {supermix.OURS: [True] * 5, "peer": [True] * 3 + [False] * 2}
    # Once for the count, then each goal once: the peer's first two are one run. The second batch goes backwards.
    first, second = ([call[1:] for call in calls if call[0] == seed][1:] for seed in (0, 1))
    assert len(first) == 5 + 4 and second == first[::-1]


def test_the_benchmark_of_supermix_prints_a_line_for_every_arm(load, capsys, monkeypatch):
    supermix = load("supermix")
    monkeypatch.setattr(sys, "argv", ["solvers.py", "--quick", "--part", "supermix"])
    load("solvers").main()
    _, _, title, head, *lines = capsys.readouterr().out.splitlines()
    assert "digits" in title and head.split() == [
        "kept", "m(1-m)", "iterations", "ms", "to", "30%", "to", "50%", "to", "70%", "as", "ours"]
    *rows, aim, plain, paired = lines
    assert len(rows) in (5, 6) and [line[:20].strip() for line in (rows[0], rows[-1])] == [
        supermix.OURS, "released loop, our p"]
    assert all(len(line[32:].split()) == 8 for line in rows) and "aim 0.33" in aim
    error = float(title.split("error ")[1].split("%")[0])
    kept = [float(line[32:].split()[0].removesuffix("%")) for line in rows]
    assert error < 20 and min(kept) > 0
    for line in (plain, paired):
        assert line.startswith(supermix.RELEASED) and line.count(",") >= 4


@pytest.mark.parametrize("hidden", [True, False])
def test_the_benchmark_prints_its_tables_and_says_what_it_skips(hidden):
    """In a process of its own: gco changes numpy for the whole process. Hidden, or there where it is installed."""
    hiding = "sys.modules['gco'] = None" if hidden else "pass"
    script = f"import runpy, sys; {hiding}; runpy.run_path(sys.argv.pop(1), run_name='__main__')"
    command = [sys.executable, "-c", script, FOLDER / "solvers.py"]
    options = ["--quick", "--tail", "heavy", "--part", "maps", "--part", "steps"]
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

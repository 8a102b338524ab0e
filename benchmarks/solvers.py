"""What the solvers of Puzzle Mix, Co-Mixup and SuperMix cost and reach, beside their peers and beside a training step.

    python benchmarks/solvers.py                    all rows, twenty seeds: some minutes
    python benchmarks/solvers.py --seeds 3          a quick look at Puzzle Mix and Co-Mixup
    python benchmarks/solvers.py --part supermix    SuperMix alone: some minutes more

Both sides get the same numbers: a batch of pictures of shapes, a saliency of random maps, partners or places to begin
with, and λ, from one seed. The maps are smooth, or heavy-tailed: smooth maps times log-normal pixels, so that a few
pixels hold much of an image. A solver's time goes from there to masks (or plans), on one thread, in the settings that
the papers have for CIFAR. It is CPU time of the process, for a machine that is busy with something else stretches the
clock but hardly that. The sides take turns, each going first at every second seed; the ratio is that of their medians.

The peer is alpha-beta swap (one output, or one image, after the other), and the greedy rounds for transport: once as
matrices of blocks and places, as in the public code, and once by index, which is how those rounds would be written for
speed. Time alone would reward a bad solver, so the objective stands beside it: mixlab's, one function for both sides,
averaged over all seeds, and on how many of the images (or parts of a batch) the peer is worse or better than mixlab.
(In Co-Mixup's value is γ τ n m' = 265.6 for the overlap that is free, whatever the masks.)

Swap needs ``gco-wrapper``, which mixlab does not depend on (`pip install gco-wrapper`; there are wheels for Python 3.11
and older). Without it those rows have mixlab's side alone.

The part "steps" is what a user feels: the part that drawing takes of a training step with saliency and clean loss.

The part "supermix" says what an image costs that SuperMix keeps; the folder `supermix` has it, and says how.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import supermix
import torch
import torch.nn.functional as F
from scipy.optimize import linear_sum_assignment
from swap import Swap, comixup, minimiser, puzzlemix
from torch import Tensor
from tqdm import tqdm

from mixlab.data.shapes import CLASSES, draw_shapes
from mixlab.mixers import CoMixup, CutMix, PuzzleMix
from mixlab.mixers.base import draw_shares
from mixlab.mixers.comixup import compatibility, objective, solve
from mixlab.mixers.puzzlemix import best_masks, best_plans, border_differences, energy
from mixlab.models import build
from mixlab.risk import SaliencyRisk
from mixlab.saliency import block_saliency, smooth_random_saliency

PARTS = ("maps", "steps", "supermix")
TAILS = ("smooth", "heavy")
BLOCKS = (2, 4, 8, 16)
MOVED = (8, 16)
PART = 20

#: The most that a ratio of times should be. No aim is met at a worse objective.
AIMS = {
    **{f"Puzzle Mix masks, {blocks} blocks": 1.0 for blocks in (2, 4, 8)},
    "Puzzle Mix masks, 16 blocks": 3.0,
    "Puzzle Mix transport, 16 blocks": 0.1,
    "Co-Mixup": 0.35,
}


class Instance(NamedTuple):
    """What both sides are given."""

    images: Tensor  #: (B, 3, S, S) in [0, 1]
    saliency: Tensor  #: (B, S, S)
    partners: Tensor  #: (B,)
    lam: float
    generator: torch.Generator


class Contest(NamedTuple):
    """One row: two solvers of the same problem, and what the results are worth, ``(N,)`` each, lower is better."""

    ours: Callable[[], Any]
    theirs: Callable[[], Any] | None
    value: Callable[[Any], Tensor]
    value_of_theirs: Callable[[Any], Tensor]


class Row(NamedTuple):
    """What came out of a contest; the numbers of the other side are NaN where it did not run."""

    ours: float  #: median milliseconds
    theirs: float
    ratio: float
    value: float  #: mean objective
    other_value: float
    worse: int  #: images, or parts of a batch, on which the other side is worse
    better: int
    of: int


def instance(seed: int, tail: str, batch: int, size: int) -> Instance:
    """A batch, from its seed."""
    generator = torch.Generator().manual_seed(seed)
    images = draw_shapes(batch, size, generator).images.float() / 255
    saliency = smooth_random_saliency(batch, (size, size), generator=generator)
    if tail == "heavy":
        saliency = saliency * torch.randn(saliency.shape, generator=generator).mul(2).exp()
    partners = torch.randperm(batch, generator=generator)
    return Instance(images, saliency, partners, float(torch.rand((), generator=generator)), generator)


def mask_contest(given: Instance, blocks: int, swap: Swap | None) -> Contest:
    """Puzzle Mix's masks of a batch, from pixels on."""
    images, saliency, partners, lam, _ = given

    def posed():
        own = block_saliency(saliency, blocks)
        borders = border_differences(images, images[partners], blocks)
        return (own, own[partners]), {"lam": lam, "borders": borders}

    def ours():
        maps, settings = posed()
        return best_masks(*maps, **settings)

    def value(z):
        maps, settings = posed()
        return energy(z, *maps, **settings)

    theirs = swap and (lambda: puzzlemix.masks(images, saliency, partners, lam, blocks, swap))
    return Contest(ours, theirs, value, value)


def transport_contests(given: Instance, blocks: int) -> dict[str, Contest]:
    """Both slots' plans for the best masks, against the greedy rounds as matrices and by index."""
    images, saliency, partners, lam, _ = given
    own = block_saliency(saliency, blocks)
    other = own[partners]
    borders = border_differences(images, images[partners], blocks)
    z = best_masks(own, other, lam=lam, borders=borders)

    def value(plans):
        return energy(z, own, other, plans, lam=lam, borders=borders)

    def greedy(rounds):
        return lambda: (rounds(1 - z, own), rounds(z, other))

    def contest(rounds):
        return Contest(lambda: best_plans(z, own, other), greedy(rounds), value,
                       lambda plans: value(torch.stack([*map(completed, plans)], dim=1)))

    name = f"Puzzle Mix transport, {blocks} blocks"
    return {name: contest(puzzlemix.plans), f"{name}, by index": contest(puzzlemix.plans_by_index)}


def completed(plan: Tensor) -> Tensor:
    """Which block every place shows, ``(B, n)``: blocks that moved nowhere go the shortest ways to the empty places."""
    count = plan.shape[1]
    rows, columns = np.divmod(np.arange(count), int(count**0.5))
    ways = (rows[:, None] - rows) ** 2 + (columns[:, None] - columns) ** 2
    shown = np.empty(plan.shape[:2], dtype=np.int64)
    for place, moved in zip(shown, plan.numpy(), strict=True):
        block, to = np.nonzero(moved)
        place[to] = block
        idle, empty = np.flatnonzero(~moved.any(1)), np.flatnonzero(~moved.any(0))
        left, found = linear_sum_assignment(ways[np.ix_(idle, empty)])
        place[empty[found]] = idle[left]
    return torch.from_numpy(shown)


def batch_contests(given: Instance, swap: Swap | None) -> dict[str, Contest]:
    """Co-Mixup's masks of all parts of a batch, from saliency on; values are those of formula 1, a part each."""
    m = min(PART, len(given.saliency))
    saliency = given.saliency[: len(given.saliency) // m * m]
    parts = saliency.unflatten(0, (-1, m))
    prior = draw_shares(2.0, len(parts), m, given.generator)
    start = torch.randint(m, (len(parts), m, comixup.CELLS), generator=given.generator)

    def posed():
        return -block_saliency(saliency, comixup.SIDE).unflatten(0, (-1, m)), compatibility(parts)

    def ours(mixer):
        masks = F.one_hot(start, m).mT.unflatten(3, (comixup.SIDE, comixup.SIDE))
        effort = {"sweeps": mixer.sweeps, "labels": mixer.labels, "mode": mixer.mode}
        return solve(*posed(), start=masks, prior=prior, **effort)

    def theirs():
        tilt = -0.05 / comixup.CELLS * np.log(prior.double().numpy() + 1e-8)
        solved = [
            comixup.solve(comixup.unaries(part) + own_tilt[:, None], comixup.compatibility(part), begin, swap)
            for part, own_tilt, begin in zip(parts, tilt, start.numpy(), strict=True)
        ]
        return torch.from_numpy(np.stack(solved)).mT.unflatten(3, (comixup.SIDE, comixup.SIDE))

    def value(masks):
        return objective(masks, *posed(), prior=prior)

    mixers = {"Co-Mixup": CoMixup(mode="paper"), "Co-Mixup, the public code's gate": CoMixup(mode="official")}
    return {
        name: Contest(lambda mixer=mixer: ours(mixer), swap and theirs, value, value)
        for name, mixer in mixers.items()
    }


def measure(contests: Callable[[int], dict[str, Contest]], seeds: int) -> dict[str, Row]:
    """Every contest at every seed, one round of it before, unseen."""
    times: dict[str, tuple[list, list]] = {}
    values: dict[str, tuple[list, list]] = {}
    for seed in tqdm(range(-1, seeds), leave=False, disable=None):
        for name, contest in contests(max(seed, 0)).items():
            sides = [contest.ours, contest.theirs]
            results = [None, None]
            for side in (0, 1) if seed % 2 else (1, 0):
                if sides[side] is not None:
                    milliseconds, results[side] = timed(sides[side])
                    if seed >= 0:
                        times.setdefault(name, ([], []))[side].append(milliseconds)
            if seed < 0:
                continue
            kept = values.setdefault(name, ([], []))
            kept[0].append(contest.value(results[0]))
            if contest.theirs is not None:
                kept[1].append(contest.value_of_theirs(results[1]))
    return {name: row(times[name], values[name]) for name in times}


def timed(call: Callable[[], Any]) -> tuple[float, Any]:
    """Milliseconds of CPU time that a call takes, and what it returns."""
    start = time.process_time()
    result = call()
    return 1e3 * (time.process_time() - start), result


def row(times: tuple[list[float], list[float]], values: tuple[list[Tensor], list[Tensor]]) -> Row:
    """What the numbers of all seeds come to."""
    ours, value = statistics.median(times[0]), torch.cat(values[0])
    if not times[1]:
        nan = float("nan")
        return Row(ours, nan, nan, value.mean().item(), nan, 0, 0, len(value))
    theirs, other = statistics.median(times[1]), torch.cat(values[1])
    # Capacities are rounded to whole numbers; what differs by less is a tie.
    worse, better = int((other > value + 1e-6).sum()), int((other < value - 1e-6).sum())
    return Row(ours, theirs, ours / theirs, value.mean().item(), other.mean().item(), worse, better, len(value))


class Watched:
    """A mixer, and how many milliseconds each of its draws took."""

    def __init__(self, mixer):
        self.mixer, self.draws = mixer, []

    def draw(self, images, labels=None, **options):
        """What the mixer draws."""
        milliseconds, mix = timed(lambda: self.mixer.draw(images, labels, **options))
        self.draws.append(milliseconds)
        return mix


def steps(batch: int, size: int, count: int) -> dict[str, tuple[float, float, float]]:
    """For every mixer: medians of the milliseconds of a draw, of those of its step, and of the one's part in the other.

    The step is that of the book's bench: its network on colour images, the clean loss trained on with the mixed one.
    """
    generator = torch.Generator().manual_seed(0)
    set_of_rows = draw_shapes(batch, size, generator)
    pixels = set_of_rows.images.float() / 255
    mean, std = pixels.mean((0, 2, 3)), pixels.std((0, 2, 3))
    images = ((pixels - mean.view(-1, 1, 1)) / std.view(-1, 1, 1)).contiguous(memory_format=torch.channels_last)
    std = tuple(std.tolist())
    mixers = {
        "CutMix": CutMix(),
        **{f"Puzzle Mix, {blocks} blocks": PuzzleMix(blocks=blocks, std=std) for blocks in BLOCKS},
        "Co-Mixup": CoMixup(mode="paper"),
    }
    trained = {}
    for name, mixer in mixers.items():
        network = build("bench-net", len(CLASSES), generator=torch.Generator().manual_seed(1))
        network.to(memory_format=torch.channels_last)
        watched = Watched(mixer)
        optimizer = torch.optim.SGD(network.parameters(), lr=0.02, momentum=0.9, nesterov=True)
        trained[name] = network, watched, SaliencyRisk(watched, clean=1.0), optimizer, []
    for _ in tqdm(range(count + 1), leave=False, disable=None):
        for network, _, risk, optimizer, whole in trained.values():

            def step(network=network, risk=risk, optimizer=optimizer):
                optimizer.zero_grad()
                risk(network, (images, set_of_rows.labels), generator=generator).backward()
                optimizer.step()

            whole.append(timed(step)[0])
    medians = {}
    for name, (_, watched, _, _, whole) in trained.items():
        parts = [draw / step for draw, step in zip(watched.draws[1:], whole[1:], strict=True)]
        medians[name] = tuple(map(statistics.median, (watched.draws[1:], whole[1:], parts)))
    return medians


def verdict(name: str, row: Row) -> str:
    """A row's aim, and whether it is met: in time, and at an objective no higher."""
    if name not in AIMS or row.ratio != row.ratio:
        return ""
    met = row.ratio <= AIMS[name] and row.value <= row.other_value + 1e-9
    return f"{AIMS[name]:g} {'met' if met else 'missed'}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=20, help="batches of each kind of maps")
    parser.add_argument("--batch", type=int, default=100, help="images in a batch")
    parser.add_argument("--size", type=int, default=32, help="height and width in pixels, a multiple of 16")
    parser.add_argument("--steps", type=int, default=20, help="training steps of every mixer")
    parser.add_argument("--tail", choices=TAILS, action="append", help="one kind of maps only; may be repeated")
    parser.add_argument("--part", choices=PARTS, action="append", help="one part only; may be repeated")
    parser.add_argument("--quick", action="store_true", help="sizes that measure nothing: whether it runs")
    options = parser.parse_args()
    if options.quick:
        options.seeds, options.batch, options.steps = 1, 4, 1
    torch.set_num_threads(1)
    parts = options.part or PARTS
    print("one thread, CPU milliseconds")
    if "maps" in parts:
        report_maps(options)
    if "steps" in parts:
        report_steps(options)
    if "supermix" in parts:
        print()
        supermix.report(supermix.QUICK if options.quick else supermix.setting())


def report_maps(options: argparse.Namespace) -> None:
    """Measure and print what solvers cost on maps of saliency."""
    try:
        swap, missing = minimiser(), None
    except ImportError as error:
        swap, missing = None, f"rows of alpha-beta swap are skipped: gco-wrapper is not installed ({error})"
    print(f"batch {options.batch}, {options.size} px, {options.seeds} seeds")
    if missing:
        print(missing)
    for tail in options.tail or TAILS:

        def contests(seed, tail=tail):
            given = instance(seed, tail, options.batch, options.size)
            rows = {f"Puzzle Mix masks, {blocks} blocks": mask_contest(given, blocks, swap) for blocks in BLOCKS}
            for blocks in MOVED:
                rows |= transport_contests(given, blocks)
            return rows | batch_contests(given, swap)

        print(f"\n{tail} maps")
        print(f"{'solver':40}{'ms':>8}{'peer ms':>9}{'ratio':>7}{'aim':>12}{'value':>10}{'peer':>10}"
              f"{'peer worse':>12}{'better':>8}{'of':>6}")
        for name, row in measure(contests, options.seeds).items():
            line = (f"{name:40}{row.ours:8.1f}{row.theirs:9.1f}{row.ratio:7.2f}{verdict(name, row):>12}"
                    f"{row.value:10.4f}{row.other_value:10.4f}{row.worse:12}{row.better:8}{row.of:6}")
            print(line.replace("nan", "  -"), flush=True)


def report_steps(options: argparse.Namespace) -> None:
    """Measure and print the part that drawing takes of a training step."""
    print(f"\n{'step with saliency, clean loss':40}{'draw ms':>8}{'step ms':>9}{'part':>7}")
    for name, (draw, whole, part) in steps(options.batch, options.size, options.steps).items():
        print(f"{name:40}{draw:8.1f}{whole:9.1f}{part:7.1%}", flush=True)


if __name__ == "__main__":
    main()

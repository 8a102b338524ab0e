"""The part of `solvers.py` about SuperMix: what a kept image costs, on one teacher, by three steps and two loops.

mixlab's loop (a row leaves when it is done, and the pass that judges a step is the one the next step begins with) has
the smoothed step, and the paper's baselines: Newton's step with total variation, and descent at a fixed rate (SGD) with
total variation, at the paper's rate and at the best of a few. Beside it the released loop (`supermix.released`), as it
is and on mixlab's pairs: those of two predicted classes, for the others are hardly ever done.

All of them get the same images, from which classes, partners and ratios follow, and end with mixed images: that is what
is timed. The released loop stops a batch when 30 % are done, which are the easy ones, and throws the others away; so
its time for a kept image as it comes is one for other images. Times to equal shares of a batch stand beside it: there
the released loop tolerates what is left of the share, and mixlab's stops at the iteration that reaches it. The last of
the shares is what mixlab's smoothed step keeps in the end. Where an arm keeps fewer, its time has a star.

A rate that is tuned for iterations alone hardly makes masks sparse. The mean of m (1 - m), which is 1/4 where two
images are averaged, says so.
"""

import math
import time
from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import torch
from supermix import released
from torch import Tensor
from torch.nn.functional import cross_entropy, interpolate
from tqdm import tqdm

from mixlab.data import load
from mixlab.mixers import SuperMix
from mixlab.mixers.base import draw_shares
from mixlab.mixers.supermix import Solution, distinct_partners
from mixlab.models import Teacher, build

OURS = "smoothed step"
RELEASED = "released loop"
USUAL = "as they are"
#: What the loop leaves by default, and the shares of a batch that are compared.
TOLERANCE = 0.7
SHARES = (0.3, 0.5, 0.7)
#: The paper's rate of descent, and what is tried beside it.
RATE, RATES = 0.1, (1.0, 10.0, 100.0, 1000.0)
#: The most that mixlab's time for a kept image should be of the released loop's.
AIM = 1 / 3


class Setting(NamedTuple):
    """How much is measured."""

    data: str
    images: int  #: that the teacher learns from
    width: int  #: of the teacher
    steps: int  #: that it learns
    batches: int
    batch: int
    caps: tuple[int, int]  #: most iterations of a Polyak step and of a fixed rate


FULL = Setting("fashion-mnist", images=5000, width=24, steps=300, batches=3, batch=100, caps=(50, 150))
QUICK = Setting("digits", images=1000, width=12, steps=60, batches=1, batch=16, caps=(8, 8))


def setting() -> Setting:
    """The full one, on digits where Fashion-MNIST does not lie (in ``$MIXLAB_DATA``)."""
    try:
        load(FULL.data, limit=FULL.images)
    except FileNotFoundError:
        return FULL._replace(data="digits", images=1000)
    return FULL


class Mixed(NamedTuple):
    """What became of a batch."""

    kept: int
    iterations: int  #: of all images together: a pass forward and one backward, and one more in the released loop
    blending: float  #: m (1 - m), added up over kept images


class Row(NamedTuple):
    """What an arm came to over all batches, added up before it is divided; NaN where nothing was kept."""

    kept: float  #: share of the images
    iterations: float  #: of all images, for a kept one
    milliseconds: float  #: for a kept one
    blending: float  #: mean m (1 - m) of the kept
    reached: bool  #: whether every batch came as far as it was meant to


class Arm(NamedTuple):
    """A way to mix a batch."""

    run: Callable[[Tensor, int, float], Mixed]  #: images, seed, and how far to go; this is timed
    usual: float  #: how far it goes as it is
    limits: Callable[[Tensor, int, list[int]], list[float]]  #: images, seed, counts; how far to keep that many


def generator(seed: int) -> torch.Generator:
    """A new source of randomness."""
    return torch.Generator().manual_seed(seed)


def taught(chosen: Setting) -> tuple[Teacher, Tensor, float]:
    """A teacher, the images that it has learned, normalised, and its error on others."""
    data = load(chosen.data, limit=chosen.images)
    mean, std = (find(data.train.images.float() / 255, dim=(0, 2, 3)) for find in (torch.mean, torch.std))
    images, others = ((split.images.float() / 255 - mean.view(-1, 1, 1)) / std.view(-1, 1, 1)
                      for split in (data.train, data.test))
    if images.shape[-1] < 16:  # digits of 8 x 8 are too small for the network
        images, others = (interpolate(each, scale_factor=2) for each in (images, others))
    network = build("bench-net", data.num_classes, images.shape[1], chosen.width, generator(0))
    network.to(memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.2, momentum=0.9, nesterov=True, weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.2, total_steps=chosen.steps)
    draws = generator(1)
    for _ in tqdm(range(chosen.steps), leave=False, disable=None):
        rows = torch.randint(len(images), (100,), generator=draws)
        optimizer.zero_grad()
        cross_entropy(network(images[rows]), data.train.labels[rows]).backward()
        optimizer.step()
        schedule.step()
    teacher = Teacher(network, mean=mean.tolist(), std=std.tolist())
    with torch.no_grad():
        wrong = [teacher(part).argmax(1) != truth for part, truth in
                 zip(others.split(500), data.test.labels.split(500), strict=True)]
    return teacher, images, torch.cat(wrong).float().mean().item()


def mixlab_arm(mixer: SuperMix) -> Arm:
    """mixlab's loop. To stop at a share it is told at which iteration that is reached, by a run before."""

    def run(images, seed, most):
        solution = replace(mixer, max_iter=most).solve(images, generator=generator(seed))
        solution.mix.apply(images)
        return summed(solution)

    def limits(images, seed, counts):
        solution = mixer.solve(images, generator=generator(seed))
        done = solution.iterations[solution.success].sort().values.tolist()
        return [done[count - 1] if 0 < count <= len(done) else mixer.max_iter for count in counts]

    return Arm(run, mixer.max_iter, limits)


def summed(solution: Solution) -> Mixed:
    """What became of the rows of a solution."""
    masks = solution.mix.masks()[solution.success]
    blending = (masks * (1 - masks)).mean((1, 2, 3)).sum().item()
    return Mixed(int(solution.success.sum()), int(solution.iterations.sum()), blending)


def released_arm(teacher: Teacher, max_iter: int, distinct: bool) -> Arm:
    """The released loop, on neighbours or on mixlab's pairs."""

    def run(images, seed, tolerance):
        draws, sources = generator(seed), None
        if distinct:
            with torch.no_grad():
                sources = distinct_partners(teacher(images).argmax(1), 2, draws)[0]
        ratios = draw_shares(3.0, len(images), 2, draws)
        found = released.solve(
            teacher, images, ratios, sources=sources, tolerance=tolerance, max_iter=max_iter)
        masks = found.masks[found.success]
        blending = (masks * (1 - masks)).mean((1, 2, 3)).sum().item()
        return Mixed(int(found.success.sum()), found.iterations * len(images), blending)

    def limits(images, seed, counts):
        return [1 - count / len(images) + 1e-9 for count in counts]

    return Arm(run, TOLERANCE, limits)


def tuned(teacher: Teacher, images: Tensor, max_iter: int) -> float:
    """Of `RATES` and `RATE`, that with which descent takes the fewest iterations, images that never end included."""
    costs = {}
    for rate in (RATE, *RATES):
        mixer = SuperMix(teacher, step="sgd", tv=250.0, lr=rate, max_iter=max_iter)
        costs[rate] = mixer.solve(images, generator=generator(1000)).iterations.sum().item()
    return min(costs, key=costs.get)


def arms(teacher: Teacher, rate: float, caps: tuple[int, int]) -> dict[str, Arm]:
    """All that is compared."""
    polyak, fixed = caps
    mixers = {
        OURS: SuperMix(teacher, max_iter=polyak),
        "Newton + TV": SuperMix(teacher, step="newton", tv=250.0, max_iter=polyak),
        f"SGD + TV, the paper's rate {RATE:g}": SuperMix(teacher, step="sgd", tv=250.0, lr=RATE, max_iter=fixed),
        f"SGD + TV, tuned rate {rate:g}": SuperMix(teacher, step="sgd", tv=250.0, lr=rate, max_iter=fixed),
    }
    peers = {RELEASED: released_arm(teacher, polyak, False),
             f"{RELEASED}, our pairs": released_arm(teacher, polyak, True)}
    return {name: mixlab_arm(mixer) for name, mixer in mixers.items()} | peers


def measure(candidates: dict[str, Arm], batches: list[Tensor]) -> dict[str, dict[str, Row]]:
    """Every arm on every batch, as it is and to every share; every second batch in the other order."""
    found: dict[str, dict[str, list]] = {name: {} for name in candidates}
    for arm in candidates.values():  # a round on a few images, unseen
        arm.run(batches[0][:8], len(batches), arm.usual)
    for seed, images in enumerate(tqdm(batches, leave=False, disable=None)):
        all_of_ours = candidates[OURS].run(images, seed, candidates[OURS].usual).kept
        counts = {f"to {share:.0%}": math.ceil(share * len(images)) for share in SHARES} | {"as ours": all_of_ours}
        goals = {name: {USUAL: arm.usual} | dict(zip(counts, arm.limits(images, seed, [*counts.values()]), strict=True))
                 for name, arm in candidates.items()}
        # Goals that mean the same run share one.
        plan = list(dict.fromkeys((name, limit) for name, limits in goals.items() for limit in limits.values()))
        runs = {each: timed(candidates[each[0]].run, images, seed, each[1]) for each in plan[:: -1 if seed % 2 else 1]}
        for name, limits in goals.items():
            for goal, limit in limits.items():
                milliseconds, mixed = runs[name, limit]
                reached = mixed.kept >= counts.get(goal, 0)
                found[name].setdefault(goal, []).append((milliseconds, len(images), reached, *mixed))
    return {name: {goal: row(parts) for goal, parts in goals.items()} for name, goals in found.items()}


def timed(run: Callable[..., Mixed], *arguments) -> tuple[float, Mixed]:
    """Milliseconds of CPU time, and what came of it."""
    start = time.process_time()
    mixed = run(*arguments)
    return 1e3 * (time.process_time() - start), mixed


def row(parts: list[tuple]) -> Row:
    """What batches come to, from the time, size, arrival and outcome of each."""
    milliseconds, sizes, reached, kept, iterations, blending = (list(each) for each in zip(*parts, strict=True))
    each = sum(kept) or math.nan
    return Row(sum(kept) / sum(sizes), sum(iterations) / each, sum(milliseconds) / each, sum(blending) / each,
               all(reached))


def verdict(ours: Row, peer: Row) -> str:
    """The ratio of times, and whether it is the aim's; none where only the peer came as far as it was meant to."""
    ratio = ours.milliseconds / peer.milliseconds
    if ratio != ratio or peer.reached > ours.reached:
        return "-"
    return f"{ratio:.2f} {'met' if ratio <= AIM else 'missed'}"


def report(chosen: Setting) -> None:
    """Measure and print."""
    teacher, images, error = taught(chosen)
    *batches, own = images[: (chosen.batches + 1) * chosen.batch].split(chosen.batch)
    candidates = arms(teacher, tuned(teacher, own, chosen.caps[1]), chosen.caps)
    print(f"SuperMix: {chosen.batches} batches of {chosen.batch} of {chosen.data}, teacher's error {error:.1%}, "
          f"K = 2, masks of 8 x 8, at most {chosen.caps[0]} iterations ({chosen.caps[1]} of SGD)", flush=True)
    found = measure(candidates, batches)
    goals = list(found[OURS])[1:]
    print(f"{'':32}{'kept':>7}{'m(1-m)':>8}{'iterations':>12}"
          f"{''.join(f'{goal:>8} ' for goal in ('ms', *goals))}")
    for name, rows in found.items():
        usual, *others = rows.values()
        times = "".join(f"{each.milliseconds:8.2f}{' ' if each.reached else '*'}" for each in (usual, *others))
        print(f"{name:32}{usual.kept:7.0%}{usual.blending:8.3f}{usual.iterations:12.1f}{times}".replace("nan", "  -"))
    print(f"iterations and CPU ms for a kept image; mixlab's time over the released loop's, aim {AIM:.2f}:")
    for name in (RELEASED, f"{RELEASED}, our pairs"):
        ratios = (f"{goal} {verdict(found[OURS][goal], peer)}" for goal, peer in found[name].items())
        print(f"{name:32}" + ", ".join(ratios))

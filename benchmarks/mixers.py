"""What mixing costs: mixlab beside torchvision, timm and kornia, and beside a plain copy.

    python benchmarks/mixers.py                  both heaps, all sizes, five fresh processes each: some minutes
    python benchmarks/mixers.py --processes 1    a quick look

A row is one call that draws, applies and makes targets. Its figure is the ratio of its median time to the median of
torchvision's call of the same kind (two images, one parameter for the whole batch); printed is the median of that ratio
over fresh processes. The rows take turns within a process, a few calls each, so that a machine that slows down slows
all of them. The first call of a turn finds the caches full of other libraries' code, as in a program that mixes now and
then; it is counted apart, in the column "first call". Ratios depend on the heap: above 32 MiB, glibc takes a fresh
mapping for every tensor and hands it back, so that with the default allocator page faults are measured rather than
mixing. A warm heap keeps the memory, as a training loop with a caching allocator does. What mixlab aims at, on two
threads and a warm heap, stands beside what was measured, also where it is missed.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
import warnings

from tqdm import tqdm

SIZES = {"64x3x224x224": (64, 3, 224, 224), "256x3x32x32": (256, 3, 32, 32)}
HEAPS = {
    "warm heap": {"MALLOC_MMAP_THRESHOLD_": str(2**32), "MALLOC_TRIM_THRESHOLD_": str(2**33)},
    "default allocator": {},
}
CLASSES = 1000
CALLS = 4

#: The most that a ratio should be, on two threads and a warm heap.
AIMS = {
    "64x3x224x224": {"Mixup": 0.8, "CutMix": 0.8, "DCutMix K=5": 2.0, "DCutMix K=9": 3.0},
    "256x3x32x32": {"Mixup": 1.0, "CutMix": 1.0, "DCutMix K=9": 2.2},
}


def candidates(images, labels):
    """Every call that is timed: ``{row: (peer it is divided by, call)}``."""
    import kornia.augmentation as K
    import torch
    from timm.data.mixup import Mixup as TimmMixup
    from torchvision.transforms import v2

    from mixlab.mixers import CutMix, DCutMix, DMixup, Mixup, PastedCutMix

    generator = torch.Generator().manual_seed(0)
    buffer = torch.empty_like(images)

    def ours(mixer):
        def call():
            mix = mixer.draw(images, labels, generator=generator)
            return mix.apply(images), mix.targets(labels, CLASSES)

        return call

    def timm(mode, **alphas):
        mixer = TimmMixup(mode=mode, num_classes=CLASSES, label_smoothing=0.0, **alphas)
        # timm writes into its input; a training loop that needs its images afterwards pays for a copy.
        return lambda: mixer(images.clone(), labels)

    blend, box = "torchvision MixUp", "torchvision CutMix"
    tv_mixup, tv_cutmix = v2.MixUp(num_classes=CLASSES), v2.CutMix(num_classes=CLASSES)
    kornia_mixup, kornia_cutmix = K.RandomMixUpV2(p=1.0), K.RandomCutMixV2(p=1.0)
    return {
        "copy into a buffer": (box, lambda: buffer.copy_(images)),
        "clone": (box, images.clone),
        blend: (blend, lambda: tv_mixup(images, labels)),
        "timm mixup, a λ per batch": (blend, timm("batch", mixup_alpha=1.0)),
        "timm mixup, a λ per image": (blend, timm("elem", mixup_alpha=1.0)),
        "kornia RandomMixUpV2": (blend, lambda: kornia_mixup(images, labels)),
        "mixlab Mixup": (blend, ours(Mixup(1.0))),
        "mixlab DMixup K=3": (blend, ours(DMixup(3, 1.0))),
        box: (box, lambda: tv_cutmix(images, labels)),
        "timm cutmix, a box per batch": (box, timm("batch", mixup_alpha=0.0, cutmix_alpha=1.0)),
        "timm cutmix, a box per image": (box, timm("elem", mixup_alpha=0.0, cutmix_alpha=1.0)),
        "kornia RandomCutMixV2": (box, lambda: kornia_cutmix(images, labels)),
        "mixlab CutMix": (box, ours(CutMix(1.0))),
        "mixlab DCutMix K=5": (box, ours(DCutMix(5, 1.0))),
        "mixlab DCutMix K=9": (box, ours(DCutMix(9, 1.0))),
        "mixlab PastedCutMix K=5": (box, ours(PastedCutMix(5, 1.0))),
    }


def measure(shape: tuple[int, ...], threads: int, turns: int) -> dict[str, tuple[float, float, float]]:
    """For every row, in this process: median milliseconds, its ratio to its peer, and that ratio for first calls."""
    import torch

    warnings.simplefilter("ignore")
    torch.set_num_threads(threads)
    generator = torch.Generator().manual_seed(1)
    images = torch.rand(shape, generator=generator)
    labels = torch.randint(CLASSES, shape[:1], generator=generator)
    calls = candidates(images, labels)
    first, steady = {row: [] for row in calls}, {row: [] for row in calls}
    for turn in range(turns + 1):
        for row, (_, call) in calls.items():
            times = [timed(call) for _ in range(CALLS)]
            if turn > 0:
                first[row].append(times[0])
                steady[row].extend(times[1:])
    first, steady = ({row: statistics.median(times[row]) for row in times} for times in (first, steady))
    return {
        row: (1e3 * steady[row], steady[row] / steady[peer], first[row] / first[peer])
        for row, (peer, _) in calls.items()
    }


def timed(call) -> float:
    """Seconds that a call takes."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def fresh(size: str, heap: str, options: argparse.Namespace) -> dict[str, tuple[float, float, float]]:
    """:func:`measure` in a process of its own, so that neither heap nor caches are inherited."""
    command = [sys.executable, __file__, "--child", size, "--threads", options.threads, "--turns", options.turns]
    outside = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")}
    environment = {**outside, **HEAPS[heap], "OMP_NUM_THREADS": str(options.threads)}
    done = subprocess.run([*map(str, command)], env=environment, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"a measuring process failed:\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


def compared(ratio: float, aim: float | None) -> str:
    """A ratio beside its aim, where there is one."""
    return "" if aim is None else f"{aim:.1f} {'met' if ratio <= aim else 'missed'}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--processes", type=int, default=5, help="fresh processes per table")
    parser.add_argument("--threads", type=int, default=2, help="intra-op threads")
    parser.add_argument("--turns", type=int, default=10, help=f"turns of every row in a process, {CALLS} calls each")
    parser.add_argument("--size", choices=SIZES, action="append", help="one size only; may be repeated")
    parser.add_argument("--heap", choices=HEAPS, action="append", help="one heap only; may be repeated")
    parser.add_argument("--child", choices=SIZES, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        print(json.dumps(measure(SIZES[options.child], options.threads, options.turns)))
        return
    for size in options.size or SIZES:
        for heap in options.heap or HEAPS:
            processes = tqdm(range(options.processes), f"{size}, {heap}", leave=False, disable=None)
            runs = [fresh(size, heap, options) for _ in processes]
            print(f"\n{size}, {heap}, {options.threads} threads, {options.processes} processes")
            print(f"{'call':32}{'ms':>9}{'ratio':>8}{'range of ratios':>19}{'first call':>12}{'aim':>12}")
            aims = AIMS[size] if heap == "warm heap" and options.threads == 2 else {}
            for row in runs[0]:
                ratios = [run[row][1] for run in runs]
                ratio = statistics.median(ratios)
                milliseconds = statistics.median(run[row][0] for run in runs)
                span = f"{min(ratios):.2f} to {max(ratios):.2f}"
                first = statistics.median(run[row][2] for run in runs)
                aim = compared(ratio, aims.get(row.removeprefix("mixlab ")))
                line = f"{row:32}{milliseconds:9.2f}{ratio:8.2f}{span:>19}{first:12.2f}{aim:>12}"
                print(line.rstrip(), flush=True)


if __name__ == "__main__":
    main()

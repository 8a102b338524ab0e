"""How near mixing comes to the memory's bandwidth: `Mix.apply` beside a copy of the batch, on one device.

    python benchmarks/bandwidth.py                     512x3x224x224 float32, on the GPU if there is one
    python benchmarks/bandwidth.py --size 64 3 32 32   something smaller

Whatever is mixed, a batch must be read once and written once. So a row's bandwidth counts the bytes of one reading and
one writing, even where more were moved (K images that are blended are read K times), and the last column is that
bandwidth as a part of the copy's. Mixes are drawn outside the timing; printed is the median over the calls, which on a
GPU are timed there, one queued behind the other. On a CPU the copy goes to memory that is there already, while mixing
asks for some: above 32 MiB glibc maps it anew each time, unless MALLOC_MMAP_THRESHOLD_ and MALLOC_TRIM_THRESHOLD_ are
set as benchmarks/mixers.py sets them for its warm heap.
"""

import argparse
import statistics
import time

import torch

from mixlab.mixers import CutMix, DCutMix, DMixup, Mixup, PastedCutMix

MIXERS = {
    "Mixup": Mixup(1.0),
    "DMixup K=3": DMixup(3, 1.0),
    "CutMix": CutMix(1.0),
    **{f"DCutMix K={k}": DCutMix(k, 1.0) for k in (2, 3, 5, 9)},
    "PastedCutMix K=5": PastedCutMix(5, 1.0),
}
WARM_UP = 3


def measure(shape: tuple[int, ...], device: str, calls: int) -> dict[str, tuple[float, float, float]]:
    """For every row: milliseconds of a call, GB/s of one reading and one writing, and that as a part of the copy's."""
    images = torch.rand(shape, device=device)
    buffer, generator = torch.empty_like(images), torch.Generator().manual_seed(0)
    rows = {"copy": lambda: buffer.copy_(images)}
    for name, mixer in MIXERS.items():
        mix = mixer.draw(images, generator=generator)
        rows[name] = lambda mix=mix: mix.apply(images)
    milliseconds = {name: statistics.median(timed(call, device, calls)) for name, call in rows.items()}
    gigabytes = 2 * images.numel() * images.element_size() / 1e9
    return {name: (each, 1e3 * gigabytes / each, milliseconds["copy"] / each) for name, each in milliseconds.items()}


def timed(call, device: str, calls: int) -> list[float]:
    """Milliseconds of each of some calls, after a few that are not counted."""
    for _ in range(WARM_UP):
        call()
    if not device.startswith("cuda"):
        return [seconds(call) * 1e3 for _ in range(calls)]
    events = [torch.cuda.Event(enable_timing=True) for _ in range(calls + 1)]
    events[0].record()
    for event in events[1:]:
        call()
        event.record()
    torch.cuda.synchronize()
    return [start.elapsed_time(end) for start, end in zip(events, events[1:])]


def seconds(call) -> float:
    """Seconds that a call takes."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, nargs=4, default=(512, 3, 224, 224), metavar=("B", "C", "H", "W"))
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--calls", type=int, default=50, help="timed calls of every row")
    options = parser.parse_args()
    cuda = options.device.startswith("cuda")
    name = torch.cuda.get_device_name(options.device) if cuda else f"{torch.get_num_threads()} threads of the CPU"
    print(f"{'x'.join(map(str, options.size))} float32, {name}, {options.calls} calls")
    print(f"{'call':20}{'ms':>10}{'GB/s':>10}{'of the copy':>13}")
    for row, (milliseconds, bandwidth, share) in measure(options.size, options.device, options.calls).items():
        print(f"{row:20}{milliseconds:10.3f}{bandwidth:10.1f}{share:13.2f}")


if __name__ == "__main__":
    main()

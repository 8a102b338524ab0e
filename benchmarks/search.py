"""What rearranging a supernet's cells is worth: a training step of the plain form over one of the fused form.

    python benchmarks/search.py              the bench's supernet and the paper's width: some minutes
    python benchmarks/search.py --size bench --turns 3    a quick look

Both forms are `mixlab.nas.SearchNetwork`, compute the same and have the same weights. A step is that of a search after
its warm-up: a pass forwards and backwards to the gradients of the architecture, and one to those of the weights. The
two forms take turns on one thread. A figure is CPU time of the process, for a machine that is busy with something else
stretches the clock but hardly that, and the ratio is that of medians. Images are noise: time does not depend on them.
"""

import argparse
import statistics
import time

import torch
from torch.nn.functional import cross_entropy
from tqdm import tqdm

from mixlab.nas import SearchNetwork

#: Supernet, side of the images and batch: of a search within a chapter, and of the paper's width with three cells.
SIZES = {
    "bench": ({"in_channels": 1, "layers": 3, "channels": 8, "nodes": 2}, 16, 64),
    "paper": ({"in_channels": 3, "layers": 3, "channels": 16, "nodes": 4}, 32, 64),
}
CLASSES = 10
AIM = 1.5


def step(network: SearchNetwork, images: torch.Tensor, labels: torch.Tensor) -> None:
    """Gradients of the architecture, then of the weights, each while the others rest."""
    groups = network.weight_parameters(), network.architecture_parameters()
    for resting in groups:
        for each in resting:
            each.requires_grad_(False)
        network.zero_grad()
        cross_entropy(network(images), labels).backward()
        for each in resting:
            each.requires_grad_(True)


def measure(size: tuple[dict, int, int], turns: int) -> dict[str, float]:
    """Seconds of CPU time a step, by form, each the median over the turns."""
    options, side, batch = size
    networks = {form: SearchNetwork(CLASSES, **options, form=form) for form in ("plain", "fused")}
    images = torch.rand(batch, options["in_channels"], side, side, generator=torch.Generator().manual_seed(0))
    labels, times = torch.arange(batch) % CLASSES, {form: [] for form in networks}
    for turn in tqdm(range(turns + 1), leave=False, disable=None):
        for form in (list(networks), list(networks)[::-1])[turn % 2]:
            begun = time.process_time()
            step(networks[form], images, labels)
            if turn:  # the first is a rehearsal: convolutions are prepared
                times[form].append(time.process_time() - begun)
    return {form: statistics.median(each) for form, each in times.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--turns", type=int, default=5, help="steps of each form")
    parser.add_argument("--size", choices=SIZES, action="append", help="one size only; may be repeated")
    options = parser.parse_args()
    torch.set_num_threads(1)
    print("one thread; milliseconds of CPU time a step")
    print(f"{'size':10}{'plain':>9}{'fused':>9}{'ratio':>8}{'aim':>13}")
    for size in options.size or SIZES:
        found = measure(SIZES[size], options.turns)
        ratio = found["plain"] / found["fused"]
        aim = f"{AIM:.2f} {'met' if ratio >= AIM else 'missed'}"
        print(f"{size:10}{1000 * found['plain']:9.0f}{1000 * found['fused']:9.0f}{ratio:8.2f}{aim:>13}", flush=True)


if __name__ == "__main__":
    main()

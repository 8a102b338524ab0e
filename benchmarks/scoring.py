"""What a score costs: composites a second beside bare inference, and the training that has to be saved to pay for it.

    python benchmarks/scoring.py              the bench's network on 28×28 and 32×32 pixels: some minutes
    python benchmarks/scoring.py --images 500 --draws 2 --turns 1    a quick look

Scoring is `mixlab.bayes.score`, all of it: checksums, drawing, composing, losses and moments. Bare inference asks the
same network about as many images, which lie there normalised, in batches of the same size, and throws the logits away.
Training takes as many images through steps of plain cross-entropy with momentum, without data loading. The three take
turns on one thread. A figure is CPU time of the process, for a machine that is busy with something else stretches the
clock but hardly that, and ratios are those of medians. What is scored is noise: time does not depend on pictures.

The last columns say when a score is worth it: M draws cost as much as so many epochs over all rows, and training on a
part t of them saves 1 - t of each epoch.
"""

import argparse
import statistics
import time

import torch
from torch import nn
from tqdm import tqdm

from mixlab.bayes import score
from mixlab.data import Split, normalise
from mixlab.models import build, inference

SIZES = {"28x28, grey": (1, 28, 28), "32x32, colour": (3, 32, 32)}
CLASSES = 10
BATCH, TRAINING_BATCH = 500, 100
#: The least that scoring should reach of bare inference.
AIM = 0.85
#: What is said about epochs is for so many draws and this part of the rows.
DRAWS, PART = 256, 0.1


def measure(shape: tuple[int, int, int], images: int, draws: int, turns: int, model: str = "bench-net",
            width: int = 16) -> dict[str, float]:
    """Images a second of CPU time: scored, inferred and trained on, each the median over the turns."""
    generator = torch.Generator().manual_seed(0)
    pictures = torch.randint(256, (images, *shape), dtype=torch.uint8, generator=generator)
    split = Split(pictures, torch.randint(CLASSES, (images,), generator=generator))
    moments = {"mean": (0.5,) * shape[0], "std": (0.25,) * shape[0]}
    network = build(model, CLASSES, shape[0], width, generator=generator)
    if getattr(network, "channels_last_on_cpu", False):
        network.to(memory_format=torch.channels_last)
    normalised = normalise(pictures, **moments)

    def scored():
        score(network, split, num_classes=CLASSES, draws=draws, batch_size=BATCH, **moments)

    def inferred():
        with inference(network):
            for _ in range(draws):
                for batch in normalised.split(BATCH):
                    network(batch)

    def trained():
        learner = torch.optim.SGD(network.parameters(), lr=1e-3, momentum=0.9)
        for _ in range(draws):
            for batch, labels in zip(normalised.split(TRAINING_BATCH), split.labels.split(TRAINING_BATCH), strict=True):
                learner.zero_grad()
                nn.functional.cross_entropy(network(batch), labels).backward()
                learner.step()

    calls = {"scored": scored, "inferred": inferred, "trained": trained}
    times = {name: [] for name in calls}
    for turn in tqdm(range(turns), leave=False, disable=None):
        for name in (list(calls), list(calls)[::-1])[turn % 2]:
            begun = time.process_time()
            calls[name]()
            times[name].append(time.process_time() - begun)
    return {name: images * draws / statistics.median(each) for name, each in times.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=5000, help="rows to score")
    parser.add_argument("--draws", type=int, default=4, help="composites of each row, in each turn")
    parser.add_argument("--turns", type=int, default=3, help="turns of all three")
    parser.add_argument("--size", choices=SIZES, action="append", help="one size only; may be repeated")
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(f"{options.images} images, {options.draws} draws, one thread; images a second of CPU time")
    head = f"{'size':16}{'scored':>9}{'inferred':>10}{'trained':>9}{'ratio':>8}"
    print(f"{head}{'aim':>13}{'epochs':>9}{'pays after':>12}")
    for size in options.size or SIZES:
        rates = measure(SIZES[size], options.images, options.draws, options.turns)
        ratio, epochs = rates["scored"] / rates["inferred"], DRAWS * rates["trained"] / rates["scored"]
        aim = f"{AIM:.2f} {'met' if ratio >= AIM else 'missed'}"
        print(f"{size:16}{rates['scored']:9.0f}{rates['inferred']:10.0f}{rates['trained']:9.0f}{ratio:8.2f}{aim:>13}"
              f"{epochs:9.0f}{epochs / (1 - PART):12.0f}", flush=True)
    print(f"epochs: over all rows, for the cost of {DRAWS} draws; pays after: so many epochs, keeping {PART:.0%}")


if __name__ == "__main__":
    main()

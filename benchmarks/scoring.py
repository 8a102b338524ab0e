"""What scores and a generator cost: images a second, and the training that has to be saved to pay for them.

    python benchmarks/scoring.py              the bench's network on 28×28 and 32×32 pixels: some minutes
    python benchmarks/scoring.py --images 500 --draws 2 --turns 1    a quick look

Scoring is `mixlab.bayes.score`, all of it: checksums, drawing, composing, losses and moments. Bare inference asks the
same network about as many images, which lie there normalised, in batches of the same size, and throws the logits away.
Training takes as many images through steps of plain cross-entropy with momentum, without data loading. The three take
turns on one thread. A figure is CPU time of the process, for a machine that is busy with something else stretches the
clock but hardly that, and ratios are those of medians. What is scored is noise: time does not depend on pictures.

The last columns say when a score is worth it: M draws cost as much as so many epochs over all rows, and training on a
part t of them saves 1 - t of each epoch.

The second table is about a generator that is trained on the part that is kept, by the recipe generator-bench, against
the same network, frozen. Its training costs as much as so many epochs over all rows. Then each step of a student costs
more: it makes as many images as the batch has, and learns from both (`mixlab.risk.GeneratedRisk`). So an epoch over the
part saves only 1 - t r, if r is how many times as long as a plain step such a step takes.
"""

import argparse
import statistics
import time

import torch
from torch import nn
from tqdm import tqdm

from mixlab.bayes import score
from mixlab.data import Split, normalise
from mixlab.generator import RECIPES, ConditionalUNet, SampleGenerator
from mixlab.generator.train import step as generator_step
from mixlab.models import Teacher, build, inference
from mixlab.risk import EmpiricalRisk, GeneratedRisk

SIZES = {"28x28, grey": (1, 28, 28), "32x32, colour": (3, 32, 32)}
CLASSES = 10
BATCH, TRAINING_BATCH = 500, 100
#: The least that scoring should reach of bare inference.
AIM = 0.85
#: What is said about epochs is for so many draws and this part of the rows.
DRAWS, PART = 256, 0.1
#: The generator's training, and its network.
RECIPE, UNET = RECIPES["generator-bench"], {"base": 8, "downs": 2}


def measure(shape: tuple[int, int, int], images: int, draws: int, turns: int, model: str = "bench-net",
            width: int = 16) -> dict[str, float]:
    """Images a second of CPU time: scored, inferred and trained on, each the median over the turns."""
    split, moments, network, normalised = _made(shape, images, model, width)

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

    return _rates({"scored": scored, "inferred": inferred, "trained": trained}, images * draws, turns)


def measure_generator(shape: tuple[int, int, int], images: int, turns: int, model: str = "bench-net",
                      width: int = 16) -> dict[str, float]:
    """Images a second of CPU time, each the median over the turns.

    A generator is trained on them; a student is trained on them, plainly, and as many with a generated image beside
    each.
    """
    split, moments, network, normalised = _made(shape, images, model, width)
    classifier, labels = Teacher(network, **moments), split.labels
    unet = ConditionalUNet(CLASSES, in_channels=shape[0], **UNET, **moments,
                           generator=torch.Generator().manual_seed(1))
    plain, both = EmpiricalRisk(), GeneratedRisk(SampleGenerator(unet))

    def generator():
        learner, drawn = torch.optim.Adam(unet.parameters(), lr=1e-4), torch.Generator().manual_seed(2)
        size = RECIPE.batch_size
        for batch, classes in zip(normalised.split(size), labels.split(size), strict=True):
            learner.zero_grad()
            generator_step(unet, classifier, batch, classes, num_classes=CLASSES, generator=drawn).backward()
            learner.step()

    def student(risk):
        learner, drawn = torch.optim.SGD(network.parameters(), lr=1e-3, momentum=0.9), torch.Generator().manual_seed(3)
        for batch in zip(normalised.split(TRAINING_BATCH), labels.split(TRAINING_BATCH), strict=True):
            learner.zero_grad()
            risk(network, batch, generator=drawn).backward()
            learner.step()

    calls = {"generator": generator, "plain": lambda: student(plain), "both": lambda: student(both)}
    return _rates(calls, images, turns)


def _made(shape: tuple[int, int, int], images: int, model: str, width: int) -> tuple:
    """Noise as rows, the moments that normalise it, a network, and the rows as the network takes them."""
    generator = torch.Generator().manual_seed(0)
    pictures = torch.randint(256, (images, *shape), dtype=torch.uint8, generator=generator)
    split = Split(pictures, torch.randint(CLASSES, (images,), generator=generator))
    moments = {"mean": (0.5,) * shape[0], "std": (0.25,) * shape[0]}
    network = build(model, CLASSES, shape[0], width, generator=generator)
    if getattr(network, "channels_last_on_cpu", False):
        network.to(memory_format=torch.channels_last)
    return split, moments, network, normalise(pictures, **moments)


def _rates(calls: dict, images: int, turns: int) -> dict[str, float]:
    """Images a second of CPU time of each call, which take turns in both orders: the median over the turns."""
    times = {name: [] for name in calls}
    for turn in tqdm(range(turns), leave=False, disable=None):
        for name in (list(calls), list(calls)[::-1])[turn % 2]:
            begun = time.process_time()
            calls[name]()
            times[name].append(time.process_time() - begun)
    return {name: images / statistics.median(each) for name, each in times.items()}


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
    scores = {}
    for size in options.size or SIZES:
        rates = measure(SIZES[size], options.images, options.draws, options.turns)
        ratio, epochs = rates["scored"] / rates["inferred"], DRAWS * rates["trained"] / rates["scored"]
        scores[size] = epochs
        aim = f"{AIM:.2f} {'met' if ratio >= AIM else 'missed'}"
        print(f"{size:16}{rates['scored']:9.0f}{rates['inferred']:10.0f}{rates['trained']:9.0f}{ratio:8.2f}{aim:>13}"
              f"{epochs:9.0f}{epochs / (1 - PART):12.0f}", flush=True)
    print(f"epochs: over all rows, for the cost of {DRAWS} draws; pays after: so many epochs, keeping {PART:.0%}")
    passes = RECIPE.epochs * PART
    print(f"a generator: {RECIPE.epochs} epochs over {PART:.0%} of the rows; images a second, milliseconds a step")
    head = f"{'size':16}{'generator':>10}{'seconds':>9}{'step':>7}{'with it':>9}{'ratio':>7}"
    print(f"{head}{'epochs':>8}{'with scores':>13}{'pays after':>12}")
    for size, epochs in scores.items():
        rates = measure_generator(SIZES[size], options.images, options.turns)
        seconds = passes * options.images / rates["generator"]
        plain, both = (1000 * TRAINING_BATCH / rates[name] for name in ("plain", "both"))
        own, slower = passes * rates["plain"] / rates["generator"], both / plain
        after = f"{(epochs + own) / (1 - PART * slower):.0f}" if PART * slower < 1 else "never"
        print(f"{size:16}{rates['generator']:10.0f}{seconds:9.0f}{plain:7.0f}{both:9.0f}{slower:7.2f}{own:8.0f}"
              f"{epochs + own:13.0f}{after:>12}", flush=True)
    print(f"step: of {TRAINING_BATCH} images; with it: and as many generated; with scores: the epochs of both together")


if __name__ == "__main__":
    main()

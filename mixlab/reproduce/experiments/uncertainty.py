"""Does averaging over composites find a network's errors better than what one already has?

One network per seed is trained with DCutMix (K = 5, alpha = 0.2) and one without mixing, both with dropout, so that
every score is taken from the same weights: the entropy of a single pass, of Monte-Carlo dropout, of test-time
augmentation, and of both readings of the predictive distribution over composites, with equally many passes. What is
detected is always the same: the errors of the single pass on the whole test set. The anchor's share is chosen by the
validation split, once per network.
"""

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from mixlab.bayes import (
    Composites,
    entropy,
    error_auroc,
    least_confidence,
    nested_composites,
    predictive,
    view_predictive,
)
from mixlab.data import Dataset, Split
from mixlab.data.augment import normalise
from mixlab.models import mc_dropout
from mixlab.reproduce.plan import Run
from mixlab.rng import generator
from mixlab.train import predict
from mixlab.train.recipes import budget as known_budget

SEEDS = range(5)
DATA = {"cpu": "fashion-mnist", "gpu": "cifar100", "paper": "cifar100"}
# A narrower network than in the grid of the same chapter: half a million forward passes are measured on each.
WIDTH = {"cpu": 8, "gpu": None, "paper": None}
K, ALPHA, DROPOUT = 5, 0.2, 0.2
PASSES = 10
ANCHOR_SHARES = (0.5, 0.7, 0.9)
VALIDATION_ROWS = 1000
BATCH = 100  # at which a CPU is fastest

RISKS = {
    "erm": ("ERM + dropout", {"name": "empirical"}),
    "dcutmix": ("DCutMix + dropout", {"name": "vicinal", "mixer": {"name": "dcutmix", "k": K, "alpha": ALPHA}}),
}


def runs(budget: str) -> Iterator[Run]:
    """Both networks for every seed, seeds outermost."""
    limits = known_budget(budget)
    for seed in SEEDS:
        for name, (row, risk) in RISKS.items():
            yield Run(
                f"{name}-s{seed}", row, data=DATA[budget], limit=limits.limit, validation=0.05,
                model="preact-resnet18", width=WIDTH[budget], options={"dropout": DROPOUT}, risk=risk,
                recipe=limits.recipe, seed=seed, device="cpu" if budget == "cpu" else "auto",
                precision=limits.precision, compile=limits.compile,
                measure="uncertainty",
            )


def measure(model: nn.Module, data: Dataset, run: Run) -> dict:
    """Area under the curve of every score on the test set, errors of every prediction, and how the share was chosen."""
    device = next(model.parameters()).device
    enabled = run.precision == "bf16-mixed"
    with torch.autocast(device.type, dtype=torch.bfloat16, enabled=enabled):
        chosen, validation = _choose_share(model, data, run)
        predictions = _predictions(model, data, data.test, run, chosen)
    labels = data.test.labels
    wrong = predictions["single pass"].argmax(1) != labels
    measures = {"anchor_share": chosen, "errors": int(wrong.sum()), "validation_auroc": validation}
    measures["auroc"] = {name: error_auroc(entropy(p), wrong) for name, p in predictions.items()}
    measures["auroc_confidence"] = {name: error_auroc(least_confidence(p), wrong) for name, p in predictions.items()}
    measures["error"] = {name: 100 * float((p.argmax(1) != labels).double().mean()) for name, p in predictions.items()}
    return measures


def _choose_share(model: nn.Module, data: Dataset, run: Run) -> tuple[float, dict]:
    """The anchor share with the best area on validation rows, summed over both readings, and all areas."""
    rows = data.validation.subset(torch.arange(min(VALIDATION_ROWS, len(data.validation))))
    wrong = _single_pass(model, data, rows).argmax(1) != rows.labels
    areas = {}
    for share in ANCHOR_SHARES:
        readings = _readings(model, data, rows, _composites(data, run, share))
        areas[f"{share:g}"] = {name: error_auroc(entropy(p), wrong) for name, p in readings.items()}
    best = max(ANCHOR_SHARES, key=lambda share: sum(areas[f"{share:g}"].values()))
    return best, areas


def _predictions(model: nn.Module, data: Dataset, split: Split, run: Run, share: float) -> dict[str, Tensor]:
    """Class probabilities (N, C) on the CPU under every method, by name."""
    views = view_predictive(model, split.images, mean=data.mean, std=data.std, draws=PASSES, batch_size=BATCH,
                            generator=generator(run.seed, "views"))
    return {
        "single pass": _single_pass(model, data, split),
        "MC dropout": _dropout(model, data, split, run),
        "test-time augmentation": views.cpu(),
        **_readings(model, data, split, _composites(data, run, share)),
    }


def _single_pass(model: nn.Module, data: Dataset, split: Split) -> Tensor:
    return predict(model, split, mean=data.mean, std=data.std, batch_size=BATCH).double().softmax(1).cpu()


def _dropout(model: nn.Module, data: Dataset, split: Split, run: Run) -> Tensor:
    device = next(model.parameters()).device
    parts = []
    for number, images in enumerate(split.images.split(BATCH)):
        inputs = normalise(images.to(device), data.mean, data.std)
        parts.append(mc_dropout(model, inputs, PASSES, generator(run.seed, "dropout", number)).double().mean(0).cpu())
    return torch.cat(parts)


def _composites(data: Dataset, run: Run, share: float) -> Composites:
    pool = normalise(data.train.images, data.mean, data.std)
    return nested_composites(pool, data.train.labels, num_classes=data.num_classes, k=K, alpha=ALPHA,
                             anchor_share=share, draws=PASSES, generator=generator(run.seed, "composites"))


def _readings(model: nn.Module, data: Dataset, split: Split, composites: Composites) -> dict[str, Tensor]:
    result = predictive(model, normalise(split.images, data.mean, data.std), composites, batch_size=BATCH)
    return {"composites, reading A": result.averaged.cpu(), "composites, reading B": result.posterior.cpu()}

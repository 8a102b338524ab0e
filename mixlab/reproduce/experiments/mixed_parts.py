"""Which half of mixup does the work: the mixed image, the mixed label, or both? The chapter on Mixup and CutMix.

Four cells, {image mixed or not} x {label mixed or not}, with one folded law of λ, the same partners and the same λ; and
mixup's twin with hard labels and λ ~ Beta(α + 1, α), which theory says has the same risk. α = 1. The seed draws split,
initialisation, order and mixing alike for all rows, so differences pair.
"""

from collections.abc import Iterator

from mixlab.reproduce.plan import Run

SEEDS = range(5)
ROWS = {
    "neither": {"name": "empirical"},
    "label only": {"name": "vicinal", "mixer": {"name": "label-mixup", "alpha": 1.0}},
    "image only": {"name": "vicinal", "mixer": {"name": "input-mixup", "alpha": 1.0}},
    "both (mixup)": {"name": "vicinal", "mixer": {"name": "dominant-mixup", "alpha": 1.0}},
    "image, hard label, tilted λ": {"name": "vicinal", "mixer": {"name": "tilted-mixup", "alpha": 1.0}},
}
NAMES = ("neither", "label", "image", "both", "tilted")


def settings(budget: str) -> dict:
    """What all runs of this chapter share: small enough to overfit without mixing, within a minute on one core."""
    if budget == "cpu":
        return {
            "data": "fashion-mnist", "limit": 2000, "validation": 0.005, "model": "preact-resnet18", "width": 8,
            "recipe": "demo", "epochs": 15, "device": "cpu", "precision": "32-true",
        }  # fmt: skip
    epochs = {"gpu": 60, "paper": 200}[budget]
    return {
        "data": "cifar100", "validation": 0.02, "model": "preact-resnet18", "recipe": "mixup-cifar10", "epochs": epochs,
        "device": "auto", "precision": "bf16-mixed", "compile": True,
    }  # fmt: skip


def runs(budget: str) -> Iterator[Run]:
    """All cells, seeds outermost."""
    for seed in SEEDS:
        for name, (row, risk) in zip(NAMES, ROWS.items()):
            yield Run(f"{name}-s{seed}", row, risk=risk, seed=seed, **settings(budget))

"""What should fill the box, and what should the label say? The chapter on Mixup and CutMix.

A chain in which each step changes one thing: CutMix's boxes filled with zeros; the same boxes filled with noise; with
the partner, but under the own label; with the partner and the label by pixels (CutMix); the same with the label by the
λ that was drawn, as if no box were clipped. The boxes of a step are equal in all rows: one seed draws them alike. Its
start, no box at all, is the row "neither" of `mixed_parts`, with the same settings and seeds.
"""

from collections.abc import Iterator

from mixlab.reproduce.experiments.mixed_parts import settings
from mixlab.reproduce.plan import Run

SEEDS = range(5)
MIXERS = {
    "zeros, own label": "erased-box",
    "noise, own label": "noise-box",
    "partner, own label": "patch-cutmix",
    "partner, label by pixels (CutMix)": "cutmix",
    "partner, label by λ": "nominal-cutmix",
}


def runs(budget: str) -> Iterator[Run]:
    """The chain, seeds outermost."""
    for seed in SEEDS:
        for row, name in MIXERS.items():
            risk = {"name": "vicinal", "mixer": {"name": name, "alpha": 1.0}}
            yield Run(f"{name}-s{seed}", row, risk=risk, seed=seed, **settings(budget))

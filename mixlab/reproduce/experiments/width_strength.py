"""How strongly should how wide a network be mixed? The chapter on Mixup and CutMix.

Mixup with α in {0, 0.2, 1, 8} on PreAct ResNet-18 of width 2, 4 and 8. For each width the strength is chosen by the
validation error; the test error is read for the chosen strength and for none. Small networks underfit when they are
mixed strongly: a table with one width refutes nothing.
"""

from collections.abc import Iterator
from itertools import product

from mixlab.reproduce.experiments.mixed_parts import settings
from mixlab.reproduce.plan import Run

SEEDS = range(5)
ALPHAS = (0.0, 0.2, 1.0, 8.0)
# The outer widths first: an interrupted grid has the contrast, and the width between them comes last.
WIDTHS = {"cpu": ((2, 8), (4,)), "gpu": ((8, 64), (16,)), "paper": ((16, 128), (64,))}


def runs(budget: str) -> Iterator[Run]:
    """The grid; more validation rows than elsewhere, since they choose, and on a CPU fewer epochs."""
    shared = settings(budget) | {"validation": 0.01} | ({"epochs": 12} if budget == "cpu" else {})
    for widths in WIDTHS[budget]:
        for seed, width, alpha in product(SEEDS, widths, ALPHAS):
            risk = {"name": "vicinal", "mixer": {"name": "mixup", "alpha": alpha}}
            row = f"width {width}, α = {alpha:g}"
            yield Run(f"w{width}-a{alpha:g}-s{seed}", row, risk=risk, seed=seed, **shared | {"width": width})

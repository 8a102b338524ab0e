"""Does mixing more than two images help? The confirmatory grid of the chapter on K-image mixing.

K in {2, 3, 5, 9} x {nested sticks, pasted boxes} x alpha in {1, 1/K}; Input and Manifold Mixup with K = 2, 3, 4 at
alpha = 1; and ERM. At K = 2 nested sticks are one box that never leaves the image, so that row is also CutMix without
clipping. The seed draws split, initialisation, order and augmentation alike for all rows, so differences pair.
"""

from collections.abc import Iterator

from mixlab.reproduce.plan import Run
from mixlab.risk.registry import RISKS
from mixlab.train.recipes import budget as known_budget

SEEDS = range(3)
REGIONAL = {"dcutmix": "DCutMix", "pasted-cutmix": "PastedCutMix"}
DATA = {"cpu": "fashion-mnist", "gpu": "cifar100", "paper": "cifar100"}
# Table 4 of the K-image paper is trained "with the same setting" as that of Co-Mixup, its other tables are not.
RECIPE = {"paper": "co-mixup-cifar"}
# The input and the outputs of the first two stages, as in Verma et al. (2019), section 5.
LAYERS = ["", "stage1", "stage2"]


def runs(budget: str) -> Iterator[Run]:
    """The grid, seeds outermost."""
    for seed in SEEDS:
        for name, row, risk in _settings(budget):
            yield run(name, row, risk, seed, budget)


def pairing(budget: str) -> dict:
    """How the mixers of a budget draw partners, left out where it is as they do of themselves."""
    law = known_budget(budget).pairing
    return {} if law == "distinct" else {"pairing": law}


def run(name: str, row: str, risk: dict, seed: int, budget: str) -> Run:
    """One training of the grid; other experiments that are to be compared with it train alike."""
    limits = known_budget(budget)
    return Run(
        f"{name}-s{seed}", row, data=DATA[budget], limit=limits.limit, validation=0.05,
        model="preact-resnet18", width=limits.width, risk=risk, seed=seed,
        recipe=RECIPE.get(budget, limits.recipe),
        device="cpu" if budget == "cpu" else "auto", precision=limits.precision,
        compile=limits.compile and RISKS[risk["name"]].compilable,
    )


def _settings(budget: str) -> Iterator[tuple[str, str, dict]]:
    """Name, row and risk of every setting."""
    law = pairing(budget)
    yield "erm", "ERM", {"name": "empirical"}
    for k in (2, 3, 5, 9):
        for mixer, label in REGIONAL.items():
            for alpha, tag, text in ((1.0, "a1", "1"), (1 / k, "a1k", f"1/{k}")):
                risk = {"name": "vicinal", "mixer": {"name": mixer, "k": k, "alpha": alpha, **law}}
                yield f"{mixer}-k{k}-{tag}", f"{label} K={k} α={text}", risk
    for k in (2, 3, 4):
        mixer = {"name": "dmixup", "k": k, "alpha": 1.0, **law}
        yield f"input-mixup-k{k}", f"Input Mixup K={k}", {"name": "vicinal", "mixer": mixer}
        yield f"manifold-mixup-k{k}", f"Manifold Mixup K={k}", {"name": "manifold", "mixer": mixer, "layers": LAYERS}

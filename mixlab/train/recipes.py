"""The recipes by name, and the budgets that choose among them."""

from __future__ import annotations

from dataclasses import dataclass

from mixlab.train.recipe import Cosine, MultiStep, Recipe


def _papers(name: str, source: str, **values) -> Recipe:
    """What the papers' CIFAR recipes share; the values that differ between them are always given."""
    return Recipe(name=name, momentum=0.9, augment="crop-flip", source=source, **values)


_ALL = (
    _papers(
        "mixup-cifar10", epochs=200, batch_size=128, lr=0.1, schedule=MultiStep((100, 150)), nesterov=False,
        weight_decay=1e-4, report="best",
        source="Zhang et al. 2018, section 3.2 and the published code (PreAct ResNet-18, CIFAR-10)",
    ),
    _papers(
        "cutmix-cifar", epochs=300, batch_size=64, lr=0.25, schedule=MultiStep((150, 225)), nesterov=True,
        weight_decay=1e-4, report="best",
        source="Yun et al. 2019, section 4.1.2 and the published code (PyramidNet-200, CIFAR-100)",
    ),
    _papers(
        "cutmix-cifar-resnet110", epochs=300, batch_size=64, lr=0.1, schedule=MultiStep((150, 225)), nesterov=True,
        weight_decay=1e-4, report="best",
        source="the CutMix authors' published code and answer to users (ResNet-110, CIFAR-100)",
    ),
    _papers(
        "dcutmix-cifar", epochs=300, batch_size=64, lr=0.25, schedule=MultiStep((225, 270)), nesterov=True,
        weight_decay=4e-5, report="best",
        source="the K-image paper's published code (PyramidNet-110 and -200, both CIFAR sets; DMixup and DCutMix)",
    ),
    _papers(
        "co-mixup-cifar", epochs=300, batch_size=100, lr=0.2, schedule=MultiStep((100, 200)), nesterov=True,
        weight_decay=1e-4, report="last",
        source="the Co-Mixup authors' published code (PreAct ResNet-18, CIFAR-100), the setting of the K-image paper's "
        "table 4; which epoch that reports is not known here",
    ),
    Recipe(
        name="demo", epochs=3, batch_size=64, lr=0.1, schedule=Cosine(), momentum=0.9, nesterov=True,
        weight_decay=5e-4, augment="none", report="last", source="this book, for runs of seconds",
    ),
    Recipe(
        name="small", epochs=10, batch_size=128, lr=0.1, schedule=Cosine(), momentum=0.9, nesterov=True,
        weight_decay=5e-4, augment="crop-flip", report="last",
        source="this book: ten epochs leave no room for plateaus, so the rate falls along a cosine",
    ),
    Recipe(
        name="medium", epochs=60, batch_size=128, lr=0.1, schedule=Cosine(), momentum=0.9, nesterov=True,
        weight_decay=5e-4, augment="crop-flip", report="last",
        source="this book: 'small' at a length at which a full-width network on CIFAR converges",
    ),
    Recipe(
        name="bench-grey", epochs=100, batch_size=100, lr=0.2, schedule=Cosine(warmup=20), momentum=0.9, nesterov=True,
        weight_decay=1e-3, augment="crop2-flip", report="last", measured="halves",
        source="this book, for bench-net on 500 images of Fashion-MNIST: long enough that training without mixing has "
        "nearly fitted them by half-time",
    ),
    Recipe(
        name="bench-colour", epochs=100, batch_size=100, lr=0.2, schedule=Cosine(warmup=20), momentum=0.9,
        nesterov=True, weight_decay=1e-3, augment="crop2-flip", report="last", measured="halves",
        source="this book, for bench-net on 1,000 images of CIFAR-100 with its 20 superclasses, as 'bench-grey'; in "
        "trials 60 epochs left a fifth of them unlearned at half-time",
    ),
)
recipes: dict[str, Recipe] = {recipe.name: recipe for recipe in _ALL}


@dataclass(frozen=True)
class Budget:
    """What a run may cost: how long, on how much data, how wide and in what arithmetic.

    Args:
        recipe: name of the recipe.
        limit: training images, None for all.
        width: channels of the first stage, None for the paper's.
        precision: "32-true" or "bf16-mixed".
        compile: whether the network goes through `torch.compile`.
        pairing: how mixers draw partners, "distinct" or the papers' "permutation".

    Example:
        >>> cheap = BUDGETS["cpu"]
        >>> cheap.limit, cheap.width, cheap.precision, recipes[cheap.recipe].epochs
        (10000, 16, '32-true', 10)
    """

    recipe: str
    limit: int | None
    width: int | None
    precision: str
    compile: bool
    pairing: str


# Without instructions for bfloat16, as many processors are, autocast to it is several times slower than float32.
BUDGETS = {
    "cpu": Budget("small", limit=10_000, width=16, precision="32-true", compile=False, pairing="distinct"),
    "gpu": Budget("medium", limit=None, width=None, precision="bf16-mixed", compile=True, pairing="distinct"),
    "paper": Budget("dcutmix-cifar", limit=None, width=None, precision="32-true", compile=True, pairing="permutation"),
}


def by_name(name: str) -> Recipe:
    """The recipe called `name`.

    Raises:
        ValueError: if there is none.
    """
    if name not in recipes:
        raise ValueError(f"expected a recipe of {', '.join(recipes)}, received {name!r}")
    return recipes[name]


def budget(name: str) -> Budget:
    """The budget called `name`.

    Raises:
        ValueError: if there is none.
    """
    if name not in BUDGETS:
        raise ValueError(f"expected a budget of {', '.join(BUDGETS)}, received {name!r}")
    return BUDGETS[name]

"""What an experiment is: named runs, as plain data."""

from __future__ import annotations

import hashlib
import importlib
import json
import pkgutil
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, asdict, dataclass, field, fields

from mixlab.train.recipes import budget as known_budget


#: Short names of measures, and the functions that they mean. A record keeps the name, so a function may move.
MEASURES = {
    "memorised": "mixlab.reproduce.experiments.label_corruption:memorised",
    "uncertainty": "mixlab.reproduce.experiments.uncertainty:measure",
    "calibration": "mixlab.chapters.bench.measures:calibration",
    "score-stability": "mixlab.chapters.ch08_selection.stability:measure",
    "ch10-truth": "mixlab.chapters.ch10_search.exhaustive:truth",
    "ch10-proxy": "mixlab.chapters.ch10_search.exhaustive:proxy",
}
#: Short names of preparations, likewise.
PREPARATIONS: dict[str, str] = {
    "supermix": "mixlab.chapters.ch07_supermix.preparation:prepare",
    "ch9": "mixlab.chapters.ch09_generator.preparation:prepare",
}
#: Short names of choices of training images, likewise.
CHOICES: dict[str, str] = {
    "ch8": "mixlab.chapters.ch08_selection.choices:choose",
}
#: What records called these measures before they had names.
ALIASES = {
    "mixlab.reproduce.experiments.label_corruption:memorised": "memorised",
    "mixlab.reproduce.experiments.uncertainty:measure": "uncertainty",
}
#: The fields that records had from the beginning.
FIRST = frozenset(
    "name row data model risk recipe seed epochs limit validation width options corrupt device precision compile"
    " measure".split()
)


@dataclass(frozen=True)
class Run:
    """One training run, complete: two runs with equal fields are the same run.

    Args:
        name: file name of its record, unique in its experiment.
        row: what the book's tables call the setting; the same for all its seeds.
        data, limit, validation: see `mixlab.data.load`.
        model, width, options: see `mixlab.models.build`; `options` are its regularisers.
        risk: see `mixlab.risk.build_risk`.
        recipe, epochs, lr, batch_size: name of the recipe, and its length, learning rate and images a step where they
            are not the recipe's own.
        seed: of the split, the initialisation, the order, the augmentation and the mixing, each a stream of its own.
        corrupt: part of the training labels that is replaced by random ones, see `mixlab.data.corrupt_labels`.
        device, precision, compile: see `mixlab.train.fit`.
        measure: a name of `MEASURES`, or "package.module:function": called as `function(model, dataset, run) -> dict`
            on the trained network; what it gives goes into the record's `measures`.
        prepare: a name of `PREPARATIONS`, or "package.module:function": called as `function(run, data, folder)` before
            the risk is built, for what a risk needs and no name can give, such as a teacher or a set of mixed images.
            It gives two dicts: the risk's specification with its files filled in, and what is to be said of them, which
            goes into the record's `measures`. The record keeps `risk` as it is written here. `folder` is shared by all
            runs of an experiment, of which two may be at work at once.
        subset: which of the training images, that validation and limit leave, are trained on; all where None. Either
            `{"file": path, "checksum": sha256}` of a subset file (see `mixlab.selection.write_subset`), or
            `{"choice": name, ...}` with a name of `CHOICES`, or "package.module:function": called as
            `function(run, data, folder)` before anything is prepared. It gives the rows, and a dict of what is to be
            said of them, which goes into the record's `measures`. What else it needs stands beside its name.
        split: seed of what is drawn of the data, where that is not `seed`: validation, limit, corrupted labels. So runs
            of several seeds train on one subset.
        part: the part of the training images that each epoch takes, drawn anew every epoch (`Recipe.part`).

    A field that is added later needs a default, and is left out of records while it stands at it: a record made before
    is the record of the same run.

    Example:
        >>> run = Run("erm-s0", "ERM", data="shapes", model="lenet", risk={"name": "empirical"}, recipe="demo", seed=0)
        >>> Run(**run.as_dict()) == run
        True
    """

    name: str
    row: str
    data: str
    model: str
    risk: dict
    recipe: str
    seed: int
    epochs: int | None = None
    limit: int | None = None
    validation: float = 0.1
    width: int | None = None
    options: dict = field(default_factory=dict)
    corrupt: float = 0.0
    device: str = "auto"
    precision: str = "32-true"
    compile: bool = False
    measure: str | None = None
    prepare: str | None = None
    subset: dict | None = None
    split: int | None = None
    part: float = 1.0
    lr: float | None = None
    batch_size: int | None = None

    def as_dict(self) -> dict:
        """The fields as JSON keeps them (a tuple becomes a list), later ones only where they are not at their default.

        A measure has its short name, if it has one.
        """
        plain = json.loads(json.dumps(asdict(self) | {"measure": ALIASES.get(self.measure, self.measure)}))
        return {name: value for name, value in plain.items() if name in FIRST or value != _default(type(self), name)}

    def same_as(self, config: Mapping) -> bool:
        """Whether a record's configuration is this run, whatever its measure was called when the record was made."""
        return {**config, "measure": ALIASES.get(config.get("measure"), config.get("measure"))} == self.as_dict()

    def digest(self) -> str:
        """Eight hexadecimal digits that change with any field."""
        return hashlib.blake2b(json.dumps(self.as_dict(), sort_keys=True).encode(), digest_size=4).hexdigest()


def _default(kind: type[Run], name: str) -> object:
    """What a field of a run is where nothing is said, as JSON keeps it."""
    found = next(each for each in fields(kind) if each.name == name)
    return json.loads(json.dumps(found.default if found.default is not MISSING else found.default_factory()))


@dataclass(frozen=True)
class Experiment:
    """Runs that answer one question of the book.

    Args:
        name: what the command line calls it.
        runs: in the order in which they are done; put seeds outermost, so that an interrupted grid is balanced.
        budget: "cpu", "gpu" or "paper".

    Raises:
        ValueError: if two runs share a name.

    Example:
        >>> erm = {"row": "ERM", "data": "shapes", "model": "lenet", "risk": {"name": "empirical"}, "recipe": "demo"}
        >>> mine = Experiment("mine", tuple(Run(f"erm-s{seed}", seed=seed, **erm) for seed in range(2)), budget="gpu")
        >>> mine.folder, [run.name for run in mine.runs]
        ('mine-gpu', ['erm-s0', 'erm-s1'])
    """

    name: str
    runs: tuple[Run, ...]
    budget: str = "cpu"

    def __post_init__(self):
        names = [run.name for run in self.runs]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"expected a name of its own for every run, received {', '.join(twice)} more than once")

    @property
    def folder(self) -> str:
        """Where its records lie, below the folder of all records."""
        return self.name if self.budget == "cpu" else f"{self.name}-{self.budget}"


def names() -> list[str]:
    """Names of the experiments that exist, sorted: one file each in an `experiments` folder.

    There is one in `mixlab.reproduce`, and one in the room of every chapter that has experiments of its own.

    Example:
        >>> {"k-image", "label-corruption"} <= set(names())
        True
    """
    return sorted(_modules())


def _modules() -> dict[str, str]:
    """The module of every experiment, by the experiment's name.

    Raises:
        ValueError: if two files have one name, since their records would share a folder.
    """
    found: dict[str, str] = {}
    for package in _rooms():
        for module in pkgutil.iter_modules(importlib.import_module(package).__path__):
            name, path = module.name.replace("_", "-"), f"{package}.{module.name}"
            if name in found:
                raise ValueError(f"expected one experiment called {name}, received {found[name]} and {path}")
            found[name] = path
    return found


def _rooms() -> Iterator[str]:
    """The packages that hold experiments."""
    from mixlab import chapters

    yield "mixlab.reproduce.experiments"
    for room in pkgutil.iter_modules(chapters.__path__, "mixlab.chapters."):
        if not room.ispkg:
            continue
        inside = pkgutil.iter_modules(importlib.import_module(room.name).__path__)
        if "experiments" in {module.name for module in inside}:
            yield f"{room.name}.experiments"


def get(name: str, budget: str = "cpu") -> Experiment:
    """The experiment called `name` at a budget.

    Args:
        name: one of `names()`.
        budget: "cpu", "gpu" or "paper".

    Raises:
        ValueError: if there is no such experiment or budget.

    Example:
        >>> first = get("k-image").runs[0]
        >>> first.name, first.row, first.data, first.model
        ('erm-s0', 'ERM', 'fashion-mnist', 'preact-resnet18')
    """
    known_budget(budget)
    if name not in (modules := _modules()):
        raise ValueError(f"expected an experiment of {', '.join(names())}, received {name!r}")
    return Experiment(name, tuple(importlib.import_module(modules[name]).runs(budget)), budget)

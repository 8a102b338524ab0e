"""How long, how fast and on what batches a network is trained, as plain frozen data."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace

import torch
from torch import nn

from mixlab.checks import numbers, real, whole
from mixlab.data.stratify import part_of

REPORTS = ("last", "best")
MEASURED = ("epoch", "halves")
# Fields that recipes had not from the beginning, at their defaults.
_UNSAID = (("measured", "epoch"), ("part", 1.0), ("optimizer", {"name": "SGD"}), ("clip", None))


@dataclass(frozen=True)
class MultiStep:
    """The learning rate is multiplied by `gamma` at each milestone (in epochs).

    Args:
        milestones: epochs, fractional ones too, in any order.
        gamma: the factor of each.

    Example:
        >>> schedule = MultiStep((100, 150), 0.1)
        >>> [round(schedule.factor(epoch, 200), 3) for epoch in (0, 99.9, 100, 150)]
        [1.0, 1.0, 0.1, 0.01]
    """

    milestones: tuple[float, ...]
    gamma: float = 0.1

    def factor(self, position: float, epochs: int) -> float:
        """What the learning rate is multiplied by at `position` (in epochs, fractional) of `epochs`."""
        return self.gamma ** sum(position >= milestone for milestone in self.milestones)

    def stretched(self, epochs: int, of: int) -> MultiStep:
        """The same shape over `epochs` in place of `of`; milestones may fall within an epoch."""
        # Divided last: 100 * (14 / 200) lies above 7, and the milestone would come a step late.
        return replace(self, milestones=tuple(milestone * epochs / of for milestone in self.milestones))


@dataclass(frozen=True)
class Cosine:
    """Half a cosine from 1 to 0, followed step by step (Loshchilov and Hutter 2017, eq. 5, without restarts).

    Args:
        warmup: epochs over which the factor first rises linearly from 0.

    Example:
        >>> [round(Cosine().factor(epoch, 10), 3) for epoch in (0, 5, 10)]
        [1.0, 0.5, 0.0]
    """

    warmup: float = 0.0

    def factor(self, position: float, epochs: int) -> float:
        """What the learning rate is multiplied by at `position` (in epochs, fractional) of `epochs`."""
        if position < self.warmup:
            return position / self.warmup
        return 0.5 * (1 + math.cos(math.pi * (position - self.warmup) / (epochs - self.warmup)))

    def stretched(self, epochs: int, of: int) -> Cosine:
        """The same shape over `epochs` in place of `of`."""
        return replace(self, warmup=self.warmup * epochs / of)


@dataclass(frozen=True)
class SGD:
    """Stochastic gradient descent with the momentum of the recipe.

    Example:
        >>> from mixlab.train import recipes
        >>> recipes["demo"].optimizer
        SGD()
        >>> recipes["demo"].optimizer.over([nn.Parameter(torch.zeros(2))], recipes["demo"]).defaults["momentum"]
        0.9
    """

    def over(self, parameters: Iterable[nn.Parameter], recipe: Recipe) -> torch.optim.SGD:
        """The optimiser of these parameters."""
        return torch.optim.SGD(parameters, lr=recipe.lr, momentum=recipe.momentum, nesterov=recipe.nesterov,
                               weight_decay=recipe.weight_decay)


@dataclass(frozen=True)
class Adam:
    """Adam (Kingma and Ba 2015) with torch's epsilon of 1e-8; the weight decay is added to the gradient.

    Args:
        betas: how much of the running means of the gradient and of its square a step keeps.

    Raises:
        ValueError: unless `betas` are two numbers in [0, 1).

    Example:
        >>> from mixlab.train import recipes
        >>> gentle = replace(recipes["demo"], optimizer=Adam(), lr=1e-3, momentum=0.0, nesterov=False, clip=5.0)
        >>> gentle.as_dict()["optimizer"], gentle.as_dict()["clip"]
        ({'name': 'Adam', 'betas': (0.9, 0.999)}, 5.0)
    """

    betas: tuple[float, float] = (0.9, 0.999)

    def __post_init__(self):
        betas = numbers(self.betas)
        if betas is None or len(betas) != 2 or not all(0 <= beta < 1 for beta in betas):
            raise ValueError(f"expected two betas in [0, 1), received {self.betas!r}")
        object.__setattr__(self, "betas", tuple(betas))

    def over(self, parameters: Iterable[nn.Parameter], recipe: Recipe) -> torch.optim.Adam:
        """The optimiser of these parameters."""
        return torch.optim.Adam(parameters, lr=recipe.lr, betas=self.betas, weight_decay=recipe.weight_decay)


@dataclass(frozen=True)
class Recipe:
    """Descent along the gradient with every choice written down; nothing is inherited silently.

    Images are normalised by the moments of the set they are of, in every recipe. (The K-image paper's code takes those
    of CIFAR-10 for both CIFAR sets.) How images are mixed is no part of a recipe, but of the risk.

    Args:
        name: what tables call it.
        epochs: passes over the training images.
        batch_size: images a step, over all processes together.
        lr: learning rate at the start.
        schedule: `MultiStep` or `Cosine`.
        momentum, nesterov: of `SGD`; 0 and False with `Adam`, which has neither.
        weight_decay: L2 penalty on every parameter, normalisation included, as in the papers' code.
        augment: what the `Loader` does to training images.
        report: "last" or "best", the epoch whose test error the source prints. Under "best" the test error is
            measured after every epoch, to be comparable; nothing is ever chosen by it.
        source: where the values come from.
        measured: when validation images are looked at: after every "epoch", or, where that would cost as much as the
            training, at half-time and at the end ("halves"). In halves the training images are measured as well, clean
            and unaugmented: their error at half-time says whether the run is long enough for its data.
        part: the part of the training images that an epoch takes, drawn anew every epoch (RS2, see `Loader`).
        optimizer: `SGD()` or `Adam(betas)`, both at the rate and with the weight decay of the recipe.
        clip: the largest norm of the gradient of all parameters of the optimiser together; a longer one is scaled
            down to it. None leaves gradients as they are.

    Raises:
        ValueError: for a value outside its range.

    Example:
        >>> from mixlab.train import recipes
        >>> mixup = recipes["mixup-cifar10"]
        >>> [round(mixup.learning_rate(epoch), 4) for epoch in (0, 99, 100, 150)], mixup.nesterov
        ([0.1, 0.1, 0.01, 0.001], False)
    """

    name: str
    epochs: int
    batch_size: int
    lr: float
    schedule: MultiStep | Cosine
    momentum: float
    nesterov: bool
    weight_decay: float
    augment: str
    report: str
    source: str
    measured: str = "epoch"
    part: float = 1.0
    optimizer: SGD | Adam = SGD()
    clip: float | None = None

    def __post_init__(self):
        for name, value in (("epochs", self.epochs), ("batch_size", self.batch_size)):
            if not whole(value) or value < 1:
                raise ValueError(f"expected an integer {name} of at least 1, received {value!r}")
        if not (self.lr > 0 and 0 <= self.momentum < 1 and self.weight_decay >= 0):
            raise ValueError(f"expected lr > 0, momentum in [0, 1) and weight_decay >= 0, "
                             f"received {self.lr}, {self.momentum} and {self.weight_decay}")
        if self.nesterov and self.momentum == 0:
            raise ValueError("expected momentum > 0 with nesterov, received 0")
        if self.report not in REPORTS:
            raise ValueError(f"expected report of {', '.join(REPORTS)}, received {self.report!r}")
        if self.measured not in MEASURED:
            raise ValueError(f"expected measured of {', '.join(MEASURED)}, received {self.measured!r}")
        if self.measured == "halves" and self.report == "best":
            raise ValueError("expected report of last with measured='halves': the best epoch would be one of two")
        part_of(self.part, 1)  # a part that is none is refused here
        if not isinstance(self.optimizer, (SGD, Adam)):
            raise ValueError(f"expected an optimizer of SGD() or Adam(), received {self.optimizer!r}")
        if isinstance(self.optimizer, Adam) and (self.momentum or self.nesterov):
            raise ValueError("expected momentum=0 and nesterov=False with Adam, "
                             f"received {self.momentum} and {self.nesterov}")
        if self.clip is not None and not (real(self.clip) and 0 < self.clip < math.inf):
            raise ValueError(f"expected a norm above 0 to clip at, or None, received {self.clip!r}")

    def learning_rate(self, position: float) -> float:
        """Learning rate at `position`, in epochs (3.5 is halfway through the fourth)."""
        return self.lr * self.schedule.factor(position, self.epochs)

    def over(self, epochs: int) -> Recipe:
        """The same recipe over another number of epochs, its schedule stretched in proportion.

        Example:
            >>> from mixlab.train import recipes
            >>> recipes["mixup-cifar10"].over(20).schedule.milestones
            (10.0, 15.0)
        """
        return replace(self, epochs=epochs, schedule=self.schedule.stretched(epochs, self.epochs))

    def as_dict(self) -> dict:
        """Plain data for a checkpoint, with the kind of the schedule; later fields only where they say something."""
        plain = asdict(self) | {name: {"name": type(part).__name__, **asdict(part)}
                                for name, part in (("schedule", self.schedule), ("optimizer", self.optimizer))}
        return {name: value for name, value in plain.items() if (name, value) not in _UNSAID}

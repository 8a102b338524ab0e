"""How long, how fast and on what batches a network is trained, as plain frozen data."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace

from mixlab.checks import whole
from mixlab.data.stratify import part_of

REPORTS = ("last", "best")
MEASURED = ("epoch", "halves")
# Fields that recipes had not from the beginning, at their defaults.
_UNSAID = (("measured", "epoch"), ("part", 1.0))


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
class Recipe:
    """Stochastic gradient descent with every choice written down; nothing is inherited silently.

    Images are normalised by the moments of the set they are of, in every recipe. (The K-image paper's code takes those
    of CIFAR-10 for both CIFAR sets.) How images are mixed is no part of a recipe, but of the risk.

    Args:
        name: what tables call it.
        epochs: passes over the training images.
        batch_size: images a step, over all processes together.
        lr: learning rate at the start.
        schedule: `MultiStep` or `Cosine`.
        momentum, nesterov: of SGD.
        weight_decay: L2 penalty on every parameter, normalisation included, as in the papers' code.
        augment: what the `Loader` does to training images.
        report: "last" or "best", the epoch whose test error the source prints. Under "best" the test error is
            measured after every epoch, to be comparable; nothing is ever chosen by it.
        source: where the values come from.
        measured: when validation images are looked at: after every "epoch", or, where that would cost as much as the
            training, at half-time and at the end ("halves"). In halves the training images are measured as well, clean
            and unaugmented: their error at half-time says whether the run is long enough for its data.
        part: the part of the training images that an epoch takes, drawn anew every epoch (RS2, see `Loader`).

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
        """Plain data for a checkpoint, the kind of schedule included; later fields only where they say something."""
        plain = asdict(self) | {"schedule": {"name": type(self.schedule).__name__, **asdict(self.schedule)}}
        return {name: value for name, value in plain.items() if (name, value) not in _UNSAID}

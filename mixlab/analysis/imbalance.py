r"""Rare classes: detectors of one class, trained on few examples of it, with and without synthetic ones.

A *task* is one class against all others: ``few`` examples of the class, ``many`` of the rest. Three ways to train on it
are compared: as it is; with the few repeated until both sides are equal (the control); with SMOTE's blends of the few
in the place of the repetitions. Two learners are asked, since the answer depends on them: a decision tree, as in the
paper that introduced SMOTE, and a small network (those of all tasks are trained together, as one batch of matrix
products).
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from mixlab.data import Split
from mixlab.mixers import SMOTE
from mixlab.rng import generator as make_generator

__all__ = ["LEARNERS", "OVERSAMPLERS", "Detection", "as_it_is", "copies", "detect", "network", "plane", "smote", "tree"]

HIDDEN, STEPS = 16, 100  # of the network
RATE, MOMENTUM = 0.1, 0.9  # of its gradient descent


def as_it_is(inputs: Tensor, rare: int, generator: torch.Generator) -> Tensor:
    """The task itself: rows of ``inputs``, of which the first ``rare`` belong to the rare class."""
    return inputs[:0]


def copies(inputs: Tensor, rare: int, generator: torch.Generator) -> Tensor:
    """More rows of the rare class, drawn from it with replacement, until both classes are equal.

    Args:
        inputs: ``(n, D)``, the rare class first.
        rare: how many rows are of the rare class.
        generator: source of randomness.

    Returns:
        ``(n - 2 * rare, D)`` rows to add.

    Example:
        >>> copies(torch.tensor([[1.0], [0.0], [0.0], [0.0]]), 1, torch.Generator())
        tensor([[1.],
                [1.]])
    """
    missing = len(inputs) - 2 * rare
    return inputs[torch.randint(rare, (missing,), generator=generator)]


def smote(inputs: Tensor, rare: int, generator: torch.Generator) -> Tensor:
    """More rows of the rare class, each between a row of it and one of that row's five nearest in the class.

    Arguments and result as in :func:`copies`.

    Source: Chawla et al. (2002), section 4.2.

    Example:
        >>> rows = smote(torch.tensor([[0.0], [1.0], [5.0], [5.0], [5.0], [5.0]]), 2, torch.Generator().manual_seed(0))
        >>> bool(((rows >= 0) & (rows <= 1)).all()), len(rows)
        (True, 2)
    """
    few, missing = inputs[:rare], len(inputs) - 2 * rare
    labels = torch.zeros(rare, dtype=torch.int64)
    rounds = [SMOTE().draw(few, labels, generator=generator).apply(few) for _ in range(-(-missing // rare))]
    return torch.cat([few[:0], *rounds])[:missing]


OVERSAMPLERS: dict[str, Callable[[Tensor, int, torch.Generator], Tensor]] = {
    "as it is": as_it_is,
    "copies": copies,
    "SMOTE": smote,
}


def plane(rare: int, common: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """A task to look at: a rare class on an arc, beside a round cloud of the common one.

    Args:
        rare: rows of the rare class, which come first.
        common: rows of the other.
        generator: source of randomness.

    Returns:
        Inputs ``(rare + common, 2)`` float32 and labels int64, 1 for the rare class.

    Example:
        >>> plane(2, 3, torch.Generator().manual_seed(0))[1]
        tensor([1, 1, 0, 0, 0])
    """
    angle = torch.linspace(0.3, 2.6, rare) + 0.1 * torch.randn(rare, generator=generator)
    arc = 2.2 * torch.stack([angle.cos(), angle.sin()], 1) + 0.15 * torch.randn(rare, 2, generator=generator)
    cloud = 0.7 * torch.randn(common, 2, generator=generator)
    labels = torch.zeros(rare + common, dtype=torch.int64)
    labels[:rare] = 1
    return torch.cat([arc, cloud]), labels


@dataclass(frozen=True)
class Detection:
    """What the detectors of many tasks came to.

    Attributes:
        recall: ``(classes, seeds)`` part of the rare class that is found, in [0, 1].
        alarms: ``(classes, seeds)`` part of the other classes that is taken for it, in [0, 1].
    """

    recall: Tensor
    alarms: Tensor

    @property
    def balanced_error(self) -> Tensor:
        """``(classes, seeds)`` mean of the two error rates, in [0, 1]; 1/2 for a constant answer."""
        return ((1 - self.recall) + self.alarms) / 2

    def points(self, quantity: str = "balanced_error") -> dict[int, float]:
        """A quantity in percent, mean over the classes: seed -> number. Seeds pair across ways and learners."""
        return dict(enumerate((100 * getattr(self, quantity)).mean(0).tolist()))


def _task(train: Split, positive: int, few: int, many: int, seed: int) -> Tensor:
    """Rows of a task, the rare class first, scaled to [0, 1] and flattened."""
    draws = make_generator(seed, "imbalance", positive)
    flat = train.images.flatten(1).float() / 255

    def some(rows: Tensor, count: int) -> Tensor:
        rows = rows.nonzero()[:, 0]
        if len(rows) < count:
            raise ValueError(f"expected {count} examples to draw for class {positive}, received {len(rows)}")
        return flat[rows[torch.randperm(len(rows), generator=draws)[:count]]]

    own = train.labels == positive
    return torch.cat([some(own, few), some(~own, many)])


def network(inputs: Tensor, labels: Tensor, pictures: Tensor, seed: int) -> Tensor:
    """Train one network per task and ask it.

    It has a hidden layer of 16 units and takes 100 steps of gradient descent with momentum, on all rows.

    All tasks, and all ways to oversample them, start from one initialisation, so that they pair.

    Args:
        inputs: ``(T, n, D)`` rows of the tasks.
        labels: ``(T, n)`` float32, 1 for the rare class.
        pictures: ``(N, D)`` what the networks are asked about.
        seed: of the initialisation.

    Returns:
        ``(T, N)`` bool: what each takes for its rare class.

    Example:
        >>> found = network(torch.tensor([[[0.0], [1.0]]]), torch.tensor([[0.0, 1.0]]), torch.tensor([[0.1], [0.9]]), 0)
        >>> found.tolist()
        [[False, True]]
    """
    draws = make_generator(seed, "imbalance", "init")
    tasks, _, features = inputs.shape
    shapes = ((features, HIDDEN, features**-0.5), (1, HIDDEN, 0.0), (HIDDEN, 1, HIDDEN**-0.5), (1, 1, 0.0))
    weights = [
        (torch.randn(rows, columns, generator=draws) * scale).repeat(tasks, 1, 1).requires_grad_()
        for rows, columns, scale in shapes
    ]
    # Written out: loading torch's optimisers takes longer than these steps.
    velocities = [torch.zeros_like(weight) for weight in weights]
    for _ in range(STEPS):
        loss = torch.nn.functional.binary_cross_entropy_with_logits(_logits(inputs, weights), labels, reduction="sum")
        gradients = torch.autograd.grad(loss / labels.shape[1], weights)
        with torch.no_grad():
            for weight, velocity, gradient in zip(weights, velocities, gradients):
                weight.sub_(velocity.mul_(MOMENTUM).add_(gradient), alpha=RATE)
    with torch.no_grad():
        return _logits(pictures.expand(tasks, -1, -1), weights) > 0


def _logits(inputs: Tensor, weights: list[Tensor]) -> Tensor:
    first, bias, second, offset = weights
    hidden = torch.baddbmm(bias, inputs, first).relu()
    return torch.baddbmm(offset, hidden, second)[..., 0]


def tree(inputs: Tensor, labels: Tensor, pictures: Tensor, seed: int) -> Tensor:
    """Grow one decision tree per task until its leaves are pure, and ask it; arguments and result as in `network`.

    Example:
        >>> found = tree(torch.tensor([[[0.0], [1.0]]]), torch.tensor([[0.0, 1.0]]), torch.tensor([[0.1], [0.9]]), 0)
        >>> found.tolist()
        [[False, True]]
    """
    from sklearn.tree import DecisionTreeClassifier

    trees = [DecisionTreeClassifier(random_state=seed).fit(x.numpy(), y.numpy()) for x, y in zip(inputs, labels)]
    return torch.stack([torch.from_numpy(each.predict(pictures.numpy())) > 0.5 for each in trees])


#: What is trained on a task.
LEARNERS: dict[str, Callable[[Tensor, Tensor, Tensor, int], Tensor]] = {"decision tree": tree, "network": network}


def detect(
    learner: Callable[[Tensor, Tensor, Tensor, int], Tensor],
    oversample: Callable[[Tensor, int, torch.Generator], Tensor],
    train: Split,
    test: Split,
    *,
    classes: int,
    seeds: int,
    few: int,
    ratio: int = 20,
) -> Detection:
    """Train a detector of every class from ``few`` examples of it and ``ratio`` times as many others, and test it.

    Rows, initialisation and test set depend on the class and the seed alone: two ways to oversample are paired.

    Args:
        learner: one of :data:`LEARNERS`.
        oversample: one of :data:`OVERSAMPLERS`.
        train: rows to draw the tasks from.
        test: rows to count on.
        classes: how many classes are made rare, one after the other.
        seeds: repetitions with other rows and another initialisation.
        few: examples of the rare class, at least 1.
        ratio: examples of the others for each of them, at least 1.

    Raises:
        ValueError: if a class, or what is left beside it, has fewer examples than are asked for, or for a number
            below 1.

    Example:
        >>> from mixlab.data import load
        >>> data = load("digits")
        >>> found = detect(tree, copies, data.train, data.test, classes=2, seeds=1, few=5)
        >>> found.recall.shape
        torch.Size([2, 1])
    """
    if min(classes, seeds, few, ratio) < 1:
        raise ValueError(f"expected classes, seeds, few and ratio of at least 1, received {classes}, {seeds}, {few} "
                         f"and {ratio}")
    pictures = test.images.flatten(1).float() / 255
    truth = test.labels == torch.arange(classes)[:, None]
    recall, alarms = torch.empty(classes, seeds), torch.empty(classes, seeds)
    for seed in range(seeds):
        rows = [_task(train, positive, few, few * ratio, seed) for positive in range(classes)]
        draws = [make_generator(seed, "oversample", positive) for positive in range(classes)]
        added = [oversample(task, few, each) for task, each in zip(rows, draws)]
        inputs = torch.stack([torch.cat([task, more]) for task, more in zip(rows, added)])
        labels = torch.zeros(inputs.shape[:2])
        labels[:, :few] = 1
        labels[:, len(rows[0]) :] = 1
        found = learner(inputs, labels, pictures, seed)
        recall[:, seed] = (found & truth).sum(1) / truth.sum(1)
        alarms[:, seed] = (found & ~truth).sum(1) / (~truth).sum(1)
    return Detection(recall, alarms)

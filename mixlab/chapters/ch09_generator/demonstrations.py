"""What the chapter shows on digits that need no download: generators, and a closed form of the smallest change."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from mixlab.data import Dataset
from mixlab.data.augment import normalise
from mixlab.generator import RECIPES, SampleGenerator, divergence, train_generator
from mixlab.models import Teacher

__all__ = ["answers", "by_hand", "first_of_each", "smallest_change", "trained",
           "within_class"]


def by_hand(mu: Tensor, said: Mapping[str, Sequence[float]]):
    """Cross-entropy, entropy and divergence of answers from a soft label, in nats; a table.

    Args:
        mu: (C,), positive, sums to 1.
        said: name -> C probabilities.

    Returns:
        A pandas DataFrame with a line for every answer.

    Example:
        >>> by_hand(torch.tensor([0.5, 0.5]), {"even": [0.5, 0.5]}).round(3).values.tolist()
        [[0.693, 0.693, 0.0]]
    """
    import pandas

    entropy = -(mu * mu.log()).sum().item()
    rows = {}
    for name, answer in said.items():
        cross = -(mu * torch.tensor(answer).log()).sum().item()
        rows[name] = (cross, entropy, cross - entropy)
    return pandas.DataFrame.from_dict(rows, orient="index", columns=["CE", "H(μ)", "KL"])


def smallest_change(weight: Tensor, images: Tensor, mu: Tensor) -> Tensor:
    r"""The shortest δ with softmax(A (x + δ)) = μ, for a linear classifier A.

    .. math:: \delta = (P A)^+ (P \ln \mu - P A x), \qquad P = I - \tfrac1C 1 1^\top

    Args:
        weight: A, (C, d), of rank C - 1 at least after its rows' mean is taken off.
        images: x, (B, d).
        mu: (B, C), positive, rows sum to 1.

    Returns:
        (B, d).

    Example:
        >>> weight, images, mu = torch.eye(2), torch.zeros(1, 2), torch.tensor([[0.75, 0.25]])
        >>> change = smallest_change(weight, images, mu)
        >>> ((images + change) @ weight.T).softmax(1)
        tensor([[0.7500, 0.2500]])
    """
    centred = weight - weight.mean(0)
    asked = mu.log() - mu.log().mean(1, keepdim=True)
    return (asked - images @ centred.T) @ torch.linalg.pinv(centred).T


def trained(classifier: Teacher, data: Dataset, epochs: int, **options) -> SampleGenerator:
    """A small generator for 8×8 digits, by the recipe "generator-bench" without augmentation.

    Args:
        classifier: W'.
        data: its training images are learned on.
        epochs: passes over them.
        options: see `mixlab.generator.train_generator`.
    """
    recipe = replace(RECIPES["generator-bench"].over(epochs), augment="none")
    return train_generator(classifier, data, recipe, **{"base": 8, "downs": 2, "device": "cpu"} | options)[0]


def answers(made: Mapping[str, Tensor], classifier: Teacher, mu: Tensor, images: Tensor):
    """What a classifier finds in images of several kinds that were made for one set of soft labels; a table.

    Args:
        made: name -> images (B, ...).
        classifier: W'.
        mu: (B, C).
        images: (B, ...), what they were made of.

    Returns:
        A pandas DataFrame: mean KL(μ ‖ W'(x̃)) in nats, the mean length of the change, and the percent of images in
        which the classifier's likeliest class is that of μ.
    """
    import pandas

    rows = {}
    for name, each in made.items():
        with torch.no_grad():
            logits = classifier(each)
        right = (logits.argmax(1) == mu.argmax(1)).double().mean()
        rows[name] = (divergence(mu, logits).mean().item(), (each - images).flatten(1).norm(dim=1).mean().item(),
                      100 * right.item())
    return pandas.DataFrame.from_dict(rows, orient="index", columns=["KL", "‖x̃ − x‖", "likeliest class of μ, %"])


def first_of_each(data: Dataset, classes: Sequence[int]) -> tuple[Tensor, Tensor]:
    """The first test image of each class, normalised, and the classes.

    Args:
        data: see `mixlab.data.load`.
        classes: which.
    """
    rows = [int((data.test.labels == each).nonzero()[0, 0]) for each in classes]
    return normalise(data.test.images[rows], data.mean, data.std), data.test.labels[rows]


def within_class(labels: Tensor) -> Tensor:
    """For each row the next one of its class, for the last one the first: a permutation.

    Args:
        labels: (N,) integers.

    Returns:
        (N,) int64.

    Example:
        >>> within_class(torch.tensor([7, 3, 7, 5, 7]))
        tensor([2, 1, 4, 3, 0])
    """
    following = torch.empty_like(labels)
    for each in labels.unique():
        rows = (labels == each).nonzero()[:, 0]
        following[rows] = rows.roll(-1)
    return following

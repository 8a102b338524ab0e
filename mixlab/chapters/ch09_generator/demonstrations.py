"""What the chapter shows on digits that need no download: generators, controls, the smallest change in closed form."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from mixlab.data import Dataset
from mixlab.data.augment import normalise
from mixlab.generator import RECIPES, SampleGenerator, divergence, noisy, perturbed, train_generator
from mixlab.models import Teacher
from mixlab.rng import generator

__all__ = ["along", "by_hand", "first_of_each", "found", "held_out", "in_words", "linear_reader", "smallest_change",
           "trained"]


def by_hand(mu: Tensor, said: Mapping[str, Sequence[float]]):
    """Cross-entropy, entropy and divergence of answers from a soft label, in nats; a table.

    Args:
        mu: (C,), positive, sums to 1.
        said: name -> C probabilities, positive.

    Returns:
        A pandas DataFrame of strings, with a line for every answer.

    Example:
        >>> by_hand(torch.tensor([0.5, 0.5]), {"even": [0.5, 0.5]}).loc["even"].to_list()
        ['0.50 0.50', '0.693', '0.693', '0.000']
    """
    import pandas

    entropy = -(mu * mu.log()).sum().item()
    rows = {}
    for name, answer in said.items():
        cross = -(mu * torch.tensor(answer).log()).sum().item()
        numbers = (cross, entropy, abs(round(cross - entropy, 6)))  # no minus before a zero
        rows[name] = (" ".join(f"{each:.2f}" for each in answer), *(f"{number:.3f}" for number in numbers))
    return pandas.DataFrame.from_dict(rows, orient="index", columns=["answer", "CE", "H(μ)", "KL"])


def linear_reader(data: Dataset, steps: int = 100) -> Tensor:
    """The weights A of a linear classifier softmax(A x) of normalised images, without a bias.

    Gradient descent on the cross-entropy of all training images, with Adam and a small penalty on the weights, from 0:
    nothing is drawn.

    Args:
        data: see `mixlab.data.load`.
        steps: of gradient descent.

    Returns:
        (C, d) float64, d the numbers in an image.
    """
    images = normalise(data.train.images, data.mean, data.std).flatten(1).double()
    weight = torch.zeros(data.num_classes, images.shape[1], dtype=torch.float64, requires_grad=True)
    adam = torch.optim.Adam([weight], lr=0.05)
    for _ in range(steps):
        loss = nn.functional.cross_entropy(images @ weight.T, data.train.labels) + 1e-2 * weight.square().sum()
        adam.zero_grad()
        loss.backward()
        adam.step()
    return weight.detach()


def smallest_change(weight: Tensor, images: Tensor, mu: Tensor) -> Tensor:
    r"""The shortest δ with softmax(A (x + δ)) = μ, for a linear classifier A.

    .. math:: \delta = (P A)^+ P (\ln \mu - A x), \qquad P = I - \tfrac1C 1 1^\top

    Args:
        weight: A, (C, d), whose rows span C - 1 dimensions at least when their mean is taken off.
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
        options: see `mixlab.generator.train_generator`. Wherever it is trained, it comes back on the CPU.
    """
    recipe = replace(RECIPES["generator-bench"].over(epochs), augment="none")
    found = train_generator(classifier, data, recipe, **{"base": 4, "downs": 2, "device": "cpu"} | options)[0]
    classifier.cpu()  # training takes it along
    return found.cpu()


def held_out(data: Dataset) -> tuple[Tensor, Tensor]:
    """All test images, normalised, and their labels."""
    return normalise(data.test.images, data.mean, data.std), data.test.labels


def first_of_each(data: Dataset, classes: Sequence[int]) -> tuple[Tensor, Tensor]:
    """The first test image of each class, normalised, and the classes.

    Args:
        data: see `mixlab.data.load`.
        classes: which.

    Example:
        >>> from mixlab.data import load
        >>> images, labels = first_of_each(load("digits"), [3, 0])
        >>> images.shape, labels
        (torch.Size([2, 1, 8, 8]), tensor([3, 0]))
    """
    rows = [int((data.test.labels == each).nonzero()[0, 0]) for each in classes]
    return normalise(data.test.images[rows], data.mean, data.std), data.test.labels[rows]


@torch.no_grad()
def found(classifier: nn.Module, images: Tensor, labels: Tensor, asked: Tensor) -> dict[str, float]:
    """What a classifier finds in images that were made for another class than their own, in percent of the images.

    Args:
        classifier: maps images to logits.
        images: (N, ...).
        labels: (N,) their own classes.
        asked: (N,) the likeliest classes of the soft labels that they were made for.

    Returns:
        "kept": the own class is found; "written": the class that was asked for.

    Example:
        >>> found(lambda images: images, torch.eye(4), torch.tensor([0, 1, 0, 0]), torch.tensor([1, 0, 2, 3]))
        {'kept': 50.0, 'written': 50.0}
    """
    likeliest = classifier(images).argmax(1)
    return {name: 100 * (likeliest == each).double().mean().item()
            for name, each in (("kept", labels), ("written", asked))}


def along(classifier: Teacher, images: Tensor, mu: Tensor, made: Tensor, parts: Sequence[float]
          ) -> dict[str, list[float]]:
    """KL(μ ‖ W'(x + δ)) for three kinds of change δ, each of which is a part of ‖x̃ - x‖ long, image by image.

    Args:
        classifier: W'.
        images: x, (B, ...).
        mu: (B, C) soft labels.
        made: x̃, (B, ...).
        parts: of ‖x̃ - x‖, 0 or more.

    Returns:
        Name of a kind -> the mean KL in nats for each part: "attack", see `mixlab.generator.perturbed`; "generator",
        the change x̃ - x made shorter; "noise", see `mixlab.generator.noisy`.
    """
    whole = (made - images).flatten(1).norm(dim=1)

    def kl(changed: Tensor) -> float:
        with torch.no_grad():
            return divergence(mu, classifier(changed)).mean().item()

    draws = generator("along")
    return {
        "generator": [kl(images + part * (made - images)) for part in parts],
        "attack": [kl(perturbed(classifier, images, mu, part * whole, generator=draws)) for part in parts],
        "noise": [kl(noisy(images, part * whole, generator=draws)) for part in parts],
    }


def in_words(images: Tensor, made: Tensor, mu: Tensor, logits: Tensor, ignorant: float) -> str:
    """What a frame of the slider shows of a generator, for who cannot see it.

    Args:
        images, made: x and x̃, (B, ...).
        mu, logits: (B, C), what was asked for, and what the classifier says of x̃.
        ignorant: KL of the best label that ignores μ.

    Example:
        >>> even, ones = torch.full((1, 2), 0.5), torch.ones(1, 4)
        >>> in_words(ones, 2 * ones, even, torch.zeros(1, 2), 0.0)
        'images moved by 1.0 of their length; KL 0.00 nats, 0.00 for a label that ignores μ'
    """
    moved = (made - images).flatten(1).norm(dim=1).mean() / images.flatten(1).norm(dim=1).mean()
    kl = divergence(mu, logits).mean().clamp(min=0)
    return (f"images moved by {moved:.1f} of their length; KL {kl:.2f} nats, {ignorant:.2f} for a label that ignores μ")

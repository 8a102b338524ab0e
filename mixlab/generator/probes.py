"""What a generator does to images, in numbers: how far it moves them, what it writes into them, what it keeps.

Functions of tensors, and `probe`, which asks them all of a generator and the classifier that it was trained against.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Generator, Tensor, nn

from mixlab.generator.law import divergence, kl_of_ignorant, soft_labels

__all__ = ["change", "divergences", "other_classes", "partners_in_class", "probe"]


def change(images: Tensor, made: Tensor) -> dict[str, float]:
    """How far images were moved, beside how long they are: mean ‖x̃ - x‖ ("moved") and mean ‖x‖ ("norm").

    Args:
        images, made: (B, ...) of one shape.

    Example:
        >>> change(torch.ones(2, 1, 2, 2), torch.zeros(2, 1, 2, 2) - 1)
        {'moved': 4.0, 'norm': 2.0}
    """
    lengths = {"moved": (made - images).flatten(1).norm(dim=1), "norm": images.flatten(1).norm(dim=1)}
    return {name: length.double().mean().item() for name, length in lengths.items()}


def partners_in_class(labels: Tensor, *, generator: Generator) -> Tensor:
    """For each row another row of the same class, at random: a permutation that moves every row it can.

    Args:
        labels: (N,) integers.
        generator: source of randomness.

    Returns:
        (N,) int64; a row whose class no other row has is its own partner.

    Example:
        >>> partners_in_class(torch.tensor([7, 3, 7, 5]), generator=torch.Generator().manual_seed(0))
        tensor([2, 1, 0, 3])
    """
    shuffled = torch.randperm(len(labels), generator=generator, device=generator.device).to(labels.device)
    rows = shuffled[labels[shuffled].argsort(stable=True)]  # class by class, in random order within each
    sizes = torch.unique_consecutive(labels[rows], return_counts=True)[1]
    following = torch.arange(1, len(rows) + 1, device=rows.device)
    ends = sizes.cumsum(0)
    following[ends - 1] = ends - sizes  # the last one of a class is followed by its first
    return torch.empty_like(rows).scatter_(0, rows, rows[following])


def other_classes(labels: Tensor, num_classes: int, *, generator: Generator) -> Tensor:
    """For each row a class that it is not of, uniformly at random.

    Args:
        labels: (N,) int64 in [0, num_classes).
        num_classes: at least 2.
        generator: source of randomness.

    Example:
        >>> other_classes(torch.tensor([0, 1, 0]), 2, generator=torch.Generator().manual_seed(0))
        tensor([1, 0, 1])
    """
    shift = torch.randint(1, num_classes, labels.shape, generator=generator, device=generator.device)
    return (labels + shift.to(labels.device)) % num_classes


def divergences(mu: Tensor, logits: Tensor, labels: Tensor, *, generator: Generator) -> dict[str, float]:
    """KL of what a classifier says of generated images from the μ they were made for, and from μ of other rows.

    Args:
        mu: (N, C), for which the images were made.
        logits: (N, C), the classifier's on them.
        labels: (N,), the images' classes.
        generator: source of the permutations.

    Returns:
        "kl": the mean of KL(μ ‖ W'(x̃)) in nats. "kl_class": with the μ of another image of the same class, over the
        rows that have one; that it is larger says that the background of μ is in the images. "kl_any": with that of
        any other image; NaN where there is none.

    Example:
        >>> mu, labels = torch.tensor([[0.5, 0.4, 0.1], [0.5, 0.1, 0.4], [0.2, 0.2, 0.6]]), torch.tensor([0, 0, 2])
        >>> found = divergences(mu, mu.log(), labels, generator=torch.Generator().manual_seed(0))
        >>> [round(found[name], 3) for name in ("kl", "kl_class")]
        [0.0, 0.416]
    """
    same = partners_in_class(labels, generator=generator)
    found = same != torch.arange(len(same), device=same.device)
    anyone = partners_in_class(torch.zeros_like(labels), generator=generator)
    if len(labels) < 2:
        anyone = anyone[:0]
    of = {"kl": divergence(mu, logits), "kl_class": divergence(mu[same], logits)[found],
          "kl_any": divergence(mu[anyone], logits[:len(anyone)])}
    return {name: each.double().mean().item() for name, each in of.items()}


def probe(make: Callable[[Tensor, Tensor], Tensor], classifier: nn.Module, images: Tensor, labels: Tensor, *,
          num_classes: int, epsilon: float = 0.5, background: str = "uniform", generator: Generator,
          batch_size: int = 500) -> dict[str, float]:
    r"""What a generator does to images, as its frozen classifier sees it.

    Args:
        make: maps images (B, ...) and soft labels (B, C) to images: a `SampleGenerator`, or a network in evaluation
            mode.
        classifier: maps images to logits, W'.
        images: (N, ...), normalised as both expect.
        labels: (N,) int64.
        num_classes: C.
        epsilon, background: the law of the labels, see `soft_labels`.
        generator: source of all labels and permutations.
        batch_size: images at a time.

    Returns:
        - "moved", "norm": see `change`.
        - "kl", "kl_class", "kl_any": see `divergences`. "kl_before": KL(μ ‖ W'(x)), of the images as they were.
          "kl_ignorant": that of the best label that ignores μ, `kl_of_ignorant`.
        - Parts of the images in which the classifier finds a class, in percent. "right_before": their own, before.
          "given": their own, in images made for μ around it. That is what the loss asks for, so it says how well a
          class is written, and not whether the image is still there. For that the generator is asked for another
          class: μ is drawn around a wrong class w, at random ("wrong"), or it is the μ of another image, whatever its
          class ("swapped"). Then "…_kept" is how often the classifier still finds the image's own class, and
          "…_written" how often it finds the likeliest class of the μ that it was asked for.

    Example:
        >>> classifier = nn.Sequential(nn.Flatten(), nn.Linear(4, 3))
        >>> found = probe(lambda images, mu: images, classifier, torch.rand(9, 1, 2, 2), torch.arange(9) % 3,
        ...               num_classes=3, generator=torch.Generator().manual_seed(0))
        >>> found["moved"], found["given"] == found["right_before"] == found["wrong_kept"]
        (0.0, True)
    """
    law = {"num_classes": num_classes, "epsilon": epsilon, "background": background, "generator": generator}
    mu, wrong = soft_labels(labels, **law), other_classes(labels, num_classes, generator=generator)
    swapped = mu[partners_in_class(torch.zeros_like(labels), generator=generator)]
    asked = {"given": mu, "wrong": soft_labels(wrong, **law), "swapped": swapped}
    before = _in_batches(classifier, batch_size, images)
    right = {"right_before": before.argmax(1) == labels}
    found = {}
    for name, each in asked.items():
        made = _in_batches(make, batch_size, images, each)
        logits = _in_batches(classifier, batch_size, made)
        if name == "given":
            found = change(images, made) | divergences(mu, logits, labels, generator=generator)
            right["given"] = logits.argmax(1) == labels
        else:
            right[f"{name}_kept"] = logits.argmax(1) == labels
            right[f"{name}_written"] = logits.argmax(1) == (wrong if name == "wrong" else each.argmax(1))
    found["kl_before"] = divergence(mu, before).double().mean().item()
    found["kl_ignorant"] = kl_of_ignorant(num_classes, epsilon, background=background)
    return found | {name: 100 * each.double().mean().item() for name, each in right.items()}


def _in_batches(function: Callable[..., Tensor], size: int, *tensors: Tensor) -> Tensor:
    """What a function gives, batch by batch, without a graph."""
    with torch.no_grad():
        return torch.cat([function(*parts) for parts in zip(*(each.split(size) for each in tensors), strict=True)])

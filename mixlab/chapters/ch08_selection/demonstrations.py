"""What the chapter shows on digits that need no download: a scorer, its losses, and how far two scores agree."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import torch
from scipy.stats import spearmanr
from torch import Tensor, nn

from mixlab.bayes import Scores, composite_losses, surroundings
from mixlab.chapters.ch08_selection.experiments import selection as plan
from mixlab.data import Dataset
from mixlab.data.augment import normalise
from mixlab.mixers import DCutMix
from mixlab.models import Teacher, initialise
from mixlab.risk import VicinalRisk
from mixlab.rng import generator
from mixlab.selection import choose
from mixlab.train import fit
from mixlab.train.recipes import by_name

__all__ = ["MIXING", "Agreement", "agreement", "break_even", "by_hand", "losses_of", "moments", "pays_back", "scorer",
           "seen_around", "small_network", "two_anchors", "within_classes"]

#: K and α of the chapter, in training and in scores.
MIXING = {"k": 3, "alpha": 1 / 3}


def small_network(classes: int, seed: int = 0) -> nn.Module:
    """Three convolutions with batch normalisation and a linear head, for grey images of 8×8 pixels.

    Args:
        classes: number of logits.
        seed: of the initial weights.

    Example:
        >>> small_network(10)(torch.zeros(2, 1, 8, 8)).shape
        torch.Size([2, 10])
    """
    layers: list[nn.Module] = []
    with torch.device("meta"):  # without memory no layer draws from the global generator
        for before, after, stride in ((1, 16, 1), (16, 32, 2), (32, 32, 1)):
            layers += [nn.Conv2d(before, after, 3, stride, padding=1, bias=False), nn.BatchNorm2d(after), nn.ReLU()]
        layers += [nn.Flatten(), nn.Linear(512, classes)]
    return initialise(nn.Sequential(*layers).to_empty(device="cpu"), generator(seed, "small network"))


def scorer(data: Dataset, epochs: int, seed: int = 0, device: str = "cpu") -> tuple[Teacher, float]:
    """A small network that DCutMix has trained on a set of 8×8 images, frozen, and its test error in percent.

    Args:
        data: grey images of 8×8 pixels.
        epochs: of the recipe "demo".
        seed: of everything.
        device: on which it is trained; what comes back is on the CPU.
    """
    network = small_network(data.num_classes, seed)
    result = fit(network, VicinalRisk(DCutMix(**MIXING)), data, by_name("demo").over(epochs), seed=seed, device=device)
    return Teacher(network.cpu(), mean=data.mean, std=data.std), result.last["test_error"]


def by_hand(losses: Mapping[str, Sequence[float]]):
    """Mean, standard deviation and coefficient of variation of losses, and which policies keep an image; a table.

    Args:
        losses: of each image of one class, under a name.

    Returns:
        A pandas DataFrame with a line for every image. A policy that keeps one image of the class names it in the last
        column.

    Example:
        >>> by_hand({"a": [1.0, 3.0], "b": [4.0, 4.0]}).round(2).values.tolist()
        [[2.0, 1.41, 0.71, 'high CV, easy, std'], [4.0, 0.0, 0.0, 'hard']]
    """
    import pandas

    frame = pandas.DataFrame({name: pandas.Series(values) for name, values in losses.items()})
    table = pandas.DataFrame({"mean m": frame.mean(), "deviation σ": frame.std()})
    table["CV = σ / m"] = table["deviation σ"] / table["mean m"]
    kept = {"high CV": table["CV = σ / m"].idxmax(), "easy": table["mean m"].idxmin(),
            "hard": table["mean m"].idxmax(), "std": table["deviation σ"].idxmax()}
    table["kept by"] = [", ".join(policy for policy, name in kept.items() if name == image) for image in table.index]
    return table


def losses_of(network: nn.Module, data: Dataset, draws: int, *, seed: int = 0, loss: str = "ce",
              companion_sets: int | None = None) -> Tensor:
    """All losses that `mixlab.bayes.score` takes the moments of: (draws, N) float64, in nats.

    Args:
        network: the scorer; one that is no `Teacher` takes images as the data's moments normalise them.
        data: its training images are the anchors, and the companions.
        draws: composites of every image.
        seed, loss, companion_sets: see `mixlab.bayes.score`.
    """
    moments_of = {"mean": data.mean, "std": data.std}
    around = surroundings(data.train, num_classes=data.num_classes, draws=draws, seed=seed,
                          companion_sets=companion_sets, **MIXING, **moments_of)
    images = normalise(data.train.images, data.mean, data.std)
    if isinstance(network, Teacher):
        network = network.for_images(data.mean, data.std)
    return composite_losses(network, images, data.train.labels, around, loss=loss)


def moments(losses: Tensor, data: Dataset, first: int | None = None) -> Scores:
    """The scores that the first draws give.

    Args:
        losses: (draws, N), see `losses_of`.
        data: of the losses.
        first: how many draws; all by default.
    """
    order = data.train.rows.argsort()
    taken = losses[:first, order]
    return Scores(data.train.rows[order], data.train.labels[order], taken.mean(0), taken.std(0), len(taken),
                  {"eps": 0.0})


def two_anchors(scores: Scores, data: Dataset, label: int) -> dict[str, int]:
    """The images of a class with the largest and the smallest coefficient of variation: places in the training split.

    Args:
        scores: of all images of `data`.
        data: its training split is searched.
        label: the class.
    """
    of_class = (scores.labels == label).nonzero()[:, 0]
    order = of_class[scores.cv[of_class].argsort(descending=True)]
    rows = {"largest CV": scores.rows[order[0]], "smallest CV": scores.rows[order[-1]]}
    return {name: int((data.train.rows == row).nonzero()[0, 0]) for name, row in rows.items()}


def seen_around(anchors: Mapping[str, int], data: Dataset, losses: Tensor, draws: int,
                seed: int = 0) -> dict[str, tuple[Tensor, Tensor, list[float | None]]]:
    """Anchors alone and in the first of the surroundings in which their losses were found.

    Args:
        anchors: name -> place in the training split.
        data: grey images.
        losses: (M, N), see `losses_of`.
        draws: surroundings that are shown.
        seed: that of the losses.

    Returns:
        For each anchor pictures (1 + draws, H, W) in [0, 1], the anchor's masks of the same shape, and the losses, None
        for the anchor alone.
    """
    around = surroundings(data.train, mean=[0.0], std=[1.0], num_classes=data.num_classes, draws=len(losses), seed=seed,
                          **MIXING)
    found = {}
    for name, place in anchors.items():
        alone = normalise(data.train.images[place : place + 1], [0.0], [1.0])
        pictures = torch.cat([alone, *(around.apply(draw, alone) for draw in range(draws))])
        masks = torch.cat([torch.ones_like(alone[:, 0]), around.masks[:draws, 0]])
        found[name] = (pictures[:, 0], masks, [None, *losses[:draws, place].tolist()])
    return found


def within_classes(first: Tensor, second: Tensor, labels: Tensor) -> float:
    """Spearman's rank correlation of two scores within a class, the mean over the classes.

    Args:
        first, second: (N,).
        labels: (N,).

    Example:
        >>> labels = torch.tensor([0, 0, 0, 1, 1, 1])
        >>> within_classes(torch.tensor([1.0, 2, 3, 1, 2, 3]), torch.tensor([1.0, 2, 3, 3, 2, 1]), labels)
        0.0
    """
    found = [spearmanr(first[labels == each], second[labels == each]).statistic for each in labels.unique()]
    return float(sum(found) / len(found))


@dataclass(frozen=True)
class Agreement:
    """How far independent scores agree, for several numbers of draws; means over all pairs of scores.

    Args:
        draws: M.
        cv, mean: Spearman's rank correlation within a class of the coefficients of variation, and of the mean losses.
        overlap: percent of the tenth that high CV keeps by one score which it keeps by the other as well.
    """

    draws: tuple[int, ...]
    cv: tuple[float, ...]
    mean: tuple[float, ...]
    overlap: tuple[float, ...]


def agreement(scores: Sequence[Tensor], data: Dataset, draws: Sequence[int], t: float = 0.1) -> Agreement:
    """How far scores of independent draws agree when they have the first M of their draws.

    Args:
        scores: two or more (M, N) losses with seeds of their own, see `losses_of`.
        data: of the losses.
        draws: numbers M.
        t: part that is kept of each class.

    Raises:
        ValueError: for fewer than two scores.
    """
    if len(scores) < 2:
        raise ValueError(f"expected two scores or more, received {len(scores)}")
    found = []
    for number in draws:
        taken = [moments(losses, data, number) for losses in scores]
        kept = [choose(each.cv, each.rows, each.labels, t) for each in taken]
        found.append([sum(values) / len(values) for values in zip(*(
            (within_classes(taken[i].cv, taken[j].cv, taken[i].labels),
             within_classes(taken[i].mean, taken[j].mean, taken[i].labels),
             100 * torch.isin(kept[i], kept[j]).double().mean().item())
            for i, j in combinations(range(len(scores)), 2)
        ), strict=True)])
    return Agreement(tuple(draws), *(tuple(each) for each in zip(*found, strict=True)))


def pays_back(scorer: float, scores: float, epochs: int, t: float = 0.1) -> tuple[float, float]:
    """What choosing costs, in epochs over all images, and after how many epochs a training on the part has paid for it.

    A training of E epochs on the part t takes t of the time that E epochs on all images take. So it saves 1 - t of it.

    Args:
        scorer: seconds in which the scorer was trained on all images.
        scores: seconds in which it scored them.
        epochs: of the scorer's training, at least 1.
        t: part that is kept, less than 1.

    Returns:
        Both numbers of epochs. (With equal steps, not epochs, nothing is saved, and choosing never pays for itself.)

    Example:
        >>> pays_back(scorer=20.0, scores=160.0, epochs=10, t=0.1)
        (90.0, 100.0)
    """
    if epochs < 1 or not 0 <= t < 1:
        raise ValueError(f"expected at least one epoch and a part in [0, 1), received {epochs} and {t}")
    whole = (scorer + scores) / (scorer / epochs)
    return whole, whole / (1 - t)


def break_even(frame) -> Iterator[str]:
    """What `pays_back` says of the bench, from the records of the experiment `selection`; a line for each setting.

    Args:
        frame: see `mixlab.reproduce.load`; a setting without records is told as such.
    """
    for name in plan.SETTINGS:
        part = frame if frame.empty else frame[frame["run"].str.startswith(f"{name}-high-cv")]
        if part.empty:
            yield f"{name}: not on record"
            continue
        seconds = (part[column].mean() for column in ("scorer_seconds", "score_seconds"))
        whole, after = pays_back(*seconds, plan.SCORER["epochs"], plan.PART)
        yield (f"{name}: scorer and scores take as long as {whole:.0f} epochs over all {plan.LIMIT:,} images; in equal "
               f"epochs a tenth has paid for them after {after:.0f}")

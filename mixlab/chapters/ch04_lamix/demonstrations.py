"""What the chapter trains while the page is built: networks of a second each, on handwritten digits."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from mixlab.analysis.cam import attended_area, cam
from mixlab.analysis.small import error, perceptron
from mixlab.mixers import Average, Mixup
from mixlab.models import inference, initialise
from mixlab.risk import EmpiricalRisk, LaMixRisk, Risk, VicinalRisk
from mixlab.rng import generator

__all__ = [
    "HEADS", "METHODS", "Attention", "History", "Noise", "attention", "attentive", "bottleneck", "embeddings",
    "errors_said", "label_noise", "mean_areas", "progress", "risk_of", "second_head", "tightness", "train",
]

BETA = 0.5
#: The ways to train W_t, or not, as options of `LaMixRisk`.
HEADS = {
    "full": {"target_grad": "full"},
    "head": {"target_grad": "head"},
    "none": {"target_grad": "none"},
    "no sigmoid": {"sigmoid": False},
}
METHODS = ("no mixing", "Mixup", "uniform in place of p", "LaMix")


@dataclass(frozen=True)
class Noise:
    """What a random λ does to the gradient of a mini-batch, in parts of the length of the gradient at λ = ½.

    Attributes:
        draws: numbers of λ in a mean.
        distances: for each, the root mean square distance of the mean gradient to that at ½.
        theory: the distance for one draw: the root of the summed squared slopes in each pair's λ, over 12.
    """

    draws: tuple[int, ...]
    distances: tuple[float, ...]
    theory: float


def label_noise(gradient: Callable[[Tensor], Tensor], pairs: int, draws: int, numbers: torch.Generator) -> Noise:
    """Measure it, and compute it from the slopes of the gradient, which is straight in every λ.

    Args:
        gradient: maps the λ of all pairs, (pairs,) float64, to a flat gradient.
        pairs: of the mini-batch.
        draws: how many λ are drawn for each pair, a multiple of 256.
        numbers: source of the λ, uniform on [0, 1].

    Example:
        >>> noise = label_noise(lambda share: 6 + 3 * share, 2, 1024, torch.Generator().manual_seed(0))
        >>> round(noise.theory, 4)  # two slopes of 3, and a gradient of (7.5, 7.5)
        0.1155
        >>> round(noise.distances[0], 2), round(2 * noise.distances[1], 2)  # measured, with 1 and with 4 draws
        (0.12, 0.12)
    """
    half = gradient(torch.full((pairs,), 0.5, dtype=torch.float64))
    shares = torch.rand(draws, pairs, generator=numbers, dtype=torch.float64)
    drawn = torch.stack([gradient(each) for each in shares]) - half
    lengths = (1, 4, 16, 64, 256)
    means = [drawn.unflatten(0, (-1, length)).mean(1) for length in lengths]
    distances = tuple((each.square().sum(1).mean().sqrt() / half.norm()).item() for each in means)
    # With the λ of one pair at its end the gradient has gone half of its slope in that λ.
    ends = 0.5 + 0.5 * torch.eye(pairs, dtype=torch.float64)
    slopes = torch.stack([2 * (gradient(end) - half) for end in ends])
    return Noise(lengths, distances, ((slopes.square().sum() / 12).sqrt() / half.norm()).item())


def risk_of(method: str, classes: int, width: int, layer: str, seed: int) -> Risk:
    """The risk of one of `METHODS` for a network.

    Args:
        method: its name; "uniform in place of p" is LaMix's control.
        classes: number of logits.
        width: inputs of the network's linear head.
        layer: name of that head.
        seed: of LaMix's second head.

    Raises:
        ValueError: for another method.

    Example:
        >>> control = risk_of("uniform in place of p", 10, 64, "4", seed=0)
        >>> control.label_smoothing, control.clean
        (0.5, True)
    """
    if method not in METHODS:
        raise ValueError(f"expected a method of {', '.join(METHODS)}, received {method!r}")
    if method == "no mixing":
        return EmpiricalRisk()
    if method == "Mixup":
        return VicinalRisk(Mixup(1.0))
    if method == "LaMix":
        return LaMixRisk(classes, width, beta=BETA, layer=layer, generator=generator(seed, "head"))
    return VicinalRisk(Average(pairing="permutation"), label_smoothing=1 - BETA, clean=True)


def train(network: nn.Module, risk: Risk, images: Tensor, labels: Tensor, *, epochs: int, seed: int = 0,
          batch: int = 100, lr: float = 0.1, watch: Callable[[int], None] | None = None) -> nn.Module:
    """Train a network and its risk in place, by SGD with momentum and a rate that rises and falls.

    Order and mixing follow from the seed, so runs of one seed see the same batches whatever the risk.

    Args:
        network: images to logits.
        risk: what is minimised; what it has to train is trained, too.
        images: (N, ...) float32.
        labels: (N,) int64.
        epochs: passes over the images.
        seed: of order and mixing.
        batch: rows a step, about: an epoch is cut into equal parts.
        lr: the highest rate.
        watch: called with the number of epochs done, before the first and after each, with the network in evaluation
            mode and without gradients.

    Returns:
        The network, in evaluation mode.
    """
    trained = [each for module in (network, risk) for each in module.parameters() if each.requires_grad]
    parts = -(-len(images) // batch)
    optimizer = torch.optim.SGD(trained, lr=lr, momentum=0.9, nesterov=True, weight_decay=5e-4)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, lr, total_steps=epochs * parts)
    watch = (lambda epoch: None) if watch is None else watch
    for epoch in range(epochs):
        with inference(network):
            watch(epoch)
        order = torch.randperm(len(images), generator=generator(seed, "order", epoch))
        for place, rows in enumerate(order.tensor_split(parts)):
            step = epoch * parts + place
            loss = risk(network, (images[rows], labels[rows]), step=step, generator=generator(seed, "mix", step))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    with inference(network):
        watch(epochs)
    return network.eval()


@dataclass(frozen=True, eq=False)
class History:
    """What LaMix's second head said over training, of the same pictures each time.

    Attributes:
        clean: (T, N, C), p of every training picture, before the first epoch and after each.
        mixed: (T, N, C), p of the averages of one fixed draw of pairs.
        labels: (N, C) one-hot, of the pictures.
        local: (N, C), y_λ of the pairs.
        beta: weight of the local label.
        error: of the trained network on the clean training pictures, in percent.
    """

    clean: Tensor
    mixed: Tensor
    labels: Tensor
    local: Tensor
    beta: float
    error: float

    @property
    def top(self) -> Tensor:
        """(T,) the mean over clean pictures of the largest entry of p."""
        return self.clean.amax(2).mean(1)

    @property
    def favourite(self) -> float:
        """At the end: the part of the clean pictures that agree on the class to which p gives most."""
        return torch.bincount(self.clean[-1].argmax(1)).max().item() / self.clean.shape[1]

    @property
    def shares(self) -> tuple[float, float, float]:
        """At the end, mean over the clean pictures of all classes but the favourite: p of their own class, of the
        favourite, and of each other class."""
        p, own = self.clean[-1], self.labels.argmax(1)
        favourite = torch.bincount(p.argmax(1)).argmax()
        p, own = p[own != favourite], own[own != favourite]
        true, liked = p.gather(1, own[:, None]).mean().item(), p[:, favourite].mean().item()
        return true, liked, (1 - true - liked) / (p.shape[1] - 2)

    def targets(self, mixed: bool) -> Tensor:
        """(T, N, C) targets of the mixed pairs or of the clean pictures."""
        local, p = (self.local, self.mixed) if mixed else (self.labels, self.clean)
        return self.beta * local + (1 - self.beta) * p


def second_head(images: Tensor, labels: Tensor, *, epochs: int, beta: float = BETA, seed: int = 0, classes: int = 10,
                **options) -> History:
    """Train a perceptron with LaMix and keep what its second head says.

    Args:
        images: (N, D) float32.
        labels: (N,) int64.
        epochs: see `train`.
        beta: weight of the local label.
        seed: of everything.
        classes: number of classes.
        **options: of `LaMixRisk`, see `HEADS`.

    Example:
        >>> images, labels = torch.randn(40, 6, generator=torch.Generator().manual_seed(0)), torch.arange(40) % 4
        >>> history = second_head(images, labels, epochs=2, classes=4)
        >>> history.clean.shape, history.targets(mixed=True).sum(2).allclose(torch.ones(3, 40))
        (torch.Size([3, 40, 4]), True)
    """
    network = perceptron((images.shape[1], 64, 64, classes), generator(seed, "init"))
    risk = LaMixRisk(classes, 64, beta=beta, layer="4", generator=generator(seed, "head"), **options)
    pairs = risk.mixer.draw(images, labels, generator=generator(seed, "pairs"))
    averages, clean, mixed = pairs.apply(images), [], []

    def watch(epoch: int) -> None:
        clean.append(risk.global_label(network[:-1](images)))
        mixed.append(risk.global_label(network[:-1](averages)))

    train(network, risk, images, labels, epochs=epochs, seed=seed, watch=watch)
    one_hot = nn.functional.one_hot(labels, classes).float()
    local = pairs.targets(labels, num_classes=classes)
    return History(torch.stack(clean), torch.stack(mixed), one_hot, local, beta, error(network, images, labels))


def bottleneck(inputs: int, classes: int, seed: int) -> nn.Sequential:
    """A perceptron that has to say everything in two numbers: features, two tanh units, and two layers behind them.

    The paper's Figure 8 has 512 features, then tanh layers of 2, 100 and 512 units.

    Example:
        >>> network = bottleneck(64, 3, seed=0)
        >>> network[:5](torch.zeros(7, 64)).shape, network(torch.zeros(7, 64)).shape
        (torch.Size([7, 2]), torch.Size([7, 3]))
    """
    with torch.device("meta"):  # without memory no layer draws from the global generator
        network = nn.Sequential(
            nn.Flatten(), nn.Linear(inputs, 64), nn.ReLU(), nn.Linear(64, 2), nn.Tanh(),
            nn.Linear(2, 100), nn.Tanh(), nn.Linear(100, 64), nn.Tanh(), nn.Linear(64, classes),
        )
    return initialise(network.to_empty(device="cpu"), generator(seed, "init"))


def embeddings(method: str, images: Tensor, labels: Tensor, at: Sequence[int], *, seed: int = 0,
               classes: int = 3) -> tuple[list[Tensor], list[float]]:
    """Where the clean training pictures lie in a trained bottleneck, at several times.

    Args:
        method: one of `METHODS`.
        images: (N, D) float32.
        labels: (N,) int64.
        at: after how many epochs; the last is the length of the run.
        seed: of everything.
        classes: number of classes.

    Returns:
        For each time the (N, 2) points and the error on the clean pictures in percent.
    """
    network = bottleneck(images.shape[1], classes, seed)
    points, errors = [], []

    def watch(epoch: int) -> None:
        if epoch in at:
            points.append(network[:5](images))
            errors.append(error(network, images, labels))

    train(network, risk_of(method, classes, 64, "9", seed), images, labels, epochs=at[-1], seed=seed, watch=watch)
    return points, errors


def tightness(points: Tensor, labels: Tensor) -> float:
    """How wide clusters are, measured by how far apart they are: the smaller, the tighter.

    The root mean square distance of a point to the mean of its class, over the mean distance of two such means.

    Args:
        points: (N, D).
        labels: (N,) int64, every class from 0 on present.

    Example:
        >>> tightness(torch.tensor([[0.0, 1.0], [0.0, -1.0], [10.0, 1.0], [10.0, -1.0]]), torch.tensor([0, 0, 1, 1]))
        0.10000000149011612
    """
    means = torch.stack([points[labels == label].mean(0) for label in range(int(labels.max()) + 1)])
    within = (points - means[labels]).square().sum(1).mean().sqrt()
    return (within / nn.functional.pdist(means).mean()).item()


def progress(runs: Mapping[str, Sequence[tuple[list[Tensor], list[float]]]],
             labels: Tensor) -> dict[str, list[tuple[float, float]]]:
    """The `tightness` and the error in percent at each time, means over the seeds of each method.

    Args:
        runs: method -> what `embeddings` gives, one for each seed.
        labels: (N,) of the points.
    """
    return {
        method: [
            (sum(tightness(each, labels) for each in points) / len(found), sum(errors) / len(found))
            for points, errors in zip(zip(*(points for points, _ in found)), zip(*(errors for _, errors in found)))
        ]
        for method, found in runs.items()
    }


def attentive(classes: int, seed: int) -> nn.Sequential:
    """Two convolutions that keep every position, the mean over positions, and a linear head: its maps are exact.

    Example:
        >>> network = attentive(10, seed=0)
        >>> network[:-3](torch.zeros(2, 1, 8, 8)).shape
        torch.Size([2, 24, 8, 8])
    """
    with torch.device("meta"):
        network = nn.Sequential(
            nn.Conv2d(1, 12, 5, padding=2, bias=False), nn.BatchNorm2d(12), nn.ReLU(),
            nn.Conv2d(12, 24, 3, padding=1, bias=False), nn.BatchNorm2d(24), nn.ReLU(),
            nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(24, classes),
        )
    return initialise(network.to_empty(device="cpu"), generator(seed, "init"))


@dataclass(frozen=True, eq=False)
class Attention:
    """What a trained network looks at in the test pictures.

    Attributes:
        maps: (N, h, w) class activation maps of the predicted classes.
        areas: (N,) the part of each picture that is attended to.
        error: on the test pictures, in percent.
    """

    maps: Tensor
    areas: Tensor
    error: float


def attention(method: str, images: Tensor, labels: Tensor, test_images: Tensor, test_labels: Tensor, *, epochs: int,
              seed: int = 0, classes: int = 10) -> Attention:
    """Train a network with averaged features and map what it looks at in every test picture.

    Args:
        method: one of `METHODS`.
        images, test_images: (N, 1, H, W) float32.
        labels, test_labels: (N,) int64.
        epochs: see `train`.
        seed: of everything.
        classes: number of classes.
    """
    network = attentive(classes, seed)
    train(network, risk_of(method, classes, 24, "8", seed), images, labels, epochs=epochs, seed=seed, lr=0.2)
    with inference(network):
        predicted = network(test_images).argmax(1)
        maps = cam(network[:-3](test_images), network[-1].weight, predicted)
    return Attention(maps, attended_area(maps), error(network, test_images, test_labels))


def mean_areas(seen: Mapping[str, Sequence[Attention]]) -> dict[str, list[float]]:
    """The mean attended area over the test pictures, in percent, of every network.

    Args:
        seen: method -> what its networks look at, one for each seed.
    """
    return {method: [100 * one.areas.mean().item() for one in found] for method, found in seen.items()}


def errors_said(seen: Mapping[str, Sequence[Attention]]) -> str:
    """The mean test error of the networks of each method, in words.

    Args:
        seen: as for `mean_areas`.

    Example:
        >>> one, other = (Attention(torch.zeros(1, 2, 2), torch.zeros(1), error) for error in (2.0, 3.0))
        >>> errors_said({"Mixup": [one, other], "LaMix": [other]})
        'Mixup 2.5, LaMix 3.0'
    """
    return ", ".join(f"{method} {sum(one.error for one in found) / len(found):.1f}" for method, found in seen.items())

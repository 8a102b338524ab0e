"""What the chapter computes while the page is built: a step on paper, masks sought by small teachers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from mixlab.masks import Constant, Soft
from mixlab.mix import Mix
from mixlab.mixers import Mixer, SuperMix
from mixlab.mixers.supermix import Solution, masks_of, objective, recognised, soft_target
from mixlab.models import Teacher
from mixlab.rng import generator

__all__ = [
    "Cloud", "Measured", "Opinion", "after", "blend", "by_hand", "cloud", "directions", "distances", "likeliest",
    "measure", "opinion", "parabola", "parts", "together",
]


def by_hand(images: Tensor, target: Tensor, smoothing: Tensor, lam_s: float = 1.0):
    """One step of two masks on a row of pixels, without smoothing and with it, as a table of strings.

    The teacher has two classes. Their logits are twice the first and twice the last pixel.

    Args:
        images: (2, n) the row itself and its partner.
        target: (2,) ŷ.
        smoothing: (n, n) G.
        lam_s: λ_s.

    Example:
        >>> both = torch.tensor([[1.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
        >>> table = by_hand(both, torch.tensor([0.75, 0.25]), torch.eye(3))
        >>> table["start"]["its mask"], table["start"]["teacher: left"], (table["plain"] == table["smoothed"]).all()
        ('0.50 0.50 0.50', '0.500', np.True_)
    """
    import pandas

    images, target, smoothing = images.double(), target.double(), smoothing.double()

    def judged(logits: Tensor) -> tuple[Tensor, ...]:
        masks = logits.sigmoid() / logits.sigmoid().sum(0)
        picture = (masks * images).sum(0)
        said = (2 * picture[[0, -1]]).softmax(0)
        divergence, sparsity = (target * (target / said).log()).sum(), (masks * (1 - masks)).mean()
        return divergence + lam_s * sparsity, divergence, sparsity, masks, picture, said

    start = torch.zeros_like(images).requires_grad_()
    loss = judged(start)[0]
    (gradient,) = torch.autograd.grad(loss, start)
    columns = {"start": (None, start.detach())}
    for title, direction in (("plain", gradient), ("smoothed", gradient @ smoothing)):
        length = loss.detach() / (direction * gradient).sum()
        columns[title] = length, -length * direction
    table = {}
    for title, (length, logits) in columns.items():
        _, divergence, sparsity, masks, picture, said = judged(logits)
        table[title] = {
            "length of the step": "–" if length is None else f"{length:.1f}",
            "own image's logits": _numbers(logits[0]),
            "its mask": _numbers(masks[0]),
            "picture": _numbers(picture),
            "teacher: left": f"{said[0]:.3f}",
            "divergence": f"{divergence:.3f}",
            "sparsity": f"{sparsity:.3f}",
        }
    return pandas.DataFrame(table)


def _numbers(values: Tensor) -> str:
    return " ".join(f"{value:.2f}" for value in (values + 0.0).tolist())


@dataclass(frozen=True)
class Opinion:
    """A mixed picture and what a teacher says of it.

    Attributes:
        title: above it.
        picture: (3, H, W) in [0, 1].
        masks: (K, H, W).
        said: (C,) the teacher's probabilities.
        classes: those of the K sources, the row itself first.
    """

    title: str
    picture: Tensor
    masks: Tensor
    said: Tensor
    classes: tuple[int, ...]

    @property
    def success(self) -> bool:
        """Whether the K likeliest classes are those of the sources."""
        return set(self.said.topk(len(self.classes)).indices.tolist()) == set(self.classes)


def opinion(title: str, mix: Mix, teacher: nn.Module, images: Tensor, pictures: Tensor, row: int = 0) -> Opinion:
    """Ask a teacher about one row of a mix.

    Args:
        title: above the picture.
        mix: of the images.
        teacher: maps images to logits.
        images: (B, C, h, w) as the teacher wants them.
        pictures: (B, 3, H, W) the same in [0, 1], as large as they are shown.
        row: which row of the mix.
    """
    with torch.no_grad():
        said, own = (teacher(each).softmax(1) for each in (mix.apply(images), images))
    large = mix.resize(tuple(pictures.shape[-2:]))
    classes = tuple(own.argmax(1)[mix.sources[row]].tolist())
    return Opinion(title, large.apply(pictures)[row], large.masks(tuple(pictures.shape[-2:]))[row], said[row], classes)


def parabola(floor: float, start: float, steps: int) -> list[float]:
    """The losses u² + floor on the way of Polyak's step that wants them to be 0, from a start on.

    Example:
        >>> parabola(0.0, 4.0, 2)
        [16.0, 4.0, 1.0]
    """
    u, losses = start, []
    for _ in range(steps + 1):
        losses.append(u * u + floor)
        u -= losses[-1] / (2 * u)
    return losses


def distances(problems: int, draws: torch.Generator, cells: int = 8, steps: int = 50) -> dict[str, float]:
    """How much farther from a minimiser one step of Polyak leads at most, on convex problems with minimum value 0.

    A problem is ½ ‖A M − b‖² with half as many equations as unknowns, and a b that can be reached. G has a half in its
    diagonal and a quarter beside it; at both ends the missing quarter is in the diagonal, too.

    Args:
        problems: how many.
        draws: source of A and of a minimiser.
        cells: unknowns.
        steps: of each problem.

    Returns:
        Largest factor by which a step changes the distance, in the metric of G⁻¹ and in the plain one.

    Example:
        >>> found = distances(3, torch.Generator().manual_seed(0))
        >>> found["metric of G"] < 1 + 1e-9 < 1.01 < found["plain"]
        True
    """
    side = torch.ones(cells - 1, dtype=torch.float64) / 4
    g = torch.diag(side, 1) + torch.diag(side, -1)
    g = g + torch.diag(1 - g.sum(1))
    metrics = {"metric of G": torch.linalg.inv(g), "plain": torch.eye(cells, dtype=torch.float64)}
    worst = dict.fromkeys(metrics, 0.0)
    for _ in range(problems):
        a = torch.randn(cells // 2, cells, generator=draws, dtype=torch.float64)
        best = torch.randn(cells, generator=draws, dtype=torch.float64)
        m = torch.zeros_like(best)
        for _ in range(steps):
            misfit = a @ (m - best)
            gradient = a.T @ misfit
            moved = m - misfit.square().sum() / 2 / (gradient @ g @ gradient) * (g @ gradient)
            for name, metric in metrics.items():
                before, after = ((each - best) @ metric @ (each - best) for each in (m, moved))
                worst[name] = max(worst[name], (after / before).sqrt().item())
            m = moved
    return worst


@dataclass(frozen=True)
class Measured:
    """What the loop made of a batch.

    Attributes:
        hits: (B,) bool, of which rows the teacher's K likeliest classes are those of the sources.
        evenness: mean of m(1 − m) over masks, pixels and all rows: ¼ for masks of ½, 0 for zeros and ones.
        agrees: (B,) bool, of which rows the teacher's likeliest class is that of the source with the largest ratio.
        mix: of all rows.
    """

    hits: Tensor
    evenness: float
    agrees: Tensor
    mix: Mix

    @property
    def success(self) -> float:
        """The part of the rows that are hits."""
        return self.hits.double().mean().item()


def measure(mixer: Mixer, teacher: Teacher, images: Tensor, seed: int = 0) -> Measured:
    """Mix a batch and ask the teacher about it.

    Args:
        mixer: SuperMix, or any other one; its label weights are the ratios.
        teacher: takes the images.
        images: (B, C, H, W).
        seed: of partners and ratios.
    """
    mix = mixer.draw(images, generator=generator(seed, "measure"))
    with torch.no_grad():
        own, said = teacher(images).argmax(1), teacher(mix.apply(images))
    classes, masks = own[mix.sources], mix.masks(tuple(images.shape[-2:]))
    largest = classes.gather(1, mix.weights.argmax(1, keepdim=True))[:, 0]
    return Measured(recognised(said, classes), (masks * (1 - masks)).mean().item(), said.argmax(1) == largest, mix)


def after(solution: Solution, step: int) -> Mix:
    """The mix after a number of steps.

    Args:
        solution: of `SuperMix.solve` with `keep_path=True`.
        step: 0 to T.
    """
    mix = solution.mix
    return Mix(mix.sources, Soft(masks_of(solution.path[step], mix.form.size), mix.form.size), mix.weights)


def together(images: Tensor, mixer: SuperMix) -> Mix:
    """SuperMix of K images that are all there are, in equal ratios: row b has image b first and the others after it.

    Args:
        images: (K, C, H, W).
        mixer: of K images.
    """
    k = len(images)
    sources = (torch.arange(k)[:, None] + torch.arange(k)) % k
    return mixer.solve(images, sources=sources, ratios=torch.full((k, k), 1 / k)).mix


def blend(mix: Mix) -> Mix:
    """The even blend of the sources of a mix.

    Example:
        >>> blend(Mix(torch.tensor([[0, 1], [1, 0]]), Soft(torch.rand(2, 2, 4, 4), (4, 4)))).shares[0]
        tensor([0.5000, 0.5000])
    """
    return Mix(mix.sources, Constant(torch.full((len(mix), mix.k), 1 / mix.k)))


def parts(mixer: SuperMix, solution: Solution, images: Tensor, row: int = 0) -> dict[str, list[float]]:
    """Divergence and λ_s times sparsity of one row, after each step.

    Args:
        mixer: found the solution.
        solution: see `after`.
        images: (B, C, H, W).
        row: which row.
    """
    found: dict[str, list[float]] = {"divergence": [], "λₛ · sparsity": []}
    for step in range(len(solution.path)):
        mix = after(solution, step)
        with torch.no_grad():
            scores, masks = mixer.teacher(mix.apply(images)), mix.masks()
        target = soft_target(solution.ratios, solution.classes, scores.shape[1])
        divergence = objective(masks, scores, target, sparsity=0.0)[row]
        found["divergence"].append(divergence.item())
        found["λₛ · sparsity"].append(mixer.sparsity * (masks[row] * (1 - masks[row])).mean().item())
    return found


def likeliest(teacher: nn.Module, images: Tensor, count: int = 5) -> Tensor:
    """(count,) the means of the teacher's largest, second largest and further probabilities.

    Args:
        teacher: maps images to logits.
        images: (B, C, H, W).
        count: how many.

    Example:
        >>> likeliest(nn.Flatten(), torch.tensor([[[[0.0, 30.0]]], [[[5.0, 5.0]]]]), 2)
        tensor([0.7500, 0.2500])
    """
    with torch.no_grad():
        return teacher(images).softmax(1).topk(count, dim=1).values.mean(0)


@dataclass(frozen=True)
class Cloud:
    """A teacher's answers in a plane.

    Attributes:
        plane: (N, 2).
        classes: (N,) its likeliest classes.
        spread: the class standard deviation: of all logits, the root of their mean variance within a class, mean over
            the classes.
    """

    plane: Tensor
    classes: Tensor
    spread: float


def directions(teacher: nn.Module, images: Tensor, classes: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Mean and the first two principal directions of a teacher's logits, over the images of some classes.

    Args:
        teacher: maps images to logits (C,).
        images: (N, C, H, W).
        classes: by the teacher's own word.

    Returns:
        (C,) and (2, C), rows of length 1.
    """
    with torch.no_grad():
        logits = teacher(images)
    logits = logits[torch.isin(logits.argmax(1), torch.tensor(classes))]
    mean = logits.mean(0)
    return mean, torch.linalg.svd(logits - mean, full_matrices=False).Vh[:2]


def cloud(teacher: nn.Module, images: Tensor, classes: Sequence[int], plane: tuple[Tensor, Tensor]) -> Cloud:
    """What a teacher answers to the images that it puts into some classes, in a plane.

    Args:
        teacher: maps images to logits.
        images: (N, C, H, W).
        classes: by the teacher's own word.
        plane: see `directions`.
    """
    with torch.no_grad():
        logits = teacher(images)
    mean, axes = plane
    chosen = torch.isin(logits.argmax(1), torch.tensor(classes))
    logits, found = logits[chosen], logits.argmax(1)[chosen]
    spreads = [logits[found == each].var(0).mean().sqrt() for each in classes if (found == each).sum() > 1]
    return Cloud((logits - mean) @ axes.T, found, float(torch.stack(spreads).mean()) if spreads else float("nan"))

r"""SuperMix: masks are sought by descent until a teacher sees every image of the mix.

**Method card.** SuperMix (Dabouei et al., 2021) draws K images that a frozen teacher puts into K different classes, and
label weights r of a Dirichlet law. One mask per image starts constant and is changed until the teacher's K most likely
classes for the mixed picture are those K. What is minimised is how far its answer is from :math:`\hat y` (the weights r
on the K classes), and how much pixels are blended.

- *How to use*: ``SuperMix(teacher).solve(images, generator=g)`` gives the mix with what became of every row, ``draw``
  the mix alone. Both are slow (up to 50 forward and backward passes), so sets are usually written once.
- *Settings*: those of the paper for CIFAR: K = 2, α = 3, λ_s = 25, σ = 1, masks of 8 x 8; 16 x 16 and σ = 2 for
  ImageNet. ``step="newton"`` and ``"sgd"`` with ``tv`` are the paper's baselines.
- *Pieces*: :func:`masks_of`, :func:`objective` (with :func:`soft_target`, :func:`roughness`), :func:`smoothed` (by
  :func:`gaussian`), :func:`polyak_step`, :func:`recognised`, :func:`distinct_partners`.
- *The step* is the paper's equation 7. It is not Newton's: the length is Polyak's for a least value of 0, the
  direction is the steepest one where lengths are measured by the inverse of G. G is symmetric and positive definite, so
  it is a descent direction.
- *Misprints*: equation 3 has KL(f‖ŷ), which is infinite where ŷ is 0, and equation 5 has m(m - 1), which is least at ½.
  As in the public code it is KL(ŷ‖f) and m(1 - m) here; the printed ones are named options.
- *The public code* stops a batch when 30 % of its rows are done and drops the others, pairs images of one class, too
  (which are never done), and pads with zeros before it smooths. Here every row has its own end, and all rows are
  returned, with the best masks they had and a flag.
- *At least one step* is taken, as in the public code, so that pairs recognised in the plain average get masks, too;
  Algorithm 1 looks before it.
- *Labels*: the weights r, which are not the shares of pixels. The papers' students learn what the teacher says of the
  mixed image instead: :class:`mixlab.risk.DistillationRisk`.
- *Limits*: K is at most the number of classes and of rows. Without enough predicted classes in a batch (an untrained
  teacher) rows get any partners and are never done.
"""

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from mixlab.checks import real, whole
from mixlab.masks import Soft
from mixlab.mix import Mix
from mixlab.mixers.base import Mixer, Taught, check_alpha, check_non_negative, draw_shares, image_size
from mixlab.models.teacher import Teacher

__all__ = [
    "Solution",
    "SuperMix",
    "distinct_partners",
    "gaussian",
    "masks_of",
    "objective",
    "polyak_step",
    "recognised",
    "roughness",
    "smoothed",
    "soft_target",
]

#: The shortest and the longest step, and what keeps a flat place from dividing by zero; the public code's.
_SHORTEST, _LONGEST, _TINY = 1e-4, 2000.0, 1e-10
#: The part of ŷ that is spread over all classes before it is divided by, in the reverse divergence.
_SPREAD = 1e-3


# Partners.


def distinct_partners(classes: Tensor, k: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """For every row k - 1 other rows so that all k have different classes.

    One after another is drawn uniformly among the rows whose class the row does not have yet. Where there is none, any
    other row will do.

    Args:
        classes: ``(B,)`` int64.
        k: number of rows, the row itself included, at most B.

    Returns:
        ``(B, k)`` int64 rows, the row itself first, all different, on the device of ``classes``; and ``(B,)`` bool,
        whether the classes are different, too.

    Raises:
        ValueError: for more rows than there are.

    Example:
        >>> classes, g = torch.tensor([4, 4, 7]), torch.Generator().manual_seed(0)
        >>> sources, found = distinct_partners(classes, 2, g)
        >>> sources[:2].tolist(), found
        ([[0, 2], [1, 2]], tensor([True, True, True]))
    """
    rows = len(classes)
    if rows < k:
        raise ValueError(f"expected at least {k} rows to mix {k} of them, received {rows}")
    # The highest score among the rows that may be taken is a uniform choice; what is left stays in uniform order.
    scores = torch.rand(rows, rows, dtype=torch.float64, generator=generator, device=generator.device)
    scores, sources = scores.to(classes.device), torch.arange(rows, device=classes.device)[:, None]
    taken = torch.zeros(rows, rows, dtype=torch.bool, device=classes.device)
    fresh = torch.ones_like(taken)
    for _ in range(k - 1):
        last = sources[:, -1:]
        taken.scatter_(1, last, True)
        fresh &= classes != classes[last]
        following = (scores + fresh.double()).masked_fill(taken, -1.0).argmax(1, keepdim=True)
        sources = torch.cat([sources, following], dim=1)
    ordered = classes[sources].sort(1).values
    return sources, (ordered.diff(dim=1) > 0).all(1)


# The objective, piece by piece.


def masks_of(logits: Tensor, size: tuple[int, int]) -> Tensor:
    r"""Masks :math:`m_k = s(l_k) / \sum_j s(l_j)` of the up-sampled logits l, with the logistic function s.

    Args:
        logits: ``(B, K, w, w)`` floating point.
        size: height and width of the images.

    Returns:
        ``(B, K, H, W)`` in the dtype of the logits, non-negative, summing to 1 at every pixel; 1/K for equal logits.

    Source: equation 4. As in the public code the logits are up-sampled, bilinearly; the paper up-samples masks.

    Example:
        >>> masks_of(torch.tensor([[[[100.0]], [[0.0]]]]), (1, 2)).flatten()
        tensor([0.6667, 0.6667, 0.3333, 0.3333])
    """
    grown = F.interpolate(logits, size=tuple(size), mode="bilinear", align_corners=False)
    return F.logsigmoid(grown).softmax(1)  # the quotient, also where every s(l) is too small for a float


def soft_target(ratios: Tensor, classes: Tensor, num_classes: int) -> Tensor:
    r""":math:`\hat y = \sum_k r_k\, \delta(y_k)`, ``(B, num_classes)``, of ``(B, K)`` ratios and classes (equation 2).

    Example:
        >>> soft_target(torch.tensor([[0.25, 0.75]]), torch.tensor([[2, 0]]), 3)
        tensor([[0.7500, 0.0000, 0.2500]])
    """
    return ratios.new_zeros(len(ratios), num_classes).scatter_add_(1, classes, ratios)


def roughness(masks: Tensor) -> Tensor:
    r""":math:`\frac{1}{KHW} \sum_k \sum_u \|\nabla m_k(u)\|_3^3` of ``(B, K, H, W)`` masks, ``(B,)``: the TV norm.

    Differences are those to the next pixel below and to the right.

    Source: section 4.4.

    Example:
        >>> roughness(torch.tensor([[[[0.0, 1.0], [0.0, 1.0]]]]))
        tensor([0.5000])
    """
    total = sum(masks.diff(dim=axis).abs().pow(3).sum((1, 2, 3)) for axis in (2, 3))
    return total / masks[0].numel()


def objective(
    masks: Tensor,
    scores: Tensor,
    target: Tensor,
    *,
    sparsity: float,
    tv: float = 0.0,
    divergence: str = "forward",
    printed_sign: bool = False,
) -> Tensor:
    r"""What SuperMix minimises, for every row: :math:`\mathrm{KL}(\hat y \| f) + \lambda_s\, \overline{m (1 - m)}`.

    Args:
        masks: ``(B, K, H, W)``.
        scores: ``(B, C)`` logits of the teacher for the mixed images.
        target: ``(B, C)``, ŷ.
        sparsity: λ_s, of the mean of m (1 - m) over masks and pixels.
        tv: λ_σ, the weight of :func:`roughness`.
        divergence: ``"forward"``, or ``"reverse"``: KL(f‖ŷ) as printed, with ŷ mixed with .001 of the uniform law,
            without which it is infinite.
        printed_sign: take m (m - 1), as printed.

    Returns:
        ``(B,)``, >= 0 but for the printed sign.

    Source: equations 3 and 5, with their misprints mended.

    Example:
        >>> halves, equal = torch.full((1, 2, 1, 1), 0.5), torch.tensor([[0.5, 0.5]])
        >>> objective(halves, torch.zeros(1, 2), equal, sparsity=25.0)
        tensor([6.2500])
    """
    log_f = scores.log_softmax(1)
    if divergence == "forward":
        loss = (torch.xlogy(target, target) - target * log_f).sum(1)
    else:
        spread = (1 - _SPREAD) * target + _SPREAD / target.shape[1]
        loss = (log_f.exp() * (log_f - spread.log())).sum(1)
    blending = (masks * (1 - masks)).mean((1, 2, 3))
    loss = loss + (-sparsity if printed_sign else sparsity) * blending
    return loss + tv * roughness(masks) if tv else loss


def recognised(scores: Tensor, classes: Tensor) -> Tensor:
    """The stopping rule, ``(B,)`` bool: the K highest of ``(B, C)`` scores are ``(B, K)`` classes, all different.

    Source: section 3.3, termination criteria.

    Example:
        >>> recognised(torch.tensor([[0.1, 0.5, 0.4], [0.1, 0.5, 0.4]]), torch.tensor([[2, 1], [0, 1]]))
        tensor([ True, False])
    """
    best = scores.topk(classes.shape[1], dim=1).indices
    return (best.sort(1).values == classes.sort(1).values).all(1)  # the best ones differ, and so must the classes


# The step.


@lru_cache(maxsize=16)
def gaussian(sigma: float, side: int) -> Tensor:
    r"""The matrix G along one axis of ``side`` cells: heat that has spread for a time σ²/2 between walls.

    :math:`G = \exp(-\tfrac{σ^2}{2} D^\top D)` with the differences D of neighbours. Away from the walls a column is the
    discrete Gaussian, with a variance of σ² exactly. G is symmetric and positive definite, has no negative number, and
    keeps constants. A filter that is sampled, cut off and padded lacks one of these: renormalised or replicated edges
    are not symmetric, zeros darken them, and one cut at 2.5 σ is not positive for σ = 2, mirrored or not.

    Args:
        sigma: in cells of the mask, >= 0; 0 leaves everything as it is.

    Returns:
        ``(side, side)`` float64.

    Source: our choice of the paper's low-pass filter; T. Lindeberg (1990), "Scale-space for discrete signals".

    Example:
        >>> gaussian(1.0, 2)  # (1 + e^-1) / 2 on the diagonal
        tensor([[0.6839, 0.3161],
                [0.3161, 0.6839]], dtype=torch.float64)
    """
    differences = torch.eye(side, dtype=torch.float64).diff(dim=0)
    return torch.matrix_exp(-(sigma**2) / 2 * differences.T @ differences)


def smoothed(gradient: Tensor, sigma: float) -> Tensor:
    """q = G * g: every mask of a gradient ``(..., w, w)`` smoothed by itself, along both axes.

    Example:
        >>> smoothed(torch.ones(1, 1, 3, 3), 1.0).mean()
        tensor(1.)
    """
    rows, columns = (gaussian(sigma, side).to(gradient) for side in gradient.shape[-2:])
    return rows @ gradient @ columns


def polyak_step(loss: Tensor, gradient: Tensor, direction: Tensor) -> Tensor:
    r"""The step length :math:`c = L / \langle g, q \rangle`, ``(B,)``, kept within 1e-4 and 2000.

    By it the tangent of the loss along q falls to 0.

    Args:
        loss: ``(B,)``, L.
        gradient: ``(B, ...)``, g.
        direction: ``(B, ...)``, q.

    Source: equations 6 and 7; the limits are the public code's.

    Example:
        >>> slope = torch.tensor([[3.0, 4.0]])
        >>> polyak_step(torch.tensor([5.0]), slope, slope)
        tensor([0.2000])
    """
    slope = (gradient * direction).flatten(1).sum(1)
    return (loss.abs() / (slope + _TINY)).clamp(_SHORTEST, _LONGEST)


# The mixer.


class Solution(NamedTuple):
    """What SuperMix found for a batch.

    Attributes:
        mix: masks at the size of the images; sources ``(B, K)``; weights are the ratios.
        success: ``(B,)`` bool, whether the teacher recognises all K images in the mixed one.
        iterations: ``(B,)`` int64, steps that were taken: ``max_iter`` where there was no success.
        ratios: ``(B, K)``, r.
        classes: ``(B, K)`` int64, what the teacher takes the sources for.
        path: ``(T + 1, B, K, w, w)`` mask logits before the first step and after each of T, if they were asked for; a
            row that is done stays as it is.
    """

    mix: Mix
    success: Tensor
    iterations: Tensor
    ratios: Tensor
    classes: Tensor
    path: Tensor | None = None


@dataclass(frozen=True, eq=False)
class SuperMix(Taught, Mixer):
    r"""Mix K images with masks in which a teacher recognises all of them.

    Args:
        teacher: the frozen network; it takes images as they are given here (``Teacher.for_images``).
        k: number of images K, at least 2.
        alpha: concentration of :math:`r \sim \mathrm{Dir}(\alpha)`, > 0.
        sparsity: λ_s >= 0, what blending costs.
        sigma: σ >= 0, how far a step is smoothed, in cells of the mask.
        side: w, masks have w x w cells.
        max_iter: the most steps, >= 1.
        step: ``"smoothed"``, the paper's; ``"newton"``, the same without smoothing; ``"sgd"``, a fixed rate.
        tv: λ_σ >= 0, weight of :func:`roughness`; the paper's baselines have 250.
        lr: rate of ``"sgd"``, > 0.
        divergence: ``"forward"``, KL(ŷ‖f), or ``"reverse"``; see :func:`objective`.
        printed_sign: take m (m - 1); see :func:`objective`.

    Raises:
        ValueError: for settings outside these ranges; from ``draw`` and ``solve``, for fewer rows or classes than K,
            images that are not floating point, or logits of the teacher that are not finite.

    Source: Dabouei, Soleymani, Taherkhani and Nasrabadi, "SuperMix: supervising the mixing data augmentation", 2021.

    Example:
        >>> images = torch.zeros(2, 1, 4, 4)
        >>> images[0, :, :, :2], images[1, :, :, 2:] = 4, 4
        >>> halves = torch.nn.Linear(16, 2, bias=False)
        >>> _ = halves.weight.data.copy_(images.flatten(1) / 16)
        >>> mixer = SuperMix(Teacher(torch.nn.Sequential(torch.nn.Flatten(), halves)), side=4, sigma=0.5)
        >>> solution = mixer.solve(images, generator=torch.Generator().manual_seed(0))
        >>> solution.success, bool((solution.mix.masks()[0, 0, :, 0] > 0.9).all())
        (tensor([True, True]), True)
    """

    teacher: Teacher
    k: int = 2
    alpha: float = 3.0
    sparsity: float = 25.0
    sigma: float = 1.0
    side: int = 8
    max_iter: int = 50
    step: str = "smoothed"
    tv: float = 0.0
    lr: float = 0.1
    divergence: str = "forward"
    printed_sign: bool = False

    def __post_init__(self):
        super().__post_init__()
        check_alpha(self.alpha)
        check_non_negative(sparsity=self.sparsity, sigma=self.sigma, tv=self.tv)
        for name, least in (("k", 2), ("side", 1), ("max_iter", 1)):
            if not whole(value := getattr(self, name)) or value < least:
                raise ValueError(f"expected an integer {name} >= {least}, received {value!r}")
        for name in ("alpha", "lr"):
            if not real(value := getattr(self, name)) or not 0 < value < math.inf:
                raise ValueError(f"expected a finite {name} > 0, received {value!r}")
        for name, known in (("step", ("smoothed", "newton", "sgd")), ("divergence", ("forward", "reverse"))):
            if getattr(self, name) not in known:
                raise ValueError(f"expected a {name} of {known}, received {getattr(self, name)!r}")
        if not isinstance(self.printed_sign, bool):
            raise ValueError(f"expected a printed_sign of True or False, received {self.printed_sign!r}")

    def solve(
        self,
        images: Tensor,
        *,
        generator: torch.Generator | None = None,
        sources: Tensor | None = None,
        ratios: Tensor | None = None,
        stop: bool = True,
        keep_path: bool = False,
    ) -> Solution:
        """Draw partners and ratios, and seek masks.

        Rows have no influence on each other but by their partners. The teacher moves to the device of the images. No
        gradient reaches it, nor the images, and gradients need not be enabled.

        Args:
            images: ``(B, C, H, W)`` floating point, as the teacher takes them.
            generator: draws partners, then ratios.
            sources: ``(B, K)`` int64, given instead of drawn; so are ratios.
            ratios: ``(B, K)``, each row summing to 1.
            stop: end a row with the first step after which it is recognised; a row that never is has the masks of least
                objective among those after a step. Otherwise every row takes ``max_iter`` steps and has the last masks.
            keep_path: keep the mask logits of every step.

        Raises:
            ValueError: see the class.
        """
        size = image_size(images)
        if not images.is_floating_point():
            raise ValueError(f"expected floating-point images, received {images.dtype}")
        if len(images) < self.k:
            raise ValueError(f"expected at least k = {self.k} images to mix, received {len(images)}")
        generator = generator or self._own_generator()
        wide, scores = self._ask(images)
        if scores.shape[1] < self.k:
            raise ValueError(f"expected k to be at most the teacher's {scores.shape[1]} classes, received {self.k}")
        predicted = scores.argmax(1)
        if sources is None:
            sources = distinct_partners(predicted, self.k, generator)[0]
        if ratios is None:
            ratios = draw_shares(self.alpha, len(images), self.k, generator)
        sources, ratios = sources.to(wide.device), ratios.to(wide)
        for name, each in (("sources", sources), ("ratios", ratios)):
            if each.shape != (len(images), self.k):
                raise ValueError(f"expected {name} of shape {(len(images), self.k)}, received {tuple(each.shape)}")
        classes = predicted[sources]
        target = soft_target(ratios, classes, scores.shape[1])
        logits, success, iterations, path = self._descend(wide[sources], classes, target, stop, keep_path)
        masks = masks_of(logits, size).to(torch.float32)
        mix = Mix.trusted(sources, Soft(masks, size), ratios.to(torch.float32))
        return Solution(mix, success, iterations, ratios, classes, path)

    def _draw(
        self, images: Tensor, labels: Tensor | None, saliency: Tensor | None, generator: torch.Generator
    ) -> Mix:
        return self.solve(images, generator=generator).mix

    def _descend(self, parts: Tensor, classes: Tensor, target: Tensor, stop: bool, keep_path: bool) -> tuple:
        """Mask logits, success and iterations of rows whose images are ``parts`` (B, K, C, H, W); and the path."""
        rows, device = len(parts), parts.device
        logits = parts.new_zeros(rows, self.k, self.side, self.side)
        best, least = logits.clone(), parts.new_full((rows,), math.inf)
        success = torch.zeros(rows, dtype=torch.bool, device=device)
        iterations = torch.full((rows,), self.max_iter, device=device)
        active, path = torch.arange(rows, device=device), [logits.clone()]
        # One forward pass more than steps: the pass that judges a step is the one that the next step begins with.
        for taken in range(self.max_iter + 1):
            current = logits[active].requires_grad_()
            with torch.enable_grad():
                loss, scores = self._judge(current, parts, target)
            loss_now, stepped = loss.detach(), taken > 0
            done, lower = recognised(scores, classes) & stepped, (loss_now < least[active]) & stepped
            least[active] = torch.where(lower, loss_now, least[active])
            kept = active[done | lower] if stop else active
            best[kept] = logits[kept]
            success[active] = done
            if stop:
                iterations[active[done]] = taken
            going = ~done if stop else torch.ones_like(done)
            if taken == self.max_iter or not going.any():
                break
            gradient, = torch.autograd.grad(loss, current, torch.ones_like(loss))  # rows are independent
            logits[active[going]] -= self._change(loss_now, gradient)[going]
            if not going.all():  # rows that are done leave
                active, parts, classes, target = (each[going] for each in (active, parts, classes, target))
            if keep_path:
                path.append(logits.clone())
        return best, success, iterations, torch.stack(path) if keep_path else None

    def _judge(self, logits: Tensor, parts: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """Loss (B,) and the teacher's logits (B, C) for mixed images."""
        masks = masks_of(logits, parts.shape[-2:])
        scores = self.teacher((masks[:, :, None] * parts).sum(1))
        loss = objective(masks, scores, target, sparsity=self.sparsity, tv=self.tv, divergence=self.divergence,
                         printed_sign=self.printed_sign)
        return loss, scores.detach()

    def _change(self, loss: Tensor, gradient: Tensor) -> Tensor:
        """What a step takes away from the mask logits."""
        if self.step == "sgd":
            return self.lr * gradient
        direction = smoothed(gradient, self.sigma) if self.step == "smoothed" else gradient
        return polyak_step(loss, gradient, direction).view(-1, 1, 1, 1) * direction

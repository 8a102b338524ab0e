"""Scores and choices that need no mixing: what choosing by mixed losses is compared with.

Scores are ``(N,)``, larger where a row is harder, less certain or less settled, except `margin`; `choose` keeps a part
of every class by them. `herding` and `k_center` look at many rows together, and give the rows themselves. All are
computed in float64, but `entropy`.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from mixlab.bayes.detection import entropy
from mixlab.checks import whole
from mixlab.data.stratify import part_of
from mixlab.selection.policies import check_rows, groups

__all__ = ["dyn_unc", "dynamics", "el2n", "entropy", "forgetting", "grand", "herding", "k_center", "margin"]


def dynamics(logits: Sequence[Tensor], labels: Tensor) -> tuple[Tensor, Tensor]:
    """What `forgetting` and `dyn_unc` ask for, from a network's logits for all rows after each of E epochs.

    Args:
        logits: E tensors ``(N, C)``, floating point, one after each epoch, rows always in the same order.
        labels: ``(N,)`` int64.

    Returns:
        ``(E, N)`` bool, whether the largest logit is the label's (the first of equal ones counts), and ``(E, N)``
        float64, the probability of the label.

    Raises:
        ValueError: for no epoch, or other shapes.

    Example:
        >>> after = [torch.tensor([[0.0, 3.0]]), torch.tensor([[2.0, 0.0]])]
        >>> correct, probability = dynamics(after, torch.tensor([0]))
        >>> correct.tolist(), probability.round(decimals=2).tolist()
        ([[False], [True]], [[0.05], [0.88]])
    """
    epochs = _epochs(logits, labels)
    correct = torch.stack([each.argmax(1) == labels for each in epochs])
    probability = torch.stack([each.double().softmax(1).gather(1, labels[:, None])[:, 0] for each in epochs])
    return correct, probability


def el2n(logits: Tensor | Sequence[Tensor], labels: Tensor) -> Tensor:
    r"""Error L2-norm: the mean over E epochs, or networks, of the length of the error.

    .. math:: \frac1E \sum_e \lVert p_e(x) - y \rVert_2, \qquad p_e = \mathrm{softmax}(\text{logits}_e)

    Args:
        logits: E tensors ``(N, C)``, of epochs early in training or of several networks; or one ``(N, C)``.
        labels: ``(N,)`` int64.

    Returns:
        ``(N,)`` float64 in [0, √2], large for hard rows.

    Raises:
        ValueError: for no epoch, or other shapes.

    Source: Paul, Ganguli and Dziugaite 2021, "Deep learning on a data diet", definition 2.2: the expectation over
    networks early in training. Which epochs the mean is over is the caller's choice.

    Example:
        >>> el2n(torch.zeros(1, 2), torch.tensor([0]))
        tensor([0.7071], dtype=torch.float64)
    """
    epochs = _epochs([logits] if isinstance(logits, Tensor) and logits.ndim == 2 else logits, labels)
    return torch.stack([_errors(each, labels).norm(dim=1) for each in epochs]).mean(0)


def grand(features: Tensor, logits: Tensor, labels: Tensor, *, bias: bool = True) -> Tensor:
    r"""Gradient norm of every row's cross-entropy in the weights of the last, linear layer, in closed form.

    .. math:: \lVert \nabla_{W, b}\, \ell(W h + b, y) \rVert = \lVert p - y \rVert_2 \, \sqrt{\lVert h \rVert_2^2 + 1}

    Args:
        features: ``(N, D)`` floating point, h, what goes into the layer.
        logits: ``(N, C)`` floating point, what comes out of it.
        labels: ``(N,)`` int64.
        bias: whether the layer has one; without it, the 1 under the root is not there.

    Returns:
        ``(N,)`` float64, large for hard rows.

    Raises:
        ValueError: for other shapes.

    Source: Paul, Ganguli and Dziugaite 2021, definition 2.1 (GraNd), of one network and for the last layer alone;
    theirs is for all weights and a mean over networks.

    Example:
        >>> grand(torch.tensor([[3.0, 4.0]]), torch.zeros(1, 2), torch.tensor([0]), bias=False)
        tensor([3.5355], dtype=torch.float64)
    """
    _epochs([logits], labels)
    if features.ndim != 2 or len(features) != len(labels):
        raise ValueError(f"expected features ({len(labels)}, D), received {tuple(features.shape)}")
    return _errors(logits, labels).norm(dim=1) * (features.double().square().sum(1) + bias).sqrt()


def forgetting(correct: Tensor) -> Tensor:
    """How often a row that was classified rightly after one epoch is classified wrongly after the next.

    Args:
        correct: ``(E, N)`` bool, from `dynamics`.

    Returns:
        ``(N,)`` int64. A row that was never right has no such event; it counts E, more than any other can have, since
        the paper takes it for the hardest.

    Raises:
        ValueError: for another shape or type, or no epoch.

    Source: Toneva et al. 2019, "An empirical study of example forgetting", section 3. They look at a row whenever it
    is trained on, before the step; here it is after epochs.

    Example:
        >>> forgetting(torch.tensor([[True, False, True], [False, False, True], [True, False, True]]))
        tensor([1, 3, 0])
    """
    if correct.ndim != 2 or correct.dtype != torch.bool or not len(correct):
        received = f"{tuple(correct.shape)} {correct.dtype}"
        raise ValueError(f"expected bools (E, N) of at least one epoch, received {received}")
    events = (correct[:-1] & ~correct[1:]).sum(0)
    return torch.where(correct.any(0), events, len(correct))


def dyn_unc(probability: Tensor, window: int = 10) -> Tensor:
    r"""Dynamic uncertainty: how much the probability of the label moves within J epochs, on average over training.

    .. math:: U(x) = \frac{1}{E - J + 1} \sum_{k=0}^{E-J} U_k(x), \qquad
        U_k(x) = \sqrt{\frac{1}{J - 1} \sum_{j=0}^{J-1} \big( p_{k+j} - \bar p_k \big)^2}

    Here :math:`p_e` is the probability of the row's label after epoch e and :math:`\bar p_k` its mean over the window.

    Args:
        probability: ``(E, N)`` floating point, from `dynamics`.
        window: J, from 2 to E.

    Returns:
        ``(N,)`` float64.

    Raises:
        ValueError: for another shape or a window out of range.

    Source: He et al. 2023, "Large-scale dataset pruning with dynamic uncertainty" (Dyn-Unc), with J = 10. All windows
    that fit are counted here.

    Example:
        >>> dyn_unc(torch.tensor([[0.0, 0.5], [1.0, 0.5], [0.0, 0.5]]), window=2)
        tensor([0.7071, 0.0000], dtype=torch.float64)
    """
    if probability.ndim != 2:
        raise ValueError(f"expected probabilities (E, N), received {tuple(probability.shape)}")
    if not whole(window) or not 2 <= window <= len(probability):
        raise ValueError(f"expected a window of 2 to {len(probability)} epochs, those there are, received {window!r}")
    return probability.double().unfold(0, window, 1).std(-1).mean(0)


def margin(probabilities: Tensor) -> Tensor:
    """How far the likeliest class is ahead of the second: small where a network is undecided.

    Args:
        probabilities: ``(N, C)`` floating point, C at least 2, rows summing to 1.

    Returns:
        ``(N,)`` float64 in [0, 1]; ``choose(..., keep="smallest")`` keeps the undecided.

    Raises:
        ValueError: for another shape.

    Source: Scheffer, Decomain and Wrobel 2001, "Active hidden Markov models for information extraction".

    Example:
        >>> margin(torch.tensor([[0.75, 0.25, 0.0]]))
        tensor([0.5000], dtype=torch.float64)
    """
    if probabilities.ndim != 2 or probabilities.shape[1] < 2:
        raise ValueError(f"expected probabilities (N, C) of two classes or more, received {tuple(probabilities.shape)}")
    first, second = probabilities.double().topk(2, 1).values.unbind(1)
    return first - second


def herding(features: Tensor, rows: Tensor, labels: Tensor, t: float) -> Tensor:
    r"""Rows whose mean stays closest to that of their class, chosen one after another.

    .. math:: s_{m} = \arg\min_{i \notin \{s_1, \dots, s_{m-1}\}}
        \Big\lVert \mu_c - \frac1m \Big(h_i + \sum_{j<m} h_{s_j} \Big) \Big\rVert_2

    Features count as they are: scale them to length 1 first where only directions are meant.

    Args:
        features: ``(N, D)`` floating point, h.
        rows: ``(N,)`` int64, their numbers.
        labels: ``(N,)`` int64, their classes.
        t: part of every class c to keep, in (0, 1]: :math:`\lceil t N_c \rceil` rows.

    Returns:
        ``(n,)`` int64, the numbers of the rows that are kept, ascending; of equally close ones the smaller number.

    Raises:
        ValueError: for a t outside (0, 1], other shapes, features that are not finite, or a row twice.

    Source: Welling 2009, "Herding dynamical weights to learn", without repeats as in Rebuffi et al. 2017, "iCaRL",
    algorithm 4.

    Example:
        >>> features = torch.tensor([[0.0], [3.0], [4.0], [9.0]])
        >>> herding(features, torch.arange(4), torch.zeros(4, dtype=torch.int64), 0.5).tolist()
        [1, 2]
    """
    return _greedy(features, rows, labels, t, _herd)


def k_center(features: Tensor, rows: Tensor, labels: Tensor, t: float) -> Tensor:
    r"""Rows that leave no row of their class far from all of them, chosen one after another.

    The first is the row nearest to the mean of its class; each further one is the row furthest from those that were
    chosen, :math:`s_m = \arg\max_i \min_{j<m} \lVert h_i - h_{s_j} \rVert_2`. The largest distance that remains is at
    most twice the smallest possible one.

    Args:
        features, rows, labels, t: see `herding`.

    Returns:
        ``(n,)`` int64, the numbers of the rows that are kept, ascending; of equally far ones the smaller number.

    Raises:
        ValueError: see `herding`.

    Source: Gonzalez 1985, "Clustering to minimize the maximum intercluster distance"; Sener and Savarese 2018, "Active
    learning for convolutional neural networks: a core-set approach", algorithm 1. The first row is our choice.

    Example:
        >>> features = torch.tensor([[0.0], [3.0], [4.0], [9.0]])
        >>> k_center(features, torch.arange(4), torch.zeros(4, dtype=torch.int64), 0.5).tolist()
        [2, 3]
    """
    return _greedy(features, rows, labels, t, _spread)


def _greedy(features: Tensor, rows: Tensor, labels: Tensor, t: float, pick) -> Tensor:
    """What `pick` chooses in every class."""
    check_rows(rows, labels)
    if features.ndim != 2 or len(features) != len(rows):
        raise ValueError(f"expected features ({len(rows)}, D), received {tuple(features.shape)}")
    if not features.isfinite().all():
        raise ValueError(f"expected finite features, received {int((~features.isfinite()).sum())} numbers that are not")
    kept = [group[pick(features[group].double().cpu(), part_of(t, len(group)))] for group in groups(rows, labels)]
    return rows[torch.cat(kept)].sort().values


def _herd(features: Tensor, count: int) -> Tensor:
    """Places of `count` rows whose mean follows that of all. (The first of equal distances is `argmin`'s.)

    Sums are compared, both means times both numbers: equal distances between whole numbers then are equal here, too.
    """
    whole_sum, total, chosen = features.sum(0), torch.zeros_like(features[0]), []
    free = torch.ones(len(features), dtype=torch.bool)
    for number in range(1, count + 1):
        distances = (number * whole_sum - len(features) * (total + features)).square().sum(1)
        chosen.append(int(distances.where(free, torch.inf).argmin()))
        free[chosen[-1]] = False
        total = total + features[chosen[-1]]
    return torch.tensor(chosen)


def _spread(features: Tensor, count: int) -> Tensor:
    """Places of `count` rows, each as far as can be from those before it."""
    chosen = [int((features.sum(0) - len(features) * features).square().sum(1).argmin())]
    nearest = (features - features[chosen[0]]).square().sum(1)
    nearest[chosen[0]] = -1  # never again, also where all others are at distance 0
    while len(chosen) < count:
        chosen.append(int(nearest.argmax()))
        nearest = torch.minimum(nearest, (features - features[chosen[-1]]).square().sum(1))
        nearest[chosen[-1]] = -1
    return torch.tensor(chosen)


def _errors(logits: Tensor, labels: Tensor) -> Tensor:
    """``(N, C)`` float64: probabilities less the label."""
    return logits.double().softmax(1) - one_hot(labels, logits.shape[1])


def _epochs(logits: Sequence[Tensor], labels: Tensor) -> list[Tensor]:
    """The logits of each epoch, looked at."""
    if labels.ndim != 1 or labels.dtype != torch.int64:
        raise ValueError(f"expected int64 labels (N,), received {tuple(labels.shape)} {labels.dtype}")
    epochs = list(logits)
    if not epochs:
        raise ValueError("expected the logits of at least one epoch, received none")
    for each in epochs:
        if each.ndim != 2 or each.shape != (len(labels), epochs[0].shape[-1]):
            raise ValueError(f"expected logits ({len(labels)}, C) of every epoch, received {tuple(each.shape)}")
        if len(labels) and not 0 <= labels.min() <= labels.max() < each.shape[1]:
            raise ValueError(f"expected labels in [0, {each.shape[1]}), received {int(labels.min())} to "
                             f"{int(labels.max())}")
    return epochs

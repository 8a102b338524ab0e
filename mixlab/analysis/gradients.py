r"""What a classifier does on the way from one training point to another.

On the segment :math:`\lambda x_i + (1 - \lambda) x_j` the mixup paper (Zhang et al., 2018, figure 2) shows two
quantities: how often the predicted class is neither of the two labels, and the norm of the model's gradient with
respect to the input. It does not say of which scalar the gradient is taken; here it is the Frobenius norm of the
whole Jacobian, of the class probabilities or of the logits.
"""

from collections.abc import Callable, Iterable
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.func import jacrev, vmap

from mixlab import priors

__all__ = ["Way", "along", "along_seeds", "between", "draw_pairs", "jacobian_norm", "misses"]


def draw_pairs(n: int, count: int, generator: torch.Generator) -> Tensor:
    """Draw ``count`` pairs of different rows out of ``n``: (count, 2) int64, the first ones without repeats.

    Raises:
        ValueError: for more pairs than rows, or fewer than two rows.

    Example:
        >>> pairs = draw_pairs(5, 3, torch.Generator().manual_seed(0))
        >>> pairs.shape, bool((pairs[:, 0] != pairs[:, 1]).all())
        (torch.Size([3, 2]), True)
    """
    if not 0 < count <= n or n < 2:
        raise ValueError(f"expected between 1 and n pairs of n >= 2 rows, received {count} pairs of {n} rows")
    pairs = priors.partners(n, 2, generator=generator)
    return pairs[torch.randperm(n, generator=generator)[:count]]


def between(x: Tensor, pairs: Tensor, shares: Tensor) -> Tensor:
    r"""Points :math:`\lambda x_i + (1 - \lambda) x_j` on the segments between pairs.

    Args:
        x: (N, D).
        pairs: (P, 2) int64, the rows i and j.
        shares: (L,) values of λ.

    Returns:
        (L, P, D).

    Example:
        >>> between(torch.tensor([[0.0], [2.0]]), torch.tensor([[0, 1]]), torch.tensor([0.0, 0.25, 1.0])).flatten()
        tensor([2.0000, 1.5000, 0.0000])
    """
    first, second = x[pairs[:, 0]], x[pairs[:, 1]]
    shares = shares.to(x.dtype)[:, None, None]
    return shares * first + (1 - shares) * second


def jacobian_norm(function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """Frobenius norm of the Jacobian of a row-wise function at every row.

    Args:
        function: maps (D,) to (C,), or (N, D) to (N, C) row by row.
        x: (..., D).

    Returns:
        The norms, (...), in units of the function per unit of the input.

    Example:
        >>> matrix = torch.tensor([[3.0, 0.0], [0.0, 4.0]])
        >>> jacobian_norm(lambda x: x @ matrix.T, torch.zeros(2, 2))
        tensor([5., 5.])
    """
    jacobians = vmap(jacrev(function))(x.reshape(-1, x.shape[-1]))
    return jacobians.detach().flatten(1).norm(dim=1).reshape(x.shape[:-1])


def misses(predicted: Tensor, labels: Tensor, pairs: Tensor) -> Tensor:
    """Tell where the predicted class is neither of the labels at the two ends of the segment.

    Args:
        predicted: (L, P) int64, classes on the way.
        labels: (N,) int64.
        pairs: (P, 2) int64.

    Returns:
        (L, P) bool.

    Example:
        >>> misses(torch.tensor([[0], [2]]), torch.tensor([0, 1]), torch.tensor([[0, 1]])).flatten().tolist()
        [False, True]
    """
    ends = labels[pairs]
    return (predicted[..., None] != ends).all(-1)


class Way(NamedTuple):
    """Means over pairs, at every share λ; each (L,) float64.

    Attributes:
        misses: part of the predictions that are neither end's label, in percent.
        probabilities: norm of the Jacobian of the class probabilities.
        logits: norm of the Jacobian of the logits.
    """

    misses: Tensor
    probabilities: Tensor
    logits: Tensor


def along(model: nn.Module, x: Tensor, labels: Tensor, pairs: Tensor, shares: Tensor) -> Way:
    """Measure a classifier on the segments between pairs of points.

    Args:
        model: (N, D) to logits (N, C), row by row.
        x: (N, D).
        labels: (N,) int64.
        pairs: (P, 2) int64.
        shares: (L,) values of λ, the share of the first of a pair.

    Example:
        >>> x, labels = torch.tensor([[0.0, 1.0], [1.0, 0.0]]), torch.tensor([1, 0])
        >>> along(nn.Identity(), x, labels, torch.tensor([[0, 1]]), torch.tensor([0.0, 1.0])).logits
        tensor([1.4142, 1.4142], dtype=torch.float64)
    """
    points = between(x, pairs, shares)
    with torch.no_grad():
        predicted = model(points.flatten(0, 1)).argmax(1).reshape(points.shape[:2])
    return Way(
        100 * misses(predicted, labels, pairs).double().mean(1),
        jacobian_norm(lambda point: model(point).softmax(-1), points).double().mean(1),
        jacobian_norm(model, points).double().mean(1),
    )


def along_seeds(models: Iterable[nn.Module], x: Tensor, labels: Tensor, pairs: Tensor, shares: Tensor) -> Way:
    """The same for several networks: a `Way` of (seeds, L) tensors. Arguments as for :func:`along`.

    Example:
        >>> x, labels = torch.tensor([[0.0, 1.0], [1.0, 0.0]]), torch.tensor([1, 0])
        >>> along_seeds([nn.Identity()] * 3, x, labels, torch.tensor([[0, 1]]), torch.tensor([0.0, 1.0])).misses.shape
        torch.Size([3, 2])
    """
    return Way(*map(torch.stack, zip(*(along(model, x, labels, pairs, shares) for model in models))))

"""How well an uncertainty finds a network's errors."""

import torch
from torch import Tensor

__all__ = ["entropy", "error_auroc", "least_confidence"]


def entropy(probabilities: Tensor) -> Tensor:
    """Shannon entropy of every row, in nats: 0 for a certain one, log C for a uniform one.

    Args:
        probabilities: ``(N, C)`` floating point, rows summing to 1.

    Returns:
        ``(N,)`` in [0, log C].

    Example:
        >>> entropy(torch.tensor([[1.0, 0.0], [0.5, 0.5]]))
        tensor([0.0000, 0.6931])
    """
    return -torch.xlogy(probabilities, probabilities).sum(1) + 0.0


def least_confidence(probabilities: Tensor) -> Tensor:
    """One minus the largest probability of every row.

    Args:
        probabilities: ``(N, C)`` floating point, rows summing to 1.

    Returns:
        ``(N,)`` in [0, 1 - 1/C].

    Example:
        >>> least_confidence(torch.tensor([[0.75, 0.25]]))
        tensor([0.2500])
    """
    return 1 - probabilities.amax(1)


def error_auroc(uncertainty: Tensor, wrong: Tensor) -> float:
    """Probability that a wrong prediction is more uncertain than a right one; a tie counts one half.

    This is the area under the receiver operating characteristic of "uncertain means wrong": 0.5 is no use, 1 ranks
    every error above every right answer. It does not see calibration, only the ranking.

    Args:
        uncertainty: ``(N,)`` floating point, larger where less sure.
        wrong: ``(N,)`` bool, whether the prediction that is judged was wrong.

    Returns:
        A number in [0, 1].

    Raises:
        ValueError: for other shapes, an uncertainty that is not a number, or where all predictions are right or all
            are wrong.

    Example:
        >>> error_auroc(torch.tensor([0.9, 0.1, 0.5]), torch.tensor([True, False, False]))
        1.0
    """
    if uncertainty.ndim != 1 or uncertainty.shape != wrong.shape or wrong.dtype != torch.bool:
        raise ValueError(f"expected uncertainties (N,) and bools (N,), received {tuple(uncertainty.shape)} and "
                         f"{tuple(wrong.shape)} {wrong.dtype}")
    if bool(uncertainty.isnan().any()):
        raise ValueError(f"expected numbers as uncertainties, received {int(uncertainty.isnan().sum())} that are none")
    errors, count = int(wrong.sum()), len(wrong)
    if errors in (0, count):
        raise ValueError(f"expected right and wrong predictions, received {errors} wrong ones of {count}")
    _, place, times = uncertainty.double().unique(return_inverse=True, return_counts=True)
    # Mean rank of every group of ties, counted from 1.
    rank = (times.cumsum(0) - (times - 1).double() / 2)[place]
    return float((rank[wrong].sum() - errors * (errors + 1) / 2) / (errors * (count - errors)))

"""Temperature scaling: how sure a network is, set right by one number."""

from __future__ import annotations

import math

from torch import Tensor, nn

__all__ = ["fit_temperature"]

#: Where the temperature is looked for.
RANGE = (0.05, 20.0)


def fit_temperature(logits: Tensor, labels: Tensor) -> float:
    """The temperature T > 0 at which softmax(logits / T) has the lowest cross-entropy.

    The order of the classes, and so every error, stays; what changes is how sure the network is. Cross-entropy is
    convex in 1 / T, so there is one minimum.

    Args:
        logits: (N, C), any floating type, of rows that the network was not trained on.
        labels: (N,) class indices.

    Returns:
        T between 0.05 and 20, to three digits or better.

    Raises:
        ValueError: for no rows.

    Source: Guo et al. (2017), "On calibration of modern neural networks", section 4.2.

    Example:
        >>> import torch
        >>> logits, labels = torch.tensor([[2.0, 0.0]] * 4), torch.tensor([0, 0, 0, 1])  # three of four are right
        >>> round(2 / fit_temperature(logits, labels), 2), round(math.log(3), 2)  # so the log-odds are log 3
        (1.1, 1.1)
    """
    from scipy.optimize import minimize_scalar

    if not len(labels):
        raise ValueError("expected at least one row to fit a temperature on, received none")
    wide, labels = logits.double(), labels.to(logits.device)

    def loss(log_temperature: float) -> float:
        return nn.functional.cross_entropy(wide / math.exp(log_temperature), labels).item()

    bounds = [math.log(value) for value in RANGE]
    return math.exp(minimize_scalar(loss, bounds=bounds, method="bounded", options={"xatol": 1e-5}).x)

"""Cross-entropy against a distribution over the classes."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import log_softmax

REDUCTIONS = {"mean": Tensor.mean, "sum": Tensor.sum, "none": lambda losses: losses}


def soft_cross_entropy(logits: Tensor, targets: Tensor, reduction: str = "mean") -> Tensor:
    """Cross-entropy of soft targets: -sum_c targets[b, c] log softmax(logits)[b, c].

    With a mixed target y = sum_k w_k onehot(y_k) this is the weighted loss sum_k w_k CE(logits, y_k) of the mixup
    paper (Zhang et al. 2018, section 2), since the cross-entropy is linear in its target.

    Args:
        logits: (B, C), any floating type; half-precision logits are taken to float32 first, also under autocast.
        targets: (B, C) weights of the classes; rows that sum to 1 are distributions, other rows are taken as they are.
        reduction: "mean" over the rows, "sum", or "none" for the (B,) losses.

    Returns:
        A scalar, or (B,) for "none"; float32 (float64 where the logits are), in nats.

    Raises:
        ValueError: if the shapes differ or are not (B, C), or the reduction is unknown.

    Example:
        >>> logits = torch.tensor([[2.0, 0.0], [0.0, 0.0]])
        >>> soft_cross_entropy(logits, torch.tensor([[0.5, 0.5], [1.0, 0.0]]), reduction="none")
        tensor([1.1269, 0.6931])
    """
    if logits.ndim != 2 or logits.shape != targets.shape:
        raise ValueError(
            "expected logits and targets of one shape (B, C), "
            f"received {tuple(logits.shape)} and {tuple(targets.shape)}"
        )
    if reduction not in REDUCTIONS:
        raise ValueError(f"expected a reduction of {', '.join(REDUCTIONS)}, received {reduction!r}")
    with torch.autocast(logits.device.type, enabled=False):
        wide = logits if logits.dtype == torch.float64 else logits.float()
        losses = -(targets.to(wide.dtype) * log_softmax(wide, dim=1)).sum(1)
        return REDUCTIONS[reduction](losses)

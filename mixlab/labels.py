"""What labels come in: class indices, or weights of the classes."""

from __future__ import annotations

import torch
from torch import Tensor

from mixlab.masks import visible

__all__ = ["plain_labels"]


def plain_labels(labels: Tensor, num_classes: int | None = None) -> Tensor:
    """Labels as class indices (B,) or as weights of the classes (B, C), from all that data loaders hand out.

    Args:
        labels: one of

            - (B,) or (B, 1) class indices of any integer dtype,
            - (B, C) weights of the classes, floating point, taken as they are,
            - (B, C) integers or bools, 1 for a class that is there: one-hot, or several-hot.
        num_classes: C, where it is known. (B, 1) integers are class indices unless it is 1.

    Returns:
        (B,) integers as they came, or (B, C) floating point.

    Raises:
        ValueError: for any other shape or dtype, or for integers (B, C) that are neither 0 nor 1 (seen on a CPU only).

    Example:
        >>> import torch
        >>> plain_labels(torch.tensor([[2], [0]]), num_classes=3)
        tensor([2, 0])
        >>> plain_labels(torch.tensor([[False, True], [True, False]]))
        tensor([[0., 1.],
                [1., 0.]])
    """
    received = f"shape {tuple(labels.shape)} {labels.dtype}"
    if labels.ndim not in (1, 2) or labels.is_complex():
        raise ValueError(f"expected class indices (B,) or weights of the classes (B, C) as labels, received {received}")
    if labels.ndim == 1:
        if labels.is_floating_point() or labels.dtype == torch.bool:
            raise ValueError(
                f"expected labels of one axis to be class indices of an integer dtype, received {received}: pass "
                "labels.long() where they are class numbers; where they say how likely one class is, pass "
                "labels[:, None] to a risk with loss=torch.nn.BCEWithLogitsLoss(), for a network with one logit a row"
            )
        return labels
    if labels.is_floating_point():
        return labels
    hot = labels.dtype == torch.bool
    if labels.shape[1] == 1 and num_classes != 1 and not hot:
        return labels[:, 0]
    if not hot and visible(labels) and labels.numel() and not bool(((labels == 0) | (labels == 1)).all()):
        raise ValueError("expected integers (B, C) that are 1 for a class that is there and else 0, received "
                         f"{received} with values from {int(labels.min())} to {int(labels.max())}")
    return labels.float()

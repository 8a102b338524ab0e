"""Training labels replaced by noise, the test of memorisation of Zhang et al. (2017)."""

from __future__ import annotations

import torch
from torch import Generator, Tensor


def corrupt_labels(labels: Tensor, fraction: float, num_classes: int, *, generator: Generator) -> Tensor:
    """Labels of which a part is replaced by labels drawn uniformly from all classes.

    As in the mixup paper (Zhang et al. 2018, section 3.4) the new label may be the old one by chance, so about
    `fraction / num_classes` of the rows are drawn anew and still right.

    Args:
        labels: (N,) integers; left as they are.
        fraction: part of the rows to draw anew, in [0, 1]; exactly round(fraction * N) of them.
        num_classes: labels are drawn from 0..num_classes-1.
        generator: draws rows and labels.

    Raises:
        ValueError: if `fraction` is outside [0, 1].

    Example:
        >>> noisy = corrupt_labels(torch.zeros(1000).long(), 0.5, 10, generator=torch.Generator().manual_seed(0))
        >>> 400 < int((noisy != 0).sum()) < 500
        True
    """
    if not 0 <= fraction <= 1:
        raise ValueError(f"expected a fraction in [0, 1], got {fraction}")
    rows = torch.randperm(len(labels), generator=generator)[: round(fraction * len(labels))]
    noisy = labels.clone()
    noisy[rows] = torch.randint(num_classes, (len(rows),), generator=generator).to(labels.dtype)
    return noisy

"""Training labels that lie: the memorisation experiment."""

import torch
from torch import Tensor

__all__ = ["corrupt_labels"]


def corrupt_labels(
    labels: Tensor, fraction: float, num_classes: int, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Replace a fraction of the labels by random ones.

    A replacement is uniform over *all* classes, as in C. Zhang et al., "Understanding Deep Learning Requires
    Rethinking Generalization" (2017), whose protocol the mixup paper (H. Zhang et al., 2018, section 3.4)
    follows. So one in ``num_classes`` of the replaced labels is right by chance: ``new != labels`` are those
    that are wrong.

    Args:
        labels: (N,) int64, not written to.
        fraction: 0..1; exactly ``round(fraction * N)`` rows are replaced.
        num_classes: how many classes there are.
        generator: draws the rows, then the labels.

    Returns:
        The new labels, (N,) int64, and a (N,) boolean mask of the rows that were replaced.

    Raises:
        ValueError: for a fraction or labels out of range.

    Example:
        >>> labels = torch.arange(10)
        >>> new, replaced = corrupt_labels(labels, 0.5, 10, torch.Generator().manual_seed(0))
        >>> replaced.sum().item(), torch.equal(new[~replaced], labels[~replaced])
        (5, True)
    """
    if not 0 <= fraction <= 1:
        raise ValueError(f"expected a fraction from 0 to 1, received {fraction}")
    if len(labels) and not (0 <= int(labels.min()) and int(labels.max()) < num_classes):
        raise ValueError(
            f"expected labels from 0 to {num_classes - 1}, received {int(labels.min())}..{int(labels.max())}"
        )
    count = round(fraction * len(labels))
    where = {"generator": generator, "device": generator.device}
    rows = torch.randperm(len(labels), **where)[:count].to(labels.device)
    drawn = torch.randint(num_classes, (count,), **where)
    new, replaced = labels.clone(), torch.zeros_like(labels, dtype=torch.bool)
    new[rows], replaced[rows] = drawn.to(labels), True
    return new, replaced

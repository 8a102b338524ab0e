"""What a training step is given."""

from typing import NamedTuple

from torch import Tensor

__all__ = ["Batch"]


class Batch(NamedTuple):
    """Images, their labels, and which rows of the training file they are.

    Attributes:
        images: (B, C, H, W) float32.
        labels: (B,) class indices, or (B, classes) float32 distributions over the classes.
        rows: (B,) int64: the number of each image in the set's own training file. It means the same image whatever
            was held out, limited or selected, so a score or a memory that is kept by row fits every part of the set.
            (`StreamingLoader` knows only the dataset that it was given, and numbers its rows.)

    Example:
        >>> import torch
        >>> batch = Batch(torch.zeros(2, 1, 8, 8), torch.tensor([3, 1]), torch.tensor([70, 11]))
        >>> images, labels, rows = batch
        >>> rows.tolist(), batch.labels.tolist()
        ([70, 11], [3, 1])
    """

    images: Tensor
    labels: Tensor
    rows: Tensor

"""What every risk is to the training loop."""

from __future__ import annotations

from torch import Generator, Tensor, nn


class Risk(nn.Module):
    """What is minimised: ``risk(model, batch, step=s, generator=g) -> loss``.

    A risk does not keep the network. What it learns or remembers is its parameters and buffers, so it is optimised,
    and checkpointed like any module; parameters that are frozen (a teacher's) enter no optimiser
    and count in what makes two runs the same. A hidden layer is read with `mixlab.models.tap`. With several processes,
    buffers that ``forward`` writes are those of each process, and a checkpoint keeps the first one's.

    Attributes:
        compilable: whether the network may be compiled: false for a risk that reaches into its layers.

    Example:
        >>> import torch
        >>> class Halved(Risk):
        ...     def forward(self, model, batch, *, step=0, generator=None):
        ...         images, labels = batch[:2]
        ...         return nn.functional.cross_entropy(model(images), labels) / 2
        >>> batch = torch.zeros(3, 4), torch.tensor([0, 1, 2])
        >>> round(Halved()(nn.Identity(), batch).item(), 4), Halved().compilable
        (0.6931, True)
    """

    compilable = True

    def forward(self, model: nn.Module, batch: tuple[Tensor, ...], *, step: int = 0,
                generator: Generator | None = None) -> Tensor:
        """Loss of a model on a batch; subclasses say which.

        Args:
            model: images (B, C, H, W) to logits (B, classes).
            batch: a `mixlab.data.Batch`, or a pair of images and labels where no rows are needed.
            step: number of the training step, from 0.
            generator: all that is drawn comes from it.
        """
        raise TypeError(f"{type(self).__name__} does not say what its loss is; use one of its subclasses")

"""Empirical risk: the training set itself is the distribution."""

from __future__ import annotations

from collections.abc import Callable

from torch import Generator, Tensor, nn
from torch.nn.functional import one_hot

from mixlab.batches import images_and_labels
from mixlab.checks import real
from mixlab.labels import plain_labels
from mixlab.models.logits import as_logits
from mixlab.risk.base import Risk
from mixlab.risk.loss import ask, checked_loss


class EmpiricalRisk(Risk):
    """Mean cross-entropy on the samples as they are, with label smoothing as a control.

    R(f) = 1/N sum_i CE(f(x_i), y_i), the vicinal risk of point masses (Zhang et al. 2018, sec. 2). Smoothing replaces
    y by (1 - s) y + s / C (Szegedy et al. 2016, section 7): softer labels without mixed inputs.

    Args:
        label_smoothing: s in [0, 1].
        loss: what is put in the place of the cross-entropy, see `VicinalRisk`.

    Raises:
        ValueError: if `label_smoothing` is outside [0, 1], or `loss` cannot be called.

    Example:
        >>> import torch
        >>> risk = EmpiricalRisk()
        >>> round(risk(nn.Identity(), (torch.zeros(3, 4), torch.tensor([0, 1, 2]))).item(), 4)
        1.3863
    """

    def __init__(self, label_smoothing: float = 0.0, *, loss: Callable[[Tensor, Tensor], Tensor] | None = None):
        super().__init__()
        if not real(label_smoothing) or not 0 <= label_smoothing <= 1:
            raise ValueError(f"expected label_smoothing in [0, 1], received {label_smoothing!r}")
        self.label_smoothing = label_smoothing
        if loss is not None:
            self.loss = checked_loss(loss, self.label_smoothing)

    def forward(self, model: nn.Module, batch: tuple[Tensor, ...], *, step: int = 0,
                generator: Generator | None = None) -> Tensor:
        """Loss of `model` on the images and labels of a batch, see `mixlab.batches` and `mixlab.labels`.

        Nothing is drawn and no step is told from another: `step` and `generator` are there because every risk is
        called alike.

        Raises:
            ValueError: if an integer label is outside [0, C) (checked on the CPU, as in `Mix.targets`), labels have
                another shape or dtype, the batch has no images or labels, or the model returns no logits.
        """
        images, labels = images_and_labels(batch)
        logits = as_logits(model(images))
        targets = distributions(labels, logits.shape[1])
        return ask(getattr(self, "loss", None), logits, targets, self.label_smoothing)

    def extra_repr(self) -> str:
        loss = getattr(self, "loss", nn.Identity())
        loss = "" if isinstance(loss, nn.Module) else f", loss={loss!r}"  # a module prints itself
        return f"label_smoothing={self.label_smoothing:g}{loss}"


def distributions(labels: Tensor, num_classes: int) -> Tensor:
    """Soft float32 labels (B, num_classes) of class indices (B,) or (B, 1), or soft and one-hot ones as they are.

    Raises:
        ValueError: as `EmpiricalRisk.forward` says.

    Example:
        >>> import torch
        >>> distributions(torch.tensor([2, 0]), 3)
        tensor([[0., 0., 1.],
                [1., 0., 0.]])
    """
    labels = plain_labels(labels, num_classes)
    if labels.ndim == 2:
        if labels.shape[1] != num_classes:
            raise ValueError(f"expected labels of shape (B, {num_classes}) for {num_classes} logits, received "
                             f"{tuple(labels.shape)}")
        return labels.float()
    try:
        return one_hot(labels.long(), num_classes).float()
    except RuntimeError as error:
        raise ValueError(f"expected labels in [0, {num_classes}), received {int(labels.min())} to {int(labels.max())}"
                         ) from error

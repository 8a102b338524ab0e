"""Empirical risk: the training set itself is the distribution."""

from __future__ import annotations

import torch
from torch import Generator, Tensor, nn
from torch.nn.functional import one_hot

from mixlab.risk.base import Risk
from mixlab.risk.loss import soft_cross_entropy


class EmpiricalRisk(Risk):
    """Mean cross-entropy on the samples as they are, with label smoothing as a control.

    R(f) = 1/N sum_i CE(f(x_i), y_i), the vicinal risk of point masses (Zhang et al. 2018, sec. 2). Smoothing replaces
    y by (1 - s) y + s / C (Szegedy et al. 2016, section 7): softer labels without mixed inputs.

    Args:
        label_smoothing: s in [0, 1].

    Raises:
        ValueError: if `label_smoothing` is outside [0, 1].

    Example:
        >>> import torch
        >>> risk = EmpiricalRisk()
        >>> round(risk(nn.Identity(), (torch.zeros(3, 4), torch.tensor([0, 1, 2]))).item(), 4)
        1.3863
    """

    def __init__(self, label_smoothing: float = 0.0):
        super().__init__()
        if not 0.0 <= label_smoothing <= 1.0:
            raise ValueError(f"expected label_smoothing in [0, 1], received {label_smoothing}")
        self.label_smoothing = label_smoothing

    def forward(self, model: nn.Module, batch: tuple[Tensor, ...], *, step: int = 0,
                generator: Generator | None = None) -> Tensor:
        """Loss of `model` on `batch` = (images, labels, ...); labels (B,) of any integer type or soft (B, C).

        Nothing is drawn and no step is told from another: `step` and `generator` are there because every risk is
        called alike.

        Raises:
            ValueError: if an integer label is outside [0, C) (checked on the CPU, as in `Mix.targets`), or float labels
                are not (B, C), or labels are bool.
        """
        images, labels = batch[:2]
        logits = model(images)
        targets = distributions(labels, logits.shape[1])
        smoothed = targets * (1 - self.label_smoothing) + self.label_smoothing / logits.shape[1]
        return soft_cross_entropy(logits, smoothed)

    def extra_repr(self) -> str:
        return f"label_smoothing={self.label_smoothing:g}"


def distributions(labels: Tensor, num_classes: int) -> Tensor:
    """Soft float32 labels (B, num_classes) of integer labels (B,), or soft ones as they are.

    Raises:
        ValueError: as `EmpiricalRisk.forward` says.

    Example:
        >>> import torch
        >>> distributions(torch.tensor([2, 0]), 3)
        tensor([[0., 0., 1.],
                [1., 0., 0.]])
    """
    soft = labels.is_floating_point()
    wanted = labels.shape[1:] == (num_classes,) if soft else labels.ndim == 1
    if not wanted or labels.dtype == torch.bool:
        raise ValueError(f"expected soft labels (B, {num_classes}) or integer labels (B,), "
                         f"received {labels.dtype} of shape {tuple(labels.shape)}")
    if soft:
        return labels.float()
    try:
        return one_hot(labels.long(), num_classes).float()
    except RuntimeError as error:
        raise ValueError(f"expected labels in [0, {num_classes}), received {int(labels.min())} to {int(labels.max())}"
                         ) from error

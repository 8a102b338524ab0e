"""Losses against a distribution over the classes: the cross-entropy, or one of the user's."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.functional import log_softmax

from mixlab.checks import real

REDUCTIONS = {"mean": Tensor.mean, "sum": Tensor.sum, "none": lambda losses: losses}


def soft_cross_entropy(logits: Tensor, targets: Tensor, reduction: str = "mean",
                       weight: Tensor | None = None) -> Tensor:
    """Cross-entropy of soft targets: -sum_c targets[b, c] log softmax(logits)[b, c].

    With a mixed target y = sum_k w_k onehot(y_k) this is the weighted loss sum_k w_k CE(logits, y_k) of the mixup
    paper (Zhang et al. 2018, section 2), since the cross-entropy is linear in its target.

    Args:
        logits: (B, C), any floating type; half-precision logits are taken to float32 first, also under autocast.
        targets: (B, C) weights of the classes; rows that sum to 1 are distributions, other rows are taken as they are.
        reduction: "mean" over the rows, "sum", or "none" for the (B,) losses.
        weight: (C,) weights of the classes. A row's loss is then -sum_c weight[c] targets[b, c] log softmax(...)[c],
            and "mean" divides the sum by that of weight[c] targets[b, c], as torch does for class indices (for soft
            targets torch divides by B).

    Returns:
        A scalar, or (B,) for "none"; float32 (float64 where the logits are), in nats.

    Raises:
        ValueError: if the shapes differ or are not (B, C), the weight is not (C,), or the reduction is unknown.

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
        if weight is None:
            losses = -(targets.to(wide.dtype) * log_softmax(wide, dim=1)).sum(1)
            return REDUCTIONS[reduction](losses)
        if weight.shape != targets.shape[1:]:
            received = tuple(weight.shape)
            raise ValueError(f"expected a weight for each of {targets.shape[1]} classes, received shape {received}")
        weighted = targets.to(wide.dtype) * weight.to(wide)
        losses = -(weighted * log_softmax(wide, dim=1)).sum(1)
        return losses.sum() / weighted.sum() if reduction == "mean" else REDUCTIONS[reduction](losses)


class SoftCrossEntropy(nn.Module):
    """`torch.nn.CrossEntropyLoss` for soft targets, with the values that torch's gives for class indices.

    Of one-hot targets it gives what torch gives of the class indices: with weights w, label smoothing s, and targets t,

        sum_(b, c) w_c ((1 - s) t[b, c] + s / C) (-log softmax(logits)[b, c])  /  sum_(b, c) w_c t[b, c].

    So a loss keeps its scale where mixing is switched on. (torch divides by B where targets are soft. With weights
    whose mean is not 1 that is another scale, and so another learning rate.)

    Args:
        weight: (C,) of the classes; None weighs them alike, and the mean is over the rows. (Ones do the same where rows
            of targets sum to 1.)
        label_smoothing: s in [0, 1].
        reduction: "mean", "sum" or "none".

    Raises:
        ValueError: for a weight of another shape than (C,), smoothing outside [0, 1], or an unknown reduction.

    Example:
        >>> weight, labels = torch.tensor([1.0, 3.0]), torch.tensor([0, 1])
        >>> logits = torch.tensor([[1.0, 0.0], [0.0, 0.0]])
        >>> soft = SoftCrossEntropy(weight)(logits, nn.functional.one_hot(labels).float())
        >>> bool(soft.isclose(nn.CrossEntropyLoss(weight)(logits, labels)))
        True
    """

    def __init__(self, weight: Tensor | None = None, label_smoothing: float = 0.0, reduction: str = "mean"):
        super().__init__()
        if not real(label_smoothing) or not 0 <= label_smoothing <= 1:
            raise ValueError(f"expected label_smoothing in [0, 1], received {label_smoothing!r}")
        if weight is not None and weight.ndim != 1:
            raise ValueError(f"expected a weight of shape (C,), received {tuple(weight.shape)}")
        if reduction not in REDUCTIONS:
            raise ValueError(f"expected a reduction of {', '.join(REDUCTIONS)}, received {reduction!r}")
        self.label_smoothing, self.reduction = float(label_smoothing), reduction
        self.register_buffer("weight", None if weight is None else weight.detach().clone())

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        """The loss of logits (B, C) against soft targets (B, C).

        Raises:
            ValueError: as `soft_cross_entropy`, or for one class.
        """
        _check_classes(logits)
        even = smoothed(targets, self.label_smoothing)
        if self.reduction != "mean" or self.weight is None:
            return soft_cross_entropy(logits, even, self.reduction, self.weight)
        total = soft_cross_entropy(logits, even, "sum", self.weight)
        return total / (targets.to(total.dtype) * self.weight.to(total)).sum()

    def extra_repr(self) -> str:
        weight = "" if self.weight is None else f"weight of {len(self.weight)} classes, "
        return f"{weight}label_smoothing={self.label_smoothing:g}, reduction={self.reduction}"


def smoothed(targets: Tensor, part: float) -> Tensor:
    """Targets (B, C) of which a part s is uniform: (1 - s) t + s / C.

    Raises:
        ValueError: for one class, of which the uniform part would be all.

    Example:
        >>> smoothed(torch.tensor([[1.0, 0.0]]), 0.5)
        tensor([[0.7500, 0.2500]])
    """
    if part and targets.shape[1] == 1:
        raise ValueError("expected at least two classes with label smoothing, received one: smooth the labels "
                         "themselves")
    return (1 - part) * targets + part / targets.shape[1]


def checked_loss(loss: Callable[[Tensor, Tensor], Tensor], label_smoothing: float = 0.0
                 ) -> Callable[[Tensor, Tensor], Tensor]:
    """The loss of a risk, as it is asked; see `mixlab.risk.VicinalRisk`.

    Args:
        loss: the user's. A subclass of `torch.nn.CrossEntropyLoss` has a loss of its own and is called as it is.
        label_smoothing: the risk's, which a cross-entropy takes over: its mean is one over targets without smoothing.

    Raises:
        ValueError: for something that cannot be called, smoothing in both, an `ignore_index`, or a loss for each row.

    Example:
        >>> checked_loss(nn.CrossEntropyLoss(label_smoothing=0.1))
        SoftCrossEntropy(label_smoothing=0.1, reduction=mean)
    """
    if type(loss) is nn.CrossEntropyLoss or isinstance(loss, SoftCrossEntropy):
        if getattr(loss, "ignore_index", -1) >= 0:
            raise ValueError("expected a CrossEntropyLoss without an ignore_index, since a mixed target has no class "
                             f"to be ignored for, received {loss.ignore_index}: give that class the weight 0")
        if loss.reduction == "none":
            raise ValueError("expected a loss with the reduction mean or sum, received 'none'")
        if loss.label_smoothing and label_smoothing:
            raise ValueError("expected label smoothing in one place, received "
                             f"{label_smoothing} in the risk and {loss.label_smoothing} in its loss")
        return SoftCrossEntropy(loss.weight, loss.label_smoothing or label_smoothing, loss.reduction)
    if isinstance(loss, type) or not callable(loss):
        raise ValueError("expected a loss that is called with logits and soft targets, such as "
                         f"torch.nn.BCEWithLogitsLoss(), received {loss!r}")
    return loss


def ask(loss: Callable[[Tensor, Tensor], Tensor] | None, logits: Tensor, targets: Tensor,
        label_smoothing: float = 0.0) -> Tensor:
    """What a loss, or the cross-entropy where there is none, says of logits (B, C) and soft targets (B, C).

    Args:
        loss: from `checked_loss`, or None.
        logits, targets: of a batch.
        label_smoothing: of the targets; a `SoftCrossEntropy` has it already.

    Raises:
        ValueError: for a loss that is not one number, or a cross-entropy of one class, which is always 0.

    Example:
        >>> ask(None, torch.zeros(1, 2), torch.tensor([[1.0, 0.0]]))
        tensor(0.6931)
    """
    if loss is None:
        _check_classes(logits)
        return soft_cross_entropy(logits, smoothed(targets, label_smoothing))
    value = loss(logits, targets if isinstance(loss, SoftCrossEntropy) else smoothed(targets, label_smoothing))
    if not isinstance(value, Tensor) or value.ndim:
        received = f"shape {tuple(value.shape)}" if isinstance(value, Tensor) else f"a {type(value).__name__}"
        raise ValueError(f"expected one number from the loss (reduction='mean'), received {received}")
    return value


def _check_classes(logits: Tensor) -> None:
    """Refuse one logit a row, of which the softmax is 1 whatever it is."""
    if logits.ndim == 2 and logits.shape[1] == 1:
        raise ValueError("expected at least two logits a row for a cross-entropy, which is 0 of one, received one: "
                         "pass loss=torch.nn.BCEWithLogitsLoss()")

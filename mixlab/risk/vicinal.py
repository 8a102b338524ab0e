"""Vicinal risk: each sample stands for a distribution around it, drawn by a mixer."""

from __future__ import annotations

from collections.abc import Callable

from torch import Generator, Tensor, nn

from mixlab.batches import images_and_labels
from mixlab.checks import real
from mixlab.mix import Mix
from mixlab.models.logits import as_logits
from mixlab.risk.base import Risk
from mixlab.risk.loss import ask, checked_loss


class VicinalRisk(Risk):
    """Mean soft cross-entropy on what a mixer draws from the batch.

    R(f) = E_(x̂, ŷ) CE(f(x̂), ŷ), one draw a step (Zhang et al. 2018, sec. 2; Chapelle et al. 2000). The targets come
    from the mix that was applied, so the label weights are those of the pixels wherever the mixer says so.

    With `clean`, mini-batches take turns: those of even steps are left as they are, those of odd steps are mixed, as
    LaMix does it (2021, section 2.4). With both options and `Average` as its mixer, this risk is `LaMixRisk` with
    uniform labels in place of learned ones: the control that LaMix needs.

    Args:
        mixer: anything with `draw(images, labels, generator=g) -> Mix`.
        label_smoothing: s in [0, 1]; a target ŷ becomes (1 - s) ŷ + s / C, mixed or not.
        clean: whether every other mini-batch is clean.
        loss: called with logits (B, C) and soft targets (B, C) float32, gives one number; by default
            `soft_cross_entropy`. `torch.nn.BCEWithLogitsLoss()` treats every class by itself. Of a
            `torch.nn.CrossEntropyLoss` (itself, no subclass) the settings are taken and not its call: with soft targets
            that divides by the number of rows, and with class indices by the sum of their weights, so that switching
            mixing on would rescale the loss (see `SoftCrossEntropy`).

    Raises:
        ValueError: if `label_smoothing` is outside [0, 1] or in the loss as well, `clean` is no bool, or `loss` cannot
            be called, has an `ignore_index`, or a value for each row.

    Example:
        >>> import torch
        >>> from mixlab.mixers import Mixup
        >>> risk = VicinalRisk(Mixup(alpha=1.0))
        >>> images, labels = torch.zeros(4, 1, 2, 2), torch.tensor([0, 1, 1, 0])
        >>> model = nn.Sequential(nn.Flatten(), nn.Linear(4, 2, bias=False))
        >>> round(risk(model, (images, labels)).item(), 4)
        0.6931
        >>> rare = torch.tensor([1.0, 9.0])  # the second class counts nine times
        >>> weighted = VicinalRisk(Mixup(alpha=1.0), loss=nn.CrossEntropyLoss(weight=rare))
        >>> round(weighted(model, (images, labels)).item(), 4)  # a mean with weights: equal losses stay what they are
        0.6931
    """

    # Of the class, and of a risk only where they differ: runs from before there were options stay the same runs.
    label_smoothing, clean = 0.0, False

    def __init__(self, mixer, label_smoothing: float = 0.0, clean: bool = False, *,
                 loss: Callable[[Tensor, Tensor], Tensor] | None = None):
        super().__init__()
        if not real(label_smoothing) or not 0 <= label_smoothing <= 1:
            raise ValueError(f"expected label_smoothing in [0, 1], received {label_smoothing!r}")
        check_clean(clean)
        self.mixer = mixer
        if label_smoothing:
            self.label_smoothing = float(label_smoothing)
        if clean:
            self.clean = True
        if loss is not None:
            self.loss = checked_loss(loss, self.label_smoothing)

    def forward(self, model: nn.Module, batch: tuple[Tensor, ...], *, step: int = 0,
                generator: Generator | None = None) -> Tensor:
        """Loss of `model` on one draw of the mixer; all randomness comes from `generator`.

        Raises:
            ValueError: if the model returns no logits, or one a row for the cross-entropy, the loss no number, the
                batch has no images or labels, or whatever the mixer finds wrong with them.
        """
        images, labels = images_and_labels(batch, getattr(self.mixer, "labels_getter", "default"))
        mix = mix_of_step(self.mixer, images, labels, step=step, clean=self.clean, generator=generator)
        logits = as_logits(model(mix.apply(images)))
        targets = mix.targets(labels, num_classes=logits.shape[1])
        return ask(getattr(self, "loss", None), logits, targets, self.label_smoothing)

    def extra_repr(self) -> str:
        smoothing = f", label_smoothing={self.label_smoothing:g}" if self.label_smoothing else ""
        loss = getattr(self, "loss", nn.Identity())
        loss = "" if isinstance(loss, nn.Module) else f", loss={loss!r}"  # a module prints itself
        return f"{self.mixer!r}{smoothing}{', clean=True' if self.clean else ''}{loss}"


def mix_of_step(mixer, images: Tensor, labels: Tensor, *, step: int, clean: bool, generator: Generator | None) -> Mix:
    """What is done to the batch of a step: the mixer's draw, or nothing where it is a clean one's turn.

    Args:
        mixer: anything with `draw(images, labels, generator=g) -> Mix`.
        images, labels: the batch.
        step: number of the training step, from 0.
        clean: whether even steps are clean; nothing is drawn for them.
        generator: source of randomness.

    Raises:
        ValueError: whatever the mixer finds wrong with the batch.

    Example:
        >>> import torch
        >>> from mixlab.mixers import Mixup
        >>> images, labels = torch.zeros(4, 1, 2, 2), torch.tensor([0, 1, 1, 0])
        >>> [mix_of_step(Mixup(), images, labels, step=step, clean=True, generator=None).k for step in range(4)]
        [1, 2, 1, 2]
    """
    if clean and step % 2 == 0:
        return Mix.identity(len(images)).to(images.device)
    return mixer.draw(images, labels, generator=generator)


def check_clean(clean: bool) -> None:
    """Raise ValueError unless `clean` says yes or no: a number would be the weight of something."""
    if not isinstance(clean, bool):
        raise ValueError(f"expected clean to be True or False, received {clean!r}")

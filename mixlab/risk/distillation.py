"""Distillation: a student learns from what a teacher says of natural images, of mixed ones, or of both."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Generator, Tensor, nn
from torch.nn.functional import kl_div, log_softmax, one_hot

from mixlab.batches import images_and_labels
from mixlab.checks import real
from mixlab.data.augment import AUGMENTATIONS, normalise
from mixlab.data.split import Split
from mixlab.mixers.base import check_non_negative
from mixlab.models import Teacher
from mixlab.models.logits import as_logits
from mixlab.risk.base import Risk
from mixlab.risk.empirical import distributions
from mixlab.risk.loss import soft_cross_entropy
from mixlab.saliency import gradient_saliency, input_gradient

LABELS = ("argmax", "mix", "teacher")


class DistillationRisk(Risk):
    r"""Cross-entropy and divergence from a teacher, on natural images x and on mixed ones x̂.

        R(f) = clean · CE(f(x), y) + mixed · CE(f(x̂), ŷ)
             + kd · T² KL(f^T_T(x) ‖ f_T(x)) + kd_mixed · T² KL(f^T_T(x̂) ‖ f_T(x̂))

    f^T is the teacher, and a T below means the softmax of logits over the temperature T. T² keeps the gradient of a
    divergence as large as it is at T = 1. Every term is a mean over its own rows. The student sees x and x̂ in one
    forward pass, so its batch statistics are those of both; what only terms of weight 0 ask for is not computed.

    The mixed images come from one of two places: a `mixer` mixes the batch anew at each step, or as many rows as the
    batch has are drawn from a fixed set of `images`, none of them twice in a step if there are enough. The set need not
    be mixed, and its labels are read by "mix" alone: an unlabelled set is taught by the teacher.

    **What a teacher means on a mixed image.** It is asked about the mixed image, as the student sees it: augmented, and
    normalised. Its answer is not the mean of its answers about the sources. The label ŷ of a mixed image is

    - "argmax": the class the teacher finds likeliest, asked anew at each step, since a crop can change its mind,
    - "teacher": its probabilities, at T = 1,
    - "mix": the targets of the mix, or the soft labels of the set.

    The teacher is frozen: it enters no optimiser, its weights and batch statistics stay as they are to the last bit,
    and no checkpoint repeats it (see `Teacher`). The set's images stay on the device and out of checkpoints, too. Both
    count in what makes two runs the same run.

    **Settings of the literature.** Knowledge distillation as in the tables of the CRD paper: clean = .1, kd = .9,
    mixed = 0, T = 4. SuperMix, in its released loop: clean = mixed = 2 for the rows "CE", clean = mixed = 1.8 with
    kd = .2, T = 4 for the rows "KD+", both with "argmax", as many mixed images as natural ones, and the divergence on
    the natural images alone. The default, ½ and ½, is the mean over all rows: a quarter of the weight of "CE".

    Args:
        teacher: takes images that are normalised as the student's (`Teacher.for_images`).
        mixer: anything with `draw(images, labels, generator=g) -> Mix`. One with `needs_saliency` is given that of the
            student, from one more pass in evaluation mode.
        images: a fixed set in place of a mixer; kept on the device as uint8.
        clean, mixed, kd, kd_mixed: the weights, finite and >= 0, not all 0.
        label: "argmax", "mix" or "teacher".
        temperature: T > 0.
        mean, std: per channel, by which `images` are normalised: those of the student's own images.
        augment: of `images`, a name of `mixlab.data.augment.AUGMENTATIONS`.

    Raises:
        ValueError: for a teacher that is none, a weight, label, temperature or augmentation outside its values, a mixer
            and a set, neither where mixed images have a weight, one where they have none, a set without rows or
            moments, or "mix" with a set without soft labels.

    Source: Hinton, Vinyals, Dean (2015), section 2, for T² KL; Dabouei et al., SuperMix (2021), section 4.2, and its
        released training loop; the public code of Tian, Krishnan, Isola (2020) for the weights of KD.

    Example:
        >>> from mixlab.mixers import Mixup
        >>> teacher = Teacher(nn.Sequential(nn.Flatten(), nn.Linear(4, 2)))
        >>> student = nn.Sequential(nn.Flatten(), nn.Linear(4, 2, bias=False))
        >>> _ = nn.init.zeros_(student[1].weight)
        >>> batch, g = (torch.rand(6, 1, 2, 2), torch.tensor([0, 1, 1, 0, 1, 0])), torch.Generator().manual_seed(0)
        >>> round(DistillationRisk(teacher, mixer=Mixup())(student, batch, generator=g).item(), 4)  # log 2
        0.6931
    """

    def __init__(self, teacher: Teacher, *, mixer=None, images: Split | None = None, clean: float = 0.5,
                 mixed: float = 0.5, label: str = "argmax", kd: float = 0.0, kd_mixed: float = 0.0,
                 temperature: float = 4.0, mean: Sequence[float] | None = None, std: Sequence[float] | None = None,
                 augment: str = "none"):
        super().__init__()
        if not isinstance(teacher, Teacher):
            raise ValueError(f"expected a mixlab.models.Teacher, received {teacher!r}")
        weights = {"clean": clean, "mixed": mixed, "kd": kd, "kd_mixed": kd_mixed}
        check_non_negative(**weights)
        if not any(weights.values()):
            raise ValueError("expected a weight above 0 among clean, mixed, kd and kd_mixed, received none")
        if label not in LABELS:
            raise ValueError(f"expected a label of {', '.join(LABELS)}, received {label!r}")
        if not real(temperature) or not 0 < temperature < math.inf:
            raise ValueError(f"expected a positive temperature, received {temperature!r}")
        if augment not in AUGMENTATIONS:
            raise ValueError(f"expected an augment of {', '.join(AUGMENTATIONS)}, received {augment!r}")
        _check_source(mixer, images, wanted=mixed > 0 or kd_mixed > 0)
        self.teacher, self.mixer, self.label, self.augment = teacher, mixer, label, augment
        self.clean, self.mixed, self.kd, self.kd_mixed = map(float, weights.values())
        self.temperature = float(temperature)
        if images is not None:
            self._keep(images, mean, std)

    def _keep(self, images: Split, mean: Sequence[float] | None, std: Sequence[float] | None) -> None:
        """Take a fixed set in."""
        if not len(images) or mean is None or std is None:
            raise ValueError("expected images with at least one row, and the mean and std that normalise them, "
                             f"received {len(images)} rows, {mean} and {std}")
        if self.label == "mix" and images.soft is None:
            raise ValueError("expected images with soft labels for label='mix', received a set without")
        self.mean, self.std = tuple(mean), tuple(std)
        normalise(images.images[:0], self.mean, self.std)  # a wrong number of channels is found here, not later
        self.register_buffer("images", images.images, persistent=False)
        if self.label == "mix":
            self.register_buffer("soft", images.soft, persistent=False)

    def forward(self, model: nn.Module, batch: tuple[Tensor, ...], *, step: int = 0,
                generator: Generator | None = None) -> Tensor:
        """Loss of `model` on the batch of a step and on as many mixed images; all randomness comes from `generator`.

        Raises:
            ValueError: if teacher and student have another number of classes, the set's images another size than the
                batch's, a fixed set is given no generator, or whatever the mixer finds wrong with the batch.
        """
        images, labels = images_and_labels(batch, getattr(self.mixer, "labels_getter", "default"))
        return self._loss(model, images, labels, *self._draw(model, images, labels, generator))

    def _loss(self, model: nn.Module, images: Tensor, labels: Tensor, mixed: Tensor,
              given: Callable[[int], Tensor] | None, answers: Tensor | None = None) -> Tensor:
        """The loss of a draw, where the teacher's answers to the natural images may be known already.

        The student sees the natural images first in its batch: if a term here needs them, or another one that asked.
        """
        own = images if self.clean or self.kd or answers is not None else images[:0]
        if len(own) and len(mixed) and own.shape[1:] != mixed.shape[1:]:
            raise ValueError(f"expected a set of images of shape {tuple(own.shape[1:])}, as the batch's, received "
                             f"{tuple(mixed.shape[1:])}")
        logits = as_logits(model(torch.cat([own, mixed])))
        of_own, of_mixed, classes = logits[:len(own)], logits[len(own):], logits.shape[1]
        terms = []
        if self.clean:
            terms.append(self.clean * soft_cross_entropy(of_own, distributions(labels, classes)))
        if self.kd:
            answers = _fitting(self.ask(images) if answers is None else answers, classes)
            terms.append(self.kd * softened_kl(of_own, answers, self.temperature))
        if len(mixed) and (self.kd_mixed or self.label != "mix"):
            answers = _fitting(self.ask(mixed), classes)
        if self.mixed:
            targets = given(classes) if self.label == "mix" else self.labels(answers)
            terms.append(self.mixed * soft_cross_entropy(of_mixed, targets))
        if self.kd_mixed:
            terms.append(self.kd_mixed * softened_kl(of_mixed, answers, self.temperature))
        return sum(terms)

    def ask(self, images: Tensor) -> Tensor:
        """What the teacher says of images (B, C, H, W) as the student sees them: logits (B, classes), without a graph.

        It computes in the type of its weights: a label is not to be rounded, whatever the student computes in.
        """
        like = next(self.teacher.parameters(), images)
        with torch.no_grad(), torch.autocast(images.device.type, enabled=False):
            return self.teacher(images.to(like.dtype))

    def labels(self, answers: Tensor) -> Tensor:
        """The labels (B, C) that the teacher's logits (B, C) make, for "argmax" and "teacher"."""
        if self.label == "teacher":
            return answers.softmax(1)
        return one_hot(answers.argmax(1), answers.shape[1]).to(answers.dtype)

    def _draw(self, model: nn.Module, images: Tensor, labels: Tensor,
              generator: Generator | None) -> tuple[Tensor, Callable[[int], Tensor] | None]:
        """Mixed images, and what gives their own labels for a number of classes; no images where none are wanted."""
        if not self.mixed and not self.kd_mixed:
            return images[:0], None
        if self.mixer is not None:
            salient = getattr(self.mixer, "needs_saliency", False)
            seen = {"saliency": gradient_saliency(input_gradient(model, images, labels))} if salient else {}
            mix = self.mixer.draw(images, labels, generator=generator, **seen)
            return mix.apply(images), partial(mix.targets, labels)
        if generator is None:
            raise ValueError("expected a generator, which draws from the fixed set, received None")
        here = {"generator": generator, "device": generator.device}
        size, count = len(self.images), len(images)
        rows = torch.randperm(size, **here)[:count] if count <= size else torch.randint(size, (count,), **here)
        rows = rows.to(self.images.device)
        mixed = normalise(AUGMENTATIONS[self.augment](self.images[rows], generator), self.mean, self.std)
        return mixed.to(images.dtype), lambda classes: self.soft[rows]

    def extra_repr(self) -> str:
        source = f"images={len(self.images)}" if hasattr(self, "images") else f"mixer={self.mixer!r}"
        return (f"{source}, clean={self.clean:g}, mixed={self.mixed:g}, label={self.label!r}, kd={self.kd:g}, "
                f"kd_mixed={self.kd_mixed:g}, temperature={self.temperature:g}, augment={self.augment!r}")


def softened_kl(logits: Tensor, answers: Tensor, temperature: float) -> Tensor:
    r"""T² KL(teacher ‖ student) of two softmaxes at one temperature, the mean over the rows.

    Args:
        logits: (B, C) of the student, any floating type; half precision is taken to float32 first.
        answers: (B, C) of the teacher; no gradient goes there.
        temperature: T > 0, which both are divided by.

    Returns:
        A scalar >= 0, float32 (float64 where the logits are), in nats.

    Source: Hinton, Vinyals, Dean (2015), section 2; their soft cross-entropy is this up to a constant.

    Example:
        >>> softened_kl(torch.tensor([[0.0, 0.0]]), torch.tensor([[4.0, 0.0]]), 4.0)
        tensor(1.7751)
    """
    with torch.autocast(logits.device.type, enabled=False):
        student, teacher = (
            log_softmax(each.to(torch.promote_types(logits.dtype, torch.float32)) / temperature, dim=1)
            for each in (logits, answers.detach())
        )
        return temperature**2 * kl_div(student, teacher, log_target=True, reduction="batchmean")


def _fitting(answers: Tensor, classes: int) -> Tensor:
    """The teacher's answers, if they are about as many classes as the student's.

    Raises:
        ValueError: if they are not.
    """
    if answers.shape[1] != classes:
        raise ValueError(f"expected a teacher of {classes} classes, as the network's logits, received one of "
                         f"{answers.shape[1]}")
    return answers


def _check_source(mixer, images: Split | None, wanted: bool) -> None:
    """Raise ValueError unless mixed images come from one place where they are wanted, and from none elsewhere."""
    if mixer is not None and images is not None:
        raise ValueError("expected a mixer or a set of images, received both")
    if wanted and mixer is None and images is None:
        raise ValueError("expected a mixer or a set of images where mixed or kd_mixed is above 0, received neither")
    if not wanted and (mixer is not None or images is not None):
        raise ValueError("expected mixed or kd_mixed above 0 with a mixer or a set of images, received 0 and 0")

"""Contrastive representation distillation: a student's features must tell whose features of the teacher are theirs."""

from __future__ import annotations

import math

import torch
from torch import Generator, Tensor, nn
from torch.nn.functional import logsigmoid, normalize

from mixlab.batches import images_and_labels, rows_of
from mixlab.checks import real, whole
from mixlab.mixers.base import check_non_negative
from mixlab.models import Teacher, initialise, tap
from mixlab.risk.distillation import DistillationRisk
from mixlab.risk.lamix import linear_head


class CRDRisk(DistillationRisk):
    r"""The terms of `DistillationRisk`, and a contrast between features of the student and of the teacher.

        R(f) = clean · CE(f(x), y) + kd · T² KL(f^T_T(x) ‖ f_T(x)) + crd · L_CRD + the terms of mixed images x̂

    Features are what goes into one layer of each network. A linear map and a division by the length make embeddings
    g_S and g_T of them (`dim` numbers, length 1); both maps are learned with the student. Two memories keep an
    embedding for every row of the training set, one of the student's and one of the teacher's. With v the embedding of
    an image by one network, m_j what the memory of the *other* network has for row j, i the image's own row, and K rows
    j of other classes, drawn anew for every image and step,

        L = -log h(v, m_i) - Σ_j log(1 - h(v, m_j)),   h(v, m) = P / (P + K/N),   P = exp(v·m/τ) / Z,

    and L_CRD is the mean of L over the batch with the student's v plus that with the teacher's. So the student is asked
    which of K + 1 rows the teacher has seen, and the other way round. This is binary noise-contrastive estimation with
    the uniform distribution over N rows as noise; a softmax over the batch (InfoNCE) is another loss. After the loss
    both memories take in the embeddings of the batch: m_i becomes `momentum` · m_i + (1 - `momentum`) · v, divided by
    its length. No gradient goes into a memory.

    **The constant Z.** The paper prints h without it: Z = 1. Where all products are 0, h is then N/(N + K) for every
    pair, and L is about K log(1 + N/K): 22,900 for the published K = 16,384 and CIFAR's N = 50,000. The public code
    divides by an estimate, N times the mean of exp(v·m/τ) over all pairs of the first step, one Z for each direction,
    and keeps it. There L is about 1 + log K, or 10.7, which `crd` = 0.8 can weigh against a cross-entropy. That is the
    default here, and `normaliser=1.0` is the printed equation. Otherwise two details of the public code differ: its
    memories begin as uniform noise of length about 1 (here: random directions of length 1), and it adds 1e-7 to
    denominators (here the logarithms are taken of logits).

    **Mixed images** have no row of their own, so the contrast is between natural images alone. A mixer or a fixed set
    feeds the terms of x̂ of `DistillationRisk`, whatever it is, and by default they have no weight.

    The embeddings are trained and checkpointed with the student, memories and Z are buffers in the checkpoint, so a run
    that was stopped goes on to the same bits. The network alone is what predicts. One process only: each would
    remember its own share of the rows.

    Args:
        teacher: takes images that are normalised as the student's (`Teacher.for_images`); it may have other classes,
            unless kd, mixed or kd_mixed ask for them.
        rows: (N,) int64, the row numbers of the training set (`Split.rows`), each once.
        labels: (N,) integer classes of these rows, which negatives must not share.
        width: length of what goes into the student's layer, flattened.
        layer: the student's layer, whose input is read; the head's linear one, say.
        teacher_layer: the teacher's, a linear one, likewise.
        dim: length of the embeddings.
        negatives: K, drawn without repeats.
        tau: τ > 0. The paper has .1 for CIFAR-100, the public code .07.
        momentum: in [0, 1).
        normaliser: Z > 0, or None to estimate it at the first step.
        crd: weight of L_CRD, >= 0.
        clean, mixed: as of `DistillationRisk`, with other defaults.
        generator: source of the initial embeddings and memories; None is a new one of seed 0.
        options: the other options of `DistillationRisk`.

    Raises:
        ValueError: for an option outside its values, rows and labels that do not fit, more negatives than there are
            rows of other classes, a teacher's layer that is not linear, or as `DistillationRisk`.

    Source: Tian, Krishnan, Isola (2020), "Contrastive representation distillation", section 3, and its public code.

    Example:
        >>> teacher = Teacher(nn.Sequential(nn.Flatten(), nn.Linear(4, 3), nn.Linear(3, 2)))
        >>> student = nn.Sequential(nn.Flatten(), nn.Linear(4, 5), nn.Linear(5, 2))
        >>> rows, labels = torch.arange(6), torch.tensor([0, 1, 1, 0, 1, 0])
        >>> risk = CRDRisk(teacher, rows=rows, labels=labels, width=5, layer="2", teacher_layer="2", dim=8, negatives=3)
        >>> loss = risk(student, (torch.rand(6, 1, 2, 2), labels, rows), generator=torch.Generator().manual_seed(0))
        >>> loss.shape, risk.student_memory.shape, bool(loss > 0)
        (torch.Size([]), torch.Size([6, 8]), True)
    """

    compilable = False  # a compiled network hides the layer that is read

    def __init__(self, teacher: Teacher, *, rows: Tensor, labels: Tensor, width: int, layer: str, teacher_layer: str,
                 dim: int = 128, negatives: int = 16384, tau: float = 0.07, momentum: float = 0.5,
                 normaliser: float | None = None, crd: float = 0.8, clean: float = 1.0, mixed: float = 0.0,
                 generator: Generator | None = None, **options):
        super().__init__(teacher, clean=clean, mixed=mixed, **options)
        for name, value in {"width": width, "dim": dim, "negatives": negatives}.items():
            if not whole(value) or value < 1:
                raise ValueError(f"expected a positive integer {name}, received {value!r}")
        for name, value in {"tau": tau, "normaliser": 1.0 if normaliser is None else normaliser}.items():
            if not real(value) or not 0 < value < math.inf:
                raise ValueError(f"expected a positive {name}, received {value!r}")
        if not real(momentum) or not 0 <= momentum < 1:
            raise ValueError(f"expected a momentum in [0, 1), received {momentum!r}")
        check_non_negative(crd=crd)
        _check_rows(rows, labels, negatives)
        self.layer, self.teacher_layer = layer, teacher_layer
        self.negatives, self.tau, self.momentum, self.crd = int(negatives), float(tau), float(momentum), float(crd)
        generator = torch.Generator().manual_seed(0) if generator is None else generator
        teacher_width = linear_head(teacher.network, 0, teacher_layer)[1].in_features
        self.student_embedding, self.teacher_embedding = (
            initialise(nn.utils.skip_init(nn.Linear, each, dim), generator) for each in (width, teacher_width))
        for name in ("student_memory", "teacher_memory"):
            self.register_buffer(name, normalize(torch.randn(len(rows), dim, generator=generator), dim=1))
        # log Z of the student's v against the teacher's memory, and of the other way round; inf while not known.
        self.register_buffer("log_z", torch.full((2,), math.inf if normaliser is None else math.log(normaliser)))
        order = rows.argsort()
        self.register_buffer("rows", rows[order], persistent=False)
        self.register_buffer("classes", labels[order], persistent=False)

    def forward(self, model: nn.Module, batch: tuple[Tensor, ...], *, step: int = 0,
                generator: Generator | None = None) -> Tensor:
        """Loss of `model` on the batch of a step, which the memories then take in; all randomness from `generator`.

        Raises:
            ValueError: for a batch without row numbers or with rows that are not in the memory (seen on a CPU only), no
                generator, several processes, features of another width, or as `DistillationRisk`.
        """
        rows = rows_of(batch)
        if rows is None or generator is None:
            raise ValueError("expected a batch of images, labels and rows, and a generator, received "
                             f"{len(batch)} tensors and {generator}")
        if torch.distributed.is_available() and torch.distributed.is_initialized() and (
                world := torch.distributed.get_world_size()) > 1:
            raise ValueError(f"expected one process with a CRDRisk, whose memories are not shared, received {world}")
        images, labels = images_and_labels(batch, getattr(self.mixer, "labels_getter", "default"))
        mixed = self._draw(model, images, labels, generator)
        with torch.no_grad(), tap(self.teacher.network, self.teacher_layer, input=True) as seen:
            answers = self.ask(images)
        with tap(model, self.layer, input=True) as hidden:
            loss = self._loss(model, images, labels, *mixed, answers)
        places = self.places(rows)
        negatives = self.draw_negatives(places, generator)
        return loss + self.crd * self._contrast(hidden.value[:len(images)], seen.value, places, negatives)

    def places(self, rows: Tensor) -> Tensor:
        """Where rows (B,) of the training set lie in the memories: (B,) int64.

        Raises:
            ValueError: for rows that are not there (checked on a CPU).
        """
        places = torch.searchsorted(self.rows, rows).clamp(max=len(self.rows) - 1)
        if rows.device.type == "cpu" and not torch.equal(self.rows[places], rows):
            raise ValueError(f"expected rows of the {len(self.rows)} that were given, received "
                             f"{rows[self.rows[places] != rows].tolist()}")
        return places

    def draw_negatives(self, places: Tensor, generator: Generator) -> Tensor:
        """K different places of other classes for each of the places (B,): (B, K) int64, uniform over such sets."""
        keys = torch.rand(len(places), len(self.rows), generator=generator, device=generator.device)
        same = self.classes[places, None] == self.classes
        return keys.to(same.device).masked_fill(same, -1.0).topk(self.negatives, sorted=False).indices

    def _contrast(self, student: Tensor, teacher: Tensor, places: Tensor, negatives: Tensor) -> Tensor:
        """L_CRD of features (B, ...) of the two networks; the memories take them in, and Z is set if it is not yet."""
        with torch.autocast(student.device.type, enabled=False):
            embedded = []
            for features, embedding in ((student, self.student_embedding), (teacher, self.teacher_embedding)):
                features = features.flatten(1).to(embedding.weight.dtype)
                if features.shape[1] != embedding.in_features:
                    raise ValueError(f"expected features of length {embedding.in_features}, received "
                                     f"{features.shape[1]}")
                embedded.append(normalize(embedding(features), dim=1))
            rows = torch.cat([places[:, None], negatives], 1)  # of which the first is the image's own
            loss = 0.0
            for which, (v, memory) in enumerate(zip(embedded, (self.teacher_memory, self.student_memory), strict=True)):
                products = (v @ memory.T).gather(1, rows) / self.tau
                loss = loss + self._discrimination(products, which)
            for name, v in zip(("student_memory", "teacher_memory"), embedded, strict=True):
                # A new tensor each time: the backward pass needs the old one.
                old = getattr(self, name)
                kept = self.momentum * old[places] + (1 - self.momentum) * v.detach()
                setattr(self, name, old.index_copy(0, places, normalize(kept, dim=1)))
        return loss

    def _discrimination(self, products: Tensor, which: int) -> Tensor:
        """The mean of L over the rows of v·m/τ (B, 1 + K), the image's own row first."""
        size = len(self.rows)
        estimate = products.detach().logsumexp((0, 1)) + math.log(size / products.numel())
        self.log_z[which] = torch.where(self.log_z[which].isinf(), estimate, self.log_z[which])
        # h = P / (P + K/N) is the sigmoid of log P - log K/N.
        logits = products - self.log_z[which] - math.log(self.negatives / size)
        return -(logsigmoid(logits[:, 0]) + logsigmoid(-logits[:, 1:]).sum(1)).mean()

    def extra_repr(self) -> str:
        return (f"{super().extra_repr()}, crd={self.crd:g}, negatives={self.negatives}, tau={self.tau:g}, "
                f"momentum={self.momentum:g}, layer={self.layer!r}, teacher_layer={self.teacher_layer!r}")


def _check_rows(rows: Tensor, labels: Tensor, negatives: int) -> None:
    """Raise ValueError unless rows are different ones with a class each, and every one has enough of other classes."""
    fits = rows.ndim == labels.ndim == 1 and len(rows) == len(labels) > 0
    if not fits or rows.dtype != torch.int64 or labels.dtype.is_floating_point or len(rows.unique()) != len(rows):
        raise ValueError("expected different int64 rows (N,) and integer labels (N,), received "
                         f"{rows.dtype} of shape {tuple(rows.shape)} and {labels.dtype} of shape {tuple(labels.shape)}")
    others = len(rows) - int(labels.unique(return_counts=True)[1].max())
    if negatives > others:
        raise ValueError(f"expected at most {others} negatives, the rows of other classes than the largest one's, "
                         f"received {negatives}")

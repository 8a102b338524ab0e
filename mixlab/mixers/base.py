"""What every mixer does: draw a :class:`~mixlab.Mix`, and apply it to a batch."""

import hashlib
import math
import os
from collections.abc import Callable
from dataclasses import dataclass, field, fields

import torch
from torch import Tensor
from torch.utils.data import default_collate, get_worker_info

from mixlab import priors, rng
from mixlab.batches import images_and_labels, rebuilt, retyped, tensors
from mixlab.checks import real, whole
from mixlab.masks import MOST_SOURCES
from mixlab.mix import Mix, check_classes
from mixlab.models.teacher import Teacher

__all__ = [
    "KMixer",
    "Mixer",
    "PairMixer",
    "PartnerMixer",
    "Taught",
    "Wrapper",
    "check_alpha",
    "check_k",
    "check_mixer",
    "check_non_negative",
    "draw_shares",
    "image_size",
]


@dataclass(frozen=True)
class Mixer:
    """A distribution over mixes. Subclasses say how one is drawn, in ``_draw``.

    A mixer is immutable and callable: ``mixer(images, labels)`` gives mixed images and soft targets, as
    ``torchvision.transforms.v2`` expects of a stage; :meth:`collate` is a ``collate_fn``.

    Without an explicit generator a mixer uses one of its own, which follows from what the mixer is, ``seed``, the
    process rank and the data-loader worker. Two workers and two epochs draw differently, and a program that seeds its
    data loader (``DataLoader(generator=...)`` or ``torch.manual_seed``) repeats exactly. That generator is left behind
    when a mixer is pickled. The rank is that of the process group; a spawned worker has none, and is told the rank with
    the mixer, or else by the environment's ``RANK``, which torchrun sets.

    Args:
        num_classes: number of classes, needed by ``mixer(images, labels)`` where labels are class indices.
        seed: start of the mixer's own generator.
        labels_getter: called with a batch, gives its labels, for batches that have them where nobody would look for
            them (:func:`mixlab.batches.images_and_labels` says where that is); as in ``torchvision.transforms.v2``. Of
            a mixer that holds others the outermost one's counts.

    Attributes:
        needs_saliency: whether ``draw`` needs a ``saliency``: true for Puzzle Mix, Co-Mixup and what is made of them.

    Raises:
        ValueError: for a ``num_classes`` that is no positive integer, a seed that is no integer, or a
            ``labels_getter`` that cannot be called.

    Example:
        >>> from mixlab.mixers import Mixup
        >>> one_hot, labels = torch.eye(2), torch.tensor([0, 1])
        >>> mixed, targets = Mixup(1.0, num_classes=2)(one_hot, labels)
        >>> torch.allclose(mixed, targets), targets.sum(1)
        (True, tensor([1., 1.]))
        >>> batch = Mixup(1.0, num_classes=2)({"image": one_hot, "label": labels, "file": ["a.png", "b.png"]})
        >>> torch.allclose(batch["image"], batch["label"]), batch["file"]
        (True, ['a.png', 'b.png'])
    """

    num_classes: int | None = field(default=None, kw_only=True)
    seed: int = field(default=0, kw_only=True)
    # It does not enter what is printed, from which a mixer's own generator starts: where labels lie changes no draw.
    labels_getter: Callable | str = field(default="default", kw_only=True, repr=False)

    needs_saliency = False

    def __post_init__(self):
        check_classes(self.num_classes)
        if not whole(self.seed):
            raise ValueError(f"expected an integer seed, received {self.seed!r}")
        if self.labels_getter != "default" and not callable(self.labels_getter):
            raise ValueError(f"expected a labels_getter that can be called, or 'default', received "
                             f"{self.labels_getter!r}")
        # Equal mixers print alike and so draw alike: 1 becomes 1.0 where a float belongs, numpy's integers Python's.
        for each in fields(self):
            value = getattr(self, each.name)
            if each.type is float and real(value):
                object.__setattr__(self, each.name, float(value))
            elif whole(value):
                object.__setattr__(self, each.name, int(value))

    def draw(
        self,
        images: Tensor,
        labels: Tensor | None = None,
        *,
        saliency: Tensor | None = None,
        generator: torch.Generator | None = None,
    ) -> Mix:
        """Draw one mix for a batch: all randomness is here.

        Args:
            images: ``(B, C, H, W)``; methods without regions take any ``(B, ...)``. Only SMOTE, Puzzle Mix and
                SuperMix look at the values.
            labels: ``(B,)`` class indices; only SMOTE needs them, SuperMix asks its teacher.
            saliency: ``(B, H, W)``, how much every pixel matters, >= 0 (:mod:`mixlab.saliency`). Mixers with
                ``needs_saliency`` need one, others do not look at it.
            generator: source of randomness. Numbers are drawn on its device, and the mix is moved to the images'. An
                accelerator is waited for where it draws, and not where it only takes what a CPU has drawn.

        Raises:
            ValueError: for an empty batch, a shape that the method cannot mix, or a saliency that does not fit it or is
                needed and not there.
            RuntimeError: under ``torch.vmap(randomness="different")``, from most methods: one draw serves all rows.
        """
        if images.ndim < 2 or len(images) == 0:
            raise ValueError(f"expected a batch (B, ...) with B >= 1, received shape {tuple(images.shape)}")
        if self.needs_saliency or saliency is not None:
            self._check_saliency(images, saliency)
        return self._draw(images, labels, saliency, generator or self._own_generator()).to(images.device)

    def _check_saliency(self, images: Tensor, saliency: Tensor | None) -> None:
        expected = len(images), *image_size(images)
        if saliency is None:
            raise ValueError("expected a saliency, how much every pixel matters, received none: train with "
                             f"SaliencyRisk({type(self).__name__}(...)), which has it from the network, or call "
                             "draw(images, saliency=...). A call with images and labels, or a collate_fn, has none.")
        if saliency.shape != expected:
            raise ValueError(f"expected a saliency of shape {expected} for images of shape {tuple(images.shape)}, "
                             f"received {tuple(saliency.shape)}")

    def _draw(
        self, images: Tensor, labels: Tensor | None, saliency: Tensor | None, generator: torch.Generator
    ) -> Mix:
        raise TypeError(f"{type(self).__name__} does not say how a mix is drawn; use one of its subclasses")

    def __call__(self, *batch):
        """Mix a batch, given as ``(images, labels)``, as two arguments, or as a mapping with images and labels in it.

        ``tv_tensors``, of which one knows what they are, are mixed as the images are: a segmentation ``Mask`` (0 where
        an image is hidden), another ``Image``, a ``Video``. A plain tensor that lies over the images, (B, H, W), or
        that has four axes or more, may be one of these, and is refused. What else is in the batch comes back as it is,
        and still belongs to the unmixed rows: row numbers and file names, but also a second label, boxes in a plain
        tensor, or a teacher's answers. Mix those with ``draw(images, labels)`` and the mix's ``apply`` or ``targets``.

        Returns:
            A batch of the same build (a tuple for a list): mixed images, as ``images`` in shape and dtype, and
            ``(B, C)`` float32 targets in place of the labels.

        Raises:
            ValueError: for a batch without images or labels, with bounding boxes or another tensor that lies over the
                images, a ``labels_getter`` that gives no tensor of the batch itself, or what :meth:`draw` and the
                mix's ``apply`` and ``targets`` refuse.
        """
        batch = batch[0] if len(batch) == 1 else batch
        batch = tuple(batch) if isinstance(batch, list) else batch
        images, labels = images_and_labels(batch, self.labels_getter)
        if not any(part is labels for part in tensors(batch)):
            raise ValueError("expected a labels_getter that gives a tensor of the batch as it is, which the targets "
                             "then replace, received another one: convert labels before they are mixed")
        mix = self.draw(images, labels)
        mixed, targets = mix.apply(images), mix.targets(labels, self.num_classes)

        def change(part: Tensor) -> Tensor:
            if part is images or part is labels:
                return mixed if part is images else targets
            if type(part).__module__.startswith("torchvision.tv_tensors"):
                return mix.apply(part, 0 if type(part).__name__ == "Mask" else None)  # the fill is one of images
            if part.ndim > 3 or part.ndim == 3 and part.shape[1:] == images.shape[-2:]:
                raise ValueError(f"expected beside images of shape {tuple(images.shape)} a tv_tensors.Mask or .Image, "
                                 f"which is mixed as they are, received a plain tensor of shape {tuple(part.shape)}; "
                                 "or draw(images, labels) gives a mix, which applies to anything")
            return part

        pair = type(batch) is tuple and len(batch) == 2 and self.labels_getter == "default"
        return (mixed, targets) if pair else rebuilt(batch, change)

    def collate(self, samples: list):
        """Stack samples and mix them: pass ``mixer.collate`` to a DataLoader as ``collate_fn``; types are kept.

        Raises:
            ValueError: as a call does; so for every mixer with ``needs_saliency``, as a data loader has no network.
        """
        return self(retyped(default_collate(samples), samples[0]))

    def _own_generator(self) -> torch.Generator:
        worker = get_worker_info()
        # A worker's seed changes with every epoch and worker; a forked worker must not go on with its parent's stream,
        # nor a process that has been given its rank with the stream that it began without one.
        origin = self._rank(), "main" if worker is None else worker.seed
        state = self.__dict__.get("_state")
        if state is None or state[0] != origin:
            loaded = self.__dict__.pop("_loaded", None) if worker is None else None
            # What the mixer is enters too: two mixers in one pipeline must not draw the same numbers.
            stream = rng.generator(repr(self), self.seed, *origin) if loaded is None else self._resumed(loaded)
            state = self.__dict__["_state"] = (origin, stream)
        return state[1]

    def stream_state(self) -> Tensor | None:
        """Where the mixer's own generator is, as uint8 numbers; None before it has drawn anything.

        A risk keeps it in its ``state_dict``, so that a loop that is started again goes on with new mixes.
        """
        if "_state" not in self.__dict__:
            return self.__dict__.get("_loaded")
        rank = torch.tensor([self._rank()]).view(torch.uint8)
        return torch.cat([rank, self.__dict__["_state"][1].get_state()])

    def set_stream_state(self, state: Tensor | None) -> None:
        """Go on from where :meth:`stream_state` was, in this process; from the start for None.

        On another rank than that which was saved the mixer goes on with a stream of its own, which has not been drawn
        from either. The rank is asked for at the next draw.

        Raises:
            ValueError: for anything but what :meth:`stream_state` gives.

        Example:
            >>> from mixlab.mixers import Mixup
            >>> images, mixer, again = torch.rand(4, 3), Mixup(), Mixup()
            >>> _ = mixer.draw(images)
            >>> again.set_stream_state(mixer.stream_state())
            >>> torch.equal(mixer.draw(images).shares, again.draw(images).shares)
            True
        """
        if state is not None:
            if state.dtype != torch.uint8 or state.ndim != 1 or len(state) < 9:
                raise ValueError(f"expected what stream_state() gives, received {tuple(state.shape)} {state.dtype}")
            try:
                torch.Generator().set_state(state[8:].cpu().clone())
            except RuntimeError as error:
                raise ValueError(f"expected what stream_state() gives, received another state: {error}") from None
        self.__dict__.pop("_state", None)
        self.__dict__["_loaded"] = None if state is None else state.cpu().clone()

    def _resumed(self, state: Tensor) -> torch.Generator:
        """The generator that a state is of, on the rank that it was saved on; on others one that follows from both."""
        rank = self._rank()
        if int(state[:8].view(torch.int64)) == rank:
            return torch.Generator().set_state(state[8:].clone())
        digest = hashlib.blake2b(state.numpy().tobytes(), digest_size=8).hexdigest()
        return rng.generator(repr(self), self.seed, rank, digest)

    def _rank(self) -> int:
        """Which process of a training this is, or which one pickled this mixer for its worker."""
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            return torch.distributed.get_rank()
        return self.__dict__.get("_pickled_by", int(os.environ.get("RANK", 0)))

    def __getstate__(self) -> dict:
        """What the mixer is, on every process: neither its generator nor the rank it was told."""
        own = {name: value for name, value in self.__dict__.items() if not name.startswith("_")}
        if own.get("labels_getter") == "default":  # the class's: a mixer is what it was before there were any
            del own["labels_getter"]
        return own

    def __reduce__(self) -> tuple:
        return _unpickled, (type(self), self.__getstate__(), self._rank())


def _unpickled(kind: type[Mixer], state: dict, rank: int) -> Mixer:
    mixer = kind.__new__(kind)
    mixer.__dict__.update(state, _pickled_by=rank)
    return mixer


_PARTNERS = {"distinct": priors.partners, "permutation": priors.permutations}


@dataclass(frozen=True)
class PartnerMixer(Mixer):
    """A mixer whose rows take other rows of the batch as partners.

    Args:
        pairing: ``"distinct"`` draws K different rows, itself first (:func:`mixlab.priors.partners`);
            ``"permutation"`` is the papers' law, in which an image may meet itself
            (:func:`mixlab.priors.permutations`).

    Raises:
        ValueError: for another pairing.

    Example:
        >>> from mixlab.mixers import Mixup
        >>> images, g = torch.zeros(2, 3), torch.Generator().manual_seed(0)
        >>> Mixup(pairing="distinct").draw(images, generator=g).sources.tolist()
        [[0, 1], [1, 0]]
        >>> [Mixup(pairing="permutation").draw(images, generator=g).sources[0].tolist() for _ in range(3)]
        [[0, 1], [0, 0], [0, 1]]
    """

    pairing: str = field(default="distinct", kw_only=True)

    def __post_init__(self):
        super().__post_init__()
        if not isinstance(self.pairing, str) or self.pairing not in _PARTNERS:
            raise ValueError(f"expected a pairing of {sorted(_PARTNERS)}, received {self.pairing!r}")

    def _partners(self, batch: int, k: int, generator: torch.Generator) -> Tensor:
        return _PARTNERS[self.pairing](batch, k, generator=generator)


@dataclass(frozen=True)
class PairMixer(PartnerMixer):
    r"""A mixer of two images, the row itself and a partner, with :math:`\lambda \sim \mathrm{Beta}(\alpha, \alpha)`.

    Args:
        alpha: concentration, >= 0; 0 is ERM.
    """

    alpha: float = 1.0

    def __post_init__(self):
        check_alpha(self.alpha)
        super().__post_init__()


@dataclass(frozen=True)
class KMixer(PartnerMixer):
    r"""A mixer of K images, the row itself first, with shares :math:`\varphi \sim \mathrm{Dir}(\alpha)`.

    Args:
        k: number of images K, in 1..254.
        alpha: concentration of every component, >= 0; 0 is ERM.
    """

    k: int = 3
    alpha: float = 1.0

    def __post_init__(self):
        check_k(self.k)
        check_alpha(self.alpha)
        super().__post_init__()


@dataclass(frozen=True)
class Wrapper(Mixer):
    """A mixer made of another one. It needs a saliency where the other one does.

    Args:
        mixer: the other one.

    Raises:
        ValueError: for a ``mixer`` that is none.
    """

    mixer: Mixer

    def __post_init__(self):
        check_mixer(self.mixer)
        super().__post_init__()

    @property
    def needs_saliency(self) -> bool:
        return self.mixer.needs_saliency


class Taught:
    """What mixers with a field ``teacher``, a :class:`mixlab.models.Teacher`, have in common.

    Two are equal with equal settings and teachers of the same weights. (Networks are equal to themselves alone.)

    Raises:
        ValueError: for a ``teacher`` that is none.
    """

    def __post_init__(self):
        if not isinstance(self.teacher, Teacher):
            raise ValueError(f"expected a mixlab.models.Teacher, received {self.teacher!r}")
        super().__post_init__()

    def _ask(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """The images as the teacher takes them, cut off from any gradient, and its finite logits (B, classes)."""
        teacher = self.teacher.to(images.device)
        dtype = next((each.dtype for each in teacher.parameters()), torch.promote_types(images.dtype, torch.float32))
        wide = images.detach().to(dtype)
        with torch.no_grad():
            scores = teacher(wide)
        if scores.ndim != 2 or not scores.isfinite().all():
            received = f"shape {tuple(scores.shape)}" if scores.ndim != 2 else "NaN or infinite ones"
            raise ValueError(f"expected finite logits (B, classes) from the teacher, received {received}")
        return wide, scores

    def _value(self) -> tuple:
        values = (getattr(self, each.name) for each in fields(self))
        return type(self), *(value.identity if isinstance(value, Teacher) else value for value in values)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Taught) and self._value() == other._value()

    def __hash__(self) -> int:
        return hash(self._value())


def check_alpha(alpha: float) -> None:
    """Raise ValueError unless ``alpha`` is 0 or a concentration that :mod:`mixlab.priors` can draw with."""
    if not real(alpha) or not (alpha == 0 or priors.SMALLEST <= alpha < math.inf):
        smallest = f"(the smallest above 0 is {priors.SMALLEST:g})"
        raise ValueError(f"expected a finite concentration alpha >= 0, received {alpha!r} {smallest}")


def check_k(k: int) -> None:
    """Raise ValueError unless ``k`` is an integer number of sources that an owner map can name."""
    if not whole(k) or not 1 <= k <= MOST_SOURCES:
        raise ValueError(f"expected an integer number of sources k in 1..{MOST_SOURCES}, received {k!r}")


def check_non_negative(**settings: float) -> None:
    """Raise ValueError unless all settings, given by name, are finite numbers >= 0."""
    for name, value in settings.items():
        if not real(value) or not 0 <= value < math.inf:
            raise ValueError(f"expected a finite number {name} >= 0, received {value!r}")


def check_mixer(mixer: Mixer) -> None:
    """Raise ValueError unless ``mixer`` is a mixer: neither the class of one nor its name."""
    if not isinstance(mixer, Mixer):
        raise ValueError(f"expected a mixer, received {mixer!r}")


def draw_shares(alpha: float, n: int, k: int, generator: torch.Generator) -> Tensor:
    """``(n, k)`` float64 symmetric Dirichlet shares; alpha = 0 is the ERM limit (1, 0, ..., 0)."""
    if alpha > 0:
        return priors.dirichlet(alpha, n, k=k, generator=generator)
    shares = torch.zeros(n, k, dtype=torch.float64, device=generator.device)
    shares[:, 0] = 1
    return shares


def image_size(images: Tensor) -> tuple[int, int]:
    """Height and width of a batch of images.

    Raises:
        ValueError: where there are no two spatial axes, or no pixels.
    """
    if images.ndim < 4:
        raise ValueError(f"expected images of shape (B, C, H, W), received {tuple(images.shape)}")
    if 0 in images.shape[-2:]:
        raise ValueError(f"expected images of at least one pixel, received {tuple(images.shape)}")
    return tuple(images.shape[-2:])

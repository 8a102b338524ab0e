"""Generated images beside the mixed ones: a student also learns soft labels from images that were made for them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Generator, Tensor, nn
from torch.nn.functional import one_hot

from mixlab.batches import images_and_labels, rows_of
from mixlab.checks import whole
from mixlab.data.augment import AUGMENTATIONS, normalise
from mixlab.data.split import Split
from mixlab.generator.controls import noisy, perturbed
from mixlab.generator.law import BACKGROUNDS, check_law, soft_labels
from mixlab.generator.stored import SampleGenerator
from mixlab.labels import plain_labels
from mixlab.mixers.base import check_non_negative
from mixlab.models import Teacher
from mixlab.models.logits import as_logits
from mixlab.risk.base import Risk
from mixlab.risk.empirical import distributions
from mixlab.risk.loss import soft_cross_entropy
from mixlab.rng import generator as stream
from mixlab.saliency import gradient_saliency, input_gradient

IMAGES = ("generated", "clean", "noise", "pgd")
LABELS = ("mu", "one-hot", "background")
MU = ("fresh", "fixed")
STATISTICS = ("own", "running", "updating", "joint")


class GeneratedRisk(Risk):
    r"""Cross-entropy on mixed images, and on images x̃ that a generator makes for soft labels μ.

        R(f) = base · CE(f(x̂), ŷ) + weight · CE(f(x̃), μ),   x̃ = q_V(x, μ),  μ ~ q_p(μ|ρ)

    The first term is what the mixer makes of the batch (without one, the batch itself). The second is eq. 12 of the
    paper, which is "jointly optimized" with the first. The generator is frozen: it enters no optimiser, nothing of it
    changes, and no checkpoint repeats it; it counts in what makes two runs the same run.

    The mixer draws first, then the rest. So one generator of random numbers gives the same mixes as in `VicinalRisk`,
    and the same μ whatever `images` and `label` are.

    **What the paper leaves open**, here an option each, the default first:

    - `weight`: 1. The paper gives none.
    - `epsilon`, `background`: the law of μ, that of the generator's training, else ε = ½, "uniform".
    - `mu`: "fresh" at each step, or "fixed": one μ for every row of the set, whatever the seed.
    - `pool`: the images x are those of the batch, unmixed; or as many rows of a `pool` are drawn.
    - `statistics`: whose mean and variance the batch normalisation of the *student* takes for x̃, and whether its
      running ones, by which it is judged, learn of them. "own": those of x̃ alone, and the running ones do not. In
      "updating" they do. In "joint" x̂ and x̃ are one batch, and the running ones learn of both. In "running", x̃ is
      normalised by the running ones, as in evaluation, and they learn nothing.

    What else the paper leaves open is decided where the generator is trained: the classifier, the images, skips and
    output.

    **Controls.** `images` says what stands in for x̃, and `label` for μ; everything else stays.

    - "clean": x itself, so that the second term is CE(f(x), μ): label smoothing as Table 1 means it. No generator is
      asked, and none is needed.
    - "noise": x plus Gaussian noise that is, image by image, as long as x̃ - x.
    - "pgd": x plus an adversarial change of that length, towards the same μ, against the frozen `classifier`
      (`mixlab.generator.perturbed`); costs `steps` passes a step.
    - "one-hot": the class of the image. "background": the likeliest other class of μ; with a background of "one" and
      base = 0 a student that learns x̃ from it sees nothing but the generator's writing for these classes.

    With base = 0 nothing else feeds the running statistics, so "updating" or "joint" is asked for, which are the same
    then.

    Args:
        generator_net: takes images that are normalised as the student's (`SampleGenerator.for_images`); None with
            images="clean" alone.
        mixer: anything with `draw(images, labels, generator=g) -> Mix`. One with `needs_saliency` is given that of the
            student, from one more pass in evaluation mode.
        base, weight: of the two terms, finite and >= 0, not both 0.
        images: "generated", "clean", "noise" or "pgd".
        label: "mu", "one-hot" or "background".
        epsilon, background: see `mixlab.generator.soft_labels`; None for the generator's.
        mu: "fresh" or "fixed"; the latter needs batches with row numbers.
        statistics: "own", "running", "updating" or "joint".
        classifier: for "pgd", takes images that are normalised as the student's.
        steps: of "pgd"; too few leave it further from μ than the generator is.
        pool: rows to make images of, in place of the batch's; kept on the device as uint8.
        mean, std: per channel, by which the pool's images are normalised: those of the student's own images.
        augment: of the pool's images, a name of `mixlab.data.augment.AUGMENTATIONS`.

    Raises:
        ValueError: for an option outside its values, no generator where one is asked, a classifier without "pgd" or
            "pgd" without one, a mixer with base = 0, statistics that would leave the student without running ones, or
            a pool without rows or moments.

    Source: Jeong et al., eq. 12, appendix A and Table 1; the controls, and all defaults but ε, are ours.

    Example:
        >>> from mixlab.generator import ConditionalUNet
        >>> from mixlab.mixers import Mixup
        >>> net = SampleGenerator(ConditionalUNet(2, in_channels=1, base=2, downs=1, output="free"))
        >>> student = nn.Sequential(nn.Flatten(), nn.Linear(16, 2, bias=False))
        >>> _ = nn.init.zeros_(student[1].weight)
        >>> batch, g = (torch.rand(6, 1, 4, 4), torch.tensor([0, 1, 1, 0, 1, 0])), torch.Generator().manual_seed(0)
        >>> round(GeneratedRisk(net, mixer=Mixup(), weight=0.5)(student, batch, generator=g).item(), 4)  # 1.5 log 2
        1.0397
    """

    compilable = False  # it changes how layers of the network run, which a compiled one would not notice

    def __init__(self, generator_net: SampleGenerator | None = None, *, mixer=None, base: float = 1.0,
                 weight: float = 1.0, images: str = "generated", label: str = "mu", epsilon: float | None = None,
                 background: str | None = None, mu: str = "fresh", statistics: str = "own",
                 classifier: Teacher | None = None, steps: int = 20, pool: Split | None = None,
                 mean: Sequence[float] | None = None, std: Sequence[float] | None = None, augment: str = "none"):
        super().__init__()
        check_non_negative(base=base, weight=weight)
        _check_known(images=(images, IMAGES), label=(label, LABELS), mu=(mu, MU), statistics=(statistics, STATISTICS),
                     augment=(augment, tuple(AUGMENTATIONS)))
        if generator_net is None and images != "clean" or not isinstance(generator_net, (SampleGenerator, type(None))):
            raise ValueError("expected a mixlab.generator.SampleGenerator, or none with images='clean', received "
                             f"{generator_net!r} with images={images!r}")
        if (classifier is not None) != (images == "pgd") or not isinstance(classifier, (Teacher, type(None))):
            raise ValueError("expected a mixlab.models.Teacher as the classifier with images='pgd', and with nothing "
                             f"else, received {classifier!r} with images={images!r}")
        if not whole(steps) or steps < 1:
            raise ValueError(f"expected an integer number of steps of at least 1, received {steps!r}")
        _check_terms(base, weight, mixer, statistics)
        self.generator_net, self.classifier, self.mixer = generator_net, classifier, mixer
        self.base, self.weight, self.steps = float(base), float(weight), int(steps)
        self.source, self.label, self.mu, self.statistics = images, label, mu, statistics
        law = (0.5, BACKGROUNDS[0]) if generator_net is None else (generator_net.epsilon, generator_net.background)
        self.epsilon = law[0] if epsilon is None else epsilon
        self.background = law[1] if background is None else background
        check_law(2, self.epsilon, self.background)
        self.augment = augment
        if pool is not None:
            self._keep(pool, mean, std)

    def _keep(self, pool: Split, mean: Sequence[float] | None, std: Sequence[float] | None) -> None:
        """Take a pool in."""
        if not len(pool) or mean is None or std is None:
            raise ValueError("expected a pool with at least one row, and the mean and std that normalise it, received "
                             f"{len(pool)} rows, {mean} and {std}")
        self.mean, self.std = tuple(mean), tuple(std)
        normalise(pool.images[:0], self.mean, self.std)  # a wrong number of channels is found here, not later
        for name in ("images", "labels", "rows"):
            self.register_buffer(f"pool_{name}", getattr(pool, name), persistent=False)

    def forward(self, model: nn.Module, batch: tuple[Tensor, ...], *, step: int = 0,
                generator: Generator | None = None) -> Tensor:
        """Loss of `model` on a draw of the mixer and on images made for soft labels; all randomness from `generator`.

        Raises:
            ValueError: if generator and student have another number of classes, images have a size that the generator
                does not take, labels are soft, row numbers are missing for mu="fixed", or whatever the mixer finds
                wrong with the batch.
        """
        pair = images_and_labels(batch, getattr(self.mixer, "labels_getter", "default"))
        mixed, given = self._mixed(model, *pair, generator)
        if not self.weight:
            logits = as_logits(model(mixed))
            return self.base * soft_cross_entropy(logits, given(logits.shape[1]))
        images, labels, rows = self._own(*pair, rows_of(batch), generator)
        if self.generator_net is None:  # clean images, whose labels can wait until the number of classes is known
            made, mu = images, None
        else:
            mu = self._draw(labels, rows, self.generator_net.num_classes, generator)
            made = self._made(images, mu, generator)

        def second(logits: Tensor) -> Tensor:
            drawn = self._draw(labels, rows, logits.shape[1], generator) if mu is None else mu
            if drawn.shape[1] != logits.shape[1]:
                raise ValueError(f"expected a generator of {logits.shape[1]} classes, as the network's logits, "
                                 f"received one of {drawn.shape[1]}")
            return self.weight * soft_cross_entropy(logits, self._target(drawn, labels))

        if not self.base:
            return second(as_logits(model(made)))
        if self.statistics == "joint":
            logits = as_logits(model(torch.cat([mixed, made])))
            first, logits = logits.split([len(mixed), len(made)])
            return self.base * soft_cross_entropy(first, given(first.shape[1])) + second(logits)
        with _batch_statistics(model, self.statistics):
            auxiliary = _without_graph(second(as_logits(model(made))), model)
        logits = as_logits(model(mixed))
        return self.base * soft_cross_entropy(logits, given(logits.shape[1])) + auxiliary

    def _mixed(self, model: nn.Module, images: Tensor, labels: Tensor, generator: Generator | None):
        """The images of the first term, and what gives their targets for a number of classes."""
        if self.mixer is None or not self.base:
            return images, lambda classes: distributions(labels, classes)
        salient = getattr(self.mixer, "needs_saliency", False)
        seen = {"saliency": gradient_saliency(input_gradient(model, images, labels))} if salient else {}
        mix = self.mixer.draw(images, labels, generator=generator, **seen)
        return mix.apply(images), lambda classes: mix.targets(labels, classes)

    def _own(self, images: Tensor, labels: Tensor, rows: Tensor | None,
             generator: Generator | None) -> tuple[Tensor, Tensor, Tensor | None]:
        """The images that others are made of, their labels and row numbers."""
        if not hasattr(self, "pool_images"):
            return images, plain_labels(labels), rows
        if generator is None:
            raise ValueError("expected a generator, which draws from the pool, received None")
        here = {"generator": generator, "device": generator.device}
        size, count = len(self.pool_images), len(images)
        rows = torch.randperm(size, **here)[:count] if count <= size else torch.randint(size, (count,), **here)
        rows = rows.to(self.pool_images.device)
        drawn = AUGMENTATIONS[self.augment](self.pool_images[rows], generator)
        return normalise(drawn, self.mean, self.std).to(images), self.pool_labels[rows], self.pool_rows[rows]

    def _draw(self, labels: Tensor, rows: Tensor | None, classes: int, generator: Generator | None) -> Tensor:
        """The soft labels of some rows (B, classes)."""
        law = {"num_classes": classes, "epsilon": self.epsilon, "background": self.background}
        if self.mu == "fresh":
            return soft_labels(labels, generator=generator, **law)
        if rows is None:
            raise ValueError("expected a batch with row numbers for mu='fixed', received images and labels alone")
        return torch.cat([soft_labels(label, generator=stream("mu", row), **law)
                          for label, row in zip(labels.split(1), rows.tolist(), strict=True)])

    def _made(self, images: Tensor, mu: Tensor, generator: Generator | None) -> Tensor:
        """What the student learns μ from, without a graph."""
        if self.source == "clean":
            return images
        generated = self.generator_net.make(images, mu)
        if self.source == "generated":
            return generated
        if generator is None:
            raise ValueError(f"expected a generator for images={self.source!r}, received None")
        radius = (generated - images).flatten(1).norm(dim=1)
        if self.source == "noise":
            return noisy(images, radius, generator=generator)
        like = next(self.classifier.parameters(), images)
        with torch.autocast(images.device.type, enabled=False):
            return perturbed(self.classifier, images.to(like.dtype), mu, radius.to(like.dtype), steps=self.steps,
                             generator=generator).to(images.dtype)

    def _target(self, mu: Tensor, labels: Tensor) -> Tensor:
        """What the student is to say of the images that were made."""
        if self.label == "mu":
            return mu
        if self.label == "one-hot":
            return distributions(labels, mu.shape[1])
        others = mu.scatter(1, labels.long()[:, None], -1.0)
        return one_hot(others.argmax(1), mu.shape[1]).to(mu)

    def extra_repr(self) -> str:
        pool = f", pool={len(self.pool_images)}, augment={self.augment!r}" if hasattr(self, "pool_images") else ""
        return (f"mixer={self.mixer!r}, base={self.base:g}, weight={self.weight:g}, images={self.source!r}, "
                f"label={self.label!r}, epsilon={self.epsilon:g}, background={self.background!r}, mu={self.mu!r}, "
                f"statistics={self.statistics!r}, steps={self.steps}{pool}")


@contextmanager
def _batch_statistics(model: nn.Module, kind: str) -> Iterator[None]:
    """Have the batch normalisations of a network treat a pass as "own", "running" or "updating" says.

    A layer that is in evaluation mode already, frozen, is left alone.
    """
    layers = [each for each in model.modules() if isinstance(each, nn.modules.batchnorm._BatchNorm) and each.training]
    tracked = [layer.track_running_stats for layer in layers]
    for layer in layers:
        if kind == "own":
            layer.track_running_stats = False  # it then takes the batch's, and keeps nothing of them
        if kind == "running":
            layer.training = False
    try:
        yield
    finally:
        for layer, was in zip(layers, tracked, strict=True):
            layer.track_running_stats, layer.training = was, True


def _without_graph(loss: Tensor, model: nn.Module) -> Tensor:
    """A loss of the same value and the same gradient in the weights, whose graph is gone.

    The next pass has the memory of this one. And it writes to the running statistics: where this pass has used them,
    its graph would go on with the new ones, without an error. What is returned is linear in the weights, with the
    gradient that was found: a backward pass adds that to the other term's where a weight collects both, so that
    processes average the sum, and once.
    """
    weights = [each for each in model.parameters() if each.requires_grad]
    slopes = torch.autograd.grad(loss, weights, allow_unused=True)
    # w - w is 0 and has the derivative 1.
    return loss.detach() + sum((slope * (weight - weight.detach())).sum()
                               for slope, weight in zip(slopes, weights, strict=True) if slope is not None)


def _check_terms(base: float, weight: float, mixer, statistics: str) -> None:
    """Raise ValueError unless there is something to minimise, and a student that can be judged afterwards."""
    if not base and not weight:
        raise ValueError("expected a base or a weight above 0, received 0 and 0")
    if mixer is not None and not base:
        raise ValueError("expected a base above 0 with a mixer, received 0")
    if not base and statistics in ("own", "running"):
        raise ValueError("expected statistics of updating or joint with base=0, where nothing else feeds the running "
                         f"ones, received {statistics!r}")


def _check_known(**options: tuple[str, tuple[str, ...]]) -> None:
    for name, (value, known) in options.items():
        if value not in known:
            raise ValueError(f"expected {name} of {', '.join(known)}, received {value!r}")

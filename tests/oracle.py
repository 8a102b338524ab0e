"""Slow, plain answers that the tests compare with: one pixel at a time, from the definition alone."""

import itertools
from contextlib import contextmanager

import numpy as np
import torch
from torch.utils.data import Dataset

from mixlab.mixers import (
    SMOTE,
    Average,
    CoMixup,
    CutMix,
    Cutout,
    DCutMix,
    DMixup,
    GridMask,
    Identity,
    Mixup,
    OneOf,
    PastedCutMix,
    PerSample,
    PuzzleMix,
    Relabelled,
    ShuffledMasks,
    Sometimes,
    SuperMix,
    UnclippedCutMix,
)
from mixlab.mixers.controls import DistinctPredictions, ReplacedSaliency, SharesInBoxes
from mixlab.models import Teacher


class Brightness(torch.nn.Module):
    """Logits of three classes for images of any size: the brighter the image, the surer of class 0 and not of 1."""

    def forward(self, images):
        mean = images.flatten(1).mean(1)
        return torch.stack([mean, -mean, torch.zeros_like(mean)], dim=1)


TEACHER = Teacher(Brightness())

#: Every mixer, and compositions of them, as functions of the common options.
ALL_MIXERS = {
    "identity": Identity,
    "mixup": Mixup,
    "mixup-permutation": lambda **o: Mixup(0.4, pairing="permutation", **o),
    "dmixup": lambda **o: DMixup(3, 0.5, **o),
    "dmixup-k1": lambda **o: DMixup(1, **o),
    "cutmix": CutMix,
    "cutmix-permutation": lambda **o: CutMix(0.5, pairing="permutation", **o),
    "unclipped-cutmix": UnclippedCutMix,
    "dcutmix": lambda **o: DCutMix(5, 0.5, **o),
    "dcutmix-k9": lambda **o: DCutMix(9, 1.0, **o),
    "pasted-cutmix": lambda **o: PastedCutMix(4, 1.0, **o),
    "cutout": lambda **o: Cutout(5, **o),
    "gridmask": lambda **o: GridMask(0.5, (0.3, 0.8), **o),
    "smote": lambda **o: SMOTE(2, **o),
    "average": Average,
    "average-fixed": lambda **o: Average(0.25, pairing="permutation", **o),
    "relabelled-average": lambda **o: Relabelled(Average(0.25), **o),
    "replaced-saliency": lambda **o: ReplacedSaliency(CutMix(), "smooth", **o),
    "shares-in-boxes": lambda **o: SharesInBoxes(Mixup(), **o),
    "sometimes-cutmix": lambda **o: Sometimes(CutMix(), 0.5, **o),
    "per-sample-dcutmix": lambda **o: PerSample(DCutMix(3), 0.5, **o),
    "per-sample-mixup": lambda **o: PerSample(Mixup(), 0.5, **o),
    "per-sample-cutout": lambda **o: PerSample(Cutout(3), 0.5, **o),
    "puzzlemix": PuzzleMix,
    "puzzlemix-moving": lambda **o: PuzzleMix(xi=0.02, pairing="permutation", lam_per="batch", **o),
    "puzzlemix-still": lambda **o: PuzzleMix(0.5, blocks=2, gamma=0.0, transport=False, **o),
    "per-sample-puzzlemix": lambda **o: PerSample(PuzzleMix(xi=0.02), 0.5, **o),
    "comixup": lambda **o: CoMixup(mode="paper", m_part=5, sweeps=2, **o),
    "comixup-official": lambda **o: CoMixup(0.5, mode="official", m_part=4, sweeps=2, **o),
    "per-sample-comixup": lambda **o: PerSample(CoMixup(mode="paper", m_part=5, sweeps=1), 0.5, **o),
    "supermix": lambda **o: SuperMix(TEACHER, side=3, max_iter=2, **o),
    "supermix-k3": lambda **o: SuperMix(TEACHER, k=3, step="newton", tv=250.0, side=3, max_iter=2, **o),
    "distinct-cutmix": lambda **o: DistinctPredictions(CutMix(), TEACHER, **o),
    "shuffled-cutmix": lambda **o: ShuffledMasks(CutMix(), **o),
    "shuffled-supermix": lambda **o: ShuffledMasks(SuperMix(TEACHER, side=3, max_iter=2), **o),
    "one-of": lambda **o: OneOf([Mixup(0.8), PastedCutMix(3), GridMask()], [0.3, 0.4, 0.3], **o),
    "nested-compositions": lambda **o: Sometimes(OneOf([PerSample(CutMix(), 0.7), DMixup(4)]), 0.9, **o),
}

#: Mixers that blend no pixels, whatever they draw.
_BLENDING = ("mixup", "smote", "average", "puzzlemix", "supermix", "one-of", "nested-compositions")
HARD = [name for name in ALL_MIXERS if not any(word in name for word in _BLENDING)]

#: Mixers that leave the label alone although they hide pixels.
HIDING = ["cutout", "gridmask", "per-sample-cutout", "one-of"]

#: Mixers whose label weights are declared, and are not the shares of pixels.
DECLARED = ["average", "average-fixed", "relabelled-average", "supermix", "supermix-k3", "shuffled-supermix"]

#: The fewest rows a mixer can mix; 1 for those that are not here. They ask a teacher, whose classes have to differ.
FEWEST = {"supermix": 2, "supermix-k3": 3, "shuffled-supermix": 2, "distinct-cutmix": 2}

#: Mixers that look at a saliency, and draw nothing without one.
SALIENT = [name for name in ALL_MIXERS if "puzzlemix" in name or "comixup" in name]

#: Mixers that cut images into blocks, which have to divide the sides: into 2 x 2 at least.
GRIDDED = [name for name in ALL_MIXERS if "puzzlemix" in name]


def some_saliency(name, images, seed=0):
    """A map for a mixer that looks at one, with bright places and dark ones; None for another mixer, or no images."""
    if name not in SALIENT or images.ndim < 4 or not len(images):
        return None
    return torch.randn(len(images), *images.shape[-2:], generator=seeded(seed)).mul(2).exp()


def size_for(name, size):
    """A height and width that a mixer can cut: twice as large where there are blocks."""
    return tuple(2 * side for side in size) if name in GRIDDED else size


def seeded(seed=0):
    """A generator of its own for every call."""
    return torch.Generator().manual_seed(seed)


def owners_by_hand(boxes, size):
    """Owner map of rectangles pasted in order, one pixel at a time."""
    height, width = size
    owners = torch.zeros(len(boxes), height, width, dtype=torch.uint8)
    for b, row in enumerate(boxes.tolist()):
        for n, (top, left, bottom, right) in enumerate(row):
            for i, j in itertools.product(range(height), range(width)):
                if top <= i < bottom and left <= j < right:
                    owners[b, i, j] = n + 1
    return owners


def paste_by_hand(images, sources, owners, fill):
    """Show every pixel of its owner, one pixel at a time; ``fill`` broadcasts to the images."""
    shown = torch.empty(images.shape, dtype=images.dtype)
    fill = torch.as_tensor(fill).to(images.dtype).expand(images.shape)
    k = sources.shape[1]
    for b, i, j in itertools.product(range(len(images)), *map(range, images.shape[-2:])):
        owner = int(owners[b, i, j])
        shown[b, ..., i, j] = fill[b, ..., i, j] if owner == k else images[sources[b, owner], ..., i, j]
    return shown


def blend_by_hand(images, sources, masks, fill):
    """Sum of mask times source at every pixel in float64, and the fill for what is missing."""
    x, m = images.double().numpy(), masks.double().numpy()
    fill = torch.as_tensor(fill).double().expand(images.shape).numpy()
    blended = np.zeros(x.shape)
    for b, i, j in itertools.product(range(len(x)), *map(range, x.shape[-2:])):
        for k in range(sources.shape[1]):
            blended[b, ..., i, j] += m[b, k, i, j] * x[int(sources[b, k]), ..., i, j]
        blended[b, ..., i, j] += (1 - m[b, :, i, j].sum()) * fill[b, ..., i, j]
    return torch.from_numpy(blended)


def targets_by_hand(mix, labels, num_classes=None):
    """Weights summed class by class in Python floats."""
    classes = num_classes or labels.shape[1]
    rows = []
    for sources, weights in zip(mix.sources.tolist(), mix.weights.tolist()):
        row = [0.0] * classes
        for source, weight in zip(sources, weights):
            label = labels[source]
            one_hot = label.tolist() if labels.ndim == 2 else [float(label == c) for c in range(classes)]
            row = [old + weight * p for old, p in zip(row, one_hot)]
        rows.append(row)
    return torch.tensor(rows, dtype=torch.float64)


def probe(batch, size, dtype=torch.float32):
    """``(B, B, H, W)``: channel c of image b is 1 if b = c, else 0, so that channel means count sources."""
    return torch.eye(batch, dtype=dtype)[:, :, None, None].expand(-1, -1, *size).contiguous()


def share_of_rows(mix):
    """``(B, B)`` float64: the shares of a mix, summed over the slots that show the same row."""
    table = torch.zeros(len(mix), len(mix), dtype=torch.float64)
    return table.scatter_add_(1, mix.sources, mix.shares.double())


def same_bytes(a, b):
    """Whether two tensors are equal to the last bit, NaN and the sign of zero included."""
    if a.shape != b.shape or a.dtype != b.dtype:
        return False
    return a.contiguous().flatten().view(torch.uint8).equal(b.contiguous().flatten().view(torch.uint8))


def same_mix(a, b):
    """Whether two mixes say the same, form included."""
    if type(a.form) is not type(b.form) or not all(
        torch.equal(getattr(a, name), getattr(b, name)) for name in ("sources", "shares", "weights")
    ):
        return False
    size = a.form.size or (2, 3)
    return a.form.size == b.form.size and torch.equal(a.masks(size), b.masks(size))


def random_boxes(batch, count, size, generator):
    """``(B, N, 4)`` boxes anywhere in the image, empty and full ones among them."""
    limits = torch.tensor(size)
    corners = (torch.rand(batch, count, 2, 2, generator=generator) * (limits + 1)).long().minimum(limits)
    return torch.cat([corners.min(2).values, corners.max(2).values], dim=2)


def random_nested_boxes(batch, count, size, generator):
    """Boxes of which each lies inside the one before."""
    boxes, outer = [], torch.tensor([0, 0, *size]).expand(batch, 4)
    for _ in range(count):
        low, high = outer[:, :2], outer[:, 2:]
        uniform = torch.rand(batch, 2, 2, generator=generator)
        corners = (low[:, None] + (uniform * (high - low + 1)[:, None]).long()).minimum(high[:, None])
        outer = torch.cat([corners.min(1).values, corners.max(1).values], dim=1)
        boxes.append(outer)
    return torch.stack(boxes, dim=1) if boxes else torch.zeros(batch, 0, 4, dtype=torch.int64)


def random_images(shape, dtype, generator):
    """Images of any dtype, whole range for integers."""
    if dtype == torch.bool:
        return torch.rand(shape, generator=generator) < 0.5
    if dtype.is_floating_point:
        return torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype)
    limit = min(torch.iinfo(dtype).max, 2**31)  # float64 holds these exactly
    return torch.randint(0, limit, shape, generator=generator).to(dtype)


@contextmanager
def unchanged_global_rng():
    """Fail where torch's, numpy's or Python's global random state moves inside the block."""
    import random

    def state():
        kind, keys, *rest = np.random.get_state()
        return torch.get_rng_state().numpy().tobytes(), (kind, keys.tobytes(), *rest), random.getstate()

    before = state()
    yield
    assert state() == before, "a global random state moved"


def binned(values, edges):
    """Counts between ``edges``; values below the first and above the last edge have bins of their own."""
    return np.histogram(np.asarray(values), bins=np.concatenate([[-np.inf], edges, [np.inf]]))[0]


def assert_probabilities(counts, probabilities, n, sigmas=4.5):
    """Every count lies within ``sigmas`` binomial standard errors (and one count) of its expectation."""
    for count, p in zip(counts, probabilities, strict=True):
        error = sigmas * np.sqrt(n * p * (1 - p)) + 1
        assert abs(count - n * p) <= error, f"expected {n * p:.1f} ± {error:.1f} of {n}, counted {count}"


def assert_mean(values, expected, sigmas=4.5):
    """The mean of independent values is ``expected``, within ``sigmas`` standard errors and rounding."""
    values = np.asarray(values, dtype=np.float64)
    error = sigmas * values.std(ddof=1) / np.sqrt(len(values)) + 1e-7
    off = abs(values.mean() - expected)
    assert off <= error, f"expected {expected:.5f} ± {error:.5f}, measured {values.mean():.5f}"


class CountingImages(Dataset):
    """Image i is constant i and its label is i. It lives here so that spawned workers can load it."""

    def __init__(self, rows=8, size=(6, 5)):
        self.rows, self.size = rows, size

    def __len__(self):
        return self.rows

    def __getitem__(self, index):
        return torch.full((1, *self.size), float(index)), index


def _kornia_boxes(edges):
    """(…, 4) edges top, left, bottom, right as kornia's corners, whose last row and column lie inside."""
    top, left, bottom, right = edges.float().unbind(-1)
    corners = [(left, top), (right - 1, top), (right - 1, bottom - 1), (left, bottom - 1)]
    return torch.stack([torch.stack(corner, dim=-1) for corner in corners], dim=-2)


def kornia_cutmix(images, labels, partners, edges):
    """kornia's images and ``(N, B, 3)`` label table for ``(N, B, 4)`` boxes of the rows ``partners``."""
    from kornia.augmentation import RandomCutMixV2

    parameters = {
        "mix_pairs": partners,
        "crop_src": _kornia_boxes(edges),
        "image_shape": torch.tensor(images.shape[-2:]).float(),
        "batch_prob": torch.ones(len(images)),
    }
    mixer = RandomCutMixV2(num_mix=len(partners), data_keys=["input", "class"], use_correct_lambda=True)
    return mixer(images, labels, params=parameters)

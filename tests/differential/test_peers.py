"""The same batch, the same draws, other libraries: images and labels must be theirs, after their conventions.

Copies are compared byte for byte. Blends may differ by the rounding of two products and a sum: 1e-6 for
values of order one in float32. Peers that are missing are an error, not a skip: the test extra names them.
"""

import numpy as np
import pytest
import torch
from kornia.augmentation import RandomMixUpV2
from oracle import kornia_cutmix, same_bytes, seeded
from timm.data import mixup as timm_mixup
from torchvision.transforms import v2

from mixlab import Mix
from mixlab.masks import Constant, NestedBoxes, PastedBoxes
from mixlab.priors import beta, permutations

CLASSES = 10
SHAPES = [(6, 3, 32, 32), (4, 2, 33, 20), (2, 1, 1, 9)]
shapes = pytest.mark.parametrize("shape", SHAPES, ids=str)
seeds = pytest.mark.parametrize("seed", range(5))


def _batch(shape, seed):
    images = torch.randn(shape, generator=seeded(seed))
    return images, torch.randint(0, CLASSES, shape[:1], generator=seeded(seed))


def _pair(partner):
    return torch.stack([torch.arange(len(partner)), partner], dim=1)


def _rolled(batch):
    """torchvision's pairing: the row before."""
    return _pair(torch.arange(batch).roll(1))


def _flipped(batch):
    """timm's pairing: the row from the end."""
    return _pair(torch.arange(batch).flip(0))


def _blend(sources, own):
    own = torch.as_tensor(own, dtype=torch.float32).expand(len(sources))
    return Mix(sources, Constant(torch.stack([own, 1 - own], dim=1)))


def _paste(sources, edges, size):
    """``edges``: (top, left, bottom, right) for every row, or for all of them."""
    return Mix(sources, NestedBoxes(torch.tensor(edges).expand(len(sources), 4)[:, None], size))


def _close(ours, theirs):
    torch.testing.assert_close(ours.float(), theirs.float(), rtol=0, atol=1e-6)


@shapes
@pytest.mark.parametrize("lam", [0.0, 0.3, 0.5, 0.83, 1.0])
@pytest.mark.parametrize("soft", [False, True])
def test_torchvision_mixup(monkeypatch, shape, lam, soft):
    images, labels = _batch(shape, 0)
    labels = torch.rand(len(images), CLASSES, generator=seeded()).softmax(1) if soft else labels
    monkeypatch.setattr(v2.MixUp, "make_params", lambda self, inputs: {"lam": lam})
    their_images, their_targets = v2.MixUp(num_classes=CLASSES)(images, labels)
    mix = _blend(_rolled(len(images)), lam)
    _close(mix.apply(images), their_images)
    _close(mix.targets(labels, CLASSES), their_targets)


@shapes
@seeds
def test_torchvision_cutmix(monkeypatch, shape, seed):
    images, labels = _batch(shape, seed)
    generator, (height, width) = seeded(seed), shape[-2:]
    rows, columns = (torch.randint(0, extent + 1, (2,), generator=generator).sort().values.tolist()
                     for extent in (height, width))
    (top, bottom), (left, right) = rows, columns
    lam = 1 - (bottom - top) * (right - left) / (height * width)
    parameters = {"box": (left, top, right, bottom), "lam_adjusted": lam}
    monkeypatch.setattr(v2.CutMix, "make_params", lambda self, inputs: parameters)
    their_images, their_targets = v2.CutMix(num_classes=CLASSES)(images, labels)
    mix = _paste(_rolled(len(images)), (top, left, bottom, right), (height, width))
    assert same_bytes(mix.apply(images), their_images)
    _close(mix.targets(labels, CLASSES), their_targets)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float64, torch.float16], ids=str)
def test_torchvision_cutmix_of_other_dtypes(monkeypatch, dtype):
    images = (torch.rand(4, 3, 12, 9, generator=seeded()) * 200).to(dtype)
    parameters = {"box": (2, 1, 7, 12), "lam_adjusted": 1 - 55 / 108}
    monkeypatch.setattr(v2.CutMix, "make_params", lambda self, inputs: parameters)
    theirs = v2.CutMix(num_classes=CLASSES)(images, torch.arange(4))[0]
    assert same_bytes(_paste(_rolled(4), (1, 2, 12, 7), (12, 9)).apply(images), theirs)


class InjectedNumpy:
    """Stands where timm says ``np.random``: shares from our prior, seeded centres, every coin heads."""

    def __init__(self, seed):
        self.shares, self.state = seeded(seed), np.random.RandomState(seed)
        self.drawn = []

    def beta(self, a, b, size=None):
        self.drawn = beta(a, b, size or 1, generator=self.shares).numpy()
        return self.drawn if size else float(self.drawn[0])

    def rand(self, size=None):
        return np.zeros(size) if size else 0.0

    def randint(self, low, high, size=None):
        return self.state.randint(low, high, size=size)


class Injected:
    """numpy, with another random module."""

    def __init__(self, seed):
        self.random = InjectedNumpy(seed)

    def __getattr__(self, name):
        return getattr(np, name)


def _timm(monkeypatch, shape, seed, mode, **alphas):
    """timm's output for a batch, with the λ it was given and the boxes it drew."""
    numpy, boxes = Injected(seed), []
    original = timm_mixup.cutmix_bbox_and_lam

    def remember(*args, **kwargs):
        box, lam = original(*args, **kwargs)
        boxes.append([int(edge) for edge in (box[0], box[2], box[1], box[3])])
        return box, lam

    monkeypatch.setattr(timm_mixup, "np", numpy)
    monkeypatch.setattr(timm_mixup, "cutmix_bbox_and_lam", remember)
    images, labels = _batch(shape, seed)
    mixer = timm_mixup.Mixup(mode=mode, label_smoothing=0.0, num_classes=CLASSES, **alphas)
    mixed, targets = mixer(images.clone(), labels)
    return images, labels, mixed, targets, torch.from_numpy(numpy.random.drawn), boxes


@shapes
@seeds
@pytest.mark.parametrize("mode", ["batch", "elem"])
def test_timm_mixup(monkeypatch, shape, seed, mode):
    images, labels, mixed, targets, shares, _ = _timm(monkeypatch, shape, seed, mode, mixup_alpha=0.8)
    assert len(shares) == (1 if mode == "batch" else len(images))
    mix = _blend(_flipped(len(images)), shares)
    _close(mix.apply(images), mixed)
    _close(mix.targets(labels, CLASSES), targets)


@shapes
@seeds
@pytest.mark.parametrize("mode", ["batch", "elem"])
def test_timm_cutmix(monkeypatch, shape, seed, mode):
    options = {"mixup_alpha": 0.0, "cutmix_alpha": 1.0}
    images, labels, mixed, targets, _, boxes = _timm(monkeypatch, shape, seed, mode, **options)
    assert len(boxes) == (1 if mode == "batch" else len(images))
    mix = _paste(_flipped(len(images)), boxes, shape[-2:])
    assert same_bytes(mix.apply(images), mixed)
    _close(mix.targets(labels, CLASSES), targets)


def _kornia_targets(table):
    """kornia's rows (own label, partner's label, λ of the partner) as soft targets."""
    rows = torch.arange(len(table))
    targets = torch.zeros(len(table), CLASSES)
    targets.index_put_((rows, table[:, 0].long()), 1 - table[:, 2], accumulate=True)
    return targets.index_put_((rows, table[:, 1].long()), table[:, 2], accumulate=True)


@shapes
@seeds
def test_kornia_mixup(shape, seed):
    images, labels = _batch(shape, seed)
    partner = permutations(len(images), 2, generator=seeded(seed))[:, 1]
    own = beta(1.0, 1.0, len(images), generator=seeded(seed)).float()
    parameters = {"mixup_pairs": partner, "mixup_lambdas": 1 - own, "batch_prob": torch.ones(len(images))}
    their_images, table = RandomMixUpV2(data_keys=["input", "class"])(images, labels, params=parameters)
    mix = _blend(_pair(partner), own)
    _close(mix.apply(images), their_images)
    _close(mix.targets(labels, CLASSES), _kornia_targets(table))


def _full_boxes(count, batch, size, seed):
    """``(count, B, 4)`` boxes of at least one pixel."""
    limits = torch.tensor(size)
    low = (torch.rand(count, batch, 2, generator=seeded(seed)) * limits).long()
    high = low + 1 + (torch.rand(count, batch, 2, generator=seeded(seed + 1)) * (limits - low)).long()
    return torch.cat([low, high], dim=2)


@shapes
@seeds
def test_kornia_cutmix(shape, seed):
    images, labels = _batch(shape, seed)
    partner = permutations(len(images), 2, generator=seeded(seed))[:, 1]
    edges = _full_boxes(1, len(images), shape[-2:], seed)
    their_images, table = kornia_cutmix(images, labels, partner[None], edges)
    mix = Mix(_pair(partner), NestedBoxes(edges[0][:, None], shape[-2:]))
    assert same_bytes(mix.apply(images), their_images)
    # With the corrected λ the third column weighs the row itself.
    table = table[0]
    table[:, 2] = 1 - table[:, 2]
    _close(mix.targets(labels, CLASSES), _kornia_targets(table))


@shapes
@seeds
def test_kornia_pastes_boxes_in_our_order(shape, seed):
    """Images only: its labels do not know what later boxes cover (see the traps)."""
    images, labels = _batch(shape, seed)
    sources = permutations(len(images), 4, generator=seeded(seed))
    edges = _full_boxes(3, len(images), shape[-2:], seed)
    their_images, _ = kornia_cutmix(images, labels, sources[:, 1:].T, edges)
    mix = Mix(sources, PastedBoxes(edges.transpose(0, 1), shape[-2:]))
    assert same_bytes(mix.apply(images), their_images)

"""Controls differ from their model in one thing: everything else is drawn equal."""

import numpy as np
import pytest
import torch
from oracle import assert_probabilities, binned
from scipy.stats import beta as beta_law

from mixlab.mixers import CutMix, Mixup
from mixlab.mixers.controls import (
    CONTROLS,
    DominantMixup,
    ErasedBox,
    InputMixup,
    LabelMixup,
    NoiseBox,
    NominalCutMix,
    PatchCutMix,
    TiltedMixup,
)

IMAGES = torch.rand(33, 2, 10, 14, generator=torch.Generator().manual_seed(1))
LABELS = torch.arange(33) % 5


def draw(mixer, seed=0):
    return mixer.draw(IMAGES, LABELS, generator=torch.Generator().manual_seed(seed))


def test_the_dominant_mix_is_mixup_with_the_larger_share_first():
    plain, folded = draw(Mixup(1.0)), draw(DominantMixup(1.0))
    assert torch.equal(plain.sources, folded.sources)
    assert torch.equal(plain.shares.max(1).values, folded.shares[:, 0])
    assert torch.equal(folded.weights, folded.shares)


def test_input_and_label_mixup_each_keep_one_half_of_the_mix():
    both, image, label = draw(DominantMixup(1.0)), draw(InputMixup(1.0)), draw(LabelMixup(1.0))
    assert torch.equal(image.apply(IMAGES), both.apply(IMAGES))
    assert torch.equal(image.targets(LABELS, 5), torch.eye(5)[LABELS])
    assert torch.equal(label.targets(LABELS, 5), both.targets(LABELS, 5))
    assert torch.equal(label.apply(IMAGES), IMAGES)


def test_mixed_labels_alone_are_label_smoothing_in_the_mean():
    mixer = LabelMixup(1.0, pairing="permutation")
    labels = torch.arange(50) % 5
    g = torch.Generator().manual_seed(0)
    mean = sum(mixer.draw(torch.zeros(50, 1), labels, generator=g).targets(labels, 5) for _ in range(4000)) / 4000
    assert torch.allclose(mean, 0.75 * torch.eye(5)[labels] + 0.25 / 5, atol=0.03)


@pytest.mark.parametrize("alpha", [0.2, 1.0, 4.0])
def test_the_tilted_law_has_the_mean_of_beta(alpha):
    images = torch.zeros(40_000, 1)
    mix = TiltedMixup(alpha).draw(images, generator=torch.Generator().manual_seed(0))
    assert abs(float(mix.shares[:, 0].mean()) - (alpha + 1) / (2 * alpha + 1)) < 0.008
    assert torch.equal(mix.weights[:, 0], torch.ones(40_000))
    # Not the mean alone, which other laws share.
    edges = np.array([0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99])
    expected = np.diff(np.concatenate([[0], beta_law(alpha + 1, alpha).cdf(edges), [1]]))
    assert_probabilities(binned(mix.shares[:, 0].double(), edges), expected, 40_000)


@pytest.mark.parametrize("kind", [TiltedMixup, DominantMixup, NominalCutMix, ErasedBox])
def test_alpha_zero_is_no_mixing(kind):
    assert torch.equal(draw(kind(0.0)).apply(IMAGES), IMAGES)


@pytest.mark.parametrize("kind", [ErasedBox, NoiseBox, PatchCutMix, NominalCutMix])
def test_the_boxes_and_the_surroundings_are_those_of_cutmix(kind):
    mix, model = draw(kind(1.0)), draw(CutMix(1.0))
    assert torch.equal(mix.form.boxes, model.form.boxes)
    outside = (model.owners == 0)[:, None].expand_as(IMAGES)
    assert torch.equal(mix.apply(IMAGES)[outside], IMAGES[outside])


def test_each_fill_is_what_it_says():
    inside = (draw(CutMix(1.0)).owners == 1)[:, None].expand_as(IMAGES)
    assert not draw(ErasedBox(1.0)).apply(IMAGES)[inside].any()
    noise = draw(NoiseBox(1.0)).apply(IMAGES)[inside]
    assert abs(float(noise.mean())) < 0.1 and abs(float(noise.std()) - 1) < 0.1
    assert torch.equal(draw(PatchCutMix(1.0)).apply(IMAGES), draw(CutMix(1.0)).apply(IMAGES))


@pytest.mark.parametrize("kind", [ErasedBox, NoiseBox, PatchCutMix, InputMixup, TiltedMixup])
def test_labels_stay_where_the_name_says_so(kind):
    assert torch.equal(draw(kind(1.0)).targets(LABELS, 5), torch.eye(5)[LABELS])


def test_the_nominal_label_lies_only_where_the_box_is_clipped_or_rounded():
    mix = draw(NominalCutMix(1.0))
    assert torch.equal(mix.shares, draw(CutMix(1.0)).shares)
    assert float((mix.shares[:, 0] - mix.weights[:, 0]).min()) > -0.15
    assert float((mix.shares[:, 0] - mix.weights[:, 0]).max()) > 0.3


def test_every_control_has_a_name():
    for kind in CONTROLS.values():
        assert draw(kind(1.0)).targets(LABELS, 5).sum(1).allclose(torch.ones(33))

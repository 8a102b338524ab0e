"""Controls differ from their model in one thing: everything else is drawn equal."""

from dataclasses import dataclass, field

import numpy as np
import pytest
import torch
from oracle import assert_mean, assert_probabilities, binned, same_mix, seeded, unchanged_global_rng
from scipy.stats import beta as beta_law

from mixlab import Mix
from mixlab.masks import Constant
from mixlab.mixers import CutMix, DCutMix, Identity, Mixup, PerSample, PuzzleMix, Sometimes, from_config, to_config
from mixlab.mixers.base import Mixer
from mixlab.mixers.controls import (
    CONTROLS,
    DominantMixup,
    ErasedBox,
    InputMixup,
    LabelMixup,
    NoiseBox,
    NominalCutMix,
    PatchCutMix,
    ReplacedSaliency,
    SharesInBoxes,
    TiltedMixup,
)
from mixlab.saliency import smooth_random_saliency

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


SALIENCY = torch.rand(33, 10, 14, generator=torch.Generator().manual_seed(2))


@dataclass(frozen=True)
class Telling(CutMix):
    """CutMix that notes the saliency it is told."""

    told: list = field(default_factory=list, hash=False)

    def _draw(self, images, labels, saliency, generator):
        self.told.append(saliency)
        return super()._draw(images, labels, saliency, generator)


def told(by, seed=0, saliency=SALIENCY, images=IMAGES):
    mixer = Telling()
    ReplacedSaliency(mixer, by).draw(images, saliency=saliency, generator=seeded(seed))
    (found,) = mixer.told
    return found


def test_another_image_s_saliency_is_that_of_every_row_but_the_row_itself():
    shifts = set()
    for seed in range(400):
        found = told("another", seed)
        (shift,) = (shift for shift in range(33) if torch.equal(found, SALIENCY.roll(shift, 0)))
        shifts.add(shift)
    assert 0 not in shifts and len(shifts) == 32  # by chance one is missing once in ten thousand


def test_every_other_row_is_as_likely():
    images, saliency = torch.zeros(5, 1, 2, 2), torch.arange(5.0).view(5, 1, 1).expand(5, 2, 2).contiguous()
    found = torch.stack([told("another", seed, saliency, images)[0, 0, 0] for seed in range(2000)])
    assert_probabilities(torch.bincount(found.long(), minlength=5).tolist(), [0, 0.25, 0.25, 0.25, 0.25], 2000)


def test_a_row_alone_keeps_its_own_saliency():
    assert torch.equal(told("another", 0, SALIENCY[:1], IMAGES[:1]), SALIENCY[:1])


def test_uniform_and_random_maps_know_nothing_of_the_images():
    assert torch.equal(told("uniform"), torch.ones(33, 10, 14)) and torch.equal(told("uniform", saliency=None),
                                                                               torch.ones(33, 10, 14))
    assert torch.equal(told("smooth"), told("smooth", saliency=None))
    assert not torch.equal(told("smooth", 0), told("smooth", 1))
    values = torch.stack([told("smooth", seed) for seed in range(100)]).double()
    other = smooth_random_saliency(3300, (10, 14), generator=seeded()).double()
    assert_mean(values[:, :, 0, 0].flatten(), 1.0)
    assert values.std().item() == pytest.approx(other.std().item(), rel=0.05)


@pytest.mark.parametrize("by", ["another", "smooth", "uniform"])
@pytest.mark.parametrize("model", [CutMix(), DCutMix(3), Sometimes(PerSample(Mixup(), 0.5), 0.8)], ids=repr)
def test_a_mixer_that_looks_at_nothing_draws_what_it_would_draw(by, model):
    for seed in range(5):
        ours, theirs = seeded(seed), seeded(seed)
        with unchanged_global_rng():
            mix = ReplacedSaliency(model, by).draw(IMAGES, saliency=SALIENCY, generator=ours)
        assert same_mix(mix, model.draw(IMAGES, saliency=SALIENCY, generator=theirs))
        assert torch.equal(ours.get_state(), theirs.get_state())


@pytest.mark.parametrize("by", ["another", "smooth", "uniform"])
def test_puzzle_mix_keeps_its_partners_and_blocks_and_cuts_elsewhere(by):
    images, model = torch.rand(16, 1, 8, 8, generator=seeded()), PuzzleMix(transport=False)
    saliency = smooth_random_saliency(16, (8, 8), generator=seeded(9))
    changed = []
    for seed in range(4):
        with_it = model.draw(images, saliency=saliency, generator=seeded(seed))
        control = ReplacedSaliency(model, by).draw(images, saliency=saliency, generator=seeded(seed))
        assert torch.equal(with_it.sources, control.sources)
        assert with_it.form.maps.shape == control.form.maps.shape
        changed.append(not torch.equal(with_it.form.maps, control.form.maps))
    assert all(changed)


def test_what_the_control_draws_has_nothing_to_do_with_what_the_mixer_draws():
    """Over seeds, the shift of the maps and the mixer's first number are uncorrelated."""
    saliency = torch.arange(33.0).view(33, 1, 1).expand(33, 10, 14).contiguous()
    shifts = torch.stack([told("another", seed, saliency)[0, 0, 0] for seed in range(400)])
    firsts = torch.stack([torch.rand((), generator=seeded(seed)) for seed in range(400)])
    assert abs(torch.corrcoef(torch.stack([shifts, firsts]))[0, 1].item()) < 4.5 / 20


def test_two_draws_of_one_generator_are_told_two_maps():
    mixer, draws = Telling(), seeded()
    for _ in range(2):
        ReplacedSaliency(mixer, "smooth").draw(IMAGES, generator=draws)
    assert not torch.equal(*mixer.told)


@pytest.mark.parametrize("model", [Mixup(1.0), CutMix(1.0), PerSample(Mixup(0.3), 0.6), PuzzleMix(blocks=2)], ids=repr)
def test_a_box_has_the_partner_and_nearly_the_share_of_the_mix_that_it_stands_for(model):
    for seed in range(5):
        mix = model.draw(IMAGES, LABELS, saliency=SALIENCY, generator=seeded(seed))
        boxed = SharesInBoxes(model).draw(IMAGES, LABELS, saliency=SALIENCY, generator=seeded(seed))
        assert torch.equal(mix.sources, boxed.sources) and torch.equal(boxed.weights, boxed.shares)
        off = (boxed.shares - mix.shares)[:, 1].abs() * 140
        assert off.max() <= 7.01 and off.mean() <= 2  # half a row of fourteen pixels
        assert torch.equal(boxed.apply(IMAGES)[boxed.owners[:, None].expand_as(IMAGES) == 0],
                           IMAGES[boxed.owners[:, None].expand_as(IMAGES) == 0])


@dataclass(frozen=True)
class Share(Mixer):
    """The next row with a share that is given."""

    share: float = 0.0

    def _draw(self, images, labels, saliency, generator):
        rows, shares = torch.arange(len(images)), torch.tensor([[1 - self.share, self.share]])
        return Mix(torch.stack([rows, rows.roll(1)], 1), Constant(shares.expand(len(images), 2)))


@pytest.mark.parametrize("size", [(8, 8), (6, 9)])
def test_no_box_is_nearer_to_a_share_and_to_the_aspect_of_the_image(size):
    """All boxes of whole pixels, by the pixels, rows and columns that they are off; one is what rounding costs."""
    height, width = size
    for pixels in range(height * width + 1):
        share = pixels / (height * width)
        boxed = SharesInBoxes(Share(share)).draw(torch.zeros(2, 1, *size), generator=seeded(pixels))
        top, left, bottom, right = boxed.form.boxes[0, 0].tolist()
        off = {
            (h, w): abs(h * w - pixels) + abs(h - height * share ** 0.5) + abs(w - width * share ** 0.5)
            for h in range(1, height + 1) for w in range(width + 1)
        }
        assert off[bottom - top, right - left] <= min(off.values()) + 1
        assert boxed.shares[0, 1].item() == pytest.approx((bottom - top) * (right - left) / (height * width))


def test_boxes_lie_anywhere_inside():
    images = torch.zeros(4000, 1, 8, 8)
    boxes = SharesInBoxes(Mixup(1.0)).draw(images, generator=seeded()).form.boxes[:, 0]
    sides = boxes[:, 2:] - boxes[:, :2]
    assert int(boxes.min()) == 0 and int(boxes.max()) == 8
    one = boxes[(sides == torch.tensor([5, 5])).all(1)]
    assert len(one) > 100
    for axis in (0, 1):
        assert_probabilities(torch.bincount(one[:, axis], minlength=4).tolist(), [0.25] * 4, len(one))


def test_a_batch_that_is_not_mixed_stays_unmixed_and_more_than_two_are_refused():
    assert torch.equal(draw(SharesInBoxes(Identity())).apply(IMAGES), IMAGES)
    assert torch.equal(draw(SharesInBoxes(Mixup(0.0))).apply(IMAGES), IMAGES)
    with pytest.raises(ValueError, match="expected a mixer of pairs, whose partner fits one box, received one of 3"):
        draw(SharesInBoxes(DCutMix(3)))


def test_the_controls_that_hold_a_mixer_are_plain_data_and_name_what_does_not_fit():
    for control in (ReplacedSaliency(PuzzleMix(blocks=(2, 4)), "another"), SharesInBoxes(Sometimes(CutMix(0.3), 0.5))):
        assert from_config(to_config(control)) == control
    assert to_config(ReplacedSaliency(PuzzleMix(), "smooth")) == {
        "name": "replaced-saliency", "mixer": {"name": "puzzlemix"}, "by": "smooth"}
    for wrong in ("none", None, True, ["smooth"]):
        with pytest.raises(ValueError, match="replaced by one of .'another', 'smooth', 'uniform'., received"):
            ReplacedSaliency(CutMix(), wrong)
    for kind in (lambda: ReplacedSaliency("cutmix", "smooth"), lambda: SharesInBoxes(CutMix)):
        with pytest.raises(ValueError, match="expected a mixer, received"):
            kind()


def test_without_a_saliency_only_another_image_s_is_missed():
    for by in ("smooth", "uniform"):
        assert ReplacedSaliency(PuzzleMix(), by).draw(torch.rand(4, 1, 8, 8), generator=seeded()).k == 2
    with pytest.raises(ValueError, match="expected a saliency"):
        ReplacedSaliency(PuzzleMix(), "another").draw(torch.rand(4, 1, 8, 8), generator=seeded())

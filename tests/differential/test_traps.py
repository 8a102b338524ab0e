"""Mistakes that mixing libraries make, one test each: ours is right and, where it is cheap, the peer is not.

The peer's side keeps a test from passing for nothing. If it fails after an upgrade, the peer has been
repaired, and that assertion (not ours) is to be dropped.
"""

import warnings

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from kornia.augmentation import RandomCutMixV2, RandomMixUpV2
from oracle import (
    assert_mean,
    assert_probabilities,
    kornia_cutmix,
    probe,
    same_bytes,
    seeded,
    share_of_rows,
    unchanged_global_rng,
)
from timm.data.mixup import Mixup as TimmMixup
from torchvision import tv_tensors
from torchvision.transforms import v2

from mixlab import Mix
from mixlab.masks import Constant, NestedBoxes, PastedBoxes
from mixlab.mixers import CutMix, DCutMix, DMixup, Mixup, PastedCutMix, PerSample, Sometimes, UnclippedCutMix
from mixlab.mixers.regional import clipped_boxes
from mixlab.risk import soft_cross_entropy

REGIONAL = [CutMix(), UnclippedCutMix(), DCutMix(5), PastedCutMix(5)]
ALL = [*REGIONAL, Mixup(), DMixup(5)]


def _timm(images, labels, seed=0, **options):
    """timm draws from numpy's global state, which is put back."""
    state = np.random.get_state()
    np.random.seed(seed)
    try:
        return TimmMixup(label_smoothing=0.0, **options)(images, labels)
    finally:
        np.random.set_state(state)


def _torchvision(transform, *batch, seed=0):
    """torchvision draws from torch's global state, which is put back."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return transform(*batch)


def test_trap_1_weights_belong_to_the_sources_beside_them():
    """Trap 1: λ weighs the own image here and the partner there."""
    lam, images = 0.8, probe(2, (4, 4))
    mix = Mix(torch.tensor([[0, 1], [1, 0]]), Constant(torch.tensor([[lam, 1 - lam]] * 2)))
    shown = mix.apply(images).mean((2, 3))
    for row in range(2):
        for slot in range(2):
            weight = float(mix.weights[row, slot])
            assert shown[row, mix.sources[row, slot]] == pytest.approx(weight, abs=1e-6)
    parameters = {
        "mixup_pairs": torch.tensor([1, 0]),
        "mixup_lambdas": torch.full((2,), lam),
        "batch_prob": torch.ones(2),
    }
    theirs = RandomMixUpV2(data_keys=["input"])(images, params=parameters)
    assert theirs.mean((2, 3))[0, 0] == pytest.approx(1 - lam, abs=1e-6), "kornia's λ weighs the partner"


@pytest.mark.parametrize("mixer", ALL, ids=repr)
@pytest.mark.parametrize("size", [(32, 32), (33, 20), (1, 9)], ids=str)
def test_trap_2_the_label_is_what_the_pixels_show(mixer, size):
    """Trap 2: labels from a λ that is not the area that was pasted."""
    for seed in range(5):
        mix = mixer.draw(probe(7, size), generator=seeded(seed))
        shown = mix.apply(probe(7, size)).mean((2, 3))
        torch.testing.assert_close(mix.targets(torch.arange(7), 7), shown, rtol=0, atol=1e-6)


def test_trap_2_a_label_from_the_drawn_share_would_lie():
    """Trap 2, the other side: kornia's default label weighs the own image with the partner's area."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        mixer = RandomCutMixV2(data_keys=["input", "class"])
    images, table = _torchvision(mixer, probe(4, (32, 32)), torch.arange(4), seed=3)
    own = torch.stack([images[row, row].mean() for row in range(4)])
    mixed = table[0, :, 0] != table[0, :, 1]
    assert bool(((own - table[0, :, 2]).abs() > 0.05)[mixed].any())


def test_trap_3_weights_stay_float32_for_every_dtype_of_images():
    """Trap 3: weights in the dtype of the images become 0 for uint8 and do not sum to 1 for bfloat16."""
    labels = torch.arange(8)
    for dtype in (torch.uint8, torch.bfloat16, torch.float16, torch.float64):
        mix = DCutMix(5).draw(torch.zeros(8, 1, 16, 16, dtype=dtype), generator=seeded())
        targets = mix.targets(labels, 8)
        assert mix.weights.dtype == targets.dtype == torch.float32
        torch.testing.assert_close(targets.sum(1), torch.ones(8), rtol=0, atol=1e-6)
        assert bool((targets.diagonal() > 0).any())
    options = {"mode": "elem", "mixup_alpha": 0.0, "cutmix_alpha": 1.0, "num_classes": 8}
    theirs = _timm(torch.zeros(8, 1, 16, 16, dtype=torch.uint8), labels, **options)[1]
    assert torch.equal(theirs, torch.eye(8).flip(0)), "timm gives every label to the partner"


def test_trap_4_soft_labels_are_mixed_row_by_row():
    """Trap 4: labels of two axes silently become B * C rows."""
    soft = torch.rand(4, 10, generator=seeded()).softmax(1)
    mix = Mixup().draw(torch.zeros(4, 3, 8, 8), generator=seeded())
    assert mix.targets(soft).shape == (4, 10)
    torch.testing.assert_close(mix.targets(soft), torch.einsum("bk,bkc->bc", mix.weights, soft[mix.sources]))
    theirs = _timm(torch.zeros(4, 3, 8, 8), soft, mode="batch", num_classes=10)[1]
    assert theirs.shape == (40, 10)


def test_trap_5_several_boxes_are_labelled_by_the_final_owner_map():
    """Trap 5: one label row for each paste, blind to what later pastes cover."""
    edges = torch.tensor([[[0, 0, 6, 6], [2, 2, 8, 8], [0, 4, 8, 8]]])
    sources = torch.tensor([[0, 1, 2, 3]])
    mix = Mix(sources.expand(4, 4), PastedBoxes(edges.expand(4, 3, 4), (8, 8)))
    shown = mix.apply(probe(4, (8, 8))).mean((2, 3))
    torch.testing.assert_close(mix.targets(torch.arange(4), 4), shown, rtol=0, atol=0)
    partners, boxes = sources[:, 1:].T.expand(3, 4), edges.transpose(0, 1).expand(3, 4, 4)
    theirs, table = kornia_cutmix(probe(4, (8, 8)), torch.arange(4), partners, boxes)
    assert same_bytes(theirs[0], mix.apply(probe(4, (8, 8)))[0])
    listed = 1 - table[:, 0, 2]
    assert listed.sum() > 1, "areas that overlap cannot be label weights"
    assert bool((listed[:2] > mix.shares[0, 1:3]).all()) and listed[2] == mix.shares[0, 3]


def test_trap_6_the_area_of_the_box_is_one_minus_lambda():
    """Trap 6: a side of sqrt(1 - L²) for a length L; area and side are confused."""
    boxes = clipped_boxes(torch.full((4000,), 0.25, dtype=torch.float64), (64, 64), seeded())
    sides = boxes[:, 2:] - boxes[:, :2]
    inside = ((boxes[:, :2] > 0) & (boxes[:, 2:] < 64)).all(1)
    assert bool(inside.any()) and bool((sides[inside] == 32).all()) and int(sides.max()) == 32


@pytest.mark.parametrize("mixer", REGIONAL, ids=repr)
@pytest.mark.parametrize("size", [(32, 48), (48, 32), (1, 20), (20, 1)], ids=str)
def test_trap_7_rows_are_rows_and_columns_are_columns(mixer, size):
    """Trap 7: height and width exchanged, seen only on images that are not square."""
    mix = mixer.draw(probe(64, size), generator=seeded())
    boxes = mix.form.boxes
    assert bool((boxes[..., 2] <= size[0]).all()) and bool((boxes[..., 3] <= size[1]).all())
    if min(size) > 1:
        assert int(boxes[..., 2].max()) > 0.9 * size[0] and int(boxes[..., 3].max()) > 0.9 * size[1]
    row, (top, left, bottom, right) = next(
        (row, box) for row, box in enumerate(boxes[:, -1].tolist()) if box[0] < box[2] and box[1] < box[3]
    )
    assert bool((mix.owners[row, top:bottom, left:right] == mix.k - 1).all())
    outside = torch.ones(size, dtype=torch.bool)
    outside[top:bottom, left:right] = False
    assert not bool((mix.owners[row][outside] == mix.k - 1).any())


def test_trap_8_clipping_changes_the_mean_area_as_documented():
    """Trap 8: at α = 1 a clipped box pastes .321, one that stays inside .5, floored half-sides less."""
    images = torch.zeros(1, 1, 1, 1).expand(20_000, 1, 32, 32)
    assert_mean(CutMix().draw(images, generator=seeded()).shares[:, 1], 77 / 240, sigmas=5)
    assert_mean(UnclippedCutMix().draw(images, generator=seeded()).shares[:, 1], 0.5)
    cutmix = v2.CutMix(num_classes=2)
    theirs = _torchvision(lambda: [1 - cutmix.make_params([images[:1]])["lam_adjusted"] for _ in range(2500)])
    assert np.mean(theirs) < 77 / 240 - 0.01, "torchvision floors half-sides"


def test_trap_9_every_row_has_parameters_of_its_own():
    """Trap 9: one draw for a batch makes the mean mixed share of a batch jump."""
    images, labels = torch.rand(16, 3, 64, 64, generator=seeded()), torch.arange(16)
    for mixer in ALL:
        shares = mixer.draw(images, generator=seeded()).shares[:, 0]
        assert shares.unique().numel() >= 10
    theirs = _torchvision(v2.MixUp(num_classes=16), images, labels)[1].diagonal()
    assert theirs.unique().numel() == 1, "torchvision draws one λ a batch"


def test_trap_10_pairing_depends_on_no_order_of_the_batch():
    """Trap 10: a sorted batch rolled by one pairs like with like; permutations pair a row with itself."""
    labels = torch.arange(10).repeat_interleave(2)
    images, generator, n = torch.zeros(20, 1, 4, 4), seeded(), 500
    partners = torch.stack([CutMix().draw(images, generator=generator).sources[:, 1] for _ in range(n)])
    assert not bool((partners == torch.arange(20)).any())
    same = labels[partners] == labels
    assert_probabilities([int(same[:, 0].sum())], [1 / 19], n)
    rolled = labels.roll(1) == labels
    assert rolled.float().mean() == 0.5, "half of a sorted batch would meet its own class"


@pytest.mark.parametrize("mixer", ALL, ids=repr)
def test_trap_11_nothing_is_written_into_the_batch(mixer):
    """Trap 11: mixing in place, in the batch or in the data set's own arrays."""
    images, labels = torch.rand(6, 3, 80, 72, generator=seeded()), torch.arange(6)
    before = images.clone()
    mix = mixer.draw(images, labels, generator=seeded())
    mix.apply(images).zero_()
    mix.targets(labels, 6).zero_()
    assert same_bytes(images, before) and torch.equal(labels, torch.arange(6))


def test_trap_11_timm_writes_into_the_batch():
    """Trap 11, the other side."""
    images = torch.rand(6, 3, 8, 8, generator=seeded())
    before = images.clone()
    _timm(images, torch.arange(6), mode="batch", num_classes=6)
    assert not torch.equal(images, before)


@pytest.mark.parametrize("p", [0.2, 0.5])
def test_trap_12_a_probability_is_applied_once(p):
    """Trap 12: p for the batch and p again for the row give the rate p²."""
    images, generator, n = torch.zeros(8, 1, 2, 2), seeded(), 1200
    per_batch = [Sometimes(Mixup(), p).draw(images, generator=generator).k == 2 for _ in range(n)]
    assert_probabilities([sum(per_batch)], [p], n)
    per_row = torch.stack(
        [PerSample(Mixup(), p).draw(images, generator=generator).sources[:, 1] for _ in range(n // 8)]
    )
    assert_probabilities([int((per_row != torch.arange(8)).sum())], [p], n // 8 * 8)


def test_trap_13_a_third_tensor_is_refused_and_a_mix_mixes_it():
    """Trap 13: a segmentation mask beside the images comes back unmixed and unmentioned."""
    images, labels = probe(4, (8, 8)), torch.arange(4)
    regions = torch.arange(4)[:, None, None].expand(4, 8, 8).contiguous()
    with pytest.raises(ValueError, match="expected beside images .* received a plain tensor of shape"):
        CutMix(num_classes=4)(images, labels, regions)
    mixed, _, said = CutMix(num_classes=4)(images, labels, tv_tensors.Mask(regions))
    assert torch.equal(said, mixed.argmax(1))
    mix = CutMix().draw(images, generator=seeded())
    assert torch.equal(mix.apply(regions), mix.apply(images).argmax(1))
    _, _, theirs = _torchvision(v2.CutMix(num_classes=4), images, labels, regions)
    assert torch.equal(theirs, regions)


def test_trap_14_an_empty_box_is_a_clean_image_with_a_clean_label():
    """Trap 14: a box of no pixels leaves one label with weight, not two; on 8 x 8 images this happens."""
    mix = CutMix().draw(probe(400, (8, 8)), generator=seeded())
    targets = mix.targets(torch.arange(400), 400)
    empty = mix.shares[:, 1] == 0
    assert bool(empty.any()) and torch.equal(targets[empty], torch.eye(400)[empty])
    assert torch.equal((targets > 0).sum(1), 1 + (~empty & (mix.shares[:, 0] > 0)).long())


def test_trap_15_integer_labels_of_any_dtype_floats_refused_and_alpha_zero_is_erm():
    """Trap 15: int32 raises, floats are truncated, α = 0 is an assertion elsewhere."""
    images = torch.rand(4, 3, 8, 8, generator=seeded())
    mix = CutMix().draw(images, generator=seeded())
    expected = mix.targets(torch.tensor([0, 2, 1, 1]), 3)
    for dtype in (torch.uint8, torch.int8, torch.int16, torch.int32):
        assert torch.equal(mix.targets(torch.tensor([0, 2, 1, 1], dtype=dtype), 3), expected)
    with pytest.raises(ValueError, match="expected labels of one axis to be class indices"):
        mix.targets(torch.tensor([0.2, 2.0, 1.9, 1.0]), 3)
    assert torch.equal(Mixup(0.0).draw(images, generator=seeded()).apply(images), images)
    of_floats, of_integers = (
        _timm(images.clone(), torch.tensor(labels), num_classes=3)[1] for labels in ([0.2, 2.0, 1.9, 1.0], [0, 2, 1, 1])
    )
    assert torch.equal(of_floats, of_integers), "timm truncates floating-point labels"
    torch.distributions.Distribution.set_default_validate_args(True)  # which torch.compile turns off for good
    with pytest.raises(Exception, match="(?i)concentration"):
        v2.MixUp(alpha=0.0, num_classes=3)


@pytest.mark.parametrize("mixer", ALL, ids=repr)
def test_trap_16_images_and_labels_share_one_permutation(mixer):
    """Trap 16: one permutation for images and another for labels. A mix is drawn once and used twice."""
    images, labels = probe(9, (6, 6)), torch.arange(9)
    mixed, targets = type(mixer)(num_classes=9)(images, labels)
    torch.testing.assert_close(mixed.mean((2, 3)), targets, rtol=0, atol=1e-6)
    mix = mixer.draw(images, generator=seeded())
    torch.testing.assert_close(share_of_rows(mix).float(), mix.targets(labels, 9), rtol=0, atol=1e-6)


def test_trap_17_interpolated_loss_is_the_loss_of_the_soft_target_where_it_is_linear_in_it():
    """Trap 17: true for cross-entropy, not for a squared error."""
    logits, labels = torch.randn(5, 4, generator=seeded()), torch.tensor([0, 3, 1, 1, 2])
    mix = DMixup(3).draw(torch.zeros(5, 2), generator=seeded())
    targets = mix.targets(labels, 4)
    each = torch.stack([F.cross_entropy(logits, labels[s], reduction="none") for s in mix.sources.T], dim=1)
    torch.testing.assert_close(soft_cross_entropy(logits, targets), (mix.weights * each).sum(1).mean())
    probabilities = logits.softmax(1)
    misses = [probabilities - F.one_hot(labels[slot], 4) for slot in mix.sources.T]
    squared = torch.stack([miss.square().sum(1) for miss in misses], dim=1)
    interpolated, of_target = (mix.weights * squared).sum(1), (probabilities - targets).square().sum(1)
    assert bool((interpolated > of_target + 1e-3).any())


def test_trap_18_lambda_is_not_folded():
    """Trap 18: max(λ, 1 - λ) would make the row the larger part, and the argmax of the target its label."""
    images = torch.zeros(4000, 2)
    for alpha in (0.2, 1.0):
        own = Mixup(alpha).draw(images, generator=seeded()).shares[:, 0]
        assert_probabilities([int((own < 0.5).sum())], [0.5], 4000)


@pytest.mark.parametrize("mixer", ALL, ids=repr)
def test_trap_19_everything_runs_on_a_cpu_and_by_value(mixer):
    """Trap 19: code bound to one device, and tests that look at shapes alone."""
    images = torch.randn(5, 2, 7, 11, generator=seeded(), dtype=torch.float64)
    with unchanged_global_rng():
        mix = mixer.draw(images, generator=seeded())
        mixed = mix.apply(images)
    masks = mix.masks((7, 11)).double()
    expected = torch.einsum("bkhw,bkchw->bchw", masks, images[mix.sources])
    torch.testing.assert_close(mixed, expected, rtol=0, atol=1e-6)


def test_nested_boxes_of_one_row_do_not_leak_into_another():
    """Every row has its own boxes: a batch is its rows, mixed one at a time."""
    images = torch.randn(6, 3, 80, 72, generator=seeded())
    mix = DCutMix(4).draw(images, generator=seeded())
    mixed = mix.apply(images)
    for row in range(6):
        form = NestedBoxes(mix.form.boxes[row].expand(4, 3, 4), (80, 72))
        alone = Mix(torch.arange(4)[None].expand(4, 4), form)
        assert same_bytes(alone.apply(images[mix.sources[row]])[0], mixed[row])

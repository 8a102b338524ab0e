"""What holds for every mixer, on every kind of batch: one suite over all of them and their compositions."""

import json
import pickle
from dataclasses import dataclass, field

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from oracle import (
    ALL_MIXERS,
    DECLARED,
    FEWEST,
    HARD,
    HIDING,
    SALIENT,
    TEACHER,
    probe,
    random_images,
    same_bytes,
    same_mix,
    seeded,
    share_of_rows,
    size_for,
    some_saliency,
    targets_by_hand,
    unchanged_global_rng,
)
from torchvision import tv_tensors
from torchvision.transforms import v2

from mixlab import Mix, mixers, priors
from mixlab.masks import Constant, Soft
from mixlab.mixers import (
    Average,
    CoMixup,
    CutMix,
    DCutMix,
    DMixup,
    Mixup,
    PastedCutMix,
    PerSample,
    PuzzleMix,
    Sometimes,
    UnclippedCutMix,
)
from mixlab.mixers.controls import DistinctPredictions, ReplacedSaliency, SharesInBoxes, ShuffledMasks

every_mixer = pytest.mark.parametrize("name", ALL_MIXERS)
#: Those that a batch of images and labels is enough for.
every_callable = pytest.mark.parametrize("name", [name for name in ALL_MIXERS if name not in SALIENT])
hard_mixers = pytest.mark.parametrize("name", HARD)

CLASSES = 4
batches = st.sampled_from([1, 2, 3, 5, 7, 12])
image_sizes = st.sampled_from([(33, 20), (1, 9), (9, 1), (8, 8), (1, 1), (16, 31)])
seeds = st.integers(0, 10**6)
FLOATS = [torch.float64, torch.float32, torch.float16, torch.bfloat16]
INTEGERS = [torch.uint8, torch.int64, torch.bool]


def _labels(batch, seed=0):
    return torch.randint(0, CLASSES, (batch,), generator=seeded(seed))


def _size(name, size):
    """A height and width that a mixer can cut, and of which it leaves something: else is an error (test_laws)."""
    return (1, 9) if name in HIDING and size == (1, 1) else size_for(name, size)


def _draw(name, images, seed=0, labels=None):
    if 0 < len(images) < FEWEST.get(name, 1):
        assume(False)
    labels = _labels(len(images)) if labels is None else labels
    saliency = some_saliency(name, images, seed)
    return ALL_MIXERS[name]().draw(images, labels, saliency=saliency, generator=seeded(seed))


def _blends(mix):
    return isinstance(mix.form, (Constant, Soft)) and mix.k > 1


def _rounding(mix, images, name):
    """How far off a blend may be: half a unit of the result, and for two images what half a unit of λ moves.

    Masks of any values are rounded to the dtype of the images, and so are their products with these.
    """
    exact, terms = (mix.apply(values).abs() for values in (images.double(), images.double().abs()))
    unit, wide = torch.finfo(images.dtype).eps, torch.finfo(torch.promote_types(images.dtype, torch.float32)).eps
    own, other = (images.double()[mix.sources[:, slot]] for slot in (0, 1))
    of_lambda = (own - other).abs() * unit / 4 if mix.k == 2 else 0
    of_masks = terms * 2 * unit if "supermix" in name else 0
    return exact * unit / 2 + of_lambda + of_masks + terms * 2 * mix.k * wide + torch.finfo(images.dtype).tiny


@every_mixer
@given(batch=batches, seed=seeds)
def test_slot_0_is_the_row_itself_where_a_mix_says_so(name, batch, seed):
    mix = _draw(name, torch.zeros(batch, 2, 8, 8), seed)
    assert mix.anchored == torch.equal(mix.sources[:, 0], torch.arange(batch))


@every_mixer
@given(batch=batches, size=image_sizes, seed=seeds)
def test_shares_are_what_a_probe_image_measures(name, batch, size, seed):
    size = _size(name, size)
    mix = _draw(name, probe(batch, size), seed)
    measured = mix.apply(probe(batch, size)).double()
    claimed = share_of_rows(mix)
    if _blends(mix):
        torch.testing.assert_close(measured.mean((2, 3)), claimed, rtol=0, atol=1e-6)
        return
    pixels = size[0] * size[1]
    counts = measured.sum((2, 3))
    assert torch.equal(counts, (claimed * pixels).round()), "shares are not the pixels shown"
    slots = mix.shares.double() * pixels
    assert torch.equal(mix.shares, slots.round().to(torch.float32) / pixels), "shares are not whole pixels"


@every_mixer
@given(batch=batches, size=image_sizes, seed=seeds)
def test_weights_are_shares_and_rows_sum_to_one(name, batch, size, seed):
    size = _size(name, size)
    mix = _draw(name, torch.zeros(batch, 1, *size), seed)
    assert mix.weights.dtype == mix.shares.dtype == torch.float32 and mix.sources.dtype == torch.int64
    assert bool((mix.weights >= 0).all()) and bool((mix.shares >= 0).all())
    torch.testing.assert_close(mix.weights.sum(1), torch.ones(batch), rtol=0, atol=1e-6)
    if name in HIDING:
        assert bool((mix.shares.sum(1) <= 1 + 1e-6).all())
    elif name in DECLARED:
        if "supermix" in name:
            torch.testing.assert_close(mix.shares.sum(1), torch.ones(batch), rtol=0, atol=1e-6)
        else:
            assert torch.equal(mix.shares, torch.full((batch, mix.k), 1 / mix.k))
        assert not torch.equal(mix.weights, mix.shares)
    else:
        assert torch.equal(mix.weights, mix.shares)


@every_mixer
@given(batch=batches, seed=seeds)
def test_label_weights_are_what_an_image_shows_of_each_class(name, batch, seed):
    """Label = index, image = constant of index: own pixels and label must tell the same story."""
    images, labels = probe(batch, _size(name, (7, 9))), torch.arange(batch)
    mix = _draw(name, images, seed, torch.zeros(batch, dtype=torch.int64))
    targets, shown = mix.targets(labels, batch), mix.apply(images).mean((2, 3))
    if name in DECLARED:
        # The label names the images that are seen, with other weights.
        assert torch.equal(targets > 0, shown > 0)
    elif name in HIDING and mix.k == 1:
        assert torch.equal(targets, torch.eye(batch))
        assert torch.equal(shown.fill_diagonal_(0), torch.zeros(batch, batch))
    else:
        torch.testing.assert_close(targets, shown, rtol=0, atol=2e-6)


@every_mixer
@given(batch=batches, size=image_sizes, seed=seeds)
def test_inputs_stay_and_applying_twice_gives_the_same_bytes(name, batch, size, seed):
    size = _size(name, size)
    images, labels = torch.randn(batch, 3, *size, generator=seeded(seed)), _labels(batch, seed)
    kept_images, kept_labels = images.clone(), labels.clone()
    mix = _draw(name, images, seed, labels)
    once, twice = mix.apply(images), mix.apply(images)
    assert torch.equal(mix.targets(labels, CLASSES), mix.targets(labels, CLASSES))
    assert same_bytes(once, twice)
    assert same_bytes(images, kept_images) and torch.equal(labels, kept_labels)
    once.zero_()
    assert same_bytes(images, kept_images), "the result shares memory with the input"


@every_mixer
@given(batch=batches, seed=seeds)
def test_one_generator_gives_one_mix_and_no_global_random_state_moves(name, batch, seed):
    images = torch.randn(batch, 3, 12, 10, generator=seeded(seed))
    with unchanged_global_rng():
        assert same_mix(_draw(name, images, seed), _draw(name, images, seed))
        if name not in SALIENT:
            ALL_MIXERS[name](num_classes=CLASSES)(images, _labels(batch))


@every_mixer
def test_different_generators_give_different_mixes(name):
    images = torch.randn(12, 3, 12, 10, generator=seeded())
    drawn = [_draw(name, images, seed) for seed in range(8)]
    constant = all(same_mix(drawn[0], other) for other in drawn[1:])
    assert constant == (name in ("identity", "dmixup-k1"))


@every_mixer
@given(batch=batches, size=image_sizes, dtype=st.sampled_from(FLOATS), seed=seeds)
def test_floating_dtypes_are_kept_and_blends_are_off_by_rounding_alone(name, batch, size, dtype, seed):
    size = _size(name, size)
    images = torch.randn(batch, 2, *size, generator=seeded(seed), dtype=torch.float64).to(dtype)
    mix = _draw(name, images, seed)
    mixed = mix.apply(images)
    assert mixed.dtype == dtype and mix.weights.dtype == torch.float32
    off = (mixed.double() - mix.apply(images.double())).abs()
    assert bool((off <= (_rounding(mix, images, name) if _blends(mix) else 0)).all())


@hard_mixers
@given(batch=batches, size=image_sizes, dtype=st.sampled_from(INTEGERS), seed=seeds)
def test_hard_mixers_take_images_of_any_dtype(name, batch, size, dtype, seed):
    images = random_images((batch, 3, *_size(name, size)), dtype, seeded(seed))
    mix = _draw(name, images, seed)
    mixed = mix.apply(images)
    assert mixed.dtype == dtype
    assert torch.equal(mixed, mix.apply(images.double()).to(dtype))


@pytest.mark.parametrize("name", ["mixup", "mixup-permutation", "dmixup", "smote", "per-sample-mixup", "average"])
def test_linear_mixers_refuse_integer_images(name):
    images = torch.zeros(4, 3, 8, 8, dtype=torch.uint8)
    with pytest.raises(ValueError, match="expected floating-point images.*received torch.uint8"):
        ALL_MIXERS[name](num_classes=CLASSES)(images, torch.zeros(4, dtype=torch.int64))


@every_mixer
@pytest.mark.parametrize("size", [(12, 10), (72, 64)], ids=str)
def test_channels_last_is_kept(name, size):
    images = torch.randn(5, 3, *size, generator=seeded()).to(memory_format=torch.channels_last)
    for seed in range(4):
        mix = _draw(name, images, seed)
        mixed = mix.apply(images)
        assert mixed.is_contiguous(memory_format=torch.channels_last)
        assert torch.equal(mixed, mix.apply(images.contiguous()))


@every_mixer
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last], ids=str)
@pytest.mark.parametrize("size", [(12, 10), (72, 64)], ids=str)
def test_strides_are_kept(name, channels, memory_format, size):
    """Also those of one channel, which are channels first and last at once: a network takes its layout from them."""
    images = torch.randn(5, channels, *size, generator=seeded()).to(memory_format=memory_format)
    for seed in range(4):
        mix = _draw(name, images, seed)
        if channels == 1 and memory_format == torch.channels_last and name in HIDING and mix.k == 1:
            continue  # what is filled has the layout of its owner map where one channel leaves a choice
        assert mix.apply(images).stride() == images.stride()


@every_mixer
def test_what_mixers_draw_unchecked_passes_the_checks(name):
    for seed in range(4):
        for size in ((12, 10), (1, 9), (1, 1), (33, 20)):
            mix = _draw(name, torch.zeros(5, 1, *_size(name, size)), seed)
            assert same_mix(mix, Mix(mix.sources, mix.form, mix.weights, mix.fill))


@pytest.mark.parametrize("name", [name for name in ALL_MIXERS if name != "smote" and name not in [*SALIENT, *FEWEST]])
def test_a_mix_is_where_the_images_are(name):
    """Drawn with a CPU's generator; on the meta device nobody can look at values."""
    mix = ALL_MIXERS[name]().draw(torch.zeros(5, 3, 12, 10, device="meta"), generator=seeded())
    tensors = [value for value in (*vars(mix).values(), *vars(mix.form).values()) if isinstance(value, torch.Tensor)]
    assert {tensor.device.type for tensor in tensors} == {"meta"}


@every_mixer
@pytest.mark.parametrize("dtype", [torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64], ids=str)
def test_labels_of_every_integer_dtype_and_soft_labels(name, dtype):
    images, labels = torch.randn(5, 3, 8, 8, generator=seeded()), torch.tensor([3, 0, 0, 3, 1])
    mix = _draw(name, images, 1, labels.to(dtype))
    targets = mix.targets(labels.to(dtype), CLASSES)
    assert targets.dtype == torch.float32
    torch.testing.assert_close(targets.double(), targets_by_hand(mix, labels, CLASSES), rtol=0, atol=1e-6)
    for soft in (torch.float32, torch.bfloat16, torch.float64):
        same = mix.targets(torch.eye(CLASSES, dtype=soft)[labels])
        assert same.dtype == torch.float32
        torch.testing.assert_close(same, targets, rtol=0, atol=1e-6)


@every_callable
def test_a_mixer_is_a_callable_on_a_batch(name):
    images, labels = torch.randn(5, 3, 8, 8, generator=seeded()), torch.tensor([3, 0, 0, 3, 1])
    mixer, twin = (ALL_MIXERS[name](num_classes=CLASSES, seed=7) for _ in range(2))
    mixed, targets = mixer(images, labels)
    again, same = twin((images, labels))
    assert mixed.shape == images.shape and mixed.dtype == images.dtype and targets.shape == (5, CLASSES)
    assert same_bytes(mixed, again) and same_bytes(targets, same), "one seed gives one stream"
    torch.testing.assert_close(targets.sum(1), torch.ones(5))


@pytest.mark.parametrize("name", [name for name in ALL_MIXERS if "smote" not in name and name not in SALIENT])
def test_soft_labels_need_no_number_of_classes(name):
    images = torch.randn(5, 3, 8, 8, generator=seeded())
    targets = ALL_MIXERS[name]()(images, torch.rand(5, 6, generator=seeded()).softmax(1))[1]
    assert targets.shape == (5, 6)
    with pytest.raises(ValueError, match="expected num_classes"):
        ALL_MIXERS[name]()(images, torch.zeros(5, dtype=torch.int64))
    with pytest.raises(ValueError, match=r"labels of shape \(5, 3\) for 3 classes, received \(5, 6\)"):
        ALL_MIXERS[name](num_classes=3)(images, torch.rand(5, 6, generator=seeded()).softmax(1))


@pytest.mark.parametrize("name", [name for name in ALL_MIXERS if name not in FEWEST])
def test_a_batch_of_one_is_itself(name):
    image, label = torch.randn(1, 3, *_size(name, (9, 7)), generator=seeded()), torch.tensor([2])
    for seed in range(5):
        mix = _draw(name, image, seed, label)
        torch.testing.assert_close(mix.targets(label, 3), torch.eye(3)[label])
        if mix.k > 1 or name not in HIDING:
            torch.testing.assert_close(mix.apply(image), image, rtol=0, atol=0 if not _blends(mix) else 1e-6)


PARTNERED = {
    "mixup": (Mixup, 2),
    "dmixup": (lambda **o: DMixup(4, **o), 4),
    "cutmix": (CutMix, 2),
    "unclipped-cutmix": (UnclippedCutMix, 2),
    "dcutmix": (lambda **o: DCutMix(5, **o), 5),
    "pasted-cutmix": (lambda **o: PastedCutMix(3, **o), 3),
    "average": (Average, 2),
    "puzzlemix": (PuzzleMix, 2),
}
partnered = pytest.mark.parametrize("name", PARTNERED)
concentrated = pytest.mark.parametrize("name", [name for name in PARTNERED if name != "average"])


@partnered
@given(batch=st.integers(1, 9), seed=seeds)
def test_sources_of_a_row_are_distinct_unless_there_are_too_few(name, batch, seed):
    make, k = PARTNERED[name]
    images = torch.zeros(batch, 1, 6, 6)
    sources = make().draw(images, saliency=some_saliency(name, images), generator=seeded(seed)).sources
    assert torch.equal(sources[:, 0], torch.arange(batch))
    for row in sources.tolist():
        assert len(set(row)) == min(batch, k)


@partnered
def test_permutation_pairing_lets_an_image_meet_itself(name):
    make, k = PARTNERED[name]
    mixer, generator, images = make(pairing="permutation"), seeded(), torch.zeros(4, 1, 6, 6)
    saliency = some_saliency(name, images)
    drawn = torch.stack([mixer.draw(images, saliency=saliency, generator=generator).sources for _ in range(200)])
    assert drawn.shape == (200, 4, k)
    assert torch.equal(drawn.sort(1).values, torch.arange(4).view(1, 4, 1).expand(200, 4, k))
    assert bool((drawn[:, :, 1] == torch.arange(4)).any())


ALPHAS_ZERO = [
    Mixup(0),
    DMixup(4, 0.0),
    CutMix(0.0),
    UnclippedCutMix(0.0),
    DCutMix(5, 0),
    PastedCutMix(4, 0.0),
    PerSample(CutMix(0.0), 0.5),
    Sometimes(CutMix(1.0), 0.0),
    PerSample(CutMix(1.0), 0.0),
    PerSample(Mixup(1.0), 0.0),
    PuzzleMix(0.0),
    CoMixup(0.0),
    PerSample(CoMixup(1.0, sweeps=1), 0.0),
    PuzzleMix(0.0, eta=0.0, xi=0.0),
    PerSample(PuzzleMix(1.0, xi=0.0), 0.0),
]


@pytest.mark.parametrize("mixer", ALPHAS_ZERO, ids=repr)
@given(batch=batches, size=image_sizes, seed=seeds)
def test_alpha_zero_and_probability_zero_are_erm_exactly(mixer, batch, size, seed):
    size = tuple(2 * side for side in size)  # which Puzzle Mix can cut
    images, labels = torch.randn(batch, 3, *size, generator=seeded(seed)), _labels(batch, seed)
    saliency = torch.rand(batch, *size, generator=seeded(seed))
    mix = mixer.draw(images, labels, saliency=saliency, generator=seeded(seed))
    assert torch.equal(mix.apply(images), images)
    assert torch.equal(mix.targets(labels, CLASSES), torch.eye(CLASSES)[labels])


@every_mixer
def test_mixers_are_values(name):
    make = ALL_MIXERS[name]
    assert make() == make() and make(seed=1) != make()
    assert pickle.loads(pickle.dumps(make(seed=3))) == make(seed=3)


@pytest.mark.parametrize("size", [8, 32, 64, 224])
@pytest.mark.parametrize("name", mixers.MIXERS)
def test_images_and_masks_of_torchvision_stay_what_they_are_and_are_transformed_together(name, size):
    """The type of what comes out does not depend on the size of what goes in: small images take other paths."""
    plain = torch.rand(4, 3, size, size, generator=seeded())
    saliency = some_saliency(name, plain)
    given = tv_tensors.Image(plain)
    mix = mixers.from_config({"name": name}).draw(given, _labels(4), saliency=saliency, generator=seeded(1))
    parts = vars(mix) | vars(mix.form)
    assert {type(part) for part in parts.values() if isinstance(part, torch.Tensor)} == {torch.Tensor}
    assert type(mix.targets(_labels(4), CLASSES)) is torch.Tensor
    image = mix.apply(given)
    assert type(image) is tv_tensors.Image
    assert same_bytes(image.as_subclass(torch.Tensor), mix.apply(plain)) and type(mix.apply(plain)) is torch.Tensor
    classes = torch.randint(0, 5, (4, size, size), generator=seeded(2))
    blended = _blends(mix) or isinstance(mix.form, Soft)
    for each in (plain,) if blended else (plain, classes, classes.to(torch.uint8)):
        mask = mix.apply(tv_tensors.Mask(each))
        assert type(mask) is tv_tensors.Mask and mask.dtype == each.dtype
        assert same_bytes(mask.as_subclass(torch.Tensor), mix.apply(each))
        turned = v2.RandomHorizontalFlip(p=1)(image, mask)
        assert [type(part) for part in turned] == [tv_tensors.Image, tv_tensors.Mask]
        assert torch.equal(turned[0], image.flip(-1)) and torch.equal(turned[1], mask.flip(-1))


@pytest.mark.parametrize("size", [8, 32, 64, 224])
@pytest.mark.parametrize("name", [name for name in mixers.MIXERS if name not in SALIENT])
def test_a_called_mixer_keeps_the_type_of_the_images_and_makes_plain_targets(name, size):
    images = tv_tensors.Image(torch.rand(4, 3, size, size, generator=seeded()))
    mixed, targets = mixers.from_config({"name": name, "num_classes": CLASSES})(images, _labels(4))
    assert type(mixed) is tv_tensors.Image and type(targets) is torch.Tensor


@every_mixer
def test_an_empty_batch_is_an_error(name):
    with pytest.raises(ValueError, match=r"a batch \(B, \.\.\.\) with B >= 1, received shape \(0, 3, 8, 8\)"):
        _draw(name, torch.zeros(0, 3, 8, 8))
    with pytest.raises(ValueError, match=r"a batch \(B, \.\.\.\) with B >= 1, received shape \(8,\)"):
        _draw(name, torch.zeros(8))


REGIONAL = [
    "cutmix", "unclipped-cutmix", "dcutmix", "pasted-cutmix", "cutout", "gridmask", "puzzlemix", "comixup", "supermix",
]


@pytest.mark.parametrize("name", REGIONAL)
def test_regions_need_two_spatial_axes(name):
    for shape in ((4, 8), (4, 8, 8)):
        with pytest.raises(ValueError, match=r"expected images of shape \(B, C, H, W\), received \(4, 8"):
            _draw(name, torch.zeros(shape))


@pytest.mark.parametrize("name", REGIONAL)
@pytest.mark.parametrize("shape", [(4, 3, 0, 8), (4, 3, 8, 0)], ids=str)
def test_regions_need_pixels(name, shape):
    with pytest.raises(ValueError, match=r"images of at least one pixel, received \(4, 3, "):
        _draw(name, torch.zeros(shape))


@pytest.mark.parametrize("name", ["mixup", "dmixup", "smote", "identity", "per-sample-mixup", "average"])
def test_linear_mixers_take_vectors(name):
    features = torch.randn(6, 5, generator=seeded())
    mix = _draw(name, features)
    expected = torch.einsum("bk,bkf->bf", mix.shares, features[mix.sources])
    torch.testing.assert_close(mix.apply(features), expected)


def test_a_video_is_one_draw_for_all_its_frames():
    video = torch.randn(4, 3, 5, 12, 10, generator=seeded())
    mix = DCutMix(3).draw(video, generator=seeded())
    assert mix.form.size == (12, 10) and mix.apply(video).shape == video.shape


NAN, INF = float("nan"), float("inf")
BAD_ALPHAS = [-1, -1e-9, 1e-310, NAN, INF, "1", None, True, torch.tensor(1.0)]
BAD_KS = [0, -1, 2.0, "3", True, None, 255]


@concentrated
@pytest.mark.parametrize("alpha", BAD_ALPHAS, ids=repr)
def test_alpha_is_a_finite_number_of_at_least_zero(name, alpha):
    kind = type(PARTNERED[name][0]())
    with pytest.raises(ValueError, match="expected a finite concentration alpha >= 0, received"):
        kind(alpha=alpha)


@concentrated
def test_the_smallest_alpha_that_is_taken_can_be_drawn(name):
    images, mixer = torch.zeros(4, 1, 6, 6), type(PARTNERED[name][0]())(alpha=priors.SMALLEST)
    mix = mixer.draw(images, saliency=some_saliency(name, images), generator=seeded())
    torch.testing.assert_close(mix.weights.sum(1), torch.ones(4))


@pytest.mark.parametrize("kind", [DMixup, DCutMix, PastedCutMix])
@pytest.mark.parametrize("k", BAD_KS, ids=repr)
def test_k_is_an_integer_that_an_owner_map_can_hold(kind, k):
    with pytest.raises(ValueError, match=r"expected an integer number of sources k in 1\.\.254, received"):
        kind(k=k)


@pytest.mark.parametrize("k", [64, 254])
@pytest.mark.parametrize("kind", [DMixup, DCutMix, PastedCutMix])
def test_many_sources(kind, k):
    images = torch.eye(3)[:, :, None, None].expand(3, 3, 20, 30).contiguous()
    mix = kind(k, 1.0).draw(images, generator=seeded())
    torch.testing.assert_close(mix.shares.sum(1), torch.ones(3))
    torch.testing.assert_close(mix.apply(images).double().mean((2, 3)), share_of_rows(mix), rtol=0, atol=2e-6)


@pytest.mark.parametrize(
    "make, message",
    [
        *((lambda wrong=wrong: Mixup(pairing=wrong), r"a pairing of \['distinct', 'permutation'\], received")
          for wrong in ("random", None, ["distinct"], torch.ones(2))),
        *((lambda wrong=wrong: mixers.Cutout(wrong), rf"expected a side in whole pixels >= 1, .*received {wrong!r}$")
          for wrong in (0, -1, 2.5, 0.0, 1.0, 16.0, -0.5, INF)),
        (lambda: mixers.GridMask(1.0), r"expected a visible ratio in \(0, 1\), received 1.0"),
        (lambda: mixers.GridMask(0.5, (0.5, 0.4)), r"expected periods .* received \(0.5, 0.4\)"),
        (lambda: mixers.GridMask(0.5, (0.5, 1.4)), r"expected periods .* received \(0.5, 1.4\)"),
        *((lambda wrong=wrong: mixers.Cutout(wrong), r"a part of the image's shorter side in \(0, 1\), received")
          for wrong in ("4", None, True, NAN, [4], torch.tensor(4), torch.tensor(0.5))),
        *((lambda kind=kind, wrong=wrong: kind(fill=wrong), "expected a number or a tensor as fill, received")
          for kind in (mixers.Cutout, mixers.GridMask) for wrong in ("grey", None, True, [0.5], (0.1, 0.2), 1j)),
        *((lambda wrong=wrong: mixers.GridMask(wrong), r"expected a visible ratio in \(0, 1\), received")
          for wrong in ("x", "0.5", None, True, NAN, 0, [0.5], torch.tensor(0.5))),
        *((lambda wrong=wrong: mixers.GridMask(0.5, wrong), "expected periods 0 < low <= high <= 1, received")
          for wrong in (0.4, (0.2,), (0.2, 0.3, 0.4), (), None, True, "ab", ("0.2", "0.4"), (0.2, None), (NAN, 0.4),
                        (0.2, NAN), (0.2, True), (0.0, 0.4), [[0.2, 0.4]], {0.2, 0.4}, torch.ones(1, 2))),
        *((lambda wrong=wrong: mixers.SMOTE(wrong), "expected an integer number of neighbours >= 1, received")
          for wrong in ("5", None, True, NAN, [5])),
        *((lambda wrong=wrong: mixers.Sometimes(CutMix(), wrong), r"a probability in \[0, 1\], received")
          for wrong in (True, NAN, [0.5], torch.tensor(0.5))),
        *((lambda wrong=wrong: mixers.OneOf(wrong), "expected a sequence of mixers, received")
          for wrong in (None, 0.5, "cutmix", [None], {CutMix()}, [CutMix])),
        *((lambda wrong=wrong: mixers.OneOf([CutMix()], wrong), "expected 1 probabilities that sum to 1, received")
          for wrong in (1.0, "1", "", True, NAN, [None], ["1"], [True], [INF], [[1.0]], {1.0}, torch.tensor(1.0))),
        *((lambda wrong=wrong: Average(wrong), r"expected a local_lambda of 'random' or in \[0, 1\], received")
          for wrong in (-0.1, 1.1, NAN, "half", None, True, torch.ones(2), torch.tensor(0.5))),
        (lambda: mixers.SMOTE(0), "expected .*neighbours.* received 0"),
        (lambda: mixers.SMOTE(1.5), "expected .*neighbours.* received 1.5"),
        (lambda: mixers.Sometimes(CutMix(), 1.5), r"expected a probability in \[0, 1\], received 1.5"),
        (lambda: mixers.PerSample(CutMix(), float("nan")), r"a probability in \[0, 1\], received nan"),
        (lambda: mixers.Sometimes(CutMix(), "0.5"), r"a probability in \[0, 1\], received '0.5'"),
        (lambda: mixers.PerSample(CutMix(), None), r"a probability in \[0, 1\], received None"),
        (lambda: mixers.Sometimes("cutmix", 0.5), "expected a mixer, received 'cutmix'"),
        (lambda: mixers.PerSample(CutMix, 0.5), "expected a mixer, received <class .*CutMix'>"),
        (lambda: mixers.Sometimes(0.5, CutMix()), "expected a mixer, received 0.5"),
        (lambda: mixers.ManifoldMixup("mixup", ("",)), "expected a mixer, received 'mixup'"),
        (lambda: mixers.OneOf([CutMix(), "mixup"]), r"expected a sequence of mixers, received \[.*'mixup'\]"),
        (lambda: mixers.OneOf(CutMix()), "expected a sequence of mixers, received CutMix"),
        (lambda: mixers.OneOf([]), "expected some probabilities that sum to 1"),
        (lambda: mixers.OneOf([CutMix()], [0.5, 0.5]), r"1 probabilities that sum .* received \[0.5, 0.5\]"),
        (lambda: mixers.OneOf([CutMix()], [0.5]), r"1 probabilities that sum to 1, received \[0.5\]"),
        (lambda: mixers.OneOf([CutMix(), Mixup()], []), r"2 probabilities that sum to 1, received \[\]"),
        (lambda: mixers.OneOf([CutMix(), Mixup()], [1.5, -0.5]), r"2 probabilities .* received \[1.5, -0.5\]"),
        (lambda: mixers.OneOf([CutMix(), Mixup()], [0.5, float("nan")]), r"2 probabilities .* received \[0.5, nan\]"),
        (lambda: mixers.from_config({"name": "cutmixx"}), r"expected a mixer of \[.*received 'cutmixx'"),
        (lambda: mixers.from_config({"name": "cutmix", "beta": 1}), r"options of cutmix among .*received \['beta'\]"),
    ],
)
def test_wrong_settings_are_named_when_a_mixer_is_made(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@every_mixer
@pytest.mark.parametrize("seed", [1.5, 1.0, True, "a", None, NAN, [1]], ids=repr)
def test_a_seed_is_an_integer(name, seed):
    with pytest.raises(ValueError, match="expected an integer seed, received") as error:
        ALL_MIXERS[name](seed=seed)
    assert str(error.value).endswith(repr(seed))


@every_mixer
def test_a_number_of_classes_is_a_positive_integer(name):
    for count in (3.5, 3.0, 0, -3, True, "3"):
        with pytest.raises(ValueError, match=f"expected an integer num_classes >= 1, received {count!r}"):
            ALL_MIXERS[name](num_classes=count)


def test_a_mixer_takes_images_and_labels_and_nothing_that_may_have_to_be_mixed():
    images, labels = torch.zeros(2, 3, 8, 8), torch.zeros(2, dtype=torch.int64)
    for batch in ((images,), ((images, None),)):
        with pytest.raises(ValueError, match="expected images and labels, .* received"):
            CutMix(num_classes=2)(*batch)
    with pytest.raises(ValueError, match="expected beside images .* received a plain tensor"):
        CutMix(num_classes=2)((images, labels, images.clone()))


@pytest.mark.parametrize("name", [name for name in ALL_MIXERS if name not in FEWEST])
def test_a_mixer_is_plain_data_and_back(name):
    """A teacher needs a file for that; test_supermix has one."""
    mixer = ALL_MIXERS[name](num_classes=CLASSES, seed=3)
    config = json.loads(json.dumps(mixers.to_config(mixer)))
    again = mixers.from_config(config)
    assert again == mixer and hash(again) == hash(mixer) and repr(again) == repr(mixer)
    images, labels = torch.rand(5, 2, 8, 8, generator=seeded()), _labels(5)
    saliency = some_saliency(name, images)
    assert same_mix(*(each.draw(images, labels, saliency=saliency, generator=seeded(4)) for each in (mixer, again)))


def test_defaults_are_left_out_and_tensors_come_back():
    assert mixers.to_config(mixers.CutMix()) == {"name": "cutmix"}
    assert mixers.to_config(mixers.Cutout()) == mixers.to_config(mixers.Cutout(0.5)) == {"name": "cutout"}
    for side in (8, 0.25):
        config = {"name": "cutout", "side": side}
        assert mixers.from_config(config) == mixers.Cutout(side) and mixers.to_config(mixers.Cutout(side)) == config
    grey = mixers.Cutout(4, fill=torch.tensor([0.25, 0.5, 1.0]).view(3, 1, 1))
    assert mixers.from_config(json.loads(json.dumps(mixers.to_config(grey)))) == grey


def test_a_mixer_without_a_name_has_no_plain_form():
    class Mine(mixers.CutMix):
        pass

    with pytest.raises(ValueError, match="expected a mixer of .*'cutmix'.*received .*Mine"):
        mixers.to_config(Mine())


@every_mixer
def test_saliency_goes_through_every_mixer_and_must_fit(name):
    images, labels, mixer = torch.rand(5, 2, 8, 6, generator=seeded()), _labels(5), ALL_MIXERS[name]()
    if name in SALIENT:
        maps = torch.ones(5, 8, 6), some_saliency(name, images)
        assert not same_mix(*(mixer.draw(images, labels, saliency=each, generator=seeded(4)) for each in maps))
    else:
        plain = mixer.draw(images, labels, generator=seeded(4))
        assert same_mix(plain, mixer.draw(images, labels, saliency=torch.ones(5, 8, 6), generator=seeded(4)))
    with pytest.raises(ValueError, match=r"saliency of shape \(5, 8, 6\) .* received \(5, 6, 8\)"):
        mixer.draw(images, labels, saliency=torch.ones(5, 6, 8))


@dataclass(frozen=True)
class Watching(mixers.Mixup):
    """Mixup that notes the saliency it is told."""

    told: list = field(default_factory=list, hash=False)

    def _draw(self, images, labels, saliency, generator):
        self.told.append(saliency)
        return super()._draw(images, labels, saliency, generator)


every_wrapper = pytest.mark.parametrize("wrap", [
    lambda mixer: mixers.Sometimes(mixer, 1.0), lambda mixer: mixers.PerSample(mixer, 0.5),
    lambda mixer: mixers.OneOf([mixer]), mixers.Relabelled, SharesInBoxes, ShuffledMasks,
    lambda mixer: DistinctPredictions(mixer, TEACHER),
    lambda mixer: mixers.Sometimes(mixers.OneOf([mixers.PerSample(mixer, 1.0)]), 1.0),
])


@every_wrapper
def test_wrappers_hand_the_saliency_on(wrap):
    inner, saliency = Watching(), torch.rand(4, 8, 8, generator=seeded())
    wrap(inner).draw(torch.zeros(4, 3, 8, 8), saliency=saliency, generator=seeded())
    assert len(inner.told) == 1 and inner.told[0] is saliency


@every_mixer
def test_a_mixer_says_whether_it_needs_a_saliency_and_then_refuses_to_do_without(name):
    """A batch alone, or a collate function, has none: what is said is where there is one."""
    images, labels, mixer = torch.zeros(5, 3, 8, 8), _labels(5), ALL_MIXERS[name](num_classes=CLASSES)
    assert mixer.needs_saliency == (name in SALIENT)
    if mixer.needs_saliency:
        samples, message = list(zip(images, labels)), r"expected a saliency.*none.*SaliencyRisk\(.*saliency=.*collate"
        for call in (lambda: mixer.draw(images), lambda: mixer(images, labels), lambda: mixer.collate(samples)):
            with pytest.raises(ValueError, match=message):
                call()


@every_wrapper
def test_wrappers_need_a_saliency_where_their_mixers_do(wrap):
    assert not wrap(mixers.Mixup()).needs_saliency
    for mixer in (mixers.PuzzleMix(), mixers.CoMixup()):
        assert wrap(mixer).needs_saliency
        with pytest.raises(ValueError, match="expected a saliency"):
            wrap(mixer).draw(torch.zeros(4, 3, 8, 8), generator=seeded())
    assert mixers.OneOf([mixers.Mixup(), mixers.PuzzleMix()]).needs_saliency
    replaced = {by: ReplacedSaliency(mixers.PuzzleMix(), by).needs_saliency for by in ("another", "smooth", "uniform")}
    assert replaced == {"another": True, "smooth": False, "uniform": False}


@pytest.mark.parametrize("name", mixers.MIXERS)
def test_every_registered_mixer_is_built_by_name_and_draws(name):
    images, saliency = torch.zeros(4, 3, 8, 8), torch.rand(4, 8, 8, generator=seeded())
    mix = mixers.from_config({"name": name}).draw(images, _labels(4), saliency=saliency, generator=seeded())
    assert len(mix) == 4

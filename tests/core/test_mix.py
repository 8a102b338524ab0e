"""The record: apply and targets against their definition, for every form, dtype and layout."""

import copy
import pickle
import warnings
from dataclasses import replace

import pytest
import torch
import torch.autograd.forward_ad as forward
from hypothesis import given
from hypothesis import strategies as st
from oracle import (
    blend_by_hand,
    owners_by_hand,
    paste_by_hand,
    random_boxes,
    random_images,
    random_nested_boxes,
    same_bytes,
    same_mix,
    seeded,
    targets_by_hand,
    unchanged_global_rng,
)
from torchvision import tv_tensors

from mixlab import Mix
from mixlab.masks import Constant, NestedBoxes, Owners, PastedBoxes, Soft, Transported, _places

FLOATS = [torch.float64, torch.float32, torch.bfloat16, torch.float16]
DTYPES = [*FLOATS, torch.uint8, torch.int16, torch.int64, torch.bool]
#: Rounding of a sum of a few terms of order one.
TOLERANCE = {torch.float64: 1e-6, torch.float32: 2e-6, torch.float16: 8e-3, torch.bfloat16: 6e-2}


def _sources(batch, k, seed=0, anchored=True):
    sources = torch.randint(0, batch, (batch, k), generator=seeded(seed))
    if anchored:
        sources[:, 0] = torch.arange(batch)
    return sources


def _shares(batch, k, seed=0):
    return torch.rand(batch, k, generator=seeded(seed)).softmax(1)


def _mix(form, batch=3, k=3, size=(5, 7), seed=0, anchored=True, fill=0.0, boxes=None):
    """A mix of one kind with everything else random; ``boxes`` beyond k - 1 leave pixels to nobody."""
    generator, boxes = seeded(seed), k - 1 if boxes is None else boxes
    forms = {
        "constant": lambda: Constant(_shares(batch, k, seed)),
        "nested": lambda: NestedBoxes(random_nested_boxes(batch, boxes, size, generator), size),
        "pasted": lambda: PastedBoxes(random_boxes(batch, boxes, size, generator), size),
        "owners": lambda: Owners(torch.randint(0, boxes + 1, (batch, *size), generator=generator).byte()),
        "soft": lambda: Soft(torch.rand(batch, k, *size, generator=generator) / k, size),
        "transported": lambda: Transported(
            torch.rand(batch, k, *size, generator=generator) / k, size,
            plans=torch.rand(batch, k, size[0] * size[1], generator=generator).argsort(2),
        ),
    }
    return Mix(_sources(batch, k, seed, anchored), forms[form](), fill=fill)


FORMS = ["constant", "nested", "pasted", "owners", "soft", "transported"]
HARD = ["nested", "pasted", "owners"]


@given(
    st.sampled_from(HARD),
    st.integers(1, 4),
    st.integers(1, 4),
    st.tuples(st.integers(1, 8), st.integers(1, 8)),
    st.sampled_from(DTYPES),
    st.booleans(),
    st.integers(0, 1),
    st.integers(0, 999),
)
def test_hard_masks_show_every_pixel_of_its_owner(form, batch, k, size, dtype, anchored, beyond, seed):
    mix = _mix(form, batch, k, size, seed, anchored, fill=1, boxes=k - 1 + beyond)
    images = random_images((batch, 2, *size), dtype, seeded(seed))
    before = images.clone()
    owners = mix.owners if form == "owners" else owners_by_hand(mix.form.boxes, size)
    assert same_bytes(mix.apply(images), paste_by_hand(images, mix.sources, owners, fill=1))
    assert same_bytes(images, before)
    assert same_bytes(mix.apply(images), mix.apply(images))


@given(
    st.sampled_from(["constant", "soft"]),
    st.integers(1, 4),
    st.integers(1, 5),
    st.sampled_from(FLOATS),
    st.booleans(),
    st.integers(0, 999),
)
def test_blends_are_weighted_sums_at_every_pixel(form, batch, k, dtype, anchored, seed):
    mix = _mix(form, batch, k, (4, 3), seed, anchored, fill=0.5)
    images = random_images((batch, 2, 4, 3), dtype, seeded(seed))
    before, mixed = images.clone(), mix.apply(images)
    assert mixed.dtype == dtype
    expected = blend_by_hand(images, mix.sources, mix.masks((4, 3)), fill=0.5)
    torch.testing.assert_close(mixed.double(), expected, rtol=0, atol=TOLERANCE[dtype] * 4)
    assert same_bytes(images, before) and same_bytes(mixed, mix.apply(images))


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize("k", [2, 3, 5, 9])
def test_blends_are_rounded_once_and_coefficients_of_two_images_once(dtype, k):
    """Half a unit in the last place of the result; and for two images, what half a unit of their coefficient moves."""
    shares = (_shares(64, k) * 1024).round() / 1024  # so few digits that float32 sums them to 1 exactly
    shares[:, 0] = 1 - shares[:, 1:].sum(1)
    mix = Mix(_sources(64, k), Constant(shares))
    images = torch.randn(64, 50, generator=seeded()).to(dtype)
    terms = mix.shares.double()[:, :, None] * images.double()[mix.sources]
    exact, apart = terms.sum(1), images.double()[mix.sources].diff(dim=1)[:, 0].abs()
    unit, wide = torch.finfo(dtype).eps, torch.finfo(torch.promote_types(dtype, torch.float32)).eps
    allowed = exact.abs() * unit / 2 + terms.abs().sum(1) * 2 * k * wide + torch.finfo(dtype).tiny
    allowed += apart * unit / 4 if k == 2 else 0
    assert bool(((mix.apply(images).double() - exact).abs() <= allowed).all())


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("k", [1, 2, 3, 5])
@pytest.mark.parametrize("size", [(8, 9), (70, 60), (224, 200)], ids=str)
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last], ids=str)
def test_copying_boxes_gathering_pixels_and_dense_masks_agree(dtype, k, size, memory_format):
    """Small, large and very large images take different paths; a written-out owner map always takes the look-up."""
    boxes = random_boxes(3, k - 1, size, seeded(k))
    sources = _sources(3, k, seed=k, anchored=k % 2 == 0)
    pasted = Mix(sources, PastedBoxes(boxes, size))
    written = Mix(sources, Owners(pasted.owners))
    images = random_images((3, 3, *size), dtype, seeded(1)).to(memory_format=memory_format)
    mixed = pasted.apply(images)
    assert same_bytes(mixed, written.apply(images))
    dense = torch.zeros_like(images)
    for slot, mask in enumerate(pasted.masks().unbind(1)):
        dense = torch.where(mask[:, None] == 1, images[sources[:, slot]], dense)
    assert same_bytes(mixed, dense)
    assert mixed.is_contiguous(memory_format=memory_format)


class Lit(torch.Tensor):
    """A subclass of somebody's own."""


class Heat(tv_tensors.TVTensor):
    """A kind of torchvision's that torchvision does not know, as its documentation shows how to write one."""


SUBCLASSES = {
    tv_tensors.Image: tv_tensors.Image, tv_tensors.Mask: tv_tensors.Mask, tv_tensors.Video: tv_tensors.Video,
    Heat: Heat, Lit: Lit, torch.nn.Parameter: torch.Tensor, torch.nn.Buffer: torch.Tensor,
}
every_form = pytest.mark.parametrize("form", ["constant", "nested", "pasted", "owners", "soft", "transported"])
any_size = pytest.mark.parametrize("size", [(4, 6), (32, 32), (70, 60), (224, 200)], ids=str)


def _as(kind, tensor):
    return tensor.as_subclass(kind) if kind in (Lit, Heat) else kind(tensor)


@every_form
@pytest.mark.parametrize("k", [1, 2, 3])
@any_size
@pytest.mark.parametrize("kind", SUBCLASSES, ids=lambda kind: kind.__name__)
def test_the_type_of_what_comes_out_does_not_depend_on_the_size_of_what_goes_in(form, k, size, kind):
    """Neither on masks, fill, layout, or whether gradients are followed."""
    shape = (3, 2, 3, *size) if kind is tv_tensors.Video else (3, 3, *size)
    plain = torch.rand(shape, generator=seeded())
    layout = torch.contiguous_format if plain.ndim == 5 else torch.channels_last
    for anchored, boxes in ((True, k - 1), (False, k - 1), (True, k)):
        mix = _mix(form, k=k, size=size, anchored=anchored, boxes=boxes, fill=0.5)
        for images in (plain, plain.to(memory_format=layout)):
            expected = mix.apply(images)
            assert type(expected) is torch.Tensor
            followed = mix.apply(_as(kind, images).requires_grad_())
            assert followed.requires_grad
            with torch.no_grad():
                fast = mix.apply(_as(kind, images))
            for mixed in (fast, followed.detach()):
                assert type(mixed) is SUBCLASSES[kind] and mixed.stride() == expected.stride()
                torch.testing.assert_close(mixed.as_subclass(torch.Tensor), expected, rtol=0, atol=1e-6)


@every_form
@any_size
def test_one_who_asks_torchvision_for_its_own_types_gets_them(form, size):
    images, mix = tv_tensors.Image(torch.rand(3, 3, *size, generator=seeded())), _mix(form, size=size)
    with tv_tensors.set_return_type("TVTensor"):
        assert type(mix.apply(images)) is tv_tensors.Image
    assert torch.equal(mix.apply(images), mix.apply(images.as_subclass(torch.Tensor)))


@every_form
@pytest.mark.parametrize("size", [(4, 6), (70, 60)], ids=str)
@pytest.mark.parametrize("kind", SUBCLASSES, ids=lambda kind: kind.__name__)
def test_gradients_reach_a_subclass_of_tensors(form, size, kind):
    mix, plain = _mix(form, size=size), torch.rand(3, 3, *size, generator=seeded()).requires_grad_()
    weight = torch.rand(3, 3, *size, generator=seeded(1))
    (mix.apply(plain) * weight).sum().backward()
    own = _as(kind, plain.detach()).requires_grad_()
    (mix.apply(own) * weight).sum().backward()
    torch.testing.assert_close(own.grad.as_subclass(torch.Tensor), plain.grad)


@pytest.mark.parametrize("form", ["constant", "nested", "soft"])
def test_the_noise_of_a_mix_leaves_the_type_alone(form):
    images = tv_tensors.Image(torch.rand(3, 2, 5, 7, generator=seeded()))
    mix = replace(_mix(form), noise=torch.ones(3, 2, 5, 7))
    mixed = mix.apply(images, noise=True)
    assert type(mixed) is tv_tensors.Image and torch.equal(mixed, mix.apply(images) + 1)


@every_form
def test_coordinates_are_no_images(form):
    """Boxes of (B, 4) would pass for features, and a blend of corners is the corner of nothing."""
    mix, canvas = _mix(form), {"format": "XYXY", "canvas_size": (5, 7)}
    boxes = tv_tensors.BoundingBoxes(torch.zeros(3, 4), **canvas)
    points = tv_tensors.KeyPoints(torch.zeros(3, 2), canvas_size=(5, 7))
    for coordinates, name in ((boxes, "BoundingBoxes"), (points, "KeyPoints")):
        with pytest.raises(ValueError, match=f"expected images, .*received {name}: .*masks cannot mix"):
            mix.apply(coordinates)


@pytest.mark.parametrize("form", ["constant", "nested", "soft"])
@pytest.mark.parametrize("kind", [torch.nn.Parameter, Lit], ids=lambda kind: kind.__name__)
def test_subclasses_are_compiled_as_one_graph(form, kind, compiler):
    mix = _mix(form, size=(70, 64))
    images = _as(kind, torch.rand(3, 3, 70, 64, generator=seeded()))
    expected = mix.apply(images)
    mixed = compiler(mix.apply)(images)
    assert type(mixed) is type(expected) is SUBCLASSES[kind]
    torch.testing.assert_close(mixed, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("dtype", [dtype for dtype in DTYPES if dtype != torch.bool], ids=str)
@pytest.mark.parametrize("k", [2, 3])
@pytest.mark.parametrize("size", [(8, 9), (70, 60)], ids=str)
def test_every_value_is_kept_and_none_leaks(dtype, k, size):
    """Not a number, infinities, both zeros, the ends of the dtype: whatever an image shows, its pixels keep."""
    limits = torch.finfo(dtype) if dtype.is_floating_point else torch.iinfo(dtype)
    odd = [float("nan"), float("inf"), -float("inf"), -0.0, limits.tiny] if dtype.is_floating_point else [1]
    values = torch.tensor([0, limits.min, limits.max, *odd], dtype=dtype)
    images = values[torch.randint(0, len(values), (3, 3, *size), generator=seeded(k))]
    nested = NestedBoxes(random_nested_boxes(3, k - 1, size, seeded(k)), size)
    mix = Mix(_sources(3, k), nested)
    expected = paste_by_hand(images, mix.sources, owners_by_hand(nested.boxes, size), fill=0)
    written = Mix(mix.sources, Owners(nested.owners(k)))
    for mixed in (mix.apply(images), written.apply(images)):
        assert torch.equal(mixed.isnan(), expected.isnan())
        # There are many bit patterns for "not a number", and torch.where changes one to another in bfloat16.
        assert same_bytes(mixed.masked_fill(mixed.isnan(), 1), expected.masked_fill(expected.isnan(), 1))


def test_every_element_of_a_very_large_batch_has_a_place():
    for count, smallest in ((2**31 - 1, torch.int32), (2**31, torch.int32), (2**31 + 1, torch.int64)):
        images = torch.empty(count, dtype=torch.uint8, device="meta")  # no memory of that size is needed to ask
        assert _places(images) == smallest
        assert count - 1 <= torch.iinfo(smallest).max


def test_two_threads_copy_what_one_copies():
    size = (224, 200)
    mix = Mix(_sources(40, 4), NestedBoxes(random_nested_boxes(40, 3, size, seeded()), size))
    images = torch.rand(40, 3, *size, generator=seeded())
    one, threads = mix.apply(images), torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        two = mix.apply(images)
    finally:
        torch.set_num_threads(threads)
    assert same_bytes(one, two) and same_bytes(one, Mix(mix.sources, Owners(mix.owners)).apply(images))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("size", [(6, 5), (70, 64)], ids=str)
@pytest.mark.parametrize("k", [1, 2, 3])
@pytest.mark.parametrize("fill", ["number", "picture"])
def test_memory_format_is_kept(form, size, k, fill):
    fill = 0.3 if fill == "number" else torch.randn(3, 3, *size, generator=seeded(1))
    mix = _mix(form, batch=3, k=k, size=size, fill=fill, boxes=k)
    images = torch.randn(3, 3, *size, generator=seeded())
    for memory_format in (torch.contiguous_format, torch.channels_last):
        mixed = mix.apply(images.to(memory_format=memory_format))
        assert mixed.is_contiguous(memory_format=memory_format)
        torch.testing.assert_close(mixed, mix.apply(images), rtol=0, atol=0)


LAYOUTS = {
    "video": torch.randn(3, 2, 4, 6, 5, generator=seeded()).to(memory_format=torch.channels_last_3d),
    "transposed": torch.randn(3, 2, 5, 6, generator=seeded()).mT,
    "one channel": torch.randn(3, 6, 5, 1, generator=seeded()).permute(0, 3, 1, 2),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("k", [1, 2, 3])
@pytest.mark.parametrize("anchored", [True, False])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_dense_layout_is_kept(form, k, anchored, layout):
    """Channels last in space and time, rows and columns exchanged, one channel, which is channels first and last."""
    mix, images = _mix(form, batch=3, k=k, size=(6, 5), anchored=anchored), LAYOUTS[layout]
    mixed = mix.apply(images)
    # Maps of owners have rows before columns, and one channel before them: what they fill has, too.
    assert mixed.stride() == images.stride() or (layout != "video" and form == "owners")
    torch.testing.assert_close(mixed, mix.apply(images.contiguous()), rtol=0, atol=0)


@pytest.mark.parametrize("form", [form for form in FORMS if form != "transported"])
@pytest.mark.parametrize("size", [(6, 5), (70, 64)], ids=str)
def test_rows_that_are_alone_are_copied_once(form, size):
    """The rows of other images are new memory already, and pixels for nobody are filled while they are copied."""
    images, boxes = torch.randn(3, 2, *size, generator=seeded()), 1 if form == "owners" else 0
    for anchored in (True, False):
        mix = _mix(form, k=1, size=size, anchored=anchored, boxes=boxes)
        with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as record:
            mix.apply(images)
        clones = sum(event.name == "aten::clone" for event in record.events())
        assert clones == (anchored and form in ("constant", "nested", "pasted"))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("size", [(6, 5), (70, 64), (230, 200)], ids=str)
def test_views_are_read_and_never_written(form, size):
    mix = _mix(form, batch=4, k=3, size=size)
    large = torch.randn(4, 5, size[0] + 2, size[1] * 2, generator=seeded())
    views = {
        "expanded rows": large[:1, :3, : size[0], : size[1]].expand(4, -1, -1, -1),
        "expanded channels": large[:, :1, : size[0], : size[1]].expand(-1, 3, -1, -1),
        "strided": large[:, 1:4, 2:, ::2],
        "transposed": torch.randn(4, 3, size[1], size[0], generator=seeded()).mT,
        "later rows": torch.randn(6, 3, *size, generator=seeded())[2:],
        "rows innermost": torch.randn(3, *size, 4, generator=seeded()).permute(3, 0, 1, 2),
        "flipped batch": large[:, :3, : size[0], : size[1]].flip(0)[1:].repeat(2, 1, 1, 1)[:4],
    }
    for name, view in views.items():
        before = view.clone(memory_format=torch.contiguous_format)
        mixed = mix.apply(view)
        assert same_bytes(view, before), name
        torch.testing.assert_close(mixed, mix.apply(before), rtol=0, atol=0)
        mixed.add_(1)
        assert same_bytes(view, before), f"{name}: the result shares memory with the input"


@pytest.mark.parametrize("form", FORMS)
def test_the_result_is_new_memory_even_where_nothing_is_mixed(form):
    mix = _mix(form, k=1, boxes=0)
    images = torch.randn(3, 2, 5, 7, generator=seeded())
    before = images.clone()
    mix.apply(images).zero_()
    assert torch.equal(images, before)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("k", [1, 2, 3])
@pytest.mark.parametrize("size", [(3, 4), (70, 64)], ids=str)
def test_the_path_with_gradients_gives_the_same_values(form, k, size):
    mix = _mix(form, batch=3, k=k, size=size, fill=0.3, boxes=k)
    images = torch.randn(3, 2, *size, generator=seeded())
    with torch.no_grad():
        fast = mix.apply(images)
    slow = mix.apply(images.clone().requires_grad_())
    assert slow.requires_grad
    torch.testing.assert_close(slow.detach(), fast, rtol=0, atol=1e-7)
    with torch.no_grad():
        assert torch.equal(mix.apply(images.clone().requires_grad_()), fast)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("k", [1, 2, 3])
@pytest.mark.parametrize("size", [(3, 4), (70, 64)], ids=str)
@pytest.mark.parametrize("beyond", [0, 1])
def test_forward_derivatives_are_the_mix_of_the_tangents(form, k, size, beyond):
    """A mix is linear in the images, up to its fill: also on the paths that write in place and copy bare bits."""
    mix = _mix(form, batch=3, k=k, size=size, fill=0.3, boxes=k - 1 + beyond)
    images, tangents = torch.randn(2, 3, 2, *size, generator=seeded()).unbind()
    expected = mix.apply(tangents, fill=0.0)
    with forward.dual_level():
        dual = forward.unpack_dual(mix.apply(forward.make_dual(images, tangents)))
    mixed, derivative = torch.func.jvp(mix.apply, (images,), (tangents,))
    for value, found in ((dual.primal, dual.tangent), (mixed, derivative)):
        torch.testing.assert_close(value, mix.apply(images), rtol=0, atol=1e-6)
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("k", [2, 3])
def test_forward_derivatives_with_respect_to_shares(k):
    images = torch.randn(3, 2, 4, 5, generator=seeded(), dtype=torch.float64)
    sources, shares = _sources(3, k), _shares(3, k).double()
    tangents = torch.randn(3, k, generator=seeded(1), dtype=torch.float64)
    tangents = tangents - tangents.mean(1, keepdim=True)  # shares sum to 1, whichever way they go
    found = torch.func.jvp(lambda shares: Mix(sources, Constant(shares)).apply(images), (shares,), (tangents,))[1]
    torch.testing.assert_close(found, torch.einsum("bk,bkchw->bchw", tangents, images[sources]))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("k", [1, 2, 3])
@pytest.mark.parametrize("size", [(3, 4), (70, 64)], ids=str)
@pytest.mark.parametrize("beyond", [0, 1])
def test_many_batches_at_once(form, k, size, beyond):
    mix = _mix(form, batch=3, k=k, size=size, fill=0.3, boxes=k - 1 + beyond)
    batches = torch.randn(2, 3, 2, *size, generator=seeded())
    torch.testing.assert_close(
        torch.vmap(mix.apply)(batches), torch.stack([mix.apply(batch) for batch in batches]), rtol=0, atol=1e-6
    )


@pytest.fixture
def compiler():
    """Torch's, which turns off the checks of torch.distributions for the whole process, and with them other tests."""
    torch.compiler.reset()
    yield lambda function: torch.compile(function, backend="eager", fullgraph=True)
    torch.distributions.Distribution.set_default_validate_args(True)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("k", [2, 3])
@pytest.mark.parametrize("size", [(3, 4), (70, 64)], ids=str)
def test_a_mix_is_compiled_as_one_graph(form, k, size, compiler):
    mix, images = _mix(form, batch=3, k=k, size=size), torch.randn(3, 2, *size, generator=seeded())
    expected = mix.apply(images)
    torch.testing.assert_close(compiler(mix.apply)(images), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("k", [1, 2, 3])
def test_gradients_with_respect_to_images(form, k):
    mix = _mix(form, batch=3, k=k, size=(2, 3), fill=0.3, boxes=k)
    images = torch.randn(3, 1, 2, 3, generator=seeded(), dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(mix.apply, images)


def test_gradients_with_respect_to_masks_and_their_shares():
    images = torch.randn(2, 1, 4, 6, generator=seeded(), dtype=torch.float64)
    maps = torch.rand(2, 2, 2, 3, generator=seeded(), dtype=torch.float64, requires_grad=True)
    sources = torch.tensor([[0, 1], [1, 0]])
    for mode in ("nearest", "bilinear"):
        assert torch.autograd.gradcheck(lambda m, mode=mode: Mix(sources, Soft(m, (4, 6), mode)).apply(images), maps)
    shares = _shares(2, 2).double().requires_grad_()
    for k in (2, 3):
        slots = torch.cat([sources, sources[:, :1]], dim=1)[:, :k]
        wide = _shares(2, k).double().requires_grad_()
        assert torch.autograd.gradcheck(lambda c, slots=slots: Mix(slots, Constant(c)).apply(images), wide)
    targets = Mix(sources, Constant(shares)).targets(torch.tensor([0, 1]), 3)
    targets[0, 0].backward()
    assert shares.grad[0, 0] == 1 and shares.grad.sum() == 1


@given(st.integers(1, 6), st.integers(1, 5), st.integers(0, 999), st.booleans())
def test_targets_are_the_weights_summed_by_class(batch, k, seed, soft):
    mix = Mix(_sources(batch, k, seed, anchored=False), Constant(_shares(batch, k, seed)))
    if soft:
        labels, classes = torch.rand(batch, 4, generator=seeded(seed)).softmax(1), None
    else:
        labels, classes = torch.randint(0, 4, (batch,), generator=seeded(seed)), 4
    targets = mix.targets(labels, classes)
    assert targets.dtype == torch.float32 and targets.shape == (batch, 4)
    torch.testing.assert_close(targets.double(), targets_by_hand(mix, labels, classes), rtol=0, atol=1e-6)
    torch.testing.assert_close(targets.sum(1), torch.ones(batch))


INTEGERS = [torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64, torch.uint16, torch.uint32]


@pytest.mark.parametrize("dtype", INTEGERS, ids=str)
def test_labels_of_any_integer_dtype(dtype):
    mix = Mix(torch.tensor([[0, 1], [1, 0]]), Constant(torch.tensor([[0.25, 0.75], [1.0, 0.0]])))
    targets = mix.targets(torch.tensor([2, 0], dtype=dtype), 3)
    assert targets.tolist() == [[0.75, 0.0, 0.25], [1.0, 0.0, 0.0]]


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_soft_labels_of_any_floating_dtype_give_float32_targets(dtype):
    mix = Mix(torch.tensor([[0, 1], [1, 0]]), Constant(torch.tensor([[0.25, 0.75], [1.0, 0.0]])))
    targets = mix.targets(torch.tensor([[0.5, 0.5], [0.0, 1.0]], dtype=dtype))
    assert targets.dtype == torch.float32 and targets.tolist() == [[0.125, 0.875], [0.0, 1.0]]


def test_declared_weights_make_the_targets_and_masks_make_the_shares():
    form = NestedBoxes(torch.tensor([[[0, 0, 2, 2]]]), (4, 4))
    mix = Mix(torch.tensor([[0, 0]]), form, weights=torch.tensor([[0.5, 0.5]], dtype=torch.float64))
    assert mix.shares.tolist() == [[0.75, 0.25]] and mix.weights.tolist() == [[0.5, 0.5]]
    assert mix.weights.dtype == mix.shares.dtype == torch.float32


FILLS = {
    "number": 0.25,
    "one for each channel": torch.tensor([0.1, 0.2]).view(2, 1, 1),
    "noise": torch.randn(3, 2, 5, 7, generator=seeded(3)),
    "float64 noise": torch.randn(3, 2, 5, 7, generator=seeded(3), dtype=torch.float64),
}


@pytest.mark.parametrize("name", FILLS)
@pytest.mark.parametrize("form", HARD)
@pytest.mark.parametrize("k", [1, 2, 3])
def test_fill_is_shown_where_nobody_is(name, form, k):
    fill = FILLS[name]
    mix = _mix(form, k=k, boxes=k, fill=fill, seed=5)
    images = torch.randn(3, 2, 5, 7, generator=seeded(4))
    assert bool((mix.owners == k).any()), "the example leaves nothing to fill"
    assert same_bytes(mix.apply(images), paste_by_hand(images, mix.sources, mix.owners, fill))
    assert same_bytes(mix.apply(images, fill=2.0), paste_by_hand(images, mix.sources, mix.owners, 2.0))


@pytest.mark.parametrize("name", FILLS)
def test_fill_completes_soft_masks(name):
    mix = _mix("soft", fill=FILLS[name])
    images = torch.randn(3, 2, 5, 7, generator=seeded(4))
    expected = blend_by_hand(images, mix.sources, mix.masks(), FILLS[name])
    torch.testing.assert_close(mix.apply(images).double(), expected, rtol=0, atol=1e-5)


def test_a_fill_is_looked_at_only_where_it_is_shown():
    """Nothing is made of it, nor sent to a device, where every pixel has an owner."""
    images, unfit = torch.randn(3, 2, 5, 7, generator=seeded()), torch.ones(5, 1, 1)
    for form in ("constant", "nested", "pasted"):
        mix = _mix(form)
        assert same_bytes(mix.apply(images, fill=unfit), mix.apply(images))


@pytest.mark.parametrize("dtype", [torch.complex64, torch.complex128, torch.float8_e4m3fn, torch.float8_e5m2], ids=str)
@pytest.mark.parametrize("k", [1, 2, 3])
@pytest.mark.parametrize("size", [(8, 9), (70, 60), (224, 200)], ids=str)
@pytest.mark.parametrize("beyond", [0, 1])
def test_hard_masks_keep_the_bits_of_rare_dtypes(dtype, k, size, beyond):
    mix = _mix("nested", batch=3, k=k, size=size, boxes=k - 1 + beyond)
    images = torch.randn(3, 2, *size, generator=seeded()).to(dtype)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        mixed = mix.apply(images)
    assert mixed.dtype == dtype
    for part in (torch.real, torch.imag) if dtype.is_complex else (torch.Tensor.float,):
        assert torch.equal(part(mixed), mix.apply(part(images)))


@pytest.mark.parametrize("form", ["owners", "soft"])
def test_a_number_as_fill_is_as_exact_as_the_images(form):
    kinds = {"owners": Owners(torch.ones(1, 2, 2, dtype=torch.uint8)), "soft": Soft(torch.zeros(1, 1, 2, 2), (2, 2))}
    mix = Mix(torch.zeros(1, 1, dtype=torch.int64), kinds[form], fill=0.1)
    assert mix.apply(torch.ones(1, 1, 2, 2, dtype=torch.float64)).unique().tolist() == [0.1]


def test_large_images_with_fill():
    mix = _mix("pasted", k=2, size=(80, 70), boxes=2)
    images = torch.randn(3, 3, 80, 70, generator=seeded())
    assert same_bytes(mix.apply(images, fill=0.5), paste_by_hand(images, mix.sources, mix.owners, 0.5))


@pytest.mark.parametrize("form", HARD)
def test_segmentation_masks_and_second_views_follow_the_images(form):
    mix = _mix(form)
    names = torch.randint(0, 200, (3, 5, 7), generator=seeded(), dtype=torch.uint8)
    mixed = mix.apply(names[:, None].float())
    for other in (names, names[:, None], names[:, None].long(), names[:, None].expand(-1, 4, -1, -1)):
        shown = mix.apply(other)
        assert shown.dtype == other.dtype and shown.shape == other.shape
        assert torch.equal(shown.reshape(3, -1, 5, 7)[:, :1].float(), mixed)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("size", [(5, 7), (40, 36)], ids=str)
def test_video_is_mixed_frame_by_frame(form, size):
    mix = _mix(form, size=size)
    video = torch.randn(3, 2, 4, *size, generator=seeded())
    mixed = mix.apply(video)
    assert mixed.shape == video.shape
    for frame in range(4):
        torch.testing.assert_close(mixed[:, :, frame], mix.apply(video[:, :, frame]), rtol=0, atol=1e-6)


def test_constant_masks_mix_vectors():
    mix = _mix("constant", batch=4, k=3)
    features = torch.randn(4, 6, generator=seeded())
    expected = torch.einsum("bk,bkf->bf", mix.shares, features[mix.sources])
    torch.testing.assert_close(mix.apply(features), expected)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("size", [(5, 7), (10, 14), (3, 4), (1, 1)], ids=str)
def test_resized_mixes_say_what_they_show(form, size):
    if form == "transported" and size[0] < 5:
        with pytest.raises(ValueError, match=r"a grid of 5 x 7 blocks divides, received \((3, 4|1, 1)\)"):
            _mix(form).resize(size)
        return
    mix = _mix(form, batch=3, k=3)
    resized = mix.resize(size)
    assert torch.equal(resized.sources, mix.sources)
    torch.testing.assert_close(resized.shares, resized.masks(size).mean((2, 3)))
    assert torch.equal(resized.weights, resized.shares)
    images = torch.eye(3)[:, :, None, None].expand(3, 3, *size).contiguous()
    table = torch.zeros(3, 3).scatter_add_(1, mix.sources, resized.shares)
    torch.testing.assert_close(resized.apply(images).mean((2, 3)), table)


@pytest.mark.parametrize("form", [*HARD, "soft", "transported"])
@pytest.mark.parametrize("size", [(0, 3), (3, 0), (-1, 3)], ids=str)
def test_resizing_to_no_pixels_is_an_error(form, size):
    with pytest.raises(ValueError, match=rf"at least one pixel, received height and width \({size[0]}, {size[1]}\)"):
        _mix(form).resize(size)


def test_resizing_by_whole_factors_keeps_hard_shares_and_declared_weights():
    mix = _mix("nested", batch=3, k=3)
    assert torch.equal(mix.resize((10, 21)).shares, mix.shares)
    # The second differs from the shares in no first column, the third in one row alone.
    one_row = mix.shares.clone()
    one_row[2] = one_row[2, [2, 0, 1]]
    for weights in (torch.tensor([[1.0, 0.0, 0.0]] * 3), mix.shares[:, [0, 2, 1]], one_row):
        assert not torch.equal(weights, mix.shares), "the example declares nothing"
        declared = Mix(mix.sources, mix.form, weights=weights)
        assert torch.equal(declared.resize((2, 2)).weights, weights)


@pytest.mark.parametrize("form", FORMS)
def test_selected_rows_are_mixed_and_the_others_keep_every_finite_value(form):
    mix = _mix(form, batch=4, k=3, anchored=False, fill=7.0, boxes=3)
    chosen = torch.tensor([True, False, False, True])
    images, labels = torch.randn(4, 2, 5, 7, generator=seeded()), torch.tensor([3, 1, 2, 0])
    mixed = mix.select(chosen).apply(images)
    assert same_bytes(mixed[~chosen], images[~chosen])
    assert same_bytes(mixed[chosen], mix.apply(images)[chosen])
    targets = mix.select(chosen).targets(labels, 4)
    assert torch.equal(targets[~chosen], torch.eye(4)[labels[~chosen]])
    assert torch.equal(targets[chosen], mix.targets(labels, 4)[chosen])
    assert torch.equal(mix.select(chosen).sources[~chosen], torch.tensor([[1] * 3, [2] * 3]))


@pytest.mark.parametrize("form", FORMS)
def test_a_mix_survives_pickling_and_copying(form):
    mix = _mix(form, fill=torch.tensor([0.1, 0.2]).view(2, 1, 1), boxes=3)
    images = torch.randn(3, 2, 5, 7, generator=seeded())
    mixed = mix.apply(images)
    for twin in (pickle.loads(pickle.dumps(mix)), copy.deepcopy(mix), copy.copy(mix)):
        assert same_mix(mix, twin) and same_bytes(twin.apply(images), mixed)


@pytest.mark.parametrize("form", FORMS)
def test_moving_keeps_everything(form):
    mix = _mix(form, fill=torch.tensor([0.1, 0.2]).view(2, 1, 1))
    assert mix.to("cpu") is mix
    moved = mix.to("meta")
    assert moved.sources.device.type == moved.weights.device.type == moved.fill.device.type == "meta"
    assert (len(moved), moved.k, moved.form.size) == (len(mix), mix.k, mix.form.size)


@pytest.mark.gpu
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("k", [1, 2, 5])
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last], ids=str)
def test_a_mix_replays_on_another_device(form, k, memory_format):
    mix = _mix(form, batch=4, k=k, size=(24, 20), fill=torch.randn(2, 1, 1, generator=seeded()), boxes=k)
    images = torch.randn(4, 2, 24, 20, generator=seeded()).to(memory_format=memory_format)
    there = mix.to("cuda")
    mixed = there.apply(images.cuda())
    assert mixed.is_contiguous(memory_format=memory_format)
    tolerance = 0 if form in HARD else 1e-6
    torch.testing.assert_close(mixed.cpu(), mix.apply(images), rtol=0, atol=tolerance)
    torch.testing.assert_close(there.shares.cpu(), mix.shares, rtol=0, atol=tolerance)
    labels = torch.tensor([3, 1, 0, 1])
    torch.testing.assert_close(there.targets(labels.cuda(), 5).cpu(), mix.targets(labels, 5))


@pytest.mark.parametrize("form", FORMS)
def test_a_moved_mix_is_on_its_new_device_as_a_whole(form):
    mix = _mix(form, batch=4, k=3, size=(6, 5), fill=torch.zeros(2, 1, 1), boxes=2)
    moved = mix.to("meta")
    values = [*vars(moved).values(), *vars(moved.form).values()]
    tensors = [value for value in values if isinstance(value, torch.Tensor)]
    assert len(tensors) == (6 if form == "transported" else 5)  # plans beside the maps
    assert {tensor.device.type for tensor in tensors} == {"meta"}
    assert (len(moved), moved.k, moved.anchored) == (4, 3, mix.anchored)  # known without a look at what has no values
    assert type(moved.form) is type(mix.form) and mix.sources.device.type == "cpu" and mix.to("cpu") is mix


def test_identity():
    mix = Mix.identity(3)
    assert (len(mix), mix.k, mix.anchored) == (3, 1, True) and mix.weights.tolist() == [[1.0]] * 3
    for dtype in DTYPES:
        images = random_images((3, 2, 4, 5), dtype, seeded())
        assert same_bytes(mix.apply(images), images)
    assert torch.equal(mix.targets(torch.tensor([1, 0, 1]), 2), torch.tensor([[0.0, 1], [1, 0], [0, 1]]))


def test_anchored_tells_whether_slot_0_is_the_row():
    form = Constant(torch.full((2, 2), 0.5))
    assert Mix(torch.tensor([[0, 1], [1, 0]]), form).anchored
    assert not Mix(torch.tensor([[1, 0], [0, 1]]), form).anchored


def test_what_is_known_of_slot_0_is_handed_on():
    form = Constant(torch.full((2, 2), 0.5))
    own = Mix.trusted(torch.tensor([[0, 1], [1, 0]]), form, anchored=True)
    other = Mix.trusted(torch.tensor([[1, 0], [1, 0]]), form, anchored=False)
    first = torch.tensor([True, False])
    assert "anchored" in vars(own.resize((3, 3))) and own.resize((3, 3)).anchored
    assert "anchored" in vars(own.select(first)) and own.select(first).anchored
    assert not other.resize((3, 3)).anchored and not other.select(first).anchored
    assert other.select(~first).anchored  # row 1 is its own source, and so is row 0 now


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_shares_of_nested_boxes_do_not_depend_on_the_default_dtype(dtype):
    boxes, expected = torch.tensor([[[0, 0, 300, 301]]]), torch.tensor([[1 - 300 * 301 / 512**2, 300 * 301 / 512**2]])
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        seen = NestedBoxes(boxes, (512, 512)).shares(2)
        unseen = torch.vmap(lambda each: NestedBoxes(each, (512, 512)).shares(2))(boxes[None])[0]
    finally:
        torch.set_default_dtype(before)
    assert seen.dtype == unseen.dtype == torch.float32
    assert torch.equal(seen, unseen) and torch.equal(seen, expected)


@pytest.mark.parametrize("form", FORMS)
def test_applying_touches_no_random_state(form):
    mix = _mix(form)
    with unchanged_global_rng():
        mix.apply(torch.zeros(3, 2, 5, 7))
        mix.targets(torch.tensor([0, 1, 2]), 3)


def test_constant_masks_refuse_integer_images_with_both_dtypes_named():
    for form in ("constant", "soft", "transported"):
        for dtype in (torch.uint8, torch.int64, torch.bool):
            with pytest.raises(ValueError, match=f"expected floating-point images.*received {dtype}"):
                _mix(form).apply(torch.zeros(3, 2, 5, 7, dtype=dtype))


@pytest.mark.parametrize("form", FORMS)
def test_another_number_of_rows_is_an_error(form):
    with pytest.raises(ValueError, match=r"expected a batch of shape \(3, \.\.\.\), received \(4, 2, 5, 7\)"):
        _mix(form).apply(torch.zeros(4, 2, 5, 7))
    with pytest.raises(ValueError, match=r"expected labels of shape \(3,\) or \(3, C\), received \(2,\)"):
        _mix(form).targets(torch.zeros(2, dtype=torch.int64), 3)


@pytest.mark.parametrize("form", ["nested", "pasted", "owners", "soft", "transported"])
@pytest.mark.parametrize("shape", [(3, 2, 7, 5), (3, 2, 6, 7), (3, 70, 70), (3, 35), (3, 9, 60, 60)], ids=str)
def test_another_size_is_an_error(form, shape):
    with pytest.raises(ValueError, match=r"images of height and width \(5, 7\).*received shape \(3, "):
        _mix(form).apply(torch.zeros(shape))


@pytest.mark.parametrize("form", FORMS)
def test_images_elsewhere_are_an_error(form):
    with pytest.raises(ValueError, match="expected images on cpu, where the mix is, received meta"):
        _mix(form).apply(torch.zeros(3, 2, 5, 7, device="meta"))


@pytest.mark.parametrize("form", ["nested", "owners", "soft", "transported"])
@pytest.mark.parametrize("shape", [(5, 1, 1), (3, 2, 5, 6), (2, 3, 2, 5, 7)], ids=str)
def test_a_fill_that_does_not_broadcast_is_an_error(form, shape):
    mix = _mix(form, boxes=3)
    with pytest.raises(ValueError, match="a fill that broadcasts to images of shape .*, received shape"):
        mix.apply(torch.zeros(3, 2, 5, 7), fill=torch.ones(shape))


SLOTS = torch.zeros(3, 3, dtype=torch.int64)


def _boxes(*edges):
    """``(3, N, 4)``: the same boxes for three rows."""
    return torch.tensor(edges)[None].repeat(3, 1, 1)


WRONG_FORMS = {
    "an edge above the image": (PastedBoxes, _boxes([-1, 0, 2, 2]), "boxes .* within a height and width"),
    "an edge left of the image": (PastedBoxes, _boxes([0, -1, 2, 2]), "boxes .* within a height and width"),
    "an edge below the image": (PastedBoxes, _boxes([0, 0, 5, 2]), "boxes .* within a height and width"),
    "an edge right of the image": (NestedBoxes, _boxes([0, 0, 2, 8]), "boxes .* within a height and width"),
    "top below bottom": (NestedBoxes, _boxes([3, 0, 1, 4]), "top <= bottom"),
    "left beyond right": (PastedBoxes, _boxes([0, 4, 4, 3]), "left <= right"),
    "the second box outside": (PastedBoxes, _boxes([0, 0, 2, 2], [0, 0, 2, 9]), "boxes .* within a height"),
    "boxes side by side": (NestedBoxes, _boxes([0, 0, 2, 2], [2, 2, 4, 4]), "each box inside the one before it"),
    "a box that grows": (NestedBoxes, _boxes([1, 1, 2, 2], [1, 1, 2, 3]), "each box inside the one before it"),
    "a box that grows upwards": (NestedBoxes, _boxes([1, 1, 3, 3], [0, 1, 3, 3]), "each box inside the one before it"),
}


@pytest.mark.parametrize("name", WRONG_FORMS)
def test_boxes_that_would_make_labels_lie_are_an_error(name):
    kind, boxes, message = WRONG_FORMS[name]
    sources, right = SLOTS[:, : boxes.shape[1] + 1], torch.zeros_like(boxes)
    Mix(sources, kind(right, (4, 7)))
    for wrong in range(3):  # one row of three is enough
        rows = torch.where((torch.arange(3) == wrong).view(3, 1, 1), boxes, right)
        with pytest.raises(ValueError, match=message):
            Mix(sources, kind(rows, (4, 7)))


def test_an_owner_beyond_nobody_is_an_error():
    for k in (1, 2, 3):
        owners = torch.full((3, 4, 4), k, dtype=torch.uint8)
        assert not Mix(SLOTS[:, :k], Owners(owners)).shares.any()
        owners[1, 2, 3] += 1
        with pytest.raises(ValueError, match=rf"owners in 0\.\.{k}, since {k} is nobody, received {k + 1}"):
            Mix(SLOTS[:, :k], Owners(owners))


@pytest.mark.parametrize("form", ["nested", "pasted", "owners"])
def test_more_sources_than_a_byte_can_name_are_an_error(form):
    assert _mix(form, k=254, boxes=253).k == 254
    with pytest.raises(ValueError, match="at most 254 sources, which an owner map can name, received 255"):
        _mix(form, k=255, boxes=0)
    if form == "nested":
        with pytest.raises(ValueError, match="at most 255 nested boxes, received 256"):
            _mix(form, k=2, boxes=256)


def test_a_byte_counts_as_many_nested_boxes_as_there_may_be():
    edges, size = torch.arange(255), (512, 520)
    boxes = torch.stack([edges, edges + 3, 512 - edges, 516 - edges], dim=1)[None]
    nested, pasted = NestedBoxes(boxes, size), PastedBoxes(boxes, size)
    for most in (1, 254, 255):
        assert int(nested.owners(most).max()) == most
        assert torch.equal(nested.owners(most), pasted.owners(most))


HARD = ["nested", "pasted", "owners"]


@pytest.mark.parametrize("form", HARD)
@pytest.mark.parametrize("shape", [(3, 1, 1), (3, 2, 1, 1), (1, 1, 1), (0, 5, 4)], ids=str)
def test_one_pixel_in_any_layout_and_no_channel_at_all_are_mixed(form, shape):
    mix = _mix(form, batch=2, k=3, size=shape[-2:])
    images = torch.rand(2, *shape, generator=seeded())
    innermost = images.movedim(1, -1).contiguous().movedim(-1, 1)
    expected = (mix.masks()[:, :, *[None] * (len(shape) - 2)] * images[mix.sources]).sum(1)
    assert torch.equal(mix.apply(images), expected) and torch.equal(mix.apply(innermost), expected)


@pytest.mark.parametrize("form", HARD)
def test_no_rows_are_mixed_to_no_rows(form):
    some, nothing = _mix(form, batch=2, k=3, size=(4, 5)), torch.zeros(0, 3, 4, 5)
    masks = {name: value[:0] for name, value in vars(some.form).items() if isinstance(value, torch.Tensor)}
    mix = Mix(some.sources[:0], replace(some.form, **masks))
    assert mix.apply(nothing).shape == nothing.shape


def test_more_sources_than_image_rows_are_looked_up():
    size, k = (3, 40), 9
    mix = Mix(_sources(4, k), NestedBoxes(random_nested_boxes(4, k - 1, size, seeded()), size))
    images = torch.rand(4, 2, *size, generator=seeded())
    assert same_bytes(mix.apply(images), Mix(mix.sources, Owners(mix.owners)).apply(images))


def test_many_nested_boxes_are_counted_at_once():
    boxes = torch.stack([random_nested_boxes(2, 2, (4, 5), seeded(seed)) for seed in range(3)])
    owners = torch.vmap(lambda each: NestedBoxes(each, (4, 5)).owners(3))(boxes)
    assert torch.equal(owners, torch.stack([NestedBoxes(each, (4, 5)).owners(3) for each in boxes]))


@pytest.mark.filterwarnings("ignore:ComplexHalf support is experimental")
@pytest.mark.parametrize("dtype", [torch.complex32, torch.complex64, torch.complex128], ids=str)
def test_complex_numbers_are_looked_up_also_where_they_are_conjugate_views(dtype):
    mix = _mix("nested", batch=3, k=3, size=(4, 5))
    images = torch.randn(3, 2, 4, 5, dtype=torch.complex64, generator=seeded()).to(dtype)
    mixed = mix.apply(images)
    assert torch.equal(mixed.real, mix.apply(images.real)) and torch.equal(mixed.imag, mix.apply(images.imag))
    if dtype != torch.complex32:
        assert torch.equal(mix.apply(images.conj()).imag, -mixed.imag)


NAN, INF = float("nan"), float("inf")
NO_SHARES = {
    "not a number": [NAN, 0.0],
    "infinite": [INF, 0.0],
    "infinite and minus infinite": [INF, -INF],
    "negative": [-0.5, 1.5],
    "less than 1": [0.5, 0.498],
    "more than 1": [0.5, 0.502],
    "nothing": [0.0, 0.0],
    "everything twice": [1.0, 1.0],
}
ANY_FORM = {"constant": Constant(torch.full((3, 2), 0.5)), "owners": Owners(torch.zeros(3, 2, 2, dtype=torch.uint8))}


def _one_row(wrong, right, row):
    """``(3, K)``: a wrong row among right ones."""
    return torch.tensor([wrong if each == row else right for each in range(3)])


@pytest.mark.parametrize("wrong", NO_SHARES)
@pytest.mark.parametrize("row", [0, 1, 2])
@pytest.mark.parametrize("gradients", [False, True])
def test_coefficients_are_shares(wrong, row, gradients):
    rows = _one_row(NO_SHARES[wrong], [0.25, 0.75], row).requires_grad_(gradients)
    with pytest.raises(ValueError, match="expected finite, non-negative coefficients that sum to 1 .* received"):
        Mix(SLOTS[:, :2], Constant(rows))


@pytest.mark.parametrize("wrong", NO_SHARES)
@pytest.mark.parametrize("row", [0, 1, 2])
@pytest.mark.parametrize("form", ANY_FORM)
def test_declared_weights_sum_to_1(wrong, row, form):
    rows = _one_row(NO_SHARES[wrong], [0.25, 0.75], row)
    with pytest.raises(ValueError, match="expected finite, non-negative weights that sum to 1 .* received"):
        Mix(SLOTS[:, :2], ANY_FORM[form], weights=rows)


def test_what_is_wrong_with_shares_is_said():
    with pytest.raises(ValueError, match=r"received a least value of -0\.5 and sums from 0\.5 to 4$"):
        Mix(SLOTS[:2, :2], Constant(torch.tensor([[-0.5, 1.0], [3.0, 1.0]])))


@pytest.mark.parametrize("rows", [
    torch.tensor([[0.5, 0.4995]]), torch.tensor([[0.5, 0.5005]]), torch.tensor([[1.0, 0.0]]), torch.tensor([[1, 0]]),
    *(_shares(9, k).to(dtype) for k in (2, 254) for dtype in (torch.float64, torch.float32, torch.float16)),
    torch.ones(0, 2),
], ids=lambda rows: f"{tuple(rows.shape)} {rows.dtype} {float(rows[:1].sum())}")
def test_what_rounding_makes_of_shares_is_no_error(rows):
    mix = Mix(torch.zeros(rows.shape, dtype=torch.int64), Constant(rows), weights=rows.flip(1))
    assert torch.equal(mix.shares, rows.float()) and torch.equal(mix.weights, rows.flip(1).float())


@pytest.mark.parametrize("form", [*HARD, "soft"])
def test_weights_that_are_the_shares_may_be_handed_on(form):
    """They sum to less than 1 where pixels are nobody's, also in the rows that were selected alone."""
    mix = _mix(form, boxes=3, seed=5)
    assert bool((mix.shares.sum(1) < 0.99).any()), "the example leaves nothing to nobody"
    for given in (mix, mix.select(torch.tensor([True, False, True]))):
        twin = replace(given, fill=0.5)
        assert torch.equal(twin.weights, given.weights) and torch.equal(twin.shares, given.shares)
    with pytest.raises(ValueError, match="expected finite, non-negative weights that sum to 1"):
        replace(mix, weights=mix.shares.flip(1))


@pytest.mark.parametrize("form", ["bilinear", *HARD])
@pytest.mark.parametrize("size", [(4, 3), (11, 13)], ids=str)
def test_a_mix_of_some_rows_is_resized_whatever_its_rows_sum_to(form, size):
    bilinear = Soft(torch.full((3, 3, 2, 2), 0.3), (5, 7), "bilinear")
    partial = bilinear if form == "bilinear" else _mix(form, boxes=3).form
    mix = Mix(_sources(3, 3), partial).select(torch.tensor([True, False, True]))
    resized = mix.resize(size)
    assert resized.masks().shape[-2:] == size and torch.equal(resized.sources, mix.sources)
    torch.testing.assert_close(resized.weights[1], torch.tensor([1.0, 0.0, 0.0]))


@pytest.mark.parametrize("wrong", [-(2.0**-10), -INF, INF, NAN])
@pytest.mark.parametrize("dtype", [*FLOATS, torch.float8_e5m2], ids=str)
@pytest.mark.parametrize("mode", ["nearest", "bilinear"])
def test_soft_maps_are_finite_and_not_negative(wrong, dtype, mode):
    maps = torch.zeros(3, 2, 2, 3)
    assert Mix(SLOTS[:, :2], Soft(maps.to(dtype), (2, 3), mode)).shares.tolist() == [[0.0, 0.0]] * 3
    maps[1, 1, 0, 2] = wrong
    for gradients in (False, True):
        with pytest.raises(ValueError, match="expected finite, non-negative maps, received values from .* to "):
            Mix(SLOTS[:, :2], Soft(maps.to(dtype).requires_grad_(gradients), (2, 3), mode))


def _wrong_parts(device="cpu"):
    """What the checks of values refuse: sources, masks and declared weights."""
    sources, rows = SLOTS[:, :2].to(device), torch.tensor([[3.0, NAN]] * 3, device=device)
    return {
        "sources": (sources + 3, Constant(rows.new_full((3, 2), 0.5)), None),
        "coefficients": (sources, Constant(rows), None),
        "weights": (sources, Owners(sources[:, :, None].byte()), rows),
        "maps": (sources, Soft(-rows[:, :, None, None], (1, 1)), None),
        "plans": (sources, Transported(sources[..., None, None] + 1.0, (1, 1), plans=sources[..., None] + 1), None),
        "owners": (sources, Owners(sources[:, :, None].byte() + 3), None),
        "boxes": (sources, PastedBoxes(sources[:, None].repeat(1, 1, 2) + 9, (4, 4)), None),
        "nested boxes": (sources, NestedBoxes(sources[:, None].repeat(1, 1, 2) + 9, (4, 4)), None),
    }


@pytest.mark.parametrize("part", _wrong_parts())
def test_what_parts_hold_is_looked_at_on_a_cpu_alone_and_where_they_are_not_trusted(part):
    with pytest.raises(ValueError, match="expected .*, received"):
        Mix(*_wrong_parts()[part])
    assert Mix.trusted(*_wrong_parts()[part]).k == 2
    assert Mix(*_wrong_parts("meta")[part]).k == 2


def test_batches_of_coefficients_maps_and_weights_are_mixed_at_once():
    """There is nothing to look at under the transforms of torch.func: neither a wrong value nor a right one."""
    images, labels, sources = torch.randn(3, 1, 2, 2, generator=seeded()), torch.eye(3), SLOTS[:, :2] + 1
    maps, rows = torch.rand(4, 3, 2, 2, 2, generator=seeded()), _shares(12, 2).view(4, 3, 2)
    functions = {
        "maps": (lambda values: Mix(sources, Soft(values, (2, 2))).apply(images), maps),
        "coefficients": (lambda values: Mix(sources, Constant(values)).apply(images), rows),
        "weights": (lambda values: Mix(sources, Constant(rows[0]), values).targets(labels), rows.flip(0)),
        "shares beside weights": (lambda values: Mix(sources, Constant(values), rows[0]).targets(labels), rows),
    }
    for name, (function, values) in functions.items():
        one_by_one = torch.stack([function(each) for each in values])
        torch.testing.assert_close(torch.vmap(function)(values), one_by_one, msg=name)
        torch.vmap(function)(-values)
        derivative = torch.func.jvp(function, (values[0],), (values[1],))[1]
        backward = torch.func.jacrev(function)(values[0]).flatten(-values[0].ndim) @ values[1].flatten()
        torch.testing.assert_close(backward, derivative, msg=name)


@pytest.mark.parametrize("form", FORMS)
def test_a_mix_is_made_inside_a_compiled_graph(form, compiler):
    given, labels = _mix(form), torch.rand(3, 4, generator=seeded()).softmax(1)
    part = next(name for name, value in vars(given.form).items() if isinstance(value, torch.Tensor))
    weights = _shares(3, 3, seed=1)

    def targets(sources, values, weights):
        mix = Mix(sources, replace(given.form, **{part: values}), weights)
        return mix.targets(labels), mix.shares

    arguments = (given.sources, getattr(given.form, part), weights)
    for one, other in zip(compiler(targets)(*arguments), targets(*arguments)):
        torch.testing.assert_close(one, other)


def test_what_masks_hold_is_not_looked_at_on_a_device():
    """It would wait for the device; shapes are known without."""
    wrong = NestedBoxes(_boxes([0, 0, 9, 9]).to("meta"), (4, 4))
    assert Mix(SLOTS[:, :2].to("meta"), wrong).k == 2
    with pytest.raises(ValueError, match="at most 254 sources"):
        Mix(torch.zeros(3, 255, dtype=torch.int64, device="meta"), wrong)


@pytest.mark.parametrize(
    "sources, form, weights, message",
    [
        (SLOTS[:, 0], Constant(torch.ones(3, 1)), None, r"\(B, K\) and dtype int64, received \(3,\)"),
        (SLOTS[:, :1].int(), Constant(torch.ones(3, 1)), None, "dtype int64, received .*int32"),
        (SLOTS[:, :2], Constant(torch.ones(3, 1)), None, r"coefficients of shape \(B, 2\), received \(3, 1\)"),
        (SLOTS[:, :1], Constant(torch.ones(3, 2)), None, r"coefficients of shape \(B, 1\), received \(3, 2\)"),
        (SLOTS[:, :1], Constant(torch.ones(3)), None, r"coefficients of shape \(B, 1\), received \(3,\)"),
        (SLOTS[:, :1], Constant(torch.ones(2, 1)), None, r"shares of shape \(3, 1\), received \(2, 1\)"),
        (SLOTS[:, :2], Owners(torch.zeros(2, 4, 4).byte()), None, r"\(3, 2\), received \(2, 2\)"),
        (SLOTS[:, :1], Constant(torch.ones(3, 1)), torch.ones(3), r"weights .*received \(3,\)"),
        (SLOTS, NestedBoxes(torch.zeros(3, 1, 4).long(), (4, 4)), None, r"\(3, 3\), received \(3, 2\)"),
    ],
)
def test_parts_that_do_not_fit_are_an_error(sources, form, weights, message):
    with pytest.raises(ValueError, match=message):
        Mix(sources, form, weights=weights)


def test_constant_masks_need_to_be_told_a_size():
    with pytest.raises(ValueError, match=r"expected a size \(height, width\)"):
        _mix("constant").masks()


def test_owners_exist_only_where_a_pixel_has_one():
    with pytest.raises(AttributeError):
        _ = _mix("soft").owners


@pytest.mark.parametrize(
    "labels, classes, message",
    [
        (torch.zeros(3), 4, "expected labels of one axis to be class indices of an integer dtype.*float32"),
        (torch.zeros(3, dtype=torch.bool), 4, "expected labels of one axis to be class indices .*bool"),
        (torch.tensor([0, 4, 1]), 4, r"expected labels in 0\.\.3, received values from 0 to 4"),
        (torch.tensor([0, -1, 1]), 4, r"expected labels in 0\.\.3, received values from -1 to 1"),
        (torch.tensor([0, 2, 1]), None, "expected num_classes"),
        *((torch.tensor([0, 2, 1]), wrong, f"expected an integer num_classes >= 1, received {wrong!r}")
          for wrong in (3.5, 3.0, -3, 0, True, "3")),
        (torch.zeros(3, 4), 4.0, "expected an integer num_classes >= 1, received 4.0"),
        (torch.full((3, 4), 2), None, r"expected integers \(B, C\) that are 1 .* received shape \(3, 4\) torch.int64"),
        (torch.zeros(3, 4), 5, r"labels of shape \(3, 5\) for 5 classes, received \(3, 4\)"),
        (torch.zeros(3, 4, 2), 4, r"expected labels of shape \(3,\) or \(3, C\), received \(3, 4, 2\)"),
    ],
)
def test_labels_that_cannot_be_mixed_are_an_error(labels, classes, message):
    with pytest.raises(ValueError, match=message):
        _mix("nested").targets(labels, classes)


def test_a_label_that_no_row_shows_is_not_looked_at():
    first_twice = Mix(torch.tensor([[0], [0]]), Constant(torch.ones(2, 1)))
    assert first_twice.targets(torch.tensor([1, 99]), 3).tolist() == [[0, 1, 0], [0, 1, 0]]


def test_labels_that_cannot_be_looked_at_are_torchs_own_error():
    def loss(labels):
        return first_and_second.targets(labels.long(), 3).sum()

    first_and_second = Mix(torch.tensor([[0, 1], [1, 0]]), Constant(torch.full((2, 2), 0.5)))
    with pytest.raises(RuntimeError, match="index 3 is out of bounds"):
        torch.func.grad(loss)(torch.tensor([1.0, 3.0]))


def test_choosing_rows_needs_one_answer_for_each():
    for chosen in (torch.ones(4, dtype=torch.bool), torch.ones(3, 1, dtype=torch.bool), torch.ones(3)):
        with pytest.raises(ValueError, match=r"expected a bool tensor of shape \(3,\), received"):
            _mix("nested").select(chosen)


@pytest.mark.parametrize("mode", ["nearest", "bilinear"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_masks_are_float32_and_nobody_elses(mode, dtype):
    maps = torch.rand(2, 3, 4, 5, generator=seeded(), dtype=dtype)
    mix = Mix(torch.zeros(2, 3, dtype=torch.int64), Soft(maps.clone(), (4, 5), mode))
    masks = mix.masks()
    assert masks.dtype == torch.float32 and torch.equal(masks, maps.float())
    masks.zero_()
    assert torch.equal(mix.form.maps, maps)
    wide = Constant(torch.full((2, 1), 1.0, dtype=torch.float64))
    assert Mix(torch.zeros(2, 1, dtype=torch.int64), wide).masks((2, 2)).dtype == torch.float32


def test_the_printed_form_tells_what_it_is():
    assert repr(_mix("nested")) == "Mix(B=3, K=3, NestedBoxes, cpu)"


@pytest.mark.parametrize("row", [-1, 3])
def test_a_source_outside_the_batch_is_an_error(row):
    sources = torch.tensor([[0, 1], [1, row], [2, 0]])
    with pytest.raises(ValueError, match=r"sources in 0\.\.2"):
        Mix(sources, Constant(torch.full((3, 2), 0.5)))


@pytest.mark.parametrize("fill", [-1, 0.5, 300])
def test_a_fill_that_integer_images_cannot_hold_is_an_error(fill):
    mix = Mix(torch.arange(2)[:, None], Owners(torch.ones(2, 3, 4, dtype=torch.uint8)))
    with pytest.raises(ValueError, match="uint8 can hold"):
        mix.apply(torch.zeros(2, 1, 3, 4, dtype=torch.uint8), fill=fill)
    assert bool((mix.apply(torch.zeros(2, 1, 3, 4, dtype=torch.uint8), fill=255) == 255).all())

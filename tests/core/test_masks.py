"""Every kind of masks against owner maps and blends made one pixel at a time."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from oracle import owners_by_hand, random_boxes, random_nested_boxes, seeded

from mixlab import Mix
from mixlab.masks import Constant, NestedBoxes, Owners, PastedBoxes, Soft, Transported, _along

sizes = st.tuples(st.integers(1, 12), st.integers(1, 12))
seeds = st.integers(0, 10**6)


def _count(owners, k):
    """``(B, K)`` pixels of every slot, counted in Python."""
    return [[sum(pixel == slot for pixel in row) for slot in range(k)] for row in owners.flatten(1).tolist()]


@given(sizes, st.integers(0, 5), seeds)
def test_pasted_boxes_own_what_the_last_of_them_covers(size, count, seed):
    boxes = random_boxes(3, count, size, seeded(seed))
    form, expected = PastedBoxes(boxes, size), owners_by_hand(boxes, size)
    assert torch.equal(form.owners(count + 1), expected)
    assert form.owners(count + 1).dtype == torch.uint8
    counts = torch.tensor(_count(expected, count + 1))
    assert torch.equal(form.shares(count + 1), counts.to(torch.float32) / (size[0] * size[1]))


@pytest.mark.parametrize("size", [(2, 512), (513, 2), (1, 700)], ids=str)
def test_long_maps_are_owned_like_short_ones(size):
    boxes = random_boxes(3, 3, size, seeded())
    assert torch.equal(PastedBoxes(boxes, size).owners(4), owners_by_hand(boxes, size))


@pytest.mark.parametrize(
    "box, seen",
    [([5, 1, 2, 6], (0, 0)), ([1, 6, 3, 2], (0, 0)), ([2, 2, 20, 12], (7, 8)), ([-3, 2, 5, 5], (5, 3))],
    ids=["rows exchanged", "columns exchanged", "beyond the end", "before the start"],
)
@pytest.mark.parametrize("longer", [0, 600], ids=["short", "long"])
def test_of_a_box_that_nobody_checked_the_part_in_the_image_is_seen(box, seen, longer):
    owners = PastedBoxes(torch.tensor([[box]]), (9, 10 + longer)).owners(2)[0, :, :10]
    rows, columns = (owners == 1).any(1), (owners == 1).any(0)
    assert (int(rows.sum()), int(columns.sum())) == seen


@given(sizes, st.integers(0, 5), seeds)
def test_nested_boxes_are_pasted_boxes_with_closed_forms(size, count, seed):
    boxes = random_nested_boxes(3, count, size, seeded(seed))
    nested, pasted, k = NestedBoxes(boxes, size), PastedBoxes(boxes, size), count + 1
    assert torch.equal(nested.owners(k), owners_by_hand(boxes, size))
    assert torch.equal(nested.shares(k), pasted.shares(k))
    assert torch.equal(nested.dense(k, size), pasted.dense(k, size))


@given(sizes, st.integers(1, 4), seeds)
def test_one_box_more_than_sources_is_nobody(size, count, seed):
    boxes, k = random_boxes(2, count, size, seeded(seed)), count
    form, owners = PastedBoxes(boxes, size), owners_by_hand(boxes, size)
    counts = torch.tensor(_count(owners, k))
    assert torch.equal(form.shares(k), counts.to(torch.float32) / (size[0] * size[1]))
    assert torch.equal(form.dense(k, size).sum(1) == 0, owners == k)


@given(st.sampled_from(["nested", "pasted"]), sizes, st.integers(1, 3), st.integers(2, 4), seeds)
def test_all_boxes_beyond_the_sources_are_nobody(kind, size, k, beyond, seed):
    """As in Cutout with several holes: every one of them is filled, not only the first."""
    count = k - 1 + beyond
    if kind == "nested":
        boxes = random_nested_boxes(2, count, size, seeded(seed))
        form = NestedBoxes(boxes, size)
    else:
        boxes = random_boxes(2, count, size, seeded(seed))
        form = PastedBoxes(boxes, size)
    owners = owners_by_hand(boxes, size).clamp(max=k)
    assert torch.equal(form.owners(k), owners)
    counts = torch.tensor(_count(owners, k))
    assert torch.equal(form.shares(k), counts.to(torch.float32) / (size[0] * size[1]))
    images = 1 + torch.arange(2 * size[0] * size[1], dtype=torch.float32).view(2, 1, *size)
    sources = torch.zeros(2, k, dtype=torch.int64)
    mixed = Mix(sources, form, fill=-1.0).apply(images)
    assert torch.equal(mixed[:, 0] == -1, owners == k)


@pytest.mark.parametrize("owners", [torch.zeros(1, 2, 2, dtype=torch.int64), torch.zeros(2, 2, dtype=torch.uint8)])
def test_an_owner_map_is_bytes_of_three_axes(owners):
    with pytest.raises(ValueError, match=r"expected an owner map of shape \(B, H, W\) and dtype uint8, received"):
        Owners(owners)


@pytest.mark.parametrize("kind", [NestedBoxes, PastedBoxes])
@pytest.mark.parametrize("boxes", [torch.zeros(1, 2, 4), torch.zeros(1, 4).long(), torch.zeros(1, 2, 3).long()])
def test_boxes_are_whole_pixels_of_four_edges(kind, boxes):
    with pytest.raises(ValueError, match=r"expected boxes of shape \(B, N, 4\) and dtype int64, received \(1, "):
        kind(boxes, (4, 4))


@pytest.mark.parametrize(
    "make",
    [
        lambda size: NestedBoxes(torch.zeros(1, 1, 4).long(), size),
        lambda size: PastedBoxes(torch.zeros(1, 1, 4).long(), size),
        lambda size: Owners(torch.zeros(1, *size, dtype=torch.uint8)),
        lambda size: Soft(torch.zeros(1, 1, 2, 2), size),
    ],
)
@pytest.mark.parametrize("size", [(0, 4), (4, 0)], ids=str)
def test_masks_of_no_pixels_are_an_error(make, size):
    with pytest.raises(ValueError, match=rf"at least one pixel, received height and width \({size[0]}, {size[1]}\)"):
        make(size)


@pytest.mark.parametrize(
    "maps, mode, message",
    [
        (torch.ones(2, 1, 2), "nearest", r"maps of shape \(B, K, h, w\), received \(2, 1, 2\)"),
        (torch.ones(2, 1, 2, 2).long(), "nearest", "floating-point maps .*, received .*int64"),
        (torch.ones(2, 1, 2, 2), "linear", r"a mode of \['bilinear', 'nearest'\], received 'linear'"),
    ],
)
def test_soft_masks_are_maps_and_a_way_to_grow_them(maps, mode, message):
    with pytest.raises(ValueError, match=message):
        Soft(maps, (4, 4), mode)


@given(sizes, st.integers(1, 5), seeds)
def test_owner_maps_count_and_cover_every_pixel_once(size, k, seed):
    owners = torch.randint(0, k + 1, (2, *size), generator=seeded(seed), dtype=torch.uint8)
    form = Owners(owners)
    counts = torch.tensor(_count(owners, k))
    assert torch.equal(form.shares(k), counts.to(torch.float32) / (size[0] * size[1]))
    dense = form.dense(k, size)
    assert dense.dtype == torch.float32 and dense.shape == (2, k, *size)
    for b, i, j in itertools.product(range(2), range(size[0]), range(size[1])):
        expected = [float(owners[b, i, j] == slot) for slot in range(k)]
        assert dense[b, :, i, j].tolist() == expected


@given(sizes, sizes, seeds)
def test_hard_masks_resize_to_the_nearest_pixel(old, new, seed):
    boxes = random_boxes(2, 2, old, seeded(seed))
    form = PastedBoxes(boxes, old)
    owners, resized = form.owners(3), form.resize(3, new)
    assert resized.size == new
    for i, j in itertools.product(range(new[0]), range(new[1])):
        # The centre of the new pixel in old pixels, in whole numbers: (i + 1/2) * old / new, rounded down.
        row, column = ((2 * place + 1) * a // (2 * b) for place, a, b in zip((i, j), old, new))
        assert torch.equal(resized.owners(3)[:, i, j], owners[:, row, column])
    assert torch.equal(form.dense(3, new), resized.dense(3, new))


def test_resizing_to_the_same_size_changes_nothing():
    form = NestedBoxes(torch.tensor([[[1, 1, 3, 4]]]), (5, 6))
    assert form.resize(2, (5, 6)) is form


def test_constant_masks_are_the_same_everywhere_and_fit_any_size():
    coefficients = torch.tensor([[0.25, 0.75], [1.0, 0.0]])
    form = Constant(coefficients)
    assert form.size is None and form.resize(2, (9, 9)) is form
    assert torch.equal(form.shares(2), coefficients)
    assert torch.equal(form.dense(2, (2, 3)), coefficients[:, :, None, None].expand(2, 2, 2, 3))


def _growth(old, new):
    """``(new, old)`` linear interpolation matrix with half-pixel centres and clamped ends."""
    matrix = np.zeros((new, old))
    for i in range(new):
        place = min(max((i + 0.5) * old / new - 0.5, 0), old - 1)
        low = min(int(place), old - 1)
        high = min(low + 1, old - 1)
        matrix[i, low] += 1 - (place - low)
        matrix[i, high] += place - low
    return matrix


def test_soft_maps_grow_by_blocks_or_smoothly():
    maps = torch.rand(2, 3, 4, 5, generator=seeded())
    blocks = Soft(maps, (8, 15)).dense(3, (8, 15))
    assert torch.equal(blocks, maps.repeat_interleave(2, dim=2).repeat_interleave(3, dim=3))
    smooth = Soft(maps, (9, 11), "bilinear").dense(3, (9, 11))
    expected = np.einsum("ih,jw,bkhw->bkij", _growth(4, 9), _growth(5, 11), maps.double().numpy())
    torch.testing.assert_close(smooth.double(), torch.from_numpy(expected), rtol=1e-5, atol=1e-6)


def test_soft_blocks_follow_the_same_nearest_rule_as_hard_masks():
    owners = torch.randint(0, 3, (1, 4, 6), generator=seeded(), dtype=torch.uint8)
    maps = torch.stack([owners == slot for slot in range(3)], dim=1).float()
    for size in ((7, 9), (3, 4), (4, 6), (13, 2)):
        assert torch.equal(Soft(maps, (4, 6)).dense(3, size), Owners(owners).dense(3, size))


@pytest.mark.parametrize("mode", ["nearest", "bilinear"])
def test_soft_shares_are_the_means_of_the_masks_that_are_applied(mode):
    maps = torch.rand(3, 2, 4, 3, generator=seeded())
    form = Soft(maps, (9, 8), mode)
    torch.testing.assert_close(form.shares(2), form.dense(2, (9, 8)).double().mean((2, 3)).float())


FORMS = {
    "constant": Constant(torch.tensor([[0.25, 0.75]] * 3)),
    "nested": NestedBoxes(torch.tensor([[[1, 1, 4, 5]]] * 3), (5, 6)),
    "pasted": PastedBoxes(torch.tensor([[[1, 1, 4, 5]]] * 3), (5, 6)),
    "owners": Owners(torch.randint(0, 2, (3, 5, 6), generator=seeded(), dtype=torch.uint8)),
    "soft": Soft(torch.rand(3, 2, 5, 6, generator=seeded()), (5, 6)),
    "transported": Transported(
        torch.rand(3, 2, 5, 3, generator=seeded()), (5, 6), plans=torch.rand(3, 2, 15, generator=seeded()).argsort(2)
    ),
}


@pytest.mark.parametrize("name", FORMS)
def test_selected_rows_keep_their_masks_and_the_others_belong_to_slot_0(name):
    form, chosen = FORMS[name], torch.tensor([True, False, True])
    dense, selected = form.dense(2, (5, 6)), form.select(chosen).dense(2, (5, 6))
    assert torch.equal(selected[chosen], dense[chosen])
    assert bool((selected[1, 0] == 1).all()) and bool((selected[1, 1] == 0).all())
    assert type(form.select(chosen)) is type(form)


@pytest.mark.parametrize("name", FORMS)
def test_masks_move_to_another_device(name):
    moved = FORMS[name].to("meta")
    assert type(moved) is type(FORMS[name]) and moved.dense(2, (5, 6)).device.type == "meta"


def _transported(grid, block, batch=3, k=2, seed=0):
    """Random masks and plans, neither a plan nor its inverse the other, over images of ``block`` pixels a cell."""
    generator, size = seeded(seed), (grid[0] * block[0], grid[1] * block[1])
    maps = torch.rand(batch, k, *grid, generator=generator).softmax(1)
    return Transported(maps, size, plans=torch.rand(batch, k, grid[0] * grid[1], generator=generator).argsort(2))


def _selections(plans):
    """``(B, K, n, n)``: row p of a plan's matrix is 1 at the block that place p shows."""
    batch, k, n = plans.shape
    matrices = torch.zeros(batch, k, n, n, dtype=torch.float64)
    for b, slot, place in itertools.product(range(batch), range(k), range(n)):
        matrices[b, slot, place, plans[b, slot, place]] = 1
    return matrices


@given(st.tuples(st.integers(1, 4), st.integers(1, 4)), st.tuples(st.integers(1, 3), st.integers(1, 3)),
       st.integers(1, 3), seeds)
def test_transported_blocks_are_those_of_a_matrix_product(grid, block, k, seed):
    form = _transported(grid, block, k=k, seed=seed)
    sources = torch.randint(0, 3, (3, k), generator=seeded(seed))
    images = torch.randn(3, 2, *form.size, generator=seeded(seed), dtype=torch.float64)
    blocks = torch.stack([  # (B, n, channels, pixels of a block), cut out one by one
        images[:, :, i * block[0] : (i + 1) * block[0], j * block[1] : (j + 1) * block[1]]
        for i, j in itertools.product(*map(range, grid))
    ], dim=1).flatten(3)
    moved = torch.einsum("bkpq,bkqcx->bkpcx", _selections(form.plans), blocks[sources])
    mixed = torch.einsum("bkp,bkpcx->bpcx", form.maps.flatten(2).double(), moved)
    shown = Mix(sources, form).apply(images)
    for place, (i, j) in enumerate(itertools.product(*map(range, grid))):
        there = shown[:, :, i * block[0] : (i + 1) * block[0], j * block[1] : (j + 1) * block[1]].flatten(2)
        torch.testing.assert_close(there, mixed[:, place])


def test_a_transposed_plan_shows_another_picture():
    """The place that shows a block, and the block that a place shows, are told apart by a cycle of three."""
    images, sources = torch.tensor([[[[1.0, 2.0, 3.0]]]]), torch.tensor([[0]])
    for plan, shown in (([1, 2, 0], [2.0, 3.0, 1.0]), ([2, 0, 1], [3.0, 1.0, 2.0])):
        form = Transported(torch.ones(1, 1, 1, 3), (1, 3), plans=torch.tensor([[plan]]))
        assert Mix(sources, form).apply(images).flatten().tolist() == shown


def test_masks_and_shares_of_transported_blocks_are_those_of_the_picture():
    form = _transported((2, 3), (4, 2))
    still = Soft(form.maps, form.size)
    assert torch.equal(form.shares(2), still.shares(2)) and torch.equal(form.dense(2, (8, 6)), still.dense(2, (8, 6)))
    # Image 0 is zero and image 1 is one everywhere, so the picture is the mask of whatever slot shows image 1.
    images = torch.tensor([0.0, 1.0, 0.0]).view(3, 1, 1, 1).expand(3, 1, 8, 6)
    shown = Mix(torch.tensor([[0, 1], [1, 2], [2, 1]]), form).apply(images)[:, 0]
    dense = form.dense(2, (8, 6))
    torch.testing.assert_close(shown, torch.stack([dense[0, 1], dense[1, 0], dense[2, 1]]))


def test_transported_blocks_grow_with_the_images():
    form = _transported((2, 3), (4, 2))
    images = torch.randn(3, 1, 8, 6, generator=seeded())
    sources = torch.tensor([[0, 1], [1, 2], [2, 0]])
    larger = images.repeat_interleave(2, dim=2).repeat_interleave(3, dim=3)
    mixed, resized = Mix(sources, form).apply(images), Mix(sources, form).resize((16, 18))
    assert torch.equal(resized.apply(larger), mixed.repeat_interleave(2, dim=2).repeat_interleave(3, dim=3))
    assert type(resized.form) is Transported and torch.equal(resized.form.plans, form.plans)


@pytest.mark.parametrize("size", [(9, 6), (8, 7), (1, 3)], ids=str)
def test_sides_that_blocks_do_not_divide_are_an_error(size):
    form = _transported((2, 3), (4, 2))
    for make in (lambda: Transported(form.maps, size, plans=form.plans), lambda: form.resize(2, size)):
        with pytest.raises(ValueError, match=rf"a grid of 2 x 3 blocks divides, received \({size[0]}, {size[1]}\)"):
            make()


@pytest.mark.parametrize("plans", [
    torch.zeros(3, 2, 6), torch.zeros(3, 2, 6).int(), torch.zeros(3, 2, 5).long(), torch.zeros(3, 6).long(),
    torch.zeros(3, 1, 6).long(), torch.zeros(2, 2, 6).long(),
], ids=lambda plans: f"{tuple(plans.shape)} {plans.dtype}")
def test_plans_have_one_block_for_every_slot_and_place(plans):
    with pytest.raises(ValueError, match=r"plans of shape \(3, 2, 6\) and dtype int64.*received"):
        Transported(torch.ones(3, 2, 2, 3), (2, 3), plans=plans)


@pytest.mark.parametrize("wrong", [-1, 6])
def test_a_plan_names_blocks_that_there_are(wrong):
    plans, sources = torch.zeros(3, 2, 6, dtype=torch.int64), torch.zeros(3, 2, dtype=torch.int64)
    Mix(sources, Transported(torch.ones(3, 2, 2, 3), (2, 3), plans=plans))
    plans[1, 1, 4] = wrong
    with pytest.raises(ValueError, match=rf"blocks in 0\.\.5 in the plans, received some from {min(wrong, 0)} to"):
        Mix(sources, Transported(torch.ones(3, 2, 2, 3), (2, 3), plans=plans))


def test_rows_that_are_not_selected_keep_their_blocks_where_they_are():
    form, images = _transported((2, 3), (4, 2)), torch.randn(3, 2, 8, 6, generator=seeded())
    mix, chosen = Mix(torch.tensor([[1, 2], [2, 0], [0, 1]]), form), torch.tensor([True, False, True])
    mixed = mix.select(chosen).apply(images)
    assert torch.equal(mixed[1], images[1]) and torch.equal(mixed[chosen], mix.apply(images)[chosen])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64], ids=str)
def test_transported_blocks_keep_dtype_and_the_bits_of_a_block_shown_alone(dtype):
    plan = torch.tensor([[[3, 1, 0, 2]]])
    images = torch.randn(1, 3, 2, 2, generator=seeded()).to(dtype)
    mixed = Mix(torch.tensor([[0]]), Transported(torch.ones(1, 1, 2, 2), (2, 2), plans=plan)).apply(images)
    assert mixed.dtype == dtype and torch.equal(mixed.flatten(2), images.flatten(2)[..., plan[0, 0]])


@pytest.mark.parametrize(
    "partners, order",
    [([2, 0, 1, 3], [0, 2, 1, 3]), ([1, 1, 0], [0, 1, 2]), ([3, 0, 0, 3], [0, 3, 1, 2]), ([], [])],
    ids=["two circles", "a partner of two", "a dead end", "no rows"],
)
def test_rows_are_pasted_just_before_their_partners(partners, order):
    assert _along(partners) == order

"""Composites against mixes built by hand, and the laws of what is drawn."""

import pytest
import torch
from oracle import assert_probabilities

from mixlab.bayes import blended_composites, companion_rows, nested_composites

POOL = torch.rand(12, 2, 16, 20, generator=torch.Generator().manual_seed(1))
LABELS = torch.arange(12) % 4


def draw(kind, *, k=5, alpha=1.0, anchor_share=0.5, draws=8, seed=0, pool=POOL, labels=LABELS, companions=None):
    return kind(pool, labels, num_classes=4, k=k, alpha=alpha, anchor_share=anchor_share, draws=draws,
                generator=torch.Generator().manual_seed(seed), companions=companions)


KINDS = pytest.mark.parametrize("kind", [nested_composites, blended_composites])


@KINDS
def test_label_of_a_composite_sums_to_one_and_is_never_negative(kind):
    around = draw(kind, draws=50)
    total = around.weights + around.targets.sum(1)
    assert torch.allclose(total, torch.ones(50), atol=1e-6)
    assert (around.targets >= 0).all()


@KINDS
def test_weight_is_what_the_anchor_really_shows(kind):
    around = draw(kind, draws=20)
    white, black = torch.ones(1, 2, 16, 20), torch.zeros(1, 2, 16, 20)
    for s in range(20):
        seen = (around.apply(s, white) - around.apply(s, black)).mean()
        assert seen.item() == pytest.approx(around.weights[s].item(), abs=1e-6)


@KINDS
def test_companions_have_the_share_of_pixels_that_their_label_says(kind):
    # In a pool where every picture is its own label, written into the pixels, the background is the label.
    probe = torch.eye(4)[LABELS][:, :, None, None].expand(-1, -1, 16, 20)
    around = draw(kind, pool=probe, draws=20)
    assert torch.allclose(around.backgrounds.mean((2, 3)), around.targets, atol=1e-6)


def test_hard_masks_leave_every_pixel_one_owner():
    around = draw(nested_composites, draws=30)
    assert set(around.masks.unique().tolist()) <= {0.0, 1.0}
    images = torch.full((3, 2, 16, 20), -7.0)
    for s in range(30):
        mixed = around.apply(s, images)
        assert ((mixed == -7.0) == around.masks[s].bool()).all()
        values = mixed[0][:, ~around.masks[s, 0].bool()]
        pool = POOL.permute(1, 0, 2, 3)[:, :, ~around.masks[s, 0].bool()]
        assert (values[:, None] == pool).all(0).any(0).all()


def test_blended_anchor_has_its_share_exactly():
    around = draw(blended_composites, anchor_share=0.3, draws=30)
    assert torch.allclose(around.weights, torch.full((30,), 0.3))
    assert (around.masks == around.weights[:, None, None, None]).all()


def test_nested_anchor_has_its_share_on_average_and_at_every_depth():
    pool = torch.rand(12, 1, 64, 64)
    around = draw(nested_composites, pool=pool, anchor_share=0.5, draws=2000)
    assert around.weights.mean().item() == pytest.approx(0.5, abs=0.01)
    corner = around.masks[:, 0, 0, 0].mean().item()
    # Outermost with probability 1/K, and a box of another slot reaches the corner only now and then.
    assert 0.15 < corner < 0.35


@pytest.mark.parametrize("k", [2, 3])
def test_the_anchor_has_every_slot_equally_often_the_last_one_too(k):
    """In the last slot it is a whole rectangle; in every other one a box is cut out of it (shares are near 1/K)."""
    n = 2000
    masks = draw(nested_composites, k=k, alpha=300.0, anchor_share=1 / k, draws=n).masks[:, 0].bool()
    rows, columns = masks.any(2), masks.any(1)
    whole = masks.sum((1, 2)) == rows.sum(1) * columns.sum(1)
    framed = rows.all(1) & columns.all(1)
    assert_probabilities([int(whole.sum()), int(framed.sum())], [1 / k, 1 / k], n)


@KINDS
def test_one_image_or_the_whole_share_is_the_image_itself(kind):
    images = torch.rand(3, 2, 16, 20)
    for around in (draw(kind, k=1), draw(kind, k=4, anchor_share=1.0)):
        for s in range(len(around)):
            assert torch.equal(around.apply(s, images), images)
        assert torch.equal(around.weights, torch.ones(8)) and torch.equal(around.targets, torch.zeros(8, 4))


def test_shares_of_companions_follow_the_conditional_dirichlet():
    # One class per companion slot cannot be read from the labels, so the second moment of all of them is compared:
    # E sum phi_j^2 = (1 - phi_i)^2 (alpha + 1) / ((K - 1) alpha + 1), a class for each row of the pool.
    pool, labels = torch.zeros(12, 1, 2, 2), torch.arange(12)
    around = blended_composites(pool, labels, num_classes=12, k=5, alpha=0.5, anchor_share=0.4, draws=20000,
                                generator=torch.Generator().manual_seed(0))
    second = around.targets.square().sum(1).mean().item()
    assert second == pytest.approx(0.6**2 * 1.5 / 3.0, abs=0.003)


@KINDS
def test_companions_may_be_given(kind):
    rows = torch.tensor([[1, 5, 9], [2, 6, 10]]).repeat(10, 1)  # all of class 1, then all of class 2
    around = draw(kind, k=4, draws=20, companions=rows)
    rest = 1 - around.weights
    assert torch.allclose(around.targets[::2, 1], rest[::2], atol=1e-6)
    assert torch.allclose(around.targets[1::2, 2], rest[1::2], atol=1e-6)


@pytest.mark.parametrize("sets", [1, 3, 6, None])
def test_rows_of_companions_are_distinct_uniform_and_in_sets_that_take_turns(sets):
    rows = companion_rows(7, k=4, draws=6, companion_sets=sets, generator=torch.Generator().manual_seed(0))
    fresh = companion_rows(7, k=4, draws=6, generator=torch.Generator().manual_seed(0))
    number = sets or 6
    assert torch.equal(rows, fresh[:number].repeat(6 // number, 1))
    assert all(len(set(row)) == 3 for row in fresh.tolist())
    n = 3000
    many = companion_rows(7, k=4, draws=n, generator=torch.Generator().manual_seed(1))
    assert_probabilities(many.flatten().bincount(minlength=7).tolist(), [3 / 7] * 7, n)


@KINDS
@pytest.mark.parametrize("companions", [torch.zeros(8, 3, dtype=torch.int64), torch.zeros(8, 4)])
def test_companions_of_another_shape_or_type_are_refused(kind, companions):
    with pytest.raises(ValueError, match=r"int64 companions of shape \(8, 4\)"):
        draw(kind, companions=companions)


@KINDS
def test_generator_alone_decides(kind):
    torch.manual_seed(5)
    state = torch.get_rng_state()
    one, same, other = draw(kind), draw(kind), draw(kind, seed=1)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(one.backgrounds, same.backgrounds) and torch.equal(one.masks, same.masks)
    assert not torch.equal(one.backgrounds, other.backgrounds)


@KINDS
@pytest.mark.parametrize("change, message", [
    ({"k": 0}, "1 <= k"), ({"k": 14}, "1 <= k"), ({"anchor_share": 0.0}, "anchor share"),
    ({"anchor_share": 1.5}, "anchor share"), ({"draws": 0}, "at least one draw"), ({"draws": 1.5}, "whole number"),
    ({"alpha": 0.0}, "positive"),
    ({"k": 1, "alpha": -3.0}, "positive"), ({"k": 2.0}, "integer"), ({"labels": LABELS + 1}, r"in \[0, 4\)"),
    ({"labels": LABELS - 1}, "received -1 to 2"), ({"labels": LABELS.float()}, "int64 labels"),
    ({"pool": POOL.to(torch.uint8)}, "floating-point images"),
])
def test_bad_arguments_end_in_one_error(kind, change, message):
    with pytest.raises(ValueError, match=message):
        draw(kind, **change)


def test_images_of_another_size_are_refused():
    with pytest.raises(ValueError, match=r"\(B, 2, 16, 20\)"):
        draw(nested_composites).apply(0, torch.rand(1, 2, 16, 16))

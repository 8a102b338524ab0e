"""Stratified draws: exact shares, no row twice, every row possible."""

from collections import Counter

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mixlab.data.stratify import allocate, draw_per_class, hold_out


@given(st.lists(st.integers(0, 50), min_size=1, max_size=8), st.data())
def test_allocation_is_the_quota_rounded_and_sums_to_the_total(counts, data):
    have = sum(counts)
    total = data.draw(st.integers(0, have))
    shared = allocate(torch.tensor(counts), total).tolist()
    assert sum(shared) == total
    for count, share in zip(counts, shared):
        assert abs(share - (total * count / have if have else 0)) < 1
        assert share <= count


@pytest.mark.parametrize("total", [-1, 11, 2.0, True])
def test_an_impossible_total_is_refused(total):
    with pytest.raises(ValueError, match=f"from 0 to 10, received {total}"):
        allocate(torch.tensor([4, 6]), total)


@given(st.lists(st.integers(0, 4), min_size=1, max_size=60), st.integers(0, 1000), st.floats(0, 0.99))
def test_hold_out_divides_every_class(labels, seed, fraction):
    labels = torch.tensor(labels)
    kept, held = hold_out(labels, fraction, torch.Generator().manual_seed(seed))
    assert sorted([*kept.tolist(), *held.tolist()]) == list(range(len(labels)))
    assert kept.tolist() == sorted(kept.tolist()) and held.tolist() == sorted(held.tolist())
    have, got = Counter(labels.tolist()), Counter(labels[held].tolist())
    for label, count in have.items():
        assert got[label] == int(count * fraction + 0.5)


def test_every_row_of_a_class_is_equally_likely():
    labels = torch.tensor([0, 1, 0, 1, 0, 1, 1])
    draws = torch.Generator().manual_seed(0)
    hits = torch.zeros(len(labels))
    for _ in range(6000):
        hits[draw_per_class(labels, torch.tensor([1, 2]), draws)] += 1
    expected = torch.where(labels == 0, 2000.0, 3000.0)
    assert ((hits - expected).abs() < 5 * expected.sqrt()).all()


@pytest.mark.parametrize("fraction", [-0.1, 1.0, float("nan")])
def test_a_fraction_out_of_range_is_refused(fraction):
    with pytest.raises(ValueError, match="fraction"):
        hold_out(torch.tensor([0, 1]), fraction, torch.Generator())

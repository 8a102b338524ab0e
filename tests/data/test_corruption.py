"""Corrupted labels: how many, which, and drawn from all classes."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mixlab.data import corrupt_labels


@given(st.integers(1, 200), st.floats(0, 1), st.integers(2, 10), st.integers(0, 99))
def test_exactly_the_fraction_is_replaced(rows, fraction, classes, seed):
    draws = torch.Generator().manual_seed(seed)
    labels = torch.randint(classes, (rows,), generator=draws)
    before = labels.clone()
    new, replaced = corrupt_labels(labels, fraction, classes, draws)
    assert replaced.sum() == round(fraction * rows)
    assert torch.equal(new[~replaced], labels[~replaced]) and torch.equal(labels, before)
    assert new.dtype == torch.int64 and 0 <= new.min() and new.max() < classes


def test_replacements_are_uniform_over_all_classes():
    labels = torch.full((50_000,), 3)
    new, replaced = corrupt_labels(labels, 0.8, 10, torch.Generator().manual_seed(0))
    counts = torch.bincount(new[replaced], minlength=10)
    assert ((counts - 4000).abs() < 5 * 4000**0.5).all()
    assert abs(int((new != labels).sum()) - 36_000) < 5 * 60  # one in ten is right by chance


def test_runs_pair_by_seed():
    labels = torch.arange(100) % 10
    draws = (torch.Generator().manual_seed(seed) for seed in (1, 1, 2))
    one, two, three = (corrupt_labels(labels, 0.5, 10, generator)[0] for generator in draws)
    assert torch.equal(one, two) and not torch.equal(one, three)


@pytest.mark.parametrize("fraction", [-0.1, 1.1, float("nan")])
def test_a_wrong_fraction_is_refused(fraction):
    with pytest.raises(ValueError, match="fraction from 0 to 1"):
        corrupt_labels(torch.tensor([0]), fraction, 2, torch.Generator())


def test_labels_out_of_range_are_refused():
    with pytest.raises(ValueError, match="labels from 0 to 2, received 0..3"):
        corrupt_labels(torch.tensor([0, 3]), 0.5, 3, torch.Generator())

"""Holm's correction against its definition, and against the closed test that it is."""

from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mixlab.records import corrected, holm, paired_difference

p_values = st.lists(st.floats(0, 1), max_size=7)


def rejected(p, level):
    """Holm's procedure as it is stated: from the smallest on, go on while p ≤ level / (number of those left)."""
    left, out = sorted(range(len(p)), key=p.__getitem__), set()
    while left and p[left[0]] * len(left) <= level:
        out.add(left.pop(0))
    return out


def test_by_hand():
    # 4 · .005, 3 · .01, 2 · .03, then 1 · .04, which may not fall below .06.
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.7]) == [1, 1]
    assert holm([]) == [] and holm([0.2]) == [0.2]


@given(p_values)
def test_what_is_adjusted_to_a_level_is_what_the_procedure_rejects_at_it(p):
    adjusted = holm(p)
    for level in (0.01, 0.05, 0.3, *[value for value in adjusted if value < 1]):
        # At a level that is one of the values, rounding decides: a hair above it is meant.
        assert rejected(p, level * (1 + 1e-9)) == {i for i, value in enumerate(adjusted) if value <= level * (1 + 1e-9)}


@given(p_values)
def test_it_is_the_closed_test_of_bonferroni(p):
    """A hypothesis falls if every set that holds it falls: the largest |S| · min(p in S) is its adjusted p-value."""
    sets = [each for size in range(1, len(p) + 1) for each in combinations(range(len(p)), size)]
    for place, adjusted in enumerate(holm(p)):
        assert adjusted == pytest.approx(max(min(1, len(s) * min(p[i] for i in s)) for s in sets if place in s))


@given(p_values)
def test_adjusted_values_keep_the_order_and_are_no_smaller(p):
    adjusted = holm(p)
    assert all(before <= after <= 1 for before, after in zip(p, adjusted))
    assert [value for _, value in sorted(zip(p, adjusted))] == sorted(adjusted)


@pytest.mark.parametrize("p", [[-0.1], [1.1], [0.5, float("nan")]])
def test_p_values_are_between_0_and_1(p):
    with pytest.raises(ValueError, match="expected p-values between 0 and 1"):
        holm(p)


def test_a_family_of_differences():
    shifts = {"a": 2.0, "b": 0.4, "c": 0.0}
    family = {name: paired_difference([shift + d for d in (0.1, -0.3, 0.4, 0.2, -0.1)], [0.0] * 5)
              for name, shift in shifts.items()} | {"single": paired_difference([3.0], [1.0])}
    found = corrected(family)
    assert list(found) == list(family)
    assert [each.adjusted for each in found.values()] == holm([each.p for each in family.values()])
    assert {each.comparisons for each in found.values()} == {4}
    assert [(each.low, each.high, each.p) for each in found.values()] == [
        (each.low, each.high, each.p) for each in family.values()
    ]
    # Alone, b is higher; as one of four comparisons it may be chance.
    assert family["b"].verdict() == "higher"
    assert {name: each.verdict() for name, each in found.items()} == {
        "a": "higher", "b": "undecided", "c": "undecided", "single": "undecided",
    }
    assert corrected(found) == found and corrected({}) == {}

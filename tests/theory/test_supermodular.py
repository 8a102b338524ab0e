"""The maximum of a threshold and a monotone supermodular function, the overlap of outputs, and gates."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mixlab.theory import gated, overlaps, violation

seeds = st.integers(0, 10**6)
shapes = st.sampled_from([(1, 2, 1), (1, 2, 3), (2, 2, 2), (2, 3, 1), (3, 2, 1), (1, 5, 1)])


def by_pairs_of_sets(values):
    """The inequality for all pairs of sets, from the definition."""
    return max(values[s] + values[t] - values[s | t] - values[s & t]
               for s, t in itertools.product(range(len(values)), repeat=2))


def random_matrix(m, seed):
    a = np.random.default_rng(seed).random((m, m))
    return a + a.T


def monotone_supermodular(elements, seed):
    """A sum of products of indicators with non-negative weights, for every set."""
    generator = np.random.default_rng(seed)
    weights = generator.random(2**elements) * (generator.random(2**elements) < 0.4)
    return np.array([sum(weights[t] for t in range(2**elements) if t & s == t) for s in range(2**elements)])


@given(elements=st.integers(2, 5), seed=seeds)
def test_pairs_of_elements_decide_for_pairs_of_sets(elements, seed):
    values = np.random.default_rng(seed).integers(0, 5, 2**elements).astype(float)
    assert (violation(values) <= 0) == (by_pairs_of_sets(values) <= 0)
    convex = np.array([bin(s).count("1") ** 2.0 for s in range(2**elements)])
    assert violation(convex) == -2 and violation(-convex) == 2


@given(elements=st.integers(2, 6), part=st.floats(0, 1), seed=seeds)
def test_a_maximum_with_a_threshold_stays_supermodular(elements, part, seed):
    values = monotone_supermodular(elements, seed)
    assert violation(values) <= 1e-12
    bounded = np.maximum(part * values.max(), values)
    assert violation(bounded) <= 1e-12 and by_pairs_of_sets(bounded) <= 1e-12


def test_without_monotony_a_maximum_may_spoil_it():
    """The cases of the proof use that g is monotone; this is the smallest function in which it is not."""
    values = np.array([0.0, 1.0, -1.0, 0.0])
    assert by_pairs_of_sets(values) == 0 and by_pairs_of_sets(np.maximum(0, values)) == 1


def members(number, m, outputs, cells):
    """``o[j][i]`` of the set with a number."""
    return [[sum(number >> ((j * m + i) * cells + k) & 1 for k in range(cells)) for i in range(m)]
            for j in range(outputs)]


@given(shape=shapes, seed=seeds)
def test_overlaps_are_those_of_every_set_and_supermodular(shape, seed):
    m, outputs, cells = shape
    a = random_matrix(m, seed)
    values = overlaps(a, outputs, cells)
    for number in range(0, len(values), 5):
        o = np.array(members(number, m, outputs, cells))
        pairs = itertools.permutations(range(outputs), 2)
        assert values[number] == pytest.approx(sum(o[j] @ a @ o[k] for j, k in pairs))
    assert violation(values) <= 1e-12
    for part in (0.1, 0.5, 0.9):
        assert violation(np.maximum(part * values.max(), values)) <= 1e-12


@given(shape=shapes, threshold=st.floats(0, 6), jump=st.booleans(), seed=seeds)
def test_gates_charge_what_is_above_the_threshold(shape, threshold, jump, seed):
    m, outputs, cells = shape
    a = random_matrix(m, seed)
    values = gated(a, outputs, threshold, cells, jump=jump)
    for number in range(0, len(values), 7):
        o = np.array(members(number, m, outputs, cells))
        total = 0.0
        for j, i in itertools.product(range(outputs), range(m)):
            seen = sum(a[i] @ o[k] for k in range(outputs) if k != j)
            charge = (seen if seen > threshold else 0) if jump else max(0, seen - threshold)
            total += o[j, i] * charge
        assert values[number] == pytest.approx(total)


@given(shape=shapes, threshold=st.floats(0, 6), seed=seeds)
def test_a_gate_without_a_jump_stays_supermodular(shape, threshold, seed):
    m, outputs, cells = shape
    assert violation(gated(random_matrix(m, seed), outputs, threshold, cells, jump=False)) <= 1e-12


def test_a_gate_that_jumps_does_not():
    """Nor is it a matter of one instance: of random ones it spoils many."""
    assert violation(gated(np.eye(1), 2, 1.0, cells=3)) == 3
    assert violation(gated(np.eye(1), 5, 2.0)) == 4  # outputs of one cell: 0, 0, 0, 0, 12, 20
    spoilt = [violation(gated(random_matrix(2, seed), 2, 1.0, cells=3)) > 1e-9 for seed in range(20)]
    assert sum(spoilt) > 10


def test_a_gate_at_zero_is_the_overlap():
    a = random_matrix(2, 0)
    for jump in (True, False):
        np.testing.assert_allclose(gated(a, 2, 0.0, 2, jump=jump), overlaps(a, 2, 2))


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: violation([1.0, 2.0, 3.0]), r"each of the 2\*\*E sets of E <= 20 elements, received shape \(3,\)"),
        (lambda: violation([]), r"received shape \(0,\)"),
        (lambda: overlaps(np.ones((2, 3)), 2), r"symmetric matrix A of shape \(m, m\), received shape \(2, 3\)"),
        (lambda: overlaps(np.array([[0.0, 1.0], [2.0, 0.0]]), 2), "symmetric matrix A"),
        (lambda: overlaps(np.eye(3), 4, 2), "at most 20 elements in all, received 4 outputs, 3 inputs and 2 cells"),
        (lambda: overlaps(np.eye(3), 0), "positive integer numbers of outputs and cells.*received 0 outputs"),
        (lambda: gated(np.eye(1), 2, -1.0), "finite threshold >= 0, received -1.0"),
    ],
)
def test_wrong_input_is_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()

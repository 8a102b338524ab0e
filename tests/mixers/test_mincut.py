"""Minimum cuts against all labellings of grids that are small enough."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mixlab.mixers.mincut import minimum_cuts


def random_grids(grids, blocks, seed, spread, weight):
    """Convex costs, of very different size from place to place where ``spread`` is large, and weights of neighbours."""
    generator = np.random.default_rng(seed)
    size = np.exp(spread * generator.normal(size=(grids, blocks, blocks, 1)))
    steps = np.sort(size * generator.normal(size=(grids, blocks, blocks, 2)), axis=3)
    shapes = (grids, blocks - 1, blocks), (grids, blocks, blocks - 1)
    return steps, *(weight * generator.random(shape) for shape in shapes)


def cost_of(levels, steps, down, right):
    """What the levels 2z of one grid cost."""
    z = levels / 2
    own = np.where(levels > 0, steps[..., 0], 0) + np.where(levels > 1, steps[..., 1], 0)
    return own.sum() + (down * np.diff(z, axis=0) ** 2).sum() + (right * np.diff(z, axis=1) ** 2).sum()


@pytest.mark.parametrize("blocks", [1, 2])
@given(seed=st.integers(0, 10**6), spread=st.sampled_from([0.0, 1.0, 4.0]), weight=st.sampled_from([0.0, 1.0, 8.0]))
def test_no_labelling_is_cheaper(blocks, seed, spread, weight):
    grids = random_grids(3, blocks, seed, spread, weight)
    found = minimum_cuts(*grids).reshape(3, blocks, blocks)
    everything = np.array(list(itertools.product(range(3), repeat=blocks**2))).reshape(-1, blocks, blocks)
    for levels, *grid in zip(found, *grids):
        least = min(cost_of(each, *grid) for each in everything)
        assert cost_of(levels, *grid) == pytest.approx(least, abs=1e-7 * np.abs(grid[0]).sum())


def test_a_grid_does_not_depend_on_the_others_that_are_solved_with_it():
    grids = random_grids(40, 16, 0, 1.0, 2.0)  # two times sixteen and eight
    together = minimum_cuts(*grids)
    assert together.shape == (40, 256) and set(np.unique(together)) == {0, 1, 2}
    for q in (0, 15, 16, 39):
        assert np.array_equal(minimum_cuts(*(part[q : q + 1] for part in grids))[0], together[q])


def test_of_labellings_that_cost_the_same_the_smallest_is_found():
    nothing = np.zeros((1, 2, 2, 2)), np.ones((1, 1, 2)), np.ones((1, 2, 1))
    assert not minimum_cuts(*nothing).any()
    gained = nothing[0].copy()
    gained[0, 0, 0, 0] = -1.0  # ½ pays for itself there, and then costs nothing anywhere
    assert minimum_cuts(gained, *nothing[1:]).tolist() == [[1, 1, 1, 1]]
    assert minimum_cuts(gained, 0 * nothing[1], 0 * nothing[2]).tolist() == [[1, 0, 0, 0]]

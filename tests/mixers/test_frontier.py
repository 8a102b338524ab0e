"""The cheapest labelling of a grid: against all labellings, and against an integer programme."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from oracle import seeded
from scipy.optimize import Bounds, LinearConstraint, milp

from mixlab.mixers import frontier
from mixlab.mixers.frontier import cheapest


def random_grids(grids, height, width, labels, seed, spread=1.0):
    """Costs of any sign, those of neighbours different for every pair of cells and in both directions."""
    shapes = [(height, width, labels), (height, width - 1, labels, labels), (height - 1, width, labels, labels)]
    generator = seeded(seed)
    unary, right, down = (
        torch.randn(grids, *shape, generator=generator, dtype=torch.float64) for shape in shapes
    )
    return unary, spread * right, spread * down


def cost_of(choice, unary, right, down):
    """What a labelling ``(h, w)`` of one grid costs, one term after another."""
    height, width = choice.shape
    total = 0.0
    for i, j in itertools.product(range(height), range(width)):
        total += float(unary[i, j, choice[i, j]])
        if j + 1 < width:
            total += float(right[i, j, choice[i, j], choice[i, j + 1]])
        if i + 1 < height:
            total += float(down[i, j, choice[i, j], choice[i + 1, j]])
    return total


def costs_of_all(unary, right, down):
    """``(labels ** hw,)`` costs of all labellings of one grid, first cell foremost."""
    height, width, labels = unary.shape
    total = torch.zeros([labels] * (height * width), dtype=torch.float64)

    def add(costs, *cells):
        shape = [1] * (height * width)
        for cell in cells:
            shape[cell] = labels
        total.add_(costs.reshape(shape))

    for i, j in itertools.product(range(height), range(width)):
        cell = i * width + j
        add(unary[i, j], cell)
        if j + 1 < width:
            add(right[i, j], cell, cell + 1)
        if i + 1 < height:
            add(down[i, j], cell, cell + width)
    return total.flatten()


@given(
    size=st.sampled_from([(1, 1), (1, 4), (5, 1), (2, 2), (2, 3), (3, 2), (3, 3)]),
    labels=st.integers(1, 3),
    seed=st.integers(0, 10**6),
    spread=st.sampled_from([0.0, 0.1, 1.0, 10.0]),
)
def test_no_labelling_is_cheaper(size, labels, seed, spread):
    problem = random_grids(3, *size, labels, seed, spread)
    choices, costs = cheapest(*problem)
    assert choices.shape == (3, *size) and choices.dtype == torch.int64
    for q in range(3):
        own = [part[q] for part in problem]
        assert cost_of(choices[q], *own) == pytest.approx(float(costs[q]), abs=1e-9)
        assert float(costs[q]) == pytest.approx(float(costs_of_all(*own).min()), abs=1e-9)


@pytest.mark.parametrize("spread", [0.2, 1.0])
def test_no_labelling_of_four_by_four_cells_with_two_labels_is_cheaper(spread):
    problem = random_grids(4, 4, 4, 2, 5, spread)
    costs = cheapest(*problem)[1]
    least = [costs_of_all(*(part[q] for part in problem)).min() for q in range(4)]
    torch.testing.assert_close(costs, torch.stack(least))


def programme(unary, right, down):
    """The least cost of one grid as an integer programme: a variable for every label, and for every pair of them."""
    height, width, labels = unary.shape
    cells = height * width
    pairs = [(i * width + j, i * width + j + 1, right[i, j]) for i in range(height) for j in range(width - 1)]
    pairs += [(i * width + j, (i + 1) * width + j, down[i, j]) for i in range(height - 1) for j in range(width)]
    first_pair = cells * labels
    costs = torch.cat([unary.flatten(), *(each.flatten() for *_, each in pairs)]).numpy()
    rows, wanted = [], []
    for cell in range(cells):
        row = np.zeros(len(costs))
        row[cell * labels : (cell + 1) * labels] = 1
        rows.append(row)
        wanted.append(1)
    for number, (s, t, _) in enumerate(pairs):
        block = np.arange(labels**2).reshape(labels, labels) + first_pair + number * labels**2
        for label in range(labels):
            for cell, members in ((s, block[label]), (t, block[:, label])):
                row = np.zeros(len(costs))
                row[members], row[cell * labels + label] = 1, -1
                rows.append(row)
                wanted.append(0)
    whole = np.arange(len(costs)) < first_pair
    return milp(costs, constraints=LinearConstraint(np.array(rows), wanted, wanted), integrality=whole,
                bounds=Bounds(0, 1)).fun


@pytest.mark.parametrize("labels, seed", [(3, 0), (3, 1), (4, 2), (5, 3)])
def test_four_by_four_cells_cost_what_an_integer_programme_finds(labels, seed):
    problem = random_grids(1, 4, 4, labels, seed, 0.3)
    assert float(cheapest(*problem)[1]) == pytest.approx(programme(*(part[0] for part in problem)), abs=1e-6)


def test_infinite_costs_are_labels_that_a_cell_does_not_have():
    unary, right, down = random_grids(2, 3, 3, 3, 1)
    unary[:, 1, 1, :2] = torch.inf
    choices, costs = cheapest(unary, right, down)
    assert choices[:, 1, 1].tolist() == [2, 2] and bool(costs.isfinite().all())


def test_a_wide_grid_may_be_turned():
    unary, right, down = random_grids(2, 2, 9, 2, 3)
    turned = cheapest(unary.transpose(1, 2), down.transpose(1, 2), right.transpose(1, 2))
    choices, costs = cheapest(unary, right, down)
    torch.testing.assert_close(turned[1], costs)
    assert torch.equal(turned[0], choices.transpose(1, 2))


def test_shapes_and_sizes_that_cannot_be_are_named():
    unary, right, down = random_grids(1, 2, 3, 2, 0)
    with pytest.raises(ValueError, match=r"unary costs of shape \(Q, h, w, K\), received \(2, 3, 2\)"):
        cheapest(unary[0], right, down)
    with pytest.raises(ValueError, match=r"\(1, 2, 2, 2, 2\) and \(1, 1, 3, 2, 2\), received .*\(1, 1, 3, 2, 2\)"):
        cheapest(unary, down, down)
    width = 30
    wide = torch.zeros(1, 1, width, 2), torch.zeros(1, 1, width - 1, 2, 2), torch.zeros(1, 0, width, 2, 2)
    with pytest.raises(ValueError, match=f"<= {frontier.MOST_SUMS}, received 2 labels and a width of 30"):
        cheapest(*wide)

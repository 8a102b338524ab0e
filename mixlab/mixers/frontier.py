r"""The cheapest labelling of a small grid, exactly: dynamic programming along a frontier.

A grid of cells is labelled cell by cell, row after row. All that the next cells need to know of the past is how the
last w cells are labelled, w being the width: the frontier. So for every labelling of the frontier the cost of the
cheapest past is kept. A new cell joins it, the oldest one leaves it, and of its labels the cheapest is taken. With K
labels there are :math:`K^w` costs and :math:`K^{w+1}` sums for each cell, where trying all labellings takes
:math:`K^{hw}`. In a 4 x 4 grid with 3 labels that is 243 and 43 million.
"""

from functools import lru_cache

import torch
from torch import Tensor

__all__ = ["MOST_SUMS", "cheapest"]

#: The most sums for one cell of one grid, :math:`K^{w+1}`.
MOST_SUMS = 2**23


@lru_cache(maxsize=16)
def _digits(labels: int, width: int) -> Tensor:
    """``(labels ** width, width)``: the digits of all numbers of w digits in base ``labels``, the highest first.

    A labelling of w cells is numbered by its labels read as such digits, from left to right.
    """
    numbers = torch.arange(labels**width)[:, None]
    return numbers // labels ** torch.arange(width - 1, -1, -1) % labels


def cheapest(unary: Tensor, right: Tensor, down: Tensor) -> tuple[Tensor, Tensor]:
    r"""The labellings :math:`\ell` of Q grids that cost least.

    .. math:: \sum_t u_t(\ell_t) + \sum_{(s,t)} v_{st}(\ell_s, \ell_t)

    The sum with v is over horizontal and vertical neighbours. Each cell may have a choice of its own: label number a of
    one cell need not mean what it means in another.

    Args:
        unary: ``(Q, h, w, K)`` floating point, what each of K labels costs in each cell.
        right: ``(Q, h, w - 1, K, K)``, what labels of a cell (first) and of the one on its right (second) cost
            together.
        down: ``(Q, h - 1, w, K, K)``, the same for a cell and the one below it.

    Returns:
        ``(Q, h, w)`` int64 labels in 0..K-1, and ``(Q,)`` their costs. Of labellings that cost the same any one is
        taken, the same one every time.

    Raises:
        ValueError: for shapes that do not fit together, or where :math:`K^{w+1}` is more than ``MOST_SUMS``.

    Example:
        >>> unary = torch.tensor([[[[0.0, 1.0], [0.4, 0.0]]]])  # a row of two cells, two labels
        >>> unlike = torch.tensor([[[[[0.0, 0.5], [0.5, 0.0]]]]])
        >>> cheapest(unary, unlike, torch.zeros(1, 0, 2, 2, 2))  # apart they would take 0 and 1, which costs 0.5
        (tensor([[[0, 0]]]), tensor([0.4000]))
    """
    if unary.ndim != 4 or 0 in unary.shape:
        raise ValueError(f"expected unary costs of shape (Q, h, w, K), received {tuple(unary.shape)}")
    grids, height, width, labels = unary.shape
    fitting = (grids, height, width - 1, labels, labels), (grids, height - 1, width, labels, labels)
    if (right.shape, down.shape) != fitting:
        raise ValueError(f"expected costs of neighbours of shapes {fitting[0]} and {fitting[1]}, received "
                         f"{tuple(right.shape)} and {tuple(down.shape)}")
    if labels ** (width + 1) > MOST_SUMS:
        raise ValueError(f"expected few labels K and a narrow grid, K^(w+1) <= {MOST_SUMS}, received {labels} labels "
                         f"and a width of {width}: keep fewer labels, or turn the grid")
    # costs[q, s]: of the cheapest past, for labelling number s of the frontier, whose oldest cell is the first digit.
    costs, finished = unary.new_zeros(grids, 1), []
    for row in range(height):
        for column in range(width):
            own = unary[:, row, column]
            if row == 0:
                grown = costs[:, :, None].expand(-1, -1, labels)
            else:
                # The oldest cell, the one above, leaves. Axes: the grids, its label, the new cell's, all the others'.
                # The longest axis is the last one, which makes the minimum over the oldest fast.
                sums = costs.view(grids, labels, 1, -1) + down[:, row - 1, column, :, :, None]
                grown = sums.amin(1).mT
            if column == 0:
                costs = grown + own[:, None]
            else:
                with_left = right[:, row, column - 1] + own[:, None]
                costs = grown.reshape(grids, -1, labels, labels) + with_left[:, None]
            costs = costs.reshape(grids, -1)
        finished.append(costs)
    # Backwards: the last row is the cheapest of all its labellings, and each row before it that which goes best with
    # the row below it.
    total, number = costs.min(1)
    digits = _digits(labels, width).to(unary.device)
    rows = [digits[number]]
    for row in range(height - 2, -1, -1):
        below = rows[0][:, :, None, None].expand(-1, -1, labels, 1)
        joins, costs = down[:, row].gather(3, below)[..., 0], finished[row]
        for column in range(width):
            costs = costs.view(grids, labels**column, labels, -1) + joins[:, column, None, :, None]
        rows.insert(0, digits[costs.view(grids, -1).argmin(1)])
    return torch.stack(rows, dim=1), total

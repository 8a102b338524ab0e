r"""The cheapest z in {0, ½, 1} for every place of a square grid, exactly: one minimum cut.

What is minimised is the sum of two kinds of costs. Each place has a cost of its own, convex in z. Neighbours i and j
have :math:`w_{ij} (z_i - z_j)^2`, with :math:`w_{ij} \ge 0`.

**The graph.** A place becomes two nodes, "z >= ½" and "z = 1". A node on the source's side of the cut is true, one on
the sink's side is false. What a place costs by itself are arcs to the source or to the sink. Between neighbours, each
pair of equal nodes is joined both ways with capacity w/4, so that a difference of ½ costs w/4. A difference of 1 cuts
two such pairs, and one more arc of capacity 2w/4, from "z = 1" to the neighbour's "z >= ½": together w. So a cut costs
what its labelling does, up to a constant (Ishikawa, 2003).

"z = 1" without "z >= ½" has no meaning, and needs no arc to forbid it: costs are convex, so exchanging the two nodes
never costs more.

**Whole numbers.** SciPy's maximum flow takes int32 capacities. Each image has a unit of its own: 2^-28 of what can flow
out of its source or into its sink, whichever is less. So no sum overflows, however uneven the costs are. What is found
is the minimum of the rounded costs, and of several minima the one with the smallest z in every place. It does not
depend on what else is in the batch.
"""

from functools import lru_cache

import numpy as np

__all__ = ["minimum_cuts"]

# The flow through one image is at most this number of units, and no capacity is more than four times as large. A
# residual capacity is at most the sum of two opposite ones, 2^31 - 1 with what is taken off, which int32 holds.
_UNITS = 2**28
_WIDEST = 2**30 - 1

# So many nodes are solved at once: their graph lies in the cache. More are slower, by half for 100 images in 16 x 16.
_NODES_AT_ONCE = 2**13


def minimum_cuts(steps: np.ndarray, down: np.ndarray, right: np.ndarray) -> np.ndarray:
    """The cheapest labels of B grids of b x b places.

    Args:
        steps: ``(B, b, b, 2)`` floats: what it costs to raise z from 0 to ½ and from ½ to 1, the second at least as
            much as the first.
        down: ``(B, b - 1, b)`` weights w >= 0 of a place and the one below it; negative ones count as 0.
        right: ``(B, b, b - 1)``, the same for a place and the one on its right.

    Returns:
        ``(B, b * b)`` integers 2z, row by row.

    Source: H. Ishikawa, "Exact optimization for Markov random fields with convex priors", 2003.

    Example:
        >>> steps = np.array([[[-4.0, -4.0], [3.0, 3.0]], [[3.0, 3.0], [3.0, 3.0]]])[None]
        >>> free, tied = np.zeros((1, 1, 2)), np.full((1, 1, 2), 4.0)
        >>> minimum_cuts(steps, free, free.reshape(1, 2, 1)).tolist()
        [[2, 0, 0, 0]]
        >>> minimum_cuts(steps, tied, tied.reshape(1, 2, 1)).tolist()  # ½ gains 4, and two borders cost 4 · ¼
        [[1, 0, 0, 0]]
    """
    batch, blocks = steps.shape[:2]
    steps = steps.reshape(batch, -1)
    edges = np.concatenate([down.reshape(batch, -1), right.reshape(batch, -1)], axis=1)
    at_once = max(1, _NODES_AT_ONCE // steps.shape[1])
    starts = range(0, len(steps), at_once)
    return np.concatenate([_cut_together(steps[i : i + at_once], edges[i : i + at_once], blocks) for i in starts])


def _cut_together(steps: np.ndarray, edges: np.ndarray, blocks: int) -> np.ndarray:
    """One maximum flow through the graphs of all images side by side, which share nothing but source and sink."""
    # Here, since mixlab is imported without SciPy.
    from scipy.sparse import csr_matrix
    from scipy.sparse.csgraph import breadth_first_order, maximum_flow

    (batch, own_nodes), (order, heads, row_starts) = steps.shape, _arcs(blocks)
    gains, costs, halves = _capacities(steps, edges)
    back, to_source = np.zeros_like(halves), np.zeros_like(costs)
    arcs = np.concatenate([*[halves] * 4, *[2 * halves] * 2, back, back, to_source, costs], axis=1)[:, order]
    nodes, image = batch * own_nodes, np.arange(batch)[:, None]
    source, sink = nodes, nodes + 1
    heads = heads + np.where(heads < own_nodes, image * own_nodes, nodes - own_nodes)
    every = np.arange(nodes)
    # The rows of the source and of the sink come last: to every node, and the ways back.
    data = np.concatenate([arcs.ravel(), gains.ravel(), np.zeros(nodes)]).astype(np.int32)
    columns = np.concatenate([heads.ravel(), every, every]).astype(np.int32)
    ends = arcs.size + nodes * np.arange(3)
    rows = np.concatenate([(row_starts + image * arcs.shape[1]).ravel(), ends]).astype(np.int32)
    graph = csr_matrix((data, columns, rows), shape=(nodes + 2, nodes + 2))
    left = graph - maximum_flow(graph, source, sink).flow
    left.eliminate_zeros()
    # What the source still reaches is the smallest set of true nodes that a minimum cut has.
    reached = np.zeros(nodes + 2, dtype=np.uint8)
    reached[breadth_first_order(left, source, return_predecessors=False)] = 1
    return reached[:nodes].reshape(batch, -1, 2).sum(2)


@lru_cache(maxsize=16)
def _arcs(blocks: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The graph of one image as a sparse matrix has it: the order of its arcs, their heads, and where rows start.

    Node 2i is "z_i >= ½", node 2i + 1 is "z_i = 1"; the source comes after them, and then the sink. Before they are
    ordered, the arcs are: both ways between equal nodes of neighbours; from "= 1" to the neighbour's ">= ½"; the ways
    back, which carry nothing; to the source, the same; to the sink.
    """
    places = np.arange(blocks**2).reshape(blocks, blocks)
    half = 2 * np.concatenate([places[:-1].ravel(), places[:, :-1].ravel()])
    half_next = 2 * np.concatenate([places[1:].ravel(), places[:, 1:].ravel()])
    full, full_next, nodes = half + 1, half_next + 1, np.arange(2 * blocks**2)
    source, sink = np.full_like(nodes, len(nodes)), np.full_like(nodes, len(nodes) + 1)
    tails = np.concatenate([half, half_next, full, full_next, full, full_next, half_next, half, nodes, nodes])
    heads = np.concatenate([half_next, half, full_next, full, half_next, half, full, full_next, source, sink])
    order = np.lexsort((heads, tails))
    return order, heads[order], np.searchsorted(tails[order], nodes)


def _capacities(steps: np.ndarray, edges: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """int32 numbers: what the nodes ``(B, 2n)`` gain and cost by being true, and w/4 of the neighbours ``(B, E)``."""
    gains, costs = np.maximum(-steps, 0), np.maximum(steps, 0)
    totals = gains.sum(1), costs.sum(1)
    # Where one of the two is nearly nothing, a part of 1e-9 of the other will do as well.
    flow = np.maximum(np.minimum(*totals), 1e-9 * np.maximum(*totals))
    units = _UNITS / np.maximum(flow, 1e-200)[:, None]
    # An arc that could carry more than all the flow there is may as well carry a little more than that.
    gains, costs = (np.rint(np.minimum(each * units, _WIDEST)).astype(np.int32) for each in (gains, costs))
    halves = np.rint(np.minimum(np.maximum(edges, 0) * units / 4, _WIDEST // 2)).astype(np.int32)
    return gains, costs, halves

"""What mixlab's solvers of Puzzle Mix and Co-Mixup are measured against: alpha-beta swap, as the papers' code uses it.

Alpha-beta swap takes two labels at a time and moves cells between them by one minimum cut, until no pair of labels
lowers the energy. The cuts are those of the C++ library gco, through the package ``gco-wrapper``. It is no dependency
of mixlab and exists for few Pythons, so whoever wants these rows installs it (`pip install gco-wrapper`). Importing it
puts ``numpy.int`` and ``numpy.float`` back for the whole process. So it is imported by :func:`minimiser` alone, and
only a benchmark calls that.

The procedures around the cuts (`swap.puzzlemix`, `swap.comixup`) are written from a description of that code, and leave
out what costs it time and changes no answer: transfers between devices, worker processes, copies from queues.
"""

from collections.abc import Callable

import numpy as np

#: ``swap(unary (h, w, L), table (L, L), vertical (h - 1, w), horizontal (h, w - 1)) -> labels (h * w,)``: a labelling
#: of low energy  Σ_i unary[i, l_i] + Σ_edges weight · table[l_i, l_j],  started from label 0 everywhere.
Swap = Callable[[np.ndarray, np.ndarray, np.ndarray, np.ndarray], np.ndarray]


def minimiser() -> Swap:
    """gco's alpha-beta swap on a grid.

    It computes with 32-bit integers: a float unary is multiplied by 1e5, an edge by 1e3, the table by 1e2, and the
    rest is cut off. Numbers that are too large wrap around, without a word.

    Raises:
        ImportError: where gco-wrapper is not installed.
    """
    from gco import cut_grid_graph

    def swap(unary, table, vertical, horizontal):
        # The library reads memory row by row, whatever the strides.
        rows = (np.ascontiguousarray(each) for each in (unary, table, vertical, horizontal))
        return cut_grid_graph(*rows, algorithm="swap")

    return swap

r"""Why Co-Mixup's term for diversity may have a max, and what a gate for every input does to it.

A function g of sets is *supermodular* if :math:`g(S) + g(T) \le g(S \cup T) + g(S \cap T)` for all S and T: adding an
element is worth the more, the more is there already. It is *monotone* if :math:`S \subseteq T` implies
:math:`g(S) \le g(T)`. The overlap of outputs is both, as a function of the set of things shown, when A has no negative
entry: it is a sum of products of indicators with non-negative weights.

**Proposition.** If g is monotone and supermodular, so is :math:`h = \max\{\tau, g\}` for every τ.

*Proof.* h is monotone, as a maximum of two monotone functions. Write
:math:`I = g(S \cap T) \le g(S), g(T) \le g(S \cup T) = U`, which holds as g is monotone.

1. :math:`U \le \tau`: all four values of h are τ, and both sides are 2τ.
2. :math:`I \ge \tau`: h equals g at all four sets, and g is supermodular.
3. :math:`I < \tau < U`, so that the right side is :math:`U + \tau`.

   - Both g(S) and g(T) at most τ: the left side is :math:`2\tau < U + \tau`.
   - One of them, say g(S), at most τ: the left side is :math:`\tau + g(T) \le \tau + U`, as g is monotone.
   - Both above τ: the left side is :math:`g(S) + g(T) \le U + I < U + \tau`, as g is supermodular. ∎

Without monotony it fails: see the example of :func:`violation`.

**What the public code has instead.** It charges input i in output j with :math:`v_i = (A \sum_{j' \ne j} o_{j'})_i`
only if :math:`v_i > \tau n`, and with nothing otherwise. That gate jumps. Where :math:`v_i` rises in steps of 1 past
t = τn, the charge rises by 0, then by more than t at once, then by 1 a step. So an element that comes earlier is worth
more than one that comes later, and the sum of charges is not supermodular (:func:`gated` has an example). A gate
without the jump, :math:`\max\{0, v_i - t\}`, is convex, and the sum of charges is supermodular again: each is a product
of two monotone supermodular functions that are not negative, namely the number of cells and the charge of each.
"""

from collections.abc import Sequence

import numpy as np

from mixlab.checks import real, whole

__all__ = ["gated", "overlaps", "violation"]

# A table has an entry for every set of so many elements at most: a million entries.
_MOST_ELEMENTS = 20


def violation(values: Sequence[float] | np.ndarray) -> float:
    r"""How far a function of sets is from being supermodular.

    .. math:: \max_{S,\ a \ne b \notin S}\ g(S + a) + g(S + b) - g(S + a + b) - g(S)

    The inequality for all pairs of sets follows from that for pairs of elements, by adding elements one at a time.

    Args:
        values: ``(2**E,)``, g of every set of E elements: element e is in set number s if bit e of s is 1. E <= 20.

    Returns:
        At most 0 if and only if g is supermodular, up to rounding; minus infinity for fewer than two elements.

    Raises:
        ValueError: for another number of values.

    Example:
        Of the two elements one is worth 1 and the other -1. That is supermodular, as it is additive, and not monotone.
        Its maximum with 0 is not supermodular:

        >>> g = np.array([0.0, 1.0, -1.0, 0.0])
        >>> violation(g), violation(np.maximum(0.0, g))
        (0.0, 1.0)
    """
    table = np.asarray(values, dtype=float)
    elements = max(len(table), 1).bit_length() - 1
    if table.ndim != 1 or len(table) != 2**elements or elements > _MOST_ELEMENTS:
        raise ValueError(f"expected a value for each of the 2**E sets of E <= {_MOST_ELEMENTS} elements, received "
                         f"shape {table.shape}")
    worst = -np.inf
    for a in range(elements):
        for b in range(a):
            # Axes: higher bits, bit a, bits between, bit b, lower bits.
            g = table.reshape(-1, 2, 2 ** (a - b - 1), 2, 2**b)
            worst = max(worst, float((g[:, 1, :, 0] + g[:, 0, :, 1] - g[:, 1, :, 1] - g[:, 0, :, 0]).max()))
    return worst


def overlaps(compatibility: np.ndarray, outputs: int, cells: int = 1) -> np.ndarray:
    r"""The overlap :math:`\sum_j \sum_{j' \ne j} o_j^\top A\, o_{j'}` of every set of things shown.

    An element (j, i, k) says that output j shows input i in cell k; :math:`o_{ji}` counts the cells. A mask has one
    input in each cell. The function is defined for all sets, as supermodularity asks for.

    Args:
        compatibility: ``(m, m)``, A, symmetric.
        outputs: number of outputs m'.
        cells: number of cells n; m' · m · n <= 20.

    Returns:
        ``(2 ** (m' m n),)``; element (j, i, k) is bit :math:`(jm + i)n + k`.

    Raises:
        ValueError: for another shape, or too many elements.

    Example:
        One input, two outputs: they overlap if both show it.

        >>> overlaps(np.eye(1), outputs=2)
        array([0., 0., 0., 2.])
    """
    counts, a = _counts(compatibility, outputs, cells)
    total = counts.sum(1)
    return np.einsum("si,ik,sk->s", total, a, total) - np.einsum("sji,ik,sjk->s", counts, a, counts)


def gated(
    compatibility: np.ndarray, outputs: int, threshold: float, cells: int = 1, *, jump: bool = True
) -> np.ndarray:
    r"""The charges :math:`\sum_j \sum_i o_{ji}\, \mathrm{gate}(v_{ji})`, :math:`v_j = A \sum_{j' \ne j} o_{j'}`.

    Args:
        compatibility: ``(m, m)``, A, symmetric.
        outputs: number of outputs m'.
        threshold: t, in cells; the public code has τn.
        cells: number of cells n; m' · m · n <= 20.
        jump: whether the gate is v where v > t and 0 elsewhere, as is the public code's default, or max{0, v - t}.

    Returns:
        ``(2 ** (m' m n),)``, numbered as in :func:`overlaps`. With t = 0 these are the overlaps.

    Raises:
        ValueError: as :func:`overlaps`, or for a threshold that is negative or no number.

    Example:
        Two outputs of one input. The first shows one cell of it, the second one, two or three:

        >>> charges = gated(np.eye(1), outputs=2, threshold=1.0, cells=3)
        >>> charges[[0b001_001, 0b011_001, 0b111_001]]  # the second cell adds 2, and the third only 1
        array([0., 2., 3.])
        >>> violation(charges), violation(gated(np.eye(1), outputs=2, threshold=1.0, cells=3, jump=False))
        (3.0, 0.0)
    """
    if not real(threshold) or not 0 <= threshold < np.inf:
        raise ValueError(f"expected a finite threshold >= 0, received {threshold!r}")
    counts, a = _counts(compatibility, outputs, cells)
    seen = (counts.sum(1, keepdims=True) - counts) @ a
    charge = np.where(seen > threshold, seen, 0.0) if jump else np.maximum(0.0, seen - threshold)
    return (counts * charge).sum((1, 2))


def _counts(compatibility: np.ndarray, outputs: int, cells: int) -> tuple[np.ndarray, np.ndarray]:
    """``(sets, m', m)``: of how many cells of an input each output consists, for every set; and A as numbers."""
    a = np.asarray(compatibility, dtype=float)
    if a.ndim != 2 or a.shape[0] != a.shape[1] or not len(a) or not np.array_equal(a, a.T):
        raise ValueError(f"expected a symmetric matrix A of shape (m, m), received shape {a.shape}")
    if not (whole(outputs) and whole(cells)) or min(outputs, cells) < 1 or outputs * len(a) * cells > _MOST_ELEMENTS:
        raise ValueError(f"expected positive integer numbers of outputs and cells, and at most {_MOST_ELEMENTS} "
                         f"elements in all, received {outputs!r} outputs, {len(a)} inputs and {cells!r} cells")
    elements = outputs * len(a) * cells
    members = np.arange(2**elements)[:, None] >> np.arange(elements) & 1
    return members.reshape(-1, outputs, len(a), cells).sum(3).astype(float), a

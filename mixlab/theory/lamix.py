r"""How far LaMix's global label can be from uniform.

The label is the softmax of C scores in (0, 1), since they went through a sigmoid. So no class can weigh more than e
times as much as another, and the label stays near the uniform one: as a distribution within 0.1233 nats of it, however
many classes there are.
"""

from __future__ import annotations

import math

from mixlab.checks import whole

__all__ = ["corner_entropy", "entropy_bound", "p_max", "variation_bound"]


def p_max(classes: int) -> float:
    r"""The largest entry that a softmax of scores in [0, 1] can have: :math:`e / (e + C - 1)`.

    One score is 1 and the others are 0, since the entry grows with its own score and falls with every other. The
    sigmoid comes as close as one likes and does not get there.

    Args:
        classes: number of scores C, an integer >= 1.

    Raises:
        ValueError: for another number of classes.

    Example:
        >>> [round(p_max(classes), 4) for classes in (10, 100, 200)]
        [0.232, 0.0267, 0.0135]
    """
    _check(classes, 1)
    return math.e / (math.e + classes - 1)


def corner_entropy(classes: int, ones: int) -> float:
    r"""The entropy of a softmax of scores of which some are 1 and the others 0, as a part of :math:`\log C`.

    .. math::
        \frac{\log Z - m e / Z}{\log C}, \qquad Z = m e + C - m .

    Args:
        classes: number of scores C, an integer >= 2.
        ones: how many of them are 1: m in 0..C.

    Raises:
        ValueError: for other numbers.

    Example:
        One class with all that the sigmoid allows it:

        >>> [round(corner_entropy(classes, 1), 3) for classes in (10, 100, 200)]
        [0.968, 0.998, 0.999]
    """
    _check(classes, 2)
    if not whole(ones) or not 0 <= ones <= classes:
        raise ValueError(f"expected an integer number of ones in 0..{classes}, received {ones!r}")
    total = ones * math.e + classes - ones
    return (math.log(total) - ones * math.e / total) / math.log(classes)


def entropy_bound(classes: int) -> float:
    r"""The least entropy of a softmax of scores in [0, 1], as a part of :math:`\log C`, the uniform one's.

    It is at a corner of the cube of scores, and there only the number m of ones matters: the least
    :func:`corner_entropy`. One class at its largest is not the worst case, about a third of the classes at 1 is.

    *Why a corner.* :math:`\partial H / \partial z_i = -p_i (\log p_i + H)`. Where the bracket is zero it grows with
    :math:`z_i`, at the rate :math:`1 - p_i`. So along each axis H first rises and then falls, and is least at an end.

    *How low for many classes.* With :math:`u = Z / C` the distance :math:`\log C - H` is
    :math:`\frac{e}{e-1} (1 - \frac1u) - \log u`, largest at :math:`u = \frac{e}{e-1}`, where it is
    :math:`\frac{1}{e-1} - 1 + \log(e - 1) = 0.1233` nats. That bounds the distance for every C, since there m may be
    any real number.

    Args:
        classes: number of scores C, an integer >= 2.

    Returns:
        The quotient, in (0, 1).

    Raises:
        ValueError: for another number of classes.

    Example:
        >>> [round(entropy_bound(classes), 3) for classes in (10, 100, 200)]
        [0.947, 0.973, 0.977]
    """
    _check(classes, 2)
    return min(corner_entropy(classes, ones) for ones in range(classes + 1))


def variation_bound(classes: int) -> float:
    r"""The largest total variation distance of a softmax of scores in [0, 1] to the uniform distribution.

    That is the part of its weight that lies elsewhere: :math:`\max_A\, (p(A) - |A| / C)` over sets A of classes.

    *Why a corner.* A higher score in A raises :math:`p(A)`, and a higher one outside lowers it. So with m classes in A
    it is largest where their scores are 1 and all others 0, and the distance is at most

    .. math::
        \max_m \Bigl( \frac{m e}{m e + C - m} - \frac{m}{C} \Bigr) .

    *How large for many classes.* With :math:`t = m / C` the bracket is
    :math:`\frac{(e - 1)\, t (1 - t)}{1 + (e - 1)\, t}`, largest at :math:`t = \frac{1}{\sqrt e + 1}`, where it is
    :math:`\frac{\sqrt e - 1}{\sqrt e + 1} = \tanh \frac14 = 0.2449`. That bounds the distance for every C, since
    there m may be any real number.

    Args:
        classes: number of scores C, an integer >= 1.

    Returns:
        The distance, in [0, tanh(1/4)).

    Raises:
        ValueError: for another number of classes.

    Example:
        >>> [round(variation_bound(classes), 4) for classes in (2, 10, 100)]
        [0.2311, 0.2444, 0.2449]
    """
    _check(classes, 1)
    return max(ones * math.e / (ones * math.e + classes - ones) - ones / classes for ones in range(classes + 1))


def _check(classes: int, least: int) -> None:
    if not whole(classes) or classes < least:
        raise ValueError(f"expected an integer number of classes of at least {least}, received {classes!r}")

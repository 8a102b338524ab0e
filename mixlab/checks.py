"""What counts as a number where one is asked for."""

from collections.abc import Sequence
from numbers import Integral, Real

__all__ = ["numbers", "real", "whole"]


def whole(value: object) -> bool:
    """Whether a value is an integer of any kind, numpy's too; Python's bools are integers, and no counts.

    Example:
        >>> whole(3), whole(3.0), whole(True)
        (True, False, False)
    """
    return isinstance(value, Integral) and not isinstance(value, bool)


def real(value: object) -> bool:
    """Whether a value is a real number of any kind, numpy's too; infinities and NaN are, bools and tensors are not.

    Example:
        >>> real(3), real(0.5), real(True), real("0.5")
        (True, True, False, False)
    """
    return isinstance(value, Real) and not isinstance(value, bool)


def numbers(values: object) -> list[float] | None:
    """The real numbers in a sequence, or in an array or tensor of one axis; None for anything else.

    Example:
        >>> numbers((1, 0.5)), numbers(0.5), numbers(["a"]), numbers([[1.0]])
        ([1.0, 0.5], None, None, None)
    """
    values = values.tolist() if hasattr(values, "tolist") else values
    return [float(each) for each in values] if isinstance(values, Sequence) and all(map(real, values)) else None

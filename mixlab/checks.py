"""What counts as a whole number where one is asked for."""

from numbers import Integral

__all__ = ["whole"]


def whole(value: object) -> bool:
    """Whether a value is an integer of any kind, numpy's too; Python's bools are integers, and no counts.

    Example:
        >>> whole(3), whole(3.0), whole(True)
        (True, False, False)
    """
    return isinstance(value, Integral) and not isinstance(value, bool)

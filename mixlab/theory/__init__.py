"""Closed forms that chapters and tests share: what can be said of a method without training anything.

One file per method. Plain Python numbers in and out, and arrays where there are many.
"""

from mixlab.theory.lamix import corner_entropy, entropy_bound, p_max, variation_bound
from mixlab.theory.supermodular import gated, overlaps, violation

__all__ = ["corner_entropy", "entropy_bound", "gated", "overlaps", "p_max", "variation_bound", "violation"]

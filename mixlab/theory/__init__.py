"""Closed forms that chapters and tests share: what can be said of a method without training anything.

One file per method. Plain Python numbers in and out.
"""

from mixlab.theory.lamix import corner_entropy, entropy_bound, p_max, variation_bound

__all__ = ["corner_entropy", "entropy_bound", "p_max", "variation_bound"]

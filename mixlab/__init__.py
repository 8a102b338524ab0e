"""mixlab: image mixing for people who train networks.

A mixing method is a distribution over sources and masks. A mixer draws one sample of it, a :class:`Mix`; the Mix is
applied to images, and makes their targets.
"""

from mixlab import mixers, priors
from mixlab.mix import Mix

__all__ = ["Mix", "__version__", "mixers", "priors"]

__version__ = "0.1.0"

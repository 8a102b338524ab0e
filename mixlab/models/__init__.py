"""Networks of the papers' tables, built by name with initial weights from a generator.

``build`` makes them; one of ours is a ``Staged`` chain of named stages and a head, which Manifold Mixup can reach into.
``inference`` asks one without changing it, ``tap`` reads a hidden layer, ``noise`` gives dropout and its relatives a
generator, ``mc_dropout`` samples predictions with dropout on, ``Teacher`` keeps one as it is. One file per
architecture.
"""

from mixlab.models.inference import inference
from mixlab.models.initialise import initialise
from mixlab.models.mc_dropout import mc_dropout
from mixlab.models.noise import noise
from mixlab.models.registry import NAMES, build
from mixlab.models.regularisers import Regularisers
from mixlab.models.staged import Staged
from mixlab.models.tap import tap
from mixlab.models.teacher import Teacher

__all__ = [
    "NAMES",
    "Regularisers",
    "Staged",
    "Teacher",
    "build",
    "inference",
    "initialise",
    "mc_dropout",
    "noise",
    "tap",
]

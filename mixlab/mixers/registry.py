"""Mixers by name, for command lines and records."""

from mixlab.mixers.base import Mixer
from mixlab.mixers.controls import CONTROLS
from mixlab.mixers.dropout import Cutout, GridMask
from mixlab.mixers.linear import SMOTE, DMixup, Identity, Mixup
from mixlab.mixers.regional import CutMix, DCutMix, PastedCutMix, UnclippedCutMix

__all__ = ["MIXERS", "build_mixer"]

#: The name of every mixer that is built from plain numbers.
MIXERS: dict[str, type[Mixer]] = {
    "none": Identity,
    "mixup": Mixup,
    "dmixup": DMixup,
    "cutmix": CutMix,
    "unclipped-cutmix": UnclippedCutMix,
    "dcutmix": DCutMix,
    "pasted-cutmix": PastedCutMix,
    "cutout": Cutout,
    "gridmask": GridMask,
    "smote": SMOTE,
}


def build_mixer(name: str, **options) -> Mixer:
    """Build a mixer, or one of the book's controls, from its name and its arguments.

    Raises:
        ValueError: for an unknown name, or an argument that the mixer does not have.

    Example:
        >>> build_mixer("dcutmix", k=5, alpha=0.2).k
        5
    """
    kinds = MIXERS | CONTROLS
    if name not in kinds:
        raise ValueError(f"expected a mixer of {sorted(kinds)}, received {name!r}")
    kind = kinds[name]
    known = set(kind.__dataclass_fields__)
    if not set(options) <= known:
        raise ValueError(f"expected options of {name} among {sorted(known)}, received {sorted(set(options) - known)}")
    return kind(**options)

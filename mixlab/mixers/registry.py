"""Mixers as plain data, for command lines and records: `to_config` and `from_config`."""

from collections.abc import Mapping
from dataclasses import MISSING, fields

import torch
from torch import Tensor

from mixlab.mixers.base import Mixer
from mixlab.mixers.comixup import CoMixup
from mixlab.mixers.compose import OneOf, PerSample, Sometimes
from mixlab.mixers.controls import CONTROLS, DistinctPredictions, ReplacedSaliency, SharesInBoxes, ShuffledMasks
from mixlab.mixers.dropout import Cutout, GridMask
from mixlab.mixers.lamix import Average, Relabelled
from mixlab.mixers.linear import SMOTE, DMixup, Identity, Mixup
from mixlab.mixers.puzzlemix import PuzzleMix
from mixlab.mixers.regional import CutMix, DCutMix, PastedCutMix, UnclippedCutMix
from mixlab.mixers.supermix import SuperMix
from mixlab.models.teacher import Teacher

__all__ = ["MIXERS", "from_config", "to_config"]

#: The name of every method that is built from plain numbers.
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
    "average": Average,
    "puzzlemix": PuzzleMix,
    "comixup": CoMixup,
}
#: Mixers made of mixers.
WRAPPERS: dict[str, type[Mixer]] = {
    "sometimes": Sometimes,
    "per-sample": PerSample,
    "one-of": OneOf,
    "relabelled": Relabelled,
    "replaced-saliency": ReplacedSaliency,
    "shares-in-boxes": SharesInBoxes,
    "shuffled-masks": ShuffledMasks,
}
#: Mixers that ask a teacher.
TAUGHT: dict[str, type[Mixer]] = {"supermix": SuperMix, "distinct-predictions": DistinctPredictions}


def _kinds() -> dict[str, type[Mixer]]:
    """All of these, and the book's controls."""
    return MIXERS | CONTROLS | WRAPPERS | TAUGHT


def from_config(config: Mapping) -> Mixer:
    """Build a mixer from plain data, as a record or a command line has it.

    Args:
        config: ``{"name": "dcutmix", "k": 5}``: a name of ``MIXERS``, of the book's controls, of ``WRAPPERS``, which
            hold a ``mixer`` ("one-of": ``mixers``), or of ``TAUGHT``, which hold a ``teacher`` as
            :meth:`mixlab.models.Teacher.from_config` reads it; beside it the mixer's arguments. What is left out has
            its default.

    Raises:
        ValueError: for anything but a mapping, an unknown name, an argument that is superfluous or missing, or the file
            of another teacher.

    Example:
        >>> from_config({"name": "sometimes", "p": 0.5, "mixer": {"name": "dcutmix", "k": 5}}).mixer.k
        5
    """
    if not isinstance(config, Mapping):
        raise ValueError(f"expected a mixer such as {{'name': 'mixup'}}, received {config!r}")
    options = dict(config)
    name, kinds = options.pop("name", None), _kinds()
    if not isinstance(name, str) or name not in kinds:
        raise ValueError(f"expected a mixer of {sorted(kinds)}, received {name!r}")
    known = {each.name: each for each in fields(kinds[name])}
    if unknown := sorted(set(options) - set(known)):
        raise ValueError(f"expected options of {name} among {sorted(known)}, received {unknown}")
    needed = {each.name for each in known.values() if each.default is MISSING}
    if not needed <= set(options):
        raise ValueError(f"expected {name} with {sorted(needed)}, received {sorted(options)}")
    if "mixer" in options:
        options["mixer"] = from_config(options["mixer"])
    if isinstance(options.get("mixers"), (list, tuple)):
        options["mixers"] = [from_config(each) for each in options["mixers"]]
    if isinstance(options.get("teacher"), Mapping):
        options["teacher"] = Teacher.from_config(options["teacher"])
    if isinstance(options.get("fill"), list):
        options["fill"] = torch.tensor(options["fill"], dtype=torch.float32)
    return kinds[name](**options)


def to_config(mixer: Mixer) -> dict:
    """A mixer as plain data that JSON keeps; `from_config` gives an equal mixer back.

    Args:
        mixer: any mixer of this package, wrappers included. Arguments at their defaults are left out. A ``fill`` that
            is a tensor becomes nested lists, or a number if it has no axes; lists come back as a float32 tensor.

    Raises:
        ValueError: for a mixer that has no name here or a ``labels_getter``, or a teacher that has no file.

    Example:
        >>> to_config(Sometimes(CutMix(), 0.5))
        {'name': 'sometimes', 'mixer': {'name': 'cutmix'}, 'p': 0.5}
        >>> from_config(to_config(CutMix(0.2))) == CutMix(0.2)
        True
    """
    names = {kind: name for name, kind in _kinds().items()}
    if type(mixer) not in names:
        raise ValueError(f"expected a mixer of {sorted(names.values())}, received {mixer!r}")
    config = {"name": names[type(mixer)]}
    if mixer.labels_getter != "default":
        raise ValueError(f"expected a mixer without a labels_getter, which is no plain data, received one of {mixer!r}")
    for each in fields(mixer):
        plain = _plain(getattr(mixer, each.name))
        if plain != _plain(each.default):
            config[each.name] = plain
    return config


def _plain(value: object) -> object:
    if isinstance(value, Mixer):
        return to_config(value)
    if isinstance(value, Teacher):
        return value.to_config()
    if isinstance(value, Tensor):
        return value.tolist()
    return [_plain(each) for each in value] if isinstance(value, (list, tuple)) else value

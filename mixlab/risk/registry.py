"""Risks by name, from plain data: how a record or a command line says what was minimised."""

from __future__ import annotations

from collections.abc import Mapping

from torch import nn

from mixlab.mixers import ManifoldMixup, OneOf, PerSample, Sometimes, build_mixer
from mixlab.risk.empirical import EmpiricalRisk
from mixlab.risk.manifold import ManifoldRisk
from mixlab.risk.vicinal import VicinalRisk


def build_risk(spec: Mapping) -> nn.Module:
    """The risk that a specification names.

    Args:
        spec: `{"name": "empirical", "label_smoothing": 0.1}`, `{"name": "vicinal", "mixer": {...}}` or
            `{"name": "manifold", "mixer": {...}, "layers": [...]}`. A mixer is `{"name": "dcutmix", "k": 5, ...}` as
            `mixlab.mixers.build_mixer` takes it; "sometimes" and "per-sample" hold a `mixer` and a probability `p`,
            "one-of" holds `mixers` and `probabilities`.

    Raises:
        ValueError: if the name is unknown or an option is missing or superfluous.

    Example:
        >>> build_risk({"name": "empirical", "label_smoothing": 0.1})
        EmpiricalRisk(label_smoothing=0.1)
    """
    options = dict(spec)
    name = options.pop("name", None)
    if name not in BUILDERS:
        raise ValueError(f"expected a risk of {', '.join(BUILDERS)}, received {name!r}")
    try:
        return BUILDERS[name](**options)
    except (TypeError, KeyError) as error:
        raise ValueError(f"risk {name!r} cannot be built from {options}: {error}") from error


def _vicinal(mixer: Mapping) -> VicinalRisk:
    return VicinalRisk(_mixer(mixer))


def _manifold(mixer: Mapping, layers: list[str]) -> ManifoldRisk:
    return ManifoldRisk(ManifoldMixup(_mixer(mixer), layers=layers))


def _mixer(spec: Mapping):
    if not isinstance(spec, Mapping):
        raise ValueError(f"expected a mixer such as {{'name': 'mixup'}}, received {spec!r}")
    options = dict(spec)
    name = options.pop("name", None)
    if name in ("sometimes", "per-sample"):
        return {"sometimes": Sometimes, "per-sample": PerSample}[name](_mixer(options.pop("mixer")), **options)
    if name == "one-of":
        return OneOf([_mixer(each) for each in options.pop("mixers")], **options)
    return build_mixer(name, **options)


BUILDERS = {"empirical": EmpiricalRisk, "vicinal": _vicinal, "manifold": _manifold}

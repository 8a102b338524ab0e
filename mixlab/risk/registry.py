"""Risks by name, from plain data: how a record or a command line says what was minimised."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Generator, nn

from mixlab.mixers import ManifoldMixup, from_config
from mixlab.risk.base import Risk
from mixlab.risk.empirical import EmpiricalRisk
from mixlab.risk.lamix import LaMixRisk, linear_head
from mixlab.risk.manifold import ManifoldRisk
from mixlab.risk.saliency import SaliencyRisk
from mixlab.risk.vicinal import VicinalRisk

#: The risk of every name.
RISKS: dict[str, type[Risk]] = {
    "empirical": EmpiricalRisk,
    "vicinal": VicinalRisk,
    "manifold": ManifoldRisk,
    "lamix": LaMixRisk,
    "saliency": SaliencyRisk,
}


def build_risk(
    spec: Mapping, *, model: nn.Module | None = None, classes: int | None = None, generator: Generator | None = None
) -> Risk:
    """The risk that a specification names, for a network and its data.

    Args:
        spec: `{"name": "empirical", "label_smoothing": 0.1}`, `{"name": "vicinal", "mixer": {...}}`,
            `{"name": "manifold", "mixer": {...}, "layers": [...]}`, `{"name": "lamix", "beta": 0.5}` or
            `{"name": "saliency", "mixer": {...}, "clean": 1.0}`, with the arguments of the risk's class. A mixer is
            what `mixlab.mixers.from_config` takes: `{"name": "dcutmix", "k": 5, ...}`. LaMix finds the network's linear
            head (`layer`) and the scale of its logits (`scale`: the network's `logit_scale`, 1 if it has none), unless
            they are given.
        model: the network to be trained. A risk looks at it and does not keep it.
        classes: number of logits.
        generator: source of initial weights, for a risk that has some. The risks that need none of the three do
            without.

    Raises:
        ValueError: if the name is unknown, an option is missing or superfluous, or the risk needs a network and a
            number of classes and they are not there or do not fit.

    Example:
        >>> build_risk({"name": "empirical", "label_smoothing": 0.1})
        EmpiricalRisk(label_smoothing=0.1)
    """
    options = dict(spec) if isinstance(spec, Mapping) else {"name": spec}
    name = options.pop("name", None)
    if not isinstance(name, str) or name not in RISKS:
        raise ValueError(f"expected a risk of {', '.join(RISKS)}, received {name!r}")
    if "mixer" in options:
        options["mixer"] = from_config(options["mixer"])
    try:
        if name == "manifold":
            return _manifold(**options)
        if name == "lamix":
            return _lamix(model, classes, generator, **options)
        return RISKS[name](**options)
    except TypeError as error:
        raise ValueError(f"risk {name!r} cannot be built from {options}: {error}") from error


def _lamix(
    model: nn.Module | None, classes: int | None, generator: Generator | None, layer: str | None = None, **options
) -> LaMixRisk:
    if model is None or classes is None:
        raise ValueError("expected a model and a number of classes for the risk 'lamix', whose head depends on them, "
                         f"received {'no model' if model is None else 'no number of classes'}")
    layer, linear = linear_head(model, classes, layer)
    options = {"scale": getattr(model, "logit_scale", 1.0)} | options
    return LaMixRisk(classes, linear.in_features, layer=layer, generator=generator, **options)


def _manifold(mixer, layers: list[str]) -> ManifoldRisk:
    return ManifoldRisk(ManifoldMixup(mixer, layers=layers))

"""Risks by name, from plain data: how a record or a command line says what was minimised."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Generator, nn

from mixlab.data import Dataset
from mixlab.data.mixed import read_mixed
from mixlab.generator.stored import SampleGenerator
from mixlab.mixers import ManifoldMixup, from_config
from mixlab.models import Teacher
from mixlab.risk.base import Risk
from mixlab.risk.crd import CRDRisk
from mixlab.risk.distillation import DistillationRisk
from mixlab.risk.empirical import EmpiricalRisk
from mixlab.risk.generated import GeneratedRisk
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
    "distillation": DistillationRisk,
    "crd": CRDRisk,
    "generated": GeneratedRisk,
}
#: What is read from a file of a frozen network, by the name of the option.
FROZEN = {"teacher": Teacher, "classifier": Teacher, "generator_net": SampleGenerator}


def build_risk(
    spec: Mapping, *, model: nn.Module | None = None, classes: int | None = None, generator: Generator | None = None,
    data: Dataset | None = None,
) -> Risk:
    """The risk that a specification names, for a network and its data.

    Args:
        spec: `{"name": "empirical", "label_smoothing": 0.1}`, `{"name": "vicinal", "mixer": {...}}`,
            `{"name": "manifold", "mixer": {...}, "layers": [...]}`, `{"name": "lamix", "beta": 0.5}`,
            `{"name": "saliency", "mixer": {...}, "clean": 1.0}`, `{"name": "distillation", "teacher": {...},
            "images": "made/cutmix"}` or `{"name": "generated", "generator_net": {...}, "mixer": {...}}`, with the
            arguments of the risk's class. A mixer is what
            `mixlab.mixers.from_config` takes: `{"name": "dcutmix", "k": 5, ...}`. LaMix finds the network's linear head
            (`layer`) and the scale of its logits (`scale`: the network's `logit_scale`, 1 if it has none), unless they
            are given; "crd" finds the heads of both networks, and has rows and labels from the data. A teacher is
            `{"checkpoint": "teacher.pt", "checksum": "..."}`, the checksum if it is to be compared, and `mean` and
            `std` of the images that it is given, and so are the classifier and the generator of "generated"; `images`
            is the folder of a written set. `"pool": True` has "generated" make its images of the training rows,
            whatever is in the batch.
        model: the network to be trained. A risk looks at it and does not keep it.
        classes: number of logits.
        generator: source of initial weights, for a risk that has some.
        data: what is trained on. Frozen networks (a mixer's teacher, too) and written sets for which no `mean` and
            `std` are given have those by which its images are normalised. A risk that needs none of the four does
            without.

    Raises:
        ValueError: if the name is unknown, an option is missing or superfluous, the risk needs a network, a number of
            classes or data and they are not there or do not fit, or a file is damaged or another one.
        FileNotFoundError: if a frozen network's file or a written set is not there.

    Example:
        >>> build_risk({"name": "empirical", "label_smoothing": 0.1})
        EmpiricalRisk(label_smoothing=0.1)
    """
    options = _normalised(spec, data) if isinstance(spec, Mapping) else {"name": spec}
    name = options.pop("name", None)
    if not isinstance(name, str) or name not in RISKS:
        raise ValueError(f"expected a risk of {', '.join(RISKS)}, received {name!r}")
    if "mixer" in options:
        options["mixer"] = from_config(options["mixer"])
    for option in FROZEN.keys() & options.keys():
        options[option] = FROZEN[option].from_config(options[option])
    if "images" in options and name != "generated":  # there it says what kind of images
        options["images"] = read_mixed(options["images"])[0]
    try:
        if name == "manifold":
            return _manifold(**options)
        if name == "lamix":
            return _lamix(model, classes, generator, **options)
        if name == "crd":
            return _crd(model, classes, generator, data, **options)
        if name == "generated":
            return _generated(data, **options)
        return RISKS[name](**options)
    except TypeError as error:
        raise ValueError(f"risk {name!r} cannot be built from {options}: {error}") from error


def _normalised(spec: Mapping, data: Dataset | None) -> dict:
    """A specification in which networks and sets know the moments of the data, where they are given none."""
    moments = {} if data is None else {"mean": data.mean, "std": data.std}
    inner = {name: _normalised(part, data) if isinstance(part, Mapping) else part for name, part in spec.items()}
    for option in FROZEN:
        if isinstance(inner.get(option), dict):
            inner[option] = moments | inner[option]
    return moments | inner if "images" in inner and inner.get("name") != "generated" else inner


def _lamix(
    model: nn.Module | None, classes: int | None, generator: Generator | None, layer: str | None = None, **options
) -> LaMixRisk:
    if model is None or classes is None:
        raise ValueError("expected a model and a number of classes for the risk 'lamix', whose head depends on them, "
                         f"received {'no model' if model is None else 'no number of classes'}")
    layer, linear = linear_head(model, classes, layer)
    options = {"scale": getattr(model, "logit_scale", 1.0)} | options
    return LaMixRisk(classes, linear.in_features, layer=layer, generator=generator, **options)


def _crd(
    model: nn.Module | None, classes: int | None, generator: Generator | None, data: Dataset | None, teacher: Teacher,
    layer: str | None = None, teacher_layer: str | None = None, **options,
) -> CRDRisk:
    if model is None or classes is None or data is None:
        raise ValueError("expected a model, a number of classes and data for the risk 'crd', which remembers each row")
    layer, linear = linear_head(model, classes, layer)
    teacher_layer, _ = linear_head(teacher.network, classes, teacher_layer)
    return CRDRisk(teacher, rows=data.train.rows, labels=data.train.labels, width=linear.in_features, layer=layer,
                   teacher_layer=teacher_layer, generator=generator, **options)


def _generated(data: Dataset | None, pool: bool = False, **options) -> GeneratedRisk:
    if not isinstance(pool, bool) or pool and data is None:
        raise ValueError("expected pool to be False, or True with data whose training rows it is, received "
                         f"{pool!r} with {'no data' if data is None else 'data'}")
    of_data = {"pool": data.train, "mean": data.mean, "std": data.std} if pool else {}
    return GeneratedRisk(**options, **of_data)


def _manifold(mixer, layers: list[str]) -> ManifoldRisk:
    return ManifoldRisk(ManifoldMixup(mixer, layers=layers))

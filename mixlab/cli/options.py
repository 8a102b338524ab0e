"""What several sub-commands read alike."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mixlab.data import Dataset
    from mixlab.models import Teacher


def named_values(option: str, texts: list[str] | None) -> dict:
    """What an option that may be repeated says, NAME=VALUE each time: values are JSON, and text where they are not.

    Raises:
        ValueError: for anything else, or the name ``name``, which is the mixer's own.

    Example:
        >>> named_values("--mixer-option", ["blocks=4", "mode=paper"])
        {'blocks': 4, 'mode': 'paper'}
    """
    values = {}
    for text in texts or []:
        name, equals, value = text.partition("=")
        if not equals or name in ("", "name"):
            raise ValueError(f"expected a {option} NAME=VALUE, received {text!r}")
        try:
            values[name] = json.loads(value)
        except json.JSONDecodeError:
            values[name] = value
    return values


def device_named(name: str) -> str:
    """``"cpu"`` or ``"cuda"``, for a --device of auto, cpu or cuda.

    Raises:
        ValueError: for another name, or cuda where there is none.

    Example:
        >>> device_named("cpu")
        'cpu'
    """
    import torch

    if name not in ("auto", "cpu", "cuda") or name == "cuda" and not torch.cuda.is_available():
        raise ValueError(f"expected a --device of auto, cpu or cuda that is there, received {name!r}")
    return "cpu" if name == "cpu" or not torch.cuda.is_available() else "cuda"


def teacher_for(data: Dataset, path: Path) -> Teacher:
    """The network in a file of `mixlab train --save-teacher`, for the images of a set as its moments normalise them.

    Raises:
        ValueError: for another file, or a network of other images or another number of classes.
        FileNotFoundError: where there is no file.
    """
    from mixlab.data import normalise
    from mixlab.models import Teacher

    teacher, images = Teacher.load(path), data.train.images[:1]
    try:
        teacher = teacher.for_images(data.mean, data.std)
        classes = teacher(normalise(images, data.mean, data.std)).shape[1]
    except (ValueError, RuntimeError) as error:
        shape, reason = tuple(images.shape[1:]), str(error).partition("\n")[0]
        wrong = f"expected a teacher of images of shape {shape} in {path}, received another: {reason}"
        raise ValueError(wrong) from error
    if classes != data.num_classes:
        raise ValueError(f"expected a teacher of the {data.num_classes} classes of {data.name} in {path}, received one "
                         f"of {classes}")
    return teacher

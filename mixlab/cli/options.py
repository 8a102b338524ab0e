"""What several sub-commands read alike."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from mixlab.data import Dataset
    from mixlab.generator import SampleGenerator
    from mixlab.models import Teacher

#: What makes the files that commands take, by what is said of a file that is not there.
MAKERS = {"teacher": "mixlab train --save-teacher", "generator": "mixlab generate train", "subset": "mixlab select"}


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


def file_at(path: Path, kind: str) -> Path:
    """The path itself, where there is a file.

    Args:
        path: where it should be.
        kind: a name of `MAKERS`.

    Raises:
        FileNotFoundError: where there is none.

    Example:
        >>> file_at(Path("nowhere.pt"), "teacher")
        Traceback (most recent call last):
        FileNotFoundError: expected a file at nowhere.pt, from `mixlab train --save-teacher`, received none
    """
    if path.is_file():
        return path
    received = "a folder" if path.is_dir() else "none"
    raise FileNotFoundError(f"expected a file at {path}, from `{MAKERS[kind]}`, received {received}")


def tell_unreadable(found: Mapping[str, object]) -> None:
    """Say on standard error, a line each, of which sets a look into the root raised an error, and which.

    Args:
        found: what `mixlab.data.registry.survey` gives.

    Example:
        >>> tell_unreadable({"digits": "built in", "svhn": None})
    """
    for name, there in found.items():
        if isinstance(there, Exception):
            typer.echo(f"{name}: cannot be read: {one_line(there)}", err=True)


def one_line(error: Exception) -> str:
    """What an error says, in one line; its kind where it says nothing.

    Example:
        >>> one_line(ValueError("expected\\n  two")), one_line(MemoryError())
        ('expected two', 'MemoryError')
    """
    return " ".join(str(error).split()) or type(error).__name__


def split_of(subset: Path) -> dict:
    """What a subset's file says of the split that it was chosen from: seed, validation and limit, where it knows them.

    Raises:
        ValueError: for another file.
        FileNotFoundError: where there is none.
    """
    from mixlab.selection import read_subset

    drawn = read_subset(file_at(subset, "subset"))[1].get("split")
    names = ("seed", "validation", "limit") if isinstance(drawn, dict) else ()
    return {name: drawn[name] for name in names if name in drawn}


def data_for(name: str, limit: int | None, validation: float | None, subset: Path | None, seed: int) -> Dataset:
    """A set, or the part of it that a subset's file names, from the split that it was chosen from.

    Args:
        name: of the set.
        limit: training images; all of them where None.
        validation: part of the training images that is held out; a tenth where None.
        subset: a file of `mixlab select`, which has a limit and a validation of its own.
        seed: of held-out images and limit, where there is no subset.

    Raises:
        ValueError: for a subset beside a limit or a validation, another file, or the subset of another set.
        FileNotFoundError: where there is no file.
    """
    from mixlab.data import load
    from mixlab.data.registry import find
    from mixlab.selection import apply_subset

    name = find(name).name
    if subset is None:
        return load(name, validation=0.1 if validation is None else validation, seed=seed, limit=limit)
    if limit is not None or validation is not None:
        raise ValueError("expected a --subset without --limit and --validation, which are those that it was chosen "
                         f"from, received {limit} and {validation}")
    return apply_subset(load(name, **split_of(subset)), subset)


def teacher_for(data: Dataset, path: Path) -> Teacher:
    """The network in a file of `mixlab train --save-teacher`, for the images of a set as its moments normalise them.

    Raises:
        ValueError: for another file, or a network of other images or another number of classes.
        FileNotFoundError: where there is no file.
    """
    from mixlab.data import normalise
    from mixlab.models import Teacher

    teacher, images = Teacher.load(file_at(path, "teacher")), data.train.images[:1]
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


def generator_for(data: Dataset, path: Path) -> SampleGenerator:
    """The generator in a file of `mixlab generate train`, for the images of a set as its moments normalise them.

    Raises:
        ValueError: for another file, or a generator of other images or another number of classes.
        FileNotFoundError: where there is no file.
    """
    from mixlab.generator import SampleGenerator

    found = SampleGenerator.load(file_at(path, "generator"))
    try:
        found.network.check(data.train.images.shape)
        adapted = found.for_images(data.mean, data.std)
    except ValueError as error:
        raise ValueError(f"expected a generator for the images of {data.name} in {path}, received another: {error}"
                         ) from error
    if found.num_classes != data.num_classes:
        raise ValueError(f"expected a generator for the {data.num_classes} classes of {data.name} in {path}, received "
                         f"one for {found.num_classes}")
    return adapted


def remove_run(folder: Path) -> None:
    """Remove what a finished run has left in its folder; any other file stays."""
    from contextlib import suppress

    from mixlab.train.checkpoint import LAST, NEW, PREVIOUS
    from mixlab.train.lock import LOCK

    for name in (LAST, NEW, PREVIOUS, LOCK, "curves.csv"):
        (folder / name).unlink(missing_ok=True)
    with suppress(OSError):
        folder.rmdir()

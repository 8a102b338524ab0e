"""What makes two runs the same run."""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Iterable, Mapping, Set
from functools import partial
from types import ModuleType

import numpy as np
import torch
from torch import Tensor, nn

from mixlab.data import Dataset
from mixlab.train.recipe import Recipe

# What every module has; anything else in its dictionary was put there by its own class.
COMMON = frozenset(vars(nn.Module()))


def fingerprint(model: nn.Module, risk: nn.Module, dataset: Dataset, recipe: Recipe, **options) -> dict:
    """What makes two runs the same run, as plain data: a checkpoint is only continued where all of it agrees.

    - Network and risk: what they print, and `described`, which no missing `extra_repr` can shorten. Weights do not
      count, since training changes them and a checkpoint brings them; frozen ones (a teacher's) do. Buffers of a risk
      (weights of the classes, say) count with the values that they have before training: a risk that remembers
      something is built anew for `fit` to continue its run.
    - Data: the name, every image, label, row number and soft label of the three splits, mean and deviation.
    - The recipe, and `options` as they are.
    """
    splits = dataset.train, dataset.validation, dataset.test
    parts = [part for split in splits for part in (split.images, split.labels, split.rows, split.soft)]
    contents = _checksum(*(part for part in parts if part is not None),
                         torch.tensor([dataset.mean, dataset.std], dtype=torch.float64))
    return {
        "model": f"{type(model).__name__} {_digest(_shown(model) + described(model))}",
        "risk": f"{_shown(risk)} {_digest(described(risk) + described(list(risk.buffers())))}",
        "data": f"{dataset.name}, {len(dataset.train)} training images, {contents:08x}",
        "recipe": json.dumps(recipe.as_dict()),
        **options,
    }


def identity(task: object) -> str:
    """The kind of a task, and a checksum of all of its attributes as they are `described`.

    Example:
        >>> class Blurred:
        ...     def __init__(self, sigma):
        ...         self.sigma = sigma
        >>> identity(Blurred(1.0)) == identity(Blurred(1.0)) != identity(Blurred(2.0))
        True
    """
    return f"{type(task).__name__} {_digest(described(vars(task)))}"


def described(value: object, within: tuple = ()) -> str:
    """All that makes an object what it is, as text that is the same in every process.

    Of a module: its name, its plain attributes, the names of the parameters that are trained, its parts, and the values
    of parameters that are frozen (with the buffers of a part that has no others). What a module names in
    `no_part_of_identity` is left out: the file that a teacher was read from, say. Of a tensor or an array: shape, type
    and contents. Of any other object: what it prints and what it would be pickled with, so a mixer without a `repr`
    counts with its attributes. Of a function or class: its name alone.

    Args:
        value: anything.
        within: what holds it, from the outside in; an object that holds itself is not followed again.

    Example:
        >>> class Scaled(nn.Module):
        ...     def __init__(self, factor):
        ...         super().__init__()
        ...         self.factor = factor
        >>> Scaled(2.0), described(Scaled(2.0))
        (Scaled(), "Scaled({'factor': 2.0}, [], {})")
    """
    if any(value is outer for outer in within):
        return "..."
    inner = partial(described, within=(*within, value))
    if isinstance(value, nn.Module):
        own = {name: part for name, part in vars(value).items() if name not in COMMON}
        own = {name: part for name, part in own.items() if name not in getattr(value, "no_part_of_identity", ())}
        if _of_torch(value):  # its arguments are public; what is private may be an address, as in a compiled network
            own = {name: part for name, part in own.items() if not name.startswith("_")}
        own_parameters = dict(value.named_parameters(recurse=False))
        trained = [name for name, parameter in own_parameters.items() if parameter.requires_grad]
        # Frozen weights are not what training makes, so they are part of what the object is, wherever it is held.
        frozen = {name: each for name, each in own_parameters.items() if not each.requires_grad}
        if frozen and not trained:
            frozen |= dict(value.named_buffers(recurse=False))
        shown = f"{value._get_name()}({inner(own)}, {trained}, {inner(dict(value.named_children()))})"
        return shown + (inner(frozen) if frozen else "")
    if isinstance(value, Tensor):
        return f"{tuple(value.shape)} {value.dtype} {_checksum(value):08x}"
    if isinstance(value, np.ndarray):
        return f"{value.shape} {value.dtype} {zlib.crc32(value.dumps()):08x}"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{inner(name)}: {inner(part)}" for name, part in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return _listed(map(inner, value))
    if isinstance(value, Set):
        return _listed(sorted(map(inner, value)))  # its own order changes from process to process
    if isinstance(value, (type, ModuleType)) or callable(value) and hasattr(value, "__qualname__"):
        return value.__name__
    state = _state(value)
    return _shown(value) + ("" if state is None else inner(state))


def _state(value: object) -> object:
    """What an object would be pickled with; nothing for torch's own, which print what they are."""
    if _of_torch(value):
        return None
    try:
        return value.__getstate__()
    except Exception:  # not to be pickled: an open file, say
        return None


def _of_torch(value: object) -> bool:
    return type(value).__module__.partition(".")[0] == "torch"


def _listed(parts: Iterable[str]) -> str:
    return "[" + ", ".join(parts) + "]"


def _shown(value: object) -> str:
    """What an object prints, without the addresses of what it holds."""
    return re.sub(r" at 0x[0-9a-f]+", "", repr(value))


def _digest(text: str) -> str:
    return f"{zlib.crc32(text.encode()):08x}"


def _checksum(*tensors: Tensor) -> int:
    """One checksum over the bytes of several tensors."""
    checksum = 0
    for tensor in tensors:
        plain = tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
        checksum = zlib.crc32(plain.numpy(), checksum)
    return checksum

"""What makes two runs the same run."""

from __future__ import annotations

import json
import re
import zlib

from torch import nn

from mixlab.data import Dataset
from mixlab.train.recipe import Recipe


def fingerprint(model, risk, dataset: Dataset, recipe: Recipe, **options) -> dict:
    """What makes two runs the same run, as plain data: a checkpoint is only continued where all of it agrees."""
    contents = zlib.crc32(dataset.train.labels.numpy(), zlib.crc32(dataset.train.images.contiguous().numpy()))
    return {
        "model": f"{type(model).__name__} {zlib.crc32(_text(model).encode()):08x}",
        "risk": _text(risk),
        "data": f"{dataset.name}, {len(dataset.train)} training images, {contents:08x}",
        "recipe": json.dumps(recipe.as_dict()),
        **options,
    }


def _text(module: nn.Module) -> str:
    """What a module prints, without the addresses of what it holds."""
    return re.sub(r" at 0x[0-9a-f]+", "", repr(module))

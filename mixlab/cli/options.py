"""What several sub-commands read alike."""

from __future__ import annotations

import json


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

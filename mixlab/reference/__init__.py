"""The papers' tables as data, one JSON file each, with where they stand.

A file holds `source` (paper and table), `quantity`, and `rows` of plain values; what a paper leaves out is null.
"""

from __future__ import annotations

import json
from pathlib import Path

__all__ = ["names", "table"]

FOLDER = Path(__file__).parent


def names() -> list[str]:
    """The tables that there are, sorted.

    Example:
        >>> from mixlab import reference
        >>> {"cutmix-3", "k-image-4", "mixup-3a"} <= set(reference.names())
        True
    """
    return sorted(path.stem for path in FOLDER.glob("*.json"))


def table(name: str):
    """A table of a paper.

    Args:
        name: one of `names()`.

    Returns:
        A pandas DataFrame with the rows as printed; `attrs` holds `source` and `quantity`.

    Raises:
        ValueError: for an unknown name.

    Example:
        >>> from mixlab import reference
        >>> frame = reference.table("k-image-4")
        >>> frame.loc[frame.K == 4, ["CutMix (K-image paper)", "CutMix (quoted from Co-Mixup)"]].values.tolist()
        [[20.5, 22.2]]
    """
    import pandas

    if name not in names():
        raise ValueError(f"expected a table of {', '.join(names())}, received {name!r}")
    content = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    frame = pandas.DataFrame(content["rows"])
    frame.attrs |= {"source": content["source"], "quantity": content["quantity"]}
    return frame

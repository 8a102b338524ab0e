"""What several runs of an experiment need and one of them makes: a teacher, a set of images, scores."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from mixlab.files import write_atomically
from mixlab.train.lock import alone


def made(path: Path, make: Callable[[], dict]) -> dict:
    """What there is to say of an artefact, which is made if it is not there; whoever comes second waits.

    Args:
        path: the artefact's folder. Its name has to change with anything that the artefact depends on.
        make: puts the artefact there and tells of it, as data that JSON keeps. What a `make` that was killed has left
            is made again.

    Raises:
        OSError: if the folder or what there is to say cannot be written; and whatever `make` raises.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     [made(Path(folder, "one"), lambda: {"attempt": attempt}) for attempt in (1, 2)]
        [{'attempt': 1}, {'attempt': 1}]
    """
    about = path / "about.json"
    with alone(path / "lock", wait=True):
        if not about.exists():
            told = json.dumps(make()).encode()
            write_atomically(about, lambda file: file.write(told))
        return json.loads(about.read_text())

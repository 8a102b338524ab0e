"""What comes out of a run, and the record that keeps it."""

from __future__ import annotations

import json
import platform
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

SCHEMA = {
    "what": {"experiment": str, "row": str, "budget": str, "seed": int, "config": dict},
    "result": {
        "metric": str, "value": float, "last": dict, "best": (dict, None), "best_test_error": (float, None),
        "curves": dict, "measures": dict,
    },
    "origin": {
        "commit": (str, None), "versions": dict, "device": str, "threads": int, "seconds": float,
        "peak_memory_mib": float,
    },
}
# What records call their metric; what a task of another kind measures is called as its curve is.
METRICS = {"test_error": "test error of the last epoch, %"}


@dataclass(frozen=True)
class Result:
    """What a run came to.

    Args:
        last: `epoch`, `test_error`, `test_loss`, `test_ece` of the last epoch; with a validation split also
            `validation_error` and `validation_loss`; under a recipe measured in halves `train_error` and
            `half_time_train_error`, of clean training images. Errors and the calibration error in percent, losses in
            nats (see `mixlab.train.Metrics`). Of a task of another kind: what its curves say of the last epoch.
        best: the same for the epoch of the lowest validation error (the first of equals); None without a
            validation split, or where it was measured in halves.
        best_test_error: lowest test error over the epochs, as many papers print it: chosen on the test set, so it is
            good for a comparison with those papers and for nothing else. None unless the recipe reports "best".
        curves: one list per quantity, an entry per epoch, None where it was not measured.
        losses: training loss of every step, on the global batch.
        seconds: wall time over all sessions of the run.
        origin: where it ran, see `origin`.
        metric: the entry of `last` that a record gives as its value.

    Example:
        >>> last = {"epoch": 3, "test_error": 4.2, "test_loss": 0.15}
        >>> result = Result(last, None, None, {"train_loss": [0.9, 0.4, 0.3]}, [], 2.5, origin={})
        >>> record = result.record(experiment="mine", row="ERM", budget="cpu", seed=0, config={})
        >>> record["result"]["metric"], record["result"]["value"]
        ('test error of the last epoch, %', 4.2)
    """

    last: dict
    best: dict | None
    best_test_error: float | None
    curves: dict[str, list]
    losses: list[float] = field(repr=False)
    seconds: float
    origin: dict = field(repr=False)
    metric: str = "test_error"

    def record(self, *, experiment: str, row: str, budget: str, seed: int, config: Mapping,
               measures: Mapping | None = None) -> dict:
        """The run as a JSON-ready record: what ran, what came out, where it came from.

        Args:
            experiment, row, budget: where the run belongs in the book.
            seed: its seed.
            config: all that is needed to run it again.
            measures: what else was measured on the trained network, by name.
        """
        return {
            "what": {"experiment": experiment, "row": row, "budget": budget, "seed": seed, "config": dict(config)},
            "result": {
                "metric": METRICS.get(self.metric, f"{self.metric} of the last epoch"),
                "value": self.last[self.metric], "last": self.last, "best": self.best,
                "best_test_error": self.best_test_error, "curves": self.curves, "measures": dict(measures or {}),
            },
            "origin": {**self.origin, "seconds": self.seconds},
        }


def validate(record: object) -> dict:
    """The record itself, if it has the shape that the book reads (`SCHEMA`).

    Args:
        record: what `json.loads` gives or `Result.record` makes.

    Raises:
        ValueError: naming the entry that is missing, superfluous or of the wrong type.

    Example:
        >>> validate({"what": {}})
        Traceback (most recent call last):
        ...
        ValueError: a record needs what, result, origin; received what
    """
    _expect_keys("a record", record, SCHEMA)
    for part, entries in SCHEMA.items():
        _expect_keys(f"record entry {part!r}", record[part], entries)
        for name, kinds in entries.items():
            if not _fits(record[part][name], kinds if isinstance(kinds, tuple) else (kinds,)):
                raise ValueError(f"record entry {part}.{name} is {record[part][name]!r}, expected {kinds}")
    return record


def read_record(path: str | Path) -> dict:
    """Read and validate one record.

    Args:
        path: a JSON file, UTF-8.

    Returns:
        The record, with the entries of `SCHEMA`.

    Raises:
        ValueError: if the file is no JSON or no record.
        OSError: if it cannot be read.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> result = Result({"test_error": 4.2}, None, None, {}, [], 2.5, origin(torch.device("cpu"), [None]))
        >>> with TemporaryDirectory() as folder:
        ...     path = Path(folder) / "erm-s0.json"
        ...     write_record(path, result.record(experiment="mine", row="ERM", budget="cpu", seed=0, config={}))
        ...     read_record(path)["result"]["value"]
        4.2
    """
    try:
        return validate(json.loads(Path(path).read_text(encoding="utf-8")))
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def write_record(path: str | Path, record: dict) -> None:
    """Put a valid record in place whole or not at all.

    Args:
        path: the file; its folder is made.
        record: see `validate`.

    Raises:
        ValueError: if the record does not validate or holds a number that is not finite; nothing is written.
        OSError: if the disk refuses.

    Example:
        >>> write_record("half.json", {"what": {}, "result": {}})
        Traceback (most recent call last):
        ...
        ValueError: a record needs what, result, origin; received what, result
        >>> Path("half.json").exists()
        False
    """
    from mixlab.train.checkpoint import write_atomically

    text = json.dumps(validate(record), indent=1, allow_nan=False) + "\n"
    write_atomically(Path(path), lambda file: file.write(text.encode()))


def origin(device: torch.device, commits: Sequence[str | None]) -> dict:
    """Where a run was done, as a record keeps it: commit, versions, device, threads and peak memory (MiB).

    Args:
        device: of this process, which also says the rest.
        commits: of all sessions of the run, each once and in order; joined by commas where there are several.
    """
    return {
        "commit": commits[0] if len(commits) == 1 else ", ".join(commit or "unknown" for commit in commits),
        "versions": {"python": platform.python_version(), **{name: _version(name) for name in
                     ("mixlab", "torch", "torchvision")}},
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else _processor(),
        "threads": torch.get_num_threads(),
        "peak_memory_mib": _peak_memory(device),
    }


def commit() -> str | None:
    """Revision of the checkout that mixlab is imported from, with ``+`` where the package differs from it.

    None where mixlab is installed without a checkout.
    """
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return None

    def git(*arguments: str) -> str:
        return subprocess.run(["git", "-C", str(root), *arguments], capture_output=True, text=True).stdout.strip()

    try:
        revision, changes = git("rev-parse", "HEAD"), git("status", "--porcelain", "--", "mixlab")
    except OSError:
        return None
    return revision + "+" * bool(changes) or None


def _fits(value: object, kinds: tuple) -> bool:
    if value is None or isinstance(value, bool):
        return value is None and None in kinds
    return isinstance(value, tuple((int, float) if kind is float else kind for kind in kinds if kind is not None))


def _expect_keys(what: str, value: object, names: Mapping) -> None:
    if not isinstance(value, dict) or set(value) != set(names):
        got = ", ".join(map(str, value)) if isinstance(value, dict) else type(value).__name__
        raise ValueError(f"{what} needs {', '.join(names)}; received {got}")


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _processor() -> str:
    """Model name of the processor; the architecture where the system does not tell."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def _peak_memory(device: torch.device) -> float:
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    try:
        import resource
    except ImportError:  # Windows keeps no such account
        return 0.0
    unit = 2**20 if platform.system() == "Darwin" else 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit

"""The helpers a chapter calls: a quiet, repeatable start, sizes by budget, and verdicts that travel."""

import math
import os
import warnings
from collections.abc import Iterable, Mapping
from types import SimpleNamespace
from typing import Any

BUDGETS = ("cpu", "gpu", "paper")
OUTSIDE = "OUTSIDE"  # what `mixlab book build` looks for in a chapter's output


def setup() -> None:
    """Make a notebook repeatable and quiet: one thread, short floats, png figures, no deprecation notices.

    Trained numbers move by a point between one thread and two, so a chapter runs on one. Figures are png at 80
    dots per inch (svg carries a date stamp that no two runs share) in seaborn's colour-blind-safe palette.
    """
    import matplotlib
    import seaborn
    import torch

    torch.set_num_threads(1)
    torch.set_printoptions(precision=3, sci_mode=False)
    for category in (DeprecationWarning, PendingDeprecationWarning, FutureWarning):
        warnings.filterwarnings("ignore", category=category)
    warnings.filterwarnings("ignore", module=r"lightning.*")
    seaborn.set_theme(context="notebook", style="ticks", palette="colorblind", font_scale=0.85)
    matplotlib.rcParams.update({
        "figure.dpi": 80,
        "savefig.dpi": 80,
        "figure.constrained_layout.use": True,
        "image.cmap": "cividis",
        "axes.spines.top": False,
        "axes.spines.right": False,
        "legend.frameon": False,
    })


def check(name: str, value: float, low: float | None = None, high: float | None = None) -> None:
    """Print whether a measured number lies in an interval, and the number: ``name: in [1, 20]: ok, measured 9.98``.

    A trained number agrees to two digits at best between two machines, a verdict with a fair margin agrees in full.
    So the tests of a chapter compare interval and verdict and leave out what follows "measured" (the rule stands in
    ``tests/notebooks/sanitize.cfg``). Outside the line says ``OUTSIDE`` instead of ``ok``, which no stored output
    holds: the chapter's test fails, and `mixlab book build` reports it. In a dry run (see `dry_run`) nothing is
    judged.

    Args:
        name: what was measured, in words.
        value: a number, or anything that `float` accepts (a tensor of one element). A NaN is outside.
        low: the smallest value that counts as ok, inclusive; None: there is none.
        high: the largest, inclusive; None: there is none.

    Raises:
        ValueError: if the interval is empty, NaN, or has no end at all.

    Example:
        >>> from mixlab.book import check
        >>> check("mean share of the first image", 0.4983, 0.49, 0.51)
        mean share of the first image: in [0.49, 0.51]: ok, measured 0.498
        >>> check("gap in test error, points", 3.1, low=1)
        gap in test error, points: at least 1: ok, measured 3.1
    """
    checks([(name, value, low, high)])


def checks(claims: Iterable[tuple]) -> None:
    """Print several checks as one table: a line each, as `check` prints it, in columns.

    The measured numbers stand last, so the width of no column depends on them.

    Args:
        claims: for each line the arguments of `check`: ``(name, value, low)`` or ``(name, value, low, high)``, with
            None for an end that the interval does not have.

    Raises:
        ValueError: as `check`, or if a claim has other parts.

    Example:
        >>> from mixlab.book import checks
        >>> checks([("mean share", 0.4983, 0.49, 0.51), ("gap, points", 3.1, 1), ("ties", 0, None, 2)])
        mean share:  in [0.49, 0.51]: ok, measured 0.498
        gap, points:      at least 1: ok, measured 3.1
        ties:              at most 2: ok, measured 0
    """
    lines = []
    for claim in claims:
        if len(claim) not in (3, 4):
            raise ValueError(f"expected claims (name, value, low) or (name, value, low, high), received {claim!r}")
        name, value, *ends = claim
        lines.append((f"{name}:", *_judged(float(value), *ends)))
    names, intervals = (max((len(line[column]) for line in lines), default=0) for column in (0, 1))
    for name, interval, verdict in lines:
        print(f"{name:<{names}} {interval:>{intervals}}: {verdict}")


def _judged(value: float, low: float | None = None, high: float | None = None) -> tuple[str, str]:
    """The interval in words, and the verdict on a value."""
    low, high = -math.inf if low is None else low, math.inf if high is None else high
    if not low <= high or (low, high) == (-math.inf, math.inf):
        raise ValueError(f"expected an interval with low <= high and an end, received low={low!r}, high={high!r}")
    if low == -math.inf:
        interval = f"at most {high:g}"
    elif high == math.inf:
        interval = f"at least {low:g}"
    else:
        interval = f"in [{low:g}, {high:g}]"
    if dry_run():
        return interval, "not judged in a dry run"
    if low <= value <= high:
        return interval, f"ok, measured {value:.3g}"
    return interval, f"{OUTSIDE}, measured {value:.6g}"  # by how little, too


def dry_run() -> bool:
    """Whether this is a dry run (``MIXLAB_DRY_RUN=1``): every path is taken at the smallest size, nothing is judged."""
    return os.environ.get("MIXLAB_DRY_RUN", "") not in ("", "0")


def sizes(
    budget: str,
    *,
    cpu: Mapping[str, Any],
    gpu: Mapping[str, Any],
    paper: Mapping[str, Any] | None = None,
    dry: Mapping[str, Any],
) -> SimpleNamespace:
    """The sizes of a chapter's experiments under a budget, as attributes.

    Args:
        budget: ``"cpu"`` (a minute on one thread), ``"gpu"`` (minutes on a GPU) or ``"paper"`` (the papers' sizes).
        cpu, gpu, paper: the sizes under each, with equal keys; ``paper`` is ``gpu`` where it is not given.
        dry: the smallest sizes with which every cell still runs, with the same keys; these are used under any
            budget while ``MIXLAB_DRY_RUN=1``, so the tests can walk the paths of all three.

    Returns:
        A namespace with the chosen sizes, ``budget``, and ``device`` (``"cpu"`` under ``"cpu"``, else ``"auto"``).

    Raises:
        ValueError: if the budget is unknown or the keys differ.

    Example:
        >>> from mixlab.book import sizes
        >>> size = sizes("cpu", cpu={"epochs": 3}, gpu={"epochs": 200}, dry={"epochs": 1})
        >>> size.epochs, size.device
        (3, 'cpu')
    """
    tables = {"cpu": cpu, "gpu": gpu, "paper": gpu if paper is None else paper}
    if budget not in tables:
        raise ValueError(f"expected a budget among {', '.join(BUDGETS)}, received {budget!r}")
    for name, table in {**tables, "dry": dry}.items():
        if set(table) != set(cpu):
            raise ValueError(
                f"expected the sizes {sorted(cpu)} under {name!r} as under 'cpu', received {sorted(table)}"
            )
    chosen = dry if dry_run() else tables[budget]
    return SimpleNamespace(**chosen, budget=budget, device="cpu" if budget == "cpu" else "auto")

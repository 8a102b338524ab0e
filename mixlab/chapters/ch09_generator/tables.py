"""The chapter's tables and sentences: what the records of `generator` say."""

from __future__ import annotations

import numpy as np

from mixlab import records, reference
from mixlab.chapters.bench.comparison import measures, on_record
from mixlab.chapters.ch09_generator.experiments import generator as plan
from mixlab.generator import RECIPES
from mixlab.records import Difference, said
from mixlab.records.compare import by_seed
from mixlab.records.summary import DASH

__all__ = ["FAMILY", "GENERATED", "MARGIN", "WRITTEN", "cost", "lines", "on_record", "paper_and_ours", "primary",
           "probes", "said", "secondary", "summary", "written"]

TITLES = {name: title for name, (title, _) in plan.ROWS.items()}
GENERATED, CLEAN = (TITLES[name] for name in plan.PRIMARY)
#: The rows that are compared with generated images as one family.
FAMILY = tuple(TITLES[name] for name in (*plan.CONTROLS, *plan.SECONDARY))
WRITTEN = tuple(TITLES[name] for name in plan.WRITTEN)
#: The lines of the table.
ROWS = (TITLES["none"], GENERATED, CLEAN, *(row for row in FAMILY if row != TITLES["none"]))
#: The margin of the primary comparison, in points of error.
MARGIN = 0.5
#: Which generators `probes` tells of: the row whose records have them, and what the table calls them.
GENERATORS = {"generated": "rate .01, μ uniform", "slow": "the paper's rate", "writing": "rate .01, one other class"}
#: What it tells: title, measure, digits.
PROBES = (
    ("KL", "generator_kl", 3),
    ("KL, another μ of the class", "generator_kl_class", 3),
    ("KL, ignoring μ", "generator_kl_ignorant", 3),
    ("‖x̃ − x‖", "generator_moved", 1),
    ("‖x‖", "generator_norm", 1),
    ("right before, %", "generator_right_before", 1),
    ("given, %", "generator_given", 1),
    ("wrong: kept, %", "generator_wrong_kept", 1),
    ("wrong: written, %", "generator_wrong_written", 1),
)


def primary(frame) -> Difference | None:
    """Generated minus clean images, both with the same soft labels, error in points; None without records.

    Args:
        frame: records of the experiment, see `mixlab.reproduce.load`; may be empty.
    """
    return records.compared(frame, CLEAN, rows=[GENERATED])["test_error"].get(GENERATED)


def secondary(frame) -> dict[str, Difference]:
    """The controls and the other rows, each minus generated images: one family."""
    return records.compared(frame, GENERATED, rows=FAMILY)["test_error"]


def lines(frame) -> dict[str, dict[str, Difference]]:
    """What the forest shows: the primary comparison, turned round and alone, then what `secondary` has."""
    first = records.compared(frame, GENERATED, rows=[CLEAN])["test_error"]
    return {"test_error": {f"{row} (primary)": each for row, each in first.items()} | secondary(frame)}


def summary(frame):
    """The records as a table of strings: the error with its deviation, the other measures as means.

    The differences are to generated images, see `secondary`; that of clean images is the primary comparison, turned
    round and corrected for nothing.
    """
    minus = secondary(frame) | records.compared(frame, GENERATED, rows=[CLEAN])["test_error"]
    return measures(frame, ROWS, **{"minus generated": minus})


def written(frame) -> list[str]:
    """How often a student is right on clean images that has seen nothing but what is written, and its control."""
    found = by_seed(frame, "test_error")
    lines_of = []
    for row in WRITTEN:
        right = [100 - error for error in found.get(row, {}).values()]
        spread = f"{np.mean(right):.1f} % right ({min(right):.1f} to {max(right):.1f}, {len(right)} seeds)" if right \
            else "not on record"
        lines_of.append(f"{row}: {spread}")
    return lines_of


def probes(frame):
    """What the generators do to test images, as a table of strings: mean ± standard deviation over the seeds.

    A measure that is the same for all seeds, such as the divergence of a label that ignores μ, has no deviation.

    Args:
        frame: see `primary`.
    """
    import pandas

    cells = {title: [_spread(frame, column, TITLES[name], places) for name in GENERATORS]
             for title, column, places in PROBES}
    return pandas.DataFrame(cells, index=list(GENERATORS.values())).T


def cost(frame) -> list[str]:
    """What a classifier and a generator take, in words: means over the seeds of the processor's seconds.

    What the generator would take with the paper's number of epochs is said as well: the paper leaves it out. Students
    are not told of: their records have seconds on the clock, which say more of what else the cores had to do.

    Args:
        frame: see `primary`.
    """
    own = {name: _mean(frame, f"{name}_seconds", GENERATED, 0) for name in ("classifier", "generator")}
    ours, paper = (RECIPES[name].epochs for name in (plan.GENERATOR["recipe"], "generator-paper"))
    longer = _mean(frame, "generator_seconds", GENERATED, 0, paper / ours)
    return [f"processor seconds: a classifier {own['classifier']} (error "
            f"{_mean(frame, 'classifier_error', GENERATED, 1)} %), a generator {own['generator']};",
            f"for the paper's {paper} epochs instead of {ours} it would be {longer}"]


def paper_and_ours(frame):
    """What the paper's Table 1 says of the same differences, as a table of strings; above zero is a larger error."""
    import pandas

    table = reference.table("k-image-1").set_index("method")["error, %"]
    baseline, smoothing, one_hot, generator = table

    def here(row: str) -> str:
        found = records.compared(frame, GENERATED, rows=[row])["test_error"].get(row)
        return str(found) if found else DASH

    lines_of = {
        "no second term": (baseline, here(TITLES["none"])),
        "soft labels on clean images": (smoothing, here(CLEAN)),
        "a generator of one-hot labels": (one_hot, DASH),
    }
    return pandas.DataFrame.from_dict({name: (f"{error - generator:+.2f}", ours)
                                       for name, (error, ours) in lines_of.items()},
                                      orient="index", columns=["paper, Table 1", "here"])


def _mean(frame, column: str, row: str, places: int, factor: float = 1.0) -> str:
    """The mean of a measure over the seeds of a row, times a factor; a dash where there is none."""
    values = list(by_seed(frame, column).get(row, {}).values())
    return f"{factor * np.mean(values):.{places}f}" if values else DASH


def _spread(frame, column: str, row: str, places: int) -> str:
    """Mean ± standard deviation (ddof 1) over the seeds of a row; the mean alone where all seeds have one number."""
    values = list(by_seed(frame, column).get(row, {}).values())
    mean = _mean(frame, column, row, places)
    if len(set(values)) < 2:
        return mean
    return f"{mean} ± {np.std(values, ddof=1):.{places}f}".replace(" ", "\N{NO-BREAK SPACE}")

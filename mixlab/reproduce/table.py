"""Records as a table: what chapters and the board read."""

from __future__ import annotations

from pathlib import Path

from mixlab.reproduce.plan import Experiment, get
from mixlab.reproduce.runner import missing, record_path
from mixlab.train import read_record

# Of the last epoch. Older records lack some, and so do records of recipes that do not measure them.
LAST = ("test_error", "test_loss", "test_ece", "train_error", "half_time_train_error")


def load(experiment: str | Experiment, root: str | Path | None = None, *, budget: str = "cpu"):
    """The records of an experiment, one row per run that has been done.

    Args:
        experiment: an experiment, or the name of one of the book's.
        root: where the records are; `book/results` of the checkout by default.
        budget: of an experiment given by name.

    Returns:
        A pandas DataFrame in the order of the runs: `run`, `row`, `seed`, the run's configuration, `test_error`,
        `test_loss` (the negative log-likelihood) and `test_ece` of the last epoch, `train_error` and
        `half_time_train_error` on clean training images, `best_epoch` and `best_epoch_test_error` (the epoch of the
        lowest validation error), `best_test_error` (chosen on the test set, for comparison with papers only),
        `validation_error`, `train_loss` and `seconds`, one column per measure, and `record` with the whole of it. What
        a record does not have is None. `attrs["missing"]` lists the names of the runs without a record; a record of
        another configuration counts as missing.

    Raises:
        ValueError: if the name or the budget is unknown.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as nothing_done_yet:
        ...     frame = load("k-image", nothing_done_yet)
        >>> len(frame), frame.attrs["missing"] == [run.name for run in get("k-image").runs]
        (0, True)
    """
    import pandas

    experiment = get(experiment, budget) if isinstance(experiment, str) else experiment
    absent = {run.name for run in missing(experiment, root)}
    rows = [_row(read_record(record_path(experiment, run, root))) for run in experiment.runs if run.name not in absent]
    frame = pandas.DataFrame(rows)
    frame.attrs["missing"] = [run.name for run in experiment.runs if run.name in absent]
    return frame


def recorded(name: str, budget: str, root: str | Path | None = None) -> str:
    """The budget whose records are shown: `budget`, or "cpu" where it has none yet, which is said in a line.

    Args:
        name: of one of the book's experiments.
        budget: "cpu", "gpu" or "paper".
        root: as in `load`.

    Raises:
        ValueError: if the name or the budget is unknown.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as nothing_done_yet:
        ...     recorded("k-image", "gpu", nothing_done_yet)
        no records of k-image at budget gpu: those at budget cpu are shown
        'cpu'
    """
    experiment = get(name, budget)
    if budget == "cpu" or len(missing(experiment, root)) < len(experiment.runs):
        return budget
    print(f"no records of {name} at budget {budget}: those at budget cpu are shown")
    return "cpu"


def cost(records) -> str:
    """What the runs of some records took all together, for a reader.

    Args:
        records: as `load` gives them; may be empty.

    Example:
        >>> import pandas
        >>> origin = {"threads": 1, "device": "a processor"}
        >>> print(cost(pandas.DataFrame({"seconds": [5400.0, 3600.0], "record": [{"origin": origin}] * 2})))
        2.5 hours in all, on a processor, 1 thread a run
    """
    if records.empty:
        return "no runs on record"
    places = sorted({(record["origin"]["device"], record["origin"]["threads"]) for record in records["record"]})
    where = " and ".join(f"{device}, {threads} thread{'s' * (threads > 1)} a run" for device, threads in places)
    return f"{records['seconds'].sum() / 3600:.1f} hours in all, on {where}"


def _row(record: dict) -> dict:
    what, result, best = record["what"], record["result"], record["result"]["best"]
    config = {name: value for name, value in what["config"].items() if name not in ("name", "row", "seed")}
    return {
        "run": what["config"]["name"],
        "row": what["row"],
        "seed": what["seed"],
        **config,
        **{name: result["last"].get(name) for name in LAST},
        "best_epoch": best and best["epoch"],
        "best_epoch_test_error": best and best["test_error"],
        "best_test_error": result["best_test_error"],
        "validation_error": result["last"].get("validation_error"),
        "train_loss": result["curves"]["train_loss"][-1],
        "seconds": record["origin"]["seconds"],
        **result["measures"],
        "record": record,
    }

"""Doing the runs of an experiment that have no record yet, several at a time."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import suppress
from pathlib import Path

from mixlab.data.registry import data_root, find, state
from mixlab.reproduce.plan import Experiment, Run, get
from mixlab.train import read_record
from mixlab.train.lock import LOCK, alone

CHECKOUT = Path(__file__).resolve().parents[2]
RECORDED = Path(__file__).resolve().parents[1] / "recorded"  # the records that came with an installed package
SHARED = "made"  # the folder beside those of an experiment's runs in which they keep what they prepare for each other


def results_root() -> Path:
    """Where records are kept: `book/results` of the checkout, or of the working directory where mixlab is installed."""
    return (CHECKOUT if (CHECKOUT / "book").is_dir() else Path.cwd()) / "book" / "results"


def work_root() -> Path:
    """Where checkpoints and logs are kept: `runs` beside `book`, wherever the records go."""
    return results_root().parents[1] / "runs"


def record_path(experiment: Experiment, run: Run, root: str | Path | None = None) -> Path:
    """File of a run's record: below `root`, or, where none is given, below `results_root` or among `RECORDED`."""
    path = (results_root() if root is None else Path(root)) / experiment.folder / f"{run.name}.json"
    came = RECORDED / experiment.folder / path.name
    return came if root is None and not path.exists() and came.exists() else path


def missing(experiment: Experiment, root: str | Path | None = None) -> list[Run]:
    """The runs without a valid record of just this configuration, in order.

    Args:
        experiment: whose runs are looked at.
        root: where the records are; `book/results` of the checkout by default, or those that came with an installed
            package.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> erm = Run("erm-s0", "ERM", data="shapes", model="lenet", risk={"name": "empirical"}, recipe="demo", seed=0)
        >>> with TemporaryDirectory() as nothing_done_yet:
        ...     [each.name for each in missing(Experiment("mine", (erm,)), nothing_done_yet)]
        ['erm-s0']
    """
    return [run for run in experiment.runs if not _done(run, record_path(experiment, run, root))]


def run(
    experiment: str | Experiment,
    root: str | Path | None = None,
    jobs: int = 1,
    *,
    budget: str = "cpu",
    work: str | Path | None = None,
    progress: bool = False,
) -> dict[str, str]:
    """Do the missing runs, each in a fresh process with one thread; stop and start again at will.

    A run that was cut short continues from its checkpoint below `work`. A run that fails does not stop the others.

    Args:
        experiment: an experiment, or the name of one of the book's.
        root: where records go; `book/results` of the checkout by default.
        jobs: runs at a time.
        budget: of an experiment given by name.
        work: where checkpoints and logs go; `runs` beside `book` by default.
        progress: show a progress bar where there is a terminal.

    Returns:
        The runs that failed, each with its error in one line.

    Raises:
        ValueError: if the name or a data set's is unknown, `jobs` below 1, or another command is doing runs of this
            experiment with the same folder of records or the same folder of checkpoints.
        FileNotFoundError: if the data of a missing run are not there; nothing is written.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> nothing_to_do = Experiment("mine", ())
        >>> with TemporaryDirectory() as folder:
        ...     run(nothing_to_do, folder, work=folder)
        {}
    """
    from tqdm import tqdm

    if jobs < 1:
        raise ValueError(f"expected at least one job, received {jobs}")
    experiment = get(experiment, budget) if isinstance(experiment, str) else experiment
    work = work_root() if work is None else Path(work)
    failures = {}
    todo = missing(experiment, root)
    if not todo:
        return failures
    _check_data(todo)
    target = results_root() if root is None else Path(root)  # never among those that came with a package
    records, scratch = target / experiment.folder, work / experiment.folder
    records.mkdir(parents=True, exist_ok=True)
    # The folder of records is held itself, by no file in it: nothing but records lies among the records.
    with alone(records), alone(scratch / LOCK):
        todo = missing(experiment, root)
        with tqdm(total=len(experiment.runs), initial=len(experiment.runs) - len(todo), unit="run",
                  disable=None if progress else True) as bar:
            for name, error in _Pool(jobs).map((each, _job(experiment, each, target, work)) for each in todo):
                bar.update()
                bar.set_postfix_str(name)
                if error:
                    failures[name] = error
    return failures


def _check_data(runs: list[Run]) -> None:
    """Raise what reading a set of these runs would raise where one is not there; what is there is not read."""
    root = data_root()
    for name in dict.fromkeys(each.data for each in runs):
        if state(find(name), root) is None:
            find(name).rows_from(root)


def _job(experiment: Experiment, each: Run, root: Path, work: Path) -> dict:
    return {
        "run": each.as_dict(),
        "experiment": experiment.name,
        "budget": experiment.budget,
        "record": str(record_path(experiment, each, root).resolve()),
        "work": str((work / experiment.folder / f"{each.name}-{each.digest()}").resolve()),
        "shared": str((work / experiment.folder / SHARED).resolve()),
    }


class _Pool:
    """Worker processes, a few at a time; they end when this process does, or when it is interrupted."""

    def __init__(self, jobs: int):
        self.jobs = jobs
        self.alive: set[subprocess.Popen] = set()
        self.stopped = threading.Event()

    def map(self, jobs):
        """Yield (name, error or None) as the runs end."""
        with ThreadPoolExecutor(self.jobs) as threads:
            try:
                futures = [threads.submit(self._work, each, job) for each, job in jobs]
                for future in as_completed(futures):
                    yield future.result()
            finally:
                self.stop()

    def stop(self) -> None:
        """Start no more runs, and end those that go on."""
        self.stopped.set()
        for process in list(self.alive):
            process.kill()

    def _work(self, each: Run, job: dict) -> tuple[str, str | None]:
        if self.stopped.is_set():
            return each.name, "stopped"
        log = Path(job["work"]) / "log.txt"
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("wb") as output:
            process = subprocess.Popen([sys.executable, "-m", "mixlab.reproduce.worker"], stdin=subprocess.PIPE,
                                       stdout=output, stderr=output, env=_environment(), bufsize=0)
            self.alive.add(process)
            # Asked again now that `stop` can see the process: whichever of the two comes second ends it.
            if self.stopped.is_set():
                process.kill()
            try:
                with suppress(BrokenPipeError):  # it ended before it read; its status says how
                    process.stdin.write(json.dumps(job).encode() + b"\n")
                status = process.wait()
            finally:
                process.stdin.close()
                self.alive.discard(process)
        return each.name, _error(status, log)


def _environment() -> dict[str, str]:
    """One thread, and the mixlab that is running here, installed or not."""
    paths = [str(CHECKOUT), *filter(None, [os.environ.get("PYTHONPATH")])]
    return os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(paths)}


def _error(status: int, log: Path) -> str | None:
    if status == 0:
        return None
    lines = [line for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    # Whatever was logged last says nothing of a process that was killed.
    if status < 0:
        lines.append(f"killed by {signal.Signals(-status).name}")
    return f"{lines[-1] if lines else f'ended with status {status}'} (see {log})"


def _done(each: Run, path: Path) -> bool:
    try:
        return each.same_as(read_record(path)["what"]["config"])
    except (OSError, ValueError):
        return False

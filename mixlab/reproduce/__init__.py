"""From a table of the book to runs, and from runs to records.

An experiment is a file in `mixlab/chapters/<chapter>/experiments/` (older ones: `mixlab/reproduce/experiments/`) with
one function `runs(budget)` that yields `Run`s; the file's name, with hyphens, is the experiment's name. To add one,
write such a file:

    def runs(budget: str) -> Iterator[Run]:
        for seed in range(3):
            yield Run(f"erm-s{seed}", "ERM", data="shapes", model="lenet", risk={"name": "empirical"},
                      recipe="demo", seed=seed)

and then `mixlab reproduce my-experiment --jobs 2` trains what has no record yet, and `load("my-experiment")` reads the
records. A run is plain data; what else is to be measured on its trained network is named by `Run.measure`, which lives
in the same file. What its risk needs to be made before, a teacher or a set of mixed images, is named by `Run.prepare`,
and made once for all runs of the experiment. Records go to `book/results/<experiment>/<run>.json` and are committed;
checkpoints, logs and what was prepared go to `runs/` and are not.
"""

from mixlab.reproduce.execute import summary
from mixlab.reproduce.plan import Experiment, Run, get, names
from mixlab.reproduce.runner import missing, run
from mixlab.reproduce.table import cost, load, recorded

__all__ = ["Experiment", "Run", "cost", "get", "load", "missing", "names", "recorded", "run", "summary"]

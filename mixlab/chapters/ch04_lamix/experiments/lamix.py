"""Does the label that LaMix learns do more than a uniform one? The chapter on LaMix.

Primary comparison, stated before any of these runs was made: LaMix (β = .5) minus its control, test error of the last
epoch in points, paired over 10 seeds, at 200 epochs of the grey bench. The control is uniform label smoothing by 1 - β
on the same averaged pairs, with the same λ and the same clean mini-batches: only p differs. Both take equally many
optimiser steps. What is said of it: "no effect above a point", where the 95 % interval lies within one point of zero;
the sign is reported apart; "undecided" where the interval is wider and contains zero. A trial with other code, three
seeds and 100 epochs had a standard deviation of .2 between pairs, which would make the half-width .14.

Every row is trained for 100 and for 200 epochs, since clean and mixed mini-batches take turns: at 100 epochs a network
sees half as many of either. No mixing, Mixup and CutMix at 100 epochs are records of the experiment `bench` (seeds 1 to
5).

Secondary, 5 seeds, in one family with Holm's correction, minus the control at 200 epochs: no mixing, Mixup, CutMix;
Mixup and CutMix taking turns with clean mini-batches; β = 1, which is the average without p (the paper's Table 8);
LaMix without clean mini-batches (Table 7); LaMix with λ = ½ (Figure 1 of the paper in place of its equation 10); and
β = .3 (Figure 4). The rows after these on the list that the chapter began with (β = .8, Mixup with label smoothing .1,
label smoothing .3 and .5, LeNet, five times longer) do not fit into the hour and were not run.

Cost, from trials of 40 s for 100 epochs on one core: 2 rows x 10 seeds x (40 + 80) s + 3 rows x 5 seeds x 80 s + 6 rows
x 5 seeds x (40 + 80) s = 7 200 seconds of one core.
"""

from collections.abc import Iterator

from mixlab.chapters.bench.experiments.bench import ROWS as BENCH
from mixlab.chapters.bench.settings import bench_run
from mixlab.reproduce.plan import Run

PRIMARY_SEEDS = range(1, 11)
SEEDS = range(1, 6)
EPOCHS = (200, 100)
BETA = 0.5
AVERAGE = {"name": "average", "pairing": "permutation"}


def _turns(mixer: dict) -> dict:
    """A mixer whose mini-batches take turns with clean ones."""
    return {"name": "vicinal", "mixer": mixer, "clean": True}


LAMIX = ("LaMix", {"name": "lamix", "beta": BETA})
CONTROL = ("uniform in place of p", _turns(AVERAGE) | {"label_smoothing": 1 - BETA})
PRIMARY = {"lamix": LAMIX, "uniform": CONTROL}
# At 100 epochs these are rows of the bench.
BASELINES = {name: BENCH[name] for name in ("erm", "mixup", "cutmix")}
SECONDARY = {
    "mixup-turns": ("Mixup, clean in turns", _turns({"name": "mixup", "alpha": 1.0})),
    "cutmix-turns": ("CutMix, clean in turns", _turns({"name": "cutmix", "alpha": 1.0})),
    "beta1": ("LaMix, β = 1 (no p)", {"name": "lamix", "beta": 1.0}),
    "no-clean": ("LaMix, no clean batches", {"name": "lamix", "beta": BETA, "clean": False}),
    "half": ("LaMix, λ = ½", {"name": "lamix", "beta": BETA, "local_lambda": 0.5}),
    "beta0.3": ("LaMix, β = .3", {"name": "lamix", "beta": 0.3}),
}


def runs(budget: str) -> Iterator[Run]:
    """The double length first, primary rows before the others; in each part, seeds outermost."""
    for epochs in EPOCHS:
        for seed in PRIMARY_SEEDS:
            yield from _rows(PRIMARY, seed, epochs, budget)
        for seed in SEEDS:
            yield from _rows(SECONDARY if epochs == 100 else BASELINES | SECONDARY, seed, epochs, budget)


def _rows(rows: dict, seed: int, epochs: int, budget: str) -> Iterator[Run]:
    for name, (row, risk) in rows.items():
        yield bench_run("grey", f"{name}-e{epochs}", row, risk, seed, budget, epochs=epochs)

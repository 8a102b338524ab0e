"""Does mixing help on the bench, and from how many epochs on?

Primary comparison, stated before any of these runs was made: Mixup minus no mixing, test error of the last epoch in
points, paired over 5 seeds, in each of the two settings. The bench is fit for comparing mixers where the 95 % interval
lies below zero in both; an interval that reaches beyond zero means that its baseline effect is not there, and the
setting must not be used. The difference that matters is one point.

Secondary, with Holm's correction over the family of one setting: label smoothing of 0.1, CutMix and DCutMix (K = 3,
α = 1/3) minus no mixing. The regime is shown by the error on clean training images at half-time, which should be small
without mixing: the rule of thumb is 1 %.

The sign over epochs, colour, 2 seeds, which order nothing: no mixing and CutMix at 20, 40, 60, 100 and 120. Stated
before: CutMix errs more at 20 epochs and less at 100 and 120.

Added after the five seeds had been seen, since the grey interval of the primary comparison reached a tenth of a point
beyond zero: no mixing and Mixup on the grey bench with seeds 6 to 10. Five more seeds cannot make the answer of the
first five another one. They say how large the effect is, for planning the chapters' comparisons.

The network's start, the crop and the number of epochs were chosen by trials on seed 0 that looked at test errors, to
find a setting in which mixing has an effect. So seed 0 is not used here.

Cost, from trials on one core: colour 5 rows x 5 seeds x 88 s, grey 5 x 5 x 40 s, epochs 2 rows x 2 seeds x (18 + 35 +
53 + 106) s, together about 4 000 seconds of one core. The added runs: 2 x 5 x 40 s.
"""

from collections.abc import Iterator

from mixlab.chapters.bench.settings import bench_run
from mixlab.reproduce.plan import Run

SEEDS = range(1, 6)
MORE_SEEDS = range(6, 11)
ROWS = {
    "erm": ("no mixing", {"name": "empirical"}),
    "smoothing": ("label smoothing 0.1", {"name": "empirical", "label_smoothing": 0.1}),
    "mixup": ("Mixup", {"name": "vicinal", "mixer": {"name": "mixup", "alpha": 1.0}}),
    "cutmix": ("CutMix", {"name": "vicinal", "mixer": {"name": "cutmix", "alpha": 1.0}}),
    "dcutmix": ("DCutMix, K = 3, α = 1/3", {"name": "vicinal", "mixer": {"name": "dcutmix", "k": 3, "alpha": 1 / 3}}),
}
# 100 epochs are in the table already.
EPOCHS = (20, 40, 60, 120)
EPOCH_SEEDS = (1, 2)


def runs(budget: str) -> Iterator[Run]:
    """Both settings, seeds outermost, then the sign over epochs, then what was added."""
    for seed in SEEDS:
        for setting in ("grey", "colour"):
            for name, (row, risk) in ROWS.items():
                yield bench_run(setting, name, row, risk, seed, budget)
    for seed in EPOCH_SEEDS:
        for epochs in EPOCHS:
            for name in ("erm", "cutmix"):
                row, risk = ROWS[name]
                yield bench_run("colour", f"{name}-e{epochs}", row, risk, seed, budget, epochs=epochs)
    for seed in MORE_SEEDS:
        for name in ("erm", "mixup"):
            yield bench_run("grey", name, *ROWS[name], seed, budget)

"""Does cutting along saliency help beyond the clean pass that comes with it? The chapter on Puzzle Mix.

Puzzle Mix needs a gradient on the clean images before it can mix. That pass can be trained on, and a trial with other
code said that training on it changes the error more than the mixer does (Puzzle Mix from 16.5 to 15.5 %). So every arm
here trains on it: the loss is that of the mixed images plus 1 times the cross-entropy of the clean ones, in every step.
The baseline, CutMix with the clean loss, then differs from Puzzle Mix in the masks alone, and takes as many passes.

Primary comparison, stated before any of these runs was made: Puzzle Mix minus CutMix, both with the clean loss, test
error of the last epoch in points, paired over 10 seeds, on the grey bench (100 epochs). What is said of it: "lower" or
"higher" where the 95 % interval excludes zero; "no effect above a point" where it lies within one point of zero; the
two are reported apart; "undecided" where the interval is wider and contains zero. λ is drawn for every pair, in Puzzle
Mix as in CutMix, from Beta(1, 1); Puzzle Mix has its published settings otherwise (β = 1.2, γ = .5, η = .2, ξ = .8; a
number of blocks from 2, 4, 7 and 14 for every batch, from 2, 4, 8 and 16 on colour), without the adversarial start.

Controls, the same ten seeds, each minus Puzzle Mix: Puzzle Mix with the saliency of another image of the batch; with a
random smooth map; and boxes of CutMix's kind with the shares that Puzzle Mix found. Another image's saliency is no null
control on centred garments, whose maps correlate; so Puzzle Mix, CutMix and another image's saliency are repeated on
the colour bench with 5 seeds, and nothing is concluded from grey alone.

Secondary, with Holm's correction in one family with the controls of its setting: no mixing, Mixup and CutMix without
the clean loss, which are records of the experiment `bench` (5 seeds; no mixing and Mixup 10 on grey).

Cost, from 12 steps of each on one core: grey 10 seeds x (CutMix 63 s + 4 x 82 s), colour 5 seeds x (CutMix 180 s + 2 x
235 s), together 7 160 seconds of one core. These do not fit into the hour: random smooth saliency on colour; uniform
saliency; CutMix without the clean loss at 185 epochs, which takes the time of the arms with it; Puzzle Mix without the
clean loss, or with a term switched off.
"""

from collections.abc import Iterator

from mixlab.chapters.bench.settings import bench_run
from mixlab.reproduce.plan import Run

PRIMARY_SEEDS = range(1, 11)
SEEDS = range(1, 6)
CUTMIX = {"name": "cutmix", "alpha": 1.0}
# What the images were divided by: the data term compares pixels in [0, 1].
STD = {"grey": 0.36, "colour": [0.27, 0.26, 0.28]}


def with_clean(mixer: dict) -> dict:
    """A mixer whose batches come with a pass over the clean images that is trained on."""
    return {"name": "saliency", "mixer": mixer, "clean": 1.0}


def puzzle(setting: str, **changes) -> dict:
    """Puzzle Mix as a setting of the bench has it."""
    return {"name": "puzzlemix", "alpha": 1.0, "std": STD[setting]} | changes


def rows(setting: str) -> dict[str, tuple[str, dict]]:
    """The rows of a setting: short name -> title and risk. The first two are the primary comparison."""
    mixer = puzzle(setting)
    misled = {by: {"name": "replaced-saliency", "mixer": mixer, "by": by} for by in ("another", "smooth")}
    return {
        "puzzlemix": ("Puzzle Mix", with_clean(mixer)),
        "cutmix-clean": ("CutMix + clean loss", with_clean(CUTMIX)),
        "another": ("another image's saliency", with_clean(misled["another"])),
        "smooth": ("random smooth saliency", with_clean(misled["smooth"])),
        "boxes": ("boxes with its shares", with_clean({"name": "shares-in-boxes", "mixer": mixer})),
    }


PLAN = (
    ("grey", ("puzzlemix", "cutmix-clean"), PRIMARY_SEEDS),
    ("grey", ("another", "smooth", "boxes"), PRIMARY_SEEDS),
    ("colour", ("puzzlemix", "cutmix-clean", "another"), SEEDS),
)


def runs(budget: str) -> Iterator[Run]:
    """The primary comparison first, then its controls, then colour; in each part, seeds outermost."""
    for setting, names, seeds in PLAN:
        for seed in seeds:
            for name in names:
                yield bench_run(setting, name, *rows(setting)[name], seed, budget)

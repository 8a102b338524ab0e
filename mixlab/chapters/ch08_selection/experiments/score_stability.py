"""How many draws does a score of an image need, and may they share their companions?

The scorer is that of the experiment `selection` on the grey bench, by the same law: the bench's network, trained with
DCutMix (K = 3, α = 1/3) on 5,000 images for 10 epochs. (The images of a seed are the same there; start and order have
streams of their own.) When it is trained, 1,000 of the images, 100 of each class, are scored twice, with composites
that are drawn independently: other companions, shares and boxes. All else is as in `selection`: the image's own share
is ½, companions come from all 5,000 images, the loss is cross-entropy.

Asked, before any of these runs was made: how far do the two scores agree? Measured within a class, where a policy
chooses: Spearman's rank correlation of the coefficients of variation and of the mean losses, each the mean over the
classes, and the percent of the tenth of each class with the highest CV by one score that has it by the other as well
(ten of 100; two random choices share 10 % on average). Lines: companions that are drawn anew for every draw, with
M = 16, 64 and 256 draws (`selection` has 256; 16 and 64 are the first of them); M = 64 with four sets of companions,
and with one, which is the paper's text taken literally.

A trial with other code, on one scorer, gave rank correlations of CV at M = 64 of .12 with one set, .38 with four and
.52 with companions that are drawn anew, and .85 for the mean loss. That three seeds order the lines of companions is
not asked of them: what is printed is the mean and the spread over scorers, images and draws.

Nothing is compared here with another experiment, and no verdict is drawn.

Cost, from the bench's records and the rate at which `selection` scores: 1 row x 3 seeds x (scorer 45 s + 768,000
composites 120 s), together about 500 seconds of one core. Not run: colour, other shares and other K.
"""

from collections.abc import Iterator

from mixlab.chapters.bench.settings import bench_run
from mixlab.chapters.ch08_selection.experiments.selection import LIMIT, SCORER
from mixlab.reproduce.plan import Run

SEEDS = range(1, 4)
#: The only row: each of its records is of one scorer.
ROW = "scorer"


def runs(budget: str) -> Iterator[Run]:
    """A scorer for every seed, and what is measured of it."""
    for seed in SEEDS:
        yield bench_run("grey", "scorer", ROW, SCORER["risk"], seed, budget, limit=LIMIT, epochs=SCORER["epochs"],
                        measure="score-stability")

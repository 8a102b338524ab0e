"""Can a search on a tenth of the images tell good networks from bad ones? The chapter on architecture search.

The search space is one whose best network is known: the 64 cells of `mixlab.nas.tabular`, three edges with one of four
operations each, C = 8, on Fashion-MNIST. A record is of all 64 networks, trained one after the other with the same
seed.

Truth: each network is trained without mixing on 5,000 images for 300 steps of 100 (six epochs of the grey bench's
recipe), and its error is that on the 10,000 test images. Three seeds, with 5,000 images, start and order of their own;
what a network is worth is its mean error over them.

A proxy is a cheaper look at all 64: 100 steps of 100 images, on fewer images. Its error is that on 3,000 validation
images, which no arm trains on, and the network with the smallest is chosen. (Of equal ones, the one with the smaller
loss.) So test images judge, and choose nothing. Arms, with the same 5,000 images to take from in each seed:

- random: a tenth of every class, which is 500 images and 20 epochs;
- high CV, easy: as many, chosen as in chapter 8 (`mixlab.chapters.ch08_selection.choices`) by a scorer that was trained
  with DCutMix on all 5,000 for 10 epochs, and M = 128 composites an image;
- full data: all 5,000, at as many steps, which is two epochs.

Every seed of the proxies (11 to 20) has its own images, scorer, choice, start and order, and none of the truth's. The
arms of a seed share images, scorer, start and validation images. The same truth serves all of them.

Measured of each proxy: its regret (the true error of the network that it chooses, minus that of the best of the 64, in
points), and Spearman's rank correlation with the truth within strata of equal parameter count (ten strata, of which two
have one network; the mean weighted by their sizes). Over all 64 the number of parameters alone ranks well (.90 in a
trial with other code), so a correlation over all of them says little about the images.

Primary comparisons, stated before any of these runs was made: high CV minus random, regret in points and rank
correlation within strata, each paired over the 10 seeds. What is said of each: "lower" or "higher" where the 95 %
interval excludes zero; "no difference" where it lies within 0.5 points of zero for the regret, or within 0.1 for the
correlation; "undecided" otherwise. "No difference" is what is expected: in a trial, correlations over all networks were
.89 to .93 whatever the images. The two are corrected for nothing. All is conditional on the one truth: its error (about
.25 points for a network) is shared by all arms and seeds, and lowers every correlation.

Controls: the number of parameters as a proxy (it has no correlation within strata), and each seed of the truth against
the mean of the other two, which says what a perfect look with one seed would reach.

Secondary, with Holm's correction over the four: easy minus random and full data minus random, regret and correlation.

What differs from the paper (appendix D): it searches with PC-DARTS on CIFAR and judges the one network found by
training it; here all networks are trained, so that what the search misses is known.

Cost, from trials on one core (seed 1, 500 and 5,000 random images, three networks): 64 networks x 1.5 s for a proxy on
500 images, x 1.7 s on 5,000 and x 4.5 s for the truth; scorer 45 s, scores 100 s. So 3 x 290 s + 10 x (3 x 96 s + 110 s
+ 145 s), together 6 300 seconds of one core. Not run: other parts than a tenth, other numbers of steps, colour.
"""

from collections.abc import Iterator

from mixlab.reproduce.plan import Run

TRUTH_SEEDS = range(1, 4)
SEEDS = range(11, 21)
#: Images to choose from, the part that is kept, channels, and epochs that make 300 and 100 steps.
LIMIT, PART, CHANNELS = 5000, 0.1, 8
TRUTH_EPOCHS, FULL_EPOCHS, PART_EPOCHS = 6, 2, 20
#: Of validation images, 3,000.
VALIDATION = 0.05
TRUTH = "truth"
#: Policy of the chapter on selection -> title of its row.
POLICIES = {"high-cv": "high CV", "random": "random", "easy": "easy"}
FULL = "full data"
PRIMARY = ("high CV", "random")
SCORER = {"model": "bench-net", "recipe": "bench-grey", "epochs": 10,
          "risk": {"name": "vicinal", "mixer": {"name": "dcutmix", "k": 3, "alpha": 1 / 3}}}
SCORE = {"k": 3, "alpha": 1 / 3, "anchor_share": 0.5, "draws": 128}
#: The cell of the network that a record's curves are of; its measures are of all 64.
CELL = ["conv_3x3", "conv_3x3", "conv_3x3"]


def runs(budget: str) -> Iterator[Run]:
    """The truth, then the arms, seeds outermost.

    The first run of a seed trains its scorer. So those that need its scores come after the first ones of the next seed:
    two that work at once do not wait for each other.
    """
    for seed in TRUTH_SEEDS:
        yield _run("truth", TRUTH, seed, budget, TRUTH_EPOCHS, "ch10-truth")
    first, *others = POLICIES
    for seed in (*SEEDS, None):
        if seed is not None:
            yield _chosen(first, seed, budget)
            yield _run("full", FULL, seed, budget, FULL_EPOCHS, "ch10-proxy")
        before = SEEDS[-1] if seed is None else seed - 1
        if before in SEEDS:
            for policy in others:
                yield _chosen(policy, before, budget)


def _chosen(policy: str, seed: int, budget: str) -> Run:
    choice = {"choice": "ch8", "policy": policy, "t": PART, "scorer": SCORER, "score": SCORE}
    return _run(policy, POLICIES[policy], seed, budget, PART_EPOCHS, "ch10-proxy", subset=choice)


def _run(name: str, row: str, seed: int, budget: str, epochs: int, measure: str, **changes) -> Run:
    return Run(f"{name}-s{seed}", row, data="fashion-mnist", model="tabular", risk={"name": "empirical"},
               recipe="bench-grey", seed=seed, epochs=epochs, limit=LIMIT, validation=VALIDATION,
               options={"cell": CELL, "channels": CHANNELS}, measure=measure,
               device="cpu" if budget == "cpu" else "auto", **changes)

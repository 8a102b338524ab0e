"""Which tenth of the data should you keep? The chapter on choosing data by uncertainty.

Of 5,000 images a policy keeps a tenth of every class. The bench's network is trained on those 500 with DCutMix (K = 3,
α = 1/3, as on the bench) for 300 steps of 100 images: 60 epochs of the bench's recipes, in both settings. Test error is
of the last epoch.

The scorer is the bench's network as well, trained with the same DCutMix on all 5,000 images for 10 epochs (500 steps).
It scores each of them by M = 256 composites (K = 3, α = 1/3, the image's own share ½, boxes, cross-entropy), with
companions that are drawn anew for each draw and are the same for all images. So every policy but "random" has had help
from a network that knows the labels of ten times as many images, and pays for it: the scorer and its scores cost about
ten trainings on the subset.

Every seed has all of its own: the 5,000 images, the scorer, the composites, what a policy draws, and the training. The
policies of a seed share images and scores, and start and order of their training. So seeds are independent but for the
test set and a tenth of their images, and the interval over them has the variance of all that is drawn. (Few scorers
with several trainings each would cost less, but it is scorers that would have to be counted: three leave two degrees
of freedom.)

Primary comparisons, stated before any of these runs was made: high CV minus random, and high CV minus easy (the
smallest mean losses), test error of the last epoch in points, paired over 10 seeds, on the grey bench (Fashion-MNIST)
and on the colour bench (CIFAR-100's 20 superclasses). What is said of each: "lower" or "higher" where the 95 % interval
excludes zero; "no effect above a point" where it lies within one point of zero; the two are reported apart;
"undecided" where the interval is wider and contains zero. The four comparisons are corrected for nothing: were there no
effect at all, one of them or more would exclude zero with a chance of up to 20 %.

In a trial with other code, one or two seeds each, the sign depended on the set: on grey random 17.6 and 18.5 % error,
high CV 22.1 and 20.4, easy 23.2; on colour random 75.2, high CV 74.1, easy 73.3.

Controls: "random" has the same number of images of every class, from the same 5,000, in the same steps. "Easy" uses the
same scores without their deviation. Each record has the scorer's error, the means of CV and of the loss over what was
kept and over all, and how much of it the random choice of the seed keeps as well: about 10 %, but for that choice.

Secondary, the last five of the ten seeds, with Holm's correction within each family, per setting. First family, all
without mixing: high CV minus random, and high CV minus easy. Second family, with DCutMix: hard (the largest mean
losses), plain standard deviation, low CV, one image of each quantile of the mean loss, and drawn in proportion to CV,
each minus random.

What differs from the paper (figure 3): ten grey classes or 20 superclasses and 5,000 images to choose from, instead of
CIFAR-100's 100 classes and 50,000 (t = .1 keeps 50 or 25 images of a class; theirs keeps 50, and 25 at t = .05); a
network of 127,000 weights instead of PyramidNet; equal steps, where the paper does not say whether epochs or steps are
equal; ten seeds instead of three; and all that the paper leaves open about the score, see `mixlab.bayes.score`. Its
text gives one number: at t = .05 high CV errs 5.79 points less than random. Of easy and hard it says that both are
worse than random, hard by far, and of the standard deviation that it is like those two.

Cost, from trials on one core (seed 0, which is not used; no test error of it was looked at) and the bench's records:
10 seeds x (scorer 45 s and scores 200 s on grey, 50 s and 200 s on colour), 10 seeds x 3 policies x (25 s + 28 s), and
without mixing 5 seeds x 3 x (20 s + 24 s), together 7 200 seconds of one core. The second family comes after these and
takes 5 seeds x 5 x (25 s + 28 s), 1 330 seconds more. Not run: other parts of the data and the full run's epochs
(figure 3), a part that is drawn anew every epoch (RS2), a scorer that saw only as many images as are kept.
"""

from collections.abc import Iterator

from mixlab.chapters.bench.settings import bench_run
from mixlab.reproduce.plan import Run

SETTINGS = ("grey", "colour")
PRIMARY_SEEDS = range(1, 11)
#: The last five of them: when the secondary runs begin, these scorers are there.
SEEDS = range(6, 11)
#: Images to choose from, the part that is kept, and epochs of five steps.
LIMIT, PART, EPOCHS = 5000, 0.1, 60
PLAIN = {"name": "empirical"}
DCUTMIX = {"name": "vicinal", "mixer": {"name": "dcutmix", "k": 3, "alpha": 1 / 3}}
#: Of the scorer, see `mixlab.chapters.ch08_selection.choices`; its recipe is that of the setting.
SCORER = {"model": "bench-net", "epochs": 10, "risk": DCUTMIX}
#: See `mixlab.bayes.score`; companions are drawn anew for every draw where nothing is said.
SCORE = {"k": 3, "alpha": 1 / 3, "anchor_share": 0.5, "draws": 256}
#: Policy -> title of its row.
POLICIES = {
    "high-cv": "high CV",
    "random": "random",
    "easy": "easy",
    "hard": "hard",
    "std": "standard deviation",
    "low-cv": "low CV",
    "stratified": "quantiles of the loss",
    "proportional": "in proportion to CV",
}
#: High CV is compared with the other two.
PRIMARY = ("high-cv", "random", "easy")
OTHERS = tuple(policy for policy in POLICIES if policy not in PRIMARY)


def plain(title: str) -> str:
    """The title of a policy's row without mixing."""
    return f"{title}, without mixing"


def runs(budget: str) -> Iterator[Run]:
    """The primary comparisons, then those without mixing, then the other policies; seeds outermost in each.

    The first run of a seed trains its scorer and scores all images, which takes as long as ten runs. So the others of
    the seed come after the first ones of the next: two that work at once do not wait for each other.
    """
    first, *others = PRIMARY
    for seed in (*PRIMARY_SEEDS, None):
        if seed is not None:
            for setting in SETTINGS:
                yield _run(setting, first, seed, budget)
        before = PRIMARY_SEEDS[-1] if seed is None else seed - 1
        if before in PRIMARY_SEEDS:
            for setting in SETTINGS:
                for policy in others:
                    yield _run(setting, policy, before, budget)
    for policies, mixing in ((PRIMARY, False), (OTHERS, True)):
        for seed in SEEDS:
            for setting in SETTINGS:
                for policy in policies:
                    yield _run(setting, policy, seed, budget, mixing)


def _run(setting: str, policy: str, seed: int, budget: str, mixing: bool = True) -> Run:
    scorer = {"recipe": f"bench-{setting}", **SCORER}
    choice = {"choice": "ch8", "policy": policy, "t": PART, "scorer": scorer, "score": SCORE}
    name, row, risk = policy, POLICIES[policy], DCUTMIX
    if not mixing:
        name, row, risk = f"plain-{policy}", plain(row), PLAIN
    return bench_run(setting, name, row, risk, seed, budget, limit=LIMIT, epochs=EPOCHS, subset=choice)

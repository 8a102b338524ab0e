"""Can a teacher say where to look while mixing, and what to learn from the mixture? The chapter on SuperMix.

A teacher that knows no more than its student has nothing to teach. So the teacher of a seed is the bench's network at
width 24, trained without mixing for 10 epochs on 5,000 images, among them the 500 of its student (test error 10.1 % in
a trial on seed 0, which is not used; no student's was looked at). So every row but "no mixing" has had help from 4,500
more labelled images, which is said wherever a number is shown. The student is the bench's network. In each of its 500
steps (100 epochs, the bench's length: natural images alone are fitted to about 1 % by half-time) it sees 100 natural
and 100 mixed images in one pass, and its loss is the mean over the 200: the cross-entropy of the natural ones with
their labels, and of the mixed ones with the teacher's likeliest class, asked anew at each step about the mixed image as
the student sees it.

A trial with other code said that a set of 2,000 images that is fixed costs .7 points against images that are drawn
anew at each step, which is more than mixers differ by. So both sets of the primary comparison are fixed, of one size,
made once for every seed from the student's 500 images with the seed's teacher. Both take pairs of different predicted
classes and ratios from Dirichlet(3, 3), and both are cropped and flipped and labelled alike. They differ in the masks,
and in this: SuperMix keeps the pairs in which it succeeds, CutMix keeps all. SuperMix has the paper's settings for
small images: K = 2, λ_s = 25, σ = 1, masks of 8 x 8 cells (of 3.5 x 3.5 pixels here), at most 50 iterations. CutMix's
box lies inside the image, so that its share is the ratio that was drawn, up to whole pixels.

Primary comparison, stated before any of these runs was made: SuperMix minus CutMix, both as fixed sets, test error of
the last epoch in points, paired over 10 seeds, on the grey bench. What is said of it: "lower" or "higher" where the
95 % interval excludes zero; "no effect above a point" where it lies within one point of zero; the two are reported
apart; "undecided" where the interval is wider and contains zero.

Controls, the same ten seeds, each minus SuperMix: SuperMix's masks of another pair (a fixed set as well; nothing is
required to succeed, and all pairs are kept); CutMix drawn anew at each step; natural images only, without a teacher
(records of the experiment `bench`). In the trial the primary difference was about zero, and the masks of another pair
did better than their own.

Secondary, five seeds, with Holm's correction in one family with the controls, each minus SuperMix: KD on natural images
(.1 of the cross-entropy, .9 of T² KL, T = 4); KD + SuperMix (.45 of the cross-entropy of the natural images, .45 of
that of the mixed ones, .05 of T² KL on the natural ones: the weights 1.8, 1.8 and .2 of the public code, divided by 4,
as its 2 and 2 are for the other rows); Mixup of halves, drawn anew, with the same pair rule and labels; CRD on natural
images (the cross-entropy and .8 of the contrast, τ = .07, 164 negatives, which is the published part of the rows); and
SuperMix's set of the student's own first network (the bench's network trained on the same 500 images, from another
start), which is the paper's classification. A family of its own, also five seeds and minus SuperMix: the same set with
other labels, the ratios r (on the classes that the teacher finds in the sources) and the teacher's probabilities.

What differs from the papers: ten grey classes and 500 images instead of CIFAR-100; a set four times as large as its
originals instead of ten times; pairs of different predicted classes by rule, where the public code drops pairs of one
class by never finishing them; iterations end row by row, so that most pairs are kept (86 % in a trial), where the
public code stops a batch at 30 %; CutMix from a fixed set; weights that sum to one; the last epoch, where the public
code takes the best one on the test set; all rows at equal steps.

Cost, from trials on one core (seed 0, which is not used): 10 teachers x 45 s, 10 sets of SuperMix x 22 s and 10 with
masks of another pair x 25 s, students 10 seeds x (3 x 62 s with a fixed set + 78 s with CutMix anew), secondary 5 seeds
x (KD 32 s, KD + SuperMix 65 s, halves 78 s, CRD 50 s, own network 110 s, labels 2 x 62 s), together 5 860 seconds of
one core. Not run: RandAugment on top of SuperMix (Table 1), sets of other sizes, colour.
"""

from collections.abc import Iterator, Mapping

from mixlab.chapters.bench.settings import bench_run
from mixlab.reproduce.plan import Run

PRIMARY_SEEDS = range(1, 11)
SEEDS = range(1, 6)
#: The teachers, see `mixlab.chapters.ch07_supermix.preparation`: the seed's, and the student's own first network.
TEACHER = {"model": "bench-net", "width": 24, "limit": 5000, "recipe": "bench-grey", "epochs": 10}
FIRST_NETWORK = {"model": "bench-net", "limit": 500, "recipe": "bench-grey"}
#: CutMix with boxes that lie inside the image, and Mixup of very nearly halves.
CUTMIX = {"name": "unclipped-cutmix", "alpha": 3.0}
HALVES = {"name": "mixup", "alpha": 10_000.0}


def supermix(teacher: Mapping) -> dict:
    """SuperMix with the paper's settings, which are the defaults."""
    return {"name": "supermix", "teacher": teacher}


def by_its_pair_rule(mixer: Mapping) -> dict:
    """Another mixer with partners of other predicted classes."""
    return {"name": "distinct-predictions", "mixer": mixer, "teacher": TEACHER}


def fixed(mixer: Mapping, keep: str) -> dict:
    """A set of 2,000 images."""
    return {"images": {"mixer": mixer, "count": 2000, "keep": keep}, "augment": "crop2-flip"}


def taught(teacher: Mapping = TEACHER, **changes) -> dict:
    """Half the weight on natural images, half on mixed ones with the teacher's likeliest class."""
    return {"name": "distillation", "teacher": teacher, "clean": 0.5, "mixed": 0.5, "label": "argmax"} | changes


SUPERMIX_SET = fixed(supermix(TEACHER), "success")
#: Short name -> title and risk. The first two are the primary comparison.
ROWS = {
    "supermix": ("SuperMix", taught(**SUPERMIX_SET)),
    "cutmix": ("CutMix, fixed set", taught(**fixed(by_its_pair_rule(CUTMIX), "best"))),
    "shuffled": ("another pair's masks",
                 taught(**fixed({"name": "shuffled-masks", "mixer": supermix(TEACHER)}, "best"))),
    "fresh": ("CutMix, drawn anew", taught(mixer=by_its_pair_rule(CUTMIX))),
    "kd": ("KD", taught(clean=0.1, mixed=0.0, kd=0.9)),
    "kd-supermix": ("KD + SuperMix", taught(clean=0.45, mixed=0.45, kd=0.05, **SUPERMIX_SET)),
    "halves": ("Mixup of halves, drawn anew", taught(mixer=by_its_pair_rule(HALVES))),
    "crd": ("CRD", {"name": "crd", "teacher": TEACHER, "negatives": 164}),
    "own": ("SuperMix by its own first network",
            taught(FIRST_NETWORK, **fixed(supermix(FIRST_NETWORK), "success"))),
    "ratios": ("SuperMix, labels r", taught(label="mix", **SUPERMIX_SET)),
    "probabilities": ("SuperMix, teacher's probabilities", taught(label="teacher", **SUPERMIX_SET)),
}
PRIMARY = ("supermix", "cutmix")
CONTROLS = ("shuffled", "fresh")
SECONDARY = ("kd", "kd-supermix", "halves", "crd", "own")
LABELS = ("ratios", "probabilities")


def runs(budget: str) -> Iterator[Run]:
    """The primary comparison, then the controls, seeds outermost; then the secondary rows, one after another.

    A seed's teacher and SuperMix set take as long as a run. So the other half of a pair comes after the first half of
    the next pair: two that work at once do not wait for each other.
    """
    first, second = PRIMARY
    last = None
    for seed in PRIMARY_SEEDS:
        yield _run(first, seed, budget)
        if last is not None:
            yield _run(second, last, budget)
        last = seed
    yield _run(second, last, budget)
    for seed in PRIMARY_SEEDS:
        for name in CONTROLS:
            yield _run(name, seed, budget)
    for name in (*SECONDARY, *LABELS):
        for seed in SEEDS:
            yield _run(name, seed, budget)


def _run(name: str, seed: int, budget: str) -> Run:
    return bench_run("grey", name, *ROWS[name], seed, budget, prepare="supermix")

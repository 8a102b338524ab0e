"""Does K matter where the effective number of images is the same? A test of what the grid of k_image suggested.

In the grid the error follows the effective number 1 / E sum phi^2 = (K alpha + 1) / (alpha + 1) better than K. That
was seen after the fact. Here DCutMix with K = 2, 3 and 5 has the number of K = 9 at alpha = 1/9, which is 9/5, and is
trained as the grid is, whose records of K = 9 are the other side of every pair.

Stated before any of these runs was made. Prediction: the error of K = 2, 3 and 5 less that of K = 9, paired by seed, is
zero. Refuted, if a 95 % interval of a difference lies off zero. Taken for confirmed only within one percentage point,
about half of what separates K = 9 from K = 2 at alpha = 1/K in the grid; a wider interval decides nothing. The mean
share of the largest image, which differs between these settings (K = 2 has the smallest), would have K = 2 err most.
"""

from collections.abc import Iterator

from mixlab.reproduce.experiments import k_image
from mixlab.reproduce.plan import Run

# alpha solves (K alpha + 1) / (alpha + 1) = 9/5.
ALPHAS = {2: (4.0, "4"), 3: (2 / 3, "2/3"), 5: (1 / 4, "1/4")}


def runs(budget: str) -> Iterator[Run]:
    """The settings that the grid does not have, seeds outermost."""
    law = k_image.pairing(budget)
    for seed in k_image.SEEDS:
        for k, (alpha, text) in ALPHAS.items():
            risk = {"name": "vicinal", "mixer": {"name": "dcutmix", "k": k, "alpha": alpha, **law}}
            yield k_image.run(f"dcutmix-k{k}", f"DCutMix K={k} α={text}", risk, seed, budget)

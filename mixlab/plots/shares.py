"""Laws of shares in figures: how many images count, where small concentrations break, what boxes and pixels do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

__all__ = ["effective_figure", "rounding_figure", "share_laws_figure", "small_alpha_figure"]

MARKERS = "osD^vP"


def effective_figure(ks: Sequence[int], curves: Mapping[str, tuple[Sequence[float], Sequence[float]]]):
    """Plot the effective number of images over K: theory as lines, measurements as points.

    Args:
        ks: numbers of images.
        curves: label -> (theory, measured), one value per K each.

    Returns:
        A matplotlib Figure.
    """
    from matplotlib import pyplot as plt

    figure, axis = plt.subplots(figsize=(6, 3.4))
    for number, (label, (theory, measured)) in enumerate(curves.items()):
        axis.plot(ks, theory, color=f"C{number}", linewidth=1.5)
        axis.plot(ks, measured, MARKERS[number % len(MARKERS)], color=f"C{number}", label=label)
    axis.axhline(2, color="0.5", linestyle=":", linewidth=1)
    axis.text(ks[0], 2.04, "two images", ha="left", va="bottom", fontsize=9, color="0.4")
    axis.set(xlabel="images mixed, K", ylabel="effective number of images", xticks=list(ks))
    axis.legend(title="line: theory, points: draws")
    return figure


def small_alpha_figure(alphas: Sequence[float], exact: Sequence[float], draws: Mapping[str, Sequence[float]]):
    """Plot, over the concentration, the probability that neither of two images has nearly everything.

    Args:
        alphas: concentrations.
        exact: its exact value at each.
        draws: label -> frequency at each concentration.

    Returns:
        A matplotlib Figure.
    """
    from matplotlib import pyplot as plt

    figure, axis = plt.subplots(figsize=(6, 3.2))
    axis.loglog(alphas, exact, color="0.3", label="incomplete beta function")
    for number, (label, frequencies) in enumerate(draws.items()):
        axis.loglog(alphas, frequencies, MARKERS[number % len(MARKERS)], color=f"C{number}", label=label, markersize=7,
                    alpha=0.85)
    axis.set(xlabel="concentration α", ylabel="P(0.01 < φ$_1$ < 0.99)")
    axis.legend()
    return figure


def share_laws_figure(laws: Mapping[str, object]):
    """Show the shares that each slot of a mix really gets: the mean as a bar, the quartiles as a line.

    Args:
        laws: label -> (N, K) realised shares, K equal for all.

    Returns:
        A matplotlib Figure.
    """
    from matplotlib import pyplot as plt

    figure, axis = plt.subplots(figsize=(6.5, 3.2))
    width = 0.8 / len(laws)
    for number, (label, shares) in enumerate(laws.items()):
        shares = np.asarray(shares)
        slots = np.arange(1, shares.shape[1] + 1) + (number - (len(laws) - 1) / 2) * width
        low, high = np.quantile(shares, [0.25, 0.75], axis=0)
        axis.bar(slots, shares.mean(0), width * 0.92, color=f"C{number}", label=label,
                 hatch=["", "//", "xx", ".."][number % 4], edgecolor="white")
        axis.vlines(slots, low, high, color="0.15", linewidth=1.5)
    axis.axhline(1 / shares.shape[1], color="0.4", linestyle=":", linewidth=1.2)
    axis.set(xlabel="slot k", ylabel="share of the pixels", xticks=range(1, shares.shape[1] + 1))
    axis.legend(title="bar: mean, line: quartiles")
    return figure


def rounding_figure(sizes: Sequence[int], errors: Mapping[str, Sequence[float]]):
    """Plot the mean distance between drawn shares and shares in whole pixels over the image's side.

    Args:
        sizes: sides, in pixels.
        errors: label -> mean L1 distance at each.

    Returns:
        A matplotlib Figure.
    """
    from matplotlib import pyplot as plt

    figure, axis = plt.subplots(figsize=(5.5, 3.2))
    for number, (label, values) in enumerate(errors.items()):
        axis.loglog(sizes, values, MARKERS[number % len(MARKERS)] + "-", color=f"C{number}", label=label)
    axis.set(xlabel="side of the image, pixels", ylabel="mean L1 distance to φ")
    axis.set_xticks(list(sizes), [str(size) for size in sizes])
    axis.minorticks_off()
    axis.legend()
    return figure

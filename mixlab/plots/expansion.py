"""Figures about the second-order expansion of the mixup loss."""

from collections.abc import Mapping, Sequence
from itertools import cycle

import matplotlib.pyplot as plt
import numpy as np
import seaborn
from matplotlib.figure import Figure
from matplotlib.patches import Ellipse

__all__ = ["expansion_check", "shrunken_cloud", "term_sizes"]


def _colours(count: int) -> list:
    return seaborn.color_palette("colorblind", count)


def shrunken_cloud(
    inputs: np.ndarray, labels: np.ndarray, moved: np.ndarray, mixed: np.ndarray, example: int, covariance: np.ndarray
) -> Figure:
    """What mixup does to points of the plane: all are drawn in, and each is then spread.

    Args:
        inputs: (n, 2) the data.
        labels: (n,) classes.
        moved: (n, 2) shrunk towards the mean.
        mixed: (m, 2) mixed inputs whose larger part is the example.
        example: which point the cloud and the ellipse belong to.
        covariance: (2, 2) of the example's perturbation; two standard deviations are drawn.
    """
    figure, (left, right) = plt.subplots(1, 2, figsize=(8.6, 3.6), sharex=True, sharey=True)
    colours, markers = _colours(3), "os^"
    for label in np.unique(labels):
        own = labels == label
        left.plot(*inputs[own].T, markers[label], color=colours[label], markersize=6, markerfacecolor="none")
        left.plot(*moved[own].T, markers[label], color=colours[label], markersize=4)
    for start, end in zip(inputs, moved):
        left.plot(*np.stack([start, end]).T, color="grey", linewidth=0.5, zorder=0)
    left.plot(*inputs.mean(0), "k+", markersize=12)
    left.set_title("drawn in: open marks → filled marks", fontsize=10)
    right.plot(*mixed.T, ".", color="grey", markersize=3, alpha=0.5)
    marker, colour = markers[labels[example]], colours[labels[example]]
    right.plot(*inputs[example], marker, color=colour, markersize=8, markerfacecolor="none")
    right.plot(*moved[example], marker, color=colour, markersize=7)
    values, vectors = np.linalg.eigh(covariance)
    angle = np.degrees(np.arctan2(vectors[1, 1], vectors[0, 1]))
    right.add_patch(
        Ellipse(moved[example], *(4 * np.sqrt(values[::-1])), angle=angle, fill=False, color="black", linewidth=1.5)
    )
    right.set_title("spread: mixtures that are mostly one example", fontsize=10)
    for ax in (left, right):
        ax.set(xlabel="first input", aspect="equal")
    left.set_ylabel("second input")
    return figure


def expansion_check(
    scales: Sequence[float],
    measured: Mapping[str, Sequence[tuple[float, float]]],
    terms: Mapping[str, float],
    path: Sequence[float],
    errors: Sequence[float],
) -> Figure:
    """Each term by simulation over its formula, and the error of the whole expansion.

    Args:
        scales: of the simulated perturbations.
        measured: for each term, mean and standard error at each scale.
        terms: the formulas' values.
        path: scales at which the exact risk was computed.
        errors: distance between the exact risk and the expansion there.
    """
    figure, (left, right) = plt.subplots(1, 2, figsize=(9.2, 3.3))
    for number, (name, colour, marker) in enumerate(zip(measured, _colours(len(measured)), cycle("os^D"))):
        mean, error = np.array(measured[name]).T / terms[name]
        places = np.array(scales) * (1 + 0.03 * (number - 1))
        left.errorbar(places, mean, 2 * abs(error), fmt=marker, color=colour, label=name, capsize=2, markersize=5)
    left.axhline(1, color="black", linewidth=1)
    left.set(xscale="log", xlabel="scale of the perturbations (1 is mixup)", ylabel="simulated / formula")
    left.legend(fontsize=8)
    path, errors = np.array(path), np.array(errors)
    right.loglog(path, errors, "o-", color=_colours(1)[0], label="|exact risk − expansion|")
    right.loglog(path, errors[0] * (path / path[0]) ** 3, "k--", linewidth=1, label="slope 3")
    right.set(xlabel="scale of the perturbations (1 is mixup)", ylabel="nats")
    right.legend(fontsize=8)
    return figure


def term_sizes(alphas: Sequence[float], terms: Mapping[str, Sequence[float]], exact: Sequence[float]) -> Figure:
    """The terms of the expansion as α grows, beside the exact risk.

    Args:
        alphas: concentrations.
        terms: values over α; those called ``"unmixed"`` and ``"shrunk"`` are levels, the others are added to the
            latter.
        exact: the mixup risk at each α.
    """
    figure, (left, right) = plt.subplots(1, 2, figsize=(9.2, 3.2))
    colours = _colours(6)
    added = {name: np.array(values) for name, values in terms.items() if name not in ("unmixed", "shrunk")}
    shrunk = np.array(terms["shrunk"])
    left.plot(alphas, terms["unmixed"], ":", color="black", label="no mixing")
    left.plot(alphas, shrunk, "--", color=colours[4], label="shrunken data and labels")
    left.plot(alphas, shrunk + sum(added.values()), "-", color=colours[5], label="expansion, all terms")
    left.plot(alphas, exact, "o", color="black", markersize=4, label="exact mixup risk")
    left.set(xscale="log", xlabel="α", ylabel="risk, nats", ylim=(0, None))
    left.legend(fontsize=8)
    for (name, values), colour, style in zip(added.items(), _colours(len(added)), cycle(("-", "--", ":", "-."))):
        right.plot(alphas, values, style, color=colour, label=name)
    right.axhline(0, color="black", linewidth=0.8)
    right.set(xscale="log", xlabel="α", ylabel="added to the risk, nats")
    right.legend(fontsize=8)
    return figure

"""Figures that compare settings by their records: every seed is shown, and differences carry an interval."""

from collections.abc import Mapping, Sequence
from itertools import cycle

import matplotlib.pyplot as plt
import numpy as np
import seaborn
from matplotlib.figure import Figure

__all__ = ["detectors", "over_numbers", "oversampled", "settings", "strengths"]


def settings(
    values: Mapping[str, Mapping[int, float]],
    intervals: Mapping[str, tuple[float, float, float]],
    reference: str,
    quantity: str = "test error, %",
) -> Figure:
    """Every seed of every setting, and what distinguishes each setting from the reference.

    Args:
        values: for every setting, its number by seed.
        intervals: for every other setting, mean, low and high of its paired difference to the reference.
        reference: the setting that the others are compared with.
        quantity: what the numbers are.
    """
    figure, (left, right) = plt.subplots(1, 2, figsize=(9.4, 0.9 + 0.38 * len(values)), sharey=True)
    colours = seaborn.color_palette("colorblind", 2)
    places = {name: -place for place, name in enumerate(values)}
    for name, numbers in values.items():
        shown = list(numbers.values())
        left.plot(shown, [places[name]] * len(shown), "o", color=colours[0], markersize=5, alpha=0.8)
        if shown:
            left.plot(np.mean(shown), places[name], "|", color="black", markersize=14, markeredgewidth=2)
    for name, (mean, low, high) in intervals.items():
        right.plot([low, high], [places[name]] * 2, color=colours[1], linewidth=2)
        right.plot(mean, places[name], "s", color=colours[1], markersize=5)
    right.axvline(0, color="black", linewidth=1)
    left.set(yticks=list(places.values()), xlabel=quantity, ylim=(-len(values) + 0.4, 0.6))
    left.set_yticklabels(places)
    right.set(xlabel=f"minus “{reference}”, same seeds, 95 % interval")
    for ax in (left, right):
        ax.grid(axis="y", linewidth=0.4)
    return figure


def strengths(
    table: Mapping[int, Mapping[float, Sequence[float]]], chosen: Mapping[int, float], quantity: str
) -> Figure:
    """Error over mixing strength, a line for every width; the strength that each width chooses is ringed.

    Args:
        table: for every width and strength, the numbers of the seeds.
        chosen: for every width, the strength with the lowest mean.
        quantity: what the numbers are.
    """
    figure, ax = plt.subplots(figsize=(6.4, 3.4))
    styles = zip(seaborn.color_palette("colorblind", len(table)), cycle(("-", "--", ":", "-.")), cycle("os^D"))
    strengths_seen = sorted({strength for row in table.values() for strength in row})
    for (width, row), (colour, line, marker) in zip(table.items(), styles):
        known = [strength for strength in strengths_seen if row.get(strength)]
        where = np.array([strengths_seen.index(strength) for strength in known], dtype=float)
        mean = [np.mean(row[strength]) for strength in known]
        spread = [np.std(row[strength], ddof=1) if len(row[strength]) > 1 else 0 for strength in known]
        ax.errorbar(where, mean, spread, linestyle=line, marker=marker, color=colour, capsize=3, label=f"width {width}")
        if width in chosen:
            at = known.index(chosen[width])
            ax.plot(where[at], mean[at], "o", markersize=15, markerfacecolor="none", markeredgecolor=colour)
    ax.set(xticks=range(len(strengths_seen)), xlabel="mixing strength α (0: none)", ylabel=quantity)
    ax.set_xticklabels([f"{strength:g}" for strength in strengths_seen])
    if table:
        ax.legend(fontsize=9)
    return figure


def over_numbers(
    families: Mapping[str, Sequence[tuple[Mapping[str, float], Sequence[float]]]],
    reference: tuple[str, Mapping[str, float], float],
    quantity: str = "test error, %",
) -> Figure:
    """Results of settings over each of the numbers that a setting has, one panel per number.

    Args:
        families: for every family, its settings: numbers by name, and the results of the seeds.
        reference: label, numbers and result of a point that all are compared with.
        quantity: what the results are.
    """
    label, origin, result = reference
    figure, axes = plt.subplots(1, len(origin), figsize=(4.4 * len(origin), 3.9), sharey=True, squeeze=False)
    looks = dict(zip(families, zip(seaborn.color_palette("colorblind", len(families)), cycle("os^Dv<>P"))))
    for ax, number in zip(axes[0], origin):
        ax.plot(origin[number], result, "*", color="black", markersize=11, label=label)
        for family, (colour, marker) in looks.items():
            places = [numbers[number] for numbers, _ in families[family]]
            results = [values for _, values in families[family]]
            ax.vlines(places, [min(values) for values in results], [max(values) for values in results], color=colour)
            means = [np.mean(values) for values in results]
            ax.plot(places, means, marker, color=colour, markersize=6, alpha=0.8, label=family)
        ax.set(xlabel=number)
    axes[0, 0].set_ylabel(quantity)
    axes[0, 0].legend(fontsize=8)
    return figure


def oversampled(rows: np.ndarray, labels: np.ndarray, added: Mapping[str, np.ndarray]) -> Figure:
    """What each way to oversample adds to a rare class in the plane.

    Args:
        rows: (n, 2) the data.
        labels: (n,) 1 for the rare class.
        added: for every way, the (m, 2) rows that it adds.
    """
    figure, axes = plt.subplots(1, len(added), figsize=(3.4 * len(added), 3.0), sharex=True, sharey=True, squeeze=False)
    common, rare, new = seaborn.color_palette("colorblind", 3)
    for ax, (title, more) in zip(axes[0], added.items()):
        ax.plot(*rows[labels == 0].T, ".", color=common, markersize=4, label="common class")
        ax.plot(*more.T, "x", color=new, markersize=5, markeredgewidth=1, label="added")
        ax.plot(*rows[labels == 1].T, "o", color=rare, markersize=7, markerfacecolor="none", markeredgewidth=2,
                label="rare class")
        ax.set(title=title, xlabel="first input")
    axes[0, 0].set_ylabel("second input")
    axes[0, -1].legend(fontsize=8)
    return figure


def detectors(found: Mapping[str, Mapping[str, object]]) -> Figure:
    """Recall against false alarms of detectors, a panel for every learner and a mark for every seed.

    Args:
        found: for every learner and way to oversample, a record with ``recall`` and ``alarms``, (classes, seeds)
            tensors of which the mean over the classes is shown.
    """
    figure, axes = plt.subplots(1, len(found), figsize=(3.9 * len(found), 3.1), sharey=True, squeeze=False)
    for ax, (learner, ways) in zip(axes[0], found.items()):
        looks = zip(seaborn.color_palette("colorblind", len(ways)), cycle("os^D"))
        for (way, each), (colour, marker) in zip(ways.items(), looks):
            alarms, recall = 100 * each.alarms.mean(0).numpy(), 100 * each.recall.mean(0).numpy()
            ax.plot(alarms, recall, marker, color=colour, markersize=6, markerfacecolor="none", label=way)
        ax.set(title=learner, xlabel="false alarms, %")
    axes[0, 0].set_ylabel("rare class found, %")
    axes[0, -1].legend(fontsize=9)
    return figure

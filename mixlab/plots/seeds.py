"""Results of several seeds: every seed a point, the mean a line, so that nobody takes a mean for a fact."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

__all__ = ["in_order", "rows_figure", "series_figure"]


def series_figure(panels: Mapping[str, Mapping[str, Mapping[float, Sequence[float]]]], xlabel: str, ylabel: str,
                  reference: tuple[str, float] | None = None):
    """Plot results over a setting, one panel per group and one line per series.

    Args:
        panels: title -> series -> setting -> results of the seeds.
        xlabel, ylabel: of the axes.
        reference: label and height of a dotted line.

    Returns:
        A matplotlib Figure.
    """
    from matplotlib import pyplot as plt

    panels = panels or {"nothing on record": {}}
    figure, axes = plt.subplots(1, len(panels), figsize=(max(3.2 * len(panels), 5), 3.4), sharey=True, squeeze=False)
    for axis, (title, series) in zip(axes[0], panels.items()):
        ticks = sorted({setting for results in series.values() for setting in results})
        # Series stand side by side, within a part of the smallest distance between two settings.
        gap = min((after - before for before, after in zip(ticks, ticks[1:])), default=1)
        for number, (label, results) in enumerate(series.items()):
            shift = 0.16 * gap * (number - (len(series) - 1) / 2)
            places = [setting + shift for setting in results]
            marker = "osD^"[number % 4]
            for place, values in zip(places, results.values()):
                axis.plot([place] * len(values), values, marker, color=f"C{number}", alpha=0.5, markersize=4)
            axis.plot(places, [np.mean(values) for values in results.values()], color=f"C{number}", label=label,
                      linestyle=["-", "--", "-.", ":"][number % 4])
        if reference is not None:
            axis.axhline(reference[1], color="0.4", linestyle=":", linewidth=1.2, label=reference[0])
        axis.set_title(title, fontsize=10)
        axis.set_xlabel(xlabel)
        axis.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
        if series:
            axis.legend(fontsize=8)
        else:
            axis.text(0.5, 0.5, "nothing on record", transform=axis.transAxes, ha="center", color="0.4")
    axes[0, 0].set_ylabel(ylabel)
    return figure


def rows_figure(panels: Mapping[str, Mapping[str, Sequence[float]]], xlabel: str):
    """Plot the results of methods as rows of points, one panel per group; the bar is the mean.

    Args:
        panels: title -> method -> results of the seeds.
        xlabel: of the common axis.

    Returns:
        A matplotlib Figure.
    """
    from matplotlib import pyplot as plt

    panels, rows = panels or {"nothing on record": {}}, in_order(panels)
    figure, axes = plt.subplots(1, len(panels), figsize=(3.4 * len(panels) + 2, 0.45 * len(rows) + 1.2), sharex=True,
                                sharey=True, squeeze=False)
    for axis, (title, methods) in zip(axes[0], panels.items()):
        for method, values in methods.items():
            row = rows.index(method)
            axis.plot(values, [row] * len(values), "o", color="C0", alpha=0.6, markersize=5)
            axis.plot([np.mean(values)] * 2, [row - 0.3, row + 0.3], color="C3", linewidth=2)
        axis.set_yticks(range(len(rows)), rows)
        axis.grid(axis="y", color="0.9")
        axis.locator_params(axis="x", nbins=5)
        axis.set_title(title, fontsize=10)
        axis.set_xlabel(xlabel)
    axes[0, 0].set_ylim(max(len(rows), 1) - 0.5, -0.5)
    return figure


def in_order(panels: Mapping[str, Mapping[str, object]]) -> list[str]:
    """The methods of all panels in the order in which they come: a method's place, where a panel may lack it.

    Example:
        >>> in_order({"20 %": {"mixup": 1.0}, "50 %": {"ERM": 2.0, "mixup": 1.0}})
        ['mixup', 'ERM']
    """
    return list(dict.fromkeys(method for methods in panels.values() for method in methods))

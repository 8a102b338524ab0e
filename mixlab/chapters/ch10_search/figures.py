"""The chapter's figures: weights of operations, and proxies against the truth."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence

import seaborn
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from torch import Tensor

from mixlab.nas import OPERATIONS, shares

__all__ = ["in_words", "ranked", "weights"]

#: What an operation is called where there is little room.
SHORT = ("none", "max pool", "avg pool", "skip", "sep 3×3", "sep 5×5", "dil 3×3", "dil 5×5")


def weights(alpha: Tensor, beta: Tensor) -> Figure:
    """The weights of the operations of every edge of the normal cell, and the shares of the edges beside them.

    Args:
        alpha: (edges, 8).
        beta: (edges,).
    """
    names, node = [], 0
    while len(names) < len(beta):
        names += [f"{_source(source)} → node {node}" for source in range(2 + node)]
        node += 1
    figure, (left, right) = plt.subplots(1, 2, figsize=(7, 2.9), width_ratios=(8, 1.2), layout="constrained")
    options = {"annot": True, "fmt": ".2f", "cbar": False, "cmap": "Blues", "vmin": 0, "annot_kws": {"size": 8}}
    seaborn.heatmap(alpha.softmax(-1).numpy(), ax=left, vmax=0.4, xticklabels=SHORT, yticklabels=names, **options)
    seaborn.heatmap(shares(beta).numpy()[:, None], ax=right, vmax=1.0, xticklabels=["share"], yticklabels=[], **options)
    for axis in (left, right):
        axis.tick_params(labelsize=8, length=0)
        axis.tick_params(axis="x", rotation=0)
        axis.tick_params(axis="y", rotation=0)
    return figure


def in_words(alpha: Tensor) -> str:
    """The figure of `weights` in one line: for each edge the best operation but "none", and its weight.

    Args:
        alpha: see `weights`.
    """
    which = alpha[:, 1:].argmax(-1) + 1
    best = [f"{OPERATIONS[int(each)]} {alpha.softmax(-1)[edge, int(each)]:.2f}" for edge, each in enumerate(which)]
    return "largest weight of each edge: " + ", ".join(best)


def _source(number: int) -> str:
    return ("two cells before", "cell before")[number] if number < 2 else f"node {number - 2}"


def ranked(truth: Sequence[float] | None, proxies: Mapping[str, Sequence[float]], strata: Sequence[Hashable]) -> Figure:
    """Every network's error by a proxy against its true error, a panel for each proxy, a colour for each stratum.

    Args:
        truth: of every network, in percent.
        proxies: name -> its errors; with none, axes without points.
        strata: (1×1, 3×3 convolutions) of every network.
    """
    order = sorted(set(strata), key=lambda each: each[0] + 9 * each[1])
    colours = dict(zip(order, seaborn.color_palette("viridis", len(order))))
    figure, axes = plt.subplots(1, max(len(proxies), 1), figsize=(7, 2.9), sharex=True, squeeze=False,
                                layout="constrained")
    for axis, (name, errors) in zip(axes[0], proxies.items()):
        for each in order:
            inside = [number for number, other in enumerate(strata) if other == each]
            axis.scatter([truth[number] for number in inside], [errors[number] for number in inside], s=14,
                         color=colours[each], label=f"{each[0]}, {each[1]}")
        best = min(range(len(truth)), key=lambda number: errors[number])
        axis.scatter(truth[best], errors[best], s=90, facecolor="none", edgecolor="crimson", linewidth=1.4)
        axis.set_title(name, fontsize=9)
        axis.set_xlabel("true error, %", fontsize=8)
        axis.tick_params(labelsize=8)
    axes[0, 0].set_ylabel("by the proxy, %", fontsize=8)
    handles, labels = axes[0, 0].get_legend_handles_labels()
    if handles:
        figure.legend(handles, labels, title="1×1, 3×3", title_fontsize=7, fontsize=7, loc="outside right center")
    return figure

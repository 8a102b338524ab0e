"""Figures about risk: vicinities, the limit of small α, decision surfaces, and what happens between training points."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from mixlab.plots.mosaic import label_text
from mixlab.plots.seeds import in_order

__all__ = [
    "corruption_curves", "intrusion_errors", "intrusion_posterior", "memorised_labels", "small_alpha", "surfaces",
    "vicinities_in_the_plane", "vicinity_pictures", "ways",
]

MARKERS, STYLES = "o^sD", ("-", "--", "-.", ":")


def vicinity_pictures(rows: Mapping[str, Sequence[tuple]], classes: Sequence[str]) -> Figure:
    """Show draws from several vicinities of one picture, a vicinity per row, each with its label.

    Args:
        rows: name of the vicinity -> draws, each a picture (C, H, W) in [0, 1] and its label (classes,).
        classes: names of the classes.
    """
    columns = max(len(draws) for draws in rows.values())
    figure, axes = plt.subplots(len(rows), columns, figsize=(1.3 * columns + 0.9, 1.6 * len(rows)), squeeze=False)
    for line, (name, draws) in zip(axes, rows.items()):
        for axis, (picture, label) in zip(line, draws):
            axis.imshow(np.asarray(picture).transpose(1, 2, 0).clip(0, 1))
            axis.set_xlabel(label_text(label, classes, 0.005, "\n"), fontsize=8)
        for axis in line:
            axis.set(xticks=[], yticks=[])
            axis.spines[:].set_visible(False)
        line[0].set_ylabel(name, rotation=0, ha="right", va="center")
    return figure


def vicinities_in_the_plane(x, labels, panels: Mapping[str, tuple]) -> Figure:
    """Show points with draws from their vicinities; the colour of a draw is its label.

    Args:
        x: (N, 2) training points.
        labels: (N,) 0 or 1.
        panels: title -> (draws (M, 2), probability of class 1 (M,)).
    """
    figure, axes = plt.subplots(1, len(panels), figsize=(2.7 * len(panels) + 0.6, 2.1), sharex=True, sharey=True)
    for axis, (title, (draws, target)) in zip(np.atleast_1d(axes), panels.items()):
        shown = axis.scatter(*np.asarray(draws).T, c=np.asarray(target), s=5, cmap="cividis", vmin=0, vmax=1, alpha=0.6)
        _points(axis, x, labels)
        axis.set(title=title, xticks=[], yticks=[], aspect="equal")
        axis.spines[:].set_visible(False)
    figure.colorbar(shown, ax=axes, label="label: weight\nof class 1")
    return figure


def _points(axis: Axes, x, labels) -> None:
    """Training points: circles of class 0, triangles of class 1."""
    x, labels = np.asarray(x), np.asarray(labels)
    for label, colour in enumerate(("#00204d", "#ffea46")):
        axis.scatter(*x[labels == label].T, c=colour, marker=MARKERS[label], s=22, edgecolors="white" if label == 0
                     else "black", linewidths=0.6)


def small_alpha(laws: Mapping[float, tuple], gaps: Mapping[float, float], slope: float) -> Figure:
    """Show the law of λ and the distance to empirical risk as α becomes small.

    Args:
        laws: α -> (λ, P(λ' <= λ)).
        gaps: α -> vicinal minus empirical risk, all of one sign.
        slope: the derivative of that difference at α = 0.
    """
    figure, (left, right) = plt.subplots(1, 2, figsize=(8.6, 3.4))
    for number, (alpha, (share, probability)) in enumerate(laws.items()):
        left.plot(share, probability, color=f"C{number}", linestyle=STYLES[number % 4], label=f"α = {alpha:g}")
    left.plot([0, 0, 1, 1], [0, 0.5, 0.5, 1], color="black", linewidth=1, label="α → 0")
    left.set(xlabel="λ", ylabel="distribution function of λ", title="The law of λ tends to a coin")
    left.legend(fontsize=8)
    alphas = np.array(list(gaps))
    right.loglog(alphas, np.abs(list(gaps.values())), "o", color="C0", label=r"exact $|R_\nu - R_\delta|$")
    right.loglog(alphas, abs(slope) * alphas, "--", color="C1", label="first order in α")
    right.set(xlabel="α", ylabel="distance of the risks, nats", title="Vicinal risk tends to empirical risk")
    right.legend(fontsize=8)
    return figure


def surfaces(panels: Mapping[str, np.ndarray], extent: tuple[float, float, float, float], x, labels,
             columns: int = 2) -> Figure:
    """Shade the probability of class 1 over the plane, with training points and the line where it is one half.

    Args:
        panels: title -> (H, W) probabilities, rows from the lowest to the highest ordinate.
        extent: left, right, bottom, top.
        x: (N, 2) training points.
        labels: (N,) 0 or 1.
        columns: panels side by side.
    """
    lines = -(-len(panels) // columns)
    figure, axes = plt.subplots(lines, columns, figsize=(3.7 * columns + 0.7, 3.0 * lines), squeeze=False)
    for axis, (title, values) in zip(axes.flat, panels.items()):
        shade = axis.imshow(values, extent=extent, origin="lower", cmap="Blues", vmin=0, vmax=1, aspect="auto")
        axis.contour(values, levels=[0.5], extent=extent, colors="C3", linewidths=1.8)
        _points(axis, x, labels)
        axis.set(title=title, xticks=[], yticks=[], xlim=extent[:2], ylim=extent[2:])
        axis.spines[:].set_visible(True)
    figure.colorbar(shade, ax=axes, label="p(y = 1 | x)", shrink=0.6)
    return figure


def ways(shares, panels: Mapping[str, Mapping[str, np.ndarray]]) -> Figure:
    """Show quantities on the way from one training point to another, a line per seed and a thick one for their mean.

    Args:
        shares: (L,) λ.
        panels: axis label -> method -> (seeds, L).
    """
    figure, axes = plt.subplots(1, len(panels), figsize=(2.9 * len(panels), 3.1), squeeze=False)
    for axis, (quantity, methods) in zip(axes[0], panels.items()):
        for number, (method, values) in enumerate(methods.items()):
            values = np.asarray(values)
            axis.plot(shares, values.T, color=f"C{number}", alpha=0.35, linewidth=0.9)
            axis.plot(shares, values.mean(0), color=f"C{number}", linewidth=2.2, linestyle=STYLES[number % 4],
                      label=method)
        axis.set(xlabel=r"λ in $\lambda x_i + (1-\lambda) x_j$", ylabel=quantity)
        axis.set_ylim(bottom=0)
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside upper center", ncols=len(methods))
    return figure


def intrusion_posterior(x, curves: Mapping[str, np.ndarray], intervals: Sequence[tuple[float, float, str]]) -> Figure:
    """Show the best prediction under mixup along a line, over the intervals where the classes really are.

    Args:
        x: (N,) places.
        curves: label -> (N,) probability of class B.
        intervals: (left, right, class) of the data.
    """
    figure, axis = plt.subplots(figsize=(7.6, 3.4))
    for left, right, name in intervals:
        axis.axvspan(left, right, color="C1" if name == "B" else "C0", alpha=0.18, linewidth=0)
        axis.text((left + right) / 2, 1.04, name, ha="center", va="bottom", fontweight="bold")
    for number, (label, values) in enumerate(curves.items()):
        axis.plot(x, values, color=f"C{number + 2}", linestyle=STYLES[number % 4], linewidth=1.8, label=label)
    axis.axhline(0.5, color="black", linewidth=0.8)
    axis.set(xlabel="place on the line", ylabel="best prediction q of class B", ylim=(-0.02, 1.15))
    axis.legend(fontsize=8, loc="upper left", bbox_to_anchor=(1, 1))
    return figure


def intrusion_errors(panels: Mapping[str, Mapping[str, Mapping[float, Sequence[float]]]],
                     theory: Mapping[str, Mapping[float, float]]) -> Figure:
    """Show test errors against the strength of mixing: every seed a point, the closed form a line.

    Args:
        panels: title -> method -> α -> errors in percent of the seeds; α = 0 is ERM.
        theory: title -> α -> error in percent of the best prediction.
    """
    figure, axes = plt.subplots(1, len(panels), figsize=(2.9 * len(panels), 3.2), sharey=True, squeeze=False)
    for axis, (title, methods) in zip(axes[0], panels.items()):
        ticks = sorted({alpha for results in methods.values() for alpha in results})
        for number, (method, results) in enumerate(methods.items()):
            for alpha, values in results.items():
                place = ticks.index(alpha) + np.linspace(-0.12, 0.12, len(values))
                axis.plot(place, values, MARKERS[number % 4], color=f"C{number}", alpha=0.75, markersize=5,
                          label=method if alpha == min(results) else None)
        if title in theory:
            places = np.interp(list(theory[title]), ticks, range(len(ticks)))
            axis.plot(places, list(theory[title].values()), color="black", linewidth=1, label="best under mixup, exact")
        axis.set(title=title, xlabel="α (0: ERM)")
        axis.set_xticks(range(len(ticks)), [f"{alpha:g}" for alpha in ticks])
    axes[0, 0].set_ylabel("test error, %")
    shown = axes[0, 0].get_legend_handles_labels()
    axes[0, min(1, len(panels) - 1)].legend(*shown, fontsize=8, loc="upper left")
    return figure


def corruption_curves(panels: Mapping[str, Mapping[str, np.ndarray]]) -> Figure:
    """Show validation error over the epochs, a panel per fraction of corrupted labels.

    Args:
        panels: title -> method -> (seeds, epochs) errors in percent; none gives a figure that says so.
    """
    if not panels:
        return _nothing()
    figure, axes = plt.subplots(1, len(panels), figsize=(2.9 * len(panels), 3.5), sharey=True, squeeze=False)
    looks = {method: {"color": f"C{number}", "linestyle": STYLES[number % 4], "linewidth": 2}
             for number, method in enumerate(in_order(panels))}
    for axis, (title, methods) in zip(axes[0], panels.items()):
        for method, values in methods.items():
            values = np.asarray(values)
            epochs = np.arange(1, values.shape[1] + 1)
            axis.plot(epochs, values.T, color=looks[method]["color"], alpha=0.25, linewidth=0.8)
            axis.plot(epochs, values.mean(0), **looks[method])
        axis.set(title=title, xlabel="epoch")
    axes[0, 0].set_ylabel("validation error (true labels), %")
    figure.legend([Line2D([], [], **look) for look in looks.values()], looks, loc="outside lower center", ncols=4)
    return figure


def memorised_labels(panels: Mapping[str, Mapping[str, tuple[Sequence[float], Sequence[float]]]],
                     chance: float) -> Figure:
    """Show training errors apart for kept and replaced labels, every seed a point.

    Args:
        panels: title -> method -> (errors on kept labels, errors on replaced labels), in percent.
        chance: error in percent on replaced labels of a prediction that knows nothing of them, 100 (1 - 1 / classes).
    """
    if not panels:
        return _nothing()
    figure, axes = plt.subplots(1, len(panels), figsize=(2.5 * len(panels) + 1.2, 2.8), sharey=True, squeeze=False)
    rows = in_order(panels)
    for axis, (title, methods) in zip(axes[0], panels.items()):
        for first, (method, (kept, replaced)) in enumerate(methods.items()):
            row = rows.index(method)
            axis.plot(kept, [row + 0.12] * len(kept), "o", color="C0", alpha=0.8, markersize=5,
                      label=None if first else "label kept")
            axis.plot(replaced, [row - 0.12] * len(replaced), "^", color="C1", alpha=0.8, markersize=5,
                      label=None if first else "label drawn anew")
        axis.axvline(chance, color="black", linewidth=0.8, linestyle="--")
        axis.set_yticks(range(len(rows)), rows)
        axis.set(title=title, xlabel="training error, %", xlim=(-3, 103))
        axis.grid(axis="y", color="0.9")
    axes[0, 0].invert_yaxis()
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=2)
    return figure


def _nothing() -> Figure:
    figure, axis = plt.subplots(figsize=(5, 1))
    axis.text(0.5, 0.5, "no records yet", ha="center", va="center")
    axis.set_axis_off()
    return figure

"""The chapter's figures, from numbers and from what its demonstrations hand back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import seaborn
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from torch import Tensor

from mixlab.chapters.ch04_lamix.demonstrations import Attention, History, Noise
from mixlab.theory import p_max

__all__ = ["clusters", "label_noise", "looked_at", "second_heads", "soft_targets", "target_in_words", "target_of_pair"]

#: Colours of a target's two parts.
LOCAL, GLOBAL = 0, 1


def label_noise(noise: Noise) -> Figure:
    """Draw how far the mean gradient over some λ is from the gradient at one half, and the line it must follow."""
    figure, axis = plt.subplots(figsize=(4.4, 2.8))
    line = np.geomspace(noise.draws[0], noise.draws[-1], 50)
    axis.plot(line, noise.theory / np.sqrt(line), color="0.5", linewidth=1, label="theory, falls like 1/√n")
    axis.plot(noise.draws, noise.distances, "o", label="measured")
    axis.set(xscale="log", yscale="log", xlabel="draws of λ in the mean, n")
    axis.set_ylabel("distance to the\ngradient at λ = ½")
    axis.legend()
    return figure


def second_heads(histories: Mapping[str, History]) -> Figure:
    """Draw the largest entry of p over training for the ways to train W_t, with the bound of the sigmoid.

    Args:
        histories: name -> history; those with "no sigmoid" in their name have a panel of their own.
    """
    figure, axes = plt.subplots(1, 2, figsize=(7, 2.7))
    lines, palette = [], seaborn.color_palette("colorblind")
    for colour, (name, history) in zip(palette, histories.items()):
        lines += axes[int("no sigmoid" in name)].plot(history.top.numpy(), color=colour, label=name)
        classes = history.clean.shape[2]
    for axis, title in zip(axes, ("with the sigmoid", "without it")):
        bound = axis.axhline(p_max(classes), color="black", linestyle="--", linewidth=1, label="e / (e + C − 1)")
        even = axis.axhline(1 / classes, color="0.6", linestyle=":", linewidth=1, label="uniform, 1 / C")
        axis.set(title=title, xlabel="epochs", ylabel="largest entry of p, mean")
    axes[0].set_ylim(0.9 / classes, 1.1 * p_max(classes))
    axes[1].set_ylim(0, 1.05)
    axes[1].legend(handles=[*lines, bound, even], fontsize=8, loc="center right")
    return figure


def soft_targets(history: History) -> Figure:
    """Draw what the network is asked for: the five largest targets, and how targets and p spread over training.

    Dashed lines are at the largest target and the largest entry of p that the sigmoid allows.

    Args:
        history: of a run with the sigmoid.
    """
    figure, axes = plt.subplots(1, 3, figsize=(7.4, 2.6))
    shown = min(5, history.clean.shape[2])
    places = np.arange(1, shown + 1)
    for shift, mixed, name in ((-0.2, False, "clean"), (0.2, True, "mixed")):
        largest = history.targets(mixed).topk(shown, dim=2).values.mean((0, 1))
        axes[0].bar(places + shift, largest.numpy(), width=0.4, label=name)
    axes[0].set(title="five largest targets", xlabel="place", ylabel="mean over training", xticks=places)
    axes[0].legend(fontsize=8)
    bound = p_max(history.clean.shape[2])
    panels = {
        "largest target": (history.targets(False).amax(2), history.beta + (1 - history.beta) * bound),
        "entries of p": (history.clean.flatten(1), bound),
    }
    for axis, (title, (values, end)) in zip(axes[1:], panels.items()):
        _over_epochs(axis, values, end)
        axis.axvline(end, color="black", linestyle="--", linewidth=1)
        axis.set(title=f"clean: {title}", xlabel="value", ylabel="epochs")
    return figure


def _over_epochs(axis, values: Tensor, end: float) -> None:
    """Shade the spread of values (T, M) up to `end` over the T epochs, the first at the top.

    Each row has its own scale.
    """
    edges = np.linspace(values.min().item(), end, 41)
    counts = np.stack([np.histogram(row, edges)[0] for row in values.numpy()]).astype(float)
    counts /= counts.max(1, keepdims=True)
    axis.pcolormesh(edges, np.arange(len(counts) + 1) - 0.5, np.sqrt(counts), cmap="cividis", rasterized=True)
    axis.invert_yaxis()
    axis.set_xlim(edges[0], end + 0.08 * (end - edges[0]))


def clusters(rows: Mapping[str, Sequence[Tensor]], labels: Tensor, at: Sequence[int], names: Sequence[str],
             said: Mapping[str, Sequence[tuple[float, float]]]) -> Figure:
    """Draw points of a bottleneck, a row for each method and a panel for each time.

    Args:
        rows: method -> the (N, 2) points at each time.
        labels: (N,) classes.
        at: after how many epochs.
        names: of the classes.
        said: method -> the width of its clusters and its error in percent at each time, printed above the panels.
    """
    figure, axes = plt.subplots(len(rows), len(at), figsize=(7, 1.95 * len(rows) + 0.3), sharex=True, sharey=True,
                                squeeze=False)
    palette = seaborn.color_palette("colorblind")
    for line, (method, times) in zip(axes, rows.items()):
        for axis, points, (width, error) in zip(line, times, said[method]):
            axis.set_title(f"width {width:.2f}, error {error:.1f} %", fontsize=7)
            for label, name in enumerate(names):
                x, y = points[labels == label].T.numpy()
                axis.plot(x, y, "osv"[label % 3], markersize=2, alpha=0.5, color=palette[label], label=name)
            axis.set(xlim=(-1.1, 1.1), ylim=(-1.1, 1.1), aspect="equal", xticks=[-1, 0, 1], yticks=[-1, 0, 1])
        line[0].set_ylabel(method, fontsize=8)
    for axis, epochs in zip(axes[0], at):
        axis.set_title(f"{epochs} epochs\n{axis.get_title()}", fontsize=7)
    handles, texts = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, texts, loc="outside right center", fontsize=8, markerscale=2)
    return figure


def looked_at(pictures: Tensor, found: Mapping[str, Sequence[Attention]], rows: Sequence[int] = (0, 1, 2)) -> Figure:
    """Draw some pictures with their class activation maps, and the mean attended area of every network.

    Args:
        pictures: (N, 1, H, W), all that were mapped.
        found: method -> what its networks look at, one for each seed.
        rows: the pictures that are shown, with the maps of the first seed; the line is around the attended pixels.
    """
    figure = plt.figure(figsize=(7.2, 1.3 * len(rows) + 1.8))
    grid = figure.add_gridspec(len(rows) + 1, 1 + len(found), height_ratios=[1] * len(rows) + [1.2])
    for line, row in enumerate(rows):
        columns = {"picture": pictures[row, 0], **{name: networks[0].maps[row] for name, networks in found.items()}}
        for place, (name, values) in enumerate(columns.items()):
            axis = figure.add_subplot(grid[line, place])
            axis.imshow(values.numpy(), cmap="cividis" if place else "gray")
            if place:
                _outlined(axis, values.numpy())
            axis.set(xticks=[], yticks=[])
            if line == 0:
                axis.set_title(name.replace(" in place of ", "\nin place of "), fontsize=8)
    axis = figure.add_subplot(grid[-1, :])
    for place, networks in enumerate(found.values()):
        areas = [100 * each.areas.mean().item() for each in networks]
        axis.plot(areas, [place] * len(areas), "o", color="0.5", markersize=4)
        axis.plot(np.mean(areas), place, "|", color="black", markersize=14, markeredgewidth=2)
    axis.set(xlabel="attended area of all test digits, % of the picture", yticks=range(len(found)),
             yticklabels=list(found), ylim=(len(found) - 0.5, -0.5))
    axis.tick_params(labelsize=8)
    return figure


def _outlined(axis, values: np.ndarray) -> None:
    """Draw a line around the pixels that are at least half as high as the highest, along their edges."""
    if values.max() <= 0:
        return
    fine = 20
    inside = np.pad(np.kron(values >= 0.5 * values.max(), np.ones((fine, fine))), 1)
    rows, columns = ((np.arange(size) - 0.5) / fine - 0.5 for size in inside.shape)
    axis.contour(columns, rows, inside, levels=[0.5], colors="white", linewidths=1.5)


def target_of_pair(picture: Tensor, names: Sequence[str], local: Sequence[float], p: Sequence[float],
                   beta: float) -> Figure:
    """Draw a mixed picture and its target, a bar for each class with its part from y_λ and from p.

    Args:
        picture: (3, H, W) in [0, 1].
        names: of the classes.
        local: y_λ of the classes.
        p: the global label.
        beta: weight of the local label.
    """
    figure, (left, right) = plt.subplots(1, 2, figsize=(6.4, 2.3), width_ratios=(1, 2))
    left.imshow(picture.permute(1, 2, 0).clamp(0, 1).numpy())
    left.set_axis_off()
    palette = seaborn.color_palette("colorblind")
    near, far = beta * np.asarray(local), (1 - beta) * np.asarray(p)
    right.bar(names, near, color=palette[LOCAL], label="β · local label")
    right.bar(names, far, bottom=near, color=palette[GLOBAL], hatch="//", edgecolor="white", label="(1 − β) · p")
    for place, value in enumerate(near + far):
        right.text(place, value + 0.01, f"{value:.2f}", ha="center", fontsize=8)
    right.set(ylim=(0, 0.9), ylabel="target")
    right.tick_params(labelsize=8)
    right.legend(fontsize=8, loc="upper right")
    return figure


def target_in_words(names: Sequence[str], local: Sequence[float], p: Sequence[float], beta: float) -> str:
    """What :func:`target_of_pair` shows, for who cannot see it.

    Example:
        >>> target_in_words(["cat", "cup"], [0.2, 0.8], [0.4, 0.6], 0.5)
        'The same picture. Targets: cat 0.30, cup 0.70'
    """
    target = beta * np.asarray(local) + (1 - beta) * np.asarray(p)
    return "The same picture. Targets: " + ", ".join(f"{name} {value:.2f}" for name, value in zip(names, target))

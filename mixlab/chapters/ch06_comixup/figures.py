"""The chapter's figures, from numbers, mixes and pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import seaborn
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import Tensor

from mixlab.chapters.ch06_comixup.demonstrations import Path
from mixlab.chapters.ch06_comixup.measures import Measured, diversity, inputs, ratios, shown
from mixlab.mix import Mix

__all__ = [
    "batch", "batch_in_words", "counts", "frontier", "gate", "greedy", "measured", "outputs", "path", "solvers",
]


def greedy(pictures: Tensor, cells: Tensor, mixed: Tensor, owners: Tensor) -> Figure:
    """Draw inputs with the saliency of their cells, and the picture that shows most of it.

    Args:
        pictures: (m, 3, H, W) in [0, 1].
        cells: (m, b, b), the part of an input's saliency in each cell.
        mixed: (3, H, W), the picture that has each cell from the input with most saliency there.
        owners: (b, b) which input that is.
    """
    count = len(pictures)
    figure, axes = plt.subplots(2, count + 1, figsize=(1.12 * (count + 1) + 0.2, 2.6))
    top = 60 * cells.max().item()  # a bright cell or two must not leave all others dark
    for number, (picture, cell) in enumerate(zip(pictures, cells)):
        _show(axes[0, number], picture)
        axes[0, number].set_title(str(number + 1), fontsize=9)
        axes[1, number].imshow(100 * cell.numpy(), vmin=0, vmax=top, cmap="cividis")
        _bare(axes[1, number])
    _show(axes[0, -1], mixed)
    axes[0, -1].set_title("every output", fontsize=9)
    axes[1, -1].imshow(np.ones(owners.shape), cmap="gray", vmin=0, vmax=1.15)
    for row, line in enumerate(owners.tolist()):
        for column, owner in enumerate(line):
            axes[1, -1].text(column, row, str(owner + 1), ha="center", va="center", fontsize=8)
    _bare(axes[1, -1])
    for axis, text in zip(axes[:, 0], ("picture", "saliency")):
        axis.set_ylabel(text, fontsize=9)
    return figure


def _show(axis: Axes, picture: Tensor) -> None:
    axis.imshow(picture.permute(1, 2, 0).clamp(0, 1).numpy())
    _bare(axis)


def _bare(axis: Axes) -> None:
    axis.set(xticks=[], yticks=[])
    for side in axis.spines.values():
        side.set_visible(False)


def gate(use: Tensor, free: float, costs: Mapping[str, Tensor], every: int) -> Figure:
    """Draw what overlap costs under several rules, and what equal steps add.

    Args:
        use: (n,) how much of an image is shown.
        free: up to where nothing costs.
        costs: rule -> (n,) its cost.
        every: a step is so many of the n.
    """
    figure, axes = plt.subplots(1, len(costs), figsize=(3.2 * len(costs), 2.5), sharey=True, sharex=True)
    for axis, (name, cost), colour in zip(axes, costs.items(), seaborn.color_palette("colorblind")):
        axis.axvline(free, color="0.7", linestyle=":", linewidth=1)
        jumps = np.flatnonzero(np.diff(cost.numpy()) > 0.1)
        broken = np.insert(cost.numpy(), jumps + 1, np.nan)
        axis.plot(np.insert(use.numpy(), jumps + 1, np.nan), broken, color=colour)
        axis.plot(use[::every], cost[::every], "o", color=colour, markersize=4)
        for before in range(0, len(use) - every, every):
            rise = (cost[before + every] - cost[before]).item()
            axis.annotate(f"+{rise:g}", (use[before + every // 2].item(), cost[before + every].item() + 0.08),
                          ha="center", fontsize=8)
        axis.set_title(name, fontsize=9)
        axis.set_xlabel("shown of an image, v")
    axes[0].set(ylabel="cost", ylim=(-0.1, 2.35))
    return figure


def frontier(blocks: int = 4, done: int = 9) -> Figure:
    """Draw the cells of a grid in the order in which they are decided, and those that a later cell still touches.

    Args:
        blocks: cells along a side.
        done: how many are decided.
    """
    figure, axis = plt.subplots(figsize=(2.9, 2.9))
    past, kept, now = (seaborn.color_palette("colorblind")[place] for place in (7, 0, 1))
    for cell in range(blocks**2):
        row, column = divmod(cell, blocks)
        colour, said = "white", ""
        if cell < done - blocks:
            colour, said = (*past, 0.45), "forgotten"
        elif cell < done:
            colour, said = (*kept, 0.75), "frontier"
        elif cell == done:
            colour, said = (*now, 0.85), "next"
        axis.add_patch(Rectangle((column, -row - 1), 1, 1, facecolor=colour, edgecolor="black"))
        axis.text(column + 0.5, -row - 0.4, str(cell + 1), ha="center", va="center", fontsize=10)
        axis.text(column + 0.5, -row - 0.72, said, ha="center", va="center", fontsize=6.5)
    axis.set(xlim=(-0.03, blocks + 0.03), ylim=(-blocks - 0.03, 0.03), aspect="equal")
    _bare(axis)
    return figure


def solvers(traces: Mapping[str, Tensor], steps: int, values: Mapping[int, Mapping[int, float]]) -> Figure:
    """Draw the value of formula (1) while solvers work, and at the end for several efforts.

    Args:
        traces: solver -> (P, 1 + steps), the value of each problem at the start and after each step.
        steps: in a sweep.
        values: kept labels -> sweeps -> mean value.
    """
    figure, axes = plt.subplots(1, len(traces) + 1, figsize=(7.4, 2.7))
    palette = seaborn.color_palette("colorblind")
    for axis, (name, lines), colour in zip(axes, traces.items(), palette):
        for line in lines.numpy():
            axis.plot(np.arange(len(line)) / steps, line, color=colour, linewidth=1, alpha=0.8)
        axis.set_title(name, fontsize=9)
    lowest = min(float(lines.min()) for lines in traces.values())
    first = max(float(lines[:, 0].max()) for lines in traces.values())
    for axis in axes[:-1]:
        axis.set_ylim(lowest - 0.1 * (first - lowest), first + 0.1 * (first - lowest))
    axes[0].set_ylabel("formula (1), per output")
    for (labels, line), colour, marker in zip(values.items(), palette[2:], "osv^"):
        axes[-1].plot(list(line), list(line.values()), f"-{marker}", color=colour, markersize=4, linewidth=1,
                      label=f"{labels} label" + "s" * (labels > 1))
    axes[-1].set_title("kept labels, enlarged", fontsize=9)
    axes[-1].legend(fontsize=8)
    for axis in axes:
        axis.set_xlabel("sweeps")
        axis.tick_params(labelsize=8)
    return figure


def path(found: Path) -> Figure:
    """Draw the two parts of the objective and their sum along solutions from diverse to salient."""
    figure, axis = plt.subplots(figsize=(4.8, 2.9))
    palette = seaborn.color_palette("colorblind")
    budgets, unary, overlap = found.budgets, np.asarray(found.unary), np.asarray(found.overlap)
    total = unary + overlap
    for values, colour, style, width, name in (
        (total, palette[5], "-", 4.5, "sum"), (unary, palette[3], "--", 1.6, "saliency, smoothness, prior"),
        (overlap, palette[2], ":", 2.0, f"overlap beyond τ = {found.at:g}"),
    ):
        axis.plot(budgets, values, style, color=colour, linewidth=width, label=name)
    best = int(total.argmin())
    axis.plot(budgets[best], total[best], "*", color="black", markersize=11, label="least sum, z*")
    axis.axvline(found.at, color="0.8", linewidth=1, zorder=0)
    axis.set(xlabel="solutions by their own budget, from diverse to salient", ylabel="per output")
    axis.legend(fontsize=8)
    return figure


def counts(found: Mapping[str, Measured]) -> Figure:
    """Draw how many inputs the outputs have, a panel for each setting.

    Args:
        found: setting -> what was measured with it.
    """
    most = max(int(each.counts.max()) for each in found.values())
    figure, axes = plt.subplots(1, len(found), figsize=(7, 2.1), sharex=True, sharey=True)
    for axis, (name, each) in zip(axes, found.items()):
        heights = np.bincount(each.counts.numpy(), minlength=most + 1)[1:] / len(each.counts)
        axis.bar(np.arange(1, most + 1), 100 * heights, color=seaborn.color_palette("colorblind")[0])
        axis.set_title(f"{name}\nmean {each.counts.double().mean():.1f}", fontsize=9)
        axis.set(xticks=range(1, most + 1, 3), xlabel="inputs")
        axis.tick_params(labelsize=8)
    axes[0].set_ylabel("outputs, %")
    return figure


def measured(others: Mapping[str, Measured], ours: Mapping[float, Measured]) -> Figure:
    """Draw batch saliency against diversity: a mark for every mixer, and a line through Co-Mixup's budgets.

    Args:
        others: mixer -> what was measured.
        ours: budget τ -> what was measured.
    """
    figure, axis = plt.subplots(figsize=(6.6, 3.6))
    palette = seaborn.color_palette("colorblind")
    axis.plot([each.diversity for each in ours.values()], [each.saliency for each in ours.values()], "-o",
              color=palette[3], markersize=5, label="formula (1), by its τ")
    for tau, each in ours.items():
        axis.annotate(f"{tau:g}", (each.diversity, each.saliency), textcoords="offset points", xytext=(6, 4),
                      fontsize=8)
    looks = zip("s^vD<>P*Xp", (0, 1, 2, 4, 5, 6, 8, 9, 7, 0), (8, 11, 8, 6, 11, 7, 8, 9, 8, 8))
    for (name, each), (marker, place, size) in zip(others.items(), looks):
        # Open markers grow smaller, so that one behind another is seen.
        axis.plot(each.diversity, each.saliency, marker, color=palette[place], markersize=size, label=name,
                  markerfacecolor="none", markeredgewidth=1.4)
    axis.set(xlabel="diversity", ylabel="saliency shown by an output")
    axis.legend(fontsize=8, loc="center left", bbox_to_anchor=(1.0, 0.5))
    return figure


def batch(pictures: Tensor, mix: Mix, columns: int = 3, width: float = 7.2) -> Figure:
    """Draw a batch, what it is mixed to, and beside every output the shares of its inputs.

    Args:
        pictures: (m, 3, H, W) in [0, 1].
        mix: of these rows.
        columns: pictures in a row, of the inputs and of the outputs.
        width: of the figure in inches.
    """
    lines = -(-len(pictures) // columns)
    figure = plt.figure(figsize=(width, lines * width / (columns * 2.7 + 0.3) + 0.45))
    left, right = figure.subfigures(1, 2, width_ratios=(columns, 1.7 * columns))
    for number, axis in enumerate(left.subplots(lines, columns, squeeze=False).flat):
        _bare(axis)
        if number < len(pictures):
            _show(axis, pictures[number])
            _number(axis, number + 1)
    left.suptitle("inputs", fontsize=9)
    right.suptitle("outputs, and the shares of their inputs", fontsize=9)
    _outputs(right, pictures, mix, range(len(pictures)), columns)
    return figure


def outputs(pictures: Tensor, mix: Mix, rows: Sequence[int], columns: int = 4, width: float = 6.6) -> Figure:
    """Draw some outputs of a mixed batch, and beside each the shares of its inputs.

    Args:
        pictures: (m, 3, H, W) in [0, 1].
        mix: of these rows.
        rows: the outputs that are shown.
        columns: of them in a row.
        width: of the figure in inches.
    """
    figure = plt.figure(figsize=(width, -(-len(rows) // columns) * width / columns / 1.62))
    _outputs(figure, pictures, mix, rows, columns)
    return figure


def _outputs(figure, pictures: Tensor, mix: Mix, rows: Sequence[int], columns: int) -> None:
    mixed, parts = mix.apply(pictures), ratios(mix)
    axes = figure.subplots(-(-len(rows) // columns), 2 * columns, squeeze=False, width_ratios=(1, 0.7) * columns)
    for place, (picture, bars) in enumerate(zip(axes[:, ::2].flat, axes[:, 1::2].flat)):
        _bare(picture)
        if place < len(rows):
            _show(picture, mixed[rows[place]])
            _bars(bars, parts[rows[place]])
        else:
            bars.set_axis_off()


def _number(axis: Axes, number: int) -> None:
    axis.text(0.04, 0.95, str(number), ha="left", va="top", fontsize=7, weight="bold", color="white",
              transform=axis.transAxes, bbox={"facecolor": "black", "alpha": 0.6, "pad": 1.2, "linewidth": 0})


def _bars(axis: Axes, shares: Tensor) -> None:
    """A horizontal bar for each input that is there, with its number, the largest on top."""
    order = [int(each) for each in shares.argsort(descending=True) if shares[each] > 0][:6]
    axis.barh(range(len(order)), [shares[each].item() for each in order], height=0.75,
              color=seaborn.color_palette("colorblind")[0])
    for place, each in enumerate(order):
        axis.text(-0.04, place, str(each + 1), ha="right", va="center", fontsize=6.5)
    axis.set(xlim=(-0.22, 1), ylim=(5.6, -0.6))
    _bare(axis)


def batch_in_words(mix: Mix, saliency: Tensor) -> str:
    """What a mixed batch is like, for who cannot see it.

    Example:
        >>> import torch
        >>> batch_in_words(Mix.identity(4), torch.ones(4, 2, 2))
        'An output has 1.0 inputs on average and shows saliency 1.00; diversity 1.00'
    """
    mix = mix.resize(saliency.shape[-2:])
    parts = ratios(mix)
    return (f"An output has {inputs(parts).double().mean():.1f} inputs on average and shows saliency "
            f"{shown(mix, saliency).mean():.2f}; diversity {diversity(parts):.2f}")

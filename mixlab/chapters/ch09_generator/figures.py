"""The chapter's figures: images before and after, and what a classifier says of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import seaborn
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from torch import Tensor

__all__ = ["level", "made", "reach", "written"]


def level(pictures: Mapping[str, tuple[Tensor, Tensor]], said: Tensor) -> Figure:
    """Pairs of images side by side, before and after, over the one answer that a classifier gives to all of the latter.

    Args:
        pictures: name -> (before, after), each (H, W); all are drawn on one scale.
        said: (C,) the probabilities that are found in every one of the latter.
    """
    figure, axes = plt.subplots(2, len(pictures) + 1, figsize=(1.35 * (len(pictures) + 1), 2.9), squeeze=False)
    reach_of = max(image.abs().max().item() for pair in pictures.values() for image in pair)
    for column, (name, pair) in zip(axes.T, pictures.items()):
        for axis, image in zip(column, pair, strict=True):
            axis.imshow(image.numpy(), cmap="gray_r", vmin=-reach_of, vmax=reach_of)
            axis.set(xticks=[], yticks=[])
        column[0].set_title(name, fontsize=8)
    axes[0, 0].set_ylabel("x", fontsize=8)
    axes[1, 0].set_ylabel("x + δ", fontsize=8)
    axes[0, -1].axis("off")
    last = axes[1, -1]
    last.bar(range(len(said)), said.tolist(), color=seaborn.color_palette("colorblind")[0])
    last.set(ylim=(0, 1), xticks=[0, len(said) - 1], yticks=[0, 1])
    last.tick_params(labelsize=7)
    last.set_title("the answer to all", fontsize=8)
    return figure


def made(kinds: Mapping[str, Tensor], mu: Tensor, said: Tensor) -> Figure:
    """Images of several kinds, a line each and a column for every image; below, soft labels and answers as bars.

    Args:
        kinds: name -> images (B, H, W); a line whose name holds "−" is a change, drawn in colours around 0.
        mu: (B, C) soft labels, in blue.
        said: (B, C) what a classifier says, in orange.
    """
    columns, lines = len(mu), len(kinds) + 1
    figure, axes = plt.subplots(lines, columns, figsize=(1.0 * columns + 0.5, 1.0 * lines), squeeze=False,
                                layout="none")
    for line, (name, images) in zip(axes, kinds.items()):
        colours, scale = ("RdBu_r", 4.0) if "−" in name else ("gray_r", 2.5)
        for axis, image in zip(line, images, strict=True):
            axis.imshow(image.numpy(), cmap=colours, vmin=-scale, vmax=scale)
            axis.set(xticks=[], yticks=[])
        line[0].set_ylabel(name, fontsize=8)
    blue, orange = _colours(2)
    for axis, asked, answer in zip(axes[-1], mu, said, strict=True):
        places = range(len(asked))
        axis.bar([place - 0.2 for place in places], asked.tolist(), width=0.4, color=blue)
        axis.bar([place + 0.2 for place in places], answer.tolist(), width=0.4, color=orange)
        axis.set(ylim=(0, 1), xticks=[0, len(asked) - 1], yticks=[])
        axis.tick_params(labelsize=6)
    axes[-1][0].set_ylabel("labels", fontsize=8)
    figure.subplots_adjust(left=0.08, right=0.99, top=0.98, bottom=0.07, wspace=0.08, hspace=0.08)
    return figure


def reach(parts: Sequence[float], kl: Mapping[str, Sequence[float]], ignorant: float) -> Figure:
    """The divergence against the length of a change, a line for each kind.

    Args:
        parts: lengths, as parts of the generator's.
        kl: name -> divergences in nats, see `mixlab.chapters.ch09_generator.demonstrations.along`.
        ignorant: that of the best label that ignores μ, a dashed line.
    """
    figure, axis = plt.subplots(figsize=(5.2, 2.8))
    for (name, values), colour, marker in zip(kl.items(), _colours(len(kl)), "os^"):
        axis.plot(parts, values, marker=marker, color=colour, label=name)
    axis.axhline(ignorant, color="0.4", linestyle="--", linewidth=1, label="a label that ignores μ")
    axis.set(xlabel="length of the change, as a part of ‖x̃ − x‖", ylabel="KL(μ ‖ W′), nats")
    axis.set_ylim(bottom=0)
    axis.legend(fontsize=8)
    return figure


def written(answers: Mapping[str, Mapping[str, Mapping[str, float]]]) -> Figure:
    """How often classifiers find the image's own class, and the class that was asked for; a panel for each classifier.

    Args:
        answers: classifier -> kind of image -> {"kept": percent, "written": percent}.
    """
    figure, axes = plt.subplots(1, len(answers), figsize=(3.5 * len(answers), 2.6), sharey=True, squeeze=False)
    for axis, (classifier, kinds) in zip(axes[0], answers.items()):
        for shift, name, colour in zip((-0.2, 0.2), ("kept", "written"), _colours(2)):
            bars = axis.bar([place + shift for place in range(len(kinds))], [each[name] for each in kinds.values()],
                            width=0.38, color=colour, label=name)
            axis.bar_label(bars, fmt="%.0f", fontsize=7)
        axis.set_xticks(range(len(kinds)), [kind.replace(", ", "\n") for kind in kinds], fontsize=7)
        axis.set_ylim(0, 112)
        axis.set_title(classifier, fontsize=9)
    axes[0, 0].set_ylabel("of the images, %")
    axes[0, -1].legend(fontsize=7)
    return figure


def _colours(count: int) -> list:
    return seaborn.color_palette("colorblind")[:count]

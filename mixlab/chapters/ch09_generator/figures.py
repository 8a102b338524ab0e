"""The chapter's figures: images before and after, and what a classifier says of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import seaborn
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from torch import Tensor

__all__ = ["made", "made_in_words", "written"]


def made(kinds: Mapping[str, Tensor], mu: Tensor | None = None, said: Tensor | None = None) -> Figure:
    """Images of several kinds, a line each and a column for every image; below, soft labels and answers as bars.

    Args:
        kinds: name -> images (B, H, W), drawn on one scale.
        mu: (B, C) soft labels, or None.
        said: (B, C) what a classifier says of the images of the last kind but one, or None.
    """
    columns = len(next(iter(kinds.values())))
    bars = mu is not None
    figure, axes = plt.subplots(len(kinds) + bars, columns, figsize=(0.95 * columns + 0.5, 0.95 * (len(kinds) + bars)),
                                squeeze=False)
    for line, (name, images) in zip(axes, kinds.items()):
        reach = images.abs().max().item()
        for axis, image in zip(line, images, strict=True):
            axis.imshow(image.numpy(), cmap="RdBu_r" if image.min() < -0.5 * reach else "gray_r", vmin=-reach, vmax=reach)
            axis.set(xticks=[], yticks=[])
        line[0].set_ylabel(name, fontsize=8)
    if bars:
        blue, orange = seaborn.color_palette("colorblind")[:2]
        for axis, asked, answer in zip(axes[-1], mu.tolist(), said.tolist(), strict=True):
            places = range(len(asked))
            axis.bar([place - 0.2 for place in places], asked, width=0.4, color=blue)
            axis.bar([place + 0.2 for place in places], answer, width=0.4, color=orange)
            axis.set(ylim=(0, 1), xticks=[0, len(asked) - 1], yticks=[])
            axis.tick_params(labelsize=6)
        axes[-1][0].set_ylabel("μ, W′(x̃)", fontsize=8)
    return figure


def made_in_words(title: str, kl: float, ignorant: float, moved: float, norm: float) -> str:
    """What :func:`made` shows of a generator, for who cannot see it.

    Example:
        >>> made_in_words("ε = 0.5", 0.06, 0.18, 9.3, 8.0)
        'ε = 0.5: KL 0.1 nats (0.2 for a label that ignores μ); the images are moved by 1.2 times their length'
    """
    return (f"{title}: KL {kl:.1f} nats ({ignorant:.1f} for a label that ignores μ); the images are moved by "
            f"{moved / norm:.1f} times their length")


def written(found: Mapping[str, Mapping[str, float]], kinds: Sequence[tuple[str, str]]) -> Figure:
    """How often a classifier finds the image's own class, and the class that was asked for, as bars.

    Args:
        found: name of a generator -> percentages by name, see `mixlab.generator.probe`.
        kinds: (percentage, words below its bars) in order.
    """
    figure, axis = plt.subplots(figsize=(6.5, 2.6))
    colours, width = seaborn.color_palette("colorblind"), 0.8 / len(found)
    for place, (name, values) in enumerate(found.items()):
        offsets = [number + (place - (len(found) - 1) / 2) * width for number in range(len(kinds))]
        bars = axis.bar(offsets, [values[kind] for kind, _ in kinds], width=0.95 * width, color=colours[place],
                        label=name)
        axis.bar_label(bars, fmt="%.0f", fontsize=7)
    axis.set(xticks=range(len(kinds)), xticklabels=[words for _, words in kinds], ylim=(0, 112),
             ylabel="of the images, %")
    axis.tick_params(axis="x", labelsize=7)
    axis.legend(fontsize=7, loc="center left", bbox_to_anchor=(1, 0.5))
    return figure

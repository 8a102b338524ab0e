"""The chapter's figures, from numbers, mixes and what a teacher says of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import seaborn
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from mixlab.chapters.ch07_supermix.demonstrations import Cloud, Measured, Opinion

__all__ = [
    "clouds", "grid", "in_words", "knobs", "opinions", "steps", "sweeps", "top",
]

#: The colour of a class that none of the sources has.
OTHER = "0.6"
MARKERS = "os^Dv<>P"


def opinions(items: Sequence[Opinion], names: Sequence[str], width: float = 1.5) -> Figure:
    """Draw mixed pictures, whose pixel it is, and what the teacher says of each.

    Args:
        items: a column each.
        names: of the classes.
        width: of a column, in inches.
    """
    bars = 0.16 * (1 + max(len(item.classes) for item in items))  # of a line's height is the last line
    figure, axes = plt.subplots(3, len(items), figsize=(width * len(items), (2.1 + bars) * width + 0.35), squeeze=False,
                                height_ratios=(1, 1, bars))
    for (picture, owned, bars), item in zip(axes.T, items):
        _picture(picture, item.picture, f"{item.title}\n{'success' if item.success else 'no success'}")
        owned.imshow(_owned(item.masks))
        _bare(owned)
        _said(bars, item, names)
    return figure


def in_words(items: Sequence[Opinion], names: Sequence[str]) -> str:
    """What :func:`opinions` shows, for who cannot see it: of each picture what the teacher says and how even masks are.

    Example:
        >>> import torch
        >>> from mixlab.chapters.ch07_supermix.demonstrations import Opinion
        >>> even = Opinion("½", torch.zeros(3, 2, 2), torch.full((2, 2, 2), 0.5), torch.tensor([0.75, 0.25]), (0, 1))
        >>> in_words([even], ["cat", "cup"])
        '½, success: the teacher says cat 0.75, cup 0.25; mean of m(1 − m) 0.25'
    """
    told = []
    for item in items:
        said = ", ".join(f"{names[each]} {item.said[each]:.2f}" for each in item.classes)
        evenness = (item.masks * (1 - item.masks)).mean()
        verdict = "success" if item.success else "no success"
        told.append(f"{item.title}, {verdict}: the teacher says {said}; mean of m(1 − m) {evenness:.2f}")
    return "; ".join(told)


def _said(axis: Axes, item: Opinion, names: Sequence[str]) -> None:
    """Bars for the classes of the sources, and for the likeliest other one."""
    colours = seaborn.color_palette("colorblind", len(item.classes))
    others = [each for each in item.said.argsort(descending=True).tolist() if each not in item.classes]
    for place, each in enumerate((*item.classes, *others[:1])):
        colour = colours[place] if place < len(item.classes) else OTHER
        axis.barh(place, item.said[each].item(), color=colour, height=0.8, alpha=0.5)  # pale, so that words can be read
        axis.text(0.02, place, f"{names[each]} {item.said[each]:.2f}", va="center", fontsize=7)
    axis.set(xlim=(0, 1), ylim=(len(item.classes) + 0.5, -0.5))
    _bare(axis)


def _owned(masks: Tensor) -> np.ndarray:
    """(H, W, 3) the masks (K, H, W), a colour for every source."""
    colours = np.array(seaborn.color_palette("colorblind", len(masks)))
    return np.einsum("khw,kc->hwc", masks.numpy(), colours).clip(0, 1)


def _picture(axis: Axes, image: Tensor, title: str = "") -> None:
    axis.imshow(image.permute(1, 2, 0).clamp(0, 1).numpy())
    _bare(axis)
    if title:
        axis.set_title(title, fontsize=8)


def _bare(axis: Axes) -> None:
    axis.set(xticks=[], yticks=[])
    for side in axis.spines.values():
        side.set_visible(False)


def steps(parabolas: Mapping[str, Sequence[float]], path: Mapping[str, Sequence[float]]) -> Figure:
    """Draw a loss over the steps: of functions of one number, and of a pair of pictures with its parts.

    Args:
        parabolas: title -> losses, a panel each.
        path: part of the loss -> its values.
    """
    figure, axes = plt.subplots(1, len(parabolas) + 1, figsize=(2.4 * len(parabolas) + 3.0, 2.3),
                                width_ratios=[1] * len(parabolas) + [1.35])
    colours = seaborn.color_palette("colorblind")
    for axis, (title, losses) in zip(axes, parabolas.items()):
        axis.semilogy(losses, "o-", color=colours[0], markersize=3, linewidth=1)
        axis.set_title(title, fontsize=9)
    for (name, values), colour, marker in zip(path.items(), colours[1:], MARKERS):
        axes[-1].plot(values, f"{marker}-", color=colour, markersize=3, linewidth=1, label=name)
    axes[-1].set_title("two photographs", fontsize=9)
    axes[-1].legend(fontsize=8)
    for axis in axes:
        axis.set_xlabel("step")
        axis.tick_params(labelsize=8)
    axes[0].set_ylabel("loss")
    return figure


def grid(found: Mapping[str, Mapping[str, Opinion]], width: float = 1.05) -> Figure:
    """Draw pictures with their masks in lines and columns of two settings; a tick stands under each success.

    Args:
        found: line -> column -> mixed picture.
        width: of a picture, in inches.
    """
    lines, columns = len(found), len(next(iter(found.values())))
    figure, axes = plt.subplots(lines, 2 * columns, figsize=(2 * columns * width + 0.2, lines * (width + 0.12) + 0.25),
                                squeeze=False)
    for line, (name, row) in zip(axes, found.items()):
        for place, item in enumerate(row.values()):
            _picture(line[place], item.picture)
            line[place].set_xlabel("✓" if item.success else "no success", fontsize=7, labelpad=1)
            line[columns + place].imshow(_owned(item.masks))
            _bare(line[columns + place])
        line[0].set_ylabel(name, fontsize=8)
    for axis, title in zip(axes[0], 2 * list(next(iter(found.values())))):
        axis.set_title(title, fontsize=8)
    return figure


def sweeps(found: Mapping[str, Mapping[float, Measured]]) -> Figure:
    """Draw success, and how far the masks are from binary, over one setting after another.

    The mean of m(1 − m) is at most (K − 1) / K², that of the blend of K images. It is drawn as a part of this.

    Args:
        found: setting -> its value -> what was measured; a panel each.
    """
    figure, axes = plt.subplots(1, len(found), figsize=(2.0 * len(found), 2.3), sharey=True)
    first, second = seaborn.color_palette("colorblind")[:2]
    for axis, (name, values) in zip(axes, found.items()):
        places = range(len(values))
        axis.plot(places, [each.success for each in values.values()], "o-", color=first, markersize=4,
                  label="success")
        of_blend = [each.evenness * each.mix.k**2 / (each.mix.k - 1) for each in values.values()]
        axis.plot(places, of_blend, "s--", color=second, markersize=4, label="m(1 − m), of the blend's")
        axis.set_xticks(list(places), [f"{value:g}" for value in values])
        axis.set(xlabel=name, ylim=(-0.03, 1.03))
        axis.tick_params(labelsize=8)
    axes[0].legend(fontsize=7, loc="lower left")
    return figure


def top(found: Mapping[str, Tensor]) -> Figure:
    """Draw the mean of the largest, the second largest and further probabilities.

    Args:
        found: kind of images -> (k,) means.
    """
    figure, axis = plt.subplots(figsize=(4.6, 2.6))
    ranks = range(1, 1 + max(map(len, found.values())))
    for (name, values), colour, marker in zip(found.items(), seaborn.color_palette("colorblind"), MARKERS):
        axis.plot(ranks, values, f"{marker}-", color=colour, markersize=5, linewidth=1.2, label=name)
    axis.set(xticks=ranks, xlabel="rank of the class", ylabel="teacher's probability")
    axis.legend(fontsize=8)
    return figure


def clouds(found: Mapping[str, Cloud], names: Sequence[str]) -> Figure:
    """Draw what the teacher answers in a plane, a panel for each kind of images, with the spread of a class.

    Args:
        found: kind of images -> answers in the plane.
        names: of the classes.
    """
    figure, axes = plt.subplots(1, len(found), figsize=(1.9 * len(found), 2.3), sharex=True, sharey=True)
    classes = sorted({int(each) for cloud in found.values() for each in cloud.classes})
    for axis, (title, cloud) in zip(axes, found.items()):
        for each, colour, marker in zip(classes, seaborn.color_palette("colorblind"), MARKERS):
            points = cloud.plane[cloud.classes == each]
            axis.plot(*points.T, marker, color=colour, markersize=3, alpha=0.6, linestyle="none", label=names[each])
        axis.set_title(f"{title}\nc-std {cloud.spread:.1f}", fontsize=9)
        axis.tick_params(labelsize=7)
    axes[0].legend(fontsize=7, handletextpad=0.1)
    return figure

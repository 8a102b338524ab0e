"""The chapter's figures, from images, scores and how far they agree."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import seaborn
import torch
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from torch import Tensor

from mixlab.bayes import Scores
from mixlab.chapters.ch08_selection.demonstrations import Agreement

__all__ = ["agreements", "chosen", "in_words", "plane", "surrounded"]


def surrounded(anchors: Mapping[str, tuple[Tensor, Tensor, Sequence[float | None]]]) -> Figure:
    """Anchors in the same surroundings, a line each, with the loss under each picture.

    Args:
        anchors: name -> pictures (S, H, W) and the anchor's masks (S, H, W), both in [0, 1], and the S losses, None for
            a picture without a loss. What the anchor shows is blue, what the companions show is orange.
    """
    columns = max(len(pictures) for pictures, _, _ in anchors.values())
    figure, axes = plt.subplots(len(anchors), columns, figsize=(0.95 * columns, 1.3 * len(anchors)), squeeze=False)
    own, others = (torch.tensor(colour) for colour in seaborn.color_palette("colorblind", 2))
    for line, (name, (pictures, masks, losses)) in zip(axes, anchors.items(), strict=True):
        for axis, picture, mask, loss in zip(line, pictures, masks, losses, strict=True):
            colour = mask[..., None] * own + (1 - mask[..., None]) * others
            # A part without ink keeps a tint of its colour, so that its borders are seen.
            axis.imshow((1 - (1 - colour) * (0.12 + 0.88 * picture[..., None])).numpy())
            axis.set(xticks=[], yticks=[])
            axis.set_xlabel("" if loss is None else f"{loss:.2f}", fontsize=8)
        line[0].set_ylabel(name, fontsize=8)
    return figure


def plane(scores: Scores, label: int, policies: Mapping[str, Tensor], levels: Sequence[float]) -> Figure:
    """The images of one class in the plane of mean and deviation, both logarithmic, with lines of equal CV.

    Args:
        scores: of all images.
        label: the class.
        policies: name -> rows that a policy keeps, one panel each.
        levels: CVs whose lines are drawn.
    """
    of_class = scores.labels == label
    mean, std = scores.mean[of_class].numpy(), scores.std[of_class].numpy()
    figure, axes = plt.subplots(1, len(policies), figsize=(6.8, 2.5), sharex=True, sharey=True, squeeze=False)
    ends = np.array([mean.min() * 0.98, mean.max() * 1.02])
    for axis, (name, rows) in zip(axes[0], policies.items(), strict=True):
        kept = torch.isin(scores.rows[of_class], rows).numpy()
        for level in levels:
            axis.plot(ends, level * ends, color="0.75", linewidth=0.8, zorder=0)
            axis.annotate(f"{level:g}", (ends[1], level * ends[1]), fontsize=6, color="0.4", ha="right")
        colours = seaborn.color_palette("colorblind")
        axis.scatter(mean[~kept], std[~kept], s=7, color=colours[7])
        axis.scatter(mean[kept], std[kept], s=14, color=colours[3], marker="s")
        axis.set(xscale="log", yscale="log", title=name, xlabel="mean loss m", xlim=ends,
                 ylim=(std.min() * 0.95, std.max() * 1.05))
        for side in (axis.xaxis, axis.yaxis):
            side.set_major_formatter(plt.FormatStrFormatter("%g"))
            side.set_minor_formatter(plt.NullFormatter())
        axis.set_xticks(_ticks(*ends))
        axis.set_yticks(_ticks(std.min(), std.max()))
    axes[0, 0].set_ylabel("deviation σ")
    return figure


def _ticks(low: float, high: float) -> np.ndarray:
    """Three round numbers between two."""
    return np.round(np.linspace(low + 0.1 * (high - low), high - 0.1 * (high - low), 3), 2)


def chosen(title: str, images: Tensor, labels: Tensor, each: int = 8) -> Figure:
    """What a policy keeps, a line for every class.

    Args:
        title: above the pictures.
        images: (N, H, W), those that are kept.
        labels: (N,), their classes.
        each: pictures of a class, at most.
    """
    classes = labels.unique().tolist()
    figure, axes = plt.subplots(len(classes), each, figsize=(0.42 * each, 0.42 * len(classes) + 0.3))
    figure.suptitle(title, fontsize=9)
    for line, label in zip(axes, classes, strict=True):
        of_class = images[labels == label][:each]
        for axis in line:
            axis.set_axis_off()
        for axis, picture in zip(line, of_class):
            axis.imshow(picture.numpy(), cmap="gray_r")
    return figure


def in_words(policy: str, scores: Scores, rows: Tensor) -> str:
    """What :func:`chosen` shows, for who cannot see it.

    Example:
        >>> rows, values = torch.arange(2), torch.tensor([2.0, 1.0]).double()
        >>> found = Scores(rows, rows, values, values / 4, draws=8, about={})
        >>> in_words("easy", found, torch.tensor([1]))
        'easy: 1 images, mean loss 1.00 (all 1.50), CV 0.250 (all 0.250)'
    """
    kept = torch.isin(scores.rows, rows)
    return (f"{policy}: {int(kept.sum())} images, mean loss {scores.mean[kept].mean():.2f} (all "
            f"{scores.mean.mean():.2f}), CV {scores.cv[kept].mean():.3f} (all {scores.cv.mean():.3f})")


def agreements(found: Mapping[str, Agreement], chance: float = 10.0) -> Figure:
    """How far independent scores agree over the number of draws: in rank, and in what they choose.

    Args:
        found: name -> agreement, a line each; the mean loss of the first is drawn as well.
        chance: percent of overlap of two random choices.
    """
    figure, (ranks, overlap) = plt.subplots(1, 2, figsize=(6.8, 2.7))
    colours = seaborn.color_palette("colorblind")
    first = next(iter(found.values()))
    ranks.plot(first.draws, first.mean, color="0.5", linestyle="--", marker="x", label="mean loss")
    for (name, each), colour, marker in zip(found.items(), colours, "os^D"):
        ranks.plot(each.draws, each.cv, color=colour, marker=marker, label=f"CV, {name}")
        overlap.plot(each.draws, each.overlap, color=colour, marker=marker)
    overlap.axhline(chance, color="0.5", linestyle=":")
    overlap.annotate("two random choices", (first.draws[0], chance - 6), fontsize=7, color="0.4")
    ranks.set(ylabel="rank correlation", ylim=(min(-0.05, min(map(min, (each.cv for each in found.values())))), 1))
    overlap.set(ylabel="same choice, %", ylim=(0, 100))
    for axis in (ranks, overlap):
        axis.set(xscale="log", xlabel="draws M", xticks=first.draws)
        axis.get_xaxis().set_major_formatter(plt.FormatStrFormatter("%d"))
        axis.get_xaxis().set_minor_formatter(plt.NullFormatter())
    ranks.legend(fontsize=7)
    return figure

"""Figures about mixed images: what a mix shows, where its pixels come from, and what its label says."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from string import ascii_uppercase

import matplotlib.pyplot as plt
import numpy as np
import seaborn
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from mixlab.mix import Mix

__all__ = [
    "Exhibit",
    "change_maps",
    "clipped_areas",
    "exhibit",
    "exhibits",
    "label_laws",
    "labelled",
    "lying_labels",
    "strength",
    "strength_in_words",
]

NOBODY = (0.25, 0.25, 0.25)


@dataclass(frozen=True)
class Exhibit:
    """One mixed image with all that explains it.

    Attributes:
        title: above it.
        image: (H, W, 3), as it was mixed.
        masks: (K, H, W) in [0, 1].
        names: the K sources, in words.
        weights: K label weights; they need not be the means of the masks.
    """

    title: str
    image: np.ndarray
    masks: np.ndarray
    names: tuple[str, ...]
    weights: np.ndarray


def exhibit(title: str, mix: Mix, images: Tensor, names: Sequence[str], row: int = 0) -> Exhibit:
    """Prepare one row of a mix for :func:`exhibits`.

    Args:
        title: above the picture.
        mix: drawn for ``images``.
        images: (B, 3, H, W) floating point; [0, 1] for :func:`exhibits`.
        names: what each row of ``images`` shows.
        row: which row.
    """
    return Exhibit(
        title,
        _picture(mix.apply(images)[row]),
        mix.masks(images.shape[-2:])[row].cpu().numpy(),
        tuple(names[source] for source in mix.sources[row].tolist()),
        mix.weights[row].cpu().numpy(),
    )


def _picture(image: Tensor) -> np.ndarray:
    """(3, H, W) with the channels last."""
    return image.detach().cpu().permute(1, 2, 0).numpy()


def _colours(count: int) -> np.ndarray:
    return np.array(seaborn.color_palette("colorblind", count))


def _bare(ax: Axes) -> None:
    ax.set(xticks=[], yticks=[])
    for side in ax.spines.values():
        side.set_visible(False)


def _number(ax: Axes, x: float, y: float, slot: int) -> None:
    """A slot's number, from 1 on: colours alone cannot be told apart in grey."""
    ax.text(x, y, str(slot + 1), ha="center", va="center", color="white", weight="bold", fontsize=7)


def _number_regions(ax: Axes, masks: np.ndarray) -> None:
    """Number each slot where most of its own pixels are around; slivers go without. A blend is called a sum."""
    from scipy.ndimage import distance_transform_edt

    if masks.max() < 1:
        ax.text(0.5, 0.5, " + ".join(str(slot + 1) for slot in range(len(masks))), ha="center", va="center",
                color="white", weight="bold", fontsize=7, transform=ax.transAxes)
    for slot, mask in enumerate(masks):
        depth = distance_transform_edt(np.pad(mask == 1, 1))[1:-1, 1:-1]
        if depth.max() > 0.045 * max(mask.shape):
            y, x = np.unravel_index(depth.argmax(), depth.shape)
            _number(ax, x, y, slot)


def _label_bar(ax: Axes, names: Sequence[str], weights: np.ndarray, colours: np.ndarray) -> None:
    """A bar of length one, cut by the weights, with the numbers of the slots; parts below 4 % go without a name."""
    start, shown = 0.0, []
    for slot, (name, weight, colour) in enumerate(zip(names, weights, colours)):
        ax.barh(0, weight, left=start, color=colour, height=1, edgecolor="white")
        if weight >= 0.04:
            shown.append(f"{slot + 1} {name} {weight:.2f}")
        if weight >= 0.08:
            _number(ax, start + weight / 2, -0.05, slot)
        start += weight
    ax.set(xlim=(0, 1), ylim=(-0.5, 0.5))
    _bare(ax)
    ax.set_xlabel("\n".join(shown), fontsize=8, labelpad=2)


def exhibits(items: Sequence[Exhibit]) -> Figure:
    """Mixed images in a row; below each its masks and its label, in one colour and number for each source.

    Dark grey in a mask is a pixel that belongs to no source.
    """
    figure, axes = plt.subplots(
        3, len(items), figsize=(1.55 * len(items), 3.9), height_ratios=[8, 8, 1.3], squeeze=False
    )
    for (top, middle, bottom), item in zip(axes.T, items):
        colours = _colours(len(item.masks))
        owned = np.einsum("khw,kc->hwc", item.masks, colours)
        nobody = (1 - item.masks.sum(0)).clip(0, 1)[..., None] * np.array(NOBODY)
        top.imshow(item.image.clip(0, 1))
        top.set_title(item.title, fontsize=9)
        middle.imshow((owned + nobody).clip(0, 1))
        _number_regions(middle, item.masks)
        _bare(top)
        _bare(middle)
        _label_bar(bottom, item.names, item.weights, colours)
    for ax, text in zip(axes[:, 0], ("image", "masks", "label")):
        ax.set_ylabel(text, fontsize=9)
    return figure


def labelled(items: Sequence[Exhibit], mean: float, std: float) -> Figure:
    """Mixed images side by side, with their titles and their labels in words.

    Args:
        items: made from normalised images.
        mean: what was subtracted from images in [0, 1].
        std: what they were divided by.
    """
    figure, axes = plt.subplots(1, len(items), figsize=(1.9 * len(items), 2.4), squeeze=False)
    for ax, item in zip(axes[0], items):
        ax.imshow((item.image * std + mean).clip(0, 1))
        spoken = ", ".join(f"{weight:.2f} {name}" for name, weight in zip(item.names, item.weights) if weight > 0)
        ax.set_title(f"{item.title}\n{spoken}", fontsize=9)
        _bare(ax)
    return figure


def label_laws(alphas: Sequence[float]) -> Figure:
    """Densities of λ under Beta(α, α) and Beta(α + 1, α), one panel for each α."""
    from scipy.stats import beta

    lam = np.linspace(0.003, 0.997, 300)
    figure, axes = plt.subplots(1, len(alphas), figsize=(2.9 * len(alphas), 2.4), sharex=True, squeeze=False)
    first, second = _colours(2)
    for ax, alpha in zip(axes[0], alphas):
        ax.plot(lam, beta.pdf(lam, alpha, alpha), color=first, label="mixed label: Beta(α, α)")
        ax.plot(lam, beta.pdf(lam, alpha + 1, alpha), color=second, linestyle="--", label="hard label: Beta(α + 1, α)")
        ax.set(title=f"α = {alpha:g}", xlabel="λ", ylim=(0, 4), xlim=(0, 1))
    axes[0, 0].set_ylabel("density")
    axes[0, len(alphas) // 2].legend(fontsize=8, loc="upper left")
    return figure


def strength(alpha: float, mixup: Mix, cutmix: Mix, images: Tensor, names: Sequence[str]) -> Figure:
    """The law of λ with what was drawn from it, and each draw as Mixup and as CutMix with their labels.

    Args:
        alpha: of the law, positive.
        mixup: rows blended with another, λ being the weight of the row itself.
        cutmix: the same rows and λ, with boxes.
        images: (B, 3, H, W) in [0, 1]; B draws are named A, B, C and so on.
        names: what each row of ``images`` shows.
    """
    from scipy.stats import beta

    draws = len(images)
    figure, axes = plt.subplots(5, draws, figsize=(1.5 * draws, 6.0), height_ratios=[6, 8, 1, 8, 1], squeeze=False)
    grid = axes[0, 0].get_gridspec()
    for ax in axes[0]:
        ax.remove()
    law = figure.add_subplot(grid[0, :])
    lam = np.linspace(0.003, 0.997, 300)
    law.fill_between(lam, beta.pdf(lam, alpha, alpha), color=_colours(1)[0], alpha=0.35)
    law.set(xlim=(-0.03, 1.03), ylim=(0, 3.5), yticks=[0, 1, 2, 3])
    law.set(xlabel="λ", ylabel="density", title=f"Beta(α, α), α = {alpha:g}")
    for row, letter in enumerate(_letters(draws)):
        drawn, height = float(mixup.weights[row, 0]), 2.8 - 0.7 * row
        law.plot([drawn, drawn], [0, height], color="black", linewidth=1.2)
        law.text(drawn, height, letter, ha="center", va="bottom", fontsize=8, weight="bold")
        axes[1, row].set_title(f"{letter}: λ = {drawn:.2f}", fontsize=9)
    for name, mix, (pictures, labels) in (("Mixup", mixup, axes[1:3]), ("CutMix", cutmix, axes[3:5])):
        for row, (picture, label) in enumerate(zip(pictures, labels)):
            item = exhibit("", mix, images, names, row)
            picture.imshow(item.image.clip(0, 1))
            _bare(picture)
            _label_bar(label, item.names, item.weights, _colours(len(item.weights)))
        pictures[0].set_ylabel(name, fontsize=9)
    return figure


def strength_in_words(mixup: Mix, cutmix: Mix, names: Sequence[str]) -> str:
    """What :func:`strength` shows, for who cannot see it: λ and the two labels of each draw.

    Example:
        >>> import torch
        >>> from mixlab.analysis.strength import mixes_at
        >>> mixes = mixes_at(1.0, torch.zeros(2, 3, 8, 8), torch.Generator().manual_seed(0))
        >>> strength_in_words(*mixes, ("cat", "moon")).partition(". B")[0]
        'A: λ = 0.97, Mixup 0.97 cat + 0.03 moon, CutMix 0.98 cat + 0.02 moon'
    """
    def label(mix: Mix, row: int) -> str:
        pairs = zip(mix.weights[row].tolist(), mix.sources[row].tolist())
        return " + ".join(f"{weight:.2f} {names[source]}" for weight, source in pairs)

    return ". ".join(
        f"{letter}: λ = {float(mixup.weights[row, 0]):.2f}, Mixup {label(mixup, row)}, CutMix {label(cutmix, row)}"
        for row, letter in enumerate(_letters(len(mixup)))
    )


def _letters(draws: int) -> str:
    return ascii_uppercase[:draws]


def clipped_areas(
    clipped: np.ndarray,
    whole: np.ndarray,
    edges: np.ndarray,
    cdf: np.ndarray,
    curve: tuple[np.ndarray, np.ndarray],
    measured: tuple[np.ndarray, np.ndarray],
) -> Figure:
    """How much of the image changes hands, clipped or not.

    Args:
        clipped: pasted areas that were counted, with boxes clipped at the border.
        whole: the same with boxes inside the image.
        edges: of the bins.
        cdf: what theory says about clipped boxes, at the edges.
        curve: α and the mean area that theory gives to clipped boxes.
        measured: α and mean areas that were counted.
    """
    figure, (left, right) = plt.subplots(1, 2, figsize=(9.2, 3.0))
    first, second = _colours(2)
    width, middles = edges[1] - edges[0], (edges[1:] + edges[:-1]) / 2
    left.hist(whole, bins=edges, density=True, histtype="step", color=second, linewidth=1.5,
              label="inside the image, counted")
    left.hist(clipped, bins=edges, density=True, color=first, alpha=0.45, label="clipped, counted")
    left.plot(middles, np.diff(cdf) / width, color="black", linewidth=1.2, label="clipped, theory")
    left.set(xlabel="part of the image that is pasted", ylabel="density", title="α = 1")
    left.legend(fontsize=8)
    right.axhline(0.5, color=second, label="inside the image, theory")
    right.plot(*curve, color="black", label="clipped, theory")
    right.plot(*measured, "o", color=first, label="clipped, counted")
    right.set(xscale="log", xlabel="α", ylabel="mean part pasted", ylim=(0.25, 0.53))
    right.legend(fontsize=8, loc="center right")
    return figure


def change_maps(maps: Mapping[str, np.ndarray]) -> Figure:
    """How often each pixel comes from the partner, (H, W) frequencies, on one colour scale."""
    figure, axes = plt.subplots(1, len(maps), figsize=(3.0 * len(maps), 2.6), squeeze=False)
    low, high = min(each.min() for each in maps.values()), max(each.max() for each in maps.values())
    for ax, (title, frequencies) in zip(axes[0], maps.items()):
        drawn = ax.imshow(frequencies, vmin=low, vmax=high, cmap="cividis")
        ax.set_title(title, fontsize=9)
        _bare(ax)
    figure.colorbar(drawn, ax=axes[0], label="how often the partner's", shrink=0.85)
    return figure


def lying_labels(nominal: np.ndarray, shares: np.ndarray, examples: Sequence[Exhibit]) -> Figure:
    """The partner's weight by λ against its part of the pixels, and images on which the two differ.

    Args:
        nominal: 1 - λ as drawn, for many mixes.
        shares: the part that was pasted, for the same mixes.
        examples: mixes whose ``weights`` are nominal.
    """
    figure, axes = plt.subplots(1, 1 + len(examples), figsize=(3.0 + 1.9 * len(examples), 2.7))
    first, second = _colours(2)
    axes[0].plot(nominal, shares, ".", markersize=2, color=first, alpha=0.4, rasterized=True)
    axes[0].plot([0, 1], [0, 1], color="black", linewidth=1)
    axes[0].set(xlabel="label weight 1 − λ", ylabel="part of the pixels", xlim=(0, 1), ylim=(0, 1), aspect="equal")
    for ax, item in zip(axes[1:], examples):
        ax.imshow(item.image.clip(0, 1))
        ax.contour(item.masks[1], levels=[0.5], colors=[second], linewidths=2)
        _bare(ax)
        pasted = item.masks[1].mean()
        ax.set_title(f"label says {item.weights[1]:.0%} {item.names[1]},\npixels say {pasted:.0%}", fontsize=9)
    return figure

"""The chapter's figures, from numbers and from mixes that were drawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import seaborn
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from mixlab.chapters.ch05_puzzlemix.demonstrations import Moves, seen
from mixlab.mix import Mix
from mixlab.saliency import block_saliency

__all__ = [
    "cut_cost", "cut_graph", "cut_into", "hidden", "kept", "maps_of", "moved", "picture_and_mask",
    "picture_and_mask_in_words",
]

#: Where the nodes of the graph are drawn: left, bottom.
_NODES = {
    "1": (0.5, 1.0), "0": (0.5, 0.0),
    "v_i": (0.0, 0.72), "u_i": (0.0, 0.28), "v_j": (1.0, 0.72), "u_j": (1.0, 0.28),
}
#: The edges between two cells: start, end, how far they are moved up, their text and where it stands on them.
_EDGES = (
    ("v_i", "v_j", 0.035, "w/4", 0.5), ("v_j", "v_i", -0.035, "w/4", 0.5),
    ("u_i", "u_j", -0.035, "w/4", 0.5), ("u_j", "u_i", 0.035, "w/4", 0.5),
    ("v_i", "u_j", 0.0, "w/2", 0.3), ("v_j", "u_i", 0.0, "w/2", 0.3),
    ("v_i", "u_i", 0.0, "∞", 0.5), ("v_j", "u_j", 0.0, "∞", 0.5),
)

_CAPACITIES = {"w/4": 0.25, "w/2": 0.5, "∞": float("inf")}
_SPELT = {0: "0", 0.5: "½", 1: "1"}


def cut_cost(left: float, right: float) -> float:
    """What the cut of two labels pays between two neighbours, for w = 1: the sum over the edges of :func:`cut_graph`.

    Args:
        left, right: labels of {0, ½, 1}.

    Example:
        >>> cut_cost(1, 0), cut_cost(0.5, 0), cut_cost(0.5, 0.5)
        (1.0, 0.25, 0.0)
    """
    on = _sides(left, right)
    return sum((_CAPACITIES[text] for start, end, _, text, _ in _EDGES if on[start] and not on[end]), 0.0)


def cut_graph(labelings: Sequence[tuple[float, float]]) -> Figure:
    """Draw the nodes of two neighbouring blocks with the edges between them, and what cuts pay for, a panel for each.

    Args:
        labelings: the labels z of the two blocks, of {0, ½, 1}. Nodes on the side of the source are filled, edges
            between the blocks that the cut pays for are thick.
    """
    figure, axes = plt.subplots(1, len(labelings), figsize=(4.6 * len(labelings), 3.5), squeeze=False)
    for axis, labels in zip(axes[0], labelings):
        _draw_graph(axis, *labels)
    return figure


def _sides(left: float, right: float) -> dict[str, bool]:
    """Which nodes are on the side of the source."""
    return {"1": True, "0": False, "u_i": left >= 0.5, "v_i": left >= 1, "u_j": right >= 0.5, "v_j": right >= 1}


def _draw_graph(axis: Axes, left: float, right: float) -> None:
    on = _sides(left, right)
    blue, orange = seaborn.color_palette("colorblind")[:2]

    def arrow(start: str, end: str, up: float, **style) -> None:
        places = [(x, y + up) for x, y in (_NODES[end], _NODES[start])]
        axis.annotate("", *places, arrowprops={"arrowstyle": "-|>", "shrinkA": 15, "shrinkB": 15} | style)

    for start, end in (("1", "v_i"), ("1", "v_j"), ("u_i", "0"), ("u_j", "0")):
        arrow(start, end, 0, color="0.75", linestyle=":", linewidth=1.2)
    for start, end, up, text, along in _EDGES:
        paid = on[start] and not on[end]
        arrow(start, end, up, color=orange if paid else "0.5", linewidth=2.8 if paid else 1.0,
              mutation_scale=16 if paid else 11)
        x, y = ((1 - along) * a + along * b for a, b in zip(_NODES[start], _NODES[end]))
        axis.text(x, y + 2 * up, text, ha="center", va="center", fontsize=10 if text != "∞" else 13,
                  weight="bold" if paid else "normal", bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.6})
    for name, (x, y) in _NODES.items():
        axis.plot(x, y, "o", markersize=25, color=blue if on[name] else "white", markeredgecolor="black", zorder=5)
        axis.text(x, y, f"${name}$" if "_" in name else name, ha="center", va="center", fontsize=11, zorder=6,
                  color="white" if on[name] else "black")
    axis.set_title(f"$z_i$ = {_SPELT[left]}, $z_j$ = {_SPELT[right]}", fontsize=11)
    axis.text(0.59, 1.0, "source", fontsize=9, va="center")
    axis.text(0.59, 0.0, "sink", fontsize=9, va="center")
    axis.set(xlim=(-0.15, 1.15), ylim=(-0.1, 1.1))
    axis.set_axis_off()


def _bare(axis: Axes, title: str = "", size: float = 8) -> None:
    axis.set(xticks=[], yticks=[])
    for side in axis.spines.values():
        side.set_visible(False)
    if title:
        axis.set_title(title, fontsize=size)


def _photograph(axis: Axes, image: Tensor, title: str = "") -> None:
    axis.imshow(image.permute(1, 2, 0).clamp(0, 1).numpy())
    _bare(axis, title)


def _owned(mix: Mix, row: int = 0) -> np.ndarray:
    """(H, W, 3) the masks of a pair in two colours: the row itself blue, its partner orange."""
    colours = np.array(seaborn.color_palette("colorblind", 2))
    return np.einsum("khw,kc->hwc", mix.masks()[row].numpy(), colours)


def _against_labels(axis: Axes, weights: Tensor, ink: Tensor, title: str) -> None:
    """A point for every mixed picture: what its label says of its own digit, and how much of the digit can be seen."""
    lying = ((weights >= 0.5) & (ink < 0.1)).numpy()
    blue, orange = seaborn.color_palette("colorblind")[:2]
    axis.add_patch(plt.Rectangle((0.5, -0.05), 0.57, 0.15, color="0.9", linewidth=0, zorder=0))
    axis.plot(weights[~lying], ink[~lying], ".", color=blue, markersize=4, alpha=0.6)
    axis.plot(weights[lying], ink[lying], "x", color=orange, markersize=4)
    axis.set(xlim=(-0.07, 1.07), ylim=(-0.05, 1.05), xlabel="label weight of its own digit", title=title)
    axis.set_ylabel("part of its ink that is seen")


def hidden(pictures: Tensor, weights: Tensor, ink: Tensor, rows: Sequence[int], digits: Tensor) -> Figure:
    """Draw some mixed fields whose label claims a digit that is not there, and how often that happens.

    Args:
        pictures: (N, 1, H, W) mixed fields.
        weights: (N,) label weights of their own digits.
        ink: (N,) how much of the own digit's ink is seen.
        rows: which fields are shown.
        digits: (N,) the own digits.
    """
    figure, axes = plt.subplots(1, 1 + len(rows), figsize=(2.0 * len(rows) + 3.0, 2.6),
                                width_ratios=[1] * len(rows) + [1.5])
    for axis, row in zip(axes, rows):
        axis.imshow(pictures[row, 0].numpy(), cmap="gray", vmin=-0.3, vmax=1.1)
        _bare(axis, f"label: {weights[row]:.2f} of a {digits[row]},\nits ink seen: {ink[row]:.2f}", 9)
    _against_labels(axes[-1], weights, ink, f"{len(weights)} fields")
    return figure


def kept(found: Mapping[str, tuple[Tensor, Tensor]]) -> Figure:
    """Draw for some methods what the label says of the own digit against how much of its ink is seen.

    Args:
        found: method -> label weights (N,) and parts of the ink (N,).
    """
    figure, axes = plt.subplots(1, len(found), figsize=(3.2 * len(found), 2.9), sharey=True)
    for axis, (title, (weights, ink)) in zip(axes, found.items()):
        _against_labels(axis, weights, ink, title)
    for axis in axes[1:]:
        axis.set_ylabel("")
    return figure


def maps_of(photographs: Tensor, maps: Tensor, names: Sequence[str], blocks: Sequence[int] = (4, 8)) -> Figure:
    """Draw photographs, their saliency pixel by pixel, and in blocks.

    Args:
        photographs: (N, 3, H, W) in [0, 1].
        maps: (N, H, W).
        names: of the photographs.
        blocks: numbers of blocks along a side.
    """
    coarse = {f"{b} × {b} blocks": block_saliency(maps, b) for b in blocks}
    lines = {"photograph": None, "gradient": maps.sqrt(), **coarse}
    figure, axes = plt.subplots(len(lines), len(names), figsize=(1.5 * len(names), 1.55 * len(lines)),
                             squeeze=False)
    for line, (title, values) in zip(axes, lines.items()):
        for place, axis in enumerate(line):
            if values is None:
                _photograph(axis, photographs[place], names[place])
            else:
                axis.imshow(values[place].numpy(), vmin=0)
                busiest = f"{values[place].max():.2f} in one block" if title.endswith("blocks") else ""
                _bare(axis, busiest)
        line[0].set_ylabel(title, fontsize=8)
    return figure


def picture_and_mask(pair: Tensor, mixes: Mapping[str, Mix], parts: Mapping[str, Sequence[float]],
                     width: float = 1.55) -> Figure:
    """Draw what some settings make of one pair: the picture above its mask, with the label and what is seen.

    Args:
        pair: (2, 3, H, W) in [0, 1].
        mixes: title -> mix of the pair.
        parts: title -> how much of the saliency of either is seen.
        width: of a column, in inches.
    """
    figure, axes = plt.subplots(2, len(mixes), figsize=(width * len(mixes), 2 * width + 0.7), squeeze=False,
                                layout="constrained")
    figure.get_layout_engine().set(h_pad=0.04, hspace=0)
    for (top, bottom), (title, mix) in zip(axes.T, mixes.items()):
        _photograph(top, mix.apply(pair)[0], title)
        bottom.imshow(_owned(mix))
        _bare(bottom)
        own, partner = parts[title]
        label = f"label {mix.weights[0, 0]:.2f} | {mix.weights[0, 1]:.2f}"
        bottom.set_xlabel(f"{label}\nseen {own:.2f} | {partner:.2f}", fontsize=8)
    return figure


def picture_and_mask_in_words(mixes: Mapping[str, Mix], parts: Mapping[str, Sequence[float]]) -> str:
    """What :func:`picture_and_mask` shows, for who cannot see it, in numbers."""
    halves = {title: (mix.form.maps[0, 1] == 0.5).float().mean() for title, mix in mixes.items()}
    return "; ".join(
        f"{title}: partner's label {mix.weights[0, 1]:.2f}, half blocks {halves[title]:.2f}, "
        f"saliency seen {sum(parts[title]):.2f} of 2" for title, mix in mixes.items()
    )


def moved(found: Mapping[int, Moves], pair: Tensor, mixes: Mapping[str, Mix]) -> Figure:
    """Draw how much transport adds at each cost, and one pair at some costs with the blocks that moved.

    Args:
        found: number of blocks -> what transport does.
        pair: (2, 3, H, W) in [0, 1].
        mixes: title -> mix of the pair.
    """
    figure, axes = plt.subplots(1, 1 + len(mixes), figsize=(3.2 + 2.0 * len(mixes), 2.7),
                                width_ratios=[1.6] + [1] * len(mixes))
    for (blocks, each), marker in zip(found.items(), "o^sD"):
        axes[0].plot(each.costs, each.gained, marker + "-", markersize=4, linewidth=1.2, label=f"{blocks} × {blocks}")
    axes[0].axvline(0.8, color="black", linestyle="--", linewidth=1)
    axes[0].text(0.77, 0.16, "papers' ξ", ha="right", fontsize=8)
    axes[0].set(xlabel="ξ", ylabel="saliency gained, of 2", xlim=(-0.03, 0.88))
    axes[0].legend(fontsize=8, title="blocks", title_fontsize=8, loc="upper center")
    for axis, (title, mix) in zip(axes[1:], mixes.items()):
        shown = mix.apply(pair)[0]
        _photograph(axis, shown, title)
        _outline(axis, mix)
    return figure


def _outline(axis: Axes, mix: Mix) -> None:
    """A frame around every block that comes from elsewhere and can be seen, in the colour of its image."""
    blocks = mix.form.maps.shape[-1]
    side = mix.form.size[0] / blocks
    for slot, colour in enumerate(seaborn.color_palette("colorblind", 2)):
        for place, block in enumerate(mix.form.plans[0, slot].tolist()):
            row, column = divmod(place, blocks)
            if block != place and mix.form.maps[0, slot, row, column] > 0:
                axis.add_patch(plt.Rectangle((column * side - 0.5, row * side - 0.5), side, side, fill=False,
                                             edgecolor=colour, linewidth=1.4))


def cut_into(pairs: Sequence[Tensor], maps: Sequence[Tensor], mixes: Sequence[tuple[Mix, Mix]],
             names: Sequence[tuple[str, str]]) -> Figure:
    """Draw pairs from left to right: the two images and their saliency, Puzzle Mix's masks and picture, and a box.

    Args:
        pairs: each (2, 3, H, W) in [0, 1].
        maps: each (2, H, W) saliency.
        mixes: for each pair that of Puzzle Mix and that of a box.
        names: of the two images.
    """
    figure, axes = plt.subplots(len(pairs), 7, figsize=(9.6, 1.85 * len(pairs)), squeeze=False)
    for line, pair, map_, (mix, box), (own, partner) in zip(axes, pairs, maps, mixes, names):
        blocks = block_saliency(map_, mix.form.maps.shape[-1])
        for place, name in enumerate((own, partner)):
            _photograph(line[2 * place], pair[place], name)
            line[2 * place + 1].imshow(blocks[place].numpy(), vmin=0)
            _bare(line[2 * place + 1], "saliency")
        line[4].imshow(_owned(mix))
        _bare(line[4], "masks")
        line[4].set_xlabel(f"label {mix.weights[0, 0]:.2f} | {mix.weights[0, 1]:.2f}", fontsize=8)
        for axis, title, each in ((line[5], "Puzzle Mix", mix), (line[6], "a box", box)):
            _photograph(axis, each.apply(pair)[0], title)
            axis.set_xlabel("seen {:.2f} | {:.2f}".format(*seen(each, map_)[0].tolist()), fontsize=8)
    return figure

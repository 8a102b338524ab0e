"""A genotype as a picture: two graphs."""

from __future__ import annotations

from collections.abc import Sequence

from mixlab.nas.genotype import CELLS, Cell, Genotype

__all__ = ["draw"]


def draw(genotype: Genotype, axes: Sequence | None = None):
    """Draw both cells as graphs: what a cell is given on the left, its nodes, and what it gives on the right.

    Args:
        genotype: see `Genotype`.
        axes: two axes of matplotlib, for the normal and the reduction cell; None makes a figure.

    Returns:
        The figure.

    Raises:
        ValueError: for another number of axes.

    Example:
        >>> import matplotlib
        >>> from mixlab.nas import PC_DARTS_cifar
        >>> matplotlib.use("agg")
        >>> figure = draw(PC_DARTS_cifar)
        >>> [each.get_title() for each in figure.axes]
        ['normal cell', 'reduction cell']
    """
    if axes is None:
        import matplotlib.pyplot as plt

        _, axes = plt.subplots(2, 1, figsize=(8.5, 7), layout="constrained")
    axes = list(axes)
    if len(axes) != 2:
        raise ValueError(f"expected two axes, received {len(axes)}")
    for name, title, each in zip(CELLS, ("normal cell", "reduction cell"), axes, strict=True):
        _draw_cell(getattr(genotype, name), getattr(genotype, f"{name}_concat"), each)
        each.set_title(title)
    return axes[0].figure


def _draw_cell(cell: Cell, concat: tuple[int, ...], axes) -> None:
    """One graph: nodes from left to right, every second one lower, so that edges have room."""
    heights = [0.0 if node % 2 else 1.0 for node in range(len(cell))]
    places = [(0.0, 1.2), (0.0, -0.2), *((1.5 * (1 + node), height) for node, height in enumerate(heights))]
    end = (1.5 * (1 + len(cell)) + 0.2, 0.5)
    names = ["two cells\nbefore", "cell\nbefore", *map(str, range(len(cell)))]
    box = {"boxstyle": "round,pad=0.3", "edgecolor": "black"}
    for place, name, number in zip(places, names, range(len(names)), strict=True):
        axes.text(*place, name, ha="center", va="center", fontsize=9, zorder=3,
                  bbox=box | {"facecolor": "#dbe9f6" if number > 1 else "#e5f0dc"})
    axes.text(*end, "out", ha="center", va="center", fontsize=9, zorder=3, bbox=box | {"facecolor": "#f6ead0"})
    for node, edges in enumerate(cell):
        for number, (operation, source) in enumerate(edges):
            start, stop = places[source], places[2 + node]
            axes.annotate("", stop, start, zorder=1, arrowprops={"arrowstyle": "->", "color": "0.3", "shrinkA": 14,
                                                                "shrinkB": 12})
            part = 0.42 + 0.16 * number  # the labels of a node's edges at different places
            middle = [one + part * (other - one) for one, other in zip(start, stop, strict=True)]
            axes.text(*middle, operation, ha="center", va="center", fontsize=7, zorder=2,
                      bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.6, "alpha": 0.85})
    for source in concat:
        axes.annotate("", end, places[source], zorder=1, arrowprops={
            "arrowstyle": "-", "color": "0.6", "linestyle": ":", "shrinkA": 12, "shrinkB": 12})
    axes.set(xlim=(-0.6, end[0] + 0.4), ylim=(-0.6, 1.6))
    axes.axis("off")

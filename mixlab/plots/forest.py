"""Differences to a baseline with their intervals, row by row: a page of printed intervals at one glance."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from mixlab.records import Difference

__all__ = ["forest"]

#: The width of a page's column, in inches.
WIDTH = 7.0


def forest(differences: Mapping[str, Mapping[str, Difference]], baseline: str,
           titles: Mapping[str, str] | None = None, margins: Mapping[str, float] | None = None):
    """Draw a panel for every measure and a line for every row: the mean difference, its interval, and zero.

    A filled square stands where "lower" or "higher" may be said (:attr:`mixlab.records.Difference.ordered`), after
    Holm's correction if the differences are a family; an open circle where it may not. A difference of one seed has no
    interval and is a circle alone.

    Args:
        differences: measure -> row -> difference, as `mixlab.records.compared` gives them; may be empty.
        baseline: the row that was subtracted.
        titles: measure -> words above its panel; the measure itself by default.
        margins: measure -> half the width of a shaded band around zero, in the measure's unit.

    Returns:
        A matplotlib Figure as wide as a page.

    Raises:
        ValueError: for a margin that is not positive, or of a measure that is not drawn.

    Example:
        >>> from matplotlib import pyplot
        >>> from mixlab.records import corrected, paired_difference
        >>> rows = {"Mixup": paired_difference([15.6, 16.0, 16.3, 15.9, 15.8], [17.0, 18.3, 17.5, 17.8, 17.4])}
        >>> figure = forest({"test_error": corrected(rows)}, "ERM", margins={"test_error": 1.0})
        >>> figure.get_supxlabel()
        'minus “ERM”'
        >>> pyplot.close(figure)
    """
    import seaborn
    from matplotlib import pyplot as plt
    from matplotlib.lines import Line2D
    from matplotlib.ticker import MaxNLocator

    titles, margins = titles or {}, margins or {}
    if wrong := [name for name, margin in margins.items() if name not in differences or not margin > 0]:
        raise ValueError(
            f"expected positive margins of {', '.join(differences)}, received {margins[wrong[0]]} of {wrong[0]}"
        )
    panels = differences or {"nothing on record": {}}
    names = list(dict.fromkeys(name for rows in panels.values() for name in rows))
    sure, unsure = (seaborn.color_palette("colorblind")[place] for place in (0, 7))
    figure, axes = plt.subplots(1, len(panels), figsize=(WIDTH, 1.3 + 0.24 * max(len(names), 1)), sharey=True,
                                squeeze=False, layout="constrained")
    for axis, (measure, rows) in zip(axes[0], panels.items()):
        if measure in margins:
            axis.axvspan(-margins[measure], margins[measure], color="0.92", zorder=0)
        axis.axvline(0, color="black", linewidth=0.8, zorder=1)
        for name, each in rows.items():
            height, colour = names.index(name), sure if each.ordered else unsure
            if np.isfinite(each.low):
                axis.plot([each.low, each.high], [height, height], color=colour, linewidth=1.6, zorder=2)
            axis.plot(each.mean, height, "s" if each.ordered else "o", color=colour, markersize=5, zorder=3,
                      markerfacecolor=colour if each.ordered else "white")
        axis.set_title(titles.get(measure, measure), fontsize=9)
        axis.xaxis.set_major_locator(MaxNLocator(4))
        axis.tick_params(labelsize=8)
        axis.grid(axis="y", linewidth=0.3)
        axis.set_axisbelow(True)
    figure.supxlabel(f"minus “{baseline}”", fontsize=9)
    axes[0, 0].set_yticks(range(len(names)), names)
    axes[0, 0].set_ylim(len(names) - 0.4, -0.6)
    drawn = [each for rows in panels.values() for each in rows.values()]
    if drawn:
        handles = [
            Line2D([], [], color=sure, marker="s", markersize=5, label=_rule(drawn)),
            Line2D([], [], color=unsure, marker="o", markersize=5, markerfacecolor="white", label="undecided"),
        ]
        figure.legend(handles=handles, loc="outside upper center", ncols=2, fontsize=8, frameon=False)
    return figure


def _rule(drawn: list[Difference]) -> str:
    """What a filled mark says."""
    level = drawn[0].confidence
    sizes = " and ".join(map(str, sorted({each.comparisons for each in drawn if each.comparisons > 1})))
    family = f" after Holm's correction (comparisons: {sizes})" if sizes else ""
    return f"lower or higher{family}; lines are {100 * level:g} % intervals"

"""The page's figure: from how many epochs on mixing helps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

__all__ = ["sign_over_epochs"]


def sign_over_epochs(errors: Mapping[str, Mapping[int, Sequence[tuple[float, float]]]], baseline: str = "no mixing"):
    """Draw test error, and beside it the error on clean training images, over the number of epochs.

    Args:
        errors: row -> epochs -> [(test error, training error), ...] in percent, one pair a seed; may be empty.
        baseline: the row whose training error says when its data are fitted; it is drawn in grey.

    Returns:
        A matplotlib Figure.

    Example:
        >>> from matplotlib import pyplot
        >>> figure = sign_over_epochs({"no mixing": {20: [(69.0, 60.0)], 60: [(68.0, 1.0)]}})
        >>> [axis.get_title() for axis in figure.axes]
        ['test images', 'clean training images']
        >>> pyplot.close(figure)
    """
    import seaborn
    from matplotlib import pyplot as plt
    from matplotlib.ticker import NullLocator

    figure, axes = plt.subplots(1, 2, figsize=(7, 2.8))
    palette = iter(seaborn.color_palette("colorblind"))
    for row, lengths in errors.items():
        colour = "0.45" if row == baseline else next(palette)
        epochs = list(lengths)
        for axis, part in zip(axes, (0, 1), strict=True):
            values = [[pair[part] for pair in lengths[length]] for length in epochs]
            axis.plot(epochs, [np.mean(each) for each in values], "-o", color=colour, markersize=4, label=row)
            for length, each in zip(epochs, values, strict=True):
                axis.plot([length] * len(each), each, ".", color=colour, alpha=0.5, markersize=4)
    lengths = sorted({length for row in errors.values() for length in row})
    for axis, title in zip(axes, ("test images", "clean training images"), strict=True):
        axis.set(title=title, xlabel="epochs", ylabel="error, %")
        if lengths:
            axis.set_xscale("log")
            axis.xaxis.set_minor_locator(NullLocator())
            axis.set_xticks(lengths, map(str, lengths))
    if errors:
        axes[0].legend()
    return figure

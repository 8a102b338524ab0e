"""Comparisons of settings: everything that is handed in is drawn."""

import pytest
from matplotlib import pyplot

from mixlab.plots import compared


@pytest.mark.parametrize("widths", [1, 4, 5, 9])
def test_every_width_has_a_line(widths):
    figure = compared.strengths({width: {0.0: [1.0], 1.0: [2.0]} for width in range(widths)}, {}, "error")
    names = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    assert names == [f"width {width}" for width in range(widths)]
    pyplot.close(figure)

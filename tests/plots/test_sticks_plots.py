"""Figures of the chapter on K images: they show the numbers that they are given."""

import matplotlib

matplotlib.use("Agg")

import numpy as np
import pytest
import torch
from matplotlib import pyplot as plt

from mixlab import priors
from mixlab.mixers.regional import nested_boxes
from mixlab.plots.mosaic import mosaic
from mixlab.plots.seeds import rows_figure, series_figure
from mixlab.plots.shares import effective_figure, rounding_figure, share_laws_figure, small_alpha_figure
from mixlab.plots.sticks import simplex_figure, sticks_figure


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def test_pieces_of_the_stick_have_the_lengths_of_the_shares():
    shares = torch.tensor([[0.5, 0.3, 0.2]], dtype=torch.float64)
    boxes = nested_boxes(priors.sticks_from_shares(shares)[:, :-1], (100, 100), torch.Generator().manual_seed(0))
    figure = sticks_figure(shares, boxes, (100, 100), torch.rand(1, 3, 100, 100))
    bars = figure.axes[0].patches
    assert [bar.get_width() for bar in bars] == pytest.approx([0.5, 0.3, 0.2])
    assert [bar.get_x() for bar in bars] == pytest.approx([0, 0.5, 0.8])
    rectangles = figure.axes[1].patches
    top, left, bottom, right = boxes[0, 1].tolist()
    assert rectangles[2].get_bbox().bounds == (left, top, right - left, bottom - top)
    assert bars[1].get_facecolor() == rectangles[1].get_facecolor()
    # Nested areas keep the shares up to the rounding of two sides.
    assert float(figure.axes[1].get_title().split()[2]) < 2


def test_the_corners_of_the_simplex_are_single_images():
    figure = simplex_figure({"corners": torch.eye(3, dtype=torch.float64), "middle": np.full((1, 3), 1 / 3)})
    assert np.allclose(figure.axes[0].collections[0].get_offsets(), [[0, 0], [1, 0], [0.5, 3**0.5 / 2]])
    assert np.allclose(figure.axes[1].collections[0].get_offsets(), [[0.5, 3**0.5 / 6]])


def test_theory_is_a_line_and_draws_are_points():
    axis = effective_figure([2, 3], {"α = 1": ([1.5, 2.0], [1.4, 2.1])}).axes[0]
    line, points = axis.lines[:2]
    assert list(line.get_ydata()) == [1.5, 2.0] and list(points.get_ydata()) == [1.4, 2.1]
    assert points.get_linestyle() == "None" and line.get_linestyle() == "-"


def test_small_alpha_and_rounding_are_drawn_on_logarithmic_axes():
    small_alpha = small_alpha_figure([0.1, 1], [0.2, 0.9], {"ours": [0.21, 0.9]})
    for figure in (small_alpha, rounding_figure([8, 16], {"K": [0.1, 0.05]})):
        assert figure.axes[0].get_xscale() == figure.axes[0].get_yscale() == "log"


def test_bars_are_means():
    shares = torch.tensor([[0.5, 0.5], [1.0, 0.0]])
    axis = share_laws_figure({"a": shares, "b": shares.flip(1)}).axes[0]
    assert [patch.get_height() for patch in axis.patches] == pytest.approx([0.75, 0.25, 0.25, 0.75])


def test_every_seed_is_a_point():
    figure = series_figure({"p": {"s": {2: [1.0, 3.0], 5: [4.0]}}}, "K", "error", ("ERM", 2.5))
    lines = figure.axes[0].lines
    assert list(lines[0].get_ydata()) == [1.0, 3.0] and list(lines[1].get_ydata()) == [4.0]
    assert list(lines[2].get_ydata()) == [2.0, 4.0] and list(lines[2].get_xdata()) == [2, 5]
    side_by_side = series_figure({"p": {"s": {0.5: [1.0], 1: [1.0]}, "t": {0.5: [1.0], 1: [1.0]}}}, "K", "error")
    places = [list(line.get_xdata()) for line in side_by_side.axes[0].lines if len(line.get_xdata()) == 2]
    assert places == [pytest.approx([0.46, 0.96]), pytest.approx([0.54, 1.04])]
    rows = rows_figure({"net": {"one": [0.8, 0.9], "two": [0.7]}}, "AUROC").axes[0]
    assert list(rows.lines[0].get_xdata()) == [0.8, 0.9] and rows.lines[1].get_xdata()[0] == pytest.approx(0.85)


def test_rows_keep_their_names_where_a_panel_lacks_one():
    figure = rows_figure({"net 1": {"one": [0.8], "two": [0.7]}, "net 2": {"two": [0.6]}}, "AUROC")
    assert [text.get_text() for text in figure.axes[0].get_yticklabels()] == ["one", "two"]
    assert figure.axes[1].lines[0].get_xydata().tolist() == [[0.6, 1]]


def test_nothing_on_record_is_said():
    for figure in (rows_figure({}, "AUROC"), series_figure({}, "K", "error")):
        assert figure.axes[0].get_title() == "nothing on record"


def test_mosaic_scales_bytes_and_keeps_order():
    figure = mosaic(torch.tensor([0, 255], dtype=torch.uint8).view(2, 1, 1, 1).expand(2, 1, 4, 4), ["dark", "light"])
    assert [axis.images[0].get_array().mean() for axis in figure.axes] == [0, 1]
    assert [axis.get_title() for axis in figure.axes] == ["dark", "light"]


@pytest.mark.parametrize("call, message", [
    (lambda: sticks_figure(np.ones((1, 3)) / 3, np.zeros((1, 3, 4)), (8, 8)), r"\(1, 2, 4\)"),
    (lambda: simplex_figure({"four": np.ones((1, 4)) / 4}), r"\(N, 3\)"),
    (lambda: mosaic(np.zeros((2, 1, 4, 4)), ["one"]), "2 titles"),
])
def test_wrong_shapes_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()

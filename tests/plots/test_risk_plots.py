"""The figures show the numbers they are given."""

import matplotlib
import numpy as np
import pytest
import torch

matplotlib.use("Agg")
from matplotlib import pyplot as plt  # noqa: E402

from mixlab.plots import risk  # noqa: E402


@pytest.fixture(autouse=True)
def close():
    yield
    plt.close("all")


def test_vicinity_pictures_carry_their_labels():
    picture = torch.rand(3, 4, 4, generator=torch.Generator().manual_seed(0))
    figure = risk.vicinity_pictures({"one": [(picture, torch.tensor([0.25, 0.75, 0.0]))] * 2}, ("a", "b", "c"))
    assert len(figure.axes) == 2
    assert figure.axes[0].get_xlabel() == "b 0.75\na 0.25"
    np.testing.assert_allclose(figure.axes[0].images[0].get_array(), picture.permute(1, 2, 0))


def test_draws_in_the_plane_are_coloured_by_their_label():
    x, labels = torch.tensor([[0.0, 0.0], [1.0, 1.0]]), torch.tensor([0, 1])
    figure = risk.vicinities_in_the_plane(x, labels, {"t": (x * 0.5, torch.tensor([0.2, 0.7]))})
    cloud, first, second = figure.axes[0].collections
    np.testing.assert_allclose(cloud.get_array(), [0.2, 0.7], rtol=1e-6)
    np.testing.assert_allclose(first.get_offsets(), [[0, 0]])
    np.testing.assert_allclose(second.get_offsets(), [[1, 1]])


def test_small_alpha_draws_gaps_and_slope():
    figure = risk.small_alpha({1.0: ([0, 1], [0, 1])}, {0.1: -0.3, 0.01: -0.05}, slope=-5.0)
    points, line = figure.axes[1].lines
    np.testing.assert_allclose(points.get_ydata(), [0.3, 0.05])
    np.testing.assert_allclose(line.get_ydata(), [0.5, 0.05])


def test_surfaces_stand_upright():
    values = np.linspace(0, 1, 12).reshape(3, 4)
    figure = risk.surfaces({"a": values, "b": values}, (0, 1, 0, 1), np.zeros((2, 2)), np.array([0, 1]), columns=2)
    image = figure.axes[0].images[0]
    assert image.origin == "lower" and image.get_clim() == (0, 1)
    np.testing.assert_allclose(image.get_array(), values)


def test_ways_show_the_mean_of_the_seeds():
    figure = risk.ways([0, 1], {"y": {"m": np.array([[0.0, 2.0], [4.0, 4.0]])}})
    np.testing.assert_allclose(figure.axes[0].lines[-1].get_ydata(), [2, 3])


def test_intrusion_figures():
    figure = risk.intrusion_posterior([0, 1], {"c": np.array([0.1, 0.9])}, [(-1, 0, "A"), (0, 1, "B")])
    np.testing.assert_allclose(figure.axes[0].lines[0].get_ydata(), [0.1, 0.9])
    figure = risk.intrusion_errors({"p": {"mixup": {0.0: [1.0, 2.0], 8.0: [30.0, 31.0]}}}, {"p": {0.0: 0.0, 8.0: 33.0}})
    weak, strong, exact = figure.axes[0].lines
    np.testing.assert_allclose(strong.get_ydata(), [30, 31])
    assert abs(strong.get_xdata().mean() - 1) < 1e-9
    np.testing.assert_allclose(exact.get_xydata(), [[0, 0], [1, 33]])


def test_corruption_figures_and_their_absence():
    figure = risk.corruption_curves({"20 %": {"ERM": [[3.0, 1.0], [5.0, 3.0]]}})
    np.testing.assert_allclose(figure.axes[0].lines[-1].get_xydata(), [[1, 4], [2, 2]])
    figure = risk.memorised_labels({"20 %": {"ERM": ([1.0, 2.0], [80.0, 90.0])}}, chance=90)
    kept, replaced, chance = figure.axes[0].lines[:3]
    np.testing.assert_allclose(kept.get_xdata(), [1, 2])
    np.testing.assert_allclose(replaced.get_xdata(), [80, 90])
    np.testing.assert_allclose(chance.get_xdata(), [90, 90])
    for empty in (risk.corruption_curves({}), risk.memorised_labels({}, 90)):
        assert empty.axes[0].texts[0].get_text() == "no records yet"


def test_a_method_keeps_its_place_and_look_where_a_panel_lacks_it():
    curves = risk.corruption_curves({"20 %": {"mixup": [[1.0]]}, "50 %": {"ERM": [[2.0]], "mixup": [[3.0]]}})
    means = [[line for line in axis.lines if line.get_linewidth() == 2] for axis in curves.axes]
    assert means[0][0].get_color() == means[1][1].get_color() != means[1][0].get_color()
    shown = curves.legends[0]
    assert [text.get_text() for text in shown.get_texts()] == ["mixup", "ERM"]
    assert [line.get_color() for line in shown.get_lines()] == [means[0][0].get_color(), means[1][0].get_color()]
    both, one = {"ERM": ([1.0], [80.0]), "mixup": ([2.0], [70.0])}, {"mixup": ([3.0], [60.0])}
    first, last = risk.memorised_labels({"20 %": both, "50 %": one}, chance=90).axes
    assert last.lines[0].get_xydata().tolist() == [[3.0, 1.12]]
    assert [text.get_text() for text in first.get_yticklabels()] == ["ERM", "mixup"]


def test_more_methods_than_styles_are_drawn():
    figure = risk.ways([0, 1], {"y": {str(number): [[0.0, 1.0]] for number in range(6)}})
    assert len(figure.legends[0].get_texts()) == 6
    panels = {"p": {str(number): {0.0: [1.0]} for number in range(6)}}
    assert len(risk.intrusion_errors(panels, {}).axes[0].lines) == 6

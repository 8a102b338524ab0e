"""The forest plot shows every difference, its interval, and whether it may be ordered."""

import numpy as np
import pytest
from matplotlib import pyplot

from mixlab.plots.forest import forest
from mixlab.records import corrected, paired_difference


@pytest.fixture(autouse=True)
def close():
    yield
    pyplot.close("all")


NOISE = [0.1, -0.3, 0.4, 0.2, -0.1]


def difference(mean, scale=1.0):
    return paired_difference([mean + scale * each for each in NOISE], [0.06 * scale] * 5)


def family(**means):
    return corrected({name: difference(mean) for name, mean in means.items()})


def marks(axis):
    """Place, marker and filling of every mean, as drawn."""
    found = {}
    for line in axis.lines:
        if line.get_marker() in ("s", "o"):
            (x,), (y,) = line.get_data()
            found[int(y)] = (float(x), line.get_marker(), line.get_markerfacecolor() != "white")
    return found


def spans(axis):
    """Ends of every interval by line."""
    return {int(line.get_ydata()[0]): tuple(line.get_xdata()) for line in axis.lines
            if line.get_marker() == "None" and line.get_xdata()[0] != line.get_xdata()[1]}


def test_means_intervals_and_names():
    rows = family(Mixup=-2.0, CutMix=0.05, smoothing=1.0)
    axis = forest({"test_error": rows}, "ERM").axes[0]
    assert [text.get_text() for text in axis.get_yticklabels()] == list(rows)
    places = marks(axis)
    for number, each in enumerate(rows.values()):
        assert places[number][0] == pytest.approx(each.mean)
        assert spans(axis)[number] == pytest.approx((each.low, each.high))
    low, high = axis.get_ylim()
    assert low > high  # the first row is on top
    assert any(line.get_xdata()[0] == line.get_xdata()[1] == 0 for line in axis.lines)  # zero


def test_filled_squares_are_what_the_family_allows():
    rows = family(a=2.0, b=0.4, c=0.0)
    assert difference(0.4).ordered and [each.ordered for each in rows.values()] == [True, False, False]
    figure = forest({"test_error": rows}, "ERM")
    assert [mark[1:] for mark in marks(figure.axes[0]).values()] == [("s", True), ("o", False), ("o", False)]
    words = [text.get_text() for text in figure.legends[0].get_texts()]
    assert words == ["lower or higher after Holm's correction (comparisons: 3); lines are 95 % intervals", "undecided"]
    alone = forest({"test_error": {"b": difference(0.4)}}, "ERM")
    assert marks(alone.axes[0])[0][1:] == ("s", True)
    assert alone.legends[0].get_texts()[0].get_text() == "lower or higher; lines are 95 % intervals"


def test_a_panel_for_every_measure_with_rows_on_common_lines():
    found = {"test_error": family(Mixup=-2.0, CutMix=-1.0), "NLL": family(CutMix=0.5, smoothing=1.0)}
    figure = forest(found, "ERM", titles={"test_error": "error, points"}, margins={"NLL": 0.25})
    error, nll = figure.axes
    assert [axis.get_title() for axis in (error, nll)] == ["error, points", "NLL"]
    assert figure.get_supxlabel() == "minus “ERM”"
    assert set(marks(error)) == {0, 1} and set(marks(nll)) == {1, 2}
    assert [len(axis.patches) for axis in (error, nll)] == [0, 1]
    band = nll.patches[0]
    assert (band.get_x(), band.get_x() + band.get_width()) == (-0.25, 0.25)


def test_one_seed_has_a_mark_and_no_interval():
    axis = forest({"test_error": {"Mixup": paired_difference([1.0], [0.0])}}, "ERM").axes[0]
    assert marks(axis) == {0: (1.0, "o", False)} and spans(axis) == {}
    assert np.isfinite(axis.get_xlim()).all()


def test_twenty_rows_in_three_panels_fit_a_page():
    rows = corrected({f"Mixup + smoothing .{number}, α = {number}": difference(number - 9) for number in range(20)})
    figure = forest({"test_error": rows, "NLL": rows, "ECE": rows}, "ERM")
    figure.draw_without_rendering()
    assert figure.get_size_inches()[0] == 7 and figure.get_size_inches()[1] < 8
    texts = [label.get_window_extent() for label in figure.axes[0].get_yticklabels()]
    below = [label for label in texts if label.height]
    assert len(below) == 20 and all(lower.y1 <= upper.y0 for upper, lower in zip(below, below[1:]))
    assert all(label.x0 >= 0 for label in below)
    ticks = [label.get_window_extent() for label in figure.axes[0].get_xticklabels() if label.get_text()]
    words = figure.findobj(lambda artist: getattr(artist, "get_text", str)() == "minus “ERM”")[0].get_window_extent()
    legend = figure.legends[0].get_window_extent()
    assert 0 <= words.y0 and words.y1 <= min(label.y0 for label in ticks)
    assert 0 <= legend.x0 and legend.x1 <= figure.bbox.x1 and legend.y1 <= figure.bbox.y1
    assert all(axis.title.get_window_extent().y1 <= legend.y0 for axis in figure.axes)
    boxes = [axis.get_window_extent() for axis in figure.axes]
    assert all(left.x1 < right.x0 for left, right in zip(boxes, boxes[1:])) and min(box.width for box in boxes) > 90


@pytest.mark.parametrize("differences", [{}, {"test_error": {}}])
def test_nothing_on_record(differences):
    figure = forest(differences, "ERM")
    assert figure.axes[0].get_title() in ("nothing on record", "test_error") and marks(figure.axes[0]) == {}


@pytest.mark.parametrize("margins", [{"test_error": 0.0}, {"test_error": float("nan")}, {"ECE": 1.0}])
def test_margins_are_positive_and_of_a_panel(margins):
    with pytest.raises(ValueError, match="expected positive margins of test_error, received"):
        forest({"test_error": family(a=1.0)}, "ERM", margins=margins)

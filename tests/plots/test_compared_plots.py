"""Comparisons of settings: everything that is handed in is drawn."""

import pytest
import torch
from matplotlib import pyplot

from mixlab.analysis.imbalance import Detection
from mixlab.plots import compared, expansion


@pytest.fixture(autouse=True)
def close():
    yield
    pyplot.close("all")



@pytest.mark.parametrize("widths", [1, 4, 5, 9])
def test_every_width_has_a_line(widths):
    figure = compared.strengths({width: {0.0: [1.0], 1.0: [2.0]} for width in range(widths)}, {}, "error")
    names = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    assert names == [f"width {width}" for width in range(widths)]


@pytest.mark.parametrize("count", [0, 1, 6, 9])
def test_every_family_has_a_mark_over_every_number(count):
    families = {
        f"family {n}": [({"K": 2, "size": 1.5 + n}, [9.0, 10.0]), ({"K": 5, "size": 3.0 + n}, [12.0])]
        for n in range(count)
    }
    left, right = compared.over_numbers(families, ("none", {"K": 1, "size": 1.0}, 8.0)).axes
    assert left.get_legend_handles_labels()[1] == ["none", *families]
    assert (left.get_xlabel(), right.get_xlabel()) == ("K", "size")
    for axis, places in ((left, lambda n: (2, 5)), (right, lambda n: (1.5 + n, 3.0 + n))):
        marked = axis.lines[1:]
        assert [line.get_xydata().tolist() for line in marked] == [
            [[first, 9.5], [second, 12.0]] for first, second in map(places, range(count))
        ]
        assert len({(line.get_color(), line.get_marker()) for line in marked}) == count


def test_every_way_to_oversample_has_a_mark():
    point = Detection(recall=torch.tensor([[0.5]]), alarms=torch.tensor([[0.1]]))
    axis = compared.detectors({"tree": dict.fromkeys("abcde", point)}).axes[0]
    assert [line.get_label() for line in axis.lines] == list("abcde")


def test_every_term_has_a_line():
    names = ["jacobian", "curvature", "alignment", "more"]
    terms = {"unmixed": [1.0], "shrunk": [2.0]} | {name: [0.5] for name in names}
    right = expansion.term_sizes([1.0], terms, [2.2]).axes[1]
    assert [line.get_label() for line in right.lines[:-1]] == names
    measured, values = {name: [(2.0, 0.1)] for name in names}, dict.fromkeys(names, 2.0)
    left = expansion.expansion_check([0.1], measured, values, [0.1, 0.2], [1e-3, 9e-3]).axes[0]
    assert left.get_legend_handles_labels()[1] == names

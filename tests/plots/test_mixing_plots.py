"""The figures of the chapter on Mixup and CutMix draw the numbers they are given."""

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch

from mixlab import Mix
from mixlab.analysis.imbalance import Detection
from mixlab.analysis.strength import mixes_at
from mixlab.masks import NestedBoxes
from mixlab.mixers import CutMix, Cutout, Mixup
from mixlab.plots import compared, expansion, mixing

IMAGES = torch.rand(4, 3, 12, 12, generator=torch.Generator().manual_seed(0))
NAMES = ("cat", "moon", "grass", "coffee")


@pytest.fixture(autouse=True)
def close():
    yield
    plt.close("all")


def draw(mixer):
    return mixer.draw(IMAGES, torch.arange(4), generator=torch.Generator().manual_seed(0))


def test_an_exhibit_shows_the_mixed_image_and_names_its_sources():
    mix = draw(CutMix(1.0))
    item = mixing.exhibit("CutMix", mix, IMAGES, NAMES, row=2)
    assert np.allclose(item.image, mix.apply(IMAGES)[2].permute(1, 2, 0).numpy())
    assert item.names == ("grass", NAMES[mix.sources[2, 1]])
    assert np.allclose(item.masks.mean((1, 2)), item.weights)


def test_the_bar_below_is_cut_by_the_label():
    item = mixing.exhibit("CutMix", draw(CutMix(1.0)), IMAGES, NAMES, row=1)
    bars = mixing.exhibits([item]).axes[2].patches
    assert np.allclose([bar.get_width() for bar in bars], item.weights)
    assert [bar.get_facecolor()[:3] for bar in bars] == [tuple(c) for c in mixing._colours(2)]


def test_hidden_pixels_are_dark_and_owned_ones_have_their_colour():
    mix = draw(Cutout(6))
    item = mixing.exhibit("Cutout", mix, IMAGES, NAMES)
    drawn = mixing.exhibits([item]).axes[1].images[0].get_array()
    hidden = mix.owners[0].numpy() == 1
    assert hidden.any() and np.allclose(drawn[hidden], mixing.NOBODY)
    assert np.allclose(drawn[~hidden], mixing._colours(1)[0])


def test_regions_and_parts_of_the_label_bear_the_number_of_their_slot():
    boxes = torch.tensor([[[0, 0, 8, 6], [0, 0, 8, 0]]]).expand(4, -1, -1)
    mix = Mix(torch.tensor([[0, 1, 2]]).expand(4, -1), NestedBoxes(boxes, (8, 8)))
    masks, bar = mixing.exhibits([mixing.exhibit("two", mix, torch.rand(4, 3, 8, 8), NAMES)]).axes[1:3]
    places = {text.get_text(): text.get_position() for text in masks.texts}
    assert set(places) == {"1", "2"}  # slot 3 shows nothing
    owners = mix.owners[0]
    assert all(owners[int(y), int(x)] == int(number) - 1 for number, (x, y) in places.items())
    assert [(text.get_text(), text.get_position()[0]) for text in bar.texts] == [("1", 0.125), ("2", 0.625)]
    assert bar.get_xlabel().splitlines() == [f"1 {NAMES[0]} 0.25", f"2 {NAMES[1]} 0.75"]
    blended = mixing.exhibits([mixing.exhibit("", draw(Mixup(8.0)), IMAGES, NAMES)]).axes[1]
    assert [text.get_text() for text in blended.texts] == ["1 + 2"]


def test_a_strength_shows_the_law_what_was_drawn_and_both_labels():
    mixes = mixes_at(2.0, IMAGES[:2], torch.Generator().manual_seed(0))
    lam = mixes[0].weights[:, 0].tolist()
    *rest, law = mixing.strength(2.0, *mixes, IMAGES[:2], NAMES).axes
    assert law.get_title() == "Beta(α, α), α = 2"
    assert [line.get_xdata()[0] for line in law.lines] == lam
    assert [text.get_text() for text in law.texts] == ["A", "B"]
    pictures = [ax for ax in rest if ax.images]
    assert [ax.get_title() for ax in pictures] == [f"A: λ = {lam[0]:.2f}", f"B: λ = {lam[1]:.2f}", "", ""]
    drawn = [ax.images[0].get_array() for ax in pictures]
    expected = [mix.apply(IMAGES[:2])[row].permute(1, 2, 0).numpy() for mix in mixes for row in range(2)]
    assert all(np.allclose(one, other, atol=1e-6) for one, other in zip(drawn, expected, strict=True))


def test_a_strength_in_words_names_every_weight():
    mixes = mixes_at(2.0, IMAGES[:2], torch.Generator().manual_seed(0))
    (a, b), (c, d) = mixes[0].weights.tolist(), mixes[1].weights.tolist()
    assert mixing.strength_in_words(*mixes, NAMES) == (
        f"A: λ = {a[0]:.2f}, Mixup {a[0]:.2f} cat + {a[1]:.2f} moon, CutMix {c[0]:.2f} cat + {c[1]:.2f} moon. "
        f"B: λ = {b[0]:.2f}, Mixup {b[0]:.2f} moon + {b[1]:.2f} cat, CutMix {d[0]:.2f} moon + {d[1]:.2f} cat"
    )


def test_the_histogram_of_areas_has_area_one():
    areas = np.linspace(0, 1, 500)
    edges = np.linspace(0, 1, 11)
    figure = mixing.clipped_areas(areas, areas, edges, edges, (np.ones(2), np.ones(2)), (np.ones(1), np.ones(1)))
    theory = figure.axes[0].lines[0].get_ydata()
    assert np.allclose(theory, 1)
    # The last bin closes the histogram, so its height counts 1/500 more.
    assert np.isclose(sum(bar.get_height() * bar.get_width() for bar in figure.axes[0].patches[1:]), 1)


def test_maps_share_one_scale():
    figure = mixing.change_maps({"a": np.zeros((2, 2)), "b": np.ones((2, 2))})
    assert [ax.images[0].get_clim() for ax in figure.axes[:2]] == [(0, 1), (0, 1)]


def test_a_lying_label_is_quoted():
    item = mixing.exhibit("", draw(CutMix(1.0)), IMAGES, NAMES)
    title = mixing.lying_labels(np.array([0.5]), np.array([0.2]), [item]).axes[1].get_title()
    assert f"{item.weights[1]:.0%}" in title and item.names[1] in title


def test_the_guide_has_slope_three_and_starts_at_the_first_error():
    figure = expansion.expansion_check([0.1], {"jacobian": [(2.0, 0.1)]}, {"jacobian": 2.0}, [0.1, 0.2], [1e-3, 9e-3])
    guide = figure.axes[1].lines[1].get_ydata()
    assert np.allclose(guide, [1e-3, 8e-3])


def test_terms_add_up():
    terms = {"unmixed": [1.0], "shrunk": [2.0], "jacobian": [0.5], "alignment": [-0.25]}
    figure = expansion.term_sizes([1.0], terms, [2.2])
    assert figure.axes[0].lines[2].get_ydata() == [2.25]


def test_every_seed_of_every_setting_is_drawn():
    figure = compared.settings({"a": {0: 1.0, 1: 2.0}, "b": {0: 3.0}}, {"b": (2.0, 1.0, 3.0)}, "a")
    left, right = figure.axes
    assert list(left.lines[0].get_xdata()) == [1.0, 2.0] and list(left.lines[2].get_xdata()) == [3.0]
    assert list(right.lines[0].get_xdata()) == [1.0, 3.0]


def test_the_chosen_strength_is_ringed_and_missing_ones_are_left_out():
    table = {4: {0.0: [10.0, 12.0], 1.0: [9.0]}, 8: {0.0: [8.0]}}
    figure = compared.strengths(table, {4: 1.0}, "error")
    rings = [line for line in figure.axes[0].lines if line.get_markersize() == 15]
    assert len(rings) == 1 and list(rings[0].get_xdata()) == [1.0] and list(rings[0].get_ydata()) == [9.0]


def test_a_normalised_picture_is_shown_as_it_was():
    item = mixing.exhibit("zeros", draw(CutMix(0.0)), (IMAGES - 0.5) / 0.25, NAMES)
    shown = mixing.labelled([item], mean=0.5, std=0.25).axes[0]
    assert np.allclose(shown.images[0].get_array(), IMAGES[0].permute(1, 2, 0).numpy(), atol=1e-6)
    assert shown.get_title() == "zeros\n1.00 cat"


def test_detectors_are_drawn_in_per_cent():
    record = Detection(recall=torch.tensor([[0.5], [0.7]]), alarms=torch.tensor([[0.1], [0.3]]))
    line = compared.detectors({"tree": {"copies": record}}).axes[0].lines[0]
    assert np.allclose([line.get_xdata(), line.get_ydata()], [[20], [60]])

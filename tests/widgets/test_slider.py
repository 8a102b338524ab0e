"""A figure that moves: what it shows, in which words, where it does not move, and how large it may be."""

import base64
import io

import ipywidgets
import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pytest
from bs4 import BeautifulSoup
from PIL import Image

from mixlab.widgets import few_colours, slider

ALTS = ["a picture in plain red", "a picture in plain green", 'a picture in "plain" blue & so on']


def png(colour, size=(8, 4)) -> bytes:
    """A picture in one colour."""
    picture = io.BytesIO()
    Image.new("RGB", size, colour).save(picture, "PNG")
    return picture.getvalue()


FRAMES = [png("red"), png("lime"), png("blue")]


def pixels(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


def three(**options):
    return slider(FRAMES, [0.5, 1.0, "many"], label="α", alts=ALTS, **options)


def test_it_is_read_as_its_frames_in_words():
    assert repr(three()).splitlines() == [
        "α = 0.5: a picture in plain red",
        "α = 1: a picture in plain green",
        'α = many: a picture in "plain" blue & so on',
    ]


def test_a_front_end_may_take_it_moving_still_or_in_words():
    bundle = three(start=2)._repr_mimebundle_()
    assert set(bundle) == {"application/vnd.jupyter.widget-view+json", "image/png", "text/plain"}
    assert np.array_equal(pixels(base64.b64decode(bundle["image/png"])), pixels(FRAMES[2]))
    assert bundle["text/plain"] == repr(three())


def test_what_is_seen_in_print_are_the_chosen_frames_side_by_side():
    still = pixels(three(stills=[2, 0]).still)
    assert np.array_equal(still, np.concatenate([pixels(FRAMES[2]), pixels(FRAMES[0])], axis=1))


def test_each_frame_stands_in_the_stack_with_its_value_and_its_words():
    handle, stack = three(start=1).widget().children
    assert handle.options == ("0.5", "1", "many") and handle.index == stack.selected_index == 1
    for value, frame, alt, child in zip(handle.options, FRAMES, ALTS, stack.children):
        page = BeautifulSoup(child.value, "html.parser")
        assert page.div.get_text() == f"α = {value}" and page.img["alt"] == alt
        assert (page.img["width"], page.img["height"]) == ("8", "4")
        shown = page.img["src"].removeprefix("data:image/png;base64,")
        assert np.array_equal(pixels(base64.b64decode(shown)), pixels(frame))


def test_the_slider_moves_the_stack_in_the_front_end(monkeypatch):
    linked = []
    monkeypatch.setattr(ipywidgets, "jslink", lambda *ends: linked.append(ends))
    handle, stack = three().widget().children
    assert linked == [((handle, "index"), (stack, "selected_index"))]


def test_figures_are_drawn_at_their_size_and_closed():
    figures = [plt.figure(figsize=(2, 1), dpi=50, facecolor=colour) for colour in ("red", "blue")]
    with matplotlib.rc_context({"savefig.bbox": "tight"}):
        one = slider(figures, [1, 2], label="step", alts=ALTS[:2])
    assert plt.get_fignums() == []
    assert [pixels(frame).shape for frame in one.frames] == [(50, 100, 3)] * 2
    assert pixels(one.frames[0])[0, 0].tolist() == [255, 0, 0]


def test_frames_have_few_colours():
    noise = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    picture = io.BytesIO()
    Image.fromarray(noise).save(picture, "PNG")
    one = slider([picture.getvalue()] * 2, [0, 1], label="step", alts=ALTS[:2], stills=[0, 1], colours=16)
    assert all(len(np.unique(pixels(data).reshape(-1, 3), axis=0)) <= 16 for data in (*one.frames, one.still))
    assert few_colours(one.frames[0], 2) == one.frames[0]  # a palette is left alone


def test_what_is_too_large_is_refused_with_its_size():
    noise = np.random.default_rng(0).integers(0, 256, (300, 300, 3), dtype=np.uint8)
    picture = io.BytesIO()
    Image.fromarray(noise).save(picture, "PNG")
    frame = few_colours(picture.getvalue(), 64)
    kilobytes = 5 * len(base64.b64encode(frame)) / 1000
    assert 400 < kilobytes < 500
    with pytest.raises(ValueError, match=f"at most 400 kB together, received {kilobytes:.0f} kB"):
        slider([frame] * 4, range(4), label="step", alts=[ALTS[0]] * 4)
    slider([frame] * 3, range(3), label="step", alts=[ALTS[0]] * 3)


@pytest.mark.parametrize(("change", "message"), [
    ({"values": [1, 2]}, "received 3 frames, 2 values and 3 alts"),
    ({"alts": ALTS[:2]}, "received 3 frames, 3 values and 2 alts"),
    ({"frames": FRAMES[:1], "values": [1], "alts": ALTS[:1]}, "at least 2, received 1 frames"),
    ({"alts": [*ALTS[:2], "too short"]}, "four words for each frame, received 'too short'"),
    ({"frames": [*FRAMES[:2], png("blue", (4, 4))]}, r"one size, received \(4, 4\) and \(8, 4\)"),
    ({"start": 3}, r"positions in 0..2, received start=3"),
    ({"stills": [-1]}, r"positions in 0..2, received start=0, stills=\[-1\]"),
    ({"stills": []}, r"stills=\[\]"),
])
def test_what_does_not_fit_is_refused(change, message):
    arguments = {"frames": FRAMES, "values": [1, 2, 3], "label": "α", "alts": ALTS} | change
    with pytest.raises(ValueError, match=message):
        slider(**arguments)

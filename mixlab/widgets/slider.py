"""A slider over frames that were drawn beforehand, so that it needs no kernel."""

import base64
import html
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mixlab.widgets.png import drawn, few_colours, side_by_side, size

if TYPE_CHECKING:
    import ipywidgets
    from matplotlib.figure import Figure

__all__ = ["LIMIT", "Slider", "slider"]

#: The most bytes that a slider may add to a notebook: its frames and its still picture, in base64.
LIMIT = 400_000


@dataclass(frozen=True, repr=False)
class Slider:
    """What a cell ends with: frames, one of which is seen, and a picture for where nothing moves.

    Attributes:
        label: what the slider sets.
        values: a word for each position.
        frames: a png for each position, all of one size.
        alts: each frame in words.
        start: the position at first.
        still: the png for print, and for readers without JavaScript.

    Example:
        >>> from matplotlib.figure import Figure
        >>> frames, alts = [Figure((2, 1)), Figure((2, 1))], ["an empty white rectangle"] * 2
        >>> moving = slider(frames, [0, 1], label="step", alts=alts)
        >>> moving.values, sorted(moving._repr_mimebundle_())[:2]
        (('0', '1'), ['application/vnd.jupyter.widget-view+json', 'image/png'])
    """

    label: str
    values: tuple[str, ...]
    frames: tuple[bytes, ...]
    alts: tuple[str, ...]
    start: int
    still: bytes

    def __repr__(self) -> str:
        spoken = (f"{self.label} = {value}: {alt}" for value, alt in zip(self.values, self.alts))
        return "\n".join(spoken)

    def widget(self) -> "ipywidgets.VBox":
        """The slider above a stack of frames; the front end links them, so no kernel is asked."""
        import ipywidgets

        wide = {"width": "90%", "max_width": "24rem", "padding": "0 0.5rem"}
        handle = ipywidgets.SelectionSlider(options=self.values, index=self.start, readout=False, layout=wide)
        # An Image widget would carry no alternative text.
        frames = ipywidgets.Stack([ipywidgets.HTML(frame) for frame in self._pages()], selected_index=self.start)
        ipywidgets.jslink((handle, "index"), (frames, "selected_index"))
        return ipywidgets.VBox([handle, frames])

    def _pages(self) -> list[str]:
        """Each frame in html, below what the slider says."""
        width, height = size(self.frames[0])
        return [
            f"<div>{html.escape(self.label)} = {html.escape(value)}</div>"
            f'<img alt="{html.escape(alt)}" width="{width}" height="{height}" style="max-width: 100%; height: auto" '
            f'src="data:image/png;base64,{_text(frame)}">'
            for value, frame, alt in zip(self.values, self.frames, self.alts)
        ]

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, object]:
        """The same in three ways, of which a front end shows the first that it can: moving, still, in words."""
        return self.widget()._repr_mimebundle_() | {"image/png": _text(self.still), "text/plain": repr(self)}


def slider(
    frames: "Sequence[Figure | bytes]",
    values: Sequence[float | str],
    *,
    label: str,
    alts: Sequence[str],
    start: int = 0,
    stills: Sequence[int] | None = None,
    colours: int = 64,
) -> Slider:
    """A figure with a slider, to end a cell with. It moves on the page and in a notebook, by mouse and by keys.

    In print, and where no JavaScript runs, some of the frames are seen side by side. So a cell needs words for that
    picture (``mystnb.image.alt``), beside the words for each frame.

    Args:
        frames: one picture for each position, all of one size: matplotlib figures, which are closed, or bytes of png.
        values: what the slider shows at each position, as words or numbers.
        label: what the slider sets.
        alts: each frame in words, at least four. A test of the chapter compares them, so they hold the numbers that
            the frame shows, in few digits.
        start: the position at first, counted from 0.
        stills: the positions that are seen in print; the one at first, by default.
        colours: the most in a frame, 1 to 256. Fewer are fewer bytes.

    Raises:
        ValueError: if the numbers of frames, values and alts differ or are below 2, if frames differ in size, if an alt
            is shorter than four words, if there is no such position, or if frames and still take more than 400 kB.

    Example:
        >>> from matplotlib.figure import Figure
        >>> figures = [Figure((2, 1)) for _ in range(2)]
        >>> figures[1].text(0.5, 0.5, "there")
        Text(0.5, 0.5, 'there')
        >>> slider(figures, [0, 1], label="step", alts=["an empty white rectangle", "the word there, in black"])
        step = 0: an empty white rectangle
        step = 1: the word there, in black
    """
    if not len(frames) == len(values) == len(alts) >= 2:
        received = f"{len(frames)} frames, {len(values)} values and {len(alts)} alts"
        raise ValueError(f"expected as many values and alts as frames, at least 2, received {received}")
    short = [alt for alt in alts if len(alt.split()) < 4]
    if short:
        raise ValueError(f"expected at least four words for each frame, received {short[0]!r}")
    stills = [start] if stills is None else stills
    if not stills or not all(0 <= position < len(frames) for position in (start, *stills)):
        raise ValueError(f"expected positions in 0..{len(frames) - 1}, received start={start}, stills={stills}")
    pngs = tuple(few_colours(one if isinstance(one, bytes) else drawn(one), colours) for one in frames)
    sizes = sorted({size(png) for png in pngs})
    if len(sizes) > 1:
        raise ValueError(f"expected frames of one size, received {' and '.join(map(str, sizes))}")
    still = side_by_side([pngs[position] for position in stills], colours)
    taken = sum(len(_text(png)) for png in (*pngs, still))
    if taken > LIMIT:
        raise ValueError(
            f"expected frames and still of at most {LIMIT // 1000} kB together, received {taken / 1000:.0f} kB: "
            f"take fewer frames or colours, or smaller figures"
        )
    words = tuple(value if isinstance(value, str) else f"{value:g}" for value in values)
    return Slider(label, words, pngs, tuple(alts), start, still)


def _text(png: bytes) -> str:
    return base64.b64encode(png).decode()

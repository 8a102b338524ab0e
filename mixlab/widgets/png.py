"""Pictures of few bytes: png with a palette."""

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["drawn", "few_colours", "side_by_side", "size"]


def few_colours(png: bytes, colours: int = 256) -> bytes:
    """A png with a palette and nothing but pixels; one that has a palette already stays as it is.

    Args:
        png: a picture without transparent parts.
        colours: the most that the palette holds, 1 to 256.

    Example:
        >>> from PIL import Image
        >>> picture = io.BytesIO()
        >>> Image.linear_gradient("L").convert("RGB").save(picture, "PNG")
        >>> small = few_colours(picture.getvalue(), colours=8)
        >>> len(Image.open(io.BytesIO(small)).getcolors())
        8
    """
    from PIL import Image

    with Image.open(io.BytesIO(png)) as picture:
        if picture.mode == "P":
            return png
        small = io.BytesIO()
        picture.convert("RGB").quantize(colours).save(small, "PNG", optimize=True)
    return small.getvalue()


def drawn(figure: "Figure") -> bytes:
    """A matplotlib figure as a png at its own size and dots per inch; the figure is closed."""
    import matplotlib
    import matplotlib.pyplot as plt

    picture = io.BytesIO()
    # A tight box would give every frame another size.
    with matplotlib.rc_context({"savefig.bbox": "standard"}):
        figure.savefig(picture, format="png", dpi=figure.dpi)
    plt.close(figure)
    return picture.getvalue()


def size(png: bytes) -> tuple[int, int]:
    """Width and height in pixels."""
    from PIL import Image

    with Image.open(io.BytesIO(png)) as picture:
        return picture.size


def side_by_side(pngs: Sequence[bytes], colours: int = 256) -> bytes:
    """Pictures of one size as a single png, the first on the left; one alone stays as it is."""
    from PIL import Image

    if len(pngs) == 1:
        return pngs[0]
    width, height = size(pngs[0])
    row = Image.new("RGB", (width * len(pngs), height))
    for place, png in enumerate(pngs):
        with Image.open(io.BytesIO(png)) as picture:
            row.paste(picture.convert("RGB"), (place * width, 0))
    joined = io.BytesIO()
    row.save(joined, "PNG")
    return few_colours(joined.getvalue(), colours)

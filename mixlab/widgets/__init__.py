"""Figures that move without a kernel: the rendered page and a notebook show the same slider."""

from mixlab.widgets.png import few_colours
from mixlab.widgets.slider import Slider, slider

__all__ = ["Slider", "few_colours", "slider"]

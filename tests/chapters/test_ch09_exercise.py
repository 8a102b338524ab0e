"""The numbers that a solution of chapter 9 gives: its code is run on what stands before it on the page."""

import re
from pathlib import Path

import nbformat
import pytest
import torch

from mixlab.chapters.ch09_generator import demonstrations
from mixlab.data import load
from mixlab.generator import divergence, soft_labels
from mixlab.rng import generator

CHAPTER = Path(__file__).parents[2] / "book/chapters/09-sample-generator.ipynb"


def test_descent_comes_as_close_to_the_smallest_change_as_the_solution_says():
    notebook = nbformat.read(CHAPTER, 4)
    (text,) = (cell.source for cell in notebook.cells if "{solution} ex-generator-descent" in cell.source)
    solution = text.split("{solution} ex-generator-descent")[1].split("````")[0]
    digits = load("digits", validation=0.0)
    reader, (images, own) = demonstrations.linear_reader(digits), demonstrations.held_out(digits)
    found: list = []
    names = {"torch": torch, "A": reader, "own": own, "flat": images.flatten(1).double(), "generator": generator,
             "soft_labels": soft_labels, "divergence": divergence, "demonstrations": demonstrations}
    exec(re.search(r"```python\n(.*?)```", solution, re.DOTALL)[1], names | {"print": lambda *told: found.extend(told)})
    said = re.search(r"is\s+(\d\.\d) % of the length.*?,\s+(\d+) % in the worst.*?"
                     r"divergence\s+\$(\d) \\cdot 10\^\{-6\}", solution, re.DOTALL)
    mean, worst, left = map(float, said.groups())
    gap, furthest, rest = map(float, found)
    assert (100 * gap, 100 * furthest) == (pytest.approx(mean, abs=0.1), pytest.approx(worst, abs=2))
    assert 1e6 * rest == pytest.approx(left, abs=0.5)

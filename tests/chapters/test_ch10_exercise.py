"""The numbers that a solution of chapter 10 gives: its code is run on the records."""

import re
from pathlib import Path

import nbformat
import pytest

from mixlab import reproduce
from mixlab.chapters.ch10_search import tables

CHAPTER = Path(__file__).parents[2] / "book/chapters/10-architecture-search.ipynb"


def test_random_search_needs_as_many_networks_as_the_solution_says():
    notebook = nbformat.read(CHAPTER, 4)
    (text,) = (cell.source for cell in notebook.cells if "{solution} ex-search-random" in cell.source)
    solution = text.split("{solution} ex-search-random")[1].split("````")[0]
    found: list = []
    names = {"tables": tables, "frame": reproduce.load("search-table"), "print": lambda *told: found.extend(told)}
    exec(re.search(r"```python\n(.*?)```", solution, re.DOTALL)[1], names)
    count, regret = re.search(r"Printed:\s+(\d+) networks,\s+(\d\.\d+) points", solution).groups()
    assert found == [int(count), pytest.approx(float(regret), abs=0.006)]

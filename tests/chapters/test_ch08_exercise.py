"""The numbers that a solution of chapter 8 gives: its code is run, with the scorer and the digits of the page."""

import re
from pathlib import Path
from types import SimpleNamespace

import nbformat
import pytest
import torch

from mixlab.chapters.ch08_selection import demonstrations
from mixlab.data import load

torch.set_num_threads(1)

CHAPTER = Path(__file__).parents[2] / "book/chapters/08-choosing-data.ipynb"


def solution(label):
    """The text of a solution."""
    (text,) = (cell.source for cell in nbformat.read(CHAPTER, 4).cells if f"{{solution}} {label}\n" in cell.source)
    return re.search(rf"(`{{3,}}){{solution}} {label}\n(.*?)^\1$", text, re.DOTALL | re.MULTILINE)[2]


def test_a_robust_score_agrees_with_itself_as_far_as_the_solution_says():
    network, _ = demonstrations.scorer(load("digits", validation=0.0), 12)
    data, told = load("digits", validation=0.0, limit=500), []
    names = {"torch": torch, "size": SimpleNamespace(draws=256), "data": data, "network": network,
             "losses_of": demonstrations.losses_of,
             "losses": demonstrations.losses_of(network, data, 256), "within_classes": demonstrations.within_classes,
             "print": lambda *values: told.extend(map(float, values))}
    text = solution("ex-selection-range")
    exec(re.search(r"```python\n(.*?)```", text, re.DOTALL)[1], names)
    said = re.search(r"rank correlation (\d\.\d+) instead of\s+(\d\.\d+), and (\d+) % instead of\s+(\d+) %", text)
    robust, cv, robust_kept, cv_kept = map(float, said.groups())
    assert told == [pytest.approx(robust, abs=0.08), pytest.approx(robust_kept / 100, abs=0.12),
                    pytest.approx(cv, abs=0.08), pytest.approx(cv_kept / 100, abs=0.12)]

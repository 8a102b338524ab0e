"""The numbers that a solution of chapter 7 gives: its code is run, with the loop as it stands on the page."""

import re
from pathlib import Path

import nbformat
import pytest
import torch

from mixlab.chapters.ch05_puzzlemix.demonstrations import field, reader
from mixlab.chapters.ch07_supermix.demonstrations import measure
from mixlab.data import load
from mixlab.mixers import SuperMix
from mixlab.models import Teacher
from mixlab.rng import generator

CHAPTER = Path(__file__).parents[2] / "book/chapters/07-supermix.ipynb"


@pytest.fixture(scope="module")
def page():
    """What stands before the exercise on the page: the digits, their teacher, the pairs, and the loop."""
    notebook = nbformat.read(CHAPTER, 4)
    digits = load("digits", validation=0.0)
    fields = field(digits.test.images[:240], generator("fields")).images
    eyes = Teacher(reader(digits.train.images, digits.train.labels, epochs=12))
    (loop,) = (cell.source for cell in notebook.cells if "def supermix(" in cell.source)
    names = {"torch": torch, "interpolate": torch.nn.functional.interpolate, "eyes": eyes, "fields": fields,
             "made": {"code": measure(SuperMix(eyes, max_iter=20), eyes, fields)}}
    exec(loop, names)
    (text,) = (cell.source for cell in notebook.cells if "{solution} ex-supermix-target" in cell.source)
    return names, loop, text.split("{solution} ex-supermix-target")[1]


def test_a_shorter_step_succeeds_more_often_and_with_less_sharp_masks(page):
    names, loop, solution = page
    old, new = "length = loss / (gradient * q).sum((1, 2, 3))", re.search(r"`(length = .*?)`", solution)[1]
    assert loop.count(old) == 1
    changed = dict(names)
    exec(loop.replace(old, new), changed)
    code = re.search(r"```python\n(.*?)```", solution, re.DOTALL)[1]
    found = []
    for supermix in (changed["supermix"], names["supermix"]):
        told = []
        exec(code, names | {"supermix_kl": supermix, "print": lambda *values: told.extend(map(float, values))})
        found.append(told)
    said = re.search(r"named in (\d+) % of the pairs instead of\s+(\d+) %.*?is (\d\.\d+) instead of\s+(\d\.\d+)",
                     solution, re.DOTALL)
    named, named_before, even, even_before = map(float, said.groups())
    assert found[0] == [pytest.approx(named / 100, abs=0.06), pytest.approx(even, abs=0.03)]
    assert found[1] == [pytest.approx(named_before / 100, abs=0.08), pytest.approx(even_before, abs=0.01)]

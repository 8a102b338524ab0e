"""The from-scratch rule: what such a cell may not lean on, what comes after it, and what is run to try it."""

import pytest
from nbformat.v4 import new_code_cell, new_notebook

from mixlab.book.scratch import needed, unfounded

SETUP = "import torch\nfrom mixlab.book import setup\nfrom mixlab.mixers import Mixup\nimport mixlab.mix\nsetup()"
SCRATCH = "def blend(x, share):\n    return share * x + (1 - share) * x.flip(0)"
ASSERTION = "x = torch.rand(4, 3)\nours = Mixup(1.0).draw(x)\nassert torch.equal(blend(x, 0.5), ours.apply(x))"


def chapter(*cells):
    """A notebook of code cells; a pair is a cell with its tag."""
    pairs = [cell if isinstance(cell, tuple) else (cell, None) for cell in cells]
    made = [new_code_cell(source, metadata={"tags": [tag] if tag else []}) for source, tag in pairs]
    return new_notebook(cells=made)


def scratch(source):
    return source, "from-scratch"


@pytest.mark.parametrize("assertion", [
    ASSERTION,
    "torch.testing.assert_close(blend(torch.ones(2), 1), mixlab.mix.Mix)",
    "from torch.testing import assert_close\nassert_close(blend(torch.ones(2), 1), Mixup)",
    "import mixlab.priors as priors\nfor share in (0, 1):\n    assert blend(torch.ones(2), share) == priors.one",
])
def test_a_method_from_scratch_and_its_assertion_pass(assertion):
    assert unfounded(chapter(SETUP, scratch(SCRATCH), assertion)) == []


@pytest.mark.parametrize("source", [
    # Names that the cell itself binds are its own, whatever they meant before.
    "def blend(x, Mixup):\n    return Mixup * x",
    "Mixup = 3\ndef blend(x):\n    return Mixup * x",
    "blend = [Mixup for Mixup in range(3)]",
    # Values may have been made with the library.
    "def blend(x):\n    return x + images",
])
def test_other_meanings_of_a_name_and_values_are_no_help_from_the_library(source):
    assertion = "from mixlab import Mix\nassert blend == Mix"
    assert unfounded(chapter(SETUP, "images = mixlab.data.load('gallery')", scratch(source), assertion)) == []


@pytest.mark.parametrize("source", [
    "import mixlab\nblend = 1",
    "from mixlab.mixers import Mixup as Blend\nblend = Blend(1)",
    "import importlib\nblend = importlib.import_module('mixlab.mixers')",
    "def blend():\n    return __import__('mixlab')",
])
def test_a_cell_that_names_the_library_is_found(source):
    assert unfounded(chapter("import torch", scratch(source), "import mixlab\nassert blend == mixlab")) == [
        "code cell 2, from-scratch, names mixlab"
    ]


@pytest.mark.parametrize(("helper", "used"), [
    ("helper = 1", "Mixup"),
    ("def helper(x):\n    return Mixup(1.0)(x)", "helper"),
    ("helper = lambda x: Mixup(1.0)(x)", "helper"),
    ("def inner(x):\n    return Mixup(1.0)\ndef helper(x):\n    return inner(x)", "helper"),
    ("class helper:\n    mixer = Mixup(1.0)", "helper"),
    ("def helper(x):\n    from mixlab.mixers import CutMix\n    return CutMix", "helper"),
    ("from mixlab.mixers import CutMix as helper", "helper"),
])
def test_a_cell_that_uses_what_was_imported_before_is_found(helper, used):
    source = f"def blend(x, share):\n    return {used}(x)"
    assert unfounded(chapter(SETUP, helper, scratch(source), ASSERTION)) == [
        f"code cell 3, from-scratch, uses {used} of mixlab"
    ]


@pytest.mark.parametrize("after", [
    "blend(torch.rand(2), Mixup)",  # asserts nothing
    "assert Mixup(1.0)",  # does not use the cell's result
    "assert blend(torch.ones(2), 0.5).sum() == 2",  # does not use the library
    "print('assert blend == Mixup')",
])
def test_a_cell_without_an_assertion_after_it_is_found(after):
    for cells in ([SETUP, scratch(SCRATCH), after, ASSERTION], [SETUP, scratch(SCRATCH)]):
        assert unfounded(chapter(*cells)) == [
            "code cell 2, from-scratch: the next does not assert that mixlab gives the same"
        ]


def test_a_chapter_without_such_a_cell_is_found():
    assert unfounded(chapter(SETUP, SCRATCH, ASSERTION)) == ["no code cell is tagged from-scratch"]


def test_the_cells_that_a_method_needs_are_the_start_and_the_methods():
    first, second = [scratch("a = 1"), "assert a"], [scratch("c = a"), "assert c"]
    cells = ["budget = 'cpu'", SETUP, "by = 'hand'", *first, "b = 2", *second]
    assert needed(chapter(*cells), 1) == ["budget = 'cpu'", SETUP, "a = 1", "assert a"]
    assert needed(chapter(*cells), 2) == ["budget = 'cpu'", SETUP, "a = 1", "c = a", "assert c"]


@pytest.mark.parametrize(("number", "cells"), [(0, 3), (2, 3), (1, 2)])
def test_a_method_that_is_not_there_or_has_nothing_after_it_is_refused(number, cells):
    notebook = chapter(*[SETUP, scratch(SCRATCH), ASSERTION][:cells])
    with pytest.raises(ValueError, match=f"expected from-scratch cell {number} .* received .* 1 from-scratch"):
        needed(notebook, number)

"""Chapters from 4 on keep to the limits of a page, and show their method from scratch (tests/book tries the rules)."""

import re
from pathlib import Path

import nbformat
import pytest

from mixlab.book.limits import counts, exceeded
from mixlab.book.mutate import MUTATIONS, assertion_holds, survives_from_scratch
from mixlab.book.project import Project
from mixlab.book.scratch import unfounded

PROJECT = Project.find(Path(__file__).parent)


def notebooks():
    """The chapters that are held to the limits, by name; the first three are once they are rewritten."""
    held = [path for path in PROJECT.chapters() if int(path.stem[:2]) >= 4]
    return {path.stem: nbformat.read(path, as_version=4) for path in held}


def test_no_chapter_is_longer_than_a_reader_bears():
    assert {name: found for name, notebook in notebooks().items() if (found := exceeded(notebook))} == {}


def test_every_chapter_shows_its_method_from_scratch():
    assert {name: found for name, notebook in notebooks().items() if (found := unfounded(notebook))} == {}


def test_every_assertion_holds_and_a_broken_library_fails_it():
    for name, notebook in notebooks().items():
        for number in range(1, counts(notebook)["from-scratch cells"] + 1):
            breaking = [one for one in MUTATIONS if (one.chapter, one.from_scratch) == (name, number)]
            assert breaking, f"no mutation of {name} names from_scratch={number}"
            assert assertion_holds(PROJECT, name, number, PROJECT.root), f"{name}, from-scratch cell {number}"
            for mutation in breaking:
                assert not survives_from_scratch(PROJECT, mutation), f"{name}: {mutation.fact}"


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda one: f"{one.chapter[:2]} {one.fact}")
def test_a_mutation_names_a_from_scratch_cell_that_exists(mutation):
    notebook = nbformat.read(PROJECT.chapter(mutation.chapter), as_version=4)
    assert 0 <= mutation.from_scratch <= counts(notebook)["from-scratch cells"]


def test_no_line_of_a_formula_begins_as_a_list():
    """To Markdown a line that begins with a minus sign is an item of a list, inside a formula, too, and breaks it."""
    marker = re.compile(r"\s*(?:[-+*]|\d+[.)])\s")
    broken = []
    for path in PROJECT.chapters():
        for cell in nbformat.read(path, as_version=4).cells:
            if cell.cell_type != "markdown":
                continue
            for paragraph in re.split(r"\n\s*\n", cell.source):
                lines = paragraph.splitlines()
                for place, line in enumerate(lines):
                    before = re.sub(r"\\\$|\$\$|`[^`]*`", "", "\n".join(lines[:place]))
                    if marker.match(line) and before.count("$") % 2:
                        broken.append(f"{path.stem}: {line}")
    assert broken == []

"""Rules that stored chapters and executed appendices obey, so that comparing them with a new run means something."""

import json
import re
from copy import deepcopy
from pathlib import Path

import nbformat
import pytest
from nbval.plugin import find_comment_markers, find_metadata_tags

from mixlab.book.execute import code_cells, tidy
from mixlab.book.project import Project

PROJECT = Project.find(Path(__file__).parent)
PAGES = PROJECT.notebooks()

every = pytest.mark.parametrize("chapter", PAGES, ids=lambda path: path.stem)


def read(chapter):
    """The stored notebook."""
    return nbformat.read(chapter, as_version=4)


def outputs(chapter):
    """Pairs of cell number and output."""
    return [(number, one) for number, cell in enumerate(code_cells(read(chapter)), 1) for one in cell.outputs]


def exempt(cell):
    """Whether nbval would not compare a cell, by its own reading of tags and comments."""
    marks = dict(find_metadata_tags(cell.metadata)) | dict(find_comment_markers(cell.source))
    return bool(marks.get("skip") or marks.get("check") is False or marks.get("check_exception"))


@pytest.mark.parametrize(("source", "tags", "expected"), [
    ("f()", [], False), ("f()", ["nbval-check-output"], False), ("f()", ["nbval-ignore-output"], True),
    ("f()", ["nbval-skip"], True), ("f()", ["raises-exception"], True), ("#NBVAL_SKIP\nf()", [], True),
    ("  # NBVAL_IGNORE_OUTPUT\nf()", [], True), ("# PYTEST_VALIDATE_IGNORE_OUTPUT", [], True),
])
def test_what_nbval_leaves_out_counts_as_exempt(source, tags, expected):
    assert exempt(nbformat.v4.new_code_cell(source, metadata={"tags": tags})) == expected


def test_every_notebook_is_in_the_table_of_contents():
    folders = PROJECT.book / "chapters", PROJECT.book / "appendix"
    assert set(PAGES) == {path for folder in folders for path in folder.glob("*.ipynb")}
    assert set(PROJECT.chapters()) == set(folders[0].glob("*.ipynb"))


@every
def test_every_cell_was_run_once_from_top_to_bottom(chapter):
    cells = code_cells(read(chapter))
    assert cells, "a chapter without code shows nothing"
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))


@every
def test_no_error_and_nothing_on_standard_error_is_stored(chapter):
    bad = [number for number, one in outputs(chapter) if one.output_type == "error" or one.get("name") == "stderr"]
    assert bad == []


@every
def test_no_number_is_stored_outside_its_interval(chapter):
    assert not any(": OUTSIDE, measured" in one.get("text", "") for _, one in outputs(chapter))


@every
def test_at_most_one_cell_in_five_is_exempt_from_comparison(chapter):
    cells = code_cells(read(chapter))
    assert 5 * sum(map(exempt, cells)) <= len(cells)


@every
def test_the_first_code_cell_sets_the_budget(chapter):
    first = code_cells(read(chapter))[0]
    assert "parameters" in first.metadata.get("tags", [])
    assert re.search(r'^budget = "cpu"', first.source, re.MULTILINE)


@every
def test_the_chapter_starts_with_the_shared_settings_and_folds_them(chapter):
    cells = code_cells(read(chapter))
    (start,) = [cell for cell in cells[:3] if re.search(r"\bsetup\(\)", cell.source)]
    assert all("hide-input" in cell.metadata.get("tags", []) for cell in (cells[0], start))


@every
def test_every_figure_is_a_png_and_is_described(chapter):
    for cell in code_cells(read(chapter)):
        kinds = {kind for one in cell.outputs for kind in one.get("data", {})}
        assert not kinds & {"image/svg+xml", "image/jpeg", "application/pdf"}, cell.source
        if "image/png" in kinds:
            alt = cell.metadata.get("mystnb", {}).get("image", {}).get("alt", "")
            assert len(alt.split()) >= 4, f"no words for who cannot see the figure of:\n{cell.source}"


@every
def test_no_line_of_code_is_wider_than_the_page(chapter):
    lines = [line for cell in code_cells(read(chapter)) for line in cell.source.splitlines()]
    assert [line for line in lines if len(line) > 85] == []


@every
def test_the_file_is_small(chapter):
    assert chapter.stat().st_size < 1_500_000


@every
def test_the_file_holds_no_time_stamp_and_no_version(chapter):
    stored = json.loads(chapter.read_text(encoding="utf8"))
    tidied = json.loads(nbformat.writes(tidy(deepcopy(read(chapter)))))
    assert stored["metadata"] == tidied["metadata"]
    assert [cell["metadata"] for cell in stored["cells"]] == [cell["metadata"] for cell in tidied["cells"]]

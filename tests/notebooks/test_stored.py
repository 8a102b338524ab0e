"""Rules that stored chapters obey, so that comparing them with a new run means something."""

import json
import re
from copy import deepcopy
from pathlib import Path

import nbformat
import pytest

from mixlab.book.execute import code_cells, tidy
from mixlab.book.project import Project

CHAPTERS = Project.find(Path(__file__).parent).chapters()
EXEMPT_TAGS = {"nbval-ignore-output", "nbval-skip"}
EXEMPT_COMMENT = re.compile(r"^# NBVAL_(IGNORE_OUTPUT|SKIP)", re.MULTILINE)

pytestmark = pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda path: path.stem)


def read(chapter):
    """The stored notebook."""
    return nbformat.read(chapter, as_version=4)


def outputs(chapter):
    """Pairs of cell number and output."""
    return [(number, one) for number, cell in enumerate(code_cells(read(chapter)), 1) for one in cell.outputs]


def test_every_cell_was_run_once_from_top_to_bottom(chapter):
    cells = code_cells(read(chapter))
    assert cells, "a chapter without code shows nothing"
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))


def test_no_error_and_nothing_on_standard_error_is_stored(chapter):
    bad = [number for number, one in outputs(chapter) if one.output_type == "error" or one.get("name") == "stderr"]
    assert bad == []


def test_no_number_is_stored_outside_its_interval(chapter):
    assert not any(": OUTSIDE, measured" in one.get("text", "") for _, one in outputs(chapter))


def test_at_most_one_cell_in_five_is_exempt_from_comparison(chapter):
    cells = code_cells(read(chapter))
    exempt = [
        cell for cell in cells
        if EXEMPT_TAGS & set(cell.metadata.get("tags", [])) or EXEMPT_COMMENT.search(cell.source)
    ]
    assert 5 * len(exempt) <= len(cells)


def test_the_first_code_cell_sets_the_budget(chapter):
    first = code_cells(read(chapter))[0]
    assert "parameters" in first.metadata.get("tags", [])
    assert re.search(r'^budget = "cpu"', first.source, re.MULTILINE)


def test_the_chapter_starts_with_the_shared_settings(chapter):
    assert any(re.search(r"\bsetup\(\)", cell.source) for cell in code_cells(read(chapter))[:3])


def test_every_figure_is_a_png_and_is_described(chapter):
    for cell in code_cells(read(chapter)):
        kinds = {kind for one in cell.outputs for kind in one.get("data", {})}
        assert not kinds & {"image/svg+xml", "image/jpeg", "application/pdf"}, cell.source
        if "image/png" in kinds:
            alt = cell.metadata.get("mystnb", {}).get("image", {}).get("alt", "")
            assert len(alt.split()) >= 4, f"no words for who cannot see the figure of:\n{cell.source}"


def test_the_file_is_small(chapter):
    assert chapter.stat().st_size < 1_500_000


def test_the_file_holds_no_time_stamp_and_no_version(chapter):
    stored = json.loads(chapter.read_text(encoding="utf8"))
    tidied = json.loads(nbformat.writes(tidy(deepcopy(read(chapter)))))
    assert stored["metadata"] == tidied["metadata"]
    assert [cell["metadata"] for cell in stored["cells"]] == [cell["metadata"] for cell in tidied["cells"]]

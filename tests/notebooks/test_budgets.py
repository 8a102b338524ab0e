"""Every executed page walks its paths at the larger budgets, at the smallest sizes."""

from pathlib import Path

import pytest

from mixlab.book.execute import code_cells, execute
from mixlab.book.project import Project

PAGES = Project.find(Path(__file__).parent).notebooks()


@pytest.mark.parametrize("budget", ["gpu", "paper"])
@pytest.mark.parametrize("chapter", PAGES, ids=lambda path: path.stem)
def test_a_dry_run_reaches_the_last_cell(chapter, budget, monkeypatch):
    monkeypatch.setenv("MIXLAB_DRY_RUN", "1")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    seen = []
    cells = code_cells(execute(chapter, budget, lambda done, count: seen.append((done, count))).notebook)
    assert cells[1].source == f'budget = "{budget}"'
    assert seen[-1] == (len(cells), len(cells))

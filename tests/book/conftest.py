"""A book of two small chapters in a temporary folder, to run the machinery on."""

import shutil
from pathlib import Path

import nbformat
import pytest

from mixlab.book.execute import KERNEL
from mixlab.book.project import Project

ROOT = Path(__file__).parents[2]


def write_notebook(path: Path, *cells: str) -> Path:
    """A notebook with a `parameters` cell, then one code cell per string, behind a title."""
    new = nbformat.v4
    first = new.new_code_cell('budget = "cpu"', metadata={"tags": ["parameters"]})
    cells = [new.new_markdown_cell(f"# The chapter {path.stem}"), first, *map(new.new_code_cell, cells)]
    for number, cell in enumerate(cells):
        cell.id = f"cell-{number}"
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(new.new_notebook(cells=cells, metadata=KERNEL), path)
    return path


@pytest.fixture
def project(tmp_path) -> Project:
    """A project with the book's own configuration, chapters `01-first` and `02-second`, and a package of one file."""
    shutil.copy(ROOT / "_config.yml", tmp_path)
    (tmp_path / "_toc.yml").write_text(
        "format: jb-book\nroot: index\nparts:\n  - caption: I\n    chapters:\n"
        "      - file: chapters/01-first\n      - file: chapters/02-second\n"
    )
    (tmp_path / "requirements.lock").write_text("numpy==2.0\n")
    (tmp_path / "mixlab").mkdir()
    (tmp_path / "mixlab" / "mix.py").write_text("SHARE = 0.5\n")
    book = tmp_path / "book"
    write_notebook(book / "chapters" / "01-first.ipynb", "print(budget)", "6 * 7")
    write_notebook(book / "chapters" / "02-second.ipynb", "import os\nprint(os.environ.get('OMP_NUM_THREADS'))")
    (book / "references.bib").write_text("")
    (book / "index.md").write_text("# A small book\n\nSee [the first](chapters/01-first.ipynb).\n")
    return Project(tmp_path)

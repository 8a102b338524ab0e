"""A chapter to begin with: it runs, renders, keeps the limits, and asserts what a broken library does not give."""

import shutil
from pathlib import Path

import nbformat
import pytest
from typer.testing import CliRunner

from mixlab.book.execute import code_cells, execute, write
from mixlab.book.limits import counts, exceeded, tags
from mixlab.book.mutate import Mutation, assertion_holds, survives_from_scratch
from mixlab.book.project import Project
from mixlab.book.render import render
from mixlab.book.scratch import unfounded
from mixlab.book.skeleton import begin, skeleton
from mixlab.cli.book import app

ROOT = Path(__file__).parents[2]


def headings(notebook):
    lines = [line for cell in notebook.cells if cell.cell_type == "markdown" for line in cell.source.splitlines()]
    return [line.lstrip("# ") for line in lines if line.startswith("#")]


def test_the_parts_come_in_the_order_of_a_page():
    notebook = skeleton("04-lamix", "LaMix")
    nbformat.validate(notebook)
    assert headings(notebook) == [
        "LaMix", "By hand", "From scratch", "Why", "See it", "Does it help?", "What to keep", "Paper versus ours",
        "Exercises", "Method card", "Further reading",
    ]  # fmt: skip
    first, second, *others = code_cells(notebook)
    assert first.source == 'budget = "cpu"' and tags(first) == {"parameters", "hide-input"}
    assert "setup()" in second.source and tags(second) == {"hide-input"}
    assert [tags(cell) for cell in others].count({"hide-cell"}) == 1


def test_it_runs_as_it_is_renders_and_keeps_the_limits(project):
    toc = project.root / "_toc.yml"
    (line,) = [line for line in begin(project, "04-co-mixup").splitlines() if line.startswith("      - file")]
    toc.write_text(f"{toc.read_text()}{line}\n")
    chapter = project.chapter("04")
    notebook = execute(chapter, "cpu").notebook
    write(notebook, chapter)
    assert exceeded(notebook) == unfounded(notebook) == []
    assert counts(notebook)["figures"] == 1
    lines = [line for cell in code_cells(notebook) for out in cell.outputs for line in out.get("text", "").splitlines()]
    assert sum(": ok, measured" in line for line in lines) == 3 and not any("OUTSIDE" in line for line in lines)
    index = render(project, {}, project.book)
    assert "Co mixup" in (index.parent / "chapters" / "04-co-mixup.html").read_text()


def test_its_assertion_holds_and_notices_a_broken_library(tmp_path):
    """The library itself, with a fact of it broken, and nothing of the chapter but the cells that the method needs."""
    (tmp_path / "book" / "chapters").mkdir(parents=True)
    (tmp_path / "_toc.yml").write_text("format: jb-book\nroot: chapters/04-blend\n")
    shutil.copytree(ROOT / "mixlab", tmp_path / "mixlab", ignore=shutil.ignore_patterns("__pycache__"))
    project = Project(tmp_path)
    begin(project, "04-blend")
    assert assertion_holds(project, "04", 1, ROOT)
    fact = ("04-blend", "label weights reversed", "mix.py", "(1, classes, self.weights)")
    assert not survives_from_scratch(project, Mutation(*fact, "(1, classes, self.weights.flip(1))", from_scratch=1))
    with pytest.raises(RuntimeError, match="(?s)from-scratch cell 1 of 04-blend did not run.*no such thing"):
        survives_from_scratch(project, Mutation(*fact, "(1, classes, 1 / 0)  # no such thing", from_scratch=1))


def test_the_command_says_what_is_missing_and_writes_over_nothing(project, monkeypatch):
    monkeypatch.chdir(project.root)
    result = CliRunner().invoke(app, ["new", "04-co-mixup", "--title", "Co-Mixup"])
    assert result.exit_code == 0
    for needed in ("- file: chapters/04-co-mixup", "mixlab/book/mutate.py", "mixlab/chapters/ch04_comixup/"):
        assert needed in result.output
    path = project.book / "chapters" / "04-co-mixup.ipynb"
    assert headings(nbformat.read(path, as_version=4))[0] == "Co-Mixup"
    before = path.read_bytes()
    for name in ("04-co-mixup", "04-other"):
        again = CliRunner().invoke(app, ["new", name])
        assert isinstance(again.exception, FileExistsError) and "04-co-mixup.ipynb" in str(again.exception)
    assert path.read_bytes() == before


@pytest.mark.parametrize("name", ["lamix", "4-lamix", "04-LaMix", "04_lamix", "04-", "04-lamix.ipynb", "../04-lamix"])
def test_a_name_of_another_form_is_refused(project, name):
    with pytest.raises(ValueError, match="such as 04-lamix"):
        begin(project, name)

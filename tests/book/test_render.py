"""Rendering: executed chapters on the page, warnings as errors, and nothing written outside `_build`."""

import pytest
from typer.testing import CliRunner

from mixlab.book.execute import executed
from mixlab.book.render import RenderError, render
from mixlab.cli.book import app

from .conftest import write_notebook


def tree(folder):
    """Every file outside `_build`, with its content."""
    files = [path for path in folder.rglob("*") if path.is_file() and "_build" not in path.parts]
    return {path.relative_to(folder): path.read_bytes() for path in files}


def test_the_site_shows_the_given_outputs_and_only_build_is_written(project):
    before = tree(project.root)
    chapter = project.chapter("01")
    index = render(project, {chapter: executed(project, chapter, "gpu").notebook}, project.book)
    assert index == project.book / "_build" / "html" / "index.html"
    assert "A small book" in index.read_text()
    page = (index.parent / "chapters" / "01-first.html").read_text()
    assert "<span></span>gpu" in page and "42" in page
    assert tree(project.root) == before


def test_a_warning_is_an_error_and_stays_one(project):
    (project.book / "index.md").write_text("# A small book\n\n{eq}`nowhere`\n")
    for _ in range(2):
        with pytest.raises(RenderError, match="nowhere"):
            render(project, {}, project.book)


def test_build_reports_numbers_outside_and_still_shows_the_page(project, monkeypatch):
    write_notebook(
        project.book / "chapters" / "02-second.ipynb", "from mixlab.book import check", "check('b', 3, 0, 2)"
    )
    monkeypatch.chdir(project.root)
    result = CliRunner().invoke(app, ["build"])
    assert result.exit_code == 1
    assert "02-second: b: in [0, 2]: OUTSIDE, measured 3" in result.output
    assert (project.book / "_build" / "html" / "index.html").is_file()


def test_store_writes_outputs_and_status_knows_them(project, monkeypatch):
    monkeypatch.chdir(project.root)
    runner = CliRunner()
    assert runner.invoke(app, ["status"]).output.count("to run") == 2
    assert runner.invoke(app, ["store"]).exit_code == 0
    assert '"execution_count": 3' in project.chapter("01").read_text()
    assert runner.invoke(app, ["status"]).output.count("up to date") == 2


def test_run_leaves_a_copy(project, monkeypatch, tmp_path):
    monkeypatch.chdir(project.root)
    before = project.chapter("01").read_bytes()
    out = tmp_path / "copy.ipynb"
    result = CliRunner().invoke(app, ["run", "01", "--budget", "gpu", "--out", str(out)])
    assert result.exit_code == 0
    assert "injected-parameters" in out.read_text()
    assert project.chapter("01").read_bytes() == before

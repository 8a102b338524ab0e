"""`build 02` and `store 02` run one chapter and leave the others as they are."""

import nbformat
import pytest
from typer.testing import CliRunner

from mixlab.cli.book import app

from .conftest import write_notebook


def outputs(project, name):
    """What a stored chapter printed."""
    cells = nbformat.read(project.chapter(name), as_version=4).cells
    return [output.get("text") for cell in cells for output in cell.get("outputs", [])]


def test_one_chapter_is_stored(project, monkeypatch):
    monkeypatch.chdir(project.root)
    first = project.chapter("01").read_bytes()
    result = CliRunner().invoke(app, ["store", "02"])
    assert result.exit_code == 0 and "02-second" in result.output and "01-first" not in result.output
    assert outputs(project, "02") == ["1\n"]
    assert project.chapter("01").read_bytes() == first


def test_one_chapter_is_built_anew_and_the_others_show_what_is_stored(project, monkeypatch):
    monkeypatch.chdir(project.root)
    write_notebook(project.book / "chapters" / "01-first.ipynb", "raise ValueError('not run')")
    write_notebook(project.book / "chapters" / "02-second.ipynb", "print(2 * budget)")
    result = CliRunner().invoke(app, ["build", "02", "--budget", "gpu"])
    assert result.exit_code == 0 and "02-second" in result.output and "01-first" not in result.output
    pages = project.book / "_build" / "html" / "chapters"
    assert "gpugpu" in (pages / "02-second.html").read_text()
    assert "not run" in (pages / "01-first.html").read_text()
    assert outputs(project, "02") == []


@pytest.mark.parametrize("command", ["build", "store"])
def test_an_unknown_chapter_is_refused(project, monkeypatch, command):
    monkeypatch.chdir(project.root)
    result = CliRunner().invoke(app, [command, "07"])
    assert isinstance(result.exception, ValueError) and "01-first, 02-second" in str(result.exception)

"""`build 02` and `store 02` run one chapter and leave the others as they are."""

import nbformat
import pytest
import torch
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
    monkeypatch.setenv("MIXLAB_DRY_RUN", "1")  # needs no GPU
    write_notebook(project.book / "chapters" / "01-first.ipynb", "raise ValueError('not run')")
    write_notebook(project.book / "chapters" / "02-second.ipynb", "print(2 * budget)")
    result = CliRunner().invoke(app, ["build", "02", "--budget", "gpu"])
    assert result.exit_code == 0 and "02-second" in result.output and "01-first" not in result.output
    pages = project.book / "_build" / "html" / "chapters"
    assert "gpugpu" in (pages / "02-second.html").read_text()
    assert "not run" in (pages / "01-first.html").read_text()
    assert outputs(project, "02") == []


@pytest.mark.parametrize("budget", ["gpu", "paper"])
def test_a_build_that_needs_a_gpu_is_refused_where_there_is_none(project, monkeypatch, budget):
    monkeypatch.chdir(project.root)
    monkeypatch.delenv("MIXLAB_DRY_RUN", raising=False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    for only, waiting in ((["02"], "1 of 1"), ([], "2 of 2")):
        result = CliRunner().invoke(app, ["build", *only, "--budget", budget])
        assert isinstance(result.exception, ValueError) and result.output == ""
        assert str(result.exception).startswith(
            f"expected a GPU for --budget {budget}, received none, and {waiting} chapters to run")
    assert not project.output.exists()


def test_a_run_without_a_gpu_says_so_and_runs(project, monkeypatch, tmp_path):
    monkeypatch.chdir(project.root)
    monkeypatch.delenv("MIXLAB_DRY_RUN", raising=False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    said = "There is no GPU: 02-second runs on the CPU at budget gpu"
    result = CliRunner().invoke(app, ["run", "02", "--budget", "gpu", "--out", str(tmp_path / "out.ipynb")])
    assert result.exit_code == 0 and said in result.output and (tmp_path / "out.ipynb").exists()
    assert said not in CliRunner().invoke(app, ["run", "02", "--out", str(tmp_path / "cpu.ipynb")]).output


def test_a_build_of_remembered_runs_needs_no_gpu(project, monkeypatch):
    monkeypatch.chdir(project.root)
    monkeypatch.delenv("MIXLAB_DRY_RUN", raising=False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert CliRunner().invoke(app, ["build", "01", "--budget", "gpu"]).exit_code == 0
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    again = CliRunner().invoke(app, ["build", "01", "--budget", "gpu"])
    assert again.exit_code == 0 and "unchanged, not run again" in again.output
    other = CliRunner().invoke(app, ["build", "--budget", "gpu"])
    assert isinstance(other.exception, ValueError) and "1 of 2 chapters to run" in str(other.exception)


@pytest.mark.parametrize("command", ["build", "store"])
def test_an_unknown_chapter_is_refused(project, monkeypatch, command):
    monkeypatch.chdir(project.root)
    result = CliRunner().invoke(app, [command, "07"])
    assert isinstance(result.exception, ValueError) and "01-first, 02-second" in str(result.exception)

"""Rendering: executed chapters on the page, warnings as errors, and nothing written outside `_build`."""

import json
import re
import subprocess

import nbformat
import pytest
from bs4 import BeautifulSoup
from typer.testing import CliRunner

import mixlab
from mixlab.book.execute import executed, write
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
    assert "A small book" in index.read_text() and f"mixlab {mixlab.__version__}" in index.read_text()
    page = (index.parent / "chapters" / "01-first.html").read_text()
    assert "<span></span>gpu" in page and "42" in page
    assert tree(project.root) == before


def test_a_slider_is_on_the_page_with_its_state_and_a_still_picture(project):
    code = (
        "import matplotlib.pyplot as plt\nfrom mixlab.widgets import slider\n"
        "slider([plt.figure(figsize=(1, 1)) for _ in 'ab'], 'ab', label='letter', alts=['an empty white square'] * 2)"
    )
    chapter = write_notebook(project.book / "chapters" / "01-first.ipynb", code)
    notebook = nbformat.read(chapter, as_version=4)
    figure = {"image": {"alt": "a square & nothing"}, "figure": {"caption": "One square.", "name": "fig-square"}}
    notebook.cells[2].metadata["mystnb"] = figure
    notebook.cells[0].source += "\n\nSee {numref}`fig-square`."
    nbformat.write(notebook, chapter)
    execution = executed(project, chapter, "cpu")
    write(execution.notebook, chapter)
    before = tree(project.root)

    for notebooks in ({}, {chapter: execution.notebook}):  # as stored, and as run just now
        index = render(project, notebooks, project.book)
        page = BeautifulSoup((index.parent / "chapters" / "01-first.html").read_text(), "html.parser")
        (state,) = page.find_all("script", type="application/vnd.jupyter.widget-state+json")
        (view,) = page.find_all("script", type="application/vnd.jupyter.widget-view+json")
        models = json.loads(state.string)["state"]
        assert models[json.loads(view.string)["model_id"]]["model_name"] == "VBoxModel"
        assert [model["state"]["value"].count("an empty white square") for model in models.values()
                if model["model_name"] == "HTMLModel"] == [1, 1]
        (figure,) = page.find_all("figure")
        assert figure["id"] == "fig-square" and view in figure.find_all("script")
        assert figure.find("img", class_="still")["alt"] == "a square & nothing"
    assert tree(project.root) == before


def test_notebooks_get_buttons_by_what_the_configuration_says_to_write(project):
    """The lines that it holds in a comment, with an address, and nothing else."""
    config = project.root / "_config.yml"
    text = config.read_text()
    written = re.sub(r"(?m)^# (?=repository:|launch_buttons:|  )", "", text).replace("OWNER/NAME", "someone/a-book")
    config.write_text(written)
    index = render(project, {}, project.book)
    page = BeautifulSoup((index.parent / "chapters" / "01-first.html").read_text(), "html.parser")
    links = [link["href"] for link in page.select(".dropdown-launch-buttons a[href]")]
    assert links == [
        "https://mybinder.org/v2/gh/someone/a-book/main?urlpath=lab/tree/book/chapters/01-first.ipynb",
        "https://colab.research.google.com/github/someone/a-book/blob/main/book/chapters/01-first.ipynb",
    ]
    assert "dropdown-launch-buttons" not in index.read_text()


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


def test_store_keeps_what_was_written_while_it_ran(project, monkeypatch):
    from mixlab.cli import book

    real, chapter = book._executions, project.chapter("01")

    def edited(source, title, code):
        notebook = nbformat.read(source, as_version=4)
        notebook.cells[0].source, notebook.cells[2].source = title, code
        nbformat.write(notebook, source)

    monkeypatch.chdir(project.root)
    for code, status in (("print(budget)", 0), ("print(2)", 1)):
        def meanwhile(*arguments, code=code):
            done = real(*arguments)
            edited(chapter, "# Written meanwhile", code)
            return done

        monkeypatch.setattr(book, "_executions", meanwhile)
        result = CliRunner().invoke(app, ["store"])
        assert result.exit_code == status
        present = nbformat.read(chapter, as_version=4)
        assert (present.cells[0].source, present.cells[2].source) == ("# Written meanwhile", code)
    assert "01-first changed while it ran" in result.output


def test_a_build_cut_short_hides_no_warning(project, monkeypatch):
    (project.book / "index.md").write_text("# A small book\n\n{eq}`nowhere`\n")
    with monkeypatch.context() as interrupted:
        real = subprocess.run

        def cut_short(*arguments, **options):
            real(*arguments, **options)
            raise KeyboardInterrupt

        interrupted.setattr(subprocess, "run", cut_short)
        with pytest.raises(KeyboardInterrupt):
            render(project, {}, project.book)
    with pytest.raises(RenderError, match="nowhere"):
        render(project, {}, project.book)


def test_run_leaves_a_copy(project, monkeypatch, tmp_path):
    monkeypatch.chdir(project.root)
    before = project.chapter("01").read_bytes()
    out = tmp_path / "copy.ipynb"
    result = CliRunner().invoke(app, ["run", "01", "--budget", "gpu", "--out", str(out)])
    assert result.exit_code == 0
    assert "injected-parameters" in out.read_text()
    assert project.chapter("01").read_bytes() == before

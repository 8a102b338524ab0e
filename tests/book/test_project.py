"""Finding the book, its chapters, and what their outputs depend on."""

import pytest

from mixlab.book.project import Project

from .conftest import write_notebook


def test_a_project_is_found_from_any_folder_in_it(project):
    assert Project.find(project.book / "chapters") == project


def test_outside_a_project_one_error_says_what_is_missing(tmp_path_factory):
    with pytest.raises(FileNotFoundError, match="_toc.yml"):
        Project.find(tmp_path_factory.mktemp("elsewhere"))


def test_chapters_come_in_the_order_of_the_table_of_contents(project):
    assert [path.name for path in project.chapters()] == ["01-first.ipynb", "02-second.ipynb"]


def test_an_appendix_is_executed_too_but_no_chapter(project):
    for name in ("appendix/bench", "appendix/04-late", "chapters/interlude"):
        path = write_notebook(project.book / f"{name}.ipynb")
        toc = project.root / "_toc.yml"
        toc.write_text(f"{toc.read_text()}      - file: {name}\n")
        assert project.notebooks()[-1] == path
    assert [path.name for path in project.chapters()] == ["01-first.ipynb", "02-second.ipynb"]
    assert project.chapter("bench") == project.book / "appendix" / "bench.ipynb"


@pytest.mark.parametrize("name", ["02", "02-second", "02-second.ipynb", "book/chapters/02-second.ipynb"])
def test_a_chapter_answers_to_the_start_of_its_name(project, name):
    assert project.chapter(name).name == "02-second.ipynb"


@pytest.mark.parametrize("name", ["0", "03", "first"])
def test_an_ambiguous_or_unknown_chapter_is_refused(project, name):
    with pytest.raises(ValueError, match="01-first, 02-second"):
        project.chapter(name)


@pytest.mark.parametrize(
    "change", ["mixlab/mix.py", "mixlab/table.json", "requirements.lock", "book/results/grid/a.json"]
)
def test_surroundings_see_package_lock_and_results(project, change):
    before = project.surroundings()
    path = project.root / change
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("SHARE = 0.6\n")
    assert project.surroundings() != before


def test_surroundings_see_a_dry_run(project, monkeypatch):
    """Its results must not be taken for those of a real one."""
    monkeypatch.delenv("MIXLAB_DRY_RUN", raising=False)
    before = project.surroundings()
    monkeypatch.setenv("MIXLAB_DRY_RUN", "1")
    assert project.surroundings() != before


@pytest.mark.parametrize("change", ["README.md", "book/index.md", "tests/test_mix.py", "mixlab/__pycache__/mix.pyc"])
def test_surroundings_do_not_see_the_rest(project, change):
    before = project.surroundings()
    path = project.root / change
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("anything")
    assert project.surroundings() == before

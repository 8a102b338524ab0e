"""`make mutate` has something to break in every chapter, and each fact still stands in the source, once."""

from pathlib import Path

import pytest

from mixlab.book.mutate import MUTATIONS, Mutation, broken, survives
from mixlab.book.project import Project

PROJECT = Project.find(Path(__file__).parent)


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda one: f"{one.chapter[:2]} {one.fact}")
def test_the_fact_stands_in_the_source_once_and_can_be_broken(mutation):
    source = (PROJECT.root / "mixlab" / mutation.file).read_text(encoding="utf8")
    changed = broken(source, mutation)
    assert changed != source
    compile(changed, mutation.file, "exec")


def test_every_chapter_has_a_mutation():
    assert {PROJECT.chapter(one.chapter) for one in MUTATIONS} >= set(PROJECT.chapters())


def test_a_text_that_stands_nowhere_or_twice_is_refused():
    for old in ("three", "one"):
        with pytest.raises(ValueError, match=f"expected '{old}' once"):
            broken("one two one", Mutation("01", "", "mix.py", old, "four"))


def test_a_wrong_fact_is_noticed_and_the_tree_is_not_touched(tmp_path):
    """On a chapter of two cells that prints a value of a package of one line."""
    import shutil

    import nbformat

    from mixlab.book.execute import KERNEL

    (tmp_path / "mixlab").mkdir()
    (tmp_path / "mixlab" / "__init__.py").write_text("SHARE = 0.5\nUNUSED = 1\n")
    (tmp_path / "_toc.yml").write_text("format: jb-book\nroot: chapters/01-share\n")
    (tmp_path / "tests" / "notebooks").mkdir(parents=True)
    shutil.copy(PROJECT.root / "tests" / "notebooks" / "sanitize.cfg", tmp_path / "tests" / "notebooks")
    (tmp_path / "book" / "chapters").mkdir(parents=True)
    cell = nbformat.v4.new_code_cell("import mixlab\nprint(mixlab.SHARE)", execution_count=1)
    cell.outputs = [nbformat.v4.new_output("stream", name="stdout", text="0.5\n")]
    nbformat.write(
        nbformat.v4.new_notebook(cells=[cell], metadata=KERNEL), tmp_path / "book" / "chapters" / "01-share.ipynb"
    )
    project = Project(tmp_path)
    before = (tmp_path / "mixlab" / "__init__.py").read_bytes()
    assert not survives(project, Mutation("01-share", "a wrong share", "__init__.py", "0.5", "0.6"))
    assert survives(project, Mutation("01-share", "nothing shown", "__init__.py", "UNUSED = 1", "UNUSED = 2"))
    assert (tmp_path / "mixlab" / "__init__.py").read_bytes() == before

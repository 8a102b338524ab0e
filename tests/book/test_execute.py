"""Running chapters: budgets, remembered runs, and outputs that are equal when the run was."""

import base64
import io
from collections import Counter
from copy import deepcopy

import nbformat
import numpy as np
import pytest
from PIL import Image

from mixlab.book.execute import (
    ChapterError,
    code_cells,
    execute,
    executed,
    last,
    tidy,
    with_budget,
    with_outputs,
    write,
)

from .conftest import write_notebook


def text(execution) -> str:
    """All that the chapter printed."""
    outputs = [output for cell in execution.notebook.cells for output in cell.get("outputs", [])]
    return "".join(output.get("text", "") for output in outputs)


def test_a_chapter_runs_from_nothing_and_stays_as_it_is(project):
    chapter = project.chapter("01")
    before = chapter.read_bytes()
    execution = execute(chapter, "cpu")
    assert chapter.read_bytes() == before
    assert text(execution) == "cpu\n"
    assert code_cells(execution.notebook)[2].outputs[0].data["text/plain"] == "42"


def test_another_budget_is_set_after_the_parameters_cell(project):
    execution = execute(project.chapter("01"), "gpu")
    assert text(execution) == "gpu\n"
    assert [cell.metadata.get("tags") for cell in code_cells(execution.notebook)][:2] == [
        ["parameters"], ["injected-parameters"],
    ]


def test_the_cpu_budget_computes_on_one_thread(project, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    assert text(execute(project.chapter("02"), "cpu")) == "1\n"
    assert text(execute(project.chapter("02"), "gpu")) == "2\n"


def test_progress_counts_every_code_cell(project):
    seen = []
    execute(project.chapter("01"), "cpu", lambda done, cells: seen.append((done, cells)))
    assert seen == [(1, 3), (2, 3), (3, 3)]


def test_a_cell_that_raises_is_reported_with_its_chapter(project):
    chapter = write_notebook(project.book / "chapters" / "01-first.ipynb", "raise ValueError('no such mixer')")
    with pytest.raises(ChapterError, match="(?s)01-first stopped.*no such mixer"):
        execute(chapter, "cpu")


def test_a_chapter_without_parameters_or_with_an_unknown_budget_is_refused(project):
    chapter = nbformat.read(project.chapter("01"), as_version=4)
    with pytest.raises(ValueError, match="cpu, gpu, paper, received 'tpu'"):
        with_budget(chapter, "tpu")
    chapter.cells = [cell for cell in chapter.cells if "parameters" not in cell.metadata.get("tags", [])]
    with pytest.raises(ValueError, match="tagged 'parameters'"):
        with_budget(chapter, "gpu")


def test_a_run_is_remembered_until_code_package_or_lock_change(project):
    chapter = project.chapter("01")
    assert last(project, chapter, "cpu") is None
    assert executed(project, chapter, "cpu").fresh
    again = executed(project, chapter, "cpu")
    assert not again.fresh and text(again) == "cpu\n" and last(project, chapter, "cpu") == again.seconds
    assert last(project, chapter, "gpu") is None

    for change in ("mixlab/mix.py", "requirements.lock"):
        (project.root / change).write_text("changed\n")
        assert last(project, chapter, "cpu") is None
        assert executed(project, chapter, "cpu").fresh

    write_notebook(chapter, "print(budget)", "6 * 8")
    assert last(project, chapter, "cpu") is None


def test_a_remembered_run_that_cannot_be_read_is_made_again(project):
    chapter = project.chapter("01")
    executed(project, chapter, "cpu")
    (remembered,) = (project.output / "executed" / "cpu").glob("01*.ipynb")
    remembered.write_text("")
    assert last(project, chapter, "cpu") is None
    assert executed(project, chapter, "cpu").fresh and last(project, chapter, "cpu") is not None


def test_a_kernel_that_does_not_start_is_one_error(project, monkeypatch):
    from nbclient import NotebookClient

    def execute_nothing(client, **options):
        raise RuntimeError("Kernel didn't respond in 60 seconds")

    monkeypatch.setattr(NotebookClient, "execute", execute_nothing)
    with pytest.raises(ChapterError, match="01-first stopped at budget 'cpu':\nKernel didn't respond"):
        execute(project.chapter("01"), "cpu")


def test_outputs_of_other_code_are_refused(project):
    first, second = (nbformat.read(project.chapter(name), as_version=4) for name in ("01", "02"))
    with pytest.raises(ValueError, match="this notebook's code"):
        with_outputs(first, second)


def test_new_prose_keeps_the_outputs_and_is_shown(project):
    chapter = project.chapter("01")
    executed(project, chapter, "cpu")
    notebook = nbformat.read(chapter, as_version=4)
    notebook.cells[0].source = "# A better title"
    notebook.cells.insert(1, nbformat.v4.new_markdown_cell("More words."))
    nbformat.write(notebook, chapter)
    again = executed(project, chapter, "cpu")
    assert not again.fresh
    assert [cell.source for cell in again.notebook.cells[:2]] == ["# A better title", "More words."]
    assert text(again) == "cpu\n"


def test_two_runs_store_equal_bytes(project):
    chapter = project.chapter("01")
    write(execute(chapter, "cpu").notebook, chapter)
    first = chapter.read_bytes()
    write(execute(chapter, "cpu").notebook, chapter)
    assert chapter.read_bytes() == first
    assert b"execution_count" in first and b"iopub" not in first and b'"version"' not in first


def test_what_cannot_be_written_leaves_nothing_behind(project, tmp_path):
    notebook = nbformat.read(project.chapter("01"), as_version=4)
    folder = tmp_path / "copies" / "01.ipynb"
    folder.mkdir(parents=True)
    with pytest.raises(OSError):
        write(notebook, folder)
    assert list(folder.parent.iterdir()) == [folder] and not list(folder.iterdir())


def test_pieces_of_a_stream_are_joined_and_other_streams_kept_apart():
    new = nbformat.v4
    streams = [("stdout", "a\n"), ("stdout", "b\n"), ("stderr", "c\n"), ("stdout", "d\n")]
    outputs = [new.new_output("stream", name=name, text=piece) for name, piece in streams]
    notebook = tidy(new.new_notebook(cells=[new.new_code_cell("f()", outputs=outputs)]))
    assert [(one.name, one.text) for one in notebook.cells[0].outputs] == [
        ("stdout", "a\nb\n"), ("stderr", "c\n"), ("stdout", "d\n"),
    ]


def test_numbers_outside_their_interval_are_found(project):
    code = "from mixlab.book import check\ncheck('a', 1, 0, 2)\ncheck('b', 3, 0, 2)"
    chapter = write_notebook(project.book / "chapters" / "01-first.ipynb", code)
    # The kernel works in the chapter's folder, so it finds the installed package and not the fixture's.
    assert execute(chapter, "cpu").outside() == ["b: in [0, 2]: OUTSIDE, measured 3"]


def test_figures_are_kept_in_few_colours_and_then_left_alone():
    rng = np.random.default_rng(0)
    pixels = (np.linspace(0, 255, 64)[:, None, None] + rng.integers(0, 40, (64, 64, 3))).clip(0, 255).astype("uint8")
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    png = base64.b64encode(buffer.getvalue()).decode()
    new = nbformat.v4
    output = new.new_output("display_data", data={"image/png": png, "text/plain": "<Figure>"})
    once = deepcopy(tidy(new.new_notebook(cells=[new.new_code_cell("plot()", outputs=[output])])))
    data = once.cells[0].outputs[0].data
    assert len(data["image/png"]) < len(png) and data["text/plain"] == "<Figure>"
    with Image.open(io.BytesIO(base64.b64decode(data["image/png"]))) as picture:
        assert picture.size == (64, 64)
        assert np.abs(np.asarray(picture.convert("RGB")).astype(int) - pixels).mean() < 12
    assert tidy(deepcopy(once)) == once


SLIDER = """
import io
from PIL import Image
from mixlab.widgets import slider

def png(colour):
    picture = io.BytesIO()
    Image.new("RGB", (8, 4), colour).save(picture, "PNG")
    return picture.getvalue()

def shown():
    colours = ["red", "blue"]
    alts = [f"all of it is {colour}" for colour in colours]
    return slider([png(colour) for colour in colours], colours, label="colour", alts=alts)
"""


def models(notebook):
    """The stored state of each model."""
    return notebook.metadata["widgets"]["application/vnd.jupyter.widget-state+json"]["state"]


def views(notebook):
    """The models that outputs show, by name."""
    outputs = [output for cell in code_cells(notebook) for output in cell.outputs]
    return [one.data["application/vnd.jupyter.widget-view+json"]["model_id"] for one in outputs if one.get("data")]


def test_two_runs_store_equal_sliders_and_nothing_that_is_not_seen(project):
    unseen = "import ipywidgets\nbar = ipywidgets.VBox([ipywidgets.IntProgress(3)])\nlost = shown().widget()"
    chapter = write_notebook(project.book / "chapters" / "01-first.ipynb", SLIDER, unseen, "shown()", "shown()")
    write(execute(chapter, "cpu").notebook, chapter)
    first = chapter.read_bytes()
    write(execute(chapter, "cpu").notebook, chapter)
    assert chapter.read_bytes() == first

    stored = nbformat.read(chapter, as_version=4)
    state = models(stored)
    assert set(state) == {f"widget-{number}" for number in range(1, len(state) + 1)}
    kinds = Counter(model["model_name"] for model in state.values())
    assert kinds.items() >= {"VBoxModel": 2, "SelectionSliderModel": 2, "StackModel": 2, "HTMLModel": 4}.items()
    assert kinds["LinkModel"] == len(views(stored)) == 2 and kinds["IntProgressModel"] == 0
    links = [model["state"] for model in state.values() if model["model_name"] == "LinkModel"]
    for view in views(stored):
        handle, stack = state[view]["state"]["children"]
        assert [handle, "index"] in [link["source"] for link in links if link["target"] == [stack, "selected_index"]]
        frames = [state[child.removeprefix("IPY_MODEL_")] for child in state[stack[10:]]["state"]["children"]]
        assert ["red" in frame["state"]["value"] for frame in frames] == [True, False]
    assert tidy(deepcopy(stored)) == stored


def test_a_remembered_run_hands_its_widgets_on_and_old_ones_go(project):
    code = "import ipywidgets\nipywidgets.IntSlider(4)"
    chapter = write_notebook(project.book / "chapters" / "01-first.ipynb", code)
    fresh = executed(project, chapter, "cpu").notebook
    again = executed(project, chapter, "cpu")
    assert not again.fresh and models(again.notebook) == models(fresh)
    assert models(fresh)[views(fresh)[0]]["state"]["value"] == 4
    write(again.notebook, chapter)

    with_slider = nbformat.read(chapter, as_version=4)
    with_slider.cells[2] = nbformat.v4.new_code_cell("6 * 7")
    nbformat.write(with_slider, chapter)
    run = execute(chapter, "cpu").notebook
    assert "widgets" not in run.metadata
    assert "widgets" not in with_outputs(nbformat.read(chapter, as_version=4), run).metadata

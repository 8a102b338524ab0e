"""Run a chapter from nothing, at a budget, and remember the outcome until something it depends on changes."""

import base64
import hashlib
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from mixlab.book.chapter import BUDGETS, OUTSIDE
from mixlab.book.project import Project
from mixlab.book.views import tidy_state
from mixlab.widgets.png import few_colours

KERNEL = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python", "pygments_lexer": "ipython3"},
}


class ChapterError(RuntimeError):
    """A cell of a chapter raised; the message holds the chapter and the cell's traceback."""


@dataclass(frozen=True)
class Execution:
    """An executed chapter: the notebook with its outputs, the seconds it took, and whether it ran just now."""

    chapter: Path
    notebook: NotebookNode
    seconds: float
    fresh: bool

    def outside(self) -> list[str]:
        """The lines in which `mixlab.book.check` found a number outside its interval."""
        texts = [output.get("text", "") for cell in code_cells(self.notebook) for output in cell.outputs]
        return [line for text in texts for line in text.splitlines() if f": {OUTSIDE}, measured" in line]


def code_cells(notebook: NotebookNode) -> list[NotebookNode]:
    """The cells that a kernel runs: code cells that are not blank."""
    return [cell for cell in notebook.cells if cell.cell_type == "code" and cell.source.strip()]


def with_budget(notebook: NotebookNode, budget: str) -> NotebookNode:
    """The notebook at a budget: under `"cpu"` itself, else with a cell after its `parameters` cell that sets it.

    Raises:
        ValueError: if the budget is unknown, or no code cell is tagged `parameters`.
    """
    if budget not in BUDGETS:
        raise ValueError(f"expected a budget among {', '.join(BUDGETS)}, received {budget!r}")
    tagged = [
        index
        for index, cell in enumerate(notebook.cells)
        if cell.cell_type == "code" and "parameters" in cell.metadata.get("tags", [])
    ]
    if not tagged:
        raise ValueError("expected a code cell tagged 'parameters', found none")
    if budget == "cpu":
        return notebook
    setting = nbformat.v4.new_code_cell(f'budget = "{budget}"', metadata={"tags": ["injected-parameters"]})
    setting.id = "injected-parameters"
    notebook.cells.insert(tagged[0] + 1, setting)
    return notebook


def execute(
    chapter: Path,
    budget: str,
    progress: Callable[[int, int], None] = lambda done, cells: None,
) -> Execution:
    """Run a chapter in a new kernel, in its own folder, and leave the file alone.

    The stored outputs are dropped first. What comes back holds no time stamp and no version, so that equal
    outputs are equal bytes. Under the budget `"cpu"` the kernel computes on one thread, as the tests do.

    Args:
        chapter: the notebook's path.
        budget: see `with_budget`.
        progress: called after each cell with the number of cells done and the number of cells.

    Raises:
        ChapterError: if a cell raises, or the kernel dies or does not start.
        ValueError: see `with_budget`.
    """
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError

    notebook = with_budget(nbformat.read(chapter, as_version=4), budget)
    notebook.metadata.pop("widgets", None)
    cells = code_cells(notebook)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    done = 0

    def count(**_: object) -> None:
        nonlocal done
        done += 1
        progress(done, len(cells))

    client = NotebookClient(
        notebook,
        timeout=None,
        kernel_name="python3",
        record_timing=False,
        store_widget_state=True,
        extra_arguments=["--IPKernelApp.log_level=40"],  # it warns of its unencrypted local port at each start
        on_cell_executed=count,
        resources={"metadata": {"path": str(chapter.parent)}},
    )
    start = time.perf_counter()
    try:
        client.execute(env=os.environ | ({"OMP_NUM_THREADS": "1"} if budget == "cpu" else {}))
    except (CellExecutionError, RuntimeError) as error:  # a kernel that dies, or does not start, is the latter
        raise ChapterError(f"{chapter.stem} stopped at budget {budget!r}:\n{error}") from None
    seconds = time.perf_counter() - start
    return Execution(chapter, tidy(notebook), seconds, fresh=True)


def tidy(notebook: NotebookNode) -> NotebookNode:
    """The notebook without what differs from one run to the next: versions, stamps, counts that skip.

    Neighbouring pieces of one stream are joined, since their cut depends on timing. Figures are kept in 256 colours,
    a third of the bytes. Of widgets the state that a view needs is kept, see `mixlab.book.views.tidy_state`.
    """
    notebook.metadata = nbformat.from_dict({**notebook.metadata, **KERNEL})
    for count, cell in enumerate(code_cells(notebook), start=1):
        cell.execution_count = count
        cell.metadata.pop("execution", None)
        joined: list[NotebookNode] = []
        for output in cell.outputs:
            if output.output_type == "execute_result":
                output.execution_count = count
            if "image/png" in output.get("data", {}):
                png = few_colours(base64.b64decode(output.data["image/png"]))
                output.data["image/png"] = base64.b64encode(png).decode()
            if joined and output.output_type == "stream" == joined[-1].output_type and output.name == joined[-1].name:
                joined[-1].text += output.text
            else:
                joined.append(output)
        cell.outputs = joined
    tidy_state(notebook)
    return notebook


def executed(
    project: Project,
    chapter: Path,
    budget: str,
    progress: Callable[[int, int], None] = lambda done, cells: None,
) -> Execution:
    """The chapter with outputs of its present code: from the last run if nothing it depends on changed, else run now.

    The outcome lies below `book/_build/executed`, one file per chapter and budget. It holds for the source of the
    code cells and `Project.surroundings`; a change of prose needs no new run.
    """
    source = with_budget(nbformat.read(chapter, as_version=4), budget)
    key = _key(source, project)
    known = _known(_store(project, chapter, budget), key)
    if known is not None:
        return Execution(chapter, with_outputs(source, known), known.metadata.mixlab.seconds, fresh=False)
    execution = execute(chapter, budget, progress)
    record = nbformat.from_dict(execution.notebook)
    record.metadata["mixlab"] = {"key": key, "seconds": round(execution.seconds, 2)}
    write(record, _store(project, chapter, budget))
    return execution


def last(project: Project, chapter: Path, budget: str) -> float | None:
    """The seconds that the run took which `executed` would hand back, or None where it would run the chapter."""
    source = with_budget(nbformat.read(chapter, as_version=4), budget)
    known = _known(_store(project, chapter, budget), _key(source, project))
    return None if known is None else known.metadata.mixlab.seconds


def write(notebook: NotebookNode, path: Path) -> None:
    """Write a notebook so that a reader of the path sees the old file or the new one, never a part.

    Raises:
        OSError: if the disk refuses, or the path is a folder; no part of the file is left behind.
    """
    from mixlab.train.checkpoint import write_atomically  # here, since the other commands need nothing of training

    text = nbformat.writes(notebook).rstrip("\n") + "\n"
    if path.is_file() and path.read_text(encoding="utf8") == text:
        return
    write_atomically(path, lambda file: file.write(text.encode()))


def _store(project: Project, chapter: Path, budget: str) -> Path:
    return project.output / "executed" / budget / chapter.name


def _known(store: Path, key: str) -> NotebookNode | None:
    """The remembered run of just this code in these surroundings, if there is one and it can be read."""
    try:
        known = nbformat.read(store, as_version=4)
    except (FileNotFoundError, ValueError):
        return None
    return known if known.metadata.get("mixlab", {}).get("key") == key else None


def _key(notebook: NotebookNode, project: Project) -> str:
    digest = hashlib.sha256(project.surroundings().encode())
    for cell in code_cells(notebook):
        digest.update(f"{len(cell.source)} {cell.source}".encode())
    return digest.hexdigest()


def with_outputs(source: NotebookNode, run: NotebookNode) -> NotebookNode:
    """A notebook with the outputs of a run of its code, and the state of the widgets among them.

    Raises:
        ValueError: if the run is of other code.
    """
    if [cell.source for cell in code_cells(source)] != [cell.source for cell in code_cells(run)]:
        raise ValueError("expected a run of this notebook's code, received one of other code")
    for cell in source.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    for cell, ran in zip(code_cells(source), code_cells(run), strict=True):
        cell.outputs = ran.outputs
    source.metadata["widgets"] = run.metadata.get("widgets", {})
    return tidy(source)

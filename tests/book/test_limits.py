"""The limits of a page: what is counted, what is not, and one notebook for each limit that is exceeded."""

import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from mixlab.book.limits import LIMITS, counts, exceeded


def code(source, *tags, **outputs):
    """A code cell with tags; `text`, `html` and `png` become its outputs."""
    made = []
    if "text" in outputs:
        made.append(new_output("stream", name="stdout", text=outputs["text"]))
    if "html" in outputs:
        made.append(new_output("execute_result", data={"text/html": outputs["html"], "text/plain": "a\nb\nc"}))
    if "png" in outputs:
        made.append(new_output("display_data", data={"image/png": outputs["png"]}))
    return new_code_cell(source, metadata={"tags": list(tags)}, outputs=made)


def obedient():
    """A chapter at every limit: one more of anything is too much."""
    lines = "\n".join(f"x = {number}" for number in range(15))
    words = new_markdown_cell("word " * 3999 + "word\n\n```{exercise}\n:label: ex\n" + "word " * 500 + "\n```\n")
    solution = new_markdown_cell("````{solution} ex\n```python\nprint(1)\n```\n" + "word " * 500 + "\n````")
    return [
        words, solution,
        code("budget = 'cpu'", "parameters"),
        code("\n".join(["import torch"] * 40), "hide-input", text="line\n" * 100),
        code("\n".join(["import torch"] * 25), "from-scratch"),
        code("\n".join(["y = 2"] * 25), "from-scratch"),
        code(lines, text="line\n" * 50, html="<table>" + "<tr>" * 10 + "</table>"),
        *(code("plt.show()", png="aaaa") for _ in range(10)),
        *(code("z = 3") for _ in range(9)),
        code(""),
    ]  # fmt: skip


def test_a_chapter_at_every_limit_keeps_them():
    notebook = new_notebook(cells=obedient())
    assert counts(notebook) == LIMITS
    assert exceeded(notebook) == []


MORE = {
    "words": lambda cells: cells.append(new_markdown_cell("word")),
    "code cells": lambda cells: cells.append(code("z = 3")),
    "figures": lambda cells: cells[-2].outputs.append(new_output("display_data", data={"image/png": "aaaa"})),
    "lines in a cell": lambda cells: cells.__setitem__(-2, code("z = 3\n" * 16)),
    "lines in a from-scratch cell": lambda cells: cells.__setitem__(4, code("z = 3\n" * 26, "from-scratch")),
    "from-scratch cells": lambda cells: cells.__setitem__(-2, code("z = 3", "from-scratch")),
    "printed lines": lambda cells: cells.__setitem__(-2, code("z = 3", text="line\n")),
}


@pytest.mark.parametrize("limit", LIMITS)
def test_one_more_is_too_much(limit):
    cells = obedient()
    MORE[limit](cells)
    notebook = new_notebook(cells=cells)
    assert exceeded(notebook) == [f"{LIMITS[limit] + 1} {limit} (limit {LIMITS[limit]})"]


def test_rows_of_a_table_are_printed_lines():
    notebook = new_notebook(cells=[code("table", html="<table>" + "<tr><td>1</td></tr>" * 61 + "</table>")])
    assert counts(notebook)["printed lines"] == 61


@pytest.mark.parametrize("source", ["import torch", "def f():\n    from math import pi\n    return pi"])
@pytest.mark.parametrize(("tag", "folded"), [
    ("hide-input", True), ("hide-cell", True), ("remove-cell", True), ("from-scratch", True), ("hide-output", False),
])
def test_imports_are_folded(source, tag, folded):
    found = exceeded(new_notebook(cells=[code("x = 1"), code(source, tag)]))
    assert found == ([] if folded else ["code cell 2 imports and is not folded"])

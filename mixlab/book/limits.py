"""How much a chapter may hold and still be read: words, cells, figures, lines."""

import ast
import re

from nbformat import NotebookNode

from mixlab.book.execute import code_cells

LIMITS = {
    "words": 4000,  # without exercises and their solutions
    "code cells": 24,
    "figures": 10,
    "lines in a cell": 15,
    "lines in a from-scratch cell": 25,
    "from-scratch cells": 2,
    "printed lines": 60,  # rows of tables count as lines
}
# Cells with one of these tags are closed on the page until the reader opens them; their lines are not counted.
FOLDED = {"hide-input", "hide-cell", "remove-input", "remove-cell", "parameters"}
FROM_SCRATCH = "from-scratch"
EXERCISE = re.compile(r"^(`{3,}|:{3,})\{(exercise|solution).*?^\1\s*$", re.MULTILINE | re.DOTALL)


def counts(notebook: NotebookNode) -> dict[str, int]:
    """How much a chapter holds of what `LIMITS` limits.

    Args:
        notebook: the chapter with its outputs.

    Returns:
        A number under each name of `LIMITS`.

    Example:
        >>> from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
        >>> from mixlab.book.limits import counts
        >>> cells = [new_markdown_cell("Three plain words"), new_code_cell("x = 1\\nprint(x)")]
        >>> found = counts(new_notebook(cells=cells))
        >>> found["words"], found["lines in a cell"]
        (3, 2)
    """
    cells = code_cells(notebook)
    prose = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    shown = [cell for cell in cells if not tags(cell) & FOLDED]
    scratch = [cell for cell in cells if FROM_SCRATCH in tags(cell)]
    others = [cell for cell in shown if FROM_SCRATCH not in tags(cell)]
    return {
        "words": len(EXERCISE.sub("", prose).split()),
        "code cells": len(cells),
        "figures": sum("image/png" in output.get("data", {}) for cell in cells for output in cell.outputs),
        "lines in a cell": max(map(_lines, others), default=0),
        "lines in a from-scratch cell": max(map(_lines, scratch), default=0),
        "from-scratch cells": len(scratch),
        "printed lines": sum(_printed(output) for cell in shown for output in cell.outputs),
    }


def exceeded(notebook: NotebookNode) -> list[str]:
    """What a chapter has too much of, imports outside folded and `from-scratch` cells included.

    Args:
        notebook: the chapter with its outputs.

    Returns:
        One line for each limit that does not hold.

    Raises:
        SyntaxError: if a code cell is not plain Python (a magic, say).
    """
    reached = counts(notebook)
    found = [f"{reached[what]} {what} (limit {limit})" for what, limit in LIMITS.items() if reached[what] > limit]
    for number, cell in enumerate(code_cells(notebook), start=1):
        imports = any(isinstance(node, ast.Import | ast.ImportFrom) for node in ast.walk(ast.parse(cell.source)))
        if imports and not tags(cell) & (FOLDED | {FROM_SCRATCH}):
            found.append(f"code cell {number} imports and is not folded")
    return found


def tags(cell: NotebookNode) -> set[str]:
    """The tags of a cell."""
    return set(cell.metadata.get("tags", []))


def _lines(cell: NotebookNode) -> int:
    return len(cell.source.splitlines())


def _printed(output: NotebookNode) -> int:
    """The printed lines of an output and the rows of its table."""
    return len(output.get("text", "").splitlines()) + output.get("data", {}).get("text/html", "").count("<tr")

"""Cells tagged `from-scratch`: the method in plain torch, and the assertion after it that mixlab gives the same."""

import ast
import re
import symtable
from collections.abc import Iterator

from nbformat import NotebookNode

from mixlab.book.execute import code_cells
from mixlab.book.limits import FROM_SCRATCH, tags


def unfounded(notebook: NotebookNode) -> list[str]:
    """Where a chapter does not show its method from scratch.

    The rules: there is a cell tagged `from-scratch`. It does not name `mixlab`, not even in a string, and uses no
    name that an earlier cell imported from it, nor a function, lambda or class of an earlier cell that does; *values*
    made with mixlab, such as images, it may use. The next code cell asserts something (`assert`, or a function called
    `assert_...`, as in `torch.testing`) and uses both a name that the `from-scratch` cell binds and one of mixlab.
    That the assertion is *about* the library, a mutation shows: see `mixlab.book.mutate.assertion_holds`.

    Args:
        notebook: the chapter.

    Returns:
        One line for each fault.

    Raises:
        SyntaxError: if a code cell is not plain Python (a magic, say).
    """
    cells, found = code_cells(notebook), []
    if not any(FROM_SCRATCH in tags(cell) for cell in cells):
        found.append("no code cell is tagged from-scratch")
    borrowed: set[str] = set()  # names behind which the library stands
    for number, cell in enumerate(cells, start=1):
        tree, own = ast.parse(cell.source), _bound(cell.source)
        if FROM_SCRATCH in tags(cell):
            if "mixlab" in cell.source:
                found.append(f"code cell {number}, from-scratch, names mixlab")
            if used := borrowed & _read(cell.source):
                found.append(f"code cell {number}, from-scratch, uses {', '.join(sorted(used))} of mixlab")
            after = cells[number].source if number < len(cells) else ""
            library = _read(after) & (borrowed - own) or _imported(ast.parse(after))
            if not (_asserts(after) and _read(after) & own and library):
                found.append(f"code cell {number}, from-scratch: the next does not assert that mixlab gives the same")
        borrowed = borrowed - own | _imported(tree)
        for name, code in _code(tree):
            if _read(code) & borrowed or _imported(ast.parse(code)):
                borrowed.add(name)
    return found


def needed(notebook: NotebookNode, number: int) -> list[str]:
    """The code that a `from-scratch` cell and its assertion need, cell by cell, the assertion last.

    Args:
        notebook: a chapter.
        number: which of its `from-scratch` cells, from 1.

    Returns:
        The code of the cells up to the one that calls `setup()`, of the `from-scratch` cells up to this one, and of
        the code cell after it.

    Raises:
        ValueError: if the chapter has fewer such cells, or nothing comes after this one.
    """
    cells = code_cells(notebook)
    scratch = [index for index, cell in enumerate(cells) if FROM_SCRATCH in tags(cell)]
    if not 1 <= number <= len(scratch) or scratch[number - 1] + 1 == len(cells):
        raise ValueError(
            f"expected from-scratch cell {number} and a code cell after it, "
            f"received a chapter with {len(scratch)} from-scratch and {len(cells)} code cells"
        )
    starts = [index for index, cell in enumerate(cells) if re.search(r"\bsetup\(\)", cell.source)]
    chosen = [*range(starts[0] + 1 if starts else 0), *scratch[:number], scratch[number - 1] + 1]
    return [cells[index].source for index in chosen]


def _bound(source: str) -> set[str]:
    """The global names that a cell binds."""
    symbols = symtable.symtable(source, "cell", "exec").get_symbols()
    return {one.get_name() for one in symbols if one.is_assigned() or one.is_imported() or one.is_namespace()}


def _read(source: str) -> set[str]:
    """The global names that a cell reads, its functions included, and does not bind itself."""
    names, tables = set(), [symtable.symtable(source, "cell", "exec")]
    for table in tables:  # grows by the functions and classes inside
        for one in table.get_symbols():
            if one.is_referenced() and (one.is_global() or table is tables[0]):
                names.add(one.get_name())
        tables.extend(table.get_children())
    return names - _bound(source)


def _imported(tree: ast.AST) -> set[str]:
    """The names that imports from mixlab bind."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {one.asname or "mixlab" for one in node.names if one.name.split(".")[0] == "mixlab"}
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "mixlab":
            names |= {one.asname or one.name for one in node.names}
    return names


def _code(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """Name and source of every function, class and named lambda of a cell."""
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield node.name, ast.unparse(node)
        elif isinstance(node, ast.Assign) and isinstance(node.value, ast.Lambda):
            yield from ((one.id, ast.unparse(node.value)) for one in node.targets if isinstance(one, ast.Name))


def _asserts(source: str) -> bool:
    """Whether a cell has an `assert` or calls a function named `assert_...`."""
    for node in ast.walk(ast.parse(source)):
        called = getattr(node, "func", None)
        if isinstance(node, ast.Assert) or getattr(called, "attr", getattr(called, "id", "")).startswith("assert_"):
            return True
    return False

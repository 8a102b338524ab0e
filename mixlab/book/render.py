"""Render the book's sources and a set of executed chapters to a site."""

import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from mixlab import __version__
from mixlab.book.project import Project
from mixlab.book.views import VIEW, for_the_page

LEFT_OUT = ("_build", "results", ".ipynb_checkpoints")


class RenderError(RuntimeError):
    """The site has warnings or errors; the message holds what the renderer said."""


def render(project: Project, notebooks: Mapping[Path, NotebookNode], output: Path) -> Path:
    """Render the site; nothing is executed.

    Jupyter Book reads a copy of `book/` in which the given notebooks stand in for their sources, and every warning
    is an error: an unknown reference, a missing citation, a page that the table of contents names and nobody wrote.
    Where `_config.yml` says `{version}`, the site says the version of mixlab.

    Args:
        project: the book.
        notebooks: executed chapters by the path of their source; a chapter that is not given shows its stored
            outputs.
        output: the folder that gets `_build/html` and the copies of the sources and of the configuration.

    Returns:
        The path of the front page.

    Raises:
        RenderError: if Jupyter Book reports a warning or an error.
    """
    source = output / "_build" / "source"
    _mirror(project.book, source, {path.relative_to(project.book): book for path, book in notebooks.items()})
    config = output / "_build" / "config.yml"
    text = (project.root / "_config.yml").read_text(encoding="utf8")
    config.write_text(text.replace("{version}", __version__), encoding="utf8")
    command = [
        sys.executable, "-c", "from jupyter_book.cli.main import main; main()",
        "build", str(source), "--path-output", str(output), "--config", str(config),
        "--toc", str(project.root / "_toc.yml"), "-W", "-n", "--keep-going",
    ]  # fmt: skip
    # A build does not repeat the warnings of pages that it finds unchanged, so it starts from what a clean one left.
    memory = output / "_build" / ".doctrees"
    clean = memory / "clean"
    if not clean.exists():
        shutil.rmtree(memory, ignore_errors=True)
    clean.unlink(missing_ok=True)
    done = subprocess.run(command, cwd=project.root, capture_output=True, text=True)
    if done.returncode:
        raise RenderError(f"the site does not render cleanly:\n{done.stdout[-6000:]}\n{done.stderr[-6000:]}")
    clean.touch()
    return output / "_build" / "html" / "index.html"


def _mirror(book: Path, copy: Path, notebooks: Mapping[Path, NotebookNode]) -> None:
    """Make `copy` equal to `book` with other notebooks in it, touching only files that differ."""
    wanted = {}
    for path in sorted(book.rglob("*")):
        inside = path.relative_to(book)
        if path.is_file() and not set(inside.parts) & set(LEFT_OUT):
            wanted[inside] = path.read_bytes()
    wanted.update({inside: nbformat.writes(notebook).encode() for inside, notebook in notebooks.items()})
    for inside, content in wanted.items():
        if inside.suffix == ".ipynb" and VIEW.encode() in content:
            wanted[inside] = nbformat.writes(for_the_page(nbformat.reads(content, as_version=4))).encode()
    for path in [path for path in copy.rglob("*") if path.is_file()]:
        if path.relative_to(copy) not in wanted:
            path.unlink()
    for inside, content in wanted.items():
        path = copy / inside
        if not (path.is_file() and path.read_bytes() == content):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)

"""`mixlab data`: what sets there are, and how to get, check and carry them."""

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from mixlab.cli.options import one_line, tell_unreadable

app = typer.Typer(name="data", help="List, fetch, verify and pack data sets.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="A set's name, as `mixlab data list` shows it.")]
Root = Annotated[Path | None, typer.Option(help="Where sets lie; $MIXLAB_DATA, else ~/.cache/mixlab.")]


# What is told in one line; anything else is a mistake of ours.
TOLD = (ValueError, OSError, ImportError, MemoryError)


@contextmanager
def _one_line() -> Iterator[None]:
    """End with exit code 2 and one line where something expected goes wrong."""
    try:
        yield
    except TOLD as error:
        typer.echo(f"error: {one_line(error)}", err=True)
        raise typer.Exit(2) from None


@contextmanager
def _swept() -> Iterator[None]:
    """End on a SIGTERM as on an error, by way of every clean-up, with the exit code that a shell reports for it."""
    def end(*_: object) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # a second one does not cut the clean-up short
        sys.exit(128 + signal.SIGTERM)

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@app.command("list")
def list_sets(root: Root = None) -> None:
    """Show the sets mixlab knows, and which of them are there."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    from mixlab.data.registry import SOURCES, data_root, survey

    folder = data_root(root)
    found = survey(folder)
    columns = ("name", "train", "test", "picture", "classes", "from", "there")
    table = Table(*columns, box=SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    table.columns[0].no_wrap = True  # names are what commands take: whole in a narrow terminal, too
    for source in SOURCES.values():
        train, test = (f"{rows:,}" for rows in source.rows)
        there = "unreadable" if isinstance(found[source.name], OSError) else found[source.name] or "no"
        size = "x".join(map(str, source.shape))
        table.add_row(source.name, train, test, size, str(len(source.classes)), source.origin, there)
    Console().print(table)
    typer.echo(f"root: {folder}")
    tell_unreadable(found)


@app.command()
def fetch(name: Name, root: Root = None) -> None:
    """Download a set, verify it, and put it into the root."""
    from mixlab.data.fetch import fetch as fetch_set
    from mixlab.data.registry import data_root, find

    with _one_line(), _swept():
        source, folder = find(name), data_root(root)
        if source.download is None:
            typer.echo(f"{name} comes with {source.origin}: there is nothing to fetch")
        elif fetch_set(source, folder):
            typer.echo(f"{name} is now in {folder}")
        else:
            typer.echo(f"{name} is in {folder} and whole")


@app.command()
def verify(
    name: Annotated[str | None, typer.Argument(help="A set's name; without, all that are there.")] = None,
    root: Root = None,
) -> None:
    """Read sets and compare their checksums; exit code 1 where one is damaged or cannot be read."""
    from mixlab.data.registry import SOURCES, data_root, find, state, survey

    with _one_line():
        folder = data_root(root)
        found = {name: state(find(name), folder)} if name else survey(folder)
        if name and found[name] is None:
            find(name).rows_from(folder)  # raises, and says how to get the set
    tell_unreadable(found)
    whole = [_holds(SOURCES[one], folder) for one, there in found.items() if isinstance(there, str)]
    if not all(whole) or any(isinstance(there, OSError) for there in found.values()):
        raise typer.Exit(1)


def _holds(source, folder: Path) -> bool:
    """Read a set and say how that went, in one line."""
    try:
        train, test = source.rows_from(folder)
    except TOLD as error:
        what = "damaged" if isinstance(error, ValueError) else "cannot be read"
        typer.echo(f"{source.name}: {what}: {one_line(error)}", err=True)
        return False
    typer.echo(f"{source.name}: whole, {len(train):,} + {len(test):,} rows")
    return True


@app.command()
def pack(
    name: Name,
    out: Annotated[Path, typer.Option(help="The set goes into a new folder NAME below this one.")],
    root: Root = None,
) -> None:
    """Write a set as archives that a machine without a network can read."""
    from mixlab.data.pack import write_packed
    from mixlab.data.registry import data_root, find

    with _one_line(), _swept():
        source = find(name)
        if source.download is None:
            raise ValueError(f"expected a set to pack, received {name}, which comes with {source.origin}")
        if (out / name).exists():
            raise FileExistsError(f"expected a new folder, received {out / name}, which is there")
        write_packed(out / name, *source.rows_from(data_root(root)), source.classes, progress=True)
        typer.echo(f"{name} is packed in {out / name}: copy that folder into the root of the other machine")

"""`mixlab data`: what sets there are, and how to get, check and carry them."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(name="data", help="List, fetch, verify and pack data sets.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="A set's name, as `mixlab data list` shows it.")]
Root = Annotated[Path | None, typer.Option(help="Where sets lie; $MIXLAB_DATA, else ~/.cache/mixlab.")]


@contextmanager
def _one_line() -> Iterator[None]:
    """End with exit code 2 and one line where something expected goes wrong."""
    try:
        yield
    except (ValueError, OSError, ImportError, MemoryError) as error:
        typer.echo("error: " + (" ".join(str(error).split()) or type(error).__name__), err=True)
        raise typer.Exit(2) from None


@app.command("list")
def list_sets(root: Root = None) -> None:
    """Show the sets mixlab knows, and which of them are there."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    from mixlab.data.registry import SOURCES, data_root, state

    folder = data_root(root)
    columns = ("name", "train", "test", "picture", "classes", "from", "there")
    table = Table(*columns, box=SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    table.columns[0].no_wrap = True  # names are what commands take: whole in a narrow terminal, too
    for source in SOURCES.values():
        train, test = (f"{rows:,}" for rows in source.rows)
        there = state(source, folder) or "no"
        size = "x".join(map(str, source.shape))
        table.add_row(source.name, train, test, size, str(len(source.classes)), source.origin, there)
    Console().print(table)
    typer.echo(f"root: {folder}")


@app.command()
def fetch(name: Name, root: Root = None) -> None:
    """Download a set, verify it, and put it into the root."""
    from mixlab.data.fetch import fetch as fetch_set
    from mixlab.data.registry import data_root, find

    with _one_line():
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
    """Read sets and compare their checksums; exit code 1 where one is damaged."""
    from mixlab.data.registry import SOURCES, data_root, find, state

    folder = data_root(root)
    with _one_line():
        chosen = [find(name)] if name else [one for one in SOURCES.values() if state(one, folder)]
        whole = [_holds(source, folder) for source in chosen]
    if not all(whole):
        raise typer.Exit(1)


def _holds(source, folder: Path) -> bool:
    """Read a set and say how that went, in one line."""
    try:
        train, test = source.rows_from(folder)
    except ValueError as error:
        typer.echo(f"{source.name}: damaged: " + " ".join(str(error).split()), err=True)
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

    with _one_line():
        source = find(name)
        if source.download is None:
            raise ValueError(f"expected a set to pack, received {name}, which comes with {source.origin}")
        if (out / name).exists():
            raise FileExistsError(f"expected a new folder, received {out / name}, which is there")
        write_packed(out / name, *source.rows_from(data_root(root)), source.classes, progress=True)
        typer.echo(f"{name} is packed in {out / name}: copy that folder into the root of the other machine")

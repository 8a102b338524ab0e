"""The command `mixlab`: one file per sub-command, which imports what it needs when it is called.

A sub-command whose requirements are not installed is still listed and says in one line what it lacks; the others work.
Bad input ends in one line on standard error and exit status 2.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from typing import Annotated

import typer

from mixlab import __version__

COMMANDS = ("train", "mix", "score", "select", "generate", "search", "reproduce", "data", "book", "bench", "info")
# What a user or the machine can be told in one line; anything else is a mistake of ours and keeps its traceback.
TOLD = (ValueError, FloatingPointError, OSError, ImportError, MemoryError)

app = typer.Typer(
    name="mixlab", no_args_is_help=True, pretty_exceptions_enable=False,
    help="Image mixing: train, reproduce the book's experiments, look after data, run the book.",
)


def _print_version(asked: bool) -> None:
    if asked:
        typer.echo(f"mixlab {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[bool, typer.Option("--version", callback=_print_version, is_eager=True,
                                          help="Print the version and exit.")] = False,
) -> None:
    """What stands before a sub-command."""


def _mount(name: str) -> None:
    """Add one sub-command, or a stand-in that says why it is not there."""
    try:
        sub = importlib.import_module(f"mixlab.cli.{name}").app
    except ImportError as error:
        if (error.name or "").startswith("mixlab."):  # a mistake of ours, no missing requirement
            raise
        app.command(name, context_settings={"allow_extra_args": True, "ignore_unknown_options": True})(
            _unavailable(f"mixlab {name} cannot run here: {error}"))
        return
    if len(sub.registered_commands) == 1 and not sub.registered_callback and not sub.registered_groups:
        only = sub.registered_commands[0]
        app.command(name, context_settings=only.context_settings)(only.callback)
    else:
        app.add_typer(sub, name=name)


def _unavailable(reason: str) -> Callable[[], None]:
    def command() -> None:
        """Not available: a requirement is not installed."""
        raise ImportError(reason)

    return command


for _name in COMMANDS:
    _mount(_name)


def main() -> None:
    """Run the command; end with status 2 and one line where the input or the machine does not fit."""
    try:
        app()
    except TOLD as error:
        print(f"mixlab: {' '.join(str(error).split()) or type(error).__name__}", file=sys.stderr)
        sys.exit(2)

"""`mixlab reproduce`: do the runs of an experiment that have no record yet."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer()


@app.command()
def reproduce(
    name: Annotated[str, typer.Argument(help="An experiment; `list` shows them.")],
    jobs: Annotated[int, typer.Option(help="Runs at a time, each with one thread.")] = 1,
    budget: Annotated[str, typer.Option(help="cpu, gpu or paper.")] = "cpu",
    root: Annotated[Path | None, typer.Option(help="Folder of the records (book/results).")] = None,
    work: Annotated[Path | None, typer.Option(help="Folder for checkpoints and logs (runs).")] = None,
) -> None:
    """Do the missing runs of an experiment; stop and start again at will."""
    from mixlab.reproduce import get, missing, names, run

    if name == "list":
        for each in names():
            experiment = get(each, budget)
            done = len(experiment.runs) - len(missing(experiment, root))
            typer.echo(f"{each}: {done} of {len(experiment.runs)} runs have a record")
        return
    failures = run(get(name, budget), root, jobs, work=work, progress=True)
    for each, error in failures.items():
        typer.echo(f"{each}: {error}", err=True)
    left = len(missing(get(name, budget), root))
    typer.echo(f"{name}: {'all runs have a record' if left == 0 else f'{left} runs are missing'}")
    if failures:
        raise typer.Exit(1)

"""`mixlab book`: run chapters, render the site, keep the stored outputs true."""

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from mixlab.book.execute import Execution
    from mixlab.book.project import Project

app = typer.Typer(
    name="book",
    help="Run the book's chapters and render its site (in a checkout, with the extra `book`).",
    no_args_is_help=True,
)

Budget = Annotated[str, typer.Option(help="cpu (a minute a chapter), gpu, or paper (the papers' sizes).")]
One = Annotated[str | None, typer.Argument(help="Only this chapter: its name or the start of it, such as 02.")]


@app.command()
def run(
    chapter: Annotated[str, typer.Argument(help="A chapter's name or the start of it, such as 02.")],
    budget: Budget = "cpu",
    out: Annotated[Path | None, typer.Option(help="Where the executed copy goes.")] = None,
) -> None:
    """Run one chapter from nothing into a copy; the chapter itself stays as it is."""
    from mixlab.book.execute import ChapterError, execute, write
    from mixlab.book.project import Project

    project = Project.find()
    path = project.chapter(chapter)
    out = out or project.output / "runs" / f"{path.stem}-{budget}.ipynb"
    if out.is_dir():
        raise ValueError(f"expected a file for the executed copy, received the folder {out}")
    if _without_gpu(budget):
        typer.echo(f"There is no GPU: {path.stem} runs on the CPU at budget {budget}, which may take hours.", err=True)
    try:
        with _bar(path.stem) as progress:
            execution = execute(path, budget, progress)
    except ChapterError as error:
        raise _stop(error) from None
    write(execution.notebook, out)
    typer.echo(f"{path.stem}: {execution.seconds:.0f} s at budget {budget}, {out}")
    _report_outside([execution])


@app.command()
def build(chapter: One = None, budget: Budget = "cpu") -> None:
    """Run every chapter whose code or surroundings changed, and render the site.

    With a chapter's name only that one is run; the pages of all others show the outputs that are stored in them.
    Budgets other than cpu need a GPU where there is something to run.
    """
    from mixlab.book.project import Project
    from mixlab.book.render import RenderError, render

    project = Project.find()
    _check_gpu(project, budget, chapter)
    executions = _executions(project, budget, chapter)
    typer.echo("Rendering the site", err=True)
    try:
        index = render(project, {one.chapter: one.notebook for one in executions}, project.book)
    except RenderError as error:
        raise _stop(error) from None
    typer.echo(f"The book: {index}")
    _report_outside(executions)


@app.command()
def store(chapter: One = None) -> None:
    """Run what changed, and write the outputs into the chapters (nothing else in them changes).

    With a chapter's name only that one is run and written.
    """
    import nbformat

    from mixlab.book.execute import with_outputs, write
    from mixlab.book.project import Project

    executions = _executions(Project.find(), "cpu", chapter)
    for one in executions:
        # Read again: somebody may have written while the chapters ran.
        present = nbformat.read(one.chapter, as_version=4)
        try:
            write(with_outputs(present, one.notebook), one.chapter)
        except ValueError:
            raise _stop(f"the code of {one.chapter.stem} changed while it ran: store it again") from None
    typer.echo("Stored outputs are up to date.")
    _report_outside(executions)


@app.command()
def new(
    name: Annotated[str, typer.Argument(help="Two digits and words in small letters, such as 04-lamix.")],
    title: Annotated[str | None, typer.Option(help="The heading; from the name where it is not given.")] = None,
) -> None:
    """Write a chapter to begin with, in the order of the book's pages, and say what else it needs."""
    from mixlab.book.project import Project
    from mixlab.book.skeleton import begin

    typer.echo(begin(Project.find(), name, title))


@app.command()
def status(budget: Budget = "cpu") -> None:
    """Say which chapters a build would run, and how long each took."""
    from mixlab.book.execute import last
    from mixlab.book.project import Project

    project = Project.find()
    for chapter in project.notebooks():
        seconds = last(project, chapter, budget)
        typer.echo(f"{chapter.stem:<32} " + ("to run" if seconds is None else f"up to date, took {seconds:.0f} s"))


@app.command()
def mutate() -> None:
    """Break one fact at a time in a copy of mixlab, and show that the test of the chapter about it notices.

    Where a fact names a from-scratch cell, the assertion after that cell has to notice, too.
    """
    from mixlab.book.mutate import MUTATIONS, chapter_passes, survives, survives_from_scratch
    from mixlab.book.project import Project

    project = Project.find()
    failed, sound = 0, {}
    with _bar("chapters tested") as progress:
        for number, mutation in enumerate(MUTATIONS):
            progress(number, len(MUTATIONS))
            chapter = mutation.chapter
            # Without this control, a chapter that fails for another reason would seem to notice everything.
            if chapter not in sound:
                sound[chapter] = chapter_passes(project, chapter, project.root)
                if not sound[chapter]:
                    typer.echo(f"{chapter}: its test fails with the library as it is")
                    failed += 1
            if not sound[chapter]:
                continue
            outcomes = {mutation.file: survives(project, mutation)}
            if mutation.from_scratch:
                outcomes[f"from-scratch cell {mutation.from_scratch}"] = survives_from_scratch(project, mutation)
            for where, lived in outcomes.items():
                failed += lived
                typer.echo(f"{chapter}: {mutation.fact} ({where}): {'NOT NOTICED' if lived else 'noticed'}")
    if failed:
        raise typer.Exit(1)


def _check_gpu(project: "Project", budget: str, only: str | None) -> None:
    """Refuse chapters that a GPU is needed for, where there is none, before the first of them runs.

    A dry run needs none, and neither does a build of remembered runs.
    """
    from mixlab.book.execute import last

    if not _without_gpu(budget):
        return
    chosen = _chosen(project, only)
    if waiting := sum(last(project, chapter, budget) is None for chapter in chosen):
        raise ValueError(f"expected a GPU for --budget {budget}, received none, and {waiting} of {len(chosen)} "
                         "chapters to run: build with --budget cpu, or on a machine with a GPU")


def _without_gpu(budget: str) -> bool:
    """Whether a budget wants a GPU and there is none; a dry run wants none."""
    import torch

    from mixlab.book.chapter import dry_run

    return budget != "cpu" and not dry_run() and not torch.cuda.is_available()


def _chosen(project: "Project", only: str | None) -> list[Path]:
    """Every chapter and appendix, or only one."""
    return project.notebooks() if only is None else [project.chapter(only)]


def _executions(project: "Project", budget: str, only: str | None) -> list["Execution"]:
    """Every chapter and appendix, or only one, with its present outputs; prints what each took."""
    from mixlab.book.execute import ChapterError, executed

    done = []
    for chapter in _chosen(project, only):
        try:
            with _bar(chapter.stem) as progress:
                one = executed(project, chapter, budget, progress)
        except ChapterError as error:
            raise _stop(error) from None
        done.append(one)
        note = "" if one.fresh else " (unchanged, not run again)"
        typer.echo(f"{chapter.stem:<32} {one.seconds:5.0f} s{note}")
    return done


def _report_outside(executions: list["Execution"]) -> None:
    """End in an error where a chapter's check found its number outside the interval."""
    lines = [f"{one.chapter.stem}: {line}" for one in executions for line in one.outside()]
    if lines:
        raise _stop("\n".join(["Some numbers lie outside the intervals that the text claims:", *lines]))


@contextmanager
def _bar(title: str):
    """A progress bar over the cells of a chapter, on a terminal only."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    console = Console(stderr=True)
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(title, total=None)
        yield lambda done, cells: progress.update(task, completed=done, total=cells)


def _stop(error: object) -> typer.Exit:
    typer.echo(str(error), err=True)
    return typer.Exit(1)

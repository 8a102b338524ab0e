"""`mixlab bench`: the benchmarks of a checkout."""

import subprocess
import sys

import typer

app = typer.Typer()


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def bench(context: typer.Context, name: str = typer.Argument("mixers", help="A file of benchmarks/.")) -> None:
    """Run benchmarks/NAME.py of the checkout.

    `mixers`: mixing beside its peers. `bandwidth`: mixing beside a copy of the batch. `solvers`: Puzzle Mix and
    Co-Mixup beside alpha-beta swap and beside a training step, SuperMix beside the loop that its authors released.

    Further options go to it: `mixlab bench mixers --processes 1`.
    """
    from mixlab.book.project import Project

    folder = Project.find().root / "benchmarks"
    known = sorted(path.stem for path in folder.glob("*.py"))
    if name not in known:
        raise ValueError(f"expected a benchmark of {', '.join(known)}, received {name!r}")
    raise typer.Exit(subprocess.run([sys.executable, folder / f"{name}.py", *context.args]).returncode)

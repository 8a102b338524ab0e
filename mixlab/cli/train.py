"""`mixlab train`: one run, from names to a trained network."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from mixlab.reproduce.plan import Run
    from mixlab.train import Result

app = typer.Typer()
MANIFOLD_LAYERS = ["", "stage1", "stage2"]


@app.command()
def train(
    data: Annotated[str, typer.Option(help="Name of a data set; `mixlab data list` shows them.")],
    model: Annotated[str, typer.Option(help="Name of a network, e.g. preact-resnet18.")],
    mixer: Annotated[str, typer.Option(help="Name of a mixer, e.g. dcutmix; `none` is ERM.")] = "none",
    k: Annotated[int | None, typer.Option(help="Images per mix.")] = None,
    alpha: Annotated[float | None, typer.Option(help="Concentration of the Beta or Dirichlet.")] = None,
    probability: Annotated[float | None, typer.Option(help="Part of the batches that is mixed.")] = None,
    pairing: Annotated[str | None, typer.Option(help="Partners: distinct, or the papers' permutation; else the "
                                                "budget's.")] = None,
    manifold: Annotated[bool, typer.Option("--manifold", help="Mix hidden layers too.")] = False,
    layer: Annotated[list[str] | None, typer.Option(help="A layer for --manifold to mix at, '' for the images; may "
                                                    "be repeated.")] = None,
    budget: Annotated[str, typer.Option(help="cpu, gpu or paper: recipe, width, limit, precision.")] = "cpu",
    recipe: Annotated[str | None, typer.Option(help="Name of a recipe, instead of the budget's.")] = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="Length; the schedule is stretched.")] = None,
    width: Annotated[int | None, typer.Option(min=1, help="Channels of the first stage.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Training images.")] = None,
    dropout: Annotated[float | None, typer.Option(help="Dropout rate of the network.")] = None,
    seed: Annotated[int, typer.Option(help="Of everything that is drawn.")] = 0,
    out: Annotated[Path | None, typer.Option(help="Folder for checkpoints, curves and the record.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue the run in --out; say so if there is none yet, "
                                         "and start it.")] = False,
    every: Annotated[int | None, typer.Option(min=1, help="Steps between checkpoints in --out.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    precision: Annotated[str | None, typer.Option(help="32-true or bf16-mixed.")] = None,
    compile: Annotated[bool | None, typer.Option(help="Compile the network.")] = None,
    processes: Annotated[int, typer.Option(min=1, help="Processes that share each batch.")] = 1,
    log: Annotated[str, typer.Option(help="Curves in --out: csv, or tensorboard as well.")] = "csv",
) -> None:
    """Train a network and print its test error."""
    from mixlab.reproduce.plan import Run
    from mixlab.risk.registry import RISKS
    from mixlab.train import write_record
    from mixlab.train.recipes import budget as known_budget

    # Of the processes that a launcher has started, the first one looks after the folder and tells the result.
    first = os.environ.get("RANK", "0") == "0"
    if out is None:
        _check_no_folder(resume, every, log)
    elif first:
        _check_folder(out, resume)
    limits = known_budget(budget)
    risk = _risk(_mixer(mixer, k, alpha, pairing, limits.pairing), probability, manifold, layer)
    run = Run(
        name=f"{mixer}-s{seed}", row=mixer, data=data, model=model, risk=risk,
        recipe=recipe or limits.recipe, seed=seed, epochs=epochs, limit=limit or _limit(data, limits.limit),
        width=width or (limits.width if model.startswith("preact") else None),
        options={} if dropout is None else {"dropout": dropout}, device=device,
        precision=precision or limits.precision,
        compile=limits.compile and RISKS[risk["name"]].compilable if compile is None else compile,
    )
    result = _carry_out(run, out, processes=processes, every=every, log=log, progress=True)
    if first and out is not None:
        config = run.as_dict() | {"processes": processes}  # partners and batch statistics are those of a process
        record = result.record(experiment="train", row=run.row, budget=budget, seed=seed, config=config)
        write_record(out / "record.json", record)
    if first:
        _show(run, result)


def _check_no_folder(resume: bool, every: int | None, log: str) -> None:
    """Refuse what would be written to, or read from, a folder that is not given."""
    asked = {"--resume": resume, "--every": every is not None, "--log tensorboard": log == "tensorboard"}
    given = [name for name, there in asked.items() if there]
    if given:
        raise ValueError(f"expected --out with {', '.join(given)}, received none")


def _check_folder(out: Path, resume: bool) -> None:
    """Refuse to mix a new run with what is there; say where a run to be continued is not."""
    from mixlab.train.checkpoint import LAST, NEW, PREVIOUS
    from mixlab.train.lock import LOCK

    names = {path.name for path in out.iterdir()} if out.exists() else set()
    if not resume and names - {LOCK}:
        raise ValueError(f"{out} is not empty: pass --resume to continue the run in it, or choose another folder")
    if resume and not names & {NEW, LAST, PREVIOUS}:
        # A run that was killed early has curves and half-written files at most; anything else is somebody's.
        if others := sorted(name for name in names - {LOCK, "curves.csv"} if not name.startswith((".", "events."))):
            raise ValueError(f"{out} has no checkpoint to continue, but {others[0]}: choose another folder")
        typer.echo(f"there is nothing to continue in {out}: a new run starts", err=True)


def _carry_out(run: Run, out: Path | None, **options) -> Result:
    """Train; too little memory, on the GPU or beside it, is told in one line."""
    from mixlab.reproduce.execute import train as fitted

    try:
        return fitted(run, out, **options)[2]
    except RuntimeError as error:
        if not (found := re.search(r"(CUDA out of memory|can't allocate memory|not enough memory)[^.]*", str(error))):
            raise
        raise MemoryError(f"{found[0]}: choose a smaller --width or --precision bf16-mixed") from error


def _limit(data: str, limit: int | None) -> int | None:
    """The budget's number of training images, if the set has more; a small set is used whole."""
    from mixlab.data.registry import find

    return None if limit is None or find(data).rows[0] <= limit else limit


def _mixer(name: str, k: int | None, alpha: float | None, pairing: str | None, usual: str) -> dict:
    """The mixer that the options say, in names; its partners drawn as usual in the budget, where it has any."""
    from mixlab.mixers.base import PartnerMixer
    from mixlab.mixers.registry import MIXERS

    if pairing is None and usual != "distinct" and issubclass(MIXERS.get(name, PartnerMixer), PartnerMixer):
        pairing = usual
    options = {"k": k, "alpha": alpha, "pairing": pairing}
    return {"name": name} | {option: value for option, value in options.items() if value is not None}


def _risk(mixer: dict, probability: float | None, manifold: bool, layers: list[str] | None) -> dict:
    """What the options say is minimised."""
    if layers and not manifold:
        raise ValueError("expected --manifold with --layer, received none")
    if mixer["name"] == "none":
        if manifold or probability is not None or set(mixer) != {"name"}:
            raise ValueError(
                "expected a --mixer with --k, --alpha, --pairing, --probability or --manifold, received none"
            )
        return {"name": "empirical"}
    spec = mixer if probability is None else {"name": "sometimes", "p": probability, "mixer": mixer}
    if manifold:
        return {"name": "manifold", "mixer": spec, "layers": layers or MANIFOLD_LAYERS}
    return {"name": "vicinal", "mixer": spec}


def _show(run: Run, result: Result) -> None:
    """A short table: last epoch, best epoch by validation."""
    from rich.console import Console
    from rich.table import Table

    table = Table(title=f"{run.model} on {run.data}, {run.row}, seed {run.seed}")
    for name in ("", "epoch", "test error %", "test loss", "validation error %"):
        table.add_column(name)
    for name, values in (("last epoch", result.last), ("best epoch (validation)", result.best)):
        if values:
            table.add_row(name, str(values["epoch"]), *(
                f"{values[key]:.{digits}f}" if key in values else "" for key, digits in
                (("test_error", 2), ("test_loss", 3), ("validation_error", 2))))
    console = Console()
    console.print(table)
    console.print(f"{result.seconds:.0f} s on {result.origin['device']}")

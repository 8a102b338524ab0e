"""`mixlab mix`: write mixed images to a folder, to train on them often."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mixlab.cli.options import data_for, device_named, named_values, teacher_for

if TYPE_CHECKING:
    from mixlab.data import Split
    from mixlab.mixers import Mixer
    from mixlab.models import Teacher

app = typer.Typer()
SOLVER = "supermix"  # the method that asks a teacher how to mix, and whether it succeeded


@app.command()
def mix(
    data: Annotated[str, typer.Option(help="Name of the data set to mix; `mixlab data list` shows them.")],
    method: Annotated[str, typer.Option(help="Name of a mixer: supermix, which needs a --teacher, or cutmix, mixup and "
                                        "others that need no saliency.")],
    out: Annotated[Path, typer.Option(help="Folder for the set: new or empty, or one in which it was begun.")],
    count: Annotated[int, typer.Option(help="Mixed images to write.")],
    teacher: Annotated[Path | None, typer.Option(help="File of `mixlab train --save-teacher`.")] = None,
    distinct: Annotated[bool, typer.Option("--distinct", help="Partners of distinct classes, as the teacher sees them: "
                                           "supermix always mixes such.")] = False,
    keep: Annotated[str | None, typer.Option(help="success, the mixes in which the teacher sees what it should, or "
                                             "best, all of them; else success for supermix and best for "
                                             "others.")] = None,
    mixer_option: Annotated[list[str] | None, typer.Option(help="A setting of the mixer, NAME=VALUE, e.g. k=3 or "
                                                           "alpha=1; may be repeated.")] = None,
    limit: Annotated[int | None, typer.Option(help="Training images to mix.")] = None,
    validation: Annotated[float | None, typer.Option(help="Part of the training images that is held out, and not "
                                                     "mixed; else a tenth, or that of the --subset.")] = None,
    subset: Annotated[Path | None, typer.Option(help="Mix the rows in this file of `mixlab select`, with each "
                                                "other.")] = None,
    seed: Annotated[int, typer.Option(help="Of the held-out images, the limit, and all that is drawn.")] = 0,
    batch_size: Annotated[int, typer.Option(help="Images that are mixed with each other.")] = 100,
    per_shard: Annotated[int, typer.Option(help="Mixes that are drawn for each file of the set.")] = 500,
    masks: Annotated[bool, typer.Option("--masks/--no-masks", help="Whether the set keeps its masks.")] = True,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
) -> None:
    """Write a set of mixed images; given again, the same command goes on where it was stopped."""
    import time

    from mixlab.distill import write_mixed

    begun = time.monotonic()
    place, loaded = device_named(device), data_for(data, limit, validation, subset, seed)
    asked = None if teacher is None else teacher_for(loaded, teacher)
    mixer = _mixer(method, named_values("--mixer-option", mixer_option), asked, distinct)
    about = write_mixed(
        mixer, _on(loaded.train, place), out, count=count, mean=loaded.mean, std=loaded.std, classes=loaded.classes,
        keep=keep or ("success" if method == SOLVER else "best"), seed=seed, batch_size=batch_size,
        per_shard=per_shard, source=loaded.name, masks=masks, progress=True,
    )
    _show(about, out, time.monotonic() - begun)


def _mixer(method: str, options: dict, teacher: Teacher | None, distinct: bool) -> Mixer:
    """The mixer that the options say."""
    from mixlab.mixers import DistinctPredictions, from_config

    solver = method == SOLVER
    if solver and distinct:
        raise ValueError("expected --distinct with another --method than supermix, which mixes no other images")
    if (teacher is None) == (solver or distinct):
        raise ValueError(f"expected a --teacher with {SOLVER} or --distinct and with nothing else, received "
                         f"{'none' if teacher is None else 'one'} with --method {method}")
    mixer = from_config({"name": method, **options} | ({"teacher": teacher} if solver else {}))
    return DistinctPredictions(mixer, teacher) if distinct else mixer


def _on(split: Split, device: str) -> Split:
    """The rows on a device."""
    from dataclasses import replace

    return replace(split, images=split.images.to(device), labels=split.labels.to(device), rows=split.rows.to(device))


def _show(about: dict, folder: Path, seconds: float) -> None:
    """What was kept, and what it took."""
    from mixlab.data.mixed import read_parts

    typer.echo(f"kept {about['count']} images in {folder}; {about['drawn']} were drawn in {about['shards']} shards")
    if about["success_rate"] is not None:
        parts = read_parts(folder, ["success", "iterations"])
        well = parts["iterations"][parts["success"]]
        ending = f", {well.double().mean():.1f} where it succeeded" if len(well) else ""
        typer.echo(f"success rate {about['success_rate']:.3f}, {about['iterations']:.1f} iterations a mix on average"
                   f"{ending}")
    typer.echo(f"{seconds:.0f} s")

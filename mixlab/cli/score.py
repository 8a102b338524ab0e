"""`mixlab score`: how much a network's loss on each image varies with what is mixed around it."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mixlab.cli.options import data_for, device_named, teacher_for

if TYPE_CHECKING:
    from mixlab.bayes import Scores

app = typer.Typer()


@app.command()
def score(
    data: Annotated[str, typer.Option(help="Name of the data set to score; `mixlab data list` shows them.")],
    scorer: Annotated[Path, typer.Option(help="The network that is asked: a file of `mixlab train --save-teacher`.")],
    out: Annotated[Path, typer.Option(help="New file for the scores.")],
    draws: Annotated[int, typer.Option(help="Composites of each image, and as many passes of the network.")] = 256,
    k: Annotated[int, typer.Option(help="Images in a composite.")] = 5,
    alpha: Annotated[float, typer.Option(help="Concentration of the Dirichlet.")] = 0.2,
    anchor_share: Annotated[float, typer.Option(help="Part of a composite that is the image itself.")] = 0.5,
    form: Annotated[str, typer.Option(help="boxes, as dcutmix mixes, or blend, as dmixup does.")] = "boxes",
    companion_sets: Annotated[int | None, typer.Option(help="Different sets of images around it; else a new one for "
                                                       "every draw.")] = None,
    loss: Annotated[str, typer.Option(help="ce, the cross-entropy, or kl, that less the label's entropy.")] = "ce",
    limit: Annotated[int | None, typer.Option(help="Training images to score.")] = None,
    validation: Annotated[float | None, typer.Option(help="Part of the training images that is held out, and not "
                                                     "scored; else a tenth, or that of the --subset.")] = None,
    subset: Annotated[Path | None, typer.Option(help="Score the rows in this file of `mixlab select`, with each other "
                                                "for companions.")] = None,
    seed: Annotated[int, typer.Option(help="Of the held-out images, the limit, and all that is drawn.")] = 0,
    batch_size: Annotated[int, typer.Option(help="Images at a time.")] = 500,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
) -> None:
    """Score every training image; given again, the same command goes on where it was stopped."""
    import time

    from mixlab import bayes

    begun = time.monotonic()
    if out.exists():
        raise ValueError(f"expected a new file for the scores, received {out}, which is there")
    place, loaded = device_named(device), data_for(data, limit, validation, subset, seed)
    # Running moments lie beside the scores until these are written.
    moments = out.with_name(f"{out.name}.moments")
    scores = bayes.score(
        teacher_for(loaded, scorer), loaded.train, mean=loaded.mean, std=loaded.std, num_classes=loaded.num_classes,
        k=k, alpha=alpha, anchor_share=anchor_share, form=form, draws=draws, companion_sets=companion_sets, loss=loss,
        seed=seed, source=loaded.name, batch_size=batch_size, device=place, folder=moments, progress=True,
    )
    scores.save(out)
    _remove(moments)
    _show(scores, loaded.classes, out, time.monotonic() - begun)


def _remove(folder: Path) -> None:
    """Remove the folder of running moments, with what killed writers have left there; any other file stays."""
    for pattern in ("moments-*.npz", ".moments-*.tmp"):
        for file in folder.glob(pattern):
            file.unlink()
    with suppress(OSError):
        folder.rmdir()


def _show(scores: Scores, classes: tuple[str, ...], out: Path, seconds: float) -> None:
    """Mean of the mean losses and of the coefficients of variation, class by class."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    frame = scores.as_frame()
    table = Table("class", "images", "mean loss", "CV", box=SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    for label, rows in frame.groupby("label"):
        table.add_row(classes[label], str(len(rows)), f"{rows['mean'].mean():.3f}", f"{rows['CV'].mean():.3f}")
    table.add_section()
    table.add_row("all", str(len(frame)), f"{frame['mean'].mean():.3f}", f"{frame['CV'].mean():.3f}")
    Console().print(table)
    typer.echo(f"scored {len(frame)} images with {scores.draws} draws each into {out}; {seconds:.0f} s")

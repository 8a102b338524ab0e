"""`mixlab search`: look for the cells of a network on the training images of a set."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mixlab.cli.options import data_for, device_named, generator_for, remove_run

app = typer.Typer(name="search", help="Search for an architecture.")


@app.command()
def search(
    data: Annotated[str, typer.Option(help="Name of the data set; `mixlab data list` shows them.")],
    out: Annotated[Path, typer.Option(help="New file for the genotype, JSON.")],
    layers: Annotated[int, typer.Option(help="Cells of the supernet; those at a third and two thirds halve the "
                                        "sides.")] = 8,
    channels: Annotated[int, typer.Option(help="Channels of a node of the first cells; twice --parts divides "
                                          "them.")] = 16,
    nodes: Annotated[int, typer.Option(help="Nodes of a cell.")] = 4,
    parts: Annotated[int, typer.Option(help="K: operations see one K-th of the channels.")] = 4,
    recipe: Annotated[str, typer.Option(help="search-bench, or the paper's, search-paper.")] = "search-bench",
    epochs: Annotated[int | None, typer.Option(min=1, help="Length; the schedule is stretched.")] = None,
    batch_size: Annotated[int | None, typer.Option(min=1, help="Images a step, in place of the recipe's.")] = None,
    architecture_lr: Annotated[float | None, typer.Option(help="Learning rate of the architecture, in place of the "
                                                          "recipe's.")] = None,
    warmup: Annotated[float | None, typer.Option(help="Part of the epochs in which only weights learn, in place of "
                                                 "the recipe's.")] = None,
    generator: Annotated[Path | None, typer.Option(help="File of `mixlab generate train`: its images join the "
                                                   "architecture's loss.")] = None,
    generator_weight: Annotated[float, typer.Option(help="Weight of their term.")] = 1.0,
    limit: Annotated[int | None, typer.Option(min=1, help="Training images.")] = None,
    validation: Annotated[float | None, typer.Option(help="Part of the training images that is held out of the search; "
                                                     "else a tenth, or that of the --subset.")] = None,
    subset: Annotated[Path | None, typer.Option(help="Search on the rows in this file of `mixlab select`; they are "
                                                "then divided between weights and architecture.")] = None,
    seed: Annotated[int, typer.Option(help="Of the held-out images, the limit, and all that is drawn.")] = 0,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
) -> None:
    """Search for cells; given again, the same command goes on where it was stopped."""
    from dataclasses import replace

    from mixlab.nas import ARCHITECTURE, RECIPES, write_genotype
    from mixlab.nas import search as found_by

    if out.exists():
        raise ValueError(f"expected a new file for the genotype, received {out}, which is there")
    if recipe not in RECIPES:
        raise ValueError(f"expected a --recipe of {', '.join(RECIPES)}, received {recipe!r}")
    chosen = RECIPES[recipe] if epochs is None else RECIPES[recipe].over(epochs)
    chosen = chosen if batch_size is None else replace(chosen, batch_size=batch_size)
    steps = {name: value for name, value in (("lr", architecture_lr), ("warmup", warmup)) if value is not None}
    place, loaded = device_named(device), data_for(data, limit, validation, subset, seed)
    sizes = {"layers": layers, "channels": channels, "nodes": nodes, "parts": parts}
    # Checkpoints lie beside the file until it is written.
    folder = out.with_name(f"{out.name}.run")
    found = found_by(
        loaded, chosen, architecture=replace(ARCHITECTURE[recipe], **steps), **sizes,
        generator=None if generator is None else generator_for(loaded, generator),
        generator_weight=generator_weight, seed=seed, device=place, checkpoint=folder, progress=True,
    )
    about = {"data": loaded.name, "rows": len(loaded.train), "recipe": recipe, "epochs": chosen.epochs, "seed": seed,
             **sizes, "seconds": found.result.seconds}
    write_genotype(out, found.genotype, about)
    remove_run(folder)
    for name in ("normal", "reduce"):
        typer.echo(f"{name} cell:")
        for node, edges in enumerate(getattr(found.genotype, name), start=2):
            typer.echo(f"  {node} = " + " + ".join(f"{kind}({source})" for kind, source in edges))
    typer.echo(f"wrote the genotype to {out}: {len(found.result.losses)} steps of the weights, "
               f"{found.result.seconds:.0f} s")

"""`mixlab select`: choose the part of the training images that is worth keeping."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from mixlab.bayes import Scores
    from mixlab.data import Dataset

app = typer.Typer()


@app.command()
def select(
    data: Annotated[str, typer.Option(help="Name of the data set; `mixlab data list` shows them.")],
    t: Annotated[float, typer.Option(help="Part to keep, above 0 and up to 1.")],
    out: Annotated[Path, typer.Option(help="New file for the rows, for `mixlab train --subset`.")],
    scores: Annotated[Path | None, typer.Option(help="File of `mixlab score`, of the same images; the policy random "
                                                "needs none.")] = None,
    policy: Annotated[str, typer.Option(help="high-cv, low-cv, easy, hard, std, random, stratified (over quantiles of "
                                        "the mean loss) or proportional (to CV).")] = "high-cv",
    per_class: Annotated[bool, typer.Option("--per-class/--over-all", help="Keep the part of each class, or of all "
                                            "images together.")] = True,
    limit: Annotated[int | None, typer.Option(help="Training images to choose from, as in `mixlab score`.")] = None,
    validation: Annotated[float, typer.Option(help="Part of the training images that is held out, as in `mixlab "
                                              "score`.")] = 0.1,
    seed: Annotated[int, typer.Option(help="Of the held-out images and the limit, as in `mixlab score`, and of what "
                                      "the policy draws.")] = 0,
) -> None:
    """Write the numbers of the rows that a policy keeps, and where they are from."""
    from mixlab import selection
    from mixlab.data import load
    from mixlab.rng import generator

    if out.exists():
        raise ValueError(f"expected a new file for the rows, received {out}, which is there")
    if scores is None and policy in selection.POLICIES and policy != "random":
        raise ValueError(f"expected --scores with the policy {policy}, received none: `mixlab score` makes them")
    loaded = load(data, validation=validation, seed=seed, limit=limit)
    found = loaded.train if scores is None else _scores(scores, loaded)
    rows = selection.select(found, t, policy, per_class=per_class, generator=generator(seed, "select"))
    about = selection.provenance(
        loaded, rows, policy=policy, t=t, per_class=per_class, seed=seed,
        split={"seed": seed, "validation": validation, "limit": limit}, scores=None if scores is None else found.about,
    )
    selection.write_subset(out, rows, about)
    typer.echo(f"kept {len(rows)} of {len(loaded.train)} images in {out}, by the policy {policy}")


def _scores(path: Path, data: Dataset) -> Scores:
    """The scores in a file, which are those of the training images."""
    from mixlab.bayes import Scores

    scores = Scores.load(path)
    try:
        scores.check(data.train)
    except ValueError as error:
        raise ValueError(f"{error}: {path} is of another data set, or of another --seed, --validation or "
                         "--limit") from None
    return scores

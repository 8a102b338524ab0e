"""`mixlab generate`: train a sample generator against a frozen classifier, and look at what it makes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mixlab.cli.options import data_for, device_named, generator_for, remove_run, teacher_for

if TYPE_CHECKING:
    from torch import Tensor

    from mixlab.data import Dataset
    from mixlab.generator import SampleGenerator
    from mixlab.train import Recipe

app = typer.Typer(name="generate", help="Train a generator of images for soft labels, and draw from it.",
                  no_args_is_help=True)
KINDS = (".png", ".npz")
SCALE = 4  # screen pixels for a pixel of a small image


@app.command()
def train(
    data: Annotated[str, typer.Option(help="Name of the data set; `mixlab data list` shows them.")],
    classifier: Annotated[Path, typer.Option(help="The frozen network to write for: a file of `mixlab train "
                                             "--save-teacher`.")],
    out: Annotated[Path, typer.Option(help="New file for the generator.")],
    epsilon: Annotated[float, typer.Option(help="Mass of a soft label outside the image's class, 0 to 1.")] = 0.5,
    background: Annotated[str, typer.Option(help="How that mass is shared: uniform, at random over all classes, "
                                            "constant, or one, to one of them.")] = "uniform",
    base: Annotated[int, typer.Option(help="Channels of the first level.")] = 8,
    downs: Annotated[int, typer.Option(help="How often the sides of an image are halved.")] = 2,
    skips: Annotated[bool, typer.Option("--skips/--no-skips", help="Whether the way up sees the maps of the way "
                                        "down.")] = True,
    output: Annotated[str, typer.Option(help="bounded, pixels between black and white, free, or residual, a bounded "
                                        "change of the image.")] = "bounded",
    reach: Annotated[float, typer.Option(help="Largest change of a normalised pixel under residual.")] = 1.0,
    penalty: Annotated[float, typer.Option(help="Weight of the mean squared change of a pixel.")] = 0.0,
    recipe: Annotated[str, typer.Option(help="generator-bench, or the paper's, generator-paper.")] = "generator-bench",
    epochs: Annotated[int | None, typer.Option(min=1, help="Length; the schedule is stretched.")] = None,
    lr: Annotated[float | None, typer.Option(help="Learning rate at the start, in place of the recipe's.")] = None,
    batch_size: Annotated[int | None, typer.Option(min=1, help="Images a step, in place of the recipe's.")] = None,
    augment: Annotated[str | None, typer.Option(help="none, crop, flip, crop-flip or crop2-flip, in place of the "
                                                "recipe's.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Training images.")] = None,
    validation: Annotated[float | None, typer.Option(help="Part of the training images that is held out, to measure "
                                                     "on; else a tenth, or that of the --subset.")] = None,
    subset: Annotated[Path | None, typer.Option(help="Train on the rows in this file of `mixlab select`.")] = None,
    seed: Annotated[int, typer.Option(help="Of the held-out images, the limit, and all that is drawn.")] = 0,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
) -> None:
    """Train a generator; given again, the same command goes on where it was stopped."""
    from mixlab.generator import train_generator

    if out.exists():
        raise ValueError(f"expected a new file for the generator, received {out}, which is there")
    place, loaded = device_named(device), data_for(data, limit, validation, subset, seed)
    # Checkpoints lie beside the file until it is written.
    folder = out.with_name(f"{out.name}.run")
    made, result = train_generator(
        teacher_for(loaded, classifier), loaded, _recipe(recipe, epochs, lr, batch_size, augment), base=base,
        downs=downs, skips=skips, output=output, reach=reach, epsilon=epsilon, background=background, penalty=penalty,
        seed=seed, device=place, checkpoint=folder, progress=True,
    )
    made.save(out)
    remove_run(folder)
    _show(made, out)


def _recipe(name: str, epochs: int | None, lr: float | None, batch_size: int | None, augment: str | None) -> Recipe:
    """A recipe by name, with what is said in place of its own."""
    from dataclasses import replace

    from mixlab.generator import RECIPES

    if name not in RECIPES:
        raise ValueError(f"expected a --recipe of {', '.join(RECIPES)}, received {name!r}")
    recipe = RECIPES[name] if epochs is None else RECIPES[name].over(epochs)
    own = {"lr": lr, "batch_size": batch_size, "augment": augment}
    return replace(recipe, **{option: value for option, value in own.items() if value is not None})


def _show(made: SampleGenerator, path: Path) -> None:
    """What a generator learned, what it does to images, and what it cost."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    about = made.about
    table = Table("", "", box=SIMPLE_HEAD, pad_edge=False, show_header=False)
    rows = {
        "KL from the soft labels": f"{about['kl']:.3f}",
        "of the best label that ignores them": f"{about['kl_ignorant']:.3f}",
        "from those of another image of the class": f"{about['kl_class']:.3f}",
        "change of an image, beside its length": f"{about['moved']:.1f}, {about['norm']:.1f}",
        "class found before": f"{about['right_before']:.1f} %",
        "asked for the image's own class, that is found": f"{about['given']:.1f} %",
        "asked for another class, that is found": f"{about['wrong_written']:.1f} %",
        "and still the image's own": f"{about['wrong_kept']:.1f} %",
    }
    for name, value in rows.items():
        table.add_row(name, value)
    Console().print(table)
    typer.echo(f"wrote the generator {made.checksum[:12]} to {path}: {about['steps']} steps, {about['images']} images; "
               f"{about['seconds']:.0f} s")


@app.command()
def sample(
    data: Annotated[str, typer.Option(help="Name of the data set; `mixlab data list` shows them.")],
    generator: Annotated[Path, typer.Option(help="File of `mixlab generate train`.")],
    out: Annotated[Path, typer.Option(help="New file: .png, a grid with an image on the left of each row and what is "
                                      "made of it beside it, or .npz, the numbers.")],
    count: Annotated[int, typer.Option(min=1, help="Images to draw.")] = 8,
    draws: Annotated[int, typer.Option(min=1, help="Soft labels for each of them.")] = 5,
    split: Annotated[str, typer.Option(help="Where the images are from: train or test.")] = "test",
    epsilon: Annotated[float | None, typer.Option(help="Mass of a soft label outside the image's class, 0 to 1; else "
                                                  "that of the generator's training.")] = None,
    background: Annotated[str | None, typer.Option(help="How that mass is shared: uniform, constant or one; else as in "
                                                   "the generator's training.")] = None,
    seed: Annotated[int, typer.Option(help="Of the images and the soft labels.")] = 0,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
) -> None:
    """Draw images of a set and make others of them."""
    from mixlab.data import load

    if out.suffix not in KINDS:
        raise ValueError(f"expected a file of {' or '.join(KINDS)}, received {out}")
    if out.exists():
        raise ValueError(f"expected a new file, received {out}, which is there")
    if split not in ("train", "test"):
        raise ValueError(f"expected a --split of train or test, received {split!r}")
    place, loaded = device_named(device), load(data, validation=0.0)
    net = generator_for(loaded, generator).to(place)
    parts = _sampled(net, loaded, split, count, draws, net.epsilon if epsilon is None else epsilon,
                     background or net.background, seed)
    if out.suffix == ".png":
        _write_grid(out, parts)
    else:
        _write_numbers(out, parts)
    typer.echo(f"made {draws} images of each of {len(parts['rows'])} in {out}")


def _sampled(net: SampleGenerator, data: Dataset, split: str, count: int, draws: int, epsilon: float, background: str,
             seed: int) -> dict[str, Tensor]:
    """Images, their labels and rows; and for each of them `draws` soft labels and what was made for them.

    Pixels are float32, white is 1; a generator without bounds may go beyond.
    """
    import torch

    from mixlab.data import normalise
    from mixlab.generator import soft_labels
    from mixlab.rng import generator as stream

    drawn = stream(seed, "sample")
    rows = getattr(data, split)
    if count > len(rows):
        raise ValueError(f"expected a --count of at most {len(rows)}, the {split} images of {data.name}, received "
                         f"{count}")
    rows = rows.subset(torch.randperm(len(rows), generator=drawn)[:count])
    place = next(net.parameters()).device
    images = normalise(rows.images, data.mean, data.std).repeat_interleave(draws, 0).to(place)
    labels = rows.labels.repeat_interleave(draws)
    mu = soft_labels(labels, net.num_classes, epsilon, background=background, generator=drawn)
    made = torch.cat([net.make(*part) for part in zip(images.split(500), mu.to(place).split(500), strict=True)]).cpu()
    mean, std = (torch.tensor(values).view(-1, 1, 1) for values in (data.mean, data.std))
    return {
        "images": rows.images / 255, "labels": rows.labels, "rows": rows.rows,
        "soft": mu.unflatten(0, (count, draws)), "made": (made * std + mean).unflatten(0, (count, draws)),
    }


def _write_numbers(path: Path, parts: dict[str, Tensor]) -> None:
    import numpy as np

    from mixlab.files import write_atomically

    write_atomically(path, lambda file: np.savez_compressed(file, **{name: each.numpy() for name, each in
                                                                     parts.items()}))


def _write_grid(path: Path, parts: dict[str, Tensor]) -> None:
    """One row an image, with a white line around each picture; what is beyond black or white is cut off."""
    import torch
    from PIL import Image
    from torch.nn.functional import pad

    from mixlab.files import write_atomically

    pictures = torch.cat([parts["images"][:, None], parts["made"]], 1).clamp(0, 1)
    count, columns, channels, height, width = pictures.shape
    scale = SCALE if max(height, width) < 100 else 1
    pictures = pictures.repeat_interleave(scale, -2).repeat_interleave(scale, -1)
    pictures = pad(pictures.expand(-1, -1, max(3, channels), -1, -1)[:, :, :3], (1, 1, 1, 1), value=1.0)
    grid = pictures.permute(0, 3, 1, 4, 2).flatten(2, 3).flatten(0, 1)  # (count · H, columns · W, 3)
    picture = Image.fromarray((255 * grid).round().to(torch.uint8).numpy())
    write_atomically(path, lambda file: picture.save(file, "PNG"))

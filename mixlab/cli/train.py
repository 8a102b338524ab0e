"""`mixlab train`: one run, from names to a trained network."""

from __future__ import annotations

import os
import re
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mixlab.cli.options import file_at, generator_for, named_values, split_of, teacher_for

if TYPE_CHECKING:
    from torch import nn

    from mixlab.data import Dataset
    from mixlab.reproduce.plan import Run
    from mixlab.train import Result

app = typer.Typer()
WIDEST = 10**6  # a convolution between a million channels and a million others has 9e12 weights, 36 terabytes
MANIFOLD_LAYERS = ["", "stage1", "stage2"]
# What can be said of each risk beside its mixer and its layers.
RISK_OPTIONS = {
    "empirical": ["label_smoothing"],
    "vicinal": ["label_smoothing", "clean"],
    "manifold": [],
    "lamix": ["beta", "target_grad", "local_lambda", "sigmoid", "clean"],
    "saliency": ["clean_weight", "adversarial", "epsilon"],
    "distillation": ["teacher", "images", "label", "kd", "kd_mixed", "temperature", "clean_weight", "mixed_weight"],
}
RISK_OPTIONS["crd"] = [*RISK_OPTIONS["distillation"], "negatives"]
RISK_OPTIONS["generated"] = ["generator", "classifier", "base_weight", "generated_weight", "images", "label", "epsilon",
                             "background", "mu", "statistics", "attack_steps", "pool"]
DISTILLING = ("distillation", "crd")
# Risks that name their rows, and take a saliency from the network themselves.
NAMING = (*DISTILLING, "generated")
# What the risk's own arguments are called, where that is not the option without "_weight".
ARGUMENTS = {"generator": "generator_net", "generated_weight": "weight", "attack_steps": "steps"}


@app.command()
def train(
    data: Annotated[str, typer.Option(help="Name of a data set, as `mixlab data list` shows them, or a folder of "
                                      "`mixlab mix`.")],
    model: Annotated[str | None, typer.Option(help="Name of a network, e.g. preact-resnet18.")] = None,
    genotype: Annotated[Path | None, typer.Option(help="In place of a --model: a file of `mixlab search`, whose cells "
                                                  "the network is made of; --width is then C, else 36.")] = None,
    cells: Annotated[int | None, typer.Option(min=1, help="Cells of the network of a --genotype; else 20.")] = None,
    mixer: Annotated[str, typer.Option(help="Name of a mixer, e.g. dcutmix or puzzlemix; `none` is ERM.")] = "none",
    k: Annotated[int | None, typer.Option(help="Images per mix.")] = None,
    alpha: Annotated[float | None, typer.Option(help="Concentration of the Beta or Dirichlet.")] = None,
    mixer_option: Annotated[list[str] | None, typer.Option(help="Another setting of the mixer, NAME=VALUE, e.g. "
                                                           "blocks=4 or mode=paper; may be repeated.")] = None,
    probability: Annotated[float | None, typer.Option(help="Part of the batches that is mixed.")] = None,
    pairing: Annotated[str | None, typer.Option(help="Partners: distinct, or the papers' permutation; else the "
                                                "budget's.")] = None,
    manifold: Annotated[bool, typer.Option("--manifold", help="Mix hidden layers too: --risk manifold.")] = False,
    layer: Annotated[list[str] | None, typer.Option(help="A layer for --manifold to mix at, '' for the images; may "
                                                    "be repeated. For lamix, the network's linear head.")] = None,
    risk: Annotated[str | None, typer.Option(help="What is minimised: empirical, vicinal, manifold, lamix, saliency, "
                                             "distillation, crd or generated; else what the options need: "
                                             "distillation with a --teacher, generated with a --generator, saliency "
                                             "for puzzlemix and comixup, vicinal for other mixers, empirical without "
                                             "one.")] = None,
    label_smoothing: Annotated[float | None, typer.Option(help="Part of every target that is uniform; empirical and "
                                                          "vicinal.")] = None,
    clean: Annotated[bool | None, typer.Option("--clean/--no-clean", help="Every other batch is left unmixed; else "
                                               "in lamix and not in vicinal.")] = None,
    clean_weight: Annotated[float | None, typer.Option(help="Weight of the labels' loss on the unmixed batch: in "
                                                       "saliency, which then trains on it, too, else 0; in "
                                                       "distillation, else 0.5; in crd, else 1.")] = None,
    adversarial: Annotated[float | None, typer.Option(help="Chance of adversarial noise in saliency, for each side of "
                                                      "the mix; else 0.")] = None,
    epsilon: Annotated[float | None, typer.Option(help="Largest adversarial noise in saliency, in units of "
                                                  "normalised images; in generated, mass of a soft label outside the "
                                                  "image's class, else the generator's.")] = None,
    beta: Annotated[float | None, typer.Option(help="Weight of the pair's own labels in lamix, 0 to 1; else "
                                               "0.5.")] = None,
    target_grad: Annotated[str | None, typer.Option(help="What lamix's target trains: full (the network too), head, "
                                                    "or none.")] = None,
    local_lambda: Annotated[str | None, typer.Option(help="Label weight of the image itself in lamix or --mixer "
                                                     "average: random, or 0 to 1.")] = None,
    sigmoid: Annotated[bool | None, typer.Option("--sigmoid/--no-sigmoid", help="Whether lamix's own label is bounded "
                                                 "by a sigmoid; else it is.")] = None,
    teacher: Annotated[Path | None, typer.Option(help="A network's file, from --save-teacher, to learn from: for "
                                                 "distillation and crd, and for mixers that ask a teacher.")] = None,
    images: Annotated[Path | None, typer.Option(help="A folder of mixed images for distillation, from `mixlab mix`, "
                                                "in place of a mixer. For generated: generated, or what stands in for "
                                                "what the generator makes, clean, noise or pgd.")] = None,
    label: Annotated[str | None, typer.Option(help="Label of a mixed image in distillation: argmax, the class that the "
                                              "teacher finds likeliest in it, teacher, its probabilities, or mix, the "
                                              "mix's own; else argmax. Of a generated one in generated: mu, one-hot "
                                              "or background; else mu.")] = None,
    mixed_weight: Annotated[float | None, typer.Option(help="Weight of that label's loss; else 0.5 in distillation, "
                                                       "0 in crd, and 0 where nothing is mixed.")] = None,
    kd: Annotated[float | None, typer.Option(help="Weight of the divergence from the teacher on unmixed images; else "
                                             "0.")] = None,
    kd_mixed: Annotated[float | None, typer.Option(help="Weight of the divergence on mixed images; else 0.")] = None,
    temperature: Annotated[float | None, typer.Option(help="What logits are divided by for a divergence; else "
                                                      "4.")] = None,
    negatives: Annotated[int | None, typer.Option(help="Images of other classes that each is told from in crd; else "
                                                  "16384, for as large a set.")] = None,
    generator: Annotated[Path | None, typer.Option(help="File of `mixlab generate train`, which makes images for the "
                                                   "risk generated.")] = None,
    classifier: Annotated[Path | None, typer.Option(help="A network's file, from --save-teacher, that --images pgd "
                                                    "attacks in generated.")] = None,
    base_weight: Annotated[float | None, typer.Option(help="Weight of the loss on the batch as the mixer leaves it, in "
                                                      "generated; else 1.")] = None,
    generated_weight: Annotated[float | None, typer.Option(help="Weight of the loss on generated images; else "
                                                           "1.")] = None,
    background: Annotated[str | None, typer.Option(help="How a soft label's mass outside the image's class is shared: "
                                                   "uniform, constant or one; else as in the generator's "
                                                   "training.")] = None,
    mu: Annotated[str | None, typer.Option(help="Soft labels in generated: fresh at each step, or fixed, one for every "
                                           "row; else fresh.")] = None,
    statistics: Annotated[str | None, typer.Option(help="By which batch statistics generated images are normalised: "
                                                   "own, running, updating or joint; else own.")] = None,
    attack_steps: Annotated[int | None, typer.Option(help="Steps of --images pgd; else 20.")] = None,
    pool: Annotated[bool | None, typer.Option("--pool/--no-pool", help="Whether images are generated from training "
                                              "images that are drawn for it; else from those of the batch.")] = None,
    budget: Annotated[str, typer.Option(help="cpu, gpu or paper: recipe, width, limit, precision.")] = "cpu",
    recipe: Annotated[str | None, typer.Option(help="Name of a recipe, instead of the budget's.")] = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="Length; the schedule is stretched.")] = None,
    lr: Annotated[float | None, typer.Option(help="Learning rate at the start, instead of the recipe's.")] = None,
    batch_size: Annotated[int | None, typer.Option(min=1, help="Images a step, over all processes together, instead of "
                                                   "the recipe's.")] = None,
    width: Annotated[int | None, typer.Option(min=1, help="Channels of the first stage.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Training images.")] = None,
    subset: Annotated[Path | None, typer.Option(help="Train on the rows in this file of `mixlab select`; the held-out "
                                                "images are then those that it was made with, whatever the "
                                                "seed.")] = None,
    part: Annotated[float, typer.Option(help="Part of the training images that each epoch takes, drawn anew every "
                                        "epoch.")] = 1.0,
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
    save_teacher: Annotated[Path | None, typer.Option(help="File for the trained network, as `mixlab mix` takes "
                                                      "one.")] = None,
) -> None:
    """Train a network and print its test error."""
    from mixlab.mixers.registry import TAUGHT
    from mixlab.models import Teacher
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
    if save_teacher is not None and save_teacher.is_dir():
        raise ValueError(f"expected a file to --save-teacher in, received the folder {save_teacher}")
    if width is not None and width > WIDEST:
        raise ValueError(f"expected a --width of at most {WIDEST}, received {width}")
    model, built = _network(model, genotype, cells, dropout, save_teacher)
    limits = known_budget(budget)
    unmixed, local = mixer == "none", {"local_lambda": _number_or_random(local_lambda)}
    asked = None if teacher is None else _frozen(teacher, "teacher")
    # λ is the mixer's that is named, or that of the risk's own mixer. A teacher may be both's.
    others = ({} if unmixed else local) | ({"teacher": asked} if mixer in TAUGHT else {})
    mixing = _mixer(mixer, k, alpha, pairing, limits.pairing, **others)
    mixing |= named_values("--mixer-option", mixer_option)
    named = _name(risk, mixing, manifold, _implied(teacher, generator))
    spec = _risk(
        named, mixing, probability, layer, label_smoothing=label_smoothing, clean=clean, clean_weight=clean_weight,
        beta=beta, target_grad=target_grad, sigmoid=sigmoid, adversarial=adversarial, epsilon=epsilon,
        images=None if images is None else str(images), label=label, mixed_weight=mixed_weight, kd=kd,
        kd_mixed=kd_mixed, temperature=temperature, negatives=negatives, base_weight=base_weight,
        generated_weight=generated_weight, background=background, mu=mu, statistics=statistics,
        attack_steps=attack_steps, pool=pool, generator=None if generator is None else _frozen(generator, "generator"),
        classifier=None if classifier is None else _frozen(classifier, "teacher"), **(local if unmixed else {}),
        **({} if mixer in TAUGHT and named not in DISTILLING else {"teacher": asked}),
    )
    row = mixer if named not in ("lamix", *NAMING) else named if unmixed else f"{named}-{mixer}"
    run = Run(
        name=f"{row}-s{seed}", row=row, data=data, model=model, risk=spec,
        recipe=recipe or limits.recipe, seed=seed, epochs=epochs, part=part, lr=lr, batch_size=batch_size,
        width=width or (limits.width if model.startswith("preact") else None),
        options=built, device=device,
        precision=precision or limits.precision,
        compile=limits.compile and RISKS[named].compilable if compile is None else compile,
        **_images(data, limit, limits.limit, subset),
    )
    _check_frozen(run, generator, classifier)
    try:
        model, dataset, result = _carry_out(run, out, processes=processes, every=every, log=log, progress=True)
    except KeyboardInterrupt:
        if first:
            typer.echo(_stopped(out), err=True)
        raise typer.Exit(130) from None
    if first and out is not None:
        config = run.as_dict() | {"processes": processes}  # partners and batch statistics are those of a process
        record = result.record(experiment="train", row=run.row, budget=budget, seed=seed, config=config)
        write_record(out / "record.json", record)
    if first and save_teacher is not None:
        channels, classes = dataset.train.images.shape[1], dataset.num_classes
        trained = Teacher(model, mean=dataset.mean, std=dataset.std)
        trained.save(save_teacher, name=run.model, num_classes=classes, in_channels=channels, width=run.width)
    if first:
        _show(run, result)


def _network(model: str | None, genotype: Path | None, cells: int | None, dropout: float | None,
             save_teacher: Path | None) -> tuple[str, dict]:
    """The name of the network and what it is built with, from a model's name or from a genotype's file."""
    if (model is None) == (genotype is None):
        received = "none" if model is None else f"both: {model} and {genotype}"
        raise ValueError(f"expected a --model or a --genotype, received {received}")
    if genotype is None:
        if cells is not None:
            raise ValueError(f"expected a --genotype with --cells, received --model {model}")
        return model, {} if dropout is None else {"dropout": dropout}
    from mixlab.nas import read_genotype

    for option, value, reason in (("--dropout", dropout, "its network has none"),
                                  ("--save-teacher", save_teacher, "a teacher's file has a network by name")):
        if value is not None:
            raise ValueError(f"expected no {option} with a --genotype, received {value}: {reason}")
    return "cells", {"genotype": read_genotype(genotype).as_dict()} | ({} if cells is None else {"layers": cells})


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


def _stopped(out: Path | None) -> str:
    """What is left of a run that Ctrl-C has stopped, and how to go on."""
    from mixlab.train.checkpoint import LAST, NEW, PREVIOUS

    if out is None:
        return "stopped: nothing is kept of a run without --out"
    if any((out / name).exists() for name in (NEW, LAST, PREVIOUS)):
        return f"stopped: the same command with --resume continues the run in {out}"
    return "stopped before the first checkpoint: the same command with --resume starts the run anew"


def _frozen(path: Path, kind: str) -> dict:
    """What a run says of a frozen network: its file and its checksum."""
    from mixlab.risk.registry import FROZEN

    found = FROZEN["generator_net" if kind == "generator" else kind].load(file_at(path, kind))
    return {"checkpoint": str(path), "checksum": found.checksum}


def _check_frozen(run: Run, generator: Path | None, classifier: Path | None) -> None:
    """Refuse a generator, or a classifier to attack, of other images or classes before anything begins."""
    if generator is None and classifier is None:
        return
    from mixlab.reproduce.execute import dataset_of

    data = dataset_of(run)
    if generator is not None:
        generator_for(data, generator)
    if classifier is not None:
        teacher_for(data, classifier)


def _carry_out(run: Run, out: Path | None, **options) -> tuple[nn.Module, Dataset, Result]:
    """Train; too little memory, on the GPU or beside it, is told in one line."""
    from mixlab.reproduce.execute import train as fitted

    try:
        return fitted(run, out, **options)
    except RuntimeError as error:
        if not (found := re.search(r"(CUDA out of memory|can't allocate memory|not enough memory)[^.]*", str(error))):
            raise
        raise MemoryError(f"{found[0]}: choose a smaller --width or --precision bf16-mixed") from error


def _limit(data: str, limit: int | None) -> int | None:
    """The budget's number of training images, if the set has more; a small set is used whole."""
    from mixlab.data.mixed import is_written, manifest_of
    from mixlab.data.registry import find

    if limit is None:
        return None
    rows = manifest_of(data)[0]["count"] if is_written(data) else find(data).rows[0]
    return None if rows <= limit else limit


def _images(data: str, limit: int | None, usual: int | None, subset: Path | None) -> dict:
    """Which training images there are: what is held out, a limit, or a subset and the split that it was chosen from.

    There is no validation split of mixed images, which say nothing of others.
    """
    from mixlab.data.mixed import is_written

    held = {"validation": 0.0} if is_written(data) else {}
    if subset is None:
        return {"limit": limit or _limit(data, usual), **held}
    if limit is not None:
        raise ValueError(f"expected a --limit or a --subset, which is one, received both: {limit} and {subset}")
    drawn = split_of(subset)
    chosen = {"file": str(subset), "checksum": sha256(subset.read_bytes()).hexdigest()}
    names = {"seed": "split", "validation": "validation", "limit": "limit"}
    return held | {names[name]: drawn[name] for name in names if name in drawn} | {"subset": chosen}


def _mixer(name: str, k: int | None, alpha: float | None, pairing: str | None, usual: str, **others) -> dict:
    """The mixer that the options say, in names; its partners drawn as usual in the budget, where it has any."""
    from mixlab.mixers.base import PartnerMixer
    from mixlab.mixers.registry import MIXERS, TAUGHT, WRAPPERS

    kind = (MIXERS | WRAPPERS | TAUGHT).get(name, PartnerMixer)
    if pairing is None and usual != "distinct" and issubclass(kind, PartnerMixer):
        pairing = usual
    options = {"k": k, "alpha": alpha, "pairing": pairing, **others}
    return {"name": name} | {option: value for option, value in options.items() if value is not None}


def _implied(teacher: Path | None, generator: Path | None) -> str | None:
    """The risk that a file asks for."""
    return "distillation" if teacher is not None else "generated" if generator is not None else None


def _name(risk: str | None, mixer: dict, manifold: bool, implied: str | None) -> str:
    """The risk that is meant, where --risk may be left out."""
    from mixlab.mixers.registry import from_config

    if manifold and risk not in (None, "manifold"):
        raise ValueError(f"expected --manifold with --risk manifold or none, received --risk {risk}")
    if risk is not None and risk not in RISK_OPTIONS:
        raise ValueError(f"expected a --risk of {', '.join(RISK_OPTIONS)}, received {risk!r}")
    named = risk or ("manifold" if manifold else implied)
    if mixer["name"] == "none":
        return named or "empirical"
    if not from_config(mixer).needs_saliency:
        return named or "vicinal"
    if named in NAMING:  # they have the student's
        return named
    if named not in (None, "saliency"):
        raise ValueError(f"expected --risk saliency or none with --mixer {mixer['name']}, which needs a saliency, "
                         f"received {named}")
    return "saliency"


def _number_or_random(text: str | None) -> float | str | None:
    """What --local-lambda says."""
    try:
        return text if text in (None, "random") else float(text)
    except ValueError:
        raise ValueError(f"expected a --local-lambda of random or in [0, 1], received {text!r}") from None


def _risk(name: str, mixer: dict, probability: float | None, layers: list[str] | None, **options) -> dict:
    """What the options say is minimised."""
    options = {option: value for option, value in options.items() if value is not None}
    if wrong := [option for option in options if option not in RISK_OPTIONS[name]]:
        known, received = (", ".join(f"--{each.replace('_', '-')}" for each in names) or "none"
                           for names in (RISK_OPTIONS[name], wrong))
        raise ValueError(f"expected options of the risk {name} among {known}, received {received}")
    mixed = mixer["name"] != "none"
    if mixed and name == "empirical":
        raise ValueError(f"expected --risk empirical without a --mixer, received {mixer['name']}")
    mixes = name in ("vicinal", "manifold", "saliency") or probability is not None or set(mixer) != {"name"}
    if mixes and not mixed:
        raise ValueError("expected a --mixer with --k, --alpha, --pairing, --mixer-option, --probability, --manifold "
                         "or --risk vicinal or saliency, received none")
    if name in DISTILLING and "teacher" not in options:
        raise ValueError(f"expected a --teacher with --risk {name}, received none")
    if name == "generated":
        _check_generated(options)
    # A risk whose clean batches take turns has a switch, and one that adds their loss has a weight.
    spec = {"name": name, **{ARGUMENTS.get(option, option.removesuffix("_weight")): options[option]
                             for option in options}}
    if name == "distillation" and not mixed and "images" not in spec:
        if not spec.get("kd"):
            raise ValueError("expected a --mixer, --images or --kd with a --teacher, which is asked nothing otherwise, "
                             "received none")
        spec.setdefault("mixed", 0.0)
    if mixed:
        spec["mixer"] = mixer if probability is None else {"name": "sometimes", "p": probability, "mixer": mixer}
    if name == "manifold":
        return spec | {"layers": layers or MANIFOLD_LAYERS}
    if layers and (name != "lamix" or len(layers) > 1):
        raise ValueError(f"expected --manifold, or --risk lamix and one layer, with --layer, received {name}")
    return spec | ({"layer": layers[0]} if layers else {})


def _check_generated(options: dict) -> None:
    """Refuse --risk generated without what makes its images, and with what would make none."""
    images = options.get("images", "generated")
    if "generator" not in options and images != "clean":
        raise ValueError("expected a --generator with --risk generated, or --images clean, received neither")
    if ("classifier" in options) != (images == "pgd"):
        raise ValueError("expected a --classifier with --images pgd, and with nothing else, received "
                         f"{'one' if 'classifier' in options else 'none'} with --images {images}")


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

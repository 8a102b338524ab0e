"""The training loop: one short function on Lightning Fabric, the same for one process and for many."""

from __future__ import annotations

import json
import logging
import math
import os
import re
import zlib
from copy import deepcopy
from dataclasses import asdict, dataclass
from functools import partial
from io import BytesIO
from pathlib import Path

import torch
from torch import nn

from mixlab.data import Dataset, Loader, Split
from mixlab.models import noise
from mixlab.rng import generator
from mixlab.train.checkpoint import Checkpoints
from mixlab.train.evaluate import Metrics, metrics, predict, totals
from mixlab.train.logs import LOGS
from mixlab.train.recipe import Recipe
from mixlab.train.result import Result
from mixlab.train.state import State, clone

DEVICES = ("auto", "cpu", "cuda", "mps")
PRECISIONS = ("32-true", "bf16-mixed")


@dataclass(frozen=True)
class Options:
    """How a run is carried out, as opposed to what it computes; see `fit`."""

    seed: int
    compile: bool
    folder: Path | None
    every: int | None
    log: str
    progress: bool
    config: dict


def fit(
    model: nn.Module,
    risk: nn.Module,
    dataset: Dataset,
    recipe: Recipe,
    *,
    seed: int = 0,
    device: str = "auto",
    precision: str = "32-true",
    processes: int = 1,
    compile: bool = False,
    checkpoint: str | Path | None = None,
    every: int | None = None,
    log: str = "csv",
    progress: bool = False,
) -> Result:
    """Minimise `risk` of `model` on `dataset.train` by the recipe; the model is trained in place.

    Order, augmentation, mixing and noise of a step follow from (seed, epoch, step, rank) alone, not from what ran
    before. So a run that was killed continues from its last checkpoint exactly where it was: on a CPU and with one
    thread count it ends with the same bits as an undisturbed run. Runs of one seed see the same batches whatever the
    risk; with the initialisation from `generator(seed, "init")` their seeds pair.

    With several processes each takes its share of one global batch (`recipe.batch_size`) and mixes within that share;
    an incomplete last batch that they cannot share evenly is left out. Processes are started by this call, or found
    where a launcher such as torchrun has started them.

    Args:
        model: images (B, C, H, W) float32, channels last, to logits (B, classes).
        risk: `risk(model, (images, labels), generator=g) -> loss`; its parameters are trained too.
        dataset: see `mixlab.data.load`. A validation split is measured after every epoch, the test split at the end.
        recipe: see `Recipe`.
        seed: of everything drawn during training.
        device: "auto", "cpu", "cuda" or "mps".
        precision: "32-true", or "bf16-mixed" for bfloat16 autocast.
        processes: of the device's kind, on this machine.
        compile: send the network through `torch.compile`.
        checkpoint: folder of the run: `last.ckpt` and `previous.ckpt`, `curves.csv`. A run found there is continued.
            None keeps nothing.
        every: steps between checkpoints; they are also written at the end of each epoch.
        log: "csv", or "tensorboard" for scalars in the same folder as well.
        progress: show a progress bar where there is a terminal.

    Raises:
        ValueError: for an unknown option, a device that is not there, a data set without training or test images,
            or a folder that holds the checkpoint of another run.
        FloatingPointError: if the loss is not finite; the last checkpoint is from before.
    """
    from lightning.fabric import Fabric

    _check(dataset, device, precision, processes, every, log)
    config = fingerprint(model, risk, dataset, recipe, seed=seed, precision=precision, processes=processes)
    folder = None if checkpoint is None else Path(checkpoint)
    options = Options(seed, compile, folder, every, log, progress, config)
    logging.getLogger("lightning.fabric").setLevel(logging.WARNING)  # it announces precision and ranks otherwise
    launched = "LOCAL_RANK" in os.environ
    strategy = "auto" if processes == 1 else "ddp" if launched else "ddp_spawn"
    fabric = Fabric(accelerator=device, devices=processes, strategy=strategy, precision=precision)
    if strategy != "ddp_spawn":
        fabric.launch()
        return _train(fabric, model, risk, dataset, recipe, options)
    # Fabric looks into what it hands to processes and refuses frozen dataclasses; it does not look into a partial.
    outcome = fabric.launch(partial(_spawned, (model, risk, dataset, recipe, options)))
    outcome = torch.load(BytesIO(outcome), map_location="cpu", weights_only=True)
    model.load_state_dict(outcome["model"])
    risk.load_state_dict(outcome["risk"])
    return Result(**outcome["result"])


def _spawned(job: tuple, fabric) -> bytes:
    """What a started process gives back, since the trained weights are in its memory and not in the caller's.

    Bytes, because a tensor would be handed over through memory that ends with the process.
    """
    model, risk, *rest = job
    model, risk = deepcopy(model), deepcopy(risk)  # what came with the job is shared with the other processes
    result = _train(fabric, model, risk, *rest)
    outcome = BytesIO()
    torch.save({"model": model.state_dict(), "risk": risk.state_dict(), "result": asdict(result)}, outcome)
    return outcome.getvalue()


def _train(fabric, model, risk, dataset, recipe, options) -> Result:
    """The loop, in each process."""
    rank, device, seed = fabric.global_rank, fabric.device, options.seed
    model.to(memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(
        [*model.parameters(), *risk.parameters()], lr=recipe.lr, momentum=recipe.momentum, nesterov=recipe.nesterov,
        weight_decay=recipe.weight_decay,
    )
    network, optimizer = fabric.setup(torch.compile(model, dynamic=False) if options.compile else model, optimizer)
    objective = fabric.setup(risk) if any(True for _ in risk.parameters()) else risk.to(device)
    loader = _loader(fabric, dataset, recipe, seed)
    store = None if options.folder is None else Checkpoints(options.folder, options.config)
    state = State(fabric, {"model": model, "risk": risk, "optimizer": optimizer}, store)
    state.restore()
    if state.result:
        return Result(**state.result)
    network.train()
    with _bar(options.progress and rank == 0, recipe.epochs * len(loader)) as bar:
        while state.epoch < recipe.epochs:
            for images, labels in loader.epoch(state.epoch, start=state.step):
                step = state.epoch * len(loader) + state.step
                bar.update(step + 1 - bar.n)
                for group in optimizer.param_groups:
                    group["lr"] = recipe.learning_rate(step / len(loader))
                images = images.contiguous(memory_format=torch.channels_last)
                draws = generator(seed, "mix", rank, step, device=device)
                with noise(model, generator(seed, "noise", rank, step)):
                    loss = objective(network, (images, labels), generator=draws)
                fabric.backward(loss)
                optimizer.step()
                optimizer.zero_grad()
                state.took(loss)
                if options.every and state.step % options.every == 0 and state.step < len(loader):
                    state.save()
            state.settle()
            state.end_epoch(_row(fabric, model, dataset, recipe, state, len(loader)))
            if rank == 0 and options.folder is not None:
                LOGS[options.log](options.folder, state.curves)
            state.save()
    return state.finish(*_final(fabric, model, dataset, recipe, state))


def _loader(fabric, dataset: Dataset, recipe: Recipe, seed: int) -> Loader:
    """Training batches of this process; a last one that the processes cannot share evenly is dropped."""
    tail = len(dataset.train) % recipe.batch_size
    return Loader(
        dataset.train, recipe.batch_size, mean=dataset.mean, std=dataset.std, augment=recipe.augment, seed=seed,
        device=fabric.device, rank=fabric.global_rank, world=fabric.world_size,
        drop_last=tail % fabric.world_size > 0,
    )


def _row(fabric, model, dataset: Dataset, recipe: Recipe, state: State, steps: int) -> dict:
    """What the curves say about the epoch that has just ended."""
    row = {
        "epoch": state.epoch + 1,
        "lr": recipe.learning_rate(state.epoch),
        "train_loss": math.fsum(state.losses[-steps:]) / steps,
    }
    if len(dataset.validation):
        row |= _measured("validation", _evaluate(fabric, model, dataset, dataset.validation, recipe))
    if recipe.report == "best":
        row |= _measured("test", _evaluate(fabric, model, dataset, dataset.test, recipe))
    return row


def _final(fabric, model, dataset: Dataset, recipe: Recipe, state: State) -> tuple[dict, dict | None]:
    """Last and best epoch, each with its test error; the weights are those of the last epoch afterwards."""
    last = {name: values[-1] for name, values in state.curves.items()
            if name == "epoch" or name.startswith("validation")}
    last |= _measured("test", _evaluate(fabric, model, dataset, dataset.test, recipe))
    if state.best is None:
        return last, None
    if state.best["epoch"] == last["epoch"]:
        return last, dict(last)
    weights = clone(model)
    model.load_state_dict(state.best_weights)
    best = state.best | _measured("test", _evaluate(fabric, model, dataset, dataset.test, recipe))
    model.load_state_dict(weights)
    return last, best


def _measured(split: str, values: Metrics) -> dict:
    return {f"{split}_error": values.error, f"{split}_loss": values.loss}


def _evaluate(fabric, model, dataset: Dataset, split: Split, recipe: Recipe) -> Metrics:
    """Metrics over all processes, each of which takes a share of the rows.

    The network is called without its distributed wrapper, which would have every process make as many calls.
    """
    if fabric.world_size > 1:
        for buffer in model.buffers():  # batch statistics are those of the first process, as in a checkpoint
            torch.distributed.broadcast(buffer, 0)
    share = split.subset(torch.arange(fabric.global_rank, len(split), fabric.world_size))
    with fabric.autocast():
        logits = predict(model, share, mean=dataset.mean, std=dataset.std, batch_size=recipe.batch_size)
    return metrics(fabric.all_reduce(totals(logits, share.labels), reduce_op="sum"))


def fingerprint(model, risk, dataset: Dataset, recipe: Recipe, **options) -> dict:
    """What makes two runs the same run, as plain data: a checkpoint is only continued where all of it agrees."""
    contents = zlib.crc32(dataset.train.labels.numpy(), zlib.crc32(dataset.train.images.contiguous().numpy()))
    return {
        "model": f"{type(model).__name__} {zlib.crc32(_text(model).encode()):08x}",
        "risk": _text(risk),
        "data": f"{dataset.name}, {len(dataset.train)} training images, {contents:08x}",
        "recipe": json.dumps(recipe.as_dict()),
        **options,
    }


def _text(module: nn.Module) -> str:
    """What a module prints, without the addresses of what it holds."""
    return re.sub(r" at 0x[0-9a-f]+", "", repr(module))


def _bar(shown: bool, total: int):
    from tqdm import tqdm

    return tqdm(total=total, unit="step", disable=None if shown else True, leave=False)


def _check(dataset, device, precision, processes, every, log) -> None:
    """Refuse what cannot run, before anything is touched."""
    for name, value, known in (("device", device, DEVICES), ("precision", precision, PRECISIONS), ("log", log, LOGS)):
        if value not in known:
            raise ValueError(f"expected a {name} of {', '.join(known)}, got {value!r}")
    if device == "cuda" and not torch.cuda.is_available():
        raise ValueError("expected a CUDA device, found none: use device='cpu' or 'auto'")
    if processes < 1 or (every is not None and every < 1):
        raise ValueError(f"expected processes and every of at least 1, got {processes} and {every}")
    if not len(dataset.train) or not len(dataset.test):
        raise ValueError(f"expected training and test images, got {len(dataset.train)} and {len(dataset.test)}")

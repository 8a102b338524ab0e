"""The training loop: one short function on Lightning Fabric, the same for one process and for many."""

from __future__ import annotations

import logging
import os
from copy import deepcopy
from dataclasses import asdict, dataclass
from functools import partial
from io import BytesIO
from pathlib import Path

import torch
from torch import nn

from mixlab.data import Dataset, Loader
from mixlab.models import noise
from mixlab.risk import ManifoldRisk
from mixlab.rng import generator
from mixlab.train.checkpoint import Checkpoints
from mixlab.train.fingerprint import fingerprint
from mixlab.train.logs import LOGS
from mixlab.train.measure import epoch_row, final
from mixlab.train.recipe import Recipe
from mixlab.train.result import Result
from mixlab.train.state import State

# Metrics are summed and mixes drawn in float64, which Apple's accelerator does not have.
DEVICES = ("auto", "cpu", "cuda")
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
        model: images (B, C, H, W) float32 to logits (B, classes); on an accelerator they lie in channels-last order.
        risk: `risk(model, (images, labels), generator=g) -> loss`; its parameters are trained too.
        dataset: see `mixlab.data.load`. A validation split is measured after every epoch, the test split at the end.
        recipe: see `Recipe`.
        seed: of everything drawn during training.
        device: "cpu", "cuda", or "auto" for a GPU of CUDA where there is one, else the CPU.
        precision: "32-true", or "bf16-mixed" for bfloat16 autocast.
        processes: of the device's kind, on this machine.
        compile: send the network through `torch.compile`; not for a `ManifoldRisk`, whose layers it hides.
        checkpoint: folder of the run: `last.ckpt` and `previous.ckpt`, `curves.csv`. A run found there is continued.
            None keeps nothing.
        every: steps between checkpoints; they are also written at the end of each epoch.
        log: "csv", or "tensorboard" for scalars in the same folder as well.
        progress: show a progress bar where there is a terminal.

    Raises:
        ValueError: for an unknown option, a device that is not there, a data set without training or test images,
            batches that the processes cannot share evenly, a compiled network whose layers are to be mixed, or a
            folder that cannot be written or holds the checkpoint of another run.
        FloatingPointError: if a loss or a weight is not finite; the last checkpoint is from before.

    Example:
        >>> from mixlab.data import load
        >>> from mixlab.risk import EmpiricalRisk
        >>> from mixlab.train import recipes
        >>> model = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
        >>> result = fit(model, EmpiricalRisk(), load("digits"), recipes["demo"], device="cpu")
        >>> result.last["epoch"], result.last["test_error"] < 20
        (3, True)
    """
    from lightning.fabric import Fabric

    _check(dataset, device, precision, processes, every, log)
    _check_batches(len(dataset.train), recipe.batch_size, processes)
    if compile and isinstance(risk, ManifoldRisk):
        raise ValueError("expected compile=False with a ManifoldRisk: a compiled network hides the layers to be mixed")
    config = fingerprint(model, risk, dataset, recipe, seed=seed, precision=precision, processes=processes)
    folder = None if checkpoint is None else Path(checkpoint)
    if folder is not None:
        _check_folder(folder)
    options = Options(seed, compile, folder, every, log, progress, config)
    logging.getLogger("lightning.fabric").setLevel(logging.WARNING)  # it announces precision and ranks otherwise
    launched = "LOCAL_RANK" in os.environ
    strategy = "auto" if processes == 1 else "ddp" if launched else "ddp_spawn"
    accelerator = device if device != "auto" else "cuda" if torch.cuda.is_available() else "cpu"
    fabric = Fabric(accelerator=accelerator, devices=processes, strategy=strategy, precision=precision)
    if strategy != "ddp_spawn":
        fabric.launch()
        return _train(fabric, model, risk, dataset, recipe, options)
    if folder is not None:
        Checkpoints(folder, config).load()  # refused here, where the error is one and not wrapped in that of a process
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
    if device.type != "cpu":
        # Images follow their network. Not on a CPU: there the gradient of a strided 1x1 convolution of fewer channels
        # than oneDNN takes at a time (8 or 16) writes past its buffer (oneDNN issue 6035), and narrow networks die.
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
                # On the CPU: a seed then mixes alike on every device, and no draw waits for an accelerator.
                draws = generator(seed, "mix", rank, step)
                with noise(model, generator(seed, "noise", rank, step)):
                    loss = objective(network, (images, labels), generator=draws)
                fabric.backward(loss)
                optimizer.step()
                optimizer.zero_grad()
                state.took(loss)
                if options.every and state.step % options.every == 0 and state.step < len(loader):
                    state.save()
            state.settle()
            state.end_epoch(epoch_row(fabric, model, dataset, recipe, state, len(loader)))
            if rank == 0 and options.folder is not None:
                LOGS[options.log](options.folder, state.curves)
            state.save()
    return state.finish(*final(fabric, model, dataset, recipe, state))


def _loader(fabric, dataset: Dataset, recipe: Recipe, seed: int) -> Loader:
    """Training batches of this process; a last one that the processes cannot share evenly is dropped."""
    tail = len(dataset.train) % recipe.batch_size
    return Loader(
        dataset.train, recipe.batch_size, mean=dataset.mean, std=dataset.std, augment=recipe.augment, seed=seed,
        device=fabric.device, rank=fabric.global_rank, world=fabric.world_size,
        drop_last=tail % fabric.world_size > 0,
    )


def _bar(shown: bool, total: int):
    from tqdm import tqdm

    return tqdm(total=total, unit="step", disable=None if shown else True, leave=False)


def _check_batches(images: int, batch_size: int, processes: int) -> None:
    """Refuse global batches that the processes cannot share, and epochs without one that they can."""
    if batch_size % processes:
        raise ValueError(f"expected a batch size that {processes} processes share evenly, received {batch_size}")
    if images < batch_size and images % processes:
        raise ValueError(f"expected {batch_size} training images or more for {processes} processes, received {images}")


def _check(dataset, device, precision, processes, every, log) -> None:
    """Refuse what cannot run, before anything is touched."""
    for name, value, known in (("device", device, DEVICES), ("precision", precision, PRECISIONS), ("log", log, LOGS)):
        if value not in known:
            raise ValueError(f"expected a {name} of {', '.join(known)}, received {value!r}")
    if device == "cuda" and not torch.cuda.is_available():
        raise ValueError("expected a CUDA device, found none: use device='cpu' or 'auto'")
    if processes < 1 or (every is not None and every < 1):
        raise ValueError(f"expected processes and every of at least 1, received {processes} and {every}")
    if not len(dataset.train) or not len(dataset.test):
        raise ValueError(f"expected training and test images, received {len(dataset.train)} and {len(dataset.test)}")


def _check_folder(folder: Path) -> None:
    """Refuse a folder for checkpoints that cannot be made or written, before an epoch is spent."""
    there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        raise ValueError(f"expected a folder that can be written for checkpoints, received {folder}: {there} is none")

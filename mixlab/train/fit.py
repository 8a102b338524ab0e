"""The training loop: one short function on Lightning Fabric, the same for one process and for many."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator
from contextlib import closing, contextmanager, nullcontext
from copy import deepcopy
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch import nn
from torch.multiprocessing import ProcessRaisedException

from mixlab.checks import whole
from mixlab.data import Batch, Dataset, Loader
from mixlab.data.stratify import part_of
from mixlab.models import noise
from mixlab.rng import generator
from mixlab.train.checkpoint import Checkpoints, write_atomically
from mixlab.train.fingerprint import fingerprint
from mixlab.train.lock import LOCK, alone, tidied
from mixlab.train.logs import LOGS
from mixlab.train.measure import Measures
from mixlab.train.recipe import Recipe
from mixlab.train.result import Result, commit
from mixlab.train.state import State

# Metrics are summed and mixes drawn in float64, which Apple's accelerator does not have.
DEVICES = ("auto", "cpu", "cuda")
PRECISIONS = ("32-true", "bf16-mixed")
# What a started process says of an error is raised here as one of these; as text, since no pickle is to be opened.
KINDS = (ValueError, FloatingPointError, FileNotFoundError, PermissionError, OSError, torch.OutOfMemoryError)
# The part of an accelerator's memory that images may take: of the rest live the network and its activations.
RESIDENT = 0.25


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
    commit: str | None


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

    With several processes each takes its share of one global batch (`recipe.batch_size`) and mixes within that share.
    Processes are started by this call, or found where a launcher such as torchrun has started as many on one machine;
    several machines are not supported. An incomplete last batch is left out if the processes cannot share it evenly,
    or if it is not the only one and would leave each a single row, which batch normalisation refuses and which has no
    partner to be mixed with.

    Images stay on the device if those of all splits take at most `RESIDENT` of an accelerator's memory; a larger set
    stays in the host's memory and goes there batch by batch.

    Args:
        model: images (B, C, H, W) float32 to logits (B, classes). On an accelerator its weights are put into
            channels-last order; images come in the usual one.
        risk: `risk(model, batch, step=s, generator=g) -> loss`, see `mixlab.risk.Risk`; its parameters are trained
            too. Frozen parameters, of either, stay as they are.
        dataset: see `mixlab.data.load`. A validation split is measured when the recipe says
            (`Recipe.measured`), the test split at the end.
        recipe: see `Recipe`.
        seed: of everything drawn during training.
        device: "cpu", "cuda", or "auto" for a GPU of CUDA where there is one, else the CPU.
        precision: "32-true", or "bf16-mixed" for bfloat16 autocast.
        processes: of the device's kind, on this machine; of a GPU's, one for each at most.
        compile: send the network through `torch.compile`; not for a risk that reaches into its layers.
        checkpoint: folder of the run: `last.ckpt` and `previous.ckpt`, `curves.csv`. A run found there is continued.
            The folder is held (`lock`) until the run ends. None keeps nothing.
        every: steps between checkpoints; they are also written at the end of each epoch.
        log: "csv", or "tensorboard" for scalars in the same folder as well.
        progress: show a progress bar where there is a terminal.

    Raises:
        ValueError: for an unknown option, a device or as many GPUs that are not there, as many processes that the
            launcher has not started, a data set without training or test images, batches that the processes cannot
            share evenly, a network that cannot be compiled or whose layers are to be mixed and compiled, or a folder
            that cannot be written, that another command holds, or that has the checkpoint of another run.
        FloatingPointError: if a loss or a weight is not finite; the last checkpoint is from before.
        OSError: if the disk refuses a checkpoint.

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
    if not whole(seed):
        raise ValueError(f"expected an integer seed, received {seed!r}")
    seed = int(seed)
    _check_batches(part_of(recipe.part, len(dataset.train)), recipe.batch_size, processes)
    if compile and not getattr(risk, "compilable", True):
        raise ValueError(f"expected compile=False with a {type(risk).__name__}: a compiled network hides its layers")
    config = fingerprint(model, risk, dataset, recipe, seed=seed, precision=precision, processes=processes)
    folder = None if checkpoint is None else Path(checkpoint)
    if folder is not None:
        _check_folder(folder)
    options = Options(seed, compile, folder, every, log, progress, config, commit())
    for name in ("fabric", "pytorch"):  # they announce precision and ranks otherwise
        logging.getLogger(f"lightning.{name}").setLevel(logging.WARNING)
    strategy = "auto" if processes == 1 else "ddp" if "LOCAL_RANK" in os.environ else "ddp_spawn"
    kind = _accelerator(device)
    fabric = Fabric(accelerator=kind, devices=processes, strategy=strategy, **_precision(precision, kind))
    job = model, risk, dataset, recipe, options
    first = os.environ.get("RANK", "0") == "0"
    with tidied(folder if first else None):
        if strategy != "ddp_spawn":
            fabric.launch()
            return _train(fabric, *job)
        outcome = _spawn(fabric, job)
    model.load_state_dict(outcome["model"])
    risk.load_state_dict(outcome["risk"])
    return Result(**outcome["result"])


def _spawn(fabric, job: tuple) -> dict:
    """Do the job in processes that are started here; an error in one of them is raised here as it was there.

    What they give back comes through files: a process that puts more into a pipe than it holds waits for somebody to
    read, and Fabric reads when the processes have ended.
    """
    with TemporaryDirectory() as name:
        folder = Path(name)
        try:
            # Fabric looks into what it hands to processes and refuses frozen dataclasses; not into a partial.
            fabric.launch(partial(_spawned, job, folder))
        except ProcessRaisedException as raised:
            errors = sorted(folder.glob("error-*"), key=lambda path: path.stat().st_mtime_ns)
            if not errors:  # none of a kind that is promised: its traceback is needed
                raise
            kind, message = json.loads(errors[0].read_text())  # the first: others may only follow from it
            raise KINDS[kind](message) from raised
        return torch.load(folder / "outcome", map_location="cpu", weights_only=True)


def _spawned(job: tuple, folder: Path, fabric) -> None:
    """The job in a started process: the trained weights are in its memory and not in the caller's."""
    model, risk, *rest = job
    model, risk = deepcopy(model), deepcopy(risk)  # what came with the job is shared with the other processes
    try:
        result = _train(fabric, model, risk, *rest)
    except KINDS as error:
        kind = next(KINDS.index(each) for each in type(error).__mro__ if each in KINDS)
        content = json.dumps([kind, str(error)]).encode()
        write_atomically(folder / f"error-{fabric.global_rank}", lambda file: file.write(content))
        raise
    if fabric.global_rank == 0:
        torch.save({"model": model.state_dict(), "risk": risk.state_dict(), "result": asdict(result)},
                   folder / "outcome")


def _train(fabric, model, risk, dataset, recipe, options) -> Result:
    """The run in each process; the one that writes holds the folder."""
    store = None if options.folder is None else Checkpoints(options.folder, options.config)
    writes = store is not None and fabric.global_rank == 0
    held = alone(options.folder / LOCK) if writes else nullcontext()
    with held, _compiling() if options.compile else nullcontext():
        if writes:
            store.sweep()
        return _loop(fabric, model, risk, dataset, recipe, options, store)


def _loop(fabric, model, risk, dataset, recipe, options, store) -> Result:
    """The loop, in each process."""
    rank, device, seed = fabric.global_rank, fabric.device, options.seed
    if device.type != "cpu" or getattr(model, "channels_last_on_cpu", False):
        # A convolution gives its output in the order of its weights, whatever that of the images. Not on a CPU unless
        # the network says that it may be: there the gradient of a strided 1x1 convolution of fewer channels than oneDNN
        # takes at a time (8 or 16) writes past its buffer (oneDNN issue 6035), and narrow networks die.
        model.to(memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(
        [*_trained(model), *_trained(risk)], lr=recipe.lr, momentum=recipe.momentum, nesterov=recipe.nesterov,
        weight_decay=recipe.weight_decay,
    )
    network, optimizer = fabric.setup(torch.compile(model, dynamic=False) if options.compile else model, optimizer)
    # What has nothing to train has no gradients to be shared, and the wrapper that shares them refuses it.
    objective = fabric.setup(risk) if _trained(risk) else risk.to(device)
    home = _home(dataset, device)
    loader, measures = _loader(fabric, dataset, recipe, seed, home), Measures(fabric, model, dataset, recipe, home)
    state = State(fabric, {"model": model, "risk": risk, "optimizer": optimizer}, store, options.commit)
    state.restore()
    if state.result:
        return Result(**state.result)
    network.train()
    bar = _bar(options.progress and rank == 0, recipe.epochs * len(loader))
    with bar, closing(LOGS[options.log](options.folder)) as log:
        while state.epoch < recipe.epochs:
            for batch in loader.epoch(state.epoch, start=state.step):
                batch = Batch(*(part.to(device) for part in batch))
                step = state.epoch * len(loader) + state.step
                bar.update(step + 1 - bar.n)
                for group in optimizer.param_groups:
                    group["lr"] = recipe.learning_rate(step / len(loader))
                # On the CPU: a seed then mixes alike on every device, and no draw waits for an accelerator.
                draws = generator(seed, "mix", rank, step)
                with noise(model, generator(seed, "noise", rank, step)):
                    loss = objective(network, batch, step=step, generator=draws)
                fabric.backward(loss)
                optimizer.step()
                optimizer.zero_grad()
                state.took(loss)
                if options.every and state.step % options.every == 0 and state.step < len(loader):
                    state.save()
            state.settle()
            state.end_epoch(measures.epoch(state, len(loader)), choose=recipe.measured == "epoch")
            if rank == 0 and store is not None:
                log.write(state.curves)
            state.save()
    return state.finish(*measures.final(state))


def _trained(module: nn.Module) -> list[nn.Parameter]:
    """The parameters that an optimiser changes."""
    return [parameter for parameter in module.parameters() if parameter.requires_grad]


@contextmanager
def _compiling() -> Iterator[None]:
    """Say in one line what the compiler, which starts with the first step, says in many."""
    try:
        yield
    except RuntimeError as error:
        from torch._dynamo.exc import TorchDynamoException

        if not isinstance(error, TorchDynamoException):
            raise
        cause = getattr(error, "inner_exception", error)
        line = next(iter(str(cause).strip().splitlines()), "")
        raise ValueError("expected a network that can be compiled here, or compile=False: "
                         f"{type(cause).__name__}: {line}") from error


def _home(dataset: Dataset, device: torch.device) -> torch.device:
    """Where images are kept: on the device if all of them fit there, else in the host's memory."""
    if device.type == "cpu":
        return device
    size = sum(split.images.nbytes for split in (dataset.train, dataset.validation, dataset.test))
    fits = size <= RESIDENT * torch.cuda.get_device_properties(device).total_memory
    return device if fits else torch.device("cpu")


def _loader(fabric, dataset: Dataset, recipe: Recipe, seed: int, home: torch.device) -> Loader:
    """Training batches of this process, made where the images are kept."""
    images, batch_size, world = part_of(recipe.part, len(dataset.train)), recipe.batch_size, fabric.world_size
    tail = images % batch_size
    return Loader(
        dataset.train, batch_size, mean=dataset.mean, std=dataset.std, augment=recipe.augment, part=recipe.part,
        seed=seed, device=home, rank=fabric.global_rank, world=world,
        drop_last=tail % world > 0 or tail == world and images > batch_size,
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


def _accelerator(device: str) -> str:
    """The kind of device that is meant."""
    return device if device != "auto" else "cuda" if torch.cuda.is_available() else "cpu"


def _precision(name: str, device: str) -> dict:
    """The precision as Fabric is told it."""
    if name == "32-true":
        return {"precision": name}
    from mixlab.train.autocast import Autocast

    return {"plugins": Autocast(device)}


def _check(dataset, device, precision, processes, every, log) -> None:
    """Refuse what cannot run, before anything is touched."""
    for name, value, known in (("device", device, DEVICES), ("precision", precision, PRECISIONS), ("log", log, LOGS)):
        if value not in known:
            raise ValueError(f"expected a {name} of {', '.join(known)}, received {value!r}")
    if device == "cuda" and not torch.cuda.is_available():
        raise ValueError("expected a CUDA device, found none: use device='cpu' or 'auto'")
    for name, value in (("processes", processes), ("every", 1 if every is None else every)):
        if not whole(value) or value < 1:
            raise ValueError(f"expected an integer {name} of at least 1, received {value!r}")
    _check_processes(_accelerator(device), processes)
    if not len(dataset.train) or not len(dataset.test):
        raise ValueError(f"expected training and test images, received {len(dataset.train)} and {len(dataset.test)}")


def _check_processes(accelerator: str, processes: int) -> None:
    """Refuse more processes than there are GPUs, and another number than a launcher has started."""
    if accelerator == "cuda" and processes > torch.cuda.device_count():
        raise ValueError(f"expected at most {torch.cuda.device_count()} processes, one for each GPU, "
                         f"received {processes}")
    started = os.environ.get("WORLD_SIZE", processes)
    if int(started) != processes:
        raise ValueError(f"expected processes={started}, as many as the launcher has started, received {processes}")


def _check_folder(folder: Path) -> None:
    """Refuse a folder for checkpoints that cannot be made or written, before an epoch is spent."""
    there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        raise ValueError(f"expected a folder that can be written for checkpoints, received {folder}: {there} is none")

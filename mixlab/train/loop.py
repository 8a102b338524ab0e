"""The training loop: one short function on Lightning Fabric, the same for one process and for many."""

from __future__ import annotations

import json
import logging
import multiprocessing
import os
from collections.abc import Iterator
from contextlib import closing, contextmanager, nullcontext
from copy import copy, deepcopy
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Thread

import torch
from torch import nn
from torch.multiprocessing import ProcessExitedException, ProcessRaisedException

from mixlab.checks import whole
from mixlab.data import Dataset, Split
from mixlab.models import noise
from mixlab.train.checkpoint import Checkpoints, write_atomically
from mixlab.train.lock import LOCK, alone, tidied
from mixlab.train.logs import LOGS, check_log
from mixlab.train.recipe import Recipe
from mixlab.train.result import Result, commit
from mixlab.train.state import RESERVED, State
from mixlab.train.task import Task, Tools

# Metrics are summed and mixes drawn in float64, which Apple's accelerator does not have.
DEVICES = ("auto", "cpu", "cuda")
PRECISIONS = ("32-true", "bf16-mixed")
# What a started process says of an error is raised here as one of these; as text, since no pickle is to be opened.
KINDS = (ValueError, FloatingPointError, FileNotFoundError, PermissionError, OSError, torch.OutOfMemoryError)


@dataclass(frozen=True)
class Options:
    """How a run is carried out, as opposed to what it computes; see `loop`."""

    seed: int
    compile: bool
    folder: Path | None
    every: int | None
    log: str
    progress: bool
    config: dict
    commit: str | None


def loop(
    task: Task,
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
    """Train the modules of a task in place, over the epochs of a recipe.

    The task says what is done at a step and what is measured after an epoch (see `Task`). The loop does the rest: the
    order of steps, the rate, devices and processes, checkpoints and the way back from them, curves, progress, and what
    is kept of the run. What a step draws follows from (seed, step, rank) alone, not from what ran before. So a run that
    was killed continues from its last checkpoint exactly where it was: on a CPU and with one thread count it ends with
    the same bits as an undisturbed run.

    With several processes each takes its share of one global batch (`recipe.batch_size`). Processes are started by this
    call, or found where a launcher such as torchrun has started as many on one machine; several machines are not
    supported. Those that are started here end with the process that called, however it ends.

    Args:
        task: what is trained.
        recipe: see `Recipe`; of a task that is not classification it says what that task asks it.
        seed: of everything drawn during training.
        device: "cpu", "cuda", or "auto" for a GPU of CUDA where there is one, else the CPU.
        precision: "32-true", or "bf16-mixed" for bfloat16 autocast.
        processes: of the device's kind, on this machine; of a GPU's, one for each at most.
        compile: send the networks through `torch.compile`.
        checkpoint: folder of the run: `last.ckpt` and `previous.ckpt`, `curves.csv`. A run found there is continued.
            The folder is held (`lock`) until the run ends. None keeps nothing.
        every: steps between checkpoints; they are also written at the end of each epoch.
        log: "csv", or "tensorboard" for scalars in the same folder as well.
        progress: show a progress bar where there is a terminal.

    Raises:
        ValueError: for an unknown option, a device or as many GPUs that are not there, as many processes that the
            launcher has not started, a network that cannot be compiled, a folder that cannot be written, that another
            command holds, or that has the checkpoint of another run, and for what the task refuses.
        ImportError: for a log that needs what is not installed.
        FloatingPointError: if what a step gives or a weight is not finite; the last checkpoint is from before.
        OSError: if the disk refuses a checkpoint, or does not give the one that is there; as ChildProcessError if a
            process that was started here is killed.

    Example:
        >>> from mixlab.data import load
        >>> from mixlab.risk import EmpiricalRisk
        >>> from mixlab.train import Classification, recipes
        >>> model = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
        >>> task = Classification(model, EmpiricalRisk(), load("digits"))
        >>> result = loop(task, recipes["demo"], device="cpu")
        >>> result.metric, result.last["test_error"] < 20
        ('test_error', True)
    """
    from lightning.fabric import Fabric

    _check(device, precision, processes, every, log)
    if not whole(seed):
        raise ValueError(f"expected an integer seed, received {seed!r}")
    seed = int(seed)
    task.check(recipe, processes=processes, compile=compile)
    config = task.fingerprint(recipe, seed=seed, precision=precision, processes=processes)
    folder = None if checkpoint is None else Path(checkpoint)
    if folder is not None:
        _check_folder(folder)
    options = Options(seed, compile, folder, every, log, progress, config, commit())
    for name in ("fabric", "pytorch"):  # they announce precision and ranks otherwise
        logging.getLogger(f"lightning.{name}").setLevel(logging.WARNING)
    logging.getLogger("torch.multiprocessing.spawn").setLevel(logging.ERROR)  # it announces whom it ends after an error
    strategy = "auto" if processes == 1 else "ddp" if "LOCAL_RANK" in os.environ else "ddp_spawn"
    kind = _accelerator(device)
    fabric = Fabric(accelerator=kind, devices=processes, strategy=strategy, **_precision(precision, kind))
    first = os.environ.get("RANK", "0") == "0"
    with tidied(folder if first else None):
        if strategy != "ddp_spawn":
            fabric.launch()
            return _train(fabric, copy(task), recipe, options)
        outcome = _spawn(fabric, (task, recipe, options))
    for name, module in task.modules.items():
        module.load_state_dict(outcome["modules"][name])
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
        except (ProcessRaisedException, ProcessExitedException) as raised:
            errors = sorted(folder.glob("error-*"), key=lambda path: path.stat().st_mtime_ns)
            if not errors and isinstance(raised, ProcessExitedException):
                raise ChildProcessError(_ended(raised)) from raised
            if not errors:  # none of a kind that is promised: its traceback is needed
                raise
            kind, message = json.loads(errors[0].read_text())  # the first: others may only follow from it
            raise KINDS[kind](message) from raised
        return torch.load(folder / "outcome", map_location="cpu", weights_only=True)


def _ended(process: ProcessExitedException) -> str:
    """What is told of a process that ended without an error of its own."""
    name = process.signal_name
    how = f"was ended by {name}" if name else f"ended with status {process.exit_code}"
    cause = ", as the system does where memory runs out: use fewer processes or less memory"
    return (f"the process of rank {process.error_index} {how}{cause if name == 'SIGKILL' else ''}; a run with "
            "checkpoints can be continued")


def _spawned(job: tuple, folder: Path, fabric) -> None:
    """The job in a started process: the trained weights are in its memory and not in the caller's."""
    Thread(target=_end_with_parent, daemon=True).start()
    task, *rest = job
    # The tensors that came with the job are shared with the other processes. Images may be; weights may not.
    images = {id(each): each for each in vars(task).values() if isinstance(each, (Dataset, Split))}
    task = deepcopy(task, images)
    try:
        result = _train(fabric, task, *rest)
        if fabric.global_rank == 0:
            modules = {name: module.state_dict() for name, module in task.modules.items()}
            outcome = {"modules": modules, "result": asdict(result)}
            write_atomically(folder / "outcome", lambda file: torch.save(outcome, file))
    except KINDS as error:
        kind = next(KINDS.index(each) for each in type(error).__mro__ if each in KINDS)
        content = json.dumps([kind, str(error)]).encode()
        write_atomically(folder / f"error-{fabric.global_rank}", lambda file: file.write(content))
        raise


def _end_with_parent() -> None:
    """Wait for the end of the process that started this one, however it ends, and end this one at once.

    Else it would train on, and hold the folder, with nobody to stop it.
    """
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _train(fabric, task, recipe, options) -> Result:
    """The run in each process; the one that writes holds the folder."""
    store = None if options.folder is None else Checkpoints(options.folder, options.config)
    writes = store is not None and fabric.global_rank == 0
    held = alone(options.folder / LOCK) if writes else nullcontext()
    with held, _compiling() if options.compile else nullcontext():
        if writes:
            store.sweep()
        return _loop(fabric, task, recipe, options, store)


def _loop(fabric, task, recipe, options, store) -> Result:
    """The loop, in each process."""
    rank, tools = fabric.global_rank, Tools(fabric, recipe, options.seed, options.compile)
    task.ready(tools)
    tools.optimizers = task.optimizers
    state = State(fabric, _parts(task), store, options.commit)
    state.restore()
    if state.result:
        return Result(**state.result)
    modules = nn.ModuleList(task.modules.values())
    bar = _bar(options.progress and rank == 0, recipe.epochs * task.steps)
    with bar, closing(LOGS[options.log](options.folder)) as log:
        while state.epoch < recipe.epochs:
            for batch in task.batches(state.epoch, state.step):
                number = state.epoch * task.steps + state.step
                bar.update(number + 1 - bar.n)
                tools.set_rate(recipe.learning_rate(number / task.steps))
                with noise(modules, tools.draws("noise", number)):
                    scalars = task.step(batch, number)
                state.took(scalars)
                if options.every and state.step % options.every == 0 and state.step < task.steps:
                    state.save()
            state.settle()
            epoch = state.epoch + 1
            row = {"epoch": epoch, "lr": recipe.learning_rate(state.epoch), **state.means(task.steps)}
            state.end_epoch(row | task.measure(epoch), choose=task.keeps_best)
            if rank == 0 and store is not None:
                log.write(state.curves)
            state.save()
    return state.finish(task.metric, *task.final(state))


def _parts(task) -> dict:
    """What a checkpoint keeps of a task, by names that are their own."""
    names = [*task.modules, *task.optimizers]
    taken = [name for name in names if names.count(name) > 1 or name in RESERVED]
    if taken:
        raise ValueError("expected another name for each module and optimiser, and none of "
                         f"{', '.join(RESERVED)}, received {taken[0]!r}")
    return {**task.modules, **task.optimizers}


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


def _bar(shown: bool, total: int):
    from tqdm import tqdm

    return tqdm(total=total, unit="step", disable=None if shown else True, leave=False)


def _accelerator(device: str) -> str:
    """The kind of device that is meant."""
    return device if device != "auto" else "cuda" if torch.cuda.is_available() else "cpu"


def _precision(name: str, device: str) -> dict:
    """The precision as Fabric is told it."""
    if name == "32-true":
        return {"precision": name}
    from mixlab.train.autocast import Autocast

    return {"plugins": Autocast(device)}


def _check(device, precision, processes, every, log) -> None:
    """Refuse what cannot run, before anything is touched."""
    check_log(log)
    for name, value, known in (("device", device, DEVICES), ("precision", precision, PRECISIONS)):
        if value not in known:
            raise ValueError(f"expected a {name} of {', '.join(known)}, received {value!r}")
    if device == "cuda" and not torch.cuda.is_available():
        raise ValueError("expected a CUDA device, found none: use device='cpu' or 'auto'")
    for name, value in (("processes", processes), ("every", 1 if every is None else every)):
        if not whole(value) or value < 1:
            raise ValueError(f"expected an integer {name} of at least 1, received {value!r}")
    _check_processes(_accelerator(device), processes)


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

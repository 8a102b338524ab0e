"""What a run remembers: where it is, what it measured, and how that is kept and found again."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import torch
from torch import Tensor, nn

from mixlab.train.checkpoint import Checkpoints
from mixlab.train.result import Result, origin

# The plain part of a state; weights are added where it is saved, and so is what the steps of some tasks give.
PLAIN = ("epoch", "step", "losses", "curves", "best", "best_weights", "seconds", "commits", "result")
RESERVED = (*PLAIN, "scalars")


class State:
    """Position and measurements of a run in one process; collective where there are several.

    Args:
        fabric: the launched Fabric.
        parts: the task's modules, first the network that it is about, and its optimisers, by name; their `state_dict`
            is kept with the rest.
        store: where states are kept, or None.
        commit: under which this session of the run began, see `mixlab.train.result.commit`.
    """

    def __init__(self, fabric, parts: dict, store: Checkpoints | None, commit: str | None):
        self.fabric, self.parts, self.store = fabric, parts, store
        self.epoch = self.step = 0
        self.losses: list[float] = []
        self.scalars: dict[str, list[float]] = {}  # what else the steps of this epoch gave, by name
        self.curves: dict[str, list] = {}
        self.best: dict | None = None
        self.best_weights: dict | None = None
        self.seconds = 0.0
        self.commits: list[str | None] = [commit]
        self.result: dict | None = None
        self._pending: list[dict[str, Tensor]] = []
        self._since = time.perf_counter()

    def restore(self) -> None:
        """Go on from the latest checkpoint, if there is one.

        Raises:
            ValueError: naming the checkpoint, and what it lacks or what in it does not fit the run: it was written by
                another version, or by hand; else what `Checkpoints.load` refuses.
            OSError: if the checkpoint may not, or cannot, be read.
        """
        if self.store is None or (saved := self.store.load()) is None:
            return
        where = self.store.found
        for name in (*PLAIN, *self.parts):
            if name not in saved:
                raise ValueError(f"expected a checkpoint with {name!r} at {where}, received one without it, which "
                                 "another version may have written")
        here = self.commits
        for name in PLAIN:
            setattr(self, name, saved[name])
        self.scalars = saved.get("scalars", {})
        self.commits = list(dict.fromkeys([*self.commits, *here]))
        for name, part in self.parts.items():
            with _fitting(name, where):
                part.load_state_dict(saved[name])
        if self.result:
            with _fitting("result", where):
                Result(**self.result)

    def took(self, scalars: dict[str, Tensor]) -> None:
        """Note a step; what it gave stays on the device until `settle`, so no step waits for it.

        Raises:
            ValueError: if no `loss` is there.
        """
        if "loss" not in scalars:
            raise ValueError(f"expected the loss of a step among what it gives, received {', '.join(scalars)}")
        self._pending.append({name: value.detach() for name, value in scalars.items()})
        self.step += 1

    def settle(self) -> None:
        """Turn what steps gave into numbers, as means over the processes.

        Raises:
            FloatingPointError: naming the first step whose loss, or whatever else it gave, is not finite.
        """
        pending, self._pending = self._pending, []
        for name in dict.fromkeys(name for given in pending for name in given):
            steps = [step for step, given in enumerate(pending, self.step - len(pending) + 1) if name in given]
            values = torch.stack([given[name] for given in pending if name in given])
            values = self.fabric.all_reduce(values, reduce_op="mean").tolist()
            for step, value in zip(steps, values, strict=True):
                if not math.isfinite(value):
                    raise FloatingPointError(
                        f"{name} is {value} in epoch {self.epoch + 1}, step {step}: the learning rate may be too "
                        "high; the last checkpoint is from before"
                    )
            (self.losses if name == "loss" else self.scalars.setdefault(name, [])).extend(values)

    def means(self, steps: int) -> dict[str, float]:
        """What the `steps` steps of this epoch gave, `train_loss` first, as means over those that gave it."""
        given = {"loss": self.losses[-steps:], **self.scalars}
        return {f"train_{name}": math.fsum(values) / len(values) for name, values in given.items()}

    def save(self) -> None:
        """Write a checkpoint, if the run keeps any.

        Raises:
            FloatingPointError: if a loss or a weight is not finite; the last checkpoint stays.
        """
        self.settle()
        self._check_weights()
        if self.store is None:
            return
        now = time.perf_counter()
        self.seconds, self._since = self.seconds + now - self._since, now
        if self.fabric.global_rank == 0:
            plain = {name: getattr(self, name) for name in PLAIN}
            plain |= {"scalars": self.scalars} if self.scalars else {}
            self.store.save(plain | {name: part.state_dict() for name, part in self.parts.items()})

    def _check_weights(self) -> None:
        # A finite loss may have an infinite gradient; the next loss would tell, but the checkpoint comes before it.
        (_, network), *others = [part for part in self.parts.items() if isinstance(part[1], nn.Module)]
        weights = network.state_dict()
        for name, module in others:  # not their buffers: what a risk remembers may be infinite for as long as it likes
            trained = ((each, value) for each, value in module.named_parameters() if value.requires_grad)
            weights |= {f"{name}.{each}": value.detach() for each, value in trained}
        # Asked together, since each answer is a wait for an accelerator.
        finite = torch.stack([value.isfinite().all() for value in weights.values()]).tolist()
        if not all(finite):
            raise FloatingPointError(
                f"{list(weights)[finite.index(False)]} is not finite in epoch {self.epoch + (self.step > 0)}: the "
                "learning rate may be too high; the last checkpoint is from before"
            )

    def end_epoch(self, row: dict, choose: bool = True) -> None:
        """Add a row to the curves; to choose is to keep the weights if it has the lowest validation error so far.

        A curve has None for an epoch in which it was not measured.
        """
        for name in dict.fromkeys([*self.curves, *row]):
            self.curves.setdefault(name, [None] * self.epoch).append(row.get(name))
        error = row.get("validation_error")
        if choose and error is not None and (not self.best or error < self.best["validation_error"]):
            self.best = {name: row[name] for name in ("epoch", "validation_error", "validation_loss")}
            self.best_weights = clone(next(iter(self.parts.values())))
        self.epoch, self.step, self.scalars = self.epoch + 1, 0, {}

    def finish(self, metric: str, last: dict, best: dict | None) -> Result:
        """The result of the run, kept in a last checkpoint."""
        self.seconds += time.perf_counter() - self._since
        self._since = time.perf_counter()
        tests = self.curves.get("test_error")
        result = Result(last, best, min(tests) if tests else None, self.curves, self.losses, self.seconds,
                        origin(self.fabric.device, self.commits), metric)
        self.result = asdict(result)
        self.save()
        return result


@contextmanager
def _fitting(name: str, where: Path | None) -> Iterator[None]:
    """Name the checkpoint, and what in it does not fit the run."""
    try:
        yield
    except torch.OutOfMemoryError:
        raise
    except (AttributeError, KeyError, RuntimeError, TypeError, ValueError) as error:
        reason = " ".join(str(error).split())
        wrong = f"expected {name!r} of this run in the checkpoint {where}, received another: {reason}"
        raise ValueError(wrong) from error


def clone(model: nn.Module) -> dict[str, Tensor]:
    """Copy of a model's weights."""
    return {name: value.detach().clone() for name, value in model.state_dict().items()}

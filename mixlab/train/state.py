"""What a run remembers: where it is, what it measured, and how that is kept and found again."""

from __future__ import annotations

import math
import time
from dataclasses import asdict

import torch
from torch import Tensor, nn

from mixlab.train.checkpoint import Checkpoints
from mixlab.train.result import Result, origin

# The plain part of a state; weights are added where it is saved.
PLAIN = ("epoch", "step", "losses", "curves", "best", "best_weights", "seconds", "commits", "result")


class State:
    """Position and measurements of a run in one process; collective where there are several.

    Args:
        fabric: the launched Fabric.
        parts: model, risk and optimizer, by name; their `state_dict` is kept with the rest.
        store: where states are kept, or None.
        commit: under which this session of the run began, see `mixlab.train.result.commit`.
    """

    def __init__(self, fabric, parts: dict, store: Checkpoints | None, commit: str | None):
        self.fabric, self.parts, self.store = fabric, parts, store
        self.epoch = self.step = 0
        self.losses: list[float] = []
        self.curves: dict[str, list] = {}
        self.best: dict | None = None
        self.best_weights: dict | None = None
        self.seconds = 0.0
        self.commits: list[str | None] = [commit]
        self.result: dict | None = None
        self._pending: list[Tensor] = []
        self._since = time.perf_counter()

    def restore(self) -> None:
        """Go on from the latest checkpoint, if there is one."""
        saved = None if self.store is None else self.store.load()
        if saved is None:
            return
        here = self.commits
        for name in PLAIN:
            setattr(self, name, saved[name])
        self.commits = list(dict.fromkeys([*self.commits, *here]))
        for name, part in self.parts.items():
            part.load_state_dict(saved[name])

    def took(self, loss: Tensor) -> None:
        """Note a step; its loss stays on the device until `settle`, so no step waits for it."""
        self._pending.append(loss.detach())
        self.step += 1

    def settle(self) -> None:
        """Turn the noted losses into numbers, as means over the processes.

        Raises:
            FloatingPointError: naming the first step whose loss is not finite.
        """
        if not self._pending:
            return
        losses = self.fabric.all_reduce(torch.stack(self._pending), reduce_op="mean").tolist()
        self._pending.clear()
        for back, loss in zip(range(len(losses), 0, -1), losses, strict=True):
            if not math.isfinite(loss):
                raise FloatingPointError(
                    f"loss is {loss} in epoch {self.epoch + 1}, step {self.step - back + 1}: the learning rate may be "
                    "too high; the last checkpoint is from before"
                )
        self.losses += losses

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
            self.store.save(plain | {name: part.state_dict() for name, part in self.parts.items()})

    def _check_weights(self) -> None:
        # A finite loss may have an infinite gradient; the next loss would tell, but the checkpoint comes before it.
        weights = self.parts["model"].state_dict()
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
            self.best_weights = clone(self.parts["model"])
        self.epoch, self.step = self.epoch + 1, 0

    def finish(self, last: dict, best: dict | None) -> Result:
        """The result of the run, kept in a last checkpoint."""
        self.seconds += time.perf_counter() - self._since
        self._since = time.perf_counter()
        tests = self.curves.get("test_error")
        result = Result(last, best, min(tests) if tests else None, self.curves, self.losses, self.seconds,
                        origin(self.fabric.device, self.commits))
        self.result = asdict(result)
        self.save()
        return result


def clone(model: nn.Module) -> dict[str, Tensor]:
    """Copy of a model's weights."""
    return {name: value.detach().clone() for name, value in model.state_dict().items()}

"""Reading, or exchanging, what passes a layer while a network runs."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

__all__ = ["Tap", "find_layer", "tap"]


class Tap:
    """What a layer was given, or gave, in the forward pass of a `tap`."""

    def __init__(self, layer: str):
        self.layer = layer
        self._seen: list[Tensor] = []
        self._version = 0

    @property
    def value(self) -> Tensor:
        """The tensor, part of the graph as it is in the network.

        Raises:
            RuntimeError: where the layer did not run, or ran more than once, or a later layer has written over what
                was read, as activations in place do.
        """
        if len(self._seen) != 1:
            raise RuntimeError(
                f"layer {self.layer!r} ran {len(self._seen)} times in a forward pass; it must run once, uncompiled"
            )
        if _version(self._seen[0]) != self._version:
            raise RuntimeError(f"what layer {self.layer!r} gave was overwritten by a layer that works in place: read "
                               "that one")
        return self._seen[0]


@contextmanager
def tap(
    model: nn.Module, layer: str, input: bool = False, change: Callable[[Tensor], Tensor] | None = None
) -> Iterator[Tap]:
    """Read a hidden layer with a hook, and exchange what it gives, while the context lasts.

    The network is called as it is, wrapped or not. Reaching into ``network.module`` instead would leave out the
    wrapper that averages gradients over processes, and nobody would be told.

    Args:
        model: any network, also inside the wrappers of compilers, devices and processes.
        layer: name of a submodule, as in ``named_modules``; it must run once in a forward pass.
        input: read what the layer is given in place of what it gives.
        change: maps what is read to what goes on in its place; None leaves it.

    Yields:
        A `Tap` whose ``value`` is what was read, once the network has run in the context.

    Raises:
        ValueError: for a layer that the network does not have, or that takes or gives anything but one tensor.
        RuntimeError: when ``value`` is asked for and the layer did not run exactly once; or in the forward pass, where
            the layer runs without gradients in a network that has them: reentrant activation checkpointing would
            recompute it without the hook. (Without reentrance nobody can tell here: do not `change` what lies in a
            checkpointed part.)

    Example:
        >>> model = nn.Sequential(nn.Flatten(), nn.Linear(4, 3), nn.Linear(3, 2))
        >>> with tap(model, "2", input=True) as hidden:
        ...     logits = model(torch.ones(5, 1, 2, 2))
        >>> hidden.value.shape, torch.equal(model[2](hidden.value), logits)
        (torch.Size([5, 3]), True)
    """
    seen, differentiated = Tap(layer), torch.is_grad_enabled()

    def read(value: object) -> Tensor | None:
        if differentiated and not torch.is_grad_enabled():
            raise RuntimeError(
                f"layer {layer!r} ran without gradients in a network that has them: if it is checkpointed, the "
                "backward pass would recompute it unseen and unmixed; if it is frozen, use requires_grad_(False)"
            )
        if not isinstance(value, Tensor):
            verb = "take" if input else "give"
            raise ValueError(f"expected layer {layer!r} to {verb} one tensor, received {type(value).__name__}")
        seen._seen.append(value)
        seen._version = _version(value)
        return None if change is None else change(value)

    module = find_layer(model, layer)
    if input:
        handle = module.register_forward_pre_hook(lambda _, given: read(given[0] if len(given) == 1 else given))
    else:
        handle = module.register_forward_hook(lambda _, given, output: read(output))
    try:
        yield seen
    finally:
        handle.remove()


def _version(value: Tensor) -> int:
    """How often a tensor was written to; torch does not count that in inference mode."""
    return 0 if value.is_inference() else value._version


def find_layer(model: nn.Module, name: str) -> nn.Module:
    """The submodule of a name, in a network or inside the wrappers of compilers, devices and processes.

    Raises:
        ValueError: if there is none; it lists what there is.
    """
    modules = dict(model.named_modules())
    if name in modules:
        return modules[name]
    for wrapper in ("_orig_mod", "module"):
        if isinstance(getattr(model, wrapper, None), nn.Module):
            return find_layer(getattr(model, wrapper), name)
    raise ValueError(f"expected a layer of the network, received {name!r}; there are "
                     f"{[child for child, _ in model.named_children()]} and what they hold")

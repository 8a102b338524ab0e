"""Dropout and its relatives, drawn from an explicit generator."""

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain

import torch
from torch import nn

__all__ = ["noise"]


@contextmanager
def noise(model: nn.Module, generator: torch.Generator) -> Iterator[None]:
    """Make every stochastic layer of a network draw from ``generator`` while the context lasts.

    Dropout layers of torch, torchvision and others draw from the global generator of their device and take no
    other. Writing each of them anew would cover the layers we thought of; so the global generators of the CPU
    and of the network's devices are seeded with a number drawn from ``generator``, and put back afterwards.
    What the layers draw then depends on ``generator`` alone, nothing outside notices, and compiled and
    third-party layers are covered. The context always takes one number from ``generator``, whatever the
    network holds, so that a stream shared with others advances alike for all networks.

    Args:
        model: the network that runs in the context, wrapped or not. Its parameters and buffers tell the devices; one
            that has neither is taken to run on the CPU.
        generator: source of randomness. One on the CPU spares the wait for a number from an accelerator.

    Example:
        >>> layer, draws = nn.Dropout(0.5), torch.Generator().manual_seed(0)
        >>> state = torch.get_rng_state()
        >>> with noise(layer, draws):
        ...     first = layer(torch.ones(8))
        >>> with noise(layer, draws.manual_seed(0)):
        ...     second = layer(torch.ones(8))
        >>> torch.equal(first, second), torch.equal(state, torch.get_rng_state())
        (True, True)
    """
    seed = int(torch.randint(2**63 - 1, (), generator=generator, device=generator.device))
    streams = _streams(model)
    states = [stream.get_state() for stream in streams]
    for stream in streams:
        stream.manual_seed(seed)
    try:
        yield
    finally:
        for stream, state in zip(streams, states, strict=True):
            stream.set_state(state)


def _streams(model: nn.Module) -> list[torch.Generator]:
    """The global generators that layers of the model may draw from."""
    devices = {tensor.device for tensor in chain(model.parameters(), model.buffers())}
    streams = [torch.default_generator]
    streams += [torch.cuda.default_generators[device.index] for device in devices if device.type == "cuda"]
    if any(device.type == "mps" for device in devices):
        streams.append(torch.mps._get_default_mps_generator())
    return streams

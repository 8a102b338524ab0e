"""The cell of the supernet, rearranged: the same sums in another order, in less time.

A mixed operation is linear in what its operations give, so a node's sum over edges and the sum over their operations
may be taken in any order:

1. The shuffle is the same for all edges: a node adds up what its edges give, and shuffles once.
2. The channels that pass by are a weighted sum of the sources' own. Each source is pooled once, not once an edge.
3. Poolings and the identity have nothing of their own on an edge: they are made once a source. "none" is left out.
4. The convolutions of all edges out of one source are one grouped convolution.
5. An operation's weight is the scale of its last normalisation, which has none otherwise.

Compare with `mixlab.nas.supernet.SearchCell`: what comes out, its gradients, running statistics and `state_dict` are
the same, up to rounding.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import batch_norm, channel_shuffle, conv2d, max_pool2d

from mixlab.nas.operations import OPERATIONS, check_even
from mixlab.nas.skeleton import Place
from mixlab.nas.supernet import SearchCell

__all__ = ["FusedCell", "side_by_side"]

MAX, AVERAGE, SKIP = (OPERATIONS.index(name) for name in ("max_pool_3x3", "avg_pool_3x3", "skip_connect"))
CONVOLUTIONS = range(SKIP + 1, len(OPERATIONS))


class FusedCell(SearchCell):
    """A `SearchCell` that computes the same in less time.

    Args:
        place, nodes, parts: see `SearchCell`.

    Example:
        >>> cell = FusedCell(Place(3, 3, 8, True, False), nodes=2, parts=4)
        >>> maps = torch.rand(2, 3, 8, 8)
        >>> cell(maps, maps, torch.full((5, 8), 1 / 8), torch.full((5,), 1 / 2)).shape
        torch.Size([2, 16, 4, 4])
    """

    def __init__(self, place: Place, *, nodes: int, parts: int):
        super().__init__(place, nodes=nodes, parts=parts)
        starts = [sum(2 + earlier for earlier in range(node)) for node in range(nodes)]
        #: Of every source, the edges out of it: to every node after it.
        self.out = [[starts[node] + source for node in range(max(0, source - 1), nodes)]
                    for source in range(1 + nodes)]
        for edges in self.out:
            first = self.edges[edges[0]].operations
            for edge in edges[1:]:  # pooled once, so normalised and remembered once, under all of their names
                for pool in (MAX, AVERAGE):
                    self.edges[edge].operations[pool] = first[pool]

    def forward(self, before: Tensor, last: Tensor, weights: Tensor, share: Tensor) -> Tensor:
        """See `SearchCell.forward`."""
        scale = share[:, None] * weights  # what an operation of an edge counts in its node
        sources, mixed, passing, start = [self.read_before(before), self.read_last(last)], [], [], 0
        for node in range(self.nodes):
            for source in range(len(mixed), 2 + node):
                mixed.append(self._mixed(source, sources[source], scale[self.out[source]]))
                passing.append(self._passing(source, sources[source]))
            # Source j reaches the nodes from j - 1 on, or all of them.
            total = sum(each[:, node - max(0, source - 1)] for source, each in enumerate(mixed))
            if self.parts > 1:
                own = share[start:start + len(passing)]
                rest = sum(part * each for part, each in zip(own, passing, strict=True))
                total = channel_shuffle(torch.cat([total, rest], dim=1), self.parts)
            sources.append(total)
            start += 2 + node
        return torch.cat(sources[2:], dim=1)

    def _mixed(self, source: int, maps: Tensor, scale: Tensor) -> Tensor:
        """What the operations on a source give to every node after it, (B, nodes, C / K, H, W)."""
        edges = [self.edges[edge].operations for edge in self.out[source]]
        halve = self.edges[self.out[source][0]].stride == 2
        if halve:
            check_even(maps)
        part = maps[:, :maps.shape[1] // self.parts].contiguous()
        pooled = [edges[0][MAX](part), edges[0][AVERAGE](part)]
        free = pooled if halve else [*pooled, part]
        stacked = torch.stack(free, dim=1)
        total = torch.matmul(scale[:, MAX:MAX + len(free)], stacked.flatten(2))
        total = total.view(len(maps), len(edges), *stacked.shape[2:]).flatten(1, 2)
        part = part.relu()
        if halve:
            total = total + _reduced([each[SKIP] for each in edges], part, scale[:, SKIP])
        copies = part.repeat(1, len(edges), 1, 1)
        for kind in CONVOLUTIONS:
            total = total + _convolved([each[kind] for each in edges], copies, scale[:, kind])
        return total.unflatten(1, (len(edges), -1))

    def _passing(self, source: int, maps: Tensor) -> Tensor:
        """The channels of a source that pass by."""
        rest = maps[:, maps.shape[1] // self.parts:]
        return max_pool2d(rest, 2) if self.reduce and source < 2 and self.parts > 1 else rest


def _convolved(chains: list[nn.Sequential], copies: Tensor, scale: Tensor) -> Tensor:
    """One convolution operation of several edges, side by side; `copies` are ReLU of what each of them is given."""
    maps = copies
    for number, layers in enumerate(zip(*chains, strict=True)):
        if isinstance(layers[0], nn.Conv2d):
            maps = side_by_side(layers, maps)
        elif isinstance(layers[0], nn.BatchNorm2d):
            maps = _normalised(layers, maps, scale if number == len(chains[0]) - 1 else None)
        elif number:
            maps = maps.relu()
    return maps


def _reduced(layers: list[nn.Module], part: Tensor, scale: Tensor) -> Tensor:
    """The `FactorizedReduce` of several edges on ReLU of one source, which is read twice in all."""
    halves = [conv2d(maps, torch.cat([getattr(each, name).weight for each in layers]), stride=2)
              for name, maps in (("first", part), ("second", part[:, :, 1:, 1:]))]
    beside = torch.cat([half.unflatten(1, (len(layers), -1)) for half in halves], dim=2).flatten(1, 2)
    return _normalised([each.norm for each in layers], beside, scale)


def side_by_side(layers: Sequence[nn.Conv2d], maps: Tensor) -> Tensor:
    """Convolutions of one shape, each on channels of its own, as one grouped convolution.

    Args:
        layers: n of them, without biases.
        maps: (B, n · in, H, W), what the first is given first.

    Returns:
        (B, n · out, H', W').

    Example:
        >>> layers, maps = [nn.Conv2d(2, 3, 1, bias=False) for _ in range(2)], torch.rand(1, 4, 5, 5)
        >>> apart = torch.cat([layer(part) for layer, part in zip(layers, maps.split(2, 1))], 1)
        >>> torch.allclose(side_by_side(layers, maps), apart, atol=1e-6)
        True
    """
    one = layers[0]
    weight = torch.cat([each.weight for each in layers])
    return conv2d(maps, weight, None, one.stride, one.padding, one.dilation, len(layers) * one.groups)


def _normalised(norms: Sequence[nn.BatchNorm2d], maps: Tensor, scale: Tensor | None) -> Tensor:
    """Normalisations without scale and shift, each on channels of its own, times a number each; all remember."""
    one, count = norms[0], maps.shape[1] // len(norms)
    factor = None if scale is None else scale.repeat_interleave(count)
    mean, variance = (torch.cat([getattr(each, name) for each in norms]) for name in ("running_mean", "running_var"))
    maps = batch_norm(maps, mean, variance, factor, None, one.training, one.momentum, one.eps)
    if one.training:
        with torch.no_grad():
            for each, new_mean, new_variance in zip(norms, mean.split(count), variance.split(count), strict=True):
                each.running_mean.copy_(new_mean)
                each.running_var.copy_(new_variance)
                each.num_batches_tracked.add_(1)
    return maps

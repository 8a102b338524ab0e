"""The supernet of PC-DARTS: every edge of its cells does all operations at once, on a part of the channels.

This is the plain form, as one would write it down. `mixlab.nas.fused` has the same network rearranged to take less
time.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import channel_shuffle, max_pool2d

from mixlab.checks import whole
from mixlab.nas.genotype import Genotype, derive, edges_of, shares
from mixlab.nas.operations import OPERATIONS, check_even, operation
from mixlab.nas.skeleton import Place, Skeleton, plain_order, reader

__all__ = ["FORMS", "MixedOperation", "SearchCell", "SearchNetwork"]

FORMS = ("plain", "fused")


class MixedOperation(nn.Module):
    r"""All operations of an edge on the first C / K channels, weighted; the other channels pass by.

        f(x) = shuffle([Σ_o w_o · o(x[: C / K]), x[C / K :]])

    At stride 2 the channels that pass by go through a 2×2 max-pooling. The shuffle deals the channels out in K groups,
    so that the next edge's first C / K channels are a mixture of both. With K = 1 it is the mixed operation of DARTS.

    Args:
        channels: C; 2 K divides it, since a quarter (say) of them is halved where sides are.
        stride: 1 or 2.
        parts: K.

    Raises:
        ValueError: for channels that 2 K does not divide.

    Source: Xu et al. (2020), section 3.1, eq. 2.

    Example:
        >>> edge = MixedOperation(8, 1, parts=4)
        >>> maps, identity = torch.rand(2, 8, 6, 6), torch.eye(8)[3]
        >>> torch.equal(edge(maps, identity), channel_shuffle(maps, 4))
        True
    """

    def __init__(self, channels: int, stride: int, *, parts: int = 4):
        super().__init__()
        if channels % (2 * parts):
            raise ValueError(f"expected channels that {2 * parts} = 2 K divides (K = {parts}), received {channels}")
        self.stride, self.parts, self.mixed = stride, parts, channels // parts
        self.operations = nn.ModuleList(operation(name, self.mixed, stride, search=True) for name in OPERATIONS)

    def forward(self, maps: Tensor, weights: Tensor) -> Tensor:
        """Map (B, C, H, W) and the weights (8,) of the operations to (B, C, H / stride, W / stride)."""
        if self.stride == 2:
            check_even(maps)
        part, rest = maps[:, :self.mixed], maps[:, self.mixed:]
        mixed = sum(weight * each(part) for weight, each in zip(weights, self.operations, strict=True))
        if self.parts == 1:
            return mixed
        rest = max_pool2d(rest, 2) if self.stride == 2 else rest
        return channel_shuffle(torch.cat([mixed, rest], dim=1), self.parts)


class SearchCell(nn.Module):
    r"""A cell all of whose edges are there: node i = Σ_j share_ij · f_ij(source j), j over the 2 + i sources before it.

    Args:
        place: see `Place`; in a reduction cell the edges from the two inputs have stride 2.
        nodes: of the cell.
        parts: K, see `MixedOperation`.

    Raises:
        ValueError: for channels that 2 K does not divide.

    Source: Xu et al. (2020), section 3.2, eq. 3.

    Example:
        >>> cell = SearchCell(Place(3, 3, 8, True, False), nodes=2, parts=4)
        >>> maps = torch.rand(2, 3, 8, 8)
        >>> cell(maps, maps, torch.full((5, 8), 1 / 8), torch.full((5,), 1 / 2)).shape
        torch.Size([2, 16, 4, 4])
    """

    def __init__(self, place: Place, *, nodes: int, parts: int):
        super().__init__()
        self.nodes, self.reduce, self.parts = nodes, place.reduce, parts
        self.read_before = reader(place.before, place.channels, halve=place.apart, affine=False)
        self.read_last = reader(place.last, place.channels, halve=False, affine=False)
        self.edges = nn.ModuleList(
            MixedOperation(place.channels, 2 if place.reduce and source < 2 else 1, parts=parts)
            for node in range(nodes) for source in range(2 + node))

    def forward(self, before: Tensor, last: Tensor, weights: Tensor, share: Tensor) -> Tensor:
        """Map two sources to the nodes' maps, put together.

        Args:
            before, last: maps (B, ·, H, W), `before` twice as large where the place says so.
            weights: (edges, 8), of the operations.
            share: (edges,), of the edges.

        Returns:
            (B, nodes · channels, H, W), with half of the sides in a reduction cell.
        """
        sources = [self.read_before(before), self.read_last(last)]
        edge = 0
        for _ in range(self.nodes):
            count = len(sources)
            sources.append(sum(share[edge + j] * self.edges[edge + j](sources[j], weights[edge + j])
                               for j in range(count)))
            edge += count
        return torch.cat(sources[2:], dim=1)


class SearchNetwork(Skeleton):
    """The supernet: cells with all of their edges, whose operations and edges have weights that are learned.

    All normal cells have the same α and β, and so have all reduction cells. Both are parameters, but none of the
    layers': they are kept in checkpoints and their gradients are shared between processes, and an optimiser of weights
    is given `weight_parameters`.

    Args:
        num_classes: logits.
        in_channels: of the images.
        layers: cells; number layers // 3 and 2 · layers // 3 are reduction cells.
        channels: C, of the nodes of the first cells; 2 K divides it.
        nodes: of a cell.
        parts: K, see `MixedOperation`; the paper's is 4 for CIFAR, and 2 for ImageNet.
        stem: "small", or "large" as for ImageNet.
        form: "plain", or "fused", which computes the same in less time (see `mixlab.nas.fused`); both have the same
            `state_dict`.
        generator: source of the initial weights, on the CPU: those of the layers by `mixlab.models.initialise`, then
            α and β, normal with standard deviation 10⁻³. None is a new one of seed 0.

    Attributes:
        alpha: parameter (2, edges, 8), normal cells first; columns as in `OPERATIONS`.
        beta: parameter (2, edges), the edges of the first node first, those of a node in the order of their sources.

    Raises:
        ValueError: for a size that is not a positive integer, channels that 2 K does not divide, another stem or form,
            or a generator that is not on the CPU.

    Source: Xu et al. (2020), "PC-DARTS", and its published code.

    Example:
        >>> network = SearchNetwork(10, in_channels=1, layers=3, channels=8, nodes=2)
        >>> network(torch.zeros(2, 1, 16, 16)).shape, network.alpha.shape, network.beta.shape
        (torch.Size([2, 10]), torch.Size([2, 5, 8]), torch.Size([2, 5]))
        >>> len(network.genotype().normal)
        2
    """

    def __init__(self, num_classes: int, in_channels: int = 3, *, layers: int = 8, channels: int = 16, nodes: int = 4,
                 parts: int = 4, stem: str = "small", form: str = "fused", generator: torch.Generator | None = None):
        super().__init__(num_classes, in_channels, layers, channels, stem)
        edges = edges_of(nodes)
        if not whole(parts) or parts < 1:
            raise ValueError(f"expected a positive integer parts, received {parts!r}")
        if channels % (2 * parts):  # also where the first cell, which would double them, is a reduction cell
            raise ValueError(f"expected channels that {2 * parts} = 2 K divides (K = {parts}), received {channels}")
        if form not in FORMS:
            raise ValueError(f"expected a form of {', '.join(FORMS)}, received {form!r}")
        if form == "fused":
            from mixlab.nas.fused import FusedCell as Kind
        else:
            Kind = SearchCell
        self.nodes, self.parts, self.form = int(nodes), int(parts), form
        # Layers draw from the global generator as they are made; without memory there is nothing to draw.
        with torch.device("meta"):
            found = self._places((nodes, nodes))
            self.cells = nn.ModuleList(Kind(place, nodes=self.nodes, parts=self.parts) for place in found)
            self.classifier = nn.Linear(nodes * found[-1].channels, self.num_classes)
        generator = self._draw(generator)
        self.alpha = nn.Parameter(1e-3 * torch.randn(2, edges, len(OPERATIONS), generator=generator))
        self.beta = nn.Parameter(1e-3 * torch.randn(2, edges, generator=generator))

    @property
    def config(self) -> dict:
        """Plain data that makes such a network again: ``SearchNetwork(**network.config)``."""
        names = ("num_classes", "in_channels", "layers", "channels", "nodes", "parts", "form")
        return {name: getattr(self, name) for name in names} | {"stem": self.kind}

    def architecture_parameters(self) -> list[nn.Parameter]:
        """α and β."""
        return [self.alpha, self.beta]

    def weight_parameters(self) -> list[nn.Parameter]:
        """All other parameters."""
        return [each for name, each in self.named_parameters() if name not in ("alpha", "beta")]

    def genotype(self) -> Genotype:
        """The cells that α and β speak for now, see `derive`."""
        return derive(self.alpha, self.beta)

    def forward(self, images: Tensor) -> Tensor:
        """Map images (B, in_channels, H, W) to logits (B, num_classes).

        Raises:
            ValueError: for images of another number of channels, or sides that cannot be halved as often as needed.
        """
        self.check(images.shape)
        weights, share = self.alpha.softmax(-1), shares(self.beta)
        before, last = self.stem(plain_order(images))
        for cell in self.cells:
            kind = int(cell.reduce)
            before, last = last, cell(before, last, weights[kind], share[kind])
        return self.classifier(last.mean((2, 3)))

    def extra_repr(self) -> str:
        return ", ".join(f"{name}={value!r}" for name, value in self.config.items() if name != "num_classes")

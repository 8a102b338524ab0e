"""What a search finds: for every node of a cell, which two sources it reads and by which operations."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from os import PathLike
from pathlib import Path

import torch
from torch import Tensor

from mixlab.checks import whole
from mixlab.files import write_atomically
from mixlab.nas.operations import OPERATIONS

__all__ = ["CELLS", "PC_DARTS_cifar", "PC_DARTS_imagenet", "Genotype", "derive", "edges_of", "nodes_of",
           "read_genotype", "shares", "write_genotype"]

#: The two kinds of cell, in the order of the first dimension of α and β.
CELLS = ("normal", "reduce")
FORMAT = 1

Edge = tuple[str, int]
Cell = tuple[tuple[Edge, Edge], ...]


@dataclass(frozen=True)
class Genotype:
    """Two cells: the edges of every node, and the nodes whose maps together are what a cell gives.

    Sources 0 and 1 are what the cell is given, of the cell before the last and of the last one; node i is source 2 + i.
    Everything may be given as lists, or as ranges, and is kept as tuples.

    Attributes:
        normal: of the cells that keep the sides: for every node, two edges (operation, source).
        reduce: of the cells that halve the sides.
        normal_concat, reduce_concat: the sources (2, 3, …) that are put together; all nodes where None is given.

    Raises:
        ValueError: for an operation that is none or is "none", a source that is not before its node or is read twice,
            another number of edges, or something else to put together than nodes.

    Example:
        >>> both = [("sep_conv_3x3", 0), ("skip_connect", 1)]
        >>> genotype = Genotype(normal=[both], reduce=[both, [("max_pool_3x3", 2), ("skip_connect", 0)]])
        >>> genotype.normal, genotype.reduce_concat
        (((('sep_conv_3x3', 0), ('skip_connect', 1)),), (2, 3))
        >>> Genotype.from_dict(genotype.as_dict()) == genotype
        True
    """

    normal: Cell
    reduce: Cell
    normal_concat: tuple[int, ...] | None = None
    reduce_concat: tuple[int, ...] | None = None

    def __post_init__(self):
        for name in CELLS:
            cell = _checked(name, getattr(self, name))
            every = tuple(range(2, 2 + len(cell)))
            concat = getattr(self, f"{name}_concat")
            concat = every if concat is None else tuple(concat)
            if not concat or not set(concat) <= set(every) or len(set(concat)) < len(concat):
                raise ValueError(f"expected nodes of {every} to put together in the {name} cell, received {concat}")
            object.__setattr__(self, name, cell)
            object.__setattr__(self, f"{name}_concat", concat)

    def as_dict(self) -> dict:
        """Plain data for JSON, with the operations of the space that it is of."""
        plain = {each.name: getattr(self, each.name) for each in fields(self)}
        return {"format": FORMAT, "space": list(OPERATIONS)} | json.loads(json.dumps(plain))

    @classmethod
    def from_dict(cls, plain: Mapping) -> Genotype:
        """The genotype of `as_dict`.

        Raises:
            ValueError: for other data, or a genotype of another space.
        """
        if not isinstance(plain, Mapping) or plain.get("format") != FORMAT:
            raise ValueError(f"expected a genotype of format {FORMAT}, received {_short(plain)}")
        if plain.get("space") != list(OPERATIONS):
            raise ValueError(f"expected a genotype of the space {', '.join(OPERATIONS)}, received one of the space "
                             f"{_short(plain.get('space'))}")
        names = [each.name for each in fields(cls)]
        if set(plain) != {"format", "space", *names}:
            raise ValueError(f"expected {', '.join(names)} in a genotype, received {', '.join(map(str, plain))}")
        return cls(**{name: plain[name] for name in names})


def _checked(name: str, cell: Sequence) -> Cell:
    """A cell as tuples, every edge of it looked at."""
    try:
        cell = tuple(tuple((operation, source) for operation, source in node) for node in cell)
    except (TypeError, ValueError):
        raise ValueError(f"expected edges (operation, source) for every node of the {name} cell, received "
                         f"{_short(cell)}") from None
    if not cell:
        raise ValueError(f"expected nodes in the {name} cell, received none")
    for number, node in enumerate(cell):
        sources = [source for _, source in node]
        if len(node) != 2 or len(set(sources)) < 2:
            raise ValueError(f"expected two edges of different sources for node {number} of the {name} cell, received "
                             f"{node}")
        for operation, source in node:
            if operation not in OPERATIONS[1:]:
                raise ValueError(f"expected operations of the space {', '.join(OPERATIONS[1:])} in the {name} cell, "
                                 f"received {operation!r}")
            if not whole(source) or not 0 <= source < 2 + number:
                raise ValueError(f"expected a source from 0 to {1 + number} for node {number} of the {name} cell, "
                                 f"received {source!r}")
    return cell


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) < 200 else text[:200] + "…"


def write_genotype(path: str | PathLike, genotype: Genotype, about: Mapping | None = None) -> None:
    """Write a genotype as JSON, whole or not at all.

    Args:
        path: the file; its folder is made.
        genotype: see `Genotype`.
        about: what else is to be known of it, plain data; it is kept under that name.

    Raises:
        OSError: if the disk refuses; whatever was at `path` is still there.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     write_genotype(f"{folder}/cells.json", PC_DARTS_cifar, {"data": "CIFAR-10"})
        ...     read_genotype(f"{folder}/cells.json") == PC_DARTS_cifar
        True
    """
    plain = genotype.as_dict() | ({"about": dict(about)} if about else {})
    content = json.dumps(plain, indent=1, allow_nan=False) + "\n"
    write_atomically(Path(path), lambda file: file.write(content.encode()))


def read_genotype(path: str | PathLike) -> Genotype:
    """Read a file of `write_genotype`.

    Raises:
        FileNotFoundError: where there is none.
        ValueError: for another file, or a genotype of another space.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     write_genotype(f"{folder}/cells.json", PC_DARTS_imagenet)
        ...     read_genotype(f"{folder}/cells.json").normal[0]
        (('skip_connect', 1), ('sep_conv_3x3', 0))
    """
    try:
        plain = json.loads(Path(path).read_bytes())
        if isinstance(plain, dict):
            plain.pop("about", None)
        return Genotype.from_dict(plain)
    except ValueError as error:
        raise ValueError(f"expected a file of `mixlab search` at {path}, received another: {error}") from None


def edges_of(nodes: int) -> int:
    """How many edges a cell of `nodes` nodes has: node i reads 2 + i sources.

    Raises:
        ValueError: for a number of nodes that is not a positive integer.

    Example:
        >>> edges_of(4), edges_of(2)
        (14, 5)
    """
    if not whole(nodes) or nodes < 1:
        raise ValueError(f"expected a positive integer nodes, received {nodes!r}")
    return sum(2 + node for node in range(nodes))


def nodes_of(edges: int) -> int:
    """The number of nodes of a cell with so many edges.

    Raises:
        ValueError: where no number of nodes has as many.

    Example:
        >>> nodes_of(14), nodes_of(5)
        (4, 2)
    """
    nodes = 1
    while edges_of(nodes) < edges:
        nodes += 1
    if edges_of(nodes) != edges:
        raise ValueError(f"expected the edges of a whole number of nodes, 2, 5, 9, 14, …, received {edges}")
    return nodes


def shares(beta: Tensor) -> Tensor:
    """Edge normalisation: the softmax of β over the edges into each node.

    Args:
        beta: (…, edges), the edges of node 0 first, those of a node in the order of their sources.

    Returns:
        Of the same shape and type; those of a node sum to 1.

    Raises:
        ValueError: for a number of edges that no cell has.

    Source: Xu et al. (2020), section 3.2, eq. 3.

    Example:
        >>> shares(torch.tensor([0.0, 0.0, 1.0, 1.0, 1.0])).mul(6).round().tolist()
        [3.0, 3.0, 2.0, 2.0, 2.0]
    """
    sizes = [2 + node for node in range(nodes_of(beta.shape[-1]))]
    return torch.cat([part.softmax(-1) for part in beta.split(sizes, -1)], -1)


def derive(alpha: Tensor, beta: Tensor) -> Genotype:
    """The cells that the weights of operations and edges speak for.

    An operation o of an edge e scores softmax(α_e)_o · softmax(β)_e, the second over the edges into the same node. Each
    node keeps the two edges whose best operation scores most, the higher one first, each with that operation. "none"
    takes its part in the softmax and is never chosen. An edge is one source, so no source is read twice. Of equal
    scores the first counts.

    Args:
        alpha: (2, edges, 8), normal cell first; columns as in `OPERATIONS`.
        beta: (2, edges).

    Returns:
        The genotype; all nodes are put together.

    Raises:
        ValueError: for other shapes or numbers that are not finite.

    Source: Xu et al. (2020), section 3.2, and its published code.

    Example:
        >>> alpha, beta = torch.zeros(2, 5, 8), torch.zeros(2, 5)
        >>> alpha[0, 0, 4], beta[0, 4] = 1.0, 1.0
        >>> derive(alpha, beta).normal
        ((('sep_conv_3x3', 0), ('max_pool_3x3', 1)), (('max_pool_3x3', 2), ('max_pool_3x3', 0)))
    """
    if alpha.ndim != 3 or alpha.shape[0] != 2 or alpha.shape[2] != len(OPERATIONS) or beta.shape != alpha.shape[:2]:
        raise ValueError(f"expected alpha (2, edges, {len(OPERATIONS)}) and beta (2, edges), received "
                         f"{tuple(alpha.shape)} and {tuple(beta.shape)}")
    if not (alpha.isfinite().all() and beta.isfinite().all()):
        raise ValueError("expected finite weights of operations and edges, received others")
    scores = alpha.detach().softmax(-1) * shares(beta.detach())[..., None]
    return Genotype(**{name: _cell(each.cpu()) for name, each in zip(CELLS, scores, strict=True)})


def _cell(scores: Tensor) -> Cell:
    """The cell for the scores (edges, operations)."""
    best, which = scores[:, 1:].max(1)  # max takes the first of equals
    cell, start = [], 0
    for node in range(nodes_of(len(scores))):
        order = best[start:start + 2 + node].argsort(descending=True, stable=True)[:2].tolist()
        cell.append(tuple((OPERATIONS[1 + int(which[start + source])], source) for source in order))
        start += 2 + node
    return tuple(cell)


#: The cells that PC-DARTS published for CIFAR-10 (Xu et al. 2020; the genotype of its code).
PC_DARTS_cifar = Genotype(
    normal=(
        (("sep_conv_3x3", 1), ("skip_connect", 0)), (("sep_conv_3x3", 0), ("dil_conv_3x3", 1)),
        (("sep_conv_5x5", 0), ("sep_conv_3x3", 1)), (("avg_pool_3x3", 0), ("dil_conv_3x3", 1)),
    ),
    reduce=(
        (("sep_conv_5x5", 1), ("max_pool_3x3", 0)), (("sep_conv_5x5", 1), ("sep_conv_5x5", 2)),
        (("sep_conv_3x3", 0), ("sep_conv_3x3", 3)), (("sep_conv_3x3", 1), ("sep_conv_3x3", 2)),
    ),
)

#: The cells that PC-DARTS published for ImageNet, found on ImageNet (as above).
PC_DARTS_imagenet = Genotype(
    normal=(
        (("skip_connect", 1), ("sep_conv_3x3", 0)), (("sep_conv_3x3", 0), ("skip_connect", 1)),
        (("sep_conv_3x3", 1), ("sep_conv_3x3", 3)), (("sep_conv_3x3", 1), ("dil_conv_5x5", 4)),
    ),
    reduce=(
        (("sep_conv_3x3", 0), ("skip_connect", 1)), (("dil_conv_5x5", 2), ("max_pool_3x3", 1)),
        (("sep_conv_3x3", 2), ("sep_conv_3x3", 1)), (("sep_conv_5x5", 0), ("sep_conv_3x3", 3)),
    ),
)

"""What the chapter shows on digits that need no download: one step by hand, a search, and what it depends on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import combinations
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import channel_shuffle

from mixlab.data import Dataset, load
from mixlab.nas import OPERATIONS, RECIPES, CellNetwork, Found, Genotype, SearchNetwork, search
from mixlab.risk import EmpiricalRisk
from mixlab.rng import generator
from mixlab.train import Recipe, fit
from mixlab.train.evaluate import evaluate

__all__ = ["SIZES", "agreement", "by_hand", "found_on", "never_seen", "only_chosen", "random_genotype", "retrained",
           "supernet_error", "three_looks"]

#: The supernet of the chapter: three cells of two nodes, of which the last two are reduction cells.
SIZES = {"layers": 3, "channels": 8, "nodes": 2}


def by_hand(outputs: Mapping[str, float], target: float, rate: float = 1.0):
    """One step of α on an edge whose operations give one number each, for the loss ½ (output − target)².

    Args:
        outputs: operation -> what it gives.
        target: what the edge should give.
        rate: of the step.

    Returns:
        A pandas DataFrame with a line for each operation: its output f, its weight w before the step, its gradient
        w (f − f̄) ∂L/∂f̄, and α and the weight after the step; and a line with what the edge gives before and after.

    Example:
        >>> by_hand({"a": 1.0, "b": 3.0}, target=3.0).loc["b", "gradient"]
        '-0.500'
    """
    import pandas

    f = torch.tensor(list(outputs.values()), dtype=torch.float64)
    before = torch.zeros_like(f).softmax(0)
    given = before @ f
    gradient = before * (f - given) * (given - target)
    alpha = -rate * gradient
    after = alpha.softmax(0)
    columns = {"f": f, "weight": before, "gradient": gradient, "α after": alpha, "weight after": after}
    # A rounded zero may be a negative one, which would be printed with its sign.
    cells = {name: [f"{round(value, 3) + 0.0:.3f}" for value in values.tolist()] for name, values in columns.items()}
    table = pandas.DataFrame(cells, index=list(outputs))
    table.loc["the edge gives"] = ["", f"{given:.3f}", "", "", f"{after @ f:.3f}"]
    return table


def never_seen(channels: int, parts: int, edges: int) -> int:
    """How many channels no operation has seen after a chain of edges of stride 1, found by following each of them.

    Args:
        channels: C, which K divides.
        parts: K: operations see the first C / K channels, then all are shuffled in K groups.
        edges: in the chain.

    Example:
        >>> [never_seen(16, 4, edges) for edges in (0, 1, 2, 3)]
        [16, 12, 9, 9]
    """
    seen = torch.zeros(1, channels, 1, 1)
    for _ in range(edges):
        seen[:, :channels // parts] = 1
        seen = channel_shuffle(seen, parts)
    return int((seen == 0).sum())


def _recipe(epochs: int) -> Recipe:
    """That of a search, or of what it finds, on digits: they are neither cropped nor flipped."""
    return replace(RECIPES["search-bench"].over(epochs), augment="none")


def found_on(data: Dataset, epochs: int, seed: int = 0, device: str = "cpu") -> Found:
    """Search on the training images of a set of digits.

    Args:
        data: whose training images are searched on.
        epochs: of the recipe "search-bench".
        seed: of everything.
        device: on which it is searched; the network comes back on the CPU.
    """
    found = search(data, _recipe(epochs), seed=seed, device=device, **SIZES)
    found.network.cpu()
    return found


def random_genotype(nodes: int, generator: torch.Generator) -> Genotype:
    """Two cells, whose edges and operations are drawn uniformly.

    Args:
        nodes: of each cell.
        generator: source of randomness, on the CPU.

    Example:
        >>> drawn = random_genotype(2, torch.Generator().manual_seed(0))
        >>> len(drawn.normal), "none" in str(drawn)
        (2, False)
    """
    def cell():
        return [[(OPERATIONS[int(torch.randint(1, len(OPERATIONS), (), generator=generator))], source)
                 for source in torch.randperm(2 + node, generator=generator)[:2].tolist()] for node in range(nodes)]

    return Genotype(normal=cell(), reduce=cell())


def retrained(genotype: Genotype, data: Dataset, epochs: int, seed: int = 0, device: str = "cpu") -> float:
    """Test error in percent of a network of these cells that is trained from scratch.

    Args:
        genotype: its cells; sizes are those of the supernet.
        data: trained on and measured on.
        epochs: of the recipe.
        seed: of everything.
        device: on which it is trained.
    """
    sizes = {name: SIZES[name] for name in ("layers", "channels")}
    network = CellNetwork(genotype, data.num_classes, data.train.images.shape[1],
                          generator=generator(seed, "init"), **sizes)
    return fit(network, EmpiricalRisk(), data, _recipe(epochs), seed=seed, device=device).last["test_error"]


def supernet_error(network: SearchNetwork, data: Dataset) -> float:
    """Test error in percent of a supernet as it is."""
    return evaluate(network, data.test, mean=data.mean, std=data.std).error


def only_chosen(network: SearchNetwork) -> SearchNetwork:
    """A copy with the same weights, of which only the operations and edges are left that its genotype names.

    A chosen operation has the weight 1. The two edges of a node keep the proportion of their shares.

    Args:
        network: a trained supernet; it stays as it is.

    Example:
        >>> network = SearchNetwork(10, in_channels=1, layers=2, channels=8, nodes=2)
        >>> only_chosen(network).alpha.softmax(-1).amax(-1).eq(1).sum()
        tensor(8)
    """
    copy, genotype = SearchNetwork(**network.config), network.genotype()
    copy.load_state_dict(network.state_dict())
    with torch.no_grad():
        left = torch.full_like(copy.beta, -1e4)
        for kind, cell in enumerate((genotype.normal, genotype.reduce)):
            start = 0
            for node, edges in enumerate(cell):
                for operation, source in edges:
                    left[kind, start + source] = network.beta[kind, start + source]
                    copy.alpha[kind, start + source] = -1e4
                    copy.alpha[kind, start + source, OPERATIONS.index(operation)] = 0.0
                start += 2 + node
        copy.beta.copy_(left)
    return copy


def three_looks(found: Found, data: Dataset, epochs: int, others: int = 2, device: str = "cpu"):
    """What is said of a search by its supernet, and by networks that are trained from scratch.

    Args:
        found: see `found_on`.
        data: trained on and measured on.
        epochs: of the networks from scratch.
        others: how many cells are drawn at random.
        device: on which networks are trained from scratch.

    Returns:
        A pandas DataFrame of strings, a line for each.
    """
    import pandas

    lines = {
        "the supernet": supernet_error(found.network, data),
        "its weights, only what was chosen": supernet_error(only_chosen(found.network), data),
        "the cells found, from scratch": retrained(found.genotype, data, epochs, device=device),
    }
    for number in range(others):
        drawn = random_genotype(SIZES["nodes"], generator(number, "cells"))
        line = f"cells drawn at random, number {number + 1}, from scratch"
        lines[line] = retrained(drawn, data, epochs, device=device)
    return pandas.DataFrame({"test error, %": [f"{value:.1f}" for value in lines.values()]}, index=list(lines))


class Agreement(NamedTuple):
    """How alike two searches are that share something.

    Attributes:
        weights: the mean correlation of what two searches think of the operations.
        pairs: how many pairs the mean is over.
    """

    weights: float
    pairs: int


def agreement(subsets: Sequence[int], seeds: Iterable[int], rows: int, epochs: int,
              device: str = "cpu") -> dict[str, Agreement]:
    """Search on several random subsets of digits with several seeds, and compare every two searches.

    What a search thinks of the operations are the weights softmax(α), less their mean over the edges of a cell.

    Args:
        subsets: seeds of the subsets.
        seeds: of the searches: initial weights, halves and order.
        rows: of a subset.
        epochs: of a search.
        device: on which it is searched.

    Returns:
        "one subset, two seeds", "two subsets, one seed" and "two of both" -> `Agreement`.
    """
    seeds, searches = list(seeds), {}
    for subset in subsets:
        data = load("digits", validation=0.0, limit=rows, seed=subset)
        for seed in seeds:
            searches[subset, seed] = found_on(data, epochs, seed, device)
    pairs: dict[str, list] = {name: [] for name in ("one subset, two seeds", "two subsets, one seed", "two of both")}
    for one, other in combinations(searches, 2):
        name = "one subset, two seeds" if one[0] == other[0] else (
            "two subsets, one seed" if one[1] == other[1] else "two of both")
        pairs[name].append((searches[one], searches[other]))
    return {name: Agreement(float(np.mean([_alike(*pair) for pair in found])), len(found))
            for name, found in pairs.items() if found}


def _alike(one: Found, other: Found) -> float:
    """The correlation of the centred weights of two searches."""
    both = torch.stack([_opinion(each.network.alpha) for each in (one, other)])
    return float(torch.corrcoef(both)[0, 1])


def _opinion(alpha: Tensor) -> Tensor:
    weights = alpha.detach().softmax(-1)
    return (weights - weights.mean(1, keepdim=True)).flatten()

"""The network that is built from a genotype: many cells with two edges a node, trained from scratch."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torchvision.ops import StochasticDepth

from mixlab.checks import real
from mixlab.models import tap
from mixlab.nas.genotype import CELLS, Genotype
from mixlab.nas.operations import operation
from mixlab.nas.skeleton import Place, Skeleton, plain_order, reader
from mixlab.risk import EmpiricalRisk, Risk
from mixlab.risk.empirical import distributions
from mixlab.risk.loss import soft_cross_entropy
from mixlab.train.fit import Classification

__all__ = ["AuxiliaryHead", "AuxiliaryRisk", "CellClassification", "CellNetwork", "DerivedCell"]


class DerivedCell(nn.Module):
    """A cell with the edges that a genotype names: a node is the sum of its two.

    In training each image loses an edge of a node with the probability `drop_path`, and what is left is scaled up so
    that its expectation stays; the identity is never dropped.

    Args:
        genotype: see `Genotype`.
        place: see `Place`.

    Source: Liu et al. (2019) and its published code; Larsson et al. (2017), "FractalNet", for drop path.

    Example:
        >>> from mixlab.nas import PC_DARTS_cifar
        >>> cell, maps = DerivedCell(PC_DARTS_cifar, Place(6, 6, 4, True, False)), torch.rand(2, 6, 8, 8)
        >>> cell(maps, maps).shape
        torch.Size([2, 16, 4, 4])
    """

    def __init__(self, genotype: Genotype, place: Place):
        super().__init__()
        name = CELLS[place.reduce]
        nodes, self.concat = getattr(genotype, name), getattr(genotype, f"{name}_concat")
        self.read_before = reader(place.before, place.channels, halve=place.apart, affine=True)
        self.read_last = reader(place.last, place.channels, halve=False, affine=True)
        self.sources = tuple(source for node in nodes for _, source in node)
        self.edges = nn.ModuleList(
            operation(kind, place.channels, 2 if place.reduce and source < 2 else 1)
            for node in nodes for kind, source in node)
        self.drop = StochasticDepth(0.0, "row")

    def forward(self, before: Tensor, last: Tensor) -> Tensor:
        """Map two sources to the maps of the nodes of `concat`, put together."""
        maps, given = [self.read_before(before), self.read_last(last)], []
        for source, edge in zip(self.sources, self.edges, strict=True):
            given.append(edge(maps[source]))
            if self.drop.p and not isinstance(edge, nn.Identity):
                given[-1] = self.drop(given[-1])
            if len(given) == 2:
                maps.append(sum(given))
                given = []
        return torch.cat([maps[each] for each in self.concat], dim=1)


class AuxiliaryHead(nn.Sequential):
    """A second classifier on maps in the middle of a network, for training.

    ReLU, average pooling with 5×5 windows at two places along each side, 1×1 convolution to 128 channels, 2×2
    convolution to 768, each with normalisation and ReLU, linear. The windows stand at the ends of a side: on 8×8 maps 3
    pixels apart and on 7×7 maps 2, as in the code for CIFAR and for ImageNet.

    Args:
        channels: of the maps.
        num_classes: logits.
        norm: whether the second convolution is normalised; the code for ImageNet leaves it out.

    Raises:
        ValueError: for maps with a side below 6.

    Source: the published code of Liu et al. (2019) and Xu et al. (2020).

    Example:
        >>> AuxiliaryHead(16, 10)(torch.zeros(2, 16, 7, 7)).shape
        torch.Size([2, 10])
    """

    def __init__(self, channels: int, num_classes: int, *, norm: bool = True):
        super().__init__(
            nn.Conv2d(channels, 128, 1, bias=False), nn.BatchNorm2d(128), nn.ReLU(),
            nn.Conv2d(128, 768, 2, bias=False), nn.BatchNorm2d(768) if norm else nn.Identity(), nn.ReLU(),
            nn.Flatten(), nn.Linear(768, num_classes))

    def forward(self, maps: Tensor) -> Tensor:
        """Map (B, channels, H, W) to logits (B, num_classes)."""
        height, width = maps.shape[-2:]
        if min(height, width) < 6:
            raise ValueError(f"expected maps of at least 6 x 6 pixels for an auxiliary head, received {height} x "
                             f"{width}: larger images, or auxiliary=False")
        pooled = nn.functional.avg_pool2d(maps.relu(), 5, (height - 5, width - 5), count_include_pad=False)
        return super().forward(pooled)


class CellNetwork(Skeleton):
    """A network of the cells of a genotype.

    Args:
        genotype: see `Genotype`.
        num_classes: logits.
        in_channels: of the images.
        layers: cells, 20 in the papers for CIFAR and 14 for ImageNet.
        channels: C, of the nodes of the first cells, 36 and 48 there.
        stem: "small", or "large" as for ImageNet, whose auxiliary head has one normalisation less.
        auxiliary: whether there is a second head after cell 2 · layers // 3, which computes in training only. What it
            gives is read by `AuxiliaryRisk`.
        generator: source of the initial weights, on the CPU, by the rules of `mixlab.models.initialise`; None is a new
            one of seed 0.

    Raises:
        ValueError: for sizes that are not positive integers, an odd number of channels, another stem, or a generator
            that is not on the CPU.

    Source: Liu et al. (2019), section 3 and appendix A; Xu et al. (2020) and its published code.

    Example:
        >>> from mixlab.nas import PC_DARTS_cifar
        >>> network = CellNetwork(PC_DARTS_cifar, 10, in_channels=1, layers=3, channels=4)
        >>> network(torch.zeros(2, 1, 16, 16)).shape
        torch.Size([2, 10])
    """

    def __init__(self, genotype: Genotype, num_classes: int, in_channels: int = 3, *, layers: int = 20,
                 channels: int = 36, stem: str = "small", auxiliary: bool = False,
                 generator: torch.Generator | None = None):
        if not isinstance(genotype, Genotype):
            raise ValueError(f"expected a mixlab.nas.Genotype, received {genotype!r}")
        super().__init__(num_classes, in_channels, layers, channels, stem)
        if channels % 2:
            raise ValueError(f"expected an even number of channels, received {channels}")
        self.genotype, self.watched = genotype, 2 * layers // 3
        # Layers draw from the global generator as they are made; without memory there is nothing to draw.
        with torch.device("meta"):
            outputs = [len(concat) for concat in (genotype.normal_concat, genotype.reduce_concat)]
            found = self._places(outputs)
            widths = [outputs[place.reduce] * place.channels for place in found]
            self.cells = nn.ModuleList(DerivedCell(genotype, place) for place in found)
            self.classifier = nn.Linear(widths[-1], self.num_classes)
            self.auxiliary = (AuxiliaryHead(widths[self.watched], self.num_classes, norm=stem == "small")
                              if auxiliary else None)
        self._draw(generator)

    def drop_path(self, probability: float) -> None:
        """Set the probability that an image loses an edge in training; 0 at first.

        Raises:
            ValueError: for a probability outside [0, 1).
        """
        if not real(probability) or not 0 <= probability < 1:
            raise ValueError(f"expected a probability in [0, 1) to drop a path, received {probability!r}")
        for cell in self.cells:
            cell.drop.p = float(probability)

    def forward(self, images: Tensor) -> Tensor:
        """Map images (B, in_channels, H, W) to logits (B, num_classes).

        Raises:
            ValueError: for images of another number of channels, or sides that cannot be halved as often as needed.
        """
        self.check(images.shape)
        before, last = self.stem(plain_order(images))
        for number, cell in enumerate(self.cells):
            before, last = last, cell(before, last)
            if self.auxiliary is not None and self.training and number == self.watched:
                self.auxiliary(last)
        return self.classifier(last.mean((2, 3)))

    def extra_repr(self) -> str:
        return f"layers={self.layers}, channels={self.channels}, in_channels={self.in_channels}, stem={self.kind!r}"


class AuxiliaryRisk(EmpiricalRisk):
    """The cross-entropy, plus that of a network's auxiliary head times a weight.

    Args:
        weight: of the auxiliary head; the paper's code has 0.4.

    Raises:
        ValueError: for a negative weight.

    Source: the published code of Liu et al. (2019).

    Example:
        >>> from mixlab.data import Batch
        >>> from mixlab.nas import PC_DARTS_cifar
        >>> network = CellNetwork(PC_DARTS_cifar, 10, layers=3, channels=2, auxiliary=True)
        >>> batch = Batch(torch.zeros(2, 3, 24, 24), torch.tensor([1, 3]), torch.arange(2))
        >>> AuxiliaryRisk()(network, batch).shape
        torch.Size([])
    """

    compilable = False  # the head is read by a hook

    def __init__(self, weight: float = 0.4):
        super().__init__()
        if not real(weight) or weight < 0:
            raise ValueError(f"expected a weight of at least 0, received {weight!r}")
        self.weight = float(weight)

    def forward(self, model, batch, *, step: int = 0, generator: torch.Generator | None = None) -> Tensor:
        """See `Risk.forward`."""
        with tap(model, "auxiliary") as head:
            loss = super().forward(model, batch, step=step, generator=generator)
        targets = distributions(batch[1], head.value.shape[1])
        return loss + self.weight * soft_cross_entropy(head.value, targets)

    def extra_repr(self) -> str:
        return f"weight={self.weight:g}"


class CellClassification(Classification):
    """A `CellNetwork` that learns classes, its paths dropped with a probability that grows from 0 with the epochs.

    Args:
        model: the network.
        risk, dataset: see `Classification`.
        drop: the probability that is reached at the end; the paper's code has 0.3 for CIFAR, and 0 for ImageNet.

    Source: the published code of Liu et al. (2019): drop · epoch / epochs.

    Example:
        >>> from mixlab.data import load
        >>> from mixlab.nas import PC_DARTS_cifar
        >>> network = CellNetwork(PC_DARTS_cifar, 10, in_channels=1, layers=3, channels=2)
        >>> CellClassification(network, EmpiricalRisk(), load("digits"), drop=0.2).drop
        0.2
    """

    def __init__(self, model: CellNetwork, risk: Risk, dataset, *, drop: float = 0.3):
        super().__init__(model, risk, dataset)
        model.drop_path(drop)
        model.drop_path(0.0)
        self.drop = float(drop)

    def fingerprint(self, recipe, **options) -> dict:
        """As of `Classification`, and how often paths are dropped."""
        return super().fingerprint(recipe, **options) | {"drop": self.drop}

    def check(self, recipe, *, processes: int, compile: bool) -> None:
        """See `Classification.check`; images that the network does not take are refused as well."""
        super().check(recipe, processes=processes, compile=compile)
        self.modules["model"].check(self.dataset.train.images.shape)

    def step(self, batch, number: int) -> dict[str, Tensor]:
        """Down the gradient of the risk, with the probability of this epoch."""
        self.modules["model"].drop_path(self.drop * (number // self.steps) / self.tools.recipe.epochs)
        return super().step(batch, number)

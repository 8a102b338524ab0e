"""Architecture search as PC-DARTS does it: a supernet, what it finds, and the network that is built from that.

`SearchNetwork` is the supernet, `SearchTask` trains its weights and its architecture in turn, `search` is both in one
call. `Genotype` is what comes of it: with a file, a drawing (`draw`), and `CellNetwork` as the network to be trained
from scratch. `parameters` and `macs` say how large that is.

`TabularNetwork` is the network of one of 64 `cells`, few enough to train them all: then `regret` and `rank_correlation`
say what a cheap look at networks is worth.

Source: Xu et al. (2020), "PC-DARTS: partial channel connections for memory-efficient architecture search"; Jeong et
al., "Bayesian perspective on visual data augmentation for efficient utilization of sub-sampled data", appendix D.
"""

from mixlab.nas.counters import macs, parameters
from mixlab.nas.drawing import draw
from mixlab.nas.genotype import (
    Genotype,
    PC_DARTS_cifar,
    PC_DARTS_imagenet,
    derive,
    read_genotype,
    shares,
    write_genotype,
)
from mixlab.nas.network import AuxiliaryRisk, CellClassification, CellNetwork
from mixlab.nas.operations import OPERATIONS, operation
from mixlab.nas.search import ARCHITECTURE, RECIPES, ArchitectureSteps, Found, SearchTask, halves, history, search
from mixlab.nas.supernet import MixedOperation, SearchNetwork
from mixlab.nas.tabular import TABLE_EDGES, TABLE_OPERATIONS, TabularNetwork, cells, rank_correlation, regret, stratum

__all__ = [
    "ARCHITECTURE",
    "OPERATIONS",
    "RECIPES",
    "ArchitectureSteps",
    "AuxiliaryRisk",
    "CellClassification",
    "CellNetwork",
    "Found",
    "Genotype",
    "MixedOperation",
    "PC_DARTS_cifar",
    "PC_DARTS_imagenet",
    "SearchNetwork",
    "SearchTask",
    "TABLE_EDGES",
    "TABLE_OPERATIONS",
    "TabularNetwork",
    "cells",
    "derive",
    "draw",
    "halves",
    "history",
    "macs",
    "operation",
    "parameters",
    "rank_correlation",
    "read_genotype",
    "regret",
    "search",
    "shares",
    "stratum",
    "write_genotype",
]

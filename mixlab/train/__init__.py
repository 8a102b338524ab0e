"""Training: `fit` and `evaluate`, recipes as frozen data, checkpoints that survive a kill, records of results.

Lightning Fabric is imported inside `fit`, so this package is as light as torch.
"""

from mixlab.train.checkpoint import Checkpoints
from mixlab.train.evaluate import Metrics, evaluate, predict
from mixlab.train.fit import fit
from mixlab.train.recipe import Cosine, MultiStep, Recipe
from mixlab.train.recipes import BUDGETS, Budget, recipes
from mixlab.train.result import Result, read_record, validate, write_record

__all__ = [
    "BUDGETS", "Budget", "Checkpoints", "Cosine", "Metrics", "MultiStep", "Recipe", "Result", "evaluate", "fit",
    "predict", "read_record", "recipes", "validate", "write_record",
]

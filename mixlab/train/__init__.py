"""Training: `fit` and `evaluate`, recipes as frozen data, checkpoints that survive a kill, records of results.

`fit` is `loop` over a `Classification`; whatever else is to be trained is a `Task` of its own. Lightning Fabric is
imported inside `loop`, so this package is as light as torch.
"""

from mixlab.train.checkpoint import Checkpoints
from mixlab.train.evaluate import Metrics, evaluate, predict
from mixlab.train.fit import Classification, fit
from mixlab.train.loop import loop
from mixlab.train.recipe import SGD, Adam, Cosine, MultiStep, Recipe
from mixlab.train.recipes import BUDGETS, Budget, recipes
from mixlab.train.result import Result, read_record, validate, write_record
from mixlab.train.task import Task

__all__ = [
    "BUDGETS", "Adam", "Budget", "Checkpoints", "Classification", "Cosine", "Metrics", "MultiStep", "Recipe", "Result",
    "SGD", "Task", "evaluate", "fit", "loop", "predict", "read_record", "recipes", "validate", "write_record",
]

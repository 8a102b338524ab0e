"""Asking a network without changing it."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

__all__ = ["inference"]


@contextmanager
def inference(model: nn.Module) -> Iterator[None]:
    """Evaluation mode without gradients while the context lasts; afterwards every part has the mode it had.

    Putting the whole model back into training mode would wake parts that were frozen in evaluation mode.

    Args:
        model: the network that is asked in the context.

    Example:
        >>> model = nn.Sequential(nn.Dropout(), nn.BatchNorm1d(2))
        >>> _ = model[1].eval()
        >>> with inference(model):
        ...     print(model[0].training, torch.is_grad_enabled())
        False False
        >>> model.training, model[0].training, model[1].training
        (True, True, False)
    """
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for module, mode in modes.items():
            module.training = mode

"""What a network has to return."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor


def as_logits(output: object) -> Tensor:
    """What a network returned, if it is one tensor.

    Args:
        output: what `model(images)` gave.

    Raises:
        ValueError: for a dict, a tuple or anything else; the message says what to do.

    Example:
        >>> import torch
        >>> as_logits(torch.zeros(2, 3)).shape
        torch.Size([2, 3])
        >>> as_logits({"logits": torch.zeros(2, 3)})
        Traceback (most recent call last):
        ValueError: expected the model to return one tensor of logits (B, classes), received a dict with logits: put it
        into a module whose forward returns the logits alone
    """
    if isinstance(output, Tensor):
        return output
    received = f"a {type(output).__name__}"
    if isinstance(output, Mapping):
        received += f" with {', '.join(map(str, output)) or 'nothing'}"
    elif isinstance(output, (tuple, list)):
        received += f" of {len(output)}"
    raise ValueError(f"expected the model to return one tensor of logits (B, classes), received {received}: put it "
                     "into a module whose forward returns the logits alone")

"""Small calculations, left to numpy.

What a mixer calculates from its random numbers, a few thousand of them for a batch, costs hardly any arithmetic. What
it costs is calls, a few dozen, and numpy is called in a fraction of the time in which torch finds out where a tensor
lives, and who may want to follow it. Random numbers come from torch all the same, and images stay with it.
"""

import numpy as np
import torch
from torch import Tensor

__all__ = ["array", "wrapped"]

# torch offers no public way to ask what a transform of torch.func has wrapped.
_functorch = torch._C._functorch
wrapped = _functorch.is_functorch_wrapped_tensor


def array(tensor: Tensor) -> np.ndarray:
    """The numbers in a tensor, as an array on the CPU: in the same memory, or fetched from an accelerator.

    Args:
        tensor: numbers of a dtype that numpy knows. Nothing that is done to the array is differentiated.

    Raises:
        RuntimeError: under ``torch.vmap``, for a tensor that stands for a batch of them.

    Example:
        >>> array(torch.tensor([1, 2]))
        array([1, 2])
        >>> torch.func.grad(lambda x: x * array(torch.full((), 2.0)).item())(torch.tensor(3.0))
        tensor(2.)
    """
    # Under torch.func.grad even what has just been made is wrapped.
    with torch._C._DisableFuncTorch():
        while wrapped(tensor):
            if _functorch.is_batchedtensor(tensor):
                raise RuntimeError("expected one tensor, received a batch of them under torch.vmap; draw outside of it")
            tensor = _functorch.get_unwrapped(tensor)
        if tensor.requires_grad or not tensor.is_cpu:  # asked first, since each of the two is a call of torch
            tensor = tensor.detach().cpu()
        return tensor.numpy()

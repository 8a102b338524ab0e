"""Class activation maps: where in a picture a network with averaged features finds its class, and on how much of it."""

import torch
from torch import Tensor

__all__ = ["attended_area", "cam"]


def cam(maps: Tensor, weight: Tensor, classes: Tensor) -> Tensor:
    r"""What every position of the last feature maps says for a class: :math:`\sum_d w_{c,d}\, f_d(u, v)`.

    Where the head of the network is a mean over positions and a linear layer, the mean of this map is the logit of the
    class, without its bias. A head with a maximum has no such map.

    Args:
        maps: (N, D, h, w), what the head is given.
        weight: (C, D) of the linear layer.
        classes: (N,) int64, the class of each picture that is asked for, usually the predicted one.

    Returns:
        (N, h, w).

    Raises:
        ValueError: if the sizes do not fit together.

    Source: Zhou et al. (2016), "Learning deep features for discriminative localization", eq. 2.

    Example:
        >>> maps = torch.tensor([[[[1.0, 2.0]], [[0.0, 4.0]]]])  # two features of one picture of 1x2 positions
        >>> cam(maps, torch.tensor([[1.0, -1.0], [0.5, 0.5]]), torch.tensor([0]))
        tensor([[[ 1., -2.]]])
    """
    fits = maps.ndim == 4 and weight.ndim == 2 and weight.shape[1] == maps.shape[1] and len(classes) == len(maps)
    if not fits:
        raise ValueError("expected maps (N, D, h, w), a weight (C, D) and N classes, received "
                         f"{tuple(maps.shape)}, {tuple(weight.shape)} and {tuple(classes.shape)}")
    return torch.einsum("ndhw,nd->nhw", maps, weight[classes])


def attended_area(maps: Tensor, level: float = 0.5) -> Tensor:
    """The part of each picture on which its class activation map is at least `level` times as high as at its highest.

    Args:
        maps: (N, h, w), see `cam`.
        level: above 0 and at most 1.

    Returns:
        (N,) float32 in [0, 1]; 0 for a map that is nowhere above zero, since nothing speaks for the class then.

    Raises:
        ValueError: for another level.

    Example:
        >>> attended_area(torch.tensor([[[4.0, 2.0], [1.0, -8.0]], [[-1.0, 0.0], [0.0, 0.0]]]))
        tensor([0.5000, 0.0000])
    """
    if not 0 < level <= 1:
        raise ValueError(f"expected a level above 0 and at most 1, received {level}")
    highest = maps.amax((1, 2), keepdim=True)
    return ((maps >= level * highest) & (highest > 0)).float().mean((1, 2))

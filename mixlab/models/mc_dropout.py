"""Monte-Carlo dropout: a trained network with its dropout left on, as samples of a posterior."""

import torch
from torch import Tensor, nn
from torch.nn.modules.dropout import _DropoutNd

from mixlab.models.inference import inference
from mixlab.models.noise import noise

__all__ = ["mc_dropout"]


def mc_dropout(model: nn.Module, images: Tensor, samples: int, generator: torch.Generator) -> Tensor:
    """Sample the class probabilities of images under dropout.

    Only dropout layers are stochastic; batch normalisation uses its running statistics, and stochastic depth
    and DropBlock are off. The mean over the samples is the predictive distribution, its spread the model's
    uncertainty. Masks are drawn for the batch as a whole: batches of another size give other samples of the same law.

    Args:
        model: maps ``images`` to logits ``(B, C)`` and holds dropout layers of torch. Its modes are left as
            they were.
        images: ``(B, ...)``, on the model's device.
        samples: S, forward passes.
        generator: source of the dropout masks; the global generators are left alone.

    Returns:
        ``(S, B, C)`` float32 probabilities, without gradients.

    Raises:
        ValueError: for a network without dropout, or a number of samples below 1.

    Source: Gal & Ghahramani (2016), "Dropout as a Bayesian approximation", equation 6.

    Example:
        >>> model = nn.Sequential(nn.Dropout(0.5), nn.Linear(4, 3)).eval()
        >>> draws = mc_dropout(model, torch.ones(2, 4), 5, torch.Generator().manual_seed(0))
        >>> draws.shape, torch.allclose(draws.sum(2), torch.ones(5, 2)), model[0].training
        (torch.Size([5, 2, 3]), True, False)
    """
    if samples < 1:
        raise ValueError(f"expected at least 1 sample, received {samples}")
    dropouts = [module for module in model.modules() if isinstance(module, _DropoutNd) and module.p > 0]
    if not dropouts:
        raise ValueError("expected a network with dropout layers of a positive rate, received one without")
    with inference(model), noise(model, generator):
        for layer in dropouts:
            layer.train()
        return torch.stack([model(images).float().softmax(1) for _ in range(samples)])

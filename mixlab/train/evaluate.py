"""What a network makes of images it is not trained on."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from mixlab.data.augment import normalise
from mixlab.models import inference
from mixlab.models.logits import as_logits

#: Bins of the expected calibration error.
BINS = 15


@dataclass(frozen=True)
class Metrics:
    """How right, and how sure, a network is over a set of images.

    Args:
        error: wrong predictions, in percent.
        loss: mean cross-entropy (negative log-likelihood), in nats.
        ece: expected calibration error, in percent: the mean distance between how sure the network is and how often it
            is right, over 15 bins of equal width of the largest probability, weighed by the images in them (Guo et al.
            2017, eq. 3). A probability of exactly 1 lies in the last bin.
        count: images.

    Example:
        >>> from types import SimpleNamespace
        >>> split = SimpleNamespace(images=torch.zeros(10, 10, 1, 1, dtype=torch.uint8), labels=torch.arange(10))
        >>> guess = evaluate(nn.Flatten(), split, mean=(0.0,) * 10, std=(1.0,) * 10)  # ten equal logits
        >>> guess.error, round(guess.loss, 4), round(guess.ece, 4), guess.count  # 10 % sure, 10 % right
        (90.0, 2.3026, 0.0, 10)
    """

    error: float
    loss: float
    ece: float
    count: int


def predict(model: nn.Module, split, *, mean, std, batch_size: int = 500) -> Tensor:
    """Logits of every image, in order, with the model in evaluation mode.

    Args:
        model: maps images (B, C, H, W) to logits (B, classes).
        split: `images` (N, C, H, W) uint8 in 0..255.
        mean, std: per channel, of images scaled to [0, 1].
        batch_size: images at a time; memory, not the answer, depends on it.

    Returns:
        (N, classes) float32 on the model's device. The modes of the model's parts are what they were before.

    Raises:
        ValueError: for images, means or standard deviations that `mixlab.data.normalise` refuses, or a model that
            returns no logits.

    Example:
        >>> from types import SimpleNamespace
        >>> split = SimpleNamespace(images=torch.full((3, 1, 2, 2), 255, dtype=torch.uint8))
        >>> predict(nn.Flatten(), split, mean=(0.5,), std=(0.25,))[0]
        tensor([2., 2., 2., 2.])
    """
    device = next((parameter.device for parameter in model.parameters()), torch.device("cpu"))
    with inference(model):
        batches = split.images.split(batch_size)
        return torch.cat([as_logits(model(normalise(images.to(device), mean, std))).float() for images in batches])


def totals(logits: Tensor, labels: Tensor) -> Tensor:
    """What `metrics` needs, as one float64 vector to be added over shards.

    It holds wrong predictions, summed loss and images, then for every bin of the confidence how much surer the network
    was than right: the sum over its images of largest probability less one if that class is the label.
    """
    wide, labels = logits.double(), labels.to(logits.device)
    confidence, predicted = wide.softmax(1).max(1)
    right = (predicted == labels).double()
    loss = nn.functional.cross_entropy(wide, labels, reduction="sum")
    bins = (confidence * BINS).long().clamp(0, BINS - 1)  # NaN would be no bin; as it is, the sums become NaN
    excess = wide.new_zeros(BINS).index_add(0, bins, confidence - right)
    return torch.cat([torch.stack([(1 - right).sum(), loss, wide.new_tensor(len(labels))]), excess])


def metrics(sums: Tensor) -> Metrics:
    """The metrics that `totals` add up to."""
    wrong, loss, count, *excess = sums.tolist()
    ece = math.fsum(map(abs, excess)) / count
    return Metrics(error=100 * wrong / count, loss=loss / count, ece=100 * ece, count=int(count))


def evaluate(model: nn.Module, split, *, mean, std, batch_size: int = 500) -> Metrics:
    """Error and loss of `model` on `split`; see `predict` for the arguments.

    Sums are kept in float64, so the answer does not depend on the batch size beyond what one forward pass rounds.

    Raises:
        ValueError: if the split is empty.

    Example:
        >>> from types import SimpleNamespace
        >>> images = torch.tensor([255, 0], dtype=torch.uint8).view(1, 2, 1, 1).repeat(4, 1, 1, 1)
        >>> split = SimpleNamespace(images=images, labels=torch.tensor([0, 0, 0, 1]))
        >>> evaluate(nn.Flatten(), split, mean=(0.0, 0.0), std=(1.0, 1.0)).error
        25.0
    """
    if len(split.labels) == 0:
        raise ValueError("expected at least one image to evaluate on, received none")
    return metrics(totals(predict(model, split, mean=mean, std=std, batch_size=batch_size), split.labels))

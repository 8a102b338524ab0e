"""Training in a second: a small fully connected network, Adam, and any risk. For demonstrations, not for tables."""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn

from mixlab.rng import generator

__all__ = ["error", "errors", "fit_small", "perceptron", "surface"]


def perceptron(sizes: tuple[int, ...], draws: torch.Generator) -> nn.Sequential:
    """Make a fully connected network with ReLU between its layers.

    Args:
        sizes: numbers of inputs, of every hidden layer's units, and of logits.
        draws: source of the initial weights; He's normal law, biases 0.

    Raises:
        ValueError: for fewer than two sizes.

    Example:
        >>> perceptron((2, 8, 3), torch.Generator().manual_seed(0))(torch.zeros(1, 2)).tolist()
        [[0.0, 0.0, 0.0]]
    """
    if len(sizes) < 2:
        raise ValueError(f"expected the sizes of at least an input and an output, received {sizes}")
    layers: list[nn.Module] = []
    for before, after in zip(sizes, sizes[1:]):
        layer = nn.utils.skip_init(nn.Linear, before, after)
        nn.init.kaiming_normal_(layer.weight, nonlinearity="relu", generator=draws)
        nn.init.zeros_(layer.bias)
        layers += [layer, nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def fit_small(
    risk: nn.Module,
    x: Tensor,
    labels: Tensor,
    *,
    hidden: tuple[int, ...] = (64, 64),
    classes: int = 2,
    steps: int = 400,
    batch: int | None = None,
    lr: float = 0.01,
    seed: int = 0,
) -> nn.Sequential:
    """Minimise a risk with Adam, the rate falling along half a cosine.

    Initial weights, order and mixing have streams of their own, so networks of one seed start alike and see the same
    batches whatever the risk.

    Args:
        risk: ``risk(model, (x, labels), generator=g) -> loss``.
        x: (N, D) float32.
        labels: (N,) int64.
        hidden: units of the hidden layers.
        classes: number of logits.
        steps: of Adam.
        batch: rows a step, drawn anew for each; None takes all.
        lr: rate of the first step.
        seed: of everything that is drawn.

    Returns:
        The network, in evaluation mode.

    Example:
        >>> from mixlab.risk import EmpiricalRisk
        >>> x, labels = torch.tensor([[-1.0], [1.0]]), torch.tensor([0, 1])
        >>> error(fit_small(EmpiricalRisk(), x, labels, hidden=(8,), steps=50), x, labels)
        0.0
    """
    model = perceptron((x.shape[1], *hidden, classes), generator(seed, "init"))
    optimizer = torch.optim.Adam(model.parameters(), lr=lr, fused=True)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    order, mixing = generator(seed, "order"), generator(seed, "mix")
    for _ in range(steps):
        rows = slice(None) if batch is None else torch.randperm(len(x), generator=order)[:batch]
        optimizer.zero_grad()
        risk(model, (x[rows], labels[rows]), generator=mixing).backward()
        optimizer.step()
        schedule.step()
    return model.eval()


@torch.no_grad()
def error(model: nn.Module, x: Tensor, labels: Tensor) -> float:
    """Part of the rows that are classified wrongly, in percent."""
    return 100 * (model(x).argmax(1) != labels).double().mean().item()


def errors(
    draw: Callable[[int, torch.Generator], tuple[Tensor, Tensor]],
    risk: nn.Module,
    seeds: Iterable[int],
    *,
    n: int = 300,
    n_test: int = 3000,
    **options,
) -> list[float]:
    """Test errors, in percent, of networks fitted to fresh samples, one for each seed.

    The training sample of a seed and the test sample are the same whatever the risk, so seeds pair.

    Args:
        draw: ``draw(n, generator) -> (x, labels)``.
        risk: see :func:`fit_small`.
        seeds: of the training samples and the fits.
        n: training points.
        n_test: test points.
        **options: of :func:`fit_small`.

    Example:
        >>> from mixlab.data.toys import line
        >>> from mixlab.risk import EmpiricalRisk
        >>> errors(line, EmpiricalRisk(), range(2), n=30, n_test=60, steps=100)
        [0.0, 0.0]
    """
    test = draw(n_test, generator("test"))
    found = []
    for seed in seeds:
        x, labels = draw(n, generator(seed, "sample"))
        found.append(error(fit_small(risk, x, labels, seed=seed, **options), *test))
    return found


@torch.no_grad()
def surface(model: nn.Module, extent: tuple[float, float, float, float], size: int = 80) -> Tensor:
    """Probability of class 1 over a part of the plane.

    Args:
        model: (N, 2) to logits (N, 2).
        extent: left, right, bottom, top.
        size: points in each direction.

    Returns:
        (size, size), rows from the bottom to the top.

    Example:
        >>> surface(nn.Identity(), (0.0, 1.0, 0.0, 1.0), size=2)[1, 1].item()
        0.5
    """
    left, right, bottom, top = extent
    y, x = torch.meshgrid(torch.linspace(bottom, top, size), torch.linspace(left, right, size), indexing="ij")
    return model(torch.stack([x, y], -1).reshape(-1, 2)).softmax(1)[:, 1].reshape(size, size)

r"""The law of the soft labels μ that a generator is asked for, q_p(μ|ρ), and what an image can say about them.

The class g of an image keeps 1 - ε. The background mass ε goes to the other C - 1 classes, by one of `BACKGROUNDS`:

- "uniform": at random, uniformly over all ways of sharing ε, which is ε times a draw of Dirichlet(1, …, 1);
- "constant": ε / (C - 1) each, as in label smoothing;
- "one": all of it to one class, drawn at random.

The paper says "uniformly samples", which is the first by our reading. Up to ε = ½ the class of the image is the
likeliest whatever is drawn (at ½ and "one", one of two).

Source: Jeong et al., "Bayesian perspective on visual data augmentation", section 3.2 and appendix A.
"""

from __future__ import annotations

import math

import torch
from torch import Generator, Tensor
from torch.nn.functional import log_softmax

from mixlab.checks import real, whole
from mixlab.priors import dirichlet

__all__ = ["BACKGROUNDS", "check_law", "divergence", "entropy_of_law", "kl_of_ignorant", "soft_labels"]

BACKGROUNDS = ("uniform", "constant", "one")


def soft_labels(labels: Tensor, num_classes: int, epsilon: float, *, background: str = "uniform",
                generator: Generator | None = None) -> Tensor:
    """Draw a soft label μ for each label g: μ_g = 1 - ε exactly, and ε over the other classes.

    Args:
        labels: (B,) of any integer type, in [0, num_classes).
        num_classes: C, at least 2.
        epsilon: ε in [0, 1]; 0 gives one-hot labels, and 1 leaves the image's own class nothing.
        background: "uniform", "constant" or "one", see above.
        generator: source of randomness, on any device; needed where something is drawn.

    Returns:
        (B, C) float32 on the labels' device; every row is on the simplex.

    Raises:
        ValueError: for labels that are none, a number of classes, ε or background outside its values, or no generator
            where something is drawn.

    Source: Jeong et al., section 3.2.

    Example:
        >>> soft_labels(torch.tensor([2, 0]), 3, 0.5, background="constant")
        tensor([[0.2500, 0.2500, 0.5000],
                [0.5000, 0.2500, 0.2500]])
        >>> mu = soft_labels(torch.tensor([2, 0]), 3, 0.5, generator=torch.Generator().manual_seed(0))
        >>> mu[[0, 1], [2, 0]], mu.sum(1)
        (tensor([0.5000, 0.5000]), tensor([1., 1.]))
    """
    check_law(num_classes, epsilon, background)
    if labels.ndim != 1 or labels.is_floating_point() or labels.is_complex() or labels.dtype == torch.bool:
        raise ValueError(f"expected integer labels (B,), received {labels.dtype} of shape {tuple(labels.shape)}")
    if len(labels) and not 0 <= int(labels.min()) <= int(labels.max()) < num_classes:
        raise ValueError(f"expected labels in [0, {num_classes}), received {int(labels.min())} to {int(labels.max())}")
    if background != "constant" and generator is None:
        raise ValueError(f"expected a generator for a background of {background!r}, received None")
    count, others = len(labels), num_classes - 1
    if background == "uniform":
        shares = dirichlet(1.0, count, k=others, generator=generator)
    elif background == "one":
        chosen = torch.randint(others, (count,), generator=generator, device=generator.device)
        shares = torch.nn.functional.one_hot(chosen, others)
    else:
        shares = torch.full((count, others), 1 / others)
    own = labels.long()[:, None]
    # The other classes of a row in order: those below its own, and one further from there on.
    places = torch.arange(others, device=labels.device).expand(count, others)
    mu = torch.full((count, num_classes), 1 - epsilon, device=labels.device)
    return mu.scatter_(1, places + (places >= own), (epsilon * shares).to(mu))


def entropy_of_law(num_classes: int, epsilon: float, *, background: str = "uniform") -> float:
    r"""The mean entropy of a soft label in nats: below it no cross-entropy with μ can be.

    By its two parts, E H(μ) = h(ε) + ε E H(d), with h(ε) = -ε log ε - (1 - ε) log (1 - ε) and d the background over
    n = C - 1 classes: H(d) = log n where it is "constant", 0 where it is "one", and of a uniform draw, whose shares are
    Beta(1, n - 1), E H(d) = -n E[d₁ log d₁] = ψ(n + 1) - ψ(2) = 1/2 + 1/3 + … + 1/n.

    Args:
        num_classes: C, at least 2.
        epsilon: ε in [0, 1].
        background: see `soft_labels`.

    Raises:
        ValueError: for a value outside its range.

    Example:
        >>> round(entropy_of_law(100, 0.5, background="constant"), 2), round(entropy_of_law(100, 0.5), 2)
        (2.99, 2.78)
    """
    check_law(num_classes, epsilon, background)
    others = num_classes - 1
    uniform = math.fsum(1 / n for n in range(2, others + 1))
    of_background = {"uniform": uniform, "constant": math.log(others), "one": 0.0}
    of_two = -math.fsum(p * math.log(p) for p in (epsilon, 1 - epsilon) if p)
    return of_two + epsilon * of_background[background]


def kl_of_ignorant(num_classes: int, epsilon: float, *, background: str = "uniform") -> float:
    r"""Mean KL(μ ‖ q) of the best label q that knows the class of the image and nothing else of μ, in nats.

    A generator that was told nothing, or does not listen, can do no better than this; one that is below it has written
    something of μ into its images.

    For any q, E KL(μ ‖ q) = E KL(μ ‖ E μ) + KL(E μ ‖ q), so the best q is E μ, smoothed labels: 1 - ε and ε/n on each
    of the n = C - 1 others. With it KL(μ ‖ q) = Σ_i ε d_i log(n d_i) = ε (log n - H(d)), where d is the background. By
    the mean entropy of a uniform draw, see `entropy_of_law`, that is on average

        ε (log n - 1/2 - 1/3 - … - 1/n),

    which tends to ε (1 - γ), γ = .5772, for many classes. It is 0 for a "constant" background, and ε log n for "one".

    Args:
        num_classes: C, at least 2.
        epsilon: ε in [0, 1].
        background: see `soft_labels`.

    Raises:
        ValueError: for a value outside its range.

    Example:
        >>> round(kl_of_ignorant(10, 0.5), 3), round(kl_of_ignorant(100, 0.5), 3)
        (0.184, 0.209)
    """
    constant = entropy_of_law(num_classes, epsilon, background="constant")
    return constant - entropy_of_law(num_classes, epsilon, background=background)


def divergence(mu: Tensor, logits: Tensor) -> Tensor:
    r"""KL(μ ‖ softmax(logits)) of every row, in nats: the cross-entropy of eq. 11 and 12 less the entropy of μ.

    Both have the same gradient. The cross-entropy alone says little: its floor, H(μ), is nearly all of it.

    Args:
        mu: (B, C), rows on the simplex; no gradient goes there.
        logits: (B, C), any floating type; half precision is taken to float32 first.

    Returns:
        (B,) float32 (float64 where the logits are), >= 0 up to rounding.

    Raises:
        ValueError: where the shapes differ.

    Source: Jeong et al., eq. 11; that the entropy is taken off is ours.

    Example:
        >>> mu = torch.tensor([[0.5, 0.25, 0.25]])
        >>> divergence(mu, mu.log()), divergence(mu, torch.zeros(1, 3)), divergence(torch.eye(3)[:1], torch.zeros(1, 3))
        (tensor([0.]), tensor([0.0589]), tensor([1.0986]))
    """
    if mu.ndim != 2 or mu.shape != logits.shape:
        raise ValueError("expected soft labels and logits of one shape (B, C), received "
                         f"{tuple(mu.shape)} and {tuple(logits.shape)}")
    with torch.autocast(logits.device.type, enabled=False):
        wide = logits.to(torch.promote_types(logits.dtype, torch.float32))
        asked = mu.detach().to(wide.dtype)
        return torch.special.xlogy(asked, asked).sum(1) - (asked * log_softmax(wide, dim=1)).sum(1)


def check_law(num_classes: int, epsilon: float, background: str) -> None:
    """Raise ValueError unless these are a number of classes, a mass and a background that a law can have."""
    if not whole(num_classes) or num_classes < 2:
        raise ValueError(f"expected an integer num_classes of at least 2, received {num_classes!r}")
    if not real(epsilon) or not 0 <= epsilon <= 1:
        raise ValueError(f"expected epsilon in [0, 1], received {epsilon!r}")
    if background not in BACKGROUNDS:
        raise ValueError(f"expected a background of {', '.join(BACKGROUNDS)}, received {background!r}")

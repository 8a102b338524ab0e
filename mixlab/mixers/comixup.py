r"""Co-Mixup: a batch is mixed together, so that each result shows what matters and no two show the same.

**Method card.** Co-Mixup (Kim, Choo, Jeong and Song, 2021) makes m' results of m images. Each result is a grid of cells
that may come from any of the m images. Three wishes meet in formula 1, here :func:`objective`: saliency is to be seen,
neighbouring cells are to come from one image, and all results together are to overlap little.

- *How to use*: ``SaliencyRisk(CoMixup())`` in training, where saliency comes from the network, or
  ``CoMixup().draw(images, saliency=maps)``. That is the procedure of the public code, from which the paper's results
  come (``mode="official"``). ``CoMixup(mode="paper")`` minimises the paper's formula 1, which makes other batches.
- *Settings*: those of the public code for CIFAR: partitions of 20 rows, β = 0.32, γ = 1, τ = 0.83, η = 0.05, ω = 0.001,
  α = 2, and 4 x 4 cells.
- *Units*: β, γ and η are divided by the number n of cells, and τ counts in units of n² for each output, the overlap of
  an output with the others when all inputs are used alike. That unit is our reading: formula 1 leaves it open. In
  effect γ is so large that τ is a budget: overlap up to τ is free, and more is hardly ever worth its price.
- *Solver*: one output after the other is made anew, the others being fixed (:func:`descend`). That inner problem is
  solved exactly for the cheapest labels of every cell, for all partitions at once (:mod:`mixlab.mixers.frontier`).
  ``mode="paper"`` minimises formula 1, and no step raises it. ``mode="official"`` follows the public code, which
  minimises something else; its overlap stays far below τ.
- *What to expect*: at τ = 0.83 the results of ``"official"`` show about three inputs each, and at 0.3 one: nothing is
  mixed. Those of ``"paper"`` show eight to ten at 0.83, since formula 1 does not ask for few, and three at 0.3.
- *Labels*: the shares of the picture, the means of the masks.
- *Rows*: results come in no order. Row b of a mix belongs no more to image b than to any other of its partition; its
  slots are sorted by share, and where an output has fewer inputs than another, the first one fills up with share 0.
- *Limits*: floating-point images (B, C, H, W) of any size. The last partition is smaller where m does not divide B, and
  a partition of one row stays itself. α = 0 is ERM.
- *Zero saliency* counts as uniform. If all images are uniform, every cell costs the same, and what decides is the prior
  and the overlap.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from mixlab import priors
from mixlab.checks import real, whole
from mixlab.masks import Soft
from mixlab.mix import Mix
from mixlab.mixers.base import Mixer, check_alpha, check_non_negative, image_size
from mixlab.mixers.frontier import cheapest
from mixlab.saliency import block_saliency

__all__ = ["CoMixup", "compatibility", "descend", "objective", "overlap", "prior_cost", "smoothness", "solve", "unary"]

#: Cells along each side of a mixer's masks.
_CELLS = 4

# What is added to a probability before its logarithm is taken, as in the public code.
_SMALLEST_PROBABILITY = 1e-8

# The public code takes this off the unary cost of every half label.
_HALF_BONUS = 5e-4

# The price of overlap: where it starts, in units of 1/(γn), and what it is multiplied by after a sweep that ended
# within the budget, or beyond it.
_FIRST_PRICE, _FALL, _RISE = 4.0, 1 / 3, 4.0

_MODES = "paper", "official"


# The objective, term by term.


def unary(z: Tensor, c: Tensor) -> Tensor:
    r"""What is shown, negative: :math:`\sum_j \sum_k c_k^\top z_{jk}`.

    Args:
        z: ``(..., m', m, h, w)``, how much of each cell of m' outputs comes from each of m inputs; the sum over inputs
            is 1 in every cell.
        c: ``(..., m, h, w)``, minus the part of an input's saliency that lies in each cell
            (:func:`mixlab.saliency.block_saliency`).

    Returns:
        ``(...)`` float64.

    Source: Co-Mixup slides, formula 1.

    Example:
        >>> c = -torch.tensor([[[0.7, 0.3]], [[0.2, 0.8]]])  # two inputs, a row of two cells
        >>> unary(torch.tensor([[[[1.0, 0.0]], [[0.0, 1.0]]]]), c)  # one output, the best of both
        tensor(-1.5000, dtype=torch.float64)
    """
    return (z.double() * c.double().unsqueeze(-4)).sum((-4, -3, -2, -1))


def smoothness(z: Tensor) -> Tensor:
    r"""How much neighbouring cells differ: :math:`\sum_j \sum_{(k,k') \in \mathcal N} \frac12 \|z_{jk} - z_{jk'}\|^2`.

    For cells of one input each that is :math:`1 - z_{jk}^\top z_{jk'}`, as formula 1 has it: 0 or 1. For blends
    the two differ. Two equal blends of halves cost nothing here, as the public code's objective has it, and would cost
    ½ in formula 1.

    Args:
        z: ``(..., m', m, h, w)``, see :func:`unary`.

    Returns:
        ``(...)`` float64.

    Source: Co-Mixup slides, formula 1, the term with β.

    Example:
        >>> smoothness(torch.tensor([[[[1.0, 0.5, 0.0]], [[0.0, 0.5, 1.0]]]]))  # ¼ + ¼ instead of 1 at once
        tensor(0.5000, dtype=torch.float64)
    """
    z = z.double()
    return (z.diff(dim=-2).square().sum((-4, -3, -2, -1)) + z.diff(dim=-1).square().sum((-4, -3, -2, -1))) / 2


def overlap(z: Tensor, a: Tensor) -> Tensor:
    r"""What outputs have in common: :math:`\sum_j \sum_{j' \ne j} o_j^\top A\, o_{j'}`, :math:`o_j = \sum_k z_{jk}`.

    Args:
        z: ``(..., m', m, h, w)``, see :func:`unary`.
        a: ``(..., m, m)``, A, symmetric and >= 0 (:func:`compatibility`).

    Returns:
        ``(...)`` float64. With A = I and n cells it is 0 where no two outputs share an input, and n²m'(m' - 1) where
        all are the same input.

    Source: Co-Mixup slides, formula 1, inside the term with γ.

    Example:
        >>> both = torch.tensor([[[[1.0, 0.0]], [[0.0, 1.0]]]]).expand(2, 2, 1, 2)  # two equal outputs of two inputs
        >>> overlap(both, torch.eye(2))  # each pair of outputs, twice: 2 · (1 · 1 + 1 · 1)
        tensor(4., dtype=torch.float64)
    """
    counts, a = z.double().sum((-2, -1)), a.double()
    total = counts.sum(-2, keepdim=True)
    return ((total @ a) * total).sum((-2, -1)) - ((counts @ a) * counts).sum((-2, -1))


def prior_cost(z: Tensor, prior: Tensor) -> Tensor:
    r""":math:`-\sum_j \sum_k \log p(z_{jk})` with :math:`\log p(z) = \sum_i z_i \log \lambda_i`.

    Args:
        z: ``(..., m', m, h, w)``, see :func:`unary`.
        prior: ``(..., m)``, λ, the probability of each input.

    Returns:
        ``(...)`` float64. As in the public code 1e-8 is added to λ, so it is finite.

    Source: Co-Mixup slides, formula 1, the term with η; the law of z is read in the public code.

    Example:
        >>> prior_cost(torch.tensor([[[[1.0, 0.0]], [[0.0, 1.0]]]]), torch.tensor([0.5, 0.25])).exp()
        tensor(8.0000, dtype=torch.float64)
    """
    logs = torch.log(prior.double() + _SMALLEST_PROBABILITY)
    return -(z.double().sum((-2, -1)) * logs.unsqueeze(-2)).sum((-2, -1))


def objective(
    z: Tensor,
    c: Tensor,
    a: Tensor,
    *,
    beta: float = 0.32,
    gamma: float = 1.0,
    tau: float = 0.83,
    eta: float = 0.05,
    prior: Tensor | None = None,
) -> Tensor:
    r"""What Co-Mixup minimises: formula 1.

    .. math::

        \sum_{j,k} c_k^\top z_{jk}
        + \frac{\beta}{n} \sum_j \sum_{(k,k')} \tfrac12 \|z_{jk} - z_{jk'}\|^2
        + \frac{\gamma}{n} \max\Bigl\{\tau n^2 m',\ \sum_j \sum_{j' \ne j} o_j^\top A\, o_{j'}\Bigr\}
        - \frac{\eta}{n} \sum_{j,k} \log p(z_{jk})

    with n = hw cells and m' outputs. Formula 1 has neither the n nor :math:`n^2 m'`: β, γ, η are divided by n as in
    the public code, and τ counts in the unit that fits the slides' measure of diversity,
    :math:`1 - \sum_j \sum_{j' \ne j} \tilde o_j^\top \tilde o_{j'} / m` with :math:`\tilde o_j = o_j / n`.

    Solvers are to be judged by this. By the objective in the public code, which has no max, leaving every image alone
    beats the public code's own result.

    Args:
        z: ``(..., m', m, h, w)``, how much of each cell of m' outputs comes from each of m inputs.
        c: ``(..., m, h, w)``, minus the saliency of each cell, summing to -1 for every input.
        a: ``(..., m, m)``, A (:func:`compatibility`).
        beta, gamma, eta: weights, >= 0.
        tau: the overlap that is free, >= 0.
        prior: ``(..., m)``, λ; None leaves the last term out.

    Returns:
        ``(...)`` float64.

    Raises:
        ValueError: for shapes that do not fit together.

    Source: Co-Mixup slides, formula 1.

    Example:
        >>> c, apart = torch.full((2, 1, 2), -0.5), torch.eye(2)[:, :, None, None].expand(2, 2, 1, 2)
        >>> objective(apart, c, torch.eye(2), tau=0.5).item()  # -2 shown, and γ/n times the 0.5 · 2² · 2 that is free
        0.0
    """
    _check(c, a, prior)
    if z.ndim < 4 or z.shape[-3:] != c.shape[-3:]:
        raise ValueError(f"expected masks of shape (..., m', {', '.join(map(str, c.shape[-3:]))}), received "
                         f"{tuple(z.shape)}")
    n = z.shape[-2] * z.shape[-1]
    free = tau * n**2 * z.shape[-4]
    total = unary(z, c) + beta / n * smoothness(z) + gamma / n * overlap(z, a).clamp(min=free)
    return total if prior is None else total + eta / n * prior_cost(z, prior)


def compatibility(saliency: Tensor, *, cells: int = _CELLS, omega: float = 0.001) -> Tensor:
    r"""Which inputs should not be shown in different outputs: :math:`A = (1 - \omega) I + \omega D`.

    :math:`D_{ii'}` is the L1 distance between the places of the most salient windows of two inputs, scaled to a sum of
    m. The diagonal is what keeps outputs diverse. D makes inputs whose salient places lie far apart dearer in different
    outputs than in one, where both can be seen.

    Args:
        saliency: ``(..., m, H, W)``, >= 0, of any size.
        cells: windows have the size of a cell, of which there are so many along each side. They lie at every pixel.
        omega: ω in [0, 1].

    Returns:
        ``(..., m, m)`` float64, symmetric, >= 0. D is 0 where all inputs have their windows in one place, as inputs of
        uniform saliency do.

    Raises:
        ValueError: for another shape, or an ω outside [0, 1].

    Source: the public code; formula 1 leaves A open.

    Example:
        >>> left_right = torch.tensor([[[1.0, 0.0], [0.0, 0.0]], [[0.0, 1.0], [0.0, 0.0]]])
        >>> compatibility(left_right, cells=2, omega=0.5)  # D is 1 between the two, as its sum is 2
        tensor([[0.5000, 0.5000],
                [0.5000, 0.5000]], dtype=torch.float64)
    """
    if saliency.ndim < 3 or 0 in saliency.shape:
        raise ValueError(f"expected a saliency of shape (..., m, H, W), received {tuple(saliency.shape)}")
    if not real(omega) or not 0 <= omega <= 1:
        raise ValueError(f"expected an omega in [0, 1], received {omega!r}")
    window = [max(1, side // cells) for side in saliency.shape[-2:]]
    maps = saliency.detach().double().flatten(0, -3)[:, None]
    # Rows and columns one after the other: windows of a large image have thousands of pixels.
    sums = F.avg_pool2d(F.avg_pool2d(maps, (window[0], 1), stride=1), (1, window[1]), stride=1)
    place = sums.flatten(1).argmax(1).view(saliency.shape[:-2])
    across = sums.shape[-1]
    row, column = place // across, place % across
    distance = (row[..., :, None] - row[..., None, :]).abs() + (column[..., :, None] - column[..., None, :]).abs()
    m, distance = saliency.shape[-3], distance.double()
    distance = distance * m / distance.sum((-2, -1), keepdim=True).clamp(min=1)
    return (1 - omega) * torch.eye(m, dtype=torch.float64, device=saliency.device) + omega * distance


# The solver.


def descend(
    start: Tensor,
    c: Tensor,
    a: Tensor,
    *,
    beta: float = 0.32,
    gamma: float = 1.0,
    tau: float = 0.83,
    eta: float = 0.05,
    prior: Tensor | None = None,
    sweeps: int = 4,
    labels: int | None = 4,
    mode: str = "paper",
) -> Iterator[Tensor]:
    r"""Coordinate descent: one output after the other is made anew, given the others, for P problems at once.

    **The inner problem.** For fixed other outputs only :math:`2\, o_j^\top A \sum_{j' \ne j} o_{j'}` of the overlap
    depends on output j. It is linear in :math:`z_j`: every input has a price in all cells. What is left is to label a
    grid. The labels are the inputs and, from the second sweep on, the halves of the pairs among the three inputs that
    the output shows most of (fewer where it shows fewer). In every cell the ``labels`` cheapest of them are kept, and
    the best labelling with these is found exactly (:func:`mixlab.mixers.frontier.cheapest`).

    **mode="paper".** The max of formula 1 has two branches, overlap for nothing and overlap at the full price γ/n. At
    the kink between them, where solutions end, neither says what overlap is worth, and a descent along the two stops
    early. Here overlap has a price in between, the same for all outputs of a problem: a part of γ/n, which begins at
    4/(γn). After a sweep that ends within the budget τ it falls to a third, after another one it rises fourfold, to 1
    at most. A new output is taken if it lowers :func:`objective`, else the old one stays; so no step raises it.

    **mode="official".** What the public code does. Every new output is taken. An input is charged for overlap, at the
    full price, only if :math:`v_i > \tau n`, v being A times what the other outputs show: a gate for every input in
    place of one max. (The gate acts on the columns of A, a slip that matters little for a small ω.) A half label costs
    5e-4 less in every cell, ¼ beside its own parts, and 1 beside all else. Before the last sweep two outputs with the
    same inputs are told apart: the first input of the one, and the last of the other, costs γ/n more in each cell.
    *Not as there*: the inner problem is solved exactly for the labels kept, not by alpha-beta swaps; no early stop.

    Args:
        start: ``(P, m', m, h, w)`` masks to begin with, in {0, ½, 1} or any others that sum to 1 over inputs; not
            changed.
        c: ``(P, m, h, w)``, minus the saliency of each cell.
        a: ``(P, m, m)``, A, symmetric (:func:`compatibility`).
        beta, gamma, tau, eta, prior: see :func:`objective`.
        sweeps: how often every output is made anew.
        labels: how many labels a cell may choose from; None keeps all, as long as ``frontier.MOST_SUMS`` allows.
        mode: ``"paper"`` or ``"official"``.

    Yields:
        ``(P, m', m, h, w)`` float64 masks after every step, ``sweeps * m'`` times. It is one tensor that later steps
        change: clone what is to be kept.

    Raises:
        ValueError: for shapes that do not fit together, settings out of range, or more labels than a grid of that
            width allows.

    Source: Co-Mixup slides, formula 1; the public code.

    Example:
        >>> c = -torch.tensor([[[[0.7, 0.3]], [[0.2, 0.8]]]])
        >>> alone = torch.eye(2)[None, :, :, None, None].expand(1, 2, 2, 1, 2)  # each input in an output of its own
        >>> steps = [z.clone() for z in descend(alone, c, torch.eye(2)[None], tau=2.0, sweeps=3)]
        >>> len(steps), steps[-1][0, 0, :, 0].tolist()  # overlap is free: the left of input 0, the right of input 1
        (6, [[1.0, 0.0], [0.0, 1.0]])
    """
    _check(c, a, prior)
    check_non_negative(beta=beta, gamma=gamma, tau=tau, eta=eta)
    _check_effort(sweeps, labels, mode)
    if c.ndim != 4 or start.ndim != 5 or start.shape[0] != c.shape[0] or start.shape[2:] != c.shape[1:]:
        raise ValueError(f"expected masks (P, m', m, h, w) to start from, and c of shape (P, m, h, w), received "
                         f"{tuple(start.shape)} and {tuple(c.shape)}")
    # Checked here and not at the first step, which a generator would put off.
    return _steps(start, c, a, beta, gamma, tau, eta, prior, sweeps, labels, mode)


def _steps(start, c, a, beta, gamma, tau, eta, prior, sweeps, labels, mode) -> Iterator[Tensor]:
    """The steps of :func:`descend`, whose arguments have been checked."""
    problems, m, height, width = c.shape
    n, outputs, official = height * width, start.shape[1], mode == "official"
    smooth, full_price, free = beta / n, gamma / n, tau * n**2 * start.shape[1]
    a = a.double()
    # What a cell of each input costs, overlap and neighbours aside: (P, n, m).
    base = c.double().flatten(2).mT
    if prior is not None:
        base = base - eta / n * torch.log(prior.double() + _SMALLEST_PROBABILITY)[:, None]
    masks = start.double().clone()
    cells = masks.flatten(3).mT  # (P, m', n, m), in the same memory
    counts = cells.sum(2)  # (P, m', m): o_j
    # What each output costs without overlap, (P, m'), and the overlap of all of them, (P,), are kept up to date.
    own = (cells * base[:, None]).sum((2, 3)) + smooth * smoothness(masks.unsqueeze(2))
    singles = torch.eye(m, dtype=torch.float64, device=c.device).expand(problems, m, m)
    # The price of overlap, as a part of the full one; and what tells equal outputs apart, in the public code alone.
    price, apart = masks.new_full((problems, 1), min(1.0, _FIRST_PRICE / (n * max(gamma, 1e-9)))), None
    for sweep in range(sweeps):
        total, common = counts.sum(1), overlap(masks, a)
        if sweep:
            price = (price * torch.where(common > free, _RISE, _FALL)[:, None]).clamp(max=1)
        if official and sweep and sweep == sweeps - 1:
            apart = full_price * _tell_apart(counts > 0)
        for j in range(outputs):
            rest = total - counts[:, j]
            seen = _times(a, rest)
            # What a cell of each input is charged for overlap: (P, m).
            if official:
                charge = 2 * full_price * _times(a, torch.where(seen > tau * n, rest, 0.0))
                charge = charge if apart is None else charge + apart[:, j]
            else:
                charge = 2 * full_price * price * seen
            costs, offered = base + charge[:, None], singles
            if sweep and m > 1:
                blends, extra = _halves(costs, counts[:, j])
                costs = torch.cat([costs, costs @ blends.mT + (extra - _HALF_BONUS if official else extra)[:, None]], 2)
                offered = torch.cat([singles, blends], dim=1)
            shown, cost = _best_output(costs, offered, labels, (height, width), smooth, official)
            new = shown.sum(1)
            new_own = cost - (charge * new).sum(1)
            new_common = common + 2 * ((new - counts[:, j]) * seen).sum(1)
            if official:
                taken = torch.ones_like(cost, dtype=torch.bool)
            else:
                old_value = own[:, j] + full_price * common.clamp(min=free)
                taken = new_own + full_price * new_common.clamp(min=free) < old_value
            cells[:, j] = torch.where(taken[:, None, None], shown, cells[:, j])
            counts[:, j] = torch.where(taken[:, None], new, counts[:, j])
            own[:, j] = torch.where(taken, new_own, own[:, j])
            common = torch.where(taken, new_common, common)
            total = rest + counts[:, j]
            yield masks


def _times(a: Tensor, vectors: Tensor) -> Tensor:
    """``(P, m)``: A times a vector, for every problem."""
    return (a @ vectors[..., None])[..., 0]


def _halves(costs: Tensor, counts: Tensor) -> tuple[Tensor, Tensor]:
    """The blends of halves ``(P, 3, m)`` of the three inputs that an output shows most of, and their cost ``(P, 3)``.

    That cost comes on top of the mean cost of the halves: 0, or infinite for a pair of which one is not shown. Of two
    inputs that are shown alike the cheaper one comes first, so that it does not matter how inputs are numbered.
    """
    shown_most = (counts - 1e-6 * costs.mean(1)).topk(min(3, counts.shape[1])).indices
    wholes, shown = F.one_hot(shown_most, counts.shape[1]), counts.gather(1, shown_most) > 0
    first, second = torch.combinations(torch.arange(shown_most.shape[1], device=costs.device)).unbind(1)
    charge = torch.where(shown[:, first] & shown[:, second], 0.0, torch.inf).to(costs.dtype)
    return (wholes[:, first] + wholes[:, second]).to(costs.dtype) / 2, charge


def _best_output(
    costs: Tensor, offered: Tensor, labels: int | None, size: tuple[int, int], smooth: float, official: bool
) -> tuple[Tensor, Tensor]:
    """The masks ``(P, n, m)`` of the cheapest labelling, and its cost ``(P,)``, smoothness included.

    Labels are the rows of ``offered (P, L, m)``; ``costs (P, n, L)`` is what each costs in each cell.
    """
    kept = costs.shape[2] if labels is None else min(labels, costs.shape[2])
    costs, numbers = costs.topk(kept, largest=False)
    numbers = numbers.unflatten(1, size)
    unlike = smooth * _unlikeness(offered, official)

    def between(first: Tensor, second: Tensor) -> Tensor:
        pairs = first[..., :, None] * offered.shape[1] + second[..., None, :]
        return unlike.flatten(1).gather(1, pairs.flatten(1)).view(pairs.shape)

    right, down = between(numbers[:, :, :-1], numbers[:, :, 1:]), between(numbers[:, :-1], numbers[:, 1:])
    best, cost = cheapest(costs.unflatten(1, size), right, down)
    chosen = numbers.gather(3, best[..., None]).flatten(1, 2)
    return offered.gather(1, chosen.expand(-1, -1, offered.shape[2])), cost


def _unlikeness(offered: Tensor, official: bool) -> Tensor:
    """``(P, L, L)``: ½‖z - z'‖² of all pairs of labels; or the public code's table.

    There a blend of halves costs ¼ beside its own parts, and every other pair of different labels 1.
    """
    products = offered @ offered.mT
    squares = products.diagonal(dim1=1, dim2=2)
    unlike = (squares[:, :, None] + squares[:, None]) / 2 - products
    if official:
        blends = squares < 1
        unlike = torch.where((unlike > 0.25) | (unlike > 0) & blends[:, :, None] & blends[:, None], 1.0, unlike)
    return unlike


def _tell_apart(used: Tensor) -> Tensor:
    """``(P, m', m)``: what tells outputs apart that use the same inputs, as a charge in units of γ/n.

    It makes one input of each dearer, of the earlier output the first that it uses, of the later one the last.

    Args:
        used: ``(P, m', m)`` bool, which inputs each output uses.
    """
    m = used.shape[2]
    same = (used[:, :, None] == used[:, None]).all(3)
    numbers = torch.arange(m, device=used.device)
    first = F.one_hot(torch.where(used, numbers, m).amin(2), m)
    last = F.one_hot(torch.where(used, numbers, -1).amax(2), m)
    return (first * same.triu(1).any(2)[..., None] + last * same.tril(-1).any(2)[..., None]).double()


def solve(
    c: Tensor,
    a: Tensor,
    *,
    outputs: int | None = None,
    start: Tensor | None = None,
    generator: torch.Generator | None = None,
    **settings,
) -> Tensor:
    """The masks at the end of :func:`descend`, from a random start.

    Args:
        c: ``(P, m, h, w)``, minus the saliency of each cell.
        a: ``(P, m, m)``, A (:func:`compatibility`).
        outputs: m', the number of outputs; None makes as many as there are inputs.
        start: ``(P, m', m, h, w)`` masks to begin with. Without them every cell begins with any input, all being
            equally likely.
        generator: source of the random start, needed where there is no ``start``; its device may be another one.
        settings: see :func:`descend`.

    Returns:
        ``(P, m', m, h, w)`` float64 masks in {0, ½, 1} (where ``start`` has no other values), which sum to 1 over
        inputs.

    Raises:
        ValueError: as :func:`descend`, for outputs that are no positive integer, and without both a start and a
            generator.

    Example:
        >>> c = -torch.tensor([[[[0.7, 0.3]], [[0.2, 0.8]]]])
        >>> z = solve(c, torch.eye(2)[None], outputs=1, generator=torch.Generator().manual_seed(0))
        >>> z[0, 0, :, 0]  # one output has nobody to overlap with
        tensor([[1., 0.],
                [0., 1.]], dtype=torch.float64)
    """
    _check(c, a, settings.get("prior"))
    if start is None:
        problems, m, height, width = c.shape
        outputs = m if outputs is None else outputs
        if not whole(outputs) or outputs < 1:
            raise ValueError(f"expected a positive integer number of outputs, received {outputs!r}")
        if generator is None:
            raise ValueError("expected a generator for a random start, or masks to start from, received neither")
        shape = problems, outputs, height, width
        inputs = torch.randint(m, shape, generator=generator, device=generator.device).to(c.device)
        start = F.one_hot(inputs, m).movedim(-1, 2)
    masks = start
    for masks in descend(start, c, a, **settings):
        pass
    return masks


# Settings.


def _check(c: Tensor, a: Tensor, prior: Tensor | None) -> None:
    m = c.shape[-3] if c.ndim >= 3 else 0
    if m < 1 or 0 in c.shape or a.shape[-2:] != (m, m):
        raise ValueError("expected c of shape (..., m, h, w) and A of shape (..., m, m), received "
                         f"{tuple(c.shape)} and {tuple(a.shape)}")
    if prior is not None and prior.shape[-1:] != (m,):
        raise ValueError(f"expected a prior of shape (..., {m}), received {tuple(prior.shape)}")


def _check_effort(sweeps: int, labels: int | None, mode: str) -> None:
    if not whole(sweeps) or sweeps < 1:
        raise ValueError(f"expected an integer number of sweeps >= 1, received {sweeps!r}")
    if labels is not None and (not whole(labels) or labels < 1):
        raise ValueError(f"expected an integer number of labels >= 1, or None, received {labels!r}")
    if not isinstance(mode, str) or mode not in _MODES:
        raise ValueError(f"expected a mode of {sorted(_MODES)}, received {mode!r}")


@dataclass(frozen=True)
class CoMixup(Mixer):
    r"""Mix the rows of a batch together, salient and diverse at once.

    Consecutive rows form partitions of ``m_part``. Each is mixed for itself, as many outputs as rows, with one
    :math:`\lambda \sim \mathrm{Dir}(\alpha)` over its rows.

    Args:
        alpha: concentration of the prior over the inputs of a partition, >= 0; 0 is ERM.
        beta: weight of smoothness, >= 0.
        gamma: weight of overlap, >= 0.
        tau: τ >= 0, the overlap that is free; the larger, the more inputs an output has. How many depends on the mode.
        eta: weight of the prior, >= 0.
        omega: ω in [0, 1], how much inputs with distant salient places are drawn into one output.
        m_part: rows of a partition, >= 1.
        sweeps: how often every output is made anew, >= 1.
        labels: how many labels a cell may choose from, >= 1; None keeps all, which is much slower.
        mode: ``"official"`` does what the public code does; ``"paper"`` minimises formula 1 (:func:`descend`, whose own
            default is the formula).

    Raises:
        ValueError: for settings outside these ranges; from ``draw`` without a saliency.

    Source: Kim, Choo, Jeong and Song, "Co-Mixup: saliency guided joint mixup with supermodular diversity", 2021;
    Co-Mixup slides, formula 1; what the defaults mean is read in the public code.

    Example:
        >>> images, seen = torch.zeros(3, 1, 8, 8), torch.rand(3, 8, 8, generator=torch.Generator().manual_seed(0))
        >>> mix = CoMixup().draw(images, saliency=seen, generator=torch.Generator().manual_seed(0))
        >>> bool((mix.weights == mix.shares).all()), mix.shares.sum(1)
        (True, tensor([1., 1., 1.]))
    """

    alpha: float = 2.0
    beta: float = 0.32
    gamma: float = 1.0
    tau: float = 0.83
    eta: float = 0.05
    omega: float = 0.001
    m_part: int = 20
    sweeps: int = 4
    labels: int | None = 4
    mode: str = "official"

    needs_saliency = True

    def __post_init__(self):
        check_alpha(self.alpha)
        super().__post_init__()
        check_non_negative(beta=self.beta, gamma=self.gamma, tau=self.tau, eta=self.eta)
        _check_effort(self.sweeps, self.labels, self.mode)
        if not real(self.omega) or not 0 <= self.omega <= 1:
            raise ValueError(f"expected an omega in [0, 1], received {self.omega!r}")
        if not whole(self.m_part) or self.m_part < 1:
            raise ValueError(f"expected an integer number of rows m_part >= 1, received {self.m_part!r}")

    def _draw(
        self, images: Tensor, labels: Tensor | None, saliency: Tensor | None, generator: torch.Generator
    ) -> Mix:
        size, batch = image_size(images), len(images)
        saliency = _divisible(saliency)
        parts = block_saliency(saliency, _CELLS)
        if self.alpha == 0:
            own = torch.arange(batch, device=parts.device)[:, None]
            return Mix.trusted(own, Soft(parts.new_ones(batch, 1, _CELLS, _CELLS), size), anchored=True)
        last = batch % self.m_part
        groups = [(0, batch - last, self.m_part), (batch - last, batch, last)]
        slots = [
            _slots(self._solve(saliency[start:stop], parts[start:stop], m, generator), start)
            for start, stop, m in groups
            if start < stop
        ]
        k = max(sources.shape[1] for sources, _ in slots)
        sources, maps = (torch.cat(each) for each in zip(*(_padded(*each, k) for each in slots)))
        return Mix.trusted(sources, Soft(maps, size))

    def _solve(self, saliency: Tensor, parts: Tensor, m: int, generator: torch.Generator) -> Tensor:
        """``(P, m, m, h, w)`` masks of partitions of m rows each."""
        c = -parts.unflatten(0, (-1, m))
        prior = priors.dirichlet(self.alpha, len(c), k=m, generator=generator).to(c.device)
        a = compatibility(saliency.unflatten(0, (-1, m)), omega=self.omega)
        weights = {"beta": self.beta, "gamma": self.gamma, "tau": self.tau, "eta": self.eta, "prior": prior}
        effort = {"sweeps": self.sweeps, "labels": self.labels, "mode": self.mode}
        return solve(c, a, generator=generator, **weights, **effort)


def _divisible(saliency: Tensor) -> Tensor:
    """Maps with sides that the cells divide: grown to the next such size where they are of another."""
    size = [-(-side // _CELLS) * _CELLS for side in saliency.shape[1:]]
    if size == list(saliency.shape[1:]):
        return saliency
    return F.interpolate(saliency[:, None], size=size, mode="nearest-exact")[:, 0]


def _slots(z: Tensor, first_row: int) -> tuple[Tensor, Tensor]:
    """Sources ``(B, K)`` and maps ``(B, K, h, w)`` of ``(P, m, m, h, w)`` masks, the largest share first."""
    problems, outputs, m = z.shape[:3]
    shares = z.sum((3, 4))
    k = int((shares > 0).sum(2).max())
    order = shares.sort(dim=2, descending=True, stable=True).indices[:, :, :k]
    maps = z.gather(2, order[..., None, None].expand(-1, -1, -1, *z.shape[3:]))
    # An input that is not shown is not named: its slot names the first one once more.
    order = torch.where(shares.gather(2, order) > 0, order, order[:, :, :1])
    sources = order + (first_row + m * torch.arange(problems, device=z.device))[:, None, None]
    return sources.flatten(0, 1), maps.flatten(0, 1).to(torch.float32)


def _padded(sources: Tensor, maps: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """With K slots: further ones name the first source, and show nothing of it."""
    more = k - sources.shape[1]
    sources = torch.cat([sources, sources[:, :1].expand(-1, more)], dim=1)
    return sources, torch.cat([maps, maps.new_zeros(len(maps), more, *maps.shape[2:])], dim=1)

r"""The distributions that mixing draws from: shares, sticks and partners.

Everything takes a :class:`torch.Generator` and is vectorised over the rows of a batch.

Small concentrations are the hard part. Papers use α down to 0.01, where a gamma draw underflows: :math:`G \sim
\mathrm{Gamma}(\alpha)` is about :math:`e^{-1/\alpha}`, and PyTorch clamps it, so that two of three shares tie (at α =
0.001 its Dirichlet is wrong by a factor of fifty between 0.01 and 0.99). Here log-gamma variates are drawn by the
identity :math:`\log G_\alpha = \log G_{\alpha+1} + \tfrac1\alpha \log U` (Marsaglia and Tsang, 2000, section 6) and
normalised by a softmax, in float64: nothing ever leaves log space before it is of order one. Only where all α are 1,
so that gamma variates are exponential ones, minus the logarithm of one uniform number is all that is needed.

Under ``torch.vmap`` one draw serves all rows (``randomness="same"``); another draw for each is a RuntimeError.
"""

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from mixlab.arrays import array
from mixlab.checks import numbers, real, whole

__all__ = [
    "beta",
    "conditional_dirichlet",
    "dirichlet",
    "partners",
    "permutations",
    "shares_from_sticks",
    "sticks_from_shares",
]

#: The smallest concentration: below it the logarithms of all gamma variates would be minus infinity, and shares NaN.
SMALLEST = 1e-300


def _concentration(alpha: float | Sequence[float] | Tensor, k: int | None) -> np.ndarray:
    """``alpha`` as a float64 vector of length ``k``, every entry finite and at least `SMALLEST`."""
    if k is not None and not (whole(k) and k >= 1):
        raise ValueError(f"expected an integer number of components k >= 1, received {k!r}")
    value = alpha.item() if isinstance(alpha, Tensor) and alpha.ndim == 0 else alpha
    if k is not None and real(value):
        values, vector = [value], np.full(k, float(value))
    else:
        values = numbers(value)
        if not values or k not in (None, len(values)):
            raise ValueError(
                f"expected a vector of {k or 'K'} concentrations, or a number and k, received {alpha!r} and k = {k}"
            )
        vector = np.array(values)
    if not all(SMALLEST <= value < math.inf for value in values):
        raise ValueError(
            f"expected positive, finite concentrations, received {values} (the smallest possible is {SMALLEST:g})"
        )
    return vector


def _device(generator: torch.Generator | None) -> torch.device:
    return torch.device("cpu") if generator is None else generator.device


def _gamma_variates(alpha: np.ndarray, n: int, generator: torch.Generator | None) -> np.ndarray:
    """``(K, n)``: n vectors, each proportional to K independent Gamma(alpha_k, 1) draws.

    The long axis is innermost, along which numpy is fast.
    """
    device = _device(generator)

    def uniform() -> np.ndarray:
        # 1 - U lies in (0, 1]: its logarithm is finite.
        drawn = torch.rand(n, len(alpha), dtype=torch.float64, device=device, generator=generator)
        return 1 - array(drawn).T

    # Of several exponential variates not all are 0; a single one might be, and would leave nothing to divide by.
    if len(alpha) > 1 and (alpha == 1).all():
        return -np.log(uniform(), order="C")
    # torch.distributions draws through the same function but gives no way to pass a generator.
    boosted = torch._standard_gamma(torch.from_numpy(alpha + 1).to(device).expand(n, -1), generator=generator)
    logs = np.log(uniform(), order="C")
    logs /= alpha[:, None]
    logs += np.log(array(boosted).T, order="C")
    # The largest becomes 1: others may vanish, but not all.
    return np.exp(logs - logs.max(axis=0))


def dirichlet(
    alpha: float | Sequence[float] | Tensor,
    n: int,
    *,
    k: int | None = None,
    generator: torch.Generator | None = None,
) -> Tensor:
    r"""Draw ``n`` share vectors :math:`\varphi \sim \mathrm{Dir}(\alpha_1, \dots, \alpha_K)`.

    Args:
        alpha: concentrations, each positive: a vector of length K, or one number for all together with ``k``.
        n: number of draws.
        k: number of components; needed where ``alpha`` is one number.
        generator: source of randomness; the draw happens on its device. ``None`` is torch's global generator.

    Returns:
        ``(n, K)`` float64; rows are non-negative and sum to 1.

    Raises:
        ValueError: for a concentration that is no number, or not positive and finite, a length other than ``k``, or
            an ``n`` or ``k`` that is no number of draws or of components.

    Source: K-image paper, section 2.2 (:math:`\varphi \sim \mathrm{Dir}(\alpha)`).

    Example:
        >>> phi = dirichlet(0.2, 4, k=5, generator=torch.Generator().manual_seed(0))
        >>> phi.shape, bool(torch.allclose(phi.sum(1), torch.ones(4, dtype=phi.dtype)))
        (torch.Size([4, 5]), True)
    """
    if not whole(n) or n < 0:
        raise ValueError(f"expected an integer number of draws n >= 0, received {n!r}")
    with np.errstate(under="ignore"):  # a share that is too small for a number is 0
        variates = _gamma_variates(_concentration(alpha, k), n, generator)
        shares = np.divide(variates.T, variates.sum(axis=0)[:, None], order="C")
    return torch.from_numpy(shares).to(_device(generator))


def beta(a: float, b: float, n: int, *, generator: torch.Generator | None = None) -> Tensor:
    r"""Draw ``n`` values :math:`\lambda \sim \mathrm{Beta}(a, b)`: the first share of a two-part Dirichlet.

    Args:
        a: first concentration, positive.
        b: second concentration, positive.
        n: number of draws.
        generator: source of randomness; the draw happens on its device.

    Returns:
        ``(n,)`` float64 in [0, 1].

    Raises:
        ValueError: for a concentration that is not positive and finite, or an ``n`` that is no number of draws.

    Example:
        >>> lam = beta(1.0, 1.0, 1000, generator=torch.Generator().manual_seed(0))
        >>> bool((lam.mean() - 0.5).abs() < 0.05)
        True
    """
    return dirichlet([a, b], n, generator=generator)[:, 0]


def conditional_dirichlet(
    alpha: float | Sequence[float] | Tensor,
    index: int,
    share: Tensor,
    *,
    k: int | None = None,
    generator: torch.Generator | None = None,
) -> Tensor:
    r"""Draw :math:`\varphi` given that one component has a known share, exactly.

    The Dirichlet distribution is neutral: given :math:`\varphi_i`, the others are
    :math:`\varphi_{-i} = (1 - \varphi_i)\,\mathrm{Dir}(\alpha_{-i})`. (The K-image paper, section 3.1, prints
    :math:`D(\alpha \setminus \alpha_i)` without the factor :math:`1 - \varphi_i`; its rows would not sum to 1.)

    Args:
        alpha: concentrations of all K components, as in :func:`dirichlet`.
        index: which component is known, ``0 <= index < K``.
        share: ``(n,)`` its shares, each in [0, 1].
        k: number of components, where ``alpha`` is one number.
        generator: source of randomness.

    Returns:
        ``(n, K)`` float64; column ``index`` is ``share``, rows sum to 1.

    Raises:
        ValueError: for a bad concentration or ``k``, fewer than two components, an index that is none of 0..K-1, or a
            share out of range.

    Example:
        >>> phi = conditional_dirichlet(1.0, 0, torch.tensor([0.25]), k=3, generator=torch.Generator().manual_seed(0))
        >>> round(phi[0, 0].item(), 6), round(phi[0, 1:].sum().item(), 6)
        (0.25, 0.75)
    """
    alpha = _concentration(alpha, k)
    if len(alpha) < 2 or not whole(index) or not 0 <= index < len(alpha):
        raise ValueError(f"expected an integer index below K >= 2, received index {index} and K = {len(alpha)}")
    share = torch.as_tensor(share, dtype=torch.float64)
    if share.ndim != 1 or not bool(((share >= 0) & (share <= 1)).all()):
        raise ValueError(f"expected a vector of shares in [0, 1], received {share}")
    rest = dirichlet(np.delete(alpha, index), len(share), generator=generator)
    share = share.to(rest.device)
    rest = rest * (1 - share[:, None])
    return torch.cat([rest[:, :index], share[:, None], rest[:, index:]], dim=1)


def sticks_from_shares(shares: Tensor) -> Tensor:
    r"""Turn shares :math:`\varphi` into stick fractions :math:`v`: what is broken off of what is left.

    .. math::
        v_1 = \varphi_1, \qquad v_k = \varphi_k \Big/ \prod_{j<k} (1 - v_j) = \varphi_k \Big/ \sum_{j \ge k} \varphi_j

    The second form is the one computed: it neither divides by a vanished product nor subtracts nearly equal numbers.
    Where nothing is left, :math:`v_k = 1`.

    Args:
        shares: ``(..., K)`` floating point, non-negative, summing to 1 over the last axis.

    Returns:
        ``(..., K)`` fractions in [0, 1] in the dtype of ``shares``; the last one is 1.

    Source: K-image paper, eq. 4.

    Example:
        >>> sticks_from_shares(torch.tensor([0.5, 0.25, 0.25]))
        tensor([0.5000, 0.5000, 1.0000])
    """
    left = shares.flip(-1).cumsum(-1).flip(-1)
    return (shares / left).fmin(shares.new_ones(()))  # of nothing and nothing left, which is NaN, fmin makes 1


def shares_from_sticks(sticks: Tensor) -> Tensor:
    r"""Turn stick fractions :math:`v` into shares: :math:`\varphi_k = v_k \prod_{j<k} (1 - v_j)`.

    Inverse of :func:`sticks_from_shares` where the last fraction is 1.

    Args:
        sticks: ``(..., K)`` fractions in [0, 1].

    Returns:
        ``(..., K)`` shares in the dtype of ``sticks``.

    Source: K-image paper, eq. 4 solved for the shares.

    Example:
        >>> shares_from_sticks(torch.tensor([0.5, 0.5, 1.0]))
        tensor([0.5000, 0.2500, 0.2500])
    """
    left = (1 - sticks).cumprod(-1)
    left = torch.cat([torch.ones_like(left[..., :1]), left[..., :-1]], dim=-1)
    return sticks * left


def _check_sources(batch: int, k: int) -> None:
    if not (whole(batch) and whole(k)) or min(batch, k) < 1:
        raise ValueError(f"expected integers >= 1, received {batch} rows and {k} sources")


def partners(batch: int, k: int, *, generator: torch.Generator | None = None) -> Tensor:
    """Draw K distinct rows for every row of a batch, itself first.

    The rows are laid on a random circle; slot k of every row is its neighbour at a random distance. So every
    ordered choice of K - 1 other rows is equally likely for a row, and every row is used exactly once in every slot.
    Rows repeat only where there are fewer than K of them; a batch of one is its own partner.

    Args:
        batch: number of rows B >= 1.
        k: number of sources K >= 1.
        generator: source of randomness; the draw happens on its device.

    Returns:
        ``(B, K)`` int64; column 0 is ``arange(B)``.

    Raises:
        ValueError: for fewer than one row or one source, or a number of them that is no integer.

    Example:
        >>> partners(1, 3)
        tensor([[0, 0, 0]])
        >>> rows = partners(5, 3, generator=torch.Generator().manual_seed(0))
        >>> [len(set(row)) for row in rows.tolist()]
        [3, 3, 3, 3, 3]
    """
    _check_sources(batch, k)
    device = _device(generator)

    def permutation(n: int) -> np.ndarray:
        return array(torch.randperm(n, generator=generator, device=device))

    circle = permutation(batch)
    # At fixed distances, neighbours would share all sources but one, and what depends on pairs of them, such as the
    # variance within a batch, would be noisier the larger K is.
    distances = [[0], permutation(batch - 1) + 1, *(permutation(batch) for _ in range(math.ceil(k / batch) - 1))]
    distances = np.concatenate(distances)[:k]
    place = np.empty_like(circle)
    place[circle] = np.arange(batch)
    return torch.from_numpy(circle.take(np.add.outer(place, distances), mode="wrap")).to(device)


def permutations(batch: int, k: int, *, generator: torch.Generator | None = None) -> Tensor:
    """Draw the papers' partners: one independent permutation of the batch for every slot but the first.

    An image may meet itself or appear twice in a row; a row meets itself in a given slot with probability 1 / B.

    Args:
        batch: number of rows B >= 1.
        k: number of sources K >= 1.
        generator: source of randomness; the draw happens on its device.

    Returns:
        ``(B, K)`` int64; column 0 is ``arange(B)``.

    Raises:
        ValueError: for fewer than one row or one source, or a number of them that is no integer.

    Example:
        >>> permutations(3, 2, generator=torch.Generator().manual_seed(0))[:, 1].sort().values
        tensor([0, 1, 2])
    """
    _check_sources(batch, k)
    device = _device(generator)
    drawn = [torch.randperm(batch, generator=generator, device=device) for _ in range(k - 1)]
    return torch.stack([torch.arange(batch, device=device), *drawn], dim=1)

"""The priors against SciPy's distribution functions, closed forms and brute force."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from oracle import assert_mean, assert_probabilities, binned, seeded, unchanged_global_rng
from scipy import stats
from scipy.special import betainc

from mixlab.priors import (
    SMALLEST,
    beta,
    conditional_dirichlet,
    dirichlet,
    partners,
    permutations,
    shares_from_sticks,
    sticks_from_shares,
)

ALPHAS = [1e-4, 1e-3, 1e-2, 0.2, 1.0, 8.0]
#: From the smallest share a float32 label can hold to the middle; the other half follows by symmetry.
EDGES = np.array([1e-30, 1e-10, 1e-4, 1e-2, 0.1, 0.3, 0.5, 0.7, 0.9, 0.99, 1 - 1e-4, 1 - 1e-10])


def _bins(a, b):
    """Probability of every bin of EDGES under Beta(a, b); above 1/2 by symmetry, where 1 - x is exact."""
    below = betainc(a, b, EDGES)
    above = betainc(b, a, 1 - EDGES)
    cumulative = np.where(EDGES < 0.5, below, 1 - above)
    return np.diff(np.concatenate([[0.0], cumulative, [1.0]]))


@pytest.mark.parametrize("alpha", ALPHAS)
def test_beta_has_the_probabilities_of_the_incomplete_beta_function(alpha):
    n = 200_000
    draws = beta(alpha, alpha, n, generator=seeded(1)).numpy()
    assert draws.dtype == np.float64 and draws.min() >= 0 and draws.max() <= 1
    assert_probabilities(binned(draws, EDGES), _bins(alpha, alpha), n)


@pytest.mark.parametrize("a, b", [(0.2, 0.8), (2.0, 1.0), (1e-3, 5e-3), (9.0, 8.0)])
def test_asymmetric_beta_has_the_probabilities_of_the_incomplete_beta_function(a, b):
    n = 100_000
    assert_probabilities(binned(beta(a, b, n, generator=seeded(2)).numpy(), EDGES), _bins(a, b), n)


@pytest.mark.parametrize("alpha", [0.2, 1.0, 8.0])
def test_beta_passes_a_kolmogorov_smirnov_test(alpha):
    draws = beta(alpha, alpha, 20_000, generator=seeded(3)).numpy()
    assert stats.kstest(draws, stats.beta(alpha, alpha).cdf).pvalue > 1e-4


def test_mass_between_is_right_where_torchs_own_draw_is_fifty_times_too_large():
    n, low, high = 400_000, 0.01, 0.99
    expected = betainc(1e-3, 1e-3, high) - betainc(1e-3, 1e-3, low)
    ours = beta(1e-3, 1e-3, n, generator=seeded(4))
    assert_probabilities([int(((ours > low) & (ours < high)).sum())], [expected], n)
    # What is replaced really is wrong, so the comparison above can fail.
    concentrations = torch.full((50_000, 2), 1e-3, dtype=torch.float64)
    theirs = torch._sample_dirichlet(concentrations, generator=seeded(4))[:, 0]
    assert ((theirs > low) & (theirs < high)).double().mean() > 20 * expected


@pytest.mark.parametrize("alpha", ALPHAS)
@pytest.mark.parametrize("k", [3, 5])
def test_dirichlet_components_are_beta_distributed(alpha, k):
    n = 60_000
    phi = dirichlet(alpha, n, k=k, generator=seeded(5)).numpy()
    expected = _bins(alpha, (k - 1) * alpha)
    for slot in (0, k - 1):
        assert_probabilities(binned(phi[:, slot], EDGES), expected, n)


@pytest.mark.parametrize("alpha", ALPHAS)
@pytest.mark.parametrize("k", [2, 3, 9])
def test_dirichlet_moments(alpha, k):
    phi = dirichlet(alpha, 60_000, k=k, generator=seeded(6)).numpy()
    np.testing.assert_allclose(phi.sum(1), 1, atol=1e-12)
    assert phi.min() >= 0 and np.isfinite(phi).all()
    for slot in range(k):
        assert_mean(phi[:, slot], 1 / k)
    assert_mean((phi[:, 0] - 1 / k) ** 2, (k - 1) / (k**2 * (k * alpha + 1)))
    assert_mean((phi**2).sum(1), (alpha + 1) / (k * alpha + 1))
    assert_mean(phi[:, 0] * phi[:, 1], alpha / (k * (k * alpha + 1)))


def test_dirichlet_with_unequal_concentrations_has_scipys_mean_and_covariance():
    alpha = [0.3, 2.0, 5.0]
    phi = dirichlet(alpha, 100_000, generator=seeded(7)).numpy()
    law = stats.dirichlet(alpha)
    centred = phi - law.mean()
    covariance = law.cov()
    for i, j in itertools.combinations_with_replacement(range(3), 2):
        assert_mean(phi[:, i], law.mean()[i])
        assert_mean(centred[:, i] * centred[:, j], covariance[i, j])


def test_tiny_concentrations_give_one_hot_rows_and_every_slot_its_turn():
    n, k = 30_000, 3
    phi = dirichlet(1e-300, n, k=k, generator=seeded(8))
    assert bool(phi.isfinite().all()) and bool(((phi == 0) | (phi == 1)).all())
    assert_probabilities(phi.sum(0).tolist(), [1 / k] * k, n)


shares_strategy = st.integers(1, 6).flatmap(
    lambda k: st.lists(
        st.one_of(st.just(0.0), st.just(1e-300), st.floats(1e-12, 1.0)), min_size=k, max_size=k
    ).filter(lambda values: sum(values) > 1e-9)
)


@given(shares_strategy)
def test_shares_survive_the_way_to_sticks_and_back(values):
    shares = torch.tensor(values, dtype=torch.float64)
    shares = shares / shares.sum()
    sticks = sticks_from_shares(shares)
    assert bool(((sticks >= 0) & (sticks <= 1)).all()) and sticks[-1] == 1
    torch.testing.assert_close(shares_from_sticks(sticks), shares, rtol=1e-9, atol=1e-12)


@given(st.lists(st.floats(0, 0.999), min_size=0, max_size=6))
def test_sticks_survive_the_way_to_shares_and_back(values):
    sticks = torch.tensor([*values, 1.0], dtype=torch.float64)
    shares = shares_from_sticks(sticks)
    torch.testing.assert_close(shares.sum(), torch.ones((), dtype=torch.float64))
    torch.testing.assert_close(sticks_from_shares(shares), sticks, rtol=1e-9, atol=1e-12)


def test_sticks_follow_equation_4_of_the_paper():
    phi = dirichlet(1.0, 50, k=5, generator=seeded(9)).tolist()
    for row, sticks in zip(phi, sticks_from_shares(torch.tensor(phi, dtype=torch.float64)).tolist()):
        left = 1.0
        for share, stick in zip(row, sticks):
            assert stick == pytest.approx(share / left, rel=1e-9)
            left *= 1 - stick


@pytest.mark.parametrize("slot", range(4))
def test_a_one_hot_share_breaks_the_whole_stick_at_its_slot(slot):
    shares = torch.eye(4, dtype=torch.float64)[slot]
    sticks = sticks_from_shares(shares)
    assert sticks[:slot].eq(0).all() and sticks[slot:].eq(1).all()
    assert torch.equal(shares_from_sticks(sticks), shares)


def test_stick_fractions_of_a_dirichlet_are_independent_betas():
    alpha, k, n = 0.5, 4, 50_000
    sticks = sticks_from_shares(dirichlet(alpha, n, k=k, generator=seeded(10))).numpy()
    for slot in range(k - 1):
        assert_probabilities(binned(sticks[:, slot], EDGES), _bins(alpha, (k - 1 - slot) * alpha), n)
    assert abs(np.corrcoef(sticks[:, 0], sticks[:, 1])[0, 1]) < 4.5 / np.sqrt(n)


@pytest.mark.parametrize("index", [0, 1, 2])
def test_conditional_dirichlet_has_the_moments_of_a_neutral_vector(index):
    alpha, share, n = np.array([0.5, 1.0, 2.0]), 0.3, 60_000
    phi = conditional_dirichlet(alpha.tolist(), index, torch.full((n,), share), generator=seeded(11)).numpy()
    assert (phi[:, index] == np.float32(share)).all()
    np.testing.assert_allclose(phi.sum(1), 1, atol=1e-12)
    others = np.delete(np.arange(3), index)
    law = stats.dirichlet(alpha[others])
    for place, slot in enumerate(others):
        assert_mean(phi[:, slot], (1 - share) * law.mean()[place])
        spread = (phi[:, slot] - (1 - share) * law.mean()[place]) ** 2
        assert_mean(spread, (1 - share) ** 2 * law.var()[place])


def test_conditional_dirichlet_is_the_dirichlet_where_the_share_happened_to_fall():
    """Rejection: full draws whose first share fell near a value, against draws given that value."""
    alpha, low, high = [0.7, 0.4, 1.5], 0.28, 0.32
    full = dirichlet(alpha, 400_000, generator=seeded(12))
    kept = full[(full[:, 0] > low) & (full[:, 0] < high)]
    given_share = conditional_dirichlet(alpha, 0, kept[:, 0], generator=seeded(13))
    assert len(kept) > 5000
    for slot in (1, 2):
        assert stats.ks_2samp(kept[:, slot].numpy(), given_share[:, slot].numpy()).pvalue > 1e-3
    # Without the factor 1 - share, as the paper prints it, the law would be another.
    printed = given_share[:, 1] / (1 - given_share[:, 0])
    assert stats.ks_2samp(kept[:, 1].numpy(), printed.numpy()).pvalue < 1e-12


def test_conditional_dirichlet_at_the_ends():
    phi = conditional_dirichlet(1.0, 1, torch.tensor([0.0, 1.0]), k=3, generator=seeded())
    assert phi[0, 1] == 0 and phi[0].sum() == pytest.approx(1)
    assert phi[1].tolist() == [0, 1, 0]


@given(st.integers(1, 12), st.integers(1, 12), st.integers(0, 10**6))
def test_partners_use_every_row_once_in_every_slot_and_repeat_only_of_need(batch, k, seed):
    rows = partners(batch, k, generator=seeded(seed))
    assert rows.shape == (batch, k) and rows.dtype == torch.int64
    assert torch.equal(rows[:, 0], torch.arange(batch))
    for column in rows.T:
        assert sorted(column.tolist()) == list(range(batch))
    for row in rows.tolist():
        assert len(set(row)) == min(batch, k)


def test_partners_are_uniform_over_ordered_choices():
    batch, k, n = 5, 3, 6000
    generator = seeded(14)
    seen = torch.stack([partners(batch, k, generator=generator) for _ in range(n)])
    for row in range(batch):
        others = [other for other in range(batch) if other != row]
        pairs = [tuple(pair) for pair in seen[:, row, 1:].tolist()]
        expected = list(itertools.permutations(others, 2))
        assert_probabilities([pairs.count(pair) for pair in expected], [1 / len(expected)] * len(expected), n)


def test_partners_of_a_batch_of_one_are_itself():
    assert partners(1, 4, generator=seeded()).tolist() == [[0, 0, 0, 0]]


@given(st.integers(1, 10), st.integers(1, 5), st.integers(0, 10**6))
def test_permutations_permute(batch, k, seed):
    rows = permutations(batch, k, generator=seeded(seed))
    assert rows.shape == (batch, k) and torch.equal(rows[:, 0], torch.arange(batch))
    for column in rows.T:
        assert sorted(column.tolist()) == list(range(batch))


def test_permutations_meet_themselves_once_in_b_and_slots_are_independent():
    batch, n, generator = 6, 20_000, seeded(15)
    seen = torch.stack([permutations(batch, 3, generator=generator) for _ in range(n)])
    for slot in (1, 2):
        for row in (0, batch - 1):
            assert_probabilities([int((seen[:, row, slot] == row).sum())], [1 / batch], n)
    assert_probabilities([int((seen[:, 0, 1] == seen[:, 0, 2]).sum())], [1 / batch], n)


DRAWS = {
    "dirichlet": lambda g: dirichlet(0.3, 7, k=4, generator=g),
    "beta": lambda g: beta(0.3, 0.4, 7, generator=g),
    "conditional": lambda g: conditional_dirichlet(0.3, 1, torch.full((7,), 0.5), k=4, generator=g),
    "partners": lambda g: partners(7, 9, generator=g),
    "permutations": lambda g: permutations(7, 3, generator=g),
}


@pytest.mark.parametrize("name", DRAWS)
def test_draws_repeat_with_the_generator_and_leave_the_global_one_alone(name):
    draw = DRAWS[name]
    with unchanged_global_rng():
        first, again, other = draw(seeded(1)), draw(seeded(1)), draw(seeded(2))
    assert torch.equal(first, again) and not torch.equal(first, other)


@pytest.mark.parametrize("alpha", [1e-300, 1e-3, 0.01, 1.0, 8.0])
def test_shares_that_vanish_are_no_error_where_numpy_raises_all_of_its_own(alpha):
    with np.errstate(all="raise"):
        phi = dirichlet(alpha, 50_000, k=3, generator=seeded())
    assert (phi.amin() == 0) == (alpha < 0.1)


def test_the_smallest_concentration_still_gives_shares():
    shares = dirichlet(SMALLEST, 200, k=3, generator=seeded())
    assert torch.equal(shares.sort(dim=1).values, torch.tensor([[0.0, 0.0, 1.0]] * 200, dtype=torch.float64))


@pytest.mark.parametrize("alpha", [0.0, -1.0, 1e-310, float("nan"), float("inf"), [1.0, 0.0], [1.0, -2.0]])
def test_concentrations_must_be_positive_and_finite(alpha):
    k = None if isinstance(alpha, list) else 2
    with pytest.raises(ValueError, match="expected positive, finite concentrations, received"):
        dirichlet(alpha, 3, k=k, generator=seeded())


def test_errors_name_what_was_received():
    with pytest.raises(ValueError, match=r"a vector of 3 concentrations, .*, received \[1.0, 1.0\] and k = 3"):
        dirichlet([1.0, 1.0], 3, k=3)
    with pytest.raises(ValueError, match="received index 3 and K = 3"):
        conditional_dirichlet(1.0, 3, torch.zeros(2), k=3)
    with pytest.raises(ValueError, match="received index 0 and K = 1"):
        conditional_dirichlet(1.0, 0, torch.ones(2), k=1)
    for share in (torch.tensor([1.5]), torch.tensor([-0.1]), torch.tensor([float("nan")]), torch.zeros(2, 2)):
        with pytest.raises(ValueError, match=r"expected a vector of shares in \[0, 1\], received"):
            conditional_dirichlet(1.0, 0, share, k=3)


NO_NUMBERS = ["a", "", None, True, {}, 1j, torch.tensor(True), torch.ones(1, 2), [[1, 1]], ["a", "b"], [None, 1], []]


@pytest.mark.parametrize("alpha", NO_NUMBERS, ids=repr)
def test_concentrations_are_numbers(alpha):
    with pytest.raises(ValueError, match="expected a vector of 2 concentrations, or a number and k, received .* k = 2"):
        dirichlet(alpha, 3, k=2)
    for vector in (alpha, 1.0, torch.tensor(1.0)):
        with pytest.raises(ValueError, match="expected a vector of K concentrations, .*, received .* and k = None"):
            dirichlet(vector, 3)
    with pytest.raises(ValueError, match="expected a vector of 2 concentrations"):
        conditional_dirichlet(alpha, 0, torch.zeros(3), k=2)
    with pytest.raises(ValueError, match="expected a vector of K concentrations"):
        beta(alpha, 1.0, 3)


@pytest.mark.parametrize(
    "alpha", [(1, 2), [1, 2.0], np.array([1, 2]), torch.tensor([1, 2]), torch.tensor([1.0, 2.0])], ids=repr
)
def test_vectors_of_any_kind_are_concentrations(alpha):
    expected = dirichlet([1.0, 2.0], 3, generator=seeded())
    for k in (None, 2):
        assert torch.equal(dirichlet(alpha, 3, k=k, generator=seeded()), expected)


@pytest.mark.parametrize("alpha", [2, np.float32(2), torch.tensor(2), torch.tensor(2.0)], ids=repr)
def test_numbers_of_any_kind_are_concentrations(alpha):
    expected = dirichlet([2.0, 2.0], 3, generator=seeded())
    assert torch.equal(dirichlet(alpha, 3, k=2, generator=seeded()), expected)


@pytest.mark.parametrize("draw", [partners, permutations])
@pytest.mark.parametrize("batch, k", [(0, 2), (3, 0), (-1, 1), (5, 2.5), (2.5, 2), (5, True), ("5", 2)])
def test_partners_need_a_row_and_a_slot(draw, batch, k):
    with pytest.raises(ValueError, match=f"expected integers >= 1, received {batch} rows and {k} sources"):
        draw(batch, k, generator=seeded())


NO_COUNTS = [-1, 2.5, 2.0, True, "2"]


@pytest.mark.parametrize("k", [0, *NO_COUNTS], ids=repr)
def test_a_number_of_components_is_a_positive_integer(k):
    for draw in (
        lambda: dirichlet(1.0, 3, k=k),
        lambda: dirichlet([1.0, 1.0], 3, k=k),
        lambda: conditional_dirichlet(1.0, 0, torch.zeros(2), k=k),
    ):
        with pytest.raises(ValueError, match=f"expected an integer number of components k >= 1, received {k!r}"):
            draw()


@pytest.mark.parametrize("n", NO_COUNTS, ids=repr)
def test_a_number_of_draws_is_an_integer_from_0_on(n):
    for draw in (lambda: dirichlet(1.0, n, k=2), lambda: dirichlet([1.0, 1.0], n), lambda: beta(1.0, 1.0, n)):
        with pytest.raises(ValueError, match=f"expected an integer number of draws n >= 0, received {n!r}"):
            draw()
    assert dirichlet(1.0, 0, k=2).shape == (0, 2)


@pytest.mark.parametrize("index", [-1, 0.5, 1.0, True, "0"], ids=repr)
def test_an_index_is_an_integer(index):
    with pytest.raises(ValueError, match=f"expected an integer index below K >= 2, received index {index} and K = 3"):
        conditional_dirichlet(1.0, index, torch.zeros(2), k=3)


def test_counts_of_numpy_are_counts():
    two = np.int64(2)
    assert torch.equal(dirichlet(1.0, two, k=two, generator=seeded()), dirichlet(1.0, 2, k=2, generator=seeded()))
    assert torch.equal(partners(two, two, generator=seeded()), partners(2, 2, generator=seeded()))

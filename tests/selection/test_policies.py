"""What each policy keeps, on scores made by hand and against loops written out."""

from fractions import Fraction
from math import ceil
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mixlab.rng import generator
from mixlab.selection import DRAWN, POLICIES, choose, select


def scores(rows, labels, mean, std):
    """What `mixlab.bayes.Scores` has, from lists."""
    mean, std = (torch.tensor(each, dtype=torch.float64) for each in (mean, std))
    return SimpleNamespace(rows=torch.tensor(rows), labels=torch.tensor(labels), mean=mean, std=std, cv=std / mean)


# Two classes; numbers as they come from a split that lost rows. CV: .5 .1 .2 .4 | 1 .3 .25.
HAND = scores([2, 3, 5, 8, 1, 4, 9], [0, 0, 0, 0, 1, 1, 1], [1, 4, 2, 3, 1, 2, 4], [0.5, 0.4, 0.4, 1.2, 1, 0.6, 1])


@st.composite
def candidates(draw):
    """Scores with many ties, in an order of their own."""
    labels = draw(st.lists(st.integers(0, 3), min_size=1, max_size=30))
    rows = draw(st.permutations(range(len(labels))))
    value = st.sampled_from([0.5, 1.0, 1.5, 2.0])
    values = st.lists(value, min_size=len(labels), max_size=len(labels))
    return scores([3 * row for row in rows], labels, draw(values), draw(values))


def shuffled(found, order):
    return SimpleNamespace(**{name: value[order] for name, value in vars(found).items()})


@pytest.mark.parametrize(("policy", "rows"), [
    ("high-cv", [1, 2, 4, 8]), ("low-cv", [3, 4, 5, 9]), ("easy", [1, 2, 4, 5]), ("hard", [3, 4, 8, 9]),
    ("std", [1, 2, 8, 9]),
])
def test_a_ranked_policy_keeps_what_one_reads_off(policy, rows):
    assert select(HAND, 0.5, policy).tolist() == rows


def test_over_all_classes_together_the_best_of_all_are_kept():
    assert select(HAND, 0.4, "high-cv", per_class=False).tolist() == [1, 2, 8]
    assert select(HAND, 0.4, "hard", per_class=False).tolist() == [3, 8, 9]


@given(candidates(), st.floats(0.01, 1), st.booleans())
def test_choosing_is_the_loop_one_would_write(found, t, largest):
    kept = []
    for label in set(found.labels.tolist()):
        own = [(value, row) for value, row, other in
               zip(found.mean.tolist(), found.rows.tolist(), found.labels.tolist(), strict=True) if other == label]
        own.sort(key=lambda pair: (-pair[0] if largest else pair[0], pair[1]))
        kept += [row for _, row in own[: ceil(Fraction(str(t)) * len(own))]]
    keep = "largest" if largest else "smallest"
    assert choose(found.mean, found.rows, found.labels, t, keep=keep).tolist() == sorted(kept)


@given(candidates(), st.sampled_from(POLICIES), st.floats(0.01, 1), st.integers(0, 5))
def test_every_policy_keeps_the_part_of_each_class_whatever_the_order_of_the_scores(found, policy, t, seed):
    kept = select(found, t, policy, generator=generator(seed))
    assert kept.dtype == torch.int64 and (kept.diff() > 0).all()
    taken = found.labels[torch.isin(found.rows, kept)]
    for label in set(found.labels.tolist()):
        assert (taken == label).sum() == ceil(Fraction(str(t)) * int((found.labels == label).sum()))
    order = torch.randperm(len(found.rows), generator=generator(seed, "order"))
    again = select(shuffled(found, order), t, policy, generator=generator(seed))
    assert kept.tolist() == again.tolist()


@pytest.mark.parametrize(("t", "each"), [(0.07, 7), (0.29, 29), (0.3, 30), (0.071, 8), (0.001, 1), (1, 100)])
def test_the_part_is_rounded_up_as_it_is_written(t, each):
    """0.07 * 100 and 0.29 * 100 are not 7 and 29 in floating point, but 7.000000000000001 and 28.999999999999996."""
    rows = torch.arange(200)
    assert len(choose(torch.rand(200), rows, rows % 2, t)) == 2 * each


@pytest.mark.parametrize("policy", POLICIES)
def test_the_whole_of_the_rows_is_all_of_them(policy):
    assert select(HAND, 1.0, policy, generator=generator(0)).tolist() == [1, 2, 3, 4, 5, 8, 9]


@pytest.mark.parametrize("policy", [policy for policy in POLICIES if policy != "stratified"])
def test_what_is_kept_of_little_is_kept_of_more(policy):
    rows, values = torch.arange(100), torch.rand(2, 100, generator=generator(0)) + 0.1
    found = SimpleNamespace(rows=rows, labels=rows % 3, mean=values[0], std=values[1], cv=values[1] / values[0])
    kept = [set(select(found, t, policy, generator=generator(4)).tolist()) for t in (0.05, 0.2, 0.6)]
    assert kept[0] < kept[1] < kept[2]


@pytest.mark.parametrize("policy", DRAWN)
def test_seeds_decide_what_is_drawn(policy):
    rows = torch.arange(60)
    found = SimpleNamespace(rows=rows, labels=rows % 2, mean=rows + 1.0, cv=torch.ones(60))
    first, same, other = (select(found, 0.2, policy, generator=generator(seed)).tolist() for seed in (0, 0, 1))
    assert first == same != other


def test_a_random_choice_asks_for_no_score_and_takes_all_rows_alike():
    found = SimpleNamespace(rows=torch.arange(20), labels=torch.arange(20) // 10)
    drawn = generator(0)
    seen = torch.bincount(torch.cat([select(found, 0.3, "random", generator=drawn) for _ in range(2000)]))
    # Each is kept 600 times on average, with a standard deviation of 20.5.
    assert seen.sum() == 12_000 and 500 < seen.min() and seen.max() < 700


def test_proportional_draws_follow_the_coefficients_of_variation():
    """Of three rows with CV 1, 2 and 3 the first to be drawn is each with probability 1/6, 2/6 and 3/6; of two drawn,
    the pair without the last has probability 1/6 · 2/5 + 2/6 · 1/4 = .15."""
    found = scores([0, 1, 2, 3], [0] * 4, [1] * 4, [1, 2, 3, 0])
    drawn, count = generator(0), 4000
    first = torch.bincount(torch.cat([select(found, 0.25, "proportional", generator=drawn) for _ in range(count)]))
    # Standard deviations are below .008.
    assert (first / count - torch.tensor([1, 2, 3]) / 6).abs().max() < 0.03
    pairs = [select(found, 0.5, "proportional", generator=drawn).tolist() for _ in range(count)]
    assert abs(pairs.count([0, 1]) / count - 0.15) < 0.025
    assert not any(3 in pair for pair in pairs)
    assert select(found, 0.75, "proportional", generator=drawn).tolist() == [0, 1, 2]


def test_rows_that_never_vary_are_drawn_last_and_by_their_numbers():
    found = scores([6, 2, 4, 0], [0] * 4, [1] * 4, [0, 0, 0, 1])
    assert select(found, 0.75, "proportional", generator=generator(0)).tolist() == [0, 2, 4]


def test_stratified_draws_have_one_row_of_every_quantile():
    rows = torch.arange(50)
    found = SimpleNamespace(rows=rows, labels=rows // 30, mean=(7 * rows % 50).double())
    drawn, seen = generator(0), torch.zeros(50, dtype=torch.int64)
    for _ in range(1500):
        kept = select(found, 0.2, "stratified", generator=drawn)
        seen[kept] += 1
        for label, size in ((0, 30), (1, 20)):
            own = found.mean[found.labels == label].sort().values
            place = torch.searchsorted(own, found.mean[kept[found.labels[kept] == label]]).sort().values
            assert (place // 5).tolist() == list(range(size // 5))
    # Each is kept 300 times on average, with a standard deviation of 15.5.
    assert 230 < seen.min() and seen.max() < 370


def test_groups_of_a_stratified_choice_differ_by_one_row_at_most():
    """Seven rows in three groups of two or three: the floors of 7/3 and 14/3 are where one ends."""
    found = scores(list(range(7)), [0] * 7, list(range(1, 8)), [1] * 7)
    drawn, kept = generator(0), set()
    for _ in range(300):
        kept.add(tuple(select(found, 0.4, "stratified", generator=drawn).tolist()))
    assert kept == {(a, b, c) for a in (0, 1) for b in (2, 3) for c in (4, 5, 6)}


@pytest.mark.parametrize("t", [0, 0.0, -0.1, 1.0001, 2, float("nan"), float("inf"), "0.1", None, True])
@pytest.mark.parametrize("policy", ["high-cv", "stratified", "random"])
def test_a_part_that_is_none_is_refused(t, policy):
    with pytest.raises(ValueError, match=r"expected a part t in \(0, 1\], received"):
        select(HAND, t, policy, generator=generator(0))


@pytest.mark.parametrize(("change", "message"), [
    ({"policy": "cv"}, "expected a policy of high-cv, low-cv, easy, hard, std, random, stratified, proportional, "
                       "received 'cv'"),
    ({"policy": "random"}, "expected a generator with the policy random, which draws, received none"),
    ({"policy": "easy", "t": 0.2, "per_class": False, "mean": [1, 4, 2, 3, 5, 6, 7]},
     "expected rows of all 2 classes, received a choice with none of class 1: "),
    ({"policy": "hard", "mean": [1, 2, float("nan"), 3, 4, 5, float("inf")]},
     "expected finite scores, received 2 that are not, such as that of row 5"),
    ({"policy": "stratified", "generator": generator(0), "mean": [float("nan")] * 7}, "expected finite scores"),
    ({"policy": "proportional", "generator": generator(0), "mean": [0.0] * 7, "std": [0.0] * 7}, "finite scores"),
    ({"rows": [2, 2, 5, 8, 1, 4, 9]}, "expected every row once, received one twice"),
    ({"labels": [0, 1]}, r"expected int64 labels of shape \(7,\), received \(2,\)"),
    ({"mean": [1, 2], "policy": "easy"}, r"expected a score of each of 7 rows, received \(2,\)"),
    ({name: [] for name in ("mean", "std")} | {"rows": torch.tensor([], dtype=torch.int64), "labels": torch.tensor(
        [], dtype=torch.int64)}, "expected rows to choose from, received none"),
])
def test_what_cannot_be_chosen_from_is_told(change, message):
    change = dict(change)
    options = {name: change.pop(name) for name in ("policy", "t", "per_class", "generator") if name in change}
    parts = {name: torch.as_tensor(value) for name, value in (vars(HAND) | change).items() if name != "cv"}
    found = SimpleNamespace(**parts)
    found.cv = found.std / found.mean if len(found.mean) == len(found.std) else found.std
    with pytest.raises(ValueError, match=message):
        select(found, **{"t": 0.5, **options})


def test_another_end_to_keep_is_refused():
    with pytest.raises(ValueError, match="expected to keep 'largest' or 'smallest', received 'best'"):
        choose(HAND.mean, HAND.rows, HAND.labels, 0.5, keep="best")

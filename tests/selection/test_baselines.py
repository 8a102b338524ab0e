"""Baselines that need no mixing: closed forms, autograd, and greedy choices by loops written out."""

import math
from itertools import combinations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn.functional import cross_entropy

from mixlab.rng import generator
from mixlab.selection import (
    dyn_unc,
    dynamics,
    el2n,
    entropy,
    forgetting,
    grand,
    herding,
    k_center,
    margin,
)

LABELS = torch.tensor([0, 2, 1])


def logits_of(probabilities):
    return torch.tensor(probabilities, dtype=torch.float64).log()


def test_el2n_of_known_probabilities_and_its_mean_over_epochs():
    first = logits_of([[0.5, 0.25, 0.25], [0.2, 0.2, 0.6], [0.1, 0.8, 0.1]])
    second = logits_of([[0.6, 0.2, 0.2], [1 / 3, 1 / 3, 1 / 3], [0.05, 0.9, 0.05]])
    once = [math.sqrt(0.25 + 2 / 16), math.sqrt(0.04 + 0.04 + 0.16), math.sqrt(0.01 + 0.04 + 0.01)]
    twice = [math.sqrt(0.16 + 0.08), math.sqrt(2 / 9 + 4 / 9), math.sqrt(0.01 + 0.005)]
    assert el2n(first, LABELS).tolist() == pytest.approx(once, abs=1e-14)
    mean = [(one + other) / 2 for one, other in zip(once, twice, strict=True)]
    assert el2n([first, second], LABELS).tolist() == pytest.approx(mean, abs=1e-14)
    assert torch.equal(el2n(torch.stack([first, second]), LABELS), el2n([first, second], LABELS))


def test_el2n_lies_between_certainly_right_and_certainly_wrong():
    certain = torch.tensor([[200.0, 0.0], [0.0, 200.0]])
    assert el2n(certain, torch.tensor([0, 0])).tolist() == pytest.approx([0, math.sqrt(2)], abs=1e-14)


@pytest.mark.parametrize("bias", [True, False])
def test_grand_is_the_length_of_each_row_s_gradient(bias):
    layer = nn.Linear(7, 4, bias=bias).double()
    features = torch.randn(9, 7, dtype=torch.float64, generator=generator(0))
    labels = torch.arange(9) % 4
    expected = []
    for feature, label in zip(features, labels, strict=True):
        loss = cross_entropy(layer(feature)[None], label[None])
        parts = torch.autograd.grad(loss, list(layer.parameters()))
        expected.append(torch.cat([part.flatten() for part in parts]).norm())
    received = grand(features, layer(features).detach(), labels, bias=bias)
    assert received.tolist() == pytest.approx(torch.stack(expected).tolist(), rel=1e-12)


def test_dynamics_are_what_softmax_and_argmax_say_after_each_epoch():
    logits = [torch.randn(5, 3, generator=generator(epoch)) for epoch in range(4)]
    labels = torch.tensor([0, 1, 2, 0, 1])
    correct, probability = dynamics(logits, labels)
    assert correct.shape == probability.shape == (4, 5)
    for epoch, each in enumerate(logits):
        for row in range(5):
            exponentials = [math.exp(value) for value in each[row].tolist()]
            assert probability[epoch, row].item() == pytest.approx(exponentials[labels[row]] / sum(exponentials))
            assert correct[epoch, row] == (max(exponentials) == exponentials[labels[row]])


@given(st.lists(st.lists(st.booleans(), min_size=4, max_size=4), min_size=1, max_size=12))
def test_forgetting_counts_every_fall_from_right_to_wrong(correct):
    received = forgetting(torch.tensor(correct)).tolist()
    for row, count in enumerate(received):
        history = [epoch[row] for epoch in correct]
        falls = sum(one and not other for one, other in zip(history, history[1:]))
        assert count == (falls if any(history) else len(correct))
        assert any(history) or count > len(correct) // 2  # above what any other row can have


@given(st.integers(2, 6), st.integers(0, 5))
def test_dyn_unc_is_the_mean_deviation_within_windows(window, more):
    epochs = window + more
    probability = torch.rand(epochs, 3, generator=generator(epochs, window))
    expected = []
    for row in range(3):
        deviations = []
        for start in range(epochs - window + 1):
            part = probability[start:start + window, row].double().tolist()
            mean = sum(part) / window
            deviations.append(math.sqrt(sum((value - mean) ** 2 for value in part) / (window - 1)))
        expected.append(sum(deviations) / len(deviations))
    assert dyn_unc(probability, window).tolist() == pytest.approx(expected, rel=1e-9)


def test_margin_and_entropy_of_known_probabilities():
    probabilities = torch.tensor([[0.5, 0.3, 0.2], [1.0, 0.0, 0.0], [0.4, 0.4, 0.2]], dtype=torch.float64)
    assert margin(probabilities).tolist() == pytest.approx([0.2, 1, 0])
    expected = [-sum(p * math.log(p) for p in row if p) for row in probabilities.tolist()]
    assert entropy(probabilities).tolist() == pytest.approx(expected)


@st.composite
def pictures(draw):
    """Features on a small grid, so that many distances are equal, in an order of their own."""
    count = draw(st.integers(1, 12))
    number = st.integers(-3, 3).map(float)
    features = draw(st.lists(st.lists(number, min_size=2, max_size=2), min_size=count, max_size=count))
    labels = draw(st.lists(st.integers(0, 1), min_size=count, max_size=count))
    rows = [2 * row + 1 for row in draw(st.permutations(range(count)))]
    return torch.tensor(features), torch.tensor(rows), torch.tensor(labels)


def distance(one, other):
    return sum((a - b) ** 2 for a, b in zip(one, other, strict=True))


def mean_of(points):
    return [sum(values) / len(points) for values in zip(*points, strict=True)]


def herd(points, count):
    """Row numbers, by the definition: `points` is a dict from number to feature."""
    chosen = []
    for _ in range(count):
        gaps = {row: distance(mean_of([points[each] for each in (*chosen, row)]), mean_of(list(points.values())))
                for row in points if row not in chosen}
        least = min(gaps.values())
        # Rounding makes unequal what is equal: on this grid, other distances differ by much more.
        chosen.append(min(row for row, gap in gaps.items() if gap < least + 1e-9))
    return chosen


def spread(points, count):
    """Likewise, the furthest first."""
    gaps = {row: distance(point, mean_of(list(points.values()))) for row, point in points.items()}
    chosen = [min(row for row, gap in gaps.items() if gap < min(gaps.values()) + 1e-9)]
    while len(chosen) < count:
        gaps = {row: min(distance(point, points[each]) for each in chosen)
                for row, point in points.items() if row not in chosen}
        chosen.append(min(row for row, gap in gaps.items() if gap > max(gaps.values()) - 1e-9))
    return chosen


def by_class(pick, features, rows, labels, t):
    kept = []
    for label in set(labels.tolist()):
        own = {row: feature for row, feature, other in
               zip(rows.tolist(), features.tolist(), labels.tolist(), strict=True) if other == label}
        kept += pick(own, math.ceil(round(t * len(own), 9)))
    return sorted(kept)


@given(pictures(), st.sampled_from([0.1, 0.3, 0.5, 0.8, 1.0]))
def test_herding_is_the_greedy_loop_over_all_rows(found, t):
    features, rows, labels = found
    assert herding(features, rows, labels, t).tolist() == by_class(herd, features, rows, labels, t)


@given(pictures(), st.sampled_from([0.1, 0.3, 0.5, 0.8, 1.0]))
def test_k_center_is_the_greedy_loop_over_all_rows(found, t):
    features, rows, labels = found
    assert k_center(features, rows, labels, t).tolist() == by_class(spread, features, rows, labels, t)


@pytest.mark.parametrize("pick", [herding, k_center])
@pytest.mark.parametrize("seed", range(3))
def test_greedy_choices_do_not_depend_on_the_order_of_the_rows(pick, seed):
    features = torch.randn(60, 5, generator=generator(seed))
    rows, labels = torch.randperm(200, generator=generator(seed, "rows"))[:60], torch.arange(60) % 3
    order = torch.randperm(60, generator=generator(seed, "order"))
    first, other = pick(features, rows, labels, 0.2), pick(features[order], rows[order], labels[order], 0.2)
    assert first.tolist() == other.tolist() and len(first) == 12


def test_k_center_is_within_twice_the_best_of_all_choices():
    features, rows, zeros = torch.randn(12, 2, generator=generator(3)), torch.arange(12), torch.zeros(12).long()
    gaps = torch.cdist(features, features)
    radius = lambda chosen: gaps[list(chosen)].min(0).values.max().item()  # noqa: E731
    best = min(radius(chosen) for chosen in combinations(range(12), 3))
    assert best <= radius(k_center(features, rows, zeros, 0.25).tolist()) <= 2 * best + 1e-6


def test_herding_has_a_mean_closer_to_that_of_its_class_than_random_rows_have():
    features, rows, zeros = torch.randn(200, 4, generator=generator(0)), torch.arange(200), torch.zeros(200).long()
    gap = lambda chosen: (features[chosen].mean(0) - features.mean(0)).norm().item()  # noqa: E731
    drawn = [gap(torch.randperm(200, generator=generator(seed))[:20]) for seed in range(200)]
    assert gap(herding(features, rows, zeros, 0.1)) < min(drawn)


@pytest.mark.parametrize("pick", [herding, k_center])
@pytest.mark.parametrize(("change", "message"), [
    ({"t": 0.0}, r"expected a part t in \(0, 1\], received 0.0"),
    ({"features": torch.zeros(4)}, r"expected features \(4, D\), received \(4,\)"),
    ({"features": torch.zeros(3, 2)}, r"expected features \(4, D\), received \(3, 2\)"),
    ({"features": torch.tensor([[0.0], [1.0], [float("nan")], [0.0]])}, "expected finite features, received 1 numbers"),
    ({"rows": torch.tensor([0, 1, 1, 2])}, "expected every row once"),
    ({"labels": torch.zeros(4)}, r"expected int64 labels of shape \(4,\), received \(4,\) torch.float32"),
])
def test_what_cannot_be_chosen_from_greedily_is_told(pick, change, message):
    given = {"features": torch.rand(4, 2), "rows": torch.arange(4), "labels": torch.zeros(4).long(), "t": 0.5}
    with pytest.raises(ValueError, match=message):
        pick(**given | change)


@pytest.mark.parametrize(("call", "message"), [
    (lambda: el2n([], LABELS), "at least one epoch, received none"),
    (lambda: el2n(torch.zeros(2, 3), LABELS), r"expected logits \(3, C\) of every epoch, received \(2, 3\)"),
    (lambda: dynamics([torch.zeros(3, 3), torch.zeros(3, 4)], LABELS), r"received \(3, 4\)"),
    (lambda: el2n(torch.zeros(3, 2), LABELS), r"expected labels in \[0, 2\), received 0 to 2"),
    (lambda: el2n(torch.zeros(3, 3), LABELS.double()), "expected int64 labels"),
    (lambda: grand(torch.zeros(2, 5), torch.zeros(3, 3), LABELS), r"expected features \(3, D\), received \(2, 5\)"),
    (lambda: forgetting(torch.zeros(3, 2)), r"expected bools \(E, N\) of at least one epoch, received \(3, 2\)"),
    (lambda: forgetting(torch.zeros(0, 2).bool()), "of at least one epoch"),
    (lambda: dyn_unc(torch.zeros(5, 2), 6), "expected a window of 2 to 5 epochs, those there are, received 6"),
    (lambda: dyn_unc(torch.zeros(5, 2), 1), "received 1"),
    (lambda: dyn_unc(torch.zeros(5)), r"expected probabilities \(E, N\), received \(5,\)"),
    (lambda: margin(torch.zeros(5, 1)), r"of two classes or more, received \(5, 1\)"),
])
def test_other_shapes_are_told(call, message):
    with pytest.raises(ValueError, match=message):
        call()

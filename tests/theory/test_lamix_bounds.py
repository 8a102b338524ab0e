"""The bounds of LaMix's global label, against every corner, random search and gradient descent."""

import itertools
import math

import pytest
import torch
from oracle import seeded

from mixlab.theory import corner_entropy, entropy_bound, p_max, variation_bound


def softmax(scores):
    return torch.as_tensor(scores, dtype=torch.float64).softmax(-1)


def entropy(scores):
    """Part of the uniform distribution's."""
    p = softmax(scores)
    return -(p * p.log()).sum(-1) / math.log(p.shape[-1])


def variation(scores):
    """Total variation distance to the uniform distribution."""
    p = softmax(scores)
    return (p - 1 / p.shape[-1]).abs().sum(-1) / 2


@pytest.mark.parametrize("classes", [2, 3, 5, 10])
def test_all_bounds_are_those_of_the_corners(classes):
    corners = torch.tensor(list(itertools.product((0.0, 1.0), repeat=classes)))
    assert softmax(corners).max().item() == pytest.approx(p_max(classes), rel=1e-12)
    assert entropy(corners).min().item() == pytest.approx(entropy_bound(classes), rel=1e-12)
    assert variation(corners).max().item() == pytest.approx(variation_bound(classes), rel=1e-12)
    for corner in corners[:: max(1, len(corners) // 50)]:
        assert entropy(corner).item() == pytest.approx(corner_entropy(classes, int(corner.sum())), rel=1e-12)


@pytest.mark.parametrize("classes", [2, 3, 10, 100, 200])
def test_no_point_inside_is_beyond_a_bound(classes):
    """Points spread evenly, and points driven to the ends, where the extremes are."""
    uniform = torch.rand(20_000, classes, dtype=torch.float64, generator=seeded(classes))
    share = torch.rand(20_000, 1, dtype=torch.float64, generator=seeded(1))
    driven = torch.where(torch.rand(uniform.shape, generator=seeded(2)) < share, uniform**20, 1 - uniform**20)
    for points in (uniform, driven):
        assert softmax(points).max() <= p_max(classes)
        assert entropy(points).min() >= entropy_bound(classes)
        assert variation(points).max() <= variation_bound(classes)


@pytest.mark.parametrize("classes", [2, 3, 10, 100])
def test_descent_from_random_points_ends_at_the_bounds_and_not_below(classes):
    largest, least, farthest = [], [], []
    for seed in range(20):
        start = torch.rand(classes, dtype=torch.float64, generator=seeded(seed))
        for found, objective in ((largest, lambda scores: -softmax(scores)[0]), (least, entropy),
                                     (farthest, lambda scores: -variation(scores))):
            scores = start.clone().requires_grad_()
            for _ in range(60):
                (gradient,) = torch.autograd.grad(objective(scores), scores)
                scores = (scores - 0.02 * gradient.sign()).detach().clamp(0, 1).requires_grad_()
            found.append(abs(objective(scores).item()))
    assert max(largest) == pytest.approx(p_max(classes), rel=1e-9)
    assert entropy_bound(classes) - 1e-12 <= min(least) <= entropy_bound(classes) * 1.001
    assert 0.995 * variation_bound(classes) <= max(farthest) <= variation_bound(classes) + 1e-12


def test_the_numbers_of_the_chapter():
    assert [round(p_max(classes), 4) for classes in (10, 100, 200)] == [0.2320, 0.0267, 0.0135]
    assert [round(100 * entropy_bound(classes), 1) for classes in (10, 100, 200)] == [94.7, 97.3, 97.7]
    assert [round(100 * corner_entropy(classes, 1), 1) for classes in (10, 100, 200)] == [96.8, 99.8, 99.9]


def test_the_distance_from_uniform_is_below_an_eighth_of_a_nat_however_many_classes():
    bound = 1 / (math.e - 1) - 1 + math.log(math.e - 1)
    distances = [math.log(classes) * (1 - entropy_bound(classes)) for classes in (2, 3, 10, 100, 1000, 10_000)]
    assert all(distance <= bound for distance in distances)
    assert distances[-1] == pytest.approx(bound, rel=1e-6) and bound == pytest.approx(0.1233, abs=1e-4)


def test_less_than_a_quarter_of_the_weight_is_elsewhere_however_many_classes_there_are():
    bound = (math.sqrt(math.e) - 1) / (math.sqrt(math.e) + 1)
    assert bound == pytest.approx(math.tanh(0.25), rel=1e-12) and bound < 0.25
    found = [variation_bound(classes) for classes in (1, 2, 3, 10, 100, 1000, 10_000)]
    assert all(0 <= distance < bound for distance in found)
    assert found[0] == 0 and found[-1] == pytest.approx(bound, rel=1e-6)
    assert [round(100 * variation_bound(classes), 1) for classes in (10, 100)] == [24.4, 24.5]


def test_no_scores_or_all_scores_are_uniform():
    assert corner_entropy(7, 0) == pytest.approx(1) and corner_entropy(7, 7) == pytest.approx(1)
    assert p_max(1) == 1


@pytest.mark.parametrize(("call", "message"), [
    *((lambda wrong=wrong: p_max(wrong), "classes of at least 1, received") for wrong in (0, -1, 2.0, True, None)),
    *((lambda wrong=wrong: variation_bound(wrong), "classes of at least 1, received") for wrong in (0, 2.0, True)),
    *((lambda wrong=wrong: entropy_bound(wrong), "classes of at least 2, received") for wrong in (1, 0, 3.0, "10")),
    *((lambda wrong=wrong: corner_entropy(5, wrong), r"ones in 0\.\.5, received") for wrong in (-1, 6, 1.0, None)),
])
def test_wrong_numbers_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()

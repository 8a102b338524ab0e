"""What is measured between training points, against functions whose gradients are known."""

import pytest
import torch
from torch import nn

from mixlab.analysis.gradients import along, along_seeds, between, draw_pairs, jacobian_norm, misses
from mixlab.analysis.small import perceptron
from mixlab.rng import generator


def test_pairs_are_different_rows_and_no_first_row_repeats():
    pairs = draw_pairs(50, 40, generator(0))
    assert pairs.shape == (40, 2) and (pairs[:, 0] != pairs[:, 1]).all()
    assert len(pairs[:, 0].unique()) == 40 and pairs.min() >= 0 and pairs.max() < 50


@pytest.mark.parametrize(("n", "count"), [(5, 6), (5, 0), (1, 1)])
def test_impossible_pairs_are_refused(n, count):
    with pytest.raises(ValueError, match="received"):
        draw_pairs(n, count, generator(0))


def test_points_between_run_from_the_second_to_the_first():
    x = torch.randn(6, 4, generator=generator(1))
    pairs = torch.tensor([[0, 3], [5, 2]])
    points = between(x, pairs, torch.tensor([0.0, 0.3, 1.0]))
    assert torch.equal(points[0], x[[3, 2]]) and torch.equal(points[2], x[[0, 5]])
    torch.testing.assert_close(points[1, 1], 0.3 * x[5] + 0.7 * x[2])


def test_jacobian_norm_of_a_network_is_that_of_autograd():
    model = perceptron((5, 7, 3), generator(2)).double()
    x = torch.randn(2, 4, 5, dtype=torch.float64, generator=generator(3))
    expected = [[torch.autograd.functional.jacobian(model, point).norm().item() for point in row] for row in x]
    torch.testing.assert_close(jacobian_norm(model, x), torch.tensor(expected, dtype=torch.float64))


def test_a_miss_is_neither_label():
    labels = torch.tensor([0, 1, 2, 2])
    pairs = torch.tensor([[0, 1], [2, 3]])
    predicted = torch.tensor([[0, 2], [2, 1]])
    assert misses(predicted, labels, pairs).tolist() == [[False, False], [True, True]]


def test_along_a_line_between_two_classes():
    # Logits (x, -x): p(class 0) is the logistic function of 2x, whose slope is 2 p (1 - p).
    model = nn.Linear(1, 2, bias=False).double()
    with torch.no_grad():
        model.weight.copy_(torch.tensor([[1.0], [-1.0]]))
    x, labels = torch.tensor([[1.0], [-1.0]]).double(), torch.tensor([0, 1])
    shares = torch.tensor([0.0, 0.5, 0.75])
    way = along(model, x, labels, torch.tensor([[0, 1]]), shares)
    p = torch.sigmoid(2 * (2 * shares.double() - 1))
    torch.testing.assert_close(way.logits, torch.full((3,), 2**0.5).double())
    torch.testing.assert_close(way.probabilities, 2**0.5 * 2 * p * (1 - p))
    assert way.misses.tolist() == [0, 0, 0]


def test_the_mean_gradient_of_a_probability_cannot_be_less_than_the_climb():
    model = perceptron((3, 16, 2), generator(4)).double()
    x = torch.randn(2, 3, dtype=torch.float64, generator=generator(5))
    points = between(x, torch.tensor([[0, 1]]), torch.linspace(0, 1, 2001))
    mean = jacobian_norm(lambda point: model(point).softmax(-1)[..., :1], points).mean()
    p = model(x).softmax(1)[:, 0]
    assert mean >= (p[0] - p[1]).abs() / (x[0] - x[1]).norm() - 1e-3


def test_several_networks_are_stacked():
    models = [perceptron((3, 5, 2), generator(seed)) for seed in range(3)]
    x, labels = torch.randn(4, 3, generator=generator(0)), torch.tensor([0, 1, 0, 1])
    arguments = x, labels, torch.tensor([[0, 1], [2, 3]]), torch.tensor([0.0, 0.5])
    stacked = along_seeds(models, *arguments)
    for part in stacked._fields:
        torch.testing.assert_close(getattr(stacked, part)[1], getattr(along(models[1], *arguments), part))

"""The closed form of the best prediction under mixup against draws of the mixer itself, and its limits."""

import pytest
import torch

from mixlab.analysis.intrusion import point_posterior, posterior, posterior_error
from mixlab.data.toys import line
from mixlab.mixers import Mixup
from mixlab.rng import generator


@pytest.mark.parametrize("alpha", [0.3, 1.0, 8.0])
@pytest.mark.parametrize("classes", [(0, 1, 0), (0, 0, 1)])
def test_posterior_is_the_mean_label_of_mixed_points(alpha, classes):
    x, labels = line(300_000, generator(0), classes=classes)
    mix = Mixup(alpha).draw(x, generator=generator(1))
    mixed, weight = mix.apply(x)[:, 0], mix.targets(labels, 2)[:, 1]
    edges = torch.linspace(-1.25, 1.25, 26)
    cell = torch.bucketize(mixed, edges)
    fine = torch.linspace(-1.25, 1.25, 25 * 40 + 1)
    middles = ((fine[1:] + fine[:-1]) / 2).double()
    q = posterior(middles, alpha, classes).reshape(25, 40)
    for number in range(25):
        inside = weight[cell == number + 1]
        # The density varies within a cell, so q's range over the cell, widened by the error of the mean.
        spread = 5 * inside.std() / len(inside) ** 0.5 + 0.005
        assert q[number].min() - spread <= inside.mean() <= q[number].max() + spread


def test_narrow_intervals_tend_to_points():
    x = torch.tensor([0.2, 0.5, 0.8])
    for alpha in (0.5, 1.0, 2.0):
        narrow = posterior(x, alpha, half_width=0.005, masses=(0.3, 0.4, 0.3), nodes=4000)
        torch.testing.assert_close(narrow, point_posterior(x, alpha, middle=0.4), atol=0.02, rtol=0)


def test_one_fifth_is_the_threshold_next_to_the_middle_at_alpha_one():
    near = torch.tensor([1e-6])
    assert point_posterior(near, 1.0, middle=0.21) > 0.5 > point_posterior(near, 1.0, middle=0.19)
    assert abs(point_posterior(near, 1.0, middle=0.2).item() - 0.5) < 1e-5


def test_intruders_win_next_to_the_middle_for_strong_mixing_only():
    near = torch.tensor([1e-4])
    assert point_posterior(near, 0.5, middle=0.1) > 0.9
    assert point_posterior(near, 4.0, middle=0.9) < 0.01


def test_symmetric_classes_give_a_symmetric_posterior():
    x = torch.linspace(0.01, 1.29, 40)
    torch.testing.assert_close(posterior(x, 2.0), posterior(-x, 2.0))


def test_error_grows_with_alpha_where_something_lies_between_and_not_in_the_control():
    errors = [posterior_error(alpha) for alpha in (0.2, 1.0, 2.0, 8.0, 32.0)]
    assert errors == sorted(errors) and errors[1] == 0 and errors[-1] == pytest.approx(100 / 3)
    assert all(posterior_error(alpha, (0, 0, 1)) == 0 for alpha in (0.2, 1.0, 8.0, 32.0))


def test_a_rare_middle_class_suffers_at_alpha_one():
    assert posterior_error(1.0, masses=(0.46, 0.08, 0.46)) > 0 == posterior_error(1.0)


def test_small_alpha_tends_to_the_true_classes():
    x = torch.tensor([-1.0, -0.8, 0.0, 0.2, 1.1])
    torch.testing.assert_close(posterior(x, 1e-3), torch.tensor([0, 0, 1, 1, 0]).double(), atol=0.01, rtol=0)


def test_alpha_zero_is_refused():
    with pytest.raises(ValueError, match="alpha > 0"):
        posterior(torch.zeros(1), 0.0)

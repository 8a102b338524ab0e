"""The toys lie where their docstrings say, and follow from their generator."""

import pytest
import torch

from mixlab.data.toys import crescents, line, rings
from mixlab.rng import generator


@pytest.mark.parametrize("draw", [crescents, line, rings])
def test_equal_generators_give_equal_points(draw):
    first, again, other = (draw(50, generator(seed)) for seed in (1, 1, 2))
    assert torch.equal(first.x, again.x) and torch.equal(first.labels, again.labels)
    assert not torch.equal(first.x, other.x)


@pytest.mark.parametrize("draw", [crescents, line, rings])
def test_the_global_generator_is_left_alone(draw):
    before = torch.get_rng_state()
    draw(20, generator(0))
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize("n", [2, 3, 7, 100])
def test_crescents_without_noise_are_half_circles(n):
    x, labels = crescents(n, generator(n), noise=0.0)
    assert labels.sum() == n // 2
    upper, lower = x[labels == 0], x[labels == 1] - torch.tensor([1.0, 0.5])
    torch.testing.assert_close(upper.norm(dim=1), torch.ones(len(upper)))
    torch.testing.assert_close(lower.norm(dim=1), torch.ones(len(lower)))
    assert (upper[:, 1] >= 0).all() and (lower[:, 1] <= 0).all()


def test_noise_has_the_standard_deviation_it_is_given():
    quiet, noisy = (crescents(20_000, generator(0), noise=noise).x for noise in (0.0, 0.3))
    assert abs((noisy - quiet).std().item() - 0.3) < 0.005


def test_line_fills_three_intervals_evenly():
    x, labels = line(3001, generator(0), classes=(1, 0, 1), half_width=0.2)
    assert x.shape == (3001, 1)
    for centre, label, count in ((-1, 1, 1001), (0, 0, 1000), (1, 1, 1000)):
        inside = (x[:, 0] - centre).abs() <= 0.2
        assert inside.sum() == count and (labels[inside] == label).all()
        assert abs((x[inside, 0] - centre).var().item() - 0.2**2 / 3) < 1e-3


def test_rings_are_uniform_in_area():
    x, labels = rings(30_000, generator(0))
    radius = x.norm(dim=1)
    for low, high, label in ((0.0, 0.3, 0), (0.7, 1.0, 1), (1.4, 1.7, 0)):
        inside = (radius >= low) & (radius <= high)
        assert inside.sum() == 10_000 and (labels[inside] == label).all()
        # The square of the radius is uniform where points are uniform in area.
        assert abs(radius[inside].square().mean().item() - (low**2 + high**2) / 2) < 0.01
    assert x.mean(0).abs().max() < 0.02


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: crescents(1, generator(0)), "at least 2 points"),
        (lambda: crescents(4, generator(0), noise=-1.0), "standard deviation"),
        (lambda: line(2, generator(0)), "at least 3 points"),
        (lambda: line(3, generator(0), half_width=0.5), "between 0 and 0.5"),
        (lambda: rings(2, generator(0)), "at least 3 points"),
        (lambda: rings(9, generator(0), bands=((0.0, 1.0), (0.5, 2.0)), classes=(0, 1)), "rising radii"),
        (lambda: rings(9, generator(0), classes=(0, 1)), "a class for each ring"),
    ],
)
def test_wrong_sizes_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()

"""The small network: equal seeds start alike, and it learns what can be learned."""

import pytest
import torch

from mixlab.analysis.small import error, errors, fit_small, perceptron, surface
from mixlab.data.toys import line, rings
from mixlab.mixers import Mixup
from mixlab.risk import EmpiricalRisk, VicinalRisk
from mixlab.rng import generator


def test_initial_weights_follow_from_the_generator_with_hes_variance():
    first, again = (perceptron((400, 300, 2), generator(0)) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), again.parameters()))
    assert first[0].weight.var().item() == pytest.approx(2 / 400, rel=0.02) and not first[0].bias.any()


def test_one_size_is_no_network():
    with pytest.raises(ValueError, match="input and an output"):
        perceptron((3,), generator(0))


def test_a_fit_repeats_and_leaves_the_global_generator_alone():
    x, labels = rings(60, generator(0))
    before = torch.get_rng_state()
    first, again = (fit_small(VicinalRisk(Mixup(1.0)), x, labels, steps=20, batch=16, seed=4) for _ in range(2))
    assert torch.equal(before, torch.get_rng_state())
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), again.parameters()))


def test_order_and_start_do_not_depend_on_the_risk():
    seen = []

    class Watching(EmpiricalRisk):
        def forward(self, model, batch, *, generator=None):
            seen.append((batch[0].clone(), model[0].weight.detach().clone()))
            return super().forward(model, batch, generator=generator)

    x, labels = rings(60, generator(0))
    fit_small(Watching(), x, labels, steps=3, batch=16, seed=1)
    fit_small(Watching(label_smoothing=0.3), x, labels, steps=3, batch=16, seed=1)
    assert all(torch.equal(a[0], b[0]) for a, b in zip(seen[:3], seen[3:]))
    assert torch.equal(seen[0][1], seen[3][1]) and not torch.equal(seen[2][1], seen[5][1])


def test_strong_mixing_breaks_the_line_and_erm_solves_it():
    options = {"n": 90, "n_test": 300, "steps": 150, "hidden": (32, 32)}
    assert max(errors(line, EmpiricalRisk(), range(2), **options)) < 2
    assert min(errors(line, VicinalRisk(Mixup(32.0)), range(2), **options)) > 20


def test_error_counts_in_percent():
    x, labels = torch.eye(4), torch.tensor([0, 1, 2, 0])
    assert error(torch.nn.Identity(), x, labels) == 25.0


def test_surface_has_its_rows_from_bottom_to_top():
    class Upward(torch.nn.Module):
        def forward(self, x):
            return torch.stack([torch.zeros(len(x)), 10 * x[:, 1] + x[:, 0]], 1)

    shade = surface(Upward(), (0.0, 1.0, -1.0, 1.0), size=5)
    expected = torch.sigmoid(10 * torch.linspace(-1, 1, 5)[:, None] + torch.linspace(0, 1, 5))
    torch.testing.assert_close(shade, expected)

"""The temperature: where theory knows it, at a minimum, and without a change of order."""

import math

import pytest
import torch

from mixlab.train.temperature import fit_temperature


@pytest.mark.parametrize("true", [0.3, 1.0, 4.0])
def test_labels_drawn_from_scaled_logits_give_the_scale_back(true):
    draws = torch.Generator().manual_seed(0)
    logits = torch.randn(40_000, 5, generator=draws) * 3
    labels = torch.multinomial((logits / true).softmax(1), 1, generator=draws)[:, 0]
    assert fit_temperature(logits, labels) == pytest.approx(true, rel=0.05)


def test_two_classes_by_hand():
    """Logits ±z, right in a share q of the rows: the best log-odds are log q/(1-q) = 2z/T."""
    logits, labels = torch.tensor([[1.5, -1.5]] * 10), torch.tensor([0] * 8 + [1] * 2)
    assert fit_temperature(logits, labels) == pytest.approx(3 / math.log(4), rel=1e-3)


def test_it_is_a_minimum():
    draws = torch.Generator().manual_seed(1)
    logits, labels = torch.randn(300, 7, generator=draws), torch.randint(7, (300,), generator=draws)
    labels[:100] = logits[:100].argmax(1)
    best = fit_temperature(logits, labels)
    loss = lambda t: torch.nn.functional.cross_entropy(logits.double() / t, labels).item()  # noqa: E731
    assert all(loss(best) < loss(best * factor) for factor in (0.8, 0.98, 1.02, 1.2))


def test_no_rows_are_refused():
    with pytest.raises(ValueError, match="at least one row to fit a temperature on"):
        fit_temperature(torch.zeros(0, 3), torch.zeros(0, dtype=torch.int64))

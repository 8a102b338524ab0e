"""soft_cross_entropy against torch's own, closed forms and autocast."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn.functional import cross_entropy

from mixlab.risk import soft_cross_entropy


@given(rows=st.integers(1, 9), classes=st.integers(2, 7), seed=st.integers(0, 999),
       reduction=st.sampled_from(["mean", "sum", "none"]))
def test_equals_torch_with_probabilities(rows, classes, seed, reduction):
    draws = torch.Generator().manual_seed(seed)
    logits = 5 * torch.randn(rows, classes, generator=draws, dtype=torch.float64)
    targets = torch.rand(rows, classes, generator=draws, dtype=torch.float64).softmax(1)
    ours = soft_cross_entropy(logits, targets, reduction)
    assert torch.allclose(ours, cross_entropy(logits, targets, reduction=reduction), rtol=1e-12, atol=0)


def test_uniform_prediction_costs_log_of_the_number_of_classes():
    targets = torch.tensor([[0.2, 0.3, 0.5], [1.0, 0.0, 0.0]])
    assert torch.allclose(soft_cross_entropy(torch.full((2, 3), 7.0), targets, "none"), torch.tensor(math.log(3)))


def test_is_linear_in_the_target():
    logits = torch.tensor([[1.0, -2.0, 0.5]])
    first, second = torch.tensor([[1.0, 0.0, 0.0]]), torch.tensor([[0.0, 0.0, 1.0]])
    mixed = soft_cross_entropy(logits, 0.3 * first + 0.7 * second)
    parts = 0.3 * soft_cross_entropy(logits, first) + 0.7 * soft_cross_entropy(logits, second)
    assert torch.allclose(mixed, parts, rtol=1e-6)


def test_gradient_is_prediction_minus_target():
    logits = torch.tensor([[0.3, -1.0, 2.0], [0.0, 1.0, 0.0]], requires_grad=True)
    targets = torch.tensor([[0.5, 0.5, 0.0], [0.0, 0.1, 0.9]])
    soft_cross_entropy(logits, targets, "sum").backward()
    assert torch.allclose(logits.grad, logits.detach().softmax(1) - targets, atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_logits_are_summed_in_float32(dtype):
    draws = torch.Generator().manual_seed(0)
    logits, targets = torch.randn(64, 100, generator=draws).to(dtype), torch.rand(64, 100, generator=draws).softmax(1)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = soft_cross_entropy(logits, targets)
    assert loss.dtype == torch.float32
    assert torch.allclose(loss.double(), cross_entropy(logits.double(), targets.double()), rtol=1e-6)


@pytest.mark.parametrize(("logits", "targets", "reduction", "message"), [
    (torch.zeros(2, 3), torch.zeros(2, 4), "mean", r"\(2, 3\) and \(2, 4\)"),
    (torch.zeros(2, 3), torch.zeros(2), "mean", r"\(2, 3\) and \(2,\)"),
    (torch.zeros(3), torch.zeros(3), "mean", "shape"),
    (torch.zeros(2, 3), torch.zeros(2, 3), "median", "'median'"),
])
def test_wrong_input_is_named(logits, targets, reduction, message):
    with pytest.raises(ValueError, match=message):
        soft_cross_entropy(logits, targets, reduction)

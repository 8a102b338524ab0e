"""The smooth network: repeatable, fitted, and without kinks."""

import torch
from torch.func import hessian

from mixlab.analysis.smooth import smooth_network

INPUTS = torch.randn(20, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
TARGETS = torch.eye(2, dtype=torch.float64)[(INPUTS[:, 0] * INPUTS[:, 1] > 0).long()]


def fitted(steps):
    return smooth_network(INPUTS, TARGETS, steps=steps, generator=torch.Generator().manual_seed(0))


def loss(network):
    return float(-(TARGETS * network(INPUTS).log_softmax(-1)).sum(-1).mean())


def test_steps_lower_the_loss():
    assert loss(fitted(300)) < loss(fitted(30)) < loss(fitted(0))


def test_equal_generators_give_equal_networks():
    assert torch.equal(fitted(20)(INPUTS), fitted(20)(INPUTS))


def test_second_derivatives_are_those_of_differences():
    network, x, step = fitted(50), INPUTS[0], 1e-4
    numeric = torch.stack([
        (network(x + step * e) - 2 * network(x) + network(x - step * e)) / step**2 for e in torch.eye(3).double()
    ])
    exact = torch.stack([hessian(network)(x)[:, n, n] for n in range(3)])
    assert torch.allclose(numeric, exact, atol=1e-5)

"""Scoped noise and Monte-Carlo dropout."""

import math

import pytest
import torch
from torch import nn
from torchvision.ops import StochasticDepth

from mixlab.models import build, mc_dropout, noise


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def test_noise_depends_on_the_generator_alone():
    layer, ones = nn.Dropout(0.5), torch.ones(64)

    def run(seed):
        with noise(layer, seeded(seed)):
            return layer(ones)

    first = run(0)
    torch.rand(7)
    assert torch.equal(run(0), first)
    assert not torch.equal(run(1), first)


def test_noise_goes_on_from_call_to_call():
    layer, generator = nn.Dropout(0.5), seeded(0)
    with noise(layer, generator):
        first = layer(torch.ones(64))
    with noise(layer, generator):
        assert not torch.equal(layer(torch.ones(64)), first)


def test_global_stream_goes_on_as_if_nothing_had_happened():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    with noise(nn.Dropout(0.5), seeded(0)):
        torch.rand(10)
    assert torch.equal(torch.rand(3), expected)


def test_global_stream_survives_an_error():
    state = torch.get_rng_state()
    with pytest.raises(KeyError), noise(nn.Dropout(0.5), seeded(0)):
        torch.rand(10)
        raise KeyError
    assert torch.equal(torch.get_rng_state(), state)


def test_every_network_takes_one_number():
    """So that streams of networks with and without dropout stay paired."""
    after = []
    for network in (nn.Linear(2, 2), nn.Dropout(0.5), build("lenet", 2, dropout=0.5)):
        generator = seeded(0)
        with noise(network, generator):
            if isinstance(network, nn.Dropout):
                network(torch.ones(100))
        after.append(torch.rand(4, generator=generator))
    assert torch.equal(after[0], after[1]) and torch.equal(after[0], after[2])


def test_draws_inside_do_not_repeat_the_generator():
    """A mixer may draw from the same generator within the context."""
    generator = seeded(0)
    with noise(nn.Dropout(0.5), generator):
        inside, own = torch.rand(8), torch.rand(8, generator=generator)
    assert not torch.equal(inside, own)


@pytest.mark.gpu
def test_noise_on_a_gpu():
    layer, ones = nn.Sequential(nn.Linear(1, 1), nn.Dropout(0.5)).cuda(), torch.ones(4096, 1, device="cuda")
    state = torch.cuda.get_rng_state()
    runs = []
    for seed in (0, 0, 1):
        with noise(layer, seeded(seed)), torch.no_grad():
            runs.append(layer(ones))
    assert torch.equal(runs[0], runs[1]) and not torch.equal(runs[0], runs[2])
    assert torch.equal(torch.cuda.get_rng_state(), state)


def one_unit(p):
    """Logits (1, 0) + (1, 0) · x / (1 - p) · keep, so that a sample has one of two values."""
    linear = nn.Linear(1, 2)
    linear.weight.data = torch.tensor([[1.0], [0.0]])
    linear.bias.data = torch.tensor([1.0, 0.0])
    return nn.Sequential(nn.Dropout(p), linear).eval()


def test_samples_have_the_values_and_the_rate_of_dropout():
    draws = mc_dropout(one_unit(0.3), torch.full((4, 1), 2.0), 1000, seeded(0))
    assert draws.shape == (1000, 4, 2) and draws.dtype == torch.float32 and not draws.requires_grad
    sigmoid = lambda logit: 1 / (1 + math.exp(-logit))  # noqa: E731
    dropped = (draws[..., 0] - sigmoid(1.0)).abs() < 1e-6
    kept = (draws[..., 0] - sigmoid(1 + 2 / 0.7)).abs() < 1e-6
    assert (dropped ^ kept).all()
    # 4000 coins of 0.3: four standard errors.
    assert abs(dropped.float().mean().item() - 0.3) < 4 * math.sqrt(0.21 / 4000)


def test_samples_follow_from_the_generator():
    model, images = one_unit(0.5), torch.ones(16, 1)
    state = torch.get_rng_state()
    first = mc_dropout(model, images, 5, seeded(0))
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(mc_dropout(model, images, 5, seeded(0)), first)
    assert not torch.equal(mc_dropout(model, images, 5, seeded(1)), first)
    assert not torch.equal(first[0], first[1])


def test_only_dropout_is_on():
    model = nn.Sequential(StochasticDepth(0.9, "row"), nn.Dropout(0.5)).train()
    logits = mc_dropout(model, torch.tensor([[1.0, 0.0]]).expand(50, 2), 10, seeded(0)).logit()[..., 0]
    # The first logit is 0 or 1 / (1 - 0.5); a survivor of the first layer would carry a factor of 10.
    assert sorted({round(value, 3) for value in logits.flatten().tolist()}) == [0, 2]


@pytest.mark.parametrize("training", [True, False])
def test_network_is_left_as_it_was(training):
    network = build("preact-resnet18", 5, in_channels=1, width=4, dropout=0.5, dropblock=0.5).train(training)
    network.stage1.train(not training)
    modes = [module.training for module in network.modules()]
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    images = torch.randn(3, 1, 8, 8, generator=seeded(0))
    draws = mc_dropout(network, images, 4, seeded(1))
    assert [module.training for module in network.modules()] == modes
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())
    assert draws.std(0).max() > 0
    torch.testing.assert_close(draws.sum(2), torch.ones(4, 3))


def test_batch_statistics_are_not_used():
    """Identity-initialised normalisation, in evaluation mode, leaves a lone offset as it is."""
    model = nn.Sequential(nn.BatchNorm1d(2, eps=0), nn.Dropout(1e-9)).train()
    probabilities = mc_dropout(model, torch.tensor([[3.0, 0.0], [3.0, 0.0]]), 2, seeded(0))
    torch.testing.assert_close(probabilities[..., 0].logit(), torch.full((2, 2), 3.0), rtol=1e-5, atol=1e-5)


def test_modes_survive_an_error():
    model = one_unit(0.5)
    with pytest.raises(RuntimeError):
        mc_dropout(model, torch.ones(2, 7), 3, seeded(0))
    assert not any(module.training for module in model.modules())


@pytest.mark.parametrize("model", [nn.Linear(2, 2), nn.Sequential(nn.Dropout(0.0), nn.Linear(2, 2)),
                                   nn.Sequential(StochasticDepth(0.5, "row"), nn.Linear(2, 2))])
def test_a_network_without_dropout(model):
    with pytest.raises(ValueError, match="expected a network with dropout layers"):
        mc_dropout(model, torch.ones(2, 2), 3, seeded(0))


@pytest.mark.parametrize("samples", [0, -1])
def test_no_samples(samples):
    with pytest.raises(ValueError, match=f"at least 1 sample, received {samples}"):
        mc_dropout(one_unit(0.5), torch.ones(2, 1), samples, seeded(0))

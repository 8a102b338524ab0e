"""Asking a network leaves it as it was, whoever asks."""

import pytest
import torch
from torch import nn

from mixlab.bayes import nested_composites, predictive, view_predictive
from mixlab.data import Split
from mixlab.models import inference, mc_dropout
from mixlab.train import predict

IMAGES = torch.arange(64, dtype=torch.uint8).view(4, 1, 4, 4)


@pytest.fixture
def model():
    """In training, with one part frozen in evaluation mode."""
    network = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(16), nn.Dropout(0.5), nn.Linear(16, 3))
    network[1].eval()
    return network


def surround():
    return nested_composites(IMAGES / 64, torch.tensor([0, 1, 2, 0]), num_classes=3, k=2, alpha=1.0, anchor_share=0.8,
                             draws=2, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("ask", [
    lambda model: predict(model, Split(IMAGES, torch.tensor([0, 1, 2, 0])), mean=(0.5,), std=(0.25,)),
    lambda model: predictive(model, IMAGES / 64, surround()),
    lambda model: view_predictive(model, IMAGES, mean=(0.5,), std=(0.25,), draws=2,
                                  generator=torch.Generator().manual_seed(0)),
    lambda model: mc_dropout(model, IMAGES / 64, 2, torch.Generator().manual_seed(0)),
], ids=["predict", "predictive", "view_predictive", "mc_dropout"])
def test_modes_and_statistics_survive(model, ask):
    modes = [part.training for part in model.modules()]
    statistics = model[1].running_mean.clone()
    ask(model)
    assert [part.training for part in model.modules()] == modes == [True, True, False, True, True]
    assert torch.equal(model[1].running_mean, statistics) and torch.is_grad_enabled()


def test_an_error_does_not_leave_the_network_asleep(model):
    with pytest.raises(RuntimeError, match="on purpose"), inference(model):
        raise RuntimeError("on purpose")
    assert model.training and model[2].training and not model[1].training and torch.is_grad_enabled()

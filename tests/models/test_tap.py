"""A hook that reads a layer, or exchanges what it gives, and says when it could not."""

import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from mixlab.models import tap

IMAGES = torch.arange(12.0).view(3, 4)


@pytest.fixture
def model():
    network = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 2))
    for number, parameter in enumerate(network.parameters()):
        nn.init.normal_(parameter, std=0.3, generator=torch.Generator().manual_seed(number))
    return network


def test_input_and_output_of_a_layer_are_read_with_their_graph(model):
    with tap(model, "2", input=True) as given, tap(model, "1") as output:
        logits = model(IMAGES)
    assert given.value is output.value
    assert torch.equal(model[2](given.value), logits)
    given.value.sum().backward()
    assert model[0].weight.grad.abs().sum() > 0


def test_what_is_exchanged_goes_on(model):
    with tap(model, "1", change=lambda hidden: 2 * hidden) as hidden:
        logits = model(IMAGES)
    assert torch.equal(logits, model[2](2 * hidden.value))
    with tap(model, "2", input=True, change=lambda hidden: hidden * 0):
        assert torch.equal(model(IMAGES), model[2].bias.expand(3, 2))
    assert not torch.equal(model(IMAGES), logits)  # the hooks are gone


def test_wrappers_of_compilers_and_processes_are_looked_into(model):
    with tap(torch.compile(model, backend="eager"), "2", input=True):
        pass

    class Wrapper(nn.Module):
        def __init__(self, module):
            super().__init__()
            self.module = module

        def forward(self, images):
            return self.module(images)

    with tap(Wrapper(Wrapper(model)), "1") as hidden:
        Wrapper(Wrapper(model))(IMAGES)
    assert hidden.value.shape == (3, 5)


def test_the_hook_is_gone_after_an_error(model):
    with pytest.raises(KeyError), tap(model, "1", change=lambda hidden: 0 * hidden):
        raise KeyError
    assert model(IMAGES).abs().sum() > 0


def test_what_cannot_be_read_is_said(model):
    with pytest.raises(ValueError, match="expected a layer of the network, received 'head'; there are"):
        with tap(model, "head"):
            pass
    with tap(model, "1") as hidden:
        pass
    with pytest.raises(RuntimeError, match="layer '1' ran 0 times"):
        hidden.value  # noqa: B018
    with tap(model, "1") as hidden:
        model(IMAGES), model(IMAGES)
    with pytest.raises(RuntimeError, match="layer '1' ran 2 times"):
        hidden.value  # noqa: B018


def test_what_was_overwritten_is_not_handed_on():
    model = nn.Sequential(nn.Linear(4, 5), nn.ReLU(inplace=True), nn.Linear(5, 2))
    with tap(model, "0") as hidden, tap(model, "1") as active:
        model(IMAGES)
    assert active.value.min() >= 0
    with pytest.raises(RuntimeError, match="what layer '0' gave was overwritten"):
        hidden.value  # noqa: B018


def test_a_layer_is_read_in_inference_mode(model):
    with torch.inference_mode():
        with tap(model, "1") as hidden:
            logits = model(IMAGES)
        assert torch.equal(logits, model[2](hidden.value))


def test_a_layer_of_two_tensors_is_refused():
    model = nn.Sequential(nn.LSTM(4, 2))
    with pytest.raises(ValueError, match="expected layer '0' to give one tensor, received tuple"), tap(model, "0"):
        model(IMAGES)


def test_a_layer_that_would_be_recomputed_unseen_is_refused(model):
    images = IMAGES.clone().requires_grad_()
    with pytest.raises(RuntimeError, match="ran without gradients"), tap(model, "1"):
        checkpoint(model, images, use_reentrant=True)

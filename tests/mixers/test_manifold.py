"""Mixing hidden layers: the layer, the label at its resolution, gradients, and a network left as it was."""

import pytest
import torch
from oracle import assert_probabilities, probe, seeded, share_of_rows, unchanged_global_rng
from torch import nn
from torch.utils.checkpoint import checkpoint

from mixlab.mixers import SMOTE, CutMix, DCutMix, DMixup, Identity, ManifoldMixup, Mixup


class Layered(nn.Module):
    """Identity, halving, halving, channel means: hidden maps keep the probe's constant channels."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Identity()
        self.stage1 = nn.AvgPool2d(2)
        self.stage2 = nn.AvgPool2d(2)
        self.head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())

    def forward(self, images):
        return self.head(self.stage2(self.stage1(self.stem(images))))


class Wrapped(nn.Module):
    """What nn.parallel does to names: the network sits below ``module``."""

    def __init__(self, module):
        super().__init__()
        self.module = module

    def forward(self, images):
        return self.module(images)


def _hooks(model):
    return sum(len(module._forward_hooks) + len(module._forward_pre_hooks) for module in model.modules())


LAYERS = {"": (24, 16), "stem": (24, 16), "stage1": (12, 8), "stage2": (6, 4)}


@pytest.mark.parametrize("mixer", [CutMix(), DCutMix(3), DCutMix(5, 0.5)], ids=repr)
@pytest.mark.parametrize("layer", LAYERS)
def test_labels_are_the_shares_at_the_resolution_of_the_layer(mixer, layer):
    images = probe(6, (24, 16))
    logits, mix = ManifoldMixup(mixer, (layer,))(Layered(), images, generator=seeded(1))
    assert mix.form.size == LAYERS[layer] and mix.k == (2 if isinstance(mixer, CutMix) else mixer.k)
    # The head averages a map of zeros and ones: each logit is the part of the map that shows that row.
    torch.testing.assert_close(logits.double(), share_of_rows(mix), rtol=0, atol=1e-6)
    torch.testing.assert_close(mix.targets(torch.arange(6), 6), logits, rtol=0, atol=1e-6)


@pytest.mark.parametrize("mixer", [Mixup(0.5), DMixup(3), DMixup(5)], ids=repr)
@pytest.mark.parametrize("layer", LAYERS)
def test_linear_mixes_of_any_number_of_hidden_maps(mixer, layer):
    logits, mix = ManifoldMixup(mixer, (layer,))(Layered(), probe(6, (24, 16)), generator=seeded(2))
    torch.testing.assert_close(logits.double(), share_of_rows(mix), rtol=0, atol=1e-6)


def test_hidden_vectors_are_mixed_too():
    logits, mix = ManifoldMixup(DMixup(3), ("head",))(Layered(), probe(5, (8, 8)), generator=seeded(3))
    torch.testing.assert_close(logits.double(), share_of_rows(mix), rtol=0, atol=1e-6)


def test_a_nonlinear_layer_is_mixed_after_it_and_not_before():
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2)).double()
    images = torch.randn(5, 3, dtype=torch.float64, generator=seeded(4))
    logits, mix = ManifoldMixup(Mixup(), ("1",))(model, images, generator=seeded(5))
    hidden = model[1](model[0](images))
    expected = model[2](torch.einsum("bk,bkf->bf", mix.shares.double(), hidden[mix.sources]))
    torch.testing.assert_close(logits, expected)
    assert not torch.allclose(logits, model(mix.apply(images)))


def test_layers_are_chosen_uniformly_and_once_a_batch():
    manifold, model, generator, n = ManifoldMixup(CutMix(), tuple(LAYERS)), Layered(), seeded(6), 1200
    images = torch.zeros(2, 1, 24, 16)
    sizes = [manifold(model, images, generator=generator)[1].form.size for _ in range(n)]
    counts = [sizes.count(size) for size in ((24, 16), (12, 8), (6, 4))]
    assert_probabilities(counts, [1 / 2, 1 / 4, 1 / 4], n)


def test_gradients_reach_weights_and_images_through_the_mix():
    model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)).double()
    images = torch.randn(4, 3, dtype=torch.float64, generator=seeded(), requires_grad=True)

    def loss(images):
        return ManifoldMixup(DMixup(3), ("1",))(model, images, generator=seeded(7))[0]

    assert torch.autograd.gradcheck(loss, images)
    loss(images).square().sum().backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in model.parameters())


def test_one_generator_gives_one_result_and_the_global_state_stays():
    manifold, model, images = ManifoldMixup(CutMix(), tuple(LAYERS)), Layered(), probe(5, (24, 16))
    with unchanged_global_rng():
        one, two = (manifold(model, images, generator=seeded(8))[0] for _ in range(2))
        manifold(model, images)
    assert torch.equal(one, two)
    assert torch.equal(images, probe(5, (24, 16)))


def test_the_hook_is_gone_afterwards_and_the_network_as_before():
    model, images = Layered(), probe(4, (24, 16))
    before = model(images)
    for layer in LAYERS:
        ManifoldMixup(CutMix(), (layer,))(model, images, generator=seeded())
        assert _hooks(model) == 0
    assert torch.equal(model(images), before)


def test_the_hook_is_gone_after_an_error_in_the_network_or_in_the_mixer():
    model = Layered()
    model.head = nn.Linear(7, 7)
    with pytest.raises(RuntimeError):
        ManifoldMixup(CutMix(), ("stage1",))(model, probe(4, (24, 16)), generator=seeded())
    assert _hooks(model) == 0
    with pytest.raises(ValueError, match="expected class indices"):
        ManifoldMixup(SMOTE(), ("stage1",))(Layered(), probe(4, (24, 16)), generator=seeded())
    assert _hooks(model) == 0


def test_regions_in_a_vector_are_an_error():
    model = Layered()
    with pytest.raises(ValueError, match=r"expected images of shape \(B, C, H, W\), received \(4, 4\)"):
        ManifoldMixup(CutMix(), ("head",))(model, probe(4, (24, 16)), generator=seeded())
    assert _hooks(model) == 0


@pytest.mark.parametrize("wrap", [Wrapped, nn.DataParallel, lambda m: Wrapped(Wrapped(m))])
def test_wrappers_do_not_change_names(wrap):
    model, images = Layered(), probe(4, (24, 16))
    plain, mix = ManifoldMixup(CutMix(), ("stage1",))(model, images, generator=seeded(9))
    wrapped, same = ManifoldMixup(CutMix(), ("stage1",))(wrap(model), images, generator=seeded(9))
    assert torch.equal(plain, wrapped) and torch.equal(mix.sources, same.sources)


def test_a_network_whose_own_part_is_called_module_is_no_wrapper():
    class Network(nn.Module):
        def __init__(self):
            super().__init__()
            self.module, self.head = nn.AvgPool2d(2), nn.Flatten()

        def forward(self, images):
            return self.head(self.module(images))

    mix = ManifoldMixup(Mixup(), ("head",))(Network(), probe(3, (4, 4)), generator=seeded())[1]
    assert mix.k == 2


def test_labels_reach_mixers_that_need_them():
    labels = torch.tensor([0, 0, 1, 1])
    manifold = ManifoldMixup(SMOTE(1), ("stage1",))
    _, mix = manifold(Layered(), probe(4, (8, 8)), labels, generator=seeded())
    assert mix.sources[:, 1].tolist() == [1, 0, 3, 2]


def test_identity_inside_leaves_the_network_alone():
    model, images = Layered(), torch.rand(3, 2, 8, 8, generator=seeded())
    assert torch.equal(ManifoldMixup(Identity(), ("stage1",))(model, images)[0], model(images))


@pytest.mark.parametrize("layers", ["stage1", (), []])
def test_layers_are_a_sequence_of_names(layers):
    with pytest.raises(ValueError, match="expected a sequence of layer names, received"):
        ManifoldMixup(Mixup(), layers)


def test_a_layer_that_is_not_there_is_an_error_that_lists_the_others():
    message = r"a layer of the network, received 'stage9'; there are \['stem', 'stage1', 'stage2', 'head'\] and"
    with pytest.raises(ValueError, match=message):
        ManifoldMixup(Mixup(), ("stage9",))(Layered(), probe(2, (8, 8)), generator=seeded())


@pytest.mark.parametrize("seed", range(8))
def test_a_layer_that_is_not_there_is_found_whichever_is_drawn(seed):
    with pytest.raises(ValueError, match="received 'stage9'"):
        ManifoldMixup(Mixup(), ("", "stage1", "stage9"))(Layered(), probe(2, (8, 8)), generator=seeded(seed))


def test_a_layer_that_runs_twice_or_never_is_an_error():
    shared = nn.Identity()
    with pytest.raises(RuntimeError, match="ran 2 times in a forward pass"):
        ManifoldMixup(Mixup(), ("0",))(nn.Sequential(shared, shared), torch.rand(2, 3), generator=seeded())
    model = Layered()
    model.unused = nn.Identity()
    with pytest.raises(RuntimeError, match="ran 0 times in a forward pass"):
        ManifoldMixup(Mixup(), ("unused",))(model, probe(2, (8, 8)), generator=seeded())
    assert _hooks(model) == 0


class Checkpointed(nn.Module):
    """A network whose first part is computed again in the backward pass."""

    def __init__(self, reentrant):
        super().__init__()
        self.first, self.second, self.head = nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 3)
        self.reentrant = reentrant

    def forward(self, images):
        return self.head(checkpoint(lambda x: self.second(self.first(x)), images, use_reentrant=self.reentrant))


@pytest.mark.parametrize("layer", ["first", "second"])
@pytest.mark.parametrize("reentrant", [True, False])
def test_a_layer_that_is_recomputed_unmixed_is_an_error(layer, reentrant):
    """The hook is gone by then: the gradient would be that of another network."""
    model, images = Checkpointed(reentrant), torch.randn(5, 4, generator=seeded(), requires_grad=True)
    manifold = ManifoldMixup(Mixup(), (layer,))
    with pytest.raises(RuntimeError, match="ran without gradients" if reentrant else "(?i)different number of tensors"):
        manifold(model, images, generator=seeded())[0].sum().backward()
    assert _hooks(model) == 0
    with torch.no_grad():
        assert manifold(model, images, generator=seeded())[1].k == 2
    assert ManifoldMixup(Mixup(), ("head",))(model, images, generator=seeded())[0].requires_grad


def test_a_layer_must_give_one_tensor():
    class Pair(nn.Module):
        def forward(self, images):
            return images, images

    class Network(nn.Module):
        def __init__(self):
            super().__init__()
            self.pair = Pair()

        def forward(self, images):
            return self.pair(images)[0]

    model = Network()
    with pytest.raises(ValueError, match="expected layer 'pair' to give one tensor, received tuple"):
        ManifoldMixup(Mixup(), ("pair",))(model, torch.rand(2, 3), generator=seeded())
    assert _hooks(model) == 0

"""The generator's network: counts of parameters, sizes that fit, what μ and the skips do, and where gradients go."""

import pytest
import torch
from oracle import seeded, unchanged_global_rng
from torch import nn

from mixlab.generator import ConditionalUNet
from mixlab.generator.unet import OUTPUTS
from mixlab.models import initialise

MOMENTS = {"mean": (0.3,), "std": (0.4,)}


def small(**options):
    return ConditionalUNet(4, **{"in_channels": 1, "base": 4, "downs": 2, **MOMENTS} | options)


def some(rows=3, channels=1, side=8, classes=4):
    images = torch.randn(rows, channels, side, side, generator=seeded(1))
    return images, torch.rand(rows, classes, generator=seeded(2)).softmax(1)


def count(classes, channels, base, downs, skips=True):
    """Written out: double convolutions with two numbers a channel for each normalisation, 2 x 2 steps up, a head."""
    def double(before, after):
        return 9 * before * after + 9 * after * after + 4 * after

    widths = [base * 2**level for level in range(downs + 1)]
    total = double(channels, base) + sum(double(one, 2 * one) for one in widths[:-1])
    for level in reversed(range(downs)):
        told = widths[level + 1] + (classes if level == downs - 1 else 0)
        total += 4 * told * widths[level] + widths[level] + double((1 + skips) * widths[level], widths[level])
    return total + base * channels + channels


@pytest.mark.parametrize(("classes", "channels", "base", "downs", "known"), [
    (10, 1, 8, 2, 30_121), (100, 3, 32, 3, 1_978_275), (100, 3, 64, 3, 7_802_691), (100, 3, 64, 4, 31_242_563),
])
def test_parameters_are_counted(classes, channels, base, downs, known):
    network = ConditionalUNet(classes, in_channels=channels, base=base, downs=downs, output="free")
    assert sum(each.numel() for each in network.parameters()) == known == count(classes, channels, base, downs)


def test_without_skips_the_decoder_has_half_the_inputs():
    for skips in (True, False):
        network = small(skips=skips)
        assert sum(each.numel() for each in network.parameters()) == count(4, 1, 4, 2, skips)


@pytest.mark.parametrize("output", OUTPUTS)
@pytest.mark.parametrize("skips", [True, False])
@pytest.mark.parametrize(("side", "downs"), [(28, 2), (32, 3), (8, 1)])
def test_images_keep_their_size(output, skips, side, downs):
    network = ConditionalUNet(4, in_channels=1, base=2, downs=downs, output=output, skips=skips, **MOMENTS)
    images, mu = some(2, 1, side)
    assert network(images, mu).shape == images.shape
    assert network(images.new_zeros(2, 1, side, 2 * side), mu).shape == (2, 1, side, 2 * side)


@pytest.mark.parametrize(("shape", "message"), [
    ((1, 1, 28, 28), "sides 8 = 2^3 divides, received 28 x 28: with downs=2 they fit"),
    ((1, 1, 32, 30), "received 32 x 30: with downs=1 they fit"),
    ((1, 1, 27, 27), "received 27 x 27: they cannot be halved"),
    ((1, 3, 32, 32), "images of 1 channels"),
])
def test_sizes_that_do_not_fit_are_one_error(shape, message):
    network = ConditionalUNet(4, in_channels=1, base=2, downs=3, output="free")
    for refuse in (lambda: network(torch.zeros(shape), torch.zeros(1, 4)), lambda: network.check(shape)):
        with pytest.raises(ValueError) as error:
            refuse()
        assert message in str(error.value)


def test_soft_labels_of_another_shape_are_refused():
    images, mu = some()
    for wrong in (mu[:, :3], mu[:2], mu[0]):
        with pytest.raises(ValueError, match="expected soft labels of shape"):
            small()(images, wrong)


def test_outputs_have_their_ranges():
    (images, mu), networks = some(64), {output: small(output=output, reach=0.25) for output in OUTPUTS}
    with torch.no_grad():
        for network in networks.values():
            network.head.weight.copy_(torch.tensor([9.0, -9.0, 9.0, -9.0]).view(1, 4, 1, 1))
        made = {output: network(images, mu) for output, network in networks.items()}
    pixels = made["bounded"] * 0.4 + 0.3
    assert -1e-6 <= pixels.min() < 0.1 and 0.9 < pixels.max() <= 1 + 1e-6
    assert 0.1 < (made["residual"] - images).abs().max() <= 0.25 + 1e-5
    # They are three ends of one network.
    torch.testing.assert_close(made["bounded"], (made["free"].sigmoid() - 0.3) / 0.4)
    torch.testing.assert_close(made["residual"], images + 0.25 * made["free"].tanh())


def test_a_new_network_gives_numbers_of_about_one():
    for base in (4, 32):
        made = small(base=base, output="free")(*some(64)).detach()
        assert 0.3 < made.std() < 3


def test_mu_changes_the_image_through_the_bottleneck_alone():
    network, (images, mu) = small().eval(), some()
    with torch.no_grad():
        made, other = network(images, mu), network(images, mu.roll(1, 0))
        assert all(bool((one != two).any()) for one, two in zip(made, other, strict=True))
        network.up[0].weight[-4:] = 0  # the C channels that were laid over the bottom
        assert torch.equal(network(images, mu), network(images, mu.roll(1, 0)))


def test_skips_are_what_hands_details_on():
    """Without them, two images that the bottom cannot tell apart give the same image."""
    images, mu = some(2, side=8)
    with torch.no_grad():
        for skips in (True, False):
            network = small(skips=skips).eval()
            network.encoder[-1][0].weight.zero_()  # nothing of the image reaches the bottom
            first, second = network(images, mu[:1].expand(2, -1))
            assert torch.equal(first, second) != skips


def test_weights_follow_from_the_generator_and_the_global_one_is_left_alone():
    with unchanged_global_rng():
        first, again, other = (small(generator=seeded(seed)) for seed in (1, 1, 2))
    pairs = [zip(first.state_dict().values(), each.state_dict().values(), strict=True) for each in (again, other)]
    assert all(torch.equal(one, two) for one, two in pairs[0]) and not all(torch.equal(*two) for two in pairs[1])
    assert all(bool(each.isfinite().all()) for each in first.state_dict().values())


def test_a_transposed_convolution_starts_as_convolutions_do():
    """Variance 2 / (k² out), and no bias; without the rule it would be 2 / (k² in)."""
    layer = initialise(nn.ConvTranspose2d(20, 500, 2, stride=2), seeded(3))
    assert layer.weight.var().item() * 4 * 500 / 2 == pytest.approx(1, abs=0.05) and not layer.bias.any()


def test_a_network_is_made_again_from_its_config():
    network = small(output="residual", reach=2.0, skips=False)
    again = ConditionalUNet(**network.config)
    again.load_state_dict(network.state_dict())
    images, mu = some()
    assert repr(again) == repr(network) and torch.equal(again.eval()(images, mu), network.eval()(images, mu))
    assert "_mean" not in network.state_dict()


@pytest.mark.parametrize("options", [
    {"num_classes": 0}, {"base": 1.5}, {"downs": 0}, {"skips": 1}, {"output": "sigmoid"}, {"reach": 0.0},
    {"output": "bounded", "mean": None, "std": None}, {"output": "bounded", "mean": (0.1, 0.2), "std": (1.0, 1.0)},
    {"mean": (0.1,), "std": (0.0,)},
], ids=str)
def test_what_is_no_network_is_refused(options):
    with pytest.raises(ValueError, match="expected .*, received"):
        ConditionalUNet(**{"num_classes": 4, "in_channels": 1, "base": 2, "downs": 1, **MOMENTS} | options)

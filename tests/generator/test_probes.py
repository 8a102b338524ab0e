"""The controls have the length that was asked for, and the probes count what they say."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from oracle import assert_mean, assert_probabilities, seeded, unchanged_global_rng
from torch import nn

from mixlab.generator import divergence, kl_of_ignorant, noisy, perturbed, probe, soft_labels
from mixlab.generator.probes import change, divergences, other_classes, partners_in_class
from mixlab.models import Teacher

CLASSES = 4


def linear(seed=0, size=16):
    network = nn.Sequential(nn.Flatten(), nn.Linear(size, CLASSES))
    for parameter in network.parameters():
        nn.init.normal_(parameter, std=0.5, generator=seeded(seed))
    return Teacher(network)


def some(rows=12):
    images = torch.randn(rows, 1, 4, 4, generator=seeded(1))
    labels = torch.arange(rows) % CLASSES
    return images, labels, soft_labels(labels, CLASSES, 0.5, generator=seeded(2))


def lengths(one, other):
    return (one - other).flatten(1).norm(dim=1)


def test_noise_has_the_length_that_is_asked_for_and_no_direction():
    images = torch.zeros(4000, 1, 2, 2)
    radius = torch.linspace(0, 3, 4000)
    with unchanged_global_rng():
        moved = noisy(images, radius, generator=seeded(3))
    torch.testing.assert_close(lengths(moved, images), radius)
    units = (moved.flatten(1)[1:] / radius[1:, None]).double()
    assert_mean(units[:, 0], 0)
    assert_mean(units[:, 1] ** 2, 1 / 4)
    assert_mean(units[:, 2] * units[:, 3], 0)


def test_an_attack_has_the_length_of_noise_and_comes_closer_to_mu():
    images, _, mu = some()
    classifier, radius = linear(), torch.linspace(0.0, 2.0, 12)
    with unchanged_global_rng():
        moved = perturbed(classifier, images, mu, radius, generator=seeded(4))
    torch.testing.assert_close(lengths(moved, images), radius, rtol=1e-5, atol=1e-5)
    far, near, noise = (divergence(mu, classifier(each)) for each in (
        images, moved, noisy(images, radius, generator=seeded(4))))
    assert torch.equal(moved[0], images[0]) and bool((near[3:] < far[3:]).all()) and bool((near <= noise + 1e-6).all())
    assert near[-4:].mean() < 0.2 * far[-4:].mean()
    assert not moved.requires_grad and classifier.network[1].weight.grad is None


def test_an_attack_on_one_number_goes_to_the_end_of_its_reach():
    """Of two classes with logits (x_0, 0), the KL from (.99, .01) falls up to x_0 = log 99, beyond the sphere."""
    network = nn.Sequential(nn.Flatten(), nn.Linear(4, 2, bias=False))
    with torch.no_grad():
        network[1].weight.copy_(torch.eye(2, 4) * torch.tensor([[1.0], [0.0]]))
    images, mu = torch.zeros(5, 1, 2, 2), torch.tensor([[0.99, 0.01]]).expand(5, 2)
    moved = perturbed(network, images, mu, torch.full((5,), 2.0), steps=30, generator=seeded(5)).flatten(1)
    torch.testing.assert_close(moved.norm(dim=1), torch.full((5,), 2.0))
    assert bool((moved[:, 0] > 1.9).all())


@pytest.mark.parametrize("steps", [0, 1.5, True])
def test_an_attack_takes_steps(steps):
    images, _, mu = some()
    with pytest.raises(ValueError, match="expected an integer number of steps"):
        perturbed(linear(), images, mu, torch.ones(12), steps=steps, generator=seeded())


@given(st.lists(st.integers(0, 5), max_size=30), st.integers(0, 2**31))
def test_partners_are_a_permutation_within_the_classes_that_moves_all_it_can(labels, seed):
    labels = torch.tensor(labels, dtype=torch.int64)
    partners = partners_in_class(labels, generator=seeded(seed))
    assert torch.equal(partners.sort().values, torch.arange(len(labels)))
    assert torch.equal(labels[partners], labels)
    alone = torch.bincount(labels, minlength=6)[labels] == 1
    assert torch.equal(partners == torch.arange(len(labels)), alone)


def test_other_classes_are_all_others_equally_often():
    labels = torch.full((6000,), 2)
    found = other_classes(labels, 4, generator=seeded(6))
    assert_probabilities(torch.bincount(found, minlength=4).tolist(), [1 / 3, 1 / 3, 0, 1 / 3], 6000)


def test_divergences_are_from_the_own_mu_and_from_those_of_other_rows():
    labels = torch.tensor([0, 0, 1, 1, 2])
    mu = soft_labels(labels, 3, 0.5, generator=seeded(7)).double()
    logits = torch.randn(5, 3, generator=seeded(8), dtype=torch.float64)
    found = divergences(mu, logits, labels, generator=seeded(9))
    table = torch.stack([divergence(each.expand(5, 3), logits) for each in mu], 1)  # image by label
    assert found["kl"] == pytest.approx(table.diagonal().mean().item())
    swapped = [table[0, 1], table[1, 0], table[2, 3], table[3, 2]]  # the third class has one row
    assert found["kl_class"] == pytest.approx(sum(swapped).item() / 4)
    anyone = partners_in_class(torch.zeros(5, dtype=torch.int64), generator=_after_one(labels))
    assert found["kl_any"] == pytest.approx(table[torch.arange(5), anyone].mean().item())


def _after_one(labels):
    """A generator from which the partners within the classes have been drawn."""
    generator = seeded(9)
    partners_in_class(labels, generator=generator)
    return generator


def test_how_far_images_move_is_a_mean_of_lengths():
    images, _, _ = some()
    found = change(images, images + 3.0 * torch.eye(16)[0].view(1, 4, 4))
    assert found["moved"] == pytest.approx(3.0)
    assert found["norm"] == pytest.approx(images.flatten(1).norm(dim=1).mean().item())


def test_an_image_that_says_nothing_has_the_kl_of_the_ignorant():
    """A classifier that gives the smoothed label of the image's own class, whatever is asked of the generator."""
    labels = torch.arange(4000) % CLASSES
    images = 1.0 * torch.eye(CLASSES)[labels]
    smoothed = soft_labels(torch.arange(CLASSES), CLASSES, 0.5, background="constant").log()
    found = probe(lambda images, mu: images, lambda images: images @ smoothed, images, labels, num_classes=CLASSES,
                  generator=seeded(10), batch_size=999)
    ignorant = kl_of_ignorant(CLASSES, 0.5)
    assert found["kl_ignorant"] == ignorant and found["moved"] == 0 and found["norm"] == 1
    for name in ("kl", "kl_class", "kl_before"):
        assert found[name] == pytest.approx(ignorant, rel=0.05)
    assert found["kl_any"] > 2 * ignorant
    exact = {"right_before": 100, "given": 100, "wrong_kept": 100, "wrong_written": 0, "swapped_kept": 100}
    assert {name: found[name] for name in exact} == exact
    assert found["swapped_written"] == pytest.approx(25, abs=4)


def test_an_image_that_is_nothing_but_its_label_is_written_and_not_kept():
    """A generator that replaces the image by log μ, read by a classifier that hands it on."""
    labels = torch.arange(4000) % CLASSES
    images = 1.0 * torch.eye(CLASSES)[labels]
    found = probe(lambda images, mu: mu.log(), lambda images: images, images, labels, num_classes=CLASSES,
                  generator=seeded(11))
    # At ε = ½ a background class may have all but nothing less than the image's own, never more.
    exact = {"given": 100, "wrong_kept": 0, "wrong_written": 100, "swapped_written": 100}
    assert {name: found[name] for name in exact} == exact
    assert found["swapped_kept"] == pytest.approx(25, abs=4) and found["kl"] == pytest.approx(0, abs=1e-6)
    # Two draws of the background: KL is ε times that of two draws of a flat Dirichlet, log 3 - 1/2 - 1/3 + E KL(u ‖ d).
    assert found["kl_class"] > 2 * found["kl_ignorant"] and found["kl_any"] > found["kl_class"]


def test_probes_do_not_depend_on_the_batch_size_and_follow_from_the_generator():
    images, labels, _ = some(40)
    classifier = linear()

    def found(batch_size, seed=12):
        return probe(lambda images, mu: images + mu[:, :1, None, None], classifier, images, labels,
                     num_classes=CLASSES, generator=seeded(seed), batch_size=batch_size)

    with unchanged_global_rng():
        assert found(7) == pytest.approx(found(40), rel=1e-6)
    assert found(7)["kl"] != found(7, seed=13)["kl"]

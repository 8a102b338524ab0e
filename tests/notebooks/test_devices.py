"""What a chapter trains is trained where its budget says: the demonstrations hand the device on."""

import pytest

from mixlab.chapters.ch08_selection.demonstrations import scorer
from mixlab.chapters.ch09_generator.demonstrations import trained
from mixlab.chapters.ch10_search.demonstrations import agreement, found_on, random_genotype, retrained
from mixlab.data import load
from mixlab.models import Teacher
from mixlab.rng import generator

DIGITS = load("digits", validation=0.0, limit=40)


@pytest.mark.parametrize("train", [
    lambda device: scorer(DIGITS, 1, device=device),
    lambda device: trained(scorer(DIGITS, 1)[0], DIGITS, 1, device=device),
    lambda device: found_on(DIGITS, 2, device=device),
    lambda device: agreement((0,), (0, 1), 40, 2, device),
    lambda device: retrained(random_genotype(2, generator(0)), DIGITS, 1, device=device),
], ids=["scorer", "generator", "search", "agreement", "cells"])
def test_a_demonstration_trains_on_the_device_that_it_is_given(train):
    with pytest.raises(ValueError, match="expected a device of .* received 'nowhere'"):
        train("nowhere")


def test_what_was_trained_is_on_the_cpu_where_the_rest_of_the_page_is():
    network, _ = scorer(DIGITS, 1, device="auto")
    assert isinstance(network, Teacher) and {each.device.type for each in network.parameters()} == {"cpu"}

"""Many draws of a mixer."""

import pytest
import torch

from mixlab.analysis.sampling import change_frequency, draw_many, label_error, mixed_parts, most_untrue
from mixlab.mixers import CutMix, Cutout, DCutMix, Mixup, PerSample, Sometimes, UnclippedCutMix
from mixlab.mixers.controls import NominalCutMix


def test_frequencies_of_clipped_boxes_are_a_half_in_the_middle_and_an_eighth_in_the_corner(generator):
    frequency = change_frequency(CutMix(1.0), 20_000, (65, 65), generator=generator)
    assert abs(float(frequency[32, 32]) - 1 / 2) < 0.02
    assert abs(float(frequency[[0, 0, -1, -1], [0, -1, 0, -1]].mean()) - 1 / 8) < 0.02


def test_boxes_inside_hardly_reach_the_corner(generator):
    frequency = change_frequency(UnclippedCutMix(1.0), 5_000, (64, 64), generator=generator)
    assert float(frequency[0, 0]) < 0.06 < 0.6 < float(frequency[32, 32])


def test_the_mean_frequency_is_the_mean_share(generator):
    mix = draw_many(CutMix(1.0), 500, (20, 30), generator=torch.Generator().manual_seed(3))
    frequency = change_frequency(CutMix(1.0), 500, (20, 30), generator=torch.Generator().manual_seed(3))
    assert torch.isclose(frequency.mean(), mix.shares[:, 1].mean())


def test_a_coin_for_a_batch_takes_all_or_nothing(generator):
    parts = mixed_parts(Sometimes(Mixup(1.0), 0.5), 100, 20, generator=generator)
    assert set(parts.tolist()) == {0.0, 1.0}


def test_a_coin_for_a_row_takes_about_half(generator):
    parts = mixed_parts(PerSample(Mixup(1.0), 0.5), 100, 200, generator=generator)
    assert abs(float(parts.mean()) - 0.5) < 0.02 and float(parts.std()) < 0.06


@pytest.mark.parametrize("mixer", [Mixup(1.0), CutMix(1.0), DCutMix(4, 1.0)])
def test_labels_by_pixels_are_true(mixer, generator):
    assert label_error(draw_many(mixer, 50, (9, 13), generator=generator), (9, 13)) < 1e-5


@pytest.mark.parametrize("mixer", [Cutout(5), NominalCutMix(1.0)])
def test_other_labels_are_not(mixer, generator):
    assert label_error(draw_many(mixer, 50, (9, 13), generator=generator), (9, 13)) > 0.05


def test_the_most_untrue_row_promises_most_and_meets_another_picture(generator):
    mix = draw_many(NominalCutMix(1.0), 60, (32, 32), generator=generator)
    worst, next_worst = most_untrue(mix, 6, [0, 1])
    lie = mix.weights[:, 1] - mix.shares[:, 1]
    others = mix.sources[:, 0] % 6 != mix.sources[:, 1] % 6
    assert lie[worst] == lie[others].max() and lie[worst] >= lie[next_worst] and others[worst]

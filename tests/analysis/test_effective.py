"""Effective numbers of the grid's settings against closed forms, and what orders made-up errors."""

import pandas
import pytest
import torch

from mixlab.analysis.effective import Setting, at_one_number, decided, points, rank_correlations, settings
from mixlab.analysis.shares import effective_images


def seeded():
    return torch.Generator().manual_seed(0)


def row(name, k, alpha, seed, error, kind="vicinal", data="fashion-mnist"):
    risk = {"name": kind, "mixer": {"name": name, "k": k, "alpha": alpha}}
    return {"risk": risk, "seed": seed, "test_error": error, "data": data}


@pytest.mark.parametrize("name, kind", [("dcutmix", "vicinal"), ("dmixup", "vicinal"), ("dmixup", "manifold")])
@pytest.mark.parametrize("k, alpha", [(2, 1.0), (5, 1.0), (9, 1 / 9)])
def test_blends_and_nested_boxes_have_the_dirichlet_law_s_number(name, kind, k, alpha):
    found, = settings(pandas.DataFrame([row(name, k, alpha, 0, 9.0, kind)]), 20_000, generator=seeded())
    # Sides of 28 pixels are rounded: by up to some percent of the number for nine nested boxes.
    assert found.effective == pytest.approx(effective_images(alpha, k), rel=0.04 if name == "dcutmix" else 0.01)


def test_the_largest_of_two_uniform_shares_has_three_quarters():
    found, = settings(pandas.DataFrame([row("dmixup", 2, 1.0, 0, 9.0)]), 20_000, generator=seeded())
    assert found.largest == pytest.approx(0.75, abs=0.005)


def test_boxes_are_counted_in_the_pixels_of_the_data():
    small, large = (
        settings(pandas.DataFrame([row("dcutmix", 9, 1.0, 0, 9.0, data=data)]), 20_000, generator=seeded())[0].effective
        for data in ("digits", "gallery")
    )
    exact = effective_images(1.0, 9)
    assert abs(large - exact) < 0.02 * exact < abs(small - exact)


def test_settings_collect_their_seeds_and_leave_out_what_does_not_mix():
    frame = pandas.DataFrame([
        row("dcutmix", 2, 1.0, 0, 9.0), row("pasted-cutmix", 2, 1.0, 0, 8.0), row("dcutmix", 2, 1.0, 1, 9.5),
        {"risk": {"name": "empirical"}, "seed": 0, "test_error": 7.0, "data": "fashion-mnist"},
    ])
    found = settings(frame, 100, generator=seeded())
    assert [(each.family, each.k, each.errors) for each in found] == [
        ("nested, α = 1", 2, {0: 9.0, 1: 9.5}), ("pasted, α = 1", 2, {0: 8.0}),
    ]
    numbers = {"images mixed, K": 2, "effective number of images": found[0].effective}
    assert points(found)["nested, α = 1"] == [(numbers, [9.0, 9.5])]


OF = [
    Setting("a", 2, 1.5, 0.7, {0: 2.0, 1: 2.0, 2: 0.0}),
    Setting("b", 3, 1.4, 0.8, {0: 1.0, 1: 3.0}),
    Setting("c", 5, 2.0, 0.5, {0: 3.0, 1: 4.0}),
    Setting("d", 9, 1.8, 0.6, {0: 2.5, 1: 5.0}),
]


def test_ranks_are_compared_for_every_seed_that_all_settings_have():
    found = rank_correlations(OF)
    # Ranks by effective number are 2 1 4 3: the order of seed 0; seed 1 has that of K. One minus 6 Σd² / (n³ - n).
    assert found["effective number"] == pytest.approx([1.0, 0.6])
    assert found["K"] == pytest.approx([0.6, 1.0])
    assert found["largest share"] == pytest.approx([-1.0, -0.6])


def test_pairs_in_dispute_are_decided_by_the_error():
    # (2, 3) and (5, 9) have the larger effective number with fewer images.
    assert decided(OF, 0.0) == (2, [2, 0])
    # 1.5 and 1.4 differ by a fifteenth, 2.0 and 1.8 by a tenth of the larger: what counts as equal is in no dispute.
    assert decided(OF, 0.08) == (1, [1, 0]) and decided(OF, 0.11) == (0, [0, 0])


def test_settings_of_one_number_are_compared_whatever_they_mix():
    two, three, same = (
        Setting(name, k, effective, 0.7, errors)
        for name, k, effective, errors in (
            ("a", 2, 1.5, {0: 2.0, 1: 3.0}), ("b", 3, 1.49, {1: 3.5, 0: 2.5}), ("c", 3, 1.51, {1: 3.0}),
        )
    )
    apart, alone = Setting("d", 2, 1.6, 0.7, {0: 9.0}), Setting("e", 2, 1.5, 0.7, {2: 1.0})
    found = at_one_number([two, three, same, apart, alone], 0.02)
    assert list(found) == [(three, two), (same, two), (three, same)]
    assert found[three, two].mean == 0.5 and found[three, two].seeds == 2
    assert found[same, two].mean == 0.0 and found[three, same].mean == 0.5
    assert str(three) == "b, K = 3"


def test_no_records_decide_nothing():
    assert settings(pandas.DataFrame(), 10, generator=seeded()) == []
    assert rank_correlations([]) == {"K": [], "effective number": [], "largest share": []}
    assert decided([], 0.02) == (0, []) and at_one_number([], 0.02) == {} and points([]) == {}

"""The distributions that mixers draw from, against closed forms, quadrature and brute force.

Tolerances are 4.5 standard errors of the statistic, from the same draws, unless a line says otherwise.
"""

import itertools
from fractions import Fraction

import numpy as np
import pytest
import torch
from oracle import assert_mean, assert_probabilities, binned, same_bytes, same_mix, seeded
from scipy.integrate import quad
from scipy.stats import beta as beta_law
from scipy.stats import kstest

from mixlab import priors
from mixlab.mixers import (
    SMOTE,
    Average,
    CutMix,
    Cutout,
    DCutMix,
    DMixup,
    GridMask,
    Mixup,
    OneOf,
    PastedCutMix,
    PerSample,
    Sometimes,
    Relabelled,
    UnclippedCutMix,
)


def _draw(mixer, n, size, seed=0, labels=None):
    """One mix of ``n`` rows; no pixel is stored for the images."""
    return mixer.draw(torch.zeros(1, 1, 1, 1).expand(n, 1, *size), labels, generator=seeded(seed))


def _clipped_area(alpha):
    """Mean area of a clipped box by quadrature: (s - s²/4)² with s² = 1 - λ and λ ~ Beta(α, α)."""

    def area(lam):
        s = np.sqrt(1 - lam)
        return (s - s * s / 4) ** 2 * beta_law.pdf(lam, alpha, alpha)

    return quad(area, 0, 1)[0]


def _clipped_pixels(alpha, size, steps=2000):
    """The same in whole pixels: one is inside where its centre lies within half a side of the box's centre.

    A midpoint sum over λ, because every pixel bends the integrand.
    """
    lam = (np.arange(steps) + 0.5) / steps
    half = np.sqrt(1 - lam)[:, None] / 2
    covered = 1.0
    for extent in size:
        places = (np.arange(extent) + 0.5) / extent
        covered = covered * (np.minimum(places + half, 1) - np.maximum(places - half, 0)).mean(1)
    return np.mean(covered * beta_law.pdf(lam, alpha, alpha))


def test_the_theory_of_the_clipped_area():
    assert _clipped_area(1.0) == pytest.approx(0.321, abs=5e-4)
    assert _clipped_area(1.0) == pytest.approx(1 / 2 - 1 / 5 + 1 / 48, abs=1e-9)
    assert _clipped_pixels(1.0, (224, 224)) == pytest.approx(_clipped_area(1.0), abs=1e-4)


@pytest.mark.parametrize("size", [(224, 224), (32, 32), (33, 20), (8, 8), (1, 16)], ids=str)
@pytest.mark.parametrize("alpha", [1.0, 2.0])
def test_cutmix_pastes_the_mean_area_of_a_clipped_box(alpha, size):
    partner = _draw(CutMix(alpha), 20_000, size).shares[:, 1]
    assert_mean(partner, _clipped_pixels(alpha, size))
    if min(size) >= 32 and alpha == 1.0:
        assert_mean(partner, 0.3208, sigmas=5)


@pytest.mark.parametrize("size", [(224, 224), (32, 32), (33, 20)], ids=str)
def test_unclipped_cutmix_pastes_half_the_image(size):
    partner = _draw(UnclippedCutMix(1.0), 20_000, size).shares[:, 1].double()
    assert_mean(partner, 0.5)
    # The area itself is uniform, up to sides rounded to pixels.
    assert kstest(partner.numpy(), "uniform").statistic < 1.63 / np.sqrt(len(partner)) + 1 / min(size)


def test_cutmix_centres_are_uniform_and_sides_are_the_root_of_the_area():
    size = (40, 60)
    mix = _draw(CutMix(1.0), 20_000, size)
    top, left, bottom, right = mix.form.boxes[:, 0].double().T
    whole = (top > 0) & (left > 0) & (bottom < size[0]) & (right < size[1])
    height, width = (bottom - top)[whole] / size[0], (right - left)[whole] / size[1]
    # Each edge is rounded by half a pixel: the two parts of a side differ by no more than a pixel each.
    assert bool(((height - width).abs() <= 1 / size[0] + 1 / size[1]).all())
    # Every pixel is covered with probability E of what its distance to the border leaves of the sides.
    covered = mix.owners.double().mean(0)
    for i, j in ((0, 0), (20, 30), (39, 0), (10, 45)):
        def reach(lam, i=i, j=j):
            half = np.sqrt(1 - lam) / 2
            y, x = (i + 0.5) / size[0], (j + 0.5) / size[1]
            return (min(y + half, 1) - max(y - half, 0)) * (min(x + half, 1) - max(x - half, 0))

        p = quad(reach, 0, 1)[0]
        assert_probabilities([float(covered[i, j]) * 20_000], [p], 20_000)


def test_unclipped_cutmix_is_dcutmix_of_two():
    images = torch.zeros(50, 1, 33, 20)
    one = UnclippedCutMix(0.7).draw(images, generator=seeded(3))
    assert same_mix(one, DCutMix(2, 0.7).draw(images, generator=seeded(3)))


#: notes: mean L1 distance between the realised shares and φ, to the digits printed there.
L1 = {
    (2, 1.0): (0.021, 0.003),
    (5, 0.2): (0.039, 0.006),
    (5, 1.0): (0.057, 0.008),
}


@pytest.mark.parametrize("k, alpha", L1)
def test_dcutmix_shares_are_phi_up_to_whole_pixels(monkeypatch, k, alpha):
    drawn = []
    original = priors.dirichlet

    def remember(*args, **kwargs):
        drawn.append(original(*args, **kwargs))
        return drawn[-1]

    monkeypatch.setattr(priors, "dirichlet", remember)
    for side, printed in zip((32, 224), L1[k, alpha]):
        shares = _draw(DCutMix(k, alpha), 20_000, (side, side)).shares
        distance = (shares - drawn.pop()).abs().sum(1)
        # Half a unit of the last printed digit, and the standard error.
        error = 4.5 * float(distance.std()) / 20_000**0.5
        assert distance.mean() == pytest.approx(printed, abs=0.0005 + error)


def _nested_shares(k, alpha, side):
    """Mean share of every slot in nested boxes of whole pixels, exactly: a chain over the sides of the boxes.

    Given a parent of side s, the next box has side t where s √(1 - v) is nearest to t; v_k is Beta(α, (K - k) α).
    """
    law, area = np.eye(side + 1)[side], [1.0]
    for left in range(k - 1, 0, -1):
        following = np.zeros(side + 1)
        for parent, p in enumerate(law):
            ends = np.clip((np.arange(side + 2) - 0.5) / max(parent, 1), 0, 1) ** 2
            following += p * (np.diff(beta_law(left * alpha, alpha).cdf(ends)) if parent else np.eye(side + 1)[0])
        law = following
        area.append(law @ np.arange(side + 1) ** 2 / side**2)
    return -np.diff([*area, 0.0])


def test_the_theory_of_rounded_sides():
    """By hand at K = 2, α = 1: a side t of s has probability ((t + 1/2)² - (t - 1/2)²) / s², one of s the rest."""
    for side, own in ((2, Fraction(7, 16)), (4, Fraction(31, 64))):
        box = sum(Fraction(2 * t, side**2) * Fraction(t, side) ** 2 for t in range(1, side))
        box += 1 - Fraction(2 * side - 1, 2 * side) ** 2
        assert 1 - box == own and _nested_shares(2, 1.0, side) == pytest.approx([float(own), 1 - float(own)])
    assert _nested_shares(5, 0.2, 4)[[0, -1]] == pytest.approx([0.180, 0.226], abs=5e-4)
    for k, alpha in ((2, 1.0), (5, 0.2)):
        assert abs(_nested_shares(k, alpha, 32) - 1 / k).max() < 0.002


@pytest.mark.parametrize("side", [2, 4, 8])
@pytest.mark.parametrize("k, alpha", [(2, 1.0), (3, 1 / 3), (5, 0.2)])
def test_rounding_favours_the_inner_images_of_small_maps(k, alpha, side):
    n, expected = 40_000, _nested_shares(k, alpha, side)
    shares = _draw(DCutMix(k, alpha), n, (side, side)).shares
    for slot in range(k):
        assert_mean(shares[:, slot], expected[slot])
    if side <= 4:  # the bias is no matter of chance: the first mean is far from 1/K
        assert abs(float(shares[:, 0].mean()) - 1 / k) > 4.5 * float(shares[:, 0].std()) / n**0.5
    if k == 2:
        assert_mean(_draw(UnclippedCutMix(alpha), n, (side, side)).shares[:, 0], expected[0])


@pytest.mark.parametrize("k, alpha", [(2, 1.0), (3, 1 / 3), (5, 0.2), (5, 1.0), (9, 1 / 9)])
@pytest.mark.parametrize("size", [(32, 32), (33, 20)], ids=str)
def test_dcutmix_gives_every_slot_its_dirichlet_mean(k, alpha, size):
    shares = _draw(DCutMix(k, alpha), 20_000, size).shares
    for slot in range(k):
        assert_mean(shares[:, slot], 1 / k)


@pytest.mark.parametrize(
    "k, alpha, visible, alone", [(5, 0.2, 2.5, 0.11), (5, 1.0, 4.1, 0.0), (3, 1 / 3, 2.1, 0.17)]
)
def test_how_many_images_one_sees_in_dcutmix(k, alpha, visible, alone):
    shares = _draw(DCutMix(k, alpha), 20_000, (32, 32)).shares
    # The notes print two digits: half a unit of the last one, and the standard error.
    count = (shares > 0.05).sum(1).double()
    assert count.mean() == pytest.approx(visible, abs=0.05 + 4.5 * float(count.std()) / 20_000**0.5)
    p = float((shares > 0.95).any(1).double().mean())
    assert p == pytest.approx(alone, abs=0.005 + 4.5 * (max(alone, 1e-4) / 20_000) ** 0.5)


@pytest.mark.parametrize("size", [(32, 32), (33, 20)], ids=str)
def test_dcutmix_boxes_nest_with_their_parents_aspect_and_uniform_corners(size):
    boxes = _draw(DCutMix(4, 1.0), 20_000, size).form.boxes
    parents = torch.cat([torch.tensor([0, 0, *size]).expand(20_000, 1, 4), boxes[:, :-1]], dim=1)
    low, high = boxes[..., :2] - parents[..., :2], parents[..., 2:] - boxes[..., 2:]
    assert bool((low >= 0).all()) and bool((high >= 0).all()), "a box leaves its parent"
    sides, outer = boxes[..., 2:] - boxes[..., :2], parents[..., 2:] - parents[..., :2]
    # Rounding moves a side by at most half a pixel, so the two ratios differ by no more than this.
    ratio = sides / outer.clamp(min=1)
    slack = (0.5 / outer.clamp(min=1)).sum(-1) + 1e-9
    assert bool(((ratio[..., 0] - ratio[..., 1]).abs() <= slack).all())
    for axis in (0, 1):
        room = (low + high)[:, 0, axis]
        for free in (1, 5):
            first = low[room == free, 0, axis]
            counts = torch.bincount(first, minlength=free + 1)
            assert_probabilities(counts.tolist(), [1 / (free + 1)] * (free + 1), len(first))


def test_pasted_cutmix_of_two_is_cutmix():
    images = torch.zeros(500, 1, 33, 20)
    pasted = PastedCutMix(2, 0.7).draw(images, generator=seeded(4))
    cut = CutMix(0.7).draw(images, generator=seeded(4))
    assert torch.equal(pasted.form.boxes, cut.form.boxes) and torch.equal(pasted.shares, cut.shares)


def test_pasted_cutmix_shares_are_counted_in_its_owner_map():
    mix = _draw(PastedCutMix(5, 1.0), 300, (33, 20))
    counts = torch.stack([(mix.owners == slot).sum((1, 2)) for slot in range(5)], dim=1)
    assert torch.equal(mix.shares, counts.float() / (33 * 20)) and torch.equal(mix.weights, mix.shares)
    areas = (mix.form.boxes[..., 2:] - mix.form.boxes[..., :2]).prod(-1)
    assert bool((areas.sum(1) > counts[:, 1:].sum(1)).any()), "no boxes overlapped: the example shows nothing"


def test_pasted_cutmix_covers_so_that_independent_overlaps_would_leave_phi():
    """A pixel far from the border: box k covers it with the part v_k of the area it has before clipping."""
    size, n, k = (31, 31), 20_000, 3
    mix = _draw(PastedCutMix(k, 1.0), n, size)
    rows, columns = mix.form._inside()
    covered = (rows[:, :, 15] & columns[:, :, 15]).double().numpy()
    # φ_3 and φ_2 / (φ_1 + φ_2) of a flat Dirichlet are Beta(1, 2) and uniform: mean areas of 1/3 and 1/2.
    for slot, (a, b) in zip((1, 0), ((1, 2), (1, 1))):
        def hit(area, a=a, b=b):
            return min(np.sqrt(area), 1) ** 2 * beta_law.pdf(area, a, b)

        assert_probabilities([covered[:, slot].sum()], [quad(hit, 0, 1)[0]], n)


@pytest.mark.parametrize("mixer", [Mixup(1.0), Mixup(0.2), Mixup(8.0)], ids=repr)
def test_mixup_coefficients_are_beta(mixer):
    own = _draw(mixer, 20_000, (1, 1)).shares[:, 0].double()
    # Bins, not a supremum: at small alpha, shares that are 1 in float32 have a probability of their own.
    edges = np.array([1e-6, 1e-3, 0.05, 0.2, 0.4, 0.5, 0.6, 0.8, 0.95, 1 - 1e-3, 1 - 1e-6])
    expected = np.diff(np.concatenate([[0], beta_law(mixer.alpha, mixer.alpha).cdf(edges), [1]]))
    assert_probabilities(binned(own, edges), expected, len(own))


def test_dmixup_has_the_effective_number_of_images_of_the_closed_form():
    for k, alpha in ((3, 1 / 3), (5, 0.2), (5, 1.0)):
        shares = _draw(DMixup(k, alpha), 20_000, (1, 1)).shares
        assert_mean((shares.double() ** 2).sum(1), (alpha + 1) / (k * alpha + 1))


SQUARES = [(8, (32, 32)), (5, (33, 20)), (16, (12, 40)), (1, (7, 7)), (4, (1, 9))]


@pytest.mark.parametrize("side, size", SQUARES, ids=str)
def test_cutout_hides_the_expected_area_of_a_clipped_square(side, size):
    """The two axes are independent, so the mean area is the product of the mean clipped lengths."""
    expected = Fraction(1)
    for extent in size:
        starts = [centre - side // 2 for centre in range(extent)]
        lengths = [min(start + side, extent) - max(start, 0) for start in starts]
        expected *= Fraction(sum(lengths), extent * extent)
    mix = _draw(Cutout(side), 20_000, size)
    assert_mean(1 - mix.shares[:, 0].double(), float(expected))
    assert torch.equal(mix.weights, torch.ones(20_000, 1))
    # Every centre is equally likely, the corners among them.
    hidden = mix.owners.double().mean(0)

    def reach(place, extent):
        starts = [centre - side // 2 for centre in range(extent)]
        return sum(start <= place < start + side for start in starts) / extent

    for i, j in ((0, 0), (size[0] - 1, size[1] // 2), (size[0] // 2, size[1] - 1)):
        p = reach(i, size[0]) * reach(j, size[1])
        assert_probabilities([float(hidden[i, j]) * 20_000], [p], 20_000)


PARTS = [
    (0.5, (32, 32), 16), (0.5, (28, 28), 14), (0.5, (8, 8), 4), (0.5, (12, 40), 6), (0.5, (40, 12), 6),
    (0.25, (224, 224), 56), (0.3, (9, 11), 3), (0.01, (9, 9), 1), (0.5, (1, 9), 1), (0.99, (20, 21), 20),
]


@pytest.mark.parametrize("part, size, pixels", PARTS, ids=str)
def test_cutouts_side_may_be_a_part_of_the_shorter_side(part, size, pixels):
    assert same_mix(_draw(Cutout(part), 200, size), _draw(Cutout(pixels), 200, size))


def test_cutout_hides_half_of_the_shorter_side_unless_it_is_told():
    for size in ((8, 8), (28, 28), (32, 48)):
        assert same_mix(_draw(Cutout(), 200, size), _draw(Cutout(min(size) // 2), 200, size))


def test_a_side_in_pixels_prints_and_draws_what_it_always_has():
    """The mixer's own generator starts from what is printed: these are the boxes before sides could be parts."""
    assert repr(Cutout(16)) == "Cutout(num_classes=None, seed=0, side=16, fill=0.0)"
    boxes = Cutout(16).draw(torch.zeros(3, 1, 32, 32)).form.boxes
    assert boxes.tolist() == [[[2, 0, 18, 9]], [[1, 10, 17, 26]], [[0, 0, 9, 8]]]


SMALL_SIZES = [(1, 1), (1, 2), (2, 1), (2, 2), (2, 3), (3, 3), (3, 5), (4, 4), (5, 2), (7, 7)]


@pytest.mark.parametrize("size", SMALL_SIZES, ids=str)
@pytest.mark.parametrize("side", [1, 2, 3, 4, 5, 6, 8, 16, 0.2, 0.5, 0.7, 0.95])
def test_cutout_refuses_images_of_which_a_square_can_leave_nothing(side, size):
    pixels = side if side >= 1 else max(1, round(side * min(size)))

    def covered(centre, extent):
        return centre - pixels // 2 <= 0 and centre - pixels // 2 + pixels >= extent

    centres = itertools.product(*map(range, size))
    if any(covered(row, size[0]) and covered(column, size[1]) for row, column in centres):
        received = rf"a height and width of \({size[0]}, {size[1]}\) for a side of {pixels} \(side={side}\)"
        with pytest.raises(ValueError, match=f"something is left to see, received {received}"):
            _draw(Cutout(side), 2, size)
    else:
        assert bool((_draw(Cutout(side), 500, size).shares > 0).all())


@pytest.mark.parametrize("size", SMALL_SIZES, ids=str)
@pytest.mark.parametrize("ratio", [0.05, 0.1, 0.125, 0.2, 0.25, 0.3, 0.5, 0.6, 0.75, 0.9])
@pytest.mark.parametrize("periods", [(0.2, 0.4), (0.4, 1.0), (0.75, 1.0), (1.0, 1.0)], ids=str)
def test_gridmask_refuses_what_can_leave_nothing_and_only_that(ratio, size, periods):
    """Every period and every offset of a grid, tried one by one."""
    low, high = (max(2, round(period * min(size))) for period in periods)

    def covered(period, hidden, extent):
        return any(all((place + offset) % period < hidden for place in range(extent)) for offset in range(period))

    grids = [(period, period - round(ratio * period)) for period in range(low, high + 1)]
    if any(covered(*grid, size[0]) and covered(*grid, size[1]) for grid in grids):
        received = rf"a ratio of {ratio} and periods of {low} to {high} pixels for a height and width of \({size[0]}, "
        with pytest.raises(ValueError, match=f"leaves something to see, received {received}"):
            _draw(GridMask(ratio, periods), 2, size)
    else:
        assert bool((_draw(GridMask(ratio, periods), 500, size).shares > 0).all())


@pytest.mark.parametrize("ratio", [0.3, 0.5, 0.6, 0.8])
def test_gridmask_keeps_the_closed_form_of_every_period(ratio):
    """Of d² pixels, (d - round(r d))² are hidden; over uniform offsets that is exact for any image size."""
    size, n = (36, 30), 2000
    for period in (5, 9, 15, 30):
        hidden = period - round(ratio * period)
        mix = _draw(GridMask(ratio, (period / 30, period / 30)), n, size)
        assert_mean(mix.shares[:, 0], 1 - (hidden / period) ** 2, sigmas=5)
        if 36 % period == 0 and 30 % period == 0:
            assert torch.equal(mix.shares, torch.full((n, 1), 1 - (hidden / period) ** 2))


def test_gridmask_keeps_one_minus_the_square_of_what_is_hidden_within_rounding():
    for ratio in (0.4, 0.6):
        mix = _draw(GridMask(ratio, (0.5, 1.0)), 4000, (64, 64))
        # A side of at least 32 is rounded by half a pixel: the hidden part moves by at most 2 (1 - r) / 64.
        closed = 1 - (1 - ratio) ** 2
        error = 2 * (1 - ratio) / 64 + 5 * float(mix.shares.std()) / 4000**0.5
        assert float(mix.shares.mean()) == pytest.approx(closed, abs=error)


def test_gridmask_periods_and_offsets_are_uniform():
    n, size = 6000, (12, 12)
    hidden = _draw(GridMask(0.5, (0.25, 0.5)), n, size).owners[:, :, :].bool()
    rows = hidden.any(2)
    assert torch.equal(hidden, rows[:, :, None] & hidden.any(1)[:, None, :]), "a grid is rows times columns"
    # P(first row hidden) is the mean over d = 3..6 of (d - round(d / 2)) / d; round(1.5) = round(2.5) = 2.
    p = np.mean([(d - round(0.5 * d)) / d for d in (3, 4, 5, 6)])
    for row in (0, 5, 11):
        assert_probabilities([int(rows[:, row].sum())], [p], n)


@pytest.mark.parametrize("size", [(12, 40), (40, 12)], ids=str)
def test_gridmask_draws_every_period_of_the_shorter_side_equally_often(size):
    """A quarter to a half of 12 pixels: 3 to 6. The longer side shows two starts of a square, whatever the offset."""
    n = 6000
    hidden = _draw(GridMask(0.5, (0.25, 0.5)), n, size).owners.bool().any(1 if size[0] < size[1] else 2)
    starts = hidden[:, 1:] & ~hidden[:, :-1]
    periods = [int(row.nonzero()[:2].diff(dim=0)) for row in starts]
    assert_probabilities([periods.count(period) for period in (3, 4, 5, 6)], [1 / 4] * 4, n)


def test_gridmask_offsets_of_the_two_axes_are_independent():
    n = 6000
    hidden = _draw(GridMask(0.5, (0.5, 0.5)), n, (12, 12)).owners.bool()
    # Period 6, of which 3 are hidden: a pixel is where its row is and, for itself, its column.
    for i, j in ((0, 0), (3, 3), (0, 3), (7, 7)):
        assert_probabilities([int(hidden[:, i, j].sum())], [1 / 4], n)


def _neighbours_by_hand(points, labels, k):
    """The k nearest rows of the same class, by sorting all distances; ties go to the lower row."""
    nearest = []
    for i, point in enumerate(points.double()):
        others = [j for j in range(len(points)) if j != i and labels[j] == labels[i]]
        nearest.append(sorted(others, key=lambda j: (float((points[j].double() - point).norm()), j))[:k])
    return nearest


@pytest.mark.parametrize("neighbours", [1, 3, 5])
def test_smote_takes_each_of_the_nearest_of_its_class_equally_often(neighbours):
    points = torch.randn(20, 4, generator=seeded(5))
    labels = torch.tensor([0] * 8 + [1] * 7 + [2] * 3 + [3] + [0])
    nearest, generator, n = _neighbours_by_hand(points, labels, neighbours), seeded(6), 1500
    mixer = SMOTE(neighbours)
    drawn = torch.stack([mixer.draw(points, labels, generator=generator).sources for _ in range(n)])
    assert torch.equal(drawn[:, :, 0], torch.arange(20).expand(n, 20))
    for row, expected in enumerate(nearest):
        expected = expected or [row]
        seen = drawn[:, row, 1].tolist()
        assert set(seen) == set(expected)
        assert_probabilities([seen.count(j) for j in expected], [1 / len(expected)] * len(expected), n)


def test_smote_distances_do_not_cancel_far_from_the_origin():
    points = torch.tensor([[1000.0, 0.0], [1000.001, 0.0], [1000.003, 0.0], [1000.007, 0.0]])
    sources = SMOTE(1).draw(points, torch.zeros(4, dtype=torch.int64), generator=seeded()).sources
    assert sources[:, 1].tolist() == [1, 0, 1, 2]


def test_smote_coefficients_are_uniform_and_labels_do_not_change():
    labels = torch.arange(1500) % 10
    images = torch.randn(1500, 2, generator=seeded(7))
    mix = SMOTE(5).draw(images, labels, generator=seeded(8))
    assert kstest(mix.shares[:, 1].numpy(), "uniform").pvalue > 1e-4
    torch.testing.assert_close(mix.targets(labels, 10), torch.eye(10)[labels])
    expected = images + mix.shares[:, 1:] * (images[mix.sources[:, 1]] - images)
    torch.testing.assert_close(mix.apply(images), expected)


def test_smote_needs_the_labels():
    images = torch.zeros(4, 2)
    with pytest.raises(ValueError, match=r"expected class indices of shape \(4,\) as labels, received None"):
        SMOTE().draw(images)
    for labels in (torch.zeros(4), torch.zeros(3).long(), torch.zeros(4, 2).long()):
        with pytest.raises(ValueError, match=r"expected .*class indices .*received (shape )?\("):
            SMOTE().draw(images, labels)


def test_sometimes_mixes_whole_batches_at_its_rate():
    images, generator, n = torch.zeros(6, 1, 2, 2), seeded(9), 1500
    for p in (0.0, 0.3, 1.0):
        drawn = [Sometimes(Mixup(), p).draw(images, generator=generator) for _ in range(n)]
        mixed = [mix.k == 2 for mix in drawn]
        assert_probabilities([sum(mixed)], [p], n)
        assert p in (0.0, 1.0) or 0 < sum(mixed) < n


def test_per_sample_mixes_rows_at_its_rate_and_leaves_the_others_their_finite_values():
    images, n, p = torch.randn(2000, 1, 8, 8, generator=seeded()), 2000, 0.3
    for mixer in (Mixup(), DMixup(3), DCutMix(3), GridMask(0.5)):
        mix = PerSample(mixer, p).draw(images, generator=seeded(10))
        mixed = mix.apply(images)
        touched = (mixed != images).flatten(1).any(1)
        own = (mix.sources == torch.arange(n)[:, None]).all(1) if mix.k > 1 else ~touched
        assert same_bytes(mixed[own], images[own])
        assert torch.equal(mix.weights[own][:, 0], torch.ones(int(own.sum())))
        chosen = ~own if mix.k > 1 else touched
        assert_probabilities([int(chosen.sum())], [p], n)


def test_one_of_chooses_at_its_rates():
    images, generator, n = torch.zeros(4, 1, 2, 2), seeded(11), 1500
    kinds = [DMixup(3), DMixup(4), DMixup(5)]
    for rates in (None, [0.2, 0.5, 0.3], [0.0, 1.0, 0.0]):
        expected = rates or [1 / 3] * 3
        drawn = [OneOf(kinds, rates).draw(images, generator=generator).k for _ in range(n)]
        assert_probabilities([drawn.count(k) for k in (3, 4, 5)], expected, n)


@pytest.mark.parametrize("mixer", [CutMix(), Mixup(), DCutMix(2)], ids=repr)
def test_parameters_are_drawn_for_every_row_not_for_every_batch(mixer):
    """Means over batches of B spread like σ / √B; one draw a batch would spread like σ."""
    rows, batches = 16, 400
    generator = seeded(12)
    images = torch.zeros(rows, 1, 32, 32)
    drawn = [mixer.draw(images, generator=generator).shares[:, 1] for _ in range(batches)]
    shares = torch.stack(drawn).double()
    spread, expected = shares.mean(1).std(), shares.flatten().std() / rows**0.5
    # The standard error of a standard deviation is σ / sqrt(2 n).
    assert float(spread / expected) == pytest.approx(1, abs=4.5 / (2 * batches) ** 0.5)


@pytest.mark.parametrize("pairing, expected", [("distinct", 0.0), ("permutation", 1 / 6)])
def test_how_often_an_image_meets_itself(pairing, expected):
    mixer, images, generator, n = CutMix(pairing=pairing), torch.zeros(6, 1, 4, 4), seeded(13), 1500
    sources = torch.stack([mixer.draw(images, generator=generator).sources for _ in range(n)])
    meets = sources[:, 0, 1] == 0
    assert_probabilities([int(meets.sum())], [expected], n)


def test_partners_of_a_mixer_are_uniform():
    mixer, images, generator, n = CutMix(), torch.zeros(4, 1, 4, 4), seeded(14), 1500
    sources = torch.stack([mixer.draw(images, generator=generator).sources[:, 1] for _ in range(n)])
    for row, other in itertools.permutations(range(4), 2):
        assert_probabilities([int((sources[:, row] == other).sum())], [1 / 3], n)


def test_the_average_draws_one_uniform_lambda_for_every_pair_after_the_partners():
    mix, fixed = (_draw(each, 4000, (1, 1)) for each in (Average(), Average(0.25)))
    own = mix.weights[:, 0].double().numpy()
    assert kstest(own, "uniform").pvalue > 0.001 and len(np.unique(own)) > 3900
    assert_mean(own, 0.5)
    torch.testing.assert_close(mix.weights.sum(1), torch.ones(4000), rtol=0, atol=1e-7)
    assert torch.equal(mix.sources, fixed.sources) and bool((fixed.weights[:, 0] == 0.25).all())


def test_a_relabelled_picture_is_its_mixers_and_its_label_weight_is_uniform():
    picture, relabelled = (_draw(each, 4000, (8, 8)) for each in (CutMix(), Relabelled(CutMix())))
    assert torch.equal(relabelled.sources, picture.sources) and torch.equal(relabelled.shares, picture.shares)
    own = relabelled.weights[:, 0].double().numpy()
    assert kstest(own, "uniform").pvalue > 0.001
    assert abs(np.corrcoef(own, picture.shares[:, 0].numpy())[0, 1]) < 0.06  # 4 standard errors
    with pytest.raises(ValueError, match="expected a mixer of two images to relabel, received a mix of 3"):
        _draw(Relabelled(DMixup(3)), 4, (8, 8))

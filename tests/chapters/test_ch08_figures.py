"""Chapter 8's demonstrations and figures, on scores that can be worked out."""

import pandas
import pytest
import torch
from matplotlib import pyplot as plt
from matplotlib.colors import to_rgb
from seaborn import color_palette
from torch import nn

from mixlab.bayes import Scores, score
from mixlab.chapters.ch08_selection import demonstrations, figures
from mixlab.chapters.ch08_selection.demonstrations import MIXING, Agreement
from mixlab.chapters.ch08_selection.experiments import selection as plan
from mixlab.data import load
from mixlab.models import Teacher
from mixlab.rng import generator

torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def digits():
    return load("digits", validation=0.0, limit=60)


@pytest.fixture(scope="module")
def linear():
    network = nn.Sequential(nn.Flatten(), nn.Linear(64, 10, bias=False))
    nn.init.normal_(network[1].weight, generator=generator("linear"))
    return network


def scores_of(cv, labels, mean=None):
    """Scores of rows 10, 11, ... with given coefficients of variation."""
    cv, rows = torch.tensor(cv).double(), torch.arange(len(cv)) + 10
    mean = torch.ones_like(cv) if mean is None else torch.tensor(mean).double()
    return Scores(rows, torch.tensor(labels), mean, cv * mean, draws=8, about={"eps": 0.0})


# By hand


def test_the_three_images_of_the_text():
    table = demonstrations.by_hand({
        "A": [1.8, 0.8, 0.8, 0.8, 0.8, 1.0], "B": [3.5, 1.5, 3.0, 2.0, 2.5, 2.5], "C": [0.6, 0.4, 0.6, 0.4, 0.5, 0.5],
    })
    assert table["mean m"].tolist() == pytest.approx([1.0, 2.5, 0.5])
    assert table["deviation σ"].tolist() == pytest.approx([0.16**0.5, 0.5**0.5, 0.008**0.5])
    assert table["CV = σ / m"].tolist() == pytest.approx([0.4, 0.2 * 2**0.5, 0.032**0.5])
    assert table["kept by"].tolist() == ["high CV", "hard, std", "easy"]


# Losses and scores


@pytest.mark.parametrize("options", [{}, {"loss": "kl"}, {"companion_sets": 2, "seed": 5}],
                         ids=["ce", "kl", "two sets"])
def test_moments_of_all_losses_are_those_that_score_streams(options, digits, linear):
    """Of a teacher, too, that has learned from images with other moments."""
    about = {"mean": digits.mean, "std": digits.std, "num_classes": 10}
    for network in (linear, Teacher(linear, mean=[0.1], std=[0.7])):
        losses = demonstrations.losses_of(network, digits, 8, **options)
        assert losses.shape == (8, 60) and losses.dtype == torch.float64
        found = demonstrations.moments(losses, digits)
        theirs = score(network, digits.train, draws=8, **MIXING, **about, **options)
        assert torch.equal(found.rows, theirs.rows) and torch.equal(found.labels, theirs.labels)
        torch.testing.assert_close(found.mean, theirs.mean, rtol=1e-5, atol=1e-9)
        torch.testing.assert_close(found.std, theirs.std, rtol=1e-5, atol=1e-9)


def test_moments_take_the_first_draws_and_put_rows_in_order(digits):
    order = torch.randperm(60, generator=generator("order"))
    mixed = digits.subset(digits.train.rows[order])
    losses = torch.arange(240.0).view(4, 60).double() ** 2
    found = demonstrations.moments(losses, mixed, 3)
    assert found.rows.tolist() == sorted(mixed.train.rows.tolist()) and found.draws == 3
    for place in (0, 17, 59):
        column = losses[:3, mixed.train.rows.tolist().index(int(found.rows[place]))].numpy()
        assert found.mean[place].item() == pytest.approx(column.mean())
        assert found.std[place].item() == pytest.approx(column.std(ddof=1))


def test_the_two_anchors_are_the_extremes_of_their_class(digits):
    losses = torch.rand(6, 60, generator=generator("losses"), dtype=torch.float64) + 1
    found = demonstrations.two_anchors(demonstrations.moments(losses, digits), digits, label=3)
    cv = losses.std(0) / losses.mean(0)
    threes = {place: cv[place].item() for place in (digits.train.labels == 3).nonzero()[:, 0].tolist()}
    assert found == {"largest CV": max(threes, key=threes.get), "smallest CV": min(threes, key=threes.get)}


def test_an_anchor_is_seen_in_its_mask_in_every_surrounding_and_others_are_alike(digits, linear):
    losses = demonstrations.losses_of(linear, digits, 12)
    found = demonstrations.seen_around({"a": 3, "b": 7}, digits, losses, draws=5)
    pictures, masks, said = found["a"]
    assert pictures.shape == masks.shape == (6, 8, 8) and said == [None, *losses[:5, 3].tolist()]
    assert set(masks.unique().tolist()) == {0.0, 1.0} and masks[0].min() == 1
    assert masks[1:].mean().item() == pytest.approx(0.5, abs=0.1)
    alone = digits.train.images[[3, 7], 0] / 255
    torch.testing.assert_close(pictures[0], alone[0])
    torch.testing.assert_close(pictures * masks, alone[0] * masks)
    assert torch.equal(found["b"][1], masks)
    torch.testing.assert_close(found["b"][0] * (1 - masks), pictures * (1 - masks))
    assert (pictures[1:] * (1 - masks[1:])).amax() > 0


# How far scores agree


def test_equal_scores_agree_and_reversed_ones_do_not(digits):
    base = torch.linspace(0.5, 1, 60).double()
    first = torch.stack([1 - 0.99 * base, 1 + 1.01 * base])  # mean about 1, difference 2 base: CV rises with base
    second = torch.stack([0.6 + 1.01 * base, 3.4 - 0.99 * base])  # mean about 2, difference 2.8 - 2 base: CV falls
    same = demonstrations.agreement([first, 2 * first], digits, (2,))
    assert (same.draws, same.cv[0], same.overlap) == ((2,), pytest.approx(1.0), (100.0,))
    other = demonstrations.agreement([first, second], digits, (2,))
    assert other.cv[0] == pytest.approx(-1.0) and other.overlap == (0.0,)


def test_several_scores_agree_as_their_pairs_do_on_average(digits):
    three = [torch.rand(6, 60, generator=generator("draws", i), dtype=torch.float64) + 1 for i in range(3)]
    whole = demonstrations.agreement(three, digits, (3, 6))
    pairs = [demonstrations.agreement([three[i], three[j]], digits, (3, 6)) for i, j in ((0, 1), (0, 2), (1, 2))]
    for what in ("cv", "mean", "overlap"):
        expected = [sum(values) / 3 for values in zip(*(getattr(pair, what) for pair in pairs), strict=True)]
        assert list(getattr(whole, what)) == pytest.approx(expected)
    with pytest.raises(ValueError, match="expected two scores or more, received 1"):
        demonstrations.agreement(three[:1], digits, (3,))


# What choosing costs


def test_choosing_is_paid_for_when_what_it_saves_is_what_it_costs():
    whole, after = demonstrations.pays_back(scorer=30.0, scores=210.0, epochs=10, t=0.2)
    assert whole == pytest.approx(80)  # 240 seconds, an epoch takes 3
    assert 30 + 210 + after * 0.2 * 3 == pytest.approx(after * 3)
    for wrong in ({"epochs": 0}, {"t": 1.0}):
        with pytest.raises(ValueError, match="expected at least one epoch and a part in"):
            demonstrations.pays_back(**{"scorer": 1.0, "scores": 1.0, "epochs": 10} | wrong)


def test_the_sentence_about_cost_is_that_of_the_records():
    frame = pandas.DataFrame({
        "run": ["grey-high-cv-s1", "grey-high-cv-s2", "grey-easy-s1"],
        "scorer_seconds": [20.0, 30.0, 999.0], "score_seconds": [150.0, 200.0, 999.0],
    })
    grey, colour = demonstrations.break_even(frame)
    epoch = 25 / plan.SCORER["epochs"]
    assert f"as long as {200 / epoch:.0f} epochs" in grey and grey.endswith(f"after {200 / epoch / 0.9:.0f}")
    assert colour == "colour: not on record"
    assert list(demonstrations.break_even(frame[:0])) == ["grey: not on record", "colour: not on record"]


# Figures


def test_the_anchor_is_blue_and_its_companions_are_orange():
    picture = torch.ones(2, 4, 4)
    masks = torch.stack([torch.ones(4, 4), torch.ones(4, 4)])
    masks[1, :2] = 0
    figure = figures.surrounded({"one": (picture, masks, [None, 1.234])})
    alone, around = (axis.images[0].get_array() for axis in figure.axes)
    blue, orange = (to_rgb(colour) for colour in color_palette("colorblind", 2))
    assert alone[0, 0].tolist() == pytest.approx(blue, abs=1e-5)
    assert around[0, 0].tolist() == pytest.approx(orange, abs=1e-5)
    assert around[3, 3].tolist() == pytest.approx(blue, abs=1e-5)
    assert [axis.get_xlabel() for axis in figure.axes] == ["", "1.23"]


def test_the_plane_marks_what_is_kept_of_the_class():
    scores = scores_of([0.1, 0.2, 0.3, 0.4], [1, 1, 1, 0], mean=[1.0, 2.0, 3.0, 4.0])
    figure = figures.plane(scores, 1, {"some": torch.tensor([11, 13])}, [0.2])
    rest, kept = figure.axes[0].collections
    assert kept.get_offsets().tolist() == [[2.0, pytest.approx(0.4)]]
    assert sorted(rest.get_offsets()[:, 0].tolist()) == [1.0, 3.0]
    (line,) = figure.axes[0].lines
    assert line.get_ydata() == pytest.approx(0.2 * line.get_xdata())


def test_every_class_has_a_line_of_its_pictures():
    images = torch.arange(5.0)[:, None, None].expand(5, 2, 2)
    figure = figures.chosen("easy", images, torch.tensor([1, 0, 1, 1, 0]), each=2)
    shown = [[axis.images[0].get_array()[0, 0] for axis in figure.axes[k : k + 2]] for k in (0, 2)]
    assert shown == [[1.0, 4.0], [0.0, 2.0]]  # at most two of class 1


def test_lines_of_agreement_are_what_was_found():
    found = {"fresh": Agreement((16, 64), (0.3, 0.6), (0.7, 0.9), (20.0, 40.0)),
             "1 set": Agreement((16, 64), (-0.2, 0.1), (0.1, 0.2), (10.0, 12.0))}
    ranks, overlap = figures.agreements(found).axes
    lines = {line.get_label(): list(line.get_ydata()) for line in ranks.lines}
    assert lines == {"mean loss": [0.7, 0.9], "CV, fresh": [0.3, 0.6], "CV, 1 set": [-0.2, 0.1]}
    assert [list(line.get_ydata()) for line in overlap.lines[:2]] == [[20.0, 40.0], [10.0, 12.0]]
    assert ranks.get_ylim()[0] <= -0.2

"""Chapter 9's demonstrations, figures and tables, on numbers that can be worked out."""

import math

import pandas
import pytest
import torch
from matplotlib import pyplot as plt
from torch import nn

from mixlab.chapters.ch09_generator import demonstrations, figures, tables
from mixlab.chapters.ch09_generator.experiments import generator as plan
from mixlab.data import load
from mixlab.generator import divergence
from mixlab.models import Teacher


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


# Demonstrations


def test_the_numbers_by_hand_are_those_of_the_text():
    table = demonstrations.by_hand(torch.tensor([0.5, 0.375, 0.125]), {"blind": [0.5, 0.25, 0.25]})
    cross, entropy, kl = table.loc["blind"]
    assert cross == pytest.approx(0.5 * math.log(2) + 0.5 * math.log(4), abs=1e-6)
    assert entropy == pytest.approx(0.5 * math.log(2) - 0.375 * math.log(0.375) + 0.125 * math.log(8), abs=1e-6)
    assert kl == pytest.approx(0.0654, abs=1e-4)


def test_the_smallest_change_makes_the_classifier_say_mu_and_no_shorter_one_does():
    g = torch.Generator().manual_seed(0)
    weight, images = (torch.randn(rows, 12, generator=g, dtype=torch.float64) for rows in (4, 5))
    mu = torch.rand(5, 4, generator=g, dtype=torch.float64) + 0.1
    mu /= mu.sum(1, keepdim=True)
    change = demonstrations.smallest_change(weight, images, mu)
    assert divergence(mu, (images + change) @ weight.T).max() < 1e-12
    # The shortest of several vectors that differ by what the classifier does not see is orthogonal to all of that.
    centred = weight - weight.mean(0)
    unseen = torch.eye(12, dtype=torch.float64) - torch.linalg.pinv(centred) @ centred
    assert (change @ unseen).abs().max() < 1e-10
    longer = change + torch.randn(5, 12, generator=g, dtype=torch.float64) @ unseen
    assert divergence(mu, (images + longer) @ weight.T).max() < 1e-12
    assert (longer.norm(dim=1) > change.norm(dim=1)).all()


def test_answers_are_those_of_the_classifier():
    mu = torch.tensor([[0.75, 0.25], [0.25, 0.75]])
    classifier = Teacher(nn.Sequential(nn.Flatten(), nn.Identity()))
    images = torch.zeros(2, 2)
    table = demonstrations.answers({"none": images, "right": mu.log(), "turned": mu.flip(1).log()}, classifier, mu,
                                   images)
    kl = 0.5 * math.log(3)  # of (¾, ¼) from (¼, ¾)
    assert table["KL"].tolist() == pytest.approx([math.log(2) - 0.5623, 0, kl], abs=1e-4)
    assert table["likeliest class of μ, %"].tolist() == [50, 100, 0]
    length = math.hypot(math.log(0.75), math.log(0.25))
    assert table["‖x̃ − x‖"].tolist() == pytest.approx([0, length, length], abs=1e-5)


def test_a_row_s_partner_is_of_its_class_and_another_row():
    labels = torch.tensor([2, 0, 2, 0, 2, 1, 1])
    partners = demonstrations.within_class(labels)
    assert (labels[partners] == labels).all() and (partners != torch.arange(7)).all()
    assert partners.sort().values.tolist() == list(range(7))


def test_the_images_shown_are_the_first_of_their_classes():
    data = load("digits", validation=0.0)
    images, labels = demonstrations.first_of_each(data, (3, 0))
    rows = [data.test.labels.tolist().index(label) for label in (3, 0)]
    assert labels.tolist() == [3, 0]
    back = images * torch.tensor(data.std).view(1, -1, 1, 1) + torch.tensor(data.mean).view(1, -1, 1, 1)
    torch.testing.assert_close(back, data.test.images[rows] / 255, atol=1e-6, rtol=0)


def test_a_generator_of_the_page_keeps_to_its_law():
    data = load("digits", validation=0.0, limit=100)
    classifier = Teacher(nn.Sequential(nn.Flatten(), nn.Linear(64, 10)), mean=data.mean, std=data.std)
    made = demonstrations.trained(classifier, data, 1, epsilon=0.25)
    assert made.epsilon == 0.25 and made.about["epochs"] == 1 and made.about["augment"] == "none"
    assert made.classifier == classifier.checksum


# Figures


def test_images_have_a_line_each_and_bars_below():
    images = torch.rand(3, 4, 4)
    figure = figures.made({"x": images, "change": images - 0.5}, torch.eye(3), torch.eye(3))
    assert len(figure.axes) == 9
    assert [bar.get_height() for bar in figure.axes[6].patches] == [1, 0, 0, 1, 0, 0]
    assert len(figures.made({"x": images}).axes) == 3


def test_bars_have_the_height_of_what_was_found():
    figure = figures.written({"a": {"given": 90.0, "kept": 10.0}, "b": {"given": 80.0, "kept": 20.0}},
                             [("given", "given"), ("kept", "kept")])
    assert [bar.get_height() for bar in figure.axes[0].patches] == [90, 10, 80, 20]


# Tables


def frame(**errors):
    """Records of some rows with these errors, seeds from 1."""
    rows = [{"row": plan.ROWS[name][0], "seed": seed, "test_error": error, "seconds": 30.0, "generator_kl": 0.05 * seed}
            for name, found in errors.items() for seed, error in enumerate(found, 1)]
    columns = ("test_loss", "scaled_loss", "test_ece", "scaled_ece", "half_time_train_error", "train_error")
    found = pandas.DataFrame([dict.fromkeys(columns, 1.0) | row for row in rows])
    found.attrs["missing"] = ["others"]
    return found


def test_the_primary_comparison_is_generated_minus_clean():
    found = tables.primary(frame(generated=[17.0, 16.0, 18.0], clean=[16.0, 15.5, 16.5]))
    assert found.mean == pytest.approx(1.0) and found.seeds == 3
    assert tables.primary(pandas.DataFrame()) is None


def test_others_are_compared_with_generated_images_as_one_family_without_the_primary():
    records = frame(generated=[17.0, 16.0, 18.0], clean=[16.0, 15.5, 16.5], noise=[18.0, 17.0, 19.5], none=[17, 17, 17])
    found = tables.secondary(records)
    assert set(found) == {plan.ROWS["noise"][0], plan.ROWS["none"][0]}
    assert found[plan.ROWS["noise"][0]].mean == pytest.approx(3.5 / 3)
    assert all(each.comparisons == 2 for each in found.values())
    shown = tables.lines(records)["test_error"]
    assert shown["clean images, μ (primary)"].mean == pytest.approx(-1.0) and len(shown) == 3


def test_a_table_has_every_row_and_dashes_where_nothing_is_on_record():
    shown = tables.summary(frame(generated=[17.0, 16.0], clean=[16.0, 15.5]))
    assert list(shown.index) == list(tables.ROWS) and len(tables.ROWS) == 9
    assert shown.loc["clean images, μ", "minus generated"].startswith("-0.75")
    assert shown.loc["noise of equal length, μ", "error, %"] == "–"


def test_what_is_written_is_told_as_how_often_a_student_is_right():
    first, second = tables.written(frame(writing=[80.0, 70.0]))
    assert "25.0 % right (20.0 to 30.0, 2 seeds)" in first and second.endswith("not on record")


def test_probes_are_means_over_the_seeds():
    shown = tables.probes(frame(generated=[17.0, 16.0, 18.0]))
    assert shown.loc["KL", "rate .01, μ uniform"].split() == ["0.100", "±", "0.050"]
    assert shown.loc["KL", "the paper's rate"] == "–"


def test_the_paper_s_differences_are_those_of_its_table():
    shown = tables.paper_and_ours(frame(generated=[17.0, 16.0], none=[18.0, 17.5]))
    assert shown["paper, CIFAR-100"].tolist() == ["+3.40", "+2.01", "+2.28"]
    assert shown.loc["no second term", "here"].startswith("+1.25")

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
from mixlab.data.augment import normalise
from mixlab.generator import divergence
from mixlab.models import Teacher


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


# Demonstrations


def test_the_numbers_by_hand_are_those_of_the_text():
    table = demonstrations.by_hand(torch.tensor([0.5, 0.4, 0.1]), {"says μ": [0.5, 0.4, 0.1],
                                                                   "ignores μ": [0.5, 0.25, 0.25]})
    entropy = 0.5 * math.log(2) - 0.4 * math.log(0.4) - 0.1 * math.log(0.1)
    cross = 0.5 * math.log(2) + 0.5 * math.log(4)
    assert table.loc["says μ"].tolist() == ["0.50 0.40 0.10", f"{entropy:.3f}", f"{entropy:.3f}", "0.000"]
    assert table.loc["ignores μ"].tolist()[1:] == [f"{cross:.3f}", f"{entropy:.3f}", f"{cross - entropy:.3f}"]
    assert (f"{entropy:.3f}", f"{cross:.3f}", f"{cross - entropy:.3f}") == ("0.943", "1.040", "0.096")


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


def test_descent_on_the_image_ends_at_the_smallest_change():
    g = torch.Generator().manual_seed(1)
    weight, image = (torch.randn(rows, 6, generator=g, dtype=torch.float64) for rows in (3, 1))
    mu = torch.tensor([[0.5, 0.3, 0.2]], dtype=torch.float64)
    moved = image.clone()
    for _ in range(5000):
        moved -= 0.1 * ((moved @ weight.T).softmax(1) - mu) @ weight
    torch.testing.assert_close(moved - image, demonstrations.smallest_change(weight, image, mu))


def test_the_linear_reader_is_where_its_loss_is_flat_and_knows_digits():
    data = load("digits", validation=0.0)
    weight = demonstrations.linear_reader(data).requires_grad_()
    images = normalise(data.train.images, data.mean, data.std).flatten(1).double()
    loss = nn.functional.cross_entropy(images @ weight.T, data.train.labels) + 1e-2 * weight.square().sum()
    slope, = torch.autograd.grad(loss, weight)
    assert weight.shape == (10, 64) and slope.abs().max() < 2e-3
    tests, labels = demonstrations.held_out(data)
    assert ((tests.flatten(1).double() @ weight.T).argmax(1) == labels).double().mean() > 0.9


def test_kept_and_written_are_counted_apart():
    logits = torch.tensor([[2.0, 1, 0], [0, 3, 1], [0, 1, 5], [4, 0, 0], [1, 0, 0]])
    found = demonstrations.found(nn.Identity(), logits, torch.tensor([0, 1, 0, 2, 1]), torch.tensor([1, 0, 2, 1, 2]))
    assert found == {"kept": 40, "written": 20}


def test_changes_grow_from_nothing_to_the_generator_s():
    classifier = Teacher(nn.Sequential(nn.Flatten(), nn.Linear(4, 3)))
    g = torch.Generator().manual_seed(0)
    images, made = torch.rand(8, 1, 2, 2, generator=g), torch.rand(8, 1, 2, 2, generator=g)
    mu = torch.rand(8, 3, generator=g).softmax(1)
    kl = demonstrations.along(classifier, images, mu, made, (0.0, 1.0))
    before, after = (divergence(mu, classifier(each)).mean().item() for each in (images, made))
    assert [values[0] for values in kl.values()] == pytest.approx([before] * 3)
    assert kl["generator"][1] == pytest.approx(after)
    assert kl["attack"][1] < min(before, kl["noise"][1])


def test_a_frame_is_told_in_the_numbers_that_it_shows():
    images, mu = torch.ones(2, 1, 2, 2), torch.tensor([[0.75, 0.25]] * 2)
    told = demonstrations.in_words(images, images * 1.5, mu, torch.zeros(2, 2), 0.25)
    kl = 0.75 * math.log(1.5) + 0.25 * math.log(0.5)
    assert told == f"images moved by 0.5 of their length; KL {kl:.2f} nats, 0.25 for a label that ignores μ"


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
    mu, said = torch.eye(3), torch.full((3, 3), 1 / 3)
    figure = figures.made({"x": images, "x̃ − x": images - 0.5}, mu, said)
    assert len(figure.axes) == 9
    torch.testing.assert_close(torch.tensor(figure.axes[4].images[0].get_array()), images[1] - 0.5)
    heights = [bar.get_height() for bar in figure.axes[6].patches]
    assert heights == pytest.approx([1, 0, 0, 1 / 3, 1 / 3, 1 / 3])


def test_pairs_stand_one_above_the_other_beside_the_answer():
    before, after = torch.zeros(4, 4), torch.ones(4, 4)
    figure = figures.level({"a": (before, after), "b": (after, before)}, torch.tensor([0.5, 0.25, 0.25]))
    shown = [axis.images[0].get_array().mean() for axis in figure.axes if axis.images]
    assert shown == [0, 1, 1, 0]
    assert [bar.get_height() for bar in figure.axes[-1].patches] == [0.5, 0.25, 0.25]


def test_a_line_for_each_kind_of_change():
    axis = figures.reach((0.5, 1.0), {"attack": [0.2, 0.1], "noise": [0.9, 0.8]}, 0.18).axes[0]
    drawn = {line.get_label(): list(line.get_ydata()) for line in axis.lines}
    assert drawn == {"attack": [0.2, 0.1], "noise": [0.9, 0.8], "a label that ignores μ": [0.18, 0.18]}


def test_bars_have_the_height_of_what_was_found():
    found = {"clean": {"kept": 90.0, "written": 10.0}, "noise": {"kept": 70.0, "written": 5.0}}
    figure = figures.written({"W′": found, "other": {"clean": {"kept": 80.0, "written": 0.0}}})
    assert [[bar.get_height() for bar in axis.patches] for axis in figure.axes] == [[90, 70, 10, 5], [80, 0]]


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
    assert shown["paper, Table 1"].tolist() == ["+3.40", "+2.01", "+2.28"]
    assert shown.loc["no second term", "here"].startswith("+1.25")

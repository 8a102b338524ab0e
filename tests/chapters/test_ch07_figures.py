"""Chapter 7's demonstrations and figures, with teachers whose answers can be worked out."""

import math

import pytest
import torch
from matplotlib import pyplot as plt
from oracle import seeded
from torch import nn

from mixlab import Mix
from mixlab.chapters.ch07_supermix import demonstrations, figures
from mixlab.chapters.ch07_supermix.demonstrations import Cloud, Measured, Opinion
from mixlab.masks import Constant, Soft
from mixlab.mixers import Mixup, SuperMix, UnclippedCutMix
from mixlab.mixers.supermix import objective, soft_target
from mixlab.models import Teacher
from mixlab.rng import generator


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def quarters():
    """A teacher of four classes, whose logits are sums over the quarters of a 4 x 4 picture (any channels)."""
    linear = nn.Linear(16, 4, bias=False)
    cells = torch.arange(4) // 2
    with torch.no_grad():
        linear.weight.copy_(nn.functional.one_hot(2 * cells[:, None] + cells, 4).flatten(0, 1).T.float())
    return Teacher(nn.Sequential(nn.Flatten(), linear))


def lit():
    """Four pictures, each with its own quarter lit: (4, 1, 4, 4)."""
    return torch.eye(4).view(4, 1, 2, 2).repeat_interleave(2, 2).repeat_interleave(2, 3)


# By hand


def test_the_step_on_paper_is_that_of_the_text():
    images = torch.tensor([[1.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    smoothing = torch.tensor([[3.0, 1.0, 0.0], [1.0, 2.0, 1.0], [0.0, 1.0, 3.0]]) / 4
    table = demonstrations.by_hand(images, torch.tensor([0.75, 0.25]), smoothing)
    loss = 0.75 * math.log(1.5) + 0.25 * math.log(0.5) + 0.25
    assert table["start"]["divergence"] == f"{loss - 0.25:.3f}" and table["start"]["sparsity"] == "0.250"
    assert table["plain"]["length of the step"] == f"{loss / (4 / 256):.1f}"
    assert table["smoothed"]["length of the step"] == f"{loss / (3 / 256):.1f}"
    ends = loss / (4 / 256) / 16
    assert table["plain"]["own image's logits"] == f"{ends:.2f} 0.00 {ends:.2f}"
    assert table["smoothed"]["own image's logits"] == f"{ends:.2f} {ends / 1.5:.2f} {ends:.2f}"
    brightness = 1 / (1 + math.exp(-ends))
    left = 1 / (1 + math.exp(2 * (1 - brightness) - 2 * brightness))
    assert table["plain"]["teacher: left"] == table["smoothed"]["teacher: left"] == f"{left:.3f}"
    assert table["smoothed"]["its mask"].split()[1] == f"{1 / (1 + math.exp(-ends / 1.5)):.2f}"


# The step


def test_a_step_halves_the_root_of_a_parabola_and_never_finds_one_that_is_not_there():
    assert demonstrations.parabola(0.0, 3.0, 4) == [9.0 / 4**step for step in range(5)]
    angle = 0.7
    losses = demonstrations.parabola(0.25, 0.5 / math.tan(angle), 6)
    by_angle = [0.25 * (1 + 1 / math.tan(2**step * angle) ** 2) for step in range(7)]
    assert losses == pytest.approx(by_angle, rel=1e-6) and min(losses) > 0.25


def test_no_step_leads_away_in_the_metric_and_some_do_in_plain_distance():
    found = demonstrations.distances(20, seeded())
    assert found["metric of G"] <= 1 + 1e-9 < 1.01 < found["plain"]


def test_the_parts_of_the_loss_are_those_of_the_objective_at_every_step():
    mixer, images = SuperMix(quarters(), side=4, max_iter=3), 3 * lit()
    found = mixer.solve(images, generator=seeded(), stop=False, keep_path=True)
    parts = demonstrations.parts(mixer, found, images, row=2)
    assert len(parts["divergence"]) == len(parts["λₛ · sparsity"]) == 4
    assert parts["λₛ · sparsity"][0] == pytest.approx(25 / 4)
    last = demonstrations.after(found, 3)
    torch.testing.assert_close(last.masks(), found.mix.masks())
    target = soft_target(found.ratios, found.classes, 4)
    whole = objective(last.masks(), mixer.teacher(last.apply(images)), target, sparsity=25.0)
    assert parts["divergence"][3] + parts["λₛ · sparsity"][3] == pytest.approx(whole[2].item(), rel=1e-4)


# What a teacher says


def test_an_opinion_knows_what_was_mixed_and_what_the_teacher_says():
    mix = Mix(torch.tensor([[0, 3], [1, 0], [2, 0], [3, 2]]), Constant(torch.tensor([[0.5, 0.5]] * 4)))
    pictures = lit().expand(4, 3, 4, 4).repeat_interleave(2, 2).repeat_interleave(2, 3)
    found = demonstrations.opinion("half", mix, quarters(), lit(), pictures, row=3)
    assert found.classes == (3, 2) and found.success
    torch.testing.assert_close(found.said, torch.tensor([0.0, 0.0, 2.0, 2.0]).softmax(0))
    torch.testing.assert_close(found.picture, (pictures[3] + pictures[2]) / 2)
    assert found.masks.shape == (2, 8, 8) and (found.masks == 0.5).all()


def test_success_is_about_the_likeliest_classes():
    picture, masks = torch.zeros(3, 2, 2), torch.full((2, 2, 2), 0.5)
    for classes, success in (((0, 2), True), ((2, 0), True), ((0, 1), False)):
        assert Opinion("", picture, masks, torch.tensor([0.9, 0.04, 0.06]), classes).success == success


def test_what_is_measured_of_a_mixer_is_what_its_mix_and_the_teacher_say():
    teacher, images = quarters(), 3 * lit()
    found = demonstrations.measure(UnclippedCutMix(3.0), teacher, images, seed=4)
    mix = UnclippedCutMix(3.0).draw(images, generator=generator(4, "measure"))
    assert torch.equal(found.mix.masks(), mix.masks((4, 4))) and found.evenness == 0
    best = teacher(mix.apply(images)).topk(2).indices.sort(1).values
    assert torch.equal(found.hits, (best == mix.sources.sort(1).values).all(1))
    assert found.success == found.hits.double().mean().item()
    largest = mix.sources.gather(1, mix.weights.argmax(1, keepdim=True))[:, 0]
    assert torch.equal(found.agrees, teacher(mix.apply(images)).argmax(1) == largest)
    blend = demonstrations.measure(Mixup(1e4), teacher, images)
    assert blend.evenness == pytest.approx(0.25, abs=1e-3) and blend.success == 1


def test_the_loop_finds_both_quarters_and_its_masks_are_sharper_than_a_blend():
    found = demonstrations.measure(SuperMix(quarters(), side=4), quarters(), 3 * lit())
    assert found.success == 1 and found.evenness < 0.25


def test_all_images_together_in_equal_ratios():
    mix = demonstrations.together(3 * lit()[:3], SuperMix(quarters(), k=3, side=4))
    assert mix.sources.tolist() == [[0, 1, 2], [1, 2, 0], [2, 0, 1]]
    torch.testing.assert_close(mix.weights, torch.full((3, 3), 1 / 3))
    even = demonstrations.blend(mix)
    assert torch.equal(even.sources, mix.sources)
    torch.testing.assert_close(even.apply(lit()[:3])[1], lit()[:3].mean(0))


def test_a_cloud_has_the_spread_of_its_classes_and_lies_in_the_plane_of_the_first_images():
    """Logits that are the pixels: class 0 and 1 apart along one axis, within a class a spread that was put in."""
    draws, teacher = seeded(), Teacher(nn.Flatten())
    centres = torch.tensor([[9.0, 0.0, 0.0], [0.0, 9.0, 0.0], [0.0, 0.0, 9.0]]).repeat_interleave(400, 0)
    images = (centres + torch.randn(1200, 3, generator=draws)).view(1200, 1, 1, 3)
    mean, axes = demonstrations.directions(teacher, images, (0, 1))
    torch.testing.assert_close(mean, torch.tensor([4.5, 4.5, 0.0]), atol=0.2, rtol=0)
    assert abs(axes[0] @ torch.tensor([1.0, -1.0, 0.0]) / 2**0.5).item() == pytest.approx(1, abs=0.01)
    found = demonstrations.cloud(teacher, images, (0, 1), (mean, axes))
    assert found.classes.unique().tolist() == [0, 1] and found.plane.shape == (800, 2)
    assert found.spread == pytest.approx(1, abs=0.05)
    torch.testing.assert_close(found.plane, (images.flatten(1)[:800] - mean) @ axes.T)


# Figures


def item(title="a", said=(0.2, 0.5, 0.3), classes=(0, 1)):
    picture = torch.rand(3, 8, 8, generator=seeded())
    return Opinion(title, picture, torch.full((2, 8, 8), 0.5), torch.tensor(said), classes)


def test_bars_are_the_probabilities_of_the_sources_and_of_the_likeliest_other_class():
    figure = figures.opinions([item(), item("b", (0.1, 0.2, 0.7), (1, 0))], ["cat", "cup", "moon"])
    assert [axis.get_title() for axis in figure.axes[:2]] == ["a\nno success", "b\nno success"]
    bars = [[bar.get_width() for bar in axis.patches] for axis in figure.axes[4:]]
    assert bars == [pytest.approx([0.2, 0.5, 0.3]), pytest.approx([0.2, 0.1, 0.7])]
    assert [text.get_text() for text in figure.axes[5].texts] == ["cup 0.20", "cat 0.10", "moon 0.70"]


def test_masks_are_drawn_in_the_colours_of_the_bars():
    masks = torch.tensor([[[1.0, 0.0]], [[0.0, 1.0]]])
    halves = Opinion("", torch.zeros(3, 1, 2), masks, torch.tensor([0.6, 0.4]), (0, 1))
    figure = figures.opinions([halves], ["cat", "cup"])
    drawn = figure.axes[1].images[0].get_array()[0]
    for pixel, bar in zip(drawn, figure.axes[2].patches):
        assert tuple(pixel) == pytest.approx(bar.get_facecolor()[:3])


def test_words_hold_the_numbers_of_the_figure():
    assert figures.in_words([item(said=(0.6, 0.3, 0.1))], ["cat", "cup", "moon"]) == (
        "a, success: the teacher says cat 0.60, cup 0.30; mean of m(1 − m) 0.25")


def test_a_grid_has_every_picture_and_its_masks_under_the_same_title():
    figure = figures.grid({line: {title: item() for title in ("x", "y")} for line in ("1", "2", "3")})
    assert [axis.get_title() for axis in figure.axes] == ["x", "y", "x", "y"] + [""] * 8
    assert [axis.get_ylabel() for axis in figure.axes[::4]] == ["1", "2", "3"]
    assert all(len(axis.images) == 1 for axis in figure.axes)
    assert [axis.get_xlabel() for axis in figure.axes[:4]] == ["no success"] * 2 + [""] * 2


def test_steps_are_drawn_as_they_are():
    figure = figures.steps({"u²": [4.0, 1.0]}, {"divergence": [3.0, 2.0], "sparsity": [6.0, 5.0]})
    assert figure.axes[0].lines[0].get_ydata().tolist() == [4.0, 1.0] and figure.axes[0].get_yscale() == "log"
    assert [line.get_ydata().tolist() for line in figure.axes[1].lines] == [[3.0, 2.0], [6.0, 5.0]]


def measured(hits, evenness):
    mix = Mix(torch.tensor([[0, 1], [1, 0]]), Soft(torch.full((2, 2, 1, 1), 0.5), (4, 4)))
    return Measured(torch.tensor(hits), evenness, torch.tensor([True, False]), mix)


def test_sweeps_show_success_and_how_even_masks_are():
    values = {0.0: measured([True, True], 0.25), 25.0: measured([True, False], 0.1)}
    figure = figures.sweeps({"sparsity": values, "images": {2: values[0.0]}})
    success, even = figure.axes[0].lines  # two images: their blend has ¼
    assert success.get_ydata() == pytest.approx([1.0, 0.5]) and even.get_ydata() == pytest.approx([1.0, 0.4])
    assert [tick.get_text() for tick in figure.axes[0].get_xticklabels()] == ["0", "25"]
    assert [axis.get_xlabel() for axis in figure.axes] == ["sparsity", "images"]


def test_lines_of_the_largest_probabilities():
    figure = figures.top({"a": torch.tensor([0.7, 0.2]), "b": torch.tensor([0.5, 0.3])})
    assert [line.get_ydata().tolist() for line in figure.axes[0].lines] == [
        pytest.approx([0.7, 0.2]), pytest.approx([0.5, 0.3])]


def test_clouds_have_a_colour_for_each_class_in_every_panel():
    plane, classes = torch.arange(8.0).view(4, 2), torch.tensor([0, 2, 2, 0])
    figure = figures.clouds({"a": Cloud(plane, classes, 1.5), "b": Cloud(plane[:2], classes[:2], 0.5)}, "xyz")
    first, second = figure.axes
    assert [axis.get_title() for axis in figure.axes] == ["a\nc-std 1.5", "b\nc-std 0.5"]
    assert [line.get_xdata().tolist() for line in first.lines] == [[0.0, 6.0], [2.0, 4.0]]
    assert [one.get_color() for one in first.lines] == [one.get_color() for one in second.lines]
    assert [text.get_text() for text in first.get_legend().get_texts()] == ["x", "z"]

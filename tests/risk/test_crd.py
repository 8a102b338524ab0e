"""Contrastive distillation against a loop over pairs, its memories, and a run that goes on where it stopped."""

import math

import pytest
import torch
from oracle import assert_probabilities, seeded, unchanged_global_rng
from torch import nn

from mixlab.data import Batch, load
from mixlab.mixers import CutMix, Mixup, PuzzleMix
from mixlab.models import Teacher, build, initialise
from mixlab.risk import CRDRisk, DistillationRisk, build_risk
from mixlab.train import fit, recipes

CLASSES, ROWS, SIZE, DIM, NEGATIVES, TAU = 3, 6, (1, 4, 4), 5, 4, 0.5
# The training set: ten rows of a larger file, in no order, of three classes.
FILE_ROWS = torch.tensor([40, 7, 33, 2, 90, 11, 58, 3, 21, 70])
FILE_LABELS = torch.tensor([0, 1, 2, 0, 1, 2, 0, 1, 2, 0])


def network(seed, width):
    made = nn.Sequential(nn.Flatten(), nn.Linear(math.prod(SIZE), width), nn.Tanh(), nn.Linear(width, CLASSES)).double()
    for parameter in made.parameters():
        nn.init.normal_(parameter, std=0.5, generator=seeded(seed))
    return made


def batch_of(seed=0, picked=(1, 4, 5, 0, 8, 9)):
    picked = torch.tensor(picked)
    images = torch.randn(len(picked), *SIZE, generator=seeded(seed), dtype=torch.float64)
    return Batch(images, FILE_LABELS[picked], FILE_ROWS[picked])


def crd(teacher=None, **options):
    given = {"rows": FILE_ROWS, "labels": FILE_LABELS, "width": 4, "layer": "3", "teacher_layer": "3", "dim": DIM,
             "negatives": NEGATIVES, "tau": TAU, "generator": seeded(7)} | options
    return CRDRisk(teacher or Teacher(network(2, 6)), **given).double()


@pytest.fixture
def student():
    return network(1, 4)


def unit(vector):
    return vector / sum(value**2 for value in vector) ** 0.5


def contrast_by_hand(risk, student, batch, negatives, constants):
    """L_CRD pair by pair; `constants` are the two Z, or None for the estimate of the first step."""
    size, k = len(FILE_ROWS), risk.negatives
    order = sorted(range(size), key=lambda n: int(FILE_ROWS[n]))
    place_of = {int(FILE_ROWS[n]): place for place, n in enumerate(order)}
    total, found = 0.0, []
    for which, (memory, features, embedding) in enumerate((
            (risk.teacher_memory, student[:3], risk.student_embedding),
            (risk.student_memory, risk.teacher.network[:3], risk.teacher_embedding))):
        scores = []
        for b, row in enumerate(batch.rows.tolist()):
            v = unit(embedding(features(batch.images[b:b + 1]))[0])
            others = [place_of[row], *negatives[b].tolist()]
            scores.append([(sum(v[d] * memory[place, d] for d in range(DIM)) / risk.tau).exp() for place in others])
        pairs = [score.item() for row in scores for score in row]
        z = constants[which] if constants else size * sum(pairs) / len(pairs)
        found.append(z)
        for row in scores:
            h = [(score / z) / (score / z + k / size) for score in row]
            total = total - (h[0].log() + sum((1 - each).log() for each in h[1:])) / len(scores)
    return total, found


def drawn(risk, batch, seed):
    """The negatives that a step draws where nothing else is drawn."""
    return risk.draw_negatives(risk.places(batch.rows), seeded(seed))


def gradients(loss, *modules):
    weights = [each for module in modules for each in module.parameters() if each.requires_grad]
    return torch.autograd.grad(loss, weights, allow_unused=True)


@pytest.mark.parametrize("normaliser", [None, 1.0, 25.0])
def test_value_and_gradient_are_those_of_a_loop_over_pairs(student, normaliser):
    risk, batch = crd(crd=0.7, clean=0.3, normaliser=normaliser), batch_of()
    constants = risk.log_z.exp().tolist() if normaliser else None
    assert normaliser is None or constants == pytest.approx([normaliser] * 2, rel=1e-6)  # kept in float32
    negatives = drawn(risk, batch, 4)
    contrast, _ = contrast_by_hand(risk, student, batch, negatives, constants)
    expected = 0.3 * nn.functional.cross_entropy(student(batch.images), batch.labels) + 0.7 * contrast
    hand = gradients(expected, student, risk)
    loss = risk(student, batch, generator=seeded(4))
    torch.testing.assert_close(loss, expected, rtol=1e-12, atol=0)
    ours = gradients(loss, student, risk)
    assert len(ours) == 4 + 4
    for one, other in zip(ours, hand, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-13)


def test_the_gradient_is_the_slope_of_the_loss(student):
    batch, step = batch_of(), 1e-6

    def loss(shift, name):
        risk = crd(normaliser=9.0, clean=0.0, kd=1e-9)
        with torch.no_grad():
            dict(student=student[1].weight, embedding=risk.student_embedding.weight,
                 teacher=risk.teacher_embedding.weight)[name][1, 2] += shift
            value = risk(student, batch, generator=seeded(4))
            student[1].weight[1, 2] -= shift if name == "student" else 0.0
        return value

    risk = crd(normaliser=9.0, clean=0.0, kd=1e-9)
    found = torch.autograd.grad(risk(student, batch, generator=seeded(4)),
                                [student[1].weight, risk.student_embedding.weight, risk.teacher_embedding.weight])
    for name, gradient in zip(("student", "embedding", "teacher"), found, strict=True):
        slope = (loss(step, name) - loss(-step, name)) / (2 * step)
        torch.testing.assert_close(gradient[1, 2], slope, rtol=1e-5, atol=1e-8)


def test_at_products_of_zero_the_loss_is_that_of_the_docstring(student):
    """For each direction: K log(1 + 1/K) + log(1 + K) with the estimate, K log(1 + N/K) + log(1 + K/N) as printed."""
    size, k = len(FILE_ROWS), NEGATIVES
    for normaliser, one in ((None, k * math.log(1 + 1 / k) + math.log(1 + k)),
                            (1.0, k * math.log(1 + size / k) + math.log(1 + k / size))):
        risk = crd(normaliser=normaliser, crd=1.0, clean=1e-12)
        risk.student_memory.zero_(), risk.teacher_memory.zero_()
        assert risk(student, batch_of(), generator=seeded()).item() == pytest.approx(2 * one, rel=1e-9)


def test_the_constant_is_that_of_the_first_step(student):
    risk = crd(clean=1e-12, crd=1.0)
    first, second = batch_of(), batch_of(seed=3, picked=(2, 3, 6, 7, 0, 1))
    _, constants = contrast_by_hand(risk, student, first, drawn(risk, first, 4), None)
    risk(student, first, generator=seeded(4))
    torch.testing.assert_close(risk.log_z.exp().tolist(), constants)
    expected, _ = contrast_by_hand(risk, student, second, drawn(risk, second, 5), constants)
    torch.testing.assert_close(risk(student, second, generator=seeded(5)), expected, rtol=1e-9, atol=0)
    torch.testing.assert_close(risk.log_z.exp().tolist(), constants)


def test_memories_take_in_the_batch_and_nothing_else(student):
    risk, batch = crd(momentum=0.8), batch_of()
    before = {name: getattr(risk, name).clone() for name in ("student_memory", "teacher_memory")}
    sorted_rows = FILE_ROWS.sort().values.tolist()
    for memory in before.values():
        torch.testing.assert_close(memory.norm(dim=1), torch.ones(10).double(), rtol=1e-6, atol=0)
    risk(student, batch, generator=seeded(4)).backward()  # the backward pass does not mind the new memory
    for name, features, embedding in (("student_memory", student[:3], risk.student_embedding),
                                      ("teacher_memory", risk.teacher.network[:3], risk.teacher_embedding)):
        now = getattr(risk, name)
        assert not now.requires_grad
        for place, row in enumerate(sorted_rows):
            if row not in batch.rows.tolist():
                assert torch.equal(now[place], before[name][place])
                continue
            b = batch.rows.tolist().index(row)
            v = unit(embedding(features(batch.images[b:b + 1]))[0].detach())
            torch.testing.assert_close(now[place], unit(0.8 * before[name][place] + 0.2 * v))


def test_negatives_are_different_rows_of_other_classes_each_as_likely(student):
    risk, rows = crd(), torch.tensor([40, 7, 33])
    places, sorted_labels = risk.places(rows), FILE_LABELS[FILE_ROWS.argsort()]
    assert sorted_labels[places].tolist() == [0, 1, 2]
    counts, trials, generator = torch.zeros(3, 10), 600, seeded()
    with unchanged_global_rng():
        for _ in range(trials):
            negatives = risk.draw_negatives(places, generator)
            assert all(len(set(row)) == NEGATIVES for row in negatives.tolist())
            counts.scatter_add_(1, negatives, torch.ones(3, NEGATIVES))
    for b, label in enumerate((0, 1, 2)):
        other = sorted_labels != label
        assert counts[b][~other].sum() == 0
        assert_probabilities(counts[b][other].tolist(), [NEGATIVES / int(other.sum())] * int(other.sum()), trials)


def test_all_rows_of_other_classes_can_be_negatives(student):
    risk = crd(negatives=6)  # class 0 has four rows of ten
    found = risk.draw_negatives(risk.places(torch.tensor([40])), seeded())
    assert sorted(FILE_ROWS.sort().values[found[0]].tolist()) == [3, 7, 11, 21, 33, 90]


def test_without_a_contrast_it_is_plain_distillation_and_draws_the_same_mixes(student):
    teacher, batch = Teacher(network(2, 6)), batch_of()
    options = {"mixer": Mixup(), "clean": 0.2, "mixed": 0.4, "kd": 0.3, "kd_mixed": 0.2, "label": "teacher"}
    plain = DistillationRisk(teacher, **options)(student, batch, generator=seeded(4))
    torch.testing.assert_close(crd(teacher, crd=0.0, **options)(student, batch, generator=seeded(4)), plain)


def test_mixed_images_do_not_enter_the_contrast(student):
    """With a mixer, the loss is that of distillation plus that of the contrast on natural images alone."""
    teacher, batch = Teacher(network(2, 6)), batch_of()
    options = {"mixer": CutMix(), "clean": 0.0, "mixed": 1.0}
    draws = seeded(4)
    plain = DistillationRisk(teacher, **options)(student, batch, generator=draws)
    risk = crd(teacher, crd=1.0, normaliser=9.0, **options)
    negatives = risk.draw_negatives(risk.places(batch.rows), draws)
    contrast, _ = contrast_by_hand(risk, student, batch, negatives, [9.0, 9.0])
    torch.testing.assert_close(risk(student, batch, generator=seeded(4)), plain + contrast, rtol=1e-7, atol=0)


def test_a_mixer_that_looks_at_the_student_first_composes_as_well():
    images, rows = torch.randn(6, 1, 16, 16, generator=seeded()), FILE_ROWS[:6]
    made = build("bench-net", CLASSES, 1, 2, generator=seeded())
    risk = CRDRisk(Teacher(made), rows=FILE_ROWS, labels=FILE_LABELS, width=8, layer="head.linear",
                   teacher_layer="head.linear", negatives=3, mixer=PuzzleMix(blocks=4), mixed=1.0)
    assert risk(made, Batch(images, FILE_LABELS[:6], rows), generator=seeded()).isfinite()


def test_features_move_towards_the_teacher_s(student):
    """Trained on the contrast alone, each row's student embedding finds its own row among the teacher's."""
    risk, batch = crd(clean=1e-9, tau=0.2, dim=8, negatives=6), batch_of(picked=range(10))
    optimizer = torch.optim.SGD([*student.parameters(), *(each for each in risk.parameters() if each.requires_grad)],
                                lr=0.1, momentum=0.9)
    losses = []
    for step in range(150):
        loss = risk(student, batch, generator=seeded(step))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert sum(losses[-10:]) < 0.5 * sum(losses[:10])
    order = FILE_ROWS.argsort()
    embedded = risk.student_embedding(student[:3](batch.images)).detach()
    nearest = (embedded @ risk.teacher_memory.T).argmax(1)
    assert (order[nearest] == torch.arange(10)).sum() >= 8


class Stopped(Exception):
    """Somebody pulled the plug."""


def digits_run(folder=None, stop_at=None, **options):
    """Two epochs of CRD on digits, with checkpoints; `stop_at` counts steps until it ends early."""
    data = load("digits", limit=96)
    model, other = (
        initialise(nn.Sequential(nn.Flatten(), nn.Linear(64, each), nn.BatchNorm1d(each), nn.ReLU(),
                                 nn.Linear(each, 10)), seeded(each)) for each in (16, 12))
    risk = CRDRisk(
        Teacher(other), rows=data.train.rows, labels=data.train.labels, width=16, layer="4", teacher_layer="4",
        negatives=20, kd=0.5, mixed=0.5, mixer=CutMix(), generator=seeded(3))
    steps = 0

    def count(*_):
        nonlocal steps
        steps += model.training
        if steps == stop_at:
            raise Stopped

    model.register_forward_pre_hook(count)
    fit(model, risk, data, recipes["demo"].over(2), device="cpu", checkpoint=folder, every=1, **options)
    return model, risk


def test_a_run_that_was_stopped_goes_on_to_the_same_bits(tmp_path):
    model, risk = digits_run(tmp_path / "whole")
    with pytest.raises(Stopped):
        digits_run(tmp_path / "stopped", stop_at=4)
    again, resumed = digits_run(tmp_path / "stopped")
    for one, other in ((model, again), (risk, resumed)):
        theirs = other.state_dict()
        assert all(torch.equal(value, theirs[name]) for name, value in one.state_dict().items())
    assert set(risk.state_dict()) == {
        "student_memory", "teacher_memory", "log_z", "student_embedding.weight", "student_embedding.bias",
        "teacher_embedding.weight", "teacher_embedding.bias"}


def test_it_trains_in_mixed_precision_and_remembers_in_full():
    _, risk = digits_run(precision="bf16-mixed")
    for memory in (risk.student_memory, risk.teacher_memory):
        assert memory.dtype == torch.float32
        torch.testing.assert_close(memory.norm(dim=1), torch.ones(len(memory)))
    assert risk.log_z.isfinite().all()


def test_it_is_built_from_names(tmp_path):
    data, model = load("digits", limit=96), build("bench-net", 10, 1, 2, generator=seeded())
    teacher = Teacher(build("bench-net", 10, 1, 3, generator=seeded()))
    teacher.save(tmp_path / "teacher.pt", name="bench-net", num_classes=10, in_channels=1, width=3)
    spec = {"name": "crd", "teacher": {"checkpoint": str(tmp_path / "teacher.pt")}, "negatives": 10, "dim": 16}
    risk = build_risk(spec, model=model, classes=10, generator=seeded(), data=data)
    assert risk.student_embedding.weight.shape == (16, 8) and risk.teacher_embedding.weight.shape == (16, 12)
    assert torch.equal(risk.rows, data.train.rows) and torch.equal(risk.classes, data.train.labels)
    with pytest.raises(ValueError, match="expected a model, a number of classes and data for the risk 'crd'"):
        build_risk(spec, model=model, classes=10)


@pytest.mark.parametrize(("options", "message"), [
    ({"negatives": 7}, "at most 6 negatives, .* received 7"), ({"negatives": 0}, "positive integer negatives"),
    ({"dim": 0}, "positive integer dim"), ({"tau": 0.0}, "positive tau"), ({"normaliser": -1.0}, "positive normaliser"),
    ({"momentum": 1.0}, r"momentum in \[0, 1\)"), ({"crd": -1.0}, "crd >= 0"), ({"kd": -1.0}, "kd >= 0"),
    ({"rows": torch.zeros(10, dtype=torch.int64)}, "different int64 rows"),
    ({"labels": FILE_LABELS[:9]}, r"received torch.int64 of shape \(10,\) and torch.int64 of shape \(9,\)"),
    ({"teacher_layer": "2"}, "linear one, received Tanh"), ({"teacher_layer": "x"}, "a layer of the network"),
    ({"mixed": 1.0}, "received neither"),
])
def test_options_that_do_not_fit_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        crd(**options)


def test_batches_that_do_not_fit_are_refused(student):
    risk, batch = crd(), batch_of()
    with pytest.raises(ValueError, match="a batch of images, labels and rows, and a generator"):
        risk(student, batch[:2], generator=seeded())
    with pytest.raises(ValueError, match="a batch of images, labels and rows, and a generator"):
        risk(student, batch)
    for row in (5, 1000):
        strange = batch._replace(rows=torch.tensor([row, *batch.rows[1:].tolist()]))
        with pytest.raises(ValueError, match=rf"expected rows of the 10 that were given, received \[{row}\]"):
            risk(student, strange, generator=seeded())
    with pytest.raises(ValueError, match="features of length 7, received 4"):
        crd(width=7)(student, batch, generator=seeded())

"""Distillation against its formula, term by term, and the teacher it must leave alone."""

import math

import pytest
import torch
from oracle import seeded, unchanged_global_rng
from torch import nn

from mixlab.data import Split, load
from mixlab.data.mixed import read_mixed
from mixlab.mixers import CutMix, Mixup, PuzzleMix
from mixlab.models import Teacher, build
from mixlab.risk import DistillationRisk, SaliencyRisk, VicinalRisk, build_risk
from mixlab.risk.distillation import softened_kl
from mixlab.train import fit, recipes
from mixlab.train.fingerprint import fingerprint

CLASSES, ROWS, SIZE = 3, 8, (1, 4, 4)


def linear(seed, classes=CLASSES):
    network = nn.Sequential(nn.Flatten(), nn.Linear(math.prod(SIZE), classes)).double()
    for parameter in network.parameters():
        nn.init.normal_(parameter, generator=seeded(seed))
    return network


@pytest.fixture
def batch(generator):
    images = torch.randn(ROWS, *SIZE, generator=generator, dtype=torch.float64)
    return images, torch.randint(CLASSES, (ROWS,), generator=generator)


@pytest.fixture
def student():
    return linear(1)


@pytest.fixture
def teacher():
    return Teacher(linear(2))


def pictures(count=12, seed=5, soft=False):
    """A set of random pictures, with soft labels or without."""
    images = torch.randint(256, (count, *SIZE), generator=seeded(seed), dtype=torch.uint8)
    labels = torch.rand(count, CLASSES, generator=seeded(seed)).softmax(1) if soft else None
    return Split(images, torch.zeros(count, dtype=torch.int64), soft=labels)


def probabilities(network, images, temperature=1.0):
    """Softmax, written out."""
    weight, bias = network[1].weight.detach(), network[1].bias.detach()
    scores = (images.flatten(1) @ weight.T + bias) / temperature
    return scores.exp() / scores.exp().sum(1, keepdim=True)


def terms_by_hand(student, teacher, batch, mix, label, temperature):
    """The four terms of the formula, one row and one class at a time."""
    images, labels = batch
    mixed, own = mix.apply(images), mix.targets(labels, CLASSES).double()
    said = probabilities(teacher.network, mixed)
    target = {"argmax": torch.eye(CLASSES).double()[said.argmax(1)], "teacher": said, "mix": own}[label]
    natural, on_mixed = probabilities(student, images), probabilities(student, mixed)
    found = dict.fromkeys(("clean", "mixed", "kd", "kd_mixed"), 0.0)
    for b in range(ROWS):
        found["clean"] -= natural[b, labels[b]].log() / ROWS
        for c in range(CLASSES):
            found["mixed"] -= target[b, c] * on_mixed[b, c].log() / ROWS
            for term, seen in (("kd", images), ("kd_mixed", mixed)):
                p, q = (probabilities(network, seen, temperature)[b, c] for network in (teacher.network, student))
                found[term] += temperature**2 * p * (p / q).log() / ROWS
    return found


@pytest.mark.parametrize("label", ["argmax", "mix", "teacher"])
@pytest.mark.parametrize("weights", [
    {"clean": 1.0, "mixed": 0.0}, {"clean": 0.0, "mixed": 1.0}, {"clean": 0.0, "mixed": 0.0, "kd": 1.0},
    {"clean": 0.0, "mixed": 0.0, "kd_mixed": 1.0}, {}, {"clean": 1.8, "mixed": 1.8, "kd": 0.2},
    {"clean": 0.1, "mixed": 0.4, "kd": 0.9, "kd_mixed": 0.3},
])
def test_every_term_is_the_one_of_the_formula(student, teacher, batch, label, weights):
    given = {"clean": 0.5, "mixed": 0.5, "kd": 0.0, "kd_mixed": 0.0} | weights
    mixer = Mixup() if given["mixed"] or given["kd_mixed"] else None
    risk = DistillationRisk(teacher, mixer=mixer, label=label, temperature=3.0, **weights)
    terms = terms_by_hand(student, teacher, batch, Mixup().draw(batch[0], generator=seeded(4)), label, 3.0)
    loss = risk(student, batch, generator=seeded(4))
    expected = sum(given[name] * terms[name] for name in given)
    torch.testing.assert_close(loss, expected, rtol=1e-6, atol=0)  # weights of a mix are kept in float32


def test_plain_distillation_is_a_tenth_of_the_label_and_nine_tenths_of_the_teacher(student, teacher, batch):
    risk = DistillationRisk(teacher, clean=0.1, mixed=0.0, kd=0.9, temperature=4.0)
    images, labels = batch
    natural = probabilities(student, images)
    p, q = (probabilities(network, images, 4.0) for network in (teacher.network, student))
    cross_entropy = -natural[range(ROWS), labels].log().mean()
    kl = (p * (p / q).log()).sum(1).mean()
    loss = risk(student, batch)
    torch.testing.assert_close(loss, 0.1 * cross_entropy + 0.9 * 16 * kl, rtol=1e-13, atol=0)
    loss.backward()
    of_logits = (0.1 * (natural - torch.eye(CLASSES).double()[labels]) + 0.9 * 4 * (q - p)) / ROWS
    torch.testing.assert_close(student[1].weight.grad, of_logits.T @ images.flatten(1), rtol=1e-10, atol=1e-12)


def test_a_divergence_at_a_high_temperature_compares_centred_logits():
    """T² KL tends to the mean over rows of |z_t - z_s|² / 2C where the logits of a row have mean 0."""
    student, teacher = (torch.randn(5, 4, generator=seeded(seed), dtype=torch.float64) for seed in (1, 2))
    centred = [each - each.mean(1, keepdim=True) for each in (student, teacher)]
    limit = (centred[0] - centred[1]).square().sum(1).mean() / (2 * 4)
    torch.testing.assert_close(softened_kl(student, teacher, 1e4), limit, rtol=1e-3, atol=0)
    assert softened_kl(student, student + 3, 2.0) < 1e-15


def test_the_gradient_of_a_divergence_is_the_difference_of_the_softened_answers():
    student = torch.randn(5, 4, generator=seeded(1), dtype=torch.float64).requires_grad_()
    teacher = torch.randn(5, 4, generator=seeded(2), dtype=torch.float64).requires_grad_()
    softened_kl(student, teacher, 4.0).backward()
    expected = 4.0 * ((student / 4).softmax(1) - (teacher / 4).softmax(1)) / 5
    torch.testing.assert_close(student.grad, expected.detach())
    assert teacher.grad is None


def small_network(seed=0):
    """Batch statistics tell whether the student saw one image too many."""
    return build("bench-net", CLASSES, 1, 2, generator=seeded(seed))


def images_for(network_side=12, rows=ROWS):
    return torch.randn(rows, 1, network_side, network_side, generator=seeded(3)), torch.arange(rows) % CLASSES


def test_with_the_mix_s_own_label_alone_it_is_the_vicinal_risk(teacher):
    batch, losses, states = images_for(), [], []
    for risk in (DistillationRisk(teacher, mixer=CutMix(), clean=0.0, mixed=1.0, label="mix"), VicinalRisk(CutMix())):
        network = small_network()
        losses.append(risk(network, batch, generator=seeded(4)))
        losses[-1].backward()
        states.append([*(each.grad for each in network.parameters()), *network.buffers()])
    assert losses[0] == losses[1]
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(*states, strict=True))


def test_a_mixer_that_needs_a_saliency_is_given_the_student_s(teacher):
    batch, mixer = images_for(16), PuzzleMix(blocks=4)
    risk = DistillationRisk(teacher, mixer=mixer, clean=0.0, mixed=1.0, label="mix")
    expected = SaliencyRisk(mixer)(small_network(), batch, generator=seeded(4))
    assert risk(small_network(), batch, generator=seeded(4)) == expected


def test_student_sees_natural_and_mixed_images_in_one_batch(student, teacher, batch):
    seen = []
    student.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    DistillationRisk(teacher, mixer=Mixup())(student, batch, generator=seeded(4))
    mixed = Mixup().draw(batch[0], generator=seeded(4)).apply(batch[0])
    assert len(seen) == 1 and torch.equal(seen[0], torch.cat([batch[0], mixed]))


def test_no_gradient_reaches_the_teacher_and_none_comes_through_its_answers(student, teacher, batch):
    for parameter in teacher.parameters():
        parameter.requires_grad_(True)  # not even then
    risk = DistillationRisk(teacher, mixer=Mixup(), label="teacher", kd=1.0, kd_mixed=1.0)
    images = batch[0].clone().requires_grad_()
    risk(student, (images, batch[1]), generator=seeded(4)).backward()
    assert all(each.grad is None for each in teacher.parameters())
    others = images.grad
    constant = linear(1)
    mix = Mixup().draw(batch[0], generator=seeded(4))
    leaf = batch[0].clone().requires_grad_()
    mixed = mix.apply(leaf)
    said, said_mixed = teacher(leaf).detach(), teacher(mixed).detach()
    loss = 0.5 * nn.functional.cross_entropy(constant(leaf), batch[1])
    loss = loss + 0.5 * nn.functional.cross_entropy(constant(mixed), said_mixed.softmax(1))
    loss = loss + softened_kl(constant(leaf), said, 4.0) + softened_kl(constant(mixed), said_mixed, 4.0)
    loss.backward()
    torch.testing.assert_close(others, leaf.grad)


class Brighter(nn.Module):
    """A teacher of two classes: which half of a picture is brighter, left or right."""

    def forward(self, images):
        half = images.shape[-1] // 2
        return torch.stack([images[..., :half].sum((1, 2, 3)), images[..., half:].sum((1, 2, 3))], 1)


def test_the_winner_is_asked_for_anew_when_augmentation_changes_the_picture():
    """Mirrored, a picture has another winner: an answer that was kept would label half of the pictures wrongly."""
    images = torch.zeros(6, *SIZE, dtype=torch.uint8)
    images[:, :, :, :2] = 255  # bright on the left, all of them
    teacher, student, seen = Teacher(Brighter()), linear(1, classes=2).float(), []
    student.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    risk = DistillationRisk(teacher, images=Split(images, torch.zeros(6, dtype=torch.int64)), clean=0.0, mixed=1.0,
                            mean=(0.5,), std=(0.5,), augment="flip")
    answers = []
    for step in range(4):
        loss = risk(student, (torch.zeros(6, *SIZE), torch.zeros(6, dtype=torch.int64)), generator=seeded(step))
        right = (seen[-1][:, 0, 0, -1] > 0).long()  # 1 where the picture was mirrored
        answers.append(right)
        expected = nn.functional.cross_entropy(student(seen[-1]), right)
        seen.pop()  # of the line before
        torch.testing.assert_close(loss, expected)
    assert 0 < torch.stack(answers).float().mean() < 1


def test_the_label_of_a_mix_changes_as_the_teacher_s_answer_does(student, batch):
    losses = [DistillationRisk(Teacher(linear(seed)), mixer=Mixup(), clean=0.0, mixed=1.0)(
        student, batch, generator=seeded(4)) for seed in (2, 3)]
    mixed = Mixup().draw(batch[0], generator=seeded(4)).apply(batch[0])
    winners = [linear(seed)(mixed).argmax(1) for seed in (2, 3)]
    assert not torch.equal(*winners)
    for loss, winner in zip(losses, winners, strict=True):
        torch.testing.assert_close(loss, nn.functional.cross_entropy(student(mixed), winner))


def with_set(teacher, split, **options):
    weights = {"clean": 0.0, "mixed": 1.0} | options
    return DistillationRisk(teacher, images=split, mean=(0.2,), std=(0.3,), **weights)


def test_a_fixed_set_gives_as_many_of_its_pictures_as_the_batch_has_rows(student, teacher, batch):
    split, seen = pictures(count=12), []
    student.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    risk, drawn = with_set(teacher, split), set()
    for step in range(20):
        with unchanged_global_rng():
            risk(student, batch, generator=seeded(step))
        values = ((seen[-1] * 0.3 + 0.2) * 255).round()
        rows = [next(n for n in range(12) if torch.equal(split.images[n].double(), each)) for each in values]
        assert len(set(rows)) == len(rows) == ROWS
        drawn.add(tuple(rows))
    assert len(drawn) == 20 and {row for rows in drawn for row in rows} == set(range(12))


def test_a_set_smaller_than_the_batch_is_drawn_from_with_repeats(student, teacher, batch):
    seen = []
    student.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    with_set(teacher, pictures(count=3))(student, batch, generator=seeded())
    assert len(seen[0]) == ROWS and len(seen[0].unique(dim=0)) <= 3


def test_soft_labels_of_a_set_are_those_of_its_rows(student, teacher, batch):
    split, seen = pictures(soft=True), []
    student.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    loss = with_set(teacher, split, label="mix")(student, batch, generator=seeded(2))
    values = ((seen[0] * 0.3 + 0.2) * 255).round()
    rows = [next(n for n in range(12) if torch.equal(split.images[n].double(), each)) for each in values]
    expected = -(split.soft[rows].double() * student(seen[0]).log_softmax(1)).sum(1).mean()
    torch.testing.assert_close(loss, expected)


def test_labels_of_a_set_are_not_read_but_for_the_mix_s_own(student, teacher, batch):
    split = pictures()
    other = Split(split.images, torch.full((12,), 2))
    assert with_set(teacher, split)(student, batch, generator=seeded()) == with_set(teacher, other)(
        student, batch, generator=seeded())


def test_a_set_and_a_teacher_stay_out_of_checkpoints_and_count_in_what_a_run_is(teacher, student):
    data, recipe = load("digits", limit=64), recipes["demo"]
    risk = with_set(teacher, pictures(soft=True), label="mix")
    assert risk.images.dtype == torch.uint8 and risk.state_dict() == {}
    assert not any(each.requires_grad for each in risk.parameters())

    def identity(*arguments, **options):
        return fingerprint(student, with_set(*arguments, **options), data, recipe)

    same = identity(teacher, pictures())
    assert same == identity(Teacher(linear(2)), pictures())
    others = [identity(Teacher(linear(3)), pictures()), identity(teacher, pictures(seed=6)),
              identity(teacher, pictures(), kd=0.5), identity(teacher, pictures(), augment="flip"),
              identity(teacher, pictures(), temperature=2.0), identity(teacher, pictures(), label="teacher")]
    assert same not in others
    assert identity(teacher, pictures(soft=True), label="mix") != identity(teacher, pictures(seed=5), label="teacher")


def test_a_teacher_stays_as_it_was_to_the_last_bit_while_a_student_learns(tmp_path):
    data = load("digits", limit=96)
    before = build("preact-resnet18", 10, 1, 2, generator=seeded(7)).train()
    teacher, student = Teacher(before), build("preact-resnet18", 10, 1, 2, generator=seeded(8))
    first = [each.clone() for each in student.state_dict().values()]
    risk = DistillationRisk(teacher, mixer=CutMix(), kd=0.5, kd_mixed=0.5)
    fit(student, risk, data, recipes["demo"].over(1), device="cpu", checkpoint=tmp_path)
    weights = before.state_dict()
    assert all(torch.equal(value, weights[name]) for name, value in teacher.network.state_dict().items())
    assert not any(torch.equal(*pair) for pair in zip(first, student.state_dict().values(), strict=True))
    saved = torch.load(tmp_path / "last.ckpt", weights_only=True)["state"]
    assert saved["risk"] == {}
    assert len(saved["optimizer"]["state"]) == len(list(student.parameters()))


def test_a_teacher_computes_in_its_own_precision_whatever_the_student_does(teacher):
    images = torch.randn(4, *SIZE, generator=seeded(3)).bfloat16()
    risk = DistillationRisk(teacher, mixer=Mixup())
    with torch.autocast("cpu", torch.bfloat16):
        answers = risk.ask(images)
    assert torch.equal(answers, teacher(images.double()))


@pytest.mark.parametrize(("options", "message"), [
    ({"mixer": None}, "where mixed or kd_mixed is above 0, received neither"),
    ({"mixer": None, "mixed": 0.0, "kd_mixed": 1.0}, "received neither"),
    ({"images": pictures()}, "received both"),
    ({"mixed": 0.0}, "above 0 with a mixer or a set of images, received 0 and 0"),
    ({"clean": 0.0, "mixed": 0.0, "mixer": None}, "a weight above 0 among .* received none"),
    ({"clean": -1.0}, "clean >= 0, received -1.0"), ({"kd": math.nan}, "kd >= 0, received nan"),
    ({"kd_mixed": True}, "kd_mixed >= 0, received True"), ({"temperature": 0}, "positive temperature, received 0"),
    ({"label": "hard"}, "argmax, mix, teacher, received 'hard'"), ({"augment": "blur"}, "received 'blur'"),
    ({"mixer": None, "images": pictures(), "mean": (0.5,), "std": (0.5,), "label": "mix"}, "soft labels for label"),
    ({"mixer": None, "images": pictures()}, "mean and std .* received 12 rows, None and None"),
    ({"mixer": None, "images": pictures(0), "mean": (0.5,), "std": (0.5,)}, "at least one row"),
    ({"mixer": None, "images": pictures(), "mean": (0.5,) * 3, "std": (0.5,) * 3}, "1 channels, received 3 and 3"),
])
def test_options_that_do_not_fit_are_refused(teacher, options, message):
    with pytest.raises(ValueError, match=message):
        DistillationRisk(teacher, **{"mixer": Mixup()} | options)


def test_what_does_not_fit_together_is_one_error_at_the_first_step(student, teacher, batch):
    with pytest.raises(ValueError, match="expected a mixlab.models.Teacher, received Sequential"):
        DistillationRisk(linear(2), mixer=Mixup())
    other = Teacher(linear(2, classes=5))
    for options in ({}, {"mixed": 0.0, "mixer": None, "kd": 1.0}):
        with pytest.raises(ValueError, match="a teacher of 3 classes, .* received one of 5"):
            DistillationRisk(other, **{"mixer": Mixup()} | options)(student, batch, generator=seeded())
    small = Split(torch.zeros(4, 1, 2, 2, dtype=torch.uint8), torch.zeros(4, dtype=torch.int64))
    with pytest.raises(ValueError, match=r"\(1, 4, 4\), as the batch's, received \(1, 2, 2\)"):
        with_set(teacher, small, clean=1.0)(student, batch, generator=seeded())
    with pytest.raises(ValueError, match="a generator, which draws from the fixed set"):
        with_set(teacher, pictures())(student, batch)


@pytest.fixture
def written(tmp_path):
    """A teacher's file and a written set."""
    from mixlab.distill import write_mixed

    digits = load("digits")
    teacher = Teacher(build("bench-net", 10, 1, 2, generator=seeded()), mean=(0.25,), std=(0.5,))
    teacher.save(tmp_path / "teacher.pt", name="bench-net", num_classes=10, in_channels=1, width=2)
    write_mixed(CutMix(), digits.train, tmp_path / "set", count=30, mean=digits.mean, std=digits.std,
                classes=digits.classes, keep="best", batch_size=30, per_shard=30)
    return teacher, digits, tmp_path


def test_a_risk_is_built_from_files(written):
    teacher, digits, folder = written
    file = {"checkpoint": str(folder / "teacher.pt"), "checksum": teacher.checksum}
    mixed = build_risk({"name": "distillation", "teacher": file, "mixer": {"name": "cutmix"}, "kd": 0.5})
    assert mixed.teacher.checksum == teacher.checksum and mixed.mixer == CutMix() and mixed.kd == 0.5
    fixed = build_risk({"name": "distillation", "teacher": file, "images": str(folder / "set"), "label": "mix",
                        "mean": [0.1], "std": [0.2]}, data=digits)
    split, _ = read_mixed(folder / "set")
    assert torch.equal(fixed.images, split.images) and torch.equal(fixed.soft, split.soft)
    assert (fixed.mean, fixed.std) == ((0.1,), (0.2,))


def test_teachers_and_sets_take_the_moments_of_the_data_unless_others_are_given(written):
    teacher, digits, folder = written
    file = {"checkpoint": str(folder / "teacher.pt")}
    spec = {"name": "distillation", "teacher": file, "images": str(folder / "set")}
    pixels = torch.rand(4, 1, 12, 12, generator=seeded())
    expected = teacher((pixels - 0.25) / 0.5)
    risk = build_risk(spec, data=digits)
    assert (risk.mean, risk.std) == (digits.mean, digits.std)
    torch.testing.assert_close(risk.ask((pixels - digits.mean[0]) / digits.std[0]), expected)
    given = build_risk(spec | {"teacher": file | {"mean": [0.0], "std": [1.0]}}, data=digits)
    torch.testing.assert_close(given.ask(pixels), expected)
    assert spec["teacher"] == file  # what a record keeps is not written to


@pytest.mark.parametrize(("change", "message"), [
    ({"teacher": "teacher.pt"}, "expected a teacher such as .* received 'teacher.pt'"),
    ({"teacher": {"checksum": "0"}}, "expected a teacher such as"), ({"temperature": -1}, "positive temperature"),
    ({"checksum": "0" * 64}, "expected the teacher 000000000000"), ({"beta": 1}, "cannot be built"),
    ({"mixer": {"name": "cutmix"}}, "received both"),
])
def test_a_specification_that_does_not_fit_is_one_clear_error(written, change, message):
    teacher, digits, folder = written
    file = {"checkpoint": str(folder / "teacher.pt")} | {"checksum": change.pop("checksum", teacher.checksum)}
    with pytest.raises(ValueError, match=message):
        build_risk({"name": "distillation", "teacher": file, "images": str(folder / "set")} | change, data=digits)

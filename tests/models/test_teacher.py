"""A teacher stays what it is, whoever holds it, and comes back from its file."""

import copy

import pytest
import torch
from torch import nn

from mixlab.models import Teacher, build
from mixlab.train.fingerprint import described

MEAN, STD = (0.2, 0.5), (0.5, 0.25)
NETWORK = {"name": "bench-net", "num_classes": 3, "in_channels": 2, "width": 4}


def network(seed=0):
    return build(NETWORK["name"], 3, 2, 4, torch.Generator().manual_seed(seed))


def images(seed=0):
    return torch.rand(4, 2, 12, 12, generator=torch.Generator().manual_seed(seed))


class Around(nn.Module):
    """A risk with something to learn and a teacher."""

    def __init__(self, teacher):
        super().__init__()
        self.head, self.teacher = nn.Linear(3, 3), teacher


@pytest.fixture
def saved(tmp_path):
    teacher = Teacher(network(), mean=MEAN, std=STD)
    teacher.save(tmp_path / "folder" / "teacher.pt", **NETWORK)
    return teacher, tmp_path / "folder" / "teacher.pt"


def test_training_around_a_teacher_changes_nothing_in_it():
    risk = Around(Teacher(nn.Sequential(nn.Flatten(), nn.BatchNorm1d(288), nn.Dropout(0.5), nn.Linear(288, 3)))).train()
    kept = copy.deepcopy(risk.teacher.network.state_dict())
    optimizer = torch.optim.SGD(risk.parameters(), lr=0.1, weight_decay=0.1)
    for step in range(3):
        optimizer.zero_grad()
        risk.head(risk.teacher(images(step))).logsumexp(1).sum().backward()
        optimizer.step()
    assert not risk.teacher.training and not any(part.training for part in risk.teacher.modules())
    assert all(each.grad is None and not each.requires_grad for each in risk.teacher.parameters())
    after = risk.teacher.network.state_dict()
    assert all(torch.equal(kept[name], after[name]) for name in kept)
    assert Teacher(risk.teacher.network).checksum == risk.teacher.checksum


def test_the_network_that_it_was_made_of_stays_trainable():
    net = network()
    teacher, before = Teacher(net), Teacher(net).checksum
    with torch.no_grad():
        net.head.linear.weight.add_(1)
    assert net.training and all(each.requires_grad for each in net.parameters())
    assert Teacher(teacher.network).checksum == before != Teacher(net).checksum


def test_it_is_differentiable_in_the_images():
    inputs = images().requires_grad_()
    Teacher(network())(inputs).sum().backward()
    assert inputs.grad.abs().sum() > 0


def test_checkpoints_of_what_holds_it_leave_it_out_and_load_again():
    risk, other = Around(Teacher(network())), Around(Teacher(network()))
    state = risk.state_dict()
    assert set(state) == {"head.weight", "head.bias"}
    other.load_state_dict(state)
    assert torch.equal(other.head.weight, risk.head.weight) and len(risk.teacher.state_dict()) == 0
    assert torch.equal(other.teacher(images()), risk.teacher(images()))


def test_a_missing_weight_of_what_holds_it_is_still_missed():
    risk = Around(Teacher(network()))
    with pytest.raises(RuntimeError, match=r'Missing key\(s\) in state_dict: "head.bias". $'):
        risk.load_state_dict({"head.weight": risk.head.weight})


def test_the_checksum_is_that_of_weights_and_buffers():
    def changed(edit):
        net = network()
        with torch.no_grad():
            edit(net)
        return Teacher(net).checksum

    same = changed(lambda net: None)
    assert same == Teacher(network()).checksum == changed(lambda net: net.to(memory_format=torch.channels_last))
    assert same != changed(lambda net: net.stage1[2].running_var.add_(1e-6))
    assert same != changed(lambda net: net.head.linear.weight[0, 0].add_(1e-6))


@pytest.mark.parametrize("moments", [((0.0, 0.0), (1.0, 1.0)), ((0.3, 0.1), (0.2, 2.0))], ids=str)
def test_images_of_other_moments_get_the_same_answers(moments):
    def normal(mean, std):
        return (images() - torch.tensor(mean).view(2, 1, 1)) / torch.tensor(std).view(2, 1, 1)

    teacher = Teacher(network(), mean=MEAN, std=STD)
    adapted = teacher.for_images(*moments)
    torch.testing.assert_close(adapted(normal(*moments)), teacher(normal(MEAN, STD)))
    assert not torch.allclose(teacher(normal(*moments)), teacher(normal(MEAN, STD)))
    assert adapted.network is teacher.network and adapted.checksum == teacher.checksum
    assert (adapted.mean, adapted.std, adapted.input_mean, adapted.input_std) == (MEAN, STD, *moments)
    back = adapted.for_images(MEAN, STD)
    assert torch.equal(back(normal(MEAN, STD)), teacher(normal(MEAN, STD)))


def test_moments_that_agree_or_are_not_known_change_nothing():
    teacher, without = Teacher(network(), mean=MEAN, std=STD), Teacher(network())
    assert teacher.for_images(list(MEAN), list(STD)) is teacher
    assert without.for_images(MEAN, STD) is without
    adapted = teacher.for_images((0.0, 0.0), (1.0, 1.0))
    assert adapted.for_images((0.0, 0.0), (1.0, 1.0)) is adapted


def test_a_file_gives_the_same_teacher(saved):
    teacher, path = saved
    again = Teacher.load(path, checksum=teacher.checksum)
    assert (again.checksum, again.mean, again.std) == (teacher.checksum, MEAN, STD)
    assert again.checkpoint == teacher.checkpoint == str(path)
    assert torch.equal(again(images()), teacher(images()))
    assert repr(again) == f"Teacher(BenchNet, {teacher.checksum[:12]})"


def test_where_its_file_lies_is_no_part_of_what_it_is(saved):
    teacher, path = saved
    elsewhere = path.with_name("elsewhere.pt")
    elsewhere.write_bytes(path.read_bytes())
    assert described(Teacher.load(path)) == described(Teacher.load(elsewhere)) == described(teacher)
    assert described(teacher) != described(teacher.for_images((0.0, 0.0), (1.0, 1.0)))
    assert described(teacher) != described(Teacher(network(1), mean=MEAN, std=STD))


def test_every_damaged_byte_is_noticed_or_harmless(saved):
    teacher, path = saved
    content = path.read_bytes()
    for place in range(0, len(content), len(content) // 50):
        damaged = bytearray(content)
        damaged[place] ^= 0xFF
        path.write_bytes(damaged)
        try:
            read = Teacher.load(path)
        except ValueError as error:
            assert str(path) in str(error)
        else:
            assert read.checksum == teacher.checksum and torch.equal(read(images()), teacher(images()))


@pytest.mark.parametrize("content", [b"", b"no archive", None], ids=["empty", "text", "half"])
def test_what_is_no_teacher_is_one_error(saved, content):
    _, path = saved
    path.write_bytes(path.read_bytes()[:5000] if content is None else content)
    with pytest.raises(ValueError, match=r"expected a teacher's file at .*, received one that cannot be read"):
        Teacher.load(path)


def test_the_file_of_something_else_is_one_error(saved, tmp_path):
    torch.save({"state": {}}, tmp_path / "other.ckpt")
    with pytest.raises(ValueError, match="expected a teacher's file"):
        Teacher.load(tmp_path / "other.ckpt")
    with pytest.raises(FileNotFoundError):
        Teacher.load(tmp_path / "none.pt")


def test_weights_changed_in_the_file_and_another_teacher_are_refused(saved):
    _, path = saved
    with pytest.raises(ValueError, match="expected the teacher 000000000000 at .*, received "):
        Teacher.load(path, checksum="0" * 64)
    content = torch.load(path, weights_only=True)
    content["weights"]["head.linear.weight"] += 1e-6
    torch.save(content, path)
    with pytest.raises(ValueError, match="weights are damaged"):
        Teacher.load(path)


@pytest.mark.parametrize("wrong", [{"width": 5}, {"num_classes": 4}, {"name": "lenet", "width": None}], ids=str)
def test_a_file_that_could_not_be_read_again_is_not_written(tmp_path, wrong):
    with pytest.raises(ValueError, match=r"expected the weights of \{.*\}, received others: "):
        Teacher(network()).save(tmp_path / "teacher.pt", **NETWORK | wrong)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("make", [
    lambda: Teacher("lenet"),
    lambda: Teacher(nn.Flatten(), mean=(0.5,)),
    lambda: Teacher(nn.Flatten(), mean=(0.5,), std=(0.0,)),
    lambda: Teacher(nn.Flatten(), mean=0.5, std=0.5),
    lambda: Teacher(nn.Flatten(), mean=(0.5,), std=(1.0,)).for_images((0.5, 0.5), (1.0, 1.0)),
])
def test_what_cannot_be_a_teacher_is_refused(make):
    with pytest.raises(ValueError, match="expected a .*, received"):
        make()

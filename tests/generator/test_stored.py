"""A stored generator stays what it is, whoever holds it, and comes back from its file."""

import copy

import pytest
import torch
from oracle import seeded
from torch import nn

from mixlab.generator import ConditionalUNet, SampleGenerator, soft_labels
from mixlab.models import Teacher, build
from mixlab.train.fingerprint import described

MEAN, STD = (0.2, 0.5), (0.5, 0.25)


def network(seed=0, **options):
    return ConditionalUNet(3, **{"in_channels": 2, "base": 2, "downs": 1, "mean": MEAN, "std": STD,
                                 "generator": seeded(seed)} | options)


def pixels():
    return torch.rand(4, 2, 6, 6, generator=seeded(1))


def normalised(mean, std):
    return (pixels() - torch.tensor(mean).view(2, 1, 1)) / torch.tensor(std).view(2, 1, 1)


LABELS = torch.tensor([0, 1, 2, 1])
MU = soft_labels(LABELS, 3, 0.5, generator=seeded(2))


@pytest.fixture
def saved(tmp_path):
    made = SampleGenerator(network(), epsilon=0.3, background="one", classifier="c" * 64, about={"data": "digits"})
    made.save(tmp_path / "folder" / "generator.pt")
    return made, tmp_path / "folder" / "generator.pt"


class Around(nn.Module):
    """Something that learns, and holds a generator."""

    def __init__(self, generator):
        super().__init__()
        self.head, self.generator = nn.Linear(3, 3), generator


def test_it_is_a_frozen_copy_in_evaluation_mode():
    made_of = network()
    made = SampleGenerator(made_of).train()
    kept = copy.deepcopy(made.network.state_dict())
    with torch.no_grad():
        made_of.head.weight.add_(1)
    for _ in range(2):
        made.make(normalised(MEAN, STD), MU)
    assert made_of.training and not any(part.training for part in made.modules())
    assert not any(each.requires_grad for each in made.parameters())
    assert all(torch.equal(kept[name], value) for name, value in made.network.state_dict().items())
    # What it makes of an image does not depend on the batch.
    alone = made.make(normalised(MEAN, STD)[:1], MU[:1])
    torch.testing.assert_close(alone, made.make(normalised(MEAN, STD), MU)[:1])


def test_checkpoints_of_what_holds_it_leave_it_out_and_load_again():
    one, other = Around(SampleGenerator(network())), Around(SampleGenerator(network()))
    assert set(one.state_dict()) == {"head.weight", "head.bias"}
    other.load_state_dict(one.state_dict())
    assert torch.equal(one.head.weight, other.head.weight)


@pytest.mark.parametrize("moments", [((0.0, 0.0), (1.0, 1.0)), ((0.3, 0.1), (0.2, 2.0))], ids=str)
@pytest.mark.parametrize("output", ["bounded", "residual"])
def test_with_images_of_other_moments_it_makes_the_same_pixels(moments, output):
    made = SampleGenerator(network(output=output))
    adapted = made.for_images(*moments)

    def as_pixels(images, mean, std):
        return images * torch.tensor(std).view(2, 1, 1) + torch.tensor(mean).view(2, 1, 1)

    expected = as_pixels(made(normalised(MEAN, STD), MU), MEAN, STD)
    torch.testing.assert_close(as_pixels(adapted(normalised(*moments), MU), *moments), expected)
    assert adapted.checksum == made.checksum and adapted.epsilon == made.epsilon and adapted.num_classes == 3
    assert adapted.network is made.network and made.for_images(MEAN, STD) is made
    assert described(adapted) != described(made)


def test_draws_are_by_the_law_of_the_training():
    made = SampleGenerator(network(), epsilon=0.3, background="one")
    images, mu = made.draw(normalised(MEAN, STD), LABELS, generator=seeded(5))
    assert torch.equal(mu, soft_labels(LABELS, 3, 0.3, background="one", generator=seeded(5)))
    assert torch.equal(images, made(normalised(MEAN, STD), mu)) and not images.requires_grad
    wide = made.make(normalised(MEAN, STD).double(), mu)
    assert wide.dtype == torch.float64 and torch.equal(wide, images.double())


def test_a_file_gives_the_same_generator(saved):
    made, path = saved
    again = SampleGenerator.load(path, checksum=made.checksum, classifier="c" * 64)
    assert torch.equal(again(normalised(MEAN, STD), MU), made(normalised(MEAN, STD), MU))
    names = ("checksum", "epsilon", "background", "classifier", "about", "mean", "std", "checkpoint")
    assert [getattr(again, name) for name in names] == [getattr(made, name) for name in names]
    assert repr(again) == f"SampleGenerator(ConditionalUNet, {made.checksum[:12]})"
    found = SampleGenerator.from_config(made.for_images((0.0, 0.0), (1.0, 1.0)).to_config())
    assert found.input_mean == (0.0, 0.0) and found.checksum == made.checksum


def test_where_its_file_lies_and_how_it_came_about_are_no_part_of_what_it_is(saved):
    made, path = saved
    law = {"epsilon": 0.3, "background": "one", "classifier": "c" * 64}
    assert described(SampleGenerator(network(), **law)) == described(made) == described(SampleGenerator.load(path))
    for other in ({"epsilon": 0.4}, {"background": "uniform"}):
        assert described(SampleGenerator(network(), **law | other)) != described(made)
    assert described(SampleGenerator(network(1), **law)) != described(made)


@pytest.mark.parametrize("content", [b"", b"no archive", None], ids=["empty", "text", "half"])
def test_what_is_no_generator_is_one_error(saved, content):
    _, path = saved
    path.write_bytes(path.read_bytes()[:3000] if content is None else content)
    with pytest.raises(ValueError, match=r"expected a generator's file at .*, received one that cannot be read"):
        SampleGenerator.load(path)


def test_the_file_of_another_network_is_one_error(saved, tmp_path):
    made, path = saved
    sizes = {"num_classes": 3, "in_channels": 2, "width": 4}
    Teacher(build("bench-net", **sizes)).save(tmp_path / "teacher.pt", name="bench-net", **sizes)
    with pytest.raises(ValueError, match="expected a generator's file at .*: it has network, weights, .* no generator"):
        SampleGenerator.load(tmp_path / "teacher.pt")
    with pytest.raises(ValueError, match="expected a teacher's file"):
        Teacher.load(path)
    with pytest.raises(FileNotFoundError):
        SampleGenerator.load(tmp_path / "none.pt")
    content = torch.load(path, weights_only=True)
    torch.save(content | {"generator": content["generator"] | {"base": 3}}, tmp_path / "wider.pt")
    with pytest.raises(ValueError, match="expected a generator's file at .*, received one that cannot be read"):
        SampleGenerator.load(tmp_path / "wider.pt")
    with pytest.raises(ValueError, match="expected the generator 000000000000 at .*, received "):
        SampleGenerator.load(path, checksum="0" * 64)
    content["weights"]["head.weight"] += 1e-6
    torch.save(content, path)
    with pytest.raises(ValueError, match="weights are damaged"):
        SampleGenerator.load(path)


def test_a_generator_for_another_classifier_is_refused_where_that_matters(saved):
    made, path = saved
    with pytest.raises(ValueError, match="trained against the classifier dddddddddddd at .*, received cccccccccccc"):
        SampleGenerator.load(path, classifier="d" * 64)
    SampleGenerator(network()).save(path)
    with pytest.raises(ValueError, match="received one of an unknown classifier"):
        SampleGenerator.load(path, classifier="d" * 64)


@pytest.mark.parametrize("make", [
    lambda: SampleGenerator(nn.Flatten()), lambda: SampleGenerator(network(), epsilon=-0.1),
    lambda: SampleGenerator(network(), background="some"), lambda: SampleGenerator(network()).to_config(),
    lambda: SampleGenerator.from_config({"checksum": "0"}),
])
def test_what_cannot_be_a_generator_is_refused(make):
    with pytest.raises(ValueError, match="expected a .*, received|expected epsilon"):
        make()

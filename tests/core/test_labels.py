"""What labels may come in as, and what of them is refused with a way out."""

import pytest
import torch
from torch.nn.functional import one_hot

from mixlab.labels import plain_labels
from mixlab.mixers import CutMix, Mixup
from mixlab.risk import EmpiricalRisk, SaliencyRisk, VicinalRisk

CLASSES = torch.tensor([2, 0, 1, 2])
MODEL = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(16, 3))


@pytest.mark.parametrize("labels", [
    CLASSES[:, None], CLASSES[:, None].to(torch.uint8), one_hot(CLASSES), one_hot(CLASSES).to(torch.int32),
    one_hot(CLASSES).bool(), one_hot(CLASSES).double(),
], ids=["column", "small column", "integers", "int32", "bools", "doubles"])
def test_other_forms_of_labels_mean_what_indices_mean(labels):
    mix = CutMix(seed=1).draw(torch.rand(4, 1, 4, 4))
    assert torch.equal(mix.targets(labels, 3), mix.targets(CLASSES, 3))
    images = torch.rand(4, 1, 4, 4)
    for risk in (EmpiricalRisk(), VicinalRisk(Mixup()), SaliencyRisk(CutMix(), clean=1.0)):
        losses = [risk(MODEL, (images, each), generator=torch.Generator().manual_seed(0)) for each in (labels, CLASSES)]
        assert torch.allclose(*losses, rtol=1e-6)


def test_several_classes_at_once_are_taken_as_they_are():
    several = torch.tensor([[1, 1, 0], [0, 0, 0]])
    mix = Mixup(seed=1).draw(torch.rand(2, 4))
    assert torch.allclose(mix.targets(several), mix.weights[:, [0]] * several + mix.weights[:, [1]] * several.flip(0))


def test_a_column_of_integers_is_one_logit_where_there_is_one_class():
    assert torch.equal(plain_labels(torch.tensor([[1], [0]]), num_classes=1), torch.tensor([[1.0], [0.0]]))


def test_one_axis_of_floats_is_refused_and_the_message_says_what_to_pass():
    with pytest.raises(ValueError, match=r"labels.long\(\).*labels\[:, None\].*BCEWithLogitsLoss.*one logit a row"):
        CutMix().draw(torch.rand(4, 1, 4, 4)).targets(torch.rand(4), 3)
    # What it says works: one logit a row, and the binary cross-entropy of mixed chances.
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(16, 1))
    risk = VicinalRisk(CutMix(), loss=torch.nn.BCEWithLogitsLoss())
    images, chances, seed = torch.rand(4, 1, 4, 4), torch.rand(4), torch.Generator().manual_seed(0)
    mix = CutMix().draw(images, generator=torch.Generator().manual_seed(0))
    expected = torch.nn.functional.binary_cross_entropy_with_logits(
        model(mix.apply(images))[:, 0], (mix.weights * chances[mix.sources]).sum(1))
    assert torch.allclose(risk(model, (images, chances[:, None]), generator=seed), expected)


@pytest.mark.parametrize("labels", [
    torch.tensor([True, False]), torch.tensor([[0, 2], [1, 0]]), torch.zeros(2, 1, 1), torch.zeros(2, 3).cfloat(),
    torch.tensor([[-1, 1], [0, 1]]),
])
def test_other_labels_are_refused(labels):
    with pytest.raises(ValueError, match="expected .* received"):
        plain_labels(labels, 2)

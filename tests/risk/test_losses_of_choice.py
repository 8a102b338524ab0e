"""A loss of the user's choice beside mixing: the values it should have, and the scale it should keep."""

import pytest
import torch
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy, one_hot

from mixlab.mixers import CutMix, Identity, ManifoldMixup, Mixup, PuzzleMix
from mixlab.risk import EmpiricalRisk, ManifoldRisk, SaliencyRisk, SoftCrossEntropy, VicinalRisk, soft_cross_entropy
from mixlab.train import evaluate

WEIGHT = torch.tensor([0.2, 1.0, 5.0])


def seeded():
    return torch.Generator().manual_seed(0)


@pytest.fixture
def batch(generator):
    return torch.rand(12, 1, 4, 4, generator=generator), torch.randint(3, (12,), generator=generator)


@pytest.fixture
def model(generator):
    network = nn.Sequential(nn.Flatten(), nn.Linear(16, 3))
    nn.init.normal_(network[1].weight, generator=generator)
    return network


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 1.0])
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("weight", [None, WEIGHT], ids=["even", "weighted"])
def test_of_one_hot_targets_it_is_torchs_loss_of_class_indices(model, batch, smoothing, reduction, weight):
    logits, labels = model(batch[0]), batch[1]
    options = {"weight": weight, "label_smoothing": smoothing, "reduction": reduction}
    expected = cross_entropy(logits, labels, **options)
    assert torch.allclose(SoftCrossEntropy(**options)(logits, one_hot(labels, 3).float()), expected, rtol=1e-5)


def test_a_weighted_mixed_loss_is_written_out_and_keeps_the_scale(model, batch):
    images, labels = batch
    loss = VicinalRisk(Mixup(), loss=nn.CrossEntropyLoss(weight=WEIGHT))(model, batch, generator=seeded())
    mix = Mixup().draw(images, labels, generator=seeded())
    logs, above, below = model(mix.apply(images)).log_softmax(1).detach(), 0.0, 0.0
    for row in range(12):
        for slot in range(2):
            label = int(labels[mix.sources[row, slot]])
            weight = float(mix.weights[row, slot] * WEIGHT[label])
            above, below = above - weight * float(logs[row, label]), below + weight
    assert loss.item() == pytest.approx(above / below, rel=1e-5)
    # Where all losses are log 3, the weighted mean is log 3, mixed or not; torch's own, of soft targets, is not.
    flat = nn.Sequential(nn.Flatten(), nn.Linear(16, 3))
    nn.init.zeros_(flat[1].weight)
    nn.init.zeros_(flat[1].bias)
    weighted = nn.CrossEntropyLoss(WEIGHT)
    for risk in (VicinalRisk(Mixup(), loss=weighted), EmpiricalRisk(loss=weighted)):
        assert risk(flat, batch).item() == pytest.approx(torch.tensor(3.0).log().item(), rel=1e-6)
    mixed = Mixup().draw(images, labels, generator=seeded()).targets(labels, 3)
    assert cross_entropy(flat(images), mixed, WEIGHT).item() != pytest.approx(torch.tensor(3.0).log().item(), rel=0.05)


def test_without_mixing_it_is_torchs_weighted_loss(model, batch):
    expected = cross_entropy(model(batch[0]), batch[1], WEIGHT, label_smoothing=0.1)
    loss = nn.CrossEntropyLoss(WEIGHT, label_smoothing=0.1)
    for risk in (VicinalRisk(Identity(), loss=loss), EmpiricalRisk(loss=loss)):
        assert torch.allclose(risk(model, batch), expected, rtol=1e-5)


def test_binary_cross_entropy_sees_the_mixed_and_smoothed_targets(model, batch):
    images, labels = batch
    risk = VicinalRisk(CutMix(), label_smoothing=0.3, loss=nn.BCEWithLogitsLoss())
    mix = CutMix().draw(images, labels, generator=seeded())
    targets = 0.7 * mix.targets(labels, 3) + 0.1
    expected = binary_cross_entropy_with_logits(model(mix.apply(images)), targets)
    assert torch.equal(risk(model, batch, generator=seeded()), expected)


def test_any_function_of_logits_and_targets_is_a_loss(model, batch):
    def focal(logits, targets):
        return (targets * (1 - logits.softmax(1)) ** 2 * -logits.log_softmax(1)).sum(1).mean()

    assert EmpiricalRisk(loss=focal)(model, batch) == focal(model(batch[0]), one_hot(batch[1], 3).float())
    assert "focal" in repr(EmpiricalRisk(loss=focal))


def test_weights_of_classes_move_with_the_risk():
    risk = VicinalRisk(Mixup(), loss=nn.CrossEntropyLoss(WEIGHT)).double()
    assert risk.state_dict()["loss.weight"].dtype == torch.float64


class Doubled(nn.CrossEntropyLoss):
    def forward(self, logits, targets):
        return 2 * super().forward(logits, targets)


def test_a_subclass_has_a_loss_of_its_own(model, batch):
    expected = 2 * cross_entropy(model(batch[0]), one_hot(batch[1], 3).float())
    assert torch.allclose(EmpiricalRisk(loss=Doubled())(model, batch), expected)


def test_smoothing_means_one_thing_wherever_it_is_said_and_is_said_once(model, batch):
    expected = cross_entropy(model(batch[0]), batch[1], WEIGHT, label_smoothing=0.1)
    for risk in (EmpiricalRisk(0.1, loss=nn.CrossEntropyLoss(WEIGHT)),
                 VicinalRisk(Identity(), 0.1, loss=SoftCrossEntropy(WEIGHT)),
                 EmpiricalRisk(loss=nn.CrossEntropyLoss(WEIGHT, label_smoothing=0.1))):
        assert torch.allclose(risk(model, batch), expected, rtol=1e-5)
    with pytest.raises(ValueError, match="label smoothing in one place"):
        EmpiricalRisk(0.1, loss=nn.CrossEntropyLoss(label_smoothing=0.1))


def test_a_class_to_be_ignored_is_refused_and_a_weight_of_0_does_it(model, batch):
    with pytest.raises(ValueError, match="without an ignore_index.*weight 0"):
        EmpiricalRisk(loss=nn.CrossEntropyLoss(ignore_index=1))
    expected = cross_entropy(model(batch[0]), batch[1], ignore_index=1)
    weight = torch.tensor([1.0, 0.0, 1.0])
    assert torch.allclose(EmpiricalRisk(loss=nn.CrossEntropyLoss(weight))(model, batch), expected, rtol=1e-5)


def test_one_logit_a_row_has_no_cross_entropy_and_no_uniform_part():
    network, images, chances = nn.Sequential(nn.Flatten(), nn.Linear(16, 1)), torch.rand(4, 1, 4, 4), torch.rand(4, 1)
    for loss in (None, nn.CrossEntropyLoss()):
        with pytest.raises(ValueError, match="at least two logits a row.*BCEWithLogitsLoss"):
            VicinalRisk(Mixup(), loss=loss)(network, (images, chances))
    with pytest.raises(ValueError, match="at least two classes with label smoothing"):
        VicinalRisk(Mixup(), 0.1, loss=nn.BCEWithLogitsLoss())(network, (images, chances))


@pytest.mark.parametrize("make", [
    lambda: EmpiricalRisk("a"), lambda: SoftCrossEntropy(label_smoothing="a"),
    lambda: SoftCrossEntropy(torch.ones(1, 3)), lambda: SoftCrossEntropy(reduction="max"),
])
def test_settings_of_another_kind_are_refused(make):
    with pytest.raises(ValueError, match="expected .* received"):
        make()


@pytest.mark.parametrize("loss", [nn.BCEWithLogitsLoss, "bce", 3])
def test_what_is_no_loss_is_refused(loss):
    for risk in (EmpiricalRisk, lambda **options: VicinalRisk(Mixup(), **options)):
        with pytest.raises(ValueError, match="expected a loss that is called"):
            risk(loss=loss)


def test_a_loss_of_rows_is_refused(model, batch):
    with pytest.raises(ValueError, match="reduction mean or sum, received 'none'"):
        EmpiricalRisk(loss=nn.CrossEntropyLoss(reduction="none"))
    with pytest.raises(ValueError, match="expected one number from the loss.*received shape"):
        EmpiricalRisk(loss=nn.BCEWithLogitsLoss(reduction="none"))(model, batch)


def test_a_weight_of_other_classes_is_refused(model, batch):
    with pytest.raises(ValueError, match="expected a weight for each of 3 classes, received"):
        EmpiricalRisk(loss=nn.CrossEntropyLoss(torch.ones(4)))(model, batch)
    with pytest.raises(ValueError, match="expected a weight"):
        soft_cross_entropy(torch.zeros(1, 3), torch.ones(1, 3), weight=torch.ones(3, 1))


class Wrapped(nn.Module):
    """A network that returns more than its logits."""

    def __init__(self, network, wrap):
        super().__init__()
        self.network, self.wrap = network, wrap

    def forward(self, images):
        return self.wrap(self.network(images))


@pytest.mark.parametrize(("wrap", "said"), [
    (lambda logits: {"logits": logits}, "a dict with logits"), (lambda logits: (logits, None), "a tuple of 2"),
    (lambda logits: None, "a NoneType"),
])
def test_a_network_that_returns_no_tensor_is_told_so_by_every_risk(model, batch, wrap, said):
    network = Wrapped(model, wrap)
    for risk in (EmpiricalRisk(), VicinalRisk(Mixup()), SaliencyRisk(PuzzleMix(blocks=2)), SaliencyRisk(CutMix(), 1.0),
                 ManifoldRisk(ManifoldMixup(Mixup(), ["network.0"]))):
        with pytest.raises(ValueError, match=f"expected the model to return one tensor of logits.*received {said}"):
            risk(network, batch)


def test_so_is_evaluation(model):
    from mixlab.data import Split

    split = Split(torch.zeros(2, 1, 4, 4, dtype=torch.uint8), torch.tensor([0, 1]))
    with pytest.raises(ValueError, match="one tensor of logits"):
        evaluate(Wrapped(model, lambda logits: (logits,)), split, mean=(0.0,), std=(1.0,))

"""Metrics against counting by hand, and independence of the batch size."""

import pytest
import torch
from torch import nn

from mixlab.data import Split
from mixlab.train import evaluate, predict
from mixlab.train.evaluate import metrics, totals

MEAN, STD = (0.4, 0.5, 0.6), (0.2, 0.3, 0.25)


@pytest.fixture
def split(generator):
    images = torch.randint(256, (53, 3, 6, 5), generator=generator, dtype=torch.uint8)
    return Split(images, torch.randint(7, (53,), generator=generator))


@pytest.fixture
def model(generator):
    network = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Flatten(), nn.Dropout(0.5), nn.Linear(96, 7))
    for parameter in network.parameters():
        nn.init.normal_(parameter, generator=generator)
    return network.double().float()


def test_error_and_loss_are_what_counting_gives(model, split):
    mean, std = (torch.tensor(values, dtype=torch.float64).view(3, 1, 1) for values in (MEAN, STD))
    exact = nn.Sequential(*model).eval().double()
    probabilities = exact((split.images.double() / 255 - mean) / std).softmax(1)
    wrong = sum(int(row.argmax()) != int(label) for row, label in zip(probabilities, split.labels))
    loss = -sum(row[label].log() for row, label in zip(probabilities, split.labels)) / 53
    model.float().train()
    measured = evaluate(model, split, mean=MEAN, std=STD)
    assert measured.count == 53
    assert measured.error == pytest.approx(100 * wrong / 53)
    assert measured.loss == pytest.approx(loss.item(), rel=1e-5)


def of_probabilities(probabilities, labels):
    """Metrics of a network that gives these probabilities (N, C) of images that are the rows' numbers."""
    logits = torch.tensor(probabilities, dtype=torch.float64).log()
    return metrics(totals(logits, torch.tensor(labels)))


def test_calibration_error_is_what_counting_by_bins_gives(model, split):
    logits = predict(model, split, mean=MEAN, std=STD) / 30  # less sure, so that several bins are filled
    probabilities = logits.double().softmax(1)
    expected, filled = 0.0, 0
    for number in range(15):
        rows = [row for row in range(53) if number / 15 <= float(probabilities[row].max()) < (number + 1) / 15]
        if rows:
            filled += 1
            right = sum(int(probabilities[row].argmax()) == int(split.labels[row]) for row in rows) / len(rows)
            sure = sum(float(probabilities[row].max()) for row in rows) / len(rows)
            expected += len(rows) / 53 * abs(right - sure)
    assert filled >= 5
    assert metrics(totals(logits, split.labels)).ece == pytest.approx(100 * expected)


def test_calibration_error_by_hand():
    """Two bins: 90 % sure and right once in two, 60 % sure and right; halves weigh .4 each."""
    two = of_probabilities([[0.9, 0.1], [0.9, 0.1], [0.6, 0.4], [0.6, 0.4]], [0, 1, 0, 0])
    assert two.ece == pytest.approx(100 * (0.5 * 0.4 + 0.5 * 0.4))
    assert of_probabilities([[1.0, 0.0]] * 2, [0, 1]).ece == pytest.approx(50)  # certain: the last bin, not one more


def test_sums_of_shards_add_up_to_those_of_the_whole(model, split):
    logits = predict(model, split, mean=MEAN, std=STD)
    shards = sum(totals(logits[rank::3], split.labels[rank::3]) for rank in range(3))
    torch.testing.assert_close(shards, totals(logits, split.labels))


@pytest.mark.parametrize("batch_size", [1, 7, 52, 53, 500])
def test_the_batch_size_does_not_matter(model, split, batch_size):
    one = evaluate(model, split, mean=MEAN, std=STD, batch_size=batch_size)
    other = evaluate(model, split, mean=MEAN, std=STD, batch_size=20)
    assert one.error == other.error
    assert one.loss == pytest.approx(other.loss, rel=1e-6)


def test_the_model_is_left_as_it_was(model, split):
    before = {name: value.clone() for name, value in model.state_dict().items()}
    for training in (True, False):
        model.train(training)
        predict(model, split, mean=MEAN, std=STD)
        assert model.training == training
    model.train()[1].eval()  # frozen batch statistics stay frozen
    predict(model, split, mean=MEAN, std=STD)
    assert [part.training for part in model] == [True, False, True, True, True]
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_logits_come_in_order_and_without_a_graph(model, split):
    logits = predict(model, split, mean=MEAN, std=STD, batch_size=10)
    turned = predict(model, split.subset(torch.arange(52, -1, -1)), mean=MEAN, std=STD, batch_size=10)
    assert logits.shape == (53, 7) and not logits.requires_grad
    assert torch.allclose(logits, turned.flip(0), rtol=1e-5, atol=1e-5)


def test_losses_are_summed_in_float64():
    """A thousand confident rows and a doubtful one: in float32 sums the small losses would vanish."""
    images = torch.zeros(100_001, 1, 1, 2, dtype=torch.uint8)
    images[:, 0, 0, 0] = 255
    images[0, 0, 0, 0] = 0
    split = Split(images, torch.zeros(100_001, dtype=torch.int64))
    model = nn.Sequential(nn.Flatten(), nn.Linear(2, 2, bias=False))
    nn.init.eye_(model[1].weight)
    with torch.no_grad():
        model[1].weight.mul_(20.0)
    small = torch.log1p(torch.exp(torch.tensor(-20.0, dtype=torch.float64)))
    expected = (100_000 * small + torch.log(torch.tensor(2.0, dtype=torch.float64))) / 100_001
    measured = evaluate(model, split, mean=(0.0,), std=(1.0,), batch_size=100_001)
    assert measured.loss == pytest.approx(float(expected), rel=1e-9)


def test_nothing_to_evaluate_on_is_an_error(model, split):
    with pytest.raises(ValueError, match="at least one image"):
        evaluate(model, split.subset(torch.tensor([], dtype=torch.int64)), mean=MEAN, std=STD)

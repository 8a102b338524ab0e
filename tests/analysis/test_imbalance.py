"""Oversampling: what is added, and that tasks pair."""

import pytest
import torch

from mixlab.analysis.imbalance import LEARNERS, OVERSAMPLERS, Detection, copies, detect, smote, tree
from mixlab.data import load

ROWS = torch.rand(60, 3, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("way", ["copies", "SMOTE"])
def test_both_sides_are_equal_afterwards(way, generator):
    assert 4 + len(OVERSAMPLERS[way](ROWS, 4, generator)) == 60 - 4


@pytest.mark.parametrize("way", OVERSAMPLERS)
def test_nothing_is_added_where_both_sides_are_equal(way, generator):
    assert OVERSAMPLERS[way](ROWS, 30, generator).shape == (0, 3)


@pytest.mark.parametrize(("numbers", "message"), [
    ({"few": 1000}, "expected 1000 examples to draw for class 0, received 1"),
    ({"few": 10, "ratio": 1000}, "expected 10000 examples to draw for class 0"),
    ({"few": 0}, "at least 1"), ({"few": 5, "ratio": 0}, "at least 1"),
])
def test_more_examples_than_there_are_are_refused(numbers, message):
    data = load("digits", validation=0)
    with pytest.raises(ValueError, match=message):
        detect(tree, copies, data.train, data.test, classes=2, seeds=1, **numbers)


def test_as_it_is_adds_nothing(generator):
    assert len(OVERSAMPLERS["as it is"](ROWS, 4, generator)) == 0


def test_copies_are_copies(generator):
    equal = copies(ROWS, 4, generator)[:, None] == ROWS[:4]
    assert bool(equal.all(2).any(1).all())


def test_smote_stays_on_segments_between_the_rare_rows(generator):
    few = ROWS[:4]
    for row in smote(ROWS, 4, generator):
        ends = [(a, b) for a in range(4) for b in range(4) if a != b]
        gaps = [float((row - few[a]).norm() + (row - few[b]).norm() - (few[a] - few[b]).norm()) for a, b in ends]
        assert min(gaps) < 1e-4


def test_smote_adds_what_copies_cannot(generator):
    """The control of the test above: most added rows are no rows that were there."""
    # From differences: the matrix product, which many rows would take, rounds by the processor.
    exact = "donot_use_mm_for_euclid_dist"
    distance = torch.cdist(smote(ROWS, 4, generator), ROWS[:4], compute_mode=exact).min(1).values
    assert float((distance > 1e-3).float().mean()) > 0.9


def test_the_balanced_error_of_a_constant_answer_is_one_half():
    never = Detection(recall=torch.zeros(1, 1), alarms=torch.zeros(1, 1))
    always = Detection(recall=torch.ones(1, 1), alarms=torch.ones(1, 1))
    assert float(never.balanced_error) == float(always.balanced_error) == 0.5


def test_points_are_percent_by_seed():
    found = Detection(recall=torch.tensor([[1.0, 0.5], [0.5, 0.5]]), alarms=torch.tensor([[0.0, 0.0], [0.5, 0.25]]))
    assert found.points("alarms") == {0: 25.0, 1: 12.5}
    assert found.points() == {0: 25.0, 1: 31.25}


@pytest.mark.parametrize("learner", LEARNERS)
def test_detectors_find_more_than_they_confuse(learner):
    data = load("digits", validation=0)
    found = detect(LEARNERS[learner], copies, data.train, data.test, classes=3, seeds=1, few=20, ratio=5)
    assert (found.recall > found.alarms + 0.4).all()


def test_the_same_seed_gives_the_same_detectors():
    data = load("digits", validation=0)
    once, again = (detect(tree, smote, data.train, data.test, classes=2, seeds=2, few=5) for _ in range(2))
    assert torch.equal(once.recall, again.recall) and torch.equal(once.alarms, again.alarms)

"""Uncertainty scores and the area under the curve, against scikit-learn and by counting pairs."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from mixlab.bayes import entropy, error_auroc, least_confidence


@given(st.lists(st.tuples(st.integers(0, 6), st.booleans()), min_size=2, max_size=60))
def test_auroc_is_the_share_of_pairs_and_scikit_learns(rows):
    scores = torch.tensor([float(score) for score, _ in rows])
    wrong = torch.tensor([flag for _, flag in rows])
    if wrong.all() or not wrong.any():
        with pytest.raises(ValueError, match="right and wrong"):
            error_auroc(scores, wrong)
        return
    pairs = [(float(a > b) + 0.5 * float(a == b)) for a in scores[wrong] for b in scores[~wrong]]
    assert error_auroc(scores, wrong) == pytest.approx(sum(pairs) / len(pairs), abs=1e-12)
    assert error_auroc(scores, wrong) == pytest.approx(roc_auc_score(wrong, scores), abs=1e-12)


def test_turning_the_score_round_turns_the_area_round():
    g = torch.Generator().manual_seed(0)
    scores, wrong = torch.rand(200, generator=g), torch.rand(200, generator=g) < 0.2
    assert error_auroc(-scores, wrong) == pytest.approx(1 - error_auroc(scores, wrong))
    assert error_auroc(scores.exp(), wrong) == error_auroc(scores, wrong)


def test_other_shapes_are_refused():
    with pytest.raises(ValueError, match=r"uncertainties \(N,\)"):
        error_auroc(torch.rand(4), torch.tensor([1, 0, 0, 1]))


def test_an_uncertainty_that_is_no_number_is_refused():
    with pytest.raises(ValueError, match="expected numbers as uncertainties, received 2 that are none"):
        error_auroc(torch.tensor([math.nan, 0.1, math.nan, 0.5]), torch.tensor([True, False, False, True]))


def test_entropy_of_known_distributions():
    rows = torch.tensor([[0.25] * 4, [1.0, 0, 0, 0], [0.5, 0.5, 0, 0]], dtype=torch.float64)
    assert entropy(rows).tolist() == pytest.approx([math.log(4), 0.0, math.log(2)])
    assert least_confidence(rows).tolist() == pytest.approx([0.75, 0.0, 0.5])

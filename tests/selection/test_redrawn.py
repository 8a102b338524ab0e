"""Repeated sampling of random subsets: an epoch takes another random part of the rows, killed and resumed alike."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from mixlab.data import load
from mixlab.risk import EmpiricalRisk
from mixlab.rng import generator
from mixlab.train import Cosine, Recipe, fit

RECIPE = Recipe("test", epochs=4, batch_size=16, lr=0.05, schedule=Cosine(), momentum=0.9, nesterov=True,
                weight_decay=1e-4, augment="crop", report="last", source="these tests", part=0.3)


@pytest.fixture(scope="module")
def digits():
    return load("digits", limit=150)


class Watching(EmpiricalRisk):
    """Notes the rows it is given; may end the run at a step."""

    no_part_of_identity = ("seen", "end")

    def __init__(self, end=None):
        super().__init__()
        self.seen, self.end = [], end

    def forward(self, model, batch, *, step=0, generator=None):
        if step == self.end:
            raise KeyboardInterrupt
        self.seen.append(batch.rows.tolist())
        return super().forward(model, batch, step=step, generator=generator)


def network():
    linear = nn.Linear(64, 10)
    nn.init.normal_(linear.weight, std=0.1, generator=generator(0, "init"))
    nn.init.zeros_(linear.bias)
    return nn.Sequential(nn.Flatten(), linear)


def test_every_epoch_of_a_run_has_another_part_of_the_rows(digits):
    risk = Watching()
    result = fit(network(), risk, digits, RECIPE, device="cpu")
    epochs = [sum(risk.seen[first:first + 3], []) for first in range(0, 12, 3)]
    assert len(risk.seen) == len(result.losses) == 12 and [len(batch) for batch in risk.seen[:3]] == [16, 16, 13]
    for rows in epochs:
        assert len(set(rows)) == 45 and set(rows) < set(digits.train.rows.tolist())
    assert 100 < len(set(sum(epochs, []))) <= 150
    assert result.curves["lr"] == pytest.approx([0.05 * Cosine().factor(epoch, 4) for epoch in range(4)])


def test_a_run_that_was_ended_goes_on_with_the_same_bits(digits, tmp_path):
    undisturbed = network()
    expected = fit(undisturbed, Watching(), digits, RECIPE, device="cpu")
    with pytest.raises(KeyboardInterrupt):
        fit(network(), Watching(end=7), digits, RECIPE, device="cpu", checkpoint=tmp_path, every=1)
    resumed = network()
    result = fit(resumed, Watching(), digits, RECIPE, device="cpu", checkpoint=tmp_path)
    assert result.losses == expected.losses
    for one, other in zip(resumed.parameters(), undisturbed.parameters(), strict=True):
        assert torch.equal(one, other)
    with pytest.raises(ValueError, match="recipe"):
        fit(network(), Watching(), digits, replace(RECIPE, part=0.2), device="cpu", checkpoint=tmp_path)


def test_a_recipe_that_takes_all_rows_is_what_it_was_before_there_were_parts():
    assert "part" not in replace(RECIPE, part=1.0).as_dict() and RECIPE.as_dict()["part"] == 0.3


@pytest.mark.parametrize("part", [0.0, -0.1, 1.5, float("nan"), "all"])
def test_a_part_that_is_none_is_refused(part):
    with pytest.raises(ValueError, match=r"expected a part t in \(0, 1\], received"):
        replace(RECIPE, part=part)

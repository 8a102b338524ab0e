"""Two processes and one: the same global batches, the same curve; mixing is local to a process."""

import os
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from mixlab.data import Loader, load
from mixlab.mixers import DCutMix
from mixlab.risk import EmpiricalRisk, VicinalRisk
from mixlab.rng import generator
from mixlab.train import Cosine, Recipe, fit

RECIPE = Recipe("test", epochs=5, batch_size=64, lr=0.1, schedule=Cosine(), momentum=0.9, nesterov=True,
                weight_decay=1e-4, augment="crop", report="last", source="these tests")


@pytest.fixture(autouse=True)
def one_thread_each(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).resolve().parents[2]), prepend=os.pathsep)


@pytest.fixture(scope="module")
def digits():
    return load("digits", limit=640)  # ten batches of 64


def network():
    """Without batch statistics, which two processes would take over half a batch each."""
    model = nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(512, 10))
    for number, parameter in enumerate(model.parameters()):
        nn.init.normal_(parameter, std=0.1, generator=generator(0, number))
    return model


def test_two_processes_and_one_give_the_same_curve_over_fifty_steps(digits, tmp_path):
    one, two = network(), network()
    alone = fit(one, EmpiricalRisk(), digits, RECIPE, seed=3, device="cpu")
    together = fit(two, EmpiricalRisk(), digits, RECIPE, seed=3, device="cpu", processes=2, checkpoint=tmp_path)
    assert len(alone.losses) == len(together.losses) == 50
    largest = max(abs(first - second) for first, second in zip(alone.losses, together.losses, strict=True))
    print(f"largest difference of the losses: {largest:.2e}")
    assert largest <= 1e-5
    for name, value in one.state_dict().items():
        assert torch.allclose(value, two.state_dict()[name], rtol=1e-3, atol=1e-4), name
    assert together.last["validation_loss"] == pytest.approx(alone.last["validation_loss"], rel=1e-4)
    saved = torch.load(tmp_path / "last.ckpt", weights_only=True)["state"]
    assert all(torch.equal(value, two.state_dict()[name]) for name, value in saved["model"].items())


def test_partners_are_local_and_generators_follow_from_seed_rank_and_step(digits):
    mixer, model = DCutMix(k=3, alpha=1.0), network()
    shares = []
    for rank in range(2):
        loader = Loader(digits.train, 64, mean=digits.mean, std=digits.std, augment="crop", seed=3, rank=rank, world=2)
        images, labels = next(loader.epoch(0))
        draws = generator(3, "mix", rank, 0)
        shares.append(VicinalRisk(mixer)(model, (images, labels), generator=draws).item())
    assert shares[0] != shares[1]
    one_epoch = replace(RECIPE, epochs=1)
    result = fit(network(), VicinalRisk(mixer), digits, one_epoch, seed=3, device="cpu", processes=2)
    assert result.losses[0] == pytest.approx(sum(shares) / 2, abs=1e-6)

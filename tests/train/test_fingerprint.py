"""What makes two runs the same run: every argument and every byte of the data, and nothing that training changes."""

import os
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from mixlab.data import load
from mixlab.mixers import CutMix, ManifoldMixup, Mixup, OneOf
from mixlab.risk import EmpiricalRisk, ManifoldRisk, SampledRisk, VicinalRisk
from mixlab.risk.vicinity import Gaussian, Mixed
from mixlab.train import fit, recipes
from mixlab.train.fingerprint import described, fingerprint

RECIPE = recipes["demo"].over(1)


@pytest.fixture(scope="module")
def digits():
    return load("digits", limit=64, validation=0.2)


def network():
    return nn.Sequential(nn.Flatten(), nn.Dropout(0.5), nn.Linear(64, 10))


def of(dataset, model=None, risk=None):
    return fingerprint(model or network(), risk or EmpiricalRisk(), dataset, RECIPE, seed=0)


class Silent:
    """A user's mixer: it prints no argument."""

    def __init__(self, alpha, slow=()):
        self.mixer, self._slow = Mixup(alpha), slow

    def draw(self, images, labels, *, saliency=None, generator=None):
        return self.mixer.draw(images, labels, generator=generator)


@dataclass(frozen=True, repr=False)
class Noisy:
    """A user's vicinity with fields and no `repr`."""

    sigma: float


class Weighted(EmpiricalRisk):
    """A risk whose own arguments its parent does not print."""

    def __init__(self, factor=1.0, weights=(1.0, 1.0), function=torch.relu, table=None):
        super().__init__()
        self.factor, self.function, self.table = factor, function, table
        self.register_buffer("weights", torch.tensor(weights))
        self.scale = nn.Parameter(torch.ones(()))


class Taught(EmpiricalRisk):
    """A risk with a frozen network inside."""

    def __init__(self, seed, frozen=True):
        super().__init__()
        self.teacher = nn.Linear(4, 2)
        nn.init.normal_(self.teacher.weight, generator=torch.Generator().manual_seed(seed))
        nn.init.zeros_(self.teacher.bias)
        self.teacher.requires_grad_(not frozen)


def test_two_teachers_make_two_runs_and_weights_that_are_trained_do_not(digits):
    assert of(digits, risk=Taught(0)) == of(digits, risk=Taught(0))
    assert of(digits, risk=Taught(0)) != of(digits, risk=Taught(1))
    assert of(digits, risk=Taught(0, frozen=False)) == of(digits, risk=Taught(1, frozen=False))


class Holding:
    """A mixer that holds a network."""

    def __init__(self, teacher):
        self.mixer, self.teacher = Mixup(1.0), teacher


def test_a_teacher_counts_wherever_it_is_held(digits):
    def teacher(seed, mean=0.0):
        network = nn.Sequential(nn.Linear(4, 2), nn.BatchNorm1d(2))
        nn.init.normal_(network[0].weight, generator=torch.Generator().manual_seed(seed))
        nn.init.zeros_(network[0].bias)
        network[1].running_mean += mean
        return network.requires_grad_(False)

    def listed(network):
        risk = EmpiricalRisk()
        risk.held = [network]
        return risk

    for risk in (lambda network: VicinalRisk(Holding(network)), listed):
        prints = {of(digits, risk=risk(teacher(*each)))["risk"] for each in ((0,), (1,), (0, 1.0))}
        assert len(prints) == 3
        assert of(digits, risk=risk(teacher(0))) == of(digits, risk=risk(teacher(0)))


def test_frozen_weights_of_a_network_count(digits):
    def frozen(value):
        model = network()
        nn.init.constant_(model[2].weight.requires_grad_(False), value)
        return model

    assert of(digits, frozen(0.0)) == of(digits, frozen(0.0)) != of(digits, frozen(1.0))


RISKS = [
    lambda: SampledRisk(Gaussian(0.1), 10), lambda: SampledRisk(Gaussian(0.2), 10),
    lambda: SampledRisk(Gaussian(0.1), 11), lambda: SampledRisk(Noisy(0.1), 10), lambda: SampledRisk(Noisy(0.2), 10),
    lambda: VicinalRisk(Silent(1.0)), lambda: VicinalRisk(Silent(2.0)), lambda: VicinalRisk(Silent(2.0, slow=(3,))),
    lambda: SampledRisk(Mixed(Silent(1.0)), 10), lambda: ManifoldRisk(ManifoldMixup(Mixup(1.0), ("", "1"))),
    lambda: VicinalRisk(OneOf([Mixup(1.0), CutMix(1.0)], [0.1, 0.9])), lambda: Weighted(), lambda: Weighted(2.0),
    lambda: Weighted(weights=(1.0, 2.0)), lambda: Weighted(function=torch.tanh),
    lambda: Weighted(table=np.arange(5000)), lambda: Weighted(table=np.arange(5000) % 4999),
    lambda: Weighted(table={"one", "two"}), lambda: Weighted(table={"a": nn.CrossEntropyLoss(label_smoothing=0.1)}),
    lambda: Weighted(table={"a": nn.CrossEntropyLoss(label_smoothing=0.2)}),
]


def test_no_two_risks_are_the_same_and_each_is_itself(digits):
    prints = [of(digits, risk=risk())["risk"] for risk in RISKS]
    assert len(set(prints)) == len(RISKS)
    assert prints == [of(digits, risk=risk())["risk"] for risk in RISKS]


def changed(split, what):
    part = getattr(split, what).clone()
    part[-1] = part[-1] ^ 1
    return replace(split, **{what: part})


def test_every_byte_of_the_data_counts(digits):
    others = [replace(digits, **{name: changed(getattr(digits, name), what)})
              for name in ("train", "validation", "test") for what in ("images", "labels", "rows")]
    others += [replace(digits, mean=(0.1,)), replace(digits, std=(0.1,)), replace(digits, name="other")]
    others.append(load("digits", limit=64, validation=0))
    prints = {of(each)["data"] for each in [digits, *others]}
    assert len(prints) == 1 + len(others)


class Scaled(nn.Module):
    def __init__(self, factor):
        super().__init__()
        self.factor, self.layer = factor, nn.Linear(64, 10)


def test_a_networks_arguments_count_and_its_weights_do_not(digits):
    frozen = network()
    frozen[-1].bias.requires_grad = False
    prints = [of(digits, model)["model"] for model in (network(), frozen, Scaled(1.0), Scaled(2.0))]
    assert len(set(prints)) == 4
    assert prints == [of(digits, model)["model"] for model in (network(), frozen, Scaled(1.0), Scaled(2.0))]


def test_training_changes_no_fingerprint(digits):
    model, risk = network(), VicinalRisk(CutMix(1.0, num_classes=10))
    before = of(digits, model, risk)
    fit(model, risk, digits, RECIPE, device="cpu")
    risk.mixer(digits.train.images.float(), digits.train.labels)  # which makes the mixer's own generator
    assert of(digits, model, risk) == before


def test_another_process_describes_the_same():
    """Sets have an order of their own in every process, and what has no `repr` an address."""
    code = """if True:
        import torch
        from torch import nn
        from mixlab.mixers import CutMix, PerSample
        from mixlab.train.fingerprint import described
        class Risk(nn.Module):
            def __init__(self):
                super().__init__()
                self.names, self.generator, self.loss = {"a", "b", "c", "d"}, torch.Generator(), nn.CrossEntropyLoss()
                self.mixer, self.draw, self.opened = PerSample(CutMix(), 0.5), lambda: None, open("/dev/null")
        print(described(Risk()))
    """
    root = Path(__file__).resolve().parents[2]
    one, other = (subprocess.run([sys.executable, "-c", code], env=os.environ | {"PYTHONHASHSEED": seed}, cwd=root,
                                 capture_output=True, text=True, check=True).stdout for seed in ("1", "2"))
    assert one == other and "'a', 'b', 'c', 'd'" in one


def test_what_holds_itself_is_described():
    one, same, other = Silent(1.0), Silent(1.0), Silent(2.0)
    for each in (one, same, other):
        each.owner = [each]
    assert described(one) == described(same) != described(other)


def test_a_run_of_another_vicinity_is_refused(digits, tmp_path):
    fit(network(), SampledRisk(Gaussian(0.1), 10), digits, RECIPE, device="cpu", checkpoint=tmp_path)
    with pytest.raises(ValueError, match=r"its risk is SampledRisk\(Gaussian\(sigma=0.1\), num_classes=10\)"):
        fit(network(), SampledRisk(Gaussian(0.2), 10), digits, RECIPE, device="cpu", checkpoint=tmp_path)

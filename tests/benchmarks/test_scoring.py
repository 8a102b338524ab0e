"""The benchmark of scores and of a generator runs, at a size that measures nothing, and reports what it says."""

import importlib.util
import sys
from pathlib import Path

import pytest
import torch


@pytest.fixture
def benchmark():
    """The benchmark as a module; its folder is no package."""
    path = Path(__file__).parents[2] / "benchmarks" / "scoring.py"
    spec = importlib.util.spec_from_file_location("benchmark_scoring", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_all_three_pass_as_many_images_through_the_network(benchmark, monkeypatch):
    seen, usual = [], torch.nn.Module.__call__
    network = benchmark.build("bench-net", 10, 1, 2)
    counted = type("Counted", (type(network),), {
        "__call__": lambda self, images: seen.append((len(images), self.training)) or usual(self, images)})
    network.__class__ = counted
    monkeypatch.setattr(benchmark, "build", lambda *_, **__: network)
    rates = benchmark.measure((1, 12, 12), images=110, draws=2, turns=1, width=2)
    assert seen == [(110, False)] * 4 + [(100, True), (10, True)] * 2
    assert set(rates) == {"scored", "inferred", "trained"} and all(rate > 0 for rate in rates.values())


def test_a_generator_and_both_students_are_trained_on_as_many_images(benchmark, monkeypatch):
    seen, usual = [], torch.nn.Module.__call__
    network = benchmark.build("bench-net", 10, 1, 2, generator=torch.Generator().manual_seed(0))
    before = [each.clone() for each in network.parameters()]
    counted = type("Counted", (type(network),), {
        "__call__": lambda self, images: seen.append((len(images), self.training)) or usual(self, images)})
    network.__class__ = counted
    monkeypatch.setattr(benchmark, "build", lambda *_, **__: network)
    rates = benchmark.measure_generator((1, 12, 12), images=110, turns=1, width=2)
    # The generator asks the frozen copy; the student sees the batch, and with it the images that were made of it.
    asked, learned = [(50, False)] * 2 + [(10, False)], [(100, True), (10, True)]
    assert seen == asked + learned + [each for each in learned for _ in range(2)]
    assert set(rates) == {"generator", "plain", "both"} and all(rate > 0 for rate in rates.values())
    assert not all(torch.equal(one, other) for one, other in zip(before, network.parameters(), strict=True))


def test_the_ratio_and_what_it_pays_for_stand_in_a_line(benchmark, monkeypatch, capsys):
    rates = {"28x28, grey": (900.0, 1000.0, 300.0), "32x32, colour": (800.0, 1000.0, 200.0)}
    shapes = {shape: name for name, shape in benchmark.SIZES.items()}
    names = ("scored", "inferred", "trained")
    monkeypatch.setattr(benchmark, "measure", lambda shape, *_: dict(zip(names, rates[shapes[shape]], strict=True)))
    # 130 epochs over a tenth of 5,000 rows: 130 s, as 39 epochs of the student; or 260 s, as 26 of a slower one.
    learned = {(1, 28, 28): (500.0, 1500.0, 500.0), (3, 32, 32): (250.0, 500.0, 50.0)}
    monkeypatch.setattr(benchmark, "measure_generator", lambda shape, *_: dict(
        zip(("generator", "plain", "both"), learned[shape], strict=True)))

    def printed(*options):
        monkeypatch.setattr(sys, "argv", ["scoring.py", *options])
        benchmark.main()
        return [line.split() for line in capsys.readouterr().out.splitlines() if line.startswith(tuple(rates))]

    threads = torch.get_num_threads()
    grey, colour, made_grey, made_colour = printed()
    assert grey == ["28x28,", "grey", "900", "1000", "300", "0.90", "0.85", "met", "85", "95"]
    assert colour == ["32x32,", "colour", "800", "1000", "200", "0.80", "0.85", "missed", "64", "71"]
    assert made_grey == ["28x28,", "grey", "500", "130", "67", "200", "3.00", "39", "124", "178"]
    assert made_colour == ["32x32,", "colour", "250", "260", "200", "2000", "10.00", "26", "90", "never"]
    assert printed("--size", "28x28, grey") == [grey, made_grey]
    torch.set_num_threads(threads)

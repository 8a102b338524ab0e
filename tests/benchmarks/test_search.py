"""The benchmark of the supernet runs, at a size that measures nothing, and reports what it says."""

import importlib.util
import sys
from pathlib import Path

import pytest
import torch


@pytest.fixture
def benchmark():
    """The benchmark as a module; its folder is no package."""
    path = Path(__file__).parents[2] / "benchmarks" / "search.py"
    spec = importlib.util.spec_from_file_location("benchmark_search", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_both_forms_take_the_same_steps(benchmark, monkeypatch):
    taken, usual = [], benchmark.step
    monkeypatch.setattr(benchmark, "step", lambda network, images, labels: (
        usual(network, images, labels), taken.append((network.form, tuple(images.shape)))))
    found = benchmark.measure(({"in_channels": 1, "layers": 1, "channels": 8, "nodes": 1}, 8, 4), 2)
    assert sorted(taken) == 3 * [("fused", (4, 1, 8, 8))] + 3 * [("plain", (4, 1, 8, 8))]
    assert set(found) == {"plain", "fused"} and all(seconds > 0 for seconds in found.values())


def test_the_ratio_stands_in_a_line(benchmark, monkeypatch, capsys):
    times = {"bench": (0.42, 0.30), "paper": (8.0, 5.0)}
    names = {id(size): name for name, size in benchmark.SIZES.items()}
    monkeypatch.setattr(benchmark, "measure", lambda size, turns: dict(
        zip(("plain", "fused"), times[names[id(size)]], strict=True)))
    monkeypatch.setattr(sys, "argv", ["search.py"])
    threads = torch.get_num_threads()
    benchmark.main()
    torch.set_num_threads(threads)
    rows = [line.split() for line in capsys.readouterr().out.splitlines()[2:]]
    assert rows == [["bench", "420", "300", "1.40", "1.50", "missed"], ["paper", "8000", "5000", "1.60", "1.50", "met"]]

"""The benchmarks run, at sizes that measure nothing, and report what they say."""

import importlib.util
import os
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "benchmarks"


def _load(name, folder=FOLDER):
    """A benchmark as a module; the folder is no package."""
    spec = importlib.util.spec_from_file_location(f"benchmark_{name}", folder / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_bandwidth_counts_one_reading_and_one_writing():
    benchmark, shape = _load("bandwidth"), (4, 3, 16, 12)
    rows = benchmark.measure(shape, "cpu", calls=3)
    assert set(rows) == {"copy", *benchmark.MIXERS} and rows["copy"][2] == 1
    for milliseconds, bandwidth, share in rows.values():
        assert milliseconds > 0 and bandwidth * milliseconds / 1e3 == pytest.approx(2 * 4 * 3 * 16 * 12 * 4 / 1e9)
        assert share == pytest.approx(bandwidth / rows["copy"][1])


def test_bandwidth_prints_a_line_for_every_row(monkeypatch, capsys):
    benchmark = _load("bandwidth")
    command = ["bandwidth.py", "--size", "4", "3", "16", "12", "--device", "cpu", "--calls", "2"]
    monkeypatch.setattr(sys, "argv", command)
    benchmark.main()
    title, head, *lines = capsys.readouterr().out.splitlines()
    assert title.startswith("4x3x16x12 float32, ") and head.split()[:3] == ["call", "ms", "GB/s"]
    assert [line[:20].strip() for line in lines] == ["copy", *benchmark.MIXERS]


@pytest.mark.gpu
def test_bandwidth_on_a_gpu():
    rows = _load("bandwidth").measure((8, 3, 32, 32), "cuda", calls=3)
    assert all(milliseconds > 0 for milliseconds, *_ in rows.values())


def test_mixers_are_divided_by_their_peers():
    import torch

    benchmark, threads = _load("mixers"), torch.get_num_threads()
    rows = benchmark.measure((4, 3, 16, 12), threads, turns=1)
    assert rows["torchvision MixUp"][1:] == rows["torchvision CutMix"][1:] == (1.0, 1.0)
    for row, peer in (("mixlab Mixup", "torchvision MixUp"), ("mixlab CutMix", "torchvision CutMix")):
        assert rows[row][1] == pytest.approx(rows[row][0] / rows[peer][0])
    assert {"mixlab Mixup", "mixlab DCutMix K=9", "kornia RandomCutMixV2"} < set(rows)
    assert all(number > 0 for row in rows.values() for number in row)


def test_an_aim_stands_beside_every_ratio_that_has_one(monkeypatch, capsys):
    benchmark = _load("mixers")
    ratios = {"mixlab Mixup": 0.79, "mixlab CutMix": 0.81, "mixlab DCutMix K=5": 2.0, "mixlab DMixup K=3": 9.0}
    monkeypatch.setattr(benchmark, "fresh", lambda *_: {row: (1.0, ratio, 1.0) for row, ratio in ratios.items()})

    def ends(*options):
        monkeypatch.setattr(sys, "argv", ["mixers.py", "--size", "64x3x224x224", *options])
        benchmark.main()
        lines = capsys.readouterr().out.splitlines()[-len(ratios) :]
        return [line.split()[-1] for line in lines]

    assert ends("--heap", "warm heap") == ["met", "missed", "met", "1.00"]
    assert ends("--heap", "default allocator") == ends("--heap", "warm heap", "--threads", "1") == ["1.00"] * 4


def test_every_aim_is_that_of_a_row():
    import torch

    benchmark = _load("mixers")
    rows = benchmark.candidates(torch.rand(4, 3, 8, 8), torch.arange(4))
    assert set(benchmark.AIMS) == set(benchmark.SIZES)
    assert all(f"mixlab {row}" in rows for aims in benchmark.AIMS.values() for row in aims)


def test_mixers_prints_a_table_for_every_heap_and_measures_in_processes_of_their_own(tmp_path, monkeypatch, capsys):
    source = (FOLDER / "mixers.py").read_text()
    (tmp_path / "mixers.py").write_text(source.replace("(256, 3, 32, 32)", "(4, 3, 8, 8)"))
    benchmark, environments = _load("mixers", tmp_path), []
    real = benchmark.subprocess.run

    def run(command, **options):
        environments.append(options["env"])
        return real(command, **options)

    monkeypatch.setenv("MALLOC_TRIM_THRESHOLD_", "1")
    monkeypatch.setenv("PYTHONPATH", str(FOLDER.parent), prepend=os.pathsep)
    monkeypatch.setattr(benchmark.subprocess, "run", run)
    command = ["mixers.py", "--processes", "1", "--turns", "1", "--threads", "1", "--size", "256x3x32x32"]
    monkeypatch.setattr(sys, "argv", command)
    benchmark.main()
    printed = capsys.readouterr().out
    assert printed.count("256x3x32x32, ") == len(environments) == len(benchmark.HEAPS) == 2
    assert printed.count("mixlab DCutMix K=9") == printed.count("torchvision MixUp") == 2
    warm, default = environments
    assert warm["MALLOC_TRIM_THRESHOLD_"] == str(2**33) and not any(name.startswith("MALLOC_") for name in default)

"""`mixlab search`: a genotype from a set, a subset, a generator; and what does not fit in one line."""

import json
import sys

import pytest
import torch

from mixlab.cli import main
from mixlab.data import load
from mixlab.generator import ConditionalUNet, SampleGenerator
from mixlab.nas import Genotype, PC_DARTS_cifar, read_genotype, write_genotype
from mixlab.selection import provenance, write_subset

SEARCH = ["search", "--data", "digits", "--layers", "2", "--channels", "8", "--nodes", "1", "--epochs", "2",
          "--batch-size", "20", "--warmup", "0", "--device", "cpu"]


@pytest.fixture
def mixlab(monkeypatch, capsys):
    """Call the command; gives its status, output and error output."""
    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["mixlab", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            main()
        return end.value.code or 0, *capsys.readouterr()

    return call


def sorted_subset(path, classes=10):
    """Six rows of each class, in a file."""
    data = load("digits", validation=0.1, seed=5)
    rows = torch.cat([data.train.rows[data.train.labels == name][:6] for name in range(classes)]).sort().values
    write_subset(path, rows, provenance(data, rows, policy="mine", split={"seed": 5, "validation": 0.1}))


def test_a_search_on_a_subset_with_a_generator_writes_a_genotype_and_nothing_else(mixlab, tmp_path):
    data = load("digits")
    sorted_subset(tmp_path / "subset.json")
    net = SampleGenerator(ConditionalUNet(10, in_channels=1, base=2, downs=1, mean=data.mean, std=data.std))
    net.save(tmp_path / "generator.pt")
    out = tmp_path / "cells.json"
    status, told, _ = mixlab(*SEARCH, "--subset", tmp_path / "subset.json", "--generator", tmp_path / "generator.pt",
                             "--out", out)
    assert status == 0 and "wrote the genotype" in told
    found, about = read_genotype(out), json.loads(out.read_text())["about"]
    assert len(found.normal) == len(found.reduce) == 1
    assert (about["rows"], about["epochs"], about["nodes"], about["data"]) == (60, 2, 1, "digits")
    for kind, source in found.normal[0]:
        assert f"{kind}({source})" in told
    assert sorted(each.name for each in tmp_path.iterdir()) == ["cells.json", "generator.pt", "subset.json"]


def test_what_does_not_fit_is_told_in_one_line(mixlab, tmp_path):
    sorted_subset(tmp_path / "nine.json", classes=9)
    (tmp_path / "there.json").write_text("{}")
    for options, message in (
        (["--subset", tmp_path / "nine.json"], "received 0 of '9'"), (["--channels", "12"], "channels that 8 = 2 K"),
        (["--recipe", "demo"], "a --recipe of search-paper, search-bench, received 'demo'"),
        (["--generator", tmp_path / "none.pt"], "none.pt"), (["--warmup", "1"], "a warm-up in [0, 1)"),
        (["--out", tmp_path / "there.json"], "which is there"), (["--nodes", "0"], "positive integer nodes"),
    ):
        status, _, told = mixlab(*SEARCH, "--out", tmp_path / "cells.json", *options)
        assert status == 2 and told.count("\n") == 1 and message in told, told
    assert sorted(each.name for each in tmp_path.iterdir()) == ["nine.json", "there.json"]


def test_the_network_of_a_genotype_is_trained_by_any_risk(mixlab, tmp_path):
    cells, out = tmp_path / "cells.json", tmp_path / "run"
    write_genotype(cells, PC_DARTS_cifar)
    train = ["train", "--data", "digits", "--genotype", cells, "--cells", "3", "--width", "2", "--epochs", "1",
             "--limit", "64", "--device", "cpu", "--recipe", "demo"]
    status, told, _ = mixlab(*train, "--mixer", "cutmix", "--out", out)
    assert status == 0 and "cells on digits" in told
    config = json.loads((out / "record.json").read_text())["what"]["config"]
    assert Genotype.from_dict(config["options"]["genotype"]) == PC_DARTS_cifar and config["width"] == 2
    for options, message in (
        (["--model", "lenet"], "a --model or a --genotype, received both"), (["--dropout", "0.1"], "no --dropout with"),
        (["--save-teacher", tmp_path / "t.pt"], "no --save-teacher with a --genotype"), (["--width", "3"], "an even"),
    ):
        status, _, told = mixlab(*train, *options)
        assert status == 2 and told.count("\n") == 1 and message in told, told
    for options, message in ((["--model", "lenet", "--cells", "3"], "a --genotype with --cells"),
                             ([], "a --model or a --genotype, received none")):
        status, _, told = mixlab("train", "--data", "digits", *options)
        assert status == 2 and message in told

"""`mixlab data`: what it prints, how it exits, and that an error is one line."""

import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from mixlab.cli.data import app
from mixlab.data import SOURCES, Split, draw_shapes, registry
from mixlab.data.pack import write_packed

CLASSES = SOURCES["cifar10"].classes
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def root(tmp_path, monkeypatch):
    """A root that holds a packed set of ten pictures, which the registry is made to expect."""
    drawn = draw_shapes(14, 32, torch.Generator().manual_seed(0))
    split = Split(drawn.images, drawn.labels)
    train, test = split.subset(torch.arange(10)), split.subset(torch.arange(10, 14))
    write_packed(tmp_path / "root" / "cifar10", train, test, CLASSES)
    monkeypatch.setitem(SOURCES, "cifar10", replace(SOURCES["cifar10"], rows=(10, 4)))
    monkeypatch.setenv("MIXLAB_DATA", str(tmp_path / "root"))
    return tmp_path / "root"


def run(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_list_names_every_set_and_where_it_is(root):
    result = run("list")
    assert result.exit_code == 0 and f"root: {root}" in result.output
    rows = {line.split()[0]: line for line in result.output.splitlines() if line.strip()}
    assert set(SOURCES) <= set(rows)
    assert rows["cifar10"].split()[1:] == ["10", "4", "3x32x32", "10", "torchvision", "packed"]
    assert rows["svhn"].split()[-1] == "no"
    assert rows["digits"].rstrip().endswith("built in")


def test_verify_reads_what_is_there_and_tells_damage(root, monkeypatch):
    result = run("verify", "cifar10")
    assert (result.exit_code, result.output.strip()) == (0, "cifar10: whole, 10 + 4 rows")
    (root / "cifar10" / "test_images.zip").write_bytes(b"damaged")
    monkeypatch.setattr(registry, "SOURCES", {name: SOURCES[name] for name in ("digits", "cifar10", "svhn")})
    result = run("verify")
    assert result.exit_code == 1
    assert "cifar10: damaged: expected a zip archive" in result.output
    assert "digits: whole, 1,438 + 359 rows" in result.output


@pytest.fixture
def refused(root, monkeypatch):
    """A root where nobody may look at svhn, and nobody may read the gallery."""
    def refuse(folder):
        raise PermissionError(13, "Permission denied", "images")

    three = {name: SOURCES[name] for name in ("digits", "cifar10")}
    monkeypatch.setattr(registry, "SOURCES", {
        "svhn": replace(SOURCES["svhn"], files=refuse), "shapes": replace(SOURCES["shapes"], read=refuse), **three})


def test_a_set_that_cannot_be_looked_at_hides_no_other(refused):
    result = run("list")
    rows = {line.split()[0]: line.split()[-1] for line in result.stdout.splitlines() if line.strip()}
    assert result.exit_code == 0
    assert (rows["svhn"], rows["cifar10"], rows["shapes"]) == ("unreadable", "packed", "in")
    assert result.stderr == "svhn: cannot be read: [Errno 13] Permission denied: 'images'\n"


def test_verify_reads_the_other_sets_where_one_cannot_be_read(refused):
    result = run("verify")
    assert result.exit_code == 1
    assert result.stdout.splitlines() == ["digits: whole, 1,438 + 359 rows", "cifar10: whole, 10 + 4 rows"]
    assert result.stderr.splitlines() == [
        f"{name}: cannot be read: [Errno 13] Permission denied: 'images'" for name in ("svhn", "shapes")]


@pytest.mark.parametrize("name", ["svhn", "shapes"])
def test_one_set_that_cannot_be_read_is_one_line(refused, name):
    result = run("verify", name)
    assert result.exit_code in (1, 2) and result.stdout == ""
    assert len(result.stderr.splitlines()) == 1 and "Permission denied: 'images'" in result.stderr


STOPPED = """
import os, signal, sys
from dataclasses import replace

import numpy as np

from mixlab.cli import main
from mixlab.data import SOURCES

write = np.savez_compressed

def stopped(*arguments, **arrays):
    write(*arguments, **arrays)
    os.kill(os.getpid(), signal.SIGTERM)

np.savez_compressed = stopped
SOURCES["cifar10"] = replace(SOURCES["cifar10"], rows=(10, 4))
sys.argv = ["mixlab", "data", "pack", "cifar10", "--out", sys.argv[1]]
main()
"""


def test_a_terminated_pack_leaves_nothing(root, tmp_path):
    done = subprocess.run([sys.executable, "-c", STOPPED, tmp_path / "out"], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (128 + signal.SIGTERM, "", "")
    assert not (tmp_path / "out").exists()


def test_pack_writes_what_another_root_can_read(root, tmp_path):
    result = run("pack", "cifar10", "--out", tmp_path / "carried")
    assert result.exit_code == 0
    assert run("verify", "cifar10", "--root", tmp_path / "carried").exit_code == 0
    for name in ("labels.npz", "train_images.zip", "checksums.json"):
        copies = [(folder / "cifar10" / name).read_bytes() for folder in (tmp_path / "carried", root)]
        assert copies[0] == copies[1]


def test_fetch_leaves_a_whole_set_alone(root):
    result = run("fetch", "cifar10")
    assert result.exit_code == 0 and "is in" in result.output
    assert "nothing to fetch" in run("fetch", "digits").output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["fetch", "imagenet"], "digits, gallery, shapes"),
        (["verify", "imagenet"], "received 'imagenet'"),
        (["pack", "imagenet", "--out", "OUT"], "received 'imagenet'"),
        (["verify", "svhn"], "mixlab data fetch svhn"),
        (["pack", "svhn", "--out", "OUT"], "mixlab data fetch svhn"),
        (["pack", "digits", "--out", "OUT"], "comes with scikit-learn"),
        (["pack", "cifar10", "--out", "ROOT"], "expected a new folder"),
    ],
)
def test_errors_are_one_line_and_change_nothing(root, tmp_path, arguments, message):
    places = {"OUT": tmp_path / "out", "ROOT": root}
    before = sorted(tmp_path.rglob("*"))
    result = run(*(places.get(argument, argument) for argument in arguments))
    assert result.exit_code == 2
    assert message in result.output and len(result.output.strip().splitlines()) == 1
    assert sorted(tmp_path.rglob("*")) == before

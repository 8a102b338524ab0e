"""`mixlab mix`, with a teacher that `mixlab train` kept, and training on what it wrote."""

import re
import sys

import pytest
import torch

from mixlab.cli import main
from mixlab.data import load
from mixlab.data.mixed import read_mixed, read_parts
from mixlab.mixers import SuperMix
from mixlab.models import Teacher, build
from mixlab.selection import provenance, write_subset
from mixlab.train import read_record
from mixlab.train.evaluate import evaluate

SMALL = ["train", "--model", "preact-resnet18", "--width", "2", "--recipe", "demo", "--epochs", "1", "--device", "cpu",
         "--precision", "32-true"]
MIX = ["mix", "--data", "digits", "--limit", "200", "--batch-size", "50", "--per-shard", "50", "--count", "80",
       "--device", "cpu"]
SOLVED = ["--method", "supermix", "--mixer-option", "max_iter=3", "--mixer-option", "side=4"]


@pytest.fixture
def mixlab(monkeypatch, capsys):
    """Call the command; gives its status, output and error output."""
    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["mixlab", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            main()
        return end.value.code or 0, *capsys.readouterr()

    return call


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    """A teacher of digits; it has seen one epoch."""
    path = tmp_path_factory.mktemp("teacher") / "teacher.pt"
    with pytest.MonkeyPatch.context() as patch, pytest.raises(SystemExit) as end:
        patch.setattr(sys, "argv", ["mixlab", *SMALL, "--data", "digits", "--save-teacher", str(path)])
        main()
    assert not end.value.code
    return path


def test_train_keeps_its_network_as_a_teacher(mixlab, tmp_path):
    path = tmp_path / "new" / "teacher.pt"
    assert mixlab(*SMALL, "--data", "digits", "--out", tmp_path / "run", "--save-teacher", path)[0] == 0
    teacher, data = Teacher.load(path), load("digits")
    assert teacher.mean == data.mean and teacher.std == data.std
    error = evaluate(teacher, data.test, mean=data.mean, std=data.std).error
    assert error == pytest.approx(read_record(tmp_path / "run/record.json")["result"]["value"])
    status, _, told = mixlab(*SMALL, "--data", "digits", "--save-teacher", tmp_path)
    assert status == 2 and "--save-teacher" in told


def test_supermix_writes_what_its_teacher_says_and_tells_how_it_went(mixlab, file, tmp_path):
    status, printed, _ = mixlab(*MIX, *SOLVED, "--teacher", file, "--keep", "best", "--out", tmp_path / "set")
    about, parts = read_mixed(tmp_path / "set")[1], read_parts(tmp_path / "set")
    assert status == 0 and about["drawn"] == 100 and about["keep"] == "best" and len(parts["success"]) == 80
    rate, iterations = re.search(r"success rate (\S+), (\S+) iterations", printed).groups()
    assert float(rate) == pytest.approx(about["success_rate"], abs=6e-4)
    assert float(iterations) == pytest.approx(about["iterations"], abs=0.06)
    well = float(re.search(r"(\S+) where it succeeded", printed)[1])
    assert well == pytest.approx(parts["iterations"][parts["success"]].double().mean().item(), abs=0.06)
    assert re.search(r"kept 80 images in .*set; 100 were drawn in 2 shards", printed.replace("\n", " "))
    assert re.search(r"^\d+ s$", printed, re.MULTILINE)
    data = load("digits", limit=200)
    assert about["mean"] == list(data.mean) and set(parts["sources"].unique().tolist()) <= set(data.train.rows.tolist())
    teacher = Teacher.load(file)
    assert about["mixer"]["teacher"]["checksum"] == teacher.checksum
    # The teacher saw the images as it was trained on them, though the set has other moments.
    assert about["mean"] != list(teacher.mean)
    own = teacher.for_images(data.mean, data.std)
    with torch.no_grad():
        rows = torch.searchsorted(data.train.rows, parts["sources"])[:, 0]
        pixels = data.train.images[rows].float() / 255
        seen = own((pixels - data.mean[0]) / data.std[0]).argmax(1)
    assert (seen == parts["classes"][:, 0]).float().mean() > 0.97
    # What is kept is what succeeded, unless something else is asked for.
    status, printed, _ = mixlab(*MIX, *SOLVED, "--teacher", file, "--out", tmp_path / "good")
    assert status == 0 and read_mixed(tmp_path / "good")[1]["keep"] == "success"
    assert read_parts(tmp_path / "good")["success"].all()
    # Once more: it is all there.
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "good").iterdir()}
    assert mixlab(*MIX, *SOLVED, "--teacher", file, "--out", tmp_path / "good")[1].startswith("kept 80")
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "good").iterdir()} == before


def test_other_mixers_keep_everything_and_may_have_supermix_s_pairs(mixlab, file, tmp_path):
    status, printed, _ = mixlab(*MIX, "--method", "cutmix", "--mixer-option", "alpha=3", "--out", tmp_path / "plain")
    assert status == 0 and "success" not in printed
    assert read_mixed(tmp_path / "plain")[1]["mixer"] == {"name": "cutmix", "alpha": 3.0}
    assert mixlab(*MIX, "--method", "cutmix", "--distinct", "--teacher", file, "--out", tmp_path / "pairs")[0] == 0
    about, sources = read_mixed(tmp_path / "pairs")[1], read_parts(tmp_path / "pairs")["sources"]
    assert about["mixer"]["name"] == "distinct-predictions" and about["mixer"]["mixer"] == {"name": "cutmix"}
    data = load("digits", limit=200)
    teacher = Teacher.load(file).for_images(data.mean, data.std)
    with torch.no_grad():
        pixels = data.train.images[torch.searchsorted(data.train.rows, sources)].flatten(0, 1).float() / 255
        classes = teacher((pixels - data.mean[0]) / data.std[0]).argmax(1).view(-1, 2)
    assert (classes[:, 0] != classes[:, 1]).float().mean() > 0.97


def test_a_set_is_trained_on_like_any_other(mixlab, tmp_path):
    folder = tmp_path / "set"
    assert mixlab(*MIX, "--method", "mixup", "--out", folder)[0] == 0
    status, printed, _ = mixlab(*SMALL, "--data", folder, "--out", tmp_path / "run")
    record = read_record(tmp_path / "run/record.json")
    assert status == 0 and record["what"]["config"]["data"] == str(folder)
    assert record["what"]["config"]["validation"] == 0 and "validation_error" not in record["result"]["last"]
    assert f"{record['result']['value']:.2f}" in printed
    status, _, told = mixlab(*SMALL, "--data", tmp_path / "nothing")
    assert status == 2 and "expected a written set" in told


@pytest.mark.parametrize("method", [["--method", "cutmix"], [*SOLVED, "--keep", "best", "--teacher", "FILE"]],
                         ids=["cutmix", "supermix"])
def test_the_rows_of_a_subset_are_mixed_and_no_others(mixlab, file, tmp_path, method):
    split = {"seed": 3, "validation": 0.2, "limit": 300}
    data = load("digits", **split)
    rows = data.train.rows[10:110].sort().values
    write_subset(tmp_path / "part.json", rows, provenance(data, rows, split=split))
    command = ["mix", "--data", "digits", "--subset", tmp_path / "part.json", "--batch-size", 50, "--per-shard", 50,
               "--count", 80, "--device", "cpu", *(str(file) if each == "FILE" else each for each in method)]
    assert mixlab(*command, "--out", tmp_path / "set")[0] == 0
    part, (about, sources) = data.subset(rows), (read_mixed(tmp_path / "set")[1],
                                                 read_parts(tmp_path / "set")["sources"])
    assert set(sources.unique().tolist()) <= set(rows.tolist()) and len(sources.unique()) > 50
    assert about["mean"] == list(part.mean) != list(data.mean)
    # Given again it is the same set; without the file it is another one, which does not go on in this folder.
    assert mixlab(*command, "--out", tmp_path / "set")[1].startswith("kept 80")
    status, _, told = mixlab(*command[:3], *command[5:], "--out", tmp_path / "set")
    assert status == 2 and told.count("\n") == 1 and read_mixed(tmp_path / "set")[1] == about


def test_a_subset_of_another_set_is_refused(mixlab, tmp_path):
    data = load("shapes", limit=100)
    write_subset(tmp_path / "part.json", data.train.rows.sort().values, provenance(data, data.train.rows.sort().values))
    command = ["mix", "--data", "digits", "--method", "mixup", "--count", 10, "--out", tmp_path / "set", "--subset"]
    status, _, told = mixlab(*command, tmp_path / "part.json")
    assert status == 2 and "expected a subset of digits, received" in told and told.count("\n") == 1
    status, _, told = mixlab(*command, tmp_path / "nowhere.json")
    assert status == 2 and re.search("expected a file at .*nowhere.json, from `mixlab select`, received none", told)
    assert [path.name for path in tmp_path.iterdir()] == ["part.json"]


WRONG = {
    "no teacher": (SOLVED, "expected a --teacher with supermix"),
    "distinct without": (["--method", "cutmix", "--distinct"], "expected a --teacher"),
    "a teacher for nothing": (["--method", "cutmix", "--teacher", "FILE"], "and with nothing else"),
    "twice distinct": ([*SOLVED, "--distinct", "--teacher", "FILE"], "another --method than supermix"),
    "unknown": (["--method", "nothing"], "expected a mixer of"),
    "option": (["--method", "mixup", "--mixer-option", "alpah=1"], "options of mixup"),
    "no option": (["--method", "mixup", "--mixer-option", "alpha"], "expected a --mixer-option NAME=VALUE"),
    "keep": (["--method", "mixup", "--keep", "some"], "'success' or 'best'"),
    "saliency": (["--method", "puzzlemix"], "no saliency"),
    "no file": ([*SOLVED, "--teacher", "nowhere.pt"], "expected a file at nowhere.pt, from `mixlab train"),
    "k": ([*SOLVED, "--teacher", "FILE", "--mixer-option", "k=11"], "k"),
    "device": (["--method", "mixup", "--device", "abacus"], "--device of auto, cpu or cuda"),
    "data": (["--method", "mixup", "--data", "./digits"], "expected a data set out of"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_cannot_be_done_is_told_in_one_line_and_leaves_nothing(mixlab, file, tmp_path, name):
    arguments, message = WRONG[name]
    arguments = [str(file) if each == "FILE" else each for each in arguments]
    status, printed, told = mixlab(*MIX, *arguments, "--out", tmp_path / "set")
    assert status == 2 and printed == "" and told.count("\n") == 1 and message in told
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("channels", "classes", "message"), [(3, 10, "images of shape"), (1, 7, "one of 7")])
def test_a_teacher_of_other_images_or_classes_is_refused(mixlab, tmp_path, channels, classes, message):
    sizes = {"num_classes": classes, "in_channels": channels, "width": 2}
    network = build("preact-resnet18", **sizes, generator=torch.Generator().manual_seed(0))
    Teacher(network).save(tmp_path / "other.pt", name="preact-resnet18", **sizes)
    status, _, told = mixlab(*MIX, *SOLVED, "--teacher", tmp_path / "other.pt", "--out", tmp_path / "set")
    assert status == 2 and message in told and told.count("\n") == 1 and not (tmp_path / "set").exists()


def test_every_setting_of_supermix_can_be_said(mixlab, file, tmp_path):
    settings = {"k": 3, "alpha": 1.0, "sparsity": 5.0, "sigma": 0.5, "side": 4, "max_iter": 2, "step": "sgd",
                "tv": 250.0, "lr": 10.0}
    options = [word for name, value in settings.items() for word in ("--mixer-option", f"{name}={value}")]
    assert mixlab(*MIX, "--method", "supermix", "--teacher", file, "--keep", "best", *options, "--out",
                  tmp_path / "set")[0] == 0
    written = read_mixed(tmp_path / "set")[1]["mixer"]
    default = {name: SuperMix.__dataclass_fields__[name].default for name in settings}
    assert {name: written.get(name, default[name]) for name in settings} == settings
    assert read_parts(tmp_path / "set")["masks"].shape == (80, 3, 8, 8)

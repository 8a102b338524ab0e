"""`mixlab score`, with a network that has learned nothing: what is told, what is written, and that it goes on."""

import os
import re
import sys

import pytest
import torch

from mixlab import bayes
from mixlab.bayes import Scores
from mixlab.bayes import scores as module
from mixlab.cli import main
from mixlab.data import load
from mixlab.models import Teacher, build
from mixlab.selection import provenance, write_subset

SCORE = ["score", "--data", "digits", "--limit", "60", "--draws", "6", "--device", "cpu"]


@pytest.fixture
def mixlab(monkeypatch, capsys):
    """Call the command; gives its status, output and error output."""
    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["mixlab", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            main()
        return end.value.code or 0, *capsys.readouterr()

    return call


def save(path, channels=1, classes=10):
    """A network in a file, for images normalised by other moments than the set's."""
    sizes = {"num_classes": classes, "in_channels": channels, "width": 2}
    network = build("preact-resnet18", **sizes, generator=torch.Generator().manual_seed(0))
    moments = {"mean": (0.2,) * channels, "std": (0.4,) * channels}
    Teacher(network, **moments).save(path, name="preact-resnet18", **sizes)
    return path


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    return save(tmp_path_factory.mktemp("scorer") / "scorer.pt")


def test_scores_are_those_of_the_program_and_are_told_class_by_class(mixlab, file, tmp_path):
    out = tmp_path / "new" / "scores.npz"
    status, printed, _ = mixlab(*SCORE, "--scorer", file, "--out", out, "--k", 3, "--alpha", 1, "--anchor-share", 0.4,
                                "--form", "blend", "--companion-sets", 2, "--loss", "kl", "--seed", 5)
    assert status == 0 and [path.name for path in out.parent.iterdir()] == ["scores.npz"]
    scores, data = Scores.load(out), load("digits", limit=60, seed=5)
    direct = bayes.score(
        Teacher.load(file), data.train, mean=data.mean, std=data.std, num_classes=10, k=3, alpha=1.0, anchor_share=0.4,
        form="blend", draws=6, companion_sets=2, loss="kl", seed=5, source="digits")
    assert scores.about == direct.about and torch.equal(scores.mean, direct.mean) and torch.equal(scores.cv, direct.cv)
    scores.check(data.train)
    lines = {line.split()[0]: line.split()[1:] for line in printed.splitlines() if line.split()}
    for label, name in enumerate(data.classes):
        own = scores.labels == label
        expected = [str(int(own.sum())), f"{scores.mean[own].mean():.3f}", f"{scores.cv[own].mean():.3f}"]
        assert lines[name] == expected
    assert lines["all"] == ["60", f"{scores.mean.mean():.3f}", f"{scores.cv.mean():.3f}"]
    assert "scored 60 images with 6 draws each" in printed


def test_stopped_and_given_again_it_goes_on(mixlab, file, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "WRITTEN_EVERY", 60)
    calls, usual = [], os.fsync

    def full(descriptor):
        calls.append(descriptor)
        if len(calls) == 4:
            raise OSError(28, "No space left on device")
        usual(descriptor)

    monkeypatch.setattr(os, "fsync", full)
    command = [*SCORE, "--scorer", file, "--out", tmp_path / "scores"]
    status, _, told = mixlab(*command)
    assert status == 2 and "No space left" in told
    status, _, told = mixlab(*command, "--seed", 1)
    assert status == 2 and "moments of another score" in told
    draws, losses = [], module._losses
    monkeypatch.setattr(module, "_losses", lambda *arguments: draws.append(arguments[4]) or losses(*arguments))
    assert mixlab(*command)[0] == 0 and draws == [3, 4, 5]
    assert [path.name for path in tmp_path.iterdir()] == ["scores"]
    assert mixlab(*command[:-1], tmp_path / "again")[0] == 0
    one, other = (Scores.load(tmp_path / name) for name in ("scores", "again"))
    assert torch.equal(one.mean, other.mean) and torch.equal(one.std, other.std)


@pytest.fixture
def subset(tmp_path):
    """Forty rows of a split that seed 0 does not give, and their file."""
    split = {"seed": 3, "validation": 0.2, "limit": 100}
    data = load("digits", **split)
    rows = data.train.rows[5:85:2].sort().values
    write_subset(tmp_path / "part.json", rows, provenance(data, rows, split=split))
    return tmp_path / "part.json", data.subset(rows)


def test_a_subset_is_scored_within_itself(mixlab, file, subset, tmp_path):
    """Its rows are the anchors, and the companions."""
    path, part = subset
    status, printed, _ = mixlab("score", "--data", "digits", "--draws", 6, "--device", "cpu", "--scorer", file, "--out",
                                tmp_path / "scores", "--subset", path, "--seed", 5)
    scores = Scores.load(tmp_path / "scores")
    direct = bayes.score(Teacher.load(file), part.train, mean=part.mean, std=part.std, num_classes=10, draws=6, seed=5,
                         source="digits")
    assert status == 0 and "scored 40 images" in printed
    assert scores.rows.tolist() == part.train.rows.tolist()
    assert scores.about == direct.about and torch.equal(scores.cv, direct.cv)


@pytest.mark.parametrize(("change", "message"), [
    (["--limit", 60], "a --subset without --limit and --validation, .* received 60 and None"),
    (["--validation", 0.1], "a --subset without --limit and --validation, .* received None and 0.1"),
    (["--subset", "nowhere.json"], "expected a file at nowhere.json, from `mixlab select`, received none"),
    (["--subset", "."], "expected a file at ., from `mixlab select`, received a folder"),
    (["--subset", "SCORER"], "expected a file of `mixlab select` at .*, received another"),
    (["--data", "shapes"], "expected a subset of shapes, received .*, which is one of digits"),
])
def test_a_subset_that_does_not_fit_is_told_in_one_line(mixlab, file, subset, tmp_path, change, message):
    change = [str(file) if each == "SCORER" else each for each in change]
    status, printed, told = mixlab("score", "--data", "digits", "--scorer", file, "--out", tmp_path / "scores",
                                   "--subset", subset[0], *change)
    assert status == 2 and printed == "" and told.count("\n") == 1 and re.search(message, told), told
    assert [path.name for path in tmp_path.iterdir()] == ["part.json"]


def test_scores_that_are_there_are_not_written_over(mixlab, file, tmp_path):
    (tmp_path / "scores").write_bytes(b"hours of work")
    status, _, told = mixlab(*SCORE, "--scorer", file, "--out", tmp_path / "scores")
    assert status == 2 and "expected a new file" in told and (tmp_path / "scores").read_bytes() == b"hours of work"


WRONG = {
    "no file": (["--scorer", "nowhere.pt"],
                "expected a file at nowhere.pt, from `mixlab train --save-teacher`, received none"),
    "draws": (["--draws", "1"], "at least 2"),
    "form": (["--form", "box"], "'boxes', 'blend'"),
    "device": (["--device", "abacus"], "--device of auto, cpu or cuda"),
    "data": (["--data", "./digits"], "expected a data set out of"), "sets": (["--companion-sets", "4"], "divides"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_cannot_be_done_is_told_in_one_line_and_leaves_nothing(mixlab, file, tmp_path, name):
    arguments, message = WRONG[name]
    status, printed, told = mixlab(*SCORE, "--scorer", file, "--out", tmp_path / "new" / "scores", *arguments)
    assert status == 2 and printed == "" and told.count("\n") == 1 and message in told
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("channels", "classes", "message"), [(3, 10, "images of shape"), (1, 7, "one of 7")])
def test_a_network_of_other_images_or_classes_is_refused(mixlab, tmp_path, channels, classes, message):
    other = save(tmp_path / "other.pt", channels, classes)
    status, _, told = mixlab(*SCORE, "--scorer", other, "--out", tmp_path / "scores")
    assert status == 2 and message in told and told.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["other.pt"]

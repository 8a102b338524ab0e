"""Subset files, and that training with one sees these rows and no others."""

import json
import sys
from dataclasses import replace
from hashlib import sha256

import pytest
import torch

from mixlab.bayes import Scores
from mixlab.cli import main
from mixlab.data import load
from mixlab.data.checksums import content_checksum
from mixlab.reproduce import Run
from mixlab.reproduce import execute
from mixlab.selection import apply_subset, provenance, read_subset, select, write_subset
from mixlab.train import read_record

TRAIN = ["train", "--data", "digits", "--model", "preact-resnet18", "--width", "2", "--recipe", "demo", "--epochs", "1",
         "--device", "cpu", "--precision", "32-true"]
SELECT = ["select", "--data", "digits", "--limit", "300", "--seed", "3"]
RUN = Run("tiny-s0", "ERM", data="digits", model="preact-resnet18", width=2, risk={"name": "empirical"}, recipe="demo",
          seed=0, epochs=1, device="cpu")


@pytest.fixture(scope="module")
def digits():
    return load("digits", seed=3, limit=300)


@pytest.fixture(scope="module")
def scores(digits):
    """Made-up scores of the digits."""
    rows = digits.train.rows
    mean, std = torch.rand(2, len(rows), dtype=torch.float64, generator=torch.Generator().manual_seed(0)) + 0.5
    return Scores(rows, digits.train.labels, mean, std, draws=8, about={"data": content_checksum(digits.train)})


@pytest.fixture
def mixlab(monkeypatch, capsys):
    """Call the command; gives its status, output and error output."""
    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["mixlab", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            main()
        return end.value.code or 0, *capsys.readouterr()

    return call


@pytest.fixture
def trained_on(monkeypatch):
    """The sets that networks are trained on, and the recipes, one after another."""
    seen, fit = [], execute.fit

    def watched(model, risk, dataset, recipe, **options):
        seen.append((dataset, recipe))
        return fit(model, risk, dataset, recipe, **options)

    monkeypatch.setattr(execute, "fit", watched)
    return seen


def test_three_lines_give_a_subset(digits, scores):
    rows = select(scores, 0.1)
    part = digits.subset(rows)
    each = torch.bincount(digits.train.labels)
    assert part.train.rows.tolist() == rows.tolist()
    assert torch.equal(torch.bincount(part.train.labels), (each + 9) // 10)
    assert torch.equal(part.train.images, load("digits", validation=0.0).train.images[rows])


def test_a_file_gives_back_rows_and_what_was_said(digits, tmp_path):
    rows = digits.train.rows[[5, 9, 200]]
    about = provenance(digits, rows, policy="high-cv", t=0.1, split={"seed": 3})
    write_subset(tmp_path / "new" / "part.json", rows, about)
    again, said = read_subset(tmp_path / "new" / "part.json")
    assert torch.equal(again, rows) and again.dtype == torch.int64
    assert said == about and said["set"] == "digits" and said["t"] == 0.1
    plain = json.loads((tmp_path / "new" / "part.json").read_text())
    assert plain["rows"] == rows.tolist() and plain["about"] == about
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["part.json"]


def test_a_subset_file_means_the_same_images_whatever_else_was_held_out(digits, tmp_path):
    rows = digits.train.rows[::10]
    write_subset(tmp_path / "part.json", rows, provenance(digits, rows))
    for data in (digits, load("digits", validation=0.0)):
        part = apply_subset(data, tmp_path / "part.json")
        assert torch.equal(part.train.rows, rows)
        assert torch.equal(part.train.images, digits.train.subset(torch.isin(digits.train.rows, rows)).images)


@pytest.mark.parametrize(("change", "message"), [
    ({"about": {"set": "shapes"}}, "expected a subset of digits, received .*part.json, which is one of shapes"),
    ({"about": {"content": "0" * 64}}, "expected the pictures and labels of digits that .* received others under the"),
    ({"rows": [0, 1, 2, 1437]}, r"training split of digits, received \d others, .*\(.*part.json: chosen with seed 3\)"),
])
def test_a_subset_of_other_images_is_refused(digits, tmp_path, change, message):
    rows = digits.train.rows[:3]
    write_subset(tmp_path / "part.json", rows, provenance(digits, rows, split={"seed": 3}))
    plain = json.loads((tmp_path / "part.json").read_text())
    plain = plain | change | {"about": plain["about"] | change.get("about", {})}
    (tmp_path / "part.json").write_text(json.dumps(plain))
    with pytest.raises(ValueError, match=message):
        apply_subset(digits, tmp_path / "part.json")


def test_other_labels_are_another_set(digits, tmp_path):
    rows = digits.train.rows[:3]
    write_subset(tmp_path / "part.json", rows, provenance(digits, rows))
    changed = digits.train.labels.clone()
    changed[1] = (changed[1] + 1) % 10
    other = replace(digits, train=replace(digits.train, labels=changed))
    with pytest.raises(ValueError, match="received others under the same numbers"):
        apply_subset(other, tmp_path / "part.json")
    changed[1], changed[200] = digits.train.labels[1], (changed[200] + 1) % 10  # of a row that is not chosen
    other = replace(digits, train=replace(digits.train, labels=changed))
    assert torch.equal(apply_subset(other, tmp_path / "part.json").train.rows, rows)


@pytest.mark.parametrize("content", [
    "", "rows: 1, 2", "[1, 2]", "{}", '{"format": 2, "rows": [1]}', '{"format": 1, "rows": [1]}',
    *(json.dumps({"format": 1, "about": {"set": "digits", "content": "0"}, "rows": rows})
      for rows in ([], [2, 1], [1, 1], [-1, 2], [0.5], ["1"], [True], None, 3)),
    json.dumps({"format": 1, "about": {"set": "digits"}, "rows": [1]}),
])
def test_a_file_that_is_none_is_told(tmp_path, content):
    (tmp_path / "part.json").write_text(content)
    with pytest.raises(ValueError, match="expected a file of `mixlab select` at .*part.json, received another: "):
        read_subset(tmp_path / "part.json")


def test_a_file_that_is_not_text_or_not_there_is_told(tmp_path):
    (tmp_path / "part.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValueError, match="received another"):
        read_subset(tmp_path / "part.json")
    with pytest.raises(FileNotFoundError):
        read_subset(tmp_path / "other.json")


@pytest.mark.parametrize(("rows", "about", "message"), [
    (torch.tensor([2, 1]), {}, "expected ascending numbers of rows, at least one, received others"),
    (torch.tensor([], dtype=torch.int64), {}, "expected ascending numbers"),
    (torch.tensor([1.0]), {}, "expected rows as int64 tensor"),
    (torch.tensor([1]), {"policy": {1, 2}}, "expected an about of plain data"),
    (torch.tensor([1]), {"set": None}, "expected an about with set and content"),
])
def test_what_could_not_be_read_again_is_not_written(tmp_path, rows, about, message):
    with pytest.raises(ValueError, match=message):
        write_subset(tmp_path / "part.json", rows, {"set": "digits", "content": "0"} | about)
    assert not list(tmp_path.iterdir())


def test_rows_that_are_not_trained_on_have_no_provenance(digits):
    with pytest.raises(ValueError, match="expected rows of the training split of digits"):
        provenance(digits, digits.validation.rows[:2])


def test_select_and_train_work_on_the_same_rows_and_no_others(mixlab, scores, digits, tmp_path, trained_on):
    scores.save(tmp_path / "scores.npz")
    out = tmp_path / "part.json"
    status, printed, _ = mixlab(*SELECT, "--scores", tmp_path / "scores.npz", "--t", 0.1, "--out", out)
    rows, about = read_subset(out)
    assert (status, printed) == (0, f"kept {len(rows)} of 300 images in {out}, by the policy high-cv\n")
    assert rows.tolist() == select(scores, 0.1).tolist()
    assert about["split"] == {"seed": 3, "validation": 0.1, "limit": 300}
    assert (about["policy"], about["t"], about["per_class"], about["scores"]) == ("high-cv", 0.1, True, scores.about)
    for seed in (0, 1):  # of the network and its training; the split is that of the file
        status, printed, error = mixlab(*TRAIN, "--subset", out, "--seed", seed, "--out", tmp_path / f"run{seed}")
        assert (status, error) == (0, "") and "last epoch" in printed
        data = trained_on[-1][0]
        assert data.train.rows.tolist() == rows.tolist()
        assert data.validation.rows.tolist() == digits.validation.rows.tolist()
        config = read_record(tmp_path / f"run{seed}/record.json")["what"]["config"]
        assert config["subset"] == {"file": str(out), "checksum": sha256(out.read_bytes()).hexdigest()}
        assert (config["split"], config["limit"], config["seed"], config["validation"]) == (3, 300, seed, 0.1)
    again = Run(**{name: value for name, value in config.items() if name != "processes"})
    assert execute.dataset_of(again).train.rows.tolist() == rows.tolist()
    out.write_text(out.read_text().replace('"t": 0.1', '"t": 0.2'))
    with pytest.raises(ValueError, match="expected the subset .* to have sha256 .*: it is another one"):
        execute.dataset_of(again)


def test_select_draws_at_random_without_scores(mixlab, tmp_path, digits):
    for name, seed in (("one", 3), ("same", 3), ("other", 4)):
        given = [*SELECT[:-1], seed, "--policy", "random", "--t", 0.2, "--out", tmp_path / name]
        assert mixlab(*given)[0] == 0
    one, same, other = (read_subset(tmp_path / name)[0].tolist() for name in ("one", "same", "other"))
    assert one == same != other and set(one) < set(digits.train.rows.tolist())


@pytest.mark.parametrize(("options", "message"), [
    (["--t", 0], "expected a part t in (0, 1], received 0.0"),
    (["--t", 1.5, "--policy", "random"], "expected a part t in (0, 1], received 1.5"),
    (["--t", 0.1, "--policy", "cv"], "expected a policy of high-cv, low-cv, easy, hard, std, random, stratified, "
                                     "proportional, received 'cv'"),
    (["--t", 0.001, "--over-all"], "expected rows of all 10 classes, received a choice with none of class"),
    (["--t", 0.1, "--seed", 4], "is of another data set, or of another --seed, --validation or --limit"),
    (["--t", 0.1, "--data", "shapes"], "is of another data set"),
])
def test_select_says_in_one_line_what_it_cannot_do(mixlab, scores, tmp_path, options, message):
    scores.save(tmp_path / "scores.npz")
    status, printed, error = mixlab(*SELECT, "--scores", tmp_path / "scores.npz", "--out", tmp_path / "part.json",
                                    *options)
    assert (status, printed) == (2, "") and message in error and error.count("\n") == 1
    assert not (tmp_path / "part.json").exists()


def test_select_needs_scores_and_a_new_file(mixlab, tmp_path):
    status, _, error = mixlab(*SELECT, "--t", 0.1, "--policy", "easy", "--out", tmp_path / "part.json")
    assert status == 2 and "expected --scores with the policy easy, received none: `mixlab score` makes them" in error
    (tmp_path / "part.json").write_text("somebody's")
    status, _, error = mixlab(*SELECT, "--t", 0.1, "--policy", "random", "--out", tmp_path / "part.json")
    assert status == 2 and "expected a new file for the rows" in error
    assert (tmp_path / "part.json").read_text() == "somebody's"


@pytest.mark.parametrize(("options", "message"), [
    (["--limit", 100], "expected a --limit or a --subset, which is one, received both"),
    (["--data", "shapes"], "expected a subset of shapes, received"),
    (["--part", 0], "expected a part t in (0, 1], received 0.0"),
])
def test_train_says_in_one_line_which_subset_it_cannot_take(mixlab, digits, tmp_path, options, message):
    rows = digits.train.rows[::3]
    split = {"seed": 3, "validation": 0.1, "limit": 300}
    write_subset(tmp_path / "part.json", rows, provenance(digits, rows, split=split))
    status, printed, error = mixlab(*TRAIN, "--subset", tmp_path / "part.json", *options)
    assert (status, printed) == (2, "") and message in error and error.count("\n") == 1


def test_train_takes_a_part_of_the_images_each_epoch(mixlab, tmp_path, trained_on):
    assert mixlab(*TRAIN, "--limit", 200, "--part", 0.32, "--out", tmp_path)[0] == 0
    (data, recipe), = trained_on
    assert len(data.train) == 200 and recipe.part == 0.32 and recipe.epochs == 1
    assert read_record(tmp_path / "record.json")["what"]["config"]["part"] == 0.32


def tenth(run, data, folder):
    """A choice of training images that leaves a file behind."""
    (folder / "log").write_text(str(run.seed))
    rows = select(data.train, run.subset["t"], "random", generator=torch.Generator().manual_seed(run.seed))
    return rows, {"chosen": len(rows)}


def test_a_run_may_name_how_its_images_are_chosen(tmp_path, monkeypatch, trained_on):
    monkeypatch.setitem(execute.CHOICES, "tenth", f"{__name__}:tenth")
    monkeypatch.setitem(sys.modules, __name__, sys.modules[tenth.__module__])
    run = replace(RUN, limit=200, subset={"choice": "tenth", "t": 0.1})
    record = execute.execute(run, "mine", "cpu", shared=tmp_path)
    chosen = tenth(run, load("digits", limit=200), tmp_path)[0]
    assert trained_on[0][0].train.rows.tolist() == chosen.tolist() and (tmp_path / "log").read_text() == "0"
    assert record["result"]["measures"] == {"chosen": len(chosen)}
    assert record["what"]["config"]["subset"] == {"choice": "tenth", "t": 0.1}
    with pytest.raises(ValueError, match="expected a folder for what tenth chooses by, received none"):
        execute.train(run)
    with pytest.raises(ValueError, match="expected a choice as 'package.module:function', received 'tnth'"):
        execute.train(replace(run, subset={"choice": "tnth"}))


def test_fields_for_subsets_are_no_part_of_runs_without_them():
    assert not {"subset", "split", "part"} & set(RUN.as_dict())
    for change in ({"subset": {"file": "part.json"}}, {"split": 0}, {"part": 0.5}):
        other = replace(RUN, **change)
        assert Run(**other.as_dict()) == other and other.digest() != RUN.digest()
        assert not other.same_as(RUN.as_dict())


def test_runs_of_one_split_differ_in_their_seeds_and_share_their_data():
    runs = [replace(RUN, limit=200, corrupt=0.3, split=5, seed=seed) for seed in (0, 1)]
    one, other, own = (execute.dataset_of(run) for run in (*runs, replace(runs[0], split=None)))
    for name in ("rows", "labels"):
        assert torch.equal(getattr(one.train, name), getattr(other.train, name))
    assert not torch.equal(one.train.rows, own.train.rows)
    assert torch.equal(own.train.rows, execute.dataset_of(replace(runs[0], seed=0, split=0)).train.rows)


def test_a_summary_says_what_is_taken_of_the_images():
    text = execute.summary(replace(RUN, data="shapes", subset={"choice": "tenth"}, part=0.5))
    assert "all others for training, of which tenth takes some, 50 % of them each epoch\n" in text

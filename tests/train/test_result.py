"""Records: what they hold, what is refused, and that they are written whole or not at all."""

import copy
import json

import pytest

from mixlab.train import Result, read_record, validate, write_record


@pytest.fixture
def record():
    origin = {"commit": None, "versions": {"torch": "2.6.0"}, "device": "cpu", "threads": 1, "peak_memory_mib": 300.5}
    last = {"epoch": 2, "test_error": 12.5, "test_loss": 0.4}
    curves = {"epoch": [1, 2], "lr": [0.1, 0.05], "train_loss": [2.0, 1.0]}
    return Result(last, None, None, curves, [2.0, 1.0], 3.5, origin).record(
        experiment="k-image", row="ERM", budget="cpu", seed=0, config={"width": 16}, measures={"auroc": 0.9})


def test_a_record_keeps_what_ran_what_came_out_and_where_from(record):
    assert record["what"] == {"experiment": "k-image", "row": "ERM", "budget": "cpu", "seed": 0,
                              "config": {"width": 16}}
    assert record["result"]["value"] == 12.5 and record["result"]["measures"] == {"auroc": 0.9}
    assert record["origin"]["seconds"] == 3.5
    assert validate(record) is record


def test_what_is_written_is_read_back(record, tmp_path):
    write_record(tmp_path / "a" / "run.json", record)
    assert read_record(tmp_path / "a" / "run.json") == record
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["run.json"]


@pytest.mark.parametrize(("part", "name", "value"), [
    ("what", "seed", "0"), ("what", "seed", None), ("what", "config", []), ("what", "row", 3),
    ("result", "value", None), ("result", "value", True), ("result", "best", 1.0), ("result", "curves", None),
    ("origin", "threads", 1.5), ("origin", "commit", 7),
])
def test_an_entry_of_the_wrong_type_is_named(record, part, name, value):
    record[part][name] = value
    with pytest.raises(ValueError, match=f"{part}.{name}"):
        validate(record)


def test_missing_and_superfluous_entries_are_refused(record):
    for change in (lambda copied: copied.pop("origin"), lambda copied: copied["what"].pop("seed"),
                   lambda copied: copied["result"].update(extra=1), lambda copied: copied.update(note="")):
        changed = copy.deepcopy(record)
        change(changed)
        with pytest.raises(ValueError, match="needs"):
            validate(changed)


@pytest.mark.parametrize("spoil", [lambda record: record["what"].pop("seed"),
                                   lambda record: record["result"].update(value=float("nan"))])
def test_a_record_that_is_none_changes_nothing_on_the_disk(record, tmp_path, spoil):
    path = tmp_path / "run.json"
    write_record(path, record)
    before = path.read_bytes()
    spoil(record)
    with pytest.raises(ValueError):
        write_record(path, record)
    assert path.read_bytes() == before and len(list(tmp_path.iterdir())) == 1


def test_a_torn_file_is_named(record, tmp_path):
    path = tmp_path / "run.json"
    path.write_text(json.dumps(record)[:40])
    with pytest.raises(ValueError, match="run.json"):
        read_record(path)

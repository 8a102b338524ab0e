"""A disk that refuses costs the new state, never the old one."""

import builtins
import errno
import io
import os
import random
import sys
import warnings

import pytest
import torch
from disk import largest_file

from mixlab.cli import main
from mixlab.train import Checkpoints
from mixlab.train.checkpoint import write_atomically


@pytest.fixture
def full_disk(monkeypatch):
    """From now on nothing more gets to the disk."""
    def refuse(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    return lambda: monkeypatch.setattr(os, "fsync", refuse)


def state(value):
    return {"model": {"weight": torch.full((3,), value)}, "step": 1}


def test_a_full_disk_leaves_the_states_before_and_no_rest(tmp_path, full_disk):
    store = Checkpoints(tmp_path, {"seed": 0})
    store.save(state(1.0))
    store.save(state(2.0))
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    full_disk()
    with pytest.raises(OSError, match="No space left"):
        store.save(state(3.0))
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    assert torch.equal(store.load()["model"]["weight"], torch.full((3,), 2.0))


def large(value):
    return {"model": {str(number): torch.full((8000,), value) for number in range(10)}, "step": 1}


@pytest.mark.parametrize("size", [1, 1000, 5000, 9000, 70_000, 200_000, 310_000])
def test_a_disk_that_is_full_in_the_middle_of_a_state_leaves_the_states_before(tmp_path, size):
    """Wherever it refuses: within a tensor, or in the directory behind them."""
    store = Checkpoints(tmp_path, {"seed": 0})
    store.save(large(1.0))
    store.save(large(2.0))
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert len(before["last.ckpt"]) > size
    with largest_file(size), pytest.raises(OSError) as raised:
        store.save(large(3.0))
    assert raised.value.errno == errno.EFBIG
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_disk_that_is_full_ends_the_command_in_one_line(tmp_path, monkeypatch, capsys):
    command = ["mixlab", "train", "--data", "digits", "--model", "preact-resnet18", "--width", "2", "--recipe", "demo",
               "--epochs", "1", "--limit", "128", "--device", "cpu", "--precision", "32-true", "--out",
               str(tmp_path / "run")]
    monkeypatch.setattr(sys, "argv", command)
    with largest_file(5000), pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 2
    assert capsys.readouterr().err.splitlines() == ["mixlab: [Errno 27] File too large"]
    assert not any("ckpt" in path.name for path in (tmp_path / "run").iterdir())


def test_the_state_before_is_kept_beside_the_last_one(tmp_path):
    store = Checkpoints(tmp_path, {"seed": 0})
    for value in (1.0, 2.0, 3.0):
        store.save(state(value))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["last.ckpt", "previous.ckpt"]
    (tmp_path / "last.ckpt").unlink()
    assert torch.equal(store.load()["model"]["weight"], torch.full((3,), 2.0))


def test_an_empty_folder_holds_no_state_and_is_not_made(tmp_path):
    assert Checkpoints(tmp_path / "none", {}).load() is None
    assert not (tmp_path / "none").exists()


def test_a_writer_that_fails_leaves_the_file_as_it_was(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"old")

    def fail(file):
        file.write(b"new, but not all of")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_atomically(path, fail)
    assert [entry.read_bytes() for entry in tmp_path.iterdir()] == [b"old"]


def test_of_two_writers_at_once_one_file_is_there_and_no_mixture(tmp_path):
    path = tmp_path / "file"

    def write_slowly(file):
        file.write(b"old" * 1000)
        write_atomically(path, lambda other: other.write(b"new"))
        assert path.read_bytes() == b"new"
        file.write(b"old" * 1000)

    write_atomically(path, write_slowly)
    assert [entry.read_bytes() for entry in tmp_path.iterdir()] == [b"old" * 2000]


def test_a_file_can_be_read_by_whom_the_system_lets_read_new_files(tmp_path):
    write_atomically(tmp_path / "written", lambda file: file.write(b"1"))
    (tmp_path / "opened").write_bytes(b"1")
    assert (tmp_path / "written").stat().st_mode == (tmp_path / "opened").stat().st_mode


def test_what_a_killed_writer_left_is_swept_away_and_nothing_else(tmp_path):
    store = Checkpoints(tmp_path, {})
    store.save(state(1.0))
    rest = tmp_path / ".new.ckpt.0123.tmp"
    for path in (rest, tmp_path / ".record.json.0123.tmp", tmp_path / "notes.tmp"):
        path.write_text("half")
    store.sweep()
    assert {path.name for path in tmp_path.iterdir()} == {"last.ckpt", ".record.json.0123.tmp", "notes.tmp"}


def damaged(content, draws):
    """The same bytes cut short, or with a few of them changed, mostly near the end, where an archive's directory is."""
    if draws.random() < 0.2:
        return content[: draws.randrange(len(content))]
    spoilt = bytearray(content)
    for _ in range(draws.choice([1, 1, 2, 8])):
        place = draws.randrange(len(spoilt)) if draws.random() < 0.4 else -draws.randrange(1, 900)
        spoilt[place] ^= draws.randrange(1, 256)
    return bytes(spoilt)


def test_whatever_is_damaged_the_state_before_is_found_or_one_error_says_so(tmp_path):
    store, draws = Checkpoints(tmp_path, {"seed": 0}), random.Random(0)
    store.save(state(1.0))
    store.save(state(2.0))
    last, before = (tmp_path / "last.ckpt").read_bytes(), (tmp_path / "previous.ckpt").read_bytes()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for _ in range(400):
            (tmp_path / "last.ckpt").write_bytes(damaged(last, draws))
            (tmp_path / "previous.ckpt").write_bytes(before)
            assert store.load()["model"]["weight"].tolist() in ([1.0] * 3, [2.0] * 3)
            (tmp_path / "previous.ckpt").write_bytes(damaged(before, draws))
            try:
                assert store.load()["model"]["weight"].tolist() in ([1.0] * 3, [2.0] * 3)
            except ValueError as error:
                assert "every checkpoint in" in str(error)


def states(store):
    """The value of the state in each file of the folder."""
    values = {}
    for path in store.folder.iterdir():
        saved = torch.load(path, weights_only=True)
        assert saved["config"] == store.config
        values[path.name] = saved["state"]["model"]["weight"][0].item()
    return values


def test_a_damaged_state_does_not_take_the_place_of_the_one_that_was_used(tmp_path):
    store = Checkpoints(tmp_path, {"seed": 0})
    store.save(state(1.0))
    store.save(state(2.0))
    (tmp_path / "last.ckpt").write_bytes(b"torn")
    store = Checkpoints(tmp_path, {"seed": 0})
    with pytest.warns(UserWarning, match="last.ckpt is damaged and is passed over"):
        store.load()
    store.save(state(3.0))
    assert states(store) == {"previous.ckpt": 1.0, "last.ckpt": 3.0}
    store.save(state(4.0))
    assert states(store) == {"previous.ckpt": 3.0, "last.ckpt": 4.0}


@pytest.mark.parametrize("last", [b"torn", None, "whole"])
def test_after_a_save_that_was_cut_off_the_state_that_it_left_is_kept(tmp_path, last):
    store = Checkpoints(tmp_path, {"seed": 0})
    for value in (1.0, 2.0):
        store.save(state(value))
    Checkpoints(tmp_path / "other", {"seed": 0}).save(state(3.0))
    (tmp_path / "other" / "last.ckpt").rename(tmp_path / "new.ckpt")
    (tmp_path / "other").rmdir()
    if last is None:
        (tmp_path / "last.ckpt").replace(tmp_path / "previous.ckpt")
    elif last == b"torn":
        (tmp_path / "last.ckpt").write_bytes(last)
    store = Checkpoints(tmp_path, {"seed": 0})
    assert store.load()["model"]["weight"].tolist() == [3.0] * 3
    store.save(state(4.0))
    assert states(store) == {"previous.ckpt": 3.0, "last.ckpt": 4.0}


@pytest.mark.parametrize("name", ["new.ckpt", "last.ckpt", "previous.ckpt"])
@pytest.mark.parametrize(("at", "number"), [("/proc/self/mem", errno.EIO), ("/", errno.EISDIR)])
def test_a_file_that_the_disk_does_not_give_is_an_error_and_no_damage(tmp_path, name, at, number):
    """What is at the start of a process's memory nobody can read: the disk that fails has a stand-in there."""
    store = Checkpoints(tmp_path, {})
    store.save(state(1.0))
    (tmp_path / "last.ckpt").replace(tmp_path / "good.ckpt")
    (tmp_path / name).symlink_to(at)
    with pytest.raises(OSError, match=f"/{name}'") as raised:
        store.load()
    assert raised.value.errno == number and "\n" not in str(raised.value)
    assert {path.name for path in tmp_path.iterdir()} == {name, "good.ckpt"}


def test_a_file_that_may_not_be_read_is_an_error_and_no_damage(tmp_path, monkeypatch):
    store = Checkpoints(tmp_path, {})
    store.save(state(1.0))
    store.save(state(2.0))
    opened = io.open

    def refuse(path, *arguments, **options):
        if str(path).endswith("last.ckpt"):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return opened(path, *arguments, **options)

    monkeypatch.setattr(io, "open", refuse)
    monkeypatch.setattr(builtins, "open", refuse)
    with pytest.raises(PermissionError, match="last.ckpt"):
        store.load()
    monkeypatch.undo()
    assert states(store) == {"previous.ckpt": 1.0, "last.ckpt": 2.0}


@pytest.mark.parametrize(("content", "key"), [
    ({}, "config"), ({"state": {}}, "config"), ({"config": {}}, "state"), ({"config": {}, "state": [1]}, "state"),
    ([torch.zeros(2)], "config"),
])
def test_a_whole_file_that_is_no_checkpoint_is_named_and_not_passed_over(tmp_path, content, key):
    store = Checkpoints(tmp_path, {})
    store.save(state(1.0))
    store.save(state(2.0))
    torch.save(content, tmp_path / "last.ckpt")
    with pytest.raises(ValueError, match=f"expected a checkpoint with a '{key}' at .*last.ckpt, received"):
        store.load()


def test_a_state_of_another_run_is_no_damage(tmp_path):
    Checkpoints(tmp_path, {"seed": 0}).save(state(1.0))
    with pytest.raises(ValueError, match="another run: its seed is 0, this run's is 1"):
        Checkpoints(tmp_path, {"seed": 1}).load()

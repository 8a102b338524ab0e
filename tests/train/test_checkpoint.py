"""A disk that refuses costs the new state, never the old one."""

import errno
import os

import pytest
import torch

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

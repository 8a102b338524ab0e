"""A folder is held by one run at a time, and by none that is dead."""

import multiprocessing
import os
import signal
import sys
import threading
from pathlib import Path

import pytest
import torch

from mixlab.train.lock import LOCK, alone


def hold(folder, held):
    """Hold the folder until killed."""
    with alone(folder / LOCK):
        held.set()
        signal.pause()


@pytest.fixture
def holder(tmp_path):
    """A process that holds the folder `run`."""
    context = multiprocessing.get_context("fork")
    held = context.Event()
    process = context.Process(target=hold, args=(tmp_path / "run", held))
    process.start()
    held.wait()
    yield process
    process.kill()
    process.join()


def contents(folder):
    return {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.iterdir()}


def test_a_second_run_in_a_folder_is_refused_and_changes_nothing(holder, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    import small_run

    before = contents(tmp_path / "run")
    with pytest.raises(ValueError, match="another command is at work and holds .*run/lock: wait for it, or stop it"):
        small_run.train(tmp_path / "run")
    assert contents(tmp_path / "run") == before
    os.kill(holder.pid, signal.SIGKILL)
    holder.join()
    _, result = small_run.train(tmp_path / "run")
    assert len(result.losses) == 16
    assert small_run.train(tmp_path / "run", at=1)[1].losses == result.losses  # and a run lets go of its folder


def test_who_holds_a_folder_is_asked_before_what_lies_there(holder, tmp_path, monkeypatch):
    """A checkpoint may be half in place while its run goes on: nobody else reads or sweeps there."""
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    import small_run

    torch.save({}, tmp_path / "run" / "last.ckpt")
    (tmp_path / "run" / ".new.ckpt.0123.tmp").write_text("being written")
    with pytest.raises(ValueError, match="another command"):
        small_run.train(tmp_path / "run")
    assert (tmp_path / "run" / ".new.ckpt.0123.tmp").exists()


def test_a_folder_is_free_again_after_an_error(tmp_path):
    for _ in range(2):
        with pytest.raises(KeyError), alone(tmp_path / LOCK):
            raise KeyError
    with alone(tmp_path / LOCK), pytest.raises(ValueError, match="another command"), alone(tmp_path / LOCK):
        pass


def test_who_waits_gets_the_file_when_it_is_let_go(tmp_path):
    order = []

    def wait():
        with alone(tmp_path / LOCK, wait=True):
            order.append("second")

    with alone(tmp_path / LOCK):
        second = threading.Thread(target=wait)
        second.start()
        second.join(0.2)
        assert second.is_alive() and order == []
        order.append("first")
    second.join()
    assert order == ["first", "second"]


def test_a_file_system_without_locks_holds_nothing_and_says_so(tmp_path, monkeypatch):
    import fcntl

    def refuse(*arguments):
        raise OSError("Function not implemented")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.warns(UserWarning, match="cannot be locked .Function not implemented."), alone(tmp_path):
        pass


def test_a_file_that_may_not_be_opened_is_no_warning_but_an_error(tmp_path):
    (tmp_path / LOCK).symlink_to(tmp_path / "nowhere" / LOCK)
    with pytest.raises(FileNotFoundError), alone(tmp_path / LOCK):
        pass


def test_a_system_without_locks_holds_nothing_and_says_so(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "fcntl", None)
    with pytest.warns(UserWarning, match="cannot be locked"), alone(tmp_path / LOCK):
        pass

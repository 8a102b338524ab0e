"""Scratch folders: each process has its own, and nothing stays of them."""

import os

import pytest

from mixlab.data.folders import scratch_folder


def test_what_stays_is_moved_out_and_the_rest_is_removed(tmp_path):
    with scratch_folder(tmp_path / "new" / "root", "set") as scratch:
        (scratch / "kept").write_bytes(b"rows")
        (scratch / "left").write_bytes(b"archive")
        os.replace(scratch / "kept", tmp_path / "new" / "root" / "kept")
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["kept"]
    assert not scratch.exists()


def test_the_folder_of_another_process_with_our_number_is_left_alone(tmp_path):
    others = tmp_path / f".set.{os.getpid()}.part"
    others.mkdir()
    (others / "half").write_bytes(b"half of the r")
    with scratch_folder(tmp_path, "set") as scratch, scratch_folder(tmp_path, "set") as second:
        assert len({others, scratch, second}) == 3
    assert [path.name for path in tmp_path.rglob("*")] == [others.name, "half"]


@pytest.mark.parametrize("name", ["set", "x" * 300])
def test_a_parent_made_in_vain_is_removed(tmp_path, name):
    """Also where not even the scratch folder can be made, since its name is too long."""
    with pytest.raises(OSError), scratch_folder(tmp_path / "new" / "root", name):
        raise OSError("no route to host")
    assert not list(tmp_path.iterdir())


def test_a_parent_that_was_there_stays(tmp_path):
    with scratch_folder(tmp_path, "set"):
        pass
    assert tmp_path.is_dir() and not list(tmp_path.iterdir())

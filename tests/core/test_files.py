"""Files that are there whole or not at all: what a disk refuses is told as that, whoever writes."""

import errno

import numpy as np
import pytest
import torch
from disk import largest_file

from mixlab.files import write_atomically
from mixlab.generator import ConditionalUNet, SampleGenerator
from mixlab.models import Teacher, build


def save_teacher(path):
    Teacher(build("bench-net", 10, 1, 8)).save(path, name="bench-net", num_classes=10, in_channels=1, width=8)


def save_generator(path):
    SampleGenerator(ConditionalUNet(3, base=8, downs=2, output="free")).save(path)


def save_tensors(path):
    write_atomically(path, lambda file: torch.save([torch.zeros(9000) for _ in range(10)], file))


def save_arrays(path):
    write_atomically(path, lambda file: np.savez(file, *np.zeros((10, 9000))))


def save_bytes(path):
    write_atomically(path, lambda file: file.write(bytes(100_000)))


@pytest.mark.parametrize("size", [100, 4200, 9000, 50_000])
@pytest.mark.parametrize("save", [save_bytes, save_arrays, save_tensors, save_teacher, save_generator])
def test_a_full_disk_is_told_as_that_and_the_file_before_stays(tmp_path, save, size):
    path = tmp_path / "file"
    save(path)
    assert path.stat().st_size > size
    path.write_bytes(b"before")
    with largest_file(size), pytest.raises(OSError) as raised:
        save(path)
    assert raised.value.errno == errno.EFBIG
    assert {each.name: each.read_bytes() for each in tmp_path.iterdir()} == {"file": b"before"}


@pytest.mark.parametrize("error", [RuntimeError("no matter of the disk"), KeyboardInterrupt()])
def test_an_error_of_whoever_writes_is_told_as_it_is(tmp_path, error):
    def write(file):
        file.write(b"half")
        raise error

    with pytest.raises(type(error)) as raised:
        write_atomically(tmp_path / "file", write)
    assert raised.value is error and list(tmp_path.iterdir()) == []


def test_whoever_writes_may_go_back_in_the_file(tmp_path):
    def write(file):
        file.write(b"first")
        file.seek(0)
        file.write(b"F")
        assert file.tell() == 1

    write_atomically(tmp_path / "file", write)
    assert (tmp_path / "file").read_bytes() == b"First"

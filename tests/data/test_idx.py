"""idx files: read plain or gzipped, and refused where a byte is wrong."""

import gzip
import hashlib

import numpy as np
import pytest

from mixlab.data.idx import read_idx

PIXELS = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
CONTENT = bytes([0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 4]) + PIXELS.tobytes()
SHA256 = hashlib.sha256(CONTENT).hexdigest()


def test_plain_and_gzipped_files_read_alike(tmp_path):
    (tmp_path / "plain").write_bytes(CONTENT)
    (tmp_path / "packed.gz").write_bytes(gzip.compress(CONTENT))
    before = sorted(tmp_path.iterdir())
    for name in ("plain", "packed"):
        assert np.array_equal(read_idx(tmp_path / name, (2, 3, 4), SHA256), PIXELS)
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize("damage", [CONTENT[:-1], CONTENT + b"x", CONTENT[:-1] + b"x", b""])
@pytest.mark.parametrize("pack", [lambda content: content, gzip.compress])
def test_damaged_content_is_refused(tmp_path, damage, pack):
    path = tmp_path / ("images" if pack(b"") == b"" else "images.gz")
    path.write_bytes(pack(damage))
    with pytest.raises(ValueError, match=f"sha256 {SHA256}, received {hashlib.sha256(damage).hexdigest()}"):
        read_idx(tmp_path / "images", (2, 3, 4), SHA256)


def test_a_header_of_another_shape_is_refused_although_the_checksum_fits(tmp_path):
    (tmp_path / "images").write_bytes(CONTENT)
    with pytest.raises(ValueError, match="damaged"):
        read_idx(tmp_path / "images", (2, 4, 3), SHA256)


@pytest.mark.parametrize("cut", [1, 9, 30])
def test_a_cut_or_wrong_gzip_file_is_refused(tmp_path, cut):
    packed = gzip.compress(CONTENT)
    for content in (packed[:-cut], b"\0" + packed[1:], packed[:12] + b"\xff" * 8 + packed[20:]):
        (tmp_path / "images.gz").write_bytes(content)
        with pytest.raises(ValueError, match="damaged|complete gzip"):
            read_idx(tmp_path / "images", (2, 3, 4), SHA256)


def test_a_gzip_bomb_is_not_unpacked(tmp_path, monkeypatch):
    (tmp_path / "images.gz").write_bytes(gzip.compress(bytes(1 << 24)))
    taken = []
    read = gzip.GzipFile.read
    monkeypatch.setattr(gzip.GzipFile, "read", lambda file, size=-1: taken.append(size) or read(file, size))
    with pytest.raises(ValueError, match="damaged"):
        read_idx(tmp_path / "images", (2, 3, 4), SHA256)
    assert taken == [len(CONTENT) + 1]


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="images"):
        read_idx(tmp_path / "images", (2, 3, 4), SHA256)

"""Fetching: verified before it is put into its place, and nothing is left where it fails."""

import hashlib
import socket
import urllib.error
import urllib.request
from dataclasses import replace
from pathlib import Path

import pytest

from mixlab.data import SOURCES
from mixlab.data.checksums import read_checked
from mixlab.data.fetch import fetch

CONTENT = b"all the rows"


def read(root):
    return read_checked(root / "toy" / "rows", "md5", hashlib.md5(CONTENT).hexdigest()), None


def source(content=CONTENT, error=None):
    """A set of one file whose download writes ``content`` and may then break."""

    def download(folder):
        (folder / "toy").mkdir()
        (folder / "toy" / "rows").write_bytes(content)
        (folder / "toy.tar.gz").write_bytes(b"an archive that need not stay")
        if error:
            raise error

    files = lambda root: [root / "toy" / "rows"]  # noqa: E731
    return replace(SOURCES["mnist"], name="toy", read=read, files=files, download=download)


def test_a_download_puts_only_the_files_into_their_place(tmp_path):
    root = tmp_path / "new" / "root"
    assert fetch(source(), root)
    assert [path.relative_to(root) for path in sorted(root.rglob("*"))] == [Path("toy"), Path("toy/rows")]
    assert (root / "toy" / "rows").read_bytes() == CONTENT
    assert not fetch(source(error=OSError("not asked again")), root)


def test_a_damaged_set_is_replaced(tmp_path):
    (tmp_path / "toy").mkdir()
    (tmp_path / "toy" / "rows").write_bytes(b"half of the r")
    assert fetch(source(), tmp_path)
    assert (tmp_path / "toy" / "rows").read_bytes() == CONTENT


@pytest.mark.parametrize(
    "broken",
    [
        source(error=urllib.error.URLError("no route to host")),
        source(error=RuntimeError("File not found or corrupted.")),
        source(error=OSError(28, "No space left on device")),
        source(error=EOFError()),
        source(content=b"something else"),
    ],
)
def test_a_broken_download_leaves_the_root_as_it_was(tmp_path, broken):
    (tmp_path / "other").write_bytes(b"mine")
    for root in (tmp_path, tmp_path / "new" / "root"):
        with pytest.raises(OSError, match=f"could not fetch toy into {root}: .+mixlab data pack toy"):
            fetch(broken, root)
    assert [path.name for path in tmp_path.rglob("*")] == ["other"]
    assert fetch(source(), tmp_path)


@pytest.mark.parametrize("name", ["mnist", "fashion-mnist", "cifar10", "cifar100", "cifar100-coarse", "svhn"])
def test_without_a_network_there_is_one_error_and_no_trace(name, tmp_path, monkeypatch):
    asked = []

    def refuse(request, *arguments, **options):
        asked.append(request)
        raise urllib.error.URLError("Name or service not known")

    monkeypatch.setattr(urllib.request, "urlopen", refuse)
    with pytest.raises(OSError, match=f"could not fetch {name} .*Name or service not known"):
        fetch(SOURCES[name], tmp_path)
    assert asked and not list(tmp_path.iterdir())
    assert socket.getdefaulttimeout() is None


def test_a_set_without_a_download_is_refused(tmp_path):
    with pytest.raises(ValueError, match="received digits"):
        fetch(SOURCES["digits"], tmp_path)

"""Packed sets: what is written is read back, and anything else is refused without a trace."""

import io
import json
import random
import zipfile

import numpy as np
import pytest
import torch
from PIL import Image

from mixlab.data import SOURCES, Split, draw_shapes, pack
from mixlab.data.pack import write_packed
from mixlab.data.packed import read_packed
from mixlab.data.registry import data_root

CLASSES = tuple(f"class {number}" for number in range(8))
ROUNDS = 400  # of random damage


def colour(rows=530, test=20):
    drawn = draw_shapes(rows + test, 16, torch.Generator().manual_seed(0))
    plain = Split(drawn.images, drawn.labels)
    return plain.subset(torch.arange(rows)), plain.subset(torch.arange(rows, rows + test))


def grey(split):
    return Split(split.images[:, :1].contiguous(), split.labels)


def read(folder, train, test, name="set"):
    return read_packed(folder, name, (len(train), len(test)), tuple(train.images.shape[1:]), CLASSES)


def tree(folder):
    return {path.relative_to(folder): path.is_file() and path.read_bytes() for path in folder.rglob("*")}


@pytest.fixture
def packed(tmp_path):
    train, test = colour()
    write_packed(tmp_path / "set", train, test, CLASSES)
    return tmp_path / "set"


def rewrite(path, change):
    """Write a zip anew with members changed by ``change``: a map of name to content, in place."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    change(members)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)


def webp(image, **options):
    stream = io.BytesIO()
    image.save(stream, "WEBP", **{"lossless": True, **options})
    return stream.getvalue()


def npy(array):
    stream = io.BytesIO()
    np.save(stream, array, allow_pickle=True)
    return stream.getvalue()


@pytest.mark.parametrize("kind", [lambda split: split, grey])
@pytest.mark.parametrize("part_bytes", [1 << 30, 1])
def test_a_round_trip_is_exact(tmp_path, kind, part_bytes):
    train, test = map(kind, colour())
    write_packed(tmp_path / "set", train, test, CLASSES, part_bytes=part_bytes)
    for got, wanted in zip(read(tmp_path / "set", train, test), (train, test)):
        assert torch.equal(got.images, wanted.images) and torch.equal(got.labels, wanted.labels)
    names = sorted(path.name for path in (tmp_path / "set").iterdir())
    parts = ["train_images.zip"] if part_bytes > 1 else ["train_images_0.zip", "train_images_1.zip"]
    assert names == ["checksums.json", "labels.npz", "test_images.zip", *parts]
    assert [path.name for path in tmp_path.iterdir()] == ["set"]


def test_the_format_is_the_documented_one(packed):
    train, _ = colour()
    with zipfile.ZipFile(packed / "train_images.zip") as archive:
        assert archive.namelist() == ["00.webp", "01.webp"]
        strips = [np.asarray(Image.open(io.BytesIO(archive.read(name)))) for name in archive.namelist()]
    assert [strip.shape for strip in strips] == [(500 * 16, 16, 3), (30 * 16, 16, 3)]
    pixels = np.concatenate([strip.reshape(-1, 16, 16, 3) for strip in strips])
    assert np.array_equal(pixels, train.images.permute(0, 2, 3, 1).numpy())
    labels = np.load(packed / "labels.npz")
    assert labels["train_fine"].dtype == np.uint8 and labels["train_fine"].tolist() == train.labels.tolist()
    assert tuple(labels["fine_names"]) == CLASSES


def test_packing_twice_gives_the_same_bytes(packed, tmp_path):
    write_packed(tmp_path / "again", *colour(), CLASSES)
    assert tree(packed) == tree(tmp_path / "again")


def test_more_than_a_hundred_strips_keep_their_order(tmp_path, monkeypatch):
    from mixlab.data import packed

    monkeypatch.setattr(packed, "pictures_per_strip", lambda height: 1)
    monkeypatch.setattr(pack, "pictures_per_strip", lambda height: 1)
    train, test = colour(105, 2)
    write_packed(tmp_path / "set", train, test, CLASSES, part_bytes=20_000)
    assert len(list((tmp_path / "set").glob("train_images_*.zip"))) > 2
    assert torch.equal(read(tmp_path / "set", train, test)[0].images, train.images)


def put(name, content):
    return lambda members: members.update({name: content})


def rename(old, new):
    return lambda members: members.update({new: members.pop(old)})


def strip_of(size=(16, 480), **options):
    return put("01.webp", webp(Image.new("RGB", size), **options))


IMAGE_DAMAGE = {
    "another picture": (strip_of(), "train_images of .* with sha256"),
    "a wrong height": (strip_of((16, 496)), "one RGB picture of 16x480, received 1 in mode RGB of 16x496"),
    "a huge picture": (strip_of((4000, 4000)), "expected one RGB picture of 16x480"),
    "a path outside": (rename("01.webp", "../01.webp"), r"received '\.\./01"),
    "an absolute path": (rename("01.webp", "/01.webp"), "received '/01.webp'"),
    "another name": (rename("01.webp", "02.webp"), "expected 01.webp"),
    "a strip too few": (lambda members: members.pop("01.webp"), "expected 2 strips of train .*, received 1"),
    "a strip too many": (put("02.webp", b""), "expected 2 strips .*, received 3"),
    "a bomb": (put("01.webp", bytes(1 << 24)), "bytes, received more"),
    "another format": (put("01.webp", b"P6 16 480 255\n"), "expected a WebP strip"),
    "a cut strip": (put("01.webp", webp(Image.effect_noise((16, 480), 9))[:200]), "expected a WebP strip"),
}


@pytest.mark.parametrize("name", IMAGE_DAMAGE)
def test_damaged_pictures_are_refused_and_nothing_is_written(packed, name):
    change, message = IMAGE_DAMAGE[name]
    rewrite(packed / "train_images.zip", change)
    before = tree(packed.parent.parent)
    with pytest.raises(ValueError, match=message):
        read(packed, *colour())
    assert tree(packed.parent.parent) == before


def test_a_header_that_lies_about_its_size_does_not_help_a_bomb(packed):
    path = packed / "train_images.zip"
    rewrite(path, lambda members: members.update({"01.webp": bytes(1 << 22)}))
    content = path.read_bytes()
    true, small = (1 << 22).to_bytes(4, "little"), (1000).to_bytes(4, "little")
    assert content.count(true) >= 2
    path.write_bytes(content.replace(true, small))
    with pytest.raises(ValueError, match="01.webp"):
        read(packed, *colour())


@pytest.mark.parametrize("where", [100, 3000, -10])
def test_flipped_bytes_are_refused(packed, where):
    path = packed / "test_images.zip"
    whole = bytearray(path.read_bytes())
    whole[where] ^= 0xFF
    path.write_bytes(whole)
    with pytest.raises(ValueError, match=str(path)):
        read(packed, *colour())


def test_a_cut_archive_is_refused(packed):
    path = packed / "test_images.zip"
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match="zip archive .* damaged"):
        read(packed, *colour())


def test_an_archive_of_a_later_version_is_refused(packed):
    path = packed / "test_images.zip"
    whole = bytearray(path.read_bytes())
    whole[whole.index(b"PK\1\2") + 6] = 99
    path.write_bytes(whole)
    with pytest.raises(ValueError, match=f"zip archive in {path} .*version 9.9"):
        read(packed, *colour())


def damage(content, draws):
    """Up to three bytes of ``content`` changed, or its end cut off."""
    if draws.random() < 0.2:
        return content[: draws.randrange(len(content))]
    changed = bytearray(content)
    for _ in range(draws.randint(1, 3)):
        changed[draws.randrange(len(content))] ^= draws.randint(1, 255)
    return bytes(changed)


def damage_file(path, draws):
    path.write_bytes(damage(path.read_bytes(), draws))


def damage_member(path, draws):
    """Damage below the archive's own checksums, which would notice it first."""
    if path.suffix == ".json":
        return damage_file(path, draws)

    def change(members):
        name = draws.choice(sorted(members))
        members[name] = damage(members[name], draws)

    return rewrite(path, change)


@pytest.mark.parametrize("spoil", [damage_file, damage_member])
def test_whatever_is_damaged_is_read_rightly_or_refused_by_name(tmp_path, spoil):
    train, test = colour(3, 2)
    folder = tmp_path / "set"
    write_packed(folder, train, test, CLASSES)
    whole = {path: path.read_bytes() for path in sorted(folder.iterdir())}
    refused = 0
    for seed in range(ROUNDS):
        draws = random.Random(seed)
        path = draws.choice(list(whole))
        spoil(path, draws)
        try:
            for got, wanted in zip(read(folder, train, test), (train, test)):
                assert torch.equal(got.images, wanted.images) and torch.equal(got.labels, wanted.labels)
        except ValueError as error:
            assert str(folder) in str(error)
            refused += 1
        path.write_bytes(whole[path])
    assert refused > ROUNDS / 2


def member(name, array):
    return put(f"{name}.npy", npy(array))


def headed(header, content=bytes(4)):
    """An array file with this header, whatever it says."""
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header.encode() + content


def claims(shape, kind="|u1", content=bytes(4)):
    """An array file whose header claims ``kind`` and ``shape``; it holds four bytes."""
    return headed(f"{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}}}", content)


class Trap:
    def __reduce__(self):
        return (print, ("sprung",))


LABEL_DAMAGE = {
    "other labels": (member("train_fine", np.zeros(530, np.uint8)), "train_labels of .* with sha256"),
    "a label out of range": (member("train_fine", np.full(530, 8)), "expected labels 0..7 in train_fine"),
    "a negative label": (member("test_fine", np.full(20, -1)), "expected labels 0..7 in test_fine"),
    "too few labels": (member("test_fine", np.zeros(19, np.uint8)), r"test_fine of .* as \(20,\) integers"),
    "float labels": (member("test_fine", np.zeros(20)), "array of integers or strings in test_fine"),
    "a pickle": (member("test_fine", np.array([Trap()], dtype=object)), "array of integers or strings"),
    "an absurd claim": (put("test_fine.npy", claims((1 << 50,))), "it claims uint8"),
    "a negative claim": (put("test_fine.npy", claims((-4,))), "it claims uint8"),
    "no array": (put("test_fine.npy", b"nothing"), "array of integers or strings"),
    "open brackets": (put("test_fine.npy", headed("(" * 9000)), "array of integers or strings in test_fine"),
    "a deep header": (put("test_fine.npy", headed("-" * 3000 + "1")), "array of integers or strings in test_fine"),
    "a deeper header": (put("test_fine.npy", headed("-" * 9000 + "1")), "array of integers or strings in test_fine"),
    "a header of sets": (put("test_fine.npy", headed("{[]: 1}")), "array of integers or strings in test_fine"),
    "a billion empty names": (put("fine_names.npy", claims((10**9,), "<U0", b"")), "the 8 class names"),
    "names of no characters": (put("fine_names.npy", claims((8,), "<U1", b"\xff" * 32)), "the 8 class names"),
    "a path outside": (member("../escaped", np.zeros(1, np.uint8)), r"received \.\./escaped"),
    "a missing table": (lambda members: members.pop("fine_names.npy"), "expected train_fine, test_fine"),
    "a bomb": (put("train_fine.npy", bytes(1 << 24)), "bytes, received more"),
    "other classes": (member("fine_names", np.array(["a"] * 8)), "the 8 class names"),
}


@pytest.mark.parametrize("name", LABEL_DAMAGE)
def test_damaged_labels_are_refused_and_nothing_is_written(packed, name, capsys):
    change, message = LABEL_DAMAGE[name]
    rewrite(packed / "labels.npz", change)
    before = tree(packed.parent.parent)
    with pytest.raises(ValueError, match=message):
        read(packed, *colour())
    assert tree(packed.parent.parent) == before
    assert "sprung" not in capsys.readouterr().out


@pytest.mark.parametrize("content", [b"{", b"[1]", b"\xff", b"[" * 60_000], ids=["cut", "list", "binary", "deep"])
def test_damaged_checksums_are_refused(packed, content):
    (packed / "checksums.json").write_bytes(content)
    with pytest.raises(ValueError, match="table of checksums"):
        read(packed, *colour())


def test_a_set_without_checksums_is_refused(packed):
    (packed / "checksums.json").unlink()
    with pytest.raises(ValueError, match="expected checksums of set in"):
        read(packed, *colour())


def test_a_known_set_is_held_to_the_known_checksums_whatever_the_folder_says(packed):
    assert json.loads((packed / "checksums.json").read_text()).keys() >= {"train_images"}
    with pytest.raises(ValueError, match="4e457917601a66aed021f5fa37957b56c6319557c0a8ed5484de3c390af45430"):
        read(packed, *colour(), name="cifar100")


def test_coloured_pictures_in_a_grey_set_are_refused(packed):
    train, test = colour()
    with pytest.raises(ValueError, match="expected grey pictures"):
        read(packed, grey(train), grey(test))


@pytest.mark.parametrize("failing", ["writestr", "savez"])
def test_a_full_disk_leaves_nothing_behind(tmp_path, monkeypatch, failing):
    full = OSError(28, "No space left on device")
    calls = []

    def writestr(archive, name, content):
        calls.append(name)
        if len(calls) == 2:
            raise full

    def savez(*arguments, **arrays):
        calls.append(arguments)
        raise full

    if failing == "writestr":
        monkeypatch.setattr(zipfile.ZipFile, "writestr", writestr)
    else:
        monkeypatch.setattr(np, "savez_compressed", savez)
    with pytest.raises(OSError, match="No space left"):
        write_packed(tmp_path / "new" / "deep" / "set", *colour(), CLASSES)
    assert calls and not list(tmp_path.iterdir())


def test_an_existing_folder_is_left_alone(packed):
    before = tree(packed)
    with pytest.raises(FileExistsError, match="expected a new folder"):
        write_packed(packed, *colour(), CLASSES)
    assert tree(packed) == before


def test_unpackable_pictures_are_refused(tmp_path):
    train, test = colour()
    two = Split(train.images[:, :2].contiguous(), train.labels)
    for parts in ((two, two), (train, grey(test))):
        with pytest.raises(ValueError, match="1 or 3 channels, alike in both parts"):
            write_packed(tmp_path / "set", *parts, CLASSES)
    assert not list(tmp_path.iterdir())


@pytest.mark.data
def test_the_readers_of_files_and_archives_agree(tmp_path):
    """The first strips of Fashion-MNIST, packed and read back."""
    source = SOURCES["fashion-mnist"]
    train, test = (split.subset(torch.arange(1100)) for split in source.rows_from(data_root()))
    write_packed(tmp_path / "part", train, test, source.classes)
    got, _ = read_packed(tmp_path / "part", "part", (1100, 1100), source.shape, source.classes)
    assert torch.equal(got.images, train.images) and torch.equal(got.labels, train.labels)

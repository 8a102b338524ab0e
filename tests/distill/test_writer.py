"""The writer of mixed images: nothing depends on what ran before, and nothing is half-written, lost or there twice."""

import json
import multiprocessing
import os
import random
import shutil
import signal
import time
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import torch
from disk import largest_file
from torch import nn

from mixlab.data import normalise
from mixlab.data.mixed import MANIFEST, read_mixed, read_parts, shards_of
from mixlab.distill import write_mixed
from mixlab.distill.writer import PATIENCE
from mixlab.mixers import CutMix, Mixup, PerSample, PuzzleMix, Sometimes, SuperMix
from mixlab.models import Teacher
from mixlab.rng import generator
from mixlab.train.lock import alone


@pytest.fixture(scope="module")
def small():
    """The module `writing` beside this file, importable by the processes that are started here."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(Path(__file__).parent))
        yield import_module("writing")


@pytest.fixture(scope="module")
def processes(small):
    """Processes that start quickly: they are forked from one that has imported what they need."""
    context = multiprocessing.get_context("forkserver")
    # `writing` itself is not among them: before Python 3.12 such a process knows no other path than its own.
    context.set_forkserver_preload(["mixlab.distill", "mixlab.mixers", "sklearn.datasets"])
    return context


@pytest.fixture(scope="module")
def undisturbed(small, tmp_path_factory):
    folder = tmp_path_factory.mktemp("undisturbed") / "set"
    small.write(folder)
    return contents(folder)


def in_file(network, path="teacher.pt"):
    """A teacher that says where it is from; nobody reads that file here."""
    return Teacher(network, checkpoint=path)


@pytest.fixture(scope="module")
def teacher(small):
    """A linear network that has learned the images it is asked about."""
    data = small.DIGITS
    images = normalise(data.train.images, data.mean, data.std).flatten(1)
    network = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    with torch.no_grad():  # least squares on the classes
        network[1].weight.copy_(torch.linalg.lstsq(images, 5 * torch.eye(10)[data.train.labels]).solution.T)
        network[1].bias.zero_()
    return in_file(network)


def contents(folder):
    """All files of a folder, half-written ones too."""
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_shard_follows_from_seed_and_number_alone(small, tmp_path):
    small.write(tmp_path / "few", count=25)
    small.write(tmp_path / "many", count=60)
    small.write(tmp_path / "other", count=60, seed=1)
    few, many, other = (read_parts(tmp_path / name) for name in ("few", "many", "other"))
    for name, part in few.items():
        assert torch.equal(part, many[name][:25])
    assert not torch.equal(many["sources"], other["sources"])
    assert not torch.equal(many["sources"][:10], many["sources"][10:20])


def test_the_draws_are_what_is_promised(small, tmp_path):
    small.write(tmp_path, Mixup(), count=100, batch_size=20, per_shard=100)
    split, data = read_mixed(tmp_path)[0], small.DIGITS
    draws = generator(0, "mix", 0)
    order = torch.randperm(200, generator=draws)
    for batch in range(5):
        rows = order[20 * batch : 20 * batch + 20]
        mix = Mixup().draw(normalise(data.train.images[rows], data.mean, data.std), generator=draws)
        assert torch.equal(split.soft[20 * batch : 20 * batch + 20], mix.targets(data.train.labels[rows], 10))


def test_every_image_is_mixed_before_one_is_mixed_again(small, tmp_path):
    small.write(tmp_path, count=600, batch_size=60, per_shard=600)  # 3 batches of 200 images, then a new order
    first = read_parts(tmp_path)["sources"][:, 0]
    assert all(len(set(part.tolist())) == 180 for part in first[:540].split(180))


def test_a_shard_is_rounded_up_to_whole_batches(small, tmp_path):
    about = small.write(tmp_path, count=50, batch_size=20, per_shard=30)
    assert about["shards"] == 2 and about["kept"] == about["drawn"] == 80 and len(read_mixed(tmp_path)[0]) == 50


def test_a_complete_set_is_read_and_nothing_is_written(small, tmp_path):
    about = small.write(tmp_path, count=40)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    assert small.write(tmp_path, count=40) == about == read_mixed(tmp_path)[1]
    assert {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == before


@pytest.mark.parametrize("lost", [[0], [3], [1, 2, 59], list(range(60))])
def test_shards_that_are_missing_are_made_again_and_only_they(small, undisturbed, tmp_path, lost):
    for name, content in undisturbed.items():
        (tmp_path / name).write_bytes(content)
    for number in lost:
        shards_of(tmp_path)[number].unlink()
    kept = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    small.write(tmp_path)
    assert contents(tmp_path) == undisturbed
    assert {path: path.stat().st_mtime_ns for path in kept} == kept


def test_a_damaged_shard_is_named_and_left_alone(small, tmp_path):
    small.write(tmp_path, count=40)
    path = shards_of(tmp_path)[2]
    path.write_bytes(path.read_bytes()[:-1])
    before = contents(tmp_path)
    with pytest.raises(ValueError, match=f"{path.name}.*damaged"):
        small.write(tmp_path, count=40)
    assert contents(tmp_path) == before


OTHERS = {
    "mixer": {"mixer": CutMix(0.5)}, "seed": {"seed": 1}, "batch_size": {"batch_size": 5}, "count": {"count": 41},
    "per_shard": {"per_shard": 20}, "masks": {"masks": False}, "source": {"source": "mine"},
}


@pytest.mark.parametrize("name", OTHERS)
def test_a_set_of_another_definition_is_refused_and_left_alone(small, tmp_path, name):
    small.write(tmp_path, count=40)
    shards_of(tmp_path)[3].unlink()  # it could be gone on with
    before = contents(tmp_path)
    with pytest.raises(ValueError, match=f"holds another set: its {name} is") as raised:
        small.write(tmp_path, **{"count": 40} | OTHERS[name])
    assert "\n" not in str(raised.value) and contents(tmp_path) == before


def test_other_images_moments_and_classes_are_another_set(small, tmp_path):
    small.write(tmp_path, count=40)
    data = small.DIGITS
    split, mean, std, classes = data.train, data.mean, data.std, data.classes
    same = {"count": 40, "keep": "best", "batch_size": 10, "per_shard": 10, "source": "digits"}
    for name, (other, *moments, names) in {
        "source": (split.subset(torch.arange(199)), mean, std, classes),
        "mean": (split, (0.5,), std, classes), "std": (split, mean, (0.5,), classes),
        "classes": (split, mean, std, tuple("abcdefghij")),
    }.items():
        with pytest.raises(ValueError, match=f"another set: its {name} is"):
            write_mixed(CutMix(), other, tmp_path, mean=moments[0], std=moments[1], classes=names, **same)


def test_a_folder_with_other_files_is_refused(small, tmp_path):
    (tmp_path / "thesis.tex").write_text("mine")
    with pytest.raises(ValueError, match="with thesis.tex"):
        small.write(tmp_path)
    assert list(contents(tmp_path)) == ["thesis.tex"]


def test_a_folder_is_held_while_it_is_written(small, tmp_path):
    with alone(tmp_path), pytest.raises(ValueError, match="another command is at work"):
        small.write(tmp_path)
    assert contents(tmp_path) == {}


class Spoiled(Mixup):
    """Gives what is no image."""

    def _draw(self, images, labels, saliency, draws):
        images.fill_(torch.nan)
        return super()._draw(images, labels, saliency, draws)


WRONG = {
    "keep": ({"keep": "all"}, "'success' or 'best', received 'all'"),
    "success": ({"keep": "success"}, "such as SuperMix, received CutMix"),
    "no mixer": ({"mixer": "cutmix"}, "expected a mixer, received 'cutmix'"),
    "saliency": ({"mixer": PuzzleMix()}, "needs no saliency"),
    "count": ({"count": 0}, "integer count of at least 1"),
    "no whole count": ({"count": 2.0}, "integer count of at least 1"),
    "batch": ({"batch_size": 201}, "batch_size of at most 200"),
    "shard": ({"per_shard": 0}, "integer per_shard"),
    "seed": ({"seed": "1"}, "integer seed"),
    "more and fewer": ({"mixer": Sometimes(CutMix(), 0.5), "per_shard": 100}, "one number of images K"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_cannot_be_written_is_refused_and_leaves_nothing(small, tmp_path, name):
    options, message = WRONG[name]
    with pytest.raises(ValueError, match=message):
        small.write(tmp_path / "new" / "set", **options)
    assert contents(tmp_path) == {}


def test_images_that_are_not_finite_are_refused(small, tmp_path, monkeypatch):
    monkeypatch.setitem(import_module("mixlab.mixers.registry").MIXERS, "spoiled", Spoiled)
    with pytest.raises(ValueError, match="finite images"):
        small.write(tmp_path / "set", Spoiled())
    assert contents(tmp_path) == {}


def test_a_mixer_that_leaves_some_rows_alone_may_be_written(small, tmp_path):
    small.write(tmp_path, PerSample(CutMix(), 0.5), count=100)
    assert 20 < (read_parts(tmp_path)["shares"][:, 0] == 1).sum() < 80


# A teacher.


def test_what_succeeded_is_kept_with_the_teacher_s_labels(small, teacher, tmp_path):
    mixer = SuperMix(teacher, side=4)
    about = small.write(tmp_path, mixer, count=80, keep="success", batch_size=50, per_shard=50)
    split, parts = read_mixed(tmp_path)[0], read_parts(tmp_path)
    assert about["drawn"] == 50 * about["shards"] > about["kept"] >= 80 == len(split)
    assert 0 < about["success_rate"] < 1 and about["success_rate"] == about["kept"] / about["drawn"]
    # Drawn once more: the first shard's.
    data, draws = small.DIGITS, generator(0, "mix", 0)
    rows = torch.randperm(200, generator=draws)[:50]
    found = mixer.solve(normalise(data.train.images[rows], data.mean, data.std), generator=draws)
    n = int(found.success.sum())
    assert parts["success"].all() and torch.equal(parts["iterations"][:n], found.iterations[found.success])
    assert torch.equal(parts["weights"][:n], found.ratios[found.success])
    assert torch.equal(parts["sources"][:n], data.train.rows[rows[found.mix.sources[found.success]]])
    assert torch.equal(parts["classes"][:n], found.classes[found.success])
    wanted = torch.zeros(80, 10).scatter_add(1, parts["classes"], parts["weights"])
    assert torch.allclose(split.soft, wanted) and (parts["classes"][:, 0] != parts["classes"][:, 1]).all()


def test_what_was_dropped_counts_in_rate_and_iterations(small, teacher, tmp_path):
    mixer = SuperMix(teacher, side=4, max_iter=5)
    kept = small.write(tmp_path / "kept", mixer, count=60, keep="success", batch_size=50, per_shard=50)
    small.write(tmp_path / "all", mixer, count=kept["drawn"], batch_size=50, per_shard=50)
    every, chosen = read_parts(tmp_path / "all"), read_parts(tmp_path / "kept")
    assert kept["success_rate"] == every["success"].double().mean() < 1
    assert kept["iterations"] == every["iterations"].double().mean()
    success = every["success"]
    for name, part in chosen.items():
        assert torch.equal(part, every[name][success][:60])
    assert torch.equal(read_mixed(tmp_path / "kept")[0].images, read_mixed(tmp_path / "all")[0].images[success][:60])


def test_a_teacher_is_known_by_its_checksum_and_not_by_its_path(small, teacher, tmp_path):
    network, other = teacher.network, nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    small.write(tmp_path, SuperMix(teacher, max_iter=1), count=20)
    before = contents(tmp_path)
    small.write(tmp_path, SuperMix(in_file(network, "moved/teacher.pt"), max_iter=1), count=20)
    with pytest.raises(ValueError, match="another set: its mixer is"):
        small.write(tmp_path, SuperMix(in_file(other), max_iter=1), count=20)
    assert contents(tmp_path) == before


def test_where_nothing_succeeds_writing_ends_and_says_how_much_did(small, tmp_path):
    network = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    nn.init.zeros_(network[1].weight)  # one class for everything: there are no pairs
    mixer = SuperMix(in_file(network), side=4, max_iter=2)
    for _ in range(2):  # the second time at once
        with pytest.raises(ValueError, match=r"0 of the 60 drawn so far \(0.0 %\).*keep='best'"):
            small.write(tmp_path, mixer, keep="success", per_shard=20)
        assert len(shards_of(tmp_path)) == PATIENCE
    with pytest.raises(ValueError, match="expected 600 rows.*received 0"):
        read_mixed(tmp_path)


# Kills, and disks that refuse.


def killed(processes, target, *arguments):
    process = processes.Process(target=target, args=arguments)
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL


def written(folder):
    """How many shards there are, also before there is a folder for them."""
    return len(shards_of(folder)) if folder.is_dir() else 0


def test_killed_twenty_times_at_random_moments_all_files_are_those_of_an_undisturbed_run(
    small, processes, undisturbed, tmp_path
):
    begin = time.monotonic()
    small.write(tmp_path / "timed")
    whole, moments = time.monotonic() - begin, random.Random(0)
    kills, folders = 0, [tmp_path / "0"]
    while kills < 20:
        process = processes.Process(target=small.write, args=(folders[-1],))
        process.start()
        # How long a process needs to begin depends on the machine, so the moments count from a shard, not from there.
        enough = written(folders[-1]) + moments.randint(0, 5)
        while process.is_alive() and written(folders[-1]) < enough:
            time.sleep(whole / 1000)
        time.sleep(moments.uniform(0, whole / 30))
        process.kill()
        process.join()
        if process.exitcode == 0:  # it was complete before it could be killed
            folders.append(tmp_path / str(len(folders)))
        else:
            kills += 1
    assert shards_of(folders[0])  # something was there to be lost
    for folder in folders:
        small.write(folder)
        assert contents(folder) == undisturbed


@pytest.mark.parametrize(("how", "at"), [("rename", 1), ("rename", 2), ("rename", 40), ("flush", 1), ("flush", 25)])
def test_killed_at_the_worst_moment_all_files_are_those_of_an_undisturbed_run(
    small, processes, undisturbed, tmp_path, how, at
):
    killed(processes, getattr(small, f"write_until_{how}"), at, tmp_path)
    assert any(name.endswith(".tmp") for name in contents(tmp_path))
    small.write(tmp_path)
    assert contents(tmp_path) == undisturbed


def test_a_full_disk_is_an_error_and_nothing_is_half_written(small, undisturbed, tmp_path, monkeypatch):
    calls, usual = [], os.fsync

    def full(descriptor):
        calls.append(descriptor)
        if len(calls) == 5:
            raise OSError(28, "No space left on device")
        usual(descriptor)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        small.write(tmp_path)
    assert set(contents(tmp_path).items()) < set(undisturbed.items()) and len(contents(tmp_path)) == 4
    small.write(tmp_path)
    assert contents(tmp_path) == undisturbed


@pytest.mark.parametrize("limit", [100, 1500])  # too little for the manifest, and for a shard
def test_a_file_that_may_not_grow_is_an_error_and_nothing_is_half_written(small, undisturbed, tmp_path, limit):
    assert len(undisturbed[MANIFEST]) < 1500 < min(len(undisturbed[name]) for name in undisturbed if name != MANIFEST)
    folder = tmp_path / "set"
    with largest_file(limit), pytest.raises(OSError, match="File too large"):
        small.write(folder)
    left = contents(folder) if folder.exists() else {}
    assert list(left) == ([] if limit == 100 else [MANIFEST])
    small.write(folder)
    assert contents(folder) == undisturbed


def test_a_folder_that_cannot_be_written_is_an_error(small, tmp_path):
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(OSError, match="file"):
        small.write(tmp_path / "file" / "set")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine").chmod(0o555)
    try:
        small.write(tmp_path / "mine", count=10)
        assert os.geteuid() == 0  # whom no mode stops
    except PermissionError:
        assert contents(tmp_path / "mine") == {}
    finally:
        (tmp_path / "mine").chmod(0o755)


def test_the_manifest_says_what_the_set_is(small, tmp_path):
    small.write(tmp_path, count=30, seed=5)
    manifest, data = json.loads((tmp_path / MANIFEST).read_text()), small.DIGITS
    said = {"mixer": {"name": "cutmix"}, "seed": 5, "batch_size": 10, "per_shard": 10, "keep": "best", "count": 30,
            "masks": True}
    assert {name: manifest[name] for name in said} == said
    assert manifest["mean"] == list(data.mean) and manifest["classes"] == list(data.classes)
    assert manifest["source"]["name"] == "digits" and manifest["source"]["rows"] == 200


def test_a_set_may_be_moved(small, tmp_path):
    small.write(tmp_path / "a", count=30)
    split = read_mixed(tmp_path / "a")[0]
    shutil.move(tmp_path / "a", tmp_path / "b")
    assert np.array_equal(read_mixed(tmp_path / "b")[0].images, split.images)

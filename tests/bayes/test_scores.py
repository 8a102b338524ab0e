"""Scores: what is drawn is common, moments are exact, and nothing but the definition plays a part."""

import json
import math
import multiprocessing
import os
import signal
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from mixlab import bayes
from mixlab.bayes import Scores, composite_losses, merged, surroundings
from mixlab.bayes import scores as module
from mixlab.data import Split, normalise
from mixlab.models import Teacher


@pytest.fixture(scope="module")
def small():
    """The module `scoring` beside this file, importable by the processes that are started here."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(Path(__file__).parent))
        yield import_module("scoring")


@pytest.fixture(scope="module")
def processes(small):
    """Processes that start quickly: they are forked from one that has imported what they need."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["mixlab.bayes"])
    return context


def surrounded(small, **options):
    """What `scored` draws."""
    options = {"num_classes": 3, "k": 4, "alpha": 0.7, "draws": 12, "dtype": torch.float64, **small.MOMENTS} | options
    return surroundings(options.pop("pool", small.pictures()), **options)


def losses_of(small, split=None, **options):
    """All losses, stored: what the scores are moments of."""
    split = small.pictures() if split is None else split
    images = normalise(split.images, **small.MOMENTS).double()
    loss = options.pop("loss", "ce")
    return composite_losses(small.network(), images, split.labels, surrounded(small, **options), loss=loss)


def same(one, other, rtol=1e-12):
    """Whether two scores are those of the same rows, up to rounding."""
    return torch.equal(one.rows, other.rows) and torch.equal(one.labels, other.labels) and all(
        torch.allclose(getattr(one, name), getattr(other, name), rtol=rtol, atol=0) for name in ("mean", "std", "cv"))


def identical(one, other):
    return all(torch.equal(getattr(one, name), getattr(other, name)) for name in ("rows", "labels", "mean", "std"))


# What is computed.


@pytest.mark.parametrize("form", ["boxes", "blend"])
@pytest.mark.parametrize("loss", ["ce", "kl"])
def test_moments_are_numpys_of_the_stored_losses(small, form, loss):
    losses = losses_of(small, form=form, loss=loss).numpy()
    scores = small.scored(form=form, loss=loss)
    np.testing.assert_allclose(scores.mean, losses.mean(0), rtol=1e-12)
    np.testing.assert_allclose(scores.std, losses.std(0, ddof=1), rtol=1e-12)
    eps = {"ce": 0, "kl": 1e-3}[loss]
    np.testing.assert_allclose(scores.cv, losses.std(0, ddof=1) / (losses.mean(0) + eps), rtol=1e-12)


@pytest.mark.parametrize("loss", ["ce", "kl"])
def test_a_loss_by_hand(small, loss):
    """Every composite pasted pixel by pixel, its label summed in Python, its loss in Python's own logarithms."""
    split, around, model = small.pictures(), surrounded(small), small.network().eval()
    losses = losses_of(small, loss=loss)
    for row in (0, 7, 29):
        for draw in (0, 5, 11):
            picture = (split.images[row].double() / 255 - torch.tensor(small.MOMENTS["mean"]).view(2, 1, 1)) \
                / torch.tensor(small.MOMENTS["std"]).view(2, 1, 1)
            shown = around.masks[draw, 0].bool()
            pasted = torch.where(shown, picture, around.backgrounds[draw])
            with torch.no_grad():
                predicted = model(pasted[None].double())[0].softmax(0).tolist()
            label = around.targets[draw].tolist()
            label[int(split.labels[row])] += shown.double().mean().item()
            assert sum(label) == pytest.approx(1, abs=1e-6)
            expected = -sum(weight * math.log(part) for weight, part in zip(label, predicted, strict=True))
            if loss == "kl":
                expected += sum(weight * math.log(weight) for weight in label if weight > 0)
            assert losses[draw, row].item() == pytest.approx(expected, abs=1e-5)


@settings(max_examples=15)
@given(st.integers(2, 40), st.floats(1e-6, 1e6), st.integers(0, 10**6))
def test_running_moments_of_any_losses(small, draws, spread, seed):
    rows = torch.arange(4)
    values = 1e3 + spread * torch.rand(draws, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_losses", lambda network, images, labels, around, draw, loss: values[draw, labels])
        split = Split(torch.zeros(4, 2, 6, 8, dtype=torch.uint8), rows)
        scores = small.scored(split, num_classes=4, draws=draws)
    np.testing.assert_allclose(scores.mean, values.numpy().mean(0), rtol=1e-13)
    np.testing.assert_allclose(scores.std, values.numpy().std(0, ddof=1), rtol=1e-9, atol=1e-11)


def test_the_network_is_asked_in_evaluation_mode_and_left_as_it_was(small):
    model = small.network()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    scores = small.scored(model=model)
    assert model.training and all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(parameter.requires_grad and parameter.grad is None for parameter in model.parameters())
    assert identical(scores, small.scored(model=model.eval()))


def test_a_teacher_sees_images_as_it_was_trained_on_them(small):
    own = {"mean": (0.1, 0.2), "std": (0.5, 0.6)}
    direct = small.scored(model=small.network(), **own)
    assert same(direct, small.scored(model=Teacher(small.network(), **own), **small.MOMENTS), rtol=1e-5)
    assert not same(direct, small.scored(), rtol=1e-3)


def test_k_1_is_the_image_alone_and_does_not_vary(small):
    split = small.pictures()
    with torch.no_grad():
        logits = small.network().eval()(normalise(split.images, **small.MOMENTS).double())
    once = nn.functional.cross_entropy(logits, split.labels, reduction="none")
    scores = small.scored(k=1)
    assert torch.allclose(scores.mean, once) and scores.std.max() < 1e-12


# Common random numbers.


def test_a_part_of_the_rows_has_the_scores_that_it_has_among_all(small):
    split, whole = small.pictures(), small.scored()
    for part in (torch.tensor([3]), torch.tensor([0, 4, 5, 29]), torch.arange(10, 20)):
        scores = small.scored(split.subset(part), pool=split)
        assert torch.equal(scores.rows, split.rows[part])
        assert torch.allclose(scores.mean, whole.mean[part], rtol=1e-12)
        assert torch.allclose(scores.std, whole.std[part], rtol=1e-12)


@settings(max_examples=10)
@given(st.permutations(range(30)))
def test_the_order_of_the_rows_plays_no_part(small, order):
    assert same(small.scored(small.pictures().subset(torch.tensor(order))), small.scored())


@pytest.mark.parametrize("by", ["class", "class, backwards", "chance"])
def test_a_file_in_another_order_changes_nothing_but_the_order(small, by):
    """Rows are numbered anew there, so nothing but pictures and labels says which is which."""
    split, whole = small.pictures(), small.scored()
    order = {"class": split.labels.argsort(stable=True), "class, backwards": split.labels.argsort(descending=True),
             "chance": torch.randperm(30, generator=torch.Generator().manual_seed(1))}[by]
    scores = small.scored(Split(split.images[order], split.labels[order]))
    assert torch.equal(scores.labels, split.labels[order])
    assert torch.allclose(scores.mean, whole.mean[order], rtol=1e-12)
    assert torch.allclose(scores.std, whole.std[order], rtol=1e-12)


def test_equal_images_have_equal_scores_wherever_they_lie(small):
    split = small.pictures()
    twins = Split(split.images[[0, 1, 2, 0, 1, 2]], split.labels[[0, 1, 2, 0, 1, 2]])
    scores = small.scored(twins, pool=split)
    assert torch.allclose(scores.mean[:3], scores.mean[3:], rtol=1e-12)
    assert torch.allclose(scores.std[:3], scores.std[3:], rtol=1e-12)


@pytest.mark.parametrize("batch_size", [1, 7, 29, 1000])
@pytest.mark.parametrize(("dtype", "rtol"), [(torch.float64, 1e-12), (torch.float32, 1e-5)])
def test_the_batch_size_plays_no_part(small, batch_size, dtype, rtol):
    one, other = (small.scored(model=small.network(dtype), batch_size=size) for size in (500, batch_size))
    assert same(one, other, rtol)


def test_how_often_moments_are_written_plays_no_part(small, monkeypatch):
    whole = small.scored()
    monkeypatch.setattr(module, "WRITTEN_EVERY", 100)
    assert identical(whole, small.scored())


def test_the_seed_plays_a_part_and_the_global_generator_none(small):
    model = small.network()
    torch.manual_seed(3)
    state = torch.get_rng_state()
    assert not same(small.scored(model=model), small.scored(model=model, seed=1), rtol=1e-3)
    assert torch.equal(torch.get_rng_state(), state)


# The label's entropy.


@pytest.mark.parametrize("form", ["boxes", "blend"])
def test_within_a_class_the_label_is_one_and_so_is_its_entropy_so_both_losses_order_means_alike(small, form):
    entropies = losses_of(small, form=form) - losses_of(small, form=form, loss="kl")
    labels, around = small.pictures().labels, surrounded(small, form=form)
    for each in range(3):
        label = around.targets.double() + around.weights.double()[:, None] * torch.eye(3, dtype=torch.float64)[each]
        expected = -torch.xlogy(label, label).sum(1)
        assert torch.allclose(entropies[:, labels == each], expected[:, None].expand(-1, 10), atol=1e-12)
    assert entropies[:, 0].std() > 0.05  # over the draws it does vary
    ce, kl = small.scored(form=form), small.scored(form=form, loss="kl")
    for each in range(3):
        own = ce.labels == each
        apart = (ce.mean - kl.mean)[own]
        assert apart.max() - apart.min() < 1e-12 and apart.mean() > 0.1
        assert torch.equal(ce.mean[own].argsort(), kl.mean[own].argsort())
    assert not torch.equal(ce.cv.argsort(), kl.cv.argsort())


def test_a_divergence_is_not_negative_and_0_where_the_network_says_the_label(small):
    assert (losses_of(small, loss="kl") > -1e-6).all()
    around = surrounded(small, form="blend")

    class Knowing(nn.Module):
        """Says the label of the first draw's composites of class 0."""

        def forward(self, images):
            label = around.targets[0].double() + around.weights[0].double() * torch.eye(3).double()[0]
            return label.clamp(min=1e-30).log().expand(len(images), -1)

    images = torch.zeros(5, 2, 6, 8, dtype=torch.float64)
    losses = composite_losses(Knowing(), images, torch.zeros(5, dtype=torch.int64), around, loss="kl")
    assert losses[0].abs().max() < 1e-6


# What is drawn.


def test_companion_sets_take_turns_and_leave_shares_and_places_as_they_are(small):
    split = small.pictures(classes=30)
    options = {"pool": split, "num_classes": 30, "form": "blend"}
    fresh, four, one = (surrounded(small, companion_sets=sets, **options) for sets in (None, 4, 1))
    classes = [[set(row.nonzero()[:, 0].tolist()) for row in each.targets] for each in (fresh, four, one)]
    assert classes[1][:4] == classes[0][:4] and classes[1][4:8] == classes[1][:4] == classes[1][8:]
    assert all(each == classes[0][0] for each in classes[2]) and classes[0][4:8] != classes[0][:4]
    for each in (four, one):
        assert torch.equal(each.weights, fresh.weights)
        shares = [around.targets.sort(1).values for around in (each, fresh)]
        assert torch.allclose(*shares, atol=1e-6)
    # Each share goes to other companions in other draws.
    assert len({tuple(row.tolist()) for row in one.targets}) == 12


@pytest.mark.parametrize("anchor_share", [0.2, 0.5])
def test_the_anchor_has_its_share_and_companions_the_rest_of_it(small, anchor_share):
    """Their second moment is that of (1 - share) Dir: without the factor it would be larger by 1 / (1 - share)^2."""
    split = small.pictures(classes=30)
    around = surrounded(small, pool=split, num_classes=30, form="blend", draws=6000, anchor_share=anchor_share)
    assert torch.allclose(around.weights, torch.tensor(anchor_share))
    second = around.targets.double().square().sum(1).mean().item()
    assert second == pytest.approx((1 - anchor_share) ** 2 * 1.7 / 3.1, rel=0.02)


def test_any_row_of_the_pool_may_be_a_companion_the_anchor_too(small):
    split = small.pictures(classes=30)
    targets = surrounded(small, pool=split, num_classes=30, form="blend", draws=3000).targets
    assert ((targets > 0).sum(1) <= 3).all() and (targets > 0).sum(1).double().mean() > 2.9
    times = (targets > 1e-30).double().mean(0)  # each in 3 of 30 draws
    assert times.min() > 0.07 and times.max() < 0.13


def test_the_pool_is_where_companions_are_from(small):
    split, black = small.pictures(), Split(torch.zeros(5, 2, 6, 8, dtype=torch.uint8), torch.full((5,), 2))
    around = surrounded(small, pool=black)
    assert torch.equal(around.targets[:, :2], torch.zeros(12, 2))
    scores = small.scored(split, pool=black)
    assert scores.about["pool"] != scores.about["data"] and not same(scores, small.scored(), rtol=1e-3)


# Several processes.


@pytest.mark.parametrize("world", [2, 3, 40])
def test_shards_are_parts_without_duplicates_and_merge_to_the_whole(small, world):
    parts = [small.scored(shard=(rank, world)) for rank in range(world)]
    assert sum(map(len, parts)) == 30 and {len(part) for part in parts} <= {30 // world, 30 // world + 1}
    whole, again = small.scored(), merged(parts[::-1])
    assert same(whole, again) and again.about == whole.about and again.draws == 12


def test_shards_of_a_shuffled_split_are_those_by_row_number(small):
    order = torch.randperm(30, generator=torch.Generator().manual_seed(0))
    for rank in range(2):
        part = small.scored(small.pictures().subset(order), shard=(rank, 2))
        assert part.rows.tolist() == list(range(3 * rank + 1, 90, 6))


def test_what_is_no_whole_is_not_merged(small):
    halves = [small.scored(shard=(rank, 2)) for rank in range(2)]
    for parts in ([], halves[:1], [*halves, halves[0]], [halves[0], halves[0]]):
        with pytest.raises(ValueError, match="every shard of a score once"):
            merged(parts)
    with pytest.raises(ValueError, match="its seed is 0, this one's is 1"):
        merged([halves[0], small.scored(shard=(1, 2), seed=1)])
    for shard in ((2, 2), (-1, 2), (0, 0), (0.0, 2), (0,)):
        with pytest.raises(ValueError, match="shard"):
            small.scored(shard=shard)


def test_two_processes_get_the_scores_of_one(small, processes, tmp_path):
    started = [processes.Process(target=small.score_as, args=(rank, 2, tmp_path / "meeting", tmp_path))
               for rank in range(2)]
    for process in started:
        process.start()
    for process in started:
        process.join()
    assert [process.exitcode for process in started] == [0, 0]
    one, other = (Scores.load(tmp_path / f"{rank}.npz") for rank in range(2))
    assert identical(one, other) and one.about == other.about and same(one, small.scored())
    assert sorted(path.name for path in (tmp_path / "moments").iterdir()) == [
        "moments-0-of-2.npz", "moments-1-of-2.npz"]


# Interruption.


@pytest.mark.parametrize("at", [1, 2, 5])
def test_killed_and_called_again_the_bits_are_those_of_a_run_that_nobody_disturbed(
    small, processes, tmp_path, monkeypatch, at
):
    monkeypatch.setattr(module, "WRITTEN_EVERY", 60)  # two draws
    process = processes.Process(target=killed_at, args=(Path(__file__).parent, at, tmp_path))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert (tmp_path / "moments-0-of-1.npz").exists() == (at > 1)
    asked, usual = [], module._losses
    monkeypatch.setattr(module, "_losses", lambda *arguments: asked.append(arguments[4]) or usual(*arguments))
    again = small.scored(folder=tmp_path)
    assert asked == list(range(2 * (at - 1), 12))  # nothing is done twice
    monkeypatch.setattr(module, "_losses", usual)
    assert identical(again, small.scored(folder=tmp_path)) and identical(again, small.scored())


def killed_at(folder, at, path):
    """In a process of its own: write every two draws, and end at one of the writings."""
    import sys

    sys.path.insert(0, str(folder))
    module.WRITTEN_EVERY = 60
    import_module("scoring").score_until(at, path, {})


def test_what_is_complete_is_read_and_not_computed_again(small, tmp_path, monkeypatch):
    first = small.scored(folder=tmp_path)
    monkeypatch.setattr(module, "_losses", None)
    assert identical(first, small.scored(folder=tmp_path))


OTHERS = {
    "seed": {"seed": 1}, "k": {"k": 3}, "alpha": {"alpha": 0.2}, "anchor_share": {"anchor_share": 0.25},
    "form": {"form": "blend"}, "draws": {"draws": 13}, "companion_sets": {"companion_sets": 1}, "loss": {"loss": "kl"},
    "eps": {"eps": 0.1}, "mean": {"mean": (0.4, 0.6)}, "network": {}, "data": {}, "pool": {},
}


@pytest.mark.parametrize("name", OTHERS)
def test_a_folder_of_another_score_is_refused_and_left_alone(small, tmp_path, name):
    small.scored(folder=tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    options = OTHERS[name] or {
        "network": {"model": small.network(seed=1)}, "data": {"split": small.pictures(seed=1)},
        "pool": {"pool": small.pictures(seed=1)},
    }[name]
    with pytest.raises(ValueError, match=f"moments of another score: its {name} is .*choose another folder"):
        small.scored(folder=tmp_path, **options)
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_damaged_moments_are_one_error(small, tmp_path):
    small.scored(folder=tmp_path)
    (path,) = tmp_path.iterdir()
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(ValueError, match=f"{path.name}, received a file that cannot be read"):
        small.scored(folder=tmp_path)


def test_a_disk_that_refuses_loses_nothing(small, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "WRITTEN_EVERY", 60)
    calls, usual = [], os.fsync

    def full(descriptor):
        calls.append(descriptor)
        if len(calls) == 3:
            raise OSError(28, "No space left on device")
        usual(descriptor)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        small.scored(folder=tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["moments-0-of-1.npz"]
    assert identical(small.scored(folder=tmp_path), small.scored())


# Bad input.


WRONG = {
    "draws": ({"draws": 1}, "draws of at least 2"), "no number of draws": ({"draws": 2.0}, "integer draws"),
    "k": ({"k": 32}, "1 <= k <= 31"), "alpha": ({"alpha": 0.0}, "positive alpha"),
    "anchor share": ({"anchor_share": 0.0}, "anchor share"), "form": ({"form": "box"}, "'boxes', 'blend'"),
    "loss": ({"loss": "mse"}, "'ce', 'kl'"), "sets": ({"companion_sets": 5}, "divides the 12 draws"),
    "no sets": ({"companion_sets": 0}, "divides"), "eps": ({"eps": -1.0}, "eps"), "seed": ({"seed": 0.5}, "seed"),
    "batch size": ({"batch_size": 0}, "batch_size"), "labels": ({"num_classes": 2}, r"in \[0, 2\), received 0 to 2"),
    "channels": ({"mean": (0.5,)}, "mean and std of 2 channels"),
}


@pytest.mark.parametrize("name", WRONG)
def test_bad_options_are_one_error_and_leave_nothing(small, tmp_path, name):
    options, message = WRONG[name]
    with pytest.raises(ValueError, match=message):
        small.scored(folder=tmp_path / "new", **options)
    assert not (tmp_path / "new").exists()


def test_bad_splits_are_one_error(small):
    split = small.pictures()
    empty, twice = split.subset(torch.tensor([], dtype=torch.int64)), split.subset(torch.tensor([0, 0]))
    soft = Split(split.images, split.labels, soft=torch.full((30, 3), 1 / 3))
    small_pool = Split(split.images[:, :, :4], split.labels)
    for options, message in [
        ({"split": empty}, "rows to score, received none"), ({"pool": empty}, "rows in the pool, received none"),
        ({"split": twice, "pool": split}, "received one twice"), ({"split": soft}, "hard labels"),
        ({"pool": small_pool}, r"pool of images \(2, 6, 8\), received \(2, 4, 8\)"),
        ({"pool": Split(split.images, split.labels + 3)}, r"pool in \[0, 3\), received 3 to 5"),
    ]:
        with pytest.raises(ValueError, match=message):
            small.scored(**options)


@pytest.mark.parametrize("classes", [2, 4])
def test_a_network_of_another_number_of_classes_is_one_error_and_leaves_nothing(small, tmp_path, classes):
    with pytest.raises(ValueError, match=rf"expected logits \(30, 3\).*received \(30, {classes}\)"):
        small.scored(model=small.network(classes=classes), folder=tmp_path / "new")
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_losses_that_are_not_finite_name_their_row(small, tmp_path, value):
    class Diverged(nn.Module):
        """Says something for black pictures alone."""

        def forward(self, images):
            return torch.where((images[:, :1, 0, 0] > 99), value, 0.0).expand(-1, 3)

    split = small.pictures()
    images = split.images.clone()
    images[11] = 255
    bright = {"mean": (0.0, 0.0), "std": (0.005, 0.005)}  # white is 200, and what is not white below 200
    images[:11], images[12:] = images[:11] // 3, images[12:] // 3
    with pytest.raises(ValueError, match="finite losses, received others for row 34"):
        small.scored(Split(images, split.labels, rows=split.rows), Diverged(), folder=tmp_path / "new",
                     pool=Split(images[:11], split.labels[:11]), **bright)
    assert not (tmp_path / "new").exists()


# Files.


def test_scores_are_read_as_they_were_written(small, tmp_path):
    scores = small.scored(source="noise")
    scores.save(tmp_path / "new" / "scores")
    again = Scores.load(tmp_path / "new" / "scores")
    assert identical(scores, again) and again.draws == 12 and again.about == scores.about
    assert scores.about["source"] == "noise" and json.loads(json.dumps(scores.about)) == scores.about
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["scores"]


def test_a_frame_has_a_row_for_every_row(small):
    scores = small.scored()
    frame = scores.as_frame()
    assert list(frame) == ["row", "label", "mean", "std", "CV"] and frame["row"].tolist() == scores.rows.tolist()
    np.testing.assert_array_equal(frame["CV"], scores.cv)
    np.testing.assert_allclose(frame["CV"], frame["std"] / frame["mean"])


def test_scores_know_the_rows_that_they_are_of(small):
    split, scores = small.pictures(), small.scored()
    scores.check(split)
    scores.check(split.subset(torch.randperm(30)))
    other = split.images.clone()
    other[3, 0, 0, 0] ^= 1
    for wrong in (split.subset(torch.arange(29)), small.pictures(seed=1), Split(split.images, split.labels),
                  Split(other, split.labels, rows=split.rows), Split(split.images, 2 - split.labels, rows=split.rows)):
        with pytest.raises(ValueError, match="expected the rows that were scored"):
            scores.check(wrong)


@pytest.mark.parametrize("content", [b"", b"no archive", None, "half"])
def test_what_is_no_file_of_scores_is_one_error(small, tmp_path, content):
    path = tmp_path / "scores.npz"
    if content is None:
        np.savez(path, rows=np.arange(3))
    elif content == "half":
        small.scored().save(path)
        path.write_bytes(path.read_bytes()[:500])
    else:
        path.write_bytes(content)
    with pytest.raises(ValueError, match="expected a file of scores"):
        Scores.load(path)
    with pytest.raises(FileNotFoundError):
        Scores.load(tmp_path / "nowhere.npz")


@pytest.mark.parametrize(("change", "message"), [
    ({"rows": torch.tensor([1, 0])}, "ascending"), ({"rows": torch.tensor([1, 1])}, "ascending"),
    ({"rows": torch.tensor([0.0, 1.0])}, "rows of shape"), ({"mean": torch.ones(2)}, "mean of shape"),
    ({"std": torch.ones(3).double()}, "std of shape"), ({"labels": [0, 1]}, "labels of shape"),
    ({"draws": 1}, "two draws"), ({"about": {"when": object()}}, "plain data"), ({"about": [1]}, "with names"),
])
def test_scores_that_are_none_are_refused(change, message):
    values = torch.ones(2, dtype=torch.float64)
    whole = {"rows": torch.arange(2), "labels": torch.arange(2), "mean": values, "std": values, "draws": 8, "about": {}}
    Scores(**whole)
    with pytest.raises(ValueError, match=message):
        Scores(**whole | change)


def test_nothing_that_varies_has_a_cv_of_0_also_at_a_mean_of_0():
    rows, mean, std = torch.arange(3), torch.tensor([0.0, 2.0, 4.0]).double(), torch.tensor([0.0, 0.0, 1.0]).double()
    assert Scores(rows, rows, mean, std, 8, {}).cv.tolist() == [0, 0, 0.25]
    assert Scores(rows, rows, mean, std, 8, {"eps": 1.0}).cv.tolist() == [0, 0, 0.2]


def test_the_package_exports_what_is_used_here():
    assert {"Scores", "composite_losses", "merged", "score", "surroundings"} < set(bayes.__all__)


@pytest.mark.gpu
def test_scores_on_a_gpu(small):
    on_cpu = small.scored()
    assert same(on_cpu, small.scored(device="cuda"), rtol=1e-9)
    assert same(on_cpu, small.scored(model=small.network().cuda()), rtol=1e-9)

"""`mixlab generate`: a generator from a classifier's file, and pictures and numbers from the generator's."""

import re
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from mixlab.cli import main
from mixlab.data import load, normalise
from mixlab.generator import SampleGenerator
from mixlab.models import Teacher, build

SIZES = {"num_classes": 10, "in_channels": 1, "width": 2}
TRAIN = ["generate", "train", "--data", "digits", "--base", "2", "--epochs", "2", "--limit", "120", "--device", "cpu"]


@pytest.fixture
def mixlab(monkeypatch, capsys):
    """Call the command; gives its status, output and error output."""
    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["mixlab", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            main()
        return end.value.code or 0, *capsys.readouterr()

    return call


@pytest.fixture(scope="module")
def classifier(tmp_path_factory):
    path = tmp_path_factory.mktemp("classifier") / "classifier.pt"
    network = build("preact-resnet18", **SIZES)
    Teacher(network, mean=(0.3,), std=(0.4,)).save(path, name="preact-resnet18", **SIZES)
    return path


@pytest.fixture(scope="module")
def generator(classifier, tmp_path_factory):
    path = tmp_path_factory.mktemp("generator") / "generator.pt"
    with pytest.MonkeyPatch.context() as patch, pytest.raises(SystemExit) as end:
        patch.setattr(sys, "argv", ["mixlab", *map(str, [*TRAIN, "--classifier", classifier, "--out", path])])
        main()
    assert not end.value.code
    return path


def test_train_writes_a_generator_and_tells_what_it_learned_and_cost(mixlab, classifier, tmp_path):
    out = tmp_path / "new" / "generator.pt"
    options = ["--epsilon", 0.4, "--background", "one", "--output", "residual", "--reach", 0.5, "--no-skips",
               "--penalty", 0.1, "--lr", 0.02, "--batch-size", 40, "--augment", "none", "--downs", 1]
    status, printed, _ = mixlab(*TRAIN, *options, "--classifier", classifier, "--out", out)
    made, data = SampleGenerator.load(out), load("digits", limit=120)
    assert status == 0 and [path.name for path in out.parent.iterdir()] == ["generator.pt"]
    assert made.classifier == Teacher.load(classifier).checksum and made.mean == data.mean
    network = made.network
    assert (network.base, network.downs, network.skips, network.output, network.reach) == (2, 1, False, "residual", 0.5)
    assert (made.epsilon, made.background) == (0.4, "one")
    names = ("penalty", "lr", "batch_size", "augment", "epochs", "data", "rows", "steps", "images", "recipe")
    assert [made.about[name] for name in names] == [0.1, 0.02, 40, "none", 2, "digits", 120, 6, 240, "generator-bench"]
    printed = " ".join(printed.split())
    assert f"KL from the soft labels {made.about['kl']:.3f}" in printed and "6 steps, 240 images" in printed
    assert f"ignores them {made.about['kl_ignorant']:.3f}" in printed and made.checksum[:12] in printed


def test_a_stopped_training_goes_on(mixlab, classifier, generator, monkeypatch, tmp_path):
    import mixlab.generator.train as training

    out, left = tmp_path / "generator.pt", iter(range(3))
    step = training.step

    def stopping(*arguments, **options):
        if next(left, None) is None:
            raise ValueError("stopped")
        return step(*arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(training, "step", stopping)
        assert mixlab(*TRAIN, "--classifier", classifier, "--out", out)[0] == 2
    assert not out.exists() and (tmp_path / "generator.pt.run" / "last.ckpt").exists()
    status, _, told = mixlab(*TRAIN, "--classifier", classifier, "--out", out, "--epsilon", 0.3)
    assert status == 2 and "another run: its epsilon is 0.5, this run's is 0.3" in told and told.count("\n") == 1
    calls = []
    with monkeypatch.context() as patch:
        patch.setattr(training, "step", lambda *arguments, **options: calls.append(1) or step(*arguments, **options))
        assert mixlab(*TRAIN, "--classifier", classifier, "--out", out)[0] == 0
    assert len(calls) == 2  # of four, of which the first epoch was done
    assert SampleGenerator.load(out).checksum == SampleGenerator.load(generator).checksum
    assert [path.name for path in tmp_path.iterdir()] == ["generator.pt"]


def test_it_learns_on_a_subset_and_the_split_that_it_was_chosen_from(mixlab, classifier, tmp_path):
    chosen, out = tmp_path / "rows.json", tmp_path / "generator.pt"
    assert mixlab("select", "--data", "digits", "--t", 0.1, "--policy", "random", "--seed", 3, "--out", chosen)[0] == 0
    short = [each for each in TRAIN if each not in ("--limit", "120")]
    assert mixlab(*short, "--subset", chosen, "--classifier", classifier, "--out", out)[0] == 0
    rows = len(load("digits", seed=3).train)
    assert rows / 10 <= SampleGenerator.load(out).about["rows"] <= rows / 10 + 10  # rounded up, class by class
    status, _, told = mixlab(*TRAIN, "--subset", chosen, "--classifier", classifier, "--out", tmp_path / "other.pt")
    assert status == 2 and "--subset without --limit" in told


def test_sample_writes_the_numbers(mixlab, generator, tmp_path):
    out = tmp_path / "samples.npz"
    status, printed, _ = mixlab("generate", "sample", "--data", "digits", "--generator", generator, "--count", 4,
                                "--draws", 3, "--epsilon", 0.3, "--out", out, "--device", "cpu")
    assert status == 0 and "3 images of each of 4" in printed
    with np.load(out) as file:
        parts = {name: torch.from_numpy(file[name]) for name in file.files}
    assert {name: tuple(each.shape) for name, each in parts.items()} == {
        "images": (4, 1, 8, 8), "labels": (4,), "rows": (4,), "soft": (4, 3, 10), "made": (4, 3, 1, 8, 8)}
    data, made = load("digits", validation=0.0), SampleGenerator.load(generator)
    assert torch.equal(parts["images"], data.test.images[parts["rows"]] / 255)
    assert torch.equal(parts["labels"], data.test.labels[parts["rows"]])
    own = parts["soft"].gather(2, parts["labels"].view(4, 1, 1).expand(-1, 3, -1))
    torch.testing.assert_close(own, torch.full((4, 3, 1), 0.7))
    assert len(parts["soft"].flatten(0, 1).unique(dim=0)) == 12
    # In pixels it is what the generator makes of the images as it was trained on them.
    images = normalise(data.test.images[parts["rows"]], made.mean, made.std)
    expected = made.make(images, parts["soft"][:, 1]) * made.std[0] + made.mean[0]
    torch.testing.assert_close(parts["made"][:, 1], expected, rtol=1e-4, atol=1e-5)


def test_sample_draws_a_grid(mixlab, generator, tmp_path):
    out = tmp_path / "grid.png"
    assert mixlab("generate", "sample", "--data", "digits", "--generator", generator, "--count", 2, "--draws", 3,
                  "--split", "train", "--seed", 5, "--out", out, "--device", "cpu")[0] == 0
    with Image.open(out) as picture:
        pixels = torch.from_numpy(np.array(picture))
    side = 4 * 8 + 2
    assert pixels.shape == (2 * side, 4 * side, 3) and bool((pixels[[0, side - 1, side]] == 255).all())
    assert mixlab("generate", "sample", "--data", "digits", "--generator", generator, "--count", 2, "--draws", 3,
                  "--split", "train", "--seed", 5, "--out", tmp_path / "same.npz", "--device", "cpu")[0] == 0
    with np.load(tmp_path / "same.npz") as file:
        images, made = file["images"], file["made"]
    for row in range(2):
        for column, expected in enumerate([images[row, 0], *made[row, :, 0].clip(0, 1)]):
            cell = pixels[row * side + 1:(row + 1) * side - 1, column * side + 1:(column + 1) * side - 1]
            assert np.abs(cell[::4, ::4, 1].numpy() / 255 - expected).max() < 0.51 / 255


WRONG_TRAIN = {
    "no classifier": (["--classifier", "nowhere.pt"], "nowhere.pt"),
    "a generator for one": (["--classifier", "GENERATOR"], "expected a teacher's file"),
    "sizes": (["--downs", "4"], "sides 16 = 2^4 divides, received 8 x 8: with downs=3 they fit"),
    "epsilon": (["--epsilon", "1.5"], "epsilon in [0, 1]"),
    "background": (["--background", "some"], "background of uniform, constant, one"),
    "output": (["--output", "sigmoid"], "output of bounded, free, residual"),
    "recipe": (["--recipe", "demo"], "--recipe of generator-paper, generator-bench"),
    "augment": (["--augment", "turn"], "augment"),
    "device": (["--device", "abacus"], "--device of auto, cpu or cuda"),
    "data": (["--data", "nothing"], "expected a data set out of"),
    "colour": (["--data", "shapes"], "expected a teacher of images of shape (3, 32, 32)"),
}


@pytest.mark.parametrize("name", WRONG_TRAIN)
def test_what_cannot_be_trained_is_told_in_one_line_and_leaves_nothing(mixlab, classifier, generator, tmp_path, name):
    arguments, message = WRONG_TRAIN[name]
    arguments = [str(generator) if each == "GENERATOR" else each for each in arguments]
    status, printed, told = mixlab(*TRAIN, "--classifier", classifier, "--out", tmp_path / "new.pt", *arguments)
    assert status == 2 and printed == "" and told.count("\n") == 1 and message in told
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_sampled_is_told_in_one_line_and_leaves_nothing(mixlab, classifier, generator, tmp_path):
    sample = ["generate", "sample", "--data", "digits", "--generator", generator, "--device", "cpu", "--out"]
    for arguments, message in (
        ([tmp_path / "new.txt"], "file of .png or .npz"),
        ([generator.with_suffix(".npz"), "--generator", classifier], "expected a generator's file"),
        ([tmp_path / "new.npz", "--split", "validation"], "--split of train or test"),
        ([tmp_path / "new.npz", "--count", 1000], "--count of at most 359"),
        ([tmp_path / "new.npz", "--data", "shapes"], "expected a generator for the images of shapes"),
        ([tmp_path / "new.npz", "--epsilon", 2], "epsilon in [0, 1]"),
    ):
        status, printed, told = mixlab(*sample, *arguments)
        assert status == 2 and printed == "" and told.count("\n") == 1 and message in told, message
    assert list(tmp_path.iterdir()) == [] and not generator.with_suffix(".npz").exists()


def test_nothing_that_is_there_is_written_over(mixlab, classifier, generator):
    before = generator.read_bytes()
    for command in ([*TRAIN, "--classifier", classifier], ["generate", "sample", "--data", "digits", "--generator",
                                                           generator]):
        status, _, told = mixlab(*command, "--out", generator)
        assert status == 2 and re.search("which is there|expected a file of", told)
    assert generator.read_bytes() == before


def test_soft_labels_of_a_sample_follow_from_the_seed(mixlab, generator, tmp_path):
    soft = []
    for number, seed in enumerate((1, 1, 2)):
        out = tmp_path / f"{number}.npz"
        mixlab("generate", "sample", "--data", "digits", "--generator", generator, "--seed", seed, "--out", out)
        with np.load(out) as file:
            soft.append(file["soft"])
    assert (soft[0] == soft[1]).all() and (soft[0] != soft[2]).any()

"""`mixlab train`: what it prints and leaves behind, and one line for what it cannot do."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import mixlab.reproduce.execute as execute
from mixlab.cli import main
from mixlab.generator import ConditionalUNet, SampleGenerator
from mixlab.models import Teacher, build
from mixlab.risk import EmpiricalRisk
from mixlab.rng import generator
from mixlab.train import read_record

SMALL = ["train", "--data", "digits", "--model", "preact-resnet18", "--width", "2", "--recipe", "demo", "--epochs", "1",
         "--limit", "128", "--device", "cpu", "--precision", "32-true"]


@pytest.fixture
def mixlab(monkeypatch, capsys):
    """Call the command; gives its status, output and error output."""
    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["mixlab", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            main()
        return end.value.code or 0, *capsys.readouterr()

    return call


def test_a_run_prints_its_error_and_leaves_its_record(mixlab, tmp_path):
    status, printed, _ = mixlab(*SMALL, "--mixer", "dcutmix", "--k", 3, "--alpha", 0.5, "--out", tmp_path / "run")
    record = read_record(tmp_path / "run/record.json")
    assert status == 0
    assert f"{record['result']['value']:.2f}" in printed and "last epoch" in printed and "best epoch" in printed
    assert record["what"]["config"]["risk"] == {
        "name": "vicinal", "mixer": {"name": "dcutmix", "k": 3, "alpha": 0.5}}
    assert record["what"]["config"]["processes"] == 1
    assert {path.name for path in (tmp_path / "run").iterdir()} >= {"last.ckpt", "curves.csv", "record.json"}


def test_rate_and_batch_size_of_ones_own_take_the_recipe_s_place(mixlab, tmp_path):
    status, *_ = mixlab(*SMALL, "--lr", 0.025, "--batch-size", 32, "--out", tmp_path / "run")
    assert status == 0
    config = read_record(tmp_path / "run/record.json")["what"]["config"]
    assert (config["lr"], config["batch_size"]) == (0.025, 32)
    rows = (tmp_path / "run/curves.csv").read_text().splitlines()
    assert float(dict(zip(rows[0].split(","), rows[1].split(",")))["lr"]) == 0.025
    assert len(read_record(tmp_path / "run/record.json")["result"]["curves"]["train_loss"]) == 1
    plain = execute.Run("a", "A", data="digits", model="lenet", risk={"name": "empirical"}, recipe="demo", seed=0)
    assert not {"lr", "batch_size"} & set(plain.as_dict())


def test_a_folder_with_a_run_is_only_continued_when_told_so(mixlab, tmp_path):
    assert mixlab(*SMALL, "--out", tmp_path)[0] == 0
    before = (tmp_path / "record.json").read_bytes()
    status, _, error = mixlab(*SMALL, "--out", tmp_path)
    assert status == 2 and "--resume" in error
    assert mixlab(*SMALL, "--out", tmp_path, "--resume")[0] == 0
    assert json.loads((tmp_path / "record.json").read_bytes())["result"] == json.loads(before)["result"]
    status, _, error = mixlab(*SMALL, "--out", tmp_path, "--resume", "--seed", 1)
    assert status == 2 and "another run" in error


def test_a_run_to_be_continued_that_is_not_there_is_started_and_that_is_said(mixlab, tmp_path):
    status, printed, error = mixlab(*SMALL, "--out", tmp_path / "typo", "--resume")
    assert status == 0 and "last epoch" in printed
    assert error == f"there is nothing to continue in {tmp_path / 'typo'}: a new run starts\n"
    assert (tmp_path / "typo/record.json").exists()
    assert mixlab(*SMALL, "--out", tmp_path / "typo", "--resume")[2] == ""


def test_a_folder_in_which_nothing_but_a_lock_was_left_is_as_good_as_new(mixlab, tmp_path):
    (tmp_path / "lock").touch()
    assert mixlab(*SMALL, "--out", tmp_path)[0] == 0


def test_a_run_that_was_killed_before_its_first_checkpoint_begins_again(mixlab, tmp_path):
    for name in ("lock", "curves.csv", ".new.ckpt.0123.tmp"):
        (tmp_path / name).write_text("left behind")
    status, _, error = mixlab(*SMALL, "--out", tmp_path, "--resume")
    assert status == 0 and "nothing to continue" in error


@pytest.mark.parametrize("name", ["record.json", "epoch3.ckpt", "notes.txt"])
def test_a_folder_of_somebody_else_s_is_no_run_to_be_continued(mixlab, tmp_path, name):
    (tmp_path / name).write_text("not ours")
    status, printed, error = mixlab(*SMALL, "--out", tmp_path, "--resume")
    assert status == 2 and printed == "" and name in error
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_text() == "not ours"


@pytest.mark.parametrize(("option", "named"), [
    (["--resume"], "--resume"), (["--every", 5], "--every"), (["--log", "tensorboard"], "--log tensorboard"),
    (["--every", 5, "--resume"], "--resume, --every"),
])
def test_what_needs_a_folder_is_refused_without_one(mixlab, option, named):
    status, printed, error = mixlab(*SMALL, *option)
    assert (status, printed, error) == (2, "", f"mixlab: expected --out with {named}, received none\n")


def test_a_last_batch_of_one_image_does_not_end_the_run(mixlab):
    status, printed, error = mixlab(*SMALL, "--limit", 65)
    assert (status, error) == (0, "") and "last epoch" in printed


@pytest.mark.parametrize(("error", "told"), [
    (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB.\nMore lines."),
     "mixlab: CUDA out of memory: choose a smaller --width or --precision bf16-mixed\n"),
    (FloatingPointError("loss is nan"), "mixlab: loss is nan\n"),
])
def test_what_the_machine_does_not_give_is_told_in_one_line(mixlab, monkeypatch, error, told):
    def fail(*arguments, **options):
        raise error

    monkeypatch.setattr(execute, "train", fail)
    assert mixlab(*SMALL) == (2, "", told)


def _stopped_at(monkeypatch, step):
    """Ctrl-C at a step of training."""
    forward, left = EmpiricalRisk.forward, iter(range(step))

    def stopping(*arguments, **options):
        if next(left, None) is None:
            raise KeyboardInterrupt
        return forward(*arguments, **options)

    monkeypatch.setattr(EmpiricalRisk, "forward", stopping)


def test_a_stopped_run_says_how_it_is_continued(mixlab, monkeypatch, tmp_path):
    folder = ["--out", tmp_path / "run", "--every", 1]
    with monkeypatch.context() as patch:
        _stopped_at(patch, 1)
        stopped = mixlab(*SMALL, *folder)
    assert stopped == (130, "", f"stopped: the same command with --resume continues the run in {tmp_path / 'run'}\n")
    status, printed, error = mixlab(*SMALL, *folder, "--resume")
    assert (status, error) == (0, "") and "last epoch" in printed
    assert read_record(tmp_path / "run/record.json")["result"]["last"]["epoch"] == 1


def test_a_run_that_is_stopped_before_its_first_checkpoint_is_started_anew(mixlab, monkeypatch, tmp_path):
    with monkeypatch.context() as patch:
        _stopped_at(patch, 0)
        assert mixlab(*SMALL, "--out", tmp_path / "run") == (
            130, "", "stopped before the first checkpoint: the same command with --resume starts the run anew\n")
    assert mixlab(*SMALL, "--out", tmp_path / "run", "--resume")[0] == 0


def test_a_stopped_run_without_a_folder_says_that_nothing_is_kept(mixlab, monkeypatch):
    _stopped_at(monkeypatch, 1)
    assert mixlab(*SMALL) == (130, "", "stopped: nothing is kept of a run without --out\n")


def test_an_arithmetic_mistake_of_ours_keeps_its_traceback(mixlab, monkeypatch):
    monkeypatch.setattr(execute, "train", lambda *arguments, **options: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        mixlab(*SMALL)


def test_processes_of_a_launcher_leave_one_record_and_print_one_table(tmp_path, monkeypatch):
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2",
                "--log-dir", tmp_path / "logs", "-m", "mixlab"]
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).resolve().parents[2]), prepend=os.pathsep)
    done = subprocess.run([*launcher, *SMALL, "--processes", "2", "--resume", "--out", tmp_path / "run"],
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("last epoch") == 1
    assert done.stderr.count("nothing to continue") == 1
    assert read_record(tmp_path / "run/record.json")["what"]["config"]["processes"] == 2


def test_a_process_that_is_not_the_first_leaves_the_record_to_it(mixlab, monkeypatch, tmp_path):
    (tmp_path / "lock").touch()
    (tmp_path / "curves.csv").touch()  # the first one has begun
    monkeypatch.setenv("RANK", "1")
    assert mixlab(*SMALL, "--out", tmp_path) == (0, "", "")
    assert not (tmp_path / "record.json").exists()


def test_manifold_and_probability_compose(mixlab, tmp_path):
    status, _, _ = mixlab(*SMALL, "--mixer", "mixup", "--alpha", 2.0, "--probability", 0.5, "--manifold",
                          "--out", tmp_path)
    assert status == 0
    assert read_record(tmp_path / "record.json")["what"]["config"]["risk"] == {
        "name": "manifold", "layers": ["", "stage1", "stage2"],
        "mixer": {"name": "sometimes", "p": 0.5, "mixer": {"name": "mixup", "alpha": 2.0}}}


def test_layers_are_chosen_by_name(mixlab, tmp_path):
    status, _, error = mixlab("train", "--data", "digits", "--model", "resnet18", "--recipe", "demo", "--epochs", 1,
                              "--limit", 64, "--mixer", "mixup", "--manifold", "--layer", "", "--layer", "layer1",
                              "--out", tmp_path)
    assert status == 0, error
    risk = read_record(tmp_path / "record.json")["what"]["config"]["risk"]
    assert risk == {"name": "manifold", "layers": ["", "layer1"], "mixer": {"name": "mixup"}}


LAMIX = {"name": "lamix"}


@pytest.mark.parametrize(("options", "risk"), [
    ([], LAMIX),
    (["--beta", 0.3, "--target-grad", "head", "--local-lambda", 0.5, "--no-sigmoid", "--no-clean"],
     LAMIX | {"beta": 0.3, "target_grad": "head", "local_lambda": 0.5, "sigmoid": False, "clean": False}),
    (["--mixer", "cutmix", "--probability", 0.5, "--layer", "head.linear", "--local-lambda", "random"], None),
    (["--mixer", "average", "--pairing", "distinct", "--local-lambda", 0.25, "--layer", "head.linear"],
     LAMIX | {"layer": "head.linear",
              "mixer": {"name": "average", "pairing": "distinct", "local_lambda": 0.25}}),
])
def test_lamix_is_trained_with_its_options(mixlab, tmp_path, options, risk):
    status, printed, error = mixlab(*SMALL, "--risk", "lamix", *options, "--out", tmp_path / "run")
    if risk is None:  # λ belongs to the average alone
        assert status == 2 and "options of cutmix" in error and "local_lambda" in error
        return
    assert status == 0 and "last epoch" in printed, error
    record = read_record(tmp_path / "run/record.json")
    assert record["what"]["config"]["risk"] == risk
    assert record["what"]["row"] == ("lamix-average" if "mixer" in risk else "lamix")
    saved = torch.load(tmp_path / "run/last.ckpt", weights_only=True)["state"]
    assert set(saved["risk"]) == {"head.weight", "head.bias"}
    assert not any("risk" in name or "target" in name for name in saved["model"])


def test_a_risk_that_trains_on_the_clean_batch_is_trained_from_the_command_line(mixlab, tmp_path):
    status, printed, error = mixlab(*SMALL, "--risk", "saliency", "--mixer", "cutmix", "--clean-weight", 0.5,
                                    "--out", tmp_path)
    assert status == 0 and "last epoch" in printed, error
    assert read_record(tmp_path / "record.json")["what"]["config"]["risk"] == {
        "name": "saliency", "mixer": {"name": "cutmix"}, "clean": 0.5}


def _asked(mixlab, monkeypatch, arguments):
    """The run that a command line asks for; it is not carried out."""
    runs = []

    def stop(run, *rest, **options):
        runs.append(run)
        raise ValueError("stopped here")

    monkeypatch.setattr("mixlab.reproduce.execute.train", stop)
    assert mixlab("train", "--data", "digits", "--model", "preact-resnet18", *arguments)[0] == 2
    return runs[0]


@pytest.mark.parametrize(("arguments", "mixer"), [
    (["--mixer", "dcutmix", "--k", 3], {"name": "dcutmix", "k": 3}),
    (["--mixer", "dcutmix", "--pairing", "permutation"], {"name": "dcutmix", "pairing": "permutation"}),
    (["--mixer", "dcutmix", "--budget", "paper"], {"name": "dcutmix", "pairing": "permutation"}),
    (["--mixer", "cutmix", "--budget", "paper", "--pairing", "distinct"], {"name": "cutmix", "pairing": "distinct"}),
    (["--mixer", "cutout", "--budget", "paper"], {"name": "cutout"}),
    (["--mixer", "smote", "--budget", "paper"], {"name": "smote"}),
    (["--mixer", "sometimes", "--budget", "paper", "--mixer-option", 'mixer={"name": "cutmix"}', "--mixer-option",
      "p=0.5"], {"name": "sometimes", "mixer": {"name": "cutmix"}, "p": 0.5}),
])
def test_partners_are_drawn_by_the_papers_law_where_it_is_asked_for(mixlab, monkeypatch, arguments, mixer):
    asked = _asked(mixlab, monkeypatch, arguments)
    assert asked.risk == {"name": "vicinal", "mixer": mixer}


@pytest.mark.parametrize(("arguments", "risk"), [
    (["--label-smoothing", 0.1], {"name": "empirical", "label_smoothing": 0.1}),
    (["--mixer", "mixup", "--label-smoothing", 0.1],
     {"name": "vicinal", "mixer": {"name": "mixup"}, "label_smoothing": 0.1}),
    (["--mixer", "cutmix", "--clean"], {"name": "vicinal", "mixer": {"name": "cutmix"}, "clean": True}),
    (["--risk", "vicinal", "--mixer", "average", "--pairing", "permutation", "--label-smoothing", 0.5, "--clean"],
     {"name": "vicinal", "mixer": {"name": "average", "pairing": "permutation"}, "label_smoothing": 0.5,
      "clean": True}),
    (["--risk", "manifold", "--mixer", "mixup"],
     {"name": "manifold", "mixer": {"name": "mixup"}, "layers": ["", "stage1", "stage2"]}),
    (["--risk", "empirical"], {"name": "empirical"}),
    (["--risk", "lamix", "--budget", "gpu"], {"name": "lamix"}),
    (["--risk", "lamix", "--mixer", "mixup", "--alpha", 2, "--probability", 0.5],
     {"name": "lamix", "mixer": {"name": "sometimes", "p": 0.5, "mixer": {"name": "mixup", "alpha": 2.0}}}),
    (["--risk", "saliency", "--mixer", "cutmix"], {"name": "saliency", "mixer": {"name": "cutmix"}}),
    (["--mixer", "puzzlemix"], {"name": "saliency", "mixer": {"name": "puzzlemix"}}),
    (["--mixer", "comixup", "--clean-weight", 1], {"name": "saliency", "mixer": {"name": "comixup"}, "clean": 1.0}),
    (["--mixer", "puzzlemix", "--probability", 0.5, "--mixer-option", "blocks=[2, 4]", "--mixer-option", "std=0.3"],
     {"name": "saliency", "mixer": {"name": "sometimes", "p": 0.5, "mixer": {
         "name": "puzzlemix", "blocks": [2, 4], "std": 0.3}}}),
    (["--mixer", "shares-in-boxes", "--mixer-option", 'mixer={"name": "puzzlemix"}'],
     {"name": "saliency", "mixer": {"name": "shares-in-boxes", "mixer": {"name": "puzzlemix"}}}),
    (["--mixer", "replaced-saliency", "--mixer-option", 'mixer={"name": "puzzlemix"}', "--mixer-option", "by=smooth"],
     {"name": "vicinal", "mixer": {"name": "replaced-saliency", "mixer": {"name": "puzzlemix"}, "by": "smooth"}}),
    (["--mixer", "comixup", "--mixer-option", "mode=official", "--mixer-option", "labels=null"],
     {"name": "saliency", "mixer": {"name": "comixup", "mode": "official", "labels": None}}),
    (["--risk", "saliency", "--mixer", "puzzlemix", "--adversarial", 0.1, "--epsilon", 0.2],
     {"name": "saliency", "mixer": {"name": "puzzlemix"}, "adversarial": 0.1, "epsilon": 0.2}),
    (["--risk", "saliency", "--mixer", "cutmix", "--probability", 0.5, "--clean-weight", 1],
     {"name": "saliency", "clean": 1.0, "mixer": {"name": "sometimes", "p": 0.5, "mixer": {"name": "cutmix"}}}),
])
def test_a_risk_is_named_or_follows_from_the_mixer(mixlab, monkeypatch, arguments, risk):
    asked = _asked(mixlab, monkeypatch, arguments)
    assert asked.risk == risk and not asked.compile


@pytest.mark.parametrize(("change", "message"), [
    (["--risk", "nothing"], "a --risk of empirical, .*, saliency, distillation, crd, generated, received 'nothing'"),
    (["--beta", 0.5], "risk empirical among --label-smoothing, received --beta"),
    (["--mixer", "mixup", "--no-sigmoid", "--target-grad", "head"], "received --target-grad, --sigmoid"),
    (["--mixer", "mixup", "--manifold", "--clean"], "risk manifold among none, received --clean"),
    (["--risk", "lamix", "--label-smoothing", 0.1], "risk lamix among --beta, .* received --label-smoothing"),
    (["--risk", "lamix", "--manifold"], "received --risk lamix"),
    (["--risk", "lamix", "--k", 3], "expected a --mixer"), (["--risk", "lamix", "--probability", 0.5], "a --mixer"),
    (["--risk", "saliency"], "expected a --mixer .* saliency, received none"),
    (["--risk", "saliency", "--mixer", "cutmix", "--clean"], "saliency among --clean-weight.*, received --clean$"),
    (["--risk", "saliency", "--mixer", "cutmix", "--clean-weight", -1], "clean to be a finite number .* received -1"),
    (["--risk", "saliency", "--mixer", "cutmix", "--adversarial", 0.1], "positive epsilon with adversarial"),
    (["--mixer", "puzzlemix", "--risk", "vicinal"], "--risk saliency or none with --mixer puzzlemix, .* vicinal$"),
    (["--mixer", "comixup", "--manifold"], "--risk saliency or none with --mixer comixup, .* received manifold$"),
    (["--mixer", "puzzlemix", "--label-smoothing", 0.1], "risk saliency among --clean-weight.*--label-smoothing$"),
    (["--mixer", "puzzlemix", "--mixer-option", "block=4"], "options of puzzlemix among .*blocks.* received .'block'"),
    (["--mixer", "puzzlemix", "--mixer-option", "blocks"], "--mixer-option NAME=VALUE, received 'blocks'"),
    (["--mixer", "puzzlemix", "--mixer-option", "name=mixup"], "--mixer-option NAME=VALUE, received 'name=mixup'"),
    (["--mixer-option", "blocks=4"], "expected a --mixer .* --mixer-option"),
    (["--mixer", "cutmix", "--clean-weight", 1], "risk vicinal among .* received --clean-weight"),
    (["--risk", "vicinal"], "expected a --mixer"), (["--risk", "empirical", "--mixer", "mixup"], "received mixup"),
    (["--risk", "lamix", "--beta", 2], r"beta in \[0, 1\], received 2"),
    (["--risk", "lamix", "--target-grad", "both"], "full, head, none, received 'both'"),
    (["--risk", "lamix", "--local-lambda", "half"], "--local-lambda of random or .* received 'half'"),
    (["--risk", "lamix", "--local-lambda", 2], r"local_lambda of 'random' or in \[0, 1\], received 2"),
    (["--risk", "lamix", "--layer", "nothing"], "a layer of the network, received 'nothing'"),
    (["--risk", "lamix", "--layer", "stem"], "linear one, received Conv2d"),
    (["--risk", "lamix", "--layer", "stem", "--layer", "head.linear"], "one layer"),
    (["--risk", "lamix", "--compile"], "compile=False with a LaMixRisk"),
    (["--label-smoothing", 2], r"label_smoothing in \[0, 1\], received 2"),
    (["--mixer", "mixup", "--local-lambda", 0.5], "options of mixup among .* received .'local_lambda'"),
    (["--local-lambda", 0.5], "risk empirical among .* received --local-lambda"),
])
def test_a_risk_that_does_not_fit_its_options_is_one_line_and_changes_nothing(mixlab, tmp_path, change, message):
    status, printed, error = mixlab(*SMALL, "--out", tmp_path / "run", *change)
    assert status == 2 and printed == ""
    assert error.count("\n") == 1 and error.startswith("mixlab: ") and re.search(message, error), error
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(("change", "message"), [
    (["--data", "nothing"], "nothing"), (["--model", "nothing"], "nothing"), (["--mixer", "nothing"], "nothing"),
    (["--mixer", "dcutmix", "--k", 3, "--alpha", -1], "alpha"), (["--mixer", "mixup", "--k", 3], "k"),
    (["--recipe", "nothing"], "nothing"), (["--budget", "nothing"], "nothing"),
    (["--precision", "fp8"], "fp8"), (["--device", "tpu"], "tpu"), (["--log", "wandb"], "wandb"),
    (["--limit", 10**6], "1000000"), (["--dropout", 1.5], "1.5"), (["--k", 3], "mixer"), (["--manifold"], "mixer"),
    (["--pairing", "permutation"], "mixer"), (["--mixer", "mixup", "--pairing", "random"], "random"),
    (["--mixer", "cutout", "--pairing", "distinct"], "pairing"), (["--mixer", "mixup", "--layer", "stem"], "manifold"),
    (["--mixer", "mixup", "--manifold", "--compile"], "compile"), (["--processes", 3], "share evenly"),
    (["--width", 100_000], "can't allocate memory"), (["--width", 10**9], "at most 1000000, received 1000000000"),
    (["--width", 10**30], "at most 1000000"),
])
def test_what_cannot_be_done_is_one_line_and_changes_nothing(mixlab, tmp_path, change, message):
    status, printed, error = mixlab(*SMALL, "--out", tmp_path / "run", *change)
    assert status == 2 and printed == ""
    assert error.count("\n") == 1 and error.startswith("mixlab: ") and message in error
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(("network", "message"), [
    (["--model", "lenet"], "28×28"), (["--model", "resnet18", "--mixer", "mixup", "--manifold"], "stage1"),
])
def test_what_shows_at_the_first_step_is_one_line_and_changes_nothing_either(mixlab, tmp_path, network, message):
    call = ["train", "--data", "digits", "--recipe", "demo", *network]
    status, printed, error = mixlab(*call, "--out", tmp_path / "run")
    assert status == 2 and printed == ""
    assert error.count("\n") == 1 and error.startswith("mixlab: ") and message in error
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("change", [["--epochs", "0"], ["--epochs", "two"], ["--nonsense"], ["--processes", "0"]])
def test_what_is_no_option_value_is_refused(mixlab, tmp_path, change):
    status, _, error = mixlab(*SMALL, "--out", tmp_path / "run", *change)
    assert status == 2 and change[0] in error
    assert not (tmp_path / "run").exists()


def test_data_that_are_not_there_are_named(mixlab, tmp_path, monkeypatch):
    monkeypatch.setenv("MIXLAB_DATA", str(tmp_path / "empty"))
    status, _, error = mixlab(*SMALL, "--data", "cifar100", "--out", tmp_path / "run")
    assert status == 2 and "cifar100" in error and error.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_puzzle_mix_is_trained_by_its_name(mixlab, tmp_path):
    status, printed, error = mixlab(*SMALL, "--mixer", "puzzlemix", "--mixer-option", "blocks=4", "--out", tmp_path)
    assert status == 0 and "last epoch" in printed, error
    record = read_record(tmp_path / "record.json")
    assert record["what"]["row"] == "puzzlemix"
    assert record["what"]["config"]["risk"] == {"name": "saliency", "mixer": {"name": "puzzlemix", "blocks": 4}}


@pytest.fixture
def teacher(tmp_path):
    """A teacher's file, and what a run's specification says of it."""
    made = Teacher(build("preact-resnet18", 10, 1, 2, generator=generator(0)), mean=(0.3,), std=(0.4,))
    made.save(tmp_path / "teacher.pt", name="preact-resnet18", num_classes=10, in_channels=1, width=2)
    return {"checkpoint": str(tmp_path / "teacher.pt"), "checksum": made.checksum}


CUTMIX, SUPERMIX = {"name": "cutmix"}, {"name": "supermix"}


@pytest.mark.parametrize(("arguments", "risk"), [
    (["--kd", 0.9, "--clean-weight", 0.1], {"kd": 0.9, "clean": 0.1, "mixed": 0.0}),
    (["--mixer", "cutmix"], {"mixer": CUTMIX}),
    (["--mixer", "cutmix", "--label", "teacher", "--mixed-weight", 1, "--kd-mixed", 0.5, "--temperature", 2],
     {"mixer": CUTMIX, "label": "teacher", "mixed": 1.0, "kd_mixed": 0.5, "temperature": 2.0}),
    (["--mixer", "puzzlemix", "--label", "mix"], {"mixer": {"name": "puzzlemix"}, "label": "mix"}),
    (["--images", "made/set", "--label", "mix"], {"images": "made/set", "label": "mix"}),
    (["--mixer", "supermix", "--k", 3, "--budget", "paper"], {"mixer": SUPERMIX | {"k": 3}}),
    (["--mixer", "supermix", "--risk", "vicinal"], {"name": "vicinal", "mixer": SUPERMIX}),
    (["--mixer", "distinct-predictions", "--mixer-option", 'mixer={"name": "cutmix"}'],
     {"mixer": {"name": "distinct-predictions", "mixer": CUTMIX}}),
    (["--risk", "crd", "--negatives", 50, "--kd", 1], {"name": "crd", "negatives": 50, "kd": 1.0}),
    (["--risk", "crd", "--mixer", "cutmix", "--mixed-weight", 1, "--budget", "gpu"],
     {"name": "crd", "mixer": CUTMIX, "mixed": 1.0}),
])
def test_what_a_teacher_is_asked_follows_from_the_options(mixlab, monkeypatch, teacher, arguments, risk):
    asked = _asked(mixlab, monkeypatch, [*arguments, "--teacher", teacher["checkpoint"]])
    risk = {"name": "distillation"} | risk
    if risk["name"] != "vicinal":
        risk["teacher"] = teacher
    if risk.get("mixer", {}).get("name") in ("supermix", "distinct-predictions"):
        risk["mixer"] = risk["mixer"] | {"teacher": teacher}
    assert asked.risk == risk
    assert asked.compile == ("--budget" in arguments and risk["name"] != "crd")


@pytest.mark.parametrize(("change", "message"), [
    (["--teacher", "nowhere.pt", "--kd", 1], "a file at nowhere.pt, from `mixlab train --save-teacher`, received none"),
    (["--risk", "distillation"], "a --teacher with --risk distillation, received none"),
    (["--risk", "crd"], "a --teacher with --risk crd, received none"),
    (["--kd", 0.9], "risk empirical among --label-smoothing, received --kd"),
    (["--mixer", "supermix"], "expected supermix with .'teacher'"),
    (["TEACHER"], "a --mixer, --images or --kd with a --teacher"),
    (["TEACHER", "--kd", 1, "--risk", "vicinal", "--mixer", "cutmix"], "received --kd, --teacher"),
    (["TEACHER", "--kd-mixed", 1, "--kd", 1], "mixed or kd_mixed is above 0, received neither"),
    (["TEACHER", "--mixer", "cutmix", "--label", "hard"], "argmax, mix, teacher, received 'hard'"),
    (["TEACHER", "--images", "nowhere"], "nowhere"), (["TEACHER", "--kd", -1], "kd >= 0, received -1"),
    (["TEACHER", "--kd", 1, "--negatives", 5], "risk distillation among .* received --negatives"),
    (["TEACHER", "--risk", "crd"], "at most .* negatives, .* received 16384"),
    (["TEACHER", "--risk", "crd", "--negatives", 9, "--compile"], "compile=False with a CRDRisk"),
])
def test_a_teacher_that_does_not_fit_is_one_line_and_changes_nothing(mixlab, tmp_path, teacher, change, message):
    given = {"TEACHER": ["--teacher", teacher["checkpoint"]]}
    change = [part for each in change for part in given.get(each, [each])]
    status, printed, error = mixlab(*SMALL, "--out", tmp_path / "run", *change)
    assert status == 2 and printed == ""
    assert error.count("\n") == 1 and error.startswith("mixlab: ") and re.search(message, error), error
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(("options", "row"), [
    (["--kd", 0.9, "--clean-weight", 0.1], "distillation"), (["--mixer", "cutmix"], "distillation-cutmix"),
    (["--risk", "crd", "--negatives", 20], "crd"),
])
def test_a_network_learns_from_the_file_of_another(mixlab, tmp_path, teacher, options, row):
    status, printed, error = mixlab(*SMALL, *options, "--teacher", teacher["checkpoint"], "--out", tmp_path / "run")
    assert status == 0 and "last epoch" in printed, error
    record = read_record(tmp_path / "run/record.json")
    assert record["what"]["row"] == row
    assert record["what"]["config"]["risk"]["teacher"] == teacher
    assert Teacher.load(teacher["checkpoint"]).checksum == teacher["checksum"]


@pytest.fixture
def maker(tmp_path, teacher):
    """The file of a generator of 8×8 images in ten classes, and what a run's specification says of it."""
    made = SampleGenerator(ConditionalUNet(10, in_channels=1, base=2, downs=1, mean=(0.3,), std=(0.4,),
                                           generator=generator(1)), epsilon=0.4, classifier=teacher["checksum"])
    made.save(tmp_path / "generator.pt")
    return {"checkpoint": str(tmp_path / "generator.pt"), "checksum": made.checksum}


@pytest.mark.parametrize(("arguments", "risk"), [
    (["GENERATOR"], {"generator_net": "GENERATOR"}),
    (["GENERATOR", "--risk", "generated", "--mixer", "dcutmix", "--k", 3], {
        "generator_net": "GENERATOR", "mixer": {"name": "dcutmix", "k": 3}}),
    (["GENERATOR", "--mixer", "puzzlemix", "--probability", 0.5], {"generator_net": "GENERATOR", "mixer": {
        "name": "sometimes", "p": 0.5, "mixer": {"name": "puzzlemix"}}}),
    (["GENERATOR", "--base-weight", 0, "--generated-weight", 2, "--statistics", "joint", "--epsilon", 0.3,
      "--background", "one", "--label", "background", "--mu", "fixed", "--pool"],
     {"generator_net": "GENERATOR", "base": 0.0, "weight": 2.0, "statistics": "joint", "epsilon": 0.3,
      "background": "one", "label": "background", "mu": "fixed", "pool": True}),
    (["GENERATOR", "--images", "pgd", "--classifier", "TEACHER", "--attack-steps", 5],
     {"generator_net": "GENERATOR", "images": "pgd", "classifier": "TEACHER", "steps": 5}),
    (["GENERATOR", "--images", "noise"], {"generator_net": "GENERATOR", "images": "noise"}),
    (["--risk", "generated", "--images", "clean"], {"images": "clean"}),
])
def test_what_a_generator_is_asked_follows_from_the_options(mixlab, monkeypatch, teacher, maker, arguments, risk):
    files = {"GENERATOR": maker, "TEACHER": teacher}
    given = {"GENERATOR": ["--generator", maker["checkpoint"]], "TEACHER": [teacher["checkpoint"]]}
    asked = _asked(mixlab, monkeypatch, [*(part for each in arguments for part in given.get(each, [each])),
                                         "--budget", "gpu", "--recipe", "demo", "--limit", 128])
    assert asked.risk == {"name": "generated"} | {name: files.get(value, value) if isinstance(value, str) else value
                                                  for name, value in risk.items()}
    assert not asked.compile


@pytest.mark.parametrize(("change", "message"), [
    (["--generator", "nowhere.pt"], "expected a file at nowhere.pt, from `mixlab generate train`, received none"),
    (["--generator", "TEACHER"], "expected a generator's file at .*, received one that cannot be read"),
    (["--risk", "generated"], "a --generator with --risk generated, or --images clean, received neither"),
    (["--risk", "generated", "--images", "clean", "--classifier", "TEACHER"], "received one with --images clean"),
    (["GENERATOR", "--images", "pgd"], "a --classifier with --images pgd, .* received none"),
    (["GENERATOR", "--images", "pgd", "--classifier", "nowhere.pt"], "a file at nowhere.pt, from `mixlab train"),
    (["GENERATOR", "--images", "pgd", "--classifier", "GENERATOR-FILE"], "expected a teacher's file at"),
    (["GENERATOR", "--images", "pgd", "--classifier", "OTHER"], "expected a teacher of the 10 classes of digits"),
    (["GENERATOR", "--images", "some"], "images of generated, clean, noise, pgd, received 'some'"),
    (["GENERATOR", "--label", "argmax"], "label of mu, one-hot, background, received 'argmax'"),
    (["GENERATOR", "--base-weight", 0], "statistics of updating or joint"),
    (["GENERATOR", "--kd", 1], "risk generated among --generator, .*--pool, received --kd"),
    (["GENERATOR", "--risk", "vicinal", "--mixer", "cutmix"], "risk vicinal among .* received --generator"),
    (["GENERATOR", "--k", 3], "expected a --mixer"),
    (["GENERATOR", "--compile"], "compile=False with a GeneratedRisk"),
    (["GENERATOR", "--data", "shapes"], "expected a generator for the images of shapes in .*, received another"),
    (["--mu", "fixed"], "risk empirical among --label-smoothing, received --mu"),
])
def test_a_generator_that_does_not_fit_is_one_line_and_changes_nothing(mixlab, tmp_path, teacher, maker, change,
                                                                       message):
    sizes = {"num_classes": 7, "in_channels": 1, "width": 2}
    Teacher(build("preact-resnet18", **sizes)).save(tmp_path / "other.pt", name="preact-resnet18", **sizes)
    given = {"GENERATOR": ["--generator", maker["checkpoint"]], "TEACHER": [teacher["checkpoint"]],
             "GENERATOR-FILE": [maker["checkpoint"]], "OTHER": [tmp_path / "other.pt"]}
    change = [part for each in change for part in given.get(each, [each])]
    status, printed, error = mixlab(*SMALL, "--out", tmp_path / "run", *change)
    assert status == 2 and printed == ""
    assert error.count("\n") == 1 and error.startswith("mixlab: ") and re.search(message, error), error
    assert not (tmp_path / "run").exists()


def test_generated_images_come_on_top_of_what_the_mixer_makes(mixlab, tmp_path, maker):
    """Without weight nothing but the mixer is left, number for number; with one, what is learned differs."""
    losses = {}
    for name, options in {"mixer": ["--mixer", "dcutmix"],
                          "none": ["--mixer", "dcutmix", "--generator", maker["checkpoint"], "--generated-weight", 0],
                          "one": ["--mixer", "dcutmix", "--generator", maker["checkpoint"]]}.items():
        status, printed, error = mixlab(*SMALL, *options, "--out", tmp_path / name)
        assert status == 0 and "last epoch" in printed, error
        losses[name] = read_record(tmp_path / name / "record.json")["result"]["curves"]["train_loss"]
    assert losses["none"] == pytest.approx(losses["mixer"])
    assert losses["one"][0] > losses["mixer"][0] + 1  # a network that knows nothing pays log 10 for a soft label, too
    record = read_record(tmp_path / "one/record.json")
    assert record["what"]["row"] == "generated-dcutmix" and record["what"]["config"]["risk"]["generator_net"] == maker
    assert SampleGenerator.load(maker["checkpoint"]).checksum == maker["checksum"]


def test_an_attack_on_a_classifier_is_trained_on(mixlab, tmp_path, teacher, maker):
    status, printed, error = mixlab(*SMALL, "--generator", maker["checkpoint"], "--images", "pgd", "--classifier",
                                    teacher["checkpoint"], "--attack-steps", 2, "--out", tmp_path / "run")
    assert status == 0 and "last epoch" in printed, error
    assert read_record(tmp_path / "run/record.json")["what"]["row"] == "generated"


def test_a_subset_that_is_not_there_is_one_line(mixlab, tmp_path):
    status, printed, error = mixlab("train", "--data", "digits", "--model", "preact-resnet18", "--subset",
                                    tmp_path / "nowhere.json")
    assert (status, printed) == (2, "") and error.endswith("nowhere.json, from `mixlab select`, received none\n")


@pytest.mark.data
@pytest.mark.parametrize("data", ["fashion-mnist", "cifar100"])
def test_a_short_run_on_real_data(mixlab, tmp_path, data):
    status, printed, error = mixlab(*SMALL, "--data", data, "--mixer", "dcutmix", "--k", 5, "--alpha", 0.2,
                                    "--limit", 256, "--out", tmp_path)
    assert status == 0, error
    assert read_record(tmp_path / "record.json")["what"]["config"]["data"] == data


@pytest.mark.data
def test_a_short_run_of_lamix_on_real_data(mixlab, tmp_path):
    status, _, error = mixlab("train", "--data", "fashion-mnist", "--model", "lenet", "--recipe", "demo", "--epochs", 3,
                              "--limit", 2048, "--device", "cpu", "--risk", "lamix", "--out", tmp_path)
    assert status == 0, error
    assert read_record(tmp_path / "record.json")["result"]["value"] < 60  # of 100: it has learned something


@pytest.mark.parametrize(("arguments", "expected"), [
    ([], {"limit": None, "compile": False}), (["--limit", 64], {"limit": 64}),
    (["--budget", "gpu"], {"compile": True}),
    (["--budget", "gpu", "--mixer", "mixup", "--manifold"], {"compile": False}),
])
def test_a_budget_asks_for_no_more_than_there_is(mixlab, monkeypatch, arguments, expected):
    """A budget of 10,000 images takes all of a set of 1,797, and compiles no network whose layers are mixed."""
    asked = _asked(mixlab, monkeypatch, arguments)
    assert {name: getattr(asked, name) for name in expected} == expected


def test_a_budget_limits_a_large_set():
    from mixlab.cli.train import _limit

    assert (_limit("fashion-mnist", 10_000), _limit("fashion-mnist", None)) == (10_000, None)

"""The command as a whole: what it lists, and that a missing part stops nobody else."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import typer
from typer.testing import CliRunner

import mixlab
import mixlab.cli as cli
from mixlab.data import SOURCES

ROOT = Path(__file__).resolve().parents[2]


def call(*arguments):
    return CliRunner().invoke(cli.app, list(arguments))


def test_info_names_versions_device_and_data(monkeypatch, tmp_path):
    import torch

    monkeypatch.setenv("MIXLAB_DATA", str(tmp_path))
    printed = call("info").stdout
    assert torch.__version__.split("+")[0] in printed and "digits" in printed and "device" in printed
    assert "cifar100" not in printed


def test_the_version_is_one_line():
    result = call("--version")
    assert (result.exit_code, result.stdout, result.stderr) == (0, f"mixlab {mixlab.__version__}\n", "")


def test_info_lists_the_other_sets_where_one_cannot_be_read(monkeypatch):
    def refused(root):
        raise PermissionError(13, "Permission denied", "images.mat")

    monkeypatch.setitem(SOURCES, "svhn", replace(SOURCES["svhn"], files=refused))
    result = call("info")
    assert result.exit_code == 0 and "digits" in result.stdout and "svhn" not in result.stdout
    assert result.stderr == "svhn: cannot be read: [Errno 13] Permission denied: 'images.mat'\n"


@pytest.mark.parametrize("arguments", [["data", "list"], ["data", "verify"], ["info"]])
def test_where_there_is_no_home_directory_one_line_says_what_to_set(monkeypatch, capsys, arguments):
    pwd = pytest.importorskip("pwd")

    def nobody(number):
        raise KeyError(f"getpwuid(): uid not found: {number}")

    monkeypatch.setattr(pwd, "getpwuid", nobody)
    for name in ("HOME", "MIXLAB_DATA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(sys, "argv", ["mixlab", *arguments])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    (line,) = capsys.readouterr().err.splitlines()
    assert ended.value.code == 2 and line.endswith("received none: set MIXLAB_DATA to a folder for them")


def test_every_command_has_help():
    for name in cli.COMMANDS:
        result = call(name, "--help")
        assert result.exit_code == 0 and "Not available" not in result.stdout, name


def test_options_of_a_benchmark_reach_it(monkeypatch):
    called = []
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(subprocess, "run", lambda command: called.append(command) or SimpleNamespace(returncode=3))
    assert call("bench", "mixers", "--processes", "1").exit_code == 3
    assert [str(word) for word in called[0][1:]] == [str(ROOT / "benchmarks" / "mixers.py"), "--processes", "1"]


def test_a_command_with_a_mistake_of_ours_is_not_called_a_missing_requirement(monkeypatch):
    def mistaken(name):
        raise ModuleNotFoundError("No module named 'mixlab.nowhere'", name="mixlab.nowhere")

    monkeypatch.setattr(cli.importlib, "import_module", mistaken)
    with pytest.raises(ModuleNotFoundError):
        cli._mount("info")


def test_a_command_whose_requirement_is_missing_says_so_and_the_others_work(monkeypatch):
    real = cli.importlib.import_module

    def lacking(name):
        if name == "mixlab.cli.nowhere":
            raise ModuleNotFoundError("No module named 'paper'", name="paper")
        return real(name)

    monkeypatch.setattr(cli.importlib, "import_module", lacking)
    monkeypatch.setattr(cli, "app", typer.Typer())
    cli._mount("nowhere")
    cli._mount("info")
    gone = CliRunner().invoke(cli.app, ["nowhere", "run", "--fast"])
    assert isinstance(gone.exception, ImportError) and "mixlab nowhere cannot run here" in str(gone.exception)
    assert CliRunner().invoke(cli.app, ["info"]).exit_code == 0


def test_reproduce_lists_experiments_and_refuses_unknown_ones(tmp_path):
    assert "k-image: 0 of 69 runs" in call("reproduce", "list", "--root", str(tmp_path)).stdout
    unknown = call("reproduce", "nothing", "--root", str(tmp_path))
    assert isinstance(unknown.exception, ValueError) and "k-image" in str(unknown.exception)
    assert list(tmp_path.iterdir()) == []


def test_reproduce_without_the_data_tells_it_in_one_line_and_writes_nothing(tmp_path, monkeypatch, capsys):
    folders = ["--root", str(tmp_path / "records"), "--work", str(tmp_path / "work")]
    monkeypatch.setenv("MIXLAB_DATA", str(tmp_path / "nowhere"))
    monkeypatch.setattr(sys, "argv", ["mixlab", "reproduce", "uncertainty", *folders])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    (line,) = capsys.readouterr().err.splitlines()
    assert ended.value.code == 2 and line.startswith("mixlab: expected fashion-mnist in") and "data fetch" in line
    assert list(tmp_path.iterdir()) == []


def test_a_chapter_is_not_run_where_its_copy_would_be_a_folder(tmp_path, monkeypatch):
    from mixlab.book import execute

    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(execute, "execute", lambda *arguments: pytest.fail("the chapter was run"))
    refused = call("book", "run", "01", "--out", str(tmp_path))
    assert isinstance(refused.exception, ValueError)
    assert str(refused.exception) == f"expected a file for the executed copy, received the folder {tmp_path}"


@pytest.mark.parametrize("module", ["lightning", "pandas", "matplotlib", "sklearn"])
def test_listing_commands_is_light(module):
    code = f"import sys, mixlab.cli; sys.exit({module!r} in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0


def test_the_package_is_the_command():
    run = subprocess.run([sys.executable, "-m", "mixlab", "--help"], cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 0 and all(name in run.stdout for name in cli.COMMANDS)

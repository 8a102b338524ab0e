"""One set of requirements, said in three files, and the files a visitor looks for."""

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import pytest
import yaml
from packaging.requirements import Requirement

from mixlab.reproduce import load

from mixlab.reproduce import load

ROOT = Path(__file__).parents[2]
CONDA_NAMES = {"torch": "pytorch", "matplotlib": "matplotlib-base", "seaborn": "seaborn-base"}


def requirements() -> list[str]:
    """Every range of `pyproject.toml`, the extras included."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    said = [*project["dependencies"], *(one for extra in project["optional-dependencies"].values() for one in extra)]
    return [one for one in said if name(one) != project["name"]]  # an extra that holds others


def name(requirement: str) -> str:
    return re.match(r"[A-Za-z0-9._-]+", requirement)[0]


def test_the_conda_environment_equals_the_project():
    listed = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    python = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["requires-python"]
    expected = {CONDA_NAMES.get(name(one), name(one)) + one.removeprefix(name(one)) for one in requirements()}
    assert set(listed) == expected | {f"python{python}", "pip"}
    assert len(listed) == len(set(listed))


def test_the_lock_holds_every_requirement_exactly_with_hashes_and_no_address():
    text = (ROOT / "requirements.lock").read_text()
    pinned = dict(re.findall(r"^([A-Za-z0-9._-]+)==([^ ;\\]+)", text, re.MULTILINE))
    for one in map(Requirement, requirements()):
        assert pinned[one.name.lower()] in one.specifier, f"{one} is locked to {pinned[one.name.lower()]}"
    assert "://" not in text
    entries = re.split(r"\n(?=\S)", text.strip())
    assert all("==" in entry and "--hash=sha256:" in entry for entry in entries)


def test_the_example_of_the_readme_runs():
    """In about ten lines, and its comments tell the truth about the shapes."""
    code = re.search(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)[1]
    assert len([line for line in code.splitlines() if line.strip()]) <= 12
    scope = {}
    exec(code, scope)
    assert scope["mixed"].shape == (8, 3, 32, 32) and scope["targets"].shape == (8, 10)
    assert abs(scope["targets"].sum().item() - 8) < 1e-5
    assert scope["model"][1].weight.grad.abs().sum() > 0


def test_the_loop_of_the_readme_runs():
    """What it says of scale, of the state and of masks is so."""
    code = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)[1]
    scope = {}
    exec(code, scope)
    batch, images, masks = scope["batch"], scope["images"], scope["masks"]
    assert batch["label"].shape == (8, 10) and batch["row"].tolist() == list(range(8))
    mix = scope["CutMix"](num_classes=10).draw(images)
    assert batch["image"].equal(mix.apply(images)) and batch["mask"].equal(mix.apply(masks))
    assert len(scope["state"]["_extra_state"]) > 8 and scope["loss"].ndim == 0


def test_the_commands_of_the_readme_are_targets():
    used = set(re.findall(r"^ +make ([a-z-]+)", (ROOT / "README.md").read_text(), re.MULTILINE))
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert {"book", "test"} <= used <= targets


def test_the_picture_is_small_and_there():
    picture = re.search(r"!\[[^\]]{40,}\]\(([^)]+)\)", (ROOT / "README.md").read_text())[1]
    assert 0 < (ROOT / picture).stat().st_size <= 200_000


def test_the_continuous_integration_can_be_started():
    assert os.access(ROOT / ".ci" / "run", os.X_OK)
    subprocess.run(["bash", "-n", str(ROOT / ".ci" / "run")], check=True)
    steps = [
        step.get("run", "")
        for path in sorted((ROOT / ".github" / "workflows").glob("*.yml"))
        for job in yaml.safe_load(path.read_text())["jobs"].values()
        for step in job["steps"]
    ]
    assert ".ci/run" in steps and "make book" in steps


# Where a distribution's module has another name.
MODULES = {"pillow": "PIL", "scikit-learn": "sklearn", "pyyaml": "yaml", "beautifulsoup4": "bs4"}


def test_everything_that_is_required_is_imported():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    source = "\n".join(path.read_text() for path in (ROOT / "mixlab").rglob("*.py"))
    for required in map(name, project["dependencies"]):
        module = MODULES.get(required, required)
        assert re.search(rf"^\s*(import|from) {module}\b", source, re.MULTILINE), f"{required} is imported nowhere"


# What a module of mixlab imports fails if it belongs to an extra; what other packages import is their affair.
WITHOUT_EXTRAS = """
import builtins, sys
absent, imported = sys.argv[1].split(), builtins.__import__
def guarded(name, globals=None, *rest):
    if (globals or {}).get("__name__", "").startswith("mixlab") and name.partition(".")[0] in absent:
        raise ModuleNotFoundError(f"No module named {name!r}")
    return imported(name, globals, *rest)
builtins.__import__ = guarded
sys.argv = ["mixlab", *sys.argv[2:]]
from mixlab.cli import main
main()
"""


def without_extras(folder, *call):
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    absent = [MODULES.get(each, each).replace("-", "_") for extra in ("analysis", "tensorboard", "book")
              for each in map(name, extras[extra]) if each != "mixlab"]
    return subprocess.run([sys.executable, "-c", WITHOUT_EXTRAS, " ".join(absent), *map(str, call)], cwd=folder,
                          env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}, capture_output=True,
                          text=True)


def test_mixing_training_and_the_command_need_no_extra(tmp_path):
    call = ["train", "--data", "digits", "--model", "preact-resnet18", "--width", 2, "--recipe", "demo", "--epochs", 1,
            "--limit", 64, "--device", "cpu", "--mixer", "puzzlemix"]
    done = without_extras(tmp_path, *call, "--out", tmp_path / "run")
    assert done.returncode == 0, done.stderr[-2000:]
    assert (tmp_path / "run" / "record.json").exists()


def test_what_an_extra_is_needed_for_says_so_in_one_line(tmp_path):
    done = without_extras(tmp_path, "book", "status")
    assert done.returncode == 2 and done.stderr.count("\n") == 1 and done.stderr.startswith("mixlab: "), done.stderr


INSTALLED = """
from mixlab.reproduce import load
from mixlab.reproduce.runner import run
frame = load("k-image")
print(len(frame), frame.attrs["missing"], run("k-image"))
"""


def test_the_records_travel_with_an_installed_package(tmp_path):
    """A notebook of the book that is run outside a checkout has its tables."""
    pytest.importorskip("setuptools", minversion="77")
    built = tmp_path / "built"
    subprocess.run([sys.executable, "setup.py", "--quiet", "build_py", "--build-lib", str(built)], cwd=ROOT, check=True,
                   capture_output=True)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    done = subprocess.run([sys.executable, "-c", INSTALLED], cwd=elsewhere, env=os.environ | {"PYTHONPATH": str(built)},
                          capture_output=True, text=True, check=True)
    here = load("k-image")
    assert done.stdout.split("\n")[0] == f"{len(here)} {here.attrs['missing']} {{}}" and len(here) > 0
    assert not list(elsewhere.iterdir())


def test_a_program_of_the_environment_opens_notebooks():
    done = subprocess.run([sys.executable, "-m", "jupyterlab", "--version"], capture_output=True, text=True, check=True)
    assert re.match(r"\d+\.\d+", done.stdout)

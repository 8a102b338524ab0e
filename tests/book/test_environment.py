"""One set of requirements, said in three files, and the files a visitor looks for."""

import os
import re
import subprocess
import tomllib
from pathlib import Path

import yaml
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]
CONDA_NAMES = {"torch": "pytorch", "matplotlib": "matplotlib-base", "seaborn": "seaborn-base"}


def requirements() -> list[str]:
    """Every range of `pyproject.toml`, the extras included."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    return [*project["dependencies"], *extras["book"], *extras["test"]]


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

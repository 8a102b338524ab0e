"""The README's commands work as they stand there, and CONTRIBUTING asks for what is checked."""

import re
import shlex
import tomllib
from pathlib import Path

import pytest
from typer.testing import CliRunner

from mixlab.cli import app
from mixlab.data import SOURCES

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
COMMAND = re.compile(r"^    ((?:mixlab|source) .*)$", re.MULTILINE)
COMMANDS = COMMAND.findall(README)


@pytest.mark.parametrize("line", [line for line in COMMANDS if line.startswith("mixlab ")])
def test_a_command_has_the_options_it_is_shown_with(line):
    """Asked for help at the end, it does not run, but an option that it does not know is still an error."""
    words = [*shlex.split(line, comments=True)[1:], "--help"]
    assert CliRunner().invoke(app, words).exit_code == 0
    assert CliRunner().invoke(app, [*words, "--no-such-option"]).exit_code == 2


@pytest.mark.parametrize("page", ["README.md", "book/index.md"])
def test_the_environment_is_active_before_the_first_command(page):
    """The two make commands put nothing on the path."""
    first, *others = COMMAND.findall((ROOT / page).read_text())
    assert first == "source .venv/bin/activate" and others
    assert README.index("source .venv") < min(README.index("```python"), README.index("`mixlab --help`"))


def test_a_set_is_fetched_before_it_is_used():
    there = {name for name, source in SOURCES.items() if source.download is None}
    for words in (shlex.split(line, comments=True) for line in COMMANDS):
        if words[:3] == ["mixlab", "data", "fetch"]:
            there.add(words[3])
        if "--data" in words:
            assert words[words.index("--data") + 1] in there


def test_contributors_are_told_the_length_of_a_line_that_is_checked():
    length = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["ruff"]["line-length"]
    said = re.findall(r"lines of at most (\d+) characters", (ROOT / "CONTRIBUTING.md").read_text())
    assert said == [str(length)]
    files = [path for folder in ("mixlab", "tests", "benchmarks") for path in (ROOT / folder).rglob("*.py")]
    longest = {str(path): max(map(len, path.read_text().splitlines()), default=0) for path in files}
    assert {name: reached for name, reached in longest.items() if reached > length} == {}

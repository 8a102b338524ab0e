"""What nbval compares of a check: interval and verdict, and not the measured number."""

import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from mixlab.book.execute import KERNEL

SANITIZE = Path(__file__).with_name("sanitize.cfg")
PRINTED = {  # what a cell printed when it was stored, what it prints now, and whether nbval should mind
    "the same": ("a: in [1, 2]: ok, measured 1.5", "a: in [1, 2]: ok, measured 1.5", False),
    "another number": ("a: in [1, 2]: ok, measured 1.5", "a: in [1, 2]: ok, measured 1.07", False),
    "a small number": ("a: at most 2: ok, measured 0.1", "a: at most 2: ok, measured -3.2e-07", False),
    "a table": (
        "a:       in [1, 2]: ok, measured 1\nlonger: at least 1: ok, measured 5",
        "a:       in [1, 2]: ok, measured 1.25\nlonger: at least 1: ok, measured 1e+03",
        False,
    ),
    "outside": ("a: in [1, 2]: ok, measured 1.5", "a: in [1, 2]: OUTSIDE, measured 2.5", True),
    "not a number": ("a: in [1, 2]: ok, measured 1.5", "a: in [1, 2]: OUTSIDE, measured nan", True),
    "another interval": ("a: in [1, 2]: ok, measured 1.5", "a: in [1, 3]: ok, measured 1.5", True),
    "another claim": ("a: in [1, 2]: ok, measured 1.5", "b: in [1, 2]: ok, measured 1.5", True),
    "a number that is printed, not checked": ("measured 1.5", "measured 1.6", True),
}


@pytest.fixture(scope="module")
def minded(tmp_path_factory):
    """Which of the cells nbval minds, in one run."""
    new = nbformat.v4
    cells = []
    for count, (stored, now, _) in enumerate(PRINTED.values(), start=1):
        printed = new.new_output("stream", name="stdout", text=f"{stored}\n")
        cells.append(new.new_code_cell(f"print({now!r})", execution_count=count, outputs=[printed]))
    path = tmp_path_factory.mktemp("checks") / "checks.ipynb"
    nbformat.write(new.new_notebook(cells=cells, metadata=KERNEL), path)
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-rA", "--nbval", path.name]
    done = subprocess.run(
        [*command, f"--nbval-sanitize-with={SANITIZE}"], cwd=path.parent, capture_output=True, text=True
    )
    verdicts = re.findall(r"^(PASSED|FAILED) \S*::Cell (\d+)", done.stdout, re.MULTILINE)
    found = {int(cell): verdict for verdict, cell in verdicts}
    assert len(found) == len(PRINTED), done.stdout + done.stderr
    return {name: found[number] == "FAILED" for number, name in enumerate(PRINTED)}


@pytest.mark.parametrize("name", PRINTED)
def test_a_number_may_differ_and_nothing_else_may(minded, name):
    assert minded[name] == PRINTED[name][2]

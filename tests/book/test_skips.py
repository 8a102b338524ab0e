"""Under CI a test may only be skipped for what may be missing."""

from types import SimpleNamespace

import pytest


@pytest.fixture
def judge(pytestconfig):
    """The rule, from the conftest that every test has."""
    plugins = pytestconfig.pluginmanager.get_plugins()
    return next(one.NoSilentSkips.judge for one in plugins if hasattr(one, "NoSilentSkips"))


def report(reason: str, nodeid: str = "tests/test_mix.py::test_a", **extra) -> SimpleNamespace:
    return SimpleNamespace(skipped=True, outcome="skipped", nodeid=nodeid, longrepr=("file", 1, reason), **extra)


@pytest.mark.parametrize("reason", ["Skipped: no CUDA device", "Skipped: MIXLAB_DATA names no folder with data sets"])
def test_what_may_be_missing_may_be_skipped(judge, reason):
    assert judge(report(reason)).outcome == "skipped"


def test_any_other_skip_is_a_failure_that_says_why(judge):
    judged = judge(report("Skipped: could not import 'kornia'"))
    assert judged.outcome == "failed" and "kornia" in judged.longrepr


def test_an_expected_failure_is_a_failure(judge):
    assert judge(report("", wasxfail="known")).outcome == "failed"


def test_cells_are_counted_elsewhere(judge):
    assert judge(report("Skipped: ", nodeid="book/chapters/01.ipynb::Cell 3")).outcome == "skipped"

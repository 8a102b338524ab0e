"""Settings every test shares: one thread, repeatable hypothesis examples, and the marks that ask for things."""

import os
from pathlib import Path

import pytest
import torch
from hypothesis import settings

torch.set_num_threads(1)
# The first call into torch takes a second, which hypothesis would report as a slow example.
settings.register_profile("mixlab", deadline=None, derandomize=True, max_examples=40)
settings.load_profile("mixlab")


# What may be missing where everything else is: any other skip under CI is a failure.
MAY_BE_MISSING = ("no CUDA device", "MIXLAB_DATA")


class NoSilentSkips:
    """Under CI, turns a skip (or an expected failure) that names nothing of `MAY_BE_MISSING` into a failure.

    A plugin of its own, since hooks of a conftest only see what lies beside it, and docstrings are tests as well.
    Cells that a chapter exempts are counted by `tests/notebooks/test_stored.py`.
    """

    @staticmethod
    def judge(report):
        """The report, failed where it may not be a skip."""
        if report.skipped and ".ipynb" not in report.nodeid:
            reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
            if not any(word in reason for word in MAY_BE_MISSING):
                report.outcome = "failed"
                report.longrepr = f"skipped under CI without an accepted reason: {reason}"
        return report

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_makereport(self):
        return self.judge((yield))

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_make_collect_report(self):
        return self.judge((yield))


def pytest_configure(config):
    """Be strict where nobody watches."""
    if os.environ.get("CI") == "true":
        config.pluginmanager.register(NoSilentSkips())


def pytest_collection_modifyitems(items):
    """Skip, with a reason, the tests whose data folder or device is not there."""
    root = os.environ.get("MIXLAB_DATA")
    for item in items:
        if item.get_closest_marker("data") and not (root and Path(root).is_dir()):
            item.add_marker(pytest.mark.skip(reason="MIXLAB_DATA names no folder with data sets"))
        if item.get_closest_marker("gpu") and not torch.cuda.is_available():
            item.add_marker(pytest.mark.skip(reason="no CUDA device"))


@pytest.fixture
def generator():
    """A fresh, seeded generator."""
    return torch.Generator().manual_seed(0)

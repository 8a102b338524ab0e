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

"""Channels-last order on a CPU: nothing is written past a buffer, as C's allocator checks in a fresh process."""

import os
import subprocess
import sys

import pytest

# glibc's allocator then puts a byte behind every block and looks at it when the block is freed. From glibc 2.34 on that
# lives in a library of its own; before, the variable alone does it. Elsewhere the training runs without that check.
CHECKED = {"LD_PRELOAD": "libc_malloc_debug.so.0", "MALLOC_CHECK_": "3"} if sys.platform == "linux" else {}

OVERRUN = """
import ctypes

import torch

values = torch.zeros(100, dtype=torch.uint8)
ctypes.memset(values.data_ptr() + 100, 0, 1)
del values
"""

TRAINING = """
import torch
from torch.nn.functional import cross_entropy

from mixlab.models import build

torch.set_num_threads(1)
draws = torch.Generator().manual_seed(0)
for width, channels, size in ((16, 3, 32), (24, 1, 28), (3, 2, 9)):
    network = build("bench-net", 10, channels, width).to(memory_format=torch.channels_last)
    assert network.channels_last_on_cpu
    optimizer = torch.optim.SGD(network.parameters(), lr=0.05, momentum=0.9, nesterov=True)
    for step in range(100):
        rows = 9 - step % 3  # the last batch of an epoch is of another size, and may take other kernels
        images = torch.randn(rows, channels, size, size, generator=draws)
        loss = cross_entropy(network(images), torch.randint(10, (rows,), generator=draws))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.isfinite()
print("trained")
"""


def fresh(program, **environment):
    """Run ``program`` in a process of its own."""
    variables = os.environ | CHECKED | environment
    return subprocess.run([sys.executable, "-c", program], env=variables, capture_output=True, text=True)


@pytest.fixture(scope="module")
def checking():
    """The check does see a single byte too many behind a tensor."""
    if CHECKED and fresh(OVERRUN).returncode == 0:
        pytest.skip("glibc's libc_malloc_debug.so.0 is not installed: nothing would be checked")


# oneDNN has other kernels for each set of instructions. Under AVX2 the gradient of a strided 1×1 convolution fails here
# at once; the variable says nothing to processors that are no x86.
@pytest.mark.parametrize("instructions", ["DEFAULT", "AVX2"])
def test_training_in_channels_last_order_stays_within_its_buffers(checking, instructions):
    process = fresh(TRAINING, ONEDNN_MAX_CPU_ISA=instructions)
    assert (process.returncode, process.stdout) == (0, "trained\n"), process.stderr

"""A small set that is quick to write, for processes that are started to be killed."""

import os
import signal
from functools import partial

import torch

from mixlab.data import load
from mixlab.distill import write_mixed
from mixlab.mixers import CutMix

torch.set_num_threads(1)
DIGITS = load("digits", limit=200)


def write(folder, mixer=CutMix(), **options):
    """Write 600 images, ten for each shard, unless told otherwise; give the description."""
    options = {"count": 600, "keep": "best", "batch_size": 10, "per_shard": 10, "source": "digits"} | options
    return write_mixed(
        mixer, DIGITS.train, folder, mean=DIGITS.mean, std=DIGITS.std, classes=DIGITS.classes, **options)


def write_until(name, at, folder):
    """Write until this process kills itself, just before it calls a function of `os` for the `at`-th time."""
    calls, usual = [], getattr(os, name)

    def counted(*arguments, **options):
        calls.append(name)
        if len(calls) == at:
            os.kill(os.getpid(), signal.SIGKILL)
        return usual(*arguments, **options)

    setattr(os, name, counted)
    write(folder)


write_until_rename, write_until_flush = partial(write_until, "replace"), partial(write_until, "fsync")

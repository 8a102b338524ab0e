"""A measure that does not come to an end the first time, so that its run can be killed where we know it is."""

import os
import signal
import time
from pathlib import Path


def wait_once(model, dataset, run):
    """Beat until the process ends; where there has been a beat before, be done."""
    beat = Path(os.environ["MIXLAB_TEST_BEAT"])
    if beat.exists():
        return {"waited": 1.0}
    while True:
        beat.write_text(str(time.monotonic()))
        time.sleep(0.02)


def die(model, dataset, run):
    """End as a crash in native code ends a process."""
    os.kill(os.getpid(), signal.SIGSEGV)

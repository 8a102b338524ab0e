"""One run in a process of its own: a job comes in on standard input, a record goes to the disk.

The input stays open while whoever started the process lives; when it closes, the process ends. A killed command thus
leaves no run behind that would write beside its successor.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from pathlib import Path


def main() -> None:
    """Do the job on standard input; on an error, say it in one line and exit with status 1."""
    job = json.loads(sys.stdin.readline())
    threading.Thread(target=_end_with_parent, daemon=True).start()
    import torch

    from mixlab.reproduce.execute import execute
    from mixlab.reproduce.plan import Run
    from mixlab.train import write_record

    torch.set_num_threads(1)
    try:
        work = Path(job["work"])
        record = execute(Run(**job["run"]), job["experiment"], job["budget"], work, job["shared"])
        write_record(job["record"], record)
        (work / "previous.ckpt").unlink(missing_ok=True)
    except (ValueError, ArithmeticError, OSError, RuntimeError) as error:
        sys.exit(f"{type(error).__name__}: {' '.join(str(error).split())}")


def _end_with_parent() -> None:
    # os.read, since a thread that waits inside sys.stdin would keep the interpreter from ending.
    while os.read(0, 1024):
        pass
    os._exit(1)


if __name__ == "__main__":
    main()

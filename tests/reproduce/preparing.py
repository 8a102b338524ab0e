"""A preparation that takes its time and notes that it was at work."""

import json
import time

from mixlab.train.lock import alone


def smoothing(run, data, folder):
    """A risk whose label smoothing lies in a file, which is made where it is not there."""
    path = folder / "smoothing.json"
    with alone(folder / "smoothing.lock", wait=True):
        if not path.exists():
            with (folder / "log").open("a") as log:
                log.write("made\n")
            time.sleep(0.5)
            path.write_text(json.dumps(0.1))
    return run.risk | {"label_smoothing": json.loads(path.read_text())}, {"smoothed": 0.1}


def answer(model, dataset, run):
    """Something measured on the trained network."""
    return {"answer": 42}

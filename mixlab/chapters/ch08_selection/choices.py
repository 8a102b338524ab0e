"""How the chapter's runs choose what they are trained on: a scorer is trained, all rows are scored, a part is kept.

A run says it as plain data, beside the name of the choice:

    {"choice": "ch8", "policy": "high-cv", "t": 0.1,
     "scorer": {"model": "bench-net", "recipe": "bench-grey", "epochs": 10, "risk": {...}},
     "score": {"k": 3, "alpha": 0.333, "draws": 256}}

The scorer is trained on the run's own rows before any is left out, or, where it has a `limit`, on so many of them. All
that is drawn follows from the run's seed: rows, scorer, composites, and what a policy draws. Scorer and scores are made
once for all runs of a seed; whichever of them comes second waits.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from mixlab.bayes import Scores, score
from mixlab.data import Dataset, load
from mixlab.models import Teacher
from mixlab.reproduce.made import made, seed_of, trained
from mixlab.reproduce.plan import Run
from mixlab.rng import generator
from mixlab.selection import select

#: Images that the scorer is asked about at once. Maps of more of them do not stay in the caches of a core.
BATCH = 125


def choose(run: Run, data: Dataset, folder: Path) -> tuple[Tensor, dict[str, float]]:
    """The rows that a run is trained on, by the policy that it names.

    Args:
        run: its `subset` is as the head of this module says.
        data: of the run, before the choice.
        folder: shared by the runs of an experiment.

    Returns:
        ``(n,)`` int64 rows, ascending, and what there is to say of them. Of the scorer: `scorer_error` on test images
        in percent, `scorer_seconds` of one core. Of the scores: `score_seconds`. Of the choice: the means of CV over
        what is kept and over all rows, `chosen_cv` and `all_cv`; those of the mean loss, `chosen_loss` and `all_loss`;
        and `overlap`, the percent of the kept rows that the random choice of the same seed keeps as well (for that
        choice itself 100).

    Raises:
        ValueError: for an unknown policy, or whatever else `select`, `score` or the scorer's training refuses.
    """
    part, policy = run.subset["t"], run.subset["policy"]
    scores, measures = scored(run, data, folder)
    rows, random = (select(scores, part, each, generator=generator(run.seed, "choice", each))
                    for each in (policy, "random"))
    kept = torch.isin(scores.rows, rows)
    measures |= {
        "chosen_cv": scores.cv[kept].mean().item(), "all_cv": scores.cv.mean().item(),
        "chosen_loss": scores.mean[kept].mean().item(), "all_loss": scores.mean.mean().item(),
        "overlap": 100 * torch.isin(rows, random).double().mean().item(),
    }
    return rows, measures


def scored(run: Run, data: Dataset, folder: Path) -> tuple[Scores, dict[str, float]]:
    """The scores that a run chooses by, which are made if they are not there, and what there is to say of them.

    Args:
        run, data, folder: see `choose`.
    """
    path = folder / f"scores-s{run.seed}-{_digest(run)}"
    about = made(path, lambda: _make(run, data, path))
    scores = Scores.load(path / "scores.npz")
    scores.check(data.train)
    return scores, about


def _make(run: Run, data: Dataset, path: Path) -> dict[str, float]:
    """Train a scorer, score all rows and keep the scores; what there is to say of both."""
    definition, start = run.subset, time.process_time()
    network, error = _train(run, data, definition["scorer"])
    trained = time.process_time()
    # A run that is stopped here begins anew: that costs a few minutes, and no moments of half a score are left.
    scores = score(
        network, data.train, mean=data.mean, std=data.std, num_classes=data.num_classes, **definition["score"],
        seed=seed_of(run, "score"), source=data.name, batch_size=BATCH,
    )
    scores.save(path / "scores.npz")
    return {"scorer_error": error, "scorer_seconds": trained - start, "score_seconds": time.process_time() - trained}


def _train(run: Run, data: Dataset, definition: Mapping) -> tuple[Teacher, float]:
    """A scorer, which knows the moments of what it was trained on, and its test error in percent."""
    if "limit" in definition:
        # Of one seed a smaller limit keeps some of the rows that a larger one keeps.
        seed = run.seed if run.split is None else run.split
        few = load(run.data, validation=run.validation, seed=seed, limit=definition["limit"]).train.rows
        data = data.subset(few)
    network, error = trained(run, data, definition, "scorer")
    return Teacher(network, mean=data.mean, std=data.std), error


def _digest(run: Run) -> str:
    """Digits that change with anything that scores depend on."""
    whole = {"data": run.data, "limit": run.limit, "validation": run.validation, "seed": run.seed, "split": run.split,
             "corrupt": run.corrupt, "scorer": run.subset["scorer"], "score": run.subset["score"]}
    return hashlib.blake2b(json.dumps(whole, sort_keys=True).encode(), digest_size=6).hexdigest()

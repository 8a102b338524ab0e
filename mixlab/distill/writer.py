"""Writing mixed images to a folder, once, to train on them often: what an optimised mixer is too slow to do at a step.

The folder's format is described in `mixlab.data.mixed`. A shard follows from the set's definition and its own number
alone, and takes its name when it is whole. So writing can be stopped at any moment, also by a kill, and goes on at the
first shard that is missing: nothing is lost but a shard, nothing is there twice, and all files are those of a run that
nobody disturbed (with one version of torch and one number of threads, to the bit).
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Sequence
from os import PathLike
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from mixlab.checks import whole
from mixlab.data.augment import normalise
from mixlab.data.mixed import FORMAT, MANIFEST, described, manifest_of, read_shard, shards_of
from mixlab.data.split import Split
from mixlab.files import write_atomically
from mixlab.mixers.base import Mixer, check_mixer
from mixlab.mixers.registry import to_config
from mixlab.rng import generator
from mixlab.train.lock import alone, tidied

__all__ = ["PATIENCE", "write_mixed"]

#: After so many shards in a row that kept nothing, writing ends with an error.
PATIENCE = 3


def write_mixed(
    mixer: Mixer,
    split: Split,
    folder: str | PathLike,
    *,
    count: int,
    mean: Sequence[float],
    std: Sequence[float],
    classes: Sequence[str],
    keep: str = "success",
    seed: int = 0,
    batch_size: int = 100,
    per_shard: int = 500,
    source: str | None = None,
    masks: bool = True,
    progress: bool = False,
) -> dict:
    r"""Write ``count`` mixed images with their soft labels, or go on writing them.

    Shard i draws all it needs from ``generator(seed, "mix", i)``: batches of rows, cut from permutations of all rows,
    and a mix for each batch. It keeps the mixes that succeeded, or all; writing ends when ``count`` rows are there.

    The label of a mix is :math:`\hat y_b = \sum_k w_{b,k} y_{s(b,k)}` (`Mix.targets`). A mixer that solves for its
    masks with a teacher (it has ``solve``, as SuperMix) uses no label of the set: y are the teacher's own classes of
    the images. For all others they are the labels of ``split``.

    Args:
        mixer: any that needs no saliency and mixes the same number K of images every time.
        split: the images to mix, on the mixer's device (the device of its teacher).
        folder: a new or an empty one, or one in which this set was begun.
        count: rows to write.
        mean, std: per channel, by which images are normalised for the mixer; a teacher must expect that.
        classes: names of the classes.
        keep: ``"success"`` keeps the mixes that the mixer says succeeded, which needs one with ``solve``; ``"best"``
            keeps all, the best that was found for each.
        seed: of all that is drawn.
        batch_size: images that are mixed with each other.
        per_shard: mixes that are drawn for a shard, rounded up to whole batches.
        source: name of the set that ``split`` is from; `mixlab.data.load` needs it for the test split.
        masks: whether masks are written, K bytes a pixel before compression.
        progress: show a progress bar where there is a terminal.

    Returns:
        The set's description: see `mixlab.data.mixed.described`.

    Raises:
        ValueError: for another option, a batch larger than the split, a mixer that does not fit, mixed images that are
            not finite, a folder that another command holds or that has other files, a damaged shard, a set of another
            definition (the path of a teacher's file is no part of it; its checksum is), or where nothing at all
            succeeded in `PATIENCE` shards in a row, as with an untrained teacher.
        OSError: if the folder or the disk refuses; nothing half-written has the name of a file of the set.

    Source: Dabouei et al. 2021, "SuperMix", sec. 4: sets of mixed images made once, for distillation. That every mix
    is kept with its label, its sources and its masks is ours.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> from mixlab.data import load
        >>> from mixlab.mixers import CutMix
        >>> digits = load("digits")
        >>> options = {"mean": digits.mean, "std": digits.std, "classes": digits.classes, "keep": "best"}
        >>> with TemporaryDirectory() as folder:
        ...     about = write_mixed(CutMix(), digits.train, folder, count=1200, **options)
        ...     print(len(list(Path(folder).glob("*.npz"))), about["kept"])
        3 1500
    """
    _check(mixer, split, count=count, keep=keep, seed=seed, batch_size=batch_size, per_shard=per_shard)
    normalise(split.images[:0], tuple(mean), tuple(std))  # moments that do not fit the images are found here
    folder, count, per_batch = Path(folder), int(count), int(batch_size)
    definition = {
        "format": FORMAT, "mixer": to_config(mixer),
        "source": {"name": source, "rows": len(split), "sha256": _checksum(split)},
        "mean": [float(each) for each in mean], "std": [float(each) for each in std], "classes": list(classes),
        "seed": int(seed), "batch_size": per_batch, "per_shard": int(per_shard), "keep": keep, "count": count,
        "masks": bool(masks),
    }
    # A folder that was made for nothing is removed again; one with a file in it stays.
    with tidied(folder):
        folder.mkdir(parents=True, exist_ok=True)
        with alone(folder):
            return _write(_Set(definition, mixer, split), folder, progress)


class _Set:
    """A set that is to be written: how its shards are made."""

    def __init__(self, definition: dict, mixer: Mixer, split: Split):
        self.definition, self.mixer, self.split = definition, mixer, split
        self.content = (json.dumps(definition, indent=1) + "\n").encode()

    def shard(self, number: int) -> dict[str, np.ndarray]:
        """All arrays of a shard but the digest of the manifest."""
        asked = self.definition
        draws = generator(asked["seed"], "mix", number)
        order, batches = torch.empty(0, dtype=torch.int64), []
        for _ in range(-(-asked["per_shard"] // asked["batch_size"])):
            if len(order) < asked["batch_size"]:
                order = torch.randperm(len(self.split), generator=draws)
            rows, order = order.tensor_split([asked["batch_size"]])
            batches.append(self._batch(rows.to(self.split.images.device), draws))
        if len({len(batch["sources"][0]) for batch in batches}) > 1:
            raise ValueError(f"expected a mixer of one number of images K, received {self.mixer!r}, which mixes now "
                             "more and now fewer")
        drawn = {name: np.concatenate([batch[name].cpu().numpy() for batch in batches]) for name in batches[0]}
        solved = "success" in drawn
        kept = drawn["success"] if asked["keep"] == "success" else slice(None)
        numbers = {
            "drawn": len(drawn["sources"]),
            "succeeded": drawn["success"].sum() if solved else -1,
            "spent": drawn["iterations"].sum() if solved else -1,
        }
        return {name: value[kept] for name, value in drawn.items()} | {
            name: np.array(value, dtype=np.int64) for name, value in numbers.items()}

    def _batch(self, rows: Tensor, draws: torch.Generator) -> dict[str, Tensor]:
        """All mixes of one batch, and what is known of them."""
        asked, mixer = self.definition, self.mixer
        images = normalise(self.split.images[rows], asked["mean"], asked["std"])
        labels, more = self.split.labels[rows], {}
        if _solves(mixer):
            solution = mixer.solve(images, generator=draws)
            mix, labels = solution.mix, solution.classes[:, 0]  # slot 0 is the row itself
            more = {"success": solution.success, "iterations": solution.iterations, "classes": solution.classes}
        else:
            mix = mixer.draw(images, labels, generator=draws)
        if asked["masks"]:
            more["masks"] = (255 * mix.masks(tuple(images.shape[-2:]))).round().to(torch.uint8)
        return {
            "images": _bytes(mix.apply(images, noise=True), asked["mean"], asked["std"]),
            "soft": mix.targets(labels, len(asked["classes"])),
            "sources": self.split.rows[rows[mix.sources]],
            "weights": mix.weights, "shares": mix.shares, **more,
        }


def _write(made: _Set, folder: Path, progress: bool) -> dict:
    """Write what is missing, in the order of the shards; the folder is held."""
    from tqdm import tqdm

    count = made.definition["count"]
    digest = _digest_of(made, folder)
    there, shards, kept, empty = shards_of(folder), [], 0, 0
    with tqdm(total=count, unit="image", disable=None if progress else True, leave=False) as bar:
        while kept < count:
            number = len(shards)
            if number not in there:
                arrays = made.shard(number)
                if not number and not (folder / MANIFEST).exists():  # now that all is known to fit
                    write_atomically(folder / MANIFEST, lambda file: file.write(made.content))
                there[number] = _put(folder, number, arrays | {"set": np.array(digest)})
            shards.append(read_shard(there[number], digest, ()))
            new = int(shards[-1]["kept"])
            kept, empty = kept + new, 0 if new else empty + 1
            bar.update(min(kept, count) - bar.n)
            if empty == PATIENCE:
                about = described(made.definition, shards)
                raise ValueError(
                    f"expected mixes that succeed, received none in {PATIENCE} shards, one after another, and "
                    f"{kept} of the {about['drawn']} drawn so far ({100 * kept / about['drawn']:.1f} %): has the "
                    "teacher been trained on such images? keep='best' keeps all")
    return described(manifest_of(folder)[0], shards)


def _digest_of(made: _Set, folder: Path) -> str:
    """sha256 of the manifest that is there, or will be; a folder of another set, or of something else, is refused.

    What killed writers have left half-written is removed.
    """
    for pattern in (f".{MANIFEST}.*.tmp", ".*.npz.*.tmp"):
        for rest in folder.glob(pattern):
            rest.unlink()
    if (folder / MANIFEST).exists():
        manifest, digest = manifest_of(folder)
        old, new = _identity(manifest), _identity(json.loads(made.content))
        for name in {**old, **new}:
            if old.get(name) != new.get(name):
                raise ValueError(f"{folder} holds another set: its {name} is {old.get(name)}, this one's is "
                                 f"{new.get(name)}; choose another folder, or remove that one")
        return digest
    if others := sorted(path.name for path in folder.iterdir()):
        raise ValueError(f"expected a new or an empty folder, or one in which this set was begun, received {folder} "
                         f"with {others[0]}")
    return hashlib.sha256(made.content).hexdigest()


def _identity(definition: object) -> object:
    """A definition without the paths of files whose checksums it has."""
    if isinstance(definition, list):
        return [_identity(each) for each in definition]
    if not isinstance(definition, dict):
        return definition
    left_out = {"checkpoint"} if "checksum" in definition else set()
    return {name: _identity(value) for name, value in definition.items() if name not in left_out}


def _put(folder: Path, number: int, arrays: dict[str, np.ndarray]) -> Path:
    """Write a shard, in one step with its checksum."""
    stream = io.BytesIO()
    np.savez_compressed(stream, **arrays)  # members have no time stamps: equal arrays give equal files
    content = stream.getvalue()
    path = folder / f"{number:05d}-{hashlib.sha256(content).hexdigest()}.npz"
    write_atomically(path, lambda file: file.write(content))
    return path


def _bytes(images: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """Normalised images as they were before, in 0..255, rounded to the nearest."""
    if not images.isfinite().all():
        raise ValueError("expected a mixer that gives finite images, received others")
    mean, std = (images.new_tensor(values).view(-1, 1, 1) for values in (mean, std))
    return (255 * (images * std + mean)).round().clamp(0, 255).to(torch.uint8)


def _checksum(split: Split) -> str:
    """sha256 over images, labels and row numbers."""
    digest = hashlib.sha256()
    for part in (split.images, split.labels, split.rows):
        digest.update(f"{part.dtype} {tuple(part.shape)} ".encode())
        digest.update(part.cpu().contiguous().numpy())
    return digest.hexdigest()


def _solves(mixer: Mixer) -> bool:
    return callable(getattr(mixer, "solve", None))


def _check(mixer: Mixer, split: Split, *, keep: str, seed: int, **counts: int) -> None:
    """Refuse what cannot be written, before anything is."""
    check_mixer(mixer)
    if mixer.needs_saliency:
        raise ValueError(f"expected a mixer that needs no saliency, received {mixer!r}: no network is trained here "
                         "that could tell one")
    if keep not in ("success", "best"):
        raise ValueError(f"expected a keep of 'success' or 'best', received {keep!r}")
    if keep == "success" and not _solves(mixer):
        raise ValueError(f"expected keep='best', or a mixer that knows whether it succeeded such as SuperMix, received "
                         f"{mixer!r}")
    for name, value in counts.items():
        if not whole(value) or value < 1:
            raise ValueError(f"expected an integer {name} of at least 1, received {value!r}")
    if not whole(seed):
        raise ValueError(f"expected an integer seed, received {seed!r}")
    if counts["batch_size"] > len(split):
        raise ValueError(f"expected a batch_size of at most {len(split)}, the images there are, received "
                         f"{counts['batch_size']}")

r"""How much a network's loss on an image varies with what surrounds it: the measure that chooses data.

.. math:: O(L_i) = \frac{\sigma(L_i)}{m(L_i)}, \qquad L_{i,m} = L(l_c^{(m)} \mid x_c^{(m)}), \quad m = 1 \dots M

The anchor :math:`x_i` has a fixed share of M composites; companions, the other shares and positions are drawn. O is the
coefficient of variation of the M losses (K-image paper, section 3.1, eqs 8 and 9). One set of draws serves every anchor
(common random numbers), so a score is a function of the image, the pool, the network and the options alone.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from mixlab.bayes.composites import Composites, blended_composites, companion_rows, nested_composites
from mixlab.checks import real, whole
from mixlab.data.augment import normalise
from mixlab.data.checksums import content_checksum, row_digests
from mixlab.data.split import Split
from mixlab.files import write_atomically
from mixlab.models import Teacher, inference
from mixlab.rng import generator
from mixlab.train.fingerprint import described

if TYPE_CHECKING:
    import pandas

__all__ = ["Scores", "composite_losses", "merged", "score", "surroundings"]

FORMAT = 1
FORMS = {"boxes": nested_composites, "blend": blended_composites}
#: The losses, and what is added to the mean of each where CV is formed.
LOSSES = {"ce": 0.0, "kl": 1e-3}
#: With a folder, moments are written after about so many composites: some seconds of work on a CPU.
WRITTEN_EVERY = 20_000


@dataclass(frozen=True, eq=False)
class Scores:
    """Mean and standard deviation of the losses of every row, and where they are from.

    Args:
        rows: ``(N,)`` int64, numbers in the set's own file, ascending.
        labels: ``(N,)`` int64, their classes.
        mean: ``(N,)`` float64, mean loss over the draws, in nats.
        std: ``(N,)`` float64, standard deviation with divisor M - 1.
        draws: M, the composites of each row.
        about: plain data that says what was scored, by which network and with which options.

    Raises:
        ValueError: for other shapes or types, rows that are not ascending, fewer than two draws, or an ``about`` that
            is no plain data.

    Example:
        >>> rows, values = torch.arange(2), torch.tensor([2.0, 1.0]).double()
        >>> scores = Scores(rows, labels=rows, mean=values, std=values / 4, draws=256, about={"loss": "ce", "eps": 0.0})
        >>> scores.cv.tolist(), len(scores)
        ([0.25, 0.25], 2)
    """

    rows: Tensor
    labels: Tensor
    mean: Tensor
    std: Tensor
    draws: int
    about: dict

    def __post_init__(self) -> None:
        types = {"rows": torch.int64, "labels": torch.int64, "mean": torch.float64, "std": torch.float64}
        for name, dtype in types.items():
            value = getattr(self, name)
            if not isinstance(value, Tensor) or value.dtype != dtype or value.shape != (len(self.rows),):
                received = f"{tuple(value.shape)} {value.dtype}" if isinstance(value, Tensor) else repr(value)
                raise ValueError(f"expected {name} of shape (N,) and type {dtype}, received {received}")
        if not (self.rows.diff() > 0).all():
            raise ValueError("expected ascending numbers of rows, each once, received others")
        if not whole(self.draws) or self.draws < 2:
            raise ValueError(f"expected at least two draws, a whole number, received {self.draws!r}")
        try:
            json.dumps(self.about)
        except TypeError as error:
            raise ValueError(f"expected an about of plain data, received other: {error}") from None
        if not isinstance(self.about, Mapping):
            raise ValueError(f"expected an about with names, received {self.about!r}")

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def cv(self) -> Tensor:
        """``(N,)`` float64, coefficient of variation: std / (mean + eps), and 0 where nothing varies."""
        below = self.mean + self.about.get("eps", 0.0)
        return torch.where(self.std == 0, 0.0, self.std / below)

    def check(self, split: Split) -> None:
        """Raise ValueError unless these are the scores of the rows of a split, in whatever order they stand there."""
        received = content_checksum(split)
        if self.about.get("data") != received:
            raise ValueError(
                f"expected the rows that were scored ({len(self)} of {str(self.about.get('data'))[:12]}), received "
                f"others ({len(split)} of {received[:12]})"
            )

    def save(self, path: str | PathLike) -> None:
        """Write one npz file, whole or not at all.

        Raises:
            OSError: if the disk refuses; whatever was at `path` is still there.

        Example:
            >>> from tempfile import TemporaryDirectory
            >>> rows, values = torch.arange(2), torch.tensor([2.0, 1.0]).double()
            >>> with TemporaryDirectory() as folder:
            ...     Scores(rows, rows, values, values, draws=8, about={"loss": "ce"}).save(f"{folder}/scores.npz")
            ...     Scores.load(f"{folder}/scores.npz").mean.tolist()
            [2.0, 1.0]
        """
        arrays = {name: getattr(self, name).numpy() for name in ("rows", "labels", "mean", "std")}
        _write(Path(path), arrays | {"draws": np.array(self.draws)}, self.about)

    @classmethod
    def load(cls, path: str | PathLike) -> Scores:
        """Read a file of `save`.

        Raises:
            ValueError: for a file that is damaged or none of `save`.
            FileNotFoundError: where there is no file.
        """
        try:
            arrays, about = _read(path)
            draws = int(arrays.pop("draws"))
            return cls(**{name: torch.from_numpy(value) for name, value in arrays.items()}, draws=draws, about=about)
        except FileNotFoundError:
            raise
        except Exception as error:  # a damaged archive may raise anything
            reason = str(error).partition("\n")[0]
            wrong = f"expected a file of scores at {path}, received one that cannot be read: {reason}"
            raise ValueError(wrong) from None

    def as_frame(self) -> pandas.DataFrame:
        """A data frame with the columns ``row``, ``label``, ``mean``, ``std`` and ``CV``."""
        import pandas

        columns = {"row": self.rows, "label": self.labels, "mean": self.mean, "std": self.std, "CV": self.cv}
        return pandas.DataFrame({name: value.numpy() for name, value in columns.items()})


def score(
    model: nn.Module,
    split: Split,
    *,
    mean: Sequence[float],
    std: Sequence[float],
    num_classes: int,
    k: int = 5,
    alpha: float = 0.2,
    anchor_share: float = 0.5,
    form: str = "boxes",
    draws: int = 256,
    companion_sets: int | None = None,
    loss: str = "ce",
    eps: float | None = None,
    pool: Split | None = None,
    seed: int = 0,
    source: str | None = None,
    batch_size: int = 500,
    device: torch.device | str | None = None,
    folder: str | PathLike | None = None,
    shard: tuple[int, int] | None = None,
    progress: bool = False,
) -> Scores:
    r"""Score every row of a split: moments of its loss over ``draws`` composites, as many forward passes each.

    The paper leaves much open. What is read how, by option or here for good:

    - *Network*: ``model``, in evaluation mode, so its batch statistics are fixed. The paper does not say which one;
      one that DCutMix trained on all rows is meant.
    - *The anchor's share* :math:`\varphi_i` is ``anchor_share`` in all draws; the paper gives no number. One half shows
      the image well and makes it half of the label; 1 / K, the prior's mean, is the literal choice.
    - *The other shares* are :math:`(1 - \varphi_i)\,\mathrm{Dir}(\alpha_{-i})`, exact. The factor is missing in print.
    - *Companions* are drawn anew for every draw. With ``companion_sets`` = R there are R sets that take turns; 1 is the
      literal reading, and scores the companions more than the anchor. Sets are the same for all anchors.
    - *Companions' classes*: any. Those of one draw are different rows of ``pool``. The anchor is not kept out of them,
      for then its draws would be no longer those of the others: it meets itself in (K - 1) / N of the draws.
    - *K and α*: ``k`` and ``alpha``, as in training (5 and .2 for CIFAR-100).
    - *M*: ``draws``, not given in print. Two scores of independent draws agree in rank only for M in the hundreds.
    - *Positions* (γ) are drawn anew for every draw. Eq. 8 prints a sum without 1 / M; it is a mean here.
    - *The anchor's place*: every slot equally often; in slot 1 it would always be the frame around the others. In a
      ``form`` of ``"boxes"`` (DCutMix) its share of whole pixels is up to rounding ``anchor_share``; in ``"blend"``
      (DMixup) there are no places.
    - *Loss*: ``"ce"``, cross-entropy with the label of whole pixels, or ``"kl"``, which is that less the label's
      entropy. The entropy is the same for all anchors of a class, draw by draw: within a class both have one order of
      means, but not of deviations or CV.
    - *A mean near 0*: CV is std / (mean + ``eps``), with an eps of 0 for ``"ce"``, which the entropy keeps away from 0,
      and of .001 for ``"kl"``, unless given.
    - *σ* has the divisor M - 1. It does not change an order.
    - *Augmentation*: none; it would be measured as well.
    - What is kept, how much of it, and how it is trained on (section 3.1's S and t) is not decided here.

    Draws depend on ``seed``, the options and what the pool holds: its pictures and labels, not their order or numbers.
    So a row's score is the same (up to what a forward pass rounds) whatever the order of the file, which other rows are
    scored, the batch size and the number of processes.

    Args:
        model: maps images (B, C, H, W) to logits (B, num_classes); a copy of it is asked, so it stays as it is. A
            `Teacher` gets the images as it wants them.
        split: the anchors, with hard labels.
        mean, std: per channel, by which images are normalised.
        num_classes: number of classes.
        k: number of images in a composite, the anchor among them.
        alpha: concentration of every component, positive.
        anchor_share: in (0, 1].
        form: ``"boxes"`` or ``"blend"``.
        draws: composites M of each row, at least 2.
        companion_sets: None, or a number that divides ``draws``.
        loss: ``"ce"`` or ``"kl"``.
        eps: added to the mean in CV, at least 0.
        pool: where companions are from; the split where None. To score a part of a set, give all of it.
        seed: of all that is drawn.
        source: name of the set, to be told in ``about``.
        batch_size: images at a time; memory and speed depend on it.
        device: where the network is asked; where it is, if None.
        folder: for running moments: the same call goes on there where it was stopped, and gives the same bits. (Each
            shard has a file of its own. With another number of processes it begins anew.)
        shard: ``(rank, world)``: only every world-th row in the order of their numbers, from the rank-th on; `merged`
            puts shards together. None: all rows. Processes that ``torch.distributed`` joined then take a shard each,
            and all of them get all scores.
        progress: show a progress bar where there is a terminal.

    Returns:
        `Scores`, in the order of the rows' numbers.

    Raises:
        ValueError: for an option out of range, fewer than two draws, a split without rows, with soft labels, with a
            label outside the classes or a row twice, a pool of other images, a network of another number of classes,
            a loss that is not finite, or a folder with the moments of another score.
        OSError: if the folder or the disk refuses.

    Source: K-image paper, section 3.1, eqs 8 and 9 (CV); appendix C (DCutMix).

    Example:
        >>> from mixlab.data import load
        >>> data = load("digits", limit=60)
        >>> network = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
        >>> scores = score(network, data.train, mean=data.mean, std=data.std, num_classes=10, draws=16)
        >>> len(scores), bool((scores.mean > 0).all()), scores.about["k"]
        (60, True, 5)
    """
    pool = split if pool is None else pool
    _check(split, pool, num_classes=num_classes, form=form, draws=draws, loss=loss, eps=eps, seed=seed,
           batch_size=batch_size)
    rank, world = _place(shard)
    network = model.for_images(mean, std) if isinstance(model, Teacher) else Teacher(model)
    if device is not None:
        network = deepcopy(network).to(device)
    dtype = next((each.dtype for each in network.parameters() if each.is_floating_point()), torch.float32)
    options = {"num_classes": num_classes, "k": k, "alpha": alpha, "anchor_share": anchor_share, "form": form,
               "draws": draws, "companion_sets": companion_sets, "seed": seed}
    around = surroundings(pool, mean=mean, std=std, dtype=dtype, **options)
    data = content_checksum(split)
    about = {
        "format": FORMAT, "source": source, "data": data, "images": len(split),
        "pool": data if pool is split else content_checksum(pool),
        "network": {"name": type(network.network).__name__, "checksum": network.checksum,
                    "described": f"{zlib.crc32(described(network).encode()):08x}"},
        "mean": [float(each) for each in mean], "std": [float(each) for each in std],
        **{name: _plain(name, value) for name, value in options.items()},
        "loss": loss, "eps": float(LOSSES[loss] if eps is None else eps),
    }
    rows = split.rows.cpu()
    mine = rows.argsort()[rank::world]
    moments = _Moments(rows[mine], about, None if folder is None else Path(folder) / f"moments-{rank}-of-{world}.npz")
    _accumulate(moments, network, split, mine, around, batch_size, dtype, progress and rank == 0)
    part = Scores(rows[mine], split.labels.cpu()[mine], moments.mean, (moments.squares / (draws - 1)).sqrt(), draws,
                  about if world == 1 else about | {"shard": [rank, world]})
    if shard is not None or world == 1:
        return part
    parts = [None] * world
    torch.distributed.all_gather_object(parts, part)
    return merged(parts)


def merged(parts: Sequence[Scores]) -> Scores:
    """Put the shards of one score together, in whatever order they come.

    Raises:
        ValueError: for parts of different scores, or where a shard is missing or there twice.

    Example:
        >>> from mixlab.data import load
        >>> data = load("digits", limit=60)
        >>> options = {"mean": data.mean, "std": data.std, "num_classes": 10, "draws": 4}
        >>> network = nn.Sequential(nn.Flatten(), nn.Linear(64, 10)).double()
        >>> halves = [score(network, data.train, shard=(rank, 2), **options) for rank in (1, 0)]
        >>> torch.allclose(merged(halves).mean, score(network, data.train, **options).mean, rtol=1e-12)
        True
    """
    shards = [tuple(part.about.get("shard", (0, 1))) for part in parts]
    abouts = [{name: value for name, value in part.about.items() if name != "shard"} for part in parts]
    if not parts or sorted(shards) != [(rank, len(parts)) for rank in range(len(parts))]:
        raise ValueError(f"expected every shard of a score once, received {shards}")
    for about in abouts[1:]:
        if different := _difference(abouts[0], about):
            raise ValueError(f"expected shards of one score, received several: {different}")
    joined = {name: torch.cat([getattr(part, name) for part in parts]) for name in ("rows", "labels", "mean", "std")}
    order = joined["rows"].argsort()
    return Scores(**{name: value[order] for name, value in joined.items()}, draws=parts[0].draws, about=abouts[0])


def surroundings(
    pool: Split,
    *,
    mean: Sequence[float],
    std: Sequence[float],
    num_classes: int,
    k: int = 5,
    alpha: float = 0.2,
    anchor_share: float = 0.5,
    form: str = "boxes",
    draws: int = 256,
    companion_sets: int | None = None,
    seed: int = 0,
    dtype: torch.dtype = torch.float32,
) -> Composites:
    """Draw what `score` puts around every anchor; arguments and errors are those of `score`.

    Companions and the rest have streams of their own: with fewer companion sets, shares and positions stay.

    Args:
        dtype: of the backgrounds.

    Returns:
        `Composites` of ``draws`` draws, on the CPU.

    Example:
        >>> from mixlab.data import load
        >>> data = load("digits", limit=60)
        >>> around = surroundings(data.train, mean=data.mean, std=data.std, num_classes=10, draws=8)
        >>> around.backgrounds.shape, around.targets.shape
        (torch.Size([8, 1, 8, 8]), torch.Size([8, 10]))
    """
    _choice("form", form, FORMS)
    rows = companion_rows(len(pool), k=k, draws=draws, companion_sets=companion_sets,
                          generator=generator(seed, "score", "companions"))
    # Rows in the order of their digests, so that neither the file's order nor the rows' numbers play a part. Only what
    # was drawn is normalised.
    digests = row_digests(pool)
    order = torch.tensor(sorted(range(len(pool)), key=digests.__getitem__), dtype=torch.int64)
    used, companions = order[rows].unique(return_inverse=True)
    return FORMS[form](
        normalise(pool.images.cpu()[used], tuple(mean), tuple(std)).to(dtype), pool.labels.cpu()[used],
        num_classes=num_classes, k=k, alpha=alpha, anchor_share=anchor_share, draws=draws,
        generator=generator(seed, "score", "shares"), companions=companions,
    )


def composite_losses(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    composites: Composites,
    *,
    loss: str = "ce",
    batch_size: int = 500,
) -> Tensor:
    """The losses themselves, whose moments `score` keeps: one for every draw and image.

    Args:
        model: maps images (B, C, H, W) to logits (B, classes); put into evaluation mode for the call.
        images: ``(N, C, H, W)`` floating point, normalised like the pool of the composites.
        labels: ``(N,)`` int64.
        composites: what surrounds them, see `surroundings`.
        loss: ``"ce"`` or ``"kl"``.
        batch_size: images at a time.

    Returns:
        ``(S, N)`` float64 on the model's device, in nats.

    Raises:
        ValueError: for images of another shape, or a network of another number of classes, than the composites are for,
            or another loss.

    Example:
        >>> from mixlab.data import load, normalise
        >>> data = load("digits", limit=60)
        >>> around = surroundings(data.train, mean=data.mean, std=data.std, num_classes=10, draws=8)
        >>> images = normalise(data.train.images, data.mean, data.std)
        >>> network = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
        >>> losses = composite_losses(network, images, data.train.labels, around)
        >>> losses.shape, losses.dtype
        (torch.Size([8, 60]), torch.float64)
    """
    _choice("loss", loss, LOSSES)
    device = next((parameter.device for parameter in model.parameters()), images.device)
    composites = composites.to(device)
    batches = list(zip(images.split(batch_size), labels.split(batch_size), strict=True))
    with inference(model):
        return torch.cat([
            torch.stack([_losses(model, batch.to(device), classes.to(device), composites, draw, loss)
                         for draw in range(len(composites))])
            for batch, classes in batches
        ], dim=1)


def _losses(network: nn.Module, images: Tensor, labels: Tensor, composites: Composites, draw: int, loss: str) -> Tensor:
    """``(B,)`` float64 losses of one batch in one draw."""
    logits = network(composites.apply(draw, images))
    if logits.shape != (len(images), composites.targets.shape[1]):
        raise ValueError(f"expected logits ({len(images)}, {composites.targets.shape[1]}), as many classes as the "
                         f"composites have, received {tuple(logits.shape)}")
    weight, rest = composites.weights[draw].double(), composites.targets[draw].double()
    logarithm = logits.double().log_softmax(1)
    cross_entropy = -(logarithm @ rest) - weight * logarithm.gather(1, labels[:, None])[:, 0]
    return cross_entropy if loss == "ce" else cross_entropy - _entropies(weight, rest)[labels]


def _entropies(weight: Tensor, rest: Tensor) -> Tensor:
    """``(classes,)`` entropy of a composite's label, were the anchor of each class."""
    terms, own = torch.xlogy(rest, rest), rest + weight
    return terms - terms.sum() - torch.xlogy(own, own)


class _Moments:
    """Running moments of the losses of some rows, by Welford's update in float64, in a file where there is a path."""

    def __init__(self, rows: Tensor, about: dict, path: Path | None):
        self.rows, self.about, self.path, self.done = rows, about, path, 0
        self.mean, self.squares = torch.zeros(2, len(rows), dtype=torch.float64)
        if path is not None:
            for there in sorted(path.parent.glob("moments-*.npz")):
                self._read(there)

    def _read(self, path: Path) -> None:
        """Take up moments that are ours; those of another score are refused, those of other shards left alone."""
        try:
            arrays, about = _read(path)
            different = _difference(about, self.about)
            if not different and path == self.path:
                self.done = int(arrays["done"])
                self.mean, self.squares = (torch.from_numpy(arrays[name]) for name in ("mean", "squares"))
        except Exception as error:  # a damaged archive may raise anything
            reason = str(error).partition("\n")[0]
            raise ValueError(f"expected the moments of a score at {path}, received a file that cannot be read: "
                             f"{reason}; remove it") from None
        if different:
            raise ValueError(f"{path.parent} holds the moments of another score: {different}; choose another folder, "
                             "or remove that one")

    def write(self) -> None:
        """Put them in place, whole or not at all."""
        if self.path is not None:
            arrays = {"done": np.array(self.done), "mean": self.mean.numpy(), "squares": self.squares.numpy()}
            _write(self.path, arrays, self.about)


def _accumulate(moments: _Moments, network: Teacher, split: Split, mine: Tensor, around: Composites, batch_size: int,
                dtype: torch.dtype, progress: bool) -> None:
    """Go through the draws that are missing, some at a time for every batch of rows, and write after each of them."""
    from tqdm import tqdm

    draws, count = len(around), len(mine)
    device = next((each.device for each in network.parameters()), torch.device("cpu"))
    around, loss = around.to(device), moments.about["loss"]
    step = max(1, WRITTEN_EVERY // max(1, count))
    bar = tqdm(total=draws * count, initial=moments.done * count, unit="composite", disable=None if progress else True,
               leave=False)
    with bar, inference(network):
        while moments.done < draws:
            some = range(moments.done, min(moments.done + step, draws))
            for start in range(0, count, batch_size):
                places = slice(start, start + batch_size)
                at = mine[places].to(split.images.device)
                images = normalise(split.images[at].to(device), moments.about["mean"], moments.about["std"]).to(dtype)
                labels = split.labels[at].to(device)
                mean, squares = (part[places].to(device) for part in (moments.mean, moments.squares))
                for draw in some:
                    losses = _losses(network, images, labels, around, draw, loss)
                    moved = losses - mean
                    mean += moved / (draw + 1)
                    squares += moved * (losses - mean)
                moments.mean[places], moments.squares[places] = mean.cpu(), squares.cpu()
                finite = moments.squares[places].isfinite()  # once a loss is not, they never are again
                if not finite.all():
                    row = int(moments.rows[places][~finite][0])
                    raise ValueError(f"expected finite losses, received others for row {row}: has the network's "
                                     "training diverged?")
                bar.update(len(images) * len(some))
            moments.done = some.stop
            moments.write()


def _write(path: Path, arrays: dict[str, np.ndarray], about: dict) -> None:
    write_atomically(path, lambda file: np.savez(file, about=np.array(json.dumps(about)), **arrays))


def _read(path: str | PathLike) -> tuple[dict[str, np.ndarray], dict]:
    with np.load(path) as archive:
        arrays = dict(archive)
    return arrays, json.loads(str(arrays.pop("about")))


def _difference(old: dict, new: dict) -> str:
    """The first thing in which two definitions differ, in words; nothing where they agree."""
    for name in {**old, **new}:
        if old.get(name) != new.get(name):
            return f"its {name} is {old.get(name)}, this one's is {new.get(name)}"
    return ""


def _plain(name: str, value: object) -> object:
    """An option as plain data."""
    if value is None or isinstance(value, str):
        return value
    return float(value) if name in ("alpha", "anchor_share") else int(value)


def _place(shard: tuple[int, int] | None) -> tuple[int, int]:
    """Rank and number of processes."""
    if shard is None:
        joined = torch.distributed.is_available() and torch.distributed.is_initialized()
        return (torch.distributed.get_rank(), torch.distributed.get_world_size()) if joined else (0, 1)
    if len(shard) != 2 or not all(map(whole, shard)) or not 0 <= shard[0] < shard[1]:
        raise ValueError(f"expected a shard (rank, world) with 0 <= rank < world, received {shard!r}")
    return shard


def _choice(name: str, value: object, choices: Mapping) -> None:
    if value not in choices:
        raise ValueError(f"expected a {name} of {', '.join(map(repr, choices))}, received {value!r}")


def _check(split: Split, pool: Split, *, num_classes: int, form: str, draws: int, loss: str, eps: float | None,
           seed: int, batch_size: int) -> None:
    """Refuse what cannot be scored; what concerns composites is looked at where they are made."""
    _choice("form", form, FORMS)
    _choice("loss", loss, LOSSES)
    for name, value, least in (("draws", draws, 2), ("batch_size", batch_size, 1), ("num_classes", num_classes, 1)):
        if not whole(value) or value < least:
            raise ValueError(f"expected an integer {name} of at least {least}, received {value!r}")
    if not whole(seed):
        raise ValueError(f"expected an integer seed, received {seed!r}")
    if eps is not None and not (real(eps) and 0 <= eps < float("inf")):
        raise ValueError(f"expected an eps of at least 0, received {eps!r}")
    for name, rows in (("rows to score", split), ("rows in the pool", pool)):
        if not len(rows):
            raise ValueError(f"expected {name}, received none")
        if rows.soft is not None:
            raise ValueError(f"expected hard labels of the {name}, received soft ones")
        if not 0 <= rows.labels.min() <= rows.labels.max() < num_classes:
            raise ValueError(f"expected labels of the {name} in [0, {num_classes}), received "
                             f"{int(rows.labels.min())} to {int(rows.labels.max())}")
    if len(split.rows.unique()) < len(split):
        raise ValueError("expected rows with numbers of their own, received one twice")
    if split.images.shape[1:] != pool.images.shape[1:]:
        raise ValueError(f"expected a pool of images {tuple(split.images.shape[1:])}, received "
                         f"{tuple(pool.images.shape[1:])}")

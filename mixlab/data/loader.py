"""A loader for sets that fit on the device: uint8 stays there, batches are augmented and normalised there."""

from collections.abc import Iterator

import torch
from torch import Tensor

from mixlab.data.augment import AUGMENTATIONS, normalise
from mixlab.data.batch import Batch
from mixlab.data.schedule import Schedule
from mixlab.data.split import Split
from mixlab.rng import generator

__all__ = ["Loader"]


class Loader:
    """Batches of a `Split` that lies on the device as uint8.

    Order and augmentation of epoch e, batch b follow from ``(seed, e, b)`` alone: a resumed run asks for
    ``loader.epoch(e, start=b)`` and sees what it would have seen. With ``world`` processes, each takes every
    ``world``-th row of one global batch, so that one process and several see the same global batches.

    Iterating over the loader itself gives epoch 0, then epoch 1, and so on.

    Args:
        split: the rows.
        batch_size: rows of a *global* batch.
        mean: of every channel, white is 1 (`Dataset.mean`).
        std: standard deviation of every channel (`Dataset.std`).
        augment: ``"none"``, ``"crop"`` (4 black pixels on each side, random window), ``"flip"`` or
            ``"crop-flip"``; ``"crop2-flip"`` pads by 2 pixels in place of 4.
        shuffle: draw a new order for every epoch.
        drop_last: leave the rows out that do not fill a batch (others every epoch, where shuffled).
        part: the part of the rows that an epoch has, rounded up. Below 1 it is drawn anew for every epoch, whatever
            others had: repeated sampling of random subsets (RS2, Okanovic et al. 2024, with replacement between
            epochs).
        seed: start of all randomness.
        device: where the rows are kept and the batches made.
        rank: which process this is, 0..world-1.
        world: how many processes share a global batch.

    Yields:
        `Batch`es on ``device``: images (B, C, H, W) float32, normalised; labels (B,) int64, or (B, classes)
        float32 where the split has soft ones; rows (B,) int64, those of the split (`Split.rows`).

    Raises:
        ValueError: for an unknown augmentation, a batch size below 1, a rank outside the world, a part outside (0, 1]
            or below 1 without ``shuffle``, or global batches that ``world`` does not divide (the mean over ranks would
            not be the mean over the batch).

    Example:
        >>> split = Split(torch.zeros(10, 1, 8, 8, dtype=torch.uint8), torch.arange(10))
        >>> loader = Loader(split, 4, mean=(0.0,), std=(1.0,), augment="crop-flip")
        >>> len(loader), [len(batch.labels) for batch in loader.epoch(0)]
        (3, [4, 4, 2])
    """

    def __init__(
        self,
        split: Split,
        batch_size: int,
        *,
        mean: tuple[float, ...],
        std: tuple[float, ...],
        augment: str = "none",
        shuffle: bool = True,
        drop_last: bool = False,
        part: float = 1.0,
        seed: int = 0,
        device: torch.device | str = "cpu",
        rank: int = 0,
        world: int = 1,
    ) -> None:
        if augment not in AUGMENTATIONS:
            raise ValueError(f"expected one of {', '.join(AUGMENTATIONS)} as augment, received {augment!r}")
        self.schedule = Schedule(
            len(split), batch_size, shuffle=shuffle, drop_last=drop_last, part=part, seed=seed, rank=rank, world=world
        )
        labels = split.labels if split.soft is None else split.soft
        self.images, self.labels, self.rows = (part.to(device) for part in (split.images, labels, split.rows))
        self.mean, self.std, self.augment, self.seed = tuple(mean), tuple(std), augment, seed
        self._next_epoch = 0
        normalise(self.images[:0], self.mean, self.std)  # a wrong number of channels is found here, not later

    def __len__(self) -> int:
        """How many batches an epoch has."""
        return len(self.schedule)

    def __iter__(self) -> Iterator[Batch]:
        epoch, self._next_epoch = self._next_epoch, self._next_epoch + 1
        return self.epoch(epoch)

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """Iterate over the batches of ``epoch``, from batch number ``start`` on."""
        for number, indices in self.schedule.batches(epoch, start):
            draws = generator(self.seed, "augment", epoch, number)
            yield self._batch(indices.to(self.labels.device, non_blocking=True), draws)

    def _batch(self, indices: Tensor, draws: torch.Generator) -> Batch:
        # The whole global batch is augmented before a process takes its rows: no draw depends on the world.
        images = AUGMENTATIONS[self.augment](self.images[indices], draws)
        share = self.schedule.share
        mine = share(indices)
        return Batch(normalise(share(images), self.mean, self.std), self.labels[mine], self.rows[mine])

"""A loader for sets that do not fit into memory: samples are read, transformed and mixed in workers."""

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.utils.data import DataLoader, default_collate

from mixlab.data.batch import Batch
from mixlab.data.schedule import Schedule
from mixlab.rng import generator

__all__ = ["StreamingLoader"]


class _Batches:
    """One epoch as a map from number to batch, so that it does not matter which worker makes it."""

    def __init__(self, loader: "StreamingLoader", epoch: int) -> None:
        self.dataset, self.mixer, self.schedule = loader.dataset, loader.mixer, loader.schedule
        self.epoch = epoch
        self.rows = dict(loader.schedule.batches(epoch))

    def __getitem__(self, number: int) -> Batch:
        rows = self.schedule.share(self.rows[number])
        images, labels = default_collate([self._sample(row) for row in rows.tolist()])
        if self.mixer is None:
            return Batch(images, labels, rows)
        draws = generator(self.schedule.seed, "mix", self.epoch, number, self.schedule.rank)
        mix = self.mixer.draw(images, labels, generator=draws)
        return Batch(mix.apply(images), mix.targets(labels, self.mixer.num_classes), rows)

    def _sample(self, row: int) -> tuple[Tensor, Tensor | int]:
        # torchvision's transforms draw from torch's global generator and take no other, so each sample sets
        # it to a state of its own and puts back what it found.
        before = torch.get_rng_state()
        try:
            torch.set_rng_state(generator(self.schedule.seed, "augment", self.epoch, row).get_state())
            return self.dataset[row]
        finally:
            torch.set_rng_state(before)


class StreamingLoader:
    """Batches of any map-style dataset, such as torchvision's `ImageFolder` with `torchvision.transforms.v2`.

    Like `Loader`, but samples are read when they are needed. Order, transforms and mixing follow from
    ``(seed, epoch, row or batch)`` alone, whatever the number of workers, and ``epoch(e, start=b)`` resumes.

    Args:
        dataset: has a length, and ``dataset[i]`` is (image tensor, label). Its transforms may draw from
            torch's global generator (as torchvision's do), not from Python's or NumPy's.
        batch_size: rows of a *global* batch.
        mixer: draws and applies a mix to each batch where it is made (in the worker); None for plain batches.
            It mixes within a process's own rows. Give it ``num_classes``.
        shuffle: draw a new order for every epoch.
        drop_last: leave the rows out that do not fill a batch.
        seed: start of all randomness.
        workers: processes that make batches; 0 makes them here.
        device: where batches are moved to.
        rank: which process this is, 0..world-1.
        world: how many processes share a global batch.

    Yields:
        `Batch`es of this process's rows: labels (B,) as they are stacked, or (B, C) float32 targets where a mixer is
        given; rows (B,) int64, positions in the dataset.

    Raises:
        ValueError: for batches that `Schedule` does not allow, or a mixer that has no ``num_classes``.

    Example:
        >>> pairs = [(torch.full((3, 8, 8), float(i)), i) for i in range(6)]
        >>> loader = StreamingLoader(pairs, 4, shuffle=False)
        >>> [batch.labels.tolist() for batch in loader.epoch(0)]
        [[0, 1, 2, 3], [4, 5]]
    """

    def __init__(
        self,
        dataset,
        batch_size: int,
        *,
        mixer=None,
        shuffle: bool = True,
        drop_last: bool = False,
        seed: int = 0,
        workers: int = 0,
        device: torch.device | str = "cpu",
        rank: int = 0,
        world: int = 1,
    ) -> None:
        if mixer is not None and getattr(mixer, "num_classes", None) is None:
            raise ValueError(f"expected a mixer that was given num_classes, received {mixer!r}")
        self.schedule = Schedule(
            len(dataset), batch_size, shuffle=shuffle, drop_last=drop_last, seed=seed, rank=rank, world=world
        )
        self.dataset, self.mixer = dataset, mixer
        self.workers, self.device = workers, torch.device(device)
        self._next_epoch = 0

    def __len__(self) -> int:
        """How many batches an epoch has."""
        return len(self.schedule)

    def __iter__(self) -> Iterator[Batch]:
        epoch, self._next_epoch = self._next_epoch, self._next_epoch + 1
        return self.epoch(epoch)

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """Iterate over the batches of ``epoch``, from batch number ``start`` on."""
        batches = DataLoader(
            _Batches(self, epoch),
            batch_size=None,  # an item is a batch already
            sampler=range(start, len(self)),
            num_workers=self.workers,
            pin_memory=self.device.type == "cuda",
            generator=generator(self.schedule.seed, "workers", epoch),
        )
        for batch in batches:
            yield Batch(*(part.to(self.device, non_blocking=True) for part in batch))

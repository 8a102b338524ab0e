"""Which rows lie in which batch of which epoch, and which of them a process takes."""

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from mixlab.checks import whole
from mixlab.data.stratify import part_of
from mixlab.rng import generator

__all__ = ["Schedule"]


class Schedule:
    """The order of an epoch, cut into global batches that ``world`` processes share.

    Args:
        rows: how many rows there are.
        batch_size: rows of a *global* batch.
        shuffle: draw a new order for every epoch, else keep the rows' own.
        drop_last: leave the rows out that do not fill a batch.
        part: the part of the rows that an epoch has, rounded up; another random one every epoch.
        seed: the order of epoch e follows from ``(seed, "order", e)``.
        rank: which process this is, 0..world-1; it takes rows rank, rank + world, ... of each batch.
        world: how many processes there are.

    Raises:
        ValueError: for a batch size below 1, a rank outside the world, a part outside (0, 1] or below 1 without
            ``shuffle``, or batches that ``world`` does not divide (the mean over ranks would not be the mean over the
            batch).

    Example:
        >>> schedule = Schedule(10, 4, shuffle=False, rank=1, world=2)
        >>> len(schedule), [schedule.share(batch).tolist() for _, batch in schedule.batches(0)]
        (3, [[1, 3], [5, 7], [9]])
    """

    def __init__(
        self,
        rows: int,
        batch_size: int,
        *,
        shuffle: bool = True,
        drop_last: bool = False,
        part: float = 1.0,
        seed: int = 0,
        rank: int = 0,
        world: int = 1,
    ) -> None:
        if not whole(batch_size) or batch_size < 1:
            raise ValueError(f"expected an integer batch size of at least 1, received {batch_size!r}")
        if not 0 <= rank < world:
            raise ValueError(f"expected a rank from 0 to {world - 1}, received {rank}")
        count = part_of(part, rows)
        if part < 1 and not shuffle:
            raise ValueError(f"expected shuffle=True with a part of the rows, which is drawn, received part={part}")
        tail = 0 if drop_last else count % batch_size
        if batch_size % world or tail % world:
            raise ValueError(
                f"expected batches that {world} processes share evenly, received {batch_size} rows a batch"
                f" and {tail} in the last one: use drop_last=True or another batch size"
            )
        self.rows, self.batch_size, self.shuffle, self.drop_last = rows, batch_size, shuffle, drop_last
        self.count = count
        self.seed, self.rank, self.world = seed, rank, world

    def __len__(self) -> int:
        """How many batches an epoch has."""
        return self.count // self.batch_size if self.drop_last else math.ceil(self.count / self.batch_size)

    def order(self, epoch: int) -> Tensor:
        """Give the rows of ``epoch`` in their order, (N,) int64, or fewer where an epoch has a part of them."""
        if not self.shuffle:
            return torch.arange(self.rows)
        return torch.randperm(self.rows, generator=generator(self.seed, "order", epoch))[: self.count]

    def batches(self, epoch: int, start: int = 0) -> Iterator[tuple[int, Tensor]]:
        """Iterate over number and rows of the global batches of ``epoch``, from number ``start`` on."""
        order = self.order(epoch)
        for number in range(start, len(self)):
            yield number, order[number * self.batch_size : (number + 1) * self.batch_size]

    def share(self, batch: Tensor) -> Tensor:
        """Take this process's part of something that has one entry for each row of a global batch."""
        return batch[self.rank :: self.world]

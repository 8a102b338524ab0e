"""The two records of this room: a `Split` is rows of pictures with labels, a `Dataset` is three of them."""

from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor

__all__ = ["Dataset", "Split"]


def _expect(value: Tensor | None, what: str, dtype: torch.dtype, shape: tuple[int | None, ...]) -> None:
    """Raise ValueError unless ``value`` is a tensor of ``dtype`` and ``shape`` (None: any length)."""
    if not isinstance(value, Tensor):
        raise ValueError(f"expected {what} as a tensor, received {type(value).__name__}")
    fits = value.dim() == len(shape) and all(want in (None, got) for want, got in zip(shape, value.shape))
    if value.dtype != dtype or not fits:
        wanted = "(" + ", ".join("any" if n is None else str(n) for n in shape) + ")"
        raise ValueError(
            f"expected {what} as {dtype} of shape {wanted}, received {value.dtype} of {tuple(value.shape)}"
        )


@dataclass(frozen=True, eq=False)
class Split:
    """Rows of pictures with their labels, all in memory.

    Attributes:
        images: (N, C, H, W) uint8, 0..255.
        labels: (N,) int64, the index of the class.
        masks: (N, H, W) uint8 or None: 1 where the object is seen, 0 elsewhere.
        boxes: (N, 4) int64 or None: ``x0, y0, x1, y1`` in pixels, the last two one past the end, so that
            ``image[:, y0:y1, x0:x1]`` is the box.
        rows: (N,) int64, the number of each row in the set's own file, whatever was held out, limited or selected
            since; 0..N-1 where None is given.
        soft: (N, classes) float32 or None: a distribution over the classes for each row, which is then what it is
            trained on in place of ``labels``. Mixed images have one.

    Raises:
        ValueError: where a dtype or a shape is another one.

    Example:
        >>> split = Split(torch.zeros(3, 1, 8, 8, dtype=torch.uint8), torch.tensor([0, 1, 1]))
        >>> part = split.subset(torch.tensor([2, 0]))
        >>> len(split), part.labels.tolist(), part.rows.tolist()
        (3, [1, 0], [2, 0])
    """

    images: Tensor
    labels: Tensor
    masks: Tensor | None = None
    boxes: Tensor | None = None
    rows: Tensor | None = None
    soft: Tensor | None = None

    def __post_init__(self) -> None:
        _expect(self.images, "images", torch.uint8, (None, None, None, None))
        count, _, height, width = self.images.shape
        _expect(self.labels, "labels", torch.int64, (count,))
        if self.masks is not None:
            _expect(self.masks, "masks", torch.uint8, (count, height, width))
        if self.boxes is not None:
            _expect(self.boxes, "boxes", torch.int64, (count, 4))
        if self.rows is None:
            object.__setattr__(self, "rows", torch.arange(count, device=self.labels.device))
        _expect(self.rows, "rows", torch.int64, (count,))
        if self.soft is not None:
            _expect(self.soft, "soft", torch.float32, (count, None))

    def __len__(self) -> int:
        return len(self.labels)

    def subset(self, indices: Tensor) -> "Split":
        """Take the rows ``indices`` (int64, or a boolean mask of length N) in that order."""
        take = lambda part: None if part is None else part[indices]  # noqa: E731
        return Split(*(take(getattr(self, each.name)) for each in fields(self)))

    def moments(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Compute the mean and the standard deviation of every channel, in units where white is 1.

        They are taken over all pixels of all rows (the population's, divisor N·H·W) and exact: whole numbers
        are counted, then summed in float64.

        Raises:
            ValueError: where there is no row.

        Example:
            >>> Split(torch.tensor([[[[0, 255]]]], dtype=torch.uint8), torch.tensor([0])).moments()
            ((0.5,), (0.5,))
        """
        if not len(self):
            raise ValueError("expected at least one row to take the moments of, received none")
        levels = torch.arange(256, dtype=torch.float64) / 255
        means, deviations = [], []
        for channel in self.images.unbind(1):
            share = torch.bincount(channel.flatten(), minlength=256).double().cpu() / channel.numel()
            mean = (share * levels).sum()
            means.append(mean.item())
            deviations.append((share * (levels - mean).square()).sum().sqrt().item())
        return tuple(means), tuple(deviations)


@dataclass(frozen=True, eq=False)
class Dataset:
    """A named set, split for honest use: fit on ``train``, choose on ``validation``, report ``test`` once.

    Attributes:
        name: the name that `load` knows it by.
        train: rows to fit.
        validation: rows to choose settings by, drawn from the original training rows; none where 0 was asked
            for.
        test: rows to report, never touched by a seed or a limit.
        classes: the name of every class, in the order of the labels.
        mean: of every channel over ``train`` (after validation rows and limit were taken away), white is 1.
        std: standard deviation of every channel over the same rows.

    Raises:
        ValueError: where a label of a split is no class, or soft labels are for another number of classes.

    Example:
        >>> from mixlab.data import load
        >>> data = load("digits", validation=0.2)
        >>> len(data.train), len(data.validation), len(data.test), data.num_classes
        (1151, 287, 359, 10)
        >>> torch.bincount(data.validation.labels).tolist(), data.mean == data.train.moments()[0]
        ([28, 29, 28, 29, 29, 29, 29, 29, 28, 29], True)
    """

    name: str
    train: Split
    validation: Split
    test: Split
    classes: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __post_init__(self) -> None:
        for name in ("train", "validation", "test"):
            labels, soft = getattr(self, name).labels, getattr(self, name).soft
            if soft is not None and soft.shape[1] != self.num_classes:
                raise ValueError(
                    f"expected soft {name} labels for the {self.num_classes} classes of {self.name}, received"
                    f" {soft.shape[1]} for each row"
                )
            if len(labels) and not 0 <= labels.min() <= labels.max() < self.num_classes:
                received = f"{int(labels.min())} to {int(labels.max())}"
                raise ValueError(
                    f"expected {name} labels from 0 to {self.num_classes - 1}, the classes of {self.name}, received"
                    f" {received}"
                )

    @property
    def num_classes(self) -> int:
        """How many classes there are."""
        return len(self.classes)

    def subset(self, rows: Tensor) -> "Dataset":
        """Keep some training rows only; validation and test stay as they are.

        Args:
            rows: (n,) int64, numbers in the set's own file (`Split.rows`), in any order.

        Returns:
            A set of the same name whose training rows keep their order; ``mean`` and ``std`` are those of the rows
            that are kept, as after a limit.

        Raises:
            ValueError: for rows of another type or shape, none, one twice, or some that are not in the training split.

        Example:
            >>> from mixlab.data import load
            >>> data = load("digits").subset(torch.tensor([20, 3]))
            >>> data.train.rows.tolist(), len(data.validation), len(data.test)
            ([3, 20], 145, 359)
        """
        _expect(rows, "rows", torch.int64, (None,))
        if not len(rows):
            raise ValueError("expected at least one row to keep, received none")
        if len(rows.unique()) < len(rows):
            raise ValueError("expected every row to keep once, received one twice")
        if len(others := rows[~torch.isin(rows, self.train.rows)]):
            held = int(torch.isin(others, self.validation.rows).sum())
            raise ValueError(
                f"expected rows of the training split of {self.name}, received {len(others)} others, {held} of them"
                f" held out for validation, such as {int(others.min())}"
            )
        train = self.train.subset(torch.isin(self.train.rows, rows))
        mean, std = train.moments()
        return replace(self, train=train, mean=mean, std=std)

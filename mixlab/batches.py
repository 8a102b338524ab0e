"""Where the images and the labels of a batch are, whatever it is made of, and the batch with others in their place."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from torch import Tensor

__all__ = ["images_and_labels", "rebuilt", "retyped", "rows_of", "tensors"]

#: Names under which dictionaries have images and labels.
IMAGES = ("image", "images", "pixel_values")
LABELS = ("label", "labels")
ROWS = ("row", "rows")


def images_and_labels(batch, labels_getter: Callable | str = "default") -> tuple[Tensor, Tensor]:
    """The images and the labels of a batch.

    Args:
        batch: a tuple or list that begins with images and labels (a `mixlab.data.Batch`, say), or a mapping with
            images under one of `IMAGES` and labels under one of `LABELS`.
        labels_getter: called with the batch, gives the labels; for batches that have them elsewhere. The images are
            then those of `IMAGES`, or the first other tensor.

    Raises:
        ValueError: where there are none, or two under different names.

    Example:
        >>> import torch
        >>> images, labels = torch.zeros(2, 1, 8, 8), torch.tensor([3, 1])
        >>> images_and_labels({"pixel_values": images, "labels": labels})[1]
        tensor([3, 1])
        >>> images_and_labels((images, {"class": labels}), lambda batch: batch[1]["class"])[1]
        tensor([3, 1])
    """
    if labels_getter != "default":
        labels = labels_getter(batch)
        images = _named(batch, IMAGES) if isinstance(batch, Mapping) else None
        if images is None:
            images = next((each for each in tensors(batch) if each is not labels), None)
    elif isinstance(batch, Mapping):
        images, labels = _named(batch, IMAGES), _named(batch, LABELS)
    else:
        images, labels = batch[:2] if isinstance(batch, (tuple, list)) and len(batch) > 1 else (None, None)
    if isinstance(images, Tensor) and isinstance(labels, Tensor):
        return images, labels
    raise ValueError(
        f"expected images and labels, or a mapping with {' or '.join(IMAGES)} and {' or '.join(LABELS)}, received "
        f"{_received(batch)}: hand them on as a pair, or give the mixer a labels_getter that finds the labels"
    )


def rows_of(batch) -> Tensor | None:
    """The row numbers of a batch: what stands third, or under `row` or `rows`; None where there are none.

    Example:
        >>> import torch
        >>> rows_of((torch.zeros(2, 4), torch.tensor([0, 1]), torch.tensor([70, 11])))
        tensor([70, 11])
    """
    if isinstance(batch, Mapping):
        return _named(batch, ROWS)
    return batch[2] if len(batch) > 2 else None


def rebuilt(batch, change: Callable[[Tensor], Tensor]):
    """A batch of the same build with every tensor changed; what is no tensor stays as it is.

    Example:
        >>> import torch
        >>> rebuilt({"image": torch.ones(1), "file": ["a.png"]}, lambda tensor: tensor + 1)
        {'image': tensor([2.]), 'file': ['a.png']}
    """
    if isinstance(batch, Tensor):
        return change(batch)
    if isinstance(batch, Mapping):
        return {name: rebuilt(part, change) for name, part in batch.items()}
    if isinstance(batch, tuple) and hasattr(batch, "_fields"):  # a NamedTuple
        return type(batch)(*(rebuilt(part, change) for part in batch))
    if isinstance(batch, (tuple, list)):
        return type(batch)(rebuilt(part, change) for part in batch)
    return batch


def retyped(batch, sample):
    """A collated batch with the `tv_tensors` of a sample of it: `default_collate` makes plain tensors of them.

    Raises:
        ValueError: for bounding boxes and key points, which masks cannot mix.

    Example:
        >>> import torch
        >>> from torchvision import tv_tensors
        >>> type(retyped(torch.zeros(2, 3, 8, 8), tv_tensors.Image(torch.zeros(3, 8, 8)))).__name__
        'Image'
    """
    if isinstance(sample, Tensor):
        if not type(sample).__module__.startswith("torchvision.tv_tensors"):
            return batch
        from torchvision import tv_tensors

        if not isinstance(sample, (tv_tensors.Image, tv_tensors.Mask, tv_tensors.Video)):
            raise ValueError(f"expected images, segmentation masks or videos to be mixed, received "
                             f"{type(sample).__name__}: they are coordinates, which masks cannot mix")
        return tv_tensors.wrap(batch, like=sample)
    if isinstance(sample, Mapping) and isinstance(batch, Mapping):
        return {name: retyped(part, sample[name]) for name, part in batch.items()}
    if isinstance(sample, tuple) and hasattr(sample, "_fields"):
        return type(sample)(*map(retyped, batch, sample))
    if isinstance(sample, (tuple, list)):
        return [retyped(*each) for each in zip(batch, sample, strict=True)]
    return batch


def _named(batch: Mapping, names: tuple[str, ...]) -> Tensor | None:
    """The tensor under one of these names."""
    found = {name: batch[name] for name in names if isinstance(batch.get(name), Tensor)}
    if len({id(each) for each in found.values()}) > 1:
        raise ValueError(f"expected a batch with one of {', '.join(names)}, received {' and '.join(found)}")
    return next(iter(found.values()), None)


def tensors(batch) -> list[Tensor]:
    """All tensors of a batch, in order.

    Example:
        >>> import torch
        >>> tensors({"image": torch.ones(1), "file": ["a.png"]})
        [tensor([1.])]
    """
    found: list[Tensor] = []
    rebuilt(batch, lambda each: found.append(each) or each)
    return found


def _received(batch) -> str:
    if isinstance(batch, Mapping):
        return f"a {type(batch).__name__} with {', '.join(map(str, batch)) or 'nothing'}"
    if isinstance(batch, (tuple, list)):
        return f"a {type(batch).__name__} of {', '.join(type(part).__name__ for part in batch) or 'nothing'}"
    return f"a {type(batch).__name__}"

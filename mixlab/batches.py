"""Where the images and the labels of a batch are, whatever it is made of, and the batch with others in their place."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from torch import Tensor

__all__ = ["images_and_labels", "rebuilt"]

#: Names under which dictionaries have images and labels.
IMAGES = ("image", "images", "pixel_values")
LABELS = ("label", "labels")


def images_and_labels(batch, labels_getter: Callable | str = "default") -> tuple[Tensor, Tensor]:
    """The images and the labels of a batch.

    Args:
        batch: a tuple or list that begins with images and labels (a `mixlab.data.Batch`, say), or a mapping with
            images under one of `IMAGES` and labels under one of `LABELS`.
        labels_getter: called with the batch, gives the labels; for batches that have them elsewhere. The images are
            then those of `IMAGES`, or the first other tensor.

    Raises:
        ValueError: where there are none.

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
            images = next((each for each in _tensors(batch) if each is not labels), None)
    elif isinstance(batch, Mapping):
        images, labels = _named(batch, IMAGES), _named(batch, LABELS)
    else:
        images, labels = batch[:2] if isinstance(batch, (tuple, list)) and len(batch) > 1 else (None, None)
    if isinstance(images, Tensor) and isinstance(labels, Tensor):
        return images, labels
    raise ValueError(
        f"expected images and labels, a mapping with {' or '.join(IMAGES)} and {' or '.join(LABELS)}, or a mixer with "
        f"a labels_getter that finds the labels, received {_received(batch)}"
    )


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


def _named(batch: Mapping, names: tuple[str, ...]) -> object:
    return next((batch[name] for name in names if name in batch), None)


def _tensors(batch) -> list[Tensor]:
    """All tensors of a batch, in order."""
    found: list[Tensor] = []
    rebuilt(batch, lambda each: found.append(each) or each)
    return found


def _received(batch) -> str:
    if isinstance(batch, Mapping):
        return f"a {type(batch).__name__} with {', '.join(map(str, batch)) or 'nothing'}"
    if isinstance(batch, (tuple, list)):
        return f"a {type(batch).__name__} of {', '.join(type(part).__name__ for part in batch) or 'nothing'}"
    return f"a {type(batch).__name__}"

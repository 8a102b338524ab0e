"""A network that no longer learns, and is asked: the teacher of SuperMix and of distillation."""

from __future__ import annotations

from os import PathLike, fspath
from pathlib import Path

import torch
from torch import Tensor, nn

from mixlab.files import write_atomically
from mixlab.models.frozen import Frozen, read
from mixlab.models.registry import build

__all__ = ["Teacher"]


class Teacher(Frozen):
    """A frozen copy of a network: no gradients in its weights, always in evaluation mode, known by its checksum.

    It can be a part of a risk: it enters no optimiser, and its `state_dict` is empty, since nothing of it is learned
    there. So the checkpoints of a training do not repeat it, and load whatever it is. That it is the same one says its
    checksum, which counts in what makes two runs the same run (the path of its file does not).

    Args:
        network: maps images (B, C, H, W) to logits (B, classes); copied.
        mean, std: per channel, the moments by which the images it was trained on were normalised. None if not known:
            then it takes images as they come.
        checkpoint: the file it was read from, if there is one.

    Attributes:
        checksum: sha256 of its weights and buffers, 64 hexadecimal digits.
        input_mean, input_std: the moments by which the images it is given are normalised: its own `mean` and `std`, but
            for a teacher that `for_images` made.

    Raises:
        ValueError: for a network that is none, or a mean and std that are not two sequences of one length with
            positive deviations.

    Example:
        >>> teacher = Teacher(nn.Sequential(nn.Flatten(), nn.Linear(4, 2)))
        >>> teacher.train().training, any(each.requires_grad for each in teacher.parameters())
        (False, False)
        >>> teacher(torch.zeros(3, 1, 2, 2)).shape, len(teacher.checksum)
        (torch.Size([3, 2]), 64)
        >>> pixels, teacher = torch.tensor([[[[0.75]]]]), Teacher(nn.Flatten(), mean=(0.5,), std=(0.5,))
        >>> teacher((pixels - 0.5) / 0.5), teacher.for_images((0.0,), (1.0,))(pixels)
        (tensor([[0.5000]]), tensor([[0.5000]]))
    """

    kind = "teacher"

    def forward(self, images: Tensor) -> Tensor:
        """Map images (B, C, H, W) to logits (B, classes); differentiable in the images."""
        return self.network(images * self._factor + self._shift if self.adapted else images)

    def save(self, path: str | PathLike, *, name: str, num_classes: int, in_channels: int,
             width: int | None = None) -> None:
        """Write one file with all that `load` needs: the network's name and sizes, weights, moments, checksum.

        It is then this teacher's `checkpoint`. The file is there whole or not at all.

        Args:
            path: the file; its folder is made.
            name, num_classes, in_channels, width: what `mixlab.models.build` makes such a network from.

        Raises:
            ValueError: where that is a network of other weights.
            OSError: if the disk refuses; whatever was at `path` is still there.

        Example:
            >>> from tempfile import TemporaryDirectory
            >>> teacher = Teacher(build("bench-net", 10, 1, 4), mean=(0.3,), std=(0.35,))
            >>> with TemporaryDirectory() as folder:
            ...     teacher.save(f"{folder}/teacher.pt", name="bench-net", num_classes=10, in_channels=1, width=4)
            ...     again = Teacher.load(f"{folder}/teacher.pt", checksum=teacher.checksum)
            >>> again.checksum == teacher.checksum, again.mean, again.std
            (True, (0.3,), (0.35,))
        """
        sizes = {"num_classes": num_classes, "in_channels": in_channels, "width": width}
        network = {"name": name} | {option: None if size is None else int(size) for option, size in sizes.items()}
        weights = self.network.state_dict()
        _built(network, weights)
        content = {"network": network, "weights": {key: value.cpu() for key, value in weights.items()},
                   "mean": self.mean, "std": self.std, "checksum": self.checksum}
        write_atomically(Path(path), lambda file: torch.save(content, file))
        self.checkpoint = fspath(path)

    @classmethod
    def load(cls, path: str | PathLike, checksum: str | None = None) -> Teacher:
        """Read a file of `save`, on the CPU.

        Args:
            path: the file.
            checksum: what the teacher's must be, if that is known.

        Raises:
            ValueError: for a file that is damaged or none of `save`, or the file of another teacher.
            FileNotFoundError: where there is no file.
        """

        def made(content: dict) -> Teacher:
            network = _built(content["network"], content["weights"])
            return cls(network, mean=content["mean"], std=content["std"], checkpoint=path)

        return read(path, cls.kind, made, checksum)


def _built(network: dict, weights: dict[str, Tensor]) -> nn.Module:
    """The network that some weights belong to.

    Raises:
        ValueError: where they do not fit it.
    """
    made = build(**network)
    try:
        made.load_state_dict(weights)
    except RuntimeError as error:
        reason = str(error).splitlines()[1].strip()
        raise ValueError(f"expected the weights of {network}, received others: {reason}") from None
    return made

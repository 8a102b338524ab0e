"""A network that no longer learns, and is asked: the teacher of SuperMix and of distillation."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from copy import deepcopy
from hashlib import sha256
from os import PathLike, fspath
from pathlib import Path

import torch
from torch import Tensor, nn

from mixlab.checks import numbers
from mixlab.files import write_atomically
from mixlab.models.registry import build

__all__ = ["Teacher"]


class Teacher(nn.Module):
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
    """

    #: What says nothing about what a teacher is; see `mixlab.train.fingerprint.described`.
    no_part_of_identity = ("checkpoint",)

    def __init__(self, network: nn.Module, *, mean: Sequence[float] | None = None,
                 std: Sequence[float] | None = None, checkpoint: str | PathLike | None = None):
        super().__init__()
        if not isinstance(network, nn.Module):
            raise ValueError(f"expected a network, received {network!r}")
        self.network = deepcopy(network).requires_grad_(False)
        if getattr(network, "channels_last_on_cpu", False):  # a third faster, and one layout wherever it came from
            self.network.to(memory_format=torch.channels_last)
        self.mean, self.std = self.input_mean, self.input_std = _moments(mean, std)
        self.checkpoint = None if checkpoint is None else fspath(checkpoint)
        self.checksum = _checksum(self.network)
        self._adapt()
        self.train()

    def _adapt(self) -> None:
        """Find the factor and the shift that turn images as they come into images as they were in training."""
        factor, shift = [1.0], [0.0]
        if (self.input_mean, self.input_std) != (self.mean, self.std):
            moments = list(zip(self.mean, self.std, self.input_mean, self.input_std, strict=True))
            factor = [new_std / std for _, std, _, new_std in moments]
            shift = [(new_mean - mean) / std for mean, std, new_mean, _ in moments]
        for name, values in (("_factor", factor), ("_shift", shift)):
            like = next(self.network.parameters(), torch.zeros(()))
            self.register_buffer(name, like.new_tensor(values).view(-1, 1, 1), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """Map images (B, C, H, W) to logits (B, classes); differentiable in the images."""
        if (self.input_mean, self.input_std) != (self.mean, self.std):
            images = images * self._factor + self._shift
        return self.network(images)

    def for_images(self, mean: Sequence[float], std: Sequence[float]) -> Teacher:
        """The same teacher for images that were normalised by other moments.

        Args:
            mean, std: per channel, of the images it will be given.

        Returns:
            A teacher around the same network; this one if it takes such images already or knows of no moments.

        Raises:
            ValueError: for moments that are none, or of another number of channels.

        Example:
            >>> teacher = Teacher(nn.Flatten(), mean=(0.5,), std=(0.5,))
            >>> pixels = torch.tensor([[[[0.75]]]])
            >>> teacher((pixels - 0.5) / 0.5), teacher.for_images((0.0,), (1.0,))(pixels)
            (tensor([[0.5000]]), tensor([[0.5000]]))
        """
        mean, std = _moments(mean, std)
        if self.mean is None or (mean, std) == (self.input_mean, self.input_std):
            return self
        if mean is None or len(mean) != len(self.mean):
            raise ValueError(f"expected a mean and a std for each of {len(self.mean)} channels, received {mean}, {std}")
        other = Teacher.__new__(Teacher)
        nn.Module.__init__(other)
        other.network = self.network
        other.mean, other.std, other.input_mean, other.input_std = self.mean, self.std, mean, std
        other.checkpoint, other.checksum = self.checkpoint, self.checksum
        other._adapt()
        return other.train()

    def train(self, mode: bool = True) -> Teacher:
        """Stay in evaluation mode, whatever is asked for."""
        return super().train(False)

    def state_dict(self, *args, destination=None, prefix: str = "", keep_vars: bool = False) -> dict[str, Tensor]:
        """Nothing: none of it is learned. `network.state_dict()` has the weights."""
        return OrderedDict() if destination is None else destination

    def _load_from_state_dict(self, state_dict: dict, prefix: str, *rest) -> None:
        # The state of a risk around this teacher has none of it: it keeps the weights that it has.
        for name, value in self.network.state_dict().items():
            state_dict[f"{prefix}network.{name}"] = value
        super()._load_from_state_dict(state_dict, prefix, *rest)

    @property
    def identity(self) -> tuple:
        """What makes two teachers the same one: the checksum and all moments."""
        return self.checksum, self.mean, self.std, self.input_mean, self.input_std

    def __repr__(self) -> str:
        return f"Teacher({type(self.network).__name__}, {self.checksum[:12]})"

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
        try:
            content = torch.load(path, map_location="cpu", weights_only=True)
            network = _built(content["network"], content["weights"])
            teacher = cls(network, mean=content["mean"], std=content["std"], checkpoint=path)
            intact = teacher.checksum == content["checksum"]
        except FileNotFoundError:
            raise
        except Exception as error:  # a damaged archive may raise anything
            reason = str(error).partition("\n")[0]
            wrong = f"expected a teacher's file at {path}, received one that cannot be read: {reason}"
            raise ValueError(wrong) from error
        if not intact:
            raise ValueError(f"expected a teacher's file at {path}, received one whose weights are damaged")
        if checksum is not None and teacher.checksum != checksum:
            raise ValueError(f"expected the teacher {checksum[:12]} at {path}, received {teacher.checksum[:12]}")
        return teacher

    def to_config(self) -> dict:
        """Plain data that `from_config` finds this teacher by: its file, its checksum, the moments it was adapted to.

        Raises:
            ValueError: where there is no file yet.
        """
        if self.checkpoint is None:
            raise ValueError(f"expected a teacher with a file, which save() gives it, received {self!r}")
        config = {"checkpoint": self.checkpoint, "checksum": self.checksum}
        if (self.input_mean, self.input_std) != (self.mean, self.std):
            config |= {"mean": list(self.input_mean), "std": list(self.input_std)}
        return config

    @classmethod
    def from_config(cls, config: Mapping) -> Teacher:
        """Read a teacher by what records and command lines have.

        Args:
            config: ``{"checkpoint": path}``, where known with its ``"checksum"``, and with ``"mean"`` and ``"std"`` of
                the images that it will be given.

        Raises:
            ValueError: for something else, or what `load` and `for_images` refuse.
        """
        known = {"checkpoint", "checksum", "mean", "std"}
        if not isinstance(config, Mapping) or "checkpoint" not in config or set(config) - known:
            raise ValueError("expected a teacher such as {'checkpoint': 'teacher.pt'}, with some of "
                             f"{sorted(known)}, received {config!r}")
        teacher = cls.load(config["checkpoint"], config.get("checksum"))
        moments = config.get("mean"), config.get("std")
        return teacher if moments == (None, None) else teacher.for_images(*moments)


def _moments(mean: Sequence[float] | None, std: Sequence[float] | None) -> tuple:
    """Mean and std as tuples of floats, or None and None."""
    if mean is None and std is None:
        return None, None
    means, deviations = numbers(mean), numbers(std)
    if not means or not deviations or len(means) != len(deviations) or not min(deviations) > 0:
        raise ValueError(f"expected a mean and a positive std for every channel, received {mean!r} and {std!r}")
    return tuple(means), tuple(deviations)


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


def _checksum(network: nn.Module) -> str:
    """sha256 over the names, types, shapes and bytes of weights and buffers."""
    digest = sha256()
    for name, value in sorted(network.state_dict().items()):
        value = value.detach().cpu().contiguous()
        digest.update(f"{name} {value.dtype} {tuple(value.shape)} ".encode())
        digest.update(value.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()

"""What frozen networks have in common: a part of something that is trained, and a file with a checksum."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from hashlib import sha256
from os import PathLike, fspath
from typing import Self

import torch
from torch import Tensor, nn

from mixlab.checks import numbers

__all__ = ["Frozen", "checksum_of", "moments", "read"]


class Frozen(nn.Module):
    """A frozen copy of a network: no gradients in its weights, always in evaluation mode, known by its checksum.

    Subclasses say what it is asked (`forward`) and how its file is read (`load`).

    Args:
        network: copied.
        mean, std: per channel, the moments by which the images it was trained on were normalised. None if not known:
            then it takes images as they come.
        checkpoint: the file it was read from, if there is one.

    Attributes:
        kind: what errors call it.
        checksum: sha256 of its weights and buffers, 64 hexadecimal digits.
        input_mean, input_std: the moments by which the images it is given are normalised: its own `mean` and `std`, but
            for one that `for_images` made.

    Raises:
        ValueError: for a network that is none, or a mean and std that are not two sequences of one length with
            positive deviations.
    """

    kind = "network"
    #: What says nothing about what it is; see `mixlab.train.fingerprint.described`.
    no_part_of_identity = ("checkpoint",)

    def __init__(self, network: nn.Module, *, mean: Sequence[float] | None = None,
                 std: Sequence[float] | None = None, checkpoint: str | PathLike | None = None):
        super().__init__()
        if not isinstance(network, nn.Module):
            raise ValueError(f"expected a network, received {network!r}")
        self.network = deepcopy(network).requires_grad_(False)
        if getattr(network, "channels_last_on_cpu", False):  # a third faster, and one layout wherever it came from
            self.network.to(memory_format=torch.channels_last)
        self.mean, self.std = self.input_mean, self.input_std = moments(mean, std)
        self.checkpoint = None if checkpoint is None else fspath(checkpoint)
        self.checksum = checksum_of(self.network)
        self._adapt()
        self.train()

    def _adapt(self) -> None:
        """Find the factor and the shift that turn images as they come into images as they were in training."""
        factor, shift = [1.0], [0.0]
        if self.adapted:
            each_channel = list(zip(self.mean, self.std, self.input_mean, self.input_std, strict=True))
            factor = [new_std / std for _, std, _, new_std in each_channel]
            shift = [(new_mean - mean) / std for mean, std, new_mean, _ in each_channel]
        for name, values in (("_factor", factor), ("_shift", shift)):
            like = next(self.network.parameters(), torch.zeros(()))
            self.register_buffer(name, like.new_tensor(values).view(-1, 1, 1), persistent=False)

    @property
    def adapted(self) -> bool:
        """Whether the images that come are normalised by other moments than those it was trained on."""
        return (self.input_mean, self.input_std) != (self.mean, self.std)

    def for_images(self, mean: Sequence[float], std: Sequence[float]) -> Self:
        """The same one for images that were normalised by other moments.

        Args:
            mean, std: per channel, of the images it will be given.

        Returns:
            Another one around the same network; this one if it takes such images already or knows of no moments.

        Raises:
            ValueError: for moments that are none, or of another number of channels.
        """
        mean, std = moments(mean, std)
        if self.mean is None or (mean, std) == (self.input_mean, self.input_std):
            return self
        if mean is None or len(mean) != len(self.mean):
            raise ValueError(f"expected a mean and a std for each of {len(self.mean)} channels, received {mean}, {std}")
        other = type(self).__new__(type(self))
        nn.Module.__init__(other)
        other.network = self.network
        for name, value in vars(self).items():  # its plain attributes: all that not every module has
            if name not in vars(other):
                setattr(other, name, value)
        other.input_mean, other.input_std = mean, std
        other._adapt()
        return other.train()

    def train(self, mode: bool = True) -> Self:
        """Stay in evaluation mode, whatever is asked for."""
        return super().train(False)

    def state_dict(self, *args, destination=None, prefix: str = "", keep_vars: bool = False) -> dict[str, Tensor]:
        """Nothing: none of it is learned. `network.state_dict()` has the weights."""
        return OrderedDict() if destination is None else destination

    def _load_from_state_dict(self, state_dict: dict, prefix: str, *rest) -> None:
        # The state of what holds it has none of it: it keeps the weights that it has.
        for name, value in self.network.state_dict().items():
            state_dict[f"{prefix}network.{name}"] = value
        super()._load_from_state_dict(state_dict, prefix, *rest)

    @property
    def identity(self) -> tuple:
        """What makes two of them the same one: the checksum and all moments."""
        return self.checksum, self.mean, self.std, self.input_mean, self.input_std

    def __repr__(self) -> str:
        return f"{type(self).__name__}({type(self.network).__name__}, {self.checksum[:12]})"

    def to_config(self) -> dict:
        """Plain data that `from_config` finds it by: its file, its checksum, the moments it was adapted to.

        Raises:
            ValueError: where there is no file yet.
        """
        if self.checkpoint is None:
            raise ValueError(f"expected a {self.kind} with a file, which save() gives it, received {self!r}")
        config = {"checkpoint": self.checkpoint, "checksum": self.checksum}
        if self.adapted:
            config |= {"mean": list(self.input_mean), "std": list(self.input_std)}
        return config

    @classmethod
    def from_config(cls, config: Mapping) -> Self:
        """Read one by what records and command lines have.

        Args:
            config: ``{"checkpoint": path}``, where known with its ``"checksum"``, and with ``"mean"`` and ``"std"`` of
                the images that it will be given.

        Raises:
            ValueError: for something else, or what `load` and `for_images` refuse.
        """
        known = {"checkpoint", "checksum", "mean", "std"}
        if not isinstance(config, Mapping) or "checkpoint" not in config or set(config) - known:
            raise ValueError(f"expected a {cls.kind} such as {{'checkpoint': '{cls.kind}.pt'}}, with some of "
                             f"{sorted(known)}, received {config!r}")
        found = cls.load(config["checkpoint"], config.get("checksum"))
        of_images = config.get("mean"), config.get("std")
        return found if of_images == (None, None) else found.for_images(*of_images)


def read(path: str | PathLike, kind: str, make: Callable[[dict], Frozen], checksum: str | None = None) -> Frozen:
    """What a file of a frozen network holds, on the CPU.

    Args:
        path: the file.
        kind: what errors call it.
        make: maps the file's content to what it is the file of; the content has its ``"checksum"``.
        checksum: what that must be, if it is known.

    Raises:
        ValueError: for a file that is damaged or not of this kind, or the file of another one.
        FileNotFoundError: where there is no file.
    """
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        found = make(content)
        intact = found.checksum == content["checksum"]
    except FileNotFoundError:
        raise
    except Exception as error:  # a damaged archive may raise anything
        reason = str(error).partition("\n")[0]
        wrong = f"expected a {kind}'s file at {path}, received one that cannot be read: {reason}"
        raise ValueError(wrong) from error
    if not intact:
        raise ValueError(f"expected a {kind}'s file at {path}, received one whose weights are damaged")
    if checksum is not None and found.checksum != checksum:
        raise ValueError(f"expected the {kind} {checksum[:12]} at {path}, received {found.checksum[:12]}")
    return found


def moments(mean: Sequence[float] | None, std: Sequence[float] | None) -> tuple:
    """Mean and std as tuples of floats, or None and None.

    Raises:
        ValueError: for something else than two sequences of one length with positive deviations.
    """
    if mean is None and std is None:
        return None, None
    means, deviations = numbers(mean), numbers(std)
    if not means or not deviations or len(means) != len(deviations) or not min(deviations) > 0:
        raise ValueError(f"expected a mean and a positive std for every channel, received {mean!r} and {std!r}")
    return tuple(means), tuple(deviations)


def checksum_of(network: nn.Module) -> str:
    """sha256 over the names, types, shapes and bytes of weights and buffers."""
    digest = sha256()
    for name, value in sorted(network.state_dict().items()):
        value = value.detach().cpu().contiguous()
        digest.update(f"{name} {value.dtype} {tuple(value.shape)} ".encode())
        digest.update(value.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()

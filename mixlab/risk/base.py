"""What every risk is to the training loop."""

from __future__ import annotations

from torch import Generator, Tensor, nn

from mixlab.mixers.base import Mixer

#: Under which a risk's state has that of its mixer's own generator: torch's name for what is no parameter or buffer,
#: the only one that its tools for distributed checkpoints let pass.
STREAM = "_extra_state"


class Risk(nn.Module):
    """What is minimised: ``risk(model, batch, step=s, generator=g) -> loss``.

    A risk does not keep the network. What it learns or remembers is its parameters and buffers, so it is optimised,
    and checkpointed like any module; parameters that are frozen (a teacher's) enter no optimiser
    and count in what makes two runs the same. A hidden layer is read with `mixlab.models.tap`. With several processes,
    buffers that ``forward`` writes are those of each process, and a checkpoint keeps the first one's.

    Where no generator is given, a mixer draws from its own. How far that is stands in ``state_dict()`` beside the
    parameters: a loop of yours that is stopped and started again, with the state loaded, goes on with new mixes.

    Attributes:
        compilable: whether the network may be compiled: false for a risk that reaches into its layers.

    Example:
        >>> import torch
        >>> class Halved(Risk):
        ...     def forward(self, model, batch, *, step=0, generator=None):
        ...         images, labels = batch[:2]
        ...         return nn.functional.cross_entropy(model(images), labels) / 2
        >>> batch = torch.zeros(3, 4), torch.tensor([0, 1, 2])
        >>> round(Halved()(nn.Identity(), batch).item(), 4), Halved().compilable
        (0.6931, True)
    """

    compilable = True

    def _save_to_state_dict(self, destination, prefix, keep_vars):
        super()._save_to_state_dict(destination, prefix, keep_vars)
        mixer = self._drawing()
        if mixer is not None and (stream := mixer.stream_state()) is not None:
            destination[prefix + STREAM] = stream

    def _load_from_state_dict(self, state_dict, prefix, *rest):
        stream = state_dict.pop(prefix + STREAM, None)
        if (mixer := self._drawing()) is not None:
            mixer.set_stream_state(stream)
        super()._load_from_state_dict(state_dict, prefix, *rest)

    def _drawing(self) -> Mixer | None:
        """The mixer that draws, if it has a generator of its own; a risk may hold any object with a `draw`."""
        inner = getattr(self, "mixer", None) or getattr(getattr(self, "manifold", None), "mixer", None)
        return inner if isinstance(inner, Mixer) else None

    def forward(self, model: nn.Module, batch: tuple[Tensor, ...], *, step: int = 0,
                generator: Generator | None = None) -> Tensor:
        """Loss of a model on a batch; subclasses say which.

        Args:
            model: images (B, C, H, W) to logits (B, classes).
            batch: a `mixlab.data.Batch`, or a pair of images and labels where no rows are needed.
            step: number of the training step, from 0.
            generator: all that is drawn comes from it.
        """
        raise TypeError(f"{type(self).__name__} does not say what its loss is; use one of its subclasses")

r"""Mixing inside the network: any mix, applied to a hidden layer.

**Method card.** Manifold Mixup (Verma et al., 2019) draws a layer for every batch and blends its output; with CutMix
inside it is Feature CutMix (Yun et al., 2019, Table 3). K = 2 or more.

- *How to use*: ``logits, mix = ManifoldMixup(Mixup(2.0), ("", "stage1", "stage2"))(model, images, labels)``, then
  ``mix.targets(labels, num_classes)``.
- *Settings*: the input and the first two stages; α = 2 for PreAct ResNet-18 (Verma et al.).
- *Implementation*: the mix is drawn for the layer's output, so that regions and labels are exact at its resolution. On
  maps of a few pixels the nested boxes of DCutMix favour the inner images (*Rounding* in
  :mod:`mixlab.mixers.regional`).
- *Limits*: a layer must give one tensor with the batch first. It must not be hidden inside a compiled graph, nor be
  recomputed in the backward pass (activation checkpointing), where nobody would mix it: both end in an error. So does
  a layer that runs under ``torch.no_grad`` in a network that does not; freeze it with ``requires_grad_(False)``.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from mixlab.mix import Mix
from mixlab.mixers.base import Mixer, check_mixer
from mixlab.models.tap import find_layer, tap

__all__ = ["ManifoldMixup"]


@dataclass(frozen=True)
class ManifoldMixup:
    """Mix the output of a random layer.

    Args:
        mixer: what to do there: any mixer.
        layers: names of submodules to choose from, uniformly and for every batch; ``""`` is the input.

    Raises:
        ValueError: for a ``mixer`` that is none, without layers, or, when called, for a layer that the network does not
            have.

    Source: Verma et al. (2019), section 2; Yun et al. (2019), section 4.1 for Feature CutMix.

    Example:
        >>> from mixlab.mixers import Mixup
        >>> model = nn.Sequential(nn.Identity(), nn.Flatten())
        >>> logits, mix = ManifoldMixup(Mixup(1.0), ("0",))(model, torch.eye(2), torch.tensor([0, 1]))
        >>> torch.allclose(logits, mix.targets(torch.tensor([0, 1]), 2))
        True
    """

    mixer: Mixer
    layers: Sequence[str]

    def __post_init__(self):
        check_mixer(self.mixer)
        if isinstance(self.layers, str) or not len(self.layers) or not all(isinstance(n, str) for n in self.layers):
            raise ValueError(f"expected a sequence of layer names, received {self.layers!r}")

    def __call__(
        self,
        model: nn.Module,
        images: Tensor,
        labels: Tensor | None = None,
        *,
        generator: torch.Generator | None = None,
    ) -> tuple[Tensor, Mix]:
        """Run the network with one layer mixed.

        Args:
            model: any network, wrapped or not.
            images: ``(B, C, H, W)``.
            labels: ``(B,)``, for mixers that look at them.
            generator: source of randomness for the layer and the mix.

        Returns:
            The network's output for the mixed batch, and the mix that gives its targets.

        Raises:
            ValueError: for a layer that the network does not have, or that gives anything but one tensor.
            RuntimeError: where the layer did not run, ran more than once, or ran without gradients as reentrant
                activation checkpointing does, which would recompute it unmixed.
        """
        # All of them, so that a wrong name ends the first step and not the first one that happens to draw it.
        for name in filter(None, self.layers):
            find_layer(model, name)
        generator = generator or self.mixer._own_generator()
        choice = torch.randint(len(self.layers), (), generator=generator, device=generator.device)
        name = self.layers[int(choice)]
        if name == "":
            mix = self.mixer.draw(images, labels, generator=generator)
            return model(mix.apply(images)), mix
        drawn = []

        def mixed(output: Tensor) -> Tensor:
            drawn.append(self.mixer.draw(output.detach(), labels, generator=generator))
            return drawn[-1].apply(output)

        with tap(model, name, change=mixed) as layer:
            logits = model(images)
        layer.value  # noqa: B018 - asked for its error where the layer did not run once
        return logits, drawn[0]

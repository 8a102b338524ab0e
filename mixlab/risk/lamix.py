"""LaMix: one picture of a pair, and a label that is in part the network's own."""

from __future__ import annotations

import torch
from torch import Generator, Tensor, nn

from mixlab.batches import images_and_labels
from mixlab.checks import real, whole
from mixlab.mixers import Average, Mixer
from mixlab.models import initialise, tap
from mixlab.models.logits import as_logits
from mixlab.models.tap import find_layer
from mixlab.risk.base import Risk
from mixlab.risk.loss import soft_cross_entropy
from mixlab.risk.vicinal import check_clean, mix_of_step

TARGET_GRADS = ("full", "head", "none")


class LaMixRisk(Risk):
    r"""Cross-entropy on averaged pairs, against a target that a second head of the network helps to make.

    With S the input of the network's linear head, W_t a second linear head on it, and y_λ the mix's own label:

        p = softmax(sigmoid(W_t S))             (eq. 9)
        target = β y_λ + (1 - β) p              (eq. 10)
        loss = -Σ_c target_c log softmax(W_l S)_c   (eq. 11, which lacks the minus sign)

    Mini-batches take turns: those of even steps are clean, those of odd steps are mixed. Clean ones have the same kind
    of target, β y + (1 - β) p. W_t is this module's `head`: it is trained and checkpointed with the network, and the
    network alone is what predicts.

    The sigmoid keeps p near the uniform distribution: no entry is above e / (e + C - 1), see `mixlab.theory.p_max`.
    Without it nothing does, and a network can learn to agree with its own target. So the control is uniform label
    smoothing by 1 - β on the same pairs, λ and clean batches, which draws the same numbers from a generator:
    `VicinalRisk(Average(local_lambda, pairing="permutation"), label_smoothing=1 - beta, clean=True)`. At β = 1 nothing
    is left of p, W_t is frozen, and the two are equal.

    There is no published code; what the paper leaves open is an option here, with our reading as its default.

    Args:
        classes: number C of logits.
        width: length m of the embedding S.
        beta: weight β of the local label, in [0, 1].
        target_grad: where the gradient through the target goes. "full": to W_t and, through S, to the network, which
            is the paper's text read literally. "head": to W_t alone. "none": nowhere; W_t stays as it was drawn.
        local_lambda: λ of the local label, "random" for U(0, 1) per pair, or a number in [0, 1]; see
            `mixlab.mixers.Average`.
        sigmoid: whether W_t S goes through the sigmoid; without it p may be any distribution.
        clean: whether every other mini-batch is clean. Without, all are mixed.
        mixer: draws the images and the local labels y_λ. By default `Average(local_lambda)` with the paper's pairing, a
            permutation of the batch; another one has its own label weights, and `local_lambda` is then left alone.
        layer: name of the network's linear head W_l, as in `named_modules`.
        scale: c in sigmoid(c W_t S); a network with a `logit_scale` c has logits c W_l S, and the two heads then start
            and learn alike. A step of gradient descent moves c W_t S in proportion to c², so without the scale of 1/9
            that the bench's network has, W_t would learn 81 times as fast as W_l and drive the sigmoid to its ends.
        generator: source of W_t's initial weights, by the rules of `mixlab.models.initialise`, with a bias of 0; None
            is a new one of seed 0.

    Raises:
        ValueError: for an option outside its values, or both a mixer and a `local_lambda`.

    Source: "Bypassing the random input mixing in Mixup" (LaMix, submitted to ICLR 2021), sections 2.2 to 2.4.

    Example:
        >>> model = nn.Sequential(nn.Flatten(), nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))
        >>> risk = LaMixRisk(classes=2, width=3, layer="3")
        >>> batch, draws = (torch.zeros(4, 1, 2, 2), torch.tensor([0, 1, 1, 0])), torch.Generator().manual_seed(0)
        >>> risk(model, batch, step=1, generator=draws).shape
        torch.Size([])
        >>> risk.targets(torch.eye(2), torch.zeros(2, 3))
        tensor([[0.7500, 0.2500],
                [0.2500, 0.7500]], grad_fn=<AddBackward0>)
    """

    compilable = False  # a compiled network hides the layer that is read

    def __init__(
        self,
        classes: int,
        width: int,
        *,
        beta: float = 0.5,
        target_grad: str = "full",
        local_lambda: float | str = "random",
        sigmoid: bool = True,
        clean: bool = True,
        mixer: Mixer | None = None,
        layer: str = "head.linear",
        scale: float = 1.0,
        generator: Generator | None = None,
    ):
        super().__init__()
        for name, value in (("classes", classes), ("width", width)):
            if not whole(value) or value < 1:
                raise ValueError(f"expected a positive integer {name}, received {value!r}")
        if not real(beta) or not 0 <= beta <= 1:
            raise ValueError(f"expected beta in [0, 1], received {beta!r}")
        if target_grad not in TARGET_GRADS:
            raise ValueError(f"expected a target_grad of {', '.join(TARGET_GRADS)}, received {target_grad!r}")
        if not isinstance(sigmoid, bool):
            raise ValueError(f"expected sigmoid to be True or False, received {sigmoid!r}")
        check_clean(clean)
        if not real(scale) or not 0 < scale < float("inf"):
            raise ValueError(f"expected a positive scale, received {scale!r}")
        if mixer is not None and local_lambda != "random":
            raise ValueError(f"expected no local_lambda with a mixer, which has its own, received {local_lambda!r}")
        self.beta, self.target_grad, self.sigmoid, self.clean = float(beta), target_grad, sigmoid, clean
        self.mixer = Average(local_lambda, pairing="permutation") if mixer is None else mixer
        self.layer, self.scale = layer, float(scale)
        # Made without memory first: torch would draw weights from the global generator.
        generator = torch.Generator().manual_seed(0) if generator is None else generator
        self.head = initialise(nn.utils.skip_init(nn.Linear, width, classes), generator)
        self.head.requires_grad_(target_grad != "none" and beta < 1)

    def forward(self, model: nn.Module, batch: tuple[Tensor, ...], *, step: int = 0,
                generator: Generator | None = None) -> Tensor:
        """Loss of `model` on the batch of a step, clean or mixed; all randomness comes from `generator`.

        Raises:
            ValueError: if the network has no layer of that name, the layer's input has another width, the number of
                logits is another one, or whatever the mixer finds wrong with the batch.
        """
        images, labels = images_and_labels(batch, getattr(self.mixer, "labels_getter", "default"))
        mix = mix_of_step(self.mixer, images, labels, step=step, clean=self.clean, generator=generator)
        with tap(model, self.layer, input=True) as embedding:
            logits = as_logits(model(mix.apply(images)))
        local = mix.targets(labels, num_classes=self.head.out_features)
        return soft_cross_entropy(logits, self.targets(local, embedding.value))

    def targets(self, local: Tensor, embedding: Tensor) -> Tensor:
        """Targets (B, C) of local labels (B, C) and embeddings S (B, m): eq. 10."""
        if self.beta == 1:
            return local
        return self.beta * local + (1 - self.beta) * self.global_label(embedding)

    def global_label(self, embedding: Tensor) -> Tensor:
        """What the second head says of embeddings S (B, m), any floating type: p (B, C) of eq. 9, in W_t's type.

        Raises:
            ValueError: for embeddings of another shape.
        """
        if embedding.ndim != 2 or embedding.shape[1] != self.head.in_features:
            raise ValueError(f"expected embeddings of shape (B, {self.head.in_features}) in front of layer "
                             f"{self.layer!r}, received {tuple(embedding.shape)}")
        given = embedding.detach() if self.target_grad == "head" else embedding
        # Labels are not to be rounded to half precision, whatever the network computes in.
        with torch.autocast(embedding.device.type, enabled=False):
            scores = self.scale * self.head(given.to(self.head.weight.dtype))
            p = (scores.sigmoid() if self.sigmoid else scores).softmax(1)
        return p.detach() if self.target_grad == "none" else p

    def extra_repr(self) -> str:
        return (f"{self.mixer!r}, beta={self.beta:g}, target_grad={self.target_grad!r}, sigmoid={self.sigmoid}, "
                f"clean={self.clean}, layer={self.layer!r}, scale={self.scale:.4g}")


def linear_head(model: nn.Module, classes: int, layer: str | None = None) -> tuple[str, nn.Linear]:
    """The linear layer of a network that gives its logits, and its name.

    Args:
        model: a network with a linear head; a factor on its logits may follow.
        classes: number of logits.
        layer: its name. None is the last linear layer with as many outputs as there are classes, which is
            "head.linear" in our networks and "fc" in torchvision's.

    Raises:
        ValueError: if there is no such layer, or it is not linear.

    Example:
        >>> from mixlab.models import build
        >>> linear_head(build("lenet", num_classes=10), 10)
        ('head.linear', Linear(in_features=84, out_features=10, bias=True))
    """
    if layer is not None:
        found = find_layer(model, layer)
        if not isinstance(found, nn.Linear):
            raise ValueError(f"expected layer {layer!r} to be a linear one, received {type(found).__name__}")
        return layer, found
    linear = [(name, module) for name, module in model.named_modules()
              if isinstance(module, nn.Linear) and module.out_features == classes]
    if not linear:
        raise ValueError(f"expected a network with a linear head of {classes} outputs, received {type(model).__name__}")
    return linear[-1]

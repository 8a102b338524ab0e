"""Mixed precision for risks that differentiate on their own."""

from lightning.fabric.plugins import MixedPrecision, Precision

__all__ = ["Autocast"]


class Autocast(MixedPrecision):
    """Fabric's bfloat16 autocast, in which a risk may ask for a gradient before the loop's backward pass.

    Fabric refuses that in mixed precision, because its own backward pass scales the loss. It does so for float16 alone;
    bfloat16 has the range of float32, so there is no scale to be missed.

    Args:
        device: "cpu" or "cuda".
    """

    backward = Precision.backward

    def __init__(self, device: str):
        super().__init__("bf16-mixed", device)

"""The generator's network q_V(x, μ): a U-Net that is told a soft label where its maps are smallest."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from mixlab.checks import real, whole
from mixlab.models import initialise
from mixlab.models.frozen import moments

__all__ = ["OUTPUTS", "ConditionalUNet"]

OUTPUTS = ("bounded", "free", "residual")


class ConditionalUNet(nn.Module):
    r"""Maps images x and soft labels μ to images x̃ of the same size: x̃ = q_VD(q_VE(x), μ).

    The encoder q_VE halves the sides of its maps `downs` times, and doubles their channels: `base`, 2 `base`, …. Each
    level has two 3×3 convolutions with batch normalisation and ReLU. At the bottom the C numbers of μ are laid over
    the grid as C further channels, which is all that the decoder q_VD learns of μ. It goes back up by 2×2 transposed
    convolutions, and beside its own maps it reads the encoder's of each level (`skips`). A 1×1 convolution makes the
    image.

    The paper says U-Net, Adam and "concatenated with the encoder's output", and no more. So these are options:

    - `skips`: with them the image arrives whole and μ becomes a change of it, as in the paper's Fig. 1. Without them
      nothing in the loss asks the decoder to keep the image.
    - `output`: "bounded" is a sigmoid, pixels in [0, 1], normalised by `mean` and `std` afterwards, so that x̃ is an
      image; "free" is what the last convolution gives, in the space of normalised images; "residual" is x + reach ·
      tanh of it.

    Args:
        num_classes: C, numbers in μ.
        in_channels: of the images.
        base: channels of the first level.
        downs: how often the sides are halved; 2^downs has to divide both.
        skips: whether the decoder reads the encoder's maps.
        output: "bounded", "free" or "residual".
        mean, std: per channel, by which the images are normalised; needed for "bounded".
        reach: of "residual", the largest change of a normalised pixel.
        generator: source of the initial weights, on the CPU, by the rules of `mixlab.models.initialise`, smaller ones
            in the last layer; None is a new one of seed 0.

    Raises:
        ValueError: for an option outside its values, or moments that are missing or of another number of channels.

    Source: Jeong et al., section 3.2 and appendix A; Ronneberger et al. (2015), "U-Net", for the shape.

    Example:
        >>> network = ConditionalUNet(10, in_channels=1, base=8, downs=2, output="free")
        >>> network(torch.zeros(2, 1, 28, 28), torch.full((2, 10), 0.1)).shape
        torch.Size([2, 1, 28, 28])
        >>> sum(parameter.numel() for parameter in network.parameters())
        30121
    """

    def __init__(self, num_classes: int, *, in_channels: int = 3, base: int = 32, downs: int = 3, skips: bool = True,
                 output: str = "bounded", mean: Sequence[float] | None = None, std: Sequence[float] | None = None,
                 reach: float = 1.0, generator: torch.Generator | None = None):
        super().__init__()
        sizes = {"num_classes": num_classes, "in_channels": in_channels, "base": base, "downs": downs}
        for name, value in sizes.items():
            if not whole(value) or value < 1:
                raise ValueError(f"expected a positive integer {name}, received {value!r}")
        if not isinstance(skips, bool):
            raise ValueError(f"expected skips to be True or False, received {skips!r}")
        if output not in OUTPUTS:
            raise ValueError(f"expected an output of {', '.join(OUTPUTS)}, received {output!r}")
        if not real(reach) or not 0 < reach < float("inf"):
            raise ValueError(f"expected a positive reach, received {reach!r}")
        self.num_classes, self.in_channels, self.base, self.downs = map(int, sizes.values())
        self.skips, self.output, self.reach = skips, output, float(reach)
        self.mean, self.std = moments(mean, std)
        widths = [self.base * 2**level for level in range(self.downs + 1)]
        told = [widths[-1] + self.num_classes, *widths[-2:0:-1]]  # what each step up is given
        # Layers draw from the global generator as they are made; without memory there is nothing to draw.
        with torch.device("meta"):
            self.encoder = nn.ModuleList(_double(before, after) for before, after in
                                         zip([self.in_channels, *widths], widths, strict=False))
            self.halve = nn.MaxPool2d(2)
            self.up = nn.ModuleList(nn.ConvTranspose2d(before, after, 2, stride=2) for before, after in
                                    zip(told, widths[-2::-1], strict=True))
            self.decoder = nn.ModuleList(_double((1 + skips) * width, width) for width in widths[-2::-1])
            self.head = nn.Conv2d(widths[0], self.in_channels, 1)
        initialise(self.to_empty(device="cpu"), torch.Generator().manual_seed(0) if generator is None else generator)
        with torch.no_grad():
            # Variance 1 / base, not 2 / in_channels: what comes out is about 1, and a sigmoid starts in its middle.
            self.head.weight *= (self.in_channels / (2 * self.base)) ** 0.5
        if output == "bounded":
            self._keep_moments()

    def _keep_moments(self) -> None:
        """Have the moments of "bounded" beside the weights, wherever these go; they are no weights."""
        if self.mean is None or len(self.mean) != self.in_channels:
            raise ValueError(f"expected a mean and std of {self.in_channels} channels with a bounded output, received "
                             f"{self.mean} and {self.std}")
        for name in ("mean", "std"):
            self.register_buffer(f"_{name}", torch.tensor(getattr(self, name)).view(-1, 1, 1), persistent=False)

    @property
    def config(self) -> dict:
        """Plain data that makes such a network again: ``ConditionalUNet(**network.config)``."""
        names = ("num_classes", "in_channels", "base", "downs", "skips", "output", "mean", "std", "reach")
        return {name: getattr(self, name) for name in names}

    def forward(self, images: Tensor, mu: Tensor) -> Tensor:
        """Map images (B, C, H, W) and soft labels (B, classes) to images (B, C, H, W).

        Raises:
            ValueError: for images of another number of channels or with a side that 2^downs does not divide, or soft
                labels of another shape.
        """
        self.check(images.shape)
        if mu.shape != (len(images), self.num_classes):
            raise ValueError(f"expected soft labels of shape {(len(images), self.num_classes)}, received "
                             f"{tuple(mu.shape)}")
        maps, seen = self.encoder[0](images), []
        for level in self.encoder[1:]:
            seen.append(maps)
            maps = level(self.halve(maps))
        grid = mu.to(maps.dtype)[:, :, None, None].expand(-1, -1, *maps.shape[-2:])
        maps = torch.cat([maps, grid], dim=1)
        for rise, level in zip(self.up, self.decoder, strict=True):
            maps, beside = rise(maps), seen.pop()
            maps = level(torch.cat([maps, beside], dim=1) if self.skips else maps)
        made = self.head(maps)
        if self.output == "bounded":
            return (made.sigmoid() - self._mean) / self._std
        return made if self.output == "free" else images + self.reach * made.tanh()

    def check(self, shape: Sequence[int]) -> None:
        """Refuse images that the network cannot halve as often as it has to.

        Args:
            shape: of the images, (B, C, H, W) or (C, H, W).

        Raises:
            ValueError: for another number of channels, or a side that 2^downs does not divide.

        Example:
            >>> ConditionalUNet(10, in_channels=1, output="free").check((1, 28, 28))
            Traceback (most recent call last):
            ...
            ValueError: expected images whose sides 8 = 2^3 divides, received 28 x 28: with downs=2 they fit
        """
        if len(shape) not in (3, 4) or shape[-3] != self.in_channels:
            raise ValueError(f"expected images of {self.in_channels} channels, (B, C, H, W), received {tuple(shape)}")
        height, width = shape[-2:]
        fitting = [n for n in range(self.downs + 1) if height % 2**n == width % 2**n == 0]
        if self.downs not in fitting or 0 in (height, width):
            most = f"with downs={fitting[-1]} they fit" if fitting[-1] else "they cannot be halved"
            raise ValueError(f"expected images whose sides {2**self.downs} = 2^{self.downs} divides, received "
                             f"{height} x {width}: {most}")

    def extra_repr(self) -> str:
        reach = f", reach={self.reach:g}" if self.output == "residual" else ""
        return f"num_classes={self.num_classes}, skips={self.skips}, output={self.output!r}{reach}"


def _double(channels: int, out: int) -> nn.Sequential:
    """Two convolutions that keep the sides, each with batch normalisation and ReLU."""
    return nn.Sequential(
        nn.Conv2d(channels, out, 3, padding=1, bias=False), nn.BatchNorm2d(out), nn.ReLU(),
        nn.Conv2d(out, out, 3, padding=1, bias=False), nn.BatchNorm2d(out), nn.ReLU(),
    )

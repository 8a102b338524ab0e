"""Draw the picture of the README and the preface: three photographs, and what Mixup, CutMix and DCutMix make of them.

    python book/overview.py book/_static/overview.png
"""

import sys

import torch
from PIL import Image

from mixlab.data import load
from mixlab.mixers import CutMix, DCutMix, Mixup
from mixlab.rng import generator

SIDE = 192
GAP = 8
NAMES = ("astronaut", "cat", "coffee", "rocket")


def panels() -> list[torch.Tensor]:
    """Photographs first, then one mixed image per method: (3, SIDE, SIDE) float32 in [0, 1] each."""
    gallery = load("gallery", validation=0)
    rows = [gallery.classes.index(name) for name in NAMES]
    photographs = gallery.train.images[rows].float() / 255
    mixers = (Mixup(alpha=8.0), CutMix(alpha=4.0), DCutMix(k=4, alpha=3.0))
    mixed = [mixer.draw(photographs, generator=generator(6, "overview")).apply(photographs)[0] for mixer in mixers]
    size = (SIDE, SIDE)
    images = torch.stack([*photographs[:3], *mixed])
    return list(torch.nn.functional.interpolate(images, size, mode="area").clamp(0, 1))


def main(path: str) -> None:
    """Write the panels side by side, with white between them, as a picture of at most 256 colours."""
    images = panels()
    sheet = torch.ones(3, SIDE, len(images) * (SIDE + GAP) - GAP)
    for number, image in enumerate(images):
        left = number * (SIDE + GAP)
        sheet[:, :, left : left + SIDE] = image
    pixels = (sheet * 255).round().byte().permute(1, 2, 0).numpy()
    Image.fromarray(pixels).quantize(256).save(path, optimize=True)


if __name__ == "__main__":
    main(*sys.argv[1:])

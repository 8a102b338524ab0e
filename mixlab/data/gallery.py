"""`gallery`: twelve photographs that ship inside scikit-image's wheel, to look at, not to learn from."""

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch

from mixlab.data.split import Split

__all__ = ["CLASSES", "SIZE", "installed", "read"]

SIZE = 224
FILES = {
    "astronaut": "astronaut.png",
    "cat": "chelsea.png",
    "coffee": "coffee.png",
    "motorcycle": "motorcycle_left.png",
    "rocket": "rocket.jpg",
    "galaxies": "hubble_deep_field.jpg",
    "retina": "retina.jpg",
    "photographer": "camera.png",
    "coins": "coins.png",
    "moon": "moon.png",
    "gravel": "gravel.png",
    "grass": "grass.png",
}
CLASSES = tuple(FILES)


def installed() -> bool:
    """Tell whether scikit-image, which holds the photographs, is there."""
    return find_spec("skimage") is not None


def _photograph(path: Path) -> torch.Tensor:
    """Read one picture, cut the largest square out of its middle, and shrink it to (3, 224, 224)."""
    from PIL import Image
    from torchvision.transforms.v2 import functional

    with Image.open(path) as picture:
        pixels = torch.from_numpy(np.array(picture.convert("RGB"))).permute(2, 0, 1)
    square = functional.center_crop(pixels, [min(pixels.shape[1:])] * 2)
    return functional.resize(square, [SIZE, SIZE], antialias=True)


def read(root: Path) -> tuple[Split, Split]:
    """Read the photographs, each a class of its own, all as training rows; ``root`` is not looked at.

    Five of them (the photographer and those that follow) are grey: their three channels are equal. With one
    row a class, a validation fraction below one half holds nothing out, and the test split is empty.

    Raises:
        ModuleNotFoundError: where scikit-image is not installed (it belongs to the extra ``book``).
    """
    if not installed():
        raise ModuleNotFoundError("expected scikit-image, which holds the gallery: install mixlab[book]")
    # The package is not imported: only its folder of pictures is needed, and none of them is ever downloaded.
    folder = Path(find_spec("skimage").origin).parent / "data"
    images = torch.stack([_photograph(folder / file) for file in FILES.values()])
    rows = Split(images, torch.arange(len(FILES)))
    return rows, rows.subset(torch.arange(0))

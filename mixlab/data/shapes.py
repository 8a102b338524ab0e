"""`shapes`: procedural colour pictures of eight flat shapes, with class, mask and box.

A shape of random size, place, turn and colour lies on an uneven, noisy ground; stripes lie below it and one
stripe lies across it. So colour and place say nothing about the class, and the box alone does not either.
"""

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from mixlab.data.split import Split
from mixlab.rng import generator as make_generator

__all__ = ["CLASSES", "draw_shapes", "read"]

CLASSES = ("disc", "ring", "square", "frame", "triangle", "cross", "star", "crescent")
CHUNK = 500  # pictures drawn at once: bounds the memory of the float planes


def _polar(u: Tensor, v: Tensor, corners: int) -> tuple[Tensor, Tensor]:
    """Give each point's radius and its angle to the nearest corner of a polygon with ``corners`` corners."""
    step = 2 * torch.pi / corners
    angle = torch.remainder(torch.atan2(v, u), step)
    return torch.hypot(u, v), torch.minimum(angle, step - angle)


def _triangle(u: Tensor, v: Tensor) -> Tensor:
    radius, angle = _polar(u, v, 3)
    return radius * torch.cos(torch.pi / 3 - angle) < 0.5


def _star(u: Tensor, v: Tensor) -> Tensor:
    # In the wedge between a corner at radius 1 and a notch at radius 0.42 the edge is a straight line.
    radius, angle = _polar(u, v, 5)
    x, y = radius * torch.cos(angle), radius * torch.sin(angle)
    notch = torch.tensor(torch.pi / 5)
    nx, ny = 0.42 * torch.cos(notch), 0.42 * torch.sin(notch)
    return (1 - x) * ny - y * (1 - nx) > 0


# Each tells whether a point lies in the shape; (0, 0) is its middle, and it fits the circle of radius 1.
INSIDE = (
    lambda u, v: torch.hypot(u, v) < 0.9,
    lambda u, v: (torch.hypot(u, v) < 0.95) & (torch.hypot(u, v) > 0.55),
    lambda u, v: torch.maximum(u.abs(), v.abs()) < 0.75,
    lambda u, v: (torch.maximum(u.abs(), v.abs()) < 0.78) & (torch.maximum(u.abs(), v.abs()) > 0.45),
    _triangle,
    lambda u, v: (torch.maximum(u.abs(), v.abs()) < 0.9) & (torch.minimum(u.abs(), v.abs()) < 0.28),
    _star,
    lambda u, v: (torch.hypot(u, v) < 0.95) & (torch.hypot(u - 0.45, v) > 0.7),
)


def _uniform(rows: int, low: float, high: float, generator: torch.Generator, width: int = 1) -> Tensor:
    """Draw (rows, width, 1, 1) float32 uniformly from [low, high)."""
    return low + (high - low) * torch.rand(rows, width, 1, 1, generator=generator)


def _stripe(x: Tensor, y: Tensor, through: tuple, half: Tensor, generator: torch.Generator) -> Tensor:
    """Tell which points lie within ``half`` of a straight line of random direction through a point."""
    angle = _uniform(len(half), 0, torch.pi, generator)
    return ((x - through[0]) * torch.sin(angle) - (y - through[1]) * torch.cos(angle)).abs() < half


def _ground(rows: int, size: int, generator: torch.Generator) -> Tensor:
    """Draw an uneven ground: a random colour plus random colours on a coarse grid, smoothly joined."""
    base = _uniform(rows, 0.15, 0.85, generator, width=3)
    coarse = torch.randn(rows, 3, 4, 4, generator=generator)
    return base + 0.12 * F.interpolate(coarse, (size, size), mode="bicubic", align_corners=True)


def _object_colour(ground: Tensor, generator: torch.Generator) -> Tensor:
    """Draw a colour that differs by 0.35 or more from the ground's mean in one channel at least."""
    mean = ground.mean((2, 3), keepdim=True)
    colour = torch.rand(mean.shape, generator=generator)
    channel = torch.randint(3, (len(mean), 1, 1, 1), generator=generator)
    far = torch.where(mean > 0.5, mean - 0.35, mean + 0.35).gather(1, channel)
    reach = torch.rand(far.shape, generator=generator)
    far = torch.where(far < 0.5, far * reach, far + (1 - far) * reach)
    return colour.scatter(1, channel, far)


def _boxes(masks: Tensor) -> Tensor:
    """Find the tight box of every mask (N, H, W): x0, y0, x1, y1 with the ends excluded."""
    ends = []
    for line in (masks.any(1), masks.any(2)):  # columns, then rows, that hold a pixel of the mask
        first = line.int().argmax(1)
        last = line.shape[1] - line.flip(1).int().argmax(1)
        ends.append((first, last))
    (x0, x1), (y0, y1) = ends
    return torch.stack([x0, y0, x1, y1], 1)


def _chunk(labels: Tensor, size: int, generator: torch.Generator) -> Split:
    rows = len(labels)
    axis = (torch.arange(size) + 0.5) / size
    y, x = axis.view(1, 1, -1, 1), axis.view(1, 1, 1, -1)
    radius = _uniform(rows, 0.2, 0.4, generator)
    middle = [radius + (1 - 2 * radius) * _uniform(rows, 0, 1, generator) for _ in range(2)]
    turn = _uniform(rows, 0, 2 * torch.pi, generator)
    dx, dy = (x - middle[0]) / radius, (y - middle[1]) / radius
    u, v = torch.cos(turn) * dx + torch.sin(turn) * dy, torch.cos(turn) * dy - torch.sin(turn) * dx
    inside = torch.empty(rows, 1, size, size, dtype=torch.bool)
    for label, shape in enumerate(INSIDE):
        inside[labels == label] = shape(u[labels == label], v[labels == label])

    canvas = _ground(rows, size, generator)
    colour = _object_colour(canvas, generator)
    for _ in range(2):
        anywhere = _uniform(rows, 0, 1, generator), _uniform(rows, 0, 1, generator)
        below = _stripe(x, y, anywhere, _uniform(rows, 0.01, 0.05, generator), generator)
        canvas = torch.where(below, torch.rand(rows, 3, 1, 1, generator=generator), canvas)
    canvas = torch.where(inside, colour, canvas)
    # The stripe on top is at most 0.3 radii wide, so most of every shape stays in sight.
    near = tuple(m + radius * _uniform(rows, -0.6, 0.6, generator) for m in middle)
    above = _stripe(x, y, near, radius * _uniform(rows, 0.05, 0.15, generator), generator)
    canvas = torch.where(above, torch.rand(rows, 3, 1, 1, generator=generator), canvas)
    canvas = canvas + 0.04 * torch.randn(rows, 3, size, size, generator=generator)
    masks = (inside & ~above).squeeze(1)
    images = (canvas.clamp(0, 1) * 255).round().to(torch.uint8)
    return Split(images, labels, masks.to(torch.uint8), _boxes(masks))


def draw_shapes(rows: int, size: int, generator: torch.Generator) -> Split:
    """Draw ``rows`` pictures, class c in rows c, c + 8, c + 16, ...

    Args:
        rows: how many.
        size: height and width in pixels, 16 or more (below that the eight shapes cannot be told apart).
        generator: draws everything else.

    Returns:
        A `Split` with 3-channel images, ``masks`` of the pixels in which the shape is seen (without the
        stripe across it) and their tight ``boxes``.

    Raises:
        ValueError: for fewer than one row or a size below 16.

    Example:
        >>> split = draw_shapes(10, 32, torch.Generator().manual_seed(0))
        >>> split.images.shape, [CLASSES[label] for label in split.labels[:3]]
        (torch.Size([10, 3, 32, 32]), ['disc', 'ring', 'square'])
    """
    if rows < 1 or size < 16:
        raise ValueError(f"expected at least 1 row and a size of at least 16, received {rows} and {size}")
    labels = torch.arange(rows) % len(CLASSES)
    parts = [_chunk(part, size, generator) for part in labels.split(CHUNK)]
    fields = ("images", "labels", "masks", "boxes")
    return Split(*(torch.cat([getattr(part, field) for part in parts]) for field in fields))


def read(root: Path, size: int) -> tuple[Split, Split]:
    """Draw the fixed set: 4,000 training and 1,000 test pictures of ``size``; ``root`` is not looked at."""
    train = draw_shapes(4000, size, make_generator("shapes", size, "train"))
    return train, draw_shapes(1000, size, make_generator("shapes", size, "test"))

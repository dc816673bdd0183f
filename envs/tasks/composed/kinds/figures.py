"""Plain figures by the signed distance to their edge: below 0 inside, `[N, P]` of x and y alike."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor


def circle(x: Tensor, y: Tensor) -> Tensor:
    """Return the distance to a disc."""
    return (x.square() + y.square()).sqrt() - 0.62


def ring(x: Tensor, y: Tensor) -> Tensor:
    """Return the distance to a thick ring."""
    return ((x.square() + y.square()).sqrt() - 0.55).abs() - 0.17


def square(x: Tensor, y: Tensor) -> Tensor:
    """Return the distance to an upright square."""
    return torch.maximum(x.abs(), y.abs()) - 0.55


def diamond(x: Tensor, y: Tensor) -> Tensor:
    """Return the distance to a square that stands on a corner."""
    return (x.abs() + y.abs()) / math.sqrt(2.0) - 0.52


def triangle(x: Tensor, y: Tensor) -> Tensor:
    """Return the distance to a triangle with its tip up."""
    return torch.maximum(0.866 * x.abs() - 0.5 * y, y) - 0.36


def wedge(x: Tensor, y: Tensor) -> Tensor:
    """Return the distance to a triangle with its tip down."""
    return triangle(x, -y)


def cross(x: Tensor, y: Tensor) -> Tensor:
    """Return the distance to an upright cross."""
    bar = torch.maximum(x.abs() - 0.7, y.abs() - 0.2)
    return torch.minimum(bar, torch.maximum(y.abs() - 0.7, x.abs() - 0.2))


def saltire(x: Tensor, y: Tensor) -> Tensor:
    """Return the distance to a cross of diagonals."""
    return cross((x + y) / math.sqrt(2.0), (x - y) / math.sqrt(2.0))


def star(x: Tensor, y: Tensor) -> Tensor:
    """Return about the distance to a star of five points."""
    radius = (x.square() + y.square()).sqrt()
    return radius - 0.5 - 0.22 * torch.cos(5.0 * torch.atan2(x, -y))


def crescent(x: Tensor, y: Tensor) -> Tensor:
    """Return the distance to a moon that is open to the right."""
    bite = 0.5 - ((x - 0.38).square() + y.square()).sqrt()
    return torch.maximum(circle(x, y), bite)


def arrow(x: Tensor, y: Tensor) -> Tensor:
    """Return the distance to an arrow that points up."""
    tip = torch.maximum(0.707 * (x.abs() - y) - 0.5, y + 0.05)
    return torch.minimum(tip, torch.maximum(x.abs() - 0.16, y.abs() - 0.7))


def corner(x: Tensor, y: Tensor) -> Tensor:
    """Return the distance to a right angle, open to the upper right."""
    upright = torch.maximum((x + 0.4).abs() - 0.18, y.abs() - 0.6)
    return torch.minimum(upright, torch.maximum(x.abs() - 0.58, (y - 0.42).abs() - 0.18))


def bars(x: Tensor, y: Tensor) -> Tensor:
    """Return the distance to two level bars."""
    return torch.maximum(x.abs() - 0.62, (y.abs() - 0.36).abs() - 0.17)


def posts(x: Tensor, y: Tensor) -> Tensor:
    """Return the distance to two upright bars."""
    return bars(y, x)


FIGURES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "circle": circle,
    "ring": ring,
    "square": square,
    "diamond": diamond,
    "triangle": triangle,
    "wedge": wedge,
    "cross": cross,
    "saltire": saltire,
    "star": star,
    "crescent": crescent,
    "arrow": arrow,
    "corner": corner,
    "bars": bars,
    "posts": posts,
}

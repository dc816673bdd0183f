"""Outlines: what a garment is made of, before it has a place, a size and a cloth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypedDict, Unpack

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float64]
"""`[P, 2]`: x to the right, y down, in units of the garment's own."""
Corners = Sequence[Sequence[float] | Points] | Points
"""Points, however they are put together."""


class Look(TypedDict, total=False):
    """How a part looks; see `Part`."""

    tone: float
    cloth: bool


class LineLook(Look, total=False):
    """How a line looks; see `Line`."""

    seam: bool


@dataclass(frozen=True)
class Part:
    """A polygon of a garment; later ones lie in front.

    Attributes:
        points: its corners.
        tone: brightness, as a factor on the cloth's; without cloth, of white.
        cloth: whether it has the garment's cloth.
    """

    points: Points
    tone: float = 1.0
    cloth: bool = True


@dataclass(frozen=True)
class Line:
    """A line on a garment, or a strap of it.

    Attributes:
        points: along it.
        width: in units of the garment.
        tone: as of a part.
        cloth: likewise.
        seam: whether it is drawn within the garment only, so that no pixel outside is its.
    """

    points: Points
    width: float
    tone: float = 1.0
    cloth: bool = True
    seam: bool = True


@dataclass(frozen=True)
class Garment:
    """Parts and lines in the order in which they are drawn.

    Attributes:
        shapes: what was added so far.
    """

    shapes: list[Part | Line] = field(default_factory=list)

    def add(self, points: Corners, rounds: int = 0, **look: Unpack[Look]) -> None:
        """Add a polygon, with its corners rounded so many times."""
        outline = rounded(np.asarray(points, np.float64), rounds)
        self.shapes.append(Part(outline, **look))

    def pair(self, points: Corners, rounds: int = 0, **look: Unpack[Look]) -> None:
        """Add a polygon and its mirror image."""
        right = np.asarray(points, np.float64)
        self.add(right, rounds, **look)
        self.add(right * (-1.0, 1.0), rounds, **look)

    def whole(self, half: Corners, rounds: int = 0, **look: Unpack[Look]) -> None:
        """Add a polygon whose right half is given, from top to bottom."""
        right = np.asarray(half, np.float64)
        self.add(np.concatenate([right, (right * (-1.0, 1.0))[::-1]]), rounds, **look)

    def line(
        self,
        points: Corners,
        width: float,
        rounds: int = 0,
        **look: Unpack[LineLook],
    ) -> None:
        """Add a line, with its bends rounded so many times."""
        along = rounded(np.asarray(points, np.float64), rounds, closed=False)
        self.shapes.append(Line(along, width, **look))


@dataclass(frozen=True)
class Cutter:
    """Draws the cuts of one garment.

    Attributes:
        generator: what they are drawn from.
        variety: share of each range that is used, around its middle.
        details: probability that a garment has a detail that it may have.
        buttons: most buttons in a row.
    """

    generator: np.random.Generator
    variety: float
    details: float
    buttons: int

    def cut(self, low: float, high: float) -> float:
        """Draw a measure."""
        return (low + high) / 2 + self.variety * (high - low) / 2 * self.generator.uniform(-1, 1)

    def pick(self, *weights: float) -> int:
        """Draw a variant of the class by its weight; without variety the first."""
        drawn = self.generator.random() * self.variety
        return int(np.searchsorted(np.cumsum(weights) / sum(weights), drawn, side="right"))

    def has(self, share: float = 1.0) -> bool:
        """Draw whether there is a detail that a share of all garments of the class may have."""
        return bool(self.generator.random() < share * self.details)


def rounded(points: Points, rounds: int, closed: bool = True) -> Points:
    """Cut the corners of a polygon, or the bends of a line: each becomes two, so many times.

    Each edge (p, q) becomes (3 p + q) / 4 and (p + 3 q) / 4. Chaikin, An algorithm for high-speed
    curve generation, 1974.
    """
    for _ in range(rounds):
        start = points if closed else points[:-1]
        end = np.roll(points, -1, axis=0) if closed else points[1:]
        pairs = np.stack([0.75 * start + 0.25 * end, 0.25 * start + 0.75 * end], axis=1)
        cut = pairs.reshape(-1, 2)
        points = cut if closed else np.concatenate([points[:1], cut[1:-1], points[-1:]])
    return points

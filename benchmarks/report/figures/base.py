"""The contract of figures that are drawn from the results of a comparison."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from matplotlib.figure import Figure

R_contra = TypeVar("R_contra", contravariant=True)


@dataclass(frozen=True)
class Drawing(Generic[R_contra]):
    """One figure of a report.

    Attributes:
        draw: makes it from the results alone; None means that they do not hold what it shows.
        title: its heading.
        caption: what is shown, and how it was computed.
    """

    draw: Callable[[R_contra], Figure | None]
    title: str
    caption: str

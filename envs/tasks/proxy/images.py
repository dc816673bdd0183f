"""Images as the networks take them."""

from __future__ import annotations

from torch import Tensor

SIDE = 16
"""Height and width, in pixels."""


def centre(pixels: Tensor) -> Tensor:
    """Map pixels from [0, 1] to [-1, 1], what every network takes."""
    return pixels * 2.0 - 1.0

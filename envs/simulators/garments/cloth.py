"""Cloth: textures and light, as factors on a garment's brightness."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from PIL import Image, ImageFilter

from l2o.envs.simulators.garments.canvas import Field

Draws = np.random.Generator


def plain(side: int, draws: Draws) -> Field:
    """No texture."""
    del draws
    return np.zeros((side, side), np.float32)


def striped(side: int, draws: Draws) -> Field:
    """Stripes of any width, lengthwise or crosswise."""
    x, y = _grid(side)
    along = x if draws.random() < 0.35 else y
    return np.sign(np.sin(along * draws.uniform(15, 70)) - draws.uniform(-0.6, 0.6))


def checked(side: int, draws: Draws) -> Field:
    """Two sets of stripes across each other."""
    x, y = _grid(side)
    pace = draws.uniform(20, 60)
    return 0.5 * (np.sign(np.sin(pace * x)) + np.sign(np.sin(pace * y)))


def camouflage(side: int, draws: Draws) -> Field:
    """Patches of two or three tones, large or as small as a print's."""
    patches = cloud(side, int(draws.integers(4, 18)), draws)
    levels = float(draws.uniform(0.8, 2.0))
    return np.clip(np.round(patches * levels) / levels, -1, 1)


def knit(side: int, draws: Draws) -> Field:
    """Fine rows, a little uneven."""
    x, y = _grid(side)
    uneven = 0.6 * cloud(side, 10, draws)
    return 0.7 * np.sin(y * draws.uniform(80, 130) + 2 * uneven) * np.cos(x * 60) + 0.5 * uneven


DRAWN: dict[str, Callable[[int, Draws], Field]] = {
    "plain": plain,
    "striped": striped,
    "checked": checked,
    "camouflage": camouflage,
    "knit": knit,
}
"""Textures in [-1, 1] by name: (side, generator) -> `[side, side]`."""


def cloud(side: int, cells: int, draws: Draws) -> Field:
    """Return smooth noise about [-1.5, 1.5], of so many cells in a side."""
    coarse = draws.standard_normal((cells, cells)).astype(np.float32)
    page = Image.fromarray(coarse).resize((side, side), Image.Resampling.BICUBIC)
    return np.clip(np.asarray(page), -1.5, 1.5)


def fold(side: int, draws: Draws) -> Field:
    """Return creases that run down: noise that is coarser that way."""
    coarse = draws.standard_normal((3, int(draws.integers(5, 12)))).astype(np.float32)
    page = Image.fromarray(coarse).resize((side, side), Image.Resampling.BICUBIC)
    return np.clip(np.asarray(page), -1.5, 1.5)


def fall_off(side: int, light: str, draws: Draws) -> Field:
    """Return how light falls off from where it comes, in [-1, 1]."""
    x, y = _grid(side)
    if light == "flat":
        return np.zeros((side, side), np.float32)
    if light == "any":
        angle = draws.uniform(0, 2 * np.pi)
        return (np.cos(angle) * x + np.sin(angle) * y).astype(np.float32)
    return {"above": -y, "left": -x, "right": x}[light]


def roundness(covered: np.ndarray) -> Field:
    """Return how near to an edge each pixel is, 0 far inside to about 1 at the edge."""
    side = len(covered)
    page = Image.fromarray(covered.astype(np.uint8) * 255)
    soft = np.asarray(page.filter(ImageFilter.BoxBlur(side / 20)), np.float32) / 255
    return np.clip(2 * (1 - soft), 0, 1)


def _grid(side: int) -> tuple[Field, Field]:
    """Return x and y of pixels, in [-1, 1]."""
    line = np.linspace(-1, 1, side, dtype=np.float32)
    x, y = np.meshgrid(line, line)
    return x, y

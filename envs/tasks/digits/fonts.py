"""Fonts that matplotlib ships, as glyphs of the ten digits, split by family of fonts."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

FONT_FAMILIES = {
    "train": {
        "DejaVu Sans": (
            "DejaVuSans",
            "DejaVuSans-Bold",
            "DejaVuSans-BoldOblique",
            "DejaVuSans-Oblique",
            "DejaVuSansMono",
            "DejaVuSansMono-Bold",
            "DejaVuSansMono-BoldOblique",
            "DejaVuSansMono-Oblique",
        ),
        "STIX": ("STIXGeneral", "STIXGeneralBol", "STIXGeneralBolIta", "STIXGeneralItalic"),
    },
    "heldout": {
        "DejaVu Serif": (
            "DejaVuSerif",
            "DejaVuSerif-Bold",
            "DejaVuSerif-BoldItalic",
            "DejaVuSerif-Italic",
        ),
        "Computer Modern": ("cmb10", "cmmi10", "cmr10", "cmss10", "cmti10", "cmtt10"),
    },
}
"""Whole families on either side, sans and serif on both; matplotlib's other fonts lack digits."""

CANVAS = 96
"""Height and width of a glyph's bitmap; digits stand in its middle, about 50 pixels high."""


@dataclass(frozen=True)
class Glyphs:
    """The ten digits of one font.

    Attributes:
        bitmaps: `[10, 96, 96]` ink in [0, 1].
        outlines: `[10, P, 2]` (x, y) points whose convex hull holds all ink, in [-1, 1] units of
            the canvas; what a rotated and sheared glyph's bounding box is computed from.
    """

    bitmaps: Tensor
    outlines: Tensor


def fonts_of(split: str) -> tuple[str, ...]:
    """Return the names of the fonts of a split."""
    return tuple(font for fonts in FONT_FAMILIES[split].values() for font in fonts)


@cache
def load_glyphs(font: str) -> Glyphs:
    """Draw the ten digits of a font that matplotlib ships.

    Raises:
        FileNotFoundError: this matplotlib does not ship the font.
        ValueError: the font does not draw ten distinct digits.
    """
    from PIL import Image, ImageDraw, ImageFont

    face = ImageFont.truetype(str(find_font(font)), 64)
    drawn = []
    for digit in range(10):
        canvas = Image.new("L", (CANVAS, CANVAS))
        ImageDraw.Draw(canvas).text(
            (CANVAS // 2, CANVAS // 2), str(digit), font=face, fill=255, anchor="mm"
        )
        drawn.append(np.asarray(canvas, dtype=np.float32) / 255.0)
    bitmaps = np.stack(drawn)
    _check_distinct(font, bitmaps)
    return Glyphs(torch.from_numpy(bitmaps), torch.stack([_outline(b) for b in bitmaps]))


def find_font(font: str) -> Path:
    """Return the file of a font that matplotlib ships.

    Raises:
        FileNotFoundError: this matplotlib does not ship it.
    """
    import matplotlib

    path = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / f"{font}.ttf"
    if not path.is_file():
        raise FileNotFoundError(
            f"font {font!r} is not at {path}; matplotlib's own wheel ships it: "
            "reinstall matplotlib from PyPI."
        )
    return path


def _check_distinct(font: str, bitmaps: np.ndarray) -> None:
    different = {bitmap.tobytes() for bitmap in bitmaps if (bitmap > 0.5).any()}
    if len(different) != 10:
        raise ValueError(
            f"font {font!r} draws {len(different)} distinct digits of 10; "
            "the file is damaged or not the one matplotlib ships: reinstall matplotlib."
        )


def _outline(bitmap: np.ndarray) -> Tensor:
    """Return the left and right end of the ink of each row; blank rows repeat the first inked."""
    inked = bitmap > 0.5
    rows = np.flatnonzero(inked.any(axis=1))
    left = inked.argmax(axis=1)
    right = CANVAS - inked[:, ::-1].argmax(axis=1)
    row = np.where(inked.any(axis=1), np.arange(CANVAS), rows[0])
    points = [(x[row], y) for x in (left, right) for y in (row, row + 1)]
    stacked = np.concatenate([np.stack(pair, axis=1) for pair in points])
    return torch.from_numpy((stacked * (2.0 / CANVAS) - 1.0).astype(np.float32))

"""Letters in one set of fonts against letters in another."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from l2o.envs.tasks.composed.kinds.base import SIDES, DataKind
from l2o.envs.tasks.composed.kinds.ink import Palette, Pose, draw_palette, paint, sample_bitmaps
from l2o.envs.tasks.digits.fonts import FONT_FAMILIES, find_font

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabdefghmnqrty"
"""Capitals, and the small letters that are not a small form of their capital."""

_CANVAS, _SIZE = 48, 36


@dataclass(frozen=True)
class Type:
    """A look: fonts, of which each image has one, colours, pose and how heavy the strokes are."""

    fonts: tuple[str, ...]
    palette: Palette
    pose: Pose
    weight: float


class Glyphs(DataKind):
    """Letters drawn by the fonts that matplotlib ships, split by family as in `digits`.

    Of a split's fonts every other one is the target's, which is written slantingly, in strokes of
    another weight.
    """

    name: ClassVar[str] = "glyphs"
    num_classes: ClassVar[int] = len(LETTERS)

    def draw_look(self, side: str, generator: np.random.Generator) -> Type:
        """Draw fonts of a side, colours, and a pose."""
        every = [font for fonts in FONT_FAMILIES[self.split].values() for font in fonts]
        fonts = every[SIDES.index(side) :: 2]
        chosen = generator.choice(fonts, int(generator.integers(1, 4)), replace=False)
        target = side == "target"
        low, high = (5.0, 20.0) if target else (0.0, 12.0)
        return Type(
            fonts=tuple(sorted(str(font) for font in chosen)),
            palette=draw_palette((4, 20), generator),
            pose=Pose(float(generator.uniform(low, high)), 0.15, 0.15 if target else 0.05),
            weight=float(generator.uniform(-1.0, 1.0)) if target else 0.0,
        )

    def draw(
        self, classes: np.ndarray, look: Type, role: str, generator: np.random.Generator
    ) -> Tensor:
        """Draw letters."""
        bitmaps = torch.stack([load_letters(font) for font in look.fonts])
        fonts = torch.from_numpy(generator.integers(len(look.fonts), size=len(classes)))
        drawn = bitmaps[fonts, torch.from_numpy(classes)][:, None]
        ink = sample_bitmaps(drawn, look.pose, generator)[:, 0]
        return paint(_weigh(ink, look.weight), look.palette, generator)


def _weigh(ink: Tensor, weight: float) -> Tensor:
    """Return strokes made bolder (above 0) or thinner, by a power of the ink."""
    return ink.clamp(0.0, 1.0).pow(2.0**-weight)


@cache
def load_letters(font: str) -> Tensor:
    """Draw the letters of a font, `[letters, 48, 48]` of ink in [0, 1].

    Raises:
        FileNotFoundError: this matplotlib does not ship the font.
    """
    from PIL import Image, ImageDraw, ImageFont

    face = ImageFont.truetype(str(find_font(font)), _SIZE)
    drawn = []
    for letter in LETTERS:
        canvas = Image.new("L", (_CANVAS, _CANVAS))
        middle = (_CANVAS // 2, _CANVAS // 2)
        ImageDraw.Draw(canvas).text(middle, letter, font=face, fill=255, anchor="mm")
        drawn.append(np.asarray(canvas, dtype=np.float32) / 255.0)
    return torch.from_numpy(np.stack(drawn))

"""Handwriting against printed digits."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from l2o.envs.tasks.composed.kinds.base import DataKind
from l2o.envs.tasks.composed.kinds.ink import Palette, draw_palette, paint
from l2o.envs.tasks.digits.augment import warp_ink
from l2o.envs.tasks.digits.fonts import fonts_of
from l2o.envs.tasks.digits.photographs import PHOTOGRAPHS, draw_patches
from l2o.envs.tasks.digits.synthetic import Rendering, draw_synthetic
from l2o.envs.tasks.digits.writers import WRITERS, images_of, load_digits

_PROXY_WRITERS, _TEST_SHARE = 4, 0.2


@dataclass(frozen=True)
class Handwriting:
    """The target's look.

    Attributes:
        photograph: of whose patches digits are written on; "" for flat colours.
        contrast: factor on the patches' contrast.
        palette: the flat colours.
    """

    photograph: str
    contrast: float
    palette: Palette


class Digits(DataKind):
    """UCI's handwritten digits of scikit-learn, and digits of matplotlib's fonts.

    Four writers of the split are the proxy's, the other three the target's, whose images alternate
    between validation and test.
    """

    name: ClassVar[str] = "digits"
    num_classes: ClassVar[int] = 10

    def draw_look(self, side: str, generator: np.random.Generator) -> Handwriting | Rendering:
        """Draw fonts and colours, or what handwriting is written on."""
        if side == "target":
            photograph = ("", "", *PHOTOGRAPHS)[int(generator.integers(4))]
            contrast = float(generator.uniform(0.2, 0.7))
            return Handwriting(photograph, contrast, draw_palette((4, 20), generator))
        fonts = generator.choice(fonts_of(self.split), int(generator.integers(1, 4)), replace=False)
        return Rendering(
            fonts=tuple(sorted(str(font) for font in fonts)),
            rotation=float(generator.uniform(5.0, 20.0)),
            shear=float(generator.uniform(0.0, 0.3)),
            colours=draw_palette((4, 20), generator),
        )

    def draw(
        self,
        classes: np.ndarray,
        look: Handwriting | Rendering,
        role: str,
        generator: np.random.Generator,
    ) -> Tensor:
        """Draw printed digits, or handwritten ones of the role's writers."""
        if isinstance(look, Rendering):
            # Drawn in the order that asks for each class as often as it is wanted.
            return _draw_printed(classes, look, generator)
        images = _images_of(self.split, role)
        ink, labels = load_digits()
        labels_here = labels.numpy()[images]
        chosen = np.empty(len(classes), np.int64)
        places = generator.random(len(classes))
        for digit in np.unique(classes):
            among = images[labels_here == digit]
            wanted = classes == digit
            chosen[wanted] = among[(places[wanted] * len(among)).astype(np.int64)]
        written = warp_ink(ink[torch.from_numpy(chosen)], generator)
        if not look.photograph:
            return paint(written, look.palette, generator)
        patches = draw_patches(len(classes), look.photograph, self.split, generator)
        mean = patches.mean(dim=(1, 2, 3), keepdim=True)
        return (mean + look.contrast * (patches - mean) - written[:, None]).abs()


def _draw_printed(classes: np.ndarray, look: Rendering, generator: np.random.Generator) -> Tensor:
    """Draw printed digits of these classes: a balanced draw of each class's share, in order."""
    images = torch.empty(len(classes), 3, 16, 16)
    for digit in np.unique(classes):
        wanted = np.flatnonzero(classes == digit)
        drawn = draw_synthetic(len(wanted), look, generator, [int(digit)])
        images[torch.from_numpy(wanted)] = (drawn.images + 1.0) / 2.0
    return images


@cache
def _images_of(split: str, role: str) -> np.ndarray:
    """Return the indices of a role's handwritten digits."""
    writers = WRITERS[split]
    if role in ("proxy", "proxy_test"):
        images = images_of(writers[:_PROXY_WRITERS])
        kept = np.random.default_rng([len(split), 2]).random(len(images)) < _TEST_SHARE
        return images[kept if role == "proxy_test" else ~kept]
    images = np.random.default_rng([len(split), 3]).permutation(images_of(writers[_PROXY_WRITERS:]))
    return images[::2] if role == "validation" else images[1::2]

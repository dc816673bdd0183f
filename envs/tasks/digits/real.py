"""Real images: handwritten digits blended onto patches of photographs."""

from __future__ import annotations

import numpy as np
import torch

from l2o.envs.tasks.base import Examples
from l2o.envs.tasks.digits.augment import vary_patches, warp_ink
from l2o.envs.tasks.digits.photographs import draw_patches
from l2o.envs.tasks.digits.writers import load_digits
from l2o.envs.tasks.proxy.images import centre


def draw_real(
    indices: np.ndarray,
    photograph: str,
    split: str,
    generator: np.random.Generator,
    vary: bool = False,
) -> Examples:
    """Compose |photograph - digit| for these digits, each on a patch of its own.

    Args:
        indices: digits, in `range(1797)`; a repeated index gets another patch each time.
        photograph: one of `PHOTOGRAPHS`.
        split: the split whose half of the photograph is used.
        generator: draws the patches.
        vary: vary colours and strokes (see `augment`), for pretraining.

    Returns:
        Images `[N, 3, 16, 16]` in [-1, 1] and labels `[N]`.
    """
    all_ink, labels = load_digits()
    chosen = torch.from_numpy(np.asarray(indices, dtype=np.int64))
    ink = all_ink[chosen]
    patches = draw_patches(len(chosen), photograph, split, generator)
    if vary:
        patches, ink = vary_patches(patches, generator), warp_ink(ink, generator)
    return Examples(centre((patches - ink[:, None]).abs()), labels[chosen])


def repeat_to(indices: np.ndarray, count: int, generator: np.random.Generator) -> np.ndarray:
    """Return `count` indices: whole shuffled rounds over `indices`, the last one cut."""
    rounds = [generator.permutation(indices) for _ in range(-(-count // len(indices)))]
    return np.concatenate(rounds)[:count]

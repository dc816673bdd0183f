"""The real digits: scikit-learn's bundled UCI digits, in blocks by writer."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

SIZE = 16
"""Height and width of every image of this family, in pixels."""

WRITER_STARTS = (0, 130, 256, 386, 516, 646, 776, 906, 1029, 1157, 1287, 1415, 1545, 1667)
"""First image of each block: every form starts with the digits 0 to 9 written in order."""

WRITERS = {"train": tuple(range(7)), "heldout": tuple(range(7, 14))}
"""Blocks of each split. Contiguous, so that a writer who filled in two forms stays on one side."""


@cache
def load_digits() -> tuple[Tensor, Tensor]:
    """Return all 1,797 digits as ink in [0, 1], `[1797, 16, 16]`, and their labels `[1797]`."""
    from sklearn.datasets import load_digits as load  # slow import, needed once

    bunch = load()
    ink = torch.from_numpy(np.asarray(bunch.images, dtype=np.float32) / 16.0)
    return enlarge(ink), torch.from_numpy(np.asarray(bunch.target, dtype=np.int64))


def enlarge(ink: Tensor) -> Tensor:
    """Scale `[N, 8, 8]` ink up to `[N, 16, 16]`, bilinearly."""
    large = functional.interpolate(ink[:, None], size=(SIZE, SIZE), mode="bilinear")
    return large[:, 0]


def images_of(writers: Sequence[int]) -> np.ndarray:
    """Return the indices of the images that these blocks hold, in ascending order."""
    ends = (*WRITER_STARTS[1:], 1797)
    return np.concatenate([np.arange(WRITER_STARTS[w], ends[w]) for w in sorted(writers)])

"""A contact sheet: the first images of each class, a row per class."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from l2o.envs.simulators.base import Pixels

LARGEST = 64
"""Height and width at which an image is shown, if it is larger."""


def contact_sheet(
    paths: Sequence[Path], labels: Sequence[int], classes: Sequence[str], columns: int = 12
) -> Pixels:
    """Return a sheet `[H, W, 3]`: a row per class, with its first images from left to right.

    Args:
        paths: of the images.
        labels: of each, a place in `classes`.
        classes: their names; one without images has an empty row.
        columns: most images of a class.
    """
    rows = [
        [path for path, found in zip(paths, labels, strict=True) if found == label][:columns]
        for label in range(len(classes))
    ]
    wide = max((len(row) for row in rows), default=0)
    if not wide:
        return np.zeros((1, 1, 3), np.uint8)
    side = _read(next(row for row in rows if row)[0]).shape[0]
    sheet = np.zeros((len(rows) * side, wide * side, 3), np.uint8)
    for y, row in enumerate(rows):
        for x, path in enumerate(row):
            sheet[y * side : (y + 1) * side, x * side : (x + 1) * side] = _read(path)
    return sheet


def _read(path: Path) -> Pixels:
    with Image.open(path) as image:
        image.thumbnail((LARGEST, LARGEST))
        return np.asarray(image.convert("RGB"))

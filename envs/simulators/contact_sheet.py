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
    rows = _rows(labels, len(classes), columns)
    return _laid_out([[_read(paths[number]) for number in row] for row in rows])


def sheet_of(
    images: Pixels, labels: Sequence[int], classes: Sequence[str], columns: int = 12
) -> Pixels:
    """Return the sheet of images in memory `[N, H, W, 3]`, as `contact_sheet`."""
    rows = _rows(labels, len(classes), columns)
    shown = [[_shrunk(Image.fromarray(images[number])) for number in row] for row in rows]
    return _laid_out(shown)


def _rows(labels: Sequence[int], classes: int, columns: int) -> list[list[int]]:
    """Return the numbers of the first images of each class."""
    numbered = list(enumerate(labels))
    return [
        [number for number, found in numbered if found == label][:columns]
        for label in range(classes)
    ]


def _laid_out(rows: Sequence[Sequence[Pixels]]) -> Pixels:
    wide = max((len(row) for row in rows), default=0)
    if not wide:
        return np.zeros((1, 1, 3), np.uint8)
    side = next(row for row in rows if row)[0].shape[0]
    sheet = np.zeros((len(rows) * side, wide * side, 3), np.uint8)
    for y, row in enumerate(rows):
        for x, pixels in enumerate(row):
            sheet[y * side : (y + 1) * side, x * side : (x + 1) * side] = pixels
    return sheet


def _read(path: Path) -> Pixels:
    with Image.open(path) as image:
        return _shrunk(image)


def _shrunk(image: Image.Image) -> Pixels:
    image.thumbnail((LARGEST, LARGEST))
    return np.asarray(image.convert("RGB"))

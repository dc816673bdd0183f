"""Photographs inside scikit-image, one class each, cut up so that roles share no pixel."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from l2o.extras import require

SIZE = 16
"""Height and width of every image of this family, in pixels."""

PHOTOGRAPHS = {
    "train": (
        "astronaut.png",
        "brick.png",
        "camera.png",
        "chelsea.png",
        "grass.png",
        "hubble_deep_field.jpg",
        "ihc.png",
        "page.png",
    ),
    "heldout": (
        "motorcycle_left.png",
        "coins.png",
        "moon.png",
        "coffee.png",
        "gravel.png",
        "rocket.jpg",
        "retina.jpg",
        "text.png",
    ),
}
"""Each split's photographs; a class is a place in the list. Of each pair of like ones (astronaut,
motorcycle; brick, coins; ...) the alphabet gave the first to meta-training; half are in colour.
"""

NUM_CLASSES = 8

TILES = 4
"""Photographs are cut into square tiles, so many in a short side; a patch lies within one tile."""

FIELDS = ("black", "white")
"""Tiles alternate between these as on a chessboard: one is the proxy's, the other the target's."""

SHORT_SIDE = 384
"""Height or width, whichever is less, that every photograph is scaled to."""

TEXTURED = 0.5
"""Share of a photograph's patches that is used, the most textured: a flat patch tells nothing."""


def class_names(split: str) -> tuple[str, ...]:
    """Return the names of a split's classes, by label."""
    return tuple(Path(file).stem for file in PHOTOGRAPHS[split])


def photograph_path(file: str) -> Path:
    """Return where a photograph lies within the installed scikit-image.

    Raises:
        MissingExtraError: scikit-image is not installed.
        FileNotFoundError: it does not have the photograph.
    """
    require("the textures family, made of photographs in scikit-image,", "skimage")
    spec = find_spec("skimage")
    assert spec is not None
    assert spec.origin is not None
    path = Path(spec.origin).parent / "data" / file
    if not path.is_file():
        raise FileNotFoundError(
            f"photograph {file!r} is not at {path}; scikit-image's own wheel holds it: "
            'reinstall it with pip install "l2o[textures]"'
        )
    return path


@cache
def load_photograph(file: str) -> Tensor:
    """Return a photograph scaled to a short side of 384, `[3, H, W]` in [0, 1]."""
    from PIL import Image

    with Image.open(photograph_path(file)) as opened:
        image = opened.convert("RGB")
    ratio = SHORT_SIDE / min(image.size)
    size = (round(image.width * ratio), round(image.height * ratio))
    pixels = np.asarray(image.resize(size, Image.Resampling.LANCZOS), dtype=np.float32) / 255.0
    return torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1)))


@cache
def load_scaled(file: str, scale: float) -> Tensor:
    """Return a photograph at a scale, `[3, H // scale, W // scale]` in [0, 1]."""
    whole = load_photograph(file)
    size = [int(whole.shape[1] / scale), int(whole.shape[2] / scale)]
    return functional.interpolate(whole[None], size, mode="bilinear", antialias=True)[0]


@cache
def measure_texture(file: str, scale: float) -> Tensor:
    """Return the texture of the patch at each (top, left), `[H // scale - 15, W // scale - 15]`.

    Texture is the standard deviation of the pixels within a patch, mean over the channels.
    """
    image = load_scaled(file, scale)[None]
    variance = _patch_mean(image.square()) - _patch_mean(image).square()
    return variance.clamp(min=0.0).sqrt().mean(dim=1)[0]


def _patch_mean(images: Tensor) -> Tensor:
    columns = functional.avg_pool2d(images, (SIZE, 1), stride=1)
    return functional.avg_pool2d(columns, (1, SIZE), stride=1)


@cache
def find_textured(file: str, scale: float, field: str, rows: tuple[int, ...]) -> Tensor:
    """Return the (top, left) corners of the textured patches within tiles, `[P, 2]`.

    Args:
        file: the photograph.
        scale: its pixels per patch pixel.
        field: which tiles, one of `FIELDS`.
        rows: rows of tiles, counted from the top.
    """
    texture = measure_texture(file, scale)
    tile = int(SHORT_SIDE / TILES / scale)
    within = _within_tiles(texture.shape, tile, field, rows)
    # numpy's quantile: torch's refuses the number of places that a photograph has.
    threshold = float(np.quantile(texture[within].numpy(), 1.0 - TEXTURED))
    return torch.nonzero(within & (texture >= threshold))


def _within_tiles(shape: Sequence[int], tile: int, field: str, rows: tuple[int, ...]) -> Tensor:
    """Return which corners `[H, W]` have patches that lie within tiles of a field and of rows."""
    (row, top_fits), (column, left_fits) = (
        (torch.arange(size) // tile, torch.arange(size) % tile + SIZE <= tile) for size in shape
    )
    fits = top_fits[:, None] & left_fits
    # Modulo: an upright photograph has more than four rows.
    chosen = torch.isin(row % TILES, torch.tensor(rows))[:, None]
    return fits & chosen & ((row[:, None] + column) % 2 == FIELDS.index(field))


def draw_patches(
    labels: np.ndarray,
    split: str,
    field: str,
    rows: Sequence[int],
    scales: Sequence[float],
    generator: np.random.Generator,
) -> Tensor:
    """Draw a textured patch of each label's photograph, `[N, 3, 16, 16]` in [0, 1].

    Places and scales are uniform.
    """
    count = len(labels)
    drawn_scales = generator.integers(len(scales), size=count)
    places = generator.random(count)
    window = torch.arange(SIZE)
    patches = torch.empty(count, 3, SIZE, SIZE)
    for label, file in enumerate(PHOTOGRAPHS[split]):
        for index, scale in enumerate(scales):
            chosen = np.flatnonzero((labels == label) & (drawn_scales == index))
            corners = find_textured(file, scale, field, tuple(rows))
            drawn = (places[chosen] * len(corners)).astype(np.int64)
            top, left = corners[torch.from_numpy(drawn)].unbind(dim=1)
            image = load_scaled(file, scale)
            cut = image[:, (top[:, None] + window)[:, :, None], (left[:, None] + window)[:, None]]
            patches[torch.from_numpy(chosen)] = cut.transpose(0, 1)
    return patches

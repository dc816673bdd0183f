"""Decoding: from an image file to pixels, whatever its mode, as uint8."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from l2o.extras import needed_by

_WRONG = (OSError, SyntaxError, ValueError, EOFError, IndexError, struct.error, zlib.error)
"""What decoders raise of damaged files."""

_PNG = b"\x89PNG\r\n\x1a\n"


class CorruptImageError(ValueError):
    """An image file that cannot be read; the message has the file, the reason and the remedy."""


def decode_rgb(path: str) -> np.ndarray:
    """Return the pixels of an image, `[H, W, 3]`, upright.

    Greyscale, palettes, transparency (which is dropped), CMYK and 16 bits become RGB of 8 bits; a
    photograph is turned as its EXIF tag says.

    Raises:
        CorruptImageError: the file is missing, damaged or no image.
    """
    with needed_by("a data set of images"):
        from PIL import Image, ImageOps
    try:
        with Image.open(path) as image:
            image.load()
            # In place: it would copy what need not be turned.
            ImageOps.exif_transpose(image, in_place=True)
            return np.asarray(_as_rgb(image))
    except (*_WRONG, Image.DecompressionBombError) as error:
        raise _corrupt(path, error) from error


def decode_labels(path: str) -> np.ndarray:
    """Return the numbers that a mask's pixels hold, `[H, W]`: places of a palette, or greys.

    Raises:
        CorruptImageError: the file is missing, damaged, no image, or one in colour.
    """
    with needed_by("a data set of images"):
        from PIL import Image
    try:
        with Image.open(path) as image:
            image.load()
            mode, pixels = image.mode, np.asarray(image)
    except (*_WRONG, Image.DecompressionBombError) as error:
        raise _corrupt(path, error) from error
    if pixels.ndim != 2:
        raise CorruptImageError(
            f"{path} is in colour ({mode}), so it has no label per pixel; masks are greyscale or "
            "palette images"
        )
    return pixels.astype(np.uint8) if pixels.dtype == bool else pixels


def decode_first_channel(path: str) -> np.ndarray:
    """Return the first channel `[H, W]` of an image, of all 16 bits where it has as many.

    Pillow keeps the upper half of 16 bits in colour. Read once more as if bytes came in the other
    order, it keeps the lower half.

    Raises:
        CorruptImageError: the file is missing, damaged or no image.
    """
    pixels, raw = _load(path)
    if pixels.ndim == 2:
        return pixels
    first = pixels[:, :, 0]
    if not raw.endswith(";16B"):
        return first
    low, _ = _load(path, raw.replace(";16B", ";16L"))
    return (first.astype(np.uint16) << 8) | low[:, :, 0]


def _load(path: str, raw: str | None = None) -> tuple[np.ndarray, str]:
    """Return pixels as Pillow has them, and how they lie in the file; `raw` to say otherwise."""
    with needed_by("a data set of images"):
        from PIL import Image
    try:
        with Image.open(path) as image:
            # Any: a plain tuple in older releases, a named one since.
            tile: Any = image.tile[0]
            if raw is not None:
                named = hasattr(tile, "_replace")
                changed: Any = tile._replace(args=raw) if named else (*tile[:3], raw)
                image.tile = [changed]
            image.load()
            return np.asarray(image), str(tile[3])
    except (*_WRONG, Image.DecompressionBombError) as error:
        raise _corrupt(path, error) from error


def read_size(path: str) -> tuple[int, int]:
    """Return height and width of an image from the beginning of its file.

    Raises:
        CorruptImageError: the file is missing or no image.
    """
    try:
        with Path(path).open("rb") as file:
            start = file.read(24)
        if start[:8] == _PNG and len(start) == 24:
            width, height = struct.unpack(">II", start[16:])
            return height, width
        with needed_by("a data set of images"):
            from PIL import Image
        with Image.open(path) as image:
            turned = image.getexif().get(0x0112, 1) >= 5
            width, height = image.size[::-1] if turned else image.size
            return height, width
    except _WRONG as error:
        raise _corrupt(path, error) from error


def _as_rgb(image: Any) -> Any:
    """Return a PIL image in RGB."""
    if image.mode == "RGB":
        return image
    if image.mode.startswith(("I", "F")):
        with needed_by("a data set of images"):
            from PIL import Image
        values = np.asarray(image).astype(np.float64)
        # Of 16 bits, unless there are more; PIL would cut them off at 255.
        most = 65535.0 if image.mode.startswith("I") else max(float(values.max()), 1.0)
        grey = np.clip(values * (255.0 / most), 0.0, 255.0).round().astype(np.uint8)
        return Image.fromarray(grey).convert("RGB")
    if image.mode == "P" and "transparency" in image.info:
        return image.convert("RGBA").convert("RGB")
    return image.convert("RGB")


def _corrupt(path: str, error: BaseException) -> CorruptImageError:
    told = (str(error) or type(error).__name__).splitlines()[0][:200]
    reason = f"cannot be read ({told})"
    if isinstance(error, FileNotFoundError) or not Path(path).exists():
        reason = "is missing"
    elif isinstance(error, OSError) and "cannot identify" in str(error):
        reason = "is no image, or a damaged one"
    return CorruptImageError(
        f"{path} {reason}; replace or remove it, or go on without it: on_corrupt=skip"
    )

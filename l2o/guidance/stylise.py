"""Images in the style of auxiliary ones: their colours and coarse contrasts, its own shapes."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from l2o.checks import check_number
from l2o.extras import require
from l2o.guidance.pixel_range import Bound, PixelRange

ENDINGS = (".png", ".jpg", ".jpeg", ".bmp", ".webp")
SCIKIT_IMAGE = ("astronaut", "coffee", "chelsea", "rocket", "retina", "immunohistochemistry")
"""Photographs that come with scikit-image, inside its package or a small download of its own."""


class Stylise:
    """Gives each image the style of an auxiliary image, drawn anew for each.

        F(x̃) = (A_style within the window, A_x elsewhere) · exp(i · phase of x),
        x̂ = (1 − s) · x + s · (σ_style · (x̃ − μ_x̃) / σ_x̃ + μ_style),  clipped

    The amplitudes of the lowest frequencies are the style's, with the image's own phases, which
    hold its shapes; then mean and spread of each channel are the style's. Pixels stay where they
    are, so labels of pixels stay true. Randomness is torch's global one. Sources: stylised
    auxiliary domains are Yue et al., Domain Randomization and Pyramid Consistency, ICCV 2019, who
    paint them by trained networks; the exchange of amplitudes is Yang and Soatto, FDA, CVPR 2020.

    Args:
        styles: auxiliary images: a tensor `[S, 3, H, W]` with values from `low` to `high`, a folder
            of image files, or None for photographs of scikit-image.
        strength: s, in [0, 1].
        window: side of the window of low frequencies, as a share of the image, in [0, 1].
        low: the value of black; of normalised images one for each channel, (0 - mean) / std.
        high: the value of white; likewise, (1 - mean) / std.

    Raises:
        ValueError: an argument out of range, or no auxiliary images.
        MissingExtraError: pillow or scikit-image is not installed, where they are needed.

    Example:
        >>> styles = torch.rand(2, 3, 8, 8)
        >>> Stylise(styles)(torch.rand(4, 3, 16, 16)).shape
        torch.Size([4, 3, 16, 16])
    """

    def __init__(
        self,
        styles: Tensor | str | Path | None = None,
        strength: float = 1.0,
        window: float = 0.1,
        low: Bound = 0.0,
        high: Bound = 1.0,
    ) -> None:
        check_number("strength", strength, 0.0, 1.0)
        check_number("window", window, 0.0, 1.0)
        self.strength, self.window = strength, window
        self.range = PixelRange(low, high)
        if isinstance(styles, Tensor):
            _check(styles)
            self.range.check(styles, "Stylise")
            self._source: Any = list(self.range.to_unit(styles.float()))
        else:
            self._source = None if styles is None else find_styles(styles)

    @cached_property
    def styles(self) -> list[Tensor]:
        """The auxiliary images `[3, H, W]` in [0, 1], read when they are first needed."""
        if self._source is None:
            return list(_of_scikit_image())
        if isinstance(self._source[0], Tensor):
            return list(self._source)
        return read_styles(self._source)

    def __call__(self, images: Tensor) -> Tensor:
        """Return images `[N, 3, H, W]` in other styles, with values from `low` to `high`."""
        self.range.check(images, "Stylise")
        drawn = torch.randint(len(self.styles), (len(images),)).tolist()
        side = tuple(images.shape[2:])
        wanted = [_scaled(self.styles[number], side) for number in drawn]
        styles = torch.stack(wanted).to(images) if wanted else images
        plain = self.range.to_unit(images)
        return self.range.from_unit(restyled(plain, styles, self.strength, self.window))


def restyled(images: Tensor, styles: Tensor, strength: float, window: float) -> Tensor:
    """Return images in the styles of others, pair by pair, all in [0, 1].

    Args:
        images: `[N, C, H, W]`.
        styles: of the same shape.
        strength: in [0, 1]; 0 leaves images as they are.
        window: side of the window of low frequencies, as a share of the image; 0 exchanges none.
    """
    exchanged = _exchange(images, styles, window)
    mean, std = _moments(exchanged)
    wanted_mean, wanted_std = _moments(styles)
    coloured = wanted_std * (exchanged - mean) / std.clamp_min(1e-6) + wanted_mean
    return ((1.0 - strength) * images + strength * coloured).clamp(0.0, 1.0)


def _exchange(images: Tensor, styles: Tensor, window: float) -> Tensor:
    height, width = images.shape[2:]
    rows, columns = int(window * height / 2), int(window * width / 2)
    if window <= 0:
        return images
    ours, theirs = (torch.fft.fft2(each.float()) for each in (images, styles))
    amplitude = ours.abs().clone()
    # Frequencies lie from 0 upward, negative ones at the end.
    y = torch.cat([torch.arange(rows + 1), torch.arange(height - rows, height)]).unique()
    x = torch.cat([torch.arange(columns + 1), torch.arange(width - columns, width)]).unique()
    place = (slice(None), slice(None), y[:, None], x[None, :])
    amplitude[place] = theirs.abs()[place]
    return torch.fft.ifft2(torch.polar(amplitude, ours.angle())).real.to(images)


def _moments(images: Tensor) -> tuple[Tensor, Tensor]:
    pixels = images.flatten(2)
    spread = pixels.std(dim=2, unbiased=False)
    return pixels.mean(dim=2)[..., None, None], spread[..., None, None]


def _scaled(style: Tensor, side: tuple[int, ...]) -> Tensor:
    if tuple(style.shape[1:]) == side:
        return style
    return functional.interpolate(
        style[None], side, mode="bilinear", align_corners=False, antialias=True
    )[0]


def find_styles(source: str | Path) -> list[Path]:
    """Return the image files of a folder, however deep.

    Raises:
        ValueError: the folder is not there, or has no images.
    """
    folder = Path(source)
    if not folder.is_dir():
        raise ValueError(f"styles={str(source)!r} is no folder; give one with image files")
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in ENDINGS)
    if not files:
        raise ValueError(
            f"styles={str(source)!r} has no image files ({', '.join(ENDINGS)}); give another folder"
        )
    return files


def read_styles(files: Iterable[Path]) -> list[Tensor]:
    """Return image files as tensors `[3, H, W]` in [0, 1], at most 512 pixels wide or high.

    Raises:
        MissingExtraError: pillow is not installed.
    """
    require("Stylise", "PIL", extra="train")
    from PIL import Image

    found = []
    for path in files:
        with Image.open(path) as image:
            image.thumbnail((512, 512))
            found.append(_to_tensor(image.convert("RGB")))
    return found


def _of_scikit_image() -> Iterable[Tensor]:
    require("Stylise", "skimage", extra="textures")
    from skimage import data

    found = []
    for name in SCIKIT_IMAGE:
        try:
            found.append(_to_tensor(getattr(data, name)()))
        except (OSError, RuntimeError, ValueError, ModuleNotFoundError):
            # Some photographs are downloaded on first use; where that cannot be, others do.
            continue
    if not found:
        raise ValueError("scikit-image has no photographs here; give a folder as `styles`")
    return found


def _to_tensor(image: Any) -> Tensor:
    import numpy as np

    pixels = torch.from_numpy(np.array(image, dtype=np.float32) / 255.0)
    return pixels[..., :3].permute(2, 0, 1).contiguous()


def _check(styles: Tensor) -> None:
    if styles.dim() != 4 or styles.shape[1] != 3 or not len(styles):
        raise ValueError(
            f"styles of shape {tuple(styles.shape)} are no images; give [S, 3, H, W] with S >= 1"
        )

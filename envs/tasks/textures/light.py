"""Light: how bright, how contrasted and of what colour an image is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class Light:
    """How light varies among images, around a middle.

    Attributes:
        contrast: range of the factor on the distance from the image's mean, drawn log-uniformly.
        brightness: largest shift of all channels, either way.
        tint: largest shift of each channel, either way.
    """

    contrast: tuple[float, float]
    brightness: float
    tint: float


def relight(images: Tensor, light: Light, generator: np.random.Generator) -> Tensor:
    """Return the images `[N, 3, H, W]` each in a light of its own, clipped to [0, 1]."""
    count = len(images)
    low, high = np.log(light.contrast)
    contrast = np.exp(generator.uniform(low, high, (count, 1)))
    brightness = light.brightness * generator.uniform(-1.0, 1.0, (count, 1))
    tint = light.tint * generator.uniform(-1.0, 1.0, (count, 3))
    factor, shift = (
        torch.from_numpy(each.astype(np.float32))[:, :, None, None]
        for each in (contrast, brightness + tint)
    )
    mean = images.mean(dim=(1, 2, 3), keepdim=True)
    return (mean + factor * (images - mean) + shift).clamp(0.0, 1.0)


def turn(images: Tensor, generator: np.random.Generator) -> Tensor:
    """Return each image as it is or mirrored, and upright or transposed, at random."""
    coins = torch.from_numpy(generator.random((3, len(images))) < 0.5)[:, :, None, None, None]
    images = torch.where(coins[0], images.flip(2), images)
    images = torch.where(coins[1], images.flip(3), images)
    return torch.where(coins[2], images.transpose(2, 3), images)

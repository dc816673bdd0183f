"""Synthetic images: random-phase noise with the spectrum and colours of a few real patches."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from l2o.envs.tasks.base import Examples
from l2o.envs.tasks.proxy.images import centre
from l2o.envs.tasks.textures.light import Light, relight
from l2o.envs.tasks.textures.photographs import NUM_CLASSES, SIZE, draw_patches
from l2o.envs.tasks.textures.real import PROXY, ROLES, draw_labels


@dataclass(frozen=True)
class Synthesis:
    """How a task's synthetic images are made.

    Attributes:
        exemplars: `[classes, E, 3, 16, 16]` in [0, 1], the real patches whose noise is made.
        light: how light varies.
    """

    exemplars: Tensor
    light: Light


def draw_synthetic(count: int, synthesis: Synthesis, generator: np.random.Generator) -> Examples:
    """Draw labelled synthetic images, `[count, 3, 16, 16]` in [-1, 1], classes balanced."""
    labels = draw_labels(count, generator)
    picks = generator.integers(synthesis.exemplars.shape[1], size=count)
    exemplars = synthesis.exemplars[torch.from_numpy(labels), torch.from_numpy(picks)]
    noise = randomise_phases(exemplars, generator)
    images = relight(noise, synthesis.light, generator)
    return Examples(centre(images), torch.from_numpy(labels))


def randomise_phases(images: Tensor, generator: np.random.Generator) -> Tensor:
    """Return random-phase noise with the mean and the spectrum of each image `[N, C, H, W]`.

    The phases of white noise are added to those of the image, the same ones in all channels, so
    that colours stay correlated as they were (Galerne, Gousseau and Morel, *Random Phase Textures:
    Theory and Synthesis*, 2011). Edges, lines and shapes are gone: they live in the phases.
    """
    white = torch.from_numpy(generator.standard_normal((len(images), 1, SIZE, SIZE)))
    phases = torch.fft.rfft2(white.to(images.dtype))
    phases = phases / phases.abs().clamp(min=1e-12)
    phases[:, :, 0, 0] = 1.0
    spectra = torch.fft.rfft2(images) * phases
    return torch.fft.irfft2(spectra, s=images.shape[-2:])


def draw_exemplars(count: int, split: str, field: str, generator: np.random.Generator) -> Tensor:
    """Draw patches of every class that the proxy may have seen, `[classes, count, 3, 16, 16]`."""
    labels = np.repeat(np.arange(NUM_CLASSES), count)
    rows = ROLES["proxy_train"]
    patches = draw_patches(labels, split, field, rows, PROXY.scales, generator)
    return patches.unflatten(0, (NUM_CLASSES, count))

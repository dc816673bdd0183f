"""Exploration noise that lasts, and that layers share."""

from __future__ import annotations

import math

import torch
from torch import Tensor


class LastingNoise:
    """Standard normal noise for N environments of L layers, correlated in time and across layers.

        z_t = memory · z_(t−1) + √(1 − memory²) · (√shared · u + √(1 − shared) · v)

    with u drawn for each environment, v for each layer, and z_0 without a past. Every number is
    standard normal on its own. White noise (both 0) hardly tries other rates for a whole fine-tune:
    over T decisions its mean is √T times smaller than that of noise which lasts
    (Eberhard et al., Pink Noise Is All You Need: Colored Noise Exploration in Deep Reinforcement
    Learning). Probabilities are taken as if noise were white: to first order, that stretches a
    policy gradient along what is tried more.

    Args:
        memory: correlation of one decision's noise with that of the decision before, in [0, 1).
        shared: share of the variance that all layers of an environment have in common, but for the
            head, which is alone; in [0, 1].

    Raises:
        ValueError: numbers out of their range.

    Example:
        >>> noise = LastingNoise(memory=0.9, shared=0.5)
        >>> noise(torch.zeros(8, 3)).shape
        torch.Size([8, 3])
    """

    def __init__(self, memory: float = 0.0, shared: float = 0.0) -> None:
        if not 0.0 <= memory < 1.0:
            raise ValueError(f"noise_memory must be in [0, 1), got {memory}")
        if not 0.0 <= shared <= 1.0:
            raise ValueError(f"noise_shared must be in [0, 1], got {shared}")
        self.memory, self.shared = memory, shared
        self._last: Tensor | None = None

    def __call__(self, is_head: Tensor) -> Tensor:
        """Return the next decision's noise `[N, L]`.

        Args:
            is_head: `[N, L]`, 1 for heads.
        """
        fresh = torch.randn_like(is_head)
        if self.shared > 0.0:
            common = torch.randn_like(is_head[:, :1])
            mixed = math.sqrt(self.shared) * common + math.sqrt(1.0 - self.shared) * fresh
            fresh = torch.where(is_head > 0.5, fresh, mixed)
        if self._last is not None and self._last.shape == fresh.shape:
            fresh = self.memory * self._last + math.sqrt(1.0 - self.memory**2) * fresh
        self._last = fresh
        return fresh

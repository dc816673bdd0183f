"""The warm-up-stable-decay schedule."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from l2o.checks import check_number
from l2o.schedules.base import Schedule

SHAPES = ("sqrt", "linear")


@dataclass(frozen=True)
class WSD(Schedule):
    """Rises to 1 along a line, stays there, and falls to `end` in the last share of the training.

    p < w: start + (1 − start) · p/w; then 1 until 1 − d; then end + (1 − end)(1 − √q), or
    end + (1 − end)(1 − q), with q = (p − 1 + d)/d. Source: Hu et al., MiniCPM: Unveiling the
    Potential of Small Language Models with Scalable Training Strategies, 2024; the shape 1 − √q:
    Hägele et al., Scaling Laws and Compute-Optimal Training Beyond Fixed Training Durations, 2024.

    Args:
        warmup: w, the share of the training that warms up, in [0, 1]; 0 is none.
        decay: d, the share that decays, in [0, 1]; 0 is none. Not above 1 − w.
        start: the factor at the start of the warm-up, not negative.
        end: the factor at the end, not negative.
        shape: of the decay, `sqrt` or `linear`.

    Raises:
        ValueError: an argument out of range.

    Example:
        >>> WSD(warmup=0.1, decay=0.4)(torch.tensor([0.0, 0.1, 0.6, 0.7, 1.0]))
        tensor([0.0100, 1.0000, 1.0000, 0.5000, 0.0000])
    """

    warmup: float = 0.05
    decay: float = 0.2
    start: float = 0.01
    end: float = 0.0
    shape: str = "sqrt"

    def __post_init__(self) -> None:
        check_number("warmup", self.warmup, 0.0, 1.0)
        check_number("decay", self.decay, 0.0, 1.0)
        check_number("start", self.start)
        check_number("end", self.end)
        if self.warmup + self.decay > 1.0 + 1e-9:
            raise ValueError(
                f"warmup and decay are shares of one training, but {self.warmup} and {self.decay} "
                "add up to more than 1"
            )
        if self.shape not in SHAPES:
            raise ValueError(f"shape must be one of {', '.join(SHAPES)}, got {self.shape!r}")

    def compute(self, progress: Tensor) -> Tensor:
        """Return the factors."""
        factor = torch.ones_like(progress)
        if self.decay > 0.0:
            # Divided by the span as it is rounded here, so that q is exactly 1 at the end.
            begun = torch.full_like(progress, 1.0 - self.decay)
            span = (1.0 - begun).clamp_min(torch.finfo(progress.dtype).tiny)
            fallen = ((progress - begun) / span).clamp(0.0, 1.0)
            fallen = fallen.sqrt() if self.shape == "sqrt" else fallen
            factor = self.end + (1.0 - self.end) * (1.0 - fallen)
        if self.warmup == 0.0:
            return factor
        rising = self.start + (1.0 - self.start) * progress / self.warmup
        return torch.where(progress < self.warmup, rising, factor)

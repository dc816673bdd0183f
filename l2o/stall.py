"""Whether a run learns anything under a policy; where it does not, the user's rates come back."""

from __future__ import annotations

import math
from collections import deque
from statistics import median
from typing import Any

import torch
from torch import Tensor

from l2o.signals import Measurement

BEGINNING = 10
"""Steps whose mean loss is what later ones are held to."""
LEAST_STEPS = 20
"""Steps after which it may be said that nothing was learned."""
LEAST_PROGRESS = 0.1
"""Share of the training after which it may be said."""
FALL = 0.97
"""A median loss above this share of the beginning's is no fall."""


class Stall:
    """Lifts multipliers to 1, the user's own rates, where the loss does not fall.

        floor ← 1  once  median of the last losses > FALL · L₀
        multiplier[l] ← max(multiplier[l], floor)

    L₀ is the mean loss of the first steps. Policies learn on pretrained networks, whose backbones
    are best left alone; one that has to be learned from nothing stands still under them. The floor
    stays once the loss falls. At once, not by and by: what a run stands still for is lost to it.

    Example:
        >>> stall = Stall()
        >>> for step in range(10, 40, 10):
        ...     stall.note(2.3, step, 0.01 * step)
        >>> stall.floor
        1.0
    """

    def __init__(self) -> None:
        self.floor = 0.0
        self._sum, self._steps, self._last = 0.0, 0, 0
        self._recent: deque[float] = deque(maxlen=3)

    def note(self, loss: float, step: int, progress: float) -> None:
        """Take note of a window's mean loss.

        Args:
            loss: NaN if none was observed.
            step: steps done at the end of the window.
            progress: of the training, NaN if its length is not known.
        """
        length, self._last = max(step - self._last, 0), step
        if math.isnan(loss) or not length:
            return
        if self._steps < BEGINNING:
            self._sum += loss * length
            self._steps += length
            return
        self._recent.append(loss)
        late = step >= LEAST_STEPS and not progress < LEAST_PROGRESS
        if late and self._stands_still():
            self.floor = 1.0

    def _stands_still(self) -> bool:
        began = self._sum / self._steps
        return began > 0 and median(self._recent) > FALL * began

    def lift(self, chosen: Tensor, measured: Measurement) -> Tensor:
        """Return multipliers `[L]`, those of layers no less than the floor."""
        if not self.floor:
            return chosen
        return torch.where(measured.is_guidance > 0, chosen, chosen.clamp_min(self.floor))

    def state_dict(self) -> dict[str, Any]:
        """Return it as plain data."""
        return {
            "floor": self.floor,
            "beginning": [self._sum, self._steps],
            "last": self._last,
            "recent": list(self._recent),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from `state_dict()`; what an older release did not keep starts anew."""
        self.floor = state.get("floor", 0.0)
        self._sum, self._steps = state.get("beginning", [0.0, 0])
        self._last = state.get("last", 0)
        self._recent = deque(state.get("recent", []), maxlen=self._recent.maxlen)

"""How far beyond the user's own learning rates a policy may go: by what a step does to the loss."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from l2o.signals import Measurement
from l2o.signals.table import ROW, rows_on_host

Row = NDArray[np.float32]

SHARE = 0.25
"""Share of the loss that a step may be expected to take off, beyond the user's own rates."""
GROWTH = 4.0
"""Factor by which a multiplier above 1 may grow at a decision."""
MEMORY = 0.7
"""What a decision leaves of the steepest descent seen before it."""
TINY, LARGEST = np.float32(1e-30), np.finfo(np.float32).max
UNKNOWN_LOSS = 1.0
"""The loss where none was observed: that of a classifier, in nats."""


class Ceiling:
    """Bounds multipliers above 1, so that a step cannot do more than the loss has to give.

        D_l = multiplier[l] · max ⟨g_l, −Δθ_l⟩ / (the multiplier it was measured with)
        Σ_l min(D_l, c) ≤ SHARE · loss          multiplier[l] ← multiplier[l] · min(1, c / D_l)

    ⟨g, −Δθ⟩ is the first-order fall of the loss in one step: a number that means the same for any
    width, any optimizer and any base LR. A step expected to take off all of the loss is Polyak's
    (Introduction to Optimization, 1987), the largest that makes sense; runs that blow up are far
    beyond it. Multipliers up to 1 are never touched, since that is the user's own run. Layers of
    which nothing was measured stay at 1.

    Example:
        >>> Ceiling().state_dict()
        {'descent': None}
    """

    def __init__(self) -> None:
        self._descent: Row | None = None

    def limit(self, chosen: Tensor, measured: Measurement) -> Tensor:
        """Return the multipliers `[L]` as far as they may go, and take note of what was measured.

        Args:
            chosen: a policy's.
            measured: what it decided on; guidance terms pass as they are.
        """
        table, asked = rows_on_host(measured), chosen.numpy()
        used, fall = table[ROW["multiplier"]], table[ROW["gradient_dot_update"]]
        known = np.isfinite(fall) & (used > 0.0)
        with np.errstate(over="ignore"):  # beyond float32 is as steep as can be told
            descent = self._note(fall, used, known)
            if np.maximum.reduce(asked) <= 1.0:
                return chosen
            bound = np.zeros(asked.shape, dtype=np.float32)
            np.multiply(GROWTH, used, out=bound, where=known)
            np.maximum(bound, 1.0, out=bound)
            guidance = table[ROW["is_guidance"]]
            if guidance.any():
                bound[guidance > 0.0], descent = np.inf, np.where(guidance > 0.0, 0.0, descent)
            bounded = self._spread(np.minimum(asked, bound), descent, float(table[ROW["loss"], 0]))
        return torch.from_numpy(bounded)

    def _spread(self, bounded: Row, descent: Row, loss: float) -> Row:
        """Return multipliers that together are expected to take off no more than the budget."""
        expected = bounded * descent
        budget = SHARE * (UNKNOWN_LOSS if math.isnan(loss) else max(loss, 0.0))
        level = _water_level(expected.tolist(), budget)
        if level == math.inf:
            return bounded
        cut = bounded * np.minimum(level / np.maximum(expected, TINY), 1.0)
        return np.maximum(cut, np.minimum(bounded, 1.0))

    def _note(self, fall: Row, used: Row, known: NDArray[np.bool_]) -> Row:
        """Return the steepest descent per multiplier, of the newest decisions."""
        now: Row = np.zeros(fall.shape, dtype=np.float32)
        np.divide(fall, used, out=now, where=known)
        np.maximum(now, 0.0, out=now)
        np.minimum(now, LARGEST, out=now)  # finite: a layer at 0 takes nothing off
        before = self._descent
        if before is not None and before.shape == now.shape:
            np.maximum(now, MEMORY * before, out=now)
        self._descent = now
        return now

    def state_dict(self) -> dict[str, Any]:
        """Return it as plain data and tensors."""
        kept = self._descent
        return {"descent": None if kept is None else torch.from_numpy(kept.copy())}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from `state_dict()`."""
        descent = state.get("descent")
        self._descent = None if descent is None else descent.detach().cpu().numpy().copy()


def _water_level(amounts: list[float], budget: float) -> float:
    """Return the level c at which Σ min(amount, c) is the budget, inf if they stay below it.

    Example:
        >>> _water_level([1.0, 5.0, 9.0], 7.0)
        3.0
    """
    if sum(amounts) <= budget:
        return math.inf
    left = budget
    for index, amount in enumerate(sorted(amounts)):
        level = left / (len(amounts) - index)
        if amount >= level:
            return level
        left -= amount
    return math.inf

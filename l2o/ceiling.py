"""How far beyond the user's own learning rates a policy may go: by what a step does to the loss."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from l2o.signals import Measurement

SHARE = 0.25
"""Share of the loss that a step may be expected to take off, beyond the user's own rates."""
GROWTH = 4.0
"""Factor by which a multiplier above 1 may grow at a decision."""
MEMORY = 0.7
"""What a decision leaves of the steepest descent seen before it."""
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
        self._descent: Tensor | None = None

    def limit(self, chosen: Tensor, measured: Measurement) -> Tensor:
        """Return the multipliers `[L]` as far as they may go, and take note of what was measured.

        Args:
            chosen: a policy's.
            measured: what it decided on; guidance terms pass as they are.
        """
        used = measured.multiplier
        known = torch.isfinite(measured.gradient_dot_update) & (used > 0)
        layer = measured.is_guidance == 0
        descent = self._note(measured, known)
        grown = (GROWTH * used).clamp_min(1.0)
        bound = torch.where(known, grown, torch.ones_like(grown))
        bounded = torch.where(layer, torch.minimum(chosen, bound), chosen)
        expected = torch.where(layer, bounded * descent, torch.zeros_like(descent))
        loss = float(measured.loss)
        budget = SHARE * (UNKNOWN_LOSS if math.isnan(loss) else max(loss, 0.0))
        top = _water_level(expected, budget)
        cut = bounded * (top / expected.clamp_min(1e-30)).clamp_max(1.0)
        return torch.where(layer, torch.maximum(cut, bounded.clamp_max(1.0)), bounded)

    def _note(self, measured: Measurement, known: Tensor) -> Tensor:
        """Return the steepest descent per multiplier, of the newest decisions."""
        now = measured.gradient_dot_update.clamp_min(0.0) / measured.multiplier
        now = torch.where(known, now, torch.zeros_like(now))
        before = self._descent
        if before is not None and before.shape == now.shape:
            now = torch.maximum(now, MEMORY * before)
        self._descent = now
        return now

    def state_dict(self) -> dict[str, Any]:
        """Return it as plain data and tensors."""
        return {"descent": None if self._descent is None else self._descent.clone()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from `state_dict()`."""
        descent = state.get("descent")
        self._descent = None if descent is None else descent.detach().cpu().clone()


def _water_level(amounts: Tensor, budget: float) -> float:
    """Return the level c at which Σ min(amount, c) is the budget, inf if they stay below it.

    Example:
        >>> _water_level(torch.tensor([1.0, 5.0, 9.0]), 7.0)
        3.0
    """
    total, left = float(amounts.sum()), budget
    if total <= budget:
        return math.inf
    ordered = sorted(amounts.tolist())
    for index, amount in enumerate(ordered):
        level = left / (len(ordered) - index)
        if amount >= level:
            return level
        left -= amount
    return math.inf

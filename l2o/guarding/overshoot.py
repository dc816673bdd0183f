"""Whether the loss rose again under a policy; then steps were too far, and are made smaller."""

from __future__ import annotations

import math
from collections import deque
from typing import Any

BLOCK = 8
"""Steps whose mean loss is looked at: fewer tell a batch from the next, not a run."""
LEAST_STEPS, LEAST_PROGRESS = 20, 0.1
"""Steps, since good weights came back at last, and share of the training, before it is said."""
ROSE = 1.05
"""A mean loss above this share of the lowest one rose."""
LOST = 0.75
"""Share of the fall that is lost again."""
KEPT = 0.25
"""Share of the fall that good weights have lost at most."""
CUTS = 2
"""How often steps are made smaller in a training."""


class Overshoot:
    """Tells where the loss has risen again, or rises from the start.

        overshot  once  L > max(ROSE · L_min, L_min + LOST · (L₀ − L_min))

    L is the mean loss of the newest windows of BLOCK steps or more, L₀ that of the first ones,
    L_min the lowest so far. A pretrained network that moved too far is at chance, which is where
    its new head began: nothing looks wrong with the loss, but that it had fallen before. Lower
    rates are no help then, since the weights are gone; they are put back, and it is tried with
    smaller steps.

    Example:
        >>> watch = Overshoot()
        >>> [watch.note(loss, step, step / 100) for step, loss in ((10, 2.3), (20, 1.5), (30, 2.3))]
        [False, False, True]
    """

    def __init__(self) -> None:
        self.cuts = 0
        self._first = math.nan
        self._lowest = self._newest = math.inf
        self._last = self._since = 0
        self._windows: deque[tuple[float, int]] = deque()

    def look(self, loss: float, step: int) -> None:
        """Take note of the mean loss of all steps so far, within the first window."""
        if step >= BLOCK and not self._last:
            self._take(loss)

    def note(self, loss: float, step: int, progress: float) -> bool:
        """Take note of a window's mean loss; return whether the run overshot.

        Args:
            loss: NaN if none was observed.
            step: steps done at the end of the window.
            progress: of the training, NaN if its length is not known.
        """
        length, self._last = max(step - self._last, 0), step
        if not math.isfinite(loss) or not length:
            return False
        self._windows.append((loss, length))
        steps = sum(many for _, many in self._windows)
        while steps - self._windows[0][1] >= BLOCK:
            steps -= self._windows.popleft()[1]
        if steps < BLOCK:
            return False
        self._take(sum(mean * many for mean, many in self._windows) / steps)
        late = step - self._since >= LEAST_STEPS and not progress < LEAST_PROGRESS
        return late and self.may_go_back and self._rose(LOST)

    def begin_anew(self) -> None:
        """Forget how far the loss had fallen: other weights are back."""
        self._since = self._last
        # Within the first steps nothing is known yet, and a NaN would stay the lowest for good.
        self._lowest = self._newest = math.inf if math.isnan(self._first) else self._first
        self._windows.clear()

    @property
    def may_go_back(self) -> bool:
        """Whether it may be tried with smaller steps yet."""
        return self.cuts < CUTS

    @property
    def worse(self) -> bool:
        """Whether a part of the fall is lost just now: these are no weights to go back to."""
        return self._rose(KEPT)

    @property
    def above_start(self) -> bool:
        """Whether the newest loss is above the first ones: what it began with is better."""
        return self._newest > self._first

    def _take(self, loss: float) -> None:
        if not math.isfinite(loss):
            return
        if math.isnan(self._first):
            self._first = loss
        self._newest, self._lowest = loss, min(self._lowest, loss)

    def _rose(self, share: float) -> bool:
        """Return whether so much of the fall is lost; a loss of zero or below has no shares."""
        lost = self._lowest + share * (self._first - self._lowest)
        return self._lowest > 0.0 and self._newest > max(ROSE * self._lowest, lost)

    def state_dict(self) -> dict[str, Any]:
        """Return it as plain data."""
        return {
            "cuts": self.cuts,
            "losses": [self._first, self._lowest, self._newest],
            "windows": list(self._windows),
            "steps": [self._last, self._since],
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from `state_dict()`; what an older release did not keep starts anew."""
        self.cuts = state.get("cuts", 0)
        nothing = [math.nan, math.inf, math.inf]
        self._first, self._lowest, self._newest = state.get("losses", nothing)
        self._windows = deque((mean, many) for mean, many in state.get("windows", []))
        self._last, self._since = state.get("steps", [0, 0])

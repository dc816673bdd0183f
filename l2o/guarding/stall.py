"""Whether a run learns anything under a policy; where it does not, the user's rates are tried."""

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
SHORT = 100
"""Steps of a training so short that LEAST_STEPS are too large a share of it (`Stall.look`)."""
SHORT_BEGINNING, SHORT_LEAST_STEPS = 4, 10
"""What BEGINNING and LEAST_STEPS are in such a training, under a guard that looks early."""
LEAST_PROGRESS = 0.1
"""Share of the training after which it may be said."""
FALL = 0.97
"""A median loss above this share of the beginning's is no fall."""
RISE = 1.03
"""A loss above this share of what it was when the floor was lifted: that did harm."""
TRIAL = 3
"""Windows in which that may show; also how many are waited for before it is tried again."""
TRIES = 2
"""How often it is tried in a training."""


class Stall:
    """Tries the user's own rates, multipliers of 1, where the loss does not fall.

        floor ← 1  once  median of the last losses > FALL · L₀
        floor ← 0  again  if, within TRIAL windows, a loss > RISE · the last one before
        multiplier[l] ← floor for all l  where  min multiplier < floor

    L₀ is the mean loss of the first steps. Policies learn on pretrained networks, whose backbones
    are best left alone; one that has to be learned from nothing stands still under them. Which of
    both a run is, is not known: the floor is tried, with a way back. At once, not by and by: what
    a run stands still for is lost to it.

    Example:
        >>> stall = Stall()
        >>> [stall.note(2.3, step, 0.01 * step) for step in range(10, 40, 10)], stall.floor
        ([None, 'lifted', None], 1.0)
        >>> stall.note(2.5, 40, 0.4), stall.floor
        ('harmed', 0.0)
    """

    def __init__(self) -> None:
        self.floor = 0.0
        self._sum, self._steps, self._last = 0.0, 0, 0
        self._recent: deque[float] = deque(maxlen=3)
        self._before, self._left, self._tries = math.nan, 0, 0
        self._short, self._since = False, 0

    def look(self, loss: float, step: int, progress: float) -> None:
        """Take note of the mean loss of all steps so far, within the first window."""
        short = step <= progress * SHORT  # never, where the length is not known
        if short and step == SHORT_BEGINNING and not self._steps and not math.isnan(loss):
            self._sum, self._steps, self._last = loss * step, step, step
            self._short = True

    @property
    def on_trial(self) -> bool:
        """Whether the floor was lifted, and may yet be taken back."""
        return self.floor > 0 and self._left > 0

    def note(self, loss: float, step: int, progress: float) -> str | None:
        """Take note of a window's mean loss.

        Args:
            loss: NaN if none was observed.
            step: steps done at the end of the window.
            progress: of the training, NaN if its length is not known.

        Returns:
            "lifted" or "harmed" when the floor changes: harmed, the weights of when it was lifted
            are to be put back.
        """
        length, self._last = max(step - self._last, 0), step
        if math.isnan(loss) or not length:
            return None
        if self._short and step - length == SHORT_BEGINNING:
            # A window that was looked at: of its mean, what came after the beginning counts.
            loss = (loss * step - self._sum) / length
        elif not self._short and self._steps < BEGINNING:
            self._sum += loss * length
            self._steps += length
            return None
        if self.floor:
            return self._judge(loss)
        self._recent.append(loss)
        least = SHORT_LEAST_STEPS if self._short else LEAST_STEPS
        late = step - self._since >= least and not progress < LEAST_PROGRESS
        enough = self._tries < TRIES and len(self._recent) >= (TRIAL if self._tries else 1)
        if not (late and enough and self._stands_still()):
            return None
        self.floor, self._before, self._left = 1.0, loss, TRIAL
        self._tries += 1
        return "lifted"

    def _judge(self, loss: float) -> str | None:
        """Take the floor back if it did harm."""
        if not self.on_trial:
            return None
        self._left -= 1
        return self.take_back() if loss > RISE * self._before else None

    def take_back(self) -> str:
        """Let multipliers be what the policy says again."""
        self.floor, self._left = 0.0, 0
        self._recent.clear()
        return "harmed"

    def begin_anew(self, step: int, tries: bool) -> None:
        """Wait as long as at first before anything is said: other weights are back.

        Args:
            step: steps done.
            tries: whether the user's own rates may still be tried; not where they are larger than
                what went too far.
        """
        self.floor, self._left, self._since = 0.0, 0, step
        self._recent.clear()
        self._tries = self._tries if tries else TRIES

    def _stands_still(self) -> bool:
        began = self._sum / self._steps
        return began > 0 and median(self._recent) > FALL * began

    def lift(self, chosen: Tensor, measured: Measurement) -> Tensor:
        """Return multipliers `[L]`: all layers' are the floor where the policy's of one is below.

        A large rate of the head was meant for layers below it that hardly move; beside layers that
        do, it is more than the user ever asked for.
        """
        layers = measured.is_guidance == 0
        if not self.floor or not bool((chosen[layers] < self.floor).any()):
            return chosen
        return torch.where(layers, chosen.new_full((), self.floor), chosen)

    def state_dict(self) -> dict[str, Any]:
        """Return it as plain data."""
        return {
            "floor": self.floor,
            "beginning": [self._sum, self._steps],
            "last": self._last,
            "recent": list(self._recent),
            "trial": [self._before, self._left, self._tries],
            "short": self._short,
            "since": self._since,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from `state_dict()`; what an older release did not keep starts anew."""
        self.floor = state.get("floor", 0.0)
        self._sum, self._steps = state.get("beginning", [0.0, 0])
        self._last = state.get("last", 0)
        self._recent = deque(state.get("recent", []), maxlen=self._recent.maxlen)
        self._before, self._left, self._tries = state.get("trial", [math.nan, 0, 0])
        self._short = state.get("short", False)
        self._since = state.get("since", 0)

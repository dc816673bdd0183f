"""Which of the networks that a fine-tune goes through is kept: named rules."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from torch import nn

from l2o.adaptation import LABEL_FREE
from l2o.envs.objectives.base import Metric

RULES = {"source_validation": "source_validation", "target": "target_validation"}
"""Selection rule -> the split whose main metric it goes by; `last` looks at none."""


class BestNetwork:
    """Keeps the weights that were best by a rule; the first of equals.

    Args:
        rule: `last`, a name of `RULES`, or of `l2o.adaptation.LABEL_FREE`.
        metric: what is compared.
    """

    def __init__(self, rule: str, metric: Metric) -> None:
        self.rule, self.split = rule, RULES.get(rule)
        self.label_free = rule in LABEL_FREE
        self._metric = metric
        self.step: int | None = None
        self._gain = -math.inf
        self._weights: dict[str, Any] | None = None

    def look(self, step: int, scores: Mapping[str, float], model: nn.Module) -> None:
        """Note a network that was scored, and keep it if it is the best so far."""
        value = scores.get(self._metric.name, math.nan)
        if self.split is not None:
            self.take(step, self._metric.gain(value), model)

    def take(self, step: int, gain: float, model: nn.Module) -> None:
        """Keep a network if what it is chosen by is the largest so far."""
        if math.isnan(gain) or gain <= self._gain:
            return
        self.step, self._gain = step, gain
        self._weights = {n: t.detach().cpu().clone() for n, t in model.state_dict().items()}

    def put_back(self, model: nn.Module) -> bool:
        """Give a model the best weights; tell whether there were any."""
        if self._weights is None:
            return False
        model.load_state_dict(self._weights)
        return True

    def state_dict(self) -> dict[str, Any]:
        """Return what a resumed run needs."""
        return {"step": self.step, "gain": self._gain, "weights": self._weights}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from `state_dict()`."""
        self.step, self._gain, self._weights = state["step"], state["gain"], state["weights"]

"""Multipliers drawn at random."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from l2o.checks import check_number
from l2o.deciding.policy import State
from l2o.rules.base import Rule
from l2o.signals.spec import SignalSpec


@dataclass
class Random(Rule):
    """multiplier[l] = low^(1−u) · high^u, u ~ U(0, 1), on its own for each layer.

    What a policy without any skill reaches. The draw depends on the seed, on the run
    (`for_run`) and, if `redraw`, on the number of the decision.

    Args:
        low: smallest multiplier, above 0.
        high: largest multiplier, not below `low`.
        redraw: draw anew at each decision; else once for the whole run.
        seed: of the draws, not negative.
        run: identifies the run among those of equal settings.

    Raises:
        ValueError: an argument out of range.

    Example:
        >>> rule = Random(low=0.1, high=0.1)
        >>> rule(torch.ones(2, 1), rule.initial_state(2))[0]
        tensor([0.1000, 0.1000])
    """

    low: float = 1e-3
    high: float = 10.0
    redraw: bool = False
    seed: int = 0
    run: tuple[int, ...] = ()
    signals = SignalSpec(("present",))

    def __post_init__(self) -> None:
        check_number("low", self.low, above=True)
        check_number("high", self.high, self.low)
        if isinstance(self.seed, bool) or not isinstance(self.seed, int) or self.seed < 0:
            raise ValueError(f"seed must be a whole number, not negative, got {self.seed!r}")

    def for_run(self, *key: int) -> Random:
        """Return this rule with the draws of another run."""
        made = replace(self, run=key)
        made.interval = self.interval
        return made

    def initial_state(self, num_layers: int) -> State:
        """Return the number of decisions so far."""
        del num_layers
        return {"decisions": torch.tensor(0, device="cpu")}

    def __call__(self, observation: Tensor, state: State) -> tuple[Tensor, State]:
        """Return the multipliers `[L]`, and the state one decision on."""
        decision = int(state["decisions"]) if self.redraw else 0
        rng = np.random.default_rng([self.seed, decision, *self.run])
        share = rng.random(len(observation))
        drawn = self.low ** (1.0 - share) * self.high**share
        multipliers = torch.from_numpy(drawn).to(observation)
        return multipliers, {"decisions": state["decisions"] + 1}

"""Auto-RGN: learning rates by relative gradient norm."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from l2o.deciding.policy import State
from l2o.rules.base import Rule
from l2o.signals.gradient import GradientNorm
from l2o.signals.spec import SignalSpec


@dataclass
class AutoRGN(Rule):
    """multiplier[l] = r_l / max_k r_k, with r_l = ‖g_l‖ / ‖θ_l‖, at each decision.

    Source: Lee et al., Surgical Fine-Tuning Improves Adaptation to Distribution Shifts, ICLR 2023,
    where learning rates are set anew at the start of each epoch. Here r is of the last step's
    gradient and between 10⁻⁸ and 10⁸, the range of the signal `gradient_norm`. Where no layer has a
    gradient yet, before the first step, all multipliers are 1; a layer without one gets 0
    afterwards.

    Example:
        >>> rule = AutoRGN()
        >>> #                    present  log10(r)/4  has_gradient
        >>> seen = torch.tensor([[1.0, -0.50, 1.0], [1.0, -0.25, 1.0]])
        >>> rule(seen, {})[0]
        tensor([0.1000, 1.0000])
    """

    signals = SignalSpec(("present", "gradient_norm", "has_gradient"))

    def __call__(self, observation: Tensor, state: State) -> tuple[Tensor, State]:
        """Return the multipliers `[L]`, and the state as it was."""
        present, encoded, known = observation.unbind(dim=-1)
        known = known * present > 0
        if not known.any():
            return torch.ones_like(present), state
        logs = encoded.masked_fill(~known, -torch.inf) * GradientNorm.scale
        return 10.0 ** (logs - logs.max()), state

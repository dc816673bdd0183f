"""Mode `update_scale`: the applied update of each parameter is scaled, whatever computed it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor
from torch.optim import Optimizer

from l2o.groups import LayerGroup
from l2o.modes.base import Mode


class UpdateScale(Mode):
    """θ ← θ_before + multiplier · (θ_after − θ_before), after the step.

    Equal to per-group learning rates wherever the update is linear in the LR, and it leaves the
    optimizer's param groups, hence its checkpoints, as they are. It costs one copy of the weights.
    """

    name: ClassVar[str] = "update_scale"

    def __init__(self, optimizer: Optimizer, groups: Sequence[LayerGroup]) -> None:
        super().__init__(optimizer, groups)
        self._before: list[list[Tensor]] = []
        self._factors: list[float] = []

    @torch.no_grad()
    def before_step(self, multipliers: Tensor) -> None:
        """Remember the weights of every layer whose multiplier is not one."""
        self._factors = multipliers.tolist()
        self._before = [
            [] if factor == 1.0 else [p.detach().clone() for p in group.parameters]
            for group, factor in zip(self.groups, self._factors, strict=True)
        ]

    @torch.no_grad()
    def after_step(self) -> None:
        """Scale what the step did."""
        for group, before, factor in zip(self.groups, self._before, self._factors, strict=True):
            if factor == 0.0:
                # Exact even where the step went to inf or NaN.
                torch._foreach_copy_(list(group.parameters), before)
            elif factor != 1.0:
                torch._foreach_lerp_(before, list(group.parameters), factor)
                torch._foreach_copy_(list(group.parameters), before)
        self._before, self._factors = [[] for _ in self.groups], [1.0] * len(self.groups)

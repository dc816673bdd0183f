"""Mode `update_scale`: the applied update of each parameter is scaled, whatever computed it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor

from l2o.layers.groups import LayerGroup
from l2o.modes.base import Mode
from l2o.tensors import shard


class UpdateScale(Mode):
    """θ ← θ_before + multiplier · (θ_after − θ_before), after the step.

    Equal to per-group learning rates wherever the update is linear in the LR, and right for
    optimizers that refuse those. It costs one copy of the weights whose multiplier is not one.
    """

    name: ClassVar[str] = "update_scale"

    def follow(self, groups: Sequence[LayerGroup]) -> None:
        """Apply multipliers to these layer groups from now on; not during a step."""
        super().follow(groups)
        self._before: list[list[Tensor]] = [[] for _ in groups]
        self._factors = [1.0] * len(groups)
        self._unmoved = False

    def _weights(self, layer: int) -> list[Tensor]:
        return [shard(p.detach()) for p in self.groups[layer].parameters]

    @torch.no_grad()
    def before_step(self, multipliers: Tensor) -> None:
        """Remember the weights of every layer whose multiplier is not one."""
        self._factors = multipliers.tolist()
        self._unmoved = True
        for layer, factor in enumerate(self._factors):
            if factor == 1.0:
                continue
            weights, before = self._weights(layer), self._before[layer]
            # Memory is kept from step to step: allocating it costs more than copying.
            if len(before) == len(weights) and all(map(_alike, before, weights)):
                torch._foreach_copy_(before, weights)
            else:
                self._before[layer] = [weight.clone() for weight in weights]

    def end_closure(self, multipliers: Tensor) -> None:
        """Use the multipliers that the closure's rates were decided on, if nothing moved yet.

        Optimizers evaluate a closure before they move weights; some, line by line, once more after.
        """
        if self._unmoved and multipliers.tolist() != self._factors:
            self.before_step(multipliers)
        self._unmoved = False

    @torch.no_grad()
    def after_step(self) -> None:
        """Scale what the step did."""
        for layer, factor in enumerate(self._factors):
            if factor == 1.0:
                continue
            weights, before = self._weights(layer), self._before[layer]
            if factor == 0.0:  # exact even where the step went to inf or NaN
                torch._foreach_copy_(weights, before)
            else:
                _interpolate(before, weights, factor)
        self._factors = [1.0] * len(self.groups)

    def abandon_step(self) -> None:
        """Forget the step that raised; the weights stay as it left them."""
        self._factors = [1.0] * len(self.groups)


def _interpolate(before: list[Tensor], weights: list[Tensor], factor: float) -> None:
    """Let weights be `before + factor * (weights - before)`."""
    if all(weight.is_cpu for weight in weights):
        # The same numbers in one pass: what a CPU waits for is memory.
        for old, weight in zip(before, weights, strict=True):
            torch.lerp(old, weight, factor, out=weight)
    else:
        torch._foreach_lerp_(before, weights, factor)
        torch._foreach_copy_(weights, before)


def _alike(a: Tensor, b: Tensor) -> bool:
    return (a.shape, a.dtype, a.device) == (b.shape, b.dtype, b.device)

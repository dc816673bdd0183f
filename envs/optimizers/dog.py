"""DoG: distance over gradients."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any, ClassVar

import torch
from torch.optim import Optimizer

from l2o.checks import check_number
from l2o.envs.optimizers.extra import ExtraOptimizer


@dataclass(frozen=True)
class DoG(ExtraOptimizer):
    """θ ← θ − lr · (max ‖θᵢ − θ₀‖ / √Σ‖gᵢ‖²) · g, judged at a mean of all θ: `dog.DoG`.

    All layers are one vector. The mean x ← x + (γ+1)/(γ+t) · (θ − x) is the authors' averaging by
    polynomial decay, without which they advise against DoG. Meant at a base LR of 1. Source: Ivgi,
    Hinder and Carmon, DoG is SGD's Best Friend, ICML 2023.

    Args:
        weight_decay: λ, added to the gradient as λθ, not negative.
        reps_rel: first distance, relative to 1 + ‖θ₀‖, above 0.
        gamma: γ, how fast the mean forgets, not negative; None judges θ itself.

    Raises:
        ValueError: an argument out of range; in `build`, param groups differ in their learning
            rate.
        MissingExtraError: dog-optimizer is not installed.

    Example:
        >>> DoG()
        DoG(weight_decay=0.0, reps_rel=1e-06, gamma=8.0)
    """

    module: ClassVar[str] = "dog"
    kind: ClassVar[str] = "DoG"
    weight_decay: float = 0.0
    reps_rel: float = 1e-6
    gamma: float | None = 8.0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_number("weight_decay", self.weight_decay)
        check_number("reps_rel", self.reps_rel, above=True)
        if self.gamma is not None:
            check_number("gamma", self.gamma)

    def make(self, param_groups: list[dict[str, Any]]) -> Optimizer:
        """Return the package's optimizer of one param group."""
        rates = {float(group["lr"]) for group in param_groups}
        if len(rates) > 1:
            raise ValueError(
                f"{self.kind} takes one learning rate for all layers, got {sorted(rates)}"
            )
        # Given several groups, it would measure distances for each.
        one = param_groups[0] | {"params": [p for group in param_groups for p in group["params"]]}
        one.pop("name", None)
        kind: Any = getattr(self.load(), self.kind)
        if self.gamma is not None:
            kind = _averaged(kind, self.gamma)
        made: Optimizer = kind([one], reps_rel=self.reps_rel, weight_decay=self.weight_decay)
        return made


@cache
def _averaged(kind: Any, gamma: float) -> Any:
    """Return DoG with a mean of its iterates, in place of them between `eval()` and `train()`."""

    class Averaged(kind):
        averages: list[torch.Tensor] | None = None
        steps, judged = 0, False

        def _weights(self) -> list[torch.Tensor]:
            return [p for group in self.param_groups for p in group["params"]]

        @torch.no_grad()
        def step(self, closure: Any = None) -> Any:
            loss = super().step(closure)
            self.steps += 1
            if self.averages is None:
                self.averages = [p.detach().clone() for p in self._weights()]
            for mean, weight in zip(self.averages, self._weights(), strict=True):
                mean.lerp_(weight, (gamma + 1) / (gamma + self.steps))
            return loss

        def eval(self) -> None:
            self._swap(True)

        def train(self) -> None:
            self._swap(False)

        @torch.no_grad()
        def _swap(self, judged: bool) -> None:
            if self.judged == judged:
                return
            self.judged = judged
            for mean, weight in zip(self.averages or (), self._weights(), strict=False):
                kept = weight.clone()
                weight.copy_(mean)
                mean.copy_(kept)

    Averaged.__name__ = kind.__name__
    return Averaged

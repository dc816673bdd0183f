"""Synaptic intelligence: distance from the start, weighted by what mattered in pretraining."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import ClassVar, Self

import torch
from torch import Tensor

from l2o.guidance.base import Guidance
from l2o.guidance.compare import at_least_single, check_names


@dataclass(frozen=True, eq=False)
class SynapticIntelligence(Guidance[Mapping[str, Tensor]]):
    """c · Σ_k Ω_k (θ_k − θ₀_k)² over the backbone's parameters, the weight being c.

    Ω_k is how much of the fall of the proxy's loss was due to parameter k, per squared distance
    it went: `ImportanceTracker` gathers it during pretraining, `estimate_importance` estimates it
    afterwards. Source: Zenke, Poole and Ganguli, Continual Learning Through Synaptic
    Intelligence, ICML 2017.

    Args:
        weight: c, not negative; or a schedule of it.
        cap: upper bound of the weighted term, not negative; None is no bound.
        importance: Ω by name of parameter; None is given later by `with_importance`.

    Raises:
        ValueError: a negative or non-finite weight or cap.

    Example:
        >>> start = {"w": torch.zeros(2)}
        >>> guidance = SynapticIntelligence(weight=0.5, importance={"w": torch.tensor([1.0, 3.0])})
        >>> guidance({"w": torch.tensor([1.0, 2.0])}, start)
        tensor(6.5000)
    """

    compares: ClassVar[str] = "parameters"

    importance: Mapping[str, Tensor] | None = field(default=None, repr=False)

    def with_importance(self, importance: Mapping[str, Tensor]) -> Self:
        """Return the same term with these Ω."""
        return replace(self, importance=importance)

    def with_pretraining(self, importance: Callable[[], Mapping[str, Tensor]]) -> Self:
        """Return the term with its Ω, those of the pretraining if none were given."""
        return self if self.importance is not None else self.with_importance(importance())

    def divergence(self, student: Mapping[str, Tensor], teacher: Mapping[str, Tensor]) -> Tensor:
        """Return Σ Ω (θ − θ₀)², a scalar.

        Args:
            student: parameters by name.
            teacher: the same at the start; taken as constants, and there may be more of them.

        Raises:
            ValueError: no importance yet, or a parameter without start or importance.
        """
        if self.importance is None:
            raise ValueError(
                "synaptic intelligence needs the importance of the parameters: gather it during "
                "pretraining with ImportanceTracker, or use estimate_importance, and give it as "
                "importance=..."
            )
        check_names("start", student, teacher)
        check_names("importance", student, self.importance)
        parts = [
            (
                (at_least_single(value) - teacher[name].detach()).square() * self.importance[name]
            ).sum()
            for name, value in student.items()
        ]
        return torch.stack(parts).sum()

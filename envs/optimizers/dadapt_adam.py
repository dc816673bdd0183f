"""Adam with D-Adaptation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from torch.optim import Optimizer

from l2o.checks import check_number
from l2o.envs.optimizers.base import check_adam
from l2o.envs.optimizers.extra import ExtraOptimizer, quietly


@dataclass(frozen=True)
class DAdaptAdam(ExtraOptimizer):
    """Adam with decoupled weight decay whose step d is estimated: `dadaptation.DAdaptAdam`.

    Meant at a base LR of 1, the same for all layers. Source: Defazio and Mishchenko,
    Learning-Rate-Free Learning by D-Adaptation, ICML 2023.

    Args:
        betas: β₁ and β₂, in [0, 1).
        eps: ε, above 0.
        weight_decay: λ, not negative.
        d0: first estimate of d, above 0.

    Raises:
        ValueError: an argument out of range.
        MissingExtraError: dadaptation is not installed.

    Example:
        >>> DAdaptAdam()
        DAdaptAdam(betas=(0.9, 0.999), eps=1e-08, weight_decay=0.0, d0=1e-06)
    """

    module: ClassVar[str] = "dadaptation"
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    weight_decay: float = 0.0
    d0: float = 1e-6

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "betas", tuple(self.betas))
        check_adam(self.betas, self.eps, self.weight_decay)
        check_number("d0", self.d0, above=True)

    def make(self, param_groups: list[dict[str, Any]]) -> Optimizer:
        """Return a `dadaptation.DAdaptAdam`."""
        return quietly(
            self.load().DAdaptAdam,
            param_groups,
            betas=self.betas,
            eps=self.eps,
            weight_decay=self.weight_decay,
            decouple=True,
            d0=self.d0,
        )

"""Prodigy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from torch.optim import Optimizer

from l2o.checks import check_number
from l2o.envs.optimizers.base import check_adam
from l2o.envs.optimizers.extra import ExtraOptimizer, quietly


@dataclass(frozen=True)
class Prodigy(ExtraOptimizer):
    """Adam with decoupled weight decay whose step d is estimated: `prodigyopt.Prodigy`.

    d grows with ⟨g, θ₀ − θ⟩, a lower bound of the distance to the solution. Meant at a base LR of
    1, the same for all layers. Source: Mishchenko and Defazio, Prodigy: An Expeditiously Adaptive
    Parameter-Free Learner, ICML 2024.

    Args:
        betas: β₁ and β₂, in [0, 1).
        eps: ε, above 0.
        weight_decay: λ, not negative.
        d0: first estimate of d, above 0.
        d_coef: factor on d, above 0.
        use_bias_correction: Adam's bias correction.
        safeguard_warmup: leave the learning rate out of the estimate, for schedules that warm up.

    Raises:
        ValueError: an argument out of range.
        MissingExtraError: prodigyopt is not installed.

    Example:
        >>> Prodigy().d0
        1e-06
    """

    module: ClassVar[str] = "prodigyopt"
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    weight_decay: float = 0.0
    d0: float = 1e-6
    d_coef: float = 1.0
    use_bias_correction: bool = False
    safeguard_warmup: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "betas", tuple(self.betas))
        check_adam(self.betas, self.eps, self.weight_decay)
        check_number("d0", self.d0, above=True)
        check_number("d_coef", self.d_coef, above=True)

    def make(self, param_groups: list[dict[str, Any]]) -> Optimizer:
        """Return a `prodigyopt.Prodigy`."""
        return quietly(
            self.load().Prodigy,
            param_groups,
            betas=self.betas,
            eps=self.eps,
            weight_decay=self.weight_decay,
            d0=self.d0,
            d_coef=self.d_coef,
            use_bias_correction=self.use_bias_correction,
            safeguard_warmup=self.safeguard_warmup,
        )

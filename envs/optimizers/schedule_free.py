"""Schedule-free optimizers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from torch.optim import Optimizer

from l2o.checks import check_number
from l2o.envs.optimizers.base import check_adam
from l2o.envs.optimizers.extra import ExtraOptimizer


@dataclass(frozen=True)
class ScheduleFreeSGD(ExtraOptimizer):
    """y = (1−m)z + m·x; z ← z − lr·(g(y) + λy); x the mean of all z, weighted by lr².

    `schedulefree.SGDScheduleFree`. The network is trained at y and judged at x. Source: Defazio et
    al., The Road Less Scheduled, NeurIPS 2024.

    Args:
        momentum: m, in (0, 1).
        weight_decay: λ, not negative.
        warmup_steps: steps in which the learning rate rises along a line; 0 is none.

    Raises:
        ValueError: an argument out of range.
        MissingExtraError: schedulefree is not installed.

    Example:
        >>> ScheduleFreeSGD()
        ScheduleFreeSGD(momentum=0.9, weight_decay=0.0, warmup_steps=0)
    """

    module: ClassVar[str] = "schedulefree"
    momentum: float = 0.9
    weight_decay: float = 0.0
    warmup_steps: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_number("momentum", self.momentum, 0.0, 1.0, above=True)
        if self.momentum == 1.0:
            raise ValueError("momentum must be below 1, got 1.0")
        check_number("weight_decay", self.weight_decay)
        check_number("warmup_steps", self.warmup_steps)

    def make(self, param_groups: list[dict[str, Any]]) -> Optimizer:
        """Return a `schedulefree.SGDScheduleFree` that is ready to train."""
        optimizer: Any = self.load().SGDScheduleFree(
            param_groups,
            momentum=self.momentum,
            weight_decay=self.weight_decay,
            warmup_steps=self.warmup_steps,
        )
        optimizer.train()
        made: Optimizer = optimizer
        return made


@dataclass(frozen=True)
class ScheduleFreeAdamW(ExtraOptimizer):
    """Schedule-free averaging as in `ScheduleFreeSGD`, of AdamW's steps without momentum.

    z ← z − lr·(g(y)/(√v̂ + ε) + λy): `schedulefree.AdamWScheduleFree`. Source: Defazio et al., The
    Road Less Scheduled, NeurIPS 2024.

    Args:
        betas: β₁, how near y is to x, in (0, 1), and β₂ of the mean square, in [0, 1).
        eps: ε, above 0.
        weight_decay: λ, not negative.
        warmup_steps: steps in which the learning rate rises along a line; 0 is none.

    Raises:
        ValueError: an argument out of range.
        MissingExtraError: schedulefree is not installed.

    Example:
        >>> ScheduleFreeAdamW().betas
        (0.9, 0.999)
    """

    module: ClassVar[str] = "schedulefree"
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    weight_decay: float = 0.0
    warmup_steps: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "betas", tuple(self.betas))
        check_adam(self.betas, self.eps, self.weight_decay)
        check_number("the first of betas", self.betas[0], above=True)
        check_number("warmup_steps", self.warmup_steps)

    def make(self, param_groups: list[dict[str, Any]]) -> Optimizer:
        """Return a `schedulefree.AdamWScheduleFree` that is ready to train."""
        optimizer: Any = self.load().AdamWScheduleFree(
            param_groups,
            betas=self.betas,
            eps=self.eps,
            weight_decay=self.weight_decay,
            warmup_steps=self.warmup_steps,
        )
        optimizer.train()
        made: Optimizer = optimizer
        return made

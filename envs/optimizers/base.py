"""The contract of inner optimizers: settings that build a torch optimizer."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from torch.optim import Optimizer

from l2o.checks import check_number


class InnerOptimizer(ABC):
    """Settings of an optimizer. Members are frozen dataclasses, checked when made.

    Example:
        >>> from l2o.envs.optimizers import SGD
        >>> weight = nn.Parameter(torch.ones(1))
        >>> SGD(momentum=0.5).build([{"params": [weight], "lr": 0.1}]).defaults["momentum"]
        0.5
    """

    @abstractmethod
    def make(self, param_groups: list[dict[str, Any]]) -> Optimizer:
        """Return the optimizer of checked param groups."""

    def build(self, param_groups: Sequence[dict[str, Any]]) -> Optimizer:
        """Return a fresh optimizer; what a group sets itself wins over these settings.

        Args:
            param_groups: torch param groups with `lr`, as `l2o.layers.groups.param_groups` makes
                them.

        Raises:
            ValueError: there is no group, or one has no learning rate.
        """
        groups = [dict(group) for group in param_groups]
        if not groups:
            raise ValueError(
                "there are no param groups; make them with l2o.layers.groups.param_groups"
            )
        for index, group in enumerate(groups):
            if "lr" not in group:
                raise ValueError(
                    f"param group {group.get('name', index)!r} has no 'lr'; "
                    "make param groups with l2o.layers.groups.param_groups(groups, base_lr)"
                )
        return self.make(groups)


@contextmanager
def judged(optimizer: Optimizer) -> Iterator[None]:
    """Hold the weights that an optimizer is judged by, where it trains others (schedule-free).

    Such an optimizer has `eval()` and `train()`, as schedulefree's have.
    """
    switch: Any = optimizer
    if not (hasattr(switch, "eval") and hasattr(switch, "train")):
        yield
        return
    switch.eval()
    try:
        yield
    finally:
        switch.train()


def check_adam(betas: tuple[float, float], eps: float, weight_decay: float) -> None:
    """Raise ValueError unless these are settings that Adam can run with."""
    if len(betas) != 2:
        raise ValueError(f"betas must be two numbers, got {betas}")
    for beta in betas:
        check_number("a beta of betas", beta, 0.0, 1.0)
        if beta == 1.0:
            raise ValueError(f"betas must be below 1, got {betas}")
    check_number("eps", eps, above=True)
    check_number("weight_decay", weight_decay)

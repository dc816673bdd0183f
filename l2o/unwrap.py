"""From what a user calls their optimizer to the torch optimizer that can be controlled."""

from __future__ import annotations

from typing import Any

from torch.optim import Optimizer

_INNER = ("optimizer", "base_optimizer", "base", "optim")


def unwrap_optimizer(optimizer: Any, hooks: bool = True) -> Optimizer:
    """Return the torch optimizer within; accelerate's and Lightning's wrappers are looked through.

    Args:
        optimizer: the user's.
        hooks: whether its step has to call hooks.

    Raises:
        TypeError: it is no torch optimizer, or one that never runs its hooks.

    Example:
        >>> import torch
        >>> optimizer = torch.optim.SGD([torch.ones(2, requires_grad=True)], lr=0.1)
        >>> unwrap_optimizer(optimizer) is optimizer
        True
    """
    seen = 0
    while isinstance(inner := getattr(optimizer, "optimizer", None), Optimizer) and seen < 10:
        optimizer, seen = inner, seen + 1
    kind = type(optimizer).__name__
    if not isinstance(optimizer, Optimizer):
        within = next(
            (name for name in _INNER if isinstance(getattr(optimizer, name, None), Optimizer)), None
        )
        remedy = f"pass its .{within}" if within else "pass the torch.optim.Optimizer that it uses"
        raise TypeError(f"the optimizer, of type {kind}, is no torch optimizer; {remedy}")
    if "_optimizer_step_pre_hooks" not in vars(optimizer) and hooks:
        raise TypeError(
            f"{kind} has no step hooks: its __init__ does not call torch.optim.Optimizer.__init__; "
            "pass hooks=False and call controller.before_step() and controller.step() around its "
            "step, or pass the optimizer within"
        )
    return optimizer

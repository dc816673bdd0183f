"""From what a user calls their optimizer to the torch optimizer that can be controlled."""

from __future__ import annotations

from typing import Any

from torch.optim import Optimizer

_INNER = ("optimizer", "base_optimizer", "base", "optim", "inner_optimizer", "_optimizer")


def unwrap_optimizer(optimizer: Any, hooks: bool = True) -> tuple[Optimizer, list[Optimizer]]:
    """Return the torch optimizer that steps, and the optimizers around it, outermost last.

    accelerate's and Lightning's wrappers are looked through, and so are those of a torch optimizer
    of the same parameters, as sharpness-aware minimization and Lookahead are: whatever they do
    around it, the learning rate acts in the step of the optimizer within.

    Args:
        optimizer: the user's.
        hooks: whether its step has to call hooks.

    Raises:
        TypeError: it is no torch optimizer, or one that never runs its hooks.

    Example:
        >>> import torch
        >>> optimizer = torch.optim.SGD([torch.ones(2, requires_grad=True)], lr=0.1)
        >>> unwrap_optimizer(optimizer)[0] is optimizer
        True
    """
    outer: list[Optimizer] = []
    for _ in range(10):
        within = _within(optimizer)
        if within is None:
            break
        if isinstance(optimizer, Optimizer):
            outer.insert(0, optimizer)
        optimizer = within
    kind = type(optimizer).__name__
    if not isinstance(optimizer, Optimizer):
        found = next((n for n in _INNER if isinstance(getattr(optimizer, n, None), Optimizer)), "")
        remedy = f"pass its .{found}" if found else "pass the torch.optim.Optimizer that it uses"
        raise TypeError(f"the optimizer, of type {kind}, is no torch optimizer; {remedy}")
    if "_optimizer_step_pre_hooks" not in vars(optimizer) and hooks:
        raise TypeError(
            f"{kind} has no step hooks: its __init__ does not call torch.optim.Optimizer.__init__; "
            "pass hooks=False and call controller.before_step() and controller.step() around its "
            "step, or pass the optimizer within"
        )
    return optimizer, outer


def _within(optimizer: Any) -> Optimizer | None:
    """Return the optimizer that one looks after, if it steps the same parameters."""
    inner = getattr(optimizer, "optimizer", None)
    if isinstance(inner, Optimizer) and inner is not optimizer:
        return inner
    if not isinstance(optimizer, Optimizer):
        return None
    mine = _parameters(optimizer)
    for name in _INNER[1:]:
        inner = vars(optimizer).get(name)
        if isinstance(inner, Optimizer) and inner is not optimizer and _parameters(inner) == mine:
            return inner
    return None


def _parameters(optimizer: Optimizer) -> set[int]:
    return {id(p) for group in optimizer.param_groups for p in group["params"]}

"""A policy's answers, checked before anything is done with them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from l2o.deciding.policy import Policy, State
from l2o.tensors import on_host


def ask(policy: Policy, observation: Tensor, state: State) -> tuple[Tensor, State]:
    """Return a policy's multipliers `[L]` and its new state.

    Raises:
        Exception: whatever the policy raises.
        ValueError: multipliers of the wrong shape, negative or not finite.
        TypeError: a state that is not a dict of tensors.
    """
    with torch.no_grad():
        multipliers, new = policy(observation, state)
    return checked_multipliers(multipliers, len(observation)), checked_state(new)


def first_state(policy: Policy, count: int) -> State:
    """Return a policy's state before its first decision; TypeError if it is none."""
    return checked_state(policy.initial_state(count))


def checked_multipliers(multipliers: Any, count: int) -> Tensor:
    """Return multipliers as float32 on the CPU.

    Raises:
        ValueError: wrong shape, or a value that is negative or not finite.

    Example:
        >>> checked_multipliers([0.1, -1.0], 2)
        Traceback (most recent call last):
        ValueError: multipliers must be finite and not negative, got [0.1..., -1.0]
    """
    chosen = _as_tensor(multipliers)
    if chosen.requires_grad or chosen.dtype is not torch.float32 or not chosen.is_cpu:
        chosen = chosen.detach().to("cpu", torch.float32)
    if chosen.shape != (count,):
        raise ValueError(
            f"{count} layer groups need as many multipliers, got shape {tuple(chosen.shape)}"
        )
    values = chosen.tolist()
    # A sum of finite float32 numbers is finite here, and of others it is not.
    if values and not (math.isfinite(sum(values)) and min(values) >= 0.0):
        raise ValueError(f"multipliers must be finite and not negative, got {values}")
    return chosen


def _as_tensor(values: Any) -> Tensor:
    return values if isinstance(values, Tensor) else on_host(values)


def checked_state(state: Any) -> State:
    """Return a policy's state if it can ride in a checkpoint; None is none.

    Raises:
        TypeError: it is not a dict of tensors.
    """
    if not state and (state is None or isinstance(state, dict)):
        return {}
    if not isinstance(state, Mapping) or not all(
        isinstance(key, str) and isinstance(value, torch.Tensor) for key, value in state.items()
    ):
        raise TypeError(
            f"a policy's state must be a dict of tensors, {{}} for none, got {state!r:.200}"
        )
    return dict(state)

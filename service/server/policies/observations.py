"""Observations and states as requests carry them: lists, or float32 as base64."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from l2o.deciding.learned import LearnedPolicy
from l2o.deciding.policy import State
from l2o.integrations.remote.tensors import unpack
from l2o.service.server.errors import Problem

MOST_LAYERS = 4_096
Finite = Annotated[float, Field(allow_inf_nan=False, ge=-3.4e38, le=3.4e38)]


class Packed(BaseModel):
    """A tensor of float32 numbers."""

    model_config = ConfigDict(extra="forbid")
    shape: list[Annotated[int, Field(ge=0, le=1 << 20)]] = Field(max_length=4)
    """Its sizes."""
    float32: str
    """Its numbers, little-endian, row by row, as base64."""


class Asked(BaseModel):
    """What a policy is shown of a run."""

    model_config = ConfigDict(extra="forbid")
    observation: Packed | Annotated[list[list[Finite]], Field(max_length=MOST_LAYERS)]
    """`[layer groups, signals]`, as the policy's signals encode it."""
    state: dict[str, Packed] = Field(default={}, max_length=4)
    """What the last answer returned; nothing at the start."""


class Decided(BaseModel):
    """What a policy says."""

    policy: str
    """Name and version of the policy that decided."""
    multipliers: list[float]
    """One for each row of the observation."""
    state: dict[str, Packed]
    """To be sent with the next observation."""


def unpacked(packed: Packed, what: str) -> Tensor:
    """Return a tensor; Problem if bytes and shape do not fit, or a number is not finite."""
    try:
        found = unpack({"shape": packed.shape, "float32": packed.float32})
    except ValueError as error:
        raise Problem(422, f"{what}: {error}", "send float32 numbers as base64") from error
    if not bool(torch.isfinite(found).all()):
        raise Problem(422, f"{what} has numbers that are not finite", "send finite numbers")
    return found


def observation_of(asked: Asked, policy: LearnedPolicy) -> Tensor:
    """Return the observation; Problem if it is none of this policy's."""
    if isinstance(asked.observation, Packed):
        seen = unpacked(asked.observation, "observation")
    else:
        rows = asked.observation
        if len({len(row) for row in rows}) > 1:
            raise Problem(422, "rows of the observation have different lengths", _rows(policy))
        seen = torch.tensor(rows, dtype=torch.float32)
    if seen.dim() != 2 or not 1 <= len(seen) <= MOST_LAYERS or seen.shape[1] != len(policy.signals):
        raise Problem(
            422,
            f"the observation must have 1 to {MOST_LAYERS} rows of {len(policy.signals)} signals, "
            f"got the shape {list(seen.shape)}",
            _rows(policy),
        )
    groups = getattr(policy, "groups", None)
    if groups is not None and len(seen) != groups:
        raise Problem(
            422,
            f"the policy decides for {groups} layer groups, got {len(seen)}",
            "group the model into as many, or ask another policy",
        )
    return seen


def state_of(asked: Asked, policy: LearnedPolicy, layers: int) -> State:
    """Return the policy's state, its first one if none was sent; Problem if it is another's."""
    first = policy.initial_state(layers)
    if not asked.state:
        return first
    state = {name: unpacked(packed, f"state.{name}") for name, packed in asked.state.items()}
    expected = {name: list(value.shape) for name, value in first.items()}
    got = {name: list(value.shape) for name, value in state.items()}
    if got != expected:
        raise Problem(
            422,
            f"the policy's state has {expected or 'nothing in it'}, got {got}",
            "send the state of this policy's last answer, or none to begin",
        )
    return state


def _rows(policy: LearnedPolicy) -> str:
    return f"a row has, in this order: {', '.join(policy.signals.names)}"

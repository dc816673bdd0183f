"""The fallback of a run: a policy that decides when the run's own cannot."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields

import torch
from torch import Tensor

from l2o.deciding.bundle import list_policies
from l2o.deciding.by_name import NAMED_RULES, find_rule, load_policy
from l2o.deciding.given import as_policy
from l2o.deciding.policy import Policy
from l2o.deciding.schedule_policy import SchedulePolicy
from l2o.layers.facts import facts_by_name
from l2o.layers.groups import LayerGroup
from l2o.registry import unknown_name
from l2o.schedules import SCHEDULES
from l2o.signals import MISSING, Measurement
from l2o.signals.table import LAYER_FIELDS
from l2o.tensors import on_host


def as_fallback(fallback: str | Policy | None) -> Policy | None:
    """Return a fallback as a policy.

    A name is a schedule's, with one rate for all layers, or one that `load_policy` takes.

    Raises:
        ValueError: an unknown name; TypeError: neither a name nor a policy.

    Example:
        >>> as_fallback("cosine")
        SchedulePolicy(Cosine(...), Flat(), interval=1)
    """
    if fallback is None:
        return None
    names = "the name of a schedule ('cosine', ...) or of a policy ('trust-ratio', ...), or None"
    return as_policy(fallback, "fallback", _named, names)


def _named(name: str) -> Policy:
    if name in SCHEDULES or ":" in name:
        return SchedulePolicy(name)
    if find_rule(name) or name in list_policies():
        return load_policy(name)
    known = [*SCHEDULES, *NAMED_RULES, *list_policies()]
    raise ValueError(unknown_name("fallback", name, known))


def unmeasured(
    groups: Sequence[LayerGroup], step: int, total_steps: int | None, multipliers: Tensor
) -> Measurement:
    """Return what is known of a run without measuring it: its layers and its progress."""
    facts = facts_by_name([p.shape for p in g.parameters] for g in groups)
    known = {
        "present": on_host([1.0] * len(groups)),
        "is_guidance": on_host([0.0] * len(groups)),
        "is_head": on_host([float(g.is_head) for g in groups]),
        "depth": on_host([g.depth for g in groups]),
        **{name: on_host(values) for name, values in facts.items()},
        "multiplier": multipliers.to(torch.float32),
    }
    if total_steps is not None:
        known["progress"] = on_host(min(step / total_steps, 1.0))
        known["steps_left"] = on_host(float(max(total_steps - step, 0)))
    nothing = {
        f.name: on_host([MISSING] * len(groups) if f.name in LAYER_FIELDS else MISSING)
        for f in fields(Measurement)
        if f.name not in known
    }
    return Measurement(**known, **nothing)

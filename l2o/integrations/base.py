"""What the integrations share: policies by name, and options of the controller."""

from __future__ import annotations

import copy
import inspect
import os
from collections.abc import Mapping
from typing import Any

from l2o.control.controller import LRController
from l2o.deciding.bundle import load_policy
from l2o.deciding.policy import Policy
from l2o.guarding.guard import Guard


def as_policy(policy: str | os.PathLike[str] | Policy) -> Policy:
    """Return a policy as it is, or load it by its name or folder.

    Raises:
        TypeError: it is neither.
    """
    if isinstance(policy, Policy):
        return policy
    if isinstance(policy, str | os.PathLike):
        return load_policy(os.fspath(policy))
    raise TypeError(
        f"policy must be an l2o.Policy, or the name or folder of one, got a {type(policy).__name__}"
    )


def check_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return options for `LRController`.

    Raises:
        TypeError: one that it does not take, or that the integration supplies itself.
    """
    supplied = {"self", "policy", "optimizer", "model", "groups"}
    known = sorted(set(inspect.signature(LRController.__init__).parameters) - supplied)
    for name in options:
        if name not in known:
            raise TypeError(f"{name!r} is no option of LRController; known: {', '.join(known)}")
    return dict(options)


def fresh(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return options for one more controller: a guard keeps count of one run only."""
    own = dict(options)
    if isinstance(own.get("guard"), Guard):
        own["guard"] = copy.deepcopy(own["guard"])
    return own

"""What the integrations share: options of the controller."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Mapping
from typing import Any

from l2o.control.controller import LRController
from l2o.guarding.guard import Guard


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

"""l2o: learned layer-wise learning rates for synthetic-to-real fine-tuning.

    controller = l2o.LRController(l2o.load_policy("asg-base"), optimizer, model)

Names are loaded on first use, so that `l2o --help` and other packages need not wait for torch.
"""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from l2o.bundle import BundleError, list_policies, load_policy, read_card, save_policy
    from l2o.controller import LRController
    from l2o.groups import LayerGroup, group_layers, param_groups
    from l2o.guard import Guard
    from l2o.learned import LearnedPolicy
    from l2o.multipliers import Bins, LogRange
    from l2o.network import LayerPolicyNetwork
    from l2o.policy import Policy
    from l2o.schedule_policy import SchedulePolicy
    from l2o.spec import SignalSpec

__version__ = "0.1.0"

_HOMES = {
    "Bins": "multipliers",
    "BundleError": "bundle",
    "Guard": "guard",
    "LRController": "controller",
    "LayerGroup": "groups",
    "LayerPolicyNetwork": "network",
    "LearnedPolicy": "learned",
    "LogRange": "multipliers",
    "Policy": "policy",
    "SchedulePolicy": "schedule_policy",
    "SignalSpec": "spec",
    "group_layers": "groups",
    "list_policies": "bundle",
    "load_policy": "bundle",
    "param_groups": "groups",
    "read_card": "bundle",
    "save_policy": "bundle",
}

__all__ = [
    "Bins",
    "BundleError",
    "Guard",
    "LRController",
    "LayerGroup",
    "LayerPolicyNetwork",
    "LearnedPolicy",
    "LogRange",
    "Policy",
    "SchedulePolicy",
    "SignalSpec",
    "group_layers",
    "list_policies",
    "load_policy",
    "param_groups",
    "read_card",
    "save_policy",
]


def __getattr__(name: str) -> object:
    """Import a public name on first use."""
    if name not in _HOMES:
        raise AttributeError(f"module 'l2o' has no attribute {name!r}")
    return getattr(importlib.import_module(f"l2o.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])

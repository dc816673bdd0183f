"""l2o: learned layer-wise learning rates for synthetic-to-real fine-tuning.

    controller = l2o.LRController(l2o.load_policy("asg-base"), optimizer, model)

Names are loaded on first use, so that `l2o --help` and other packages need not wait for torch.
"""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from l2o.control.controller import LRController
    from l2o.control.suggesting.suggest import suggest
    from l2o.deciding.bundle import BundleError, list_policies, read_card, save_policy
    from l2o.deciding.by_name import load_policy
    from l2o.deciding.learned import LearnedPolicy
    from l2o.deciding.policy import Policy
    from l2o.deciding.schedule_policy import SchedulePolicy
    from l2o.guarding.guard import Guard
    from l2o.integrations.remote.policy import RemotePolicy
    from l2o.layers.groups import LayerGroup, group_layers, param_groups
    from l2o.networks.layer_shared import LayerPolicyNetwork
    from l2o.networks.multipliers import Bins, LogRange
    from l2o.signals.spec import SignalSpec

__version__ = "0.2.0"

_HOMES = {
    "Bins": "networks.multipliers",
    "BundleError": "deciding.bundle",
    "Guard": "guarding.guard",
    "LRController": "control.controller",
    "LayerGroup": "layers.groups",
    "LayerPolicyNetwork": "networks.layer_shared",
    "LearnedPolicy": "deciding.learned",
    "LogRange": "networks.multipliers",
    "Policy": "deciding.policy",
    "RemotePolicy": "integrations.remote.policy",
    "SchedulePolicy": "deciding.schedule_policy",
    "SignalSpec": "signals.spec",
    "group_layers": "layers.groups",
    "list_policies": "deciding.bundle",
    "load_policy": "deciding.by_name",
    "param_groups": "layers.groups",
    "read_card": "deciding.bundle",
    "save_policy": "deciding.bundle",
    "suggest": "control.suggesting.suggest",
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
    "RemotePolicy",
    "SchedulePolicy",
    "SignalSpec",
    "group_layers",
    "list_policies",
    "load_policy",
    "param_groups",
    "read_card",
    "save_policy",
    "suggest",
]


def __getattr__(name: str) -> object:
    """Import a public name on first use."""
    if name not in _HOMES:
        raise AttributeError(f"module 'l2o' has no attribute {name!r}")
    return getattr(importlib.import_module(f"l2o.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])

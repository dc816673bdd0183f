"""l2o: learned layer-wise learning rates for synthetic-to-real fine-tuning.

controller = l2o.LRController(l2o.load_policy("asg-base"), optimizer, model)
"""

from l2o.bundle import BundleError, list_policies, load_policy, read_card, save_policy
from l2o.controller import LRController
from l2o.groups import LayerGroup, group_layers, param_groups
from l2o.guard import Guard
from l2o.learned import LearnedPolicy
from l2o.multipliers import Bins, LogRange
from l2o.network import LayerPolicyNetwork
from l2o.policy import Policy
from l2o.spec import SignalSpec

__version__ = "0.1.0"

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
    "SignalSpec",
    "group_layers",
    "list_policies",
    "load_policy",
    "param_groups",
    "read_card",
    "save_policy",
]
